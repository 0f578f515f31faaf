#include "kernels/rope.h"

#include <math.h>

static const double pi = 3.14159265358979323846;

/* The pair that turns n times in the original context, as a fraction (Peng et al. 2023, section 3.2). */
static double yarn_pair(const gab_rope_scaling *s, double n) {
    return s->n_turn * log(s->n_ctx_original / (n * 2 * pi)) / log(s->base);
}

/* How much of a pair's frequency is scaled: 0 to 1. */
static double yarn_share(const gab_rope_scaling *s, uint32_t pair) {
    double low = yarn_pair(s, s->beta_fast), high = yarn_pair(s, s->beta_slow);
    if (!s->yarn_exact) {
        low = floor(low);
        high = ceil(high);
    }
    low = fmax(low, 0);
    high = fmin(high, 2.0 * s->n_turn - 1);
    return fmin(fmax((pair - low) / fmax(high - low, 0.001), 0), 1);
}

double gab_rope_frequency(const gab_rope_scaling *s, uint32_t pair) {
    const double own = pow(s->base, -(double)pair / s->n_turn) / (s->divisors ? (double)s->divisors[pair] : 1);
    const double scaled = s->factor > 0 ? own / s->factor : own;
    if (!s->yarn) return scaled;
    const double share = yarn_share(s, pair);
    return scaled * share + own * (1 - share);
}

uint64_t gab_rope_table_floats(uint32_t n_turn, uint32_t n_position) {
    return 2ull * n_turn * (GAB_PAGE + (n_position + GAB_PAGE - 1) / GAB_PAGE);
}

void gab_rope_table_fill(const gab_rope_scaling *s, uint32_t n_position, float *table) {
    const uint32_t n_page = (n_position + GAB_PAGE - 1) / GAB_PAGE;
    const double magnitude = s->magnitude > 0 ? s->magnitude : 1;
    for (uint32_t pair = 0; pair < s->n_turn; pair++) {
        const double frequency = gab_rope_frequency(s, pair);
        for (uint32_t i = 0; i < GAB_PAGE + n_page; i++) {
            const bool in_page = i < GAB_PAGE;
            const double angle = frequency * (in_page ? (double)i : (double)(i - GAB_PAGE) * GAB_PAGE);
            float *to = table + 2 * ((uint64_t)i * s->n_turn + pair);
            to[0] = (float)(cos(angle) * (in_page ? magnitude : 1));
            to[1] = (float)(sin(angle) * (in_page ? magnitude : 1));
        }
    }
}

void gab_rope_record(const gab_kernel_context *context, const gab_rope *op, const gab_kv_write *write) {
    const gab_kv_layer *kv = &write->kv;
    const uint32_t n_head = write->k_offset / kv->head_dim;
    const uint32_t norm = !op->norm ? GAB_NORM_NONE : op->norm_values ? GAB_NORM_QKV : GAB_NORM_QK;
    const bool keys = op->norm && !op->queries_alone;
    const gab_rope_args args = {.n_head = n_head,
                                .n_head_kv = kv->n_head_kv,
                                .head_dim = kv->head_dim,
                                .n_turn = op->n_turn,
                                .x_stride = write->x_stride,
                                .eps = op->eps,
                                .temperature = op->temperature,
                                .temperature_step = op->temperature_step};
    const gab_dispatch dispatch = {
        .pipeline = {.shader = GAB_SHADER_ROPE,
                     .n_binding = 7,
                     .spec = {[GAB_SPEC_LANES] = context->set.lanes,
                              [GAB_SPEC_HEAD_DIM] = gab_head_dim_padded(kv->head_dim),
                              [GAB_SPEC_KV_F16] = kv->f16,
                              [GAB_SPEC_NORM] = norm}},
        .bindings = {context->step, write->x, kv->keys, kv->values, op->table, op->norm ? op->q_norm : op->table,
                     keys ? op->k_norm : op->table},
        .push = &args,
        .push_bytes = sizeof args,
        .groups = {op->queries_alone ? n_head : n_head + 2 * kv->n_head_kv, context->n_row, 1}};
    gab_record_dispatch(context->recorder, &dispatch);
}

void gab_rope_reference(const gab_rope_scaling *s, const float *norm, double eps, uint32_t head_dim, uint32_t position,
                        double *x) {
    double sum = 0;
    for (uint32_t i = 0; i < head_dim; i++) sum += x[i] * x[i];
    for (uint32_t i = 0; norm && i < head_dim; i++) x[i] *= (double)norm[i] / sqrt(sum / head_dim + eps);
    for (uint32_t i = 0; i < s->n_turn; i++) {
        const double angle = gab_rope_frequency(s, i) * position, a = x[2 * i], b = x[2 * i + 1];
        const double magnitude = s->magnitude > 0 ? s->magnitude : 1;
        x[2 * i] = magnitude * (a * cos(angle) - b * sin(angle));
        x[2 * i + 1] = magnitude * (a * sin(angle) + b * cos(angle));
    }
}
