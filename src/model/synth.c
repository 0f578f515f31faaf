#include "model/synth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Shapes: Radford et al., "Language Models are Unsupervised Multitask Learners" (2019), table 2; Brown et al.,
 * "Language Models are Few-Shot Learners" (2020), table 2.1, where two rows contradict their own width = heads * head
 * size: 24 heads of 128 in a width of 2048 are taken as 16, and a width of 5140 as 40 heads of 128; the configuration
 * on the model card of Llama 3.2 1B (2024); Grattafiori et al., "The Llama 3 Herd of Models" (2024), table 3, with the
 * 131072 positions of version 3.1; Jiang et al., "Mixtral of Experts" (2024), table 1. Llama's stretching of slow
 * rotations, which costs nothing, is left out. */
typedef struct preset {
    const char *name;
    uint32_t n_layer, n_embd, n_head, n_head_kv, n_ff, n_vocab, n_ctx;
    float rope_base; /* 0: GPT's, with learned positions; else Llama's */
    bool tied;       /* the head is the embedding */
    uint32_t n_expert, n_used;
} preset;

static const preset presets[] = {
    {"gpt2-124m", 12, 768, 12, 12, 3072, 50257, 1024, 0, true, 0, 0},
    {"gpt2-1.5b", 48, 1600, 25, 25, 6400, 50257, 1024, 0, true, 0, 0},
    {"gpt3-1.3b", 24, 2048, 16, 16, 8192, 50257, 2048, 0, true, 0, 0},
    {"gpt3-6.7b", 32, 4096, 32, 32, 16384, 50257, 2048, 0, true, 0, 0},
    {"gpt3-13b", 40, 5120, 40, 40, 20480, 50257, 2048, 0, true, 0, 0},
    {"gpt3-175b", 96, 12288, 96, 96, 49152, 50257, 2048, 0, true, 0, 0},
    {"llama-1b", 16, 2048, 32, 8, 8192, 128256, 131072, 5e5f, true, 0, 0},
    {"llama-8b", 32, 4096, 32, 8, 14336, 128256, 131072, 5e5f, false, 0, 0},
    {"mixtral-8x7b", 32, 4096, 32, 8, 14336, 32000, 32768, 1e6f, false, 8, 2},
};
enum { N_PRESET = sizeof presets / sizeof *presets };

static const char prefix[] = "synth:";

/* ---- random bytes ---- */

/* What a tensor's bytes are made of: units of an f16 scale, where there is one, and words of 64 bits, all random under
 * a mask above a base. Masks and bases are chosen so that zero is the mean and 0.02 about the standard deviation, as in
 * an untrained model: magnitudes from 2^-7 to 2^-5; quants of all values (a Q8_0 has odd ones, so that there is no
 * -128) times scales of either sign. */
typedef struct random_unit {
    uint32_t bytes;
    uint32_t n_word;
    uint16_t scale_mask, scale_base; /* 0: no scale */
    uint64_t mask, base;
    uint64_t head[2]; /* 0, or what stands before: of a Q4_K the scales, 2^-8, and minimums, 7.5 times as much */
} random_unit;

enum { UNIT_BYTES_MAX = 144 };

