/*
 * rmsnorm.h - y = factor * ((y +) x / sqrt(mean of x^2 + eps) * weight), row by row (Zhang, Sennrich 2019).
 */
#ifndef GAB_KERNELS_RMSNORM_H
#define GAB_KERNELS_RMSNORM_H

#include "kernels/kernels.h"

typedef struct gab_rmsnorm {
    gab_slice x;               /* [n_row][x_stride] floats */
    gab_slice y;               /* [n_row, or n_out][y_stride] floats; may be x */
    gab_slice weight;          /* [n_col] floats */
    uint32_t x_first, y_first; /* floats from the start of a row */
    uint32_t n_col, x_stride, y_stride;
    float eps;
    float factor; /* of what is written; 0: 1 */
    bool add;     /* to what y holds */
    bool of_outs; /* y gets the rows of x that are the plan's output rows */
} gab_rmsnorm;

void gab_rmsnorm_record(const gab_kernel_context *context, const gab_rmsnorm *op);
void gab_rmsnorm_reference(const float *x, const float *weight, uint32_t n_col, double eps, bool add, double *y);

#endif
