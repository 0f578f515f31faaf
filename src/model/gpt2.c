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
#include "kernels/matmul.h"
#include "model/blocks.h"

typedef struct linear {
    gab_weight weight; /* [out][in] */
    gab_slice bias;    /* [out] */
} linear;

typedef struct gpt2_layer {
    gab_norm norm_1;
    linear qkv; /* [3 n_embd][n_embd] */
    linear out; /* [n_embd][n_embd] */
    gab_norm norm_2;
    linear up;   /* [n_ff][n_embd] */
    linear down; /* [n_embd][n_ff] */
} gpt2_layer;

typedef struct gpt2 {
    gpt2_layer *layers;
    gab_norm norm_f;
} gpt2;

static const gpt2 *parts_of(const gab_model *model) {
    return model->parts;
}

/* ---- binding ---- */

static gab_status read_config(const gab_gguf *gguf, const gab_log *log, gab_model_config *c) {
    GAB_TRY(gab_config_read_sizes(gguf, log, "attention.layer_norm_epsilon", c));
    if (c->n_head_kv == c->n_head && c->n_head * c->head_dim == c->n_embd) return GAB_OK;
    return gab_fail(log, GAB_ERROR_UNSUPPORTED, "%s: %u heads of %u dimensions, %u of keys, are no GPT-2's of width %u",
                    gab_gguf_path(gguf), c->n_head, c->head_dim, c->n_head_kv, c->n_embd);
}

/* The bias is no choice here. */
static void bind_linear(gab_binder *b, linear *l, uint32_t n_out, uint32_t n_in, uint32_t layer, const char *name) {
    gab_bind_matrix(b, &l->weight, n_out, n_in, "blk.%u.%s.weight", layer, name);
    gab_bind_vector(b, &l->bias, n_out, "blk.%u.%s.bias", layer, name);
}

static void bind(gab_model *model, gab_binder *b) {
    gpt2 *m = model->parts;
    const gab_model_config *c = &model->config;
    const uint32_t C = c->n_embd;
    m->layers = gab_bind_layers(model, b, sizeof *m->layers);
    gab_bind_token_weights(model, b);
    gab_bind_matrix(b, &model->positions, c->n_ctx, C, "position_embd.weight");
    for (uint32_t i = 0; i < c->n_layer && b->status == GAB_OK; i++) {
        gpt2_layer *l = &m->layers[i];
        gab_bind_layer_norm(model, b, &l->norm_1, i, "attn_norm");
        bind_linear(b, &l->qkv, 3 * C, C, i, "attn_qkv");
        bind_linear(b, &l->out, C, C, i, "attn_output");
        gab_bind_layer_norm(model, b, &l->norm_2, i, "ffn_norm");
        bind_linear(b, &l->up, c->n_ff, C, i, "ffn_up");
        bind_linear(b, &l->down, C, c->n_ff, i, "ffn_down");
    }
    gab_bind_norm(model, b, &m->norm_f, "output_norm");
}

/* ---- the forward pass; T: rows of the step, C: n_embd, V: n_vocab ---- */

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

static void embed(const void *model, const gab_forward *f) {
    const gab_weight *positions = &((const gab_model *)model)->positions;
    const gab_gather op = {.table = positions,
                           .index_kind = GAB_INDEX_POSITION,
                           .add = true,
                           .sampled = f->sampled,
                           .y = f->scratch->x,
                           .y_stride = gab_row_stride(positions->n_col)};
    gab_pass_embed(model, f, 1); /* x [T][C] */
    gab_pass_barrier(f);
    gab_gather_record(&f->kernels, &op);
}

static void layer(const void *model, const gab_forward *f, uint32_t i) {
    const gpt2_layer *l = &parts_of(model)->layers[i];
    const gab_scratch *s = f->scratch;
    const uint32_t C = ((const gab_model *)model)->config.n_embd;
    const gab_kv_write write = {
        .kv = f->kv->layers[i], .x = s->qkv, .x_stride = gab_row_stride(3 * C), .k_offset = C, .v_offset = 2 * C};

    gab_pass_layernorm(model, f, &l->norm_1, s->normed); /* normed [T][C] */
    gab_pass_barrier(f);
    matmul(f, &l->qkv, s->normed, s->qkv, GAB_ACTIVATION_NONE, false, &write); /* qkv [T][3 C], k and v to the cache */
    gab_pass_barrier(f);
    gab_pass_attention(model, f, i); /* attended [T][C] */
    gab_pass_barrier(f);
    matmul(f, &l->out, s->attended, s->x, GAB_ACTIVATION_NONE, true, NULL); /* x [T][C] */
    gab_pass_barrier(f);
    gab_pass_layernorm(model, f, &l->norm_2, s->normed);
    gab_pass_barrier(f);
    matmul(f, &l->up, s->normed, s->hidden, GAB_ACTIVATION_GELU, false, NULL); /* hidden [T][n_ff] */
    gab_pass_barrier(f);
    matmul(f, &l->down, s->hidden, s->x, GAB_ACTIVATION_NONE, true, NULL); /* x [T][C] */
}

static void head(const void *model, const gab_forward *f) {
    gab_pass_out_layernorm(model, f, &parts_of(model)->norm_f); /* out_normed [outs][C] */
    gab_pass_barrier(f);
    gab_pass_head(model, f); /* logits [outs][V] */
}

const gab_architecture gab_gpt2 = {.name = "gpt2",
                                   .parts_bytes = sizeof(gpt2),
                                   .read_config = read_config,
                                   .bind = bind,
                                   .pass = {.embed = embed, .layer = layer, .head = head}};
