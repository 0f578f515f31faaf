/*
 * model_folder_damage.c - folders that are not whole, not of one model, or ask for what is not computed here: each is
 * refused with a sentence that names the file and what is wrong.
 */
#include "folder_build.h"
#include "model/folder.h"
#include "model/model.h"
#include "test.h"

static const char gpt2_config[] = "{\"model_type\":\"gpt2\",\"n_embd\":4,\"n_head\":2,\"n_layer\":1,\"n_positions\":8,"
                                  "\"layer_norm_epsilon\":1e-5}";

static void write_tensor(const char *folder, const char *file, const char *name, const char *type, uint64_t n_row,
                         uint64_t n_col) {
    static const float values[64];
    safetensors_build *b = safetensors_build_new();
    safetensors_build_tensor(b, name, type, 2, (uint64_t[]){n_row, n_col}, values);
    safetensors_build_write(&b, folder, file);
}

/* A folder of one tensor and a configuration; NULL: GPT-2's. */
static const char *make(const char *config) {
    const char *folder = folder_build_temp();
    folder_build_text(folder, "config.json", config ? config : gpt2_config);
    write_tensor(folder, "model.safetensors", "wte.weight", "F32", 3, 4);
    return folder;
}

static void refused(const char *folder, gab_status expected, const char *word, const char *other) {
    gab_gguf *gguf = NULL;
    const gab_status status = gab_folder_open(folder, NULL, &gguf);
    if (status != expected || gguf) FAIL("%s: %s", gab_status_text(status), gab_last_error());
    if (!strstr(gab_last_error(), folder) || !strstr(gab_last_error(), word) || !strstr(gab_last_error(), other))
        FAIL("no '%s', '%s' and '%s' in: %s", folder, word, other, gab_last_error());
}

GAB_TEST(whole_folder_opens) {
    gab_gguf *gguf = NULL;
    CHECK_OK(gab_folder_open(make(NULL), NULL, &gguf));
    CHECK(gab_gguf_tensor_find(gguf, "token_embd.weight"));
    gab_gguf_close(&gguf);
}

GAB_TEST(missing_files_are_named) {
    const char *folder = make(NULL);
    CHECK(remove(folder_build_path(folder, "model.safetensors")) == 0);
    refused(folder, GAB_ERROR_FILE, "model.safetensors", "download");
    CHECK(remove(folder_build_path(folder, "config.json")) == 0);
    refused(folder, GAB_ERROR_FILE, "config.json", "Hugging Face");
    refused("/nonexistent", GAB_ERROR_FILE, "config.json", "");
}

