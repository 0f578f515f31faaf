/*
 * run_folder.c - engines on folders of Hugging Face models: the same logits, bit for bit, as from a GGUF file of the
 * same weights, also quantized while loading; a lost device; files that change; real weights.
 */
#include <math.h>
#include <stdatomic.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "folder_build.h"
#include "run_test.h"

enum { VOCAB = 26, CTX = 128, WIDTH = 64, FF = 256, HEADS = 4, LAYERS = 2, N_TOKEN = 40 };

static const struct {
    const char *hf, *gguf; /* '#': the layer */
    uint64_t n_row, n_col; /* in GGUF; n_row 0: a vector */
    bool transposed;
} tensors[] = {
    {"transformer.wte.weight", "token_embd.weight", VOCAB, WIDTH, false},
    {"transformer.wpe.weight", "position_embd.weight", CTX, WIDTH, false},
    {"transformer.h.#.ln_1.weight", "blk.#.attn_norm.weight", 0, WIDTH, false},
    {"transformer.h.#.ln_1.bias", "blk.#.attn_norm.bias", 0, WIDTH, false},
    {"transformer.h.#.attn.c_attn.weight", "blk.#.attn_qkv.weight", 3 * WIDTH, WIDTH, true},
    {"transformer.h.#.attn.c_attn.bias", "blk.#.attn_qkv.bias", 0, 3 * WIDTH, false},
    {"transformer.h.#.attn.c_proj.weight", "blk.#.attn_output.weight", WIDTH, WIDTH, true},
    {"transformer.h.#.attn.c_proj.bias", "blk.#.attn_output.bias", 0, WIDTH, false},
    {"transformer.h.#.ln_2.weight", "blk.#.ffn_norm.weight", 0, WIDTH, false},
    {"transformer.h.#.ln_2.bias", "blk.#.ffn_norm.bias", 0, WIDTH, false},
    {"transformer.h.#.mlp.c_fc.weight", "blk.#.ffn_up.weight", FF, WIDTH, true},
    {"transformer.h.#.mlp.c_fc.bias", "blk.#.ffn_up.bias", 0, FF, false},
    {"transformer.h.#.mlp.c_proj.weight", "blk.#.ffn_down.weight", WIDTH, FF, true},
    {"transformer.h.#.mlp.c_proj.bias", "blk.#.ffn_down.bias", 0, WIDTH, false},
    {"transformer.ln_f.weight", "output_norm.weight", 0, WIDTH, false},
    {"transformer.ln_f.bias", "output_norm.bias", 0, WIDTH, false},
};
enum { N_TENSOR = sizeof tensors / sizeof *tensors };

static void name_of(const char *pattern, unsigned layer, char name[96]) {
    const char *mark = strchr(pattern, '#');
    if (mark)
        snprintf(name, 96, "%.*s%u%s", (int)(mark - pattern), pattern, layer, mark + 1);
    else
        snprintf(name, 96, "%s", pattern);
}

/* Multiples of 1/256 below 1/2: the same number in F32, F16 and BF16. In GGUF's order. */
static float *values_of(size_t i, unsigned layer, uint64_t n) {
    gab_test_random random = {i * 100 + layer + 1};
    float *values = malloc(n * sizeof *values);
    CHECK(values);
    for (uint64_t k = 0; k < n; k++) values[k] = (float)((int)(gab_test_random_u32(&random) % 255) - 127) / 256;
    return values;
}

typedef void (*put_fn)(void *build, size_t i, const char *type, unsigned layer, const float *values);

static void each_tensor(put_fn put, void *build, const char *type) {
    for (size_t i = 0; i < N_TENSOR; i++)
        for (unsigned layer = 0; layer < (strchr(tensors[i].hf, '#') ? LAYERS : 1); layer++) {
            float *values = values_of(i, layer, (tensors[i].n_row ? tensors[i].n_row : 1) * tensors[i].n_col);
            put(build, i, type, layer, values);
            free(values);
        }
}

