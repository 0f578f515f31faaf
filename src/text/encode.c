/*
 * encode.c - text to tokens (gab_tokenizer_encode): special tokens are found, what lies between them is normalized, cut
 * into words, and the words are encoded. Words met again in the same text are remembered.
 */
#include "text/tokenizer_parts.h"

#include <stdlib.h>
#include <string.h>

enum {
    TEXT_BYTES_MAX = 1 << 30, /* BPE numbers the parts of a word with 32 bits */
    CACHE_SLOTS = 1 << 14,
    CACHE_TEXT_MIN = 4096, /* shorter texts have too few words twice */
    CACHE_WORD_MAX = 46,   /* a slot is a cache line */
};

/* A word met earlier in the same text: its tokens are n_id of those made so far. */
typedef struct cached_word {
    size_t first_id;
    uint32_t n_id;
    uint8_t n_byte; /* 0: free */
    char word[CACHE_WORD_MAX];
} cached_word;

typedef struct encoder {
    const gab_tokenizer *tokenizer;
    bool parse_special, guarded; /* guarded: the text holds GAB_TEXT_GUARDs */
    int32_t *ids;
    size_t n, n_max;
    cached_word *cache; /* NULL: none */
    gab_bpe_work bpe;
    gab_unigram_work unigram;
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

/* ---- words ---- */

static cached_word *cache_slot(const encoder *e, const char *word, size_t n) {
    if (!e->cache || n > CACHE_WORD_MAX) return NULL;
    uint32_t hash = 0x811C9DC5u; /* FNV-1a */
    for (size_t i = 0; i < n; i++) hash = (hash ^ (unsigned char)word[i]) * 0x01000193u;
    return &e->cache[(hash ^ hash >> 15) % CACHE_SLOTS];
}

static bool only_newlines(const char *word, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (word[i] != '\n') return false;
    return true;
}

/* A word that is a token and stays one; -1: it is not. */
static int32_t whole_word(const gab_tokenizer *t, const char *word, size_t n) {
    if (!t->whole_words && !(t->whole_newlines && only_newlines(word, n))) return -1;
    return gab_token_index_find(&t->whole, (gab_gguf_string){word, n}, (gab_gguf_string){"", 0});
}

/* A word, or a part of one that stands alone. */
static bool encode_part(encoder *e, const char *word, size_t n) {
    cached_word *cached = cache_slot(e, word, n);
    if (cached && cached->n_byte == n && memcmp(cached->word, word, n) == 0) {
        if (!reserve(e, cached->n_id)) return false;
        return append(e, e->ids + cached->first_id, cached->n_id);
    }
    const int32_t *ids, whole = whole_word(e->tokenizer, word, n);
    size_t n_id = 1;
    if (whole >= 0)
        ids = &whole;
    else if (!gab_bpe_encode(e->tokenizer->bpe, &e->bpe, word, n, &ids, &n_id))
        return false;
    if (cached) {
        cached->first_id = e->n;
        cached->n_id = (uint32_t)n_id;
        cached->n_byte = (uint8_t)n;
        memcpy(cached->word, word, n);
    }
    return append(e, ids, n_id);
}

static bool encode_word(void *user, const char *word, size_t n) {
    encoder *e = user;
    const gab_tokenizer *t = e->tokenizer;
    if (t->unigram) {
        const int32_t *ids;
        size_t n_id;
        return gab_unigram_encode(t->unigram, &e->unigram, word, n, &ids, &n_id) && append(e, ids, n_id);
    }
    for (size_t done = 0, length; done < n; done += length) {
        length = gab_bpe_part_bytes(t->bpe, word + done, n - done);
        if (!encode_part(e, word + done, length)) return false;
    }
    return true;
}

/* ---- guards ---- */

enum { N_GUARD = sizeof GAB_TEXT_GUARD - 1 };

static bool is_guard(const char *text, size_t n) {
    return n >= N_GUARD && memcmp(text, GAB_TEXT_GUARD, N_GUARD) == 0;
}

/* The text without guards, in memory to be freed; NULL: memory is out. */
static char *drop_guards(const char *text, size_t n, size_t *n_left) {
    char *left = malloc(n + 1);
    *n_left = 0;
    for (size_t i = 0; left && i < n;) {
        if (is_guard(text + i, n - i))
            i += N_GUARD;
        else
            left[(*n_left)++] = text[i++];
    }
    return left;
}

/* ---- text ---- */

typedef gab_status (*stretch_fn)(encoder *e, const char *text, size_t n, bool first);

/* The tokens of the set, and fn for what lies between them; first: the whole text begins here. */
static gab_status split(encoder *e, const gab_special_set *set, const char *text, size_t n, bool first, stretch_fn fn) {
    for (size_t done = 0, from = 0; done < n;) {
        size_t at = n, end = n;
        const gab_special *special = gab_special_find(set, e->parse_special, text, n, from, &at, &end);
        if (special && e->guarded && at >= N_GUARD && is_guard(text + at - N_GUARD, N_GUARD)) {
            from = at + 1;
            continue;
        }
        if (!special) at = end = n;
        if (at > done) GAB_TRY(fn(e, text + done, at - done, first && done == 0));
        if (special && !append(e, &special->id, 1)) return GAB_ERROR_CANCELLED;
        done = from = end;
    }
    return GAB_OK;
}

static gab_status encode_words(encoder *e, const char *text, size_t n, bool first) {
    char *memory = NULL, *unguarded = e->guarded ? drop_guards(text, n, &n) : NULL;
    if (e->guarded && !unguarded) return GAB_ERROR_CANCELLED;
    gab_status status = gab_normalize(e->tokenizer->spacer, unguarded ? unguarded : text, n, first, &text, &n, &memory);
    if (status == GAB_OK) status = gab_pretokenize(e->tokenizer->pretokenizer, text, n, encode_word, e);
    free(memory);
    free(unguarded);
    return status;
}

static gab_status encode_stretch(encoder *e, const char *text, size_t n, bool first) {
    char *memory;
    GAB_TRY(gab_normalize(e->tokenizer->normalizer, text, n, first, &text, &n, &memory));
    gab_status status = split(e, &e->tokenizer->normalized, text, n, first, encode_words);
    free(memory);
    return status;
}

static gab_status encode(encoder *e, const char *text, size_t n, bool framed) {
    const gab_tokenizer *t = e->tokenizer;
    /* also for an empty text there is something to free */
    if (!reserve(e, n / 4 + 2 * GAB_VOCABULARY_FRAME_MAX)) return GAB_ERROR_CANCELLED;
    if (framed) append(e, t->prefix, t->n_prefix);
    GAB_TRY(split(e, &t->specials, text, n, true, encode_stretch));
    /* what is guarded is to be continued */
    return !framed || e->guarded || append(e, t->suffix, t->n_suffix) ? GAB_OK : GAB_ERROR_CANCELLED;
}

static gab_status encode_all(encoder e, const char *text, size_t n_byte, bool add_bos, int32_t **tokens,
                             size_t *n_token) {
    if (n_byte > TEXT_BYTES_MAX)
        return gab_fail(NULL, GAB_ERROR_LIMIT,
                        "gab_tokenizer_encode: the text has %zu bytes, the limit is %d; encode it in parts", n_byte,
                        TEXT_BYTES_MAX);
    e.bpe.scan_max = GAB_BPE_SCAN_MAX;
    if (n_byte >= CACHE_TEXT_MIN) e.cache = calloc(CACHE_SLOTS, sizeof *e.cache); /* slower without */
    gab_status status = encode(&e, text, n_byte, add_bos);
    free(e.cache);
    gab_bpe_work_free(&e.bpe);
    gab_unigram_work_free(&e.unigram);
    if (status != GAB_OK) {
        free(e.ids);
        if (status != GAB_ERROR_CANCELLED) return status;
        return gab_fail(NULL, GAB_ERROR_HOST_MEMORY, "no memory for the tokens of a text of %zu bytes", n_byte);
    }
    *tokens = e.ids;
    *n_token = e.n;
    return GAB_OK;
}

gab_status gab_tokenizer_encode(const gab_tokenizer *tokenizer, const char *text, size_t n_byte, bool add_bos,
                                bool parse_special, int32_t **tokens, size_t *n_token) {
    if (!tokenizer || !tokens || !n_token || (!text && n_byte))
        return gab_fail(NULL, GAB_ERROR_ARGUMENT,
                        "gab_tokenizer_encode: tokenizer, text, tokens and n_token must not be NULL");
    return encode_all((encoder){.tokenizer = tokenizer, .parse_special = parse_special}, text, n_byte, add_bos, tokens,
                      n_token);
}

gab_status gab_tokenizer_encode_guarded(const gab_tokenizer *tokenizer, const char *text, size_t n_byte, bool add_bos,
                                        int32_t **tokens, size_t *n_token) {
    return encode_all((encoder){.tokenizer = tokenizer, .parse_special = true, .guarded = true}, text, n_byte, add_bos,
                      tokens, n_token);
}

void gab_tokens_free(int32_t **tokens) {
    if (!tokens) return;
    free(*tokens);
    *tokens = NULL;
}
