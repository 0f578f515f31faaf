#include "model/synth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Shapes: Radford et al., "Language Models are Unsupervised Multitask Learners" (2019), table 2; Brown et al.,
 * "Language Models are Few-Shot Learners" (2020), table 2.1, where two rows contradict their own width = heads * head
 * size: 24 heads of 128 in a width of 2048 are taken as 16, and a width of 5140 as 40 heads of 128. */
typedef struct preset {
    const char *name;
    uint32_t n_layer, n_embd, n_head, n_ctx;
} preset;

static const preset presets[] = {
    {"gpt2-124m", 12, 768, 12, 1024},  {"gpt2-1.5b", 48, 1600, 25, 1024}, {"gpt3-1.3b", 24, 2048, 16, 2048},
    {"gpt3-6.7b", 32, 4096, 32, 2048}, {"gpt3-13b", 40, 5120, 40, 2048},  {"gpt3-175b", 96, 12288, 96, 2048},
};
enum { N_PRESET = sizeof presets / sizeof *presets, N_VOCAB = 50257 };

static const char prefix[] = "synth:";

/* ---- random bytes ---- */

/* What a tensor's bytes are made of: units of an f16 scale, where there is one, and words of 64 bits, all random under
 * a mask above a base. Masks and bases are chosen so that zero is the mean and 0.02 about the standard deviation, as in
 * an untrained GPT-2: magnitudes from 2^-7 to 2^-5; quants of all values (a Q8_0 has odd ones, so that there is no
 * -128) times scales of either sign. */
typedef struct random_unit {
    uint32_t bytes;
    uint32_t n_word;
    uint16_t scale_mask, scale_base; /* 0: no scale */
    uint64_t mask, base;
} random_unit;

enum { UNIT_BYTES_MAX = 64 };

static const random_unit matrix_units[GAB_DTYPE_COUNT] = {
    [GAB_DTYPE_F32] = {64, 8, 0, 0, 0x80ffffff80ffffff, 0x3c0000003c000000},
    [GAB_DTYPE_F16] = {64, 8, 0, 0, 0x87ff87ff87ff87ff, 0x2000200020002000},
    [GAB_DTYPE_Q8_0] = {34, 4, 0x80ff, 0x0c00, UINT64_MAX, 0x0101010101010101}, /* 2^-12 * 74 */
    [GAB_DTYPE_Q4_0] = {18, 2, 0x80ff, 0x1c00, UINT64_MAX, 0},                  /* 2^-8 * 4.6 */
};
/* f32 from 1 to 1 + 2^-4: weights of a LayerNorm. */
static const random_unit norm_unit = {64, 8, 0, 0, 0x0007ffff0007ffff, 0x3f8000003f800000};

