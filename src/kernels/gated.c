#include "kernels/gated.h"

#include <math.h>

#include "kernels/activation.h"

void gab_gated_record(const gab_kernel_context *context, const gab_gated *op) {
    const uint32_t lanes = context->set.lanes, n_used = op->n_used ? op->n_used : 1;
    const gab_gated_args args = {.n = op->n,
                                 .x_stride = op->x_stride,
                                 .y_stride = op->y_stride,
                                 .gate_step = op->in_turn ? 2 : 1,
                                 .up_first = op->in_turn    ? 1
                                             : op->up_first ? op->up_first
                                                            : op->n,
                                 .activation = op->activation,
                                 .n_used = n_used};
    const gab_dispatch dispatch = {
        .pipeline = {.shader = GAB_SHADER_GATED, .n_binding = 3, .spec = {[GAB_SPEC_LANES] = lanes}},
        .bindings = {context->step, op->x, op->y},
        .push = &args,
        .push_bytes = sizeof args,
        .groups = {(op->n + lanes - 1) / lanes, context->n_row * n_used, 1}};
    gab_record_dispatch(context->recorder, &dispatch);
}

void gab_gated_reference(const float *x, uint32_t n, bool in_turn, uint32_t activation, double *y) {
    for (uint32_t i = 0; i < n; i++) {
        const double gate = x[in_turn ? 2 * i : i], up = x[in_turn ? 2 * i + 1 : n + i];
        y[i] = activation == GAB_ACTIVATION_CLAMPED
                   ? fmin(gate, 7) / (1 + exp(-1.702 * fmin(gate, 7))) * (fmax(-7, fmin(up, 7)) + 1)
                   : gab_activation_reference(activation, gate, 1) * up;
    }
}
