/*
 * model.h - a model: what its file says about it, its weights on the device, its forward pass.
 *
 * One file an architecture (gpt2.c), listed in model.c by the name in general.architecture. To add one: a config
 * function, a bind function, a forward pass, and a row in the table.
 */
#ifndef GAB_MODEL_MODEL_H
#define GAB_MODEL_MODEL_H

#include "model/weights.h"
#include "plan/plan.h"
#include "plan/workload.h"

typedef struct gab_model_config {
    char architecture[32];
    char name[128];
    uint32_t n_vocab, n_ctx, n_embd, n_ff, n_layer, n_head, n_head_kv, head_dim;
    float norm_eps;
} gab_model_config;

typedef struct gab_architecture gab_architecture;

typedef struct gab_model {
    const gab_architecture *architecture;
    gab_model_config config;
    gab_binder binder;
    gab_weights weights;
    void *parts; /* the architecture's own struct of weights */
} gab_model;

/* An architecture: a row of the table. */
struct gab_architecture {
    const char *name; /* general.architecture */
    size_t parts_bytes;
    /* Reads the metadata into model->config; every value is checked here. */
    gab_status (*read_config)(const gab_gguf *gguf, const gab_log *log, gab_model_config *config);
    /* Names every weight; `layers` is room for the struct of each layer. */
    void (*bind)(gab_model *model, gab_binder *binder);
    /* The most columns that a product with a weight has in a step; 0: it is a table of rows, never multiplied. */
    uint32_t (*columns_max)(const gab_model *model, const gab_weight *weight);
    gab_forward_pass pass; /* model: filled in */
};

/* What a path of the public interface names: a GGUF file, or a synthetic model (synth.h). */
gab_status gab_model_gguf_open(const char *model_path, const gab_log *log, gab_gguf **gguf);

/* UNSUPPORTED, naming those that are, when the file is of another architecture. */
gab_status gab_model_check_architecture(const gab_gguf *gguf, const gab_log *log);

/* Reads config and binds: after this all is known about the model but its weights, and nothing is on a device. */
gab_status gab_model_open(const gab_gguf *gguf, const gab_log *log, gab_model **model);
gab_status gab_model_load(gab_model *model, gab_vk *vk, const gab_load_options *options);
void gab_model_destroy(gab_model **model);

uint64_t gab_model_weight_bytes(const gab_model *model);
/* Bits a weight of the matrices, as a mean. */
double gab_model_weight_bits(const gab_model *model);
gab_plan_sizes gab_model_sizes(const gab_model *model, uint32_t context);
gab_forward_pass gab_model_pass(const gab_model *model);

/* The operations with variants that the model needs, on its own shapes, the most important first; how many. */
uint32_t gab_model_workloads(const gab_model *model, uint32_t context, bool kv_f16,
                             gab_workload workloads[GAB_OP_COUNT]);

/* A required integer between 1 and max. */
gab_status gab_config_u32(const gab_gguf *gguf, const gab_log *log, uint32_t max, uint32_t *value, const char *key);

extern const gab_architecture gab_gpt2;

#endif
