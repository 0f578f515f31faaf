/*
 * Meaning of the values: transformers' configuration classes; GGUF's keys: gguf-py (constants.py).
 */
#include "model/hf_config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "format/reader.h"
#include "model/config.h"
#include "model/hf_values.h"

enum { CONFIG_BYTES_MAX = 16 << 20, END_MAX = 64 };

/* ---- reading ---- */

/* What a configuration leaves out where it is the class's default, of those fields whose absence means something else
 * here; null is a value. */
#define GEMMA4_DEFAULTS(type, context, window)                                                                         \
    {type, "num_attention_heads", NULL, "8"}, {type, "num_key_value_heads", NULL, "4"},                                \
        {type, "head_dim", NULL, "256"}, {type, "global_head_dim", NULL, "512"},                                       \
        {type, "max_position_embeddings", NULL, context}, {type, "rms_norm_eps", NULL, "1e-6"},                        \
        {type, "sliding_window", NULL, window}, {type, "num_kv_shared_layers", NULL, "0"}, {                           \
        type, "rope_parameters", NULL,                                                                                 \
            "{\"sliding_attention\": {\"rope_type\": \"default\", \"rope_theta\": 10000}, \"full_attention\": "        \
            "{\"rope_type\": \"proportional\", \"partial_rotary_factor\": 0.25, \"rope_theta\": 1000000}}"             \
    }
static const struct {
    const char *model_type, *name, *other_name;
    const char *value; /* JSON */
} defaults[] = {
    {"gemma2", "head_dim", NULL, "256"},
    {"gemma2", "query_pre_attn_scalar", NULL, "256"},
    {"gemma2", "rms_norm_eps", NULL, "1e-6"},
    {"gemma2", "sliding_window", NULL, "4096"},
    {"gemma3_text", "num_attention_heads", NULL, "8"},
    {"gemma3_text", "num_key_value_heads", NULL, "4"},
    {"gemma3_text", "head_dim", NULL, "256"},
    {"gemma3_text", "max_position_embeddings", NULL, "131072"},
    {"gemma3_text", "rms_norm_eps", NULL, "1e-6"},
    {"gemma3_text", "query_pre_attn_scalar", NULL, "256"},
    {"gemma3_text", "sliding_window", NULL, "4096"},
    {"gemma3_text", "rope_theta", "rope_parameters", "1e6"},
    GEMMA4_DEFAULTS("gemma4_text", "131072", "512"),
    {"gemma4_text", "hidden_size_per_layer_input", NULL, "256"},
    GEMMA4_DEFAULTS("gemma4_unified_text", "262144", "1024"),
    {"gpt_neox", "rotary_pct", "partial_rotary_factor", "0.25"},
    {"gpt_oss", "head_dim", NULL, "64"},
    {"gpt_oss", "rms_norm_eps", NULL, "1e-5"},
    {"gpt_oss", "rope_theta", "rope_parameters", "150000"},
    {"gpt_oss", "sliding_window", NULL, "128"},
    {"llama", "hidden_size", NULL, "4096"},
    {"llama", "intermediate_size", NULL, "11008"},
    {"llama", "num_hidden_layers", NULL, "32"},
    {"llama", "num_attention_heads", NULL, "32"},
    {"llama", "max_position_embeddings", NULL, "2048"},
    {"llama", "rms_norm_eps", NULL, "1e-6"},
    {"mistral", "hidden_size", NULL, "4096"},
    {"mistral", "intermediate_size", NULL, "14336"},
    {"mistral", "num_hidden_layers", NULL, "32"},
    {"mistral", "num_attention_heads", NULL, "32"},
    {"mistral", "num_key_value_heads", NULL, "8"},
    {"mistral", "max_position_embeddings", NULL, "131072"},
    {"mistral", "rms_norm_eps", NULL, "1e-6"},
    {"mistral", "sliding_window", NULL, "4096"},
    {"mixtral", "rms_norm_eps", NULL, "1e-5"},
    {"mixtral", "rope_theta", "rope_parameters", "1e6"},
    {"olmo2", "rms_norm_eps", NULL, "1e-5"},
    {"phi3", "rms_norm_eps", NULL, "1e-5"},
    {"qwen2", "use_sliding_window", NULL, "0"},
    {"qwen2", "max_window_layers", NULL, "28"},
    {"qwen2", "rms_norm_eps", NULL, "1e-6"},
    {"qwen3", "use_sliding_window", NULL, "0"},
    {"qwen3", "max_window_layers", NULL, "28"},
    {"qwen3", "head_dim", NULL, "128"},
    {"qwen3", "rms_norm_eps", NULL, "1e-6"},
    {"qwen3_moe", "use_sliding_window", NULL, "0"},
    {"qwen3_moe", "rms_norm_eps", NULL, "1e-6"},
    {"ministral", "sliding_window", NULL, "4096"},
    {"ministral", "rms_norm_eps", NULL, "1e-6"},
    {"ministral3", "num_attention_heads", NULL, "32"},
    {"ministral3", "num_key_value_heads", NULL, "8"},
    {"ministral3", "head_dim", NULL, "128"},
    {"ministral3", "max_position_embeddings", NULL, "262144"},
    {"ministral3", "rms_norm_eps", NULL, "1e-5"},
    {"ministral3", "rope_parameters", "rope_scaling",
     "{\"rope_type\": \"yarn\", \"rope_theta\": 1000000, \"factor\": 16, \"original_max_position_embeddings\": 16384, "
     "\"mscale\": 1, \"mscale_all_dim\": 1, \"llama_4_scaling_beta\": 0.1}"},
    {"smollm3", "use_sliding_window", NULL, "0"},
    {"smollm3", "no_rope_layer_interval", NULL, "4"},
    {"smollm3", "rms_norm_eps", NULL, "1e-6"},
    {"smollm3", "rope_theta", "rope_parameters", "2e6"},
};

