/*
 * format_gguf.c - the GGUF reader: what it finds in good files, and what it says of damaged ones.
 */
#include "format/gguf.h"

#include "gguf_build.h"
#include "tensor/quant.h"
#include "test.h"

#include <dirent.h>
#include <inttypes.h>
#include <sys/resource.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size); /* fuzz/fuzz_gguf.c */

/* A GPT-2 of about 20 KiB with every part that a real one has. */
static gguf_build *build_small(uint32_t version) {
    gguf_build *b = gguf_build_new(version);
    gguf_build_alignment(b, 32);
    gguf_build_gpt2(b, &(gguf_build_gpt2_config){.n_vocab = 40,
                                                 .n_merge = 6,
                                                 .n_ctx = 8,
                                                 .n_embd = 32,
                                                 .n_head = 2,
                                                 .n_layer = 1,
                                                 .embedding = GAB_DTYPE_F16,
                                                 .position = GAB_DTYPE_F32,
                                                 .matrix = GAB_DTYPE_Q8_0});
    gguf_build_array(b, "test.f32s", GAB_GGUF_F32, (float[]){1.5f, -2}, 2);
    gguf_build_array(b, "test.u64s", GAB_GGUF_U64, (uint64_t[]){7, INT32_MAX}, 2);
    return b;
}

/* No allocation from a number in a damaged file may be larger than this; a sanitizer's shadow memory needs more. */
static void limit_memory(void) {
    struct rlimit limit = {256 << 20, 256 << 20};
    if (!GAB_TEST_ASAN) CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
}

/* What errors call each kind of field. */
static const char *const field_word[] = {
    [GGUF_BUILD_VERSION] = "version",
    [GGUF_BUILD_N_TENSOR] = "tensor count",
    [GGUF_BUILD_N_KEY] = "key count",
    [GGUF_BUILD_NAME_LENGTH] = "name length",
    [GGUF_BUILD_VALUE_TYPE] = "value type",
    [GGUF_BUILD_STRING_LENGTH] = "string length",
    [GGUF_BUILD_ELEMENT_TYPE] = "element type",
    [GGUF_BUILD_ELEMENT_COUNT] = "element count",
    [GGUF_BUILD_N_DIM] = "n_dim",
    [GGUF_BUILD_SHAPE] = "shape",
    [GGUF_BUILD_TENSOR_TYPE] = "type",
    [GGUF_BUILD_OFFSET] = "offset",
    [GGUF_BUILD_ALIGNMENT] = "general.alignment",
};
enum { N_FIELD_WORD = sizeof field_word / sizeof *field_word };

/* The last error is of this file and, after its path, names some field. */
static void check_error_names_a_field(const char *path, const char *what) {
    static const char *const other[] = {"magic", "name", "value", "string"};
    const char *error = gab_last_error();
    size_t n = strlen(path);
    if (strncmp(error, path, n) != 0 || error[n] != ':')
        FAIL("%s: the error does not begin with the file: %s", what, error);
    for (size_t i = 0; i < N_FIELD_WORD; i++)
        if (strstr(error + n, field_word[i])) return;
    for (size_t i = 0; i < sizeof other / sizeof *other; i++)
        if (strstr(error + n, other[i])) return;
    FAIL("%s: the error names no field: %s", what, error);
}

static void check_error_has(gab_status status, gab_status expected, const char *word) {
    if (status != expected) FAIL("%s, expected %s", gab_status_text(status), gab_status_text(expected));
    if (!strstr(gab_last_error(), word)) FAIL("no '%s' in: %s", word, gab_last_error());
}

/* Writes the file, which must not open; the error names `word`. */
static void check_refused(gguf_build *b, const char *word) {
    gab_gguf *gguf = NULL;
    const char *path = gguf_build_temp(b);
    check_error_has(gab_gguf_open(path, NULL, &gguf), GAB_ERROR_FORMAT, word);
    CHECK(!gguf && strncmp(gab_last_error(), path, strlen(path)) == 0);
    gguf_build_free(&b);
}

static gab_gguf *open_built(gguf_build *b) {
    gab_gguf *gguf = NULL;
    CHECK_OK(gab_gguf_open(gguf_build_temp(b), NULL, &gguf));
    gguf_build_free(&b);
    return gguf;
}

