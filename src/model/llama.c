/*
 * llama.c - Llama (Touvron et al. 2023) and those that differ from it in names and flags alone: RMSNorm before each
 * part, rotary positions, grouped heads of keys and values (Ainslie et al. 2023), a gated feed-forward part (SwiGLU),
 * no biases.
 *
 *   x = wte[token]
 *   x = x + W_out attention(W_qkv rmsnorm_1(x))
 *   x = x + W_down (silu(W_gate h) * W_up h),  h = rmsnorm_2(x)
 *   logits = W_head rmsnorm_f(x)
 *
 *   llama   also Mistral (with a sliding window where the file says so), TinyLlama, SmolLM
 *   qwen2   biases of queries, keys and values; dimension i of a head rotated with number i + n/2
 *   qwen3   norms of queries and keys head by head instead
 *   mistral3 (Ministral 3, Mistral Small 3) queries grow with the logarithm of their position, where the file says so
 *   smollm3 every fourth layer has no positions (Yang et al. 2025)
 *   llama and qwen3moe with experts (Mixtral: Jiang et al. 2024): mixture.h in place of the last part
 *   phi3    queries, keys, values in one tensor, gates and what they gate too; LongRoPE
 *
 * GGUF names as llama.cpp writes them; a tied head has no "output.weight". What a file has of the parts in which the
 * relatives differ is used, whatever its architecture is called.
 */
#include "model/mixture.h"

typedef struct llama_layer {
    gab_slice norm_1; /* [C] */
    gab_linear qkv;   /* [Q + 2 K][C] */
    gab_qk_norm qk_norm;
    gab_linear out;      /* [C][Q] */
    gab_slice norm_2;    /* [C] */
    gab_linear gate_up;  /* [2 F][C] */
    gab_linear down;     /* [C][F] */
    gab_mixture mixture; /* or these */
} llama_layer;

typedef struct llama {
    llama_layer *layers;
    gab_slice norm_f; /* [C] */
} llama;

static const llama *parts_of(const gab_model *model) {
    return model->parts;
}

/* ---- binding ---- */

static gab_status read_config(const gab_gguf *gguf, const gab_log *log, gab_model_config *c) {
    GAB_TRY(gab_config_read_sizes(gguf, log, "attention.layer_norm_rms_epsilon", c));
    GAB_TRY(gab_config_read_rope(gguf, log, c));
    GAB_TRY(gab_config_read_window(gguf, log, 0, c));
    c->n_up = 2 * c->n_ff;
    return gab_config_read_experts(gguf, log, c);
}

static gab_status read_mistral3(const gab_gguf *gguf, const gab_log *log, gab_model_config *c) {
    GAB_TRY(read_config(gguf, log, c));
    return gab_config_read_temperature(gguf, log, c);
}

static gab_status read_smollm3(const gab_gguf *gguf, const gab_log *log, gab_model_config *c) {
    GAB_TRY(read_config(gguf, log, c));
    return gab_config_read_unrotated(gguf, log, 4, c);
}

static void bind(gab_model *model, gab_binder *b) {
    llama *m = model->parts;
    const gab_model_config *c = &model->config;
    const uint32_t C = c->n_embd;
    m->layers = gab_bind_layers(model, b, sizeof *m->layers);
    gab_bind_token_weights(model, b);
    for (uint32_t i = 0; i < c->n_layer && b->status == GAB_OK; i++) {
        llama_layer *l = &m->layers[i];
        gab_bind_vector(b, &l->norm_1, C, "blk.%u.attn_norm.weight", i);
        gab_bind_qkv(model, b, &l->qkv, i);
        gab_bind_qk_norm(model, b, &l->qk_norm, false, i);
        gab_bind_linear(b, &l->out, C, c->n_head * c->head_dim, i, "attn_output");
        gab_bind_vector(b, &l->norm_2, C, "blk.%u.ffn_norm.weight", i);
        if (gab_bind_mixture(model, b, &l->mixture, i)) continue;
        gab_bind_gate_up(model, b, &l->gate_up, i);
        gab_bind_linear(b, &l->down, C, c->layer_n_ff[i], i, "ffn_down");
    }
    gab_bind_vector(b, &m->norm_f, C, "output_norm.weight");
}

/* ---- the forward pass ---- */

static void embed(const void *model, const gab_forward *f) {
    gab_pass_embed(model, f, 1); /* x [T][C] */
}

static void layer(const void *model, const gab_forward *f, uint32_t i) {
    const llama_layer *l = &parts_of(model)->layers[i];
    const gab_scratch *s = f->scratch;

    gab_pass_rmsnorm(model, f, l->norm_1, s->x, s->normed); /* normed [T][C] */
    gab_pass_barrier(f);
    gab_pass_qkv(model, f, &l->qkv, &l->qk_norm, s->normed, i); /* qkv [T][Q + 2 K], rotated; k and v to the cache */
    gab_pass_barrier(f);
    gab_pass_attention(model, f, i); /* attended [T][Q] */
    gab_pass_barrier(f);
    gab_pass_linear(f, &l->out, s->attended, s->x, GAB_ACTIVATION_NONE, true); /* x [T][C] */
    gab_pass_barrier(f);
    gab_pass_rmsnorm(model, f, l->norm_2, s->x, s->normed);
    gab_pass_barrier(f);
    if (l->mixture.on) {
        gab_pass_mixture(model, f, &l->mixture, s->normed, GAB_ACTIVATION_SILU); /* x [T][C] */
        return;
    }
    gab_pass_gate_up(f, &l->gate_up, s->normed, GAB_ACTIVATION_SILU); /* hidden [T][F] */
    gab_pass_barrier(f);
    gab_pass_linear(f, &l->down, s->hidden, s->x, GAB_ACTIVATION_NONE, true); /* x [T][C] */
}

static void head(const void *model, const gab_forward *f) {
    gab_pass_out_rmsnorm(model, f, parts_of(model)->norm_f); /* out_normed [outs][C] */
    gab_pass_barrier(f);
    gab_pass_head(model, f); /* logits [outs][V] */
}

#define LLAMA(name_, halves_, read_config_)                                                                            \
    {                                                                                                                  \
        .name = (name_), .halves = (halves_), .parts_bytes = sizeof(llama), .read_config = (read_config_),             \
        .bind = bind, .pass = {                                                                                        \
            .embed = embed,                                                                                            \
            .layer = layer,                                                                                            \
            .head = head                                                                                               \
        }                                                                                                              \
    }

const gab_architecture gab_llama = LLAMA("llama", false, read_config);
const gab_architecture gab_mistral3 = LLAMA("mistral3", false, read_mistral3);
const gab_architecture gab_qwen2 = LLAMA("qwen2", true, read_config);
const gab_architecture gab_qwen3 = LLAMA("qwen3", true, read_config);
const gab_architecture gab_qwen3moe = LLAMA("qwen3moe", true, read_config);
const gab_architecture gab_phi3 = LLAMA("phi3", true, read_config);
const gab_architecture gab_smollm3 = LLAMA("smollm3", false, read_smollm3);
