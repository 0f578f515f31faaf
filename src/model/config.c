#include "model/config.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "format/reader.h"

enum { KEY_MAX = 128 };

uint32_t gab_config_window(const gab_model_config *c, uint32_t layer) {
    return c->unwindowed[layer] ? 0 : c->window;
}

uint32_t gab_config_rope(const gab_model_config *c, uint32_t layer) {
    return c->n_rope > 1 && gab_config_window(c, layer) > 0 ? 1 : 0;
}

bool gab_config_has_kv(const gab_model_config *c, uint32_t layer) {
    return c->kv[layer].layer == layer;
}

/* ---- single values ---- */

static const char *full_key(const gab_model_config *c, const char *key, char full[KEY_MAX]) {
    snprintf(full, KEY_MAX, "%s.%s", c->architecture, key);
    return full;
}

static bool has_key(const gab_gguf *gguf, const char *key) {
    gab_gguf_type type;
    for (uint64_t i = 0; i < gab_gguf_n_key(gguf); i++)
        if (strcmp(gab_gguf_key_at(gguf, i, &type), key) == 0) return true;
    return false;
}

/* Of a list with an entry a layer. */
static gab_status check_length(const gab_gguf *gguf, const gab_log *log, const gab_model_config *c, const char *key,
                               uint64_t n) {
    if (n == c->n_layer) return GAB_OK;
    return gab_fail(log, GAB_ERROR_FORMAT, "%s: %s has %" PRIu64 " entries for %u layers: the file is damaged",
                    gab_gguf_path(gguf), key, n, c->n_layer);
}

gab_status gab_config_u32(const gab_gguf *gguf, const gab_log *log, const gab_model_config *c, const char *name,
                          uint32_t max, uint32_t *value) {
    char key[KEY_MAX];
    GAB_TRY(gab_gguf_require_u32(gguf, full_key(c, name, key), log, value));
    if (*value == 0 || *value > max)
        return gab_fail(log, GAB_ERROR_FORMAT, "%s: %s is %u, expected 1 to %u: the file is damaged",
                        gab_gguf_path(gguf), key, *value, max);
    return GAB_OK;
}

gab_status gab_config_optional_u32(const gab_gguf *gguf, const gab_log *log, const gab_model_config *c,
                                   const char *name, uint32_t max, uint32_t *value) {
    char key[KEY_MAX];
    if (!has_key(gguf, full_key(c, name, key))) return GAB_OK;
    GAB_TRY(gab_gguf_require_u32(gguf, key, log, value));
    if (*value > max)
        return gab_fail(log, GAB_ERROR_FORMAT, "%s: %s is %u, expected at most %u: the file is damaged",
                        gab_gguf_path(gguf), key, *value, max);
    return GAB_OK;
}

gab_status gab_config_optional_f32(const gab_gguf *gguf, const gab_log *log, const gab_model_config *c,
                                   const char *name, float min, float max, float *value) {
    char key[KEY_MAX];
    if (!has_key(gguf, full_key(c, name, key))) return GAB_OK;
    GAB_TRY(gab_gguf_require_f32(gguf, key, log, value));
    if (!(*value >= min && *value <= max))
        return gab_fail(log, GAB_ERROR_FORMAT, "%s: %s is %g, expected %g to %g: the file is damaged",
                        gab_gguf_path(gguf), key, (double)*value, (double)min, (double)max);
    return GAB_OK;
}

/* ---- sizes ---- */

