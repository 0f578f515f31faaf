/*
 * check.h - is what a device computes right? Each kernel of a walk runs once, at its real shape, on the model's own
 * weights and on what the kernels before it have left; sampled rows of what it writes are compared with the CPU
 * reference in double precision. Then one whole layer runs, and its result is compared with the same layer computed
 * here.
 */
#ifndef GAB_BENCH_CHECK_H
#define GAB_BENCH_CHECK_H

#include "bench/walk.h"

typedef struct bench_verdict {
    bool checked;     /* false: nobody here knows what it should compute */
    bool elsewhere;   /* what it computes is checked with another dispatch, or no row of the step needs it */
    uint32_t n_value; /* compared */
    double error;     /* largest, in shares of what is allowed: right up to 1 */
    char reason[160]; /* "": right */
} bench_verdict;

/* The kernel that begins at `first`: runs it. Kernels are to be checked in the order of the walk. */
gab_status bench_check_kernel(const bench_walk *walk, uint32_t first, bench_verdict *verdict);

/* The first layer, for a walk of one row whose kernels have been checked. */
gab_status bench_check_layer(const bench_walk *walk, bench_verdict *verdict);

#endif
