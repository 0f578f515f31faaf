/*
 * timing.h - how long one variant of an operation takes on a model's shape, on more data than the caches hold where the
 * model itself has more.
 */
#ifndef GAB_PLAN_TIMING_H
#define GAB_PLAN_TIMING_H

#include "plan/workload.h"

/* What the variants of an operation are timed on, made once. */
typedef struct gab_timing_ground {
    gab_workload workload;
    uint32_t n_row;  /* products: rows of the matrix that are used, as many as fit the time */
    uint32_t n_laid; /* rows that it lies in memory with */
    uint32_t n_copy; /* matrices, one after the other in `weights` */
    uint64_t copy_bytes;
    uint32_t depth;                 /* attention: positions */
    bool fitted;                    /* n_row is */
    gab_buffer weights, x, y, step; /* attention: keys in `weights` */
    gab_buffer values, pieces;
} gab_timing_ground;

gab_status gab_timing_prepare(gab_vk *vk, const gab_workload *workload, gab_timing_ground *ground);
void gab_timing_free(gab_vk *vk, gab_timing_ground *ground);

/* Milliseconds one run takes with the set's variant: the least of a few samples, fewer when it is far slower than
 * best_ms (0: nothing to compare with). */
gab_status gab_timing_run(gab_vk *vk, const gab_kernel_set *set, gab_timing_ground *ground, double best_ms, double *ms);

/* The same of two variants in turns, so that what the machine does meanwhile is alike for both: medians. near_ms: about
 * what a run takes. */
gab_status gab_timing_duel(gab_vk *vk, const gab_kernel_set *a, const gab_kernel_set *b, gab_timing_ground *ground,
                           double near_ms, double *a_ms, double *b_ms);

/* "3072x768 x 1" */
void gab_timing_shape(const gab_vk *vk, const gab_timing_ground *ground, char *text, size_t size);
/* Bytes of weights, or of keys and values, that a run reads; operations that it does. */
double gab_timing_bytes(const gab_timing_ground *ground);
double gab_timing_operations(const gab_vk *vk, const gab_timing_ground *ground);

#endif
