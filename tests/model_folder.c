/*
 * model_folder.c - folders of Hugging Face models without a device: what each family's tensors are called, in which
 * order their rows come, what the configuration becomes, and what is said of folders that are not whole.
 */
#include "model/folder.h"

#include <dirent.h>
#include <math.h>

#include "folder_build.h"
#include "model/hf_names.h"
#include "model/model.h"
#include "tensor/quant.h"
#include "test.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size); /* fuzz/fuzz_folder.c */

/* ---- names ---- */

static const struct {
    const char *model_type, *from, *to;
    gab_hf_rows rows;
    int expert; /* -1: none */
    bool add_one;
} mapped[] = {
    {"gpt2", "transformer.wte.weight", "token_embd.weight", GAB_HF_SAME, -1, false},
    {"gpt2", "wpe.weight", "position_embd.weight", GAB_HF_SAME, -1, false},
    {"gpt2", "transformer.h.11.attn.c_attn.weight", "blk.11.attn_qkv.weight", GAB_HF_TRANSPOSED, -1, false},
    {"gpt2", "h.0.mlp.c_proj.bias", "blk.0.ffn_down.bias", GAB_HF_TRANSPOSED, -1, false},
    {"gpt2", "transformer.ln_f.bias", "output_norm.bias", GAB_HF_SAME, -1, false},
    {"gpt2", "lm_head.weight", "output.weight", GAB_HF_SAME, -1, false},
    {"gpt_neox", "gpt_neox.layers.3.attention.query_key_value.bias", "blk.3.attn_qkv.bias", GAB_HF_HEADS_QKV, -1,
     false},
    {"gpt_neox", "gpt_neox.layers.3.post_attention_layernorm.weight", "blk.3.ffn_norm.weight", GAB_HF_SAME, -1, false},
    {"gpt_neox", "gpt_neox.final_layer_norm.weight", "output_norm.weight", GAB_HF_SAME, -1, false},
    {"gpt_neox", "embed_out.weight", "output.weight", GAB_HF_SAME, -1, false},
    {"llama", "model.embed_tokens.weight", "token_embd.weight", GAB_HF_SAME, -1, false},
    {"llama", "model.layers.79.self_attn.q_proj.weight", "blk.79.attn_q.weight", GAB_HF_ROPE_Q, -1, false},
    {"llama", "model.layers.0.self_attn.k_proj.weight", "blk.0.attn_k.weight", GAB_HF_ROPE_K, -1, false},
    {"llama", "model.layers.0.self_attn.v_proj.weight", "blk.0.attn_v.weight", GAB_HF_SAME, -1, false},
    {"llama", "model.layers.0.post_attention_layernorm.weight", "blk.0.ffn_norm.weight", GAB_HF_SAME, -1, false},
    {"llama", "model.norm.weight", "output_norm.weight", GAB_HF_SAME, -1, false},
    {"mistral", "language_model.model.layers.1.mlp.gate_proj.weight", "blk.1.ffn_gate.weight", GAB_HF_SAME, -1, false},
    {"mixtral", "model.layers.2.block_sparse_moe.gate.weight", "blk.2.ffn_gate_inp.weight", GAB_HF_SAME, -1, false},
    {"mixtral", "model.layers.2.block_sparse_moe.experts.7.w2.weight", "blk.2.ffn_down_exps.weight", GAB_HF_SAME, 7,
     false},
    {"qwen2", "model.layers.0.self_attn.q_proj.bias", "blk.0.attn_q.bias", GAB_HF_SAME, -1, false},
    {"qwen3", "model.layers.0.self_attn.k_norm.weight", "blk.0.attn_k_norm.weight", GAB_HF_SAME, -1, false},
    {"gpt_oss", "model.layers.3.self_attn.sinks", "blk.3.attn_sinks.weight", GAB_HF_SAME, -1, false},
    {"gpt_oss", "model.layers.3.mlp.experts.gate_up_proj_bias", "blk.3.ffn_gate_up_turns.bias", GAB_HF_SAME, -1, false},
    {"gpt_oss", "model.layers.3.mlp.experts.down_proj", "blk.3.ffn_down_exps.weight", GAB_HF_EXPERTS_TRANSPOSED, -1,
     false},
    {"gpt_oss", "model.layers.3.mlp.router.bias", "blk.3.ffn_gate_inp.bias", GAB_HF_SAME, -1, false},
    {"qwen3_moe", "model.layers.5.mlp.experts.127.up_proj.weight", "blk.5.ffn_up_exps.weight", GAB_HF_SAME, 127, false},
    {"phi3", "model.layers.0.self_attn.qkv_proj.weight", "blk.0.attn_qkv.weight", GAB_HF_SAME, -1, false},
    {"phi3", "model.layers.0.mlp.gate_up_proj.weight", "blk.0.ffn_up.weight", GAB_HF_SAME, -1, false},
    {"gemma2", "model.layers.0.post_attention_layernorm.weight", "blk.0.post_attention_norm.weight", GAB_HF_SAME, -1,
     true},
    {"gemma2", "model.layers.0.pre_feedforward_layernorm.weight", "blk.0.ffn_norm.weight", GAB_HF_SAME, -1, true},
    {"gemma3_text", "model.layers.0.self_attn.q_norm.weight", "blk.0.attn_q_norm.weight", GAB_HF_SAME, -1, true},
    {"gemma3_text", "model.language_model.norm.weight", "output_norm.weight", GAB_HF_SAME, -1, true},
    {"gemma3_text", "model.layers.0.mlp.down_proj.weight", "blk.0.ffn_down.weight", GAB_HF_SAME, -1, false},
    {"gemma4_text", "model.language_model.layers.0.layer_scalar", "blk.0.layer_output_scale.weight", GAB_HF_SAME, -1,
     false},
    {"gemma4_text", "model.layers.1.per_layer_projection.weight", "blk.1.proj.weight", GAB_HF_SAME, -1, false},
    {"gemma4_text", "model.per_layer_projection_norm.weight", "per_layer_proj_norm.weight", GAB_HF_SAME, -1, false},
    {"gemma4_unified_text", "model.language_model.layers.0.self_attn.q_norm.weight", "blk.0.attn_q_norm.weight",
     GAB_HF_SAME, -1, false},
    {"ministral3", "language_model.model.layers.0.self_attn.k_proj.weight", "blk.0.attn_k.weight", GAB_HF_ROPE_K, -1,
     false},
    {"ministral3", "language_model.lm_head.weight", "output.weight", GAB_HF_SAME, -1, false},
    {"olmo2", "model.layers.0.post_feedforward_layernorm.weight", "blk.0.post_ffw_norm.weight", GAB_HF_SAME, -1, false},
    {"olmo2", "model.layers.0.self_attn.q_proj.weight", "blk.0.attn_q.weight", GAB_HF_SAME, -1, false},
};

