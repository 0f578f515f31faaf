#include "kernels/rmsnorm.h"

#include <math.h>

void gab_rmsnorm_record(const gab_kernel_context *context, const gab_rmsnorm *op) {
    const gab_rmsnorm_args args = {.n_col = op->n_col,
                                   .x_stride = op->x_stride,
                                   .y_stride = op->y_stride,
                                   .x_first = op->x_first,
                                   .y_first = op->y_first,
                                   .eps = op->eps,
                                   .factor = op->factor > 0 || op->factor < 0 ? op->factor : 1,
                                   .add = op->add,
                                   .of_outs = op->of_outs};
    gab_dispatch dispatch = {.pipeline = {.shader = GAB_SHADER_RMSNORM,
                                          .n_binding = 4,
                                          .spec = {[GAB_SPEC_LANES] = context->set.lane ? context->set.lanes : 128}},
                             .bindings = {context->step, op->x, op->weight, op->y},
                             .push = &args,
                             .push_bytes = sizeof args};
    gab_grid_fold(op->of_outs ? context->n_out : context->n_row, dispatch.groups);
    gab_record_dispatch(context->recorder, &dispatch);
}

void gab_rmsnorm_reference(const float *x, const float *weight, uint32_t n_col, double eps, bool add, double *y) {
    double sum = 0;
    for (uint32_t i = 0; i < n_col; i++) sum += (double)x[i] * x[i];
    for (uint32_t i = 0; i < n_col; i++) y[i] = (add ? y[i] : 0) + x[i] / sqrt(sum / n_col + eps) * weight[i];
}
