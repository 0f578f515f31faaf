#include "text/tokenizer.h"
#include "text/alphabet.h"
#include "text/tokenizer_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_control(const gab_token *t) {
    return t->type == GAB_TOKEN_CONTROL || t->type == GAB_TOKEN_UNKNOWN;
}

static bool is_plain_type(uint8_t type) {
    return type <= GAB_TOKEN_NORMAL;
}

static gab_status fail_memory(const gab_vocabulary *v) {
    return gab_fail(v->log, GAB_ERROR_HOST_MEMORY, "%s: no memory for a vocabulary of %u tokens", v->file, v->n_token);
}

/* ---- pieces ---- */

/* The byte of "<0x41>"; -1: it is spelled otherwise. */
static int byte_spelled(gab_gguf_string text) {
    if (text.n_byte != 6 || memcmp(text.text, "<0x", 3) != 0 || text.text[5] != '>') return -1;
    int byte = 0;
    for (int i = 3; i < 5; i++) {
        char c = text.text[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                           : -1;
        if (digit < 0) return -1;
        byte = byte * 16 + digit;
    }
    return byte;
}

static size_t unescape_spaces(const char *text, size_t n, char *out) {
    const size_t n_space = sizeof GAB_ESCAPED_SPACE - 1;
    size_t written = 0;
    for (size_t i = 0; i < n;) {
        bool space = n - i >= n_space && memcmp(text + i, GAB_ESCAPED_SPACE, n_space) == 0;
        out[written++] = space ? ' ' : text[i];
        i += space ? n_space : 1;
    }
    return written;
}

/* What a token is in a text, at most as long as it is spelled. */
static size_t write_piece(const gab_vocabulary *v, uint8_t type, gab_gguf_string text, char *out) {
    const bool by_bytes = v->model == GAB_VOCABULARY_BYTES;
    int byte = type == GAB_TOKEN_BYTE && !by_bytes ? byte_spelled(text) : -1;
    if (byte >= 0) {
        *out = (char)byte;
        return 1;
    }
    if (by_bytes && is_plain_type(type)) return gab_alphabet_read(text.text, text.n_byte, out);
    if (v->escaped_spaces && (is_plain_type(type) || type == GAB_TOKEN_USER_DEFINED))
        return unescape_spaces(text.text, text.n_byte, out);
    memcpy(out, text.text, text.n_byte);
    return text.n_byte;
}

static gab_status make_pieces(const gab_vocabulary *v, gab_tokenizer *t) {
    uint64_t total = 0;
    for (uint32_t id = 0; id < v->n_token; id++) {
        uint64_t n = v->texts[id].n_byte;
        if (n > GAB_TOKEN_BYTES_MAX)
            return gab_fail(v->log, GAB_ERROR_FORMAT, "%s: %s[%u] has %llu bytes; the limit is %d", v->file,
                            v->tokens_field, id, (unsigned long long)n, GAB_TOKEN_BYTES_MAX);
        total += n;
    }
    t->tokens = calloc(v->n_token, sizeof *t->tokens);
    t->pieces = total < SIZE_MAX ? malloc((size_t)total + 1) : NULL;
    if (!t->tokens || !t->pieces) return fail_memory(v);
    char *next = t->pieces;
    for (uint32_t id = 0; id < v->n_token; id++) {
        gab_token *k = &t->tokens[id];
        *k = (gab_token){next, 0, v->types[id], v->ends[id]};
        k->n_byte = (uint32_t)write_piece(v, k->type, v->texts[id], next);
        next += k->n_byte;
        if (k->n_byte > t->piece_max) t->piece_max = k->n_byte;
    }
    return GAB_OK;
}

/* The pieces of normal tokens, to find whole words: words of bytes, or without spaces, are spelled as in the text. */
static gab_status make_whole(const gab_vocabulary *v, gab_tokenizer *t) {
    if (!v->whole_words && !v->whole_newlines) return GAB_OK;
    t->spelled = calloc(v->n_token, sizeof *t->spelled);
    if (!t->spelled || !gab_token_index_reserve(&t->whole, t->spelled, v->n_token)) return fail_memory(v);
    for (uint32_t id = 0; id < v->n_token; id++) {
        const gab_token *k = &t->tokens[id];
        t->spelled[id] = (gab_gguf_string){k->piece, k->n_byte};
        if (is_plain_type(k->type) && k->n_byte > 0) gab_token_index_add(&t->whole, id);
    }
    return GAB_OK;
}

/* ---- the model ---- */

/* The tokens of bytes: pieces of one byte in a byte-level vocabulary, "<0x41>" in others. */
static gab_status find_bytes(const gab_vocabulary *v, const gab_tokenizer *t, int32_t byte_tokens[256]) {
    int n_missing = 256;
    for (int b = 0; b < 256; b++) byte_tokens[b] = -1;
    for (uint32_t id = 0; id < v->n_token; id++) {
        const gab_token *k = &t->tokens[id];
        bool candidate = v->model == GAB_VOCABULARY_BYTES ? is_plain_type(k->type) && k->n_byte == 1
                                                          : k->type == GAB_TOKEN_BYTE && k->n_byte == 1;
        if (!candidate || byte_tokens[(unsigned char)*k->piece] >= 0) continue;
        byte_tokens[(unsigned char)*k->piece] = (int32_t)id;
        n_missing--;
    }
    if (v->model != GAB_VOCABULARY_BYTES) return GAB_OK;
    if (n_missing == 256)
        return gab_fail(v->log, GAB_ERROR_FORMAT,
                        "%s: %s has no token of a single byte, so that it is no byte-level vocabulary", v->file,
                        v->tokens_field);
    if (n_missing)
        gab_log_print(v->log, GAB_LOG_DEBUG, "%s: the vocabulary has no token for %d byte values; they become U+FFFD",
                      v->file, n_missing);
    return GAB_OK;
}

/* What no merge of characters makes, and no text becomes but as a special token. */
static bool is_apart(uint8_t type) {
    return type == GAB_TOKEN_CONTROL || type == GAB_TOKEN_UNKNOWN || type == GAB_TOKEN_BYTE || type == GAB_TOKEN_UNUSED;
}

static gab_status make_model(const gab_vocabulary *v, gab_tokenizer *t) {
    int32_t byte_tokens[256];
    gab_status status;
    GAB_TRY(find_bytes(v, t, byte_tokens));
    uint8_t *apart = malloc(v->n_token);
    if (!apart) return fail_memory(v);
    for (uint32_t id = 0; id < v->n_token; id++) apart[id] = is_apart(v->types[id]);
    if (v->model == GAB_VOCABULARY_UNIGRAM) {
        gab_unigram_source source = {.file = v->file,
                                     .tokens = v->texts,
                                     .scores = v->scores,
                                     .n_token = v->n_token,
                                     .skip = apart,
                                     .unknown = v->unknown};
        memcpy(source.byte_tokens, byte_tokens, sizeof byte_tokens);
        status = gab_unigram_create(&source, v->log, &t->unigram);
    } else {
        gab_bpe_source source = {.file = v->file,
                                 .tokens_field = v->tokens_field,
                                 .merges_field = v->merges_field,
                                 .tokens = v->texts,
                                 .n_token = v->n_token,
                                 .no_merge = v->merges ? NULL : apart, /* a list of merges knows what it makes */
                                 .merges = v->merges,
                                 .n_merge = v->n_merge,
                                 .scores = v->scores,
                                 .characters = v->model == GAB_VOCABULARY_CHARACTERS,
                                 .unknown = v->unknown,
                                 .fuse_unknown = v->fuse_unknown};
        memcpy(source.byte_tokens, byte_tokens, sizeof byte_tokens);
        status = gab_bpe_create(&source, v->log, &t->bpe);
    }
    free(apart);
    return status;
}

/* ---- special tokens ---- */

/* Found as the file spells it; the text is owned. */
static gab_status add_special(const gab_vocabulary *v, gab_tokenizer *t, const gab_vocabulary_special *s) {
    const char *text = v->texts[s->id].text;
    size_t n = (size_t)v->texts[s->id].n_byte;
    char *memory = NULL;
    if (s->normalized) GAB_TRY(gab_normalize(t->normalizer, text, n, true, &text, &n, &memory));
    char *copy = malloc(n + 1);
    if (copy) memcpy(copy, text, n);
    free(memory);
    if (!copy) return fail_memory(v);
    if (n == 0) {
        free(copy);
        return GAB_OK;
    }
    gab_special_set *set = s->normalized ? &t->normalized : &t->specials;
    set->items[set->n++] = (gab_special){copy, n, s->id, s->always, s->single_word, s->left_strip, s->right_strip};
    return GAB_OK;
}

static gab_status make_specials(const gab_vocabulary *v, gab_tokenizer *t) {
    t->specials.items = calloc(v->n_special + 1, sizeof *t->specials.items);
    t->normalized.items = calloc(v->n_special + 1, sizeof *t->normalized.items);
    if (!t->specials.items || !t->normalized.items) return fail_memory(v);
    for (size_t i = 0; i < v->n_special; i++) GAB_TRY(add_special(v, t, &v->specials[i]));
    gab_special_set_sort(&t->specials);
    gab_special_set_sort(&t->normalized);
    static const char WORD[] = "[\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}]";
    GAB_TRY(gab_pattern_create(WORD, sizeof WORD - 1, false, v->file, v->log, &t->word));
    t->specials.word = t->normalized.word = t->word;
    return GAB_OK;
}

/* ---- making ---- */

static gab_status make(const gab_vocabulary *v, gab_tokenizer *t) {
    t->n_vocab = v->n_token;
    t->bos = v->bos;
    t->eos = v->eos;
    memcpy(t->prefix, v->prefix, sizeof t->prefix);
    memcpy(t->suffix, v->suffix, sizeof t->suffix);
    t->n_prefix = v->n_prefix;
    t->n_suffix = v->n_suffix;
    t->strip_space = v->strip_space;
    t->whole_words = v->whole_words;
    t->whole_newlines = v->whole_newlines;
    GAB_TRY(make_pieces(v, t));
    GAB_TRY(make_whole(v, t));
    GAB_TRY(make_model(v, t));
    GAB_TRY(gab_normalizer_create(v->normalizer, v->n_normalizer, v->file, v->log, &t->normalizer));
    GAB_TRY(gab_normalizer_create(v->spacer, v->n_spacer, v->file, v->log, &t->spacer));
    GAB_TRY(make_specials(v, t));
    return gab_pretokenizer_create(v->splits, v->n_split, true, v->file, v->log, &t->pretokenizer);
}

gab_status gab_vocabulary_finish(gab_vocabulary *v, gab_status read, gab_tokenizer **tokenizer) {
    gab_tokenizer *made = NULL;
    gab_status status = read;
    if (status == GAB_OK) {
        made = calloc(1, sizeof *made);
        status = made ? make(v, made) : fail_memory(v);
    }
    gab_vocabulary_free(v);
    if (status != GAB_OK) gab_tokenizer_destroy(&made);
    if (status == GAB_OK) *tokenizer = made;
    return status;
}

gab_status gab_tokenizer_create(const gab_gguf *gguf, const gab_log *log, gab_tokenizer **tokenizer) {
    gab_vocabulary v = {.file = gab_gguf_path(gguf), .log = log};
    return gab_vocabulary_finish(&v, gab_vocabulary_read_gguf(&v, gguf), tokenizer);
}

gab_status gab_tokenizer_create_json(const char *path, uint32_t n_row, const gab_log *log, gab_tokenizer **tokenizer) {
    gab_vocabulary v = {.file = path, .log = log, .n_row = n_row};
    return gab_vocabulary_finish(&v, gab_vocabulary_read_json(&v, path), tokenizer);
}

static void free_specials(gab_special_set *set) {
    for (size_t i = 0; i < set->n; i++) free((char *)set->items[i].text);
    free(set->items);
}

void gab_tokenizer_destroy(gab_tokenizer **tokenizer) {
    gab_tokenizer *t = tokenizer ? *tokenizer : NULL;
    if (!t) return;
    gab_bpe_destroy(&t->bpe);
    gab_unigram_destroy(&t->unigram);
    gab_pretokenizer_destroy(&t->pretokenizer);
    gab_normalizer_destroy(&t->normalizer);
    gab_normalizer_destroy(&t->spacer);
    gab_token_index_free(&t->whole);
    free_specials(&t->specials);
    free_specials(&t->normalized);
    gab_pattern_destroy(&t->word);
    free(t->spelled);
    free(t->pieces);
    free(t->tokens);
    free(t);
    *tokenizer = NULL;
}

void gab_vocabulary_free(gab_vocabulary *v) {
    gab_arena_free(&v->arena);
}

/* Names of tokens that end a text or a turn, whatever the model. */
bool gab_vocabulary_is_end_name(gab_gguf_string text) {
    static const char *const NAMES[] = {
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
        "<|eos|>",
        "<|end_of_turn|>",
        "<|call|>",
        "<|END_OF_TURN_TOKEN|>",
        "<｜end▁of▁sentence｜>",
    };
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        if (strlen(NAMES[i]) == text.n_byte && memcmp(NAMES[i], text.text, text.n_byte) == 0) return true;
    return false;
}

static bool is_named(const gab_vocabulary *v, uint32_t id, const char *name) {
    return v->texts[id].n_byte == strlen(name) && memcmp(v->texts[id].text, name, strlen(name)) == 0;
}

void gab_vocabulary_settle_ends(gab_vocabulary *v) {
    bool returns = false, calls = false;
    for (uint32_t id = 0; id < v->n_token; id++) {
        returns = returns || is_named(v, id, "<|return|>");
        calls = calls || is_named(v, id, "<|call|>");
    }
    for (uint32_t id = 0; id < v->n_token; id++) {
        if (!v->ends[id] || (int32_t)id == v->eos) continue;
        if (is_named(v, id, "</s>") && v->types[id] != GAB_TOKEN_CONTROL) /* HTML (Gemma) */
            v->ends[id] = false;
        if (returns && calls && is_named(v, id, "<|end|>")) /* between the messages of an answer (gpt-oss) */
            v->ends[id] = false;
    }
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

bool gab_tokenizer_strips_space(const gab_tokenizer *tokenizer) {
    return tokenizer->strip_space;
}

static const gab_token *token_at(const gab_tokenizer *tokenizer, int32_t id) {
    return id >= 0 && (uint32_t)id < tokenizer->n_vocab ? &tokenizer->tokens[id] : NULL;
}

bool gab_tokenizer_is_end(const gab_tokenizer *tokenizer, int32_t id) {
    const gab_token *t = token_at(tokenizer, id);
    return t && t->end;
}

const char *gab_tokenizer_piece(const gab_tokenizer *tokenizer, int32_t id, bool with_special, size_t *n_byte) {
    const gab_token *t = token_at(tokenizer, id);
    *n_byte = t && (with_special || !is_control(t)) ? t->n_byte : 0;
    return t ? t->piece : NULL;
}