GAB_TEST(names_of_families) {
    for (size_t i = 0; i < sizeof mapped / sizeof *mapped; i++) {
        gab_hf_target target;
        const gab_hf_family *family = gab_hf_family_find(mapped[i].model_type);
        if (!family || !gab_hf_name_map(family, mapped[i].from, &target))
            FAIL("%s of %s is not known", mapped[i].from, mapped[i].model_type);
        if (strcmp(target.name, mapped[i].to) != 0)
            FAIL("%s became %s, not %s", mapped[i].from, target.name, mapped[i].to);
        CHECK(target.rule->rows == mapped[i].rows && target.rule->add_one == mapped[i].add_one);
        CHECK(target.has_expert == (mapped[i].expert >= 0));
        CHECK(target.expert == (uint32_t)(mapped[i].expert >= 0 ? mapped[i].expert : 0));
    }
}

GAB_TEST(names_that_are_none) {
    static const char *const none[] = {"",
                                       "weight",
                                       ".weight",
                                       "model.weight",
                                       "model.norm",
                                       "model.norm.scale",
                                       "model.layers.weight",
                                       "model.layers.00.input_layernorm.weight",
                                       "model.layers.-1.input_layernorm.weight",
                                       "model.layers..input_layernorm.weight",
                                       "model.layers.99999999999.input_layernorm.weight",
                                       "model.layers.0.input_layernorm.weight.weight",
                                       "model.layers.0.input_layernormX.weight",
                                       "layers.0.self_attn.rotary_emb.inv_freq"};
    gab_hf_target target;
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        if (gab_hf_name_map(gab_hf_family_find("llama"), none[i], &target)) FAIL("'%s' is %s", none[i], target.name);
    CHECK(!gab_hf_family_find("") && !gab_hf_family_find("mamba"));
    CHECK(gab_hf_name_ignored("transformer.h.0.attn.bias") && gab_hf_name_ignored("h.3.attn.masked_bias"));
    CHECK(gab_hf_name_ignored("model.vision_tower.x.weight") && !gab_hf_name_ignored("h.0.attn.c_attn.bias"));
}

static bool same_ending(const gab_hf_rule *a, const gab_hf_rule *b) {
    return a->ending && b->ending ? strcmp(a->ending, b->ending) == 0 : a->ending == b->ending;
}

/* Numbers and scales go to one place, where other folders have one tensor. */
static bool is_mx(const gab_hf_rule *rule) {
    return rule->rows == GAB_HF_MX_NUMBERS || rule->rows == GAB_HF_MX_SCALES;
}

/* No two rules of a family take the same name, and none names the same place twice. */
GAB_TEST(rules_do_not_contradict) {
    for (uint32_t i = 0; gab_hf_family_at(i); i++) {
        const gab_hf_family *f = gab_hf_family_at(i);
        const gab_hf_rule *all[64];
        size_t n = 0;
        for (const gab_hf_rule *const *table = f->tables; *table; table++)
            for (const gab_hf_rule *rule = *table; rule->from; rule++) all[n++] = rule;
        CHECK(n >= 9 && n < 64);
        for (size_t a = 0; a < n; a++)
            for (size_t b = 0; b < a; b++)
                if (strcmp(all[a]->from, all[b]->from) == 0 ||
                    (!is_mx(all[a]) && !is_mx(all[b]) && strcmp(all[a]->to, all[b]->to) == 0 &&
                     same_ending(all[a], all[b])))
                    FAIL("%s: %s and %s", f->model_type, all[a]->from, all[b]->from);
    }
}

/* ---- rows ---- */

enum { HEADS = 4, KV_HEADS = 2, DIM = 6, WIDTH = HEADS * DIM, LAYERS = 1 };

typedef enum made_as { AS_IS, AS_TRANSPOSED, AS_PAIRS, AS_QKV, AS_ONE_MORE } made_as;

/* Small multiples of 1/64: exact in every type. */
static float value_at(uint64_t i, uint64_t salt) {
    return (float)((int)((i * 7 + salt * 13) % 251) - 125) / 64;
}