static void put_hf(void *build, size_t i, const char *type, unsigned layer, const float *values) {
    const uint64_t n_row = tensors[i].n_row, n_col = tensors[i].n_col;
    char name[96];
    name_of(tensors[i].hf, layer, name);
    if (!tensors[i].transposed) {
        const uint64_t shape[] = {n_row, n_col};
        safetensors_build_tensor(build, name, type, n_row ? 2 : 1, n_row ? shape : shape + 1, values);
        return;
    }
    float *turned = malloc(n_row * n_col * sizeof *turned);
    CHECK(turned);
    for (uint64_t r = 0; r < n_row; r++)
        for (uint64_t c = 0; c < n_col; c++) turned[c * n_row + r] = values[r * n_col + c];
    safetensors_build_tensor(build, name, type, 2, (uint64_t[]){n_col, n_row}, turned);
    free(turned);
}

static void put_gguf(void *build, size_t i, const char *type, unsigned layer, const float *values) {
    char name[96];
    gab_dtype dtype = GAB_DTYPE_F32;
    for (int t = 0; t < GAB_DTYPE_COUNT && tensors[i].n_row && i != 1; t++) /* 1: positions stay as they are */
        if (strcmp(gab_dtype_get((gab_dtype)t)->name, type) == 0) dtype = (gab_dtype)t;
    name_of(tensors[i].gguf, layer, name);
    gguf_build_tensor(build, name, dtype, tensors[i].n_row ? 2 : 1, (uint64_t[]){tensors[i].n_col, tensors[i].n_row},
                      values);
}

static const char *make_folder(const char *type) {
    const char *folder = folder_build_temp();
    safetensors_build *b = safetensors_build_new();
    each_tensor(put_hf, b, type);
    safetensors_build_write(&b, folder, "model.safetensors");
    folder_build_text(folder, "config.json",
                      "{\"model_type\":\"gpt2\",\"n_embd\":64,\"n_head\":4,\"n_layer\":2,\"n_positions\":128,"
                      "\"vocab_size\":26,\"layer_norm_epsilon\":1e-5,\"activation_function\":\"gelu_new\"}");
    return folder;
}

static const char *make_gguf(const char *type) {
    gguf_build *b = gguf_build_new(3);
    gab_test_gpt2_header(b, VOCAB, CTX, WIDTH, FF, HEADS, LAYERS);
    each_tensor(put_gguf, b, type);
    const char *path = gguf_build_temp(b);
    gguf_build_free(&b);
    return path;
}

static void logits_of(const char *device, const char *model, const char *quantize, bool staging, float *logits) {
    int32_t tokens[N_TOKEN];
    gab_engine_options options = gab_test_engine_options(device, model);
    options.quantize = quantize;
    options.staging = staging;
    options.precision = GAB_PRECISION_EXACT;
    gab_engine *engine = gab_test_engine_with(&options);
    gab_session *session = gab_test_session(engine, 0, 0);
    gab_test_tokens(3, VOCAB, tokens, N_TOKEN);
    CHECK_OK(gab_session_logits(session, tokens, N_TOKEN, 0, logits));
    gab_session_destroy(&session);
    gab_engine_destroy(&engine);
}

/* ---- the same as from GGUF ---- */

static void same_logits(const char *device) {
    static float found[N_TOKEN * VOCAB], expected[N_TOKEN * VOCAB];
    logits_of(device, make_gguf("F32"), NULL, false, expected);
    logits_of(device, make_folder("F32"), NULL, false, found);
    gab_test_same(found, expected, N_TOKEN * VOCAB, "F32");
    logits_of(device, make_folder("F32"), NULL, true, found);
    gab_test_same(found, expected, N_TOKEN * VOCAB, "F32 through staging");
    logits_of(device, make_gguf("BF16"), NULL, false, expected);
    logits_of(device, make_folder("BF16"), NULL, false, found);
    gab_test_same(found, expected, N_TOKEN * VOCAB, "BF16");
}
GAB_TEST(logits_are_those_of_gguf) {
    gab_test_each_engine_device(same_logits);
}

