/*
 * pretokenize.h - cuts text into the pieces ("words") that BPE never merges across.
 *
 * A family of vocabularies is a list of patterns, applied one after another: each cuts what the one before left, and
 * both its matches and what lies between them become pieces. The name is the value of tokenizer.ggml.pre in a GGUF
 * file. The patterns are those that the vocabularies were trained with: GPT-2's is from Radford et al., "Language
 * Models are Unsupervised Multitask Learners" (2019), the others from the tokenizer.json files of the models.
 *
 * Bytes that are not UTF-8 are pieces of their own (a run of them is one piece): the patterns see well-formed text
 * only.
 */
#ifndef GAB_TEXT_PRETOKENIZE_H
#define GAB_TEXT_PRETOKENIZE_H

#include "base/error.h"

/* Immutable, safe to share between threads. */
typedef struct gab_pretokenizer gab_pretokenizer;

/* Called for each piece, in order; never with n = 0. Returns false to stop. */
typedef bool (*gab_pretokenize_fn)(void *user, const char *piece, size_t n);

/* `file` is named in errors. Fails with UNSUPPORTED, naming what there is, when no family has that name. `jit` false
 * forces PCRE2's interpreter, which is also the fallback where no code may be generated. */
gab_status gab_pretokenizer_create(const char *name, bool jit, const char *file, const gab_log *log,
                                   gab_pretokenizer **pretokenizer);
void gab_pretokenizer_destroy(gab_pretokenizer **pretokenizer);

/* The pieces joined are the text. Fails with CANCELLED when fn returned false, else only when memory is out. */
gab_status gab_pretokenize(const gab_pretokenizer *pretokenizer, const char *text, size_t n, gab_pretokenize_fn fn,
                           void *user);

#endif
