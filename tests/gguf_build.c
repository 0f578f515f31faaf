#include "gguf_build.h"

#include "tensor/quant.h"
#include "test.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>

typedef struct bytes {
    unsigned char *data;
    size_t n, size;
} bytes;

enum section { SECTION_START, SECTION_KEYS, SECTION_TENSORS, N_SECTION };

struct gguf_build {
    uint32_t version, alignment;
    uint64_t n_key, n_tensor;
    bytes section[N_SECTION], data, file;
    gguf_build_field *fields; /* offsets within their section until gguf_build_bytes, which copies them to `placed` */
    enum section *field_section;
    gguf_build_field *placed;
    size_t n_field, field_size;
    const char *entry; /* of the fields being added */
};

static void *grow(void *p, size_t size) {
    void *larger = realloc(p, size ? size : 1);
    if (!larger) abort();
    return larger;
}

static void put(bytes *b, const void *data, size_t n) {
    if (b->n + n > b->size) {
        b->size = 2 * (b->n + n);
        b->data = grow(b->data, b->size);
    }
    if (n) memcpy(b->data + b->n, data, n);
    b->n += n;
}

static void put_field(gguf_build *b, enum section section, gguf_build_kind kind, uint64_t value, uint32_t n_byte) {
    if (b->n_field == b->field_size) {
        b->field_size = 2 * b->field_size + 64;
        b->fields = grow(b->fields, b->field_size * sizeof *b->fields);
        b->field_section = grow(b->field_section, b->field_size * sizeof *b->field_section);
    }
    gguf_build_field *field = &b->fields[b->n_field];
    *field = (gguf_build_field){.offset = b->section[section].n, .bytes = n_byte, .kind = kind};
    snprintf(field->entry, sizeof field->entry, "%s", b->entry);
    b->field_section[b->n_field++] = section;
    put(&b->section[section], &value, n_byte);
}

static void put_string(gguf_build *b, enum section section, gguf_build_kind kind, const char *text, size_t n) {
    put_field(b, section, kind, n, 8);
    put(&b->section[section], text, n);
}

gguf_build *gguf_build_new(uint32_t version) {
    gguf_build *b = calloc(1, sizeof *b);
    if (!b) abort();
    b->version = version;
    b->alignment = 32;
    b->entry = "";
    return b;
}

void gguf_build_free(gguf_build **build) {
    if (!*build) return;
    for (int i = 0; i < N_SECTION; i++) free((*build)->section[i].data);
    free((*build)->data.data);
    free((*build)->file.data);
    free((*build)->fields);
    free((*build)->field_section);
    free((*build)->placed);
    free(*build);
    *build = NULL;
}

/* ---- metadata ---- */

static void begin_key(gguf_build *b, const char *key, gab_gguf_type type) {
    b->entry = key;
    b->n_key++;
    put_string(b, SECTION_KEYS, GGUF_BUILD_NAME_LENGTH, key, strlen(key));
    put_field(b, SECTION_KEYS, GGUF_BUILD_VALUE_TYPE, type, 4);
}