static void add_defaults(const char *model_type, cJSON *model) {
    for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++)
        if (strcmp(defaults[i].model_type, model_type) == 0 &&
            !cJSON_GetObjectItemCaseSensitive(model, defaults[i].name) &&
            !(defaults[i].other_name && cJSON_GetObjectItemCaseSensitive(model, defaults[i].other_name)))
            cJSON_AddItemToObject(model, defaults[i].name, cJSON_Parse(defaults[i].value));
}

/* Does the class tie the head to the embedding where config.json does not say it? Of a model of several senses the
 * whole model's decides. */
static bool tied_by_class(const gab_hf_config *c) {
    static const char *const tied[] = {
        "gpt2",   "smollm3", "gemma2",         "gemma3_text", "gemma4_text", "gemma4_unified_text",
        "gemma3", "gemma4",  "gemma4_unified", "mistral3"};
    const cJSON *type = gab_hf_find(c->root, "model_type");
    if (gab_hf_find(c->root, "tie_word_embeddings") || !cJSON_IsString(type)) return false;
    for (size_t i = 0; i < sizeof tied / sizeof *tied; i++)
        if (strcmp(tied[i], type->valuestring) == 0) return true;
    return false;
}

/* What is not known has whatever it likes in its configuration: it is refused for its name (model.c). */
static gab_status read_heads(gab_hf_config *c) {
    if (!c->family) return GAB_OK;
    GAB_TRY(gab_hf_u32(c, c->model, "num_attention_heads|n_head", &c->n_head));
    c->n_head_kv = c->n_head;
    return gab_hf_u32(c, c->model, "num_key_value_heads", &c->n_head_kv);
}

