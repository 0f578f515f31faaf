#include "kernels/attention_merge.h"

#include <math.h>

void gab_attention_merge_record(const gab_kernel_context *context, const gab_attention *op) {
    const uint32_t lanes = context->set.lanes;
    const gab_attention_args args = {.n_head = op->n_head,
                                     .head_dim = op->kv.head_dim,
                                     .y_stride = op->y_stride,
                                     .n_piece = op->n_piece,
                                     .window = op->window};
    const gab_dispatch dispatch = {.pipeline = {.shader = GAB_SHADER_ATTENTION_MERGE,
                                                .n_binding = 4,
                                                .spec = {[GAB_SPEC_LANES] = lanes,
                                                         [GAB_SPEC_HEAD_DIM] = gab_head_dim_padded(op->kv.head_dim),
                                                         [GAB_SPEC_SINKS] = op->sinks != NULL}},
                                   .bindings = {context->step, op->pieces, op->y, op->sinks ? *op->sinks : op->pieces},
                                   .push = &args,
                                   .push_bytes = sizeof args,
                                   .groups = {op->n_head, context->n_row, 1}};
    gab_record_dispatch(context->recorder, &dispatch);
}

void gab_attention_merge_reference(const float *pieces, uint32_t n, uint32_t head_dim, uint32_t head_dim_padded,
                                   double *y) {
    const uint32_t stride = head_dim_padded + 2;
    double largest = -INFINITY, sum = 0;
    for (uint32_t i = 0; i < n; i++) largest = fmax(largest, pieces[(size_t)i * stride]);
    for (uint32_t i = 0; i < n; i++) sum += exp(pieces[(size_t)i * stride] - largest) * pieces[(size_t)i * stride + 1];
    for (uint32_t d = 0; d < head_dim; d++) {
        y[d] = 0;
        for (uint32_t i = 0; i < n; i++) {
            const float *piece = pieces + (size_t)i * stride;
            y[d] += exp(piece[0] - largest) * piece[2 + d] / sum;
        }
    }
}
