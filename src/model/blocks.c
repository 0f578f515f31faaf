#include "model/blocks.h"

#include <stdio.h>

#include "kernels/gather.h"
#include "kernels/layernorm.h"
#include "kernels/rmsnorm.h"

enum { NAME_MAX_BYTES = 64 };

/* ---- binding ---- */

static const char *layer_name(char name[NAME_MAX_BYTES], uint32_t layer, const char *part, const char *what) {
    snprintf(name, NAME_MAX_BYTES, "blk.%u.%s.%s", layer, part, what);
    return name;
}

void *gab_bind_layers(gab_model *model, gab_binder *b, size_t layer_bytes) {
    const uint32_t n = model->config.n_layer;
    void *layers = gab_arena_alloc(&b->arena, n, layer_bytes);
    if (!layers && b->status == GAB_OK)
        b->status = gab_fail(b->log, GAB_ERROR_HOST_MEMORY, "out of host memory for %u layers", n);
    return layers;
}

void gab_bind_token_weights(gab_model *model, gab_binder *b) {
    const gab_model_config *c = &model->config;
    gab_token_weights *v = &model->vocabulary;
    gab_bind_matrix(b, &v->embedding, c->n_vocab, c->n_embd, "token_embd.weight");
    v->used = &v->embedding;
    if (!gab_binder_has(b, "output.weight")) return;
    gab_bind_matrix(b, &v->head, c->n_vocab, c->n_embd, "output.weight");
    v->used = &v->head;
}

void gab_bind_norm(gab_model *model, gab_binder *b, gab_norm *norm, const char *name) {
    gab_bind_vector(b, &norm->weight, model->config.n_embd, "%s.weight", name);
    gab_bind_vector(b, &norm->bias, model->config.n_embd, "%s.bias", name);
}

void gab_bind_layer_norm(gab_model *model, gab_binder *b, gab_norm *norm, uint32_t layer, const char *name) {
    char whole[NAME_MAX_BYTES];
    snprintf(whole, sizeof whole, "blk.%u.%s", layer, name);
    gab_bind_norm(model, b, norm, whole);
}

void gab_bind_linear_parts(gab_binder *b, gab_linear *l, uint32_t n_in, uint32_t layer, const char *const *names,
                           const gab_part *parts, uint32_t n_part) {
    char text[GAB_PART_MAX][NAME_MAX_BYTES];
    gab_part named[GAB_PART_MAX] = {{0}};
    l->n_in = n_in;
    for (uint32_t i = 0; i < n_part; i++) {
        named[i] = parts[i];
        named[i].name = layer_name(text[i], layer, names[i], "weight");
        l->n_out += (uint32_t)(parts[i].n_expert ? parts[i].n / parts[i].n_expert : parts[i].n);
    }
    l->n_weight = gab_bind_parts(b, l->weights, n_in, named, n_part, l->in_turn ? &l->in_turn : NULL);
    l->has_bias = gab_binder_has(b, "blk.%u.%s.bias", layer, names[0]);
    for (uint32_t i = 0; i < n_part; i++) layer_name(text[i], layer, names[i], "bias");
    if (l->has_bias) gab_bind_vector_parts(b, &l->bias, named, n_part, l->in_turn);
}

void gab_bind_linear(gab_binder *b, gab_linear *l, uint32_t n_out, uint32_t n_in, uint32_t layer, const char *name) {
    gab_part part = {.n_tensor = n_out, .n = n_out};
    gab_bind_linear_parts(b, l, n_in, layer, &name, &part, 1);
}