gab_status gab_hf_config_read(const char *folder, const gab_log *log, gab_hf_config *c) {
    *c = (gab_hf_config){.log = log};
    const int n = snprintf(c->path, sizeof c->path, "%s/config.json", folder);
    if (n < 0 || (size_t)n >= sizeof c->path)
        return gab_fail(log, GAB_ERROR_FILE, "%.64s...: the path is longer than %zu bytes", folder, sizeof c->path);
    if (gab_path_kind(c->path) != GAB_PATH_FILE)
        return gab_fail(log, GAB_ERROR_FILE,
                        "%s has no config.json: name the folder of a Hugging Face model, or a GGUF file", folder);
    GAB_TRY(gab_json_read(c->path, CONFIG_BYTES_MAX, log, &c->root));
    cJSON *text = cJSON_GetObjectItemCaseSensitive(c->root, "text_config"); /* of a model that also sees or hears */
    c->model = cJSON_IsObject(text) ? text : c->root;
    const cJSON *type = gab_hf_find(c->model, "model_type");
    if (!cJSON_IsString(type))
        return gab_fail(log, GAB_ERROR_FORMAT, "%s: model_type is missing or no text: download the file again",
                        c->path);
    c->model_type = type->valuestring;
    add_defaults(c->model_type, cJSON_IsObject(text) ? text : c->root);
    c->family = gab_hf_family_find(c->model_type);
    GAB_TRY(read_heads(c));
    c->tied = cJSON_IsTrue(gab_hf_find(c->root, "tie_word_embeddings")) ||
              cJSON_IsTrue(gab_hf_find(c->model, "tie_word_embeddings"));
    c->head_needed = c->family && !c->tied && !tied_by_class(c);
    return GAB_OK;
}

void gab_hf_config_free(gab_hf_config *config) {
    cJSON_Delete(config->root);
    config->root = NULL;
}

/* ---- what is computed otherwise than here ---- */

static gab_status check_features(const gab_hf_config *c) {
    static const struct {
        const char *name;
        bool needed;
    } flags[] = {{"scale_attn_weights", true},
                 {"scale_attn_by_inverse_layer_idx", false},
                 {"add_cross_attention", false},
                 {"is_encoder_decoder", false},
                 {"enable_moe_block", false}};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        const cJSON *flag = gab_hf_find(c->model, flags[i].name);
        if (flag && cJSON_IsTrue(flag) != flags[i].needed)
            return gab_fail(c->log, GAB_ERROR_UNSUPPORTED, "%s: %s is %s, supported is %s", c->path, flags[i].name,
                            flags[i].needed ? "false" : "true", flags[i].needed ? "true" : "false");
    }
    const cJSON *both = gab_hf_find(c->model, "use_bidirectional_attention");
    const bool of_images = cJSON_IsString(both) && strcmp(both->valuestring, "vision") == 0;
    if (both && !cJSON_IsFalse(both) && !of_images)
        return gab_fail(c->log, GAB_ERROR_UNSUPPORTED,
                        "%s: use_bidirectional_attention is %s, supported is false (or 'vision', of images alone)",
                        c->path, cJSON_IsString(both) ? "'all'" : "true");
    if (gab_hf_find(c->model, "per_layer_config"))
        return gab_fail(c->log, GAB_ERROR_UNSUPPORTED, "%s: per_layer_config is not supported, only null is", c->path);
    double limit = 7; /* of GAB_ACTIVATION_CLAMPED */
    GAB_TRY(gab_hf_number(c, c->model, "swiglu_limit", &limit));
    if (limit < 7 || limit > 7)
        return gab_fail(c->log, GAB_ERROR_UNSUPPORTED, "%s: swiglu_limit is %g, supported is 7", c->path, limit);
    const cJSON *quantized = gab_hf_find(c->root, "quantization_config");
    const cJSON *method = gab_hf_find(quantized, "quant_method");
    const bool mxfp4 = cJSON_IsString(method) && strcmp(method->valuestring, "mxfp4") == 0 && /* folder.c joins it */
                       strcmp(c->model_type, "gpt_oss") == 0;
    if (quantized && !mxfp4) {
        char shown[41];
        gab_reader_show(shown, sizeof shown, cJSON_IsString(method) ? method->valuestring : "of an unnamed method");
        return gab_fail(
            c->log, GAB_ERROR_UNSUPPORTED,
            "%s: quantization_config is '%s', which is not supported: use the model in F32, F16 or BF16 (and "
            "--quantize), or a GGUF file of it",
            c->path, shown);
    }
    const cJSON *act = gab_hf_find(c->model, "hidden_activation|hidden_act|activation_function");
    if (!act || !cJSON_IsString(act)) return GAB_OK;
    const char *known = c->family->activations;
    const size_t n = strlen(act->valuestring);
    for (const char *at = known; *at; at += strcspn(at, "|"), at += *at == '|')
        if (strcspn(at, "|") == n && strncmp(at, act->valuestring, n) == 0) return GAB_OK;
    char shown[41];
    gab_reader_show(shown, sizeof shown, act->valuestring);
    return gab_fail(c->log, GAB_ERROR_UNSUPPORTED, "%s: %s is '%s'; supported for %s: %s", c->path, act->string, shown,
                    c->model_type, known);
}

