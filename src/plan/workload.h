/*
 * workload.h - an operation as a model uses it: what is proved (selftest.h) and timed (timing.h) when kernels are
 * chosen.
 */
#ifndef GAB_PLAN_WORKLOAD_H
#define GAB_PLAN_WORKLOAD_H

#include "kernels/attention.h"
#include "kernels/matmul.h"

typedef struct gab_workload {
    gab_operation operation;
    /* products */
    uint32_t n_row, n_col; /* of the shape of matrix that most of the weights are in */
    uint64_t bytes;        /* of all weights that the operation reads in a step */
    bool experts;          /* some of the weights are stacks of experts */
    bool gated;            /* some make gates and what they gate */
    uint32_t n_turn; /* matrix-vector, with head_dim > 0: some make queries, keys and values of such heads, of which
                        so many pairs are rotated */
    /* attention */
    uint32_t n_head, n_head_kv, head_dim;
    uint32_t other_n_head_kv, other_head_dim; /* of layers of another kind; 0: there are none */
    uint32_t window;                          /* of some layers; 0: of none */
    float softcap;                            /* of scores; 0: none */
    bool sinks;                               /* heads have one */
    uint32_t depth;                           /* positions */
    bool kv_f16;
} gab_workload;

enum { GAB_WORKLOAD_KEYS_MAX = 32 };

bool gab_workload_is_attention(const gab_workload *workload);
gab_dtype gab_workload_type(const gab_workload *workload); /* of the weights */

/* Rows of the step that the operation is timed with. */
uint32_t gab_workload_rows(const gab_workload *workload, const gab_vk *vk);

/* The same attention on the heads of the layers of another kind. */
gab_workload gab_workload_other(const gab_workload *workload);

/* "4096x1024": measurements for one matrix count for all of the same order of size; "12/12 heads of 64, f16". */
void gab_workload_class(const gab_workload *workload, char *text, size_t size);

/* How an operation is recorded: gab_workload_kernels, or, in tests, something wrong. */
typedef struct gab_workload_recorders {
    void (*matmul)(const gab_kernel_context *context, const gab_matmul *op);
    void (*attention)(const gab_kernel_context *context, const gab_attention *op);
} gab_workload_recorders;
extern const gab_workload_recorders gab_workload_kernels;

/* The pipelines that the set's variant needs for all numbers of rows. */
uint32_t gab_workload_keys(gab_vk *vk, const gab_kernel_set *set, const gab_workload *workload,
                           gab_pipeline_key keys[GAB_WORKLOAD_KEYS_MAX]);

#endif
