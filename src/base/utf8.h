/*
 * utf8.h - walks over bytes that may or may not be UTF-8.
 *
 * Well-formed sequences are those of the Unicode Standard, table 3-7: no overlong forms, no surrogates, nothing above
 * U+10FFFF. What is not well-formed is cut into maximal subparts (chapter 3.9, "U+FFFD Substitution of Maximal
 * Subparts"): the longest beginning of a well-formed sequence, at least one byte. Each of them is shown as one U+FFFD.
 */
#ifndef GAB_BASE_UTF8_H
#define GAB_BASE_UTF8_H

#include <stddef.h>

#define GAB_UTF8_REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

typedef enum gab_utf8_kind {
    GAB_UTF8_CHARACTER, /* a whole character */
    GAB_UTF8_INVALID,   /* a maximal subpart: whatever follows, it is no character */
    GAB_UTF8_CUT,       /* the text ends inside what may become a character */
} gab_utf8_kind;

/* Looks at the first of n > 0 bytes: what it begins, and how many bytes that has (1..4). */
size_t gab_utf8_next(const char *text, size_t n, gab_utf8_kind *kind);

/* A copy with U+FFFD for what is not well-formed, to be freed; NULL: out of memory. */
char *gab_utf8_clean(const char *text);

#endif
