#include "kernels/attention.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/attention_merge.h"
#include "kernels/matmul.h"
#include "tensor/quant.h"

/* rows: the most query heads a group; cols: 16-byte loads under way with one head. */
const gab_variant gab_attention_decode_variants[] = {
    {.name = "across",
     .shader = GAB_SHADER_ATTENTION_DECODE_ACROSS,
     .lane = true,
     .across = true,
     .rows = {4},
     .needs = GAB_FEATURE_ADDRESS | GAB_FEATURE_SHUFFLE | GAB_FEATURE_HALVES},
    {.name = "lane", .shader = GAB_SHADER_ATTENTION_LANE, .lane = true, .stand_in = true},
    {.name = "group_128", .shader = GAB_SHADER_ATTENTION_DECODE_GROUP, .lanes = 128, .rows = {4}, .cols = 8},
    {.name = "group_64", .shader = GAB_SHADER_ATTENTION_DECODE_GROUP, .lanes = 64, .rows = {4}, .cols = 8},
    {.name = "group_256", .shader = GAB_SHADER_ATTENTION_DECODE_GROUP, .lanes = 256, .rows = {2}, .cols = 8},
};
const uint32_t gab_attention_decode_n_variant =
    sizeof gab_attention_decode_variants / sizeof *gab_attention_decode_variants;

/* rows: of a tile, with a head_dim of 128 at most. */
const gab_variant gab_attention_prefill_variants[] = {
    {.name = "across",
     .shader = GAB_SHADER_ATTENTION_PREFILL_ACROSS,
     .lane = true,
     .across = true,
     .rows = {2},
     .cols = 4,
     .needs = GAB_FEATURE_ADDRESS | GAB_FEATURE_SHUFFLE | GAB_FEATURE_HALVES},
    {.name = "lane", .shader = GAB_SHADER_ATTENTION_LANE, .lane = true, .stand_in = true},
    {.name = "tiled_32", .shader = GAB_SHADER_ATTENTION_PREFILL_GROUP, .lanes = 128, .rows = {32}},
    {.name = "tiled_16", .shader = GAB_SHADER_ATTENTION_PREFILL_GROUP, .lanes = 64, .rows = {16}},
    {.name = "matrix",
     .shader = GAB_SHADER_ATTENTION_PREFILL_MATRIX,
     .rows = {32},
     .needs = GAB_FEATURE_MATRIX,
     .error = 1e-3f},
};
const uint32_t gab_attention_prefill_n_variant =
    sizeof gab_attention_prefill_variants / sizeof *gab_attention_prefill_variants;

bool gab_attention_is_decode(const gab_kernel_context *context) {
    return context->n_row <= GAB_MATVEC_COLUMNS_MAX;
}

/* The set's variant, or for heads above 256 dimensions, of which the LANE kernels would hold too much in registers to
 * be compiled in reasonable time, the first of the GROUP family. */
static const gab_variant *variant_for(const gab_kernel_set *set, gab_operation operation, uint32_t head_dim) {
    const uint32_t lane_head_dim_max = 256;
    uint32_t n;
    const gab_variant *variant = gab_variant_of(set, operation);
    if (!variant->lane || head_dim <= lane_head_dim_max) return variant;
    variant = gab_variants(operation, &n);
    while (variant->lane) variant++;
    return variant;
}

/* Invocations a group of the LANE kernels. */
static uint32_t lane_lanes(const gab_kernel_set *set) {
    return set->lanes < 16 ? set->lanes : 16;
}

uint32_t gab_attention_rows_max(const gab_kernel_set *set, uint32_t depth) {
    const gab_variant *variant = gab_variant_of(set, GAB_OP_ATTENTION_PREFILL);
    const uint32_t depth_max = !variant->lane ? UINT32_MAX : variant->across ? 131072 : 16384;
    return depth > depth_max ? GAB_MATVEC_COLUMNS_MAX : GAB_ROW_MAX;
}

static bool is_matrix(const gab_variant *variant) {
    return variant->needs & GAB_FEATURE_MATRIX;
}