/* What row r, column c of the GGUF tensor must be, computed from reshape and transpose as the papers' code has them. */
static float expected_at(made_as how, uint64_t n_row, uint64_t n_col, uint64_t r, uint64_t c, uint64_t salt) {
    uint64_t row = r, d = r % DIM, h = r / DIM;
    switch (how) {
    case AS_TRANSPOSED: return value_at(c * n_row + r, salt);
    case AS_PAIRS: row = h * DIM + (d % 2) * (DIM / 2) + d / 2; break;
    case AS_QKV: row = (h % HEADS) * 3 * DIM + h / HEADS * DIM + d; break;
    case AS_ONE_MORE: return value_at(r * n_col + c, salt) + 1;
    case AS_IS: break;
    }
    return value_at(row * n_col + c, salt);
}

typedef struct made {
    const char *from, *to;
    uint64_t n_row, n_col; /* in GGUF; n_row 0: a vector */
    made_as how;
} made;

static const struct {
    const char *model_type, *config;
    made tensors[8];
} families[] = {
    {"gpt2",
     "\"n_embd\":24,\"n_head\":4,\"n_layer\":1,\"n_positions\":8",
     {{"transformer.wte.weight", "token_embd.weight", 5, WIDTH, AS_IS},
      {"transformer.h.0.attn.c_attn.weight", "blk.0.attn_qkv.weight", 3 * WIDTH, WIDTH, AS_TRANSPOSED},
      {"transformer.h.0.attn.c_attn.bias", "blk.0.attn_qkv.bias", 0, 3 * WIDTH, AS_IS},
      {"transformer.h.0.mlp.c_proj.weight", "blk.0.ffn_down.weight", WIDTH, 4 * WIDTH, AS_TRANSPOSED}}},
    {"llama",
     "\"hidden_size\":24,\"num_attention_heads\":4,\"num_key_value_heads\":2",
     {{"model.layers.0.self_attn.q_proj.weight", "blk.0.attn_q.weight", WIDTH, WIDTH, AS_PAIRS},
      {"model.layers.0.self_attn.k_proj.weight", "blk.0.attn_k.weight", KV_HEADS *DIM, WIDTH, AS_PAIRS},
      {"model.layers.0.self_attn.v_proj.weight", "blk.0.attn_v.weight", KV_HEADS *DIM, WIDTH, AS_IS},
      {"model.layers.0.self_attn.q_proj.bias", "blk.0.attn_q.bias", 0, WIDTH, AS_PAIRS},
      {"model.layers.0.input_layernorm.weight", "blk.0.attn_norm.weight", 0, WIDTH, AS_IS}}},
    {"gpt_neox",
     "\"hidden_size\":24,\"num_attention_heads\":4,\"rotary_pct\":0.5",
     {{"gpt_neox.layers.0.attention.query_key_value.weight", "blk.0.attn_qkv.weight", 3 * WIDTH, WIDTH, AS_QKV},
      {"gpt_neox.layers.0.attention.query_key_value.bias", "blk.0.attn_qkv.bias", 0, 3 * WIDTH, AS_QKV},
      {"gpt_neox.layers.0.attention.dense.weight", "blk.0.attn_output.weight", WIDTH, WIDTH, AS_IS}}},
    {"gemma3_text",
     "\"hidden_size\":24,\"num_attention_heads\":4,\"num_key_value_heads\":2,\"head_dim\":6",
     {{"model.norm.weight", "output_norm.weight", 0, WIDTH, AS_ONE_MORE},
      {"model.layers.0.self_attn.q_norm.weight", "blk.0.attn_q_norm.weight", 0, DIM, AS_ONE_MORE},
      {"model.layers.0.self_attn.q_proj.weight", "blk.0.attn_q.weight", WIDTH, WIDTH, AS_IS}}},
    {"qwen2",
     "\"hidden_size\":24,\"num_attention_heads\":4,\"num_key_value_heads\":2",
     {{"model.layers.0.self_attn.k_proj.weight", "blk.0.attn_k.weight", KV_HEADS *DIM, WIDTH, AS_IS},
      {"model.layers.0.self_attn.k_proj.bias", "blk.0.attn_k.bias", 0, KV_HEADS *DIM, AS_IS}}},
};

static void write_config(const char *folder, const char *model_type, const char *rest) {
    char text[2048];
    snprintf(text, sizeof text, "{\"model_type\":\"%s\"%s%s}", model_type, rest[0] ? "," : "", rest);
    folder_build_text(folder, "config.json", text);
}

static void put_values(safetensors_build *b, const char *name, const char *type, uint64_t n_row, uint64_t n_col,
                       uint64_t salt) {
    float *values = malloc((n_row ? n_row : 1) * n_col * sizeof *values);
    CHECK(values);
    for (uint64_t i = 0; i < (n_row ? n_row : 1) * n_col; i++) values[i] = value_at(i, salt);
    const uint64_t shape[] = {n_row, n_col};
    safetensors_build_tensor(b, name, type, n_row ? 2 : 1, n_row ? shape : shape + 1, values);
    free(values);
}

static gab_gguf *open_folder(const char *folder) {
    gab_gguf *gguf = NULL;
    CHECK_OK(gab_folder_open(folder, NULL, &gguf));
    return gguf;
}

