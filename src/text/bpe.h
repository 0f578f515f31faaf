/*
 * bpe.h - byte-level byte-pair encoding: a word is split into bytes, then the pair of neighbours with the lowest rank
 * is merged (of equal ones the leftmost) until no pair is in the list of merges.
 *
 * Sennrich, Haddow, Birch, "Neural Machine Translation of Rare Words with Subword Units" (2016); on bytes instead of
 * characters: Radford et al., "Language Models are Unsupervised Multitask Learners" (2019). There each byte is written
 * as a printable character: itself where it is printable in Latin-1, else the next free one from U+0100 on (a space is
 * U+0120).
 */
#ifndef GAB_TEXT_BPE_H
#define GAB_TEXT_BPE_H

#include "format/gguf.h"

/* Words with more parts than this are merged with a heap instead of repeated scans. */
#define GAB_BPE_SCAN_MAX 96

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

/* Undoes the printable spelling of a token of n bytes: writes at most n bytes and returns how many. Characters outside
 * the alphabet stay as they are. */
size_t gab_bpe_spell_bytes(const char *text, size_t n, char *bytes);

/* byte_tokens[b] is the token of byte b, or -1. Keeps no pointer to its arguments. Fails with FORMAT when a merge names
 * what is no token; of equal tokens or merges the first counts, with a warning for tokens. `file` is named in errors.
 */
gab_status gab_bpe_create(const int32_t byte_tokens[256], const gab_gguf_string *tokens, uint64_t n_token,
                          const gab_gguf_string *merges, uint64_t n_merge, const char *file, const gab_log *log,
                          gab_bpe **bpe);
void gab_bpe_destroy(gab_bpe **bpe);

/* One word to tokens. A byte without a token is encoded as U+FFFD, or left out where that has no tokens either. *ids
 * lies in `work`, valid until its next use. n is at most 2^30. False when memory is out. */
bool gab_bpe_encode(const gab_bpe *bpe, gab_bpe_work *work, const char *word, size_t n, const int32_t **ids,
                    size_t *n_id);
void gab_bpe_work_free(gab_bpe_work *work);

#endif
