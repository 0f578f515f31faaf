/*
 * hf_rope.c - rotary angles of a Hugging Face folder: transformers' modeling_rope_utils.py, of whose scalings "llama3"
 * and "longrope" are tensors in GGUF.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "format/reader.h"
#include "model/hf_values.h"

static void destroy_values(void *user) {
    free(user);
}

static void copy_values(const void *user, uint64_t offset, void *bytes, size_t n) {
    memcpy(bytes, (const char *)user + offset, n);
}

/* A vector that is in no file. */
static gab_status put_vector(const gab_hf_config *c, gab_gguf *gguf, const char *name, const float *values,
                             uint32_t n) {
    gab_file *file = NULL;
    const gab_file_content content = {.make = copy_values,
                                      .destroy = destroy_values,
                                      .user = malloc(n * sizeof *values + 1),
                                      .size = n * sizeof *values};
    if (!content.user) return gab_fail(c->log, GAB_ERROR_HOST_MEMORY, "%s: out of host memory for its angles", c->path);
    memcpy(content.user, values, content.size);
    GAB_TRY(gab_file_open_made(c->path, &content, c->log, &file));
    GAB_TRY(gab_gguf_add_file(gguf, file, c->log));
    gab_gguf_tensor *t = gab_gguf_add_tensor(gguf, name);
    if (!t) return GAB_OK; /* gab_gguf_finish says so */
    const char *kept = t->name;
    *t = (gab_gguf_tensor){.name = kept,
                           .n_dim = 1,
                           .shape = {n, 1, 1, 1},
                           .type_name = gab_dtype_get(GAB_DTYPE_F32)->name,
                           .known = true,
                           .type = GAB_DTYPE_F32,
                           .n_row = 1,
                           .row_bytes = content.size,
                           .bytes = content.size,
                           .file = file};
    return GAB_OK;
}

/* Llama 3.1: slow angles are divided by the factor, fast ones are not, those between by a mixture. */
static gab_status put_llama3(const gab_hf_config *c, const cJSON *rope, double base, uint32_t n_rot, gab_gguf *gguf) {
    const double pi = 3.14159265358979323846;
    double factor = 8, low = 1, high = 4, original = 8192;
    GAB_TRY(gab_hf_number(c, rope, "factor", &factor));
    GAB_TRY(gab_hf_number(c, rope, "low_freq_factor", &low));
    GAB_TRY(gab_hf_number(c, rope, "high_freq_factor", &high));
    GAB_TRY(gab_hf_number(c, rope, "original_max_position_embeddings", &original));
    if (!(factor >= 1 && low > 0 && high > low && original > 0))
        return gab_hf_value_fail(c, rope, "a factor of at least 1, and 0 < low_freq_factor < high_freq_factor");
    float *values = malloc((n_rot / 2 + 1) * sizeof *values);
    if (!values) return gab_fail(c->log, GAB_ERROR_HOST_MEMORY, "%s: out of host memory for its angles", c->path);
    for (uint32_t i = 0; i < n_rot / 2; i++) {
        const double wavelength = 2 * pi * pow(base, 2.0 * i / n_rot);
        const double smooth = (original / wavelength - low) / (high - low);
        if (wavelength < original / high)
            values[i] = 1;
        else if (wavelength > original / low)
            values[i] = (float)factor;
        else
            values[i] = (float)(1 / ((1 - smooth) / factor + smooth));
    }
    gab_status status = put_vector(c, gguf, "rope_freqs.weight", values, n_rot / 2);
    free(values);
    return status;
}

static gab_status put_factors(const gab_hf_config *c, const cJSON *rope, const char *list, const char *tensor,
                              uint32_t n_rot, gab_gguf *gguf) {
    const cJSON *items = gab_hf_find(rope, list), *item;
    char needed[64];
    uint32_t i = 0;
    snprintf(needed, sizeof needed, "a list %s of %u numbers above 0", list, n_rot / 2);
    if (!cJSON_IsArray(items) || (uint32_t)cJSON_GetArraySize(items) != n_rot / 2)
        return gab_hf_value_fail(c, items ? items : rope, needed);
    float *values = malloc((n_rot / 2 + 1) * sizeof *values);
    if (!values) return gab_fail(c->log, GAB_ERROR_HOST_MEMORY, "%s: out of host memory for its angles", c->path);
    cJSON_ArrayForEach(item, items) {
        if (!cJSON_IsNumber(item) || !(item->valuedouble > 0) || !isfinite(item->valuedouble)) {
            free(values);
            return gab_hf_value_fail(c, items, needed);
        }
        values[i++] = (float)item->valuedouble;
    }
    gab_status status = put_vector(c, gguf, tensor, values, n_rot / 2);
    free(values);
    return status;
}

