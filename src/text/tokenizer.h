/*
 * tokenizer.h - the vocabulary of a model file, from its GGUF metadata (tokenizer.ggml.*). The public functions are in
 * gabbro.h (gab_tokenizer_open in run/engine.c, which knows what a model path may name); what encoding does, in order:
 * special tokens (special.h), words (pretokenize.h), merges (bpe.h).
 */
#ifndef GAB_TEXT_TOKENIZER_H
#define GAB_TEXT_TOKENIZER_H

#include "format/gguf.h"

/* The longest token, bytes; longer ones are an error. */
#define GAB_TOKEN_BYTES_MAX 65536

/* Values of tokenizer.ggml.token_type. */
typedef enum gab_token_type {
    GAB_TOKEN_UNDEFINED,    /* as normal */
    GAB_TOKEN_NORMAL,       /* spelled in BPE's printable alphabet; all others are spelled as they are */
    GAB_TOKEN_UNKNOWN,      /* as control */
    GAB_TOKEN_CONTROL,      /* no part of the text; read from text only where the caller asks for it */
    GAB_TOKEN_USER_DEFINED, /* always read from text, before BPE */
    GAB_TOKEN_UNUSED,
    GAB_TOKEN_BYTE,
} gab_token_type;

/* Keeps no pointer into the gguf. A vocabulary without tokenizer.ggml.token_type has bos, eos, eot and what is named
 * like an end of turn as control tokens, all others are normal. */
gab_status gab_tokenizer_create(const gab_gguf *gguf, const gab_log *log, gab_tokenizer **tokenizer);

/* Bytes of the longest token. */
size_t gab_tokenizer_piece_max(const gab_tokenizer *tokenizer);

#endif
