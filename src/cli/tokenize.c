/* tokenize.c - `gabbro tokenize`: the ids of a text on one line, or one a line with its piece. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/setup.h"

/* Bytes of the UTF-8 character at text (RFC 3629), 0 when there is none. */
static size_t character_bytes(const unsigned char *text, size_t n) {
    static const struct {
        unsigned char first_min, first_max, second_min, second_max, n;
    } forms[] = {
        {0x01, 0x7f, 0x00, 0x00, 1}, {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (text[0] < forms[i].first_min || text[0] > forms[i].first_max || n < forms[i].n) continue;
        bool ok = forms[i].n == 1 || (text[1] >= forms[i].second_min && text[1] <= forms[i].second_max);
        for (size_t k = 2; ok && k < forms[i].n; k++) ok = text[k] >= 0x80 && text[k] <= 0xbf;
        return ok ? forms[i].n : 0;
    }
    return 0;
}

/* A piece as text: bytes that are part of a character only are spelled "<0xE2>". malloc'ed; NULL when memory is out. */
static char *piece_text(const gab_tokenizer *tokenizer, int32_t token) {
    size_t n = 0, used = 0;
    const char *piece = gab_tokenizer_piece(tokenizer, token, true, &n);
    char *text = malloc(n * sizeof "<0x00>" + 1);
    if (!text) return NULL;
    for (size_t i = 0, step; i < n; i += step) {
        step = character_bytes((const unsigned char *)piece + i, n - i);
        if (step)
            memcpy(text + used, piece + i, step);
        else
            snprintf(text + used, sizeof "<0x00>", "<0x%02X>", (unsigned char)piece[i]);
        used += step ? step : sizeof "<0x00>" - 1;
        if (step == 0) step = 1;
    }
    text[used] = 0;
    return text;
}

static cJSON *token_json(const gab_tokenizer *tokenizer, int32_t token, bool with_piece) {
    if (!with_piece) return cJSON_CreateNumber(token);
    cJSON *object = cJSON_CreateObject();
    char *piece = piece_text(tokenizer, token);
    cJSON_AddNumberToObject(object, "id", token);
    if (piece) cJSON_AddStringToObject(object, "piece", piece);
    free(piece);
    return object;
}

static gab_status print_json(cli_output *output, const gab_tokenizer *tokenizer, const int32_t *tokens, size_t n_token,
                             bool with_pieces) {
    cJSON *array = cJSON_CreateArray();
    for (size_t i = 0; i < n_token; i++) cJSON_AddItemToArray(array, token_json(tokenizer, tokens[i], with_pieces));
    return cli_output_json(output, array);
}

/* The piece in JSON's quotes, which show spaces and line ends. */
static gab_status print_piece(cli_output *output, const gab_tokenizer *tokenizer, int32_t token) {
    char *piece = piece_text(tokenizer, token);
    cJSON *string = piece ? cJSON_CreateString(piece) : NULL;
    free(piece);
    GAB_TRY(cli_output_print(output, "%6d  ", token));
    return cli_output_json(output, string);
}

static gab_status print_tokens(cli_output *output, const cli_options *options, const gab_tokenizer *tokenizer,
                               const int32_t *tokens, size_t n_token) {
    if (options->json) return print_json(output, tokenizer, tokens, n_token, options->verbose > 0);
    for (size_t i = 0; i < n_token; i++) {
        if (options->verbose)
            GAB_TRY(print_piece(output, tokenizer, tokens[i]));
        else
            GAB_TRY(cli_output_print(output, "%s%d", i ? " " : "", tokens[i]));
    }
    return options->verbose ? GAB_OK : cli_output_print(output, "\n");
}

gab_status cli_tokenize(const cli_options *options, cli_console *console) {
    gab_status status;
    gab_tokenizer *tokenizer = NULL;
    cli_output output = {0};
    char *text = NULL;
    int32_t *tokens = NULL;
    size_t n_byte = 0, n_token = 0;

    GAB_TRY_GOTO(cli_tokenizer_open(options, console, &tokenizer), done);
    GAB_TRY_GOTO(cli_text_read(options, console, &text, &n_byte), done);
    GAB_TRY_GOTO(
        gab_tokenizer_encode(tokenizer, text, n_byte, !options->no_bos, !options->no_special, &tokens, &n_token), done);
    GAB_TRY_GOTO(cli_output_open(&output, "-", &console->log), done);
    status = print_tokens(&output, options, tokenizer, tokens, n_token);
done:
    status = cli_output_close(&output, status);
    gab_tokens_free(&tokens);
    free(text);
    gab_tokenizer_destroy(&tokenizer);
    return status;
}