static gab_status put_longrope(const gab_hf_config *c, const cJSON *rope, const char *architecture, uint32_t n_rot,
                               gab_gguf *gguf) {
    double longest = 0, original = 0, attention = 0;
    GAB_TRY(gab_hf_number(c, c->model, "max_position_embeddings", &longest));
    GAB_TRY(gab_hf_number(c, c->model, "original_max_position_embeddings", &original));
    GAB_TRY(gab_hf_number(c, rope, "original_max_position_embeddings", &original));
    if (!(original > 1 && longest > 0 && original < UINT32_MAX))
        return gab_fail(c->log, GAB_ERROR_FORMAT,
                        "%s: a longrope needs max_position_embeddings and original_max_position_embeddings, which are "
                        "missing or 0: download the file again",
                        c->path);
    double scale = longest / original;
    GAB_TRY(gab_hf_number(c, rope, "factor", &scale));
    attention = scale > 1 ? sqrt(1 + log(scale) / log(original)) : 1;
    GAB_TRY(gab_hf_number(c, rope, "attention_factor", &attention));
    gab_hf_put_text(gguf, architecture, "rope.scaling.type", "longrope");
    gab_hf_put_u32(gguf, architecture, "rope.scaling.original_context_length", (uint32_t)original);
    gab_hf_put_f32(gguf, architecture, "rope.scaling.attn_factor", attention);
    GAB_TRY(put_factors(c, rope, "long_factor", "rope_factors_long.weight", n_rot, gguf));
    return put_factors(c, rope, "short_factor", "rope_factors_short.weight", n_rot, gguf);
}

/* By which the scores of a context that is `factor` times as long grow. */
static double yarn_growth(double factor, double multiplier) {
    return factor > 1 ? 0.1 * multiplier * log(factor) + 1 : 1;
}

static gab_status put_yarn(const gab_hf_config *c, const cJSON *rope, const char *architecture, double factor,
                           gab_gguf *gguf) {
    static const struct {
        const char *names, *key;
    } numbers[] = {{"attention_factor", "rope.scaling.yarn_magnitude"},
                   {"beta_fast", "rope.scaling.yarn_beta_fast"},
                   {"beta_slow", "rope.scaling.yarn_beta_slow"},
                   {"extrapolation_factor", "rope.scaling.yarn_ext_factor"}};
    uint32_t longest = 0, original;
    double multiplier = 0, multiplier_all = 0;
    gab_hf_put_text(gguf, architecture, "rope.scaling.type", "yarn");
    GAB_TRY(gab_hf_u32(c, c->model, "max_position_embeddings", &longest));
    original = longest;
    GAB_TRY(gab_hf_u32(c, rope, "original_max_position_embeddings", &original));
    gab_hf_put_u32(gguf, architecture, "rope.scaling.original_context_length", original);
    if (!gab_hf_find(rope, "factor") && original > 0) factor = (double)longest / original;
    gab_hf_put_f32(gguf, architecture, "rope.scaling.factor", factor);
    GAB_TRY(gab_hf_number(c, rope, "mscale", &multiplier));
    GAB_TRY(gab_hf_number(c, rope, "mscale_all_dim", &multiplier_all));
    if (multiplier > 0 && multiplier_all > 0 && !gab_hf_find(rope, "attention_factor"))
        gab_hf_put_f32(gguf, architecture, "rope.scaling.yarn_magnitude",
                       yarn_growth(factor, multiplier) / yarn_growth(factor, multiplier_all));
    if (cJSON_IsFalse(gab_hf_find(rope, "truncate")))
        gab_hf_put_bool(gguf, architecture, "rope.scaling.yarn_truncate", false);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        double value = 0;
        if (!gab_hf_find(rope, numbers[i].names)) continue;
        GAB_TRY(gab_hf_number(c, rope, numbers[i].names, &value));
        gab_hf_put_f32(gguf, architecture, numbers[i].key, value);
    }
    return GAB_OK;
}