static bool string_is(gab_gguf_string string, const char *text) {
    return string.n_byte == strlen(text) && strcmp(string.text, text) == 0;
}

static void check_small(uint32_t version) {
    gguf_build *b = build_small(version);
    size_t n_byte;
    gguf_build_bytes(b, &n_byte);
    CHECK(n_byte > 8 << 10 && n_byte <= 64 << 10);
    gab_gguf *gguf = open_built(b);
    CHECK(gab_gguf_version(gguf) == version);
    CHECK(gab_file_size(gab_gguf_file_at(gguf, 0)) == n_byte);

    uint32_t u = 0;
    float f = 0;
    uint64_t n = 0;
    gab_gguf_string s;
    const gab_gguf_string *strings;
    const int32_t *i32s;
    const float *f32s;
    CHECK(gab_gguf_get_string(gguf, "general.architecture", &s) && string_is(s, "gpt2"));
    CHECK(gab_gguf_get_u32(gguf, "gpt2.embedding_length", &u) && u == 32);
    CHECK(gab_gguf_get_f32(gguf, "gpt2.attention.layer_norm_epsilon", &f) && f == 1e-5f);
    CHECK(gab_gguf_get_strings(gguf, "tokenizer.ggml.tokens", &strings, &n) && n == 40);
    CHECK(string_is(strings[0], "!") && string_is(strings[33], "!\"") && string_is(strings[39], "<|endoftext|>"));
    CHECK(gab_gguf_get_strings(gguf, "tokenizer.ggml.merges", &strings, &n) && n == 6 && string_is(strings[1], "\" #"));
    CHECK(gab_gguf_get_i32s(gguf, "tokenizer.ggml.token_type", &i32s, &n) && n == 40 && i32s[0] == 1 && i32s[39] == 3);
    CHECK(gab_gguf_get_f32s(gguf, "test.f32s", &f32s, &n) && n == 2 && f32s[0] == 1.5f && f32s[1] == -2);
    CHECK(gab_gguf_get_i32s(gguf, "test.u64s", &i32s, &n) && n == 2 && i32s[0] == 7 && i32s[1] == INT32_MAX);

    CHECK(gab_gguf_n_tensor(gguf) == 2 + 12 + 2);
    CHECK(strcmp(gab_gguf_tensor_at(gguf, 0)->name, "token_embd.weight") == 0);
    const gab_gguf_tensor *t = gab_gguf_tensor_find(gguf, "blk.0.attn_qkv.weight");
    CHECK(t && t->known && t->type == GAB_DTYPE_Q8_0 && t->gguf_type == 8 && t->n_dim == 2);
    CHECK(t->shape[0] == 32 && t->shape[1] == 96 && t->shape[2] == 1 && t->shape[3] == 1);
    CHECK(t->n_row == 96 && t->row_bytes == 34 && t->bytes == 96 * 34 && t->offset % 32 == 0);
    t = gab_gguf_tensor_find(gguf, "output_norm.bias"); /* the last */
    CHECK(t && t->n_dim == 1 && t->n_row == 1 && t->bytes == 128 && t->offset + t->bytes == n_byte);
    CHECK(!gab_gguf_tensor_find(gguf, "blk.1.attn_qkv.weight"));
    gab_gguf_close(&gguf);
    CHECK(!gguf);
}

GAB_TEST(opens_version_3) {
    check_small(3);
}

GAB_TEST(opens_version_2) {
    check_small(2);
}

GAB_TEST(tensor_data_lies_where_it_says) {
    const float values[] = {1, 2, 3, 4, 5, 6};
    float read[6] = {0};
    gguf_build *b = gguf_build_new(3);
    gguf_build_alignment(b, 64);
    gguf_build_tensor(b, "a", GAB_DTYPE_F16, 1, (uint64_t[]){3}, values);
    gguf_build_tensor(b, "b", GAB_DTYPE_F32, 3, (uint64_t[]){1, 2, 3}, values);
    gab_gguf *gguf = open_built(b);
    const gab_gguf_tensor *t = gab_gguf_tensor_find(gguf, "b");
    CHECK(t && t->bytes == sizeof read && t->n_row == 6 && t->offset % 64 == 0);
    CHECK_OK(gab_file_read_at(gab_gguf_file_at(gguf, 0), t->offset, read, sizeof read, NULL));
    CHECK(memcmp(read, values, sizeof read) == 0);
    gab_gguf_close(&gguf);
}

