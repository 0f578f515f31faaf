/*
 * hf_values.h - values out of config.json, checked, and into GGUF's keys: what hf_config.c, hf_gemma4.c and hf_rope.c
 * share.
 */
#ifndef GAB_MODEL_HF_VALUES_H
#define GAB_MODEL_HF_VALUES_H

#include "model/hf_config.h"

/* The first of "a|b|c" that an object has and that is not null. */
const cJSON *gab_hf_find(const cJSON *object, const char *names);

/* FORMAT, naming the file, the field, its value and what is needed. */
gab_status gab_hf_value_fail(const gab_hf_config *config, const cJSON *item, const char *needed);

/* Absent: *value stays as it is. */
gab_status gab_hf_u32(const gab_hf_config *config, const cJSON *object, const char *names, uint32_t *value);
gab_status gab_hf_number(const gab_hf_config *config, const cJSON *object, const char *names, double *value);

/* "architecture.key" */
void gab_hf_put_u32(gab_gguf *gguf, const char *architecture, const char *key, uint32_t value);
void gab_hf_put_f32(gab_gguf *gguf, const char *architecture, const char *key, double value);
void gab_hf_put_text(gab_gguf *gguf, const char *architecture, const char *key, const char *value);
void gab_hf_put_bool(gab_gguf *gguf, const char *architecture, const char *key, bool value);

/* What is another for each kind of layer of Gemma 4: heads, feed-forward parts. */
gab_status gab_hf_put_gemma4(const gab_hf_config *config, gab_gguf *gguf);

/* Rotary angles: the keys, and the tables that GGUF keeps as tensors. */
gab_status gab_hf_put_rope(const gab_hf_config *config, const char *architecture, gab_gguf *gguf);

#endif
