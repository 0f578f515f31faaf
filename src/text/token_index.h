/*
 * token_index.h - finds the token that is spelled in a certain way: a hash table of ids.
 */
#ifndef GAB_TEXT_TOKEN_INDEX_H
#define GAB_TEXT_TOKEN_INDEX_H

#include "format/gguf.h"

/* Zero-initialize. Points to the caller's texts. */
typedef struct gab_token_index {
    const gab_gguf_string *texts;
    uint32_t *slots;
    size_t mask;
} gab_token_index;

/* Room for n tokens; false: no memory. */
bool gab_token_index_reserve(gab_token_index *index, const gab_gguf_string *texts, uint64_t n);
void gab_token_index_free(gab_token_index *index);

/* False when another one is spelled the same, which stays. */
bool gab_token_index_add(gab_token_index *index, uint32_t id);

/* The token spelled head + tail; -1: none. */
int32_t gab_token_index_find(const gab_token_index *index, gab_gguf_string head, gab_gguf_string tail);

/* The same of a text whose hash (base/hash.h) is known. */
int32_t gab_token_index_find_hashed(const gab_token_index *index, gab_gguf_string text, uint64_t hash);

/* Slots of a table by open addressing for n entries, at most three quarters full: 2^k; 0 when n is too many. */
size_t gab_table_size(uint64_t n, size_t entry_bytes);

#endif
