/*
 * matmul.h - y = activation(W x + bias) (+ y), for every activation row: the products of the model.
 *
 * Up to 8 columns (activation rows) it is the matrix-vector kernel (matvec.c), whose columns' arithmetic does not
 * depend on how many there are; above, the tiled one.
 */
#ifndef GAB_KERNELS_MATMUL_H
#define GAB_KERNELS_MATMUL_H

#include "kernels/kernels.h"

enum { GAB_MATVEC_COLUMNS_MAX = 8 };

typedef struct gab_matmul {
    const gab_weight *weight; /* [n_row][n_col] */
    gab_slice x;              /* [columns][x_stride] floats, padded with zeros */
    gab_slice y;              /* [columns][y_stride] floats */
    uint32_t x_stride, y_stride;
    const gab_slice *bias; /* [n_row] floats, or NULL */
    uint32_t activation;   /* GAB_ACTIVATION_* */
    bool residual;         /* add to what y holds */
    bool of_outs;          /* the columns are the plan's output rows, else its rows */
} gab_matmul;

void gab_matmul_record(const gab_kernel_context *context, const gab_matmul *op);

/* The push constants and bindings of one shard, for both kernels; the caller sets pipeline.shader, spec and groups. */
void gab_matmul_prepare(const gab_kernel_context *context, const gab_matmul *op, const gab_shard *shard,
                        gab_matmul_args *args, gab_dispatch *dispatch);

/* w: n_row x n_col dequantized; one column x -> y. */
void gab_matmul_reference(const float *w, uint32_t n_row, uint32_t n_col, const float *x, const float *bias,
                          uint32_t activation, bool residual, double *y);
double gab_gelu_reference(double x);

#endif