/* How the matrix kernel works on heads of a size. */
typedef struct matrix_plan {
    uint32_t rows; /* of a tile; 0: another variant, or the device's matrices do not fit */
    uint32_t subgroups;
} matrix_plan;

/* Two tiles of queries where 16 KiB of shared memory hold them, as many subgroups as leave a lane 32 sums. */
static matrix_plan plan_matrix(const gab_kernel_set *set, const gab_variant *variant, uint32_t head_dim) {
    if (!is_matrix(variant)) return (matrix_plan){0};
    const gab_matrix_shape *shape = &set->matrix;
    const uint32_t padded = gab_head_dim_padded(head_dim), lane_sums_max = 32, queries_bytes_max = 16384;
    matrix_plan plan = {.rows = 2 * shape->m, .subgroups = 4};
    if (plan.rows * padded * 4 > queries_bytes_max) plan.rows = shape->m;
    while (plan.subgroups < 16 && (padded / shape->n + plan.subgroups - 1) / plan.subgroups * shape->n * plan.rows >
                                      lane_sums_max * shape->lanes)
        plan.subgroups *= 2;
    const uint32_t lanes = plan.subgroups * shape->lanes, sums = plan.rows * padded / lanes;
    const bool fits = padded % shape->n == 0 && padded % shape->k == 0 && shape->n % 8 == 0 && shape->n <= 16 &&
                      shape->k % 8 == 0 && shape->k <= 2 * plan.rows && GAB_PAGE % shape->k == 0 && lanes <= 256 &&
                      lanes % plan.rows == 0 && lanes / plan.rows <= 16 && sums <= lane_sums_max &&
                      plan.rows * padded * 4 <= queries_bytes_max;
    return fits ? plan : (matrix_plan){0};
}

uint32_t gab_attention_tile_rows(const gab_kernel_set *set, uint32_t head_dim) {
    const gab_variant *variant = variant_for(set, GAB_OP_ATTENTION_PREFILL, head_dim);
    if (variant->across) return set->lanes * variant->rows[0];
    if (variant->lane) return lane_lanes(set);
    const matrix_plan matrix = plan_matrix(set, variant, head_dim);
    if (matrix.rows) return matrix.rows;
    return variant->rows[0] / (head_dim <= 128 ? 1 : head_dim <= 256 ? 2 : 4); /* sums stay in registers */
}

void gab_attention_add_tiles(gab_step *step, uint32_t slot, uint32_t first_row, uint32_t n_row, uint32_t first_position,
                             uint32_t tile_rows) {
    for (uint32_t i = 0; i < n_row; i += tile_rows)
        step->works[step->n_work++] = (gab_step_work){.slot = slot,
                                                      .first_row = first_row + i,
                                                      .n_row = n_row - i < tile_rows ? n_row - i : tile_rows,
                                                      .first_position = first_position + i};
}

uint64_t gab_attention_pieces_bytes(uint32_t n_row, uint32_t n_head, uint32_t head_dim, uint32_t n_piece) {
    return (uint64_t)n_row * n_head * n_piece * (gab_head_dim_padded(head_dim) + 2) * sizeof(float);
}

