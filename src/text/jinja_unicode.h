/*
 * jinja_unicode.h - what Python's strings know of characters. A byte that is no UTF-8 counts as a character of its own.
 */
#ifndef GAB_TEXT_JINJA_UNICODE_H
#define GAB_TEXT_JINJA_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum gab_jinja_class {
    GAB_JINJA_SPACE, /* str.isspace(): what strip() and split() take away */
    GAB_JINJA_LINE,  /* where splitlines() cuts */
    GAB_JINJA_UPPER,
    GAB_JINJA_LOWER,
    GAB_JINJA_ALPHA,
    GAB_JINJA_DIGIT,     /* ASCII's alone */
    GAB_JINJA_PRINTABLE, /* repr() shows it as it is; unassigned ones count as printable */
} gab_jinja_class;

/* The first of n > 0 bytes as a code point, and its length. Bytes that are no UTF-8 are 0xDC00 + the byte. */
uint32_t gab_jinja_decode(const char *text, size_t n, size_t *length);
/* Up to 4 bytes; their number. */
size_t gab_jinja_encode(uint32_t code, char *text);
size_t gab_jinja_count(const char *text, size_t n); /* characters */
/* The byte where character i begins; n when there are not so many. */
size_t gab_jinja_offset(const char *text, size_t n, size_t i);
/* The byte where the character that ends at byte `end` > 0 begins. */
size_t gab_jinja_back(const char *text, size_t end);

bool gab_jinja_is(uint32_t code, gab_jinja_class class);
/* Simple case mapping: to one character. (U+00DF, whose upper form has two, is up to the caller.) */
uint32_t gab_jinja_upper(uint32_t code);
uint32_t gab_jinja_lower(uint32_t code);

#endif
