/*
 * gated.h - y = activation(gate) * up, element by element (GLU variants: Shazeer 2020). Gates and what they gate are
 * the outputs of one product, in turn or one after the other; where a matrix-vector kernel has them side by side, it
 * does this itself.
 */
#ifndef GAB_KERNELS_GATED_H
#define GAB_KERNELS_GATED_H

#include "kernels/kernels.h"

typedef struct gab_gated {
    gab_slice x; /* [n_row * n_used][x_stride] floats: 2 n of the product */
    gab_slice y; /* [n_row * n_used][y_stride] floats: n */
    uint32_t n, x_stride, y_stride;
    bool in_turn;        /* gate 0, up 0, gate 1, ...; else all gates, then all that they gate, */
    uint32_t up_first;   /* so many floats from a gate to what it gates; 0: n */
    uint32_t activation; /* GAB_ACTIVATION_* */
    uint32_t n_used;     /* of experts: rows a row of the step; 0: 1 */
} gab_gated;

void gab_gated_record(const gab_kernel_context *context, const gab_gated *op);
void gab_gated_reference(const float *x, uint32_t n, bool in_turn, uint32_t activation, double *y);

#endif
