#include "text/tokenizer.h"
#include "format/reader.h"
#include "text/bpe.h"
#include "text/pretokenize.h"
#include "text/special.h"

#include <stdlib.h>
#include <string.h>

typedef struct token {
    const char *piece;
    uint32_t n_byte;
    uint8_t type; /* gab_token_type */
    bool end;
} token;

struct gab_tokenizer {
    uint32_t n_vocab;
    int32_t bos, eos;
    bool add_bos;
    size_t piece_max;
    token *tokens;
    char *pieces; /* of all tokens, one behind the other */
    gab_special_set specials;
    gab_pretokenizer *pretokenizer;
    gab_bpe *bpe;
};

/* Names of tokens that end a text or a turn, whatever the model. */
static const char *const END_NAMES[] = {
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|end|>",
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|EOT|>",
    "<|eot|>",
    "<|return|>",
    "<end_of_turn>",
    "<turn|>",
    "</s>",
    "<eos>",
    "<|endofturn|>",
    "<|end_of_turn|>",
    "<|eos|>",
    "<｜end▁of▁sentence｜>",
};

/* ---- loading ---- */

/* The metadata of one file, while loading. */
typedef struct source {
    const gab_gguf *gguf;
    const gab_log *log;
    const char *file;
    const gab_gguf_string *texts;
    const int32_t *types; /* NULL: the file has none */
} source;

static bool is_control(const token *t) {
    return t->type == GAB_TOKEN_CONTROL || t->type == GAB_TOKEN_UNKNOWN;
}

static bool is_end_name(gab_gguf_string text) {
    for (size_t i = 0; i < sizeof END_NAMES / sizeof *END_NAMES; i++)
        if (strlen(END_NAMES[i]) == text.n_byte && memcmp(END_NAMES[i], text.text, text.n_byte) == 0) return true;
    return false;
}

static bool has_key(const source *s, const char *key) {
    gab_gguf_type type;
    for (uint64_t i = 0; i < gab_gguf_n_key(s->gguf); i++)
        if (strcmp(gab_gguf_key_at(s->gguf, i, &type), key) == 0) return true;
    return false;
}

static gab_status read_model(const source *s) {
    gab_gguf_string model;
    GAB_TRY(gab_gguf_require_string(s->gguf, "tokenizer.ggml.model", s->log, &model));
    char shown[65];
    gab_reader_show(shown, sizeof shown, model.text);
    if (strcmp(model.text, "gpt2") != 0)
        return gab_fail(s->log, GAB_ERROR_UNSUPPORTED,
                        "%s: tokenizer.ggml.model is '%s'; supported is 'gpt2' (byte-level BPE)", s->file, shown);
    return GAB_OK;
}

static gab_status read_tokens(source *s, gab_tokenizer *t) {
    uint64_t n = 0, n_type = 0;
    if (!gab_gguf_get_strings(s->gguf, "tokenizer.ggml.tokens", &s->texts, &n) || n == 0 || n > INT32_MAX)
        return gab_fail(s->log, GAB_ERROR_FORMAT,
                        "%s: tokenizer.ggml.tokens must be an array of 1 to 2147483647 strings; the file has no usable "
                        "vocabulary",
                        s->file);
    if (!gab_gguf_get_i32s(s->gguf, "tokenizer.ggml.token_type", &s->types, &n_type) &&
        has_key(s, "tokenizer.ggml.token_type"))
        return gab_fail(s->log, GAB_ERROR_FORMAT, "%s: tokenizer.ggml.token_type is no array of 32-bit integers",
                        s->file);
    if (s->types && n_type != n)
        return gab_fail(
            s->log, GAB_ERROR_FORMAT,
            "%s: tokenizer.ggml.token_type has %llu entries, tokenizer.ggml.tokens %llu; the file is damaged", s->file,
            (unsigned long long)n_type, (unsigned long long)n);
    t->n_vocab = (uint32_t)n;
    t->tokens = calloc(n, sizeof *t->tokens);
    if (!t->tokens) return gab_fail(s->log, GAB_ERROR_HOST_MEMORY, "%s: no memory for %u tokens", s->file, t->n_vocab);
    for (uint32_t id = 0; id < n; id++) {
        int32_t type = s->types ? s->types[id] : GAB_TOKEN_NORMAL;
        if (type < GAB_TOKEN_UNDEFINED || type > GAB_TOKEN_BYTE)
            return gab_fail(s->log, GAB_ERROR_FORMAT, "%s: tokenizer.ggml.token_type[%u] is %d, not one of 0 to 6",
                            s->file, id, type);
        t->tokens[id].type = (uint8_t)type;
        t->tokens[id].end = is_end_name(s->texts[id]);
    }
    return GAB_OK;
}

