#include "text/token_index.h"
#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

#define FREE UINT32_MAX

size_t gab_table_size(uint64_t n, size_t entry_bytes) {
    size_t size = 16;
    while (size / 4 * 3 < n) {
        if (size > SIZE_MAX / 2 / entry_bytes) return 0;
        size *= 2;
    }
    return size;
}

bool gab_token_index_reserve(gab_token_index *index, const gab_gguf_string *texts, uint64_t n) {
    size_t size = gab_table_size(n, sizeof *index->slots);
    index->texts = texts;
    index->slots = size ? malloc(size * sizeof *index->slots) : NULL;
    if (!index->slots) return false;
    memset(index->slots, 0xFF, size * sizeof *index->slots);
    index->mask = size - 1;
    return true;
}

void gab_token_index_free(gab_token_index *index) {
    free(index->slots);
    index->slots = NULL;
}

/* The slot of the token spelled head + tail, or the free slot where it would be. */
static uint32_t *slot_hashed(const gab_token_index *index, gab_gguf_string head, gab_gguf_string tail, uint64_t hash) {
    for (size_t i = (size_t)(hash ^ hash >> 32) & index->mask;; i = (i + 1) & index->mask) {
        uint32_t id = index->slots[i];
        if (id == FREE) return &index->slots[i];
        gab_gguf_string token = index->texts[id];
        if (token.n_byte == head.n_byte + tail.n_byte && memcmp(token.text, head.text, head.n_byte) == 0 &&
            memcmp(token.text + head.n_byte, tail.text, tail.n_byte) == 0)
            return &index->slots[i];
    }
}

static uint32_t *slot_of(const gab_token_index *index, gab_gguf_string head, gab_gguf_string tail) {
    const uint64_t hash = gab_hash_bytes(GAB_HASH_START, head.text, head.n_byte);
    return slot_hashed(index, head, tail, gab_hash_bytes(hash, tail.text, tail.n_byte));
}

bool gab_token_index_add(gab_token_index *index, uint32_t id) {
    uint32_t *slot = slot_of(index, index->texts[id], (gab_gguf_string){"", 0});
    if (*slot != FREE) return false;
    *slot = id;
    return true;
}

int32_t gab_token_index_find(const gab_token_index *index, gab_gguf_string head, gab_gguf_string tail) {
    return (int32_t)*slot_of(index, head, tail); /* FREE is -1 */
}

int32_t gab_token_index_find_hashed(const gab_token_index *index, gab_gguf_string text, uint64_t hash) {
    return (int32_t)*slot_hashed(index, text, (gab_gguf_string){"", 0}, hash);
}
