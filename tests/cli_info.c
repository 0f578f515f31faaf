/* `gabbro info`: what it says of files, folders, vocabularies, unknown architectures, with and without a device. */
#include "cli.h"

#include "folder_build.h"
#include "gguf_build.h"

static const cJSON *type_of(const cJSON *json, const char *name) {
    const cJSON *type;
    cJSON_ArrayForEach(type, cJSON_GetObjectItemCaseSensitive(json, "types")) {
        if (strcmp(cli_json_text_of(type, "type"), name) == 0) return type;
    }
    FAIL("no type %s", name);
}

static bool flag_of(const cJSON *json, const char *name) {
    return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, name));
}

GAB_TEST(embedded_model) {
    cJSON *json = cli_json(CLI("info", "--json"));
    CHECK(strcmp(cli_json_text_of(json, "architecture"), "gpt2") == 0 && flag_of(json, "supported"));
    CHECK(strcmp(cli_json_text_of(json, "container"), "GGUF") == 0);
    CHECK(cli_json_number_of(json, "n_layer") == 6 && cli_json_number_of(json, "n_embd") == 256);
    CHECK(cli_json_number_of(json, "n_head") == 4 && cli_json_number_of(json, "head_dim") == 64);
    CHECK(cli_json_number_of(json, "n_vocab") == 4096 && cli_json_number_of(json, "context") == 512);
    CHECK(strcmp(cli_json_text_of(json, "tokenizer"), "gpt2 (gpt-2)") == 0 && !flag_of(json, "chat_template"));
    const cJSON *q8 = type_of(json, "Q8_0");
    CHECK(cli_json_number_of(q8, "tensors") == 25 &&
          cli_json_number_of(q8, "bytes") == cli_json_number_of(q8, "weights") / 32 * 34);
    /* of 512 positions in 6 layers, keys and values, 256 halves each */
    CHECK(cli_json_number_of(json, "kv_bytes") == 512.0 * 6 * 2 * 256 * 2);
    CHECK(cli_json_number_of(json, "weight_bytes") > cli_json_number_of(q8, "bytes"));
    cJSON_Delete(json);
    json = cli_json(CLI("info", "--json", "-c", "64", "--kv", "f32", "--quantize", "q4_0"));
    CHECK(cli_json_number_of(json, "kv_bytes") == 64.0 * 6 * 2 * 256 * 4);
    CHECK(cli_json_number_of(type_of(json, "Q4_0"), "tensors") == 25);
    cJSON_Delete(json);
}

GAB_TEST(table) {
    cli_result result = CLI("info");
    CHECK_EXIT(result, 0);
    CHECK_SAYS(result.out, "architecture  gpt2\n");
    CHECK_SAYS(result.out, "layers        6 of width 256");
    CHECK_SAYS(result.out, "Q8_0");
    CHECK_SAYS(result.out, "memory for a context of 512");
    cli_result_free(&result);
    result = CLI("info", "synth:gpt3-175b:q4_0");
    CHECK_EXIT(result, 0);
    CHECK_SAYS(result.out, "files         synthetic");
    CHECK_SAYS(result.out, "context       2048");
    cli_result_free(&result);
}

/* The numbers are the same where there is no driver. */
GAB_TEST(no_device) {
    CHECK(setenv("VK_ICD_FILENAMES", "/nonexistent.json", 1) == 0 &&
          setenv("VK_DRIVER_FILES", "/nonexistent.json", 1) == 0);
    cJSON *json = cli_json(CLI("info", "--json"));
    CHECK(flag_of(json, "supported") && cli_json_number_of(json, "kv_bytes") > 0);
    CHECK(cli_json_text_of(json, "device")[0] == 0 && cli_json_number_of(json, "device_bytes") == 0);
    cJSON_Delete(json);
    cli_result result = CLI("info");
    CHECK_EXIT(result, 0);
    CHECK_SAYS(result.out, "no Vulkan device");
    CHECK(result.n_err == 0);
    cli_result_free(&result);
    result = CLI("info", "-d", "radeon");
    CHECK_EXIT(result, 1);
    cli_result_free(&result);
}

