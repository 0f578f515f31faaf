#include "kernels/matmul.h"

#include <math.h>
#include <string.h>

#include "kernels/matvec.h"

/* Of the forms with 8 by 4 sums an invocation, only that of f32 fits the registers of Intel's chips. */
/* clang-format off */
const gab_variant gab_matmul_variants[] = {
    {"lane", GAB_SHADER_MATVEC_LANE_F32, .lane = true, .rows = {4}, .cols = 8},
    {"tiled", GAB_SHADER_MATMUL_GROUP_F32, .lanes = 128, .rows = {64}, .cols = 32, .depth = 32},
    {"tiled_64x64", GAB_SHADER_MATMUL_GROUP_F32, .lanes = 256, .rows = {64}, .cols = 64, .depth = 32},
    {"tiled_128x64", GAB_SHADER_MATMUL_GROUP_F32, .lanes = 256, .rows = {128}, .cols = 64, .depth = 16},
    {"tiled_64x16", GAB_SHADER_MATMUL_GROUP_F32, .lanes = 64, .rows = {64}, .cols = 16, .depth = 32},
    {"tiled_32x32", GAB_SHADER_MATMUL_GROUP_F32, .lanes = 64, .rows = {32}, .cols = 32, .depth = 32},
    {"tiled_32x16", GAB_SHADER_MATMUL_GROUP_F32, .lanes = 64, .rows = {32}, .cols = 16, .depth = 32},
    {"half_32x32", GAB_SHADER_MATMUL_HALF_F32, .lanes = 64, .rows = {32}, .cols = 32, .needs = GAB_FEATURE_F16, .error = 2e-3f},
    {"half_64x64", GAB_SHADER_MATMUL_HALF_F32, .lanes = 256, .rows = {64}, .cols = 64, .needs = GAB_FEATURE_F16, .error = 2e-3f},
    {"matrix_64x32", GAB_SHADER_MATMUL_MATRIX_F32, .lanes = 64, .rows = {64}, .cols = 32, .needs = GAB_FEATURE_MATRIX, .error = 1e-3f},
    {"matrix_64x64", GAB_SHADER_MATMUL_MATRIX_F32, .lanes = 128, .rows = {64}, .cols = 64, .needs = GAB_FEATURE_MATRIX, .error = 1e-3f},
    {"matrix_128x128", GAB_SHADER_MATMUL_MATRIX_F32, .lanes = 256, .rows = {128}, .cols = 128, .needs = GAB_FEATURE_MATRIX, .error = 1e-3f},
    {"dot8_32x32", GAB_SHADER_MATMUL_DOT8_F32, .lanes = 64, .rows = {32}, .cols = 32, .needs = GAB_FEATURE_INT_DOT, .error = 2e-4f, .quantized = true},
    {"dot8_64x64", GAB_SHADER_MATMUL_DOT8_F32, .lanes = 256, .rows = {64}, .cols = 64, .needs = GAB_FEATURE_INT_DOT, .error = 2e-4f, .quantized = true},
};
/* clang-format on */
const uint32_t gab_matmul_n_variant = sizeof gab_matmul_variants / sizeof *gab_matmul_variants;

uint32_t gab_matmul_columns(const gab_kernel_context *context, const gab_matmul *op) {
    return op->of_outs ? context->n_out : context->n_row;
}

/* May the product put keys and values into the cache itself, two rows at a time? */
static bool stores_kv(const gab_kernel_context *context, const gab_matmul *op) {
    const gab_kv_write *kv = op->kv;
    if (!kv || gab_matmul_columns(context, op) > GAB_MATVEC_COLUMNS_MAX ||
        !gab_variant_of(&context->set, GAB_OP_MATVEC + op->weight->type)->pairs)
        return false;
    const uint32_t n = kv->kv.n_head_kv * kv->kv.head_dim;
    bool even = kv->kv.head_dim % 2 == 0 && kv->k_offset % 2 == 0;
    for (uint32_t i = 0; i < op->weight->n_shard; i++) even = even && op->weight->shards[i].first_row % 2 == 0;
    return even && kv->v_offset == kv->k_offset + n && op->weight->n_row == kv->v_offset + n;
}

