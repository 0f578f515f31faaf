/*
 * Names: the modules of transformers' models (src/transformers/models/NAME/modeling_NAME.py), and llama.cpp's gguf-py
 * (tensor_mapping.py).
 */
#include "model/hf_names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- rules ---- */

static const gab_hf_rule gpt2_rules[] = {
    {"wte", "token_embd"},
    {"wpe", "position_embd"},
    {"h.#.ln_1", "blk.#.attn_norm"},
    {"h.#.attn.c_attn", "blk.#.attn_qkv", GAB_HF_TRANSPOSED},
    {"h.#.attn.c_proj", "blk.#.attn_output", GAB_HF_TRANSPOSED},
    {"h.#.ln_2", "blk.#.ffn_norm"},
    {"h.#.mlp.c_fc", "blk.#.ffn_up", GAB_HF_TRANSPOSED},
    {"h.#.mlp.c_proj", "blk.#.ffn_down", GAB_HF_TRANSPOSED},
    {"ln_f", "output_norm"},
    {"lm_head", "output"},
    {0},
};

static const gab_hf_rule gpt_neox_rules[] = {
    {"embed_in", "token_embd"},
    {"layers.#.input_layernorm", "blk.#.attn_norm"},
    {"layers.#.attention.query_key_value", "blk.#.attn_qkv", GAB_HF_HEADS_QKV},
    {"layers.#.attention.dense", "blk.#.attn_output"},
    {"layers.#.post_attention_layernorm", "blk.#.ffn_norm"},
    {"layers.#.mlp.dense_h_to_4h", "blk.#.ffn_up"},
    {"layers.#.mlp.dense_4h_to_h", "blk.#.ffn_down"},
    {"final_layer_norm", "output_norm"},
    {"embed_out", "output"},
    {0},
};