/* Random number `counter` of the sequence: splitmix64 (Steele, Lea, Flood 2014), which can be entered anywhere. */
static uint64_t random_word(uint64_t counter) {
    const uint64_t seed = 1;
    uint64_t z = (seed + counter) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* A unit has more bytes than random numbers: those from its place on are its own. */
static void make_unit(const random_unit *u, uint64_t place, unsigned char *out) {
    if (u->scale_mask) {
        const uint16_t scale = (uint16_t)((random_word(place + u->n_word) & u->scale_mask) | u->scale_base);
        memcpy(out, &scale, sizeof scale);
        out += sizeof scale;
    }
    for (uint32_t i = 0; i < u->n_word; i++) {
        const uint64_t word = (random_word(place + i) & u->mask) | u->base;
        memcpy(out + i * sizeof word, &word, sizeof word);
    }
}

/* ---- the file ---- */

typedef struct synth_tensor {
    uint64_t offset; /* in the data */
    const random_unit *unit;
} synth_tensor;

enum { LAYER_TENSORS = 12, OTHER_TENSORS = 4, ALIGNMENT = 32 };

typedef struct synth {
    unsigned char *header;
    uint64_t n_header, header_size;
    bool out_of_memory;
    uint64_t n_data;
    uint32_t n_tensor, n_tensor_max;
    synth_tensor *tensors; /* by offset; what pads a tensor is made as a part of it */
} synth;

static void synth_destroy(void *user) {
    synth *s = user;
    free(s->tensors);
    free(s->header);
    free(s);
}

/* Bytes from..from+n-1 of a tensor. */
static void make_tensor(const synth_tensor *t, uint64_t from, unsigned char *out, size_t n) {
    const random_unit *u = t->unit;
    unsigned char cut[UNIT_BYTES_MAX];
    size_t skip = from % u->bytes;
    for (uint64_t place = t->offset + from - skip; n > 0; place += u->bytes, skip = 0) {
        const size_t part = n < u->bytes - skip ? n : u->bytes - skip;
        const bool whole = part == u->bytes;
        make_unit(u, place, whole ? out : cut);
        if (!whole) memcpy(out, cut + skip, part);
        out += part;
        n -= part;
    }
}

static void make_bytes(const void *user, uint64_t offset, void *bytes, size_t n) {
    const synth *s = user;
    unsigned char *out = bytes;
    if (offset < s->n_header) {
        const size_t part = n < s->n_header - offset ? n : s->n_header - offset;
        memcpy(out, s->header + offset, part);
        offset += part, out += part, n -= part;
    }
    if (n == 0) return;
    offset -= s->n_header;
    uint32_t low = 0, high = s->n_tensor; /* the tensor of the offset is in low..high-1 */
    while (high - low > 1) {
        const uint32_t middle = low + (high - low) / 2;
        if (s->tensors[middle].offset <= offset)
            low = middle;
        else
            high = middle;
    }
    for (uint32_t i = low; n > 0; i++) {
        const uint64_t end = i + 1 < s->n_tensor ? s->tensors[i + 1].offset : s->n_data;
        const size_t part = n < end - offset ? n : (size_t)(end - offset);
        make_tensor(&s->tensors[i], offset - s->tensors[i].offset, out, part);
        offset += part, out += part, n -= part;
    }
}

/* ---- writing the header; GGUF is little-endian, as the hosts are ---- */

static void put(synth *s, const void *data, size_t n) {
    if (s->n_header + n > s->header_size) {
        const uint64_t size = 2 * (s->n_header + n);
        unsigned char *larger = s->out_of_memory ? NULL : realloc(s->header, size);
        s->out_of_memory = !larger;
        if (!larger) return;
        s->header = larger;
        s->header_size = size;
    }
    memcpy(s->header + s->n_header, data, n);
    s->n_header += n;
}

static void put_u32(synth *s, uint32_t value) {
    put(s, &value, sizeof value);
}

static void put_u64(synth *s, uint64_t value) {
    put(s, &value, sizeof value);
}

static void put_text(synth *s, const char *text) {
    put_u64(s, strlen(text));
    put(s, text, strlen(text));
}

static void put_key(synth *s, const char *name, gab_gguf_type type) {
    put_text(s, name);
    put_u32(s, type);
}

static void put_array(synth *s, const char *name, gab_gguf_type type, uint64_t n) {
    put_key(s, name, GAB_GGUF_ARRAY);
    put_u32(s, type);
    put_u64(s, n);
}

static void put_tensor(synth *s, const char *name, gab_dtype type, const random_unit *unit, uint64_t n_col,
                       uint64_t n_row) {
    const gab_dtype_info *info = gab_dtype_get(type);
    const bool is_vector = n_row == 1;
    put_text(s, name);
    put_u32(s, is_vector ? 1 : 2);
    put_u64(s, n_col);
    if (!is_vector) put_u64(s, n_row);
    put_u32(s, info->gguf_id);
    put_u64(s, s->n_data);
    s->tensors[s->n_tensor++] = (synth_tensor){s->n_data, unit};
    s->n_data += n_col / info->block_size * info->block_bytes * n_row;
    s->n_data = (s->n_data + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static void put_matrix(synth *s, const char *name, gab_dtype type, uint64_t n_row, uint64_t n_col) {
    put_tensor(s, name, type, &matrix_units[type], n_col, n_row);
}

static void put_vector(synth *s, const char *name, const random_unit *unit, uint64_t n) {
    put_tensor(s, name, GAB_DTYPE_F32, unit, n, 1);
}

/* ---- GPT-2's metadata, vocabulary and tensors ---- */

/* The 256 bytes in GPT-2's spelling (text/bpe.h), words of three syllables, and the end of the text. */
static void put_vocabulary(synth *s) {
    char text[16] = "\xc4\xa0"; /* U+0120, a space; then three syllables */
    put_array(s, "tokenizer.ggml.tokens", GAB_GGUF_STRING, N_VOCAB);
    for (unsigned byte = 0, next = 256; byte < 256; byte++) {
        const bool printable = (byte > 32 && byte < 127) || (byte > 160 && byte != 173);
        const unsigned code = printable ? byte : next++;
        const char two[] = {(char)(0xc0 | code >> 6), (char)(0x80 | (code & 0x3f)), 0}, one[] = {(char)code, 0};
        put_text(s, code < 0x80 ? one : two);
    }
    for (uint32_t i = 0; i < N_VOCAB - 257; i++) {
        static const char consonants[] = "bcdfghjklmnprstvwxyz", vowels[] = "aeiou";
        for (uint32_t digits = i, k = 0; k < 3; k++, digits /= 100) {
            text[2 + 2 * k] = consonants[digits % 20];
            text[3 + 2 * k] = vowels[digits / 20 % 5];
        }
        put_text(s, text);
    }
    put_text(s, "<|endoftext|>");
    put_array(s, "tokenizer.ggml.merges", GAB_GGUF_STRING, 0);
}

static void put_metadata(synth *s, const preset *p, gab_dtype type) {
    const float epsilon = 1e-5f;
    char name[64];
    snprintf(name, sizeof name, "%s in %s, random weights", p->name, gab_dtype_get(type)->name);
    const struct {
        const char *key, *value;
    } texts[] = {{"general.architecture", "gpt2"},
                 {"general.name", name},
                 {"tokenizer.ggml.model", "gpt2"},
                 {"tokenizer.ggml.pre", "gpt-2"}};
    const struct {
        const char *key;
        uint32_t value;
    } numbers[] = {{"gpt2.context_length", p->n_ctx},           {"gpt2.embedding_length", p->n_embd},
                   {"gpt2.feed_forward_length", 4 * p->n_embd}, {"gpt2.block_count", p->n_layer},
                   {"gpt2.attention.head_count", p->n_head},    {"tokenizer.ggml.bos_token_id", N_VOCAB - 1},
                   {"tokenizer.ggml.eos_token_id", N_VOCAB - 1}};
    enum { N_TEXT = sizeof texts / sizeof *texts, N_NUMBER = sizeof numbers / sizeof *numbers };
    put(s, "GGUF", 4);
    put_u32(s, 3);
    put_u64(s, s->n_tensor_max);
    put_u64(s, N_TEXT + N_NUMBER + 3); /* epsilon, tokens, merges */
    for (size_t i = 0; i < N_TEXT; i++) {
        put_key(s, texts[i].key, GAB_GGUF_STRING);
        put_text(s, texts[i].value);
    }
    for (size_t i = 0; i < N_NUMBER; i++) {
        put_key(s, numbers[i].key, GAB_GGUF_U32);
        put_u32(s, numbers[i].value);
    }
    put_key(s, "gpt2.attention.layer_norm_epsilon", GAB_GGUF_F32);
    put(s, &epsilon, sizeof epsilon);
    put_vocabulary(s);
}

/* Names, shapes and types as llama.cpp writes GPT-2: vectors and positions are always f32, the head is the embedding.
 */
static void put_tensors(synth *s, const preset *p, gab_dtype type) {
    const uint64_t C = p->n_embd;
    const random_unit *small = &matrix_units[GAB_DTYPE_F32];
    const struct {
        const char *name;
        const random_unit *unit; /* of a vector; NULL: a matrix */
        uint64_t n_row, n_col;
    } parts[LAYER_TENSORS] = {
        {"attn_norm.weight", &norm_unit, 1, C}, {"attn_norm.bias", small, 1, C},
        {"attn_qkv.weight", NULL, 3 * C, C},    {"attn_qkv.bias", small, 1, 3 * C},
        {"attn_output.weight", NULL, C, C},     {"attn_output.bias", small, 1, C},
        {"ffn_norm.weight", &norm_unit, 1, C},  {"ffn_norm.bias", small, 1, C},
        {"ffn_up.weight", NULL, 4 * C, C},      {"ffn_up.bias", small, 1, 4 * C},
        {"ffn_down.weight", NULL, C, 4 * C},    {"ffn_down.bias", small, 1, C},
    };
    put_matrix(s, "token_embd.weight", type, N_VOCAB, C);
    put_matrix(s, "position_embd.weight", GAB_DTYPE_F32, p->n_ctx, C);
    put_vector(s, "output_norm.weight", &norm_unit, C);
    put_vector(s, "output_norm.bias", small, C);
    for (uint32_t layer = 0; layer < p->n_layer; layer++)
        for (size_t i = 0; i < LAYER_TENSORS; i++) {
            char name[64];
            snprintf(name, sizeof name, "blk.%u.%s", layer, parts[i].name);
            if (parts[i].unit)
                put_vector(s, name, parts[i].unit, parts[i].n_col);
            else
                put_matrix(s, name, type, parts[i].n_row, parts[i].n_col);
        }
}

/* ---- opening ---- */

/* The word in front of ':' or the end, in any case. */
static bool is_word(const char *text, size_t n, const char *word) {
    if (strlen(word) != n) return false;
    for (size_t i = 0; i < n; i++) {
        const char c = text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] - 'A' + 'a') : text[i];
        const char w = word[i] >= 'A' && word[i] <= 'Z' ? (char)(word[i] - 'A' + 'a') : word[i];
        if (c != w) return false;
    }
    return true;
}

static gab_status parse(const char *name, const gab_log *log, const preset **found, gab_dtype *type) {
    const char *words = name + strlen(prefix), *type_name = strchr(words, ':');
    const size_t n = type_name ? (size_t)(type_name - words) : strlen(words);
    bool type_ok = !type_name;
    char all[256] = "", types[64] = "";
    *found = NULL;
    *type = GAB_DTYPE_F16;
    for (size_t i = 0, at = 0; i < N_PRESET; i++) {
        if (is_word(words, n, presets[i].name)) *found = &presets[i];
        at += (size_t)snprintf(all + at, sizeof all - at, "%s%s", i ? ", " : "", presets[i].name);
    }
    for (size_t i = 0, at = 0; i < GAB_DTYPE_COUNT; i++) {
        const char *known = gab_dtype_get((gab_dtype)i)->name;
        if (type_name && is_word(type_name + 1, strlen(type_name + 1), known)) *type = (gab_dtype)i, type_ok = true;
        at += (size_t)snprintf(types + at, sizeof types - at, "%s%s", i ? ", " : "", known);
    }
    if (*found && type_ok) return GAB_OK;
    return gab_fail(log, GAB_ERROR_ARGUMENT,
                    "'%.64s' has no known %s: it is synth:PRESET or synth:PRESET:TYPE, where PRESET is one of %s, and "
                    "TYPE one of %s (without it: F16)",
                    name, *found ? "type" : "preset", all, types);
}

bool gab_synth_is_name(const char *model_path) {
    return strncmp(model_path, prefix, strlen(prefix)) == 0;
}

gab_status gab_synth_open(const char *name, const gab_log *log, gab_gguf **gguf) {
    const preset *p;
    gab_dtype type;
    gab_file *file = NULL;
    GAB_TRY(parse(name, log, &p, &type));
    synth *s = calloc(1, sizeof *s);
    if (!s) return gab_fail(log, GAB_ERROR_HOST_MEMORY, "out of host memory opening %s", name);
    s->n_tensor_max = OTHER_TENSORS + LAYER_TENSORS * p->n_layer;
    s->tensors = calloc(s->n_tensor_max, sizeof *s->tensors);
    if (s->tensors) {
        static const char zeros[ALIGNMENT];
        put_metadata(s, p, type);
        put_tensors(s, p, type);
        put(s, zeros, (ALIGNMENT - s->n_header % ALIGNMENT) % ALIGNMENT);
    }
    if (!s->tensors || s->out_of_memory) {
        synth_destroy(s);
        return gab_fail(log, GAB_ERROR_HOST_MEMORY, "out of host memory opening %s", name);
    }
    const gab_file_content content = {
        .make = make_bytes, .destroy = synth_destroy, .user = s, .size = s->n_header + s->n_data};
    GAB_TRY(gab_file_open_made(name, &content, log, &file));
    return gab_gguf_open_file(file, log, gguf);
}
