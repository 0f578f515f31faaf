#include "bench/measure.h"

#include <stdlib.h>
#include <time.h>

#include "base/time.h"

enum { PRIMARY_MAX = 256, LONG_MS = 500 };

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

bench_time bench_time_of(double *ms, uint32_t n_run, uint32_t n_repeat) {
    qsort(ms, n_run, sizeof *ms, compare);
    const double median = n_run % 2 ? ms[n_run / 2] : (ms[n_run / 2 - 1] + ms[n_run / 2]) / 2;
    return (bench_time){.ms = median, .least = ms[0], .most = ms[n_run - 1], .n_repeat = n_repeat, .n_run = n_run};
}

/* The list is cut where the operations of a piece would take long on a slow device of its kind. */
static gab_status record(gab_vk *vk, const bench_work *work, uint32_t n_repeat, bool cut, gab_command_list *list) {
    const double slow_cost_per_ms = vk->info.kind == GAB_DEVICE_CPU ? 5e6 : 1e8;
    gab_recorder recorder = {.vk = vk,
                             .list = list,
                             .piece_cost = cut ? 50 * slow_cost_per_ms : 0,
                             .primary_cost = cut ? 100 * slow_cost_per_ms : 0};
    GAB_TRY(gab_command_list_create(vk, PRIMARY_MAX, list));
    gab_record_open(&recorder);
    for (uint32_t i = 0; i < n_repeat; i++) {
        work->record(work->user, &recorder, i);
        gab_record_barrier(&recorder);
    }
    gab_record_close(&recorder);
    return recorder.status;
}

/* Runs all of the list, a submit a primary; milliseconds together. */
static gab_status run(gab_vk *vk, gab_command_list *list, double *ms) {
    double host = 0, device = 0;
    for (uint32_t i = 0; i < list->n_primary; i++) {
        uint64_t value, start = gab_time_ns();
        GAB_TRY(gab_submit(vk, list, i, 1, &value));
        GAB_TRY(gab_wait(vk, value));
        host += gab_time_ms_since(start);
    }
    if (vk->executes) gab_command_list_measure(vk, list);
    for (uint32_t i = 0; i < list->n_primary; i++) device += list->ms[i];
    *ms = device > 0 ? device : host;
    return GAB_OK;
}

gab_status bench_measure(gab_vk *vk, const bench_work *work, uint32_t n_run, bench_time *time) {
    gab_status status;
    gab_command_list list = {0};
    double ms[BENCH_RUN_MAX], once = 0;
    const double submit_ms = work->submit_ms > 0 ? work->submit_ms : BENCH_SUBMIT_MS;
    uint32_t n_repeat = 1;
    bench_trace_start(vk);
    status = record(vk, work, 1, true, &list);
    const bench_trace trace = bench_trace_now();
    bench_trace_stop(vk);
    if (status != GAB_OK) goto error;
    GAB_TRY_GOTO(run(vk, &list, &once), error); /* some drivers finish compiling now */
    if (once < LONG_MS) GAB_TRY_GOTO(run(vk, &list, &once), error);
    if (once < LONG_MS && vk->executes) {
        gab_command_list_destroy(vk, &list);
        if (once < submit_ms)
            n_repeat =
                once > 0 && submit_ms / once < BENCH_REPEAT_MAX ? (uint32_t)(submit_ms / once) : BENCH_REPEAT_MAX;
        GAB_TRY_GOTO(record(vk, work, n_repeat, false, &list), error);
        GAB_TRY_GOTO(run(vk, &list, &once), error);
    }
    const clock_t cpu_start = clock();
    for (uint32_t i = 0; i < n_run; i++) {
        GAB_TRY_GOTO(run(vk, &list, &ms[i]), error);
        ms[i] /= n_repeat;
    }
    const clock_t cpu_end = clock();
    *time = bench_time_of(ms, n_run, n_repeat);
    time->cpu_ms = (double)(cpu_end - cpu_start) * 1e3 / CLOCKS_PER_SEC / n_run / n_repeat;
    time->trace = trace;
error:
    gab_command_list_destroy(vk, &list);
    return status;
}

gab_status bench_measure_submit(gab_vk *vk, uint32_t n_run, bench_time *time) {
    enum { WARM = 10, SAMPLES = 20 };
    gab_status status;
    gab_command_list list = {0};
    gab_recorder recorder = {.vk = vk, .list = &list};
    double ms[BENCH_RUN_MAX];
    uint64_t value;
    GAB_TRY_GOTO(gab_command_list_create(vk, 1, &list), error);
    gab_record_open(&recorder);
    gab_record_close(&recorder);
    GAB_TRY_GOTO(recorder.status, error);
    for (uint32_t i = 0; i < n_run; i++) {
        uint64_t start = 0;
        for (uint32_t k = i == 0 ? 0 : WARM; k < WARM + SAMPLES; k++) {
            if (k == WARM) start = gab_time_ns();
            GAB_TRY_GOTO(gab_submit(vk, &list, 0, 1, &value), error);
            GAB_TRY_GOTO(gab_wait(vk, value), error);
        }
        ms[i] = gab_time_ms_since(start) / SAMPLES;
    }
    *time = bench_time_of(ms, n_run, SAMPLES);
error:
    gab_command_list_destroy(vk, &list);
    return status;
}