static size_t number_bytes(gab_gguf_type type) {
    static const size_t size[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    if (!size[type]) abort();
    return size[type];
}

void gguf_build_value(gguf_build *b, const char *key, gab_gguf_type type, const void *value) {
    begin_key(b, key, type);
    put(&b->section[SECTION_KEYS], value, number_bytes(type));
}

void gguf_build_u32(gguf_build *b, const char *key, uint32_t value) {
    gguf_build_value(b, key, GAB_GGUF_U32, &value);
}

void gguf_build_f32(gguf_build *b, const char *key, float value) {
    gguf_build_value(b, key, GAB_GGUF_F32, &value);
}

void gguf_build_bool(gguf_build *b, const char *key, bool value) {
    gguf_build_value(b, key, GAB_GGUF_BOOL, &(unsigned char){value});
}

void gguf_build_string_bytes(gguf_build *b, const char *key, const char *text, size_t n_byte) {
    begin_key(b, key, GAB_GGUF_STRING);
    put_string(b, SECTION_KEYS, GGUF_BUILD_STRING_LENGTH, text, n_byte);
}

void gguf_build_string(gguf_build *b, const char *key, const char *text) {
    gguf_build_string_bytes(b, key, text, strlen(text));
}

static void begin_array(gguf_build *b, const char *key, gab_gguf_type type, size_t n) {
    begin_key(b, key, GAB_GGUF_ARRAY);
    put_field(b, SECTION_KEYS, GGUF_BUILD_ELEMENT_TYPE, type, 4);
    put_field(b, SECTION_KEYS, GGUF_BUILD_ELEMENT_COUNT, n, 8);
}

void gguf_build_array(gguf_build *b, const char *key, gab_gguf_type type, const void *items, size_t n) {
    begin_array(b, key, type, n);
    put(&b->section[SECTION_KEYS], items, n * number_bytes(type));
}

void gguf_build_strings(gguf_build *b, const char *key, const char *const *items, size_t n) {
    begin_array(b, key, GAB_GGUF_STRING, n);
    for (size_t i = 0; i < n; i++) put_string(b, SECTION_KEYS, GGUF_BUILD_STRING_LENGTH, items[i], strlen(items[i]));
}

void gguf_build_alignment(gguf_build *b, uint32_t alignment) {
    b->alignment = alignment;
    begin_key(b, "general.alignment", GAB_GGUF_U32);
    put_field(b, SECTION_KEYS, GGUF_BUILD_ALIGNMENT, alignment, 4);
}

/* ---- tensors ---- */

static void put_padding(bytes *b, size_t alignment) {
    while (b->n % alignment) put(b, "", 1);
}

void gguf_build_tensor_raw(gguf_build *b, const char *name, uint32_t gguf_type, uint32_t n_dim, const uint64_t *shape,
                           const void *data, size_t n_byte) {
    b->entry = name;
    b->n_tensor++;
    put_padding(&b->data, b->alignment);
    put_string(b, SECTION_TENSORS, GGUF_BUILD_NAME_LENGTH, name, strlen(name));
    put_field(b, SECTION_TENSORS, GGUF_BUILD_N_DIM, n_dim, 4);
    for (uint32_t d = 0; d < n_dim; d++) put_field(b, SECTION_TENSORS, GGUF_BUILD_SHAPE, shape[d], 8);
    put_field(b, SECTION_TENSORS, GGUF_BUILD_TENSOR_TYPE, gguf_type, 4);
    put_field(b, SECTION_TENSORS, GGUF_BUILD_OFFSET, b->data.n, 8);
    put(&b->data, data, n_byte);
}

void gguf_build_tensor(gguf_build *b, const char *name, gab_dtype type, uint32_t n_dim, const uint64_t *shape,
                       const float *values) {
    uint64_t n_row = 1, row_bytes;
    for (uint32_t d = 1; d < n_dim; d++) n_row *= shape[d];
    if (!gab_dtype_row_bytes(type, shape[0], &row_bytes)) FAIL("%s: ragged row of %s", name, gab_dtype_get(type)->name);
    unsigned char *data = grow(NULL, n_row * row_bytes);
    for (uint64_t i = 0; i < n_row; i++) gab_quantize_row(type, values + i * shape[0], shape[0], data + i * row_bytes);
    gguf_build_tensor_raw(b, name, gab_dtype_get(type)->gguf_id, n_dim, shape, data, n_row * row_bytes);
    free(data);
}

/* ---- a GPT-2 model ---- */

/* Writes the UTF-8 of GPT-2's printable stand-in for the i-th byte in its order: printable Latin-1 first, the rest
 * after. */
static void byte_token(uint32_t i, char *text) {
    uint32_t code = i < 94 ? 33 + i : i < 106 ? 161 + (i - 94) : i < 188 ? 174 + (i - 106) : 256 + (i - 188);
    if (code < 128)
        snprintf(text, 4, "%c", (char)code);
    else
        snprintf(text, 4, "%c%c", (char)(0xc0 | code >> 6), (char)(0x80 | (code & 63)));
}

static void put_vocabulary(gguf_build *b, const gguf_build_gpt2_config *c) {
    enum { NORMAL = 1, CONTROL = 3, UNUSED = 5 };
    char(*text)[2][24] = calloc(c->n_vocab, sizeof *text); /* token, merge */
    const char **tokens = calloc(c->n_vocab, sizeof *tokens), **merges = calloc(c->n_vocab, sizeof *merges);
    int32_t *types = calloc(c->n_vocab, sizeof *types);
    if (!text || !tokens || !merges || !types || c->n_vocab < c->n_merge + c->n_special + 2) abort();
    uint32_t first_merge = c->n_vocab - 1 - c->n_merge, first_special = first_merge - c->n_special,
             n_byte = first_special < 256 ? first_special : 256;
    uint32_t base = n_byte > 100 ? 64 : 0; /* merge letters where there are any: 64 is 'a' */
    for (uint32_t i = 0; i < c->n_vocab; i++) {
        char left[4], right[4];
        types[i] = NORMAL;
        if (i < n_byte) {
            byte_token(i, text[i][0]);
        } else if (i >= first_special && i < first_merge) {
            snprintf(text[i][0], sizeof text[i][0], "%s", c->specials[i - first_special].text);
            types[i] = c->specials[i - first_special].type;
        } else if (i < first_merge) {
            snprintf(text[i][0], sizeof text[i][0], "[unused%" PRIu32 "]", i);
            types[i] = UNUSED;
        } else if (i < c->n_vocab - 1) {
            uint32_t j = base + i - first_merge;
            if (j + 1 >= n_byte) FAIL("n_merge %u is too large for %u byte tokens", c->n_merge, n_byte);
            byte_token(j, left);
            byte_token(j + 1, right);
            snprintf(text[i][0], sizeof text[i][0], "%s%s", left, right);
            snprintf(text[i][1], sizeof text[i][1], "%s %s", left, right);
            merges[i - first_merge] = text[i][1];
        } else {
            snprintf(text[i][0], sizeof text[i][0], "<|endoftext|>");
            types[i] = CONTROL;
        }
        tokens[i] = text[i][0];
    }
    gguf_build_string(b, "tokenizer.ggml.model", "gpt2");
    gguf_build_string(b, "tokenizer.ggml.pre", "gpt-2");
    gguf_build_strings(b, "tokenizer.ggml.tokens", tokens, c->n_vocab);
    gguf_build_array(b, "tokenizer.ggml.token_type", GAB_GGUF_I32, types, c->n_vocab);
    gguf_build_strings(b, "tokenizer.ggml.merges", merges, c->n_merge);
    gguf_build_u32(b, "tokenizer.ggml.bos_token_id", c->n_vocab - 1);
    gguf_build_u32(b, "tokenizer.ggml.eos_token_id", c->n_vocab - 1);
    free(text);
    free(tokens);
    free(merges);
    free(types);
}

/* n_row rows of n_column random weights around `mean`; n_row 0: a vector. */
static void put_random(gguf_build *b, gab_test_random *random, const char *name, gab_dtype type, uint64_t n_column,
                       uint64_t n_row, float mean, float deviation) {
    uint64_t n = n_column * (n_row ? n_row : 1);
    float *values = grow(NULL, n * sizeof *values);
    for (uint64_t i = 0; i < n; i++) values[i] = mean + deviation * gab_test_random_normal(random);
    gguf_build_tensor(b, name, type, n_row ? 2 : 1, (uint64_t[]){n_column, n_row}, values);
    free(values);
}

void gguf_build_gpt2(gguf_build *b, const gguf_build_gpt2_config *c) {
    gab_test_random random = {c->seed};
    uint32_t n = c->n_embd, n_ff = c->n_ff ? c->n_ff : 4 * n;
    /* Per layer, in the order of the forward pass; every matrix has a bias. */
    const struct {
        const char *stem;
        uint32_t n_in, n_out; /* n_in 0: a layer norm */
    } parts[] = {{"attn_norm", 0, n}, {"attn_qkv", n, 3 * n}, {"attn_output", n, n},
                 {"ffn_norm", 0, n},  {"ffn_up", n, n_ff},    {"ffn_down", n_ff, n}};

    gguf_build_string(b, "general.architecture", "gpt2");
    gguf_build_string(b, "general.name", "test");
    gguf_build_u32(b, "gpt2.block_count", c->n_layer);
    gguf_build_u32(b, "gpt2.context_length", c->n_ctx);
    gguf_build_u32(b, "gpt2.embedding_length", n);
    gguf_build_u32(b, "gpt2.feed_forward_length", n_ff);
    gguf_build_u32(b, "gpt2.attention.head_count", c->n_head);
    gguf_build_f32(b, "gpt2.attention.layer_norm_epsilon", 1e-5f);
    put_vocabulary(b, c);
    put_random(b, &random, "token_embd.weight", c->embedding, n, c->n_vocab, 0, 0.1f);
    put_random(b, &random, "position_embd.weight", c->position, n, c->n_ctx, 0, 0.05f);
    for (uint32_t layer = 0; layer < c->n_layer; layer++)
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
            char name[64];
            uint32_t n_in = parts[i].n_in, n_out = parts[i].n_out;
            snprintf(name, sizeof name, "blk.%" PRIu32 ".%s.weight", layer, parts[i].stem);
            if (n_in)
                put_random(b, &random, name, c->matrix, n_in, n_out, 0, 1 / sqrtf((float)n_in));
            else
                put_random(b, &random, name, GAB_DTYPE_F32, n_out, 0, 1, 0.1f);
            snprintf(name, sizeof name, "blk.%" PRIu32 ".%s.bias", layer, parts[i].stem);
            put_random(b, &random, name, GAB_DTYPE_F32, n_out, 0, 0, 0.1f);
        }
    put_random(b, &random, "output_norm.weight", GAB_DTYPE_F32, n, 0, 1, 0.1f);
    put_random(b, &random, "output_norm.bias", GAB_DTYPE_F32, n, 0, 0, 0.1f);
    if (c->untied) put_random(b, &random, "output.weight", c->embedding, n, c->n_vocab, 0, 0.1f);
}