/* Rows first..first + n - 1, as f32. */
static void read_rows(const gab_gguf_tensor *t, uint64_t first, uint64_t n, float *out) {
    char *rows = malloc(n * t->row_bytes);
    CHECK(rows);
    CHECK_OK(gab_gguf_read_rows(t, first, n, rows, NULL));
    for (uint64_t r = 0; r < n; r++)
        gab_dequantize_row(t->type, rows + r * t->row_bytes, t->shape[0], out + r * t->shape[0]);
    free(rows);
}

static void check_made(const gab_gguf *gguf, const made *m, uint64_t salt) {
    static float rows[3 * WIDTH * 4 * WIDTH];
    static const uint64_t pieces[] = {1, 2, 5, 7, UINT64_MAX};
    const gab_gguf_tensor *t = gab_gguf_tensor_find(gguf, m->to);
    const uint64_t n_row = m->n_row ? m->n_row : 1;
    if (!t) FAIL("no %s", m->to);
    if (t->shape[0] != m->n_col || t->n_row != n_row || t->n_dim != (m->n_row ? 2u : 1u)) FAIL("shape of %s", m->to);
    for (size_t p = 0; p < sizeof pieces / sizeof *pieces; p++)
        for (uint64_t first = 0, n; first < n_row; first += n) {
            n = n_row - first < pieces[p] ? n_row - first : pieces[p];
            read_rows(t, first, n, rows);
            for (uint64_t r = first; r < first + n; r++)
                for (uint64_t c = 0; c < m->n_col; c++) {
                    const bool vector = m->n_row == 0;
                    const float expected = vector ? expected_at(m->how, m->n_col, 1, c, 0, salt)
                                                  : expected_at(m->how, n_row, m->n_col, r, c, salt);
                    if (rows[(r - first) * m->n_col + c] != expected)
                        FAIL("%s [%d][%d] is %g, not %g", m->to, (int)r, (int)c,
                             (double)rows[(r - first) * m->n_col + c], (double)expected);
                }
        }
}

GAB_TEST(rows_of_families) {
    static const char *const types[] = {"F32", "F16", "BF16"};
    for (size_t f = 0; f < sizeof families / sizeof *families; f++)
        for (size_t k = 0; k < 3; k++) {
            const char *folder = folder_build_temp();
            safetensors_build *b = safetensors_build_new();
            write_config(folder, families[f].model_type, families[f].config);
            for (size_t i = 0; families[f].tensors[i].from; i++) {
                const made *m = &families[f].tensors[i];
                const bool transposed = m->how == AS_TRANSPOSED;
                put_values(b, m->from, types[k], transposed ? m->n_col : m->n_row, transposed ? m->n_row : m->n_col, i);
            }
            safetensors_build_write(&b, folder, "model.safetensors");
            gab_gguf *gguf = open_folder(folder);
            CHECK(gab_gguf_version(gguf) == 0 && strcmp(gab_gguf_path(gguf), folder) == 0);
            for (size_t i = 0; families[f].tensors[i].from; i++) check_made(gguf, &families[f].tensors[i], i);
            gab_gguf_close(&gguf);
        }
}

/* Each expert in a file of its own, in another order than their numbers. */
GAB_TEST(experts_become_one_tensor) {
    enum { N = 3 };
    const char *folder = folder_build_temp();
    char index[1024] = "{\"weight_map\":{", name[128], file[64];
    write_config(folder, "mixtral", "\"hidden_size\":24,\"num_attention_heads\":4,\"num_local_experts\":3");
    for (unsigned e = 0; e < N; e++) {
        safetensors_build *b = safetensors_build_new();
        snprintf(name, sizeof name, "model.layers.0.block_sparse_moe.experts.%u.w1.weight", e);
        snprintf(file, sizeof file, "model-0000%u-of-00003.safetensors", N - e);
        snprintf(index + strlen(index), sizeof index - strlen(index), "%s\"%s\":\"%s\"", e ? "," : "", name, file);
        put_values(b, name, "BF16", 4, WIDTH, e);
        safetensors_build_write(&b, folder, file);
    }
    strcat(index, "}}");
    folder_build_text(folder, "model.safetensors.index.json", index);
    gab_gguf *gguf = open_folder(folder);
    const gab_gguf_tensor *t = gab_gguf_tensor_find(gguf, "blk.0.ffn_gate_exps.weight");
    float rows[4 * N * WIDTH];
    CHECK(t && t->n_dim == 3 && t->shape[0] == WIDTH && t->shape[1] == 4 && t->shape[2] == N && t->n_row == 4 * N);
    read_rows(t, 0, 4 * N, rows);
    for (uint64_t i = 0; i < 4 * N * WIDTH; i++) CHECK(rows[i] == value_at(i % (4 * WIDTH), i / (4 * WIDTH)));
    read_rows(t, 3, 2, rows); /* of two files */
    CHECK(rows[0] == value_at(3 * WIDTH, 0) && rows[WIDTH] == value_at(0, 1));
    gab_gguf_close(&gguf);
}

