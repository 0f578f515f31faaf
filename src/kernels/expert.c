#include "kernels/expert.h"

#include <math.h>

#include "kernels/matmul.h"

bool gab_expert_in_runs(const gab_kernel_context *context) {
    return context->n_row > GAB_MATVEC_COLUMNS_MAX;
}

uint32_t gab_expert_run_max(const gab_kernel_context *context, const gab_experts *e) {
    const uint32_t n_pair = context->n_row * e->n_used;
    return n_pair / GAB_RUN + (n_pair < e->n_expert ? n_pair : e->n_expert);
}

static gab_dispatch dispatch_of(const gab_kernel_context *context, gab_shader_id shader, uint32_t lanes,
                                const gab_expert_args *args) {
    return (gab_dispatch){.pipeline = {.shader = shader, .spec = {[GAB_SPEC_LANES] = lanes}},
                          .bindings = {context->step},
                          .push = args,
                          .push_bytes = sizeof *args};
}

void gab_expert_route_record(const gab_kernel_context *context, const gab_expert_route *op) {
    const gab_expert_args args = {.n_expert = op->experts.n_expert,
                                  .n_used = op->experts.n_used,
                                  .normalize = op->normalize,
                                  .factor = op->factor,
                                  .x_stride = op->logits_stride};
    gab_dispatch dispatch = dispatch_of(context, GAB_SHADER_EXPERT_ROUTE, context->set.lanes, &args);
    dispatch.pipeline.n_binding = 3;
    dispatch.bindings[1] = op->logits;
    dispatch.bindings[2] = op->experts.route;
    gab_grid_fold(context->n_row, dispatch.groups);
    gab_record_dispatch(context->recorder, &dispatch);
}

void gab_expert_runs_record(const gab_kernel_context *context, const gab_experts *experts) {
    const gab_expert_args args = {.n_expert = experts->n_expert, .n_used = experts->n_used};
    const uint32_t lanes = context->set.lane ? context->set.lanes : 256;
    gab_dispatch dispatch = dispatch_of(context, GAB_SHADER_EXPERT_RUNS, lanes, &args);
    dispatch.pipeline.n_binding = 2;
    dispatch.bindings[1] = experts->route;
    for (int i = 0; i < 3; i++) dispatch.groups[i] = 1;
    gab_record_dispatch(context->recorder, &dispatch);
}

void gab_expert_sum_record(const gab_kernel_context *context, const gab_expert_sum *op) {
    const uint32_t lanes = context->set.lanes;
    const gab_expert_args args = {
        .n_used = op->experts.n_used, .n_col = op->n_col, .x_stride = op->x_stride, .y_stride = op->y_stride};
    gab_dispatch dispatch = dispatch_of(context, GAB_SHADER_EXPERT_SUM, lanes, &args);
    dispatch.pipeline.n_binding = 4;
    dispatch.bindings[1] = op->x;
    dispatch.bindings[2] = op->experts.route;
    dispatch.bindings[3] = op->y;
    dispatch.groups[0] = (op->n_col + lanes - 1) / lanes;
    dispatch.groups[1] = context->n_row;
    dispatch.groups[2] = 1;
    gab_record_dispatch(context->recorder, &dispatch);
}

void gab_expert_route_reference(const float *logits, uint32_t n_expert, uint32_t n_used, bool normalize, double factor,
                                uint32_t *experts, double *weights) {
    double sum = 0;
    for (uint32_t j = 0; j < n_used; j++) {
        uint32_t best = n_expert;
        for (uint32_t e = 0; e < n_expert; e++) {
            bool taken = false;
            for (uint32_t i = 0; i < j; i++) taken = taken || experts[i] == e;
            if (!taken && (best == n_expert || logits[e] > logits[best])) best = e;
        }
        experts[j] = best;
        weights[j] = factor * exp((double)logits[best] - (double)logits[experts[0]]);
    }
    for (uint32_t i = 0; i < (normalize ? n_used : n_expert); i++)
        sum += exp((double)logits[normalize ? experts[i] : i] - (double)logits[experts[0]]);
    for (uint32_t j = 0; j < n_used; j++) weights[j] /= sum;
}
