/*
 * gpt2.c - GPT-2 and GPT-3 (Radford et al. 2019; Brown et al. 2020): learned positions, LayerNorm before each part, one
 * fused product for queries, keys and values, GELU, biases everywhere, the head tied to the token embedding or apart.
 *
 *   x = wte[token] + wpe[position]
 *   x = x + attention(layernorm_1(x))
 *   x = x + mlp(layernorm_2(x)),  mlp(h) = W_down gelu(W_up h)
 *   logits = W_head layernorm_f(x)
 *
 * GGUF names as llama.cpp writes them; a tied head has no "output.weight".
 */
#include "kernels/gather.h"
#include "kernels/layernorm.h"
#include "kernels/matmul.h"
#include "model/model.h"

typedef struct norm {
    gab_slice weight, bias; /* [n_embd] */
} norm;

typedef struct linear {
    gab_weight weight; /* [out][in] */
    gab_slice bias;    /* [out] */
} linear;

typedef struct gpt2_layer {
    norm norm_1;
    linear qkv; /* [3 n_embd][n_embd] */
    linear out; /* [n_embd][n_embd] */
    norm norm_2;
    linear up;   /* [n_ff][n_embd] */
    linear down; /* [n_embd][n_ff] */
} gpt2_layer;

typedef struct gpt2 {
    gab_weight wte; /* [n_vocab][n_embd] */
    gab_weight wpe; /* [n_ctx][n_embd] */
    gpt2_layer *layers;
    norm norm_f;
    gab_weight head;        /* [n_vocab][n_embd], when not tied */
    const gab_weight *used; /* head or wte */
} gpt2;

/* ---- binding ---- */

static gab_status read_config(const gab_gguf *gguf, const gab_log *log, gab_model_config *c) {
    GAB_TRY(gab_config_u32(gguf, log, 1u << 20, &c->n_ctx, "gpt2.context_length"));
    GAB_TRY(gab_config_u32(gguf, log, 1u << 18, &c->n_embd, "gpt2.embedding_length"));
    GAB_TRY(gab_config_u32(gguf, log, 1u << 20, &c->n_ff, "gpt2.feed_forward_length"));
    GAB_TRY(gab_config_u32(gguf, log, 1024, &c->n_layer, "gpt2.block_count"));
    GAB_TRY(gab_config_u32(gguf, log, c->n_embd, &c->n_head, "gpt2.attention.head_count"));
    GAB_TRY(gab_gguf_require_f32(gguf, "gpt2.attention.layer_norm_epsilon", log, &c->norm_eps));
    if (!(c->norm_eps > 0 && c->norm_eps < 1))
        return gab_fail(log, GAB_ERROR_FORMAT,
                        "%s: gpt2.attention.layer_norm_epsilon is %g, expected a small positive number",
                        gab_gguf_path(gguf), (double)c->norm_eps);
    if (c->n_embd % c->n_head)
        return gab_fail(
            log, GAB_ERROR_FORMAT,
            "%s: gpt2.embedding_length %u is not a multiple of gpt2.attention.head_count %u: the file is damaged",
            gab_gguf_path(gguf), c->n_embd, c->n_head);
    c->n_head_kv = c->n_head;
    c->head_dim = c->n_embd / c->n_head;
    if (c->head_dim > 512)
        return gab_fail(log, GAB_ERROR_UNSUPPORTED, "%s: heads of %u dimensions are not supported, at most 512 are",
                        gab_gguf_path(gguf), c->head_dim);
    const gab_gguf_tensor *wte = gab_gguf_tensor_find(gguf, "token_embd.weight");
    if (!wte)
        return gab_fail(log, GAB_ERROR_FORMAT,
                        "%s has no tensor 'token_embd.weight', which its architecture needs: the file is incomplete; "
                        "download or convert it again",
                        gab_gguf_path(gguf));
    if (wte->n_row > 1u << 22)
        return gab_fail(log, GAB_ERROR_UNSUPPORTED, "%s: a vocabulary of more than 4194304 tokens is not supported",
                        gab_gguf_path(gguf));
    c->n_vocab = (uint32_t)wte->n_row;
    return GAB_OK;
}

