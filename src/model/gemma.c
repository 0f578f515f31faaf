/*
 * gemma.c - Gemma 2 (Gemma Team 2024) and Gemma 3 (Gemma Team 2025): a norm before and one behind each part, embeddings
 * scaled by the root of the width, a gated feed-forward part with GELU, the head tied to the embedding; layers with a
 * sliding window between layers without one.
 *
 *   x = sqrt(C) wte[token]
 *   x = x + norm_2(W_out attention(W_qkv norm_1(x)))
 *   x = x + norm_4(W_down (gelu(W_gate h) * W_up h)),  h = norm_3(x)
 *   logits = W_head norm_f(x)
 *
 *   gemma2  every other layer has a window; scores and logits are limited by tanh
 *   gemma3  every sixth layer has none, and other rotary positions; norms of queries and keys head by head
 *
 * GGUF names as llama.cpp writes them, with the 1 that Gemma's norms add to their weights already added.
 */
#include <math.h>

#include "model/blocks.h"

typedef struct gemma_layer {
    gab_slice norm_1; /* [C] */
    gab_linear qkv;   /* [Q + 2 K][C] */
    gab_qk_norm qk_norm;
    gab_linear out;           /* [C][Q] */
    gab_slice norm_2, norm_3; /* [C] */
    gab_linear gate_up;       /* [2 F][C] */
    gab_linear down;          /* [C][F] */
    gab_slice norm_4;         /* [C] */
} gemma_layer;

typedef struct gemma {
    gemma_layer *layers;
    gab_slice norm_f; /* [C] */
} gemma;

static const gemma *parts_of(const gab_model *model) {
    return model->parts;
}

/* ---- binding ---- */

/* period: of the layers without a window. n_layer_largest: the largest model of each generation scales scores by its
 * width a head instead of the heads' size; a GGUF file does not say so, its number of layers does. */
static gab_status read_common(const gab_gguf *gguf, const gab_log *log, uint32_t period, uint32_t n_layer_largest,
                              gab_model_config *c) {
    GAB_TRY(gab_config_read_sizes(gguf, log, "attention.layer_norm_rms_epsilon", c));
    GAB_TRY(gab_config_read_rope(gguf, log, c));
    GAB_TRY(gab_config_read_window(gguf, log, period, c));
    c->n_up = 2 * c->n_ff;
    if (c->n_layer == n_layer_largest) c->attention_scale = 1.0f / sqrtf((float)c->n_embd / (float)c->n_head);
    return gab_config_optional_f32(gguf, log, c, "attention.scale", 0, 1e6f, &c->attention_scale);
}

static gab_status read_gemma2(const gab_gguf *gguf, const gab_log *log, gab_model_config *c) {
    c->window = 4096; /* of files without it */
    GAB_TRY(read_common(gguf, log, 2, 46, c));
    c->attention_softcap = 50;
    c->logit_softcap = 30;
    GAB_TRY(gab_config_optional_f32(gguf, log, c, "attn_logit_softcapping", 0, 1e6f, &c->attention_softcap));
    GAB_TRY(gab_config_optional_f32(gguf, log, c, "final_logit_softcapping", 0, 1e6f, &c->logit_softcap));
    return GAB_OK;
}

static gab_status read_gemma3(const gab_gguf *gguf, const gab_log *log, gab_model_config *c) {
    float base = 10000;
    GAB_TRY(read_common(gguf, log, 6, 62, c));
    GAB_TRY(gab_config_optional_f32(gguf, log, c, "attn_logit_softcapping", 0, 1e6f, &c->attention_softcap));
    GAB_TRY(gab_config_optional_f32(gguf, log, c, "final_logit_softcapping", 0, 1e6f, &c->logit_softcap));
    GAB_TRY(gab_config_optional_f32(gguf, log, c, "rope.freq_base_swa", 1.0001f, 1e12f, &base));
    c->rope[1].scaling = (gab_rope_scaling){.n_turn = c->rope[0].scaling.n_turn, .base = (double)base, .magnitude = 1};
    c->n_rope = 2;
    return GAB_OK;
}

