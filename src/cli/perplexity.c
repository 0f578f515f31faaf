/*
 * perplexity.c - `gabbro perplexity`: exp of the mean negative log-likelihood of a text's tokens.
 *
 * The text is cut into windows of the context's size that do not overlap; each is read by a fresh session, and every
 * token but the window's first is scored given those before it. Where the file asks for a start token, every window
 * begins with it.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/threads.h"
#include "base/time.h"
#include "cli/commands.h"
#include "cli/setup.h"

typedef struct perplexity_work {
    const cli_options *options;
    cli_console *console;
    gab_engine *engine;
    char *text;
    int32_t *tokens; /* without start token */
    size_t n_byte, n_token;
    int32_t bos; /* in front of every window; -1: none */
    uint32_t n_vocab;
    size_t rows_max; /* rows of logits held at once */
    float *rows;
    int32_t *window;
    double *losses; /* [rows_max] */
    double sum, sum_squares;
    size_t n_scored, n_window, window_size;
} perplexity_work;

/* -log softmax(logits)[target], in double (max subtracted, so that exp cannot overflow). */
static double token_loss(const float *logits, uint32_t n_vocab, int32_t target) {
    double sum = 0, largest = logits[0];
    for (uint32_t i = 1; i < n_vocab; i++)
        if (logits[i] > largest) largest = logits[i];
    for (uint32_t i = 0; i < n_vocab; i++) sum += exp(logits[i] - largest);
    return log(sum) + largest - logits[target];
}

typedef struct row_losses {
    perplexity_work *work;
    const int32_t *targets;
} row_losses;

static bool score_row(void *user, size_t i) {
    const row_losses *rows = user;
    perplexity_work *work = rows->work;
    work->losses[i] = token_loss(work->rows + i * work->n_vocab, work->n_vocab, rows->targets[i]);
    return isfinite(work->losses[i]);
}

/* Scores window[1..n-1]; the last token is a target only and is not computed. */
static gab_status score_window(perplexity_work *work, size_t n) {
    gab_session *session = NULL;
    gab_status status = gab_session_create(work->engine, &work->options->session, &session);
    for (size_t done = 0; status == GAB_OK && done + 1 < n;) {
        size_t n_row = n - 1 - done < work->rows_max ? n - 1 - done : work->rows_max;
        row_losses rows = {.work = work, .targets = work->window + done + 1};
        GAB_TRY_GOTO(gab_session_logits(session, work->window + done, n_row, 0, work->rows), done);
        if (!gab_parallel_for(n_row, 0, score_row, &rows)) {
            status = gab_fail(&work->console->log, GAB_ERROR_VULKAN,
                              "the device computed logits that are not numbers: try --kv f32, or another device "
                              "(gabbro devices)");
            break;
        }
        for (size_t i = 0; i < n_row; i++) {
            work->sum += work->losses[i];
            work->sum_squares += work->losses[i] * work->losses[i];
        }
        work->n_scored += n_row;
        done += n_row;
    }
    work->n_window++;
done:
    gab_session_destroy(&session);
    return status;
}

static gab_status score_text(perplexity_work *work) {
    const size_t n_front = work->bos >= 0, room = work->window_size - n_front;
    if (n_front) work->window[0] = work->bos;
    for (size_t done = 0; done < work->n_token;) {
        size_t n = work->n_token - done < room ? work->n_token - done : room;
        gab_progress_report(&work->console->progress, "scoring", done, work->n_token);
        memcpy(work->window + n_front, work->tokens + done, n * sizeof *work->window);
        if (n_front + n > 1) GAB_TRY(score_window(work, n_front + n));
        done += n;
    }
    gab_progress_report(&work->console->progress, "scoring", work->n_token, work->n_token);
    return GAB_OK;
}