/* One number for all layers, or one a layer (not 0, and of at most `max`): into values [n_layer] and the largest. */
static gab_status read_layers(const gab_gguf *gguf, const gab_log *log, const gab_model_config *c, const char *name,
                              uint32_t max, uint32_t *values, uint32_t *largest) {
    const int32_t *given = NULL;
    uint64_t n = 0;
    char key[KEY_MAX];
    if (!gab_gguf_get_i32s(gguf, full_key(c, name, key), &given, &n)) {
        GAB_TRY(gab_config_u32(gguf, log, c, name, max, largest));
        for (uint32_t i = 0; i < c->n_layer; i++) values[i] = *largest;
        return GAB_OK;
    }
    *largest = 0;
    GAB_TRY(check_length(gguf, log, c, key, n));
    for (uint32_t i = 0; i < c->n_layer; i++) {
        if (given[i] < 1 || (uint32_t)given[i] > max)
            return gab_fail(log, GAB_ERROR_FORMAT, "%s: %s holds %d, expected 1 to %u: the file is damaged",
                            gab_gguf_path(gguf), key, given[i], max);
        values[i] = (uint32_t)given[i];
        if (values[i] > *largest) *largest = values[i];
    }
    return GAB_OK;
}

static gab_status read_heads(const gab_gguf *gguf, const gab_log *log, gab_model_config *c) {
    const char *path = gab_gguf_path(gguf), *arch = c->architecture;
    uint32_t value_dim = 0, n_head_kv[GAB_LAYER_MAX] = {0};
    char key[KEY_MAX];
    GAB_TRY(gab_config_u32(gguf, log, c, "attention.head_count", c->n_embd, &c->n_head));
    c->n_head_kv = c->n_head;
    for (uint32_t i = 0; i < c->n_layer; i++) n_head_kv[i] = c->n_head;
    if (has_key(gguf, full_key(c, "attention.head_count_kv", key)))
        GAB_TRY(read_layers(gguf, log, c, "attention.head_count_kv", c->n_head, n_head_kv, &c->n_head_kv));
    for (uint32_t i = 0; i < c->n_layer; i++)
        if (n_head_kv[i] == 0 || c->n_head % n_head_kv[i])
            return gab_fail(log, GAB_ERROR_FORMAT,
                            "%s: %s.attention.head_count %u is not a multiple of %s.attention.head_count_kv %u: the "
                            "file is damaged",
                            path, arch, c->n_head, arch, n_head_kv[i]);
    GAB_TRY(gab_config_optional_u32(gguf, log, c, "attention.key_length", 1u << 16, &c->head_dim));
    GAB_TRY(gab_config_optional_u32(gguf, log, c, "attention.value_length", 1u << 16, &value_dim));
    if (c->head_dim == 0 && c->n_embd % c->n_head)
        return gab_fail(
            log, GAB_ERROR_FORMAT,
            "%s: %s.embedding_length %u is not a multiple of %s.attention.head_count %u: the file is damaged", path,
            arch, c->n_embd, arch, c->n_head);
    if (c->head_dim == 0) c->head_dim = c->n_embd / c->n_head;
    if (value_dim > 0 && value_dim != c->head_dim)
        return gab_fail(log, GAB_ERROR_UNSUPPORTED, "%s: keys of %u and values of %u dimensions are not supported",
                        path, c->head_dim, value_dim);
    if (c->head_dim > 512)
        return gab_fail(log, GAB_ERROR_UNSUPPORTED, "%s: heads of %u dimensions are not supported, at most 512 are",
                        path, c->head_dim);
    for (uint32_t i = 0; i < c->n_layer; i++)
        c->kv[i] = (gab_kv_shape){.n_head_kv = n_head_kv[i], .head_dim = c->head_dim, .layer = i};
    return GAB_OK;
}

/* Rows of different lengths share their place: none may have padding, where the others' numbers would lie. */
static gab_status check_widths(const gab_gguf *gguf, const gab_log *log, const gab_model_config *c) {
    for (uint32_t i = 0; i < c->n_layer; i++)
        if (c->layer_n_ff[i] != c->n_ff && (c->layer_n_ff[i] | c->n_ff) % GAB_ROW_FLOATS_ALIGN)
            return gab_fail(log, GAB_ERROR_UNSUPPORTED,
                            "%s: layers with feed-forward parts of %u and of %u are not supported: only multiples of "
                            "%u are",
                            gab_gguf_path(gguf), c->layer_n_ff[i], c->n_ff, GAB_ROW_FLOATS_ALIGN);
    return GAB_OK;
}