void gab_bind_qkv(gab_model *model, gab_binder *b, gab_linear *l, uint32_t layer) {
    static const char *const fused[] = {"attn_qkv", "attn_qkv", "attn_qkv"};
    const char *apart[] = {"attn_q", "attn_k", "attn_v"};
    const gab_model_config *c = &model->config;
    const gab_kv_shape *kv = &c->kv[layer];
    const uint64_t n[] = {(uint64_t)c->n_head * kv->head_dim, (uint64_t)kv->n_head_kv * kv->head_dim,
                          (uint64_t)kv->n_head_kv * kv->head_dim};
    const bool one = gab_binder_has(b, "blk.%u.attn_qkv.weight", layer);
    gab_part parts[3];
    uint64_t first = 0;
    if (c->keys_as_values && gab_config_window(c, layer) == 0 && !gab_binder_has(b, "blk.%u.attn_v.weight", layer))
        apart[2] = apart[1];
    for (uint32_t i = 0; i < 3; first += n[i++]) {
        parts[i] = (gab_part){.n_tensor = one ? n[0] + n[1] + n[2] : n[i], .first = one ? first : 0, .n = n[i]};
        if (i < 2 && model->architecture->halves) {
            parts[i].head_dim = kv->head_dim;
            parts[i].n_turn = c->rope[gab_config_rope(c, layer)].scaling.n_turn;
        }
    }
    gab_bind_linear_parts(b, l, c->n_embd, layer, one ? fused : apart, parts, gab_config_has_kv(c, layer) ? 3 : 1);
}

static void bind_norm_of_heads(gab_model *model, gab_binder *b, gab_slice *norm, uint32_t n, uint32_t layer,
                               const char *what) {
    const gab_model_config *c = &model->config;
    char name[NAME_MAX_BYTES];
    gab_part part = {.name = layer_name(name, layer, what, "weight"), .n_tensor = n, .n = n};
    if (model->architecture->halves) {
        part.head_dim = c->kv[layer].head_dim;
        part.n_turn = c->rope[gab_config_rope(c, layer)].scaling.n_turn;
    }
    gab_bind_vector_parts(b, norm, &part, 1, false);
}

void gab_bind_qk_norm(gab_model *model, gab_binder *b, gab_qk_norm *norm, bool whole, uint32_t layer) {
    const gab_model_config *c = &model->config;
    norm->on = whole || gab_binder_has(b, "blk.%u.attn_q_norm.weight", layer);
    norm->whole = whole;
    if (!norm->on) return;
    const uint32_t head_dim = c->kv[layer].head_dim;
    bind_norm_of_heads(model, b, &norm->q, whole ? c->n_head * head_dim : head_dim, layer, "attn_q_norm");
    if (gab_config_has_kv(c, layer))
        bind_norm_of_heads(model, b, &norm->k, whole ? c->kv[layer].n_head_kv * head_dim : head_dim, layer,
                           "attn_k_norm");
}

void gab_bind_gate_up(gab_model *model, gab_binder *b, gab_linear *l, uint32_t layer) {
    static const char *const apart[] = {"ffn_gate", "ffn_up"}, *const fused[] = {"ffn_up", "ffn_up"};
    const gab_model_config *c = &model->config;
    const uint64_t n = c->layer_n_ff[layer];
    const bool one = !gab_binder_has(b, "blk.%u.ffn_gate.weight", layer);
    gab_part parts[2];
    for (uint32_t i = 0; i < 2; i++)
        parts[i] = (gab_part){.n_tensor = one ? 2 * n : n, .first = one ? i * n : 0, .n = n};
    l->in_turn = true;
    gab_bind_linear_parts(b, l, c->n_embd, layer, one ? fused : apart, parts, 2);
}

/* ---- recording ---- */

void gab_pass_barrier(const gab_forward *f) {
    gab_record_barrier(f->kernels.recorder);
}

void gab_pass_embed(const gab_model *model, const gab_forward *f, float factor) {
    const gab_gather op = {.table = &model->vocabulary.embedding,
                           .index_kind = GAB_INDEX_TOKEN,
                           .factor = factor,
                           .sampled = f->sampled,
                           .y = f->scratch->x,
                           .y_stride = gab_row_stride(model->config.n_embd)};
    gab_gather_record(&f->kernels, &op);
}