/* Experts of 2 x 3 with a tensor each, the last one first; `twisted` has its sides the other way round, of `without`
 * there is none. */
static gguf_build *build_experts(uint32_t n, uint32_t twisted, uint32_t without) {
    gguf_build *b = gguf_build_new(3);
    char name[64];
    for (uint32_t i = n; i-- > 0;)
        for (uint32_t layer = 0; layer < 2; layer++) {
            float values[6];
            for (int k = 0; k < 6; k++) values[k] = (float)(100 * layer + 10 * i) + (float)k;
            snprintf(name, sizeof name, "blk.%u.ffn_down.%u.weight", layer, i);
            if (i == without && layer == 1) continue;
            gguf_build_tensor(b, name, GAB_DTYPE_F16, 2, i == twisted ? (uint64_t[]){3, 2} : (uint64_t[]){2, 3},
                              values);
        }
    gguf_build_tensor(b, "blk.0.ffn_down.weight", GAB_DTYPE_F32, 1, (uint64_t[]){1}, (float[]){7});
    return b;
}

GAB_TEST(experts_with_a_tensor_each_are_one) {
    gab_gguf *gguf = open_built(build_experts(11, UINT32_MAX, UINT32_MAX));
    CHECK(gab_gguf_n_tensor(gguf) == 3 && gab_gguf_tensor_find(gguf, "blk.0.ffn_down.weight"));
    CHECK(!gab_gguf_tensor_find(gguf, "blk.0.ffn_down.0.weight"));
    const gab_gguf_tensor *t = gab_gguf_tensor_find(gguf, "blk.1.ffn_down_exps.weight");
    CHECK(t && t->n_dim == 3 && t->shape[0] == 2 && t->shape[1] == 3 && t->shape[2] == 11);
    CHECK(t->n_row == 33 && t->bytes == 33 * 4 && t->type == GAB_DTYPE_F16);
    uint16_t rows[2 * 4];
    float values[8];
    CHECK_OK(gab_gguf_read_rows(t, 29, 4, rows, NULL)); /* the last of expert 9, all of 10 */
    gab_dequantize_row(GAB_DTYPE_F16, rows, 8, values);
    const float expected[8] = {194, 195, 200, 201, 202, 203, 204, 205};
    CHECK(memcmp(values, expected, sizeof values) == 0);
    gab_gguf_close(&gguf);

    check_refused(build_experts(3, 2, UINT32_MAX), "blk.0.ffn_down.2.weight");
    check_refused(build_experts(3, UINT32_MAX, 1), "are missing");
    check_refused(build_experts(3, UINT32_MAX, 0), "are missing");
    gguf_build *b = build_experts(3, UINT32_MAX, UINT32_MAX);
    gguf_build_tensor(b, "blk.1.ffn_down_exps.weight", GAB_DTYPE_F32, 1, (uint64_t[]){1}, (float[]){7});
    check_refused(b, "twice");
}

