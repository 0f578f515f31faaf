/*
 * rope.h - rotary positions (Su et al. 2021): of each head of queries and keys, dimensions 2i and 2i + 1 are turned by
 * the angle position * frequency(i); with it, norms of queries and keys head by head, and the writing of keys and
 * values into the cache.
 *
 * Models that pair dimension i with i + n/2 have the rows of their matrices put side by side when they are loaded
 * (model/weights.h): attention does not mind in which order the dimensions of queries and keys stand.
 *
 * cos and sin come from a table made on the host in double. A position is a page and a place within it, so the table
 * holds GAB_PAGE places and all pages, and the kernel adds the two angles: [GAB_PAGE + pages][n_turn] of (cos, sin).
 * For 131072 positions and heads of 128 that is 1 MiB instead of 64.
 */
#ifndef GAB_KERNELS_ROPE_H
#define GAB_KERNELS_ROPE_H

#include "kernels/kv_write.h"

/* Where the frequencies come from. All but n_turn and base may be zero: no scaling. */
typedef struct gab_rope_scaling {
    uint32_t n_turn;       /* pairs of a head that are rotated */
    double base;           /* frequency(i) = base^(-i / n_turn) */
    double factor;         /* positions are divided by it (Chen et al. 2023); with YaRN only those of slow pairs */
    double magnitude;      /* of cos and sin; 0: 1 */
    const float *divisors; /* [n_turn] of the frequencies, or NULL (Llama 3.1; LongRoPE: Ding et al. 2024) */
    bool yarn;             /* Peng et al. 2023: pairs that turn more than beta_fast times in the original context keep
                              their frequency, those of less than beta_slow are slowed, those between in part */
    bool yarn_exact;       /* the ends of that range are not rounded outwards to whole pairs */
    double n_ctx_original, beta_fast, beta_slow;
} gab_rope_scaling;

/* Radians a position. */
double gab_rope_frequency(const gab_rope_scaling *scaling, uint32_t pair);

/* The table for positions below n_position, and its floats. */
uint64_t gab_rope_table_floats(uint32_t n_turn, uint32_t n_position);
void gab_rope_table_fill(const gab_rope_scaling *scaling, uint32_t n_position, float *table);

/* What is done to the queries, keys and values of the step's rows. */
typedef struct gab_rope {
    gab_slice table;
    uint32_t n_turn; /* 0: nothing is turned */
    bool norm;
    gab_slice q_norm, k_norm; /* norm: [head_dim] floats */
    bool norm_values;         /* with norm: of values, too, without a weight (Gemma 4) */
    float temperature; /* queries are multiplied by 1 + temperature * ln(1 + floor(position / temperature_step)) */
    uint32_t temperature_step; /* (Llama 4, Ministral 3); 0: they are not */
    bool queries_alone;        /* there are no keys and values in write->x, and none are written */
    float eps;
} gab_rope;

/* Rotates the queries of write->x, which begin its rows, where they are, and writes keys and values into the cache. The
 * heads of queries, keys and values follow each other; head_dim is even. */
void gab_rope_record(const gab_kernel_context *context, const gab_rope *op, const gab_kv_write *write);

/* One head in place. norm: [head_dim] or NULL. */
void gab_rope_reference(const gab_rope_scaling *scaling, const float *norm, double eps, uint32_t head_dim,
                        uint32_t position, double *x);

#endif