/* -1: the file does not have the key. */
static gab_status read_id(const source *s, const gab_tokenizer *t, const char *key, int32_t *id) {
    uint32_t value;
    *id = -1;
    if (!has_key(s, key)) return GAB_OK;
    GAB_TRY(gab_gguf_require_u32(s->gguf, key, s->log, &value));
    if (value >= t->n_vocab)
        return gab_fail(s->log, GAB_ERROR_FORMAT, "%s: %s is %u, but the vocabulary has %u tokens", s->file, key, value,
                        t->n_vocab);
    *id = (int32_t)value;
    return GAB_OK;
}

static gab_status read_special_ids(const source *s, gab_tokenizer *t) {
    int32_t eot, eom;
    GAB_TRY(read_id(s, t, "tokenizer.ggml.bos_token_id", &t->bos));
    GAB_TRY(read_id(s, t, "tokenizer.ggml.eos_token_id", &t->eos));
    GAB_TRY(read_id(s, t, "tokenizer.ggml.eot_token_id", &eot));
    GAB_TRY(read_id(s, t, "tokenizer.ggml.eom_token_id", &eom));
    const int32_t ends[] = {t->eos, eot, eom};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (ends[i] >= 0) t->tokens[ends[i]].end = true;
    if (!s->types) {
        for (uint32_t id = 0; id < t->n_vocab; id++)
            if (t->tokens[id].end || (int32_t)id == t->bos) t->tokens[id].type = GAB_TOKEN_CONTROL;
    }
    if (gab_gguf_get_bool(s->gguf, "tokenizer.ggml.add_bos_token", &t->add_bos) && t->add_bos && t->bos < 0) {
        gab_log_print(s->log, GAB_LOG_WARNING,
                      "%s: tokenizer.ggml.add_bos_token is true, but there is no tokenizer.ggml.bos_token_id; no start "
                      "token is added",
                      s->file);
        t->add_bos = false;
    }
    return GAB_OK;
}

static gab_status read_pieces(const source *s, gab_tokenizer *t) {
    uint64_t total = 0;
    for (uint32_t id = 0; id < t->n_vocab; id++) {
        uint64_t n = s->texts[id].n_byte;
        if (n > GAB_TOKEN_BYTES_MAX)
            return gab_fail(s->log, GAB_ERROR_FORMAT, "%s: tokenizer.ggml.tokens[%u] has %llu bytes; the limit is %d",
                            s->file, id, (unsigned long long)n, GAB_TOKEN_BYTES_MAX);
        total += n;
    }
    t->pieces = total < SIZE_MAX ? malloc((size_t)total + 1) : NULL;
    if (!t->pieces)
        return gab_fail(s->log, GAB_ERROR_HOST_MEMORY, "%s: no memory for a vocabulary of %llu bytes", s->file,
                        (unsigned long long)total);
    char *next = t->pieces;
    for (uint32_t id = 0; id < t->n_vocab; id++) {
        gab_gguf_string text = s->texts[id];
        token *k = &t->tokens[id];
        k->piece = next;
        k->n_byte = (uint32_t)text.n_byte;
        if (k->type <= GAB_TOKEN_NORMAL) {
            k->n_byte = (uint32_t)gab_bpe_spell_bytes(text.text, text.n_byte, next);
        } else {
            memcpy(next, text.text, text.n_byte);
        }
        next += k->n_byte;
        if (k->n_byte > t->piece_max) t->piece_max = k->n_byte;
    }
    return GAB_OK;
}

static gab_status make_bpe(const source *s, gab_tokenizer *t) {
    int32_t byte_tokens[256];
    int n_missing = 256;
    for (int b = 0; b < 256; b++) byte_tokens[b] = -1;
    for (uint32_t id = 0; id < t->n_vocab; id++) {
        const token *k = &t->tokens[id];
        if (k->type > GAB_TOKEN_NORMAL || k->n_byte != 1 || byte_tokens[(unsigned char)*k->piece] >= 0) continue;
        byte_tokens[(unsigned char)*k->piece] = (int32_t)id;
        n_missing--;
    }
    if (n_missing == 256)
        return gab_fail(
            s->log, GAB_ERROR_FORMAT,
            "%s: tokenizer.ggml.tokens has no token of a single byte, so that it is no byte-level vocabulary", s->file);
    if (n_missing)
        gab_log_print(s->log, GAB_LOG_DEBUG, "%s: the vocabulary has no token for %d byte values; they become U+FFFD",
                      s->file, n_missing);
    const gab_gguf_string *merges;
    uint64_t n_merge;
    if (!gab_gguf_get_strings(s->gguf, "tokenizer.ggml.merges", &merges, &n_merge))
        return gab_fail(s->log, GAB_ERROR_FORMAT,
                        "%s: tokenizer.ggml.merges is missing or no array of strings; byte-level BPE needs it",
                        s->file);
    return gab_bpe_create(byte_tokens, s->texts, t->n_vocab, merges, n_merge, s->file, s->log, &t->bpe);
}

