/* logits.c - `gabbro logits`: the raw numbers behind every token, for comparison with other programs. */
#include <stdlib.h>

#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/setup.h"

/* Rows to little-endian bytes, in place. */
static void to_little_endian(float *rows, size_t n) {
    const union {
        uint16_t word;
        unsigned char bytes[2];
    } order = {.word = 1};
    if (order.bytes[0]) return;
    unsigned char *bytes = (unsigned char *)rows;
    for (size_t i = 0; i < n * sizeof *rows; i += 4) {
        const unsigned char swapped[4] = {bytes[i + 3], bytes[i + 2], bytes[i + 1], bytes[i]};
        for (int k = 0; k < 4; k++) bytes[i + (size_t)k] = swapped[k];
    }
}

typedef struct logits_work {
    const cli_options *options;
    cli_console *console;
    gab_engine *engine;
    gab_session *session;
    uint32_t n_vocab;
    char *text;
    int32_t *tokens;
    size_t n_byte, n_token;
    float *rows;
    cli_output output;
} logits_work;

static gab_status find_tokens(logits_work *work) {
    const gab_tokenizer *tokenizer = gab_engine_tokenizer(work->engine);
    if (work->options->tokens) {
        GAB_TRY(cli_tokens_parse(work->options->tokens, work->n_vocab, work->console, &work->tokens, &work->n_token));
        if (work->n_token > 0) return GAB_OK;
        return gab_fail(&work->console->log, GAB_ERROR_ARGUMENT, "--tokens: no token in '%s'", work->options->tokens);
    }
    return cli_text_encode(work->options, work->console, tokenizer, work->text, work->n_byte, &work->tokens,
                           &work->n_token);
}

static gab_status compute(logits_work *work) {
    const uint32_t n_vocab = work->n_vocab;
    size_t rows_max = cli_logit_rows(n_vocab, work->options->chunk);
    if (rows_max > work->n_token) rows_max = work->n_token;
    work->rows = malloc(rows_max * n_vocab * sizeof *work->rows);
    if (!work->rows) return gab_fail(&work->console->log, GAB_ERROR_HOST_MEMORY, "out of host memory for logits");
    for (size_t done = 0; done < work->n_token;) {
        size_t n = work->n_token - done < rows_max ? work->n_token - done : rows_max;
        gab_progress_report(&work->console->progress, "computing", done, work->n_token);
        GAB_TRY(gab_session_logits(work->session, work->tokens + done, n, work->options->chunk, work->rows));
        if (cli_interrupt_seen()) return gab_fail(&work->console->log, GAB_ERROR_CANCELLED, "interrupted");
        to_little_endian(work->rows, n * n_vocab);
        GAB_TRY(cli_output_write(&work->output, work->rows, n * n_vocab * sizeof *work->rows));
        done += n;
    }
    gab_progress_report(&work->console->progress, "computing", work->n_token, work->n_token);
    return GAB_OK;
}

static gab_status work_all(logits_work *work) {
    cli_interrupt interrupt;
    gab_engine_info info;
    if (!work->options->tokens) GAB_TRY(cli_text_read(work->options, work->console, &work->text, &work->n_byte));
    GAB_TRY(cli_engine_open(work->options, work->console, &work->engine));
    gab_engine_get_info(work->engine, &info);
    work->n_vocab = info.n_vocab; /* rows of the model, which may be more than the tokenizer names */
    GAB_TRY(find_tokens(work));
    GAB_TRY(gab_session_create(work->engine, &work->options->session, &work->session));
    GAB_TRY(cli_output_open(&work->output, work->options->output, &work->console->log));
    cli_interrupt_start(&interrupt, work->session);
    gab_status status = compute(work);
    cli_interrupt_stop(&interrupt);
    return status;
}

gab_status cli_logits(const cli_options *options, cli_console *console) {
    logits_work work = {.options = options, .console = console};
    gab_status status = work_all(&work);
    status = cli_output_close(&work.output, status);
    if (status == GAB_OK)
        cli_console_say(console, "rows of %u logits written to %s: %zu", work.n_vocab, work.output.path, work.n_token);
    gab_session_destroy(&work.session);
    gab_engine_destroy(&work.engine);
    gab_tokens_free(&work.tokens);
    free(work.text);
    free(work.rows);
    return status;
}
