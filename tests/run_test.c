#include "run_test.h"

#include <math.h>
#include <stdarg.h>

#include "base/time.h"

void gab_test_each_engine_device(void (*body)(const char *device)) {
    gab_device_info *devices = NULL;
    size_t n = 0;
    unsigned n_run = 0;
    const gab_log log = gab_test_log();
    gab_test_vk_setup();
    CHECK_OK(gab_device_list(&devices, &n, log.fn, log.user));
    for (size_t i = 0; i < n; i++) {
        char index[16];
        if (!devices[i].usable) continue;
        snprintf(index, sizeof index, "%u", devices[i].index);
        gab_vk *vk = gab_test_vk_open(index);
        bool executes = vk->executes;
        gab_test_vk_close(&vk);
        if (!executes) continue;
        uint64_t start = gab_time_ns();
        body(index);
        printf("device %s: %s, %.0f ms\n", index, devices[i].name, gab_time_ms_since(start));
        n_run++;
    }
    gab_device_list_free(&devices);
    if (n_run == 0) SKIP("no device that computes");
}

/* ---- models ---- */

const char *gab_test_small_model(void) {
    static const char *path;
    if (path) return path;
    const gguf_build_gpt2_config config = {
        .n_vocab = 300, .n_merge = 20, .n_ctx = 320, .n_embd = 64, .n_head = 4, .n_layer = 2, .seed = 11};
    gguf_build *b = gguf_build_new(3);
    gguf_build_gpt2(b, &config);
    path = gguf_build_temp(b);
    gguf_build_free(&b);
    return path;
}

const char *gab_test_tales(void) {
    return gab_test_source("models/tales.gguf");
}

void gab_test_gpt2_header(gguf_build *b, uint32_t n_vocab, uint32_t n_ctx, uint32_t n_embd, uint32_t n_ff,
                          uint32_t n_head, uint32_t n_layer) {
    static const char *const letters[] = {"A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K", "L", "M",
                                          "N", "O", "P", "Q", "R", "S", "T", "U", "V", "W", "X", "Y", "Z"};
    int32_t types[26];
    CHECK(n_vocab <= 26);
    for (uint32_t i = 0; i < n_vocab; i++) types[i] = 1; /* normal */
    gguf_build_string(b, "general.architecture", "gpt2");
    gguf_build_u32(b, "gpt2.context_length", n_ctx);
    gguf_build_u32(b, "gpt2.embedding_length", n_embd);
    gguf_build_u32(b, "gpt2.feed_forward_length", n_ff);
    gguf_build_u32(b, "gpt2.block_count", n_layer);
    gguf_build_u32(b, "gpt2.attention.head_count", n_head);
    gguf_build_f32(b, "gpt2.attention.layer_norm_epsilon", 1e-5f);
    gguf_build_string(b, "tokenizer.ggml.model", "gpt2");
    gguf_build_string(b, "tokenizer.ggml.pre", "gpt-2");
    gguf_build_strings(b, "tokenizer.ggml.tokens", letters, n_vocab);
    gguf_build_array(b, "tokenizer.ggml.token_type", GAB_GGUF_I32, types, n_vocab);
    gguf_build_strings(b, "tokenizer.ggml.merges", letters, 0);
}

/* Into one temporary file, the same each time. */
static const char *write_changed(const void *data, size_t n) {
    static const char *path;
    if (!path) return path = gguf_build_temp_bytes(data, n);
    FILE *file = fopen(path, "wb");
    CHECK(file && fwrite(data, 1, n, file) == n && fclose(file) == 0);
    return path;
}

const char *gab_test_patched(gguf_build *b, gguf_build_kind kind, const char *entry, unsigned which, uint64_t value) {
    size_t n, n_field;
    const unsigned char *data = gguf_build_bytes(b, &n);
    const gguf_build_field *fields = gguf_build_fields(b, &n_field);
    unsigned char *copy = malloc(n);
    CHECK(copy);
    memcpy(copy, data, n);
    size_t i = 0;
    while (i < n_field && !(fields[i].kind == kind && strcmp(fields[i].entry, entry) == 0 && which-- == 0)) i++;
    CHECK(i < n_field);
    if (kind == GGUF_BUILD_VALUE_TYPE) /* the value behind it, of 4 bytes */
        memcpy(copy + fields[i].offset + 4, &value, 4);
    else
        memcpy(copy + fields[i].offset, &value, fields[i].bytes);
    const char *path = write_changed(copy, n);
    free(copy);
    return path;
}