static void bind(gab_model *model, gab_binder *b) {
    gemma *m = model->parts;
    const gab_model_config *c = &model->config;
    const uint32_t C = c->n_embd;
    m->layers = gab_bind_layers(model, b, sizeof *m->layers);
    gab_bind_token_weights(model, b);
    for (uint32_t i = 0; i < c->n_layer && b->status == GAB_OK; i++) {
        gemma_layer *l = &m->layers[i];
        gab_bind_vector(b, &l->norm_1, C, "blk.%u.attn_norm.weight", i);
        gab_bind_qkv(model, b, &l->qkv, i);
        gab_bind_qk_norm(model, b, &l->qk_norm, false, i);
        gab_bind_linear(b, &l->out, C, c->n_head * c->head_dim, i, "attn_output");
        gab_bind_vector(b, &l->norm_2, C, "blk.%u.post_attention_norm.weight", i);
        gab_bind_vector(b, &l->norm_3, C, "blk.%u.ffn_norm.weight", i);
        gab_bind_gate_up(model, b, &l->gate_up, i);
        gab_bind_linear(b, &l->down, C, c->layer_n_ff[i], i, "ffn_down");
        gab_bind_vector(b, &l->norm_4, C, "blk.%u.post_ffw_norm.weight", i);
    }
    gab_bind_vector(b, &m->norm_f, C, "output_norm.weight");
}

/* ---- the forward pass ---- */

static void embed(const void *model, const gab_forward *f) {
    const float C = (float)((const gab_model *)model)->config.n_embd;
    gab_pass_embed(model, f, sqrtf(C)); /* x [T][C] */
}

static void layer(const void *model, const gab_forward *f, uint32_t i) {
    const gemma_layer *l = &parts_of(model)->layers[i];
    const gab_scratch *s = f->scratch;

    gab_pass_rmsnorm(model, f, l->norm_1, s->x, s->normed); /* normed [T][C] */
    gab_pass_barrier(f);
    gab_pass_qkv(model, f, &l->qkv, &l->qk_norm, s->normed, i); /* qkv [T][Q + 2 K], rotated; k and v to the cache */
    gab_pass_barrier(f);
    gab_pass_attention(model, f, i); /* attended [T][Q] */
    gab_pass_barrier(f);
    gab_pass_linear(f, &l->out, s->attended, s->normed, GAB_ACTIVATION_NONE, false); /* normed [T][C] */
    gab_pass_barrier(f);
    gab_pass_rmsnorm_add(model, f, l->norm_2, s->normed, 1); /* x [T][C] */
    gab_pass_barrier(f);
    gab_pass_rmsnorm(model, f, l->norm_3, s->x, s->normed);
    gab_pass_barrier(f);
    gab_pass_gate_up(f, &l->gate_up, s->normed, GAB_ACTIVATION_GELU); /* hidden [T][F] */
    gab_pass_barrier(f);
    gab_pass_linear(f, &l->down, s->hidden, s->normed, GAB_ACTIVATION_NONE, false);
    gab_pass_barrier(f);
    gab_pass_rmsnorm_add(model, f, l->norm_4, s->normed, 1); /* x [T][C] */
}

static void head(const void *model, const gab_forward *f) {
    gab_pass_out_rmsnorm(model, f, parts_of(model)->norm_f); /* out_normed [outs][C] */
    gab_pass_barrier(f);
    gab_pass_head(model, f); /* logits [outs][V] */
}

const gab_architecture gab_gemma2 = {.name = "gemma2",
                                     .halves = true,
                                     .parts_bytes = sizeof(gemma),
                                     .read_config = read_gemma2,
                                     .bind = bind,
                                     .pass = {.embed = embed, .layer = layer, .head = head}};

const gab_architecture gab_gemma3 = {.name = "gemma3",
                                     .halves = true,
                                     .parts_bytes = sizeof(gemma),
                                     .read_config = read_gemma3,
                                     .bind = bind,
                                     .pass = {.embed = embed, .layer = layer, .head = head}};
