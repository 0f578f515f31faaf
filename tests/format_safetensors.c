/*
 * format_safetensors.c - the safetensors reader: what it finds in good files, and what it says of damaged ones.
 */
#include "format/safetensors.h"

#include <dirent.h>

#include "folder_build.h"
#include "gguf_build.h"
#include "test.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size); /* fuzz/fuzz_safetensors.c */

/* A file from a header and so many bytes of data; NULL when it is not opened. */
static gab_safetensors *open_header(const char *header, size_t n_data, gab_status *status) {
    size_t n = 0;
    gab_safetensors *s = NULL;
    unsigned char *file = safetensors_build_header(header, n_data, &n);
    const char *path = gguf_build_temp_bytes(file, n);
    *status = gab_safetensors_open(path, NULL, &s);
    LLVMFuzzerTestOneInput(file, n);
    free(file);
    remove(path);
    return s;
}

static void refused(const char *header, size_t n_data, const char *word, const char *other) {
    gab_status status = GAB_OK;
    gab_safetensors *s = open_header(header, n_data, &status);
    CHECK(!s && status == GAB_ERROR_FORMAT);
    if (!strstr(gab_last_error(), word) || !strstr(gab_last_error(), other))
        FAIL("no '%s' and '%s' in: %s", word, other, gab_last_error());
}

GAB_TEST(tensors_of_every_type) {
    static const struct {
        const char *type;
        uint32_t n_bit;
    } types[] = {{"F64", 64}, {"F32", 32}, {"F16", 16},    {"BF16", 16},   {"F8_E4M3", 8}, {"F8_E5M2", 8},
                 {"I64", 64}, {"I32", 32}, {"I16", 16},    {"I8", 8},      {"U64", 64},    {"U32", 32},
                 {"U16", 16}, {"U8", 8},   {"F8_E8M0", 8}, {"F6_E2M3", 6}, {"F4", 4},      {"BOOL", 8}};
    enum { N_TYPE = sizeof types / sizeof *types };
    safetensors_build *b = safetensors_build_new();
    char data[8 * 8] = {0};
    for (size_t i = 0; i < N_TYPE; i++)
        safetensors_build_raw(b, types[i].type, types[i].type, 2, (uint64_t[]){2, 4}, data, types[i].n_bit);
    size_t n = 0;
    gab_safetensors *s = NULL;
    unsigned char *file = safetensors_build_bytes(b, &n);
    CHECK_OK(gab_safetensors_open(gguf_build_temp_bytes(file, n), NULL, &s));
    LLVMFuzzerTestOneInput(file, n);
    CHECK(gab_safetensors_n(s) == N_TYPE);
    for (size_t i = 0; i < N_TYPE; i++) {
        const gab_safetensor *t = gab_safetensors_at(s, i);
        CHECK(strcmp(t->name, types[i].type) == 0 && strcmp(t->type, types[i].type) == 0);
        CHECK(t->n_bit == types[i].n_bit && t->n_dim == 2 && t->shape[0] == 2 && t->shape[1] == 4);
        CHECK(t->n_element == 8 && t->bytes == types[i].n_bit);
    }
    gab_safetensors_close(&s);
    free(file);
    safetensors_build_free(&b);
}

GAB_TEST(empty_scalar_and_no_tensors) {
    gab_status status = GAB_OK;
    gab_safetensors *s = open_header("{}   \n", 0, &status);
    CHECK_OK(status);
    CHECK(gab_safetensors_n(s) == 0);
    gab_safetensors_close(&s);
    s = open_header("{\"b\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]},"
                    "\"a\":{\"dtype\":\"F32\",\"shape\":[3,0],\"data_offsets\":[0,0]}}",
                    4, &status);
    CHECK_OK(status);
    CHECK(gab_safetensors_n(s) == 2);
    const gab_safetensor *a = gab_safetensors_at(s, 0), *b = gab_safetensors_at(s, 1); /* by place */
    CHECK(strcmp(a->name, "a") == 0 && a->n_element == 0 && a->bytes == 0);
    CHECK(strcmp(b->name, "b") == 0 && b->n_dim == 0 && b->n_element == 1 && b->bytes == 4);
    gab_safetensors_close(&s);
}

GAB_TEST(lengths_are_checked) {
    static const struct {
        uint64_t length;
        const char *word;
    } wrong[] = {{100000001, "header length is 100000001"}, {1000, "it was cut off"}, {UINT64_MAX, "header length"}};
    unsigned char file[16] = {0};
    gab_safetensors *s = NULL;
    for (size_t n = 0; n < 8; n++) {
        CHECK(gab_safetensors_open(gguf_build_temp_bytes(file, n), NULL, &s) == GAB_ERROR_FORMAT && !s);
        CHECK(strstr(gab_last_error(), "too few"));
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        memcpy(file, &wrong[i].length, 8);
        CHECK(gab_safetensors_open(gguf_build_temp_bytes(file, sizeof file), NULL, &s) == GAB_ERROR_FORMAT && !s);
        if (!strstr(gab_last_error(), wrong[i].word)) FAIL("no '%s' in: %s", wrong[i].word, gab_last_error());
    }
    CHECK(gab_safetensors_open("/nonexistent", NULL, &s) == GAB_ERROR_FILE && !s);
}

