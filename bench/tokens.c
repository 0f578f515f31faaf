/*
 * tokens.c - tokens a second of a model file, measured the way llama-bench does: a prompt of random tokens, and tokens
 * made from an empty context; each repeated after one run to warm up. Prints medians with the smallest and largest.
 *
 *     bench/tokens -m FILE [-d DEVICE] [-p 128] [-n 24] [-r 5] [--kv f16|f32] [--variant lane|group]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "gabbro.h"

static void print_log(void *user, gab_log_level level, const char *message) {
    (void)user;
    if (level <= GAB_LOG_WARNING) fprintf(stderr, "%s\n", message);
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static gab_status drain(gab_session *session) {
    gab_event event = {0};
    gab_status status = GAB_OK;
    while (status == GAB_OK && event.stop == GAB_STOP_NONE) status = gab_session_next(session, &event);
    return status;
}

/* One turn from an empty session: n_prompt tokens, then n_predict made; milliseconds from feed to the end. */
static gab_status turn(gab_session *session, const int32_t *tokens, size_t n_prompt, size_t n_predict, double *ms) {
    gab_status status = gab_session_truncate(session, 0);
    uint64_t start = gab_time_ns();
    if (status == GAB_OK) status = gab_session_feed(session, tokens, n_prompt, n_predict);
    if (status == GAB_OK) status = drain(session);
    *ms = gab_time_ms_since(start);
    return status;
}

static gab_status measure(const char *name, gab_session *session, const int32_t *tokens, size_t n_prompt,
                          size_t n_predict, int n_run) {
    double rates[64];
    double ms = 0;
    gab_status status = turn(session, tokens, n_prompt, n_predict, &ms);
    for (int i = 0; status == GAB_OK && i < n_run; i++) {
        status = turn(session, tokens, n_prompt, n_predict, &ms);
        rates[i] = (double)(n_prompt > 1 ? n_prompt : n_predict) * 1e3 / ms;
    }
    if (status != GAB_OK) return status;
    qsort(rates, (size_t)n_run, sizeof *rates, compare);
    printf("%s %8.2f tokens/s (%.2f to %.2f, %d runs)\n", name, rates[n_run / 2], rates[0], rates[n_run - 1], n_run);
    return GAB_OK;
}

int main(int argc, char **argv) {
    gab_engine_options options = gab_engine_options_default();
    gab_session_options turns = gab_session_options_default();
    gab_engine *engine = NULL;
    gab_session *session = NULL;
    gab_engine_info info;
    unsigned long n_prompt = 128, n_predict = 24, n_run = 5;
    char name[32];
    options.log = print_log;
    options.n_session = 1;
    turns.sampling.temperature = 0;
    turns.ignore_end = true;
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *value = argv[i + 1];
        if (strcmp(argv[i], "-m") == 0) options.model_path = value;
        if (strcmp(argv[i], "-d") == 0) options.device = value;
        if (strcmp(argv[i], "-p") == 0) n_prompt = strtoul(value, NULL, 10);
        if (strcmp(argv[i], "-n") == 0) n_predict = strtoul(value, NULL, 10);
        if (strcmp(argv[i], "-r") == 0) n_run = strtoul(value, NULL, 10);
        if (strcmp(argv[i], "--kv") == 0) options.kv = strcmp(value, "f32") == 0 ? GAB_KV_F32 : GAB_KV_F16;
        if (strcmp(argv[i], "--variant") == 0) options.variant = value;
    }
    if (!options.model_path || argc % 2 == 0 || n_run < 1 || n_run > 64 || n_prompt < 1 || n_predict < 1) {
        fprintf(stderr,
                "usage: tokens -m FILE [-d DEVICE] [-p 128] [-n 24] [-r 5] [--kv f16|f32] [--variant lane|group]\n");
        return 2;
    }
    gab_status status = gab_engine_create(&options, &engine);
    if (status == GAB_OK) status = gab_session_create(engine, &turns, &session);
    int32_t *tokens = calloc(n_prompt, sizeof *tokens);
    if (status == GAB_OK && tokens) {
        gab_engine_get_info(engine, &info);
        for (unsigned long i = 0; i < n_prompt; i++) tokens[i] = (int32_t)(i * 7919 % info.n_vocab);
        printf("device %s, load %.0f ms%s\n", info.device, info.load_ms,
               info.executes ? "" : "; results invalid: this device computes nothing");
        snprintf(name, sizeof name, "prefill %4lu", n_prompt);
        status = measure(name, session, tokens, n_prompt, 1, (int)n_run);
        snprintf(name, sizeof name, "decode  %4lu", n_predict);
        if (status == GAB_OK) status = measure(name, session, tokens, 1, n_predict, (int)n_run);
    }
    free(tokens);
    gab_session_destroy(&session);
    gab_engine_destroy(&engine);
    return status == GAB_OK ? 0 : 1;
}