/* Gemma 4: of whole heads the first part is rotated; what divides the rest's frequencies leaves nothing of them. */
static gab_status put_proportional(const gab_hf_config *c, const cJSON *rope, uint32_t head_dim, gab_gguf *gguf) {
    double part = 1, factor = 1;
    GAB_TRY(gab_hf_number(c, rope, "partial_rotary_factor", &part));
    GAB_TRY(gab_hf_number(c, rope, "factor", &factor));
    if (!(part > 0 && part <= 1 && factor > 0 && factor < 1e6))
        return gab_hf_value_fail(c, rope, "a partial_rotary_factor above 0 and at most 1, and a factor above 0");
    float *values = malloc((head_dim / 2 + 1) * sizeof *values);
    if (!values) return gab_fail(c->log, GAB_ERROR_HOST_MEMORY, "%s: out of host memory for its angles", c->path);
    const uint32_t n_turn = (uint32_t)(part * head_dim) / 2;
    for (uint32_t i = 0; i < head_dim / 2; i++) values[i] = i < n_turn ? (float)factor : 1e30f;
    gab_status status = put_vector(c, gguf, "rope_freqs.weight", values, head_dim / 2);
    free(values);
    return status;
}

static bool is_proportional(const cJSON *rope) {
    const cJSON *type = gab_hf_find(rope, "rope_type|type");
    return cJSON_IsString(type) && strcmp(type->valuestring, "proportional") == 0;
}

static gab_status put_scaling(const gab_hf_config *c, const cJSON *rope, const char *architecture, double base,
                              uint32_t n_rot, gab_gguf *gguf) {
    const cJSON *type = gab_hf_find(rope, "rope_type|type");
    const char *name = cJSON_IsString(type) ? type->valuestring : "default";
    double factor = 1;
    GAB_TRY(gab_hf_number(c, rope, "factor", &factor));
    if (strcmp(name, "default") == 0) return GAB_OK;
    if (strcmp(name, "dynamic") == 0) { /* whose angles differ beyond max_position_embeddings, where no context goes */
        gab_log_print(c->log, GAB_LOG_INFO, "%s: rope_type 'dynamic' is the default up to max_position_embeddings",
                      c->path);
        return GAB_OK;
    }
    if (is_proportional(rope)) return put_proportional(c, rope, n_rot, gguf);
    if (strcmp(name, "llama3") == 0) return put_llama3(c, rope, base, n_rot, gguf);
    if (strcmp(name, "longrope") == 0 || strcmp(name, "su") == 0)
        return put_longrope(c, rope, architecture, n_rot, gguf);
    if (strcmp(name, "linear") != 0 && strcmp(name, "yarn") != 0) {
        char shown[41];
        gab_reader_show(shown, sizeof shown, name);
        return gab_fail(
            c->log, GAB_ERROR_UNSUPPORTED,
            "%s: rope_type is '%s'; supported: default, dynamic, linear, llama3, longrope, proportional, yarn", c->path,
            shown);
    }
    if (!(factor > 0)) return gab_hf_value_fail(c, rope, "a factor above 0");
    if (strcmp(name, "yarn") == 0) return put_yarn(c, rope, architecture, factor, gguf);
    gab_hf_put_f32(gguf, architecture, "rope.scaling.factor", factor);
    gab_hf_put_text(gguf, architecture, "rope.scaling.type", "linear");
    return GAB_OK;
}

/* Ministral 3: queries grow with every so many positions (kernels/rope.h), as many as YaRN's original context has. */
static gab_status put_temperature(const gab_hf_config *c, const cJSON *rope, const char *architecture, gab_gguf *gguf) {
    const cJSON *type = gab_hf_find(rope, "rope_type|type");
    uint32_t original = 0;
    double beta = 0;
    GAB_TRY(gab_hf_number(c, rope, "llama_4_scaling_beta", &beta));
    GAB_TRY(gab_hf_u32(c, rope, "original_max_position_embeddings", &original));
    if (!cJSON_IsString(type) || strcmp(type->valuestring, "yarn") != 0 || original == 0 || beta < 0)
        return gab_fail(c->log, GAB_ERROR_UNSUPPORTED,
                        "%s: rope_parameters are supported for ministral3 with the rope_type 'yarn', "
                        "original_max_position_embeddings and a llama_4_scaling_beta of at least 0",
                        c->path);
    gab_hf_put_f32(gguf, architecture, "attention.temperature_scale", beta);
    return GAB_OK;
}