/* All experts in one tensor, each [in][out]. */
GAB_TEST(experts_of_a_stack_are_transposed) {
    enum { N = 3, OUT = 4 };
    const char *folder = folder_build_temp();
    float values[N * WIDTH * OUT], rows[N * WIDTH * OUT];
    write_config(folder, "gpt_oss", "\"hidden_size\":24,\"num_attention_heads\":4,\"num_local_experts\":3");
    for (unsigned i = 0; i < N * WIDTH * OUT; i++) values[i] = value_at(i, 0);
    safetensors_build *b = safetensors_build_new();
    safetensors_build_tensor(b, "model.layers.0.mlp.experts.gate_up_proj", "BF16", 3, (uint64_t[]){N, WIDTH, OUT},
                             values);
    safetensors_build_write(&b, folder, "model.safetensors");
    gab_gguf *gguf = open_folder(folder);
    const gab_gguf_tensor *t = gab_gguf_tensor_find(gguf, "blk.0.ffn_gate_up_turns.weight");
    CHECK(t && t->n_dim == 3 && t->shape[0] == WIDTH && t->shape[1] == OUT && t->shape[2] == N && t->n_row == N * OUT);
    read_rows(t, 0, N * OUT, rows);
    for (unsigned i = 0; i < N * OUT * WIDTH; i++)
        CHECK(rows[i] == values[i / (OUT * WIDTH) * (OUT * WIDTH) + i % WIDTH * OUT + i / WIDTH % OUT]);
    gab_gguf_close(&gguf);
}

/* Numbers in pairs of neighbours and scales apart: read, they are GGUF's blocks, of the same values. */
GAB_TEST(experts_in_mxfp4_are_joined) {
    enum { N = 2, OUT = 3, BLOCKS = 2, N_BLOCK = N * OUT * BLOCKS };
    static const float numbers[16] = {0, .5f, 1, 1.5f, 2, 3, 4, 6, -0.f, -.5f, -1, -1.5f, -2, -3, -4, -6};
    const char *folder = folder_build_temp();
    unsigned char bytes[N_BLOCK * 16], scales[N_BLOCK], blocks[N_BLOCK * 17];
    float values[32 * BLOCKS];
    write_config(folder, "gpt_oss",
                 "\"hidden_size\":64,\"num_attention_heads\":4,\"num_local_experts\":2,"
                 "\"quantization_config\":{\"quant_method\":\"mxfp4\"}");
    for (unsigned i = 0; i < sizeof bytes; i++) bytes[i] = (unsigned char)(i * 37 + i / 16);
    for (unsigned i = 0; i < sizeof scales; i++) scales[i] = (unsigned char)(120 + i);
    safetensors_build *b = safetensors_build_new();
    safetensors_build_raw(b, "model.layers.0.mlp.experts.down_proj_scales", "U8", 3, (uint64_t[]){N, OUT, BLOCKS},
                          scales, sizeof scales);
    safetensors_build_raw(b, "model.layers.0.mlp.experts.down_proj_blocks", "U8", 4, (uint64_t[]){N, OUT, BLOCKS, 16},
                          bytes, sizeof bytes);
    safetensors_build_write(&b, folder, "model.safetensors");
    gab_gguf *gguf = open_folder(folder);
    const gab_gguf_tensor *t = gab_gguf_tensor_find(gguf, "blk.0.ffn_down_exps.weight");
    CHECK(t && t->type == GAB_DTYPE_MXFP4 && t->shape[0] == 32 * BLOCKS && t->shape[1] == OUT && t->shape[2] == N);
    CHECK_OK(gab_gguf_read_rows(t, 1, N * OUT - 1, blocks, &(gab_log){0})); /* all but the first */
    for (unsigned r = 1; r < N * OUT; r++) {
        gab_dequantize_row(GAB_DTYPE_MXFP4, blocks + (r - 1) * BLOCKS * 17, 32 * BLOCKS, values);
        for (unsigned i = 0; i < 32 * BLOCKS; i++) {
            const unsigned at = r * 32 * BLOCKS + i, number = bytes[at / 2] >> at % 2 * 4 & 15;
            CHECK(values[i] == ldexpf(numbers[number], (int)scales[at / 32] - 127));
        }
    }
    gab_gguf_close(&gguf);
}

/* ---- configuration ---- */

static gab_gguf *open_config(const char *model_type, const char *config) {
    const char *folder = folder_build_temp();
    safetensors_build *b = safetensors_build_new();
    write_config(folder, model_type, config);
    safetensors_build_write(&b, folder, "model.safetensors");
    return open_folder(folder);
}

static void check_u32(const gab_gguf *gguf, const char *key, uint32_t expected) {
    uint32_t value = 0;
    if (!gab_gguf_get_u32(gguf, key, &value) || value != expected) FAIL("%s is %u, not %u", key, value, expected);
}

static void check_f32(const gab_gguf *gguf, const char *key, double expected) {
    float value = 0;
    if (!gab_gguf_get_f32(gguf, key, &value) || fabs((double)value - expected) > 1e-6 * fabs(expected))
        FAIL("%s is %g, not %g", key, (double)value, expected);
}

