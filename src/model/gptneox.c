/*
 * gptneox.c - GPT-NeoX and Pythia (Black et al. 2022; Biderman et al. 2023): LayerNorm, rotary positions for the first
 * dimensions of each head, biases everywhere, GELU; attention and the feed-forward part side by side, both of the same
 * x.
 *
 *   x = wte[token]
 *   x = x + attention(layernorm_1(x)) + mlp(layernorm_2(x)),  mlp(h) = W_down gelu(W_up h)
 *   logits = W_head layernorm_f(x)
 *
 * Files may say that the parts follow each other, as in GPT-2. GGUF names as llama.cpp writes them.
 */
#include <string.h>

#include "model/blocks.h"

typedef struct gptneox_layer {
    gab_norm norm_1;
    gab_linear qkv; /* [3 C][C] */
    gab_linear out; /* [C][C] */
    gab_norm norm_2;
    gab_linear up;   /* [F][C] */
    gab_linear down; /* [C][F] */
} gptneox_layer;

typedef struct gptneox {
    gptneox_layer *layers;
    gab_norm norm_f;
    bool parallel;
    uint32_t activation;
} gptneox;

static const gptneox *parts_of(const gab_model *model) {
    return model->parts;
}

/* ---- binding ---- */

static gab_status read_config(const gab_gguf *gguf, const gab_log *log, gab_model_config *c) {
    GAB_TRY(gab_config_read_sizes(gguf, log, "attention.layer_norm_epsilon", c));
    return gab_config_read_rope(gguf, log, c);
}

/* Pythia's is GELU itself, that of GPT-NeoX 20B its tanh form, which a folder calls by several names. */
static uint32_t activation_of(const gab_gguf *gguf) {
    gab_gguf_string name;
    const bool named = gab_gguf_get_string(gguf, "gptneox.hidden_activation", &name);
    return named && strcmp(name.text, "gelu") != 0 ? GAB_ACTIVATION_GELU : GAB_ACTIVATION_GELU_ERF;
}

static void bind(gab_model *model, gab_binder *b) {
    gptneox *m = model->parts;
    const gab_model_config *c = &model->config;
    const uint32_t C = c->n_embd;
    m->parallel = true;
    gab_gguf_get_bool(b->gguf, "gptneox.use_parallel_residual", &m->parallel);
    m->activation = activation_of(b->gguf);
    m->layers = gab_bind_layers(model, b, sizeof *m->layers);
    gab_bind_token_weights(model, b);
    for (uint32_t i = 0; i < c->n_layer && b->status == GAB_OK; i++) {
        gptneox_layer *l = &m->layers[i];
        gab_bind_layer_norm(model, b, &l->norm_1, i, "attn_norm");
        gab_bind_qkv(model, b, &l->qkv, i);
        gab_bind_linear(b, &l->out, C, c->n_head * c->head_dim, i, "attn_output");
        gab_bind_layer_norm(model, b, &l->norm_2, i, "ffn_norm");
        gab_bind_linear(b, &l->up, c->n_ff, C, i, "ffn_up");
        gab_bind_linear(b, &l->down, C, c->n_ff, i, "ffn_down");
    }
    gab_bind_norm(model, b, &m->norm_f, "output_norm");
}

/* ---- the forward pass ---- */

static void embed(const void *model, const gab_forward *f) {
    gab_pass_embed(model, f, 1); /* x [T][C] */
}

static void layer(const void *model, const gab_forward *f, uint32_t i) {
    const gptneox *m = parts_of(model);
    const gptneox_layer *l = &m->layers[i];
    const gab_scratch *s = f->scratch;

    gab_pass_layernorm(model, f, &l->norm_1, s->normed); /* normed [T][C] */
    gab_pass_barrier(f);
    gab_pass_qkv(model, f, &l->qkv, NULL, s->normed, i); /* qkv [T][3 C], rotated; k and v to the cache */
    gab_pass_barrier(f);
    gab_pass_attention(model, f, i);                                      /* attended [T][C] */
    if (m->parallel) gab_pass_layernorm(model, f, &l->norm_2, s->normed); /* beside it, of the same x */
    gab_pass_barrier(f);
    gab_pass_linear(f, &l->out, s->attended, s->x, GAB_ACTIVATION_NONE, true); /* x [T][C] */
    if (!m->parallel) {
        gab_pass_barrier(f);
        gab_pass_layernorm(model, f, &l->norm_2, s->normed);
        gab_pass_barrier(f);
    }
    gab_pass_linear(f, &l->up, s->normed, s->hidden, m->activation, false); /* hidden [T][F] */
    gab_pass_barrier(f);
    gab_pass_linear(f, &l->down, s->hidden, s->x, GAB_ACTIVATION_NONE, true); /* x [T][C] */
}

static void head(const void *model, const gab_forward *f) {
    gab_pass_out_layernorm(model, f, &parts_of(model)->norm_f); /* out_normed [outs][C] */
    gab_pass_barrier(f);
    gab_pass_head(model, f); /* logits [outs][V] */
}

const gab_architecture gab_gptneox = {.name = "gptneox",
                                      .halves = true,
                                      .parts_bytes = sizeof(gptneox),
                                      .read_config = read_config,
                                      .bind = bind,
                                      .pass = {.embed = embed, .layer = layer, .head = head}};
