/*
 * reference.h - what a dispatch should write, value by value, computed on the host in double precision from what its
 * bindings hold. check.h compares.
 */
#ifndef GAB_BENCH_REFERENCE_H
#define GAB_BENCH_REFERENCE_H

#include "bench/walk.h"

typedef enum bench_format { BENCH_F32, BENCH_F16, BENCH_U32 } bench_format;

/* A value that is to be written: the index-th of its format in a binding. */
typedef struct bench_expected {
    gab_slice slice;
    uint64_t index;
    bench_format format;
    double value, allowed; /* allowed: difference */
} bench_expected;

typedef struct bench_reference bench_reference;

/* all: every value, written down as the device's memory for the dispatches that follow; else sampled rows. */
gab_status bench_reference_create(const bench_walk *walk, bool all, bench_reference **reference);
void bench_reference_destroy(bench_reference **reference);

/* Computes what the dispatch should write, from the memory of the device as it is now (or, with `all`, as written
 * down). *known: false when the operation is unknown here. A split attention is expected by the merge that follows. */
gab_status bench_reference_compute(bench_reference *reference, const bench_kernel *kernel, bool *known);

/* Of the last compute. */
const bench_expected *bench_reference_expected(const bench_reference *reference, uint32_t *n);

/* A value of what was written down, with `all`. */
gab_status bench_reference_value(bench_reference *reference, const bench_expected *where, double *value);
/* Values of the device's memory. */
gab_status bench_device_values(gab_vk *vk, const bench_expected *where, uint32_t n, double *values);

#endif
