/*
 * characters.h - what a vocabulary of characters begins with: the token of each character, and which two of them stand
 * beside each other in any token.
 */
#ifndef GAB_TEXT_CHARACTERS_H
#define GAB_TEXT_CHARACTERS_H

#include "format/gguf.h"

/* Zero-initialize; gab_characters_free. */
typedef struct gab_characters {
    struct gab_character *table; /* by code point, open addressing */
    size_t mask, n;
    uint64_t *pairs; /* bits by hash: where one is not set, no token has the two characters side by side */
    size_t pair_mask;
    uint32_t n_token;
    uint32_t *codes; /* [n - those that are tokens] of the characters that are none: ids from n_token on */
    size_t n_code;
} gab_characters;

/* Takes the characters and the pairs of all tokens but those in `skip`; false: no memory. */
bool gab_characters_make(gab_characters *c, const gab_gguf_string *tokens, uint32_t n_token, const uint8_t *skip);
void gab_characters_free(gab_characters *c);

/* The code point at the front of n > 0 bytes, and how many it takes. Bytes that are no character count as one each from
 * 0x110000 on. */
uint32_t gab_character_read(const char *text, size_t n, size_t *n_byte);

/* The other way: 1 to 4 bytes. */
size_t gab_character_write(uint32_t code, char *out);

/* The token of a code point, n_token or more for one that only stands in longer tokens; -1: in none. */
int32_t gab_characters_id(const gab_characters *c, uint32_t code);

/* False: no token has them side by side. */
bool gab_characters_pair(const gab_characters *c, uint32_t left, uint32_t right);

#endif
