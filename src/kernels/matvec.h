/*
 * matvec.h - the matrix-vector kernels: 1 to 8 columns, and in the LANE family any number.
 */
#ifndef GAB_KERNELS_MATVEC_H
#define GAB_KERNELS_MATVEC_H

#include "kernels/matmul.h"

void gab_matvec_record(const gab_kernel_context *context, const gab_matmul *op);

#endif