static void layernorm(const gab_model *model, const gab_forward *f, const gab_norm *norm, gab_slice y, bool of_outs) {
    const gab_model_config *c = &model->config;
    const gab_layernorm op = {.x = f->scratch->x,
                              .y = y,
                              .weight = norm->weight,
                              .bias = norm->bias,
                              .n_col = c->n_embd,
                              .x_stride = gab_row_stride(c->n_embd),
                              .y_stride = gab_row_stride(c->n_embd),
                              .eps = c->norm_eps,
                              .of_outs = of_outs};
    gab_layernorm_record(&f->kernels, &op);
}

void gab_pass_layernorm(const gab_model *model, const gab_forward *f, const gab_norm *norm, gab_slice y) {
    layernorm(model, f, norm, y, false);
}

void gab_pass_out_layernorm(const gab_model *model, const gab_forward *f, const gab_norm *norm) {
    layernorm(model, f, norm, f->scratch->out_normed, true);
}

static gab_rmsnorm rmsnorm_op(const gab_model_config *c, gab_slice weight, gab_slice x, gab_slice y) {
    return (gab_rmsnorm){.x = x,
                         .y = y,
                         .weight = weight,
                         .n_col = c->n_embd,
                         .x_stride = gab_row_stride(c->n_embd),
                         .y_stride = gab_row_stride(c->n_embd),
                         .eps = c->norm_eps};
}

void gab_pass_rmsnorm(const gab_model *model, const gab_forward *f, gab_slice weight, gab_slice x, gab_slice y) {
    const gab_rmsnorm op = rmsnorm_op(&model->config, weight, x, y);
    gab_rmsnorm_record(&f->kernels, &op);
}

void gab_pass_rmsnorm_add(const gab_model *model, const gab_forward *f, gab_slice weight, gab_slice y, float factor) {
    gab_rmsnorm op = rmsnorm_op(&model->config, weight, y, f->scratch->x);
    op.add = true;
    op.factor = factor;
    gab_rmsnorm_record(&f->kernels, &op);
}

void gab_pass_out_rmsnorm(const gab_model *model, const gab_forward *f, gab_slice weight) {
    gab_rmsnorm op = rmsnorm_op(&model->config, weight, f->scratch->x, f->scratch->out_normed);
    op.of_outs = true;
    gab_rmsnorm_record(&f->kernels, &op);
}

gab_matmul gab_linear_op(const gab_linear *l, gab_slice x, gab_slice y) {
    return (gab_matmul){.weight = l->weights,
                        .n_weight = l->n_weight,
                        .x = x,
                        .y = y,
                        .x_stride = gab_row_stride(l->n_in),
                        .y_stride = gab_row_stride(l->n_out),
                        .bias = l->has_bias ? &l->bias : NULL};
}

void gab_pass_linear(const gab_forward *f, const gab_linear *l, gab_slice x, gab_slice y, uint32_t activation,
                     bool residual) {
    gab_matmul op = gab_linear_op(l, x, y);
    op.activation = activation;
    op.residual = residual;
    gab_matmul_record(&f->kernels, &op);
}

static uint32_t qkv_stride(const gab_model_config *c, uint32_t layer) {
    const gab_kv_shape *kv = &c->kv[layer];
    return gab_row_stride((c->n_head + (gab_config_has_kv(c, layer) ? 2 * kv->n_head_kv : 0)) * kv->head_dim);
}

/* Norms of all queries, and of all keys, of each row in place. */
static void norm_whole(const gab_model_config *c, const gab_forward *f, const gab_qk_norm *norm, uint32_t layer) {
    const uint32_t n_q = c->n_head * c->kv[layer].head_dim, n_k = c->kv[layer].n_head_kv * c->kv[layer].head_dim;
    gab_rmsnorm op = rmsnorm_op(c, norm->q, f->scratch->qkv, f->scratch->qkv);
    op.n_col = n_q;
    op.x_stride = op.y_stride = qkv_stride(c, layer);
    gab_rmsnorm_record(&f->kernels, &op);
    gab_record_apart(f->kernels.recorder);
    op.weight = norm->k;
    op.x_first = op.y_first = n_q;
    op.n_col = n_k;
    gab_rmsnorm_record(&f->kernels, &op);
}