GAB_TEST(configuration_becomes_keys) {
    gab_gguf *gguf = open_config("llama", "\"hidden_size\":64,\"intermediate_size\":172,\"num_hidden_layers\":5,"
                                          "\"num_attention_heads\":8,\"num_key_value_heads\":4,\"rms_norm_eps\":1e-5,"
                                          "\"max_position_embeddings\":512,\"rope_theta\":5e5,\"head_dim\":null");
    gab_gguf_string text;
    CHECK(gab_gguf_get_string(gguf, "general.architecture", &text) && strcmp(text.text, "llama") == 0);
    check_u32(gguf, "llama.context_length", 512);
    check_u32(gguf, "llama.embedding_length", 64);
    check_u32(gguf, "llama.feed_forward_length", 172);
    check_u32(gguf, "llama.block_count", 5);
    check_u32(gguf, "llama.attention.head_count", 8);
    check_u32(gguf, "llama.attention.head_count_kv", 4);
    check_u32(gguf, "llama.rope.dimension_count", 8);
    check_f32(gguf, "llama.attention.layer_norm_rms_epsilon", 1e-5);
    check_f32(gguf, "llama.rope.freq_base", 5e5);
    gab_gguf_close(&gguf);
    gguf = open_config("gpt2", "\"n_embd\":24,\"n_inner\":null,\"n_head\":4,\"activation_function\":\"gelu_new\"");
    check_u32(gguf, "gpt2.feed_forward_length", 96);
    gab_gguf_close(&gguf);
    gguf = open_config("gpt_neox", "\"hidden_size\":64,\"num_attention_heads\":2,\"rotary_pct\":0.25");
    bool parallel = false;
    CHECK(gab_gguf_get_bool(gguf, "gptneox.use_parallel_residual", &parallel) && parallel);
    gab_gguf_close(&gguf);
}

GAB_TEST(windows_and_caps) {
    gab_gguf *gguf = open_config("qwen2", "\"sliding_window\":64,\"use_sliding_window\":false");
    uint32_t window = 0;
    CHECK(!gab_gguf_get_u32(gguf, "qwen2.attention.sliding_window", &window));
    gab_gguf_close(&gguf);
    gguf =
        open_config("gemma2", "\"sliding_window\":64,\"attn_logit_softcapping\":50.0,\"final_logit_softcapping\":30.0,"
                              "\"query_pre_attn_scalar\":144,"
                              "\"layer_types\":[\"sliding_attention\",\"full_attention\",\"sliding_attention\"]");
    const int32_t *pattern;
    uint64_t n = 0;
    check_u32(gguf, "gemma2.attention.sliding_window", 64);
    check_f32(gguf, "gemma2.attn_logit_softcapping", 50);
    check_f32(gguf, "gemma2.final_logit_softcapping", 30);
    check_f32(gguf, "gemma2.attention.scale", 1.0 / 12);
    CHECK(gab_gguf_get_i32s(gguf, "gemma2.attention.sliding_window_pattern", &pattern, &n) && n == 3);
    CHECK(pattern[0] == 1 && pattern[1] == 0 && pattern[2] == 1);
    gab_gguf_close(&gguf);
}

/* Before layer_types; and what null, and nothing, mean. */
GAB_TEST(windows_of_older_folders) {
    const int32_t *pattern;
    uint64_t n = 0;
    uint32_t window = 0;
    gab_gguf *gguf = open_config("qwen2", "\"sliding_window\":64,\"use_sliding_window\":true,\"max_window_layers\":2,"
                                          "\"num_hidden_layers\":3");
    CHECK(gab_gguf_get_i32s(gguf, "qwen2.attention.sliding_window_pattern", &pattern, &n) && n == 3);
    CHECK(pattern[0] == 0 && pattern[1] == 0 && pattern[2] == 1);
    gab_gguf_close(&gguf);
    gguf = open_config("qwen2", "\"sliding_window\":64");
    CHECK(!gab_gguf_get_u32(gguf, "qwen2.attention.sliding_window", &window));
    gab_gguf_close(&gguf);
    gguf = open_config("gemma3_text", "\"sliding_window_pattern\":2,\"hidden_size\":2560");
    check_u32(gguf, "gemma3.attention.sliding_window_pattern", 2);
    check_u32(gguf, "gemma3.attention.sliding_window", 4096);
    check_u32(gguf, "gemma3.attention.head_count", 8);
    check_u32(gguf, "gemma3.attention.head_count_kv", 4);
    check_u32(gguf, "gemma3.attention.key_length", 256);
    check_f32(gguf, "gemma3.attention.scale", 1.0 / 16);
    check_f32(gguf, "gemma3.rope.freq_base", 1e6);
    gab_gguf_close(&gguf);
    gguf = open_config("mistral", "\"sliding_window\":null");
    CHECK(!gab_gguf_get_u32(gguf, "llama.attention.sliding_window", &window));
    gab_gguf_close(&gguf);
    gguf = open_config("gemma2", "\"attn_logit_softcapping\":null,\"final_logit_softcapping\":null");
    check_f32(gguf, "gemma2.attn_logit_softcapping", 0);
    check_f32(gguf, "gemma2.final_logit_softcapping", 0);
    gab_gguf_close(&gguf);
    gguf = open_config("gpt_neox", "\"hidden_size\":64,\"num_attention_heads\":4");
    check_u32(gguf, "gptneox.rope.dimension_count", 4);
    gab_gguf_close(&gguf);
}

