#include <math.h>
#include <stdio.h>
#include <string.h>

#include "plan/trial.h"

typedef struct product_case {
    uint32_t n_row, n_block; /* of the weights */
    uint32_t n_plan, n_step; /* columns planned and used */
    bool bias, gelu, residual, outliers;
} product_case;

static const product_case product_cases[] = {
    {67, 3, 1, 1, .bias = true, .gelu = true},
    {130, 17, 1, 1, .residual = true, .outliers = true},
    {9, 65, 2, 2, .bias = true},
    {33, 5, 4, 3, .bias = true, .residual = true},
    {67, 9, 8, 7, .outliers = true},
    {67, 9, 32, 29, .bias = true, .gelu = true},
    {130, 17, 32, 32, .residual = true, .outliers = true},
    {1, 1, 9, 9, .bias = true},
    {131, 9, 128, 101, .bias = true, .gelu = true},
    {67, 17, 128, 128, .residual = true, .outliers = true},
    {5, 1, 64, 33, .bias = true},
};

/* A case that was run. */
typedef struct product_run {
    const product_case *c;
    uint32_t n_col, x_stride, y_stride;
    const float *w, *x, *bias; /* bias: NULL without */
    const float *before, *y;
} product_run;

static void judge_product(gab_trial *t, const product_run *run) {
    const product_case *c = run->c;
    const double l2_max = gab_trial_l2_max(t);
    /* A value whose weight at the outlier is 0 loses most of what 8 bits keep of its neighbours. */
    const double one_max = t->variant->quantized && c->outliers ? 2 : gab_trial_value_max(t, l2_max);
    double *expected = gab_trial_host(t, c->n_row, sizeof *expected), *size = gab_trial_host(t, c->n_row, sizeof *size);
    if (t->full) return;
    for (uint32_t column = 0; column < c->n_plan; column++) {
        const float *got = run->y + (size_t)column * run->y_stride, *x = run->x + (size_t)column * run->x_stride;
        const float *old = run->before + (size_t)column * run->y_stride;
        const uint32_t n_written = column < c->n_step ? c->n_row : 0;
        char what[96];
        snprintf(what, sizeof what, "%ux%u, column %u of %u", c->n_row, run->n_col, column, c->n_plan);
        gab_trial_judge_untouched(t, got + n_written, run->y_stride - n_written, what);
        for (uint32_t r = 0; r < n_written; r++) {
            const double bias = run->bias ? (double)run->bias[r] : 0, before = c->residual ? (double)old[r] : 0;
            size[r] = bias * bias + before * before;
            for (uint32_t k = 0; k < run->n_col; k++) {
                const double term = (double)run->w[(size_t)r * run->n_col + k] * x[k];
                size[r] += term * term;
            }
            size[r] = sqrt(size[r]);
            expected[r] = (double)old[r];
        }
        if (n_written == 0) continue;
        gab_matmul_reference(run->w, c->n_row, run->n_col, x, run->bias,
                             c->gelu ? GAB_ACTIVATION_GELU : GAB_ACTIVATION_NONE, c->residual, expected);
        gab_trial_judge(t, got, expected, size, true, c->n_row, l2_max, one_max, what);
    }
}

static gab_status product(gab_trial *t, const product_case *c) {
    const gab_dtype type = gab_workload_type(t->workload);
    const uint32_t n_col = gab_trial_columns(type, c->n_block);
    const uint32_t x_stride = gab_row_stride(n_col), y_stride = gab_row_stride(c->n_row) + 32;
    const uint32_t n_x = (c->n_plan + 31) / 32 * 32; /* kernels may read rows up to a multiple of 32 */
    uint64_t random = c->n_row * 7919u + c->n_block * 31u + c->n_plan;
    gab_shard shard;
    gab_trial_begin(t);
    const float *w = gab_trial_weight(t, type, c->n_row, n_col, &shard, &random);
    const gab_weight weight = {.type = type, .n_col = n_col, .n_row = c->n_row, .n_shard = 1, .shards = &shard};
    const gab_slice x = gab_trial_shared(t, 4ull * n_x * x_stride),
                    y = gab_trial_shared(t, 4ull * c->n_plan * y_stride);
    const gab_slice bias = gab_trial_shared(t, 4ull * c->n_row), step = gab_trial_shared(t, sizeof(gab_step));
    float *before = gab_trial_host(t, (size_t)c->n_plan * y_stride, sizeof *before);
    if (t->full) return gab_trial_out_of_memory(t);
    for (uint32_t i = 0; i < n_x * x_stride; i++) ((float *)x.mapped)[i] = i / x_stride < c->n_plan ? 0 : NAN;
    for (uint32_t i = 0; i < c->n_plan; i++) {
        float *row = (float *)x.mapped + (size_t)i * x_stride;
        for (uint32_t k = 0; k < n_col; k++) row[k] = gab_selftest_number(&random);
        if (c->outliers) row[i % 9 * 32 + (i * 7 + 11) % 32] = i % 2 ? -1e6f : 1e6f;
    }
    for (uint32_t i = 0; i < c->n_row; i++) ((float *)bias.mapped)[i] = gab_selftest_number(&random);
    for (uint32_t i = 0; i < c->n_plan * y_stride; i++)
        before[i] = c->residual && i / y_stride < c->n_step && i % y_stride < c->n_row ? gab_selftest_number(&random)
                                                                                       : gab_trial_untouched;
    memcpy(y.mapped, before, 4ull * c->n_plan * y_stride);
    ((gab_step *)step.mapped)->n_row = c->n_step;
    const gab_matmul op = {.weight = &weight,
                           .x = x,
                           .y = y,
                           .x_stride = x_stride,
                           .y_stride = y_stride,
                           .bias = c->bias ? &bias : NULL,
                           .activation = c->gelu ? GAB_ACTIVATION_GELU : GAB_ACTIVATION_NONE,
                           .residual = c->residual};
    GAB_TRY(gab_trial_run(t, step, c->n_plan, &op, NULL));
    const product_run run = {c, n_col, x_stride, y_stride, w, x.mapped, c->bias ? bias.mapped : NULL, before, y.mapped};
    judge_product(t, &run);
    return GAB_OK;
}

gab_status gab_trial_products(gab_trial *t) {
    for (size_t i = 0; i < sizeof product_cases / sizeof *product_cases; i++)
        if (gab_matmul_operation(gab_workload_type(t->workload), product_cases[i].n_plan) == t->workload->operation)
            GAB_TRY(product(t, &product_cases[i]));
    return GAB_OK;
}