/* ---- the file ---- */

const unsigned char *gguf_build_bytes(gguf_build *b, size_t *n) {
    size_t start[N_SECTION], n_field = b->n_field;
    b->entry = "";
    b->section[SECTION_START].n = 0;
    put(&b->section[SECTION_START], "GGUF", 4);
    put_field(b, SECTION_START, GGUF_BUILD_VERSION, b->version, 4);
    put_field(b, SECTION_START, GGUF_BUILD_N_TENSOR, b->n_tensor, 8);
    put_field(b, SECTION_START, GGUF_BUILD_N_KEY, b->n_key, 8);
    b->file.n = 0;
    for (int i = 0; i < N_SECTION; i++) {
        start[i] = b->file.n;
        put(&b->file, b->section[i].data, b->section[i].n);
    }
    if (b->n_tensor) put_padding(&b->file, b->alignment);
    put(&b->file, b->data.data, b->data.n);

    b->placed = grow(b->placed, b->n_field * sizeof *b->placed);
    memcpy(b->placed, b->fields, b->n_field * sizeof *b->placed);
    for (size_t i = 0; i < b->n_field; i++) b->placed[i].offset += start[b->field_section[i]];
    b->n_field = n_field; /* the three of the start are added anew each time */
    *n = b->file.n;
    return b->file.data;
}