gab_status gab_config_read_sizes(const gab_gguf *gguf, const gab_log *log, const char *eps_key, gab_model_config *c) {
    const char *path = gab_gguf_path(gguf);
    char key[KEY_MAX];
    GAB_TRY(gab_config_u32(gguf, log, c, "context_length", 1u << 24, &c->n_ctx));
    GAB_TRY(gab_config_u32(gguf, log, c, "embedding_length", 1u << 18, &c->n_embd));
    GAB_TRY(gab_config_u32(gguf, log, c, "block_count", GAB_LAYER_MAX, &c->n_layer));
    GAB_TRY(read_layers(gguf, log, c, "feed_forward_length", 1u << 20, c->layer_n_ff, &c->n_ff));
    GAB_TRY(check_widths(gguf, log, c));
    GAB_TRY(read_heads(gguf, log, c));
    GAB_TRY(gab_gguf_require_f32(gguf, full_key(c, eps_key, key), log, &c->norm_eps));
    if (!(c->norm_eps > 0 && c->norm_eps < 1))
        return gab_fail(log, GAB_ERROR_FORMAT, "%s: %s is %g, expected a small positive number", path, key,
                        (double)c->norm_eps);
    const gab_gguf_tensor *wte = gab_gguf_tensor_find(gguf, "token_embd.weight");
    if (!wte)
        return gab_fail(log, GAB_ERROR_FORMAT,
                        "%s has no tensor 'token_embd.weight', which its architecture needs: the file is incomplete; "
                        "download or convert it again",
                        path);
    if (wte->n_row > 1u << 22)
        return gab_fail(log, GAB_ERROR_UNSUPPORTED, "%s: a vocabulary of more than 4194304 tokens is not supported",
                        path);
    c->n_vocab = (uint32_t)wte->n_row;
    return GAB_OK;
}

gab_status gab_config_read_window(const gab_gguf *gguf, const gab_log *log, uint32_t period, gab_model_config *c) {
    const int32_t *windowed = NULL;
    uint64_t n = 0;
    char key[KEY_MAX];
    GAB_TRY(gab_config_optional_u32(gguf, log, c, "attention.sliding_window", UINT32_MAX, &c->window));
    if (!gab_gguf_get_i32s(gguf, full_key(c, "attention.sliding_window_pattern", key), &windowed, &n))
        GAB_TRY(gab_config_optional_u32(gguf, log, c, "attention.sliding_window_pattern", GAB_LAYER_MAX, &period));
    if (windowed) GAB_TRY(check_length(gguf, log, c, key, n));
    for (uint32_t i = 0; i < c->n_layer; i++)
        c->unwindowed[i] = windowed ? !windowed[i] : period > 0 && (i + 1) % period == 0;
    return GAB_OK;
}

gab_status gab_config_read_unrotated(const gab_gguf *gguf, const gab_log *log, uint32_t period, gab_model_config *c) {
    const int32_t *rotated = NULL;
    uint64_t n = 0;
    char key[KEY_MAX];
    if (gab_gguf_get_i32s(gguf, full_key(c, "rope.layer_pattern", key), &rotated, &n))
        GAB_TRY(check_length(gguf, log, c, key, n));
    for (uint32_t i = 0; i < c->n_layer; i++) c->unrotated[i] = rotated ? !rotated[i] : (i + 1) % period == 0;
    return GAB_OK;
}

/* ---- experts ---- */

