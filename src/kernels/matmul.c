#include "kernels/matmul.h"

#include <math.h>
#include <string.h>

#include "kernels/matvec.h"

void gab_matmul_prepare(const gab_kernel_context *context, const gab_matmul *op, const gab_shard *shard,
                        gab_matmul_args *args, gab_dispatch *dispatch) {
    const gab_weight *weight = op->weight;
    const uint32_t n_part = gab_weight_n_part(weight);
    const uint32_t n_col = op->of_outs ? context->n_out : context->n_row;
    *args = (gab_matmul_args){.n_block = n_part,
                              .row_vectors = n_part,
                              .scale_offset = shard->scale_offset,
                              .scale_words = (uint32_t)gab_dtype_plane_row_bytes(weight->type, 1, weight->n_col) / 4,
                              .n_row = shard->n_row,
                              .y_first = shard->first_row,
                              .x_stride = op->x_stride,
                              .y_stride = op->y_stride,
                              .has_bias = op->bias != NULL,
                              .activation = op->activation,
                              .residual = op->residual,
                              .of_outs = op->of_outs};
    memset(dispatch, 0, sizeof *dispatch);
    dispatch->pipeline.n_binding = 6;
    const gab_slice bindings[] = {context->step, shard->slice, shard->slice,
                                  op->x,         op->y,        op->bias ? *op->bias : op->y};
    memcpy(dispatch->bindings, bindings, sizeof bindings);
    dispatch->push = args;
    dispatch->push_bytes = sizeof *args;
    dispatch->cost = 2.0 * shard->n_row * weight->n_col * n_col;
}

static void record_tiled(const gab_kernel_context *context, const gab_matmul *op, const gab_shard *shard) {
    const uint32_t tile_rows = 64, tile_cols = 32; /* as in the shader */
    gab_matmul_args args;
    gab_dispatch dispatch;
    gab_matmul_prepare(context, op, shard, &args, &dispatch);
    dispatch.pipeline.shader =
        gab_shader_of_type(GAB_SHADER_MATMUL_GROUP_F32, GAB_SHADER_MATMUL_GROUP_F16, op->weight->type);
    gab_grid_fold((shard->n_row + tile_rows - 1) / tile_rows, dispatch.groups);
    dispatch.groups[2] = ((op->of_outs ? context->n_out : context->n_row) + tile_cols - 1) / tile_cols;
    gab_record_dispatch(context->recorder, &dispatch);
}

void gab_matmul_record(const gab_kernel_context *context, const gab_matmul *op) {
    uint32_t n_col = op->of_outs ? context->n_out : context->n_row;
    if (context->set.lane || n_col <= GAB_MATVEC_COLUMNS_MAX) {
        gab_matvec_record(context, op);
        return;
    }
    for (uint32_t i = 0; i < op->weight->n_shard; i++) {
        if (i > 0) gab_record_apart(context->recorder);
        record_tiled(context, op, &op->weight->shards[i]);
    }
}

double gab_gelu_reference(double x) {
    return 0.5 * x * (1.0 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
}

void gab_matmul_reference(const float *w, uint32_t n_row, uint32_t n_col, const float *x, const float *bias,
                          uint32_t activation, bool residual, double *y) {
    for (uint32_t r = 0; r < n_row; r++) {
        double sum = bias ? bias[r] : 0.0;
        for (uint32_t k = 0; k < n_col; k++) sum += (double)w[(size_t)r * n_col + k] * x[k];
        if (activation == GAB_ACTIVATION_GELU) sum = gab_gelu_reference(sum);
        y[r] = residual ? y[r] + sum : sum;
    }
}