static void same_quantized(const char *device) {
    static const char *const types[][2] = {{"Q8_0", "q8_0"}, {"Q4_0", "Q4_0"}};
    static float found[N_TOKEN * VOCAB], expected[N_TOKEN * VOCAB];
    for (size_t i = 0; i < 2; i++) {
        logits_of(device, make_gguf(types[i][0]), NULL, false, expected);
        logits_of(device, make_folder("F32"), types[i][1], false, found);
        gab_test_same(found, expected, N_TOKEN * VOCAB, "folder in %s", types[i][0]);
        logits_of(device, make_folder("BF16"), types[i][1], false, found);
        gab_test_same(found, expected, N_TOKEN * VOCAB, "BF16 folder in %s", types[i][0]);
        logits_of(device, make_gguf("F32"), types[i][1], false, found);
        gab_test_same(found, expected, N_TOKEN * VOCAB, "file in %s", types[i][0]);
    }
}
GAB_TEST(quantized_while_loading) {
    gab_test_each_engine_device(same_quantized);
}

GAB_TEST(types_to_quantize_to_are_listed) {
    gab_engine_options options = gab_test_engine_options(NULL, make_gguf("F32"));
    gab_engine *engine = NULL;
    options.quantize = "q3";
    gab_test_fails(gab_engine_create(&options, &engine), GAB_ERROR_ARGUMENT, "'q3'", "Q8_0, Q4_0", NULL);
    CHECK(!engine);
}

/* ---- the end of a text ---- */

static void ends(const char *device) {
    const char *folder = make_folder("F32");
    char text[128];
    int32_t token = 5;
    gab_session_options options = gab_test_session_options(0, 0);
    options.ignore_end = false;
    gab_engine *engine = gab_test_engine(device, folder);
    CHECK(!gab_engine_tokenizer(engine));
    const gab_test_text free_text = gab_test_alone(engine, &options, &token, 1, 8);
    CHECK(free_text.n == 8 && free_text.stop == GAB_STOP_COUNT);
    gab_engine_destroy(&engine);
    /* Its third token becomes the second of those that end a text; it may have come before. */
    const int32_t end = free_text.tokens[2];
    snprintf(text, sizeof text, "{\"eos_token_id\":[%d,%d]}", (end + 1) % VOCAB == free_text.tokens[0] ? 25 : end, end);
    folder_build_text(folder, "generation_config.json", text);
    engine = gab_test_engine(device, folder);
    const gab_test_text ended = gab_test_alone(engine, &options, &token, 1, 8);
    CHECK(ended.stop == GAB_STOP_END && ended.stop_token == end && ended.n <= 2);
    gab_engine_destroy(&engine);
}
GAB_TEST(ends_of_generation_config) {
    gab_test_each_engine_device(ends);
}

/* ---- what its makers recommend ---- */

static void recommended(const char *device) {
    const char *folder = make_folder("F32");
    gab_sampling s = gab_session_options_default().sampling;
    gab_chat *chat = NULL;
    folder_build_text(folder, "generation_config.json",
                      "{\"do_sample\":true,\"temperature\":0.6,\"top_k\":-1,\"top_p\":0.9,\"min_p\":\"x\"}");
    gab_engine *engine = gab_test_engine(device, folder);
    gab_engine_recommend_sampling(engine, &s);
    CHECK(fabsf(s.temperature - 0.6f) < 1e-6f && fabsf(s.top_p - 0.9f) < 1e-6f);
    CHECK(s.top_k == 40 && fabsf(s.min_p - 0.05f) < 1e-6f); /* as the library has it */
    gab_test_fails(gab_chat_create(engine, NULL, &chat), GAB_ERROR_UNSUPPORTED, "no tokenizer", "conversation", NULL);
    gab_engine_destroy(&engine);
}
GAB_TEST(sampling_of_generation_config) {
    gab_test_each_engine_device(recommended);
}