GAB_TEST(integers_convert_when_they_fit) {
    static const struct {
        gab_gguf_type type;
        int64_t value;
        bool fits;
    } rows[] = {
        {GAB_GGUF_U8, 255, true},
        {GAB_GGUF_I8, 127, true},
        {GAB_GGUF_I8, -1, false},
        {GAB_GGUF_U16, 65535, true},
        {GAB_GGUF_I16, 32767, true},
        {GAB_GGUF_I16, -32768, false},
        {GAB_GGUF_U32, UINT32_MAX, true},
        {GAB_GGUF_I32, -1, false},
        {GAB_GGUF_I32, INT32_MAX, true},
        {GAB_GGUF_U64, UINT32_MAX, true},
        {GAB_GGUF_U64, (int64_t)UINT32_MAX + 1, false},
        {GAB_GGUF_U64, -1, false},
        {GAB_GGUF_I64, UINT32_MAX, true},
        {GAB_GGUF_I64, -1, false},
        {GAB_GGUF_I64, INT64_MAX, false},
    };
    enum { N = sizeof rows / sizeof *rows };
    char key[16];
    gguf_build *b = gguf_build_new(3);
    for (int i = 0; i < N; i++) {
        snprintf(key, sizeof key, "k%d", i);
        gguf_build_value(b, key, rows[i].type, &rows[i].value);
    }
    gguf_build_bool(b, "bool", true);
    gguf_build_value(b, "f64", GAB_GGUF_F64, &(double){0.25});
    gguf_build_value(b, "f64 huge", GAB_GGUF_F64, &(double){1e300});
    gab_gguf *gguf = open_built(b);
    for (int i = 0; i < N; i++) {
        uint32_t value = 0;
        snprintf(key, sizeof key, "k%d", i);
        if (gab_gguf_get_u32(gguf, key, &value) != rows[i].fits) FAIL("row %d", i);
        if (rows[i].fits && value != (uint64_t)rows[i].value) FAIL("row %d: %" PRIu32, i, value);
    }
    uint32_t u;
    float f;
    bool yes = false;
    CHECK(!gab_gguf_get_u32(gguf, "bool", &u) && !gab_gguf_get_bool(gguf, "k0", &yes));
    CHECK(gab_gguf_get_bool(gguf, "bool", &yes) && yes);
    CHECK(gab_gguf_get_f32(gguf, "f64", &f) && f == 0.25f);
    CHECK(!gab_gguf_get_f32(gguf, "f64 huge", &f) && !gab_gguf_get_f32(gguf, "k0", &f));
    CHECK(gab_gguf_n_key(gguf) == N + 3);
    gab_gguf_close(&gguf);
}

GAB_TEST(arrays_of_other_types_read_as_missing) {
    gguf_build *b = gguf_build_new(3);
    gguf_build_array(b, "i8", GAB_GGUF_I8, (int8_t[]){-128, 127}, 2);
    gguf_build_array(b, "u32 too large", GAB_GGUF_U32, (uint32_t[]){1, UINT32_MAX, 2}, 3);
    gguf_build_array(b, "i64 too small", GAB_GGUF_I64, (int64_t[]){INT32_MIN, (int64_t)INT32_MIN - 1}, 2);
    gguf_build_array(b, "bool", GAB_GGUF_BOOL, (uint8_t[]){0, 1}, 2);
    gguf_build_array(b, "f64", GAB_GGUF_F64, (double[]){1, 2, 3}, 3);
    gguf_build_strings(b, "none", NULL, 0);
    gguf_build_u32(b, "last", 5); /* found only if the arrays before it were stepped over rightly */
    gab_gguf *gguf = open_built(b);
    const int32_t *i32s;
    const float *f32s;
    const gab_gguf_string *strings;
    uint64_t n = 0;
    uint32_t u = 0;
    CHECK(gab_gguf_get_i32s(gguf, "i8", &i32s, &n) && n == 2 && i32s[0] == -128 && i32s[1] == 127);
    CHECK(!gab_gguf_get_i32s(gguf, "u32 too large", &i32s, &n) && !gab_gguf_get_i32s(gguf, "i64 too small", &i32s, &n));
    CHECK(gab_gguf_get_i32s(gguf, "bool", &i32s, &n) && n == 2 && i32s[0] == 0 && i32s[1] == 1);
    CHECK(!gab_gguf_get_f32s(gguf, "f64", &f32s, &n));
    CHECK(!gab_gguf_get_strings(gguf, "i8", &strings, &n) && !gab_gguf_get_i32s(gguf, "last", &i32s, &n));
    CHECK(gab_gguf_get_strings(gguf, "none", &strings, &n) && n == 0);
    CHECK(gab_gguf_get_u32(gguf, "last", &u) && u == 5);
    gab_gguf_close(&gguf);
}

