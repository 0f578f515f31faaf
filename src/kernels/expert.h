/*
 * expert.h - mixtures of experts (Shazeer et al. 2017): which experts a row is multiplied by, in which order the
 * products are made, and the sum of their results. The products themselves are matmul.h's.
 *
 *   route  of each row the n_used experts with the largest logits, and their weights
 *   runs   the pairs of rows and experts sorted by expert, for products of many rows
 *   sum    y += the weighted sum of a row's results
 *
 * All of it stays on the device, in a gab_route. A step of few rows needs no runs: each pair is a product of its own.
 */
#ifndef GAB_KERNELS_EXPERT_H
#define GAB_KERNELS_EXPERT_H

#include "kernels/kernels.h"

/* How a product with a stack of experts goes about it. */
typedef struct gab_experts {
    gab_slice route;   /* a gab_route */
    uint32_t n_expert; /* 1..GAB_EXPERT_MAX, */
    uint32_t n_used;   /* of them a row, 1..GAB_USED_MAX */
    bool shared_x;     /* x has a row for each row of the step, which its pairs share; else one for each pair */
} gab_experts;

typedef struct gab_expert_route {
    gab_experts experts;
    gab_slice logits; /* [n_row][logits_stride] floats */
    uint32_t logits_stride;
    bool normalize; /* the weights of a row add up to factor; else the softmax is over all experts */
    float factor;   /* of the weights */
} gab_expert_route;

typedef struct gab_expert_sum {
    gab_experts experts;
    gab_slice x; /* [n_row * n_used][x_stride] floats */
    gab_slice y; /* [n_row][y_stride] floats */
    uint32_t n_col, x_stride, y_stride;
} gab_expert_sum;

/* Are the products of this plan made run by run? */
bool gab_expert_in_runs(const gab_kernel_context *context);
/* Runs that there are at most. */
uint32_t gab_expert_run_max(const gab_kernel_context *context, const gab_experts *experts);

void gab_expert_route_record(const gab_kernel_context *context, const gab_expert_route *op);
void gab_expert_runs_record(const gab_kernel_context *context, const gab_experts *experts);
void gab_expert_sum_record(const gab_kernel_context *context, const gab_expert_sum *op);

/* One row. */
void gab_expert_route_reference(const float *logits, uint32_t n_expert, uint32_t n_used, bool normalize, double factor,
                                uint32_t *experts, double *weights);

#endif