static void record_shard(const gab_kernel_context *context, const gab_matmul *op, const gab_shard *shard,
                         const gab_variant *variant, uint32_t rows, uint32_t cols) {
    const gab_weight *weight = op->weight;
    const uint32_t n_part = gab_weight_n_part(weight), n_col = gab_matmul_columns(context, op);
    const uint32_t lanes = variant->lanes ? variant->lanes : context->set.lanes;
    const uint32_t group_rows = variant->lane && !variant->across ? lanes * rows : rows;
    const bool kv = stores_kv(context, op);
    gab_matmul_args args = {.n_block = n_part,
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
                            .of_outs = op->of_outs,
                            .weights_low = (uint32_t)shard->slice.address,
                            .weights_high = (uint32_t)(shard->slice.address >> 32),
                            .x_low = (uint32_t)op->x.address,
                            .x_high = (uint32_t)(op->x.address >> 32)};
    gab_dispatch dispatch = {.pipeline = {.shader = gab_shader_of_type(variant->shader, weight->type),
                                          .n_binding = variant->pairs ? 8 : 6,
                                          .spec = {[GAB_SPEC_LANES] = lanes,
                                                   [GAB_SPEC_ROWS] = rows,
                                                   [GAB_SPEC_COLS] = cols,
                                                   [GAB_SPEC_DEPTH] = variant->depth}},
                             .bindings = {context->step, shard->slice, shard->slice, op->x, op->y,
                                          op->bias ? *op->bias : op->y, kv ? op->kv->kv.keys : op->y,
                                          kv ? op->kv->kv.values : op->y},
                             .push = &args,
                             .push_bytes = sizeof args,
                             .cost = 2.0 * shard->n_row * weight->n_col * n_col};
    if (variant->needs & GAB_FEATURE_MATRIX) {
        gab_pipeline_key_use_matrix(&dispatch.pipeline, &context->set.matrix);
        dispatch.pipeline.spec[GAB_SPEC_SUBGROUPS] = lanes / context->set.matrix.lanes;
    }
    if (kv) {
        args.k_offset = op->kv->k_offset;
        args.v_offset = op->kv->v_offset;
        args.n_head_kv = op->kv->kv.n_head_kv;
        args.head_dim = op->kv->kv.head_dim;
        dispatch.pipeline.spec[GAB_SPEC_HEAD_DIM] = gab_head_dim_padded(op->kv->kv.head_dim);
        dispatch.pipeline.spec[GAB_SPEC_KV_F16] = op->kv->kv.f16;
        dispatch.pipeline.spec[GAB_SPEC_KV_STORE] = 1;
    }
    gab_grid_fold((shard->n_row + group_rows - 1) / group_rows, dispatch.groups);
    dispatch.groups[2] = (n_col + cols - 1) / cols;
    gab_record_dispatch(context->recorder, &dispatch);
}

void gab_matmul_record_shards(const gab_kernel_context *context, const gab_matmul *op, const gab_variant *variant,
                              uint32_t rows, uint32_t cols) {
    for (uint32_t i = 0; i < op->weight->n_shard; i++) {
        if (i > 0) gab_record_apart(context->recorder);
        record_shard(context, op, &op->weight->shards[i], variant, rows, cols);
    }
}

gab_operation gab_matmul_operation(gab_dtype type, uint32_t n_col) {
    return (n_col <= GAB_MATVEC_COLUMNS_MAX         ? GAB_OP_MATVEC
            : n_col <= GAB_MATMUL_SMALL_COLUMNS_MAX ? GAB_OP_MATMUL_SMALL
                                                    : GAB_OP_MATMUL) +
           type;
}

void gab_matmul_record(const gab_kernel_context *context, const gab_matmul *op) {
    const uint32_t n_col = gab_matmul_columns(context, op);
    if (n_col <= GAB_MATVEC_COLUMNS_MAX) {
        gab_matvec_record(context, op);
    } else {
        const gab_variant *variant = gab_variant_of(&context->set, gab_matmul_operation(op->weight->type, n_col));
        gab_matmul_record_shards(context, op, variant, variant->rows[0], variant->cols);
    }
    if (!op->kv || stores_kv(context, op)) return;
    gab_record_barrier(context->recorder);
    gab_kv_write_record(context, op->kv);
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
