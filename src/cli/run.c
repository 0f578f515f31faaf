/*
 * run.c - `gabbro run`: a prompt goes in, text comes out token by token, as it is made. With --json all of it comes at
 * the end, as one object.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/setup.h"

typedef struct run_state {
    const cli_options *options;
    cli_console *console;
    gab_engine *engine;
    gab_session *session;
    gab_text_stream *stream;
    cli_output output;
    char *prompt;
    size_t n_prompt_byte;
    int32_t *prompt_tokens, *tokens; /* tokens: those made */
    size_t n_prompt_token, n_token, tokens_size;
    char *text; /* made; kept for --json only */
    size_t n_text, text_size;
    char last; /* byte printed */
    gab_stop stop;
    gab_sampling sampling;
} run_state;

/* A larger array for at least need items; false when memory is out. */
static bool grow(void **array, size_t *size, size_t need, size_t item) {
    if (need <= *size) return true;
    size_t larger_size = *size * 2 > need ? *size * 2 : need;
    void *larger = realloc(*array, larger_size * item);
    if (!larger) return false;
    *array = larger;
    *size = larger_size;
    return true;
}

static gab_status emit(run_state *run, const char *text, size_t n) {
    if (n == 0) return GAB_OK;
    if (run->options->json) {
        if (!grow((void **)&run->text, &run->text_size, run->n_text + n + 1, 1))
            return gab_fail(&run->console->log, GAB_ERROR_HOST_MEMORY, "out of host memory");
        memcpy(run->text + run->n_text, text, n);
        run->n_text += n;
        run->text[run->n_text] = 0;
        return GAB_OK;
    }
    run->last = text[n - 1];
    GAB_TRY(cli_output_write(&run->output, text, n));
    return cli_output_flush(&run->output);
}

static gab_status keep_token(run_state *run, int32_t token) {
    if (!grow((void **)&run->tokens, &run->tokens_size, run->n_token + 1, sizeof token))
        return gab_fail(&run->console->log, GAB_ERROR_HOST_MEMORY, "out of host memory");
    run->tokens[run->n_token++] = token;
    return GAB_OK;
}

/* Takes tokens until the turn is over; those made before a stop string has ended it are left out. */
static gab_status generate(run_state *run) {
    for (;;) {
        gab_event event;
        GAB_TRY(gab_session_next(run->session, &event));
        if (event.stop != GAB_STOP_NONE) {
            run->stop = event.stop;
            break;
        }
        if (gab_text_stream_stopped(run->stream)) continue;
        GAB_TRY(keep_token(run, event.token));
        const char *text = gab_text_stream_push(run->stream, event.token);
        GAB_TRY(emit(run, text, strlen(text)));
        if (gab_text_stream_stopped(run->stream)) gab_session_cancel(run->session);
    }
    const char *rest = gab_text_stream_finish(run->stream);
    return emit(run, rest, strlen(rest));
}

static gab_status read_prompt(run_state *run) {
    const cli_options *options = run->options;
    GAB_TRY(cli_text_read(options, run->console, &run->prompt, &run->n_prompt_byte));
    /* An editor's or echo's line end is not part of the prompt. */
    if (!options->prompt && run->n_prompt_byte && run->prompt[run->n_prompt_byte - 1] == '\n') {
        run->n_prompt_byte--;
        if (run->n_prompt_byte && run->prompt[run->n_prompt_byte - 1] == '\r') run->n_prompt_byte--;
    }
    return GAB_OK;
}

static gab_status turn(run_state *run) {
    const cli_options *options = run->options;
    const size_t n_predict = options->n_predict < 0 ? (size_t)INT32_MAX : (size_t)options->n_predict;
    cli_interrupt interrupt;
    GAB_TRY(gab_session_feed(run->session, run->prompt_tokens, run->n_prompt_token, n_predict));
    cli_interrupt_start(&interrupt, run->session);
    gab_status status = GAB_OK;
    if (!options->json && !options->no_echo) status = emit(run, run->prompt, run->n_prompt_byte);
    if (status == GAB_OK) status = generate(run);
    if (status != GAB_OK) gab_session_cancel(run->session);
    cli_interrupt_stop(&interrupt);
    if (!options->json && run->last && run->last != '\n') {
        gab_status newline = cli_output_print(&run->output, "\n");
        if (status == GAB_OK) status = newline;
    }
    return status;
}

static const char *stop_text(const run_state *run) {
    return gab_text_stream_stopped(run->stream) ? "string" : gab_stop_text(run->stop);
}

static cJSON *ids_json(const int32_t *tokens, size_t n) {
    cJSON *array = cJSON_CreateArray();
    for (size_t i = 0; i < n; i++) cJSON_AddItemToArray(array, cJSON_CreateNumber(tokens[i]));
    return array;
}

