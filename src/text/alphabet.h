/*
 * alphabet.h - the printable spelling of bytes in byte-level vocabularies (Radford et al., "Language Models are
 * Unsupervised Multitask Learners", 2019): each byte is written as a character, itself where it is printable in
 * Latin-1, else the next free one from U+0100 on (a space is U+0120).
 */
#ifndef GAB_TEXT_ALPHABET_H
#define GAB_TEXT_ALPHABET_H

#include <stddef.h>

/* Undoes the spelling of a token of n bytes: writes at most n bytes and returns how many. Characters outside the
 * alphabet stay as they are. */
size_t gab_alphabet_read(const char *text, size_t n, char *bytes);

/* Spells n bytes: writes at most 2 * n and returns how many. */
size_t gab_alphabet_write(const char *bytes, size_t n, char *text);

#endif
