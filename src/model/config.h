/*
 * config.h - what a file says about its model, in the terms of this program. Every value is checked here.
 */
#ifndef GAB_MODEL_CONFIG_H
#define GAB_MODEL_CONFIG_H

#include "format/gguf.h"
#include "kernels/rope.h"
#include "plan/kv_cache.h"

/* Where the rotary positions of some layers come from. */
typedef struct gab_rope_config {
    gab_rope_scaling scaling;    /* without divisors, which are in a tensor: */
    const char *divisors;        /* its name; NULL: none */
    const char *divisors_beyond; /* that for contexts above n_ctx_original; NULL: the same */
} gab_rope_config;

enum { GAB_ROPE_MAX = 2, GAB_LAYER_MAX = 1024 };

typedef struct gab_model_config {
    char architecture[32];
    char name[128];
    uint32_t n_vocab, n_ctx, n_embd, n_layer, n_head;
    uint32_t n_ff, n_head_kv, head_dim; /* of layers that differ, the largest: */
    uint32_t layer_n_ff[GAB_LAYER_MAX]; /* each layer's own */
    gab_kv_shape kv[GAB_LAYER_MAX];
    uint32_t n_up; /* outputs of the product for gates and what they gate; 0: the model has none */
    float norm_eps;

    gab_rope_config rope[GAB_ROPE_MAX]; /* of all layers, or of those without a window and those with one */
    uint32_t n_rope;                    /* 0: positions are learned */
    bool unrotated[GAB_LAYER_MAX];      /* the layers without positions */

    uint32_t window;                        /* keys that a query of a windowed layer sees; 0: no layer has a window */
    bool unwindowed[GAB_LAYER_MAX];         /* the layers without a window */
    float attention_scale;                  /* 0: 1 / sqrt(head_dim) */
    float attention_softcap, logit_softcap; /* 0: none */
    bool attention_sinks;                   /* each head has one */
    float temperature;                      /* of queries at positions from temperature_step on (kernels/rope.h) */
    uint32_t temperature_step;              /* 0: none */
    bool norm_values;                       /* values are normalized head by head, without a weight */
    bool keys_as_values;                    /* layers without a window and a tensor of values take that of the keys */
    uint32_t n_input;                       /* floats that each layer gets of its token; 0: nothing */

    uint32_t n_expert, n_used; /* experts of a layer, and of them a row's; 0: the model has none */
    uint32_t n_ff_expert;      /* width of one */
    bool all_experts;          /* no layer has a feed-forward part without experts */
    bool expert_normalize;     /* weights of a row's experts add up to expert_factor */
    float expert_factor;
} gab_model_config;

/* Window and rope of a layer: keys that its queries see (0: all), index into rope. */
uint32_t gab_config_window(const gab_model_config *config, uint32_t layer);
uint32_t gab_config_rope(const gab_model_config *config, uint32_t layer);

/* Has a layer keys and values of its own? */
bool gab_config_has_kv(const gab_model_config *config, uint32_t layer);

/* ---- reading; keys without "ARCHITECTURE." in front, the architecture as in the config ---- */

/* A required integer between 1 and max. */
gab_status gab_config_u32(const gab_gguf *gguf, const gab_log *log, const gab_model_config *config, const char *key,
                          uint32_t max, uint32_t *value);
/* An optional number; *value stays as it is without the key. FORMAT when it is not between min and max. */
gab_status gab_config_optional_u32(const gab_gguf *gguf, const gab_log *log, const gab_model_config *config,
                                   const char *key, uint32_t max, uint32_t *value);
gab_status gab_config_optional_f32(const gab_gguf *gguf, const gab_log *log, const gab_model_config *config,
                                   const char *key, float min, float max, float *value);

/* The sizes that all architectures have, and their norms' epsilon. */
gab_status gab_config_read_sizes(const gab_gguf *gguf, const gab_log *log, const char *eps_key,
                                 gab_model_config *config);
/* Rotary positions with any scaling, of all layers. */
gab_status gab_config_read_rope(const gab_gguf *gguf, const gab_log *log, gab_model_config *config);
/* Which layers have no rotary positions: where the file does not say it, the last of every `period`. */
gab_status gab_config_read_unrotated(const gab_gguf *gguf, const gab_log *log, uint32_t period,
                                     gab_model_config *config);
/* What queries at late positions are multiplied by, where the file has it. After the rope. */
gab_status gab_config_read_temperature(const gab_gguf *gguf, const gab_log *log, gab_model_config *config);
/* Mixtures of experts, where the file has them. */
gab_status gab_config_read_experts(const gab_gguf *gguf, const gab_log *log, gab_model_config *config);
/* The window, and which layers have it: where the file does not say it, the last of every `period` layers has none. */
gab_status gab_config_read_window(const gab_gguf *gguf, const gab_log *log, uint32_t period, gab_model_config *config);

#endif
