/* detokenize.c - `gabbro detokenize`: the text of token ids. Control tokens have none. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/setup.h"

static gab_status print_text(cli_output *output, const gab_tokenizer *tokenizer, const int32_t *tokens,
                             size_t n_token) {
    gab_text_stream *stream = NULL;
    char last = '\n';
    GAB_TRY(gab_text_stream_create(tokenizer, &stream));
    gab_status status = GAB_OK;
    for (size_t i = 0; i <= n_token && status == GAB_OK; i++) {
        const char *text = i < n_token ? gab_text_stream_push(stream, tokens[i]) : gab_text_stream_finish(stream);
        size_t n = strlen(text);
        if (n) last = text[n - 1];
        status = cli_output_write(output, text, n);
    }
    gab_text_stream_destroy(&stream);
    /* Exact bytes for a pipe; a terminal's prompt wants a new line. */
    if (status == GAB_OK && last != '\n' && isatty(STDOUT_FILENO)) status = cli_output_print(output, "\n");
    return status;
}

gab_status cli_detokenize(const cli_options *options, cli_console *console) {
    gab_status status;
    gab_tokenizer *tokenizer = NULL;
    cli_output output = {0};
    char *list = NULL;
    int32_t *tokens = NULL;
    size_t n_byte = 0, n_token = 0;

    GAB_TRY_GOTO(cli_tokenizer_open(options, console, &tokenizer), done);
    if (!options->tokens) GAB_TRY_GOTO(cli_text_read(options, console, &list, &n_byte), done);
    GAB_TRY_GOTO(cli_tokens_parse(options->tokens ? options->tokens : list, gab_tokenizer_n_vocab(tokenizer), console,
                                  &tokens, &n_token),
                 done);
    GAB_TRY_GOTO(cli_output_open(&output, "-", &console->log), done);
    status = print_text(&output, tokenizer, tokens, n_token);
done:
    status = cli_output_close(&output, status);
    gab_tokens_free(&tokens);
    free(list);
    gab_tokenizer_destroy(&tokenizer);
    return status;
}
