/*
 * gemma4.c - Gemma 4's text models without experts (Google 2026): Gemma 3 (gemma.c) with
 *
 *   layers without a window of another head size and other heads of keys and values; of their heads only the first
 *   part is rotated (divisors beyond all bounds stand for the rest), and their values may be the keys before norm and
 *   rotation
 *   norms of values, too, without a weight; scores are not scaled
 *   last layers that read the keys and values of the last layer of their kind before them, and may be twice as wide
 *   something of the token for each layer, where the file has it (E2B, E4B):
 *
 *   x_0 = sqrt(C) wte[token]
 *   p_i = (norm_p(W_p x_0 / sqrt(C))_i + sqrt(P) wpt[token]_i) / sqrt(2)
 *   x = x + norm_2(W_out attention(W_qkv norm_1(x)))
 *   x = x + norm_4(W_down (gelu(W_gate h) * W_up h)),  h = norm_3(x)
 *   x = x + norm_5(W_proj (gelu(W_in x) * p_i))
 *   x = s_i x
 *   logits = W_head norm_f(x), limited by tanh
 *
 * GGUF names as llama.cpp writes them. Facts: transformers' modeling_gemma4.py.
 */
#include <math.h>

#include "kernels/gather.h"
#include "kernels/rmsnorm.h"
#include "model/blocks.h"

typedef struct gemma4_layer {
    gab_slice norm_1; /* [C] */
    gab_linear qkv;   /* [Q + 2 K][C], or [Q][C] */
    gab_qk_norm qk_norm;
    gab_linear out;           /* [C][Q] */
    gab_slice norm_2, norm_3; /* [C] */
    gab_linear gate_up;       /* [2 F][C] */
    gab_linear down;          /* [C][F] */
    gab_slice norm_4;         /* [C] */
    gab_linear in;            /* [P][C] */
    gab_linear proj;          /* [C][P] */
    gab_slice norm_5;         /* [C] */
    float factor;             /* s */
} gemma4_layer;

typedef struct gemma4 {
    gemma4_layer *layers;
    gab_slice norm_f;   /* [C] */
    gab_linear project; /* [L P][C] */
    gab_slice norm_p;   /* [P] */
} gemma4;

static const gemma4 *parts_of(const gab_model *model) {
    return model->parts;
}

/* ---- binding ---- */

static gab_status unsupported(const gab_gguf *gguf, const gab_log *log, const char *what, uint32_t a, uint32_t b) {
    return gab_fail(log, GAB_ERROR_UNSUPPORTED, "%s: %s of %u and of %u are not supported: only multiples of %u are",
                    gab_gguf_path(gguf), what, a, b, GAB_ROW_FLOATS_ALIGN);
}

/* Rows of different lengths share their place: none may have padding, where the others' numbers would lie. */
static gab_status check_widths(const gab_gguf *gguf, const gab_log *log, const gab_model_config *c) {
    for (uint32_t i = 0; i < c->n_layer; i++) {
        const uint32_t n_q = c->n_head * c->kv[i].head_dim, n_q_max = c->n_head * c->head_dim;
        if (n_q != n_q_max && (n_q | n_q_max) % GAB_ROW_FLOATS_ALIGN)
            return unsupported(gguf, log, "layers with queries", n_q, n_q_max);
    }
    return c->n_input > 0 && (c->n_input | c->n_ff) % GAB_ROW_FLOATS_ALIGN
               ? unsupported(gguf, log, "inputs of layers and feed-forward parts", c->n_input, c->n_ff)
               : GAB_OK;
}

/* The last n layers read the keys and values of the last one of their kind before them. */
static gab_status share_kv(const gab_gguf *gguf, const gab_log *log, gab_model_config *c, uint32_t n) {
    const uint32_t first = c->n_layer - n;
    for (uint32_t i = first; i < c->n_layer; i++) {
        uint32_t j = first;
        while (j > 0 && c->unwindowed[j - 1] != c->unwindowed[i]) j--;
        if (j == 0)
            return gab_fail(log, GAB_ERROR_FORMAT,
                            "%s: gemma4.attention.shared_kv_layers is %u, but no layer before them is of the kind of "
                            "layer %u: the file is damaged",
                            gab_gguf_path(gguf), n, i);
        c->kv[i] = c->kv[j - 1];
    }
    return GAB_OK;
}

