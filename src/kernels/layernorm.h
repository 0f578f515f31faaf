/*
 * layernorm.h - y = (x - mean) / sqrt(variance + eps) * weight + bias, row by row (Ba, Kiros, Hinton 2016).
 */
#ifndef GAB_KERNELS_LAYERNORM_H
#define GAB_KERNELS_LAYERNORM_H

#include "kernels/kernels.h"

typedef struct gab_layernorm {
    gab_slice x;            /* [n_row][x_stride] floats */
    gab_slice y;            /* [n_row, or n_out][y_stride] floats */
    gab_slice weight, bias; /* [n_col] floats */
    uint32_t n_col, x_stride, y_stride;
    float eps;
    bool of_outs; /* y gets the rows of x that are the plan's output rows */
} gab_layernorm;

void gab_layernorm_record(const gab_kernel_context *context, const gab_layernorm *op);
void gab_layernorm_reference(const float *x, const float *weight, const float *bias, uint32_t n_col, double eps,
                             double *y);

#endif
