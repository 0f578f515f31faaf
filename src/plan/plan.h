/*
 * plan.h - a recorded forward pass: from the mailbox to the sampled tokens, as a list of command buffers that is
 * replayed for every step.
 *
 * A plan is keyed by its shape: rows, output rows, depth (positions a sequence may have), and what the outputs are. It
 * exists twice, as parity 0 and 1, each with its own mailbox, step buffer and readback, so that one can be filled while
 * the other runs. Plans are recorded when a shape is first needed; after that nothing is recorded, written or allocated
 * for it.
 *
 *   the first part       mailbox -> step buffer; the model's embedding
 *   parts 1..n           one layer each
 *   the last             the model's head on the output rows; sampling, or logits to the host
 *
 * Parts share a command buffer while that is short beside the longest submit; a submit groups command buffers.
 *
 * A plan of no rows is the head alone, on rows that the step before has left.
 */
#ifndef GAB_PLAN_PLAN_H
#define GAB_PLAN_PLAN_H

#include "kernels/attention.h"
#include "kernels/sample.h"
#include "plan/kv_cache.h"

typedef struct gab_plan_shape {
    uint32_t n_row; /* 0, 1, 2, 4, 8, 32, 128, 512 */
    uint32_t n_out; /* 0, 1, 2, 4, 8, 32 */
    uint32_t depth; /* 256, 1024, 4096, 16384, ... */
    bool logits;    /* outputs are logits for the host, else sampled tokens */
} gab_plan_shape;

/* Sizes of the activations, from the model. */
typedef struct gab_plan_sizes {
    uint32_t n_embd, n_qkv, n_ff, n_vocab;         /* floats a row; n_qkv: queries, keys and values together */
    uint32_t n_up;                                 /* gates and what they gate together; 0: there are none */
    uint32_t n_expert, n_used;                     /* experts of a layer, and of them a row's; 0: there are none */
    uint32_t n_ff_expert;                          /* floats a row of one */
    uint32_t n_layer, n_head, n_head_kv, head_dim; /* of layers that differ, the largest */
    uint32_t head_dim_least;
    uint32_t n_input; /* floats a row of what a layer gets of its token; 0: nothing */
    uint32_t context; /* positions a session can hold */
} gab_plan_sizes;

/* Activations, shared by all plans: rows of gab_row_stride(n) floats. */
typedef struct gab_scratch {
    gab_slice x;           /* [GAB_ROW_MAX][n_embd] the residual stream */
    gab_slice normed;      /* [GAB_ROW_MAX][n_embd] */
    gab_slice qkv;         /* [GAB_ROW_MAX][n_qkv] */
    gab_slice attended;    /* [GAB_ROW_MAX][n_head * head_dim] */
    gab_slice up;          /* [GAB_ROW_MAX][n_up] */
    gab_slice hidden;      /* [GAB_ROW_MAX][n_ff], or [n_input] */
    gab_slice router;      /* [GAB_ROW_MAX][n_expert] */
    gab_slice route;       /* a gab_route */
    gab_slice pair_up;     /* [GAB_ROW_MAX * n_used][2 n_ff_expert] */
    gab_slice pair_hidden; /* [GAB_ROW_MAX * n_used][n_ff_expert] */
    gab_slice pair_out;    /* [GAB_ROW_MAX * n_used][n_embd] */
    gab_slice inputs;      /* [GAB_ROW_MAX][n_input, of a gate; n_input, of layer 0; of layer 1; ...] */
    gab_slice projected;   /* [GAB_ROW_MAX][n_layer * n_input] */
    gab_slice pieces;      /* split attention */
    gab_slice out_normed;  /* [GAB_OUT_MAX][n_embd] of the output rows */
    gab_slice logits;      /* [GAB_OUT_MAX][n_vocab] */
    gab_slice sample;      /* scratch of the sampler */
} gab_scratch;

/* What a model's functions get. */
typedef struct gab_forward {
    gab_kernel_context kernels;
    const gab_scratch *scratch;
    const gab_kv_cache *kv;
    gab_slice sampled;
    uint32_t n_piece; /* of the plan's depth */
    uint32_t n_work;  /* attention tiles the plan holds */
} gab_forward;

/* A forward pass, in three parts; `model` is theirs. Each leaves its results behind no barrier: the plan puts one
 * between. */
