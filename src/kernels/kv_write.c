#include "kernels/kv_write.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "tensor/quant.h"

void gab_kv_write_record(const gab_kernel_context *context, const gab_kv_write *op) {
    const uint32_t padded = gab_head_dim_padded(op->kv.head_dim), lanes = context->set.lanes;
    const uint32_t words = op->kv.n_head_kv * (op->kv.f16 ? padded / 2 : padded);
    const gab_kv_write_args args = {.n_head_kv = op->kv.n_head_kv,
                                    .head_dim = op->kv.head_dim,
                                    .head_dim_padded = padded,
                                    .k_offset = op->k_offset,
                                    .v_offset = op->v_offset,
                                    .x_stride = op->x_stride};
    const gab_dispatch dispatch = {
        .pipeline = {.shader = GAB_SHADER_KV_WRITE,
                     .n_binding = 4,
                     .spec = {[GAB_SPEC_LANES] = lanes, [GAB_SPEC_HEAD_DIM] = padded, [GAB_SPEC_KV_F16] = op->kv.f16}},
        .bindings = {context->step, op->x, op->kv.keys, op->kv.values},
        .push = &args,
        .push_bytes = sizeof args,
        .groups = {(words + lanes - 1) / lanes, context->n_row, 1}};
    gab_record_dispatch(context->recorder, &dispatch);
}

static float finite(float value, float largest) {
    return isnan(value) ? 0 : fminf(fmaxf(value, -largest), largest);
}

static uint32_t word_of(const float *x, uint32_t head_dim, uint32_t word, bool f16) {
    uint32_t bits = 0;
    if (!f16) {
        const float value = word < head_dim ? finite(x[word], FLT_MAX) : 0.0f;
        memcpy(&bits, &value, sizeof bits);
        return bits;
    }
    for (uint32_t i = 0; i < 2; i++) {
        const float value = 2 * word + i < head_dim ? finite(x[2 * word + i], 65504.0f) : 0.0f;
        bits |= (uint32_t)gab_f32_to_f16(value) << (16 * i);
    }
    return bits;
}

void gab_kv_write_reference(const gab_kv_layer *kv, const float *k, const float *v, const uint32_t *page_table,
                            uint32_t position, uint32_t *keys, uint32_t *values) {
    uint32_t padded = gab_head_dim_padded(kv->head_dim), words = kv->f16 ? padded / 2 : padded;
    for (uint32_t h = 0; h < kv->n_head_kv; h++)
        for (uint32_t w = 0; w < words; w++) {
            size_t page = page_table[position / GAB_PAGE];
            size_t at = ((page * kv->n_head_kv + h) * GAB_PAGE + position % GAB_PAGE) * words + w;
            keys[at] = word_of(k + (size_t)h * kv->head_dim, kv->head_dim, w, kv->f16);
            values[at] = word_of(v + (size_t)h * kv->head_dim, kv->head_dim, w, kv->f16);
        }
}
