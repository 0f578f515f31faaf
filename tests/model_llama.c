/* Models with rotary positions against what transformers made of them: tests/models, written by
 * tests/oracle/make_models.py. Each crosses its window and its rope scaling's context within 24 tokens. And what such a
 * file may not say. */
#include "model/model.h"

#include <math.h>

#include "run_test.h"

enum { VOCAB = 32, N = 24 };

static const char *now; /* the model of the case at hand */

static void read_recorded(const char *name, int32_t tokens[N], float logits[N * VOCAB]) {
    char path[512];
    snprintf(path, sizeof path, "%s/tests/models/%s.bin", GAB_TEST_SOURCE_DIR, name);
    FILE *file = fopen(path, "rb");
    CHECK(file && fread(tokens, sizeof *tokens, N, file) == N);
    CHECK(fread(logits, sizeof *logits, N * VOCAB, file) == N * VOCAB);
    fclose(file);
}

/* At once and one token at a time, with each family of kernels. */
static void recorded(const char *device) {
    static const char *const families[] = {"lane", "group"};
    static float expected[N * VOCAB], logits[N * VOCAB];
    int32_t tokens[N];
    char path[512];
    snprintf(path, sizeof path, "%s/tests/models/%s.gguf", GAB_TEST_SOURCE_DIR, now);
    read_recorded(now, tokens, expected);
    for (uint32_t family = 0; family < 2; family++) {
        gab_engine_options options = gab_test_engine_options(device, path);
        options.kv = GAB_KV_F32;
        options.precision = GAB_PRECISION_EXACT;
        options.variant = families[family];
        gab_engine *engine = gab_test_engine_with(&options);
        for (uint32_t chunk = 0; chunk < 2; chunk++) {
            gab_session *session = gab_test_session(engine, 0, 0);
            CHECK_OK(gab_session_logits(session, tokens, N, chunk, logits));
            for (uint32_t i = 0; i < N; i++) {
                const double error = gab_test_distance(logits + i * VOCAB, expected + i * VOCAB, VOCAB);
                if (!(error < 1e-5))
                    FAIL("%s, %s, chunks of %u: token %u is off by %g", now, families[family], chunk, i, error);
            }
            gab_session_destroy(&session);
        }
        gab_engine_destroy(&engine);
    }
}

static void check_recorded(const char *name) {
    now = name;
    gab_test_each_engine_device(recorded);
}

GAB_TEST(llama) {
    check_recorded("llama");
}
GAB_TEST(mistral) {
    check_recorded("mistral");
}
GAB_TEST(ministral3) {
    check_recorded("ministral3");
}
GAB_TEST(qwen2) {
    check_recorded("qwen2");
}
GAB_TEST(qwen3) {
    check_recorded("qwen3");
}
GAB_TEST(phi3) {
    check_recorded("phi3");
}
GAB_TEST(gemma2) {
    check_recorded("gemma2");
}
GAB_TEST(gemma3) {
    check_recorded("gemma3");
}
GAB_TEST(gemma4_like_the_large_ones) {
    check_recorded("gemma4-large");
}
GAB_TEST(gemma4_like_the_small_ones) {
    check_recorded("gemma4-small");
}
GAB_TEST(gptneox) {
    check_recorded("gptneox");
}
GAB_TEST(olmo2) {
    check_recorded("olmo2");
}
GAB_TEST(gptoss) {
    check_recorded("gptoss");
}
GAB_TEST(smollm3) {
    check_recorded("smollm3");
}
GAB_TEST(mixtral) {
    check_recorded("mixtral");
}
GAB_TEST(qwen3moe) {
    check_recorded("qwen3moe");
}

/* ---- what is refused ---- */