GAB_TEST(require_names_key_type_and_value) {
    gguf_build *b = gguf_build_new(3);
    gguf_build_value(b, "negative", GAB_GGUF_I32, &(int32_t){-3});
    gguf_build_string(b, "text", "six\n");
    gguf_build_array(b, "list", GAB_GGUF_I32, (int32_t[]){1, 2}, 2);
    gguf_build_f32(b, "half", 0.5f);
    gab_gguf *gguf = open_built(b);
    uint32_t u;
    float f;
    gab_gguf_string s;
    check_error_has(gab_gguf_require_u32(gguf, "absent", NULL, &u), GAB_ERROR_FORMAT, "'absent' is missing");
    check_error_has(gab_gguf_require_u32(gguf, "negative", NULL, &u), GAB_ERROR_FORMAT,
                    "'negative' has type I32 and value -3");
    check_error_has(gab_gguf_require_u32(gguf, "text", NULL, &u), GAB_ERROR_FORMAT,
                    "'text' has type STRING and value \"six?\"");
    check_error_has(gab_gguf_require_string(gguf, "list", NULL, &s), GAB_ERROR_FORMAT, "'list' has type ARRAY of 2");
    check_error_has(gab_gguf_require_string(gguf, "half", NULL, &s), GAB_ERROR_FORMAT,
                    "'half' has type F32 and value 0.5");
    check_error_has(gab_gguf_require_f32(gguf, "text", NULL, &f), GAB_ERROR_FORMAT, gab_gguf_path(gguf));
    CHECK_OK(gab_gguf_require_f32(gguf, "half", NULL, &f));
    CHECK(f == 0.5f);
    gab_gguf_close(&gguf);
}

GAB_TEST(strings_may_hold_any_bytes) {
    gguf_build *b = gguf_build_new(3);
    gguf_build_string_bytes(b, "bytes", "a\0\xff", 3);
    gguf_build_string(b, "empty", "");
    gab_gguf *gguf = open_built(b);
    gab_gguf_string s;
    CHECK(gab_gguf_get_string(gguf, "bytes", &s) && s.n_byte == 3 && memcmp(s.text, "a\0\xff", 4) == 0);
    CHECK(gab_gguf_get_string(gguf, "empty", &s) && s.n_byte == 0 && s.text[0] == 0);
    gab_gguf_close(&gguf);
}

/* Headers of many windows: long strings, many strings, a scalar behind them. */
GAB_TEST(large_header) {
    enum { N = 30000, LONG = 300000 };
    gguf_build *b = gguf_build_new(3);
    char(*text)[16] = calloc(N, sizeof *text), *large = malloc(LONG);
    const char **tokens = calloc(N, sizeof *tokens);
    CHECK(text && tokens && large);
    for (int i = 0; i < N; i++) {
        snprintf(text[i], sizeof text[i], "%x", i * 2654435761u);
        tokens[i] = text[i];
    }
    for (int i = 0; i < LONG; i++) large[i] = (char)i;
    gguf_build_strings(b, "tokens", tokens, N);
    gguf_build_string_bytes(b, "large", large, LONG);
    gguf_build_u32(b, "last", 9);
    gab_gguf *gguf = open_built(b);
    const gab_gguf_string *strings;
    gab_gguf_string s;
    uint64_t n = 0;
    uint32_t u = 0;
    CHECK(gab_gguf_get_strings(gguf, "tokens", &strings, &n) && n == N);
    for (int i = 0; i < N; i++) CHECK(string_is(strings[i], text[i]));
    CHECK(gab_gguf_get_string(gguf, "large", &s) && s.n_byte == LONG && memcmp(s.text, large, LONG) == 0);
    CHECK(gab_gguf_get_u32(gguf, "last", &u) && u == 9);
    gab_gguf_close(&gguf);
    free(text);
    free(tokens);
    free(large);
}

GAB_TEST(unknown_types_are_listed) {
    gguf_build *b = gguf_build_new(3);
    gguf_build_tensor_raw(b, "k", 16, 2, (uint64_t[]){256, 2}, (char[132]){0}, 132);
    gguf_build_tensor_raw(b, "x", 30, 1, (uint64_t[]){7}, (char[14]){0}, 14);
    gab_gguf *gguf = open_built(b);
    const gab_gguf_tensor *t = gab_gguf_tensor_find(gguf, "k");
    CHECK(t && !t->known && t->gguf_type == 16 && t->row_bytes == 0 && t->bytes == 0 && t->n_row == 2);
    gab_gguf_close(&gguf);
    b = gguf_build_new(3);
    gguf_build_tensor_raw(b, "x", 77, 1, (uint64_t[]){7}, (char[14]){0}, 14);
    check_refused(b, "tensor 'x': type is 77");
}

