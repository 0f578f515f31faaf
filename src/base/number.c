#include "base/number.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool gab_number_read(const char *text, size_t n, double *value) {
    enum { BYTES_MAX = 400, POINT_MAX = 16 };
    char half[POINT_MAX], copy[BYTES_MAX + POINT_MAX], *end;
    if (n == 0 || n > BYTES_MAX || memchr(text, 0, n)) return false;
    const int n_half = snprintf(half, sizeof half, "%.1f", 0.5); /* the point is between the figures */
    const char *dot = memchr(text, '.', n);
    if (n_half < 3 || n_half >= POINT_MAX) return false;
    if (half[1] != '.' && memchr(text, half[1], n)) return false;
    const size_t n_point = dot ? (size_t)n_half - 2 : 0, before = dot ? (size_t)(dot - text) : n;
    memcpy(copy, text, before);
    memcpy(copy + before, half + 1, n_point);
    if (dot) memcpy(copy + before + n_point, dot + 1, n - before - 1);
    const size_t n_copy = dot ? n - 1 + n_point : n;
    copy[n_copy] = 0;
    *value = strtod(copy, &end);
    return end == copy + n_copy;
}