/* What Llama and all who came after it call the same. */
static const gab_hf_rule common_rules[] = {
    {"embed_tokens", "token_embd"},
    {"layers.#.self_attn.v_proj", "blk.#.attn_v"},
    {"layers.#.self_attn.o_proj", "blk.#.attn_output"},
    {"layers.#.mlp.down_proj", "blk.#.ffn_down"},
    {"lm_head", "output"},
    {0},
};
static const gab_hf_rule norm_rules[] = {
    {"layers.#.input_layernorm", "blk.#.attn_norm"},
    {"layers.#.post_attention_layernorm", "blk.#.ffn_norm"},
    {"norm", "output_norm"},
    {0},
};
static const gab_hf_rule gated_rules[] = {
    {"layers.#.mlp.gate_proj", "blk.#.ffn_gate"},
    {"layers.#.mlp.up_proj", "blk.#.ffn_up"},
    {0},
};
/* Rotated in pairs: Llama's own order in GGUF. */
static const gab_hf_rule qk_paired_rules[] = {
    {"layers.#.self_attn.q_proj", "blk.#.attn_q", GAB_HF_ROPE_Q},
    {"layers.#.self_attn.k_proj", "blk.#.attn_k", GAB_HF_ROPE_K},
    {0},
};
/* Rotated in halves, in both. */
static const gab_hf_rule qk_halves_rules[] = {
    {"layers.#.self_attn.q_proj", "blk.#.attn_q"},
    {"layers.#.self_attn.k_proj", "blk.#.attn_k"},
    {"layers.#.self_attn.q_norm", "blk.#.attn_q_norm"},
    {"layers.#.self_attn.k_norm", "blk.#.attn_k_norm"},
    {0},
};
static const gab_hf_rule mixtral_rules[] = {
    {"layers.#.block_sparse_moe.gate", "blk.#.ffn_gate_inp"},
    {"layers.#.block_sparse_moe.experts.*.w1", "blk.#.ffn_gate_exps"},
    {"layers.#.block_sparse_moe.experts.*.w2", "blk.#.ffn_down_exps"},
    {"layers.#.block_sparse_moe.experts.*.w3", "blk.#.ffn_up_exps"},
    {0},
};
static const gab_hf_rule qwen_moe_rules[] = {
    {"layers.#.mlp.gate", "blk.#.ffn_gate_inp"},
    {"layers.#.mlp.experts.*.gate_proj", "blk.#.ffn_gate_exps"},
    {"layers.#.mlp.experts.*.up_proj", "blk.#.ffn_up_exps"},
    {"layers.#.mlp.experts.*.down_proj", "blk.#.ffn_down_exps"},
    {0},
};
static const gab_hf_rule gpt_oss_rules[] = {
    {"layers.#.input_layernorm", "blk.#.attn_norm"},
    {"layers.#.post_attention_layernorm", "blk.#.post_attention_norm"},
    {"norm", "output_norm"},
    {"layers.#.self_attn.sinks", "blk.#.attn_sinks", .ending = ".weight"},
    {"layers.#.mlp.router", "blk.#.ffn_gate_inp"},
    {"layers.#.mlp.experts.gate_up_proj", "blk.#.ffn_gate_up_turns", GAB_HF_EXPERTS_TRANSPOSED, .ending = ".weight"},
    {"layers.#.mlp.experts.gate_up_proj_blocks", "blk.#.ffn_gate_up_turns", GAB_HF_MX_NUMBERS, .ending = ".weight"},
    {"layers.#.mlp.experts.gate_up_proj_scales", "blk.#.ffn_gate_up_turns", GAB_HF_MX_SCALES, .ending = ".weight"},
    {"layers.#.mlp.experts.gate_up_proj_bias", "blk.#.ffn_gate_up_turns", .ending = ".bias"},
    {"layers.#.mlp.experts.down_proj", "blk.#.ffn_down_exps", GAB_HF_EXPERTS_TRANSPOSED, .ending = ".weight"},
    {"layers.#.mlp.experts.down_proj_blocks", "blk.#.ffn_down_exps", GAB_HF_MX_NUMBERS, .ending = ".weight"},
    {"layers.#.mlp.experts.down_proj_scales", "blk.#.ffn_down_exps", GAB_HF_MX_SCALES, .ending = ".weight"},
    {"layers.#.mlp.experts.down_proj_bias", "blk.#.ffn_down_exps", .ending = ".bias"},
    {0},
};
static const gab_hf_rule phi3_rules[] = {
    {"layers.#.self_attn.qkv_proj", "blk.#.attn_qkv"},
    {"layers.#.mlp.gate_up_proj", "blk.#.ffn_up"},
    {0},
};
static const gab_hf_rule gemma_norm_rules[] = {
    {"layers.#.input_layernorm", "blk.#.attn_norm", .add_one = true},
    {"layers.#.post_attention_layernorm", "blk.#.post_attention_norm", .add_one = true},
    {"layers.#.pre_feedforward_layernorm", "blk.#.ffn_norm", .add_one = true},
    {"layers.#.post_feedforward_layernorm", "blk.#.post_ffw_norm", .add_one = true},
    {"norm", "output_norm", .add_one = true},
    {0},
};
static const gab_hf_rule gemma_qk_rules[] = {
    {"layers.#.self_attn.q_proj", "blk.#.attn_q"},
    {"layers.#.self_attn.k_proj", "blk.#.attn_k"},
    {"layers.#.self_attn.q_norm", "blk.#.attn_q_norm", .add_one = true},
    {"layers.#.self_attn.k_norm", "blk.#.attn_k_norm", .add_one = true},
    {0},
};
static const gab_hf_rule gemma4_rules[] = {
    {"layers.#.input_layernorm", "blk.#.attn_norm"},
    {"layers.#.post_attention_layernorm", "blk.#.post_attention_norm"},
    {"layers.#.pre_feedforward_layernorm", "blk.#.ffn_norm"},
    {"layers.#.post_feedforward_layernorm", "blk.#.post_ffw_norm"},
    {"layers.#.layer_scalar", "blk.#.layer_output_scale", .ending = ".weight"},
    {"embed_tokens_per_layer", "per_layer_token_embd"},
    {"per_layer_model_projection", "per_layer_model_proj"},
    {"per_layer_projection_norm", "per_layer_proj_norm"},
    {"layers.#.per_layer_input_gate", "blk.#.inp_gate"},
    {"layers.#.per_layer_projection", "blk.#.proj"},
    {"layers.#.post_per_layer_input_norm", "blk.#.post_norm"},
    {"norm", "output_norm"},
    {0},
};
static const gab_hf_rule olmo2_norm_rules[] = {
    {"layers.#.post_attention_layernorm", "blk.#.post_attention_norm"},
    {"layers.#.post_feedforward_layernorm", "blk.#.post_ffw_norm"},
    {"norm", "output_norm"},
    {0},
};

