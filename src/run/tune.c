/*
 * tune.c - the kernels of an engine: settled when it is made, and tuned again for `gabbro tune`.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run/engine.h"

/* What an explicit wish to tune may take: far more than any device needs. */
static const double patient_ms = 120e3;

enum { LOSSES_MAX = 4 };

/* Which variants are used, by name, and whether all have f32 products. */
static void note_choice(gab_engine *e, const gab_workload *workloads, uint32_t n) {
    char list[GAB_MESSAGE_MAX] = "";
    e->narrow = false;
    for (uint32_t i = 0, at = 0; i < n && at < sizeof list; i++) {
        const gab_variant *variant = gab_variant_of(&e->set, workloads[i].operation);
        char operation[64];
        gab_operation_name(workloads[i].operation, operation, sizeof operation);
        at += (uint32_t)snprintf(list + at, sizeof list - at, "%s%s=%s", i ? "," : "", operation, variant->name);
        e->narrow = e->narrow || variant->error > 0;
    }
    gab_log_print(&e->log, GAB_LOG_INFO, "variants: %s", list);
}

gab_status gab_engine_choose_kernels(gab_engine *e, bool again, gab_tune_report *report) {
    gab_workload workloads[GAB_OP_COUNT];
    gab_tune_report own = {0};
    const bool exact = e->options.precision == GAB_PRECISION_EXACT;
    const gab_tune_options options = {.measure = e->options.tune || again,
                                      .again = again,
                                      .exact = exact,
                                      .forced = e->variant,
                                      .budget_ms = again ? patient_ms : 0,
                                      .progress = e->options.progress,
                                      .progress_user = e->options.progress_user};
    if (e->set_chosen) return GAB_OK;
    GAB_TRY(gab_kernel_set_choose(e->vk, e->variant, exact, &e->set));
    const uint32_t n = gab_model_workloads(e->model, e->info.context, e->options.kv == GAB_KV_F16, workloads);
    gab_status status = gab_autotune(e->vk, &options, workloads, n, &e->set, report ? report : &own);
    free(own.results);
    GAB_TRY(status);
    e->set_chosen = true;
    note_choice(e, workloads, n);
    return GAB_OK;
}

/* Closes the device that tuning has lost, and says whether another attempt makes sense: it leaves out what was at
 * fault. */
static bool survives(gab_engine *e, gab_status *status, int *n_lost) {
    if (*status != GAB_ERROR_DEVICE_LOST || e->set_chosen) return false;
    if (++*n_lost > LOSSES_MAX) {
        *status = gab_fail(&e->log, *status,
                           "%s was lost %d times while kernels were tried: update its driver, or use --no-tune",
                           e->vk ? e->vk->info.name : "the device", *n_lost);
        return false;
    }
    gab_engine_close_device(e);
    return true;
}

gab_status gab_engine_open_first(gab_engine *e) {
    gab_status status;
    int n_lost = 0;
    do status = gab_engine_open_device(e);
    while (survives(e, &status, &n_lost));
    return status;
}

gab_status gab_engine_tune(const gab_engine_options *options, gab_engine_info *info, gab_tune_result **results,
                           size_t *n_result) {
    gab_engine *e = NULL;
    gab_tune_report report = {0};
    gab_status status;
    int n_lost = 0;
    GAB_TRY(gab_engine_make(options, &e));
    do {
        report.n = 0;
        status = gab_engine_open_model(e);
        if (status == GAB_OK) status = gab_engine_choose_context(e);
        if (status == GAB_OK) status = gab_engine_choose_kernels(e, true, &report);
    } while (survives(e, &status, &n_lost));
    if (status == GAB_OK) {
        gab_engine_describe(e);
        if (info) *info = e->info;
        *results = report.results;
        *n_result = report.n;
        report.results = NULL;
    }
    free(report.results);
    gab_engine_destroy(&e);
    return status;
}

void gab_tune_results_free(gab_tune_result **results) {
    if (!results) return;
    free(*results);
    *results = NULL;
}
