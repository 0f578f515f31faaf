/*
 * olmo2.c - OLMo 2 (OLMo Team 2024): Llama with the norms behind the parts instead of before them, and norms of all
 * queries and all keys of a row together.
 *
 *   x = wte[token]
 *   x = x + norm_1(W_out attention(norms of q, k (W_qkv x)))
 *   x = x + norm_2(W_down (silu(W_gate x) * W_up x))
 *   logits = W_head norm_f(x)
 *
 * GGUF names as llama.cpp writes them.
 */
#include "model/blocks.h"

typedef struct olmo2_layer {
    gab_linear qkv;      /* [Q + 2 K][C] */
    gab_qk_norm qk_norm; /* whole */
    gab_linear out;      /* [C][Q] */
    gab_slice norm_1;    /* [C] */
    gab_linear gate_up;  /* [2 F][C] */
    gab_linear down;     /* [C][F] */
    gab_slice norm_2;    /* [C] */
} olmo2_layer;

typedef struct olmo2 {
    olmo2_layer *layers;
    gab_slice norm_f; /* [C] */
} olmo2;

static const olmo2 *parts_of(const gab_model *model) {
    return model->parts;
}

/* ---- binding ---- */

static gab_status read_config(const gab_gguf *gguf, const gab_log *log, gab_model_config *c) {
    GAB_TRY(gab_config_read_sizes(gguf, log, "attention.layer_norm_rms_epsilon", c));
    GAB_TRY(gab_config_read_rope(gguf, log, c));
    GAB_TRY(gab_config_read_window(gguf, log, 0, c));
    if (c->window > 0)
        return gab_fail(log, GAB_ERROR_UNSUPPORTED,
                        "%s: %s.attention.sliding_window is %u: this is OLMo 3, which is not supported",
                        gab_gguf_path(gguf), c->architecture, c->window);
    c->n_up = 2 * c->n_ff;
    return GAB_OK;
}

static void bind(gab_model *model, gab_binder *b) {
    olmo2 *m = model->parts;
    const gab_model_config *c = &model->config;
    const uint32_t C = c->n_embd;
    m->layers = gab_bind_layers(model, b, sizeof *m->layers);
    gab_bind_token_weights(model, b);
    for (uint32_t i = 0; i < c->n_layer && b->status == GAB_OK; i++) {
        olmo2_layer *l = &m->layers[i];
        gab_bind_qkv(model, b, &l->qkv, i);
        gab_bind_qk_norm(model, b, &l->qk_norm, true, i);
        gab_bind_linear(b, &l->out, C, c->n_head * c->head_dim, i, "attn_output");
        gab_bind_vector(b, &l->norm_1, C, "blk.%u.post_attention_norm.weight", i);
        gab_bind_gate_up(model, b, &l->gate_up, i);
        gab_bind_linear(b, &l->down, C, c->layer_n_ff[i], i, "ffn_down");
        gab_bind_vector(b, &l->norm_2, C, "blk.%u.post_ffw_norm.weight", i);
    }
    gab_bind_vector(b, &m->norm_f, C, "output_norm.weight");
}

/* ---- the forward pass ---- */

static void embed(const void *model, const gab_forward *f) {
    gab_pass_embed(model, f, 1); /* x [T][C] */
}

static void layer(const void *model, const gab_forward *f, uint32_t i) {
    const olmo2_layer *l = &parts_of(model)->layers[i];
    const gab_scratch *s = f->scratch;

    gab_pass_qkv(model, f, &l->qkv, &l->qk_norm, s->x, i); /* qkv [T][Q + 2 K], rotated; k and v to the cache */
    gab_pass_barrier(f);
    gab_pass_attention(model, f, i); /* attended [T][Q] */
    gab_pass_barrier(f);
    gab_pass_linear(f, &l->out, s->attended, s->normed, GAB_ACTIVATION_NONE, false); /* normed [T][C] */
    gab_pass_barrier(f);
    gab_pass_rmsnorm_add(model, f, l->norm_1, s->normed, 1); /* x [T][C] */
    gab_pass_barrier(f);
    gab_pass_gate_up(f, &l->gate_up, s->x, GAB_ACTIVATION_SILU); /* hidden [T][F] */
    gab_pass_barrier(f);
    gab_pass_linear(f, &l->down, s->hidden, s->normed, GAB_ACTIVATION_NONE, false);
    gab_pass_barrier(f);
    gab_pass_rmsnorm_add(model, f, l->norm_2, s->normed, 1); /* x [T][C] */
}

static void head(const void *model, const gab_forward *f) {
    gab_pass_out_rmsnorm(model, f, parts_of(model)->norm_f); /* out_normed [outs][C] */
    gab_pass_barrier(f);
    gab_pass_head(model, f); /* logits [outs][V] */
}

const gab_architecture gab_olmo2 = {.name = "olmo2",
                                    .halves = true,
                                    .parts_bytes = sizeof(olmo2),
                                    .read_config = read_config,
                                    .bind = bind,
                                    .pass = {.embed = embed, .layer = layer, .head = head}};
