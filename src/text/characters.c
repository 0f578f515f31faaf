#include "text/characters.h"
#include "base/utf8.h"
#include "text/token_index.h"

#include <stdlib.h>
#include <string.h>

#define NO_CODE UINT32_MAX

struct gab_character {
    uint32_t code; /* NO_CODE: free */
    int32_t id;
};

uint32_t gab_character_read(const char *text, size_t n, size_t *n_byte) {
    const unsigned char *b = (const unsigned char *)text;
    *n_byte = 1;
    if (b[0] < 0x80) return b[0];
    gab_utf8_kind kind;
    size_t length = gab_utf8_next(text, n, &kind);
    if (kind != GAB_UTF8_CHARACTER) return 0x110000u + b[0];
    *n_byte = length;
    if (length == 2) return (b[0] & 0x1Fu) << 6 | (b[1] & 0x3Fu);
    if (length == 3) return (b[0] & 0xFu) << 12 | (b[1] & 0x3Fu) << 6 | (b[2] & 0x3Fu);
    return (b[0] & 7u) << 18 | (b[1] & 0x3Fu) << 12 | (b[2] & 0x3Fu) << 6 | (b[3] & 0x3Fu);
}

size_t gab_character_write(uint32_t code, char *out) {
    if (code < 0x80 || code >= 0x110000) { /* a byte that is no character lies in the lowest 8 bits */
        out[0] = (char)(code & 0xFF);
        return 1;
    }
    size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, code >>= 6) out[i] = (char)(0x80 | (code & 0x3F));
    out[0] = (char)((n == 2 ? 0xC0 : n == 3 ? 0xE0 : 0xF0) | code);
    return n;
}

static struct gab_character *slot_of(const gab_characters *c, uint32_t code) {
    for (size_t i = (code * 0x9E3779B1u >> 7) & c->mask;; i = (i + 1) & c->mask)
        if (c->table[i].code == code || c->table[i].code == NO_CODE) return &c->table[i];
}

static size_t pair_bit(const gab_characters *c, uint32_t left, uint32_t right) {
    uint64_t hash = ((uint64_t)left << 32 | right) * 0x9E3779B97F4A7C15u;
    return (size_t)(hash >> 32) & c->pair_mask;
}

int32_t gab_characters_id(const gab_characters *c, uint32_t code) {
    return slot_of(c, code)->id;
}

bool gab_characters_pair(const gab_characters *c, uint32_t left, uint32_t right) {
    size_t bit = pair_bit(c, left, right);
    return c->pairs[bit / 64] >> bit % 64 & 1;
}

/* A character of a token; id -1: only a part of one. False: no memory. */
static bool add(gab_characters *c, uint32_t code, int32_t id) {
    struct gab_character *slot = slot_of(c, code);
    if (slot->code == code) {
        if (slot->id < 0) slot->id = id;
        return true;
    }
    *slot = (struct gab_character){code, id};
    if (++c->n <= c->mask / 4 * 3) return true;

    gab_characters grown = {.mask = c->mask * 2 + 1};
    if (grown.mask > SIZE_MAX / 2 / sizeof *grown.table) return false;
    grown.table = malloc((grown.mask + 1) * sizeof *grown.table);
    if (!grown.table) return false;
    memset(grown.table, 0xFF, (grown.mask + 1) * sizeof *grown.table);
    for (size_t i = 0; i <= c->mask; i++)
        if (c->table[i].code != NO_CODE) *slot_of(&grown, c->table[i].code) = c->table[i];
    free(c->table);
    c->table = grown.table;
    c->mask = grown.mask;
    return true;
}

/* Those that are no tokens get the ids behind the tokens, by code point for the same ids in every run. */
static bool number_others(gab_characters *c) {
    c->codes = malloc((c->n + 1) * sizeof *c->codes);
    if (!c->codes) return false;
    for (size_t i = 0; i <= c->mask; i++) {
        if (c->table[i].code == NO_CODE || c->table[i].id >= 0) continue;
        c->table[i].id = (int32_t)(c->n_token + c->n_code);
        c->codes[c->n_code++] = c->table[i].code;
    }
    return true;
}

static bool add_token(gab_characters *c, gab_gguf_string token, uint32_t id) {
    uint32_t last = NO_CODE;
    for (size_t i = 0, length; i < token.n_byte; i += length) {
        uint32_t code = gab_character_read(token.text + i, token.n_byte - i, &length);
        if (!add(c, code, length == token.n_byte ? (int32_t)id : -1)) return false;
        if (last != NO_CODE) {
            size_t bit = pair_bit(c, last, code);
            c->pairs[bit / 64] |= 1ull << bit % 64;
        }
        last = code;
    }
    return true;
}

bool gab_characters_make(gab_characters *c, const gab_gguf_string *tokens, uint32_t n_token, const uint8_t *skip) {
    enum { PAIRS_MIN = 1 << 18 };
    size_t n_pair = gab_table_size((uint64_t)n_token * 4, sizeof *c->pairs); /* few of them are set */
    if (n_pair < PAIRS_MIN) n_pair = PAIRS_MIN;
    c->n_token = n_token;
    c->mask = 1023;
    c->pair_mask = n_pair - 1;
    c->table = malloc((c->mask + 1) * sizeof *c->table);
    c->pairs = calloc(n_pair / 64, sizeof *c->pairs);
    if (!c->table || !c->pairs) return false;
    memset(c->table, 0xFF, (c->mask + 1) * sizeof *c->table);
    for (uint32_t id = 0; id < n_token; id++)
        if (!(skip && skip[id]) && !add_token(c, tokens[id], id)) return false;
    return number_others(c);
}

void gab_characters_free(gab_characters *c) {
    free(c->table);
    free(c->pairs);
    free(c->codes);
    *c = (gab_characters){0};
}