gab_status gab_config_read_experts(const gab_gguf *gguf, const gab_log *log, gab_model_config *c) {
    uint32_t n_shared = 0;
    char name[KEY_MAX];
    GAB_TRY(gab_config_optional_u32(gguf, log, c, "expert_count", UINT32_MAX, &c->n_expert));
    if (c->n_expert == 0) return GAB_OK;
    if (c->n_expert > GAB_EXPERT_MAX)
        return gab_fail(log, GAB_ERROR_UNSUPPORTED, "%s: %s is %u, at most %u experts are supported",
                        gab_gguf_path(gguf), full_key(c, "expert_count", name), c->n_expert, GAB_EXPERT_MAX);
    GAB_TRY(gab_config_u32(gguf, log, c, "expert_used_count", c->n_expert, &c->n_used));
    if (c->n_used > GAB_USED_MAX)
        return gab_fail(log, GAB_ERROR_UNSUPPORTED, "%s: %s is %u, at most %u experts a token are supported",
                        gab_gguf_path(gguf), full_key(c, "expert_used_count", name), c->n_used, GAB_USED_MAX);
    GAB_TRY(gab_config_optional_u32(gguf, log, c, "expert_shared_count", UINT32_MAX, &n_shared));
    if (n_shared > 0)
        return gab_fail(log, GAB_ERROR_UNSUPPORTED, "%s: experts that all tokens share (%s is %u) are not supported",
                        gab_gguf_path(gguf), full_key(c, "expert_shared_count", name), n_shared);
    c->n_ff_expert = c->n_ff;
    GAB_TRY(gab_config_optional_u32(gguf, log, c, "expert_feed_forward_length", 1u << 20, &c->n_ff_expert));
    if (c->n_ff_expert == 0) c->n_ff_expert = c->n_ff;
    c->expert_normalize = true;
    gab_gguf_get_bool(gguf, full_key(c, "expert_weights_norm", name), &c->expert_normalize);
    GAB_TRY(gab_config_optional_f32(gguf, log, c, "expert_weights_scale", 0, 1e6f, &c->expert_factor));
    if (!(c->expert_factor > 0)) c->expert_factor = 1;
    c->all_experts = true;
    for (uint32_t i = 0; i < c->n_layer; i++) {
        snprintf(name, sizeof name, "blk.%u.ffn_gate_inp.weight", i);
        if (!gab_gguf_tensor_find(gguf, name)) c->all_experts = false;
    }
    return GAB_OK;
}

/* ---- rotary positions ---- */

/* Scores grow softer with longer contexts: 0.1 ln(factor) + 1 (Peng et al. 2023, equation 22), beside the same with a
 * multiplier. */
static double yarn_magnitude(double factor, double multiplier) {
    const double grown = factor > 1 ? 0.1 * log(factor) : 0;
    return (1 + grown) / (1 + multiplier * grown);
}

static gab_status read_yarn(const gab_gguf *gguf, const gab_log *log, const gab_model_config *c, gab_rope_scaling *s) {
    float fast = 32, slow = 1, magnitude = 0, multiplier = 0;
    char key[KEY_MAX];
    bool truncate = true;
    s->yarn = true;
    GAB_TRY(gab_config_optional_f32(gguf, log, c, "rope.scaling.yarn_beta_fast", 0.001f, 1e6f, &fast));
    GAB_TRY(gab_config_optional_f32(gguf, log, c, "rope.scaling.yarn_beta_slow", 0.001f, 1e6f, &slow));
    GAB_TRY(gab_config_optional_f32(gguf, log, c, "rope.scaling.yarn_log_multiplier", 0, 100, &multiplier));
    /* Folders alone have this; yarn_attn_factor of GGUF is set aside, as other programs do. */
    GAB_TRY(gab_config_optional_f32(gguf, log, c, "rope.scaling.yarn_magnitude", 0, 100, &magnitude));
    if (gab_gguf_get_bool(gguf, full_key(c, "rope.scaling.yarn_truncate", key), &truncate)) s->yarn_exact = !truncate;
    s->beta_fast = (double)fast;
    s->beta_slow = (double)slow;
    s->magnitude = magnitude > 0 ? (double)magnitude : yarn_magnitude(s->factor, (double)multiplier);
    return GAB_OK;
}

