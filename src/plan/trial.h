/*
 * trial.h - what the proofs of selftest.c are made of: a variant is run on small cases in memory that host and device
 * share, and what it has computed is compared with references in double precision.
 *
 *   trial_product.c    products as they are of all models
 *   trial_form.c       what kernels of products also do for a model: experts, keys and values put into the cache, gates
 *   trial_attention.c  attention
 */
#ifndef GAB_PLAN_TRIAL_H
#define GAB_PLAN_TRIAL_H

#include "base/arena.h"
#include "plan/selftest.h"

typedef struct gab_trial {
    gab_vk *vk;
    const gab_kernel_set *set;
    const gab_workload *workload;
    const gab_workload_recorders *recorders;
    const gab_variant *variant;
    gab_proof *proof;
    gab_arena arena;   /* of the host's side of a case */
    gab_buffer buffer; /* of the device's */
    uint64_t used;
    bool full; /* one of them is */
} gab_trial;

/* f32 sums in any order, relative to the size of what is summed: of a column. */
extern const double gab_trial_exact_l2;
/* What lies where nothing must be written. */
extern const float gab_trial_untouched;

/* The first reason counts. */
GAB_PRINTF(3, 4) void gab_proof_condemn(gab_proof *proof, gab_tune_verdict verdict, const char *format, ...);

/* A new case: the memory of the last one is free. */
void gab_trial_begin(gab_trial *t);
/* Zeros that the device sees; zeros of the host. When there is no more, t->full, and what comes must not be used. */
gab_slice gab_trial_shared(gab_trial *t, uint64_t n_byte);
void *gab_trial_host(gab_trial *t, size_t n, size_t size);
gab_status gab_trial_out_of_memory(const gab_trial *t);
/* Random weights in planes on the device; their values as the device sees them, or NULL: full. */
float *gab_trial_weight(gab_trial *t, gab_dtype type, uint32_t n_row, uint32_t n_col, gab_shard *shard,
                        uint64_t *random);
/* Columns of weights of a case: n_block times 32, and as few more as the type's blocks ask for, or where it has
 * none, 5. */
uint32_t gab_trial_columns(gab_dtype type, uint32_t n_block);

/* Runs one of the two and waits. */
gab_status gab_trial_run(gab_trial *t, gab_slice step, uint32_t n_plan, const gab_matmul *matmul,
                         const gab_attention *attention);

/* What the variant's sums may be off by. */
double gab_trial_l2_max(const gab_trial *t);
/* What one value may be off by, where all may be by l2_max. */
double gab_trial_value_max(const gab_trial *t, double l2_max);
/* Notes the errors of n values, relative to `size` (one each, or one for all); condemns what is off. */
void gab_trial_judge(gab_trial *t, const float *got, const double *expected, const double *size, bool size_each,
                     size_t n, double l2_max, double one_max, const char *what);
void gab_trial_judge_untouched(gab_trial *t, const float *got, size_t n, const char *what);

/* All cases of the workload; those of forms only as far as it has them. */
gab_status gab_trial_products(gab_trial *t);
gab_status gab_trial_forms(gab_trial *t);
gab_status gab_trial_attention(gab_trial *t);
/* Memory that the largest case takes on the device, with room to spare. */
uint64_t gab_trial_attention_bytes(const gab_workload *w);
uint64_t gab_trial_forms_bytes(const gab_workload *w);

#endif