static gguf_build *header(void) {
    gguf_build *b = gguf_build_new(3);
    gguf_build_string(b, "general.architecture", "llama");
    gguf_build_u32(b, "llama.context_length", 64);
    gguf_build_u32(b, "llama.embedding_length", 16);
    gguf_build_u32(b, "llama.feed_forward_length", 24);
    gguf_build_u32(b, "llama.block_count", 1);
    gguf_build_u32(b, "llama.attention.head_count", 2);
    gguf_build_f32(b, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    return b;
}

/* Gemma 4 with layers of two kinds. */
static gguf_build *gemma4_header(uint32_t n_shared, uint32_t n_ff) {
    const int32_t widths[] = {64, (int32_t)n_ff};
    gguf_build *b = gguf_build_new(3);
    gguf_build_string(b, "general.architecture", "gemma4");
    gguf_build_u32(b, "gemma4.context_length", 64);
    gguf_build_u32(b, "gemma4.embedding_length", 16);
    gguf_build_array(b, "gemma4.feed_forward_length", GAB_GGUF_I32, widths, 2);
    gguf_build_u32(b, "gemma4.block_count", 2);
    gguf_build_u32(b, "gemma4.attention.head_count", 2);
    gguf_build_u32(b, "gemma4.attention.key_length", 64);
    gguf_build_u32(b, "gemma4.attention.key_length_swa", 32);
    gguf_build_u32(b, "gemma4.attention.sliding_window", 8);
    gguf_build_u32(b, "gemma4.attention.shared_kv_layers", n_shared);
    gguf_build_f32(b, "gemma4.attention.layer_norm_rms_epsilon", 1e-5f);
    return b;
}

/* Opening must fail and name the parts. Frees the builder. */
static void refused(gguf_build *b, gab_status expected, const char *part, const char *other) {
    const gab_log log = gab_test_log();
    gab_gguf *gguf = NULL;
    gab_model *model = NULL;
    gguf_build_tensor_raw(b, "token_embd.weight", 0, 2, (uint64_t[]){16, 4}, gab_test_alloc(256), 256);
    CHECK_OK(gab_gguf_open(gguf_build_temp(b), &log, &gguf));
    gab_test_fails(gab_model_open(gguf, &log, &model), expected, part, other, NULL);
    gab_gguf_close(&gguf);
    gguf_build_free(&b);
}

/* A scaling that makes more positions of those trained for; and a factor that other programs set aside. */
GAB_TEST(yarn_stretches_the_context) {
    const gab_log log = gab_test_log();
    gab_gguf *gguf = NULL;
    gab_model_config config = {.architecture = "llama", .head_dim = 8, .n_ctx = 64};
    gguf_build *b = header();
    gguf_build_string(b, "llama.rope.scaling.type", "yarn");
    gguf_build_f32(b, "llama.rope.scaling.factor", 4);
    gguf_build_u32(b, "llama.rope.scaling.original_context_length", 48);
    gguf_build_f32(b, "llama.rope.scaling.yarn_attn_factor", 0.5f);
    CHECK_OK(gab_gguf_open(gguf_build_temp(b), &log, &gguf));
    CHECK_OK(gab_config_read_rope(gguf, &log, &config));
    CHECK(config.n_ctx == 192 && config.rope[0].scaling.n_ctx_original == 48);
    CHECK(fabs(config.rope[0].scaling.magnitude - (0.1 * 1.3862943611198906 + 1)) < 1e-6);
    gab_gguf_close(&gguf);
    gguf_build_f32(b, "llama.rope.scaling.yarn_magnitude", 1.5f); /* of a folder */
    CHECK_OK(gab_gguf_open(gguf_build_temp(b), &log, &gguf));
    CHECK_OK(gab_config_read_rope(gguf, &log, &config));
    CHECK(fabs(config.rope[0].scaling.magnitude - 1.5) < 1e-6);
    gab_gguf_close(&gguf);
    gguf_build_free(&b);
}

GAB_TEST(what_cannot_be_run_is_named) {
    gguf_build *b = header();
    gguf_build_u32(b, "llama.expert_count", 513);
    refused(b, GAB_ERROR_UNSUPPORTED, "llama.expert_count is 513", "at most 512");
    b = header();
    gguf_build_u32(b, "llama.expert_count", 8);
    gguf_build_u32(b, "llama.expert_used_count", 2);
    gguf_build_u32(b, "llama.expert_shared_count", 1);
    refused(b, GAB_ERROR_UNSUPPORTED, "llama.expert_shared_count is 1", "share");
    b = header();
    gguf_build_string(b, "llama.rope.scaling.type", "spiral");
    refused(b, GAB_ERROR_UNSUPPORTED, "llama.rope.scaling.type is 'spiral'", "yarn");
    b = header();
    gguf_build_u32(b, "llama.rope.dimension_count", 7);
    refused(b, GAB_ERROR_UNSUPPORTED, "7 are rotated", "even");
    b = header();
    gguf_build_u32(b, "llama.attention.value_length", 4);
    refused(b, GAB_ERROR_UNSUPPORTED, "keys of 8", "values of 4");
}

GAB_TEST(what_gemma4_cannot_be_is_named) {
    gguf_build *b = gemma4_header(0, 64);
    gguf_build_u32(b, "gemma4.expert_count", 128);
    refused(b, GAB_ERROR_UNSUPPORTED, "gemma4.expert_count is 128", "without experts");
    refused(gemma4_header(0, 70), GAB_ERROR_UNSUPPORTED, "feed-forward parts of 64 and of 70", "multiples of 64");
    refused(gemma4_header(1, 64), GAB_ERROR_FORMAT, "gemma4.attention.shared_kv_layers is 1", "of the kind of layer 1");
    refused(gemma4_header(2, 64), GAB_ERROR_FORMAT, "gemma4.attention.shared_kv_layers is 2", "at most 1");
    b = gemma4_header(0, 64);
    gguf_build_u32(b, "gemma4.rope.dimension_count_swa", 7);
    refused(b, GAB_ERROR_UNSUPPORTED, "of which 7 are rotated", "even");
    b = gemma4_header(0, 64);
    gguf_build_u32(b, "gemma4.embedding_length_per_layer_input", 48);
    refused(b, GAB_ERROR_UNSUPPORTED, "inputs of layers and feed-forward parts of 48 and of 64", "multiples of 64");
    refused(gemma4_header(0, 64), GAB_ERROR_FORMAT, "no tensor 'rope_freqs.weight'", "incomplete");
    refused(gemma4_header(0, 0), GAB_ERROR_FORMAT, "gemma4.feed_forward_length holds 0", "1 to");
}

/* A file in which another layer of a kind that has no values of its own has some. */
GAB_TEST(lost_values_are_named) {
    static const char windowed[] = "blk.0.attn_v.weight", full[] = "blk.1.attn_v.weight";
    const gab_log log = gab_test_log();
    gab_gguf *gguf = NULL;
    gab_model *model = NULL;
    static unsigned char bytes[1 << 18];
    FILE *file = fopen(GAB_TEST_SOURCE_DIR "/tests/models/gemma4-large.gguf", "rb");
    CHECK(file);
    const size_t n_byte = fread(bytes, 1, sizeof bytes, file);
    size_t at = 0;
    fclose(file);
    while (at + sizeof full < n_byte && memcmp(bytes + at, windowed, sizeof windowed - 1) != 0) at++;
    CHECK(at + sizeof full < n_byte);
    memcpy(bytes + at, full, sizeof full - 1);
    CHECK_OK(gab_gguf_open(gguf_build_temp_bytes(bytes, n_byte), &log, &gguf));
    gab_test_fails(gab_model_open(gguf, &log, &model), GAB_ERROR_FORMAT, "no tensor 'blk.3.attn_v.weight'",
                   "incomplete", NULL);
    gab_gguf_close(&gguf);
}

GAB_TEST(what_is_damaged_is_named) {
    gguf_build *b = header();
    gguf_build_u32(b, "llama.attention.head_count_kv", 3);
    refused(b, GAB_ERROR_FORMAT, "llama.attention.head_count_kv is 3", "1 to 2");
    b = header();
    gguf_build_u32(b, "llama.expert_count", 8);
    gguf_build_u32(b, "llama.expert_used_count", 9);
    refused(b, GAB_ERROR_FORMAT, "llama.expert_used_count is 9", "1 to 8");
    b = header();
    gguf_build_f32(b, "llama.rope.freq_base", -1);
    refused(b, GAB_ERROR_FORMAT, "llama.rope.freq_base is -1", "expected");
    b = header();
    gguf_build_string(b, "llama.rope.scaling.factor", "four");
    refused(b, GAB_ERROR_FORMAT, "llama.rope.scaling.factor", "");
    refused(header(), GAB_ERROR_FORMAT, "no tensor 'blk.0.attn_norm.weight'", "incomplete");
}

GAB_TEST_MAIN()