static void bind_norm(gab_binder *b, norm *n, uint32_t n_embd, const char *name) {
    gab_bind_vector(b, &n->weight, n_embd, "%s.weight", name);
    gab_bind_vector(b, &n->bias, n_embd, "%s.bias", name);
}

static void bind_linear(gab_binder *b, linear *l, uint32_t n_out, uint32_t n_in, uint32_t layer, const char *name) {
    gab_bind_matrix(b, &l->weight, n_out, n_in, "blk.%u.%s.weight", layer, name);
    gab_bind_vector(b, &l->bias, n_out, "blk.%u.%s.bias", layer, name);
}

static void bind(gab_model *model, gab_binder *b) {
    gpt2 *m = model->parts;
    const gab_model_config *c = &model->config;
    const uint32_t C = c->n_embd;
    m->layers = gab_arena_alloc(&b->arena, c->n_layer, sizeof *m->layers);
    if (!m->layers) {
        b->status = gab_fail(b->log, GAB_ERROR_HOST_MEMORY, "out of host memory for %u layers", c->n_layer);
        return;
    }
    gab_bind_matrix(b, &m->wte, c->n_vocab, C, "token_embd.weight");
    gab_bind_matrix(b, &m->wpe, c->n_ctx, C, "position_embd.weight");
    for (uint32_t i = 0; i < c->n_layer && b->status == GAB_OK; i++) {
        gpt2_layer *l = &m->layers[i];
        gab_bind_vector(b, &l->norm_1.weight, C, "blk.%u.attn_norm.weight", i);
        gab_bind_vector(b, &l->norm_1.bias, C, "blk.%u.attn_norm.bias", i);
        bind_linear(b, &l->qkv, 3 * C, C, i, "attn_qkv");
        bind_linear(b, &l->out, C, C, i, "attn_output");
        gab_bind_vector(b, &l->norm_2.weight, C, "blk.%u.ffn_norm.weight", i);
        gab_bind_vector(b, &l->norm_2.bias, C, "blk.%u.ffn_norm.bias", i);
        bind_linear(b, &l->up, c->n_ff, C, i, "ffn_up");
        bind_linear(b, &l->down, C, c->n_ff, i, "ffn_down");
    }
    bind_norm(b, &m->norm_f, C, "output_norm");
    m->used = &m->wte;
    if (!gab_gguf_tensor_find(b->gguf, "output.weight")) return;
    gab_bind_matrix(b, &m->head, c->n_vocab, C, "output.weight");
    m->used = &m->head;
}

static uint32_t columns_max(const gab_model *model, const gab_weight *weight) {
    const gpt2 *m = model->parts;
    if (weight == m->used) return GAB_OUT_MAX;
    return weight == &m->wte || weight == &m->wpe ? 0 : GAB_ROW_MAX;
}

/* ---- the forward pass; T: rows of the step, C: n_embd, V: n_vocab ---- */

static void barrier(const gab_forward *f) {
    gab_record_barrier(f->kernels.recorder);
}

static void layernorm(const gab_forward *f, const gab_model_config *c, const norm *n, gab_slice x, gab_slice y,
                      bool of_outs) {
    const gab_layernorm op = {.x = x,
                              .y = y,
                              .weight = n->weight,
                              .bias = n->bias,
                              .n_col = c->n_embd,
                              .x_stride = gab_row_stride(c->n_embd),
                              .y_stride = gab_row_stride(c->n_embd),
                              .eps = c->norm_eps,
                              .of_outs = of_outs};
    gab_layernorm_record(&f->kernels, &op);
}