#define TABLES(...) ((const gab_hf_rule *const[]){__VA_ARGS__, NULL})

/* ---- families ---- */

static const gab_hf_family families[] = {
    {"gpt2", "gpt2", "gelu_new|gelu_pytorch_tanh|gelu_fast", TABLES(gpt2_rules)},
    {"gpt_neox", "gptneox", "gelu|gelu_new|gelu_fast|gelu_pytorch_tanh", TABLES(gpt_neox_rules)},
    {"llama", "llama", "silu", TABLES(common_rules, norm_rules, gated_rules, qk_paired_rules)},
    {"mistral", "llama", "silu", TABLES(common_rules, norm_rules, gated_rules, qk_paired_rules)},
    {"ministral", "llama", "silu", TABLES(common_rules, norm_rules, gated_rules, qk_paired_rules)},
    {"ministral3", "mistral3", "silu", TABLES(common_rules, norm_rules, gated_rules, qk_paired_rules)},
    {"smollm3", "smollm3", "silu", TABLES(common_rules, norm_rules, gated_rules, qk_paired_rules)},
    {"mixtral", "llama", "silu", TABLES(common_rules, norm_rules, mixtral_rules, qk_paired_rules)},
    {"qwen2", "qwen2", "silu", TABLES(common_rules, norm_rules, gated_rules, qk_halves_rules)},
    {"qwen3", "qwen3", "silu", TABLES(common_rules, norm_rules, gated_rules, qk_halves_rules)},
    {"qwen3_moe", "qwen3moe", "silu", TABLES(common_rules, norm_rules, gated_rules, qwen_moe_rules, qk_halves_rules)},
    {"gpt_oss", "gpt-oss", "silu", TABLES(common_rules, gpt_oss_rules, qk_halves_rules)},
    {"phi3", "phi3", "silu", TABLES(common_rules, norm_rules, phi3_rules)},
    {"gemma2", "gemma2", "gelu_pytorch_tanh", TABLES(common_rules, gemma_norm_rules, gated_rules, gemma_qk_rules)},
    {"gemma3_text", "gemma3", "gelu_pytorch_tanh", TABLES(common_rules, gemma_norm_rules, gated_rules, gemma_qk_rules)},
    {"gemma4_text", "gemma4", "gelu_pytorch_tanh", TABLES(common_rules, gemma4_rules, gated_rules, qk_halves_rules)},
    {"gemma4_unified_text", "gemma4", "gelu_pytorch_tanh",
     TABLES(common_rules, gemma4_rules, gated_rules, qk_halves_rules)},
    {"olmo2", "olmo2", "silu", TABLES(common_rules, olmo2_norm_rules, gated_rules, qk_halves_rules)},
};
enum { N_FAMILY = sizeof families / sizeof *families };

const gab_hf_family *gab_hf_family_at(uint32_t i) {
    return i < N_FAMILY ? &families[i] : NULL;
}

const gab_hf_family *gab_hf_family_find(const char *model_type) {
    for (uint32_t i = 0; i < N_FAMILY; i++)
        if (strcmp(families[i].model_type, model_type) == 0) return &families[i];
    return NULL;
}

bool gab_hf_family_in_pairs(const gab_hf_family *family) {
    for (const gab_hf_rule *const *table = family->tables; *table; table++)
        if (*table == qk_paired_rules) return true;
    return false;
}

/* ---- matching ---- */

/* What may stand in front of all names: the class that holds the layers, and that of a model of several senses. */
static const char *const prefixes[] = {
    "transformer.", "gpt_neox.", "model.language_model.", "language_model.model.", "language_model.", "model.", "",
};

/* Digits at *text, without a leading zero; steps over them. */
static bool take_number(const char **text, uint32_t *number) {
    const char *at = *text;
    uint32_t value = 0;
    if (*at == '0' && at[1] >= '0' && at[1] <= '9') return false;
    for (; *at >= '0' && *at <= '9'; at++) {
        if (value > 99999) return false;
        value = value * 10 + (uint32_t)(*at - '0');
    }
    if (at == *text) return false;
    *text = at;
    *number = value;
    return true;
}