/* The figures of transformers' modeling_rope_utils.py for Llama 3.1 with heads of 8. */
GAB_TEST(rotary_scalings) {
    float rows[8];
    gab_gguf *gguf = open_config(
        "llama", "\"hidden_size\":16,\"num_attention_heads\":2,\"rope_theta\":500000.0,\"rope_scaling\":{\"rope_type\":"
                 "\"llama3\",\"factor\":8.0,\"low_freq_factor\":1.0,\"high_freq_factor\":4.0,"
                 "\"original_max_position_embeddings\":8192}");
    const gab_gguf_tensor *t = gab_gguf_tensor_find(gguf, "rope_freqs.weight");
    CHECK(t && t->shape[0] == 4 && t->n_dim == 1);
    read_rows(t, 0, 1, rows);
    CHECK(rows[0] == 1 && rows[1] == 1 && rows[3] == 8);
    const double wavelength = 2 * 3.14159265358979 * pow(500000.0, 0.5), smooth = (8192 / wavelength - 1) / 3;
    CHECK(fabs((double)rows[2] - 1 / ((1 - smooth) / 8 + smooth)) < 1e-5);
    gab_gguf_close(&gguf);
    gguf =
        open_config("phi3", "\"hidden_size\":16,\"num_attention_heads\":2,\"max_position_embeddings\":131072,"
                            "\"original_max_position_embeddings\":4096,\"rope_theta\":1e4,\"rope_scaling\":{\"type\":"
                            "\"longrope\",\"long_factor\":[1,2,3,4],\"short_factor\":[1,1,1.5,2]}");
    check_u32(gguf, "phi3.rope.scaling.original_context_length", 4096);
    check_f32(gguf, "phi3.rope.scaling.attn_factor", sqrt(1 + log(32) / log(4096)));
    read_rows(gab_gguf_tensor_find(gguf, "rope_factors_long.weight"), 0, 1, rows);
    CHECK(rows[0] == 1 && rows[3] == 4);
    read_rows(gab_gguf_tensor_find(gguf, "rope_factors_short.weight"), 0, 1, rows);
    CHECK(rows[2] == 1.5f);
    gab_gguf_close(&gguf);
    gguf = open_config("gemma3_text", "\"hidden_size\":16,\"num_attention_heads\":2,\"rope_parameters\":{"
                                      "\"full_attention\":{\"rope_type\":\"linear\",\"factor\":8,\"rope_theta\":1e6},"
                                      "\"sliding_attention\":{\"rope_type\":\"default\",\"rope_theta\":1e4}}");
    check_f32(gguf, "gemma3.rope.freq_base", 1e6);
    check_f32(gguf, "gemma3.rope.freq_base_swa", 1e4);
    check_f32(gguf, "gemma3.rope.scaling.factor", 8);
    gab_gguf_close(&gguf);
    gguf = open_config("qwen2",
                       "\"hidden_size\":16,\"num_attention_heads\":2,\"rope_theta\":1e6,\"rope_scaling\":{\"type\":"
                       "\"yarn\",\"factor\":4.0,\"original_max_position_embeddings\":32768,\"attn_factor\":0.87}");
    check_f32(gguf, "qwen2.rope.scaling.factor", 4);
    float set_aside; /* attn_factor is no field of transformers' */
    CHECK(!gab_gguf_get_f32(gguf, "qwen2.rope.scaling.yarn_magnitude", &set_aside));
    check_u32(gguf, "qwen2.rope.scaling.original_context_length", 32768);
    gab_gguf_close(&gguf);
    gguf = open_config("llama", "\"vocab_size\":32064"); /* as the text part of a model that says what differs alone */
    check_u32(gguf, "llama.embedding_length", 4096);
    check_u32(gguf, "llama.attention.head_count", 32);
    check_u32(gguf, "llama.context_length", 2048);
    check_f32(gguf, "llama.attention.layer_norm_rms_epsilon", 1e-6);
    gab_gguf_close(&gguf);
    gguf = open_config("qwen3", "\"hidden_size\":2560,\"num_attention_heads\":32");
    check_u32(gguf, "qwen3.attention.key_length", 128);
    gab_gguf_close(&gguf);
    gguf = open_config("mixtral", "\"hidden_size\":64,\"num_attention_heads\":2");
    check_f32(gguf, "llama.rope.freq_base", 1e6);
    check_f32(gguf, "llama.attention.layer_norm_rms_epsilon", 1e-5);
    gab_gguf_close(&gguf);
}

static void check_i32s(const gab_gguf *gguf, const char *key, uint64_t n_expected, const int32_t *expected) {
    const int32_t *values = NULL;
    uint64_t n = 0;
    if (!gab_gguf_get_i32s(gguf, key, &values, &n) || n != n_expected) FAIL("%s has %u entries", key, (unsigned)n);
    for (uint64_t i = 0; i < n; i++)
        if (values[i] != expected[i]) FAIL("%s: entry %u is %d", key, (unsigned)i, values[i]);
}

/* What transformers' Gemma4TextConfig makes of it. */
GAB_TEST(layers_of_two_kinds) {
    float rows[256];
    gab_gguf *gguf = open_config(
        "gemma4_text", "\"hidden_size\":64,\"num_attention_heads\":4,\"num_key_value_heads\":2,\"head_dim\":16,"
                       "\"global_head_dim\":32,\"num_hidden_layers\":4,\"intermediate_size\":128,\"attention_k_eq_v\":"
                       "true,\"num_global_key_value_heads\":1,\"num_kv_shared_layers\":1,\"use_double_wide_mlp\":true,"
                       "\"layer_types\":[\"sliding_attention\",\"full_attention\",\"sliding_attention\","
                       "\"sliding_attention\"],\"use_bidirectional_attention\":\"vision\"");
    check_i32s(gguf, "gemma4.feed_forward_length", 4, (const int32_t[]){128, 128, 128, 256});
    check_i32s(gguf, "gemma4.attention.head_count_kv", 4, (const int32_t[]){2, 1, 2, 1}); /* the last is full */
    check_u32(gguf, "gemma4.attention.key_length", 32);
    check_u32(gguf, "gemma4.attention.key_length_swa", 16);
    check_u32(gguf, "gemma4.attention.sliding_window", 512);
    check_u32(gguf, "gemma4.attention.shared_kv_layers", 1);
    check_u32(gguf, "gemma4.embedding_length_per_layer_input", 256);
    check_u32(gguf, "gemma4.rope.dimension_count", 32);
    check_u32(gguf, "gemma4.rope.dimension_count_swa", 16);
    check_f32(gguf, "gemma4.rope.freq_base", 1e6);
    check_f32(gguf, "gemma4.rope.freq_base_swa", 1e4);
    read_rows(gab_gguf_tensor_find(gguf, "rope_freqs.weight"), 0, 1, rows);
    CHECK(rows[0] == 1 && rows[3] == 1 && rows[4] == 1e30f && rows[15] == 1e30f);
    gab_gguf_close(&gguf);
}

