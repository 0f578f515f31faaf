/*
 * gguf_build.h - writes small GGUF files for tests, in memory, and remembers where every number of the header lies, so
 * that a test can damage them one by one. It aborts on misuse.
 *
 *     gguf_build *b = gguf_build_new(3);
 *     gguf_build_string(b, "general.architecture", "gpt2");
 *     gguf_build_u32(b, "gpt2.block_count", 1);
 *     gguf_build_tensor(b, "wte", GAB_DTYPE_F16, 2, (uint64_t[]){n_embd, n_vocab}, values);
 *     const char *path = gguf_build_temp(b);
 *     gguf_build_free(&b);
 *
 * gguf_build_gpt2() writes a whole model with random weights and a byte-level vocabulary.
 */
#ifndef GAB_TEST_GGUF_BUILD_H
#define GAB_TEST_GGUF_BUILD_H

#include "format/gguf.h"

typedef struct gguf_build gguf_build;

gguf_build *gguf_build_new(uint32_t version);
void gguf_build_free(gguf_build **build);

/* Metadata, in the order of the calls. Numbers are little-endian in memory, as on every machine that runs the tests. */
void gguf_build_value(gguf_build *build, const char *key, gab_gguf_type type, const void *value); /* any number type */
void gguf_build_u32(gguf_build *build, const char *key, uint32_t value);
void gguf_build_f32(gguf_build *build, const char *key, float value);
void gguf_build_bool(gguf_build *build, const char *key, bool value);
void gguf_build_string(gguf_build *build, const char *key, const char *text);
void gguf_build_string_bytes(gguf_build *build, const char *key, const char *text, size_t n_byte);
void gguf_build_array(gguf_build *build, const char *key, gab_gguf_type type, const void *items, size_t n);
void gguf_build_strings(gguf_build *build, const char *key, const char *const *items, size_t n);

/* Tensors, each based at a multiple of the alignment. shape[0] is the row length. Quantizes n values from `values`. */
void gguf_build_tensor(gguf_build *build, const char *name, gab_dtype type, uint32_t n_dim, const uint64_t *shape,
                       const float *values);
/* The same with bytes of any type number. */
void gguf_build_tensor_raw(gguf_build *build, const char *name, uint32_t gguf_type, uint32_t n_dim,
                           const uint64_t *shape, const void *data, size_t n_byte);
/* Call before the first tensor; also writes general.alignment. Without it: 32, and no such key. */
void gguf_build_alignment(gguf_build *build, uint32_t alignment);

typedef struct gguf_build_special {
    const char *text;
    int32_t type; /* gab_token_type */
} gguf_build_special;

typedef struct gguf_build_gpt2_config {
    uint32_t n_vocab, n_merge; /* byte tokens (up to 256), fillers, n_merge pairs of byte tokens, <|endoftext|> */
    uint32_t n_ctx, n_embd, n_head, n_layer, n_ff; /* n_ff 0: 4 * n_embd */
    bool untied;                                   /* a separate output.weight */
    const gguf_build_special *specials;            /* [n_special] in place of the last fillers */
    uint32_t n_special;
    gab_dtype embedding, position, matrix; /* token_embd and output; position_embd; the layers' matrices */
    uint64_t seed;
} gguf_build_gpt2_config;
void gguf_build_gpt2(gguf_build *build, const gguf_build_gpt2_config *config);

/* One number of the header. */
typedef enum gguf_build_kind {
    GGUF_BUILD_VERSION,
    GGUF_BUILD_N_TENSOR,
    GGUF_BUILD_N_KEY,
    GGUF_BUILD_NAME_LENGTH,
    GGUF_BUILD_VALUE_TYPE,
    GGUF_BUILD_STRING_LENGTH,
    GGUF_BUILD_ELEMENT_TYPE,
    GGUF_BUILD_ELEMENT_COUNT,
    GGUF_BUILD_N_DIM,
    GGUF_BUILD_SHAPE,
    GGUF_BUILD_TENSOR_TYPE,
    GGUF_BUILD_OFFSET,
    GGUF_BUILD_ALIGNMENT
} gguf_build_kind;

typedef struct gguf_build_field {
    size_t offset;  /* in the file */
    uint32_t bytes; /* 4 or 8 */
    gguf_build_kind kind;
    char entry[80]; /* the key or tensor it belongs to, "" for the first three */
} gguf_build_field;

/* The file so far; valid until the next call. */
const unsigned char *gguf_build_bytes(gguf_build *build, size_t *n);
const gguf_build_field *gguf_build_fields(gguf_build *build, size_t *n); /* of the last gguf_build_bytes */

void gguf_build_write(gguf_build *build, const char *path);
/* Into a new temporary file, removed when the program ends. The path lives as long. */
const char *gguf_build_temp(gguf_build *build);
/* The same for any bytes. */
const char *gguf_build_temp_bytes(const void *data, size_t n);

#endif
