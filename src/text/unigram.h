/*
 * unigram.h - the unigram language model: a text becomes the tokens with the largest sum of scores (logarithms of
 * probabilities) among all ways to put it together (Kudo, "Subword Regularization", 2018), found by Viterbi's
 * algorithm.
 */
#ifndef GAB_TEXT_UNIGRAM_H
#define GAB_TEXT_UNIGRAM_H

#include "format/gguf.h"

/* Immutable, safe to share between threads. */
typedef struct gab_unigram gab_unigram;

typedef struct gab_unigram_source {
    const char *file; /* named in errors */
    const gab_gguf_string *tokens;
    const double *scores;
    uint32_t n_token;
    const uint8_t *skip;      /* [n_token] of those that no text becomes; NULL: none */
    int32_t unknown;          /* for a character in no token, a row of which is one; -1: it is left out */
    int32_t byte_tokens[256]; /* instead of the unknown one, where all are there; -1 */
} gab_unigram_source;

/* Keeps no pointer into the source. */
gab_status gab_unigram_create(const gab_unigram_source *source, const gab_log *log, gab_unigram **unigram);
void gab_unigram_destroy(gab_unigram **unigram);

/* Memory for encoding, to be used by one thread at a time. Zero-initialize, free with gab_unigram_work_free. */
typedef struct gab_unigram_work {
    struct gab_unigram_node *nodes;
    int32_t *ids;
    size_t n_max;
} gab_unigram_work;
void gab_unigram_work_free(gab_unigram_work *work);

/* Any text to tokens, at most one a byte. *ids lies in `work`, valid until its next use. n is at most 2^30. False when
 * memory is out. */
bool gab_unigram_encode(const gab_unigram *unigram, gab_unigram_work *work, const char *text, size_t n,
                        const int32_t **ids, size_t *n_id);

#endif