GAB_TEST(wrong_configurations_are_named) {
    static const struct {
        const char *config, *word, *other;
        gab_status status;
    } wrong[] = {
        {"{\"model_type\"", "config.json", "no JSON", GAB_ERROR_FORMAT},
        {"{}", "model_type", "config.json", GAB_ERROR_FORMAT},
        {"{\"model_type\":7}", "model_type", "config.json", GAB_ERROR_FORMAT},
        {"{\"model_type\":\"gpt2\",\"n_embd\":\"4\"}", "n_embd is \"4\"", "whole number", GAB_ERROR_FORMAT},
        {"{\"model_type\":\"gpt2\",\"n_head\":-2}", "n_head is -2", "whole number", GAB_ERROR_FORMAT},
        {"{\"model_type\":\"gpt2\",\"n_layer\":1.5}", "n_layer is 1.5", "whole number", GAB_ERROR_FORMAT},
        {"{\"model_type\":\"gpt2\",\"layer_norm_epsilon\":\"x\"}", "layer_norm_epsilon", "number", GAB_ERROR_FORMAT},
        {"{\"model_type\":\"gpt2\",\"activation_function\":\"relu\"}", "activation_function is 'relu'", "gelu_new",
         GAB_ERROR_UNSUPPORTED},
        {"{\"model_type\":\"gpt2\",\"scale_attn_weights\":false}", "scale_attn_weights is false", "true",
         GAB_ERROR_UNSUPPORTED},
        {"{\"model_type\":\"gpt2\",\"add_cross_attention\":true}", "add_cross_attention is true", "false",
         GAB_ERROR_UNSUPPORTED},
        {"{\"model_type\":\"gpt_oss\",\"swiglu_limit\":5}", "swiglu_limit is 5", "supported is 7",
         GAB_ERROR_UNSUPPORTED},
        {"{\"model_type\":\"llama\",\"quantization_config\":{\"quant_method\":\"awq\"}}", "'awq'", "--quantize",
         GAB_ERROR_UNSUPPORTED},
        {"{\"model_type\":\"llama\",\"hidden_size\":4,\"num_attention_heads\":2,\"rope_scaling\":{\"type\":\"spiral\"}"
         "}",
         "'spiral'", "llama3", GAB_ERROR_UNSUPPORTED},
        {"{\"model_type\":\"llama\",\"hidden_size\":4,\"num_attention_heads\":2,\"rope_theta\":-1}", "rope_theta -1",
         "", GAB_ERROR_FORMAT},
        {"{\"model_type\":\"phi3\",\"hidden_size\":4,\"num_attention_heads\":2,\"max_position_embeddings\":64,"
         "\"original_max_position_embeddings\":16,\"rope_scaling\":{\"type\":\"longrope\",\"long_factor\":[1,2]}}",
         "long_factor", "1 numbers", GAB_ERROR_FORMAT},
        {"{\"model_type\":\"gemma4_text\",\"enable_moe_block\":true}", "enable_moe_block is true", "false",
         GAB_ERROR_UNSUPPORTED},
        {"{\"model_type\":\"gemma4_text\",\"use_bidirectional_attention\":\"all\"}",
         "use_bidirectional_attention is 'all'", "'vision'", GAB_ERROR_UNSUPPORTED},
        {"{\"model_type\":\"gemma4_text\",\"per_layer_config\":{\"0\":{}}}", "per_layer_config", "null",
         GAB_ERROR_UNSUPPORTED},
        {"{\"model_type\":\"gemma4_text\",\"hidden_size\":64,\"num_hidden_layers\":2,\"num_kv_shared_layers\":2}",
         "num_kv_shared_layers 2", "num_hidden_layers 2", GAB_ERROR_FORMAT},
        {"{\"model_type\":\"gemma4_text\",\"hidden_size\":64,\"num_hidden_layers\":2,\"rope_parameters\":{"
         "\"full_attention\":{\"rope_type\":\"default\"}}}",
         "rope_type 'proportional'", "gemma4_text", GAB_ERROR_UNSUPPORTED},
        {"{\"model_type\":\"gemma3_text\",\"hidden_size\":64,\"rope_parameters\":{\"sliding_attention\":{\"rope_type\":"
         "\"linear\",\"factor\":2}}}",
         "sliding_attention", "'default'", GAB_ERROR_UNSUPPORTED},
        {"{\"model_type\":\"ministral3\",\"hidden_size\":64,\"rope_parameters\":{\"rope_type\":\"default\"}}",
         "ministral3", "llama_4_scaling_beta", GAB_ERROR_UNSUPPORTED},
        {"{\"model_type\":\"qwen2\",\"use_sliding_window\":true,\"sliding_window\":4,\"layer_types\":[\"linear_"
         "attention\"]}",
         "layer_types", "full_attention", GAB_ERROR_FORMAT},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        refused(make(wrong[i].config), wrong[i].status, wrong[i].word, wrong[i].other);
}

GAB_TEST(wrong_tensors_are_named) {
    const char *folder = make("{\"model_type\":\"llama\",\"hidden_size\":4,\"num_attention_heads\":2}");
    write_tensor(folder, "model.safetensors", "model.layers.0.self_attn.q_proj.weight", "F32", 5, 4);
    refused(folder, GAB_ERROR_FORMAT, "model.safetensors: tensor 'model.layers.0.self_attn.q_proj.weight' has 5 rows",
            "2 heads");
    folder = make("{\"model_type\":\"mixtral\",\"hidden_size\":4,\"num_attention_heads\":2}");
    write_tensor(folder, "model.safetensors", "model.layers.0.block_sparse_moe.experts.1.w1.weight", "F32", 3, 4);
    refused(folder, GAB_ERROR_FORMAT, "experts.1.w1.weight", "that of expert 0 is not");
    folder = make(NULL);
    safetensors_build *b = safetensors_build_new();
    const float values[16] = {0};
    safetensors_build_tensor(b, "wte.weight", "F32", 2, (uint64_t[]){2, 4}, values);
    safetensors_build_tensor(b, "transformer.wte.weight", "F32", 2, (uint64_t[]){2, 4}, values);
    safetensors_build_write(&b, folder, "model.safetensors");
    refused(folder, GAB_ERROR_FORMAT, "'wte.weight'", "the same in two names");
    b = safetensors_build_new();
    safetensors_build_tensor(b, "wte.weight", "F32", 3, (uint64_t[]){2, 2, 2}, values);
    safetensors_build_write(&b, folder, "model.safetensors");
    refused(folder, GAB_ERROR_FORMAT, "'wte.weight' has 3 dimensions", "matrix or a vector");
}

/* A head that is not there is the embedding only where the configuration, or its class, says so. */
GAB_TEST(a_missing_head_is_named) {
    static const struct {
        const char *config;
        bool whole;
    } folders[] = {{"{\"model_type\":\"llama\"}", false},
                   {"{\"model_type\":\"llama\",\"tie_word_embeddings\":true}", true},
                   {"{\"model_type\":\"gemma2\"}", true},
                   {"{\"model_type\":\"gemma2\",\"tie_word_embeddings\":false}", false},
                   {"{\"model_type\":\"mistral3\",\"text_config\":{\"model_type\":\"mistral\"}}", true},
                   {"{\"model_type\":\"of_two\",\"text_config\":{\"model_type\":\"mistral\"}}", false}};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        const char *folder = make(folders[i].config);
        write_tensor(folder, "model.safetensors", "model.embed_tokens.weight", "F32", 3, 4);
        gab_gguf *gguf = NULL;
        if (!folders[i].whole)
            refused(folder, GAB_ERROR_FORMAT, "lm_head.weight", "tie_word_embeddings");
        else
            CHECK_OK(gab_folder_open(folder, NULL, &gguf));
        gab_gguf_close(&gguf);
    }
}