static gab_status encode_text(perplexity_work *work) {
    const gab_tokenizer *tokenizer = gab_engine_tokenizer(work->engine);
    int32_t *front = NULL;
    size_t n_front = 0;
    GAB_TRY(cli_tokenizer_check(work->console, tokenizer));
    GAB_TRY(gab_tokenizer_encode(tokenizer, work->text, work->n_byte, false, !work->options->no_special, &work->tokens,
                                 &work->n_token));
    GAB_TRY(gab_tokenizer_encode(tokenizer, "", 0, true, false, &front, &n_front)); /* the start token, if any */
    work->bos = n_front ? front[0] : -1;
    gab_tokens_free(&front);
    if (work->n_token + n_front < 2)
        return gab_fail(&work->console->log, GAB_ERROR_ARGUMENT,
                        "the text has fewer than two tokens: each is judged by those before it");
    return GAB_OK;
}

static gab_status allocate(perplexity_work *work) {
    gab_engine_info info;
    gab_engine_get_info(work->engine, &info);
    work->n_vocab = info.n_vocab;
    work->window_size = info.context;
    work->rows_max = cli_logit_rows(info.n_vocab, 0);
    if (work->window_size < 2)
        return gab_fail(&work->console->log, GAB_ERROR_ARGUMENT,
                        "a context of %u tokens cannot be scored: use -c 2 or more", info.context);
    work->rows = malloc(work->rows_max * work->n_vocab * sizeof *work->rows);
    work->losses = malloc(work->rows_max * sizeof *work->losses);
    work->window = malloc(work->window_size * sizeof *work->window);
    if (work->rows && work->losses && work->window) return GAB_OK;
    return gab_fail(&work->console->log, GAB_ERROR_HOST_MEMORY, "out of host memory for logits");
}

static gab_status report(const perplexity_work *work, cli_output *output, double seconds) {
    gab_engine_info info;
    gab_engine_get_info(work->engine, &info);
    const double n = (double)work->n_scored, mean = work->sum / n, perplexity = exp(mean);
    const double variance = n > 1 ? (work->sum_squares - n * mean * mean) / (n - 1) : 0;
    const double error = perplexity * sqrt(fmax(variance, 0) / n); /* of exp(mean), to first order */
    if (!work->options->json)
        return cli_output_print(output, "perplexity %.4f +- %.4f (%zu of %zu tokens scored, windows of %zu, %.1f s)\n",
                                perplexity, error, work->n_scored, work->n_token, work->window_size, seconds);
    cJSON *object = cJSON_CreateObject();
    cJSON_AddNumberToObject(object, "perplexity", perplexity);
    cJSON_AddNumberToObject(object, "standard_error", error);
    cJSON_AddNumberToObject(object, "n_token", (double)work->n_token);
    cJSON_AddNumberToObject(object, "n_scored", (double)work->n_scored);
    cJSON_AddNumberToObject(object, "n_window", (double)work->n_window);
    cJSON_AddNumberToObject(object, "context", (double)work->window_size);
    cli_json_number(object, "seconds", seconds);
    cli_json_engine(object, &info);
    return cli_output_json(output, object);
}

gab_status cli_perplexity(const cli_options *options, cli_console *console) {
    gab_status status;
    cli_output output = {0};
    perplexity_work work = {.options = options, .console = console};
    GAB_TRY_GOTO(cli_text_read(options, console, &work.text, &work.n_byte), done);
    GAB_TRY_GOTO(cli_engine_open(options, console, &work.engine), done);
    GAB_TRY_GOTO(encode_text(&work), done);
    GAB_TRY_GOTO(allocate(&work), done);
    const uint64_t start = gab_time_ns();
    GAB_TRY_GOTO(score_text(&work), done);
    GAB_TRY_GOTO(cli_output_open(&output, "-", &console->log), done);
    status = report(&work, &output, gab_time_ms_since(start) / 1000);
done:
    status = cli_output_close(&output, status);
    gab_engine_destroy(&work.engine);
    gab_tokens_free(&work.tokens);
    free(work.text);
    free(work.rows);
    free(work.losses);
    free(work.window);
    return status;
}
