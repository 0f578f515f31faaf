/*
 * normalize.h - what a vocabulary does to text before it is cut into words: a list of steps, each on what the one
 * before left.
 */
#ifndef GAB_TEXT_NORMALIZE_H
#define GAB_TEXT_NORMALIZE_H

#include "format/gguf.h"

typedef enum gab_normalize_kind {
    GAB_NORMALIZE_PREPEND,         /* `to` comes in front of a text that is not empty */
    GAB_NORMALIZE_PREPEND_LACK,    /* the same unless it is there already */
    GAB_NORMALIZE_PREPEND_FIRST,   /* the same, and only where the whole text begins */
    GAB_NORMALIZE_REPLACE,         /* each `from`, from the left, becomes `to` */
    GAB_NORMALIZE_REPLACE_PATTERN, /* each match of the pattern `from` becomes `to` */
    GAB_NORMALIZE_NFC,             /* Unicode's normalization form C (nfc.h) */
} gab_normalize_kind;

typedef struct gab_normalize_step {
    gab_normalize_kind kind;
    gab_gguf_string from, to; /* where they mean something; `from` is not empty, a pattern is zero-terminated */
} gab_normalize_step;

/* Immutable, safe to share between threads. */
typedef struct gab_normalizer gab_normalizer;

/* `file` is named in errors. The texts are copied. */
gab_status gab_normalizer_create(const gab_normalize_step *steps, size_t n_step, const char *file, const gab_log *log,
                                 gab_normalizer **normalizer);
void gab_normalizer_destroy(gab_normalizer **normalizer);

/* *out is the text itself where nothing changes, else malloc'ed memory that *memory points to, to be freed. `first`:
 * the text begins here. Bytes that are not UTF-8 stay. Fails when memory is out or the text becomes longer than 2^30
 * bytes. */
gab_status gab_normalize(const gab_normalizer *normalizer, const char *text, size_t n, bool first, const char **out,
                         size_t *n_out, char **memory);

#endif