static void matmul(const gab_forward *f, const linear *l, gab_slice x, gab_slice y, uint32_t activation, bool residual,
                   const gab_kv_write *kv) {
    const gab_matmul op = {.weight = &l->weight,
                           .x = x,
                           .y = y,
                           .x_stride = gab_row_stride(l->weight.n_col),
                           .y_stride = gab_row_stride(l->weight.n_row),
                           .bias = &l->bias,
                           .activation = activation,
                           .residual = residual,
                           .kv = kv};
    gab_matmul_record(&f->kernels, &op);
}

static void gather(const gab_forward *f, const gab_weight *table, uint32_t index_kind, bool add, gab_slice y) {
    const gab_gather op = {.table = table,
                           .index_kind = index_kind,
                           .add = add,
                           .sampled = f->sampled,
                           .y = y,
                           .y_stride = gab_row_stride(table->n_col)};
    gab_gather_record(&f->kernels, &op);
}

static void embed(const void *model, const gab_forward *f) {
    const gpt2 *m = ((const gab_model *)model)->parts;
    gather(f, &m->wte, GAB_INDEX_TOKEN, false, f->scratch->x); /* x [T][C] */
    barrier(f);
    gather(f, &m->wpe, GAB_INDEX_POSITION, true, f->scratch->x);
}

static void layer(const void *model, const gab_forward *f, uint32_t i) {
    const gab_model_config *c = &((const gab_model *)model)->config;
    const gpt2_layer *l = &((const gpt2 *)((const gab_model *)model)->parts)->layers[i];
    const gab_scratch *s = f->scratch;
    const uint32_t C = c->n_embd;

    layernorm(f, c, &l->norm_1, s->x, s->normed, false); /* normed [T][C] */
    barrier(f);
    const gab_kv_write write = {
        .kv = f->kv->layers[i], .x = s->qkv, .x_stride = gab_row_stride(3 * C), .k_offset = C, .v_offset = 2 * C};
    matmul(f, &l->qkv, s->normed, s->qkv, GAB_ACTIVATION_NONE, false, &write); /* qkv [T][3 C], k and v to the cache */
    barrier(f);
    const gab_attention attention = {.kv = f->kv->layers[i],
                                     .q = s->qkv,
                                     .y = s->attended,
                                     .q_stride = gab_row_stride(3 * C),
                                     .y_stride = gab_row_stride(C),
                                     .n_head = c->n_head,
                                     .n_piece = f->n_piece,
                                     .n_work = f->n_work,
                                     .pieces = s->pieces};
    gab_attention_record(&f->kernels, &attention); /* attended [T][C] */
    barrier(f);
    matmul(f, &l->out, s->attended, s->x, GAB_ACTIVATION_NONE, true, NULL); /* x [T][C] */
    barrier(f);
    layernorm(f, c, &l->norm_2, s->x, s->normed, false);
    barrier(f);
    matmul(f, &l->up, s->normed, s->hidden, GAB_ACTIVATION_GELU, false, NULL); /* hidden [T][n_ff] */
    barrier(f);
    matmul(f, &l->down, s->hidden, s->x, GAB_ACTIVATION_NONE, true, NULL); /* x [T][C] */
}

static void head(const void *model, const gab_forward *f) {
    const gab_model_config *c = &((const gab_model *)model)->config;
    const gpt2 *m = ((const gab_model *)model)->parts;
    const gab_scratch *s = f->scratch;
    layernorm(f, c, &m->norm_f, s->x, s->out_normed, true); /* out_normed [outs][C] */
    barrier(f);
    const gab_matmul op = {.weight = m->used,
                           .x = s->out_normed,
                           .y = s->logits,
                           .x_stride = gab_row_stride(c->n_embd),
                           .y_stride = gab_row_stride(c->n_vocab),
                           .of_outs = true};
    gab_matmul_record(&f->kernels, &op); /* logits [outs][V] */
}

const gab_architecture gab_gpt2 = {.name = "gpt2",
                                   .parts_bytes = sizeof(gpt2),
                                   .read_config = read_config,
                                   .bind = bind,
                                   .columns_max = columns_max,
                                   .pass = {.embed = embed, .layer = layer, .head = head}};
