/*
 * tokenizer.h - the vocabulary of a model. The public functions are in gabbro.h (gab_tokenizer_open in run/engine.c,
 * which knows what a model path may name); what encoding does, in order: special tokens (special.h), normalization
 * (normalize.h), words (pretokenize.h), tokens (bpe.h, unigram.h).
 */
#ifndef GAB_TEXT_TOKENIZER_H
#define GAB_TEXT_TOKENIZER_H

#include "format/gguf.h"

/* The longest token, bytes; longer ones are an error. */
#define GAB_TOKEN_BYTES_MAX 65536

/* Values of tokenizer.ggml.token_type. */
typedef enum gab_token_type {
    GAB_TOKEN_UNDEFINED,    /* as normal */
    GAB_TOKEN_NORMAL,       /* spelled as the model does it; all others are spelled as they are */
    GAB_TOKEN_UNKNOWN,      /* as control */
    GAB_TOKEN_CONTROL,      /* no part of the text; read from text only where the caller asks for it */
    GAB_TOKEN_USER_DEFINED, /* always read from text, before BPE */
    GAB_TOKEN_UNUSED,
    GAB_TOKEN_BYTE, /* "<0x41>": one byte of a character without a token */
} gab_token_type;

/* From GGUF metadata (tokenizer.ggml.*). Keeps no pointer into the gguf. A vocabulary without tokenizer.ggml.token_type
 * has bos, eos, eot and what is named like an end of turn as control tokens, all others are normal. */
gab_status gab_tokenizer_create(const gab_gguf *gguf, const gab_log *log, gab_tokenizer **tokenizer);

/* From Hugging Face's tokenizer.json, or a folder with one. tokenizer_config.json, special_tokens_map.json and
 * generation_config.json beside it say more about special tokens, where they are there. n_row: of the model's table of
 * tokens, 0: not known; added tokens beyond it, which models of one family share, are left out. */
gab_status gab_tokenizer_create_json(const char *path, uint32_t n_row, const gab_log *log, gab_tokenizer **tokenizer);

/* Whether a path is for gab_tokenizer_create_json: a folder, or a name that ends in ".json". */
bool gab_tokenizer_is_json(const char *path);

/* U+FDD0, which is no character. */
#define GAB_TEXT_GUARD "\xEF\xB7\x90"

/* As gab_tokenizer_encode with special tokens, but for those with a guard in front: they are plain text. Guards are no
 * part of the text. add_bos puts nothing behind it. */
gab_status gab_tokenizer_encode_guarded(const gab_tokenizer *tokenizer, const char *text, size_t n_byte, bool add_bos,
                                        int32_t **tokens, size_t *n_token);

/* Bytes of the longest token. */
size_t gab_tokenizer_piece_max(const gab_tokenizer *tokenizer);

/* Whether the first token of a text has a space in front that is not part of the text. */
bool gab_tokenizer_strips_space(const gab_tokenizer *tokenizer);

#endif