/* Only the layers without a window may have their angles scaled. */
static gab_status check_windowed(const gab_hf_config *c, const cJSON *windowed) {
    const cJSON *type = gab_hf_find(windowed, "rope_type|type"), *part = gab_hf_find(windowed, "partial_rotary_factor");
    if ((type && !(cJSON_IsString(type) && strcmp(type->valuestring, "default") == 0)) ||
        (part && !(cJSON_IsNumber(part) && part->valuedouble >= 1)))
        return gab_fail(c->log, GAB_ERROR_UNSUPPORTED,
                        "%s: rope_parameters of sliding_attention are supported with the rope_type 'default' and whole "
                        "heads rotated alone",
                        c->path);
    return GAB_OK;
}

/* transformers 5 keeps all in rope_parameters, of two kinds of layers where there are two; before that, rope_theta and
 * rope_scaling. */
gab_status gab_hf_put_rope(const gab_hf_config *c, const char *architecture, gab_gguf *gguf) {
    const cJSON *rope = gab_hf_find(c->model, "rope_parameters|rope_scaling");
    const cJSON *full = gab_hf_find(rope, "full_attention"), *windowed = gab_hf_find(rope, "sliding_attention");
    double base = 10000, base_windowed = 0, part = 1;
    uint32_t n_embd = 0, head_dim = 0;
    if (full) rope = full;
    if (!rope && !gab_hf_find(c->model, "rope_theta|rotary_emb_base|partial_rotary_factor|rotary_pct")) return GAB_OK;
    GAB_TRY(gab_hf_number(c, c->model, "rope_theta|rotary_emb_base", &base));
    GAB_TRY(gab_hf_number(c, rope, "rope_theta", &base));
    GAB_TRY(gab_hf_number(c, c->model, "partial_rotary_factor|rotary_pct", &part));
    GAB_TRY(gab_hf_number(c, rope, "partial_rotary_factor", &part));
    GAB_TRY(gab_hf_u32(c, c->model, "hidden_size|n_embd", &n_embd));
    if (c->n_head > 0) head_dim = n_embd / c->n_head;
    GAB_TRY(gab_hf_u32(c, c->model, "global_head_dim|head_dim", &head_dim));
    if (is_proportional(rope)) part = 1; /* its own matter */
    if (!(base > 0 && part > 0 && part <= 1 && head_dim >= 2 && head_dim <= 1 << 16))
        return gab_fail(c->log, GAB_ERROR_FORMAT,
                        "%s: rope_theta %g, partial_rotary_factor %g and heads of %u dimensions do not make rotary "
                        "angles: download the file again",
                        c->path, base, part, head_dim);
    const uint32_t n_rot = (uint32_t)(part * head_dim);
    if (n_rot != head_dim && gab_hf_family_in_pairs(c->family))
        return gab_fail(c->log, GAB_ERROR_UNSUPPORTED,
                        "%s: partial_rotary_factor is %g: %s is supported with whole heads rotated alone", c->path,
                        part, c->model_type);
    gab_hf_put_f32(gguf, architecture, "rope.freq_base", base);
    gab_hf_put_u32(gguf, architecture, "rope.dimension_count", n_rot);
    GAB_TRY(gab_hf_number(c, c->model, "rope_local_base_freq", &base_windowed));
    GAB_TRY(gab_hf_number(c, windowed, "rope_theta", &base_windowed));
    GAB_TRY(check_windowed(c, windowed));
    if (strcmp(architecture, "gemma4") == 0 && !is_proportional(rope))
        return gab_fail(c->log, GAB_ERROR_UNSUPPORTED,
                        "%s: rope_parameters of full_attention are not of the rope_type 'proportional', which alone is "
                        "supported for %s",
                        c->path, c->model_type);
    if (base_windowed > 0) gab_hf_put_f32(gguf, architecture, "rope.freq_base_swa", base_windowed);
    if (strcmp(c->model_type, "ministral3") == 0) GAB_TRY(put_temperature(c, rope, architecture, gguf));
    return put_scaling(c, rope, architecture, base, n_rot, gguf);
}