static gab_status print_json(run_state *run, const gab_engine_info *info, const gab_session_stats *stats) {
    cJSON *object = cJSON_CreateObject();
    char seed[24];
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)run->options->session.sampling.seed);
    cJSON_AddItemToObject(object, "prompt_tokens", ids_json(run->prompt_tokens, run->n_prompt_token));
    cJSON_AddItemToObject(object, "tokens", ids_json(run->tokens, run->n_token));
    cJSON_AddStringToObject(object, "text", run->text ? run->text : "");
    cJSON_AddStringToObject(object, "stop", stop_text(run));
    cJSON_AddRawToObject(object, "seed", seed);
    cJSON_AddNumberToObject(object, "n_prompt", (double)stats->n_prompt);
    cJSON_AddNumberToObject(object, "n_decode", (double)run->n_token);
    cli_json_number(object, "load_ms", info->load_ms);
    cli_json_number(object, "prompt_ms", stats->prompt_ms);
    cli_json_number(object, "decode_ms", stats->decode_ms);
    cli_json_engine(object, info);
    return cli_output_json(&run->output, object);
}

static double per_second(double n, double ms) {
    return ms > 0 ? n * 1000 / ms : 0;
}

static void say_summary(run_state *run, const gab_engine_info *info, const gab_session_stats *stats) {
    cli_console *console = run->console;
    if (run->stop == GAB_STOP_CONTEXT)
        cli_console_say(console,
                        "the context of %u tokens is full; --context-shift goes on by forgetting the oldest half",
                        info->context);
    if (!run->options->verbose) return;
    cli_console_say(console, "load: %.0f ms; variants %s; seed %llu", info->load_ms, info->variants,
                    (unsigned long long)run->options->session.sampling.seed);
    const gab_sampling *s = &run->sampling;
    cli_console_say(console, "sampling: temperature %g, top-k %u, top-p %g, min-p %g, repeat penalty %g",
                    (double)s->temperature, s->top_k, (double)s->top_p, (double)s->min_p, (double)s->repeat_penalty);
    cli_console_say(console, "prompt: %llu tokens in %.1f ms, %.1f tokens/s", (unsigned long long)stats->n_prompt,
                    stats->prompt_ms, per_second((double)stats->n_prompt, stats->prompt_ms));
    /* the clock of decode starts with the first token */
    cli_console_say(console, "text: %llu tokens in %.1f ms, %.1f tokens/s; stop: %s",
                    (unsigned long long)stats->n_decode, stats->decode_ms,
                    per_second(stats->n_decode ? (double)stats->n_decode - 1 : 0, stats->decode_ms), stop_text(run));
}

static gab_status run_all(run_state *run) {
    gab_engine_info info;
    gab_session_stats stats;
    GAB_TRY(read_prompt(run));
    GAB_TRY(cli_engine_open(run->options, run->console, &run->engine));
    const gab_tokenizer *tokenizer = gab_engine_tokenizer(run->engine);
    GAB_TRY(cli_text_encode(run->options, run->console, tokenizer, run->prompt, run->n_prompt_byte, &run->prompt_tokens,
                            &run->n_prompt_token));
    GAB_TRY(gab_text_stream_create(tokenizer, &run->stream));
    if (run->n_prompt_byte > 0) gab_text_stream_continue(run->stream); /* the prompt is there already */
    for (uint32_t i = 0; i < run->options->stop.n; i++)
        GAB_TRY(gab_text_stream_add_stop(run->stream, run->options->stop.items[i]));
    gab_session_options session = run->options->session;
    run->sampling = session.sampling = cli_sampling(run->options, run->engine);
    GAB_TRY(gab_session_create(run->engine, &session, &run->session));
    GAB_TRY(cli_output_open(&run->output, "-", &run->console->log));
    GAB_TRY(turn(run));
    gab_engine_get_info(run->engine, &info);
    gab_session_get_stats(run->session, &stats);
    say_summary(run, &info, &stats);
    if (run->options->json) GAB_TRY(print_json(run, &info, &stats));
    /* what there is was written; a stop string cancels, too */
    return run->stop == GAB_STOP_CANCELLED && !gab_text_stream_stopped(run->stream) ? GAB_ERROR_CANCELLED : GAB_OK;
}

gab_status cli_run(const cli_options *options, cli_console *console) {
    run_state run = {.options = options, .console = console};
    gab_status status = run_all(&run);
    status = cli_output_close(&run.output, status);
    gab_session_destroy(&run.session);
    gab_text_stream_destroy(&run.stream);
    gab_engine_destroy(&run.engine);
    gab_tokens_free(&run.prompt_tokens);
    free(run.prompt);
    free(run.tokens);
    free(run.text);
    return status;
}