static void record_decode(const gab_kernel_context *context, const gab_attention *op, const gab_attention_args *args) {
    const gab_variant *variant = variant_for(&context->set, GAB_OP_ATTENTION_DECODE, op->kv.head_dim);
    const uint32_t padded = gab_head_dim_padded(op->kv.head_dim), heads = op->n_head / op->kv.n_head_kv;
    gab_dispatch dispatch = {.pipeline = {.shader = variant->shader,
                                          .n_binding = 6,
                                          .spec = {[GAB_SPEC_HEAD_DIM] = padded,
                                                   [GAB_SPEC_KV_F16] = op->kv.f16,
                                                   [GAB_SPEC_WINDOW] = op->window > 0,
                                                   [GAB_SPEC_SOFTCAP] = op->softcap > 0,
                                                   [GAB_SPEC_SINKS] = op->sinks != NULL}},
                             .bindings = {context->step, op->q, op->kv.keys, op->kv.values,
                                          op->n_piece == 1 ? op->y : op->pieces, op->sinks ? *op->sinks : op->q},
                             .push = args,
                             .push_bytes = sizeof *args,
                             .groups = {0, op->n_piece, context->n_row},
                             .cost = 4.0 * context->n_row * op->n_head * op->kv.head_dim * op->n_piece * GAB_PIECE};
    uint32_t *spec = dispatch.pipeline.spec;
    if (variant->lane && !variant->across) {
        spec[GAB_SPEC_LANES] = lane_lanes(&context->set);
        spec[GAB_SPEC_DECODE] = true;
        dispatch.groups[0] = (op->n_head + spec[GAB_SPEC_LANES] - 1) / spec[GAB_SPEC_LANES];
    } else { /* heads that share keys in blocks, as equal as can be */
        const uint32_t n_block = (heads + variant->rows[0] - 1) / variant->rows[0];
        spec[GAB_SPEC_ROWS] = (heads + n_block - 1) / n_block;
        dispatch.groups[0] = op->kv.n_head_kv * n_block;
    }
    if (variant->across) {
        spec[GAB_SPEC_LANES] = context->set.lanes;
    } else if (!variant->lane) {
        const uint32_t key_vectors = op->kv.f16 ? padded / 8 : padded / 4;
        spec[GAB_SPEC_LANES] = variant->lanes;
        while (spec[GAB_SPEC_LANES] < key_vectors) spec[GAB_SPEC_LANES] *= 2;
        spec[GAB_SPEC_COLS] = spec[GAB_SPEC_ROWS] == 1 ? variant->cols : variant->cols / 2;
    }
    gab_record_dispatch(context->recorder, &dispatch);
    if (op->n_piece == 1) return;
    gab_record_barrier(context->recorder);
    gab_attention_merge_record(context, op);
}

static void record_prefill(const gab_kernel_context *context, const gab_attention *op, const gab_attention_args *args) {
    const gab_kernel_set *set = &context->set;
    const gab_variant *variant = variant_for(set, GAB_OP_ATTENTION_PREFILL, op->kv.head_dim);
    const uint32_t head_dim = op->kv.head_dim, rows = gab_attention_tile_rows(set, head_dim);
    const matrix_plan matrix = plan_matrix(set, variant, head_dim);
    gab_dispatch dispatch = {
        .pipeline = {.shader = variant->shader,
                     .n_binding = 6,
                     .spec = {[GAB_SPEC_LANES] = variant->lanes,
                              [GAB_SPEC_ROWS] = rows,
                              [GAB_SPEC_HEAD_DIM] = gab_head_dim_padded(head_dim),
                              [GAB_SPEC_KV_F16] = op->kv.f16,
                              [GAB_SPEC_WINDOW] = op->window > 0,
                              [GAB_SPEC_SOFTCAP] = op->softcap > 0,
                              [GAB_SPEC_SINKS] = op->sinks != NULL}},
        .bindings = {context->step, op->q, op->kv.keys, op->kv.values, op->y, op->sinks ? *op->sinks : op->q},
        .push = args,
        .push_bytes = sizeof *args,
        .groups = {op->n_head, op->n_work, 1},
        .cost = 4.0 * context->n_row * op->n_head * head_dim * op->n_piece * GAB_PIECE};
    uint32_t *spec = dispatch.pipeline.spec;
    if (variant->across) {
        spec[GAB_SPEC_LANES] = set->lanes;
        spec[GAB_SPEC_ROWS] = variant->rows[0];
        spec[GAB_SPEC_COLS] = variant->cols;
    } else if (variant->lane) {
        spec[GAB_SPEC_LANES] = rows;
        spec[GAB_SPEC_ROWS] = 0;
    } else if (matrix.rows && op->kv.f16) {
        spec[GAB_SPEC_COLS] = matrix.subgroups;
        spec[GAB_SPEC_LANES] = matrix.subgroups * set->matrix.lanes;
        spec[GAB_SPEC_KV_F16] = 0;
        gab_pipeline_key_use_matrix(&dispatch.pipeline, &set->matrix);
    } else if (is_matrix(variant)) { /* f32 keys, or heads that matrices do not fit */
        dispatch.pipeline.shader = GAB_SHADER_ATTENTION_PREFILL_GROUP;
        spec[GAB_SPEC_LANES] = 128;
    }
    gab_record_dispatch(context->recorder, &dispatch);
}