GAB_TEST(queries_that_grow) {
    gab_gguf *gguf = open_config(
        "ministral3", "\"hidden_size\":64,\"num_hidden_layers\":1,\"rope_parameters\":{\"rope_type\":\"yarn\","
                      "\"factor\":16,\"original_max_position_embeddings\":16384,\"rope_theta\":1e6,\"mscale\":1,"
                      "\"mscale_all_dim\":1,\"llama_4_scaling_beta\":0.1}");
    check_f32(gguf, "mistral3.attention.temperature_scale", 0.1);
    check_f32(gguf, "mistral3.rope.scaling.yarn_magnitude", 1);
    check_u32(gguf, "mistral3.rope.scaling.original_context_length", 16384);
    check_u32(gguf, "mistral3.attention.key_length", 128);
    gab_gguf_close(&gguf);
}

GAB_TEST(generation_and_template) {
    const char *folder = folder_build_temp();
    safetensors_build *b = safetensors_build_new();
    const int32_t *ends;
    uint64_t n = 0;
    gab_gguf_string text;
    write_config(folder, "llama", "\"eos_token_id\":9,\"bos_token_id\":8");
    safetensors_build_write(&b, folder, "model.safetensors");
    gab_gguf *gguf = open_folder(folder);
    CHECK(gab_gguf_get_i32s(gguf, "tokenizer.ggml.eos_token_ids", &ends, &n) && n == 1 && ends[0] == 9);
    check_u32(gguf, "tokenizer.ggml.bos_token_id", 8);
    CHECK(!gab_gguf_get_string(gguf, "tokenizer.chat_template", &text));
    gab_gguf_close(&gguf);
    folder_build_text(folder, "chat_template.json", "{\"chat_template\":\"{{ z }}\"}"); /* of a processor */
    gguf = open_folder(folder);
    CHECK(gab_gguf_get_string(gguf, "tokenizer.chat_template", &text) && strcmp(text.text, "{{ z }}") == 0);
    gab_gguf_close(&gguf);
    folder_build_text(folder, "generation_config.json",
                      "{\"eos_token_id\":[3,5],\"do_sample\":true,\"temperature\":0.6,\"top_k\":20}");
    folder_build_text(folder, "tokenizer_config.json", "{\"chat_template\":\"{{ x }}\"}");
    gguf = open_folder(folder);
    CHECK(gab_gguf_get_i32s(gguf, "tokenizer.ggml.eos_token_ids", &ends, &n) && n == 2 && ends[0] == 3 && ends[1] == 5);
    check_f32(gguf, "general.sampling.temp", 0.6);
    check_u32(gguf, "general.sampling.top_k", 20);
    CHECK(gab_gguf_get_string(gguf, "tokenizer.chat_template", &text) && strcmp(text.text, "{{ x }}") == 0);
    gab_gguf_close(&gguf);
    folder_build_text(folder, "chat_template.jinja", "{{ y }}");
    gguf = open_folder(folder);
    CHECK(gab_gguf_get_string(gguf, "tokenizer.chat_template", &text) && strcmp(text.text, "{{ y }}") == 0);
    gab_gguf_close(&gguf);
}

GAB_TEST(unknown_families_open) {
    const char *folder = folder_build_temp();
    safetensors_build *b = safetensors_build_new();
    gab_model *model = NULL;
    write_config(folder, "mamba", "\"hidden_size\":24");
    put_values(b, "backbone.layers.0.mixer.A_log", "F32", 3, 4, 0);
    safetensors_build_write(&b, folder, "model.safetensors");
    gab_gguf *gguf = open_folder(folder);
    check_u32(gguf, "mamba.embedding_length", 24);
    CHECK(gab_gguf_tensor_find(gguf, "backbone.layers.0.mixer.A_log"));
    CHECK(gab_model_open(gguf, NULL, &model) == GAB_ERROR_UNSUPPORTED && !model);
    CHECK(strstr(gab_last_error(), "'mamba'"));
    gab_gguf_close(&gguf);
}

GAB_TEST(corpus) {
    unsigned n_file = 0;
    DIR *dir = opendir(gab_test_source("tests/fuzz/corpus_folder"));
    CHECK(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (entry->d_name[0] == '.') continue;
        size_t n = 0;
        char *data =
            gab_test_file_read(folder_build_path(gab_test_source("tests/fuzz/corpus_folder"), entry->d_name), &n);
        for (size_t cut = 0; cut <= n; cut += cut + 8 < n ? 7 : 1) LLVMFuzzerTestOneInput((const uint8_t *)data, cut);
        free(data);
        n_file++;
    }
    closedir(dir);
    CHECK(n_file >= 10);
}

GAB_TEST_MAIN()
