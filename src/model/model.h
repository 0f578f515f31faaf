/*
 * model.h - a model: what its file says about it, its weights on the device, its forward pass.
 *
 * One file an architecture and its relatives (gpt2.c, llama.c), listed in model.c by the name in general.architecture.
 * To add one: a config function, a bind function, a forward pass, and a row in the table.
 */
#ifndef GAB_MODEL_MODEL_H
#define GAB_MODEL_MODEL_H

#include "model/config.h"
#include "model/weights.h"
#include "plan/plan.h"
#include "plan/workload.h"

typedef struct gab_architecture gab_architecture;

/* Token embedding and head, which may be the same. */
typedef struct gab_token_weights {
    gab_weight embedding;   /* [n_vocab][n_embd] */
    gab_weight head;        /* [n_vocab][n_embd], when not tied */
    const gab_weight *used; /* head or embedding */
} gab_token_weights;

typedef struct gab_model {
    const gab_architecture *architecture;
    gab_model_config config;
    gab_binder binder;
    gab_weights weights;
    gab_buffer rope_tables[GAB_ROPE_MAX]; /* of config.rope */
    gab_token_weights vocabulary;
    gab_weight positions; /* [n_ctx][n_embd], where they are learned */
    gab_weight inputs;    /* [n_vocab][n_layer * n_input], where each layer gets something of its token */
    void *parts;          /* the architecture's own struct of all other weights */
} gab_model;

/* An architecture: a row of the table. */
struct gab_architecture {
    const char *name; /* general.architecture */
    bool halves;      /* dimension i of a head is rotated with number i + n/2, else with its neighbour */
    size_t parts_bytes;
    /* Reads the metadata into model->config; every value is checked here. */
    gab_status (*read_config)(const gab_gguf *gguf, const gab_log *log, gab_model_config *config);
    /* Names every weight; `layers` is room for the struct of each layer. */
    void (*bind)(gab_model *model, gab_binder *binder);
    gab_forward_pass pass; /* model: filled in */
};

/* What a path of the public interface names: a GGUF file, the folder of a Hugging Face model (folder.h), or a synthetic
 * model (synth.h). */
gab_status gab_model_gguf_open(const char *model_path, const gab_log *log, gab_gguf **gguf);

/* Brings the matrices to a type by its name ("q8_0", in any case): from now on their rows are given in it, quantized
 * where they are read. ARGUMENT, listing the types, when it is none. */
gab_status gab_model_quantize(gab_gguf *gguf, const char *type, const gab_log *log);

/* UNSUPPORTED, naming those that are, when the file is of another architecture. */
gab_status gab_model_check_architecture(const gab_gguf *gguf, const gab_log *log);

/* general.name, fit to be shown: whole UTF-8 characters that are no control characters, '?' for the rest; "": none. */
void gab_model_read_name(const gab_gguf *gguf, char *out, size_t size);

/* Reads config and binds: after this all is known about the model but its weights, and nothing is on a device. */
gab_status gab_model_open(const gab_gguf *gguf, const gab_log *log, gab_model **model);
/* context: positions that a session can have. */
gab_status gab_model_load(gab_model *model, gab_vk *vk, uint32_t context, const gab_load_options *options);
void gab_model_destroy(gab_model **model);

uint64_t gab_model_weight_bytes(const gab_model *model);
/* Bits a weight of the matrices, as a mean. */
double gab_model_weight_bits(const gab_model *model);
gab_plan_sizes gab_model_sizes(const gab_model *model, uint32_t context);
gab_forward_pass gab_model_pass(const gab_model *model);

/* The operations with variants that the model needs, on its own shapes, the most important first; how many. */
uint32_t gab_model_workloads(const gab_model *model, uint32_t context, bool kv_f16,
                             gab_workload workloads[GAB_OP_COUNT]);

extern const gab_architecture gab_gpt2, gab_llama, gab_mistral3, gab_qwen2, gab_qwen3, gab_qwen3moe, gab_phi3,
    gab_smollm3, gab_gemma2, gab_gemma3, gab_gemma4, gab_gptneox, gab_olmo2, gab_gptoss;

#endif