/* numbers: the layer, the expert. */
static bool matches(const char *pattern, const char *name, size_t n, uint32_t numbers[2]) {
    const char *at = name, *end = name + n;
    for (; *pattern; pattern++) {
        if (*pattern == '#' || *pattern == '*') {
            if (!take_number(&at, &numbers[*pattern == '*'])) return false;
        } else if (at == end || *at++ != *pattern) {
            return false;
        }
    }
    return at == end;
}

/* whole: of those for names without an ending. */
static const gab_hf_rule *find_rule(const gab_hf_family *family, const char *name, size_t n, bool whole,
                                    uint32_t numbers[2]) {
    for (const gab_hf_rule *const *table = family->tables; *table; table++)
        for (const gab_hf_rule *rule = *table; rule->from; rule++)
            if ((rule->ending != NULL) == whole && matches(rule->from, name, n, numbers)) return rule;
    return NULL;
}

static void name_target(gab_hf_target *target, uint32_t layer, const char *ending) {
    const char *mark = strchr(target->rule->to, '#');
    if (mark)
        snprintf(target->name, sizeof target->name, "%.*s%u%s%s", (int)(mark - target->rule->to), target->rule->to,
                 layer, mark + 1, ending);
    else
        snprintf(target->name, sizeof target->name, "%s%s", target->rule->to, ending);
}

bool gab_hf_name_map(const gab_hf_family *family, const char *name, gab_hf_target *target) {
    const char *ending = strrchr(name, '.');
    const bool whole = !ending || (strcmp(ending, ".weight") != 0 && strcmp(ending, ".bias") != 0);
    if (whole) ending = name + strlen(name);
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        const size_t n = strlen(prefixes[i]);
        uint32_t numbers[2] = {0, 0};
        if (strncmp(name, prefixes[i], n) != 0 || n > (size_t)(ending - name)) continue;
        target->rule = find_rule(family, name + n, (size_t)(ending - name) - n, whole, numbers);
        if (!target->rule) continue;
        target->has_expert = strchr(target->rule->from, '*') != NULL;
        target->expert = target->has_expert ? numbers[1] : 0;
        name_target(target, numbers[0], whole ? target->rule->ending : ending);
        return true;
    }
    return false;
}

bool gab_hf_name_ignored(const char *name) {
    static const char *const endings[] = {".attn.bias", ".attn.masked_bias", ".attention.bias",
                                          ".attention.masked_bias", "rotary_emb.inv_freq"};
    static const char *const beginnings[] = {
        "vision_tower.",     "model.vision_tower.", "multi_modal_projector.", "model.multi_modal_projector.",
        "visual.",           "model.visual.",       "model.audio_tower.",     "model.embed_vision.",
        "model.embed_audio."};
    const size_t n = strlen(name);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        const size_t n_ending = strlen(endings[i]);
        if (n >= n_ending && strcmp(name + n - n_ending, endings[i]) == 0) return true;
    }
    for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++)
        if (strncmp(name, beginnings[i], strlen(beginnings[i])) == 0) return true;
    return false;
}

/* ---- orders ---- */

bool gab_hf_order(gab_hf_rows rows, uint64_t n_row, uint32_t n_head, uint32_t n_head_kv, gab_gguf_order *order) {
    const uint64_t heads = rows == GAB_HF_ROPE_K ? n_head_kv : n_head, parts = rows == GAB_HF_HEADS_QKV ? 3 : 2;
    *order = (gab_gguf_order){0};
    if (rows == GAB_HF_SAME || rows == GAB_HF_TRANSPOSED || rows == GAB_HF_EXPERTS_TRANSPOSED) return true;
    if (heads == 0 || n_row % (heads * parts) != 0) return false;
    const uint64_t size = n_row / (heads * parts); /* of a half of a head, or of q, k or v of one */
    if (rows == GAB_HF_HEADS_QKV)
        *order = (gab_gguf_order){.n = {3, heads, size}, .step = {size, 3 * size, 1}};
    else
        *order = (gab_gguf_order){.n = {heads, size, 2}, .step = {2 * size, 1, size}};
    return true;
}
