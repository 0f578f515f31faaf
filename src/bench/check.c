#include "bench/check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/reference.h"

static void judge(bench_verdict *v, const bench_expected *e, double got) {
    const double d = fabs(got - e->value);
    v->n_value++;
    const double share = d <= 0 ? 0 : isfinite(got) && e->allowed > 0 ? d / e->allowed : INFINITY;
    if (share <= v->error) return;
    v->error = share;
    if (share > 1)
        snprintf(v->reason, sizeof v->reason, "value %llu is %.6g, expected %.6g within %.1e",
                 (unsigned long long)e->index, got, e->value, e->allowed);
}

/* Compares the device's memory with what is expected. */
static gab_status judge_all(const bench_walk *w, const bench_expected *expected, uint32_t n, bench_verdict *v) {
    double *got = malloc((n ? n : 1) * sizeof *got);
    if (!got) return gab_fail(&w->engine->log, GAB_ERROR_HOST_MEMORY, "out of host memory");
    gab_status status = bench_device_values(w->engine->vk, expected, n, got);
    for (uint32_t i = 0; status == GAB_OK && i < n; i++) judge(v, &expected[i], got[i]);
    free(got);
    return status;
}

/* Is each pair in one run, which is of its expert? Runs may have their pairs in any order. */
static const char *fault_of_runs(const gab_route *route, const gab_expert_args *a, uint32_t n_pair) {
    uint8_t seen[GAB_PAIR_MAX] = {0};
    uint32_t n = 0;
    if (route->n_run > GAB_RUN_MAX) return "more runs than there can be";
    for (uint32_t i = 0; i < route->n_run; i++) {
        const gab_route_run *run = &route->runs[i];
        if (run->expert >= a->n_expert || run->count == 0 || run->count > GAB_RUN || run->first != n ||
            run->count > n_pair - n)
            return "a run of a wrong length or place";
        for (uint32_t k = 0; k < run->count; k++, n++) {
            const uint32_t pair = route->order[n];
            if (pair >= n_pair || seen[pair]++ || route->expert[pair] != run->expert) return "a pair in a wrong run";
        }
    }
    return n == n_pair ? NULL : "pairs that are in no run";
}

static gab_status check_runs(const bench_walk *w, const bench_kernel *k, bench_verdict *v) {
    const gab_expert_args *a = &k->args.expert;
    gab_route *route = malloc(sizeof *route);
    if (!route) return gab_fail(&w->engine->log, GAB_ERROR_HOST_MEMORY, "out of host memory");
    gab_status status = gab_slice_read(w->engine->vk, k->dispatch.bindings[1], 0, route, sizeof *route);
    if (status == GAB_OK) {
        const char *fault = fault_of_runs(route, a, w->n_row * a->n_used);
        v->n_value = w->n_row * a->n_used;
        v->error = fault ? INFINITY : 0;
        snprintf(v->reason, sizeof v->reason, "%s", fault ? fault : "");
    }
    free(route);
    return status;
}

/* Nothing is expected of a split attention, whose pieces the merge puts together, and of shards with experts that no
 * row of the step has. */
static bool is_elsewhere(const bench_kernel *k) {
    return (k->op == BENCH_OP_ATTENTION_DECODE && k->args.attention.n_piece > 1) ||
           (k->op == BENCH_OP_PRODUCT && k->dispatch.pipeline.spec[GAB_SPEC_EXPERTS] != GAB_EXPERTS_NONE);
}

gab_status bench_check_kernel(const bench_walk *w, uint32_t first, bench_verdict *v) {
    bench_reference *r = NULL;
    gab_status status;
    uint32_t n;
    *v = (bench_verdict){0};
    const bench_kernel *k = &w->kernels[first];
    GAB_TRY_GOTO(bench_reference_create(w, false, &r), error);
    if (k->op == BENCH_OP_ATTENTION_MERGE && first > 0) /* its pieces are expected as what becomes of them */
        GAB_TRY_GOTO(bench_reference_compute(r, &w->kernels[first - 1], &v->checked), error);
    GAB_TRY_GOTO(bench_reference_compute(r, k, &v->checked), error);
    GAB_TRY_GOTO(bench_walk_run(w, first, 1), error);
    const bench_expected *expected = bench_reference_expected(r, &n);
    status = k->op == BENCH_OP_EXPERT_RUNS ? check_runs(w, k, v) : judge_all(w, expected, n, v);
    v->elsewhere = v->n_value == 0 && is_elsewhere(k);
    v->checked = v->checked && (v->n_value > 0 || v->elsewhere);
error:
    bench_reference_destroy(&r);
    return status;
}

/* The last dispatch of the layer gives its result; what it may differ by is larger than of one kernel, for the
 * differences of all are in it, and keys and values are rounded: relative to the root of the mean square. */
static gab_status compare_layer(const bench_walk *w, bench_reference *r, double relative, bench_verdict *v) {
    uint32_t n;
    const bench_expected *expected = bench_reference_expected(r, &n);
    bench_expected *whole = malloc((n ? n : 1) * sizeof *whole);
    double size = 0;
    gab_status status = GAB_OK;
    if (!whole) return gab_fail(&w->engine->log, GAB_ERROR_HOST_MEMORY, "out of host memory");
    for (uint32_t i = 0; status == GAB_OK && i < n; i++) {
        whole[i] = expected[i];
        status = bench_reference_value(r, &expected[i], &whole[i].value);
        size += whole[i].value * whole[i].value / n;
    }
    for (uint32_t i = 0; status == GAB_OK && i < n; i++) whole[i].allowed = relative * sqrt(size);
    if (status == GAB_OK) status = judge_all(w, whole, n, v);
    free(whole);
    return status;
}

gab_status bench_check_layer(const bench_walk *w, bench_verdict *v) {
    static const double relative_exact = 4e-3; /* the cache's f16 values: 2^-11, through sums of many */
    bench_reference *r = NULL;
    gab_status status;
    uint32_t first = 0, end;
    double relative = relative_exact;
    *v = (bench_verdict){.checked = true};
    while (first < w->n && w->kernels[first].layer != 1) first++;
    for (end = first; end < w->n && w->kernels[end].layer == 1; end++) relative += 8 * w->kernels[end].error;
    GAB_TRY_GOTO(bench_reference_create(w, true, &r), error);
    GAB_TRY_GOTO(bench_walk_run(w, 0, first), error); /* the embedding */
    for (uint32_t i = first; i < end && v->checked; i++)
        GAB_TRY_GOTO(bench_reference_compute(r, &w->kernels[i], &v->checked), error);
    if (!v->checked || first == end) goto error;
    GAB_TRY_GOTO(bench_walk_run(w, first, end - first), error);
    GAB_TRY_GOTO(compare_layer(w, r, relative, v), error);
error:
    bench_reference_destroy(&r);
    return status;
}
