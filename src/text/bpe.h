/*
 * bpe.h - byte-pair encoding: a word is split into bytes or characters, then the pair of neighbours with the lowest
 * rank is merged (of equal ones the leftmost) until no pair is in the list of merges.
 *
 * Sennrich, Haddow, Birch, "Neural Machine Translation of Rare Words with Subword Units" (2016); on bytes instead of
 * characters: Radford et al., "Language Models are Unsupervised Multitask Learners" (2019). SentencePiece's BPE (Kudo
 * and Richardson, 2018) has no list of merges: any two parts merge that make a token, and the token's score is the
 * rank.
 */
#ifndef GAB_TEXT_BPE_H
#define GAB_TEXT_BPE_H

#include "format/gguf.h"

/* Words with more parts than this are merged with a heap instead of repeated scans. */
#define GAB_BPE_SCAN_MAX 96

typedef struct gab_bpe_merge {
    gab_gguf_string left, right;
} gab_bpe_merge;

/* What a vocabulary says. Nothing of it is kept. */
typedef struct gab_bpe_source {
    const char *file, *tokens_field, *merges_field; /* named in errors */
    const gab_gguf_string *tokens;                  /* as the merges spell them */
    uint32_t n_token;
    const uint8_t *no_merge;     /* [n_token] of what no merge makes or takes; NULL: none */
    const gab_bpe_merge *merges; /* NULL: by `scores` */
    uint64_t n_merge;
    const double *scores; /* [n_token] */
    bool characters;      /* words are split into characters, not into bytes */
    /* The token of byte b, or -1. With `characters`, what stands for those without a token of their own. */
    int32_t byte_tokens[256];
    int32_t unknown;   /* with `characters`, for those without bytes; -1: they are left out */
    bool fuse_unknown; /* a row of them is one token */
} gab_bpe_source;

/* Immutable, safe to share between threads. */
typedef struct gab_bpe gab_bpe;

/* Memory for encoding, to be used by one thread at a time. Zero-initialize, set scan_max, free with gab_bpe_work_free.
 */
typedef struct gab_bpe_work {
    uint32_t scan_max; /* GAB_BPE_SCAN_MAX, or less (tests) */
    uint32_t n_max;    /* parts that fit */
    struct gab_bpe_part *parts;
    uint64_t *heap;
    int32_t *ids;
} gab_bpe_work;

/* Fails with FORMAT when a merge names what is no token; of equal tokens or merges the first counts, with a warning for
 * tokens. */
gab_status gab_bpe_create(const gab_bpe_source *source, const gab_log *log, gab_bpe **bpe);
void gab_bpe_destroy(gab_bpe **bpe);

/* Bytes at the front of a word that can be encoded alone: no merge reaches across their end. Words are short then also
 * where nothing cuts the text. */
size_t gab_bpe_part_bytes(const gab_bpe *bpe, const char *word, size_t n);

/* One word to tokens. A byte without a token is encoded as U+FFFD, or left out where that has no tokens either. *ids
 * lies in `work`, valid until its next use. n is at most 2^30. False when memory is out. */
bool gab_bpe_encode(const gab_bpe *bpe, gab_bpe_work *work, const char *word, size_t n, const int32_t **ids,
                    size_t *n_id);
void gab_bpe_work_free(gab_bpe_work *work);

#endif