static bool is_special(const token *k) {
    return k->n_byte > 0 && (is_control(k) || k->type == GAB_TOKEN_USER_DEFINED);
}

static gab_status make_specials(const source *s, gab_tokenizer *t) {
    size_t n = 0;
    for (uint32_t id = 0; id < t->n_vocab; id++) n += is_special(&t->tokens[id]);
    t->specials.items = calloc(n + 1, sizeof *t->specials.items);
    if (!t->specials.items)
        return gab_fail(s->log, GAB_ERROR_HOST_MEMORY, "%s: no memory for %zu special tokens", s->file, n);
    for (uint32_t id = 0; id < t->n_vocab; id++) {
        const token *k = &t->tokens[id];
        if (!is_special(k)) continue;
        t->specials.items[t->specials.n++] =
            (gab_special){k->piece, k->n_byte, (int32_t)id, k->type == GAB_TOKEN_USER_DEFINED};
    }
    gab_special_set_sort(&t->specials);
    return GAB_OK;
}

gab_status gab_tokenizer_create(const gab_gguf *gguf, const gab_log *log, gab_tokenizer **tokenizer) {
    source s = {.gguf = gguf, .log = log, .file = gab_gguf_path(gguf)};
    gab_gguf_string pre = {"default", 7};
    gab_status status = GAB_OK;
    gab_tokenizer *made = calloc(1, sizeof *made);
    if (!made) return gab_fail(log, GAB_ERROR_HOST_MEMORY, "%s: no memory for the vocabulary", s.file);
    GAB_TRY_GOTO(read_model(&s), error);
    GAB_TRY_GOTO(read_tokens(&s, made), error);
    GAB_TRY_GOTO(read_special_ids(&s, made), error);
    GAB_TRY_GOTO(read_pieces(&s, made), error);
    GAB_TRY_GOTO(make_bpe(&s, made), error);
    GAB_TRY_GOTO(make_specials(&s, made), error);
    if (has_key(&s, "tokenizer.ggml.pre"))
        GAB_TRY_GOTO(gab_gguf_require_string(gguf, "tokenizer.ggml.pre", log, &pre), error);
    GAB_TRY_GOTO(gab_pretokenizer_create(pre.text, true, s.file, log, &made->pretokenizer), error);
    *tokenizer = made;
    return GAB_OK;
error:
    gab_tokenizer_destroy(&made);
    return status;
}

void gab_tokenizer_destroy(gab_tokenizer **tokenizer) {
    gab_tokenizer *t = tokenizer ? *tokenizer : NULL;
    if (!t) return;
    gab_bpe_destroy(&t->bpe);
    gab_pretokenizer_destroy(&t->pretokenizer);
    free(t->specials.items);
    free(t->pieces);
    free(t->tokens);
    free(t);
    *tokenizer = NULL;
}

/* ---- questions ---- */

uint32_t gab_tokenizer_n_vocab(const gab_tokenizer *tokenizer) {
    return tokenizer->n_vocab;
}

int32_t gab_tokenizer_bos(const gab_tokenizer *tokenizer) {
    return tokenizer->bos;
}

int32_t gab_tokenizer_eos(const gab_tokenizer *tokenizer) {
    return tokenizer->eos;
}

size_t gab_tokenizer_piece_max(const gab_tokenizer *tokenizer) {
    return tokenizer->piece_max;
}

static const token *token_at(const gab_tokenizer *tokenizer, int32_t id) {
    return id >= 0 && (uint32_t)id < tokenizer->n_vocab ? &tokenizer->tokens[id] : NULL;
}

bool gab_tokenizer_is_end(const gab_tokenizer *tokenizer, int32_t id) {
    const token *t = token_at(tokenizer, id);
    return t && t->end;
}

const char *gab_tokenizer_piece(const gab_tokenizer *tokenizer, int32_t id, bool with_special, size_t *n_byte) {
    const token *t = token_at(tokenizer, id);
    *n_byte = t && (with_special || !is_control(t)) ? t->n_byte : 0;
    return t ? t->piece : NULL;
}

/* ---- encoding ---- */

enum {
    TEXT_BYTES_MAX = 1 << 30, /* BPE numbers the parts of a word with 32 bits */
    CACHE_SLOTS = 1 << 14,
    CACHE_TEXT_MIN = 4096, /* shorter texts have too few words twice */
    CACHE_WORD_MAX = 64,
};

/* A word met earlier in the same text: its tokens are n_id of those made so far. */
typedef struct cached_word {
    const char *word;
    size_t first_id;
    uint32_t n_byte, n_id; /* n_byte 0: free */
} cached_word;

