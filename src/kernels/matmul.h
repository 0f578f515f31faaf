/*
 * matmul.h - y = activation(W x + bias) (+ y), for every activation row: the products of the model.
 *
 * Up to 8 columns (activation rows) it is the matrix-vector kernel (matvec.c), whose columns' arithmetic does not
 * depend on how many there are; above, a matrix-matrix kernel.
 *
 * With experts W is a stack of matrices, and a column a pair of a row and one of its experts (gab_route): y[pair] =
 * activation(W[expert] x + bias[expert]). The same kernels: that of one column for each pair where rows are few, else
 * those of many columns for the runs of each expert.
 */
#ifndef GAB_KERNELS_MATMUL_H
#define GAB_KERNELS_MATMUL_H

#include "kernels/expert.h"
#include "kernels/gated.h"
#include "kernels/rope.h"

enum { GAB_MATVEC_COLUMNS_MAX = 8, GAB_MATMUL_SMALL_COLUMNS_MAX = 32 };

/* For MATMUL_SMALL and MATMUL: more than 8 columns. */
extern const gab_variant gab_matmul_variants[];
extern const uint32_t gab_matmul_n_variant;

typedef struct gab_matmul {
    const gab_weight *weight; /* [n_row][n_col]; or, with n_weight above 1, several whose outputs follow each other */
    uint32_t n_weight;        /* 0: 1 */
    gab_slice x;              /* [columns][x_stride] floats, padded with zeros */
    gab_slice y;              /* [columns][y_stride] floats */
    uint32_t x_stride, y_stride;
    const gab_slice *bias;  /* [n_row] floats, or NULL; of experts, [n_expert][outputs] */
    uint32_t activation;    /* GAB_ACTIVATION_* */
    float limit;            /* of GAB_ACTIVATION_SOFTCAP */
    bool residual;          /* add to what y holds */
    const gab_kv_write *kv; /* or NULL: y of which the step's keys and values are then written into the cache; where the
                               kernel puts them there straight away, y does not get them */
    const gab_rope *rope;   /* or NULL: with kv, what is done to queries, keys and values before */
    const gab_gated *gated; /* or NULL: what is then made of y; where the kernel does it straight away, y is not used */
    const gab_experts *experts; /* or NULL: the weights have none */
    bool of_outs;               /* the columns are the plan's output rows, else its rows */
} gab_matmul;

void gab_matmul_record(const gab_kernel_context *context, const gab_matmul *op);

/* The operation that gab_matmul_record picks a variant of. */
gab_operation gab_matmul_operation(gab_dtype type, uint32_t n_col);

/* Columns that the plan holds. */
uint32_t gab_matmul_columns(const gab_kernel_context *context, const gab_matmul *op);

/* One of the weights, whose outputs begin at y_first, with a given variant, of this many weight rows a lane or group
 * and columns a group. */
void gab_matmul_record_shards(const gab_kernel_context *context, const gab_matmul *op, const gab_weight *weight,
                              uint32_t y_first, const gab_variant *variant, uint32_t rows, uint32_t cols);

/* w: n_row x n_col dequantized; one column x -> y. */
void gab_matmul_reference(const float *w, uint32_t n_row, uint32_t n_col, const float *x, const float *bias,
                          uint32_t activation, bool residual, double *y);

#endif
