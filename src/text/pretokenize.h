/*
 * pretokenize.h - cuts text into the pieces ("words") that BPE never merges across, by steps applied one after another:
 * each cuts what the one before left. A step is a pattern and what becomes of its matches and of what lies between
 * them.
 *
 * The steps come from a tokenizer.json, or by the name in tokenizer.ggml.pre of a GGUF file (families.h).
 *
 * Bytes that are not UTF-8 are pieces of their own (a run of them is one piece): the patterns see well-formed text
 * only.
 */
#ifndef GAB_TEXT_PRETOKENIZE_H
#define GAB_TEXT_PRETOKENIZE_H

#include "base/error.h"

/* What a match becomes; the names of tokenizer.json are Isolated, Removed, MergedWithPrevious, MergedWithNext,
 * Contiguous. */
typedef enum gab_split_kind {
    GAB_SPLIT_ISOLATED,   /* a piece of its own */
    GAB_SPLIT_REMOVED,    /* nothing */
    GAB_SPLIT_PREVIOUS,   /* the end of the piece before it */
    GAB_SPLIT_NEXT,       /* the beginning of the piece behind it */
    GAB_SPLIT_CONTIGUOUS, /* one piece with the matches next to it */
} gab_split_kind;

typedef struct gab_split_step {
    const char *pattern; /* zero-terminated */
    gab_split_kind kind;
    bool invert;  /* what lies between the matches counts as the matches */
    bool spelled; /* sees the text in the printable alphabet of bytes (alphabet.h) */
} gab_split_step;

/* Immutable, safe to share between threads. */
typedef struct gab_pretokenizer gab_pretokenizer;

/* Called for each piece, in order; never with n = 0. Returns false to stop. */
typedef bool (*gab_pretokenize_fn)(void *user, const char *piece, size_t n);

/* `file` is named in errors. `jit` false forces PCRE2's interpreter. Fails with UNSUPPORTED when PCRE2 does not read a
 * pattern. n_step may be 0: the text is one piece. */
gab_status gab_pretokenizer_create(const gab_split_step *steps, size_t n_step, bool jit, const char *file,
                                   const gab_log *log, gab_pretokenizer **pretokenizer);
void gab_pretokenizer_destroy(gab_pretokenizer **pretokenizer);

/* The pieces joined are the text, unless a step removes some. Fails with CANCELLED when fn returned false, else only
 * when memory is out or a pattern tries too much. */
gab_status gab_pretokenize(const gab_pretokenizer *pretokenizer, const char *text, size_t n, gab_pretokenize_fn fn,
                           void *user);

#endif
