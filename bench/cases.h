/*
 * cases.h - what bench/kernels measures: every operation of a model, alone, on shapes that models have.
 *
 * Weights and caches rotate: each time another copy is used, cut from a pool larger than caches, as the layers of a
 * model follow each other. Bytes are those that must move once (weights or keys and values, activations, results),
 * operations those of the formula.
 */
#ifndef GAB_BENCH_CASES_H
#define GAB_BENCH_CASES_H

#include "bench/measure.h"
#include "bench/pool.h"
#include "kernels/attention.h"
#include "kernels/gather.h"
#include "kernels/layernorm.h"
#include "kernels/matmul.h"
#include "kernels/sample.h"

enum { BENCH_COPY_MAX = 256, BENCH_SHARD_MAX = 512, BENCH_SHAPE_MAX = 8 };

typedef struct bench_shape {
    uint32_t n_row, n_col; /* of a weight matrix */
} bench_shape;

typedef struct bench_case {
    const char *kernel; /* the operation: "matvec", "attention decode", ... */
    char shape[64];
    const gab_variant *variant; /* that runs; NULL: the operation has none */
    double bytes, flops;
    gab_kernel_context context; /* but for its recorder */
    void (*record)(const gab_kernel_context *context, const struct bench_case *c, uint32_t copy);
    union {
        gab_matmul matmul;
        gab_attention attention;
        gab_layernorm layernorm;
        gab_gather gather;
        gab_kv_write kv_write;
        gab_sample sample;
    } op;
    gab_slice bias;                     /* of a product */
    gab_weight weights[BENCH_COPY_MAX]; /* the copies of op's weights */
    gab_kv_layer layers[BENCH_COPY_MAX];
    gab_shard shards[BENCH_SHARD_MAX];
    uint32_t n_copy, n_shard;
} bench_case;

/* Buffers that the cases share. */
typedef struct bench_data {
    gab_vk *vk;
    gab_kernel_set set;
    bool all_variants; /* cases with each usable variant, else with that of the set */
    bench_pool pool;
    gab_buffer step, x, y, bias, pieces, logits, scratch, small;
} bench_data;

gab_status bench_data_create(gab_vk *vk, const gab_kernel_set *set, bool all_variants, uint64_t pool_bytes,
                             bench_data *data);
void bench_data_destroy(bench_data *data);

typedef gab_status (*bench_case_fn)(void *user, const bench_case *c);

/* Calls fn for each case whose name, "kernel shape", holds `filter`, with the step on the device set up for it. With
 * fn NULL the cases are only counted. *n is the number of cases. */
gab_status bench_cases_each(bench_data *data, const bench_shape *shapes, uint32_t n_shape, const char *filter,
                            bench_case_fn fn, void *user, uint32_t *n);

/* Records a case for the i-th time; user is the case. */
void bench_case_record(const void *user, gab_recorder *recorder, uint32_t i);

#endif