/* Layers with a window: their heads, and what is rotated of them. */
static gab_status read_windowed(const gab_gguf *gguf, const gab_log *log, gab_model_config *c) {
    uint32_t head_dim = c->head_dim, value_dim = 0, n_rotated = 0;
    float base = 10000;
    GAB_TRY(gab_config_optional_u32(gguf, log, c, "attention.key_length_swa", 512, &head_dim));
    GAB_TRY(gab_config_optional_u32(gguf, log, c, "attention.value_length_swa", 512, &value_dim));
    GAB_TRY(gab_config_optional_f32(gguf, log, c, "rope.freq_base_swa", 1.0001f, 1e12f, &base));
    n_rotated = head_dim;
    GAB_TRY(gab_config_optional_u32(gguf, log, c, "rope.dimension_count_swa", head_dim, &n_rotated));
    if (head_dim == 0 || head_dim % 2 || n_rotated == 0 || n_rotated % 2 || (value_dim > 0 && value_dim != head_dim))
        return gab_fail(log, GAB_ERROR_UNSUPPORTED,
                        "%s: layers with a window have keys of %u dimensions, of which %u are rotated, and values of "
                        "%u: all are to be even, and keys and values the same",
                        gab_gguf_path(gguf), head_dim, n_rotated, value_dim);
    for (uint32_t i = 0; i < c->n_layer; i++)
        if (!c->unwindowed[i]) c->kv[i].head_dim = head_dim;
    if (head_dim > c->head_dim) c->head_dim = head_dim;
    c->rope[1].scaling = (gab_rope_scaling){.n_turn = n_rotated / 2, .base = (double)base, .magnitude = 1};
    c->n_rope = 2;
    return GAB_OK;
}

static gab_status read_config(const gab_gguf *gguf, const gab_log *log, gab_model_config *c) {
    uint32_t n_expert = 0, n_shared = 0;
    GAB_TRY(gab_config_read_sizes(gguf, log, "attention.layer_norm_rms_epsilon", c));
    GAB_TRY(gab_config_optional_u32(gguf, log, c, "expert_count", UINT32_MAX, &n_expert));
    if (n_expert > 0)
        return gab_fail(log, GAB_ERROR_UNSUPPORTED,
                        "%s: gemma4.expert_count is %u: Gemma 4 is supported without experts, take one of the models "
                        "without them",
                        gab_gguf_path(gguf), n_expert);
    GAB_TRY(gab_config_read_rope(gguf, log, c));
    c->window = 512; /* of files without it */
    GAB_TRY(gab_config_read_window(gguf, log, 6, c));
    if (c->window == 0)
        return gab_fail(log, GAB_ERROR_FORMAT, "%s: gemma4.attention.sliding_window is 0: the file is damaged",
                        gab_gguf_path(gguf));
    c->unwindowed[c->n_layer - 1] = true;
    GAB_TRY(read_windowed(gguf, log, c));
    GAB_TRY(gab_config_optional_u32(gguf, log, c, "attention.shared_kv_layers", c->n_layer - 1, &n_shared));
    GAB_TRY(share_kv(gguf, log, c, n_shared));
    GAB_TRY(gab_config_optional_u32(gguf, log, c, "embedding_length_per_layer_input", 1u << 14, &c->n_input));
    GAB_TRY(gab_config_optional_f32(gguf, log, c, "final_logit_softcapping", 0, 1e6f, &c->logit_softcap));
    c->attention_scale = 1;
    GAB_TRY(gab_config_optional_f32(gguf, log, c, "attention.scale", 0, 1e6f, &c->attention_scale));
    c->norm_values = c->keys_as_values = true;
    c->n_up = 2 * c->n_ff;
    GAB_TRY(check_widths(gguf, log, c));
    if (!c->rope[0].divisors)
        return gab_fail(log, GAB_ERROR_FORMAT,
                        "%s has no tensor 'rope_freqs.weight', which says what is rotated of the heads of layers "
                        "without a window: the file is incomplete; download or convert it again",
                        gab_gguf_path(gguf));
    return GAB_OK;
}

static void bind_inputs(gab_model *model, gab_binder *b, gemma4 *m) {
    const gab_model_config *c = &model->config;
    const gab_part project = {.name = "per_layer_model_proj.weight",
                              .n_tensor = (uint64_t)c->n_layer * c->n_input,
                              .n = (uint64_t)c->n_layer * c->n_input};
    gab_bind_matrix(b, &model->inputs, c->n_vocab, project.n, "per_layer_token_embd.weight");
    m->project = (gab_linear){.n_out = c->n_layer * c->n_input, .n_in = c->n_embd};
    m->project.n_weight = gab_bind_parts(b, m->project.weights, c->n_embd, &project, 1, NULL);
    gab_bind_vector(b, &m->norm_p, c->n_input, "per_layer_proj_norm.weight");
}

