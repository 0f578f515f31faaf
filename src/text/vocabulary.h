/*
 * vocabulary.h - what a file says about a vocabulary, whatever the file: read from GGUF metadata (vocabulary_gguf.c) or
 * from a Hugging Face tokenizer.json and the files beside it (vocabulary_json.c), made into a tokenizer by tokenizer.c.
 */
#ifndef GAB_TEXT_VOCABULARY_H
#define GAB_TEXT_VOCABULARY_H

#include "base/arena.h"
#include "text/bpe.h"
#include "text/normalize.h"
#include "text/pretokenize.h"
#include "text/tokenizer.h"

enum { GAB_VOCABULARY_STEP_MAX = 16, GAB_VOCABULARY_FRAME_MAX = 8 };

typedef enum gab_vocabulary_model {
    GAB_VOCABULARY_BYTES,      /* byte-level BPE: tokens are spelled in the printable alphabet */
    GAB_VOCABULARY_CHARACTERS, /* BPE on characters, as SentencePiece's */
    GAB_VOCABULARY_UNIGRAM,    /* the likeliest way to put the text together (unigram.h) */
} gab_vocabulary_model;

/* A token that is found as it is spelled, before the text is cut into words. */
typedef struct gab_vocabulary_special {
    int32_t id;
    bool always;                  /* also where special tokens are not asked for */
    bool normalized;              /* found in the text as the normalizer leaves it */
    bool single_word;             /* not beside a letter, a digit or "_" */
    bool left_strip, right_strip; /* takes the spaces on that side with it */
} gab_vocabulary_special;

typedef struct gab_vocabulary {
    const char *file;
    const gab_log *log;
    gab_arena arena; /* of what the reader makes */
    gab_vocabulary_model model;
    uint32_t n_row; /* of the model's table: tokens beyond it that a tokenizer.json adds are left out; 0: not known */
    uint32_t n_token;
    const gab_gguf_string *texts; /* [n_token], as the file spells them */
    uint8_t *types;               /* [n_token] gab_token_type */
    bool *ends;                   /* [n_token] ends a text or a turn */
    const gab_bpe_merge *merges;  /* NULL: none */
    uint64_t n_merge;
    const double *scores;                    /* [n_token], NULL: none */
    const char *tokens_field, *merges_field; /* named in errors */
    int32_t bos, eos, unknown;               /* -1: none */
    bool fuse_unknown;
    bool whole_words;    /* a word that is a token stays whole, whatever the merges say */
    bool whole_newlines; /* the same, for words of line ends alone */
    bool escaped_spaces; /* U+2581 in a token is a space in the text */
    bool strip_space;    /* one space where a text begins is not part of it */
    gab_vocabulary_special *specials;
    size_t n_special;
    int32_t prefix[GAB_VOCABULARY_FRAME_MAX], suffix[GAB_VOCABULARY_FRAME_MAX]; /* tokens around a text */
    size_t n_prefix, n_suffix;
    /* The normalizer works on the text between special tokens, the spacer on what is left between normalized ones. */
    gab_normalize_step normalizer[GAB_VOCABULARY_STEP_MAX], spacer[GAB_VOCABULARY_STEP_MAX];
    size_t n_normalizer, n_spacer;
    gab_split_step splits[GAB_VOCABULARY_STEP_MAX];
    size_t n_split;
} gab_vocabulary;

/* Zero-initialize but for file and log. Both leave the vocabulary fit for gab_vocabulary_free, whatever they return. */
gab_status gab_vocabulary_read_gguf(gab_vocabulary *v, const gab_gguf *gguf);
gab_status gab_vocabulary_read_json(gab_vocabulary *v, const char *path);
/* A tokenizer.json in memory, with a zero behind its n bytes; `file` names it. */
gab_status gab_vocabulary_read_json_text(gab_vocabulary *v, const char *text, size_t n);
void gab_vocabulary_free(gab_vocabulary *v);

/* The tokenizer of a vocabulary that was read with `read`; frees the vocabulary, also when this fails. */
gab_status gab_vocabulary_finish(gab_vocabulary *v, gab_status read, gab_tokenizer **tokenizer);

/* Whether a token is named like one that ends a text or a turn. */
bool gab_vocabulary_is_end_name(gab_gguf_string text);
/* After all tokens are known: takes back those whose name means something else in this vocabulary. */
void gab_vocabulary_settle_ends(gab_vocabulary *v);

/* U+2581, which stands for the space in SentencePiece's tokens. */
#define GAB_ESCAPED_SPACE "\xE2\x96\x81"

#endif
