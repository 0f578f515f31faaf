#include "bench/check.h"

#include <math.h>
#include <stdio.h>

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
    for (uint32_t i = 0; i < n; i++) {
        double got;
        GAB_TRY_GOTO(bench_device_value(w->engine->vk, &expected[i], &got), error);
        judge(v, &expected[i], got);
    }
error:
    bench_reference_destroy(&r);
    return status;
}

/* The last dispatch of the layer gives its result; what it may differ by is larger than of one kernel, for the
 * differences of all are in it, and keys and values are rounded: relative to the root of the mean square. */
static gab_status compare_layer(const bench_walk *w, bench_reference *r, double relative, bench_verdict *v) {
    uint32_t n;
    const bench_expected *expected = bench_reference_expected(r, &n);
    double size = 0;
    for (uint32_t i = 0; i < n; i++) {
        double value;
        GAB_TRY(bench_reference_value(r, &expected[i], &value));
        size += value * value / n;
    }
    for (uint32_t i = 0; i < n; i++) {
        bench_expected e = expected[i];
        double got;
        GAB_TRY(bench_reference_value(r, &expected[i], &e.value));
        GAB_TRY(bench_device_value(w->engine->vk, &e, &got));
        e.allowed = relative * sqrt(size);
        judge(v, &e, got);
    }
    return GAB_OK;
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