GAB_TEST(headers_that_are_no_json) {
    refused("", 0, "no JSON", "byte 0");
    refused("[]", 0, "no JSON", "byte 0");
    refused("{\"a\":1} x", 0, "no JSON", "byte 7");
    refused("{\"a\"\n:}", 0, "no JSON", "line 2");
    char deep[4096];
    memset(deep, '[', sizeof deep - 1);
    memcpy(deep, "{\"a\":", 5);
    deep[sizeof deep - 1] = 0;
    refused(deep, 0, "no JSON", "");
}

GAB_TEST(wrong_entries_are_named) {
    refused("{\"w\":[1]}", 0, "'w'", "no object");
    refused("{\"\":{}}", 0, "name", "possible are 1");
    refused("{\"w\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "'w'", "dtype");
    refused("{\"w\":{\"dtype\":\"Q4_0\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "'w'", "'Q4_0'");
    refused("{\"w\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "'w'", "shape");
    refused("{\"w\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, "'w'", "shape");
    refused("{\"w\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,4]}}", 4, "'w'", "shape");
    refused("{\"w\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4, "'w'",
            "more than 8");
    refused("{\"w\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,4]}}", 4, "'w'", "shape");
    refused("{\"w\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "'w'", "data_offsets");
    refused("{\"w\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4, "'w'", "data_offsets");
    refused("{\"w\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4, "'w'", "4 to 0");
    refused("{\"w\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,8]}}", 4, "'w'", "the file has 4 bytes");
    refused("{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4, "'w'", "take 8 bytes");
    refused("{\"w\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,1]}}", 1, "'w'", "take 2 bytes");
}

GAB_TEST(holes_and_overlaps_are_named) {
#define TWO(a, b)                                                                                                      \
    "{\"v\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":" a                                                       \
    "},\"w\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":" b "}}"
    gab_status status = GAB_OK;
    gab_safetensors *s = open_header(TWO("[4,8]", "[0,4]"), 8, &status);
    CHECK_OK(status);
    gab_safetensors_close(&s);
    refused(TWO("[0,4]", "[3,7]"), 7, "'w'", "begins at byte 3");
    refused(TWO("[0,4]", "[0,4]"), 4, "data_offsets", "ends at 4");
    refused(TWO("[0,4]", "[5,9]"), 9, "'w'", "begins at byte 5");
    refused(TWO("[1,5]", "[5,9]"), 9, "'v'", "begins at byte 1");
    refused(TWO("[0,4]", "[4,8]"), 9, "its tensors end", "the file at");
    refused("{\"v\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
            "\"v\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
            2, "'v'", "twice");
}

/* A file that is cut anywhere, or has one byte changed, is opened or refused; nothing else. */
GAB_TEST(damaged_anywhere) {
    safetensors_build *b = safetensors_build_new();
    const float values[6] = {1, 2, 3, 4, 5, 6};
    size_t n = 0;
    safetensors_build_tensor(b, "a.weight", "F32", 2, (uint64_t[]){2, 3}, values);
    safetensors_build_tensor(b, "b", "BF16", 1, (uint64_t[]){6}, values);
    unsigned char *file = safetensors_build_bytes(b, &n);
    for (size_t i = 0; i < n; i++) LLVMFuzzerTestOneInput(file, i);
    for (size_t i = 0; i < n; i++) {
        const unsigned char kept = file[i], changed[] = {0, '"', '9', 0xff, (unsigned char)(kept + 1)};
        for (size_t k = 0; k < sizeof changed; k++) {
            file[i] = changed[k];
            LLVMFuzzerTestOneInput(file, n);
        }
        file[i] = kept;
    }
    free(file);
    safetensors_build_free(&b);
}

GAB_TEST(corpus) {
    unsigned n_file = 0;
    const char *folder = gab_test_source("tests/fuzz/corpus_safetensors");
    DIR *dir = opendir(folder);
    CHECK(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (entry->d_name[0] == '.') continue;
        size_t n = 0;
        char *data =
            gab_test_file_read(folder_build_path(gab_test_source("tests/fuzz/corpus_safetensors"), entry->d_name), &n);
        LLVMFuzzerTestOneInput((const uint8_t *)data, n);
        free(data);
        n_file++;
    }
    closedir(dir);
    CHECK(n_file >= 6);
}

GAB_TEST_MAIN()