void gab_pass_qkv(const gab_model *model, const gab_forward *f, const gab_linear *l, const gab_qk_norm *norm,
                  gab_slice x, uint32_t layer) {
    const gab_model_config *c = &model->config;
    const uint32_t i = gab_config_rope(c, layer);
    const bool whole = norm && norm->on && norm->whole;
    const gab_kv_write write = {.kv = f->kv->layers[layer],
                                .x = f->scratch->qkv,
                                .x_stride = qkv_stride(c, layer),
                                .k_offset = c->n_head * c->kv[layer].head_dim,
                                .v_offset = (c->n_head + c->kv[layer].n_head_kv) * c->kv[layer].head_dim};
    gab_rope rope = {.table = gab_buffer_all(&model->rope_tables[i]),
                     .n_turn = c->rope[i].scaling.n_turn,
                     .eps = c->norm_eps,
                     .temperature = c->temperature,
                     .temperature_step = c->temperature_step};
    if (norm && norm->on && !whole) {
        rope.norm = true;
        rope.norm_values = c->norm_values;
        rope.queries_alone = !gab_config_has_kv(c, layer);
        rope.q_norm = norm->q;
        rope.k_norm = norm->k;
    }
    gab_matmul op = gab_linear_op(l, x, f->scratch->qkv);
    if (!whole) {
        op.kv = &write;
        op.rope = c->unrotated[layer] ? NULL : &rope;
    }
    gab_matmul_record(&f->kernels, &op);
    if (!whole) return;
    gab_pass_barrier(f);
    norm_whole(c, f, norm, layer);
    gab_pass_barrier(f);
    gab_rope_record(&f->kernels, &rope, &write);
}

void gab_pass_attention(const gab_model *model, const gab_forward *f, uint32_t layer) {
    gab_pass_attention_sinks(model, f, NULL, layer);
}

void gab_pass_attention_sinks(const gab_model *model, const gab_forward *f, const gab_slice *sinks, uint32_t layer) {
    const gab_model_config *c = &model->config;
    const gab_attention op = {.kv = f->kv->layers[layer],
                              .q = f->scratch->qkv,
                              .y = f->scratch->attended,
                              .q_stride = qkv_stride(c, layer),
                              .y_stride = gab_row_stride(c->n_head * c->kv[layer].head_dim),
                              .n_head = c->n_head,
                              .scale = c->attention_scale,
                              .softcap = c->attention_softcap,
                              .window = gab_config_window(c, layer),
                              .sinks = sinks,
                              .n_piece = f->n_piece,
                              .n_work = f->n_work,
                              .pieces = f->scratch->pieces};
    gab_attention_record(&f->kernels, &op);
}

void gab_pass_gate_up(const gab_forward *f, const gab_linear *l, gab_slice x, uint32_t activation) {
    const uint32_t n = l->n_out / 2;
    const gab_gated gated = {.x = f->scratch->up,
                             .y = f->scratch->hidden,
                             .n = n,
                             .x_stride = gab_row_stride(2 * n),
                             .y_stride = gab_row_stride(n),
                             .in_turn = l->in_turn,
                             .activation = activation};
    gab_matmul op = gab_linear_op(l, x, f->scratch->up);
    op.gated = &gated;
    gab_matmul_record(&f->kernels, &op);
}

void gab_pass_head(const gab_model *model, const gab_forward *f) {
    const gab_model_config *c = &model->config;
    const gab_matmul op = {.weight = model->vocabulary.used,
                           .x = f->scratch->out_normed,
                           .y = f->scratch->logits,
                           .x_stride = gab_row_stride(c->n_embd),
                           .y_stride = gab_row_stride(c->n_vocab),
                           .activation = c->logit_softcap > 0 ? GAB_ACTIVATION_SOFTCAP : GAB_ACTIVATION_NONE,
                           .limit = c->logit_softcap,
                           .of_outs = true};
    gab_matmul_record(&f->kernels, &op);
}