const char *gab_test_renamed(gguf_build *b, const char *name) {
    size_t n, length = strlen(name);
    const unsigned char *data = gguf_build_bytes(b, &n);
    unsigned char *copy = malloc(n);
    CHECK(copy);
    memcpy(copy, data, n);
    unsigned n_found = 0;
    for (size_t i = 8; i + length <= n; i++) {
        uint64_t stored;
        memcpy(&stored, copy + i - 8, sizeof stored);
        if (stored != length || memcmp(copy + i, name, length) != 0) continue;
        copy[i] = '_';
        n_found++;
    }
    CHECK(n_found == 1);
    const char *path = write_changed(copy, n);
    free(copy);
    return path;
}

/* ---- engines and sessions ---- */

gab_engine_options gab_test_engine_options(const char *device, const char *model) {
    const gab_log log = gab_test_log();
    gab_engine_options options = gab_engine_options_default();
    gab_test_vk_setup();
    options.model_path = model;
    options.device = device;
    options.log = log.fn;
    options.log_user = log.user;
    return options;
}

gab_engine *gab_test_engine_with(const gab_engine_options *options) {
    gab_engine *engine = NULL;
    CHECK_OK(gab_engine_create(options, &engine));
    return engine;
}

gab_engine *gab_test_engine(const char *device, const char *model) {
    const gab_engine_options options = gab_test_engine_options(device, model);
    return gab_test_engine_with(&options);
}

gab_session_options gab_test_session_options(float temperature, uint64_t seed) {
    gab_session_options options = gab_session_options_default();
    options.sampling = (gab_sampling){.temperature = temperature, .top_p = 1, .repeat_penalty = 1, .seed = seed};
    options.ignore_end = true;
    return options;
}

gab_session *gab_test_session(gab_engine *engine, float temperature, uint64_t seed) {
    const gab_session_options options = gab_test_session_options(temperature, seed);
    gab_session *session = NULL;
    CHECK_OK(gab_session_create(engine, &options, &session));
    return session;
}

gab_test_text gab_test_take(gab_session *session) {
    gab_test_text text = {.stop_token = -1};
    for (;;) {
        gab_event event = {0};
        CHECK_OK(gab_session_next(session, &event));
        if (event.stop != GAB_STOP_NONE) {
            text.stop = event.stop;
            text.stop_token = event.token;
            return text;
        }
        CHECK(text.n < sizeof text.tokens / sizeof *text.tokens);
        text.tokens[text.n++] = event.token;
    }
}

gab_test_text gab_test_turn(gab_session *session, const int32_t *tokens, size_t n_token, size_t n_predict) {
    CHECK_OK(gab_session_feed(session, tokens, n_token, n_predict));
    return gab_test_take(session);
}

gab_test_text gab_test_alone(gab_engine *engine, const gab_session_options *options, const int32_t *tokens,
                             size_t n_token, size_t n_predict) {
    gab_session *session = NULL;
    CHECK_OK(gab_session_create(engine, options, &session));
    gab_test_text text = gab_test_turn(session, tokens, n_token, n_predict);
    gab_session_destroy(&session);
    return text;
}

void gab_test_same_text(const gab_test_text *got, const gab_test_text *expected, const char *what) {
    for (size_t i = 0; i < got->n && i < expected->n; i++)
        if (got->tokens[i] != expected->tokens[i])
            FAIL("%s: token %zu is %d, expected %d", what, i, got->tokens[i], expected->tokens[i]);
    if (got->n != expected->n || got->stop != expected->stop)
        FAIL("%s: %zu tokens and '%s', expected %zu and '%s'", what, got->n, gab_stop_text(got->stop), expected->n,
             gab_stop_text(expected->stop));
}

void gab_test_tokens(uint64_t seed, uint32_t n_vocab, int32_t *tokens, size_t n) {
    gab_test_random random = {seed};
    for (size_t i = 0; i < n; i++) tokens[i] = (int32_t)(gab_test_random_u32(&random) % n_vocab);
}

void gab_test_fails(gab_status status, gab_status expected, ...) {
    va_list args;
    if (status != expected)
        FAIL("'%s' (%s), expected '%s'", gab_status_text(status), gab_last_error(), gab_status_text(expected));
    va_start(args, expected);
    for (const char *part; (part = va_arg(args, const char *));)
        if (!strstr(gab_last_error(), part)) FAIL("'%s' does not name '%s'", gab_last_error(), part);
    va_end(args);
}

double gab_test_distance(const float *a, const float *b, size_t n) {
    double error = 0, norm = 0;
    for (size_t i = 0; i < n; i++) {
        CHECK(isfinite(a[i]) && isfinite(b[i]));
        error += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        norm += (double)b[i] * b[i];
    }
    return norm > 0 ? sqrt(error / norm) : sqrt(error);
}