typedef struct encoder {
    const gab_tokenizer *tokenizer;
    int32_t *ids;
    size_t n, n_max;
    cached_word *cache; /* NULL: none */
    gab_bpe_work work;
} encoder;

static bool reserve(encoder *e, size_t n) {
    if (n <= e->n_max - e->n) return true;
    size_t n_max = e->n_max;
    do {
        if (n_max > SIZE_MAX / 2 / sizeof *e->ids) return false;
        n_max = n_max ? n_max * 2 : 64;
    } while (n > n_max - e->n);
    int32_t *grown = realloc(e->ids, n_max * sizeof *grown);
    if (!grown) return false;
    e->ids = grown;
    e->n_max = n_max;
    return true;
}

static bool append(encoder *e, const int32_t *ids, size_t n) {
    if (!reserve(e, n)) return false;
    if (n) memcpy(e->ids + e->n, ids, n * sizeof *ids);
    e->n += n;
    return true;
}

static cached_word *cache_slot(const encoder *e, const char *word, size_t n) {
    if (!e->cache || n > CACHE_WORD_MAX) return NULL;
    uint32_t hash = 0x811C9DC5u; /* FNV-1a */
    for (size_t i = 0; i < n; i++) hash = (hash ^ (unsigned char)word[i]) * 0x01000193u;
    return &e->cache[(hash ^ hash >> 15) % CACHE_SLOTS];
}

static bool encode_word(void *user, const char *word, size_t n) {
    encoder *e = user;
    cached_word *cached = cache_slot(e, word, n);
    if (cached && cached->n_byte == n && memcmp(cached->word, word, n) == 0) {
        if (!reserve(e, cached->n_id)) return false;
        return append(e, e->ids + cached->first_id, cached->n_id);
    }
    const int32_t *ids;
    size_t n_id;
    if (!gab_bpe_encode(e->tokenizer->bpe, &e->work, word, n, &ids, &n_id)) return false;
    if (cached) *cached = (cached_word){word, e->n, (uint32_t)n, (uint32_t)n_id};
    return append(e, ids, n_id);
}

/* Special tokens, and the text between them. */
static gab_status encode_text(encoder *e, const char *text, size_t n, bool parse_special) {
    const gab_tokenizer *t = e->tokenizer;
    for (size_t done = 0; done < n;) {
        size_t at = n;
        const gab_special *special = gab_special_find(&t->specials, parse_special, text, n, done, &at);
        if (!special) at = n;
        GAB_TRY(gab_pretokenize(t->pretokenizer, text + done, at - done, encode_word, e));
        done = at;
        if (special) {
            if (!append(e, &special->id, 1)) return GAB_ERROR_CANCELLED;
            done += special->n_byte;
        }
    }
    return GAB_OK;
}

gab_status gab_tokenizer_encode(const gab_tokenizer *tokenizer, const char *text, size_t n_byte, bool add_bos,
                                bool parse_special, int32_t **tokens, size_t *n_token) {
    if (!tokenizer || !tokens || !n_token || (!text && n_byte))
        return gab_fail(NULL, GAB_ERROR_ARGUMENT,
                        "gab_tokenizer_encode: tokenizer, text, tokens and n_token must not be NULL");
    if (n_byte > TEXT_BYTES_MAX)
        return gab_fail(NULL, GAB_ERROR_LIMIT,
                        "gab_tokenizer_encode: the text has %zu bytes, the limit is %d; encode it in parts", n_byte,
                        TEXT_BYTES_MAX);
    encoder e = {.tokenizer = tokenizer, .work = {.scan_max = GAB_BPE_SCAN_MAX}};
    if (n_byte >= CACHE_TEXT_MIN) e.cache = calloc(CACHE_SLOTS, sizeof *e.cache); /* slower without */
    bool start = add_bos && tokenizer->add_bos;
    /* also for an empty text there is something to free */
    gab_status status = reserve(&e, n_byte / 4 + 1) ? GAB_OK : GAB_ERROR_CANCELLED;
    if (status == GAB_OK && start) append(&e, &tokenizer->bos, 1);
    if (status == GAB_OK) status = encode_text(&e, text, n_byte, parse_special);
    free(e.cache);
    gab_bpe_work_free(&e.work);
    if (status != GAB_OK) {
        free(e.ids);
        if (status != GAB_ERROR_CANCELLED) return status;
        return gab_fail(NULL, GAB_ERROR_HOST_MEMORY, "no memory for the tokens of a text of %zu bytes", n_byte);
    }
    *tokens = e.ids;
    *n_token = e.n;
    return GAB_OK;
}

void gab_tokens_free(int32_t **tokens) {
    if (!tokens) return;
    free(*tokens);
    *tokens = NULL;
}
