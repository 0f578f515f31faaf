/*
 * ceilings.h - what a device can do at most, measured: the figures that kernels and models are compared with.
 *
 * Each is the best of several shapes of a kernel written for that alone (ceiling_*.comp): nobody knows beforehand which
 * one a device likes. Shapes are sifted in single runs, the best one is then measured.
 */
#ifndef GAB_BENCH_CEILINGS_H
#define GAB_BENCH_CEILINGS_H

#include "bench/measure.h"
#include "bench/pool.h"

typedef enum bench_ceiling_id {
    BENCH_CEILING_READ,     /* GB/s of so many bytes, again and again: small sizes show the caches */
    BENCH_CEILING_COPY,     /* GB/s, read and written together, by the driver's own copy */
    BENCH_CEILING_F32,      /* GFLOP/s, a multiply-add counted as two */
    BENCH_CEILING_F16,      /* the same in f16, where the device has it */
    BENCH_CEILING_DOT,      /* Gop/s of dot products of four 8-bit integers, counted as eight, where it has them */
    BENCH_CEILING_MATRIX,   /* GFLOP/s of cooperative matrices, f16 into f32, where it and the build have them */
    BENCH_CEILING_UPLOAD,   /* GB/s from the host, as weights go */
    BENCH_CEILING_DISPATCH, /* microseconds: a dispatch of one group and the barrier after it */
    BENCH_CEILING_BARRIER,  /* microseconds: a barrier alone */
    BENCH_CEILING_SUBMIT,   /* microseconds: a submit and the wait for its end, by the host */
    BENCH_CEILING_COUNT
} bench_ceiling_id;

typedef struct bench_ceiling {
    bench_ceiling_id id;
    const char *name, *unit;
    uint64_t bytes;            /* READ, COPY, UPLOAD: of what size; else 0 */
    double value, least, most; /* median, smallest, largest of the runs */
    char shape[48];
} bench_ceiling;

enum { BENCH_CEILING_MAX = 48 };

/* Those that the device has, by id and size. */
typedef struct bench_ceilings {
    bench_ceiling list[BENCH_CEILING_MAX];
    uint32_t n;
} bench_ceilings;

typedef struct bench_ceiling_options {
    uint32_t n_run;
    bool sizes;       /* reads and copies of all sizes, else of all of the pool and of 1 MiB */
    bool rough;       /* the first shape that the device can run, instead of the best */
    double submit_ms; /* 0: BENCH_SUBMIT_MS */
    gab_progress_fn progress;
    void *progress_user;
} bench_ceiling_options;

gab_status bench_ceilings_measure(gab_vk *vk, const bench_pool *pool, const bench_ceiling_options *options,
                                  bench_ceilings *ceilings);

/* The value of the largest of its kind that is no smaller than `bytes`, else of the largest; 0: there is none. */
double bench_ceiling_of(const bench_ceilings *ceilings, bench_ceiling_id id, uint64_t bytes);

/* One more f32 figure, to be compared with the first: has the device become slower? */
gab_status bench_ceiling_again(gab_vk *vk, const bench_pool *pool, const bench_ceilings *ceilings,
                               const bench_ceiling_options *options, double *gflop_s);

#endif