GAB_TEST(refuses_wrong_files) {
    gab_gguf *gguf = NULL;
    check_error_has(gab_gguf_open("/nonexistent/model.gguf", NULL, &gguf), GAB_ERROR_FILE, "/nonexistent/model.gguf");
    check_error_has(gab_gguf_open(gab_test_source("tests"), NULL, &gguf), GAB_ERROR_FILE, "not a regular file");
    check_error_has(gab_gguf_open(gguf_build_temp_bytes("", 0), NULL, &gguf), GAB_ERROR_FORMAT, "magic");
    check_error_has(gab_gguf_open(gguf_build_temp_bytes("GGML\3\0\0\0", 8), NULL, &gguf), GAB_ERROR_FORMAT, "magic");
    check_refused(gguf_build_new(1), "version is 1");
    check_refused(gguf_build_new(4), "version is 4");
    check_refused(gguf_build_new(0x03000000), "big-endian");
}

GAB_TEST(refuses_wrong_names) {
    const float one = 1;
    const uint64_t shape = 1;
    gguf_build *b = gguf_build_new(3);
    gguf_build_u32(b, "b", 1);
    gguf_build_u32(b, "twice", 1);
    gguf_build_u32(b, "a", 1);
    gguf_build_string(b, "twice", "");
    check_refused(b, "key 'twice': name is there twice");
    b = gguf_build_new(3);
    gguf_build_tensor(b, "t\x1b[1m", GAB_DTYPE_F32, 1, &shape, &one);
    gguf_build_tensor(b, "t\x1b[1m", GAB_DTYPE_F32, 1, &shape, &one);
    check_refused(b, "tensor 't?[1m': name is there twice"); /* never a terminal's control bytes in a message */
    b = gguf_build_new(3);
    gguf_build_u32(b, "", 1);
    check_refused(b, "key 0: name length is 0");

    static char name[65537];
    memset(name, 'n', 65536);
    b = gguf_build_new(3);
    gguf_build_u32(b, name, 1);
    check_refused(b, "name length is 65536");
    name[65535] = 0;
    b = gguf_build_new(3);
    gguf_build_u32(b, name, 1);
    gab_gguf *gguf = open_built(b);
    gab_gguf_close(&gguf);

    size_t n;
    b = gguf_build_new(3);
    gguf_build_u32(b, "zero", 1);
    unsigned char *data = malloc(gguf_build_bytes(b, &n) ? n : 0);
    CHECK(data);
    memcpy(data, gguf_build_bytes(b, &n), n);
    data[4 + 4 + 8 + 8 + 8 + 1] = 0;
    check_error_has(gab_gguf_open(gguf_build_temp_bytes(data, n), NULL, &gguf), GAB_ERROR_FORMAT, "zero byte");
    free(data);
    gguf_build_free(&b);
}

GAB_TEST(refuses_wrong_values) {
    const float values[64] = {0};
    gguf_build *b = gguf_build_new(3);
    gguf_build_value(b, "flag", GAB_GGUF_BOOL, &(uint8_t){2});
    check_refused(b, "key 'flag': value is 2");
    b = gguf_build_new(3);
    gguf_build_array(b, "flags", GAB_GGUF_BOOL, (uint8_t[]){0, 1, 3}, 3);
    check_refused(b, "key 'flags': element 2 value is 3");
    b = gguf_build_new(3);
    gguf_build_string(b, "general.alignment", "32");
    check_refused(b, "general.alignment has type STRING");
    b = gguf_build_new(3);
    gguf_build_alignment(b, 48);
    check_refused(b, "general.alignment is 48");
    b = gguf_build_new(3);
    gguf_build_tensor_raw(b, "q", 8, 2, (uint64_t[]){33, 2}, values, sizeof values);
    check_refused(b, "tensor 'q': shape[0] is 33");
    b = gguf_build_new(3);
    gguf_build_tensor_raw(b, "q", 0, 2, (uint64_t[]){UINT64_C(1) << 32, UINT64_C(1) << 31}, values, sizeof values);
    check_refused(b, "tensor 'q': shape[1] is 2147483648");
    b = gguf_build_new(3);
    gguf_build_tensor_raw(b, "q", 0, 2, (uint64_t[]){UINT64_C(1) << 62, 1}, values, sizeof values);
    check_refused(b, "tensor 'q': shape [4611686018427387904, 1, 1, 1]");
    b = gguf_build_new(3);
    gguf_build_tensor_raw(b, "q", 0, 5, (uint64_t[]){1, 1, 1, 1, 1}, values, sizeof values);
    check_refused(b, "tensor 'q': n_dim is 5");
}