/* Found when the model is bound. */
static void refused_model(const char *folder, gab_status expected, const char *word, const char *other) {
    gab_gguf *gguf = NULL;
    gab_model *model = NULL;
    CHECK_OK(gab_folder_open(folder, NULL, &gguf));
    const gab_status status = gab_model_open(gguf, NULL, &model);
    if (status != expected || model) FAIL("%s: %s", gab_status_text(status), gab_last_error());
    if (!strstr(gab_last_error(), word) || !strstr(gab_last_error(), other))
        FAIL("no '%s' and '%s' in: %s", word, other, gab_last_error());
    gab_gguf_close(&gguf);
}

GAB_TEST(wrong_models_are_named) {
    const char *folder = make(NULL);
    refused_model(folder, GAB_ERROR_FORMAT, folder, "no tensor 'position_embd.weight'");
    safetensors_build *b = safetensors_build_new();
    const char bytes[12] = {0};
    safetensors_build_raw(b, "wte.weight", "F8_E4M3", 2, (uint64_t[]){3, 4}, bytes, 12);
    safetensors_build_write(&b, folder, "model.safetensors");
    refused_model(folder, GAB_ERROR_UNSUPPORTED, "'token_embd.weight' is of type F8_E4M3", "F32");
    folder = make("{\"model_type\":\"gpt2\",\"n_embd\":4,\"n_head\":3,\"n_layer\":1,\"n_positions\":8,"
                  "\"layer_norm_epsilon\":1e-5}");
    refused_model(folder, GAB_ERROR_FORMAT, folder, "gpt2.attention.head_count");
}

