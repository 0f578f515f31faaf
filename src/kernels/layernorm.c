#include "kernels/layernorm.h"

#include <math.h>

void gab_layernorm_record(const gab_kernel_context *context, const gab_layernorm *op) {
    const gab_layernorm_args args = {
        .n_col = op->n_col, .x_stride = op->x_stride, .y_stride = op->y_stride, .eps = op->eps, .of_outs = op->of_outs};
    gab_dispatch dispatch = {.pipeline = {.shader = GAB_SHADER_LAYERNORM,
                                          .n_binding = 5,
                                          .spec = {[GAB_SPEC_LANES] = context->set.lane ? context->set.lanes : 128}},
                             .bindings = {context->step, op->x, op->weight, op->bias, op->y},
                             .push = &args,
                             .push_bytes = sizeof args};
    gab_grid_fold(op->of_outs ? context->n_out : context->n_row, dispatch.groups);
    gab_record_dispatch(context->recorder, &dispatch);
}

void gab_layernorm_reference(const float *x, const float *weight, const float *bias, uint32_t n_col, double eps,
                             double *y) {
    double mean = 0, variance = 0;
    for (uint32_t i = 0; i < n_col; i++) mean += x[i];
    mean /= n_col;
    for (uint32_t i = 0; i < n_col; i++) variance += (x[i] - mean) * (x[i] - mean);
    variance /= n_col;
    for (uint32_t i = 0; i < n_col; i++) y[i] = (x[i] - mean) / sqrt(variance + eps) * weight[i] + bias[i];
}
