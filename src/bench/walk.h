/*
 * walk.h - what a step of a model is made of: every dispatch of its plan, with the operation, its shape, the bytes that
 * must move once and the operations of its formula. Dispatches that differ in nothing but whose weights they read are
 * of one kernel. What a walk records runs on the engine's own buffers, while the engine is idle: under its lock.
 */
#ifndef GAB_BENCH_WALK_H
#define GAB_BENCH_WALK_H

#include "bench/ceilings.h"
#include "run/engine.h"

typedef enum bench_op {
    BENCH_OP_PRODUCT,
    BENCH_OP_ATTENTION_DECODE,
    BENCH_OP_ATTENTION_PREFILL,
    BENCH_OP_ATTENTION_MERGE,
    BENCH_OP_LAYERNORM,
    BENCH_OP_RMSNORM,
    BENCH_OP_GATHER,
    BENCH_OP_KV_WRITE,
    BENCH_OP_ROPE,
    BENCH_OP_GATED,
    BENCH_OP_SAMPLE,
    BENCH_OP_EXPERT_ROUTE,
    BENCH_OP_EXPERT_RUNS,
    BENCH_OP_EXPERT_SUM,
    BENCH_OP_OTHER, /* unknown to the benchmark: timed, not checked */
} bench_op;

/* Push constants, by operation. */
typedef union bench_args {
    gab_matmul_args matmul;
    gab_attention_args attention;
    gab_layernorm_args layernorm;
    gab_rmsnorm_args rmsnorm;
    gab_gather_args gather;
    gab_kv_write_args kv_write;
    gab_rope_args rope;
    gab_gated_args gated;
    gab_sample_args sample;
    gab_expert_args expert;
    uint8_t bytes[GAB_PUSH_MAX];
} bench_args;

typedef struct bench_kernel {
    gab_dispatch dispatch;
    bench_args args;
    uint32_t layer; /* as gab_plan_visit says it */
    bench_op op;
    gab_dtype type;   /* PRODUCT, GATHER: of the weights */
    uint32_t n_col;   /* PRODUCT, GATHER: weights a row, with what pads it */
    double error;     /* relative, that its variant may have; 0: f32 */
    const char *name; /* "matvec_across_q8_0" */
    char shape[48];   /* "2304x768 x 1" */
    double bytes, operations;
    bench_ceiling_id arithmetic; /* that the operations are done with */
    uint32_t first;              /* index of the first of its kernel */
} bench_kernel;

typedef struct bench_walk {
    gab_engine *engine;
    gab_plan_shape shape;
    uint32_t n_row, n_out; /* of the step */
    uint32_t position;     /* of its first row */
    bool together;         /* all rows are of one sequence; else each of its own */
    bool kv_f16;
    gab_step *step; /* and page tables */
    uint64_t step_bytes;
    bench_kernel *kernels;
    uint32_t n, capacity;
    gab_status status;
} bench_walk;

/* A step of n_row rows from a position on, with all its outputs drawn: the plan that the engine would take. temperature
 * 0: greedy. Puts the step on the device. To be freed in any case. */
gab_status bench_walk_make(gab_engine *engine, uint32_t n_row, uint32_t position, bool together, float temperature,
                           bench_walk *walk);
void bench_walk_free(bench_walk *walk);

/* Runs one of its dispatches, or so many that follow each other, to the end. */
gab_status bench_walk_run(const bench_walk *walk, uint32_t first, uint32_t n);

/* Milliseconds of a dispatch of the kernel that begins at `first`: all of that kernel in a row, as often as it takes.
 */
gab_status bench_walk_time(const bench_walk *walk, uint32_t first, uint32_t n_run, double submit_ms, bench_time *time);

/* Milliseconds that the device would take at its ceilings for all dispatches of the kernel that begins at `first`, or,
 * with first UINT32_MAX, for the whole step; by_bytes: it is the bytes that take so long. 0: no ceiling is known. */
double bench_walk_ideal_ms(const bench_walk *walk, const bench_ceilings *ceilings, uint32_t first, bool *by_bytes);

/* Fills the pages that the step uses, and with them all there are, with random keys and values. */
gab_status bench_fill_cache(gab_engine *engine);

/* Makes the cache hold so many pages. */
gab_status bench_grow_cache(gab_engine *engine, uint32_t n_page);

#endif
