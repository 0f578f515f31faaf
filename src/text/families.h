/*
 * families.h - what the name in tokenizer.ggml.pre of a GGUF file stands for: how a family of byte-pair vocabularies
 * cuts text, and what else the file leaves unsaid.
 *
 * The patterns are those that the vocabularies were trained with: GPT-2's is from Radford et al., "Language Models are
 * Unsupervised Multitask Learners" (2019), the others from the tokenizer.json files of the models.
 */
#ifndef GAB_TEXT_FAMILIES_H
#define GAB_TEXT_FAMILIES_H

#include "text/pretokenize.h"

enum { GAB_FAMILY_STEP_MAX = 6 };

typedef struct gab_family {
    const char *name;
    gab_split_step steps[GAB_FAMILY_STEP_MAX]; /* ends with a NULL pattern */
    bool whole_words;                          /* a word that is a token stays whole, whatever the merges say */
    bool add_bos;                              /* where the file does not say it */
    bool nfc;                                  /* text is brought to Unicode's form NFC first */
} gab_family;

/* Fails with UNSUPPORTED, naming what there is, when no family has that name. `file` is named in errors. */
gab_status gab_family_find(const char *name, const char *file, const gab_log *log, const gab_family **family);

/* GPT-2's pattern, which a tokenizer.json calls ByteLevel. */
extern const char gab_pattern_gpt2[];

#endif