static float scale_of(const gab_attention *op) {
    return op->scale > 0 ? op->scale : 1.0f / sqrtf((float)op->kv.head_dim);
}

void gab_attention_record(const gab_kernel_context *context, const gab_attention *op) {
    const gab_attention_args args = {.n_head = op->n_head,
                                     .n_head_kv = op->kv.n_head_kv,
                                     .head_dim = op->kv.head_dim,
                                     .x_stride = op->q_stride,
                                     .y_stride = op->y_stride,
                                     .n_piece = op->n_piece,
                                     .scale = scale_of(op),
                                     .softcap = op->softcap,
                                     .window = op->window,
                                     .keys_low = (uint32_t)op->kv.keys.address,
                                     .keys_high = (uint32_t)(op->kv.keys.address >> 32),
                                     .values_low = (uint32_t)op->kv.values.address,
                                     .values_high = (uint32_t)(op->kv.values.address >> 32)};
    if (gab_attention_is_decode(context))
        record_decode(context, op, &args);
    else
        record_prefill(context, op, &args);
}

static double kv_element(const uint32_t *words, size_t vector, uint32_t d, bool f16) {
    if (f16) return (double)gab_f16_to_f32((uint16_t)(words[vector + d / 2] >> (d % 2 * 16)));
    float value;
    memcpy(&value, &words[vector + d], sizeof value);
    return value;
}

void gab_attention_reference(const gab_attention *op, const float *q, const uint32_t *page_table, uint32_t position,
                             const float *sinks, const uint32_t *keys, const uint32_t *values, double *y) {
    const gab_kv_layer *kv = &op->kv;
    const uint32_t head_dim = kv->head_dim, padded = gab_head_dim_padded(head_dim);
    const uint32_t first = op->window > 0 && position >= op->window ? position + 1 - op->window : 0;
    const double scale = op->scale > 0 ? (double)op->scale : 1 / sqrt(head_dim);
    const size_t words = kv->f16 ? padded / 2 : padded;
    double *scores = calloc((size_t)position + 1, sizeof *scores);
    if (!scores) return;
    for (uint32_t h = 0; h < op->n_head; h++) {
        const uint32_t kv_head = h / (op->n_head / kv->n_head_kv);
        double largest = -INFINITY, sum = 0;
        for (uint32_t t = first; t <= position; t++) {
            size_t at =
                (((size_t)page_table[t / GAB_PAGE] * kv->n_head_kv + kv_head) * GAB_PAGE + t % GAB_PAGE) * words;
            double score = 0;
            for (uint32_t d = 0; d < head_dim; d++) score += q[h * head_dim + d] * kv_element(keys, at, d, kv->f16);
            score *= scale;
            scores[t] = op->softcap > 0 ? op->softcap * tanh(score / op->softcap) : score;
            largest = fmax(largest, scores[t]);
        }
        for (uint32_t t = first; t <= position; t++) sum += scores[t] = exp(scores[t] - largest);
        if (sinks) sum += exp((double)sinks[h] - largest);
        for (uint32_t d = 0; d < head_dim; d++) {
            double value = 0;
            for (uint32_t t = first; t <= position; t++) {
                size_t at =
                    (((size_t)page_table[t / GAB_PAGE] * kv->n_head_kv + kv_head) * GAB_PAGE + t % GAB_PAGE) * words;
                value += scores[t] * kv_element(values, at, d, kv->f16);
            }
            y[h * head_dim + d] = value / sum;
        }
    }
    free(scores);
}