/* ---- keys ---- */

static const struct {
    const char *names, *key;
    bool is_float;
    bool of_layers; /* Gemma 4 has one a layer (hf_gemma4.c) */
} keys[] = {
    {"max_position_embeddings|n_positions|n_ctx", "context_length", false},
    {"hidden_size|n_embd", "embedding_length", false},
    {"num_hidden_layers|n_layer", "block_count", false},
    {"intermediate_size|n_inner", "feed_forward_length", false, true},
    {"num_attention_heads|n_head", "attention.head_count", false},
    {"num_key_value_heads", "attention.head_count_kv", false, true},
    {"head_dim", "attention.key_length", false, true},
    {"head_dim", "attention.value_length", false, true},
    {"num_kv_shared_layers", "attention.shared_kv_layers", false},
    {"hidden_size_per_layer_input", "embedding_length_per_layer_input", false},
    {"layer_norm_epsilon|layer_norm_eps", "attention.layer_norm_epsilon", true},
    {"rms_norm_eps", "attention.layer_norm_rms_epsilon", true},
    {"vocab_size", "vocab_size", false},
    {"attn_logit_softcapping", "attn_logit_softcapping", true},
    {"final_logit_softcapping", "final_logit_softcapping", true},
    {"num_local_experts|num_experts", "expert_count", false},
    {"num_experts_per_tok", "expert_used_count", false},
    {"moe_intermediate_size", "expert_feed_forward_length", false},
};

static gab_status put_table(const gab_hf_config *c, const char *architecture, gab_gguf *gguf) {
    const bool of_layers = strcmp(architecture, "gemma4") == 0;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        double number = 0;
        uint32_t whole = 0;
        if (of_layers && keys[i].of_layers) continue;
        if (keys[i].is_float && cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(c->model, keys[i].names)))
            gab_hf_put_f32(gguf, architecture, keys[i].key,
                           0); /* null: none, where GGUF's absence is the family's default */
        if (!gab_hf_find(c->model, keys[i].names)) continue;
        if (keys[i].is_float) {
            GAB_TRY(gab_hf_number(c, c->model, keys[i].names, &number));
            gab_hf_put_f32(gguf, architecture, keys[i].key, number);
        } else {
            GAB_TRY(gab_hf_u32(c, c->model, keys[i].names, &whole));
            gab_hf_put_u32(gguf, architecture, keys[i].key, whole);
        }
    }
    return GAB_OK;
}

static void put_pattern(gab_gguf *gguf, const char *architecture, const int32_t *pattern, size_t n) {
    char name[128];
    snprintf(name, sizeof name, "%s.attention.sliding_window_pattern", architecture);
    gab_gguf_add_i32s(gguf, name, pattern, n);
}

/* Before there were layer_types: every so many layers one has no window, or the first ones have none. */
static gab_status put_old_pattern(const gab_hf_config *c, const char *architecture, gab_gguf *gguf) {
    uint32_t period = 0, first = 0, n_layer = 0;
    GAB_TRY(gab_hf_u32(c, c->model, "sliding_window_pattern", &period));
    if (period > 0) gab_hf_put_u32(gguf, architecture, "attention.sliding_window_pattern", period);
    GAB_TRY(gab_hf_u32(c, c->model, "max_window_layers", &first));
    GAB_TRY(gab_hf_u32(c, c->model, "num_hidden_layers", &n_layer));
    if (first == 0 || n_layer > GAB_LAYER_MAX) return GAB_OK;
    int32_t pattern[GAB_LAYER_MAX];
    for (uint32_t i = 0; i < n_layer; i++) pattern[i] = i >= first;
    put_pattern(gguf, architecture, pattern, n_layer);
    return GAB_OK;
}

