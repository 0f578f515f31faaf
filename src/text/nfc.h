/*
 * nfc.h - Unicode's normalization form C (Unicode Standard Annex #15): characters with marks are composed where a
 * composed character exists, marks stand in canonical order. The tables (nfc_table.h) are made of the Unicode Character
 * Database by scripts/nfc_table.py.
 */
#ifndef GAB_TEXT_NFC_H
#define GAB_TEXT_NFC_H

#include <stdbool.h>
#include <stddef.h>

/* True when nothing in the text can change: a quick look, which may say false of text that does not either. */
bool gab_nfc_is_plain(const char *text, size_t n);

/* The text in form NFC, malloc'ed; NULL: no memory. Bytes that are not UTF-8 stay as they are, and marks do not move
 * across them. */
char *gab_nfc_make(const char *text, size_t n, size_t *n_out);

#endif
