/*
 * special.h - finds spelled-out tokens ("<|endoftext|>") in text: those that are matched before the text is cut into
 * words.
 */
#ifndef GAB_TEXT_SPECIAL_H
#define GAB_TEXT_SPECIAL_H

#include "text/pattern.h"

typedef struct gab_special {
    const char *text;
    size_t n_byte; /* at least 1 */
    int32_t id;
    bool always;                  /* user-defined: matched also where special tokens are not asked for */
    bool single_word;             /* not beside a letter, a digit or "_" */
    bool left_strip, right_strip; /* takes the spaces on that side with it */
} gab_special;

/* Immutable once sorted, safe to share between threads. Texts are the caller's. */
typedef struct gab_special_set {
    gab_special *items;
    size_t n, n_always;
    size_t first[257]; /* items whose text begins with byte b: first[b] to first[b + 1] */
    gab_pattern *word; /* a character of a word; the caller's, needed where one of them is single_word */
} gab_special_set;

/* Sorts the items and fills the other fields. */
void gab_special_set_sort(gab_special_set *set);

/* The first place at or after `from` where one of the set is spelled, the longest one there; NULL: none. *at..*end is
 * what it takes, with the spaces. `all` false looks only at those that are always matched. */
const gab_special *gab_special_find(const gab_special_set *set, bool all, const char *text, size_t n, size_t from,
                                    size_t *at, size_t *end);

#endif
