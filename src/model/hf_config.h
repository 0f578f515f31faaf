/*
 * hf_config.h - config.json and generation_config.json of a Hugging Face folder, said in GGUF's keys. The keys are
 * those that a conversion to GGUF would write, so that an architecture reads one kind of metadata; what it cannot say
 * (an activation, a scaling of angles that nothing here computes) is an error.
 */
#ifndef GAB_MODEL_HF_CONFIG_H
#define GAB_MODEL_HF_CONFIG_H

#include "format/json.h"
#include "model/hf_names.h"

typedef struct gab_hf_config {
    char path[4096]; /* of config.json */
    const gab_log *log;
    cJSON *root;
    const cJSON *model;          /* the part of it that describes the language model */
    const char *model_type;      /* in it */
    const gab_hf_family *family; /* NULL: not known */
    uint32_t n_head, n_head_kv;  /* 0: not said */
    bool head_needed;            /* neither it nor its class says that the head is the token embedding */
    bool tied;                   /* the head is the token embedding, whatever the files hold */
} gab_hf_config;

gab_status gab_hf_config_read(const char *folder, const gab_log *log, gab_hf_config *config);
void gab_hf_config_free(gab_hf_config *config);

/* Adds the keys, and the tables of angles that GGUF keeps as tensors. Of a family that is not known as much as is named
 * as usual. */
gab_status gab_hf_config_put(const gab_hf_config *config, gab_gguf *gguf);

/* Adds from generation_config.json, where there is one: the tokens that end a text ("tokenizer.ggml.eos_token_ids";
 * there may be several), and how to sample (general.sampling.*). */
gab_status gab_hf_generation_put(const char *folder, const gab_hf_config *config, gab_gguf *gguf);

#endif
