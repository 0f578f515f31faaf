/*
 * matvec.h - the matrix-vector kernels: 1 to 8 columns.
 */
#ifndef GAB_KERNELS_MATVEC_H
#define GAB_KERNELS_MATVEC_H

#include "kernels/matmul.h"

extern const gab_variant gab_matvec_variants[];
extern const uint32_t gab_matvec_n_variant;

/* One of the op's weights, whose outputs begin at y_first. */
void gab_matvec_record(const gab_kernel_context *context, const gab_matmul *op, const gab_weight *weight,
                       uint32_t y_first);

#endif