GAB_TEST(vocabulary_alone_and_unknown_architecture) {
    gguf_build *b = gguf_build_new(3);
    gguf_build_string(b, "general.architecture", "never-heard-of");
    gguf_build_u32(b, "never-heard-of.block_count", 7);
    gguf_build_string(b, "tokenizer.ggml.model", "llama");
    gguf_build_strings(b, "tokenizer.ggml.tokens", (const char *const[]){"a", "b", "c"}, 3);
    gguf_build_string(b, "tokenizer.chat_template", "{{ x }}");
    const char *path = gguf_build_temp(b);
    cJSON *json = cli_json(CLI("info", "--json", path));
    CHECK(!flag_of(json, "supported") && flag_of(json, "chat_template"));
    CHECK_SAYS(cli_json_text_of(json, "problem"), "never-heard-of");
    CHECK(cli_json_number_of(json, "n_layer") == 7 && cli_json_number_of(json, "n_vocab") == 3);
    CHECK(cli_json_number_of(json, "tensors") == 0 && strcmp(cli_json_text_of(json, "tokenizer"), "llama") == 0);
    cJSON_Delete(json);
    cli_result result = CLI("info", path);
    CHECK_EXIT(result, 0);
    CHECK_SAYS(result.out, "none: a vocabulary alone");
    CHECK_SAYS(result.out, "It cannot run here: ");
    cli_result_free(&result);
    /* types that are named but not known */
    const char data[144] = {0};
    gguf_build_tensor_raw(b, "x.weight", 12, 1, (uint64_t[]){256}, data, sizeof data); /* Q4_K */
    json = cli_json(CLI("info", "--json", gguf_build_temp(b)));
    CHECK(cli_json_number_of(type_of(json, "Q4_K"), "weights") == 256);
    cJSON_Delete(json);
    gguf_build_free(&b);
}

/* Where layers differ: the widest feed-forward part, and the cache of those layers alone that have one. */
GAB_TEST(layers_that_differ) {
    cJSON *json = cli_json(CLI("info", "--json", GAB_TEST_SOURCE_DIR "/tests/models/gemma4-small.gguf"));
    CHECK(flag_of(json, "supported") && cli_json_number_of(json, "n_layer") == 4);
    CHECK(cli_json_number_of(json, "n_ff") == 128 && cli_json_number_of(json, "head_dim") == 64);
    /* of 64 positions, keys and values, halves: one head of 32 in a layer, of 64 in another; two layers share them */
    CHECK(cli_json_number_of(json, "kv_bytes") == 64.0 * 2 * 2 * (32 + 64));
    cJSON_Delete(json);
}

GAB_TEST(folder) {
    static const float values[64];
    const char *path = folder_build_temp();
    safetensors_build *b = safetensors_build_new();
    folder_build_text(
        path, "config.json",
        "{\"model_type\":\"llama\",\"hidden_size\":8,\"num_attention_heads\":2,"
        "\"num_key_value_heads\":1,\"num_hidden_layers\":3,\"vocab_size\":5,\"tie_word_embeddings\":true}");
    folder_build_text(path, "tokenizer.json", "{\"model\":{\"type\":\"Unigram\"}}");
    folder_build_text(path, "chat_template.jinja", "{{ x }}");
    safetensors_build_tensor(b, "model.embed_tokens.weight", "F16", 2, (uint64_t[]){5, 8}, values);
    safetensors_build_tensor(b, "model.norm.weight", "F32", 1, (uint64_t[]){8}, values);
    safetensors_build_write(&b, path, "model.safetensors");
    cJSON *json = cli_json(CLI("info", "--json", path));
    CHECK(strcmp(cli_json_text_of(json, "container"), "safetensors") == 0);
    CHECK(strcmp(cli_json_text_of(json, "architecture"), "llama") == 0);
    CHECK(strcmp(cli_json_text_of(json, "tokenizer"), "Unigram (tokenizer.json)") == 0 &&
          flag_of(json, "chat_template"));
    CHECK(cli_json_number_of(json, "n_head_kv") == 1 && cli_json_number_of(json, "weights") == 48);
    CHECK(cli_json_number_of(type_of(json, "F16"), "bytes") == 80);
    cJSON_Delete(json);
}

GAB_TEST(failures) {
    cli_result result = CLI("info", "/nonexistent.gguf");
    CHECK_EXIT(result, 1);
    CHECK_SAYS(result.err, "/nonexistent.gguf");
    cli_result_free(&result);
    result = CLI("info", "/tmp");
    CHECK_EXIT(result, 1);
    CHECK_SAYS(result.err, "config.json");
    cli_result_free(&result);
    result = CLI("info", "--quantize", "q9");
    CHECK_EXIT(result, 2);
    CHECK_SAYS(result.err, "Q8_0, Q4_0");
    cli_result_free(&result);
    result = CLI("info", "-c", "100000");
    CHECK_EXIT(result, 2);
    CHECK_SAYS(result.err, "512 positions");
    cli_result_free(&result);
}

GAB_TEST_MAIN()
