#include "kernels/attention.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/attention_merge.h"
#include "kernels/matmul.h"
#include "tensor/quant.h"

const gab_variant gab_attention_decode_variants[] = {
    {.name = "lane", .shader = GAB_SHADER_ATTENTION_LANE, .lane = true},
    {.name = "group", .shader = GAB_SHADER_ATTENTION_GROUP},
};
const uint32_t gab_attention_decode_n_variant =
    sizeof gab_attention_decode_variants / sizeof *gab_attention_decode_variants;

const gab_variant gab_attention_prefill_variants[] = {
    {.name = "lane", .shader = GAB_SHADER_ATTENTION_LANE, .lane = true},
    {.name = "group", .shader = GAB_SHADER_ATTENTION_GROUP},
};
const uint32_t gab_attention_prefill_n_variant =
    sizeof gab_attention_prefill_variants / sizeof *gab_attention_prefill_variants;

bool gab_attention_is_decode(const gab_kernel_context *context) {
    return context->n_row <= GAB_MATVEC_COLUMNS_MAX;
}

/* Invocations a group of the LANE kernels. */
static uint32_t lane_lanes(const gab_kernel_set *set) {
    return set->lanes < 16 ? set->lanes : 16;
}

uint32_t gab_attention_rows_max(const gab_kernel_set *set, uint32_t depth) {
    const uint32_t lane_depth_max = 16384;
    return gab_variant_of(set, GAB_OP_ATTENTION_PREFILL)->lane && depth > lane_depth_max ? GAB_MATVEC_COLUMNS_MAX
                                                                                         : GAB_ROW_MAX;
}

uint32_t gab_attention_tile_rows(const gab_kernel_set *set, uint32_t head_dim) {
    if (gab_variant_of(set, GAB_OP_ATTENTION_PREFILL)->lane) return lane_lanes(set);
    return head_dim <= 128   ? 8
           : head_dim <= 256 ? 4
                             : 1; /* queries and probabilities stay below 8 KiB of shared memory */
}

uint64_t gab_attention_pieces_bytes(uint32_t n_row, uint32_t n_head, uint32_t head_dim, uint32_t n_piece) {
    return (uint64_t)n_row * n_head * n_piece * (gab_head_dim_padded(head_dim) + 2) * sizeof(float);
}

void gab_attention_record(const gab_kernel_context *context, const gab_attention *op) {
    const bool decode = gab_attention_is_decode(context);
    const gab_variant *variant =
        gab_variant_of(&context->set, decode ? GAB_OP_ATTENTION_DECODE : GAB_OP_ATTENTION_PREFILL);
    const bool lane = variant->lane;
    const uint32_t lanes = lane_lanes(&context->set);
    const gab_attention_args args = {.n_head = op->n_head,
                                     .n_head_kv = op->kv.n_head_kv,
                                     .head_dim = op->kv.head_dim,
                                     .x_stride = op->q_stride,
                                     .y_stride = op->y_stride,
                                     .n_piece = op->n_piece,
                                     .scale = 1.0f / sqrtf((float)op->kv.head_dim)};
    gab_dispatch dispatch = {
        .pipeline = {.shader = variant->shader,
                     .n_binding = 5,
                     .spec = {[GAB_SPEC_LANES] = lane ? lanes : 0,
                              [GAB_SPEC_ROWS] = lane     ? 0
                                                : decode ? 1
                                                         : gab_attention_tile_rows(&context->set, op->kv.head_dim),
                              [GAB_SPEC_HEAD_DIM] = gab_head_dim_padded(op->kv.head_dim),
                              [GAB_SPEC_KV_F16] = op->kv.f16,
                              [GAB_SPEC_DECODE] = decode}},
        .bindings = {context->step, op->q, op->kv.keys, op->kv.values, decode ? op->pieces : op->y},
        .push = &args,
        .push_bytes = sizeof args};
    dispatch.groups[0] = lane && decode ? (op->n_head + lanes - 1) / lanes : op->n_head;
    dispatch.groups[1] = decode ? op->n_piece : op->n_work;
    dispatch.groups[2] = decode ? context->n_row : 1;
    dispatch.cost = 4.0 * context->n_row * op->n_head * op->kv.head_dim * op->n_piece * GAB_PIECE;
    gab_record_dispatch(context->recorder, &dispatch);
    if (!decode) return;
    gab_record_barrier(context->recorder);
    gab_attention_merge_record(context, op);
}

static double kv_element(const uint32_t *words, size_t vector, uint32_t d, bool f16) {
    if (f16) return (double)gab_f16_to_f32((uint16_t)(words[vector + d / 2] >> (d % 2 * 16)));
    float value;
    memcpy(&value, &words[vector + d], sizeof value);
    return value;
}

void gab_attention_reference(const gab_kv_layer *kv, uint32_t n_head, const float *q, const uint32_t *page_table,
                             uint32_t position, const uint32_t *keys, const uint32_t *values, double *y) {
    const uint32_t head_dim = kv->head_dim, padded = gab_head_dim_padded(head_dim);
    const size_t words = kv->f16 ? padded / 2 : padded;
    double *scores = calloc((size_t)position + 1, sizeof *scores);
    if (!scores) return;
    for (uint32_t h = 0; h < n_head; h++) {
        const uint32_t kv_head = h / (n_head / kv->n_head_kv);
        double largest = -INFINITY, sum = 0;
        for (uint32_t t = 0; t <= position; t++) {
            size_t at =
                (((size_t)page_table[t / GAB_PAGE] * kv->n_head_kv + kv_head) * GAB_PAGE + t % GAB_PAGE) * words;
            scores[t] = 0;
            for (uint32_t d = 0; d < head_dim; d++) scores[t] += q[h * head_dim + d] * kv_element(keys, at, d, kv->f16);
            scores[t] /= sqrt(head_dim);
            largest = fmax(largest, scores[t]);
        }
        for (uint32_t t = 0; t <= position; t++) sum += scores[t] = exp(scores[t] - largest);
        for (uint32_t d = 0; d < head_dim; d++) {
            double value = 0;
            for (uint32_t t = 0; t <= position; t++) {
                size_t at =
                    (((size_t)page_table[t / GAB_PAGE] * kv->n_head_kv + kv_head) * GAB_PAGE + t % GAB_PAGE) * words;
                value += scores[t] * kv_element(values, at, d, kv->f16);
            }
            y[h * head_dim + d] = value / sum;
        }
    }
    free(scores);
}