/* A file whose bytes change in place. */
typedef struct damaged {
    FILE *file;
    const char *path;
    unsigned char *data;
    size_t n;
} damaged;

static damaged damaged_begin(gguf_build *b) {
    damaged d = {.path = gguf_build_temp(b)};
    const unsigned char *data = gguf_build_bytes(b, &d.n);
    d.data = malloc(d.n);
    CHECK(d.data);
    memcpy(d.data, data, d.n);
    d.file = fopen(d.path, "r+b");
    CHECK(d.file);
    limit_memory();
    return d;
}

static void damaged_end(damaged *d) {
    fclose(d->file);
    free(d->data);
}

GAB_TEST(cut_at_every_byte) {
    gguf_build *b = build_small(3);
    damaged d = damaged_begin(b);
    gab_gguf *gguf = NULL;
    CHECK_OK(gab_gguf_open(d.path, NULL, &gguf)); /* it ends with tensor data, not with padding */
    gab_gguf_close(&gguf);
    for (size_t n = d.n; n-- > 0;) {
        char what[40];
        snprintf(what, sizeof what, "cut at byte %zu", n);
        CHECK(ftruncate(fileno(d.file), (off_t)n) == 0);
        gab_status status = gab_gguf_open(d.path, NULL, &gguf);
        if (status != GAB_ERROR_FORMAT) FAIL("%s: %s", what, gab_status_text(status));
        check_error_names_a_field(d.path, what);
    }
    damaged_end(&d);
    gguf_build_free(&b);
}

static bool must_fail(gguf_build_kind kind, uint64_t value) {
    bool zero_is_wrong = kind == GGUF_BUILD_VERSION || kind == GGUF_BUILD_NAME_LENGTH || kind == GGUF_BUILD_N_DIM ||
                         kind == GGUF_BUILD_SHAPE || kind == GGUF_BUILD_ALIGNMENT;
    return value > 1 || (value == 0 && zero_is_wrong) || (value == 1 && kind == GGUF_BUILD_VERSION);
}

/* Sets every number of the header to `value` in turn. Where it cannot be right the error names this very field; where
 * it can (a row of one weight, no tensors), the file opens, or a later field makes no sense. */
static void replace_every_field(uint64_t value) {
    gguf_build *b = build_small(3);
    damaged d = damaged_begin(b);
    size_t n_field, n_refused = 0;
    const gguf_build_field *fields = gguf_build_fields(b, &n_field);
    CHECK(n_field > 150);
    for (size_t i = 0; i < n_field; i++) {
        const gguf_build_field *field = &fields[i];
        gab_gguf *gguf = NULL;
        char what[192];
        uint64_t saved = 0, put = field->bytes == 4 && value > UINT32_MAX ? UINT32_MAX : value;
        memcpy(&saved, d.data + field->offset, field->bytes);
        memcpy(d.data + field->offset, &put, field->bytes);
        CHECK(pwrite(fileno(d.file), &put, field->bytes, (off_t)field->offset) == (ssize_t)field->bytes);
        snprintf(what, sizeof what, "%s of '%s' = %" PRIu64, field_word[field->kind], field->entry, put);

        gab_status status = gab_gguf_open(d.path, NULL, &gguf);
        gab_gguf_close(&gguf);
        if (status != GAB_OK && status != GAB_ERROR_FORMAT) FAIL("%s: %s", what, gab_status_text(status));
        if (status == GAB_ERROR_FORMAT) {
            check_error_names_a_field(d.path, what);
            n_refused++;
        }
        if (put != saved && must_fail(field->kind, put)) {
            if (status == GAB_OK) FAIL("%s: the file opens", what);
            if (!strstr(gab_last_error(), field_word[field->kind])) FAIL("%s: %s", what, gab_last_error());
            /* The name of an entry is not known before its length is. */
            if (field->kind != GGUF_BUILD_NAME_LENGTH && !strstr(gab_last_error(), field->entry))
                FAIL("%s: %s", what, gab_last_error());
        }
        LLVMFuzzerTestOneInput(d.data, d.n);
        memcpy(d.data + field->offset, &saved, field->bytes);
        CHECK(pwrite(fileno(d.file), &saved, field->bytes, (off_t)field->offset) == (ssize_t)field->bytes);
    }
    printf("%zu fields, %zu refused\n", n_field, n_refused);
    damaged_end(&d);
    gguf_build_free(&b);
}

