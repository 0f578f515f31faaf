#include "base/utf8.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Rows of table 3-7: the first bytes up to `last`, the length, and the range of the second byte. Third and fourth bytes
 * are always 80..BF. */
static const struct {
    unsigned char last, length, low, high;
} FORMS[] = {
    {0x7F, 1, 0, 0},       {0xC1, 0, 0, 0},       {0xDF, 2, 0x80, 0xBF}, {0xE0, 3, 0xA0, 0xBF},
    {0xEC, 3, 0x80, 0xBF}, {0xED, 3, 0x80, 0x9F}, {0xEF, 3, 0x80, 0xBF}, {0xF0, 4, 0x90, 0xBF},
    {0xF3, 4, 0x80, 0xBF}, {0xF4, 4, 0x80, 0x8F}, {0xFF, 0, 0, 0},
};

size_t gab_utf8_next(const char *text, size_t n, gab_utf8_kind *kind) {
    const unsigned char *byte = (const unsigned char *)text;
    size_t form = 0, i = 1;
    while (byte[0] > FORMS[form].last) form++;
    size_t length = FORMS[form].length;
    for (; i < length && i < n; i++) {
        unsigned char low = i == 1 ? FORMS[form].low : 0x80, high = i == 1 ? FORMS[form].high : 0xBF;
        if (byte[i] < low || byte[i] > high) break;
    }
    *kind = i == length ? GAB_UTF8_CHARACTER : length && i == n ? GAB_UTF8_CUT : GAB_UTF8_INVALID;
    return i;
}

char *gab_utf8_clean(const char *text) {
    const size_t n = strlen(text);
    char *clean = n < SIZE_MAX / 3 ? malloc(3 * n + 1) : NULL, *to = clean;
    for (size_t i = 0, length; clean && i < n; i += length) {
        gab_utf8_kind kind;
        length = gab_utf8_next(text + i, n - i, &kind);
        const bool whole = kind == GAB_UTF8_CHARACTER;
        memcpy(to, whole ? text + i : GAB_UTF8_REPLACEMENT, whole ? length : sizeof GAB_UTF8_REPLACEMENT - 1);
        to += whole ? length : sizeof GAB_UTF8_REPLACEMENT - 1;
    }
    if (clean) *to = 0;
    return clean;
}