/* Sliding windows: their width, and which layers have one where not all do or all but by the family's own rule. */
static gab_status put_windows(const gab_hf_config *c, const char *architecture, gab_gguf *gguf) {
    uint32_t window = 0;
    const cJSON *types = gab_hf_find(c->model, "layer_types"), *type;
    const cJSON *used = gab_hf_find(c->model, "use_sliding_window");
    GAB_TRY(gab_hf_u32(c, c->model, "sliding_window", &window));
    if (window == 0 || (used && !cJSON_IsTrue(used))) return GAB_OK;
    gab_hf_put_u32(gguf, architecture, "attention.sliding_window", window);
    if (!cJSON_IsArray(types)) return put_old_pattern(c, architecture, gguf);
    const size_t n = (size_t)cJSON_GetArraySize(types);
    int32_t *pattern = calloc(n + 1, sizeof *pattern);
    if (!pattern) return gab_fail(c->log, GAB_ERROR_HOST_MEMORY, "%s: out of host memory for its keys", c->path);
    gab_status status = GAB_OK;
    size_t i = 0;
    cJSON_ArrayForEach(type, types) {
        const bool windowed = cJSON_IsString(type) && strcmp(type->valuestring, "sliding_attention") == 0;
        if (!windowed && !(cJSON_IsString(type) && strcmp(type->valuestring, "full_attention") == 0)) {
            status = gab_hf_value_fail(c, types, "a list of 'full_attention' and 'sliding_attention'");
            break;
        }
        pattern[i++] = windowed;
    }
    if (status == GAB_OK) put_pattern(gguf, architecture, pattern, i);
    free(pattern);
    return status;
}

/* Layers without rotary positions (SmolLM3): a list of 1 for those with them, or every so many layers one. */
static gab_status put_unrotated(const gab_hf_config *c, const char *architecture, gab_gguf *gguf) {
    const cJSON *list = gab_hf_find(c->model, "no_rope_layers"), *item;
    uint32_t period = 0, n_layer = 0;
    int32_t pattern[GAB_LAYER_MAX];
    char name[128];
    GAB_TRY(gab_hf_u32(c, c->model, "no_rope_layer_interval", &period));
    GAB_TRY(gab_hf_u32(c, c->model, "num_hidden_layers", &n_layer));
    if (period == 0 || n_layer > GAB_LAYER_MAX) return GAB_OK;
    for (uint32_t i = 0; i < n_layer; i++) pattern[i] = (i + 1) % period != 0;
    if (list && (!cJSON_IsArray(list) || cJSON_GetArraySize(list) != (int)n_layer))
        return gab_hf_value_fail(c, list, "a list of 0 and 1, one a layer");
    uint32_t i = 0;
    cJSON_ArrayForEach(item, list) pattern[i++] = cJSON_IsTrue(item) || (cJSON_IsNumber(item) && item->valueint != 0);
    snprintf(name, sizeof name, "%s.rope.layer_pattern", architecture);
    gab_gguf_add_i32s(gguf, name, pattern, n_layer);
    return GAB_OK;
}

/* ---- all ---- */

gab_status gab_hf_config_put(const gab_hf_config *c, gab_gguf *gguf) {
    const char *architecture = c->family ? c->family->architecture : c->model_type;
    gab_gguf_add_text(gguf, "general.architecture", architecture);
    if (!c->family) {
        const gab_log silent = {0};
        gab_hf_config unknown = *c;
        unknown.log = &silent;
        put_table(&unknown, architecture, gguf); /* as far as it goes */
        return GAB_OK;
    }
    GAB_TRY(put_table(c, architecture, gguf));
    GAB_TRY(check_features(c));
    if (!gab_hf_find(c->model, "intermediate_size|n_inner")) { /* GPT-2's default */
        uint32_t n_embd = 0;
        GAB_TRY(gab_hf_u32(c, c->model, "hidden_size|n_embd", &n_embd));
        gab_hf_put_u32(gguf, architecture, "feed_forward_length", n_embd <= UINT32_MAX / 4 ? 4 * n_embd : UINT32_MAX);
    }
    double scalar = 0;
    GAB_TRY(gab_hf_number(c, c->model, "query_pre_attn_scalar", &scalar));
    if (scalar > 0) gab_hf_put_f32(gguf, architecture, "attention.scale", 1 / sqrt(scalar));
    if (strcmp(c->model_type, "qwen3_moe") == 0) /* whose class does not do it, unlike GGUF's models */
        gab_hf_put_bool(gguf, architecture, "expert_weights_norm",
                        cJSON_IsTrue(gab_hf_find(c->model, "norm_topk_prob")));
    if (strcmp(c->model_type, "gpt_neox") == 0) {
        const cJSON *parallel = gab_hf_find(c->model, "use_parallel_residual"),
                    *act = gab_hf_find(c->model, "hidden_act");
        gab_hf_put_bool(gguf, architecture, "use_parallel_residual", !parallel || cJSON_IsTrue(parallel));
        if (cJSON_IsString(act)) gab_hf_put_text(gguf, architecture, "hidden_activation", act->valuestring);
    }
    GAB_TRY(put_windows(c, architecture, gguf));
    if (strcmp(architecture, "gemma4") == 0) GAB_TRY(gab_hf_put_gemma4(c, gguf));
    GAB_TRY(put_unrotated(c, architecture, gguf));
    return gab_hf_put_rope(c, architecture, gguf);
}

