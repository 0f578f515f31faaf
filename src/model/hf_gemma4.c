/*
 * hf_gemma4.c - what Gemma 4's configuration says of its two kinds of layers: transformers' configuration_gemma4.py.
 */
#include <string.h>

#include "base/file.h"
#include "model/config.h"
#include "model/hf_values.h"

static bool is_windowed(const cJSON *types, uint32_t i) {
    const cJSON *type = cJSON_GetArrayItem(types, (int)i);
    return types ? cJSON_IsString(type) && strcmp(type->valuestring, "sliding_attention") == 0 : (i + 1) % 6 != 0;
}

gab_status gab_hf_put_gemma4(const gab_hf_config *c, gab_gguf *gguf) {
    const bool keys_as_values = cJSON_IsTrue(gab_hf_find(c->model, "attention_k_eq_v"));
    const bool wide = cJSON_IsTrue(gab_hf_find(c->model, "use_double_wide_mlp"));
    const cJSON *types = gab_hf_find(c->model, "layer_types");
    uint32_t n_layer = 0, n_shared = 0, n_ff = 0, head_dim = 0, n_kv = 0;
    int32_t widths[GAB_LAYER_MAX], heads[GAB_LAYER_MAX];
    GAB_TRY(gab_hf_u32(c, c->model, "num_hidden_layers", &n_layer));
    GAB_TRY(gab_hf_u32(c, c->model, "num_kv_shared_layers", &n_shared));
    GAB_TRY(gab_hf_u32(c, c->model, "intermediate_size", &n_ff));
    GAB_TRY(gab_hf_u32(c, c->model, "head_dim", &head_dim));
    uint32_t global_dim = head_dim;
    GAB_TRY(gab_hf_u32(c, c->model, "global_head_dim", &global_dim));
    n_kv = c->n_head_kv;
    if (keys_as_values) GAB_TRY(gab_hf_u32(c, c->model, "num_global_key_value_heads", &n_kv));
    if (n_layer == 0 || n_layer > GAB_LAYER_MAX || n_shared >= n_layer || n_ff > 1u << 20 || n_kv > 1u << 20 ||
        c->n_head_kv > 1u << 20)
        return gab_fail(c->log, GAB_ERROR_FORMAT,
                        "%s: num_hidden_layers %u, num_kv_shared_layers %u, intermediate_size %u and "
                        "num_key_value_heads %u (num_global_key_value_heads %u) do not make a model: download the file "
                        "again",
                        c->path, n_layer, n_shared, n_ff, c->n_head_kv, n_kv);
    for (uint32_t i = 0; i < n_layer; i++) {
        widths[i] = (int32_t)(wide && i >= n_layer - n_shared ? 2 * n_ff : n_ff);
        heads[i] = (int32_t)(is_windowed(types, i) && i + 1 < n_layer ? c->n_head_kv : n_kv);
    }
    gab_gguf_add_i32s(gguf, "gemma4.feed_forward_length", widths, n_layer);
    gab_gguf_add_i32s(gguf, "gemma4.attention.head_count_kv", heads, n_layer);
    gab_hf_put_u32(gguf, "gemma4", "attention.key_length", global_dim);
    gab_hf_put_u32(gguf, "gemma4", "attention.value_length", global_dim);
    gab_hf_put_u32(gguf, "gemma4", "attention.key_length_swa", head_dim);
    gab_hf_put_u32(gguf, "gemma4", "attention.value_length_swa", head_dim);
    gab_hf_put_u32(gguf, "gemma4", "rope.dimension_count_swa", head_dim);
    return GAB_OK;
}