static gab_status read_scaling(const gab_gguf *gguf, const gab_log *log, const gab_model_config *c,
                               gab_rope_scaling *s) {
    gab_gguf_string type = {"linear", 6}; /* older files say a factor alone */
    char key[KEY_MAX], shown[65];
    float factor = 0;
    uint32_t original = c->n_ctx;
    if (has_key(gguf, full_key(c, "rope.scaling.type", key))) GAB_TRY(gab_gguf_require_string(gguf, key, log, &type));
    GAB_TRY(gab_config_optional_f32(gguf, log, c, "rope.scale_linear", 0, 1e6f, &factor)); /* of older files */
    GAB_TRY(gab_config_optional_f32(gguf, log, c, "rope.scaling.factor", 0, 1e6f, &factor));
    GAB_TRY(gab_config_optional_u32(gguf, log, c, "rope.scaling.original_context_length", 1u << 24, &original));
    s->n_ctx_original = original > 0 ? original : c->n_ctx;
    if (strcmp(type.text, "none") == 0 || strcmp(type.text, "longrope") == 0) return GAB_OK;
    s->factor = (double)factor;
    if (strcmp(type.text, "linear") == 0) return GAB_OK;
    if (strcmp(type.text, "yarn") == 0) return read_yarn(gguf, log, c, s);
    gab_reader_show(shown, sizeof shown, type.text);
    return gab_fail(log, GAB_ERROR_UNSUPPORTED,
                    "%s: %s is '%s', which is not supported; supported: none, linear, yarn, longrope",
                    gab_gguf_path(gguf), key, shown);
}

gab_status gab_config_read_rope(const gab_gguf *gguf, const gab_log *log, gab_model_config *c) {
    gab_rope_config *rope = &c->rope[0];
    uint32_t n_dim = c->head_dim;
    float base = 10000, magnitude = 1;
    GAB_TRY(gab_config_optional_u32(gguf, log, c, "rope.dimension_count", c->head_dim, &n_dim));
    GAB_TRY(gab_config_optional_f32(gguf, log, c, "rope.freq_base", 1.0001f, 1e12f, &base));
    if (n_dim == 0 || n_dim % 2 || c->head_dim % 2)
        return gab_fail(log, GAB_ERROR_UNSUPPORTED,
                        "%s: heads of %u dimensions of which %u are rotated: both are to be even", gab_gguf_path(gguf),
                        c->head_dim, n_dim);
    *rope = (gab_rope_config){.scaling = {.n_turn = n_dim / 2, .base = (double)base, .magnitude = 1}};
    c->n_rope = 1;
    GAB_TRY(read_scaling(gguf, log, c, &rope->scaling));
    const double stretched = rope->scaling.yarn ? rope->scaling.factor * rope->scaling.n_ctx_original : 0;
    if (stretched > c->n_ctx && stretched <= 1u << 24) c->n_ctx = (uint32_t)stretched; /* what the scaling is for */
    GAB_TRY(gab_config_optional_f32(gguf, log, c, "rope.scaling.attn_factor", 0, 100, &magnitude));
    if (magnitude > 0) rope->scaling.magnitude *= (double)magnitude;
    if (gab_gguf_tensor_find(gguf, "rope_freqs.weight")) rope->divisors = "rope_freqs.weight";
    if (gab_gguf_tensor_find(gguf, "rope_factors_short.weight")) {
        rope->divisors = "rope_factors_short.weight";
        rope->divisors_beyond = "rope_factors_long.weight";
    }
    return GAB_OK;
}

gab_status gab_config_read_temperature(const gab_gguf *gguf, const gab_log *log, gab_model_config *c) {
    const double step = c->rope[0].scaling.n_ctx_original;
    GAB_TRY(gab_config_optional_f32(gguf, log, c, "attention.temperature_scale", 0, 100, &c->temperature));
    if (c->temperature > 0) c->temperature_step = (uint32_t)step;
    return GAB_OK;
}
