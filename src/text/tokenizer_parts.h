/*
 * tokenizer_parts.h - what a tokenizer is made of, for the files of this folder alone: tokenizer.c makes it and answers
 * questions, encode.c turns text into tokens.
 */
#ifndef GAB_TEXT_TOKENIZER_PARTS_H
#define GAB_TEXT_TOKENIZER_PARTS_H

#include "text/bpe.h"
#include "text/normalize.h"
#include "text/pretokenize.h"
#include "text/special.h"
#include "text/token_index.h"
#include "text/unigram.h"
#include "text/vocabulary.h"

typedef struct gab_token {
    const char *piece; /* its bytes in a text */
    uint32_t n_byte;
    uint8_t type; /* gab_token_type */
    bool end;
} gab_token;

struct gab_tokenizer {
    uint32_t n_vocab;
    int32_t bos, eos;
    int32_t prefix[GAB_VOCABULARY_FRAME_MAX], suffix[GAB_VOCABULARY_FRAME_MAX];
    size_t n_prefix, n_suffix;
    bool strip_space, whole_words, whole_newlines;
    size_t piece_max;
    gab_token *tokens;
    char *pieces;               /* of all tokens, one behind the other */
    gab_gguf_string *spelled;   /* of whole words, as the pieces are; NULL: none are looked for */
    gab_token_index whole;      /* over them */
    gab_special_set specials;   /* found in the text as it is; texts are owned */
    gab_special_set normalized; /* in the text as the normalizer leaves it; the same */
    gab_pattern *word;          /* of both */
    gab_normalizer *normalizer, *spacer;
    gab_pretokenizer *pretokenizer;
    gab_bpe *bpe;         /* or */
    gab_unigram *unigram; /* this */
};

#endif
