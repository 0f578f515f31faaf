/*
 * number.h - numbers out of text, whatever the program's locale: the C library's own functions expect its decimal
 * point.
 */
#ifndef GAB_BASE_NUMBER_H
#define GAB_BASE_NUMBER_H

#include <stdbool.h>
#include <stddef.h>

/* All n bytes as a decimal number with a '.', as strtod reads it in the locale "C"; false: they are none, or more than
 * 400. */
bool gab_number_read(const char *text, size_t n, double *value);

#endif
