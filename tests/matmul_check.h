/*
 * matmul_check.h - runs one product W x on the device and compares it with the reference, column by column: what the
 * tests of the matrix-vector and of the tiled kernels share.
 */
#ifndef GAB_MATMUL_CHECK_H
#define GAB_MATMUL_CHECK_H

#include "kernels/matmul.h"
#include "vk_test.h"

typedef struct gab_matmul_check {
    gab_dtype type;
    uint32_t n_row, n_col; /* of the weights */
    uint32_t n_plan;       /* columns the plan holds */
    uint32_t n_step;       /* columns the step uses; 0: all */
    uint32_t n_shard;      /* 0: one */
    uint32_t activation;   /* GAB_ACTIVATION_* */
    bool bias, residual, of_outs;
    float x_scale;     /* 0: 1 */
    bool outliers;     /* one value of 1e6 in every column of x */
    double piece_cost; /* of the recorder */
    bool once;         /* of variants that differ in their shape alone the first */
} gab_matmul_check;

/* Of the types those that differ in how kernels read them: a float, f16, scales of a part, a grouped one. */
static const gab_dtype gab_matmul_check_types[] = {GAB_DTYPE_F32, GAB_DTYPE_F16, GAB_DTYPE_Q8_0, GAB_DTYPE_Q4_0,
                                                   GAB_DTYPE_Q4_K};
enum { GAB_MATMUL_CHECK_N_TYPE = sizeof gab_matmul_check_types / sizeof *gab_matmul_check_types };

/* With every usable variant of the set's family. Also checks that nothing is written beyond the step's columns and the
 * weights' rows. The rows of x that fill the plan up to a multiple of 32 are not-a-number. */
void gab_matmul_check_run(gab_vk *vk, gab_kernel_set set, const gab_matmul_check *check);

/* With the set's choice alone. */
void gab_matmul_check_chosen(gab_vk *vk, gab_kernel_set set, const gab_matmul_check *check);

/* The same column of x at every index of 1 to 8 columns gives the same bits. */
void gab_matmul_check_columns(gab_vk *vk, gab_kernel_set set, gab_dtype type, uint32_t n_row, uint32_t n_col);

#endif