static void bind_factor(gab_binder *b, gemma4_layer *l, uint32_t i) {
    l->factor = 1;
    if (!gab_binder_has(b, "blk.%u.layer_output_scale.weight", i)) return;
    gab_bind_host(b, &l->factor, 1, "blk.%u.layer_output_scale.weight", i);
    if (b->status == GAB_OK && (!isfinite(l->factor) || fabsf(l->factor) < 1e-12f))
        b->status = gab_fail(b->log, GAB_ERROR_FORMAT,
                             "%s: blk.%u.layer_output_scale.weight is %g, expected a number other than 0: the file is "
                             "damaged",
                             gab_gguf_path(b->gguf), i, (double)l->factor);
}

static void bind_layer(gab_model *model, gab_binder *b, gemma4_layer *l, uint32_t i) {
    const gab_model_config *c = &model->config;
    const uint32_t C = c->n_embd, Q = c->n_head * c->kv[i].head_dim;
    gab_bind_vector(b, &l->norm_1, C, "blk.%u.attn_norm.weight", i);
    gab_bind_qkv(model, b, &l->qkv, i);
    gab_bind_qk_norm(model, b, &l->qk_norm, false, i);
    if (b->status == GAB_OK && !l->qk_norm.on)
        b->status = gab_fail(b->log, GAB_ERROR_FORMAT,
                             "%s has no tensor 'blk.%u.attn_q_norm.weight', which its architecture needs: the file is "
                             "incomplete; download or convert it again",
                             gab_gguf_path(b->gguf), i);
    if (!gab_config_has_kv(c, i)) { /* which files may have all the same */
        gab_bind_unused(b, "blk.%u.attn_k.weight", i);
        gab_bind_unused(b, "blk.%u.attn_v.weight", i);
        gab_bind_unused(b, "blk.%u.attn_k_norm.weight", i);
    }
    gab_bind_linear(b, &l->out, C, Q, i, "attn_output");
    gab_bind_vector(b, &l->norm_2, C, "blk.%u.post_attention_norm.weight", i);
    gab_bind_vector(b, &l->norm_3, C, "blk.%u.ffn_norm.weight", i);
    gab_bind_gate_up(model, b, &l->gate_up, i);
    gab_bind_linear(b, &l->down, C, c->layer_n_ff[i], i, "ffn_down");
    gab_bind_vector(b, &l->norm_4, C, "blk.%u.post_ffw_norm.weight", i);
    bind_factor(b, l, i);
    if (c->n_input == 0) return;
    gab_bind_linear(b, &l->in, c->n_input, C, i, "inp_gate");
    gab_bind_linear(b, &l->proj, C, c->n_input, i, "proj");
    gab_bind_vector(b, &l->norm_5, C, "blk.%u.post_norm.weight", i);
}

/* Of the layers without a window all have values of their own, or none: otherwise some were lost. */
static void check_values(gab_model *model, gab_binder *b) {
    const gab_model_config *c = &model->config;
    uint32_t n = 0, n_with = 0, without = 0;
    for (uint32_t i = 0; i < c->n_layer; i++) {
        if (gab_config_window(c, i) > 0 || !gab_config_has_kv(c, i)) continue;
        const bool with = gab_binder_has(b, "blk.%u.attn_v.weight", i);
        n++;
        n_with += with;
        if (!with) without = i;
    }
    if (b->status == GAB_OK && n_with > 0 && n_with < n)
        b->status = gab_fail(b->log, GAB_ERROR_FORMAT,
                             "%s has no tensor 'blk.%u.attn_v.weight', but those of other layers of its kind: the file "
                             "is incomplete; download or convert it again",
                             gab_gguf_path(b->gguf), without);
}

static void bind(gab_model *model, gab_binder *b) {
    gemma4 *m = model->parts;
    check_values(model, b);
    m->layers = gab_bind_layers(model, b, sizeof *m->layers);
    gab_bind_token_weights(model, b);
    if (model->config.n_input > 0) bind_inputs(model, b, m);
    for (uint32_t i = 0; i < model->config.n_layer && b->status == GAB_OK; i++) bind_layer(model, b, &m->layers[i], i);
    gab_bind_vector(b, &m->norm_f, model->config.n_embd, "output_norm.weight");
}

