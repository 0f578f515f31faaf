/*
 * ceilings.h - what a device can do at most, measured: the figures that kernels are compared with.
 *
 * Each is the best of several shapes of a kernel written for that alone (ceiling_*.comp): nobody knows beforehand which
 * one a device likes.
 */
#ifndef GAB_BENCH_CEILINGS_H
#define GAB_BENCH_CEILINGS_H

#include "bench/measure.h"
#include "bench/pool.h"

typedef enum bench_ceiling_id {
    BENCH_CEILING_READ,     /* GB/s from memory: all of the pool */
    BENCH_CEILING_CACHED,   /* GB/s of 1 MiB, again and again */
    BENCH_CEILING_F32,      /* GFLOP/s, a multiply-add counted as two */
    BENCH_CEILING_F16,      /* the same in f16, where the device has it */
    BENCH_CEILING_DOT,      /* Gop/s of dot products of four 8-bit integers, counted as eight, where it has them */
    BENCH_CEILING_MATRIX,   /* GFLOP/s of cooperative matrices, f16 into f32, where it and the build have them */
    BENCH_CEILING_DISPATCH, /* microseconds: a dispatch of one group and the barrier after it */
    BENCH_CEILING_SUBMIT,   /* microseconds: a submit and the wait for its end, by the host */
    BENCH_CEILING_COUNT
} bench_ceiling_id;

typedef struct bench_ceiling {
    const char *name, *unit;
    double value, least, most; /* of the best shape: median, smallest, largest; 0: the device cannot */
    char shape[48];
} bench_ceiling;

gab_status bench_ceilings_measure(gab_vk *vk, const bench_pool *pool, uint32_t n_run,
                                  bench_ceiling ceilings[BENCH_CEILING_COUNT]);

#endif
