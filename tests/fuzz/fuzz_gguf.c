/*
 * fuzz_gguf.c - libFuzzer harness of the GGUF reader: opens the bytes as a file and walks all that the getters offer;
 * aborts when an opened file breaks a promise of gguf.h. tests/format_gguf.c replays the corpus, and its own damaged
 * files, through it without libFuzzer.
 *
 *     build/fuzz_gguf tests/fuzz/corpus_gguf -max_len=4096 -malloc_limit_mb=64
 */
#include "format/gguf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"

/* Reads all its bytes, for the sanitizer to see. */
static void touch(gab_gguf_string string) {
    volatile char sum = 0;
    for (uint64_t i = 0; i < string.n_byte; i++) sum = (char)(sum ^ string.text[i]);
    PROMISE(string.text[string.n_byte] == 0);
}

static void walk_key(const gab_gguf *gguf, const char *key, gab_gguf_type type) {
    uint32_t u = 0;
    float f = 0;
    bool b = false;
    gab_gguf_string string, other;
    const gab_gguf_string *strings;
    const float *f32s;
    const int32_t *i32s;
    uint64_t n;
    volatile float sum = 0;

    bool has_u32 = gab_gguf_get_u32(gguf, key, &u), has_f32 = gab_gguf_get_f32(gguf, key, &f);
    PROMISE(has_u32 == (gab_gguf_require_u32(gguf, key, NULL, &u) == GAB_OK));
    PROMISE(has_f32 == (gab_gguf_require_f32(gguf, key, NULL, &f) == GAB_OK));
    PROMISE(gab_gguf_get_bool(gguf, key, &b) == (type == GAB_GGUF_BOOL));
    bool has_string = gab_gguf_get_string(gguf, key, &string);
    PROMISE(has_string == (type == GAB_GGUF_STRING));
    PROMISE(has_string == (gab_gguf_require_string(gguf, key, NULL, &other) == GAB_OK));
    if (has_string) touch(string);
    PROMISE(has_u32 + has_f32 + has_string + (type == GAB_GGUF_BOOL) + (type == GAB_GGUF_ARRAY) <= 1);
    if (gab_gguf_get_strings(gguf, key, &strings, &n))
        for (uint64_t i = 0; i < n; i++) touch(strings[i]);
    if (gab_gguf_get_f32s(gguf, key, &f32s, &n))
        for (uint64_t i = 0; i < n; i++) sum = f32s[i];
    if (gab_gguf_get_i32s(gguf, key, &i32s, &n))
        for (uint64_t i = 0; i < n; i++) sum = (float)i32s[i];
    (void)sum;
}

static void walk_tensor(const gab_gguf *gguf, const gab_gguf_tensor *tensor, uint64_t size) {
    PROMISE(tensor->name[0] && gab_gguf_tensor_find(gguf, tensor->name) == tensor);
    PROMISE(tensor->n_dim >= 1 && tensor->n_dim <= 4);
    const uint64_t bytes = tensor->n_dim == 3 && tensor->layout ? tensor->bytes / tensor->shape[2] : tensor->bytes;
    PROMISE(tensor->offset <= size && bytes <= size - tensor->offset); /* of a stack, the first expert's */
    PROMISE(tensor->n_row == tensor->shape[1] * tensor->shape[2] * tensor->shape[3]);
    PROMISE(gab_dtype_gguf_name(tensor->gguf_type));
    PROMISE(!tensor->known || (tensor->bytes > 0 && tensor->bytes == tensor->n_row * tensor->row_bytes));
    for (uint32_t d = 0; d < 4; d++) PROMISE(tensor->shape[d] >= 1 && (d < tensor->n_dim || tensor->shape[d] == 1));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    gab_gguf *gguf = NULL;
    const char *path = fuzz_file(data, size);
    if (gab_gguf_open(path, NULL, &gguf) != GAB_OK) {
        size_t n = strlen(path);
        PROMISE(!gguf && strncmp(gab_last_error(), path, n) == 0 && gab_last_error()[n] == ':');
        return 0;
    }
    PROMISE(gab_gguf_version(gguf) == 2 || gab_gguf_version(gguf) == 3);
    PROMISE(strcmp(gab_gguf_path(gguf), path) == 0 && gab_file_size(gab_gguf_file_at(gguf, 0)) == size);
    for (uint64_t i = 0; i < gab_gguf_n_key(gguf); i++) {
        gab_gguf_type type;
        const char *key = gab_gguf_key_at(gguf, i, &type);
        walk_key(gguf, key, type);
    }
    for (uint64_t i = 0; i < gab_gguf_n_tensor(gguf); i++) walk_tensor(gguf, gab_gguf_tensor_at(gguf, i), size);
    PROMISE(!gab_gguf_tensor_find(gguf, "") && gab_gguf_require_u32(gguf, "", NULL, &(uint32_t){0}) != GAB_OK);
    gab_gguf_close(&gguf);
    PROMISE(!gguf);
    return 0;
}