GAB_TEST(every_field_0) {
    replace_every_field(0);
}

GAB_TEST(every_field_1) {
    replace_every_field(1);
}

GAB_TEST(every_field_2_31) {
    replace_every_field(UINT64_C(1) << 31);
}

GAB_TEST(every_field_2_63) {
    replace_every_field(UINT64_C(1) << 63);
}

GAB_TEST(every_field_2_64_less_1) {
    replace_every_field(UINT64_MAX);
}

/* Calls fn for every file NAME in a folder (not below it) that ends in `suffix`; returns how many. */
static int for_each_file(const char *folder, const char *suffix, void (*fn)(const char *path)) {
    DIR *dir = opendir(folder);
    int n = 0;
    if (!dir) return 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        char path[4096];
        size_t length = strlen(entry->d_name), end = strlen(suffix);
        if (entry->d_name[0] == '.' || length < end || strcmp(entry->d_name + length - end, suffix) != 0) continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        fn(path);
        n++;
    }
    closedir(dir);
    return n;
}

static void replay(const char *path) {
    char *data;
    size_t n;
    CHECK_OK(gab_file_read_all(path, 1 << 20, NULL, &data, &n));
    /* Exactly n bytes, for the sanitizer to see reads beyond them. */
    uint8_t *exact = malloc(n ? n : 1);
    CHECK(exact);
    memcpy(exact, data, n);
    LLVMFuzzerTestOneInput(exact, n);
    free(exact);
    free(data);
}

GAB_TEST(fuzz_corpus) {
    limit_memory();
    int n = for_each_file(gab_test_source("tests/fuzz/corpus_gguf"), "", replay);
    printf("%d files\n", n);
    CHECK(n >= 12);
}

static void open_real(const char *path) {
    gab_gguf *gguf = NULL;
    gab_gguf_string s;
    CHECK_OK(gab_gguf_open(path, NULL, &gguf));
    CHECK(gab_gguf_get_string(gguf, "general.architecture", &s));
    printf("%s: v%" PRIu32 ", %s, %" PRIu64 " keys, %" PRIu64 " tensors\n", path, gab_gguf_version(gguf), s.text,
           gab_gguf_n_key(gguf), gab_gguf_n_tensor(gguf));
    const gab_gguf_string *tokens;
    const float *scores;
    const int32_t *types;
    uint64_t n = 0, n_other = 0;
    CHECK(gab_gguf_get_strings(gguf, "tokenizer.ggml.tokens", &tokens, &n) && n > 0);
    CHECK(gab_gguf_get_i32s(gguf, "tokenizer.ggml.token_type", &types, &n_other) && n_other == n);
    if (gab_gguf_get_f32s(gguf, "tokenizer.ggml.scores", &scores, &n_other)) CHECK(n_other == n);
    gab_gguf_close(&gguf);
}

GAB_TEST(real_files) {
    const char *folder = gab_test_model("vocab");
    CHECK(for_each_file(folder, ".gguf", open_real) >= 8);
    CHECK(for_each_file(gab_test_models(), ".gguf", open_real) >= 1);
    CHECK(for_each_file(gab_test_model("stories260K"), ".gguf", open_real) == 1);
}

GAB_TEST(embedded_model) {
    gab_gguf *gguf = NULL;
    uint32_t n_layer = 0;
    CHECK_OK(gab_gguf_open(gab_test_source("models/tales.gguf"), NULL, &gguf));
    CHECK_OK(gab_gguf_require_u32(gguf, "gpt2.block_count", NULL, &n_layer));
    CHECK(n_layer == 6);
    const gab_gguf_tensor *t = gab_gguf_tensor_find(gguf, "blk.5.ffn_down.weight");
    CHECK(t && t->known && t->type == GAB_DTYPE_Q8_0 && t->shape[0] == 1024 && t->shape[1] == 256);
    gab_gguf_close(&gguf);
}

GAB_TEST_MAIN()
