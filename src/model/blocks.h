/*
 * blocks.h - what forward passes are made of: their parts of a layer bound and
 * recorded, each in one line of the pass. Shapes: T rows of the step, C n_embd, Q n_head * head_dim, K n_head_kv *
 * head_dim, F n_ff, V n_vocab.
 */
#ifndef GAB_MODEL_BLOCKS_H
#define GAB_MODEL_BLOCKS_H

#include "kernels/matmul.h"
#include "model/model.h"

/* A matrix of one or several weights, whose outputs follow each other, and its bias. */
typedef struct gab_linear {
    gab_weight weights[GAB_PART_MAX];
    uint32_t n_weight, n_out, n_in;
    gab_slice bias; /* [n_out] */
    bool has_bias;
    bool in_turn; /* gates and what they gate take turns */
} gab_linear;

/* Norms of queries and keys, where a model has them. */
typedef struct gab_qk_norm {
    gab_slice q, k; /* [head_dim], for head by head; or, whole, [Q] and [K] */
    bool on, whole;
} gab_qk_norm;

/* A LayerNorm's. */
typedef struct gab_norm {
    gab_slice weight, bias; /* [C] */
} gab_norm;

/* ---- binding: name is what stands in the file between "blk.N." and ".weight"; biases where the file has them ---- */

void *gab_bind_layers(gab_model *model, gab_binder *binder, size_t layer_bytes); /* n_layer structs; NULL: failed */
void gab_bind_token_weights(gab_model *model, gab_binder *binder);               /* model->vocabulary */
void gab_bind_norm(gab_model *model, gab_binder *binder, gab_norm *norm, const char *name);
void gab_bind_layer_norm(gab_model *model, gab_binder *binder, gab_norm *norm, uint32_t layer, const char *name);
void gab_bind_linear(gab_binder *binder, gab_linear *linear, uint32_t n_out, uint32_t n_in, uint32_t layer,
                     const char *name);
/* The same of several tensors: names without ".weight" or ".bias", which the parts need not have. */
void gab_bind_linear_parts(gab_binder *binder, gab_linear *linear, uint32_t n_in, uint32_t layer,
                           const char *const *names, const gab_part *parts, uint32_t n_part);
/* Queries, keys, values: attn_q, attn_k, attn_v, or all in attn_qkv. */
void gab_bind_qkv(gab_model *model, gab_binder *binder, gab_linear *linear, uint32_t layer);
void gab_bind_qk_norm(gab_model *model, gab_binder *binder, gab_qk_norm *norm, bool whole, uint32_t layer);
/* Gates and what they gate: ffn_gate and ffn_up, or both in ffn_up. */
void gab_bind_gate_up(gab_model *model, gab_binder *binder, gab_linear *linear, uint32_t layer);

/* ---- recording ---- */

void gab_pass_barrier(const gab_forward *f);

/* x [T][C] = factor * embedding[token] */
void gab_pass_embed(const gab_model *model, const gab_forward *f, float factor);
/* y [T][C], or out_normed [outs][C] of the output rows, = layernorm(x) */
void gab_pass_layernorm(const gab_model *model, const gab_forward *f, const gab_norm *norm, gab_slice y);
void gab_pass_out_layernorm(const gab_model *model, const gab_forward *f, const gab_norm *norm);
/* y [T][C] = rmsnorm(x) */
void gab_pass_rmsnorm(const gab_model *model, const gab_forward *f, gab_slice weight, gab_slice x, gab_slice y);
/* x [T][C] = factor * (x + rmsnorm(y)) */
void gab_pass_rmsnorm_add(const gab_model *model, const gab_forward *f, gab_slice weight, gab_slice y, float factor);
/* y = W x + bias, to be completed by the caller */
gab_matmul gab_linear_op(const gab_linear *linear, gab_slice x, gab_slice y);
/* y = activation(W x + bias) (+ y) */
void gab_pass_linear(const gab_forward *f, const gab_linear *linear, gab_slice x, gab_slice y, uint32_t activation,
                     bool residual);
/* qkv [T][Q + 2 K] = W x, queries and keys normed and rotated; keys and values to the cache. norm: may be NULL */
void gab_pass_qkv(const gab_model *model, const gab_forward *f, const gab_linear *linear, const gab_qk_norm *norm,
                  gab_slice x, uint32_t layer);
/* attended [T][Q]; sinks [n_head]: scores that take part in the softmax alone, or NULL */
void gab_pass_attention(const gab_model *model, const gab_forward *f, uint32_t layer);
void gab_pass_attention_sinks(const gab_model *model, const gab_forward *f, const gab_slice *sinks, uint32_t layer);
/* hidden [T][F] = activation(W_gate x) * W_up x */
void gab_pass_gate_up(const gab_forward *f, const gab_linear *linear, gab_slice x, uint32_t activation);
/* out_normed [outs][C] = rmsnorm(x of the output rows) */
void gab_pass_out_rmsnorm(const gab_model *model, const gab_forward *f, gab_slice weight);
/* logits [outs][V] = W_head out_normed, limited where the model does that */
void gab_pass_head(const gab_model *model, const gab_forward *f);

#endif