/* A tensor that the family has a name for, and the forward pass has not. */
GAB_TEST(parts_that_are_not_computed_are_named) {
    static const struct {
        const char *name;
        uint64_t n_row, n_col;
    } tensors[] = {{"wte.weight", 3, 4},
                   {"wpe.weight", 8, 4},
                   {"ln_f.weight", 0, 4},
                   {"ln_f.bias", 0, 4},
                   {"h.0.ln_1.weight", 0, 4},
                   {"h.0.ln_1.bias", 0, 4},
                   {"h.0.attn.c_attn.weight", 4, 12},
                   {"h.0.attn.c_attn.bias", 0, 12},
                   {"h.0.attn.c_proj.weight", 4, 4},
                   {"h.0.attn.c_proj.bias", 0, 4},
                   {"h.0.ln_2.weight", 0, 4},
                   {"h.0.ln_2.bias", 0, 4},
                   {"h.0.mlp.c_fc.weight", 4, 16},
                   {"h.0.mlp.c_fc.bias", 0, 16},
                   {"h.0.mlp.c_proj.weight", 16, 4},
                   {"h.0.mlp.c_proj.bias", 0, 4},
                   {"lm_head.bias", 0, 3}}; /* no GPT-2 has it */
    static const float values[64];
    for (size_t n = sizeof tensors / sizeof *tensors, whole = 0; whole < 2; whole++) {
        const char *folder = make(NULL);
        safetensors_build *b = safetensors_build_new();
        for (size_t i = 0; i < n - whole; i++)
            safetensors_build_tensor(b, tensors[i].name, "F32", tensors[i].n_row ? 2 : 1,
                                     tensors[i].n_row ? (uint64_t[]){tensors[i].n_row, tensors[i].n_col}
                                                      : (uint64_t[]){tensors[i].n_col},
                                     values);
        safetensors_build_write(&b, folder, "model.safetensors");
        if (!whole) {
            refused_model(folder, GAB_ERROR_UNSUPPORTED, folder, "'output.bias'");
            continue;
        }
        gab_gguf *gguf = NULL;
        gab_model *model = NULL;
        CHECK_OK(gab_folder_open(folder, NULL, &gguf));
        CHECK_OK(gab_model_open(gguf, NULL, &model));
        gab_model_destroy(&model);
        gab_gguf_close(&gguf);
    }
}

/* ---- several files ---- */

static const char *make_two(const char *map) {
    const char *folder = make(NULL);
    char index[512];
    CHECK(remove(folder_build_path(folder, "model.safetensors")) == 0);
    write_tensor(folder, "a.safetensors", "wte.weight", "F32", 3, 4);
    write_tensor(folder, "b.safetensors", "wpe.weight", "F32", 8, 4);
    snprintf(index, sizeof index, "{\"metadata\":{},\"weight_map\":%s}", map);
    folder_build_text(folder, "model.safetensors.index.json", index);
    return folder;
}

GAB_TEST(index_and_files_agree) {
    const char *const good = "{\"wte.weight\":\"a.safetensors\",\"wpe.weight\":\"b.safetensors\"}";
    gab_gguf *gguf = NULL;
    const char *folder = make_two(good);
    CHECK_OK(gab_folder_open(folder, NULL, &gguf));
    CHECK(gab_gguf_n_tensor(gguf) == 2 && gab_gguf_n_file(gguf) == 2);
    gab_gguf_close(&gguf);
    CHECK(remove(folder_build_path(folder, "b.safetensors")) == 0);
    refused(folder, GAB_ERROR_FILE, "b.safetensors is missing", "index.json");
    write_tensor(folder, "b.safetensors", "other.weight", "F32", 8, 4);
    refused(folder, GAB_ERROR_FORMAT, "b.safetensors: tensor 'other.weight'", "another model");
    gab_test_file_write(folder_build_path(folder, "b.safetensors"), "xx", 2);
    refused(folder, GAB_ERROR_FORMAT, "b.safetensors has 2 bytes", "");
    refused(make_two("{\"wte.weight\":\"b.safetensors\",\"wpe.weight\":\"a.safetensors\"}"), GAB_ERROR_FORMAT,
            "tensor 'wpe.weight'", "another model");
    refused(make_two("{\"wte.weight\":\"a.safetensors\",\"wpe.weight\":\"b.safetensors\",\"x\":\"a.safetensors\"}"),
            GAB_ERROR_FORMAT, "tensor 'x' is not in", "a.safetensors");
}

GAB_TEST(wrong_indexes_are_named) {
    refused(make_two("{}"), GAB_ERROR_FORMAT, "weight_map", "index.json");
    refused(make_two("[1]"), GAB_ERROR_FORMAT, "weight_map", "index.json");
    refused(make_two("{\"wte.weight\":7}"), GAB_ERROR_FORMAT, "'wte.weight'", "index.json");
    refused(make_two("{\"wte.weight\":\"../a.safetensors\"}"), GAB_ERROR_FORMAT, "'wte.weight'", "beside it");
    refused(make_two("{\"wte.weight\":\"..\"}"), GAB_ERROR_FORMAT, "'wte.weight'", "beside it");
    refused(make_two("{\"wte.weight\":\"\"}"), GAB_ERROR_FORMAT, "'wte.weight'", "beside it");
}

GAB_TEST_MAIN()
