/*
 * hf_names.h - what the tensors of Hugging Face's models are called, and where each goes: a table of rules a family. A
 * name there becomes GGUF's name here; where the two keep rows in another order, the rule says which.
 *
 * A family is a row of hf_names.c: the model_type of its config.json, GGUF's name of the architecture, its rules, and
 * the activations that the forward pass computes.
 */
#ifndef GAB_MODEL_HF_NAMES_H
#define GAB_MODEL_HF_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "format/gguf_make.h"

/* How a tensor lies in the safetensors file, seen from GGUF. */
typedef enum gab_hf_rows {
    GAB_HF_SAME,
    GAB_HF_TRANSPOSED, /* [in][out]: GPT-2's Conv1D */
    GAB_HF_ROPE_Q,     /* a head's rows are two halves that are rotated together; GGUF keeps pairs side by side */
    GAB_HF_ROPE_K,     /* the same with the heads of keys */
    GAB_HF_EXPERTS_TRANSPOSED, /* [expert][in][out] (gpt-oss) */
    GAB_HF_MX_NUMBERS,         /* [expert][out][in / 32][16] bytes of two numbers (gpt-oss in MXFP4), */
    GAB_HF_MX_SCALES,          /* and [expert][out][in / 32]: together one tensor */
    GAB_HF_HEADS_QKV,          /* q, k and v of a head, then the next head; GGUF: all of q, of k, of v (GPT-NeoX) */
} gab_hf_rows;

typedef struct gab_hf_rule {
    const char *from; /* behind the prefix, without .weight or .bias; '#': the layer, '*': the expert */
    const char *to;   /* GGUF's name, without .weight or .bias */
    gab_hf_rows rows;
    bool add_one;       /* the file keeps w - 1 (Gemma's norms) */
    const char *ending; /* of the name in GGUF, where `from` is all of the file's: it has no .weight or .bias */
} gab_hf_rule;

typedef struct gab_hf_family {
    const char *model_type;           /* in config.json */
    const char *architecture;         /* in GGUF */
    const char *activations;          /* hidden_act or activation_function, "a|b" */
    const gab_hf_rule *const *tables; /* ended by NULL */
} gab_hf_family;

/* NULL: not known. */
const gab_hf_family *gab_hf_family_find(const char *model_type);

/* The i-th family, NULL behind the last. */
const gab_hf_family *gab_hf_family_at(uint32_t i);

/* Does GGUF keep the two dimensions that are rotated together side by side, where the folder has halves? */
bool gab_hf_family_in_pairs(const gab_hf_family *family);

typedef struct gab_hf_target {
    const gab_hf_rule *rule;
    uint32_t expert; /* 0 where there is none */
    bool has_expert;
    char name[256]; /* in GGUF */
} gab_hf_target;

/* Where a tensor goes; false: no rule has it. */
bool gab_hf_name_map(const gab_hf_family *family, const char *name, gab_hf_target *target);

/* A tensor that a model has but needs not: masks, tables of angles, the parts of other senses. */
bool gab_hf_name_ignored(const char *name);

/* The order in which n_row rows (or elements) of the file become GGUF's; false: n_row does not fit the heads. */
bool gab_hf_order(gab_hf_rows rows, uint64_t n_row, uint32_t n_head, uint32_t n_head_kv, gab_gguf_order *order);

#endif