/* ---- a lost device ---- */

static gab_test_calls calls;

static void lost(const char *device) {
    const char *folder = make_folder("F16");
    const int32_t tokens[] = {1, 2, 3};
    gab_engine *engine = gab_test_engine(device, folder);
    const gab_session_options options = gab_test_session_options(1, 7);
    const gab_test_text expected = gab_test_alone(engine, &options, tokens, 3, 20);
    calls.lose_device_at(5);
    const gab_test_text text = gab_test_alone(engine, &options, tokens, 3, 20);
    gab_test_same_text(&text, &expected, "after a loss");
    /* Its weights are not those any more. */
    gab_session *session = gab_test_session(engine, 1, 7);
    gab_event event;
    CHECK(truncate(folder_build_path(folder, "model.safetensors"), 5000) == 0);
    calls.lose_device_at(2);
    CHECK_OK(gab_session_feed(session, tokens, 3, 20));
    gab_status status = GAB_OK;
    do status = gab_session_next(session, &event);
    while (status == GAB_OK && event.stop == GAB_STOP_NONE);
    gab_test_fails(status, GAB_ERROR_FILE, "model.safetensors", "changed", NULL);
    gab_session_destroy(&session);
    gab_engine_destroy(&engine);
}
GAB_TEST(loads_again_after_a_loss) {
    calls = gab_test_calls_start();
    gab_test_each_engine_device(lost);
}

/* ---- real weights ---- */

/* Whole prompts, by the folder's own tokenizer, and the beginnings of their texts: enough to tell one weight from
 * another, on slow devices too. */
static void golden(const char *device) {
    enum { N_ROW = 2, N_MADE = 12 };
    int n_row = 0;
    size_t n = 0;
    char *text = gab_test_file_read(gab_test_model("tales-6m-hf/golden.json"), &n);
    cJSON *rows = cJSON_Parse(text);
    const cJSON *row, *id;
    gab_engine_options engine_options = gab_test_engine_options(device, gab_test_model("tales-6m-hf"));
    engine_options.precision = GAB_PRECISION_EXACT;
    gab_engine *engine = gab_test_engine_with(&engine_options);
    const gab_session_options options = gab_test_session_options(0, 0);
    CHECK(cJSON_GetArraySize(rows) > 0);
    cJSON_ArrayForEach(row, rows) {
        int32_t prompt[128], expected[128];
        if (n_row++ == N_ROW) break;
        size_t n_prompt = 0, n_expected = 0;
        cJSON_ArrayForEach(id, cJSON_GetObjectItemCaseSensitive(row, "prompt_ids")) prompt[n_prompt++] = id->valueint;
        cJSON_ArrayForEach(id, cJSON_GetObjectItemCaseSensitive(row, "ids_f32")) if (n_expected < N_MADE)
            expected[n_expected++] = id->valueint;
        const char *prompt_text = cJSON_GetObjectItemCaseSensitive(row, "prompt")->valuestring;
        int32_t *encoded = NULL;
        size_t n_encoded = 0;
        CHECK_OK(gab_tokenizer_encode(gab_engine_tokenizer(engine), prompt_text, strlen(prompt_text), true, false,
                                      &encoded, &n_encoded));
        CHECK(n_encoded == n_prompt && memcmp(encoded, prompt, n_prompt * sizeof *prompt) == 0);
        gab_tokens_free(&encoded);
        const gab_test_text found = gab_test_alone(engine, &options, prompt, n_prompt, n_expected);
        CHECK(found.n == n_expected);
        for (size_t i = 0; i < n_expected; i++)
            if (found.tokens[i] != expected[i]) FAIL("token %zu is %d, not %d", i, found.tokens[i], expected[i]);
    }
    gab_engine_destroy(&engine);
    cJSON_Delete(rows);
    free(text);
}
GAB_TEST(real_weights) {
    gab_test_model("tales-6m-hf");
    gab_test_each_engine_device(golden);
}

GAB_TEST_MAIN()