/* ---- generation_config.json ---- */

/* One id or a list of them. */
static gab_status get_ids(const gab_hf_config *c, const cJSON *item, int32_t ids[END_MAX], uint32_t *n) {
    const cJSON *list = cJSON_IsArray(item) ? item->child : item;
    for (const cJSON *id = list; id; id = cJSON_IsArray(item) ? id->next : NULL) {
        uint64_t value = 0;
        if (!gab_json_u64(id, &value) || value > INT32_MAX || *n == END_MAX)
            return gab_hf_value_fail(c, item, "a token id, or a list of at most 64 of them");
        ids[(*n)++] = (int32_t)value;
    }
    return GAB_OK;
}

gab_status gab_hf_generation_put(const char *folder, const gab_hf_config *config, gab_gguf *gguf) {
    static const struct {
        const char *name, *key;
        bool is_float;
    } sampling[] = {{"temperature", "general.sampling.temp", true},
                    {"top_k", "general.sampling.top_k", false},
                    {"top_p", "general.sampling.top_p", true},
                    {"min_p", "general.sampling.min_p", true},
                    {"repetition_penalty", "general.sampling.penalty_repeat", true}};
    gab_hf_config c = {.log = config->log};
    int32_t ends[END_MAX];
    uint32_t n_end = 0;
    gab_status status = GAB_OK;
    snprintf(c.path, sizeof c.path, "%.4000s/generation_config.json", folder);
    if (gab_path_kind(c.path) == GAB_PATH_FILE) GAB_TRY(gab_json_read(c.path, CONFIG_BYTES_MAX, c.log, &c.root));
    const cJSON *end = gab_hf_find(c.root, "eos_token_id"), *start = gab_hf_find(c.root, "bos_token_id");
    if (!end) end = gab_hf_find(config->model, "eos_token_id"); /* an old folder says it there */
    if (!start) start = gab_hf_find(config->model, "bos_token_id");
    if (end) GAB_TRY_GOTO(get_ids(&c, end, ends, &n_end), done);
    if (n_end > 0) {
        gab_gguf_add_i32s(gguf, "tokenizer.ggml.eos_token_ids", ends, n_end);
        gab_gguf_add_u32(gguf, "tokenizer.ggml.eos_token_id", (uint32_t)ends[0]);
    }
    uint64_t id = 0;
    if (gab_json_u64(start, &id) && id <= INT32_MAX)
        gab_gguf_add_u32(gguf, "tokenizer.ggml.bos_token_id", (uint32_t)id);
    const bool samples = cJSON_IsTrue(gab_hf_find(c.root, "do_sample")); /* else these are not meant */
    for (size_t i = 0; samples && i < sizeof sampling / sizeof *sampling; i++) {
        const cJSON *item = gab_hf_find(c.root, sampling[i].name);
        if (!cJSON_IsNumber(item)) continue;
        if (sampling[i].is_float)
            gab_gguf_add_f32(gguf, sampling[i].key, (float)item->valuedouble);
        else if (item->valuedouble >= 0 && item->valuedouble <= UINT32_MAX)
            gab_gguf_add_u32(gguf, sampling[i].key, (uint32_t)item->valuedouble);
    }
done:
    gab_hf_config_free(&c);
    return status;
}