static const random_unit matrix_units[GAB_DTYPE_COUNT] = {
    /* of the types that there are synthetic models in */
    [GAB_DTYPE_F32] = {64, 8, 0, 0, 0x80ffffff80ffffff, 0x3c0000003c000000, {0}},
    [GAB_DTYPE_F16] = {64, 8, 0, 0, 0x87ff87ff87ff87ff, 0x2000200020002000, {0}},
    [GAB_DTYPE_Q8_0] = {34, 4, 0x80ff, 0x0c00, UINT64_MAX, 0x0101010101010101, {0}}, /* 2^-12 * 74 */
    [GAB_DTYPE_Q4_0] = {18, 2, 0x80ff, 0x1c00, UINT64_MAX, 0, {0}},                  /* 2^-8 * 4.6 */
    [GAB_DTYPE_Q4_K] = {144, 16, 0, 0, UINT64_MAX, 0, {0xa0a0a0a013800800, 0x00000000a0a0a0a0}},
};
/* f32 from 1 to 1 + 2^-4: weights of a norm. */
static const random_unit norm_unit = {64, 8, 0, 0, 0x0007ffff0007ffff, 0x3f8000003f800000, {0}};

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
    if (u->head[0]) {
        memcpy(out, u->head, sizeof u->head);
        out += sizeof u->head;
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

enum { ALIGNMENT = 32 };

typedef struct synth {
    unsigned char *header;
    uint64_t n_header, header_size, n_key;
    bool out_of_memory;
    uint64_t n_data;
    uint32_t n_tensor;
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
    s->n_key++;
    put_text(s, name);
    put_u32(s, type);
}

static void put_array(synth *s, const char *name, gab_gguf_type type, uint64_t n) {
    put_key(s, name, GAB_GGUF_ARRAY);
    put_u32(s, type);
    put_u64(s, n);
}

/* A tensor, or one of each layer: a vector of n_col, a matrix, or where there are experts so many matrices. */
typedef struct part {
    const char *name;
    const random_unit *unit;         /* of what is f32 whatever the type; NULL: of the type */
    uint64_t n_col, n_row, n_expert; /* 1: not a dimension */
} part;

/* Rows that do not divide into the type's blocks are Q4_0. */
static void put_part(synth *s, const part *p, const char *name, gab_dtype type) {
    const uint64_t shape[] = {p->n_col, p->n_row, p->n_expert};
    const uint32_t n_dim = p->n_expert > 1 ? 3 : p->n_row > 1 ? 2 : 1;
    if (p->unit) type = GAB_DTYPE_F32;
    if (p->n_col % gab_dtype_get(type)->block_size != 0) type = GAB_DTYPE_Q4_0;
    const gab_dtype_info *info = gab_dtype_get(type);
    put_text(s, name);
    put_u32(s, n_dim);
    for (uint32_t i = 0; i < n_dim; i++) put_u64(s, shape[i]);
    put_u32(s, info->gguf_id);
    put_u64(s, s->n_data);
    s->tensors[s->n_tensor++] = (synth_tensor){s->n_data, p->unit ? p->unit : &matrix_units[type]};
    s->n_data += p->n_col / info->block_size * info->block_bytes * p->n_row * p->n_expert;
    s->n_data = (s->n_data + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* ---- vocabulary and metadata ---- */

/* The 256 bytes in GPT-2's spelling (text/bpe.h), words of three syllables, and the end of the text: of a model of any
 * family, for no text is to be told from another. */
static void put_vocabulary(synth *s, uint32_t n_vocab) {
    char text[16] = "\xc4\xa0"; /* U+0120, a space; then three syllables */
    put_array(s, "tokenizer.ggml.tokens", GAB_GGUF_STRING, n_vocab);
    for (unsigned byte = 0, next = 256; byte < 256; byte++) {
        const bool printable = (byte > 32 && byte < 127) || (byte > 160 && byte != 173);
        const unsigned code = printable ? byte : next++;
        const char two[] = {(char)(0xc0 | code >> 6), (char)(0x80 | (code & 0x3f)), 0}, one[] = {(char)code, 0};
        put_text(s, code < 0x80 ? one : two);
    }
    for (uint32_t i = 0; i < n_vocab - 257; i++) {
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

static void put_number(synth *s, const char *architecture, const char *name, gab_gguf_type type, const void *value) {
    char key[96];
    snprintf(key, sizeof key, "%s.%s", architecture, name);
    put_key(s, key, type);
    put(s, value, 4);
}

/* Ahead of it, "GGUF", the version, and the numbers of tensors and keys. */
static void put_metadata(synth *s, const preset *p, gab_dtype type) {
    const bool llama = p->rope_base > 0;
    const char *architecture = llama ? "llama" : "gpt2";
    const float epsilon = 1e-5f;
    const uint32_t end = p->n_vocab - 1;
    char name[96];
    snprintf(name, sizeof name, "%s in %s, random weights", p->name, gab_dtype_get(type)->name);
    const struct {
        const char *key, *value;
    } texts[] = {{"general.architecture", architecture},
                 {"general.name", name},
                 {"tokenizer.ggml.model", "gpt2"},
                 {"tokenizer.ggml.pre", "gpt-2"}};
    const struct {
        const char *key;
        uint32_t value; /* 0: it has none */
    } numbers[] = {{"context_length", p->n_ctx},        {"embedding_length", p->n_embd},
                   {"feed_forward_length", p->n_ff},    {"block_count", p->n_layer},
                   {"attention.head_count", p->n_head}, {"attention.head_count_kv", p->n_head_kv},
                   {"expert_count", p->n_expert},       {"expert_used_count", p->n_used}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        put_key(s, texts[i].key, GAB_GGUF_STRING);
        put_text(s, texts[i].value);
    }
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (numbers[i].value > 0) put_number(s, architecture, numbers[i].key, GAB_GGUF_U32, &numbers[i].value);
    put_number(s, architecture, llama ? "attention.layer_norm_rms_epsilon" : "attention.layer_norm_epsilon",
               GAB_GGUF_F32, &epsilon);
    if (llama) put_number(s, architecture, "rope.freq_base", GAB_GGUF_F32, &p->rope_base);
    put_vocabulary(s, p->n_vocab);
    put_number(s, "tokenizer.ggml", "bos_token_id", GAB_GGUF_U32, &end);
    put_number(s, "tokenizer.ggml", "eos_token_id", GAB_GGUF_U32, &end);
}

/* ---- tensors: names, shapes and types as llama.cpp writes them; what is small is f32 ---- */

enum { PARTS_MAX = 16 };

static const random_unit *const small = &matrix_units[GAB_DTYPE_F32];

typedef struct part_list {
    part parts[PARTS_MAX];
    uint32_t n;
} part_list;

static void add_vector(part_list *list, const char *name, const random_unit *unit, uint64_t n) {
    list->parts[list->n++] = (part){name, unit, n, 1, 1};
}

static void add_matrix(part_list *list, const char *name, uint64_t n_row, uint64_t n_col) {
    list->parts[list->n++] = (part){name, NULL, n_col, n_row, 1};
}

static void add_experts(part_list *list, const char *name, uint64_t n_expert, uint64_t n_row, uint64_t n_col) {
    list->parts[list->n++] = (part){name, NULL, n_col, n_row, n_expert};
}

static void gpt_parts(const preset *p, part_list *once, part_list *layer) {
    const uint64_t C = p->n_embd, F = p->n_ff;
    add_matrix(once, "token_embd.weight", p->n_vocab, C);
    once->parts[once->n++] = (part){"position_embd.weight", small, C, p->n_ctx, 1};
    add_vector(once, "output_norm.weight", &norm_unit, C);
    add_vector(once, "output_norm.bias", small, C);
    add_vector(layer, "attn_norm.weight", &norm_unit, C);
    add_vector(layer, "attn_norm.bias", small, C);
    add_matrix(layer, "attn_qkv.weight", 3 * C, C);
    add_vector(layer, "attn_qkv.bias", small, 3 * C);
    add_matrix(layer, "attn_output.weight", C, C);
    add_vector(layer, "attn_output.bias", small, C);
    add_vector(layer, "ffn_norm.weight", &norm_unit, C);
    add_vector(layer, "ffn_norm.bias", small, C);
    add_matrix(layer, "ffn_up.weight", F, C);
    add_vector(layer, "ffn_up.bias", small, F);
    add_matrix(layer, "ffn_down.weight", C, F);
    add_vector(layer, "ffn_down.bias", small, C);
}

static void llama_parts(const preset *p, part_list *once, part_list *layer) {
    const uint64_t C = p->n_embd, F = p->n_ff, E = p->n_expert, K = C / p->n_head * p->n_head_kv;
    add_matrix(once, "token_embd.weight", p->n_vocab, C);
    if (!p->tied) add_matrix(once, "output.weight", p->n_vocab, C);
    add_vector(once, "output_norm.weight", &norm_unit, C);
    add_vector(layer, "attn_norm.weight", &norm_unit, C);
    add_matrix(layer, "attn_q.weight", C, C);
    add_matrix(layer, "attn_k.weight", K, C);
    add_matrix(layer, "attn_v.weight", K, C);
    add_matrix(layer, "attn_output.weight", C, C);
    add_vector(layer, "ffn_norm.weight", &norm_unit, C);
    if (E > 0) {
        layer->parts[layer->n++] = (part){"ffn_gate_inp.weight", small, C, E, 1};
        add_experts(layer, "ffn_gate_exps.weight", E, F, C);
        add_experts(layer, "ffn_up_exps.weight", E, F, C);
        add_experts(layer, "ffn_down_exps.weight", E, C, F);
    } else {
        add_matrix(layer, "ffn_gate.weight", F, C);
        add_matrix(layer, "ffn_up.weight", F, C);
        add_matrix(layer, "ffn_down.weight", C, F);
    }
}

static void put_tensors(synth *s, const preset *p, gab_dtype type) {
    part_list once = {.n = 0}, of_layer = {.n = 0};
    if (p->rope_base > 0)
        llama_parts(p, &once, &of_layer);
    else
        gpt_parts(p, &once, &of_layer);
    for (uint32_t i = 0; i < once.n; i++) put_part(s, &once.parts[i], once.parts[i].name, type);
    for (uint32_t layer = 0; layer < p->n_layer; layer++)
        for (uint32_t i = 0; i < of_layer.n; i++) {
            char name[64];
            snprintf(name, sizeof name, "blk.%u.%s", layer, of_layer.parts[i].name);
            put_part(s, &of_layer.parts[i], name, type);
        }
}

/* The header's counts are known when all is written. */
static void put_file(synth *s, const preset *p, gab_dtype type) {
    static const char zeros[ALIGNMENT];
    const uint64_t counts_at = 8;
    put(s, "GGUF", 4);
    put_u32(s, 3);
    put_u64(s, 0);
    put_u64(s, 0);
    put_metadata(s, p, type);
    put_tensors(s, p, type);
    put(s, zeros, (ALIGNMENT - s->n_header % ALIGNMENT) % ALIGNMENT);
    if (s->out_of_memory) return;
    const uint64_t counts[] = {s->n_tensor, s->n_key};
    memcpy(s->header + counts_at, counts, sizeof counts);
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

/* A whole number of up to six digits; 0: it is none. */
static uint32_t count_of(const char *text) {
    const size_t n = strlen(text);
    return n > 0 && n <= 6 && strspn(text, "0123456789") == n ? (uint32_t)strtoul(text, NULL, 10) : 0;
}

/* "PRESET[:TYPE[:POSITIONS]]" */
static gab_status parse(const char *name, const gab_log *log, preset *out, gab_dtype *type) {
    const char *words = name + strlen(prefix), *type_name = strchr(words, ':');
    const char *positions = type_name ? strchr(type_name + 1, ':') : NULL;
    const size_t n = type_name ? (size_t)(type_name - words) : strlen(words);
    const size_t n_type = !type_name ? 0 : positions ? (size_t)(positions - type_name - 1) : strlen(type_name + 1);
    const preset *found = NULL;
    bool type_ok = !type_name;
    char all[256] = "", types[64] = "";
    *type = GAB_DTYPE_F16;
    for (size_t i = 0, at = 0; i < N_PRESET; i++) {
        if (is_word(words, n, presets[i].name)) found = &presets[i];
        at += (size_t)snprintf(all + at, sizeof all - at, "%s%s", i ? ", " : "", presets[i].name);
    }
    for (size_t i = 0, at = 0; i < GAB_DTYPE_COUNT; i++) {
        const char *known = gab_dtype_get((gab_dtype)i)->name;
        if (matrix_units[i].bytes == 0) continue;
        if (type_name && is_word(type_name + 1, n_type, known)) *type = (gab_dtype)i, type_ok = true;
        at += (size_t)snprintf(types + at, sizeof types - at, "%s%s", i ? ", " : "", known);
    }
    if (found) *out = *found;
    if (found && positions) out->n_ctx = count_of(positions + 1);
    if (found && type_ok && out->n_ctx > 0) return GAB_OK;
    return gab_fail(
        log, GAB_ERROR_ARGUMENT,
        "'%.64s' has no known %s: it is synth:PRESET, synth:PRESET:TYPE or synth:PRESET:TYPE:POSITIONS, where "
        "PRESET is one of %s, TYPE one of %s (without it: F16), and POSITIONS at most 999999",
        name,
        !found    ? "preset"
        : type_ok ? "number of positions"
                  : "type",
        all, types);
}

bool gab_synth_is_name(const char *model_path) {
    return strncmp(model_path, prefix, strlen(prefix)) == 0;
}

gab_status gab_synth_open(const char *name, const gab_log *log, gab_gguf **gguf) {
    preset p = {0};
    gab_dtype type;
    gab_file *file = NULL;
    GAB_TRY(parse(name, log, &p, &type));
    synth *s = calloc(1, sizeof *s);
    if (!s) return gab_fail(log, GAB_ERROR_HOST_MEMORY, "out of host memory opening %s", name);
    s->tensors = calloc(PARTS_MAX * (p.n_layer + 1), sizeof *s->tensors);
    if (s->tensors) put_file(s, &p, type);
    if (!s->tensors || s->out_of_memory) {
        synth_destroy(s);
        return gab_fail(log, GAB_ERROR_HOST_MEMORY, "out of host memory opening %s", name);
    }
    const gab_file_content content = {
        .make = make_bytes, .destroy = synth_destroy, .user = s, .size = s->n_header + s->n_data};
    GAB_TRY(gab_file_open_made(name, &content, log, &file));
    return gab_gguf_open_file(file, log, gguf);
}
