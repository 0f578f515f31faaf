/*
 * presets.c - the synthetic models that a device is measured with: those that fit its memory, one type after the other,
 * as long as the time lasts. What was reached with one says how long the next will take.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/time.h"
#include "bench/job.h"

enum { N_TYPE = 3, N_PRESET = 4, N_CHOICE = N_PRESET * N_TYPE };

/* To add one, a row here and its shape in model/synth.c. Types: that in which most people would run it first. */
static const struct {
    const char *label, *preset;
    gab_dtype types[N_TYPE];
} presets[N_PRESET] = {{"small", "gpt2-124m", {GAB_DTYPE_Q8_0, GAB_DTYPE_Q4_K, GAB_DTYPE_F16}},
                       {"1B", "llama-1b", {GAB_DTYPE_Q8_0, GAB_DTYPE_Q4_K, GAB_DTYPE_F16}},
                       {"8B", "llama-8b", {GAB_DTYPE_Q4_K, GAB_DTYPE_Q8_0, GAB_DTYPE_F16}},
                       {"8x7B mixture", "mixtral-8x7b", {GAB_DTYPE_Q4_K, GAB_DTYPE_Q8_0, GAB_DTYPE_F16}}};

typedef struct choice {
    char path[64], label[32];
    bench_need need;
} choice;

/* The least that measuring the model takes: loading it, and each figure in the shortest way. */
static double least_seconds(const bench_job *r, const bench_need *need) {
    enum { TOKENS = 250, PROMPT_TOKENS = 2500 };
    const double guess = 0.3; /* of the limits, until something has been measured */
    const double bytes_s = r->reached.text_bytes_s > 0
                               ? r->reached.text_bytes_s
                               : guess * 1e9 * bench_ceiling_of(&r->ceilings, BENCH_CEILING_READ, UINT64_MAX);
    const double flop_s = r->reached.prompt_flop_s > 0
                              ? r->reached.prompt_flop_s
                              : guess * 1e9 * bench_ceiling_of(&r->ceilings, BENCH_CEILING_F32, 0);
    const double load_s = r->reached.load_bytes_s > 0 ? need->weight_bytes / r->reached.load_bytes_s : 0;
    return load_s + TOKENS * need->token_bytes / bytes_s + PROMPT_TOKENS * 2 * need->token_weights / flop_s;
}

static bool fits(const bench_job *r, const choice *c) {
    return c->need.bytes <= r->room.bytes;
}

/* What is left of the time is divided among those that there is time for at all; the first has all that it wants. */
static void share_time(bench_job *r, const choice *choices, uint32_t n, double left_s) {
    enum { FIGURE_MS_MIN = 300 };
    const bench_plan *whole = &r->whole_plan;
    double least_s = 0;
    uint32_t n_model = 0;
    if (!(r->reached.text_bytes_s > 0)) return;
    for (uint32_t i = 0; i < n; i++) {
        const double s = least_seconds(r, &choices[i].need);
        if (!fits(r, &choices[i]) || (i > 0 && least_s + s > left_s)) continue;
        least_s += s;
        n_model++;
    }
    const double spare_ms = 1e3 * (left_s - least_s) / n_model / bench_plan_n_figure(whole);
    r->plan.figure_ms = fmin(whole->figure_ms, fmax(spare_ms, FIGURE_MS_MIN));
    r->plan.run_ms = fmin(whole->run_ms, r->plan.figure_ms / whole->n_run);
}

gab_status bench_job_presets(bench_job *r) {
    choice choices[N_CHOICE] = {{.need = {0}}};
    const uint32_t n = bench_modes[r->mode].n_type * N_PRESET;
    const bool one = r->options->smoke || !r->executes; /* then times say nothing */
    const double model_s = one ? 0 : bench_modes[r->mode].model_s;
    const uint64_t start = gab_time_ns();
    uint32_t n_tried = 0;
    for (uint32_t i = 0; i < n; i++) {
        choice *c = &choices[i];
        const size_t p = i % N_PRESET;
        const char *type = gab_dtype_get(presets[p].types[i / N_PRESET])->name;
        snprintf(c->path, sizeof c->path, "synth:%s:%s:%u", presets[p].preset, type, bench_plan_context(&r->plan));
        snprintf(c->label, sizeof c->label, "%s %s", presets[p].label, type);
        GAB_TRY(bench_job_need(r, c->path, &c->need));
    }
    for (uint32_t i = 0; i < n; i++) {
        const choice *c = &choices[i];
        const double left_s = model_s - 1e-3 * gab_time_ms_since(start);
        const bool late = n_tried > 0 && least_seconds(r, &c->need) > left_s;
        if (!fits(r, c) || late) {
            bench_job_skip(r, c->label,
                           !fits(r, c)    ? "it does not fit the device's memory"
                           : !r->executes ? "one is enough of a device that computes nothing"
                                          : "it would take too long here: --full measures it all the same");
            continue;
        }
        share_time(r, c, n - i, left_s);
        n_tried++;
        const gab_status status = bench_job_model(r, c->path, c->label);
        if (status == GAB_ERROR_DEVICE_LOST || status == GAB_ERROR_HOST_MEMORY) return status;
        if (status != GAB_OK) bench_job_skip(r, c->label, gab_last_error());
    }
    return cJSON_GetArraySize(r->models) > 0
               ? GAB_OK
               : gab_fail(&r->log, GAB_ERROR_UNSUPPORTED,
                          "no synthetic model could be measured: the smallest needs %.2f GiB, of %.2f GiB free memory "
                          "that a benchmark may take: close what uses the device, or name a small model with -m",
                          choices[0].need.bytes / (1 << 30), r->room.bytes / (1 << 30));
}