typedef struct gab_forward_pass {
    const void *model;
    void (*embed)(const void *model, const gab_forward *forward);                 /* tokens -> x */
    void (*layer)(const void *model, const gab_forward *forward, uint32_t layer); /* x -> x */
    void (*head)(const void *model, const gab_forward *forward);                  /* x of the output rows -> logits */
} gab_forward_pass;

typedef struct gab_plan {
    gab_plan_shape shape;
    gab_command_list lists[2]; /* by parity */
    struct gab_plan *next;
} gab_plan;

/* All plans of a model on a device, with what they share. Used by one thread. */
typedef struct gab_plans {
    gab_vk *vk;
    gab_kernel_set set;
    gab_plan_sizes sizes;
    gab_forward_pass pass;
    gab_kv_cache *kv;
    uint32_t table_stride; /* pages a slot in the page tables */
    gab_buffer steps[2], mailboxes[2], readbacks[2];
    gab_buffer sampled, scratch_buffers[17], logits_readback;
    gab_scratch scratch;
    gab_plan *first;
    double submit_budget_ms; /* a submit is not planned to run longer */
    double piece_ms;         /* nor a dispatch */
    bool measured;           /* cost_per_ms is no guess any more */
    bool stale;              /* recorded plans were cut by a wrong one */
    double cost_per_ms;      /* operations a millisecond: a careful guess, then measured */
} gab_plans;

/* Bytes of device memory that gab_plans_create will take. */
uint64_t gab_plans_bytes(const gab_plan_sizes *sizes);

gab_status gab_plans_create(gab_vk *vk, const gab_kernel_set *set, const gab_plan_sizes *sizes,
                            const gab_forward_pass *pass, gab_kv_cache *kv, double submit_budget_ms, gab_plans *plans);
void gab_plans_destroy(gab_plans *plans);

/* Rows of a tile of the attention's work list: as many as fit the heads of all layers. */
uint32_t gab_plan_tile_rows(const gab_plans *plans);

/* The smallest shape that holds a step. depth: largest position of its rows, plus 1. */
gab_plan_shape gab_plan_shape_for(const gab_plans *plans, uint32_t n_row, uint32_t n_out, uint32_t depth, bool logits);

/* The plan of a shape if it is recorded; NULL: not, or it is to be recorded anew. */
bool gab_plan_shape_same(const gab_plan_shape *a, const gab_plan_shape *b);
gab_plan *gab_plan_find(const gab_plans *plans, const gab_plan_shape *shape);

/* The plan of a shape, recorded now if need be, while none is queued or running: stale ones are forgotten. */
gab_status gab_plan_get(gab_plans *plans, const gab_plan_shape *shape, gab_plan **plan);

/* Records a plan and runs it once on an empty step: some drivers finish compiling only then. */
gab_status gab_plan_prepare(gab_plans *plans, const gab_plan_shape *shape);

/* What a plan of a shape records, one dispatch after the other, without recording it; layer: 0 the embedding, from 1 on
 * the layers, then the head. The dispatch and what it points to live as long as the call. */
typedef void (*gab_plan_visit_fn)(void *user, const gab_dispatch *dispatch, uint32_t layer);
gab_status gab_plan_visit(gab_plans *plans, const gab_plan_shape *shape, gab_plan_visit_fn fn, void *user);

/* Forgets all recorded plans: after the KV cache's buffers have changed. */
void gab_plans_forget(gab_plans *plans);

/* Where the host writes a step: a gab_step in mapped memory, and the page tables behind it. */
gab_step *gab_plan_mailbox(gab_plans *plans, uint32_t parity, uint32_t **page_tables);

/* Asked between the submits of a plan, while two of them are queued. */
typedef struct gab_plan_stop {
    bool (*wanted)(void *user);
    void *user;
} gab_plan_stop;

/* Submits all of a plan in as few submits as the time budget allows; value: the timeline's at the end. With stop (else
 * NULL) it waits, so that no more than two are queued, and returns CANCELLED, without a word, when stopping is wanted:
 * nothing of the plan is on the device then, and what it has written is worth nothing. */
gab_status gab_plan_submit(gab_plans *plans, gab_plan *plan, uint32_t parity, const gab_plan_stop *stop,
                           uint64_t *value);

/* Waits, and measures now and then. */
gab_status gab_plan_wait(gab_plans *plans, gab_plan *plan, uint32_t parity, uint64_t value);

/* After waiting: the tokens by output row, or the logits [n_out][logits_stride]. */
const uint32_t *gab_plan_tokens(const gab_plans *plans, uint32_t parity);
const float *gab_plan_logits(const gab_plans *plans, uint32_t *logits_stride);

#endif
