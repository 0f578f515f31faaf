/*
 * tokens.c - tokens a second of a model file, measured the way llama-bench does: a prompt of random tokens, and tokens
 * made from an empty context; each repeated after one run to warm up. Prints medians with the smallest and largest.
 *
 * What a token costs the host is printed below: the processor time of the scheduler's thread, which makes all calls of
 * Vulkan, and the number of these. On a device that computes nothing, all the time of a token is the host's.
 *
 *     bench/tokens -m FILE [-d DEVICE] [-p 128] [-n 24] [-r 5] [--kv f16|f32] [--variant LIST] [--no-pipeline 0|1]
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/time.h"
#include "run/engine.h"

enum { RUN_MAX = 64 };

static void print_log(void *user, gab_log_level level, const char *message) {
    (void)user;
    if (level <= GAB_LOG_WARNING) fprintf(stderr, "%s\n", message);
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* ---- the calls of Vulkan that are made while tokens are (tests/run_calls.c: no others) ---- */

enum { CALL_SUBMIT, CALL_WAIT, CALL_QUERY, CALL_COUNT };
static const char *const call_names[CALL_COUNT] = {"vkQueueSubmit", "vkWaitSemaphores", "vkGetQueryPoolResults"};
static atomic_ullong calls[CALL_COUNT];
static struct VolkDeviceTable driver;

static VkResult VKAPI_CALL count_submit(VkQueue queue, uint32_t n, const VkSubmitInfo *submits, VkFence fence) {
    calls[CALL_SUBMIT]++;
    return driver.vkQueueSubmit(queue, n, submits, fence);
}

static VkResult VKAPI_CALL count_wait(VkDevice device, const VkSemaphoreWaitInfo *info, uint64_t timeout) {
    calls[CALL_WAIT]++;
    return driver.vkWaitSemaphores(device, info, timeout);
}

static VkResult VKAPI_CALL count_query(VkDevice device, VkQueryPool pool, uint32_t first, uint32_t n, size_t size,
                                       void *data, VkDeviceSize stride, VkQueryResultFlags flags) {
    calls[CALL_QUERY]++;
    return driver.vkGetQueryPoolResults(device, pool, first, n, size, data, stride, flags);
}

static void count_calls(gab_vk *vk) {
    driver = vk->fn;
    vk->fn.vkQueueSubmit = count_submit;
    vk->fn.vkWaitSemaphores = count_wait;
    vk->fn.vkGetQueryPoolResults = count_query;
}

/* ---- turns ---- */

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

/* Microseconds of processor time of the scheduler's thread so far. */
static double scheduler_us(const gab_session *session) {
    clockid_t clock;
    struct timespec t = {0};
    if (pthread_getcpuclockid(session->engine->thread, &clock) == 0) clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

static void print_host(double *us, double *scheduler, int n_run, double n_token) {
    qsort(us, (size_t)n_run, sizeof *us, compare);
    qsort(scheduler, (size_t)n_run, sizeof *scheduler, compare);
    printf("a token: %.2f us (%.2f to %.2f); of the scheduler's thread %.2f us (%.2f to %.2f); calls of Vulkan:",
           us[n_run / 2], us[0], us[n_run - 1], scheduler[n_run / 2], scheduler[0], scheduler[n_run - 1]);
    for (int i = 0; i < CALL_COUNT; i++) printf(" %s %.3f", call_names[i], (double)calls[i] / n_token);
    printf("\n");
}

static gab_status measure(const char *name, gab_session *session, const int32_t *tokens, size_t n_prompt,
                          size_t n_predict, int n_run) {
    double rates[RUN_MAX], us[RUN_MAX], scheduler[RUN_MAX];
    double ms = 0;
    const double n = (double)(n_prompt > 1 ? n_prompt : n_predict);
    gab_status status = turn(session, tokens, n_prompt, n_predict, &ms);
    for (int i = 0; i < CALL_COUNT; i++) calls[i] = 0;
    for (int i = 0; status == GAB_OK && i < n_run; i++) {
        const double start_us = scheduler_us(session);
        status = turn(session, tokens, n_prompt, n_predict, &ms);
        rates[i] = n * 1e3 / ms;
        us[i] = ms * 1e3 / n;
        scheduler[i] = (scheduler_us(session) - start_us) / n;
    }
    if (status != GAB_OK) return status;
    qsort(rates, (size_t)n_run, sizeof *rates, compare);
    printf("%s %8.2f tokens/s (%.2f to %.2f, %d runs)\n", name, rates[n_run / 2], rates[0], rates[n_run - 1], n_run);
    if (n_prompt == 1) print_host(us, scheduler, n_run, n * n_run);
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
        if (strcmp(argv[i], "--no-pipeline") == 0) options.no_pipeline = strcmp(value, "1") == 0;
    }
    if (!options.model_path || argc % 2 == 0 || n_run < 1 || n_run > RUN_MAX || n_prompt < 1 || n_predict < 1) {
        fprintf(stderr, "usage: tokens -m FILE [-d DEVICE] [-p 128] [-n 24] [-r 5] [--kv f16|f32] [--variant LIST] "
                        "[--no-pipeline 0|1]\n");
        return 2;
    }
    gab_status status = gab_engine_create(&options, &engine);
    if (status == GAB_OK) status = gab_session_create(engine, &turns, &session);
    int32_t *tokens = calloc(n_prompt, sizeof *tokens);
    if (status == GAB_OK && tokens) {
        gab_engine_get_info(engine, &info);
        count_calls(engine->vk);
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
