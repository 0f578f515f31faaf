#include "kernels/matmul.h"

#include <string.h>

#include "kernels/activation.h"
#include "kernels/matvec.h"

/* Of the forms with 8 by 4 sums an invocation, only that of f32 fits the registers of Intel's chips. */
/* clang-format off */
const gab_variant gab_matmul_variants[] = {
    {"lane_1x16", GAB_SHADER_MATMUL_LANE_F32, .lane = true, .rows = {1}, .cols = 16, .depth = 32, .needs = GAB_FEATURE_ADDRESS},
    {"lane_2x12", GAB_SHADER_MATMUL_LANE_F32, .lane = true, .rows = {2}, .cols = 12, .depth = 32, .needs = GAB_FEATURE_ADDRESS},
    {"lane", GAB_SHADER_MATVEC_LANE_F32, .lane = true, .rows = {4}, .cols = 8, .depth = 16, .stand_in = true},
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

static uint32_t weight_count(const gab_matmul *op) {
    return op->n_weight ? op->n_weight : 1;
}

/* Do kernels that store pairs of rows do all of it, with no pair in two shards? */
static bool in_pairs(const gab_kernel_context *context, const gab_matmul *op) {
    bool even = gab_matmul_columns(context, op) <= GAB_MATVEC_COLUMNS_MAX;
    for (uint32_t i = 0; i < weight_count(op); i++) {
        const gab_weight *weight = &op->weight[i];
        even = even && gab_weight_rows(weight) % 2 == 0 &&
               gab_variant_of(&context->set, GAB_OP_MATVEC + weight->type)->pairs;
        for (uint32_t s = 0; s < weight->n_shard; s++) even = even && weight->shards[s].first_row % 2 == 0;
    }
    return even;
}

/* May the product put keys and values into the cache itself, and rotate them? */
static bool stores_kv(const gab_kernel_context *context, const gab_matmul *op) {
    const gab_kv_write *kv = op->kv;
    if (!kv || (op->rope && (op->rope->norm || op->rope->temperature_step > 0)) || !in_pairs(context, op)) return false;
    uint32_t n_row = 0;
    for (uint32_t i = 0; i < weight_count(op); i++) n_row += op->weight[i].n_row;
    const uint32_t n = kv->kv.n_head_kv * kv->kv.head_dim;
    return kv->kv.head_dim % 2 == 0 && kv->k_offset % 2 == 0 && kv->v_offset == kv->k_offset + n &&
           n_row == kv->v_offset + n;
}

/* May it do what op->gated says? */
static bool stores_gated(const gab_kernel_context *context, const gab_matmul *op) {
    return op->gated && op->gated->in_turn && in_pairs(context, op);
}

static void use_kv(const gab_matmul *op, gab_matmul_args *args, gab_dispatch *dispatch) {
    const gab_kv_write *kv = op->kv;
    uint32_t *spec = dispatch->pipeline.spec;
    args->k_offset = kv->k_offset;
    args->v_offset = kv->v_offset;
    args->n_head_kv = kv->kv.n_head_kv;
    args->head_dim = kv->kv.head_dim;
    spec[GAB_SPEC_HEAD_DIM] = gab_head_dim_padded(kv->kv.head_dim);
    spec[GAB_SPEC_KV_F16] = kv->kv.f16;
    spec[GAB_SPEC_KV_STORE] = 1;
    dispatch->bindings[6] = kv->kv.keys;
    dispatch->bindings[7] = kv->kv.values;
    if (!op->rope) return;
    args->n_turn = op->rope->n_turn;
    spec[GAB_SPEC_ROPE] = 1;
    dispatch->bindings[8] = op->rope->table;
}

static void use_gated(const gab_gated *gated, gab_matmul_args *args, gab_dispatch *dispatch) {
    args->activation = gated->activation;
    args->y_stride = gated->y_stride;
    dispatch->pipeline.spec[GAB_SPEC_GATED] = 1;
    dispatch->bindings[4] = gated->y;
}

/* Returns over how many groups the columns of a product with experts go. */
static uint32_t use_experts(const gab_kernel_context *context, const gab_matmul *op, const gab_shard *shard,
                            uint32_t expert_rows, uint32_t cols, gab_matmul_args *args, gab_dispatch *dispatch) {
    const gab_experts *e = op->experts;
    const uint32_t run = context->n_row < GAB_RUN ? context->n_row : GAB_RUN; /* rows of it, at most */
    args->n_used = e->n_used;
    args->x_share = e->shared_x ? e->n_used : 1;
    args->first_expert = shard->first_row / expert_rows;
    args->n_expert = shard->n_row < expert_rows ? 1 : shard->n_row / expert_rows;
    for (uint32_t i = 0; i < weight_count(op); i++) args->n_out += gab_weight_rows(&op->weight[i]);
    args->run_parts = (run + cols - 1) / cols;
    dispatch->pipeline.spec[GAB_SPEC_EXPERTS] = gab_expert_in_runs(context) ? GAB_EXPERTS_RUNS : GAB_EXPERTS_PAIRS;
    dispatch->bindings[dispatch->pipeline.n_binding - 1] = e->route;
    dispatch->cost *= e->n_used;
    return gab_expert_in_runs(context) ? gab_expert_run_max(context, e) * args->run_parts : context->n_row * e->n_used;
}

/* Weights of a row that a LANE kernel has written out: two parts at most, as rows are padded to pairs of them. */
static uint32_t lane_depth(const gab_variant *variant, gab_dtype type) {
    const gab_dtype_info *info = gab_dtype_get(type);
    const uint32_t part = info->grouped ? 32 : info->block_size * 16 / info->plane[0].bytes; /* of 16 bytes */
    return variant->depth < 2 * part ? variant->depth : 2 * part;
}

/* y_first: the weight's first output. */
static void record_shard(const gab_kernel_context *context, const gab_matmul *op, const gab_weight *weight,
                         uint32_t y_first, const gab_shard *shard, const gab_variant *variant, uint32_t rows,
                         uint32_t cols) {
    const uint32_t n_part = gab_weight_n_part(weight), n_col = gab_matmul_columns(context, op);
    const uint32_t lanes = variant->lanes ? variant->lanes : context->set.lanes;
    const bool lane = variant->lane && !variant->across;
    const uint32_t group_rows = lane ? lanes * rows : rows;
    const uint32_t whole = gab_weight_rows(weight), n_row = shard->n_row < whole ? shard->n_row : whole;
    gab_matmul_args args = {.n_block = n_part,
                            .row_vectors = n_part,
                            .scale_offset = shard->scale_offset,
                            .scale_words = (uint32_t)gab_dtype_plane_row_bytes(weight->type, 1, weight->n_col) / 4,
                            .n_row = n_row,
                            .y_first = y_first + shard->first_row % whole,
                            .x_stride = op->x_stride,
                            .y_stride = op->y_stride,
                            .has_bias = op->bias != NULL,
                            .activation = op->activation,
                            .limit = op->limit,
                            .residual = op->residual,
                            .of_outs = op->of_outs,
                            .weights_low = (uint32_t)shard->slice.address,
                            .weights_high = (uint32_t)(shard->slice.address >> 32),
                            .x_low = (uint32_t)op->x.address,
                            .x_high = (uint32_t)(op->x.address >> 32)};
    gab_dispatch dispatch = {
        .pipeline = {.shader = gab_shader_of_type(variant->shader, weight->type),
                     .n_binding = variant->pairs ? 10 : 7,
                     .spec = {[GAB_SPEC_LANES] = lanes,
                              [GAB_SPEC_ROWS] = rows,
                              [GAB_SPEC_COLS] = cols,
                              [GAB_SPEC_DEPTH] = lane ? lane_depth(variant, weight->type) : variant->depth}},
        .bindings = {context->step, shard->slice, shard->slice, op->x, op->y, op->bias ? *op->bias : op->y, op->y,
                     op->y, op->y, op->y},
        .push = &args,
        .push_bytes = sizeof args,
        .cost = 2.0 * n_row * weight->n_col * n_col};
    if (variant->needs & GAB_FEATURE_MATRIX) {
        gab_pipeline_key_use_matrix(&dispatch.pipeline, &context->set.matrix);
        dispatch.pipeline.spec[GAB_SPEC_SUBGROUPS] = lanes / context->set.matrix.lanes;
    }
    if (stores_kv(context, op)) use_kv(op, &args, &dispatch);
    if (stores_gated(context, op)) use_gated(op->gated, &args, &dispatch);
    uint32_t at[3]; /* the grid of rows */
    const uint32_t columns =
        op->experts ? use_experts(context, op, shard, whole, cols, &args, &dispatch) : (n_col + cols - 1) / cols;
    gab_grid_fold((n_row + group_rows - 1) / group_rows, at);
    const uint32_t rows_first[3] = {at[0], at[1], columns}, columns_first[3] = {columns, at[0], at[1]};
    memcpy(dispatch.groups, lane ? columns_first : rows_first, sizeof dispatch.groups); /* lane.glsl says why */
    gab_record_dispatch(context->recorder, &dispatch);
}

void gab_matmul_record_shards(const gab_kernel_context *context, const gab_matmul *op, const gab_weight *weight,
                              uint32_t y_first, const gab_variant *variant, uint32_t rows, uint32_t cols) {
    for (uint32_t i = 0; i < weight->n_shard; i++) {
        if (i > 0 || y_first > 0) gab_record_apart(context->recorder);
        record_shard(context, op, weight, y_first, &weight->shards[i], variant, rows, cols);
    }
}

gab_operation gab_matmul_operation(gab_dtype type, uint32_t n_col) {
    return (n_col <= GAB_MATVEC_COLUMNS_MAX         ? GAB_OP_MATVEC
            : n_col <= GAB_MATMUL_SMALL_COLUMNS_MAX ? GAB_OP_MATMUL_SMALL
                                                    : GAB_OP_MATMUL) +
           type;
}

/* Columns of a product for which a variant is chosen: with experts those of one, on average. */
static uint32_t columns_alike(const gab_kernel_context *context, const gab_matmul *op) {
    const uint32_t n_col = gab_matmul_columns(context, op);
    if (!op->experts || n_col <= GAB_MATVEC_COLUMNS_MAX) return n_col;
    const uint32_t mean = n_col * op->experts->n_used / op->experts->n_expert;
    return mean > GAB_MATVEC_COLUMNS_MAX ? mean : GAB_MATVEC_COLUMNS_MAX + 1;
}

void gab_matmul_record(const gab_kernel_context *context, const gab_matmul *op) {
    const uint32_t n_col = columns_alike(context, op);
    uint32_t y_first = 0;
    for (uint32_t i = 0; i < weight_count(op); y_first += gab_weight_rows(&op->weight[i++])) {
        const gab_weight *weight = &op->weight[i];
        if (n_col <= GAB_MATVEC_COLUMNS_MAX) {
            gab_matvec_record(context, op, weight, y_first);
        } else {
            const gab_variant *variant = gab_variant_of(&context->set, gab_matmul_operation(weight->type, n_col));
            gab_matmul_record_shards(context, op, weight, y_first, variant, variant->rows[0], variant->cols);
        }
    }
    const bool kv = op->kv && !stores_kv(context, op), gated = op->gated && !stores_gated(context, op);
    if (kv || gated) gab_record_barrier(context->recorder);
    if (kv && op->rope) gab_rope_record(context, op->rope, op->kv);
    if (kv && !op->rope) gab_kv_write_record(context, op->kv);
    if (gated) gab_gated_record(context, op->gated);
}

void gab_matmul_reference(const float *w, uint32_t n_row, uint32_t n_col, const float *x, const float *bias,
                          uint32_t activation, bool residual, double *y) {
    for (uint32_t r = 0; r < n_row; r++) {
        double sum = bias ? bias[r] : 0.0;
        for (uint32_t k = 0; k < n_col; k++) sum += (double)w[(size_t)r * n_col + k] * x[k];
        sum = gab_activation_reference(activation, sum, 1);
        y[r] = residual ? y[r] + sum : sum;
    }
}
