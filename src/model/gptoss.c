/*
 * gptoss.c - gpt-oss (OpenAI 2025): RMSNorm before each part, rotary positions with YaRN, grouped heads of keys and
 * values with a sink each, a window in every other layer, a mixture of experts with clamped gates; biases everywhere.
 *
 *   x = wte[token]
 *   x = x + W_out attention(W_qkv rmsnorm_1(x))
 *   x = x + mixture(rmsnorm_2(x))
 *   logits = W_head rmsnorm_f(x)
 *
 * GGUF names as llama.cpp writes them.
 */
#include "model/mixture.h"

typedef struct gptoss_layer {
    gab_slice norm_1; /* [C] */
    gab_linear qkv;   /* [Q + 2 K][C] */
    gab_slice sinks;  /* [n_head] */
    gab_linear out;   /* [C][Q] */
    gab_slice norm_2; /* [C] */
    gab_mixture mixture;
} gptoss_layer;

typedef struct gptoss {
    gptoss_layer *layers;
    gab_slice norm_f; /* [C] */
} gptoss;

static const gptoss *parts_of(const gab_model *model) {
    return model->parts;
}

/* ---- binding ---- */

static gab_status read_config(const gab_gguf *gguf, const gab_log *log, gab_model_config *c) {
    bool truncate = false;
    GAB_TRY(gab_config_read_sizes(gguf, log, "attention.layer_norm_rms_epsilon", c));
    GAB_TRY(gab_config_read_rope(gguf, log, c));
    GAB_TRY(gab_config_read_window(gguf, log, 2, c));
    GAB_TRY(gab_config_read_experts(gguf, log, c));
    if (c->n_expert == 0)
        return gab_fail(log, GAB_ERROR_FORMAT, "%s: gpt-oss.expert_count is missing or 0: the file is damaged",
                        gab_gguf_path(gguf));
    gab_gguf_get_bool(gguf, "gpt-oss.rope.scaling.yarn_truncate", &truncate);
    c->rope[0].scaling.yarn_exact = !truncate; /* unlike others, where the file does not say it */
    c->attention_sinks = true;
    return GAB_OK;
}

static void bind(gab_model *model, gab_binder *b) {
    gptoss *m = model->parts;
    const gab_model_config *c = &model->config;
    const uint32_t C = c->n_embd;
    m->layers = gab_bind_layers(model, b, sizeof *m->layers);
    gab_bind_token_weights(model, b);
    for (uint32_t i = 0; i < c->n_layer && b->status == GAB_OK; i++) {
        gptoss_layer *l = &m->layers[i];
        gab_bind_vector(b, &l->norm_1, C, "blk.%u.attn_norm.weight", i);
        gab_bind_qkv(model, b, &l->qkv, i);
        gab_bind_vector(b, &l->sinks, c->n_head, "blk.%u.attn_sinks.weight", i);
        gab_bind_linear(b, &l->out, C, c->n_head * c->head_dim, i, "attn_output");
        gab_bind_vector(b, &l->norm_2, C, "blk.%u.post_attention_norm.weight", i);
        gab_bind_mixture(model, b, &l->mixture, i);
    }
    gab_bind_vector(b, &m->norm_f, C, "output_norm.weight");
}

/* ---- the forward pass ---- */

static void embed(const void *model, const gab_forward *f) {
    gab_pass_embed(model, f, 1); /* x [T][C] */
}

static void layer(const void *model, const gab_forward *f, uint32_t i) {
    const gptoss_layer *l = &parts_of(model)->layers[i];
    const gab_scratch *s = f->scratch;

    gab_pass_rmsnorm(model, f, l->norm_1, s->x, s->normed); /* normed [T][C] */
    gab_pass_barrier(f);
    gab_pass_qkv(model, f, &l->qkv, NULL, s->normed, i); /* qkv [T][Q + 2 K], rotated; k and v to the cache */
    gab_pass_barrier(f);
    gab_pass_attention_sinks(model, f, &l->sinks, i); /* attended [T][Q] */
    gab_pass_barrier(f);
    gab_pass_linear(f, &l->out, s->attended, s->x, GAB_ACTIVATION_NONE, true); /* x [T][C] */
    gab_pass_barrier(f);
    gab_pass_rmsnorm(model, f, l->norm_2, s->x, s->normed);
    gab_pass_barrier(f);
    gab_pass_mixture(model, f, &l->mixture, s->normed, GAB_ACTIVATION_CLAMPED); /* x [T][C] */
}

static void head(const void *model, const gab_forward *f) {
    gab_pass_out_rmsnorm(model, f, parts_of(model)->norm_f); /* out_normed [outs][C] */
    gab_pass_barrier(f);
    gab_pass_head(model, f); /* logits [outs][V] */
}

const gab_architecture gab_gptoss = {.name = "gpt-oss",
                                     .halves = true,
                                     .parts_bytes = sizeof(gptoss),
                                     .read_config = read_config,
                                     .bind = bind,
                                     .pass = {.embed = embed, .layer = layer, .head = head}};