const gguf_build_field *gguf_build_fields(gguf_build *b, size_t *n) {
    *n = b->n_field + 3;
    return b->placed;
}

static void write_file(FILE *file, const char *path, const void *data, size_t n) {
    if (!file || fwrite(data, 1, n, file) != n || fclose(file) != 0) FAIL("cannot write %s", path);
}

void gguf_build_write(gguf_build *b, const char *path) {
    size_t n;
    const unsigned char *data = gguf_build_bytes(b, &n);
    write_file(fopen(path, "wb"), path, data, n);
}

static char temp_path[64][256];
static size_t n_temp;

static void remove_temps(void) {
    for (size_t i = 0; i < n_temp; i++) remove(temp_path[i]);
}

const char *gguf_build_temp_bytes(const void *data, size_t n) {
    const char *folder = getenv("TMPDIR");
    if (n_temp == sizeof temp_path / sizeof *temp_path) FAIL("too many temporary files");
    char *path = temp_path[n_temp];
    snprintf(path, sizeof temp_path[0], "%s/gabbro-test-XXXXXX", folder && folder[0] ? folder : "/tmp");
    int fd = mkstemp(path);
    if (fd < 0) FAIL("cannot make a temporary file %s", path);
    if (n_temp++ == 0) atexit(remove_temps);
    write_file(fdopen(fd, "wb"), path, data, n);
    return path;
}

const char *gguf_build_temp(gguf_build *b) {
    size_t n;
    const unsigned char *data = gguf_build_bytes(b, &n);
    return gguf_build_temp_bytes(data, n);
}