/* ---- the forward pass ---- */

/* Of scratch->inputs, in floats. */
static uint32_t inputs_stride(const gab_model_config *c) {
    return gab_row_stride((c->n_layer + 1) * c->n_input);
}

static void embed(const void *model, const gab_forward *f) {
    const gab_model *m = model;
    const gab_model_config *c = &m->config;
    gab_pass_embed(m, f, sqrtf((float)c->n_embd)); /* x [T][C] */
    if (c->n_input == 0) return;
    const gab_gather tokens = {.table = &m->inputs,
                               .index_kind = GAB_INDEX_TOKEN,
                               .factor = sqrtf((float)c->n_input),
                               .sampled = f->sampled,
                               .y = f->scratch->inputs,
                               .y_stride = inputs_stride(c),
                               .y_first = c->n_input};
    gab_gather_record(&f->kernels, &tokens); /* inputs [T][P + L P] from number P on */
    gab_pass_barrier(f);
    gab_pass_linear(f, &parts_of(m)->project, f->scratch->x, f->scratch->projected, GAB_ACTIVATION_NONE, false);
}

/* p_i, in its place in inputs. The root of C by which what is normalized would be divided goes into the epsilon. */
static void finish_input(const gab_model *model, const gab_forward *f, uint32_t i) {
    const gab_model_config *c = &model->config;
    const gab_rmsnorm op = {.x = f->scratch->projected,
                            .y = f->scratch->inputs,
                            .weight = parts_of(model)->norm_p,
                            .x_first = i * c->n_input,
                            .y_first = (i + 1) * c->n_input,
                            .n_col = c->n_input,
                            .x_stride = gab_row_stride(c->n_layer * c->n_input),
                            .y_stride = inputs_stride(c),
                            .eps = c->norm_eps * (float)c->n_embd,
                            .factor = sqrtf(0.5f),
                            .add = true};
    gab_rmsnorm_record(&f->kernels, &op);
}

/* hidden [T][P] = gelu(W_in x) * p_i */
static void gate_input(const gab_model *model, const gab_forward *f, const gemma4_layer *l, uint32_t i) {
    const gab_model_config *c = &model->config;
    const gab_scratch *s = f->scratch;
    const gab_gated gated = {.x = s->inputs,
                             .y = s->hidden,
                             .n = c->n_input,
                             .x_stride = inputs_stride(c),
                             .y_stride = gab_row_stride(c->n_input),
                             .up_first = (i + 1) * c->n_input,
                             .activation = GAB_ACTIVATION_GELU};
    gab_matmul op = gab_linear_op(&l->in, s->x, s->inputs);
    op.y_stride = inputs_stride(c);
    op.gated = &gated;
    gab_matmul_record(&f->kernels, &op);
}

static void layer(const void *model, const gab_forward *f, uint32_t i) {
    const gemma4_layer *l = &parts_of(model)->layers[i];
    const gab_scratch *s = f->scratch;
    const bool has_input = ((const gab_model *)model)->config.n_input > 0;

    gab_pass_rmsnorm(model, f, l->norm_1, s->x, s->normed); /* normed [T][C] */
    if (has_input) finish_input(model, f, i);               /* inputs [T][P + L P]: p_i */
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
    gab_pass_rmsnorm_add(model, f, l->norm_4, s->normed, has_input ? 1 : l->factor); /* x [T][C] */
    if (!has_input) return;
    gab_pass_barrier(f);
    gate_input(model, f, l, i); /* hidden [T][P] */
    gab_pass_barrier(f);
    gab_pass_linear(f, &l->proj, s->hidden, s->normed, GAB_ACTIVATION_NONE, false);
    gab_pass_barrier(f);
    gab_pass_rmsnorm_add(model, f, l->norm_5, s->normed, l->factor);
}

static void head(const void *model, const gab_forward *f) {
    gab_pass_out_rmsnorm(model, f, parts_of(model)->norm_f); /* out_normed [outs][C] */
    gab_pass_barrier(f);
    gab_pass_head(model, f); /* logits [outs][V] */
}

const gab_architecture gab_gemma4 = {.name = "gemma4",
                                     .halves = true,
                                     .parts_bytes = sizeof(gemma4),
                                     .read_config = read_config,
                                     .bind = bind,
                                     .pass = {.embed = embed, .layer = layer, .head = head}};
