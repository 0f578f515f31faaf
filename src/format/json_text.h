/*
 * json_text.h - walks over JSON text (RFC 8259) without building a tree of it: the files of vocabularies hold a million
 * strings.
 *
 * gab_json_check looks at the whole text once: syntax, nesting, UTF-8. After that a value is a pointer to its first
 * character, and walking over it cannot fail.
 */
#ifndef GAB_FORMAT_JSON_TEXT_H
#define GAB_FORMAT_JSON_TEXT_H

#include "base/error.h"

/* Deepest nesting of arrays and objects. */
#define GAB_JSON_DEPTH_MAX 64

/* A value in checked text; NULL: there is none. */
typedef const char *gab_json;

/* `text` has n bytes and a zero behind them; *value is in it. `file` is named in errors, with the line. */
gab_status gab_json_check(const char *text, size_t n, const char *file, const gab_log *log, gab_json *value);

/* All of these take NULL, which is no object, no array, no string... */
bool gab_json_is_object(gab_json value);
bool gab_json_is_array(gab_json value);
bool gab_json_is_string(gab_json value);
bool gab_json_is_null(gab_json value);                /* also when there is no value */
bool gab_json_bool(gab_json value, bool otherwise);   /* `otherwise` when it is neither true nor false */
bool gab_json_number(gab_json value, double *number); /* false when it is none */
bool gab_json_index(gab_json value, int32_t *index);  /* a whole number from 0 to INT32_MAX */

/* The value of a key of an object, the last one of equal keys; NULL when it is none, or has no such key. */
gab_json gab_json_get(gab_json object, const char *key);

/* The elements of an array or the members of an object, one after another:
 *
 *     gab_json_items items = gab_json_each(value);
 *     while (gab_json_next(&items)) use(items.key, items.value);
 */
typedef struct gab_json_items {
    gab_json key; /* a string; NULL in an array */
    gab_json value;
    const char *at;
    bool object;
} gab_json_items;
gab_json_items gab_json_each(gab_json value);
bool gab_json_next(gab_json_items *items);

/* The most bytes that a string has, and the string: without a zero behind it, which may also be in it. A surrogate
 * without its partner becomes U+FFFD. */
size_t gab_json_string_max(gab_json string);
size_t gab_json_string(gab_json string, char *out);
bool gab_json_string_is(gab_json value, const char *text); /* false for what is no string */

#endif
