#include <math.h>
#include <stdio.h>
#include <string.h>

#include "plan/trial.h"
#include "tensor/quant.h"

/* Experts of a stack, of which a row uses two; queries and the keys and values that they share. */
enum { N_EXPERT = 4, N_USED = 2, N_QUERY = 1, N_KEY = 2, N_PAGE = 3, ROW_SLOT = 1, POSITION = GAB_PAGE + 6 };

/* f16 keeps 11 bits of a key or value, rounded as the driver likes (AMD's truncates): the l2 error of many, and that of
 * the largest. */
static const double f16_l2 = 1e-3, f16_value = 8e-3;

typedef struct form {
    gab_weight weight;
    gab_shard shard;
    const float *w, *x, *bias; /* dequantized; x as on the device */
    gab_slice x_slice, y, bias_slice, step_slice;
    gab_step *step;
    uint32_t x_stride, y_stride;
} form;

/* Weights of n_row rows in n_stack matrices of which each has a bias, n_plan columns of which n_step are used, and n_y
 * rows of outputs that nobody has written to. */
static bool make_form(gab_trial *t, uint32_t n_row, uint32_t n_stack, uint32_t n_plan, uint32_t n_step, uint32_t n_y,
                      form *f) {
    const gab_dtype type = gab_workload_type(t->workload);
    const uint32_t n_col = gab_trial_columns(type, 3), n_x = (n_plan + 31) / 32 * 32;
    uint64_t random = n_row * 7919u + n_plan;
    gab_trial_begin(t);
    *f = (form){.x_stride = gab_row_stride(n_col), .y_stride = gab_row_stride(n_row) + 32};
    f->w = gab_trial_weight(t, type, n_stack * n_row, n_col, &f->shard, &random);
    f->weight = (gab_weight){.type = type,
                             .n_col = n_col,
                             .n_row = n_stack * n_row,
                             .n_expert = n_stack > 1 ? n_stack : 0,
                             .n_shard = 1,
                             .shards = &f->shard};
    f->x_slice = gab_trial_shared(t, 4ull * n_x * f->x_stride);
    f->y = gab_trial_shared(t, 4ull * n_y * f->y_stride);
    f->bias_slice = gab_trial_shared(t, 4ull * n_stack * n_row);
    f->step_slice = gab_trial_shared(t, sizeof(gab_step) + 4ull * (ROW_SLOT + 1) * N_PAGE);
    if (t->full) return false;
    float *x = f->x_slice.mapped, *y = f->y.mapped, *bias = f->bias_slice.mapped;
    for (uint32_t i = 0; i < n_plan; i++)
        for (uint32_t k = 0; k < n_col; k++) x[(size_t)i * f->x_stride + k] = gab_selftest_number(&random);
    for (uint32_t i = 0; i < n_stack * n_row; i++) bias[i] = gab_selftest_number(&random);
    for (uint32_t i = 0; i < n_y * f->y_stride; i++) y[i] = gab_trial_untouched;
    f->step = f->step_slice.mapped;
    f->step->n_row = n_step;
    f->x = x;
    f->bias = bias;
    return true;
}

static gab_matmul product_of(const form *f) {
    return (gab_matmul){.weight = &f->weight,
                        .x = f->x_slice,
                        .y = f->y,
                        .x_stride = f->x_stride,
                        .y_stride = f->y_stride,
                        .bias = &f->bias_slice};
}

/* The sums of a column with one of the matrices, and how large what they sum is. */
static void sums(const form *f, uint32_t n_row, uint32_t expert, uint32_t x_row, double *y, double *size) {
    const uint32_t n_col = f->weight.n_col;
    const float *w = f->w + (size_t)expert * n_row * n_col, *x = f->x + (size_t)x_row * f->x_stride;
    const float *bias = f->bias + (size_t)expert * n_row;
    for (uint32_t r = 0; r < n_row; r++) {
        size[r] = (double)bias[r] * bias[r];
        for (uint32_t k = 0; k < n_col; k++) size[r] += pow((double)w[(size_t)r * n_col + k] * x[k], 2);
        size[r] = sqrt(size[r]);
    }
    gab_matmul_reference(w, n_row, n_col, x, bias, GAB_ACTIVATION_NONE, false, y);
}

/* SiLU(gate) * up of sums in turn, and how large their errors may be. */
static void gate(uint32_t n, double *y, double *size) {
    for (uint32_t i = 0; i < n; i++) {
        const double g = y[2 * i], up = y[2 * i + 1], silu = g / (1 + exp(-g));
        y[i] = silu * up;
        size[i] = hypot(1.1 * up * size[2 * i], silu * size[2 * i + 1]) + 0.1 * size[2 * i] * size[2 * i + 1];
    }
}

/* ---- experts ---- */

/* The first expert gets a pair of almost every row, the last none. In runs, pairs are sorted. */
static void fill_route(gab_route *route, uint32_t n_step) {
    for (uint32_t r = 0; r < n_step; r++) {
        route->expert[r * N_USED] = r % 7 == 3 ? 2 : 0;
        route->expert[r * N_USED + 1] = r % 7 == 3 || r % 2 ? 1 : 2;
    }
    uint32_t n = 0;
    for (uint32_t e = 0; e < N_EXPERT; e++) {
        gab_route_run *run = &route->runs[route->n_run];
        *run = (gab_route_run){.expert = e, .first = n};
        for (uint32_t i = 0; i < n_step * N_USED; i++)
            if (route->expert[i] == e) route->order[n++] = i;
        run->count = n - run->first;
        route->n_run += run->count > 0;
    }
}

static gab_status experts(gab_trial *t, uint32_t n_row, uint32_t n_plan, uint32_t n_step, bool gated) {
    form f;
    const bool made = make_form(t, n_row, N_EXPERT, n_plan, n_step, n_plan * N_USED, &f);
    const gab_experts with = {
        .route = gab_trial_shared(t, sizeof(gab_route)), .n_expert = N_EXPERT, .n_used = N_USED, .shared_x = true};
    const gab_gated gates = {.y = f.y,
                             .n = n_row / 2,
                             .y_stride = f.y_stride,
                             .in_turn = true,
                             .activation = GAB_ACTIVATION_SILU,
                             .n_used = N_USED};
    double *y = gab_trial_host(t, n_row, sizeof *y), *size = gab_trial_host(t, n_row, sizeof *size);
    if (!made || t->full) return gab_trial_out_of_memory(t);
    gab_route *route = with.route.mapped;
    fill_route(route, n_step);
    gab_matmul op = product_of(&f);
    op.gated = gated ? &gates : NULL;
    op.experts = &with;
    GAB_TRY(gab_trial_run(t, f.step_slice, n_plan, &op, NULL));
    for (uint32_t pair = 0; pair < n_plan * N_USED; pair++) {
        const float *got = (const float *)f.y.mapped + (size_t)pair * f.y_stride;
        const uint32_t n_written = pair >= n_step * N_USED ? 0 : gated ? n_row / 2 : n_row;
        char what[96];
        snprintf(what, sizeof what, "%s %ux%u, pair %u of %u", gated ? "gates of experts" : "experts", n_row,
                 f.weight.n_col, pair, n_plan * N_USED);
        gab_trial_judge_untouched(t, got + n_written, f.y_stride - n_written, what);
        if (n_written == 0) continue;
        sums(&f, n_row, route->expert[pair], pair / N_USED, y, size);
        if (gated) gate(n_row / 2, y, size);
        gab_trial_judge(t, got, y, size, true, n_written, gab_trial_l2_max(t),
                        gab_trial_value_max(t, gab_trial_l2_max(t)), what);
    }
    return GAB_OK;
}

/* ---- gates ---- */

static gab_status gates(gab_trial *t) {
    enum { N_ROW = 66 };
    form f;
    const bool made = make_form(t, N_ROW, 1, 1, 1, 1, &f);
    const gab_gated gated = {
        .y = f.y, .n = N_ROW / 2, .y_stride = f.y_stride, .in_turn = true, .activation = GAB_ACTIVATION_SILU};
    gab_matmul op = product_of(&f);
    op.gated = &gated;
    op.y = gab_trial_shared(t, 4ull * f.y_stride);
    double y[N_ROW], size[N_ROW];
    if (!made || t->full) return gab_trial_out_of_memory(t);
    GAB_TRY(gab_trial_run(t, f.step_slice, 1, &op, NULL));
    const float *got = gated.y.mapped;
    sums(&f, N_ROW, 0, 0, y, size);
    gate(N_ROW / 2, y, size);
    gab_trial_judge(t, got, y, size, true, N_ROW / 2, gab_trial_l2_max(t), gab_trial_value_max(t, gab_trial_l2_max(t)),
                    "gates");
    gab_trial_judge_untouched(t, got + N_ROW / 2, f.y_stride - N_ROW / 2, "gates");
    return GAB_OK;
}

/* ---- queries, keys and values ---- */

static float pool_value(const gab_kv_layer *kv, const uint32_t *pool, size_t i) {
    float value;
    if (kv->f16) return gab_f16_to_f32((uint16_t)(pool[i / 2] >> (i % 2 * 16)));
    memcpy(&value, &pool[i], sizeof value);
    return value;
}

/* The keys or values of the row, and nothing besides, lie in the pool, which was all ones. */
static void judge_pool(gab_trial *t, const gab_kv_layer *kv, const uint32_t *pool, uint32_t page, const double *y,
                       const double *size, const char *what) {
    const uint32_t padded = gab_head_dim_padded(kv->head_dim);
    const double l2_max = kv->f16 ? f16_l2 : gab_trial_l2_max(t),
                 one_max = kv->f16 ? f16_value : gab_trial_value_max(t, l2_max);
    const size_t n_word = (size_t)N_PAGE * N_KEY * GAB_PAGE * padded / (kv->f16 ? 2 : 1);
    size_t n_written = 0;
    float *got = gab_trial_host(t, kv->head_dim, sizeof *got);
    if (t->full) return;
    for (size_t i = 0; i < n_word; i++) n_written += pool[i] != UINT32_MAX;
    if (n_written > (size_t)N_KEY * padded / (kv->f16 ? 2 : 1))
        gab_proof_condemn(t->proof, GAB_VERDICT_WRONG, "%s: writes where it must not", what);
    for (uint32_t h = 0; h < N_KEY; h++) {
        const size_t first = (((size_t)page * N_KEY + h) * GAB_PAGE + POSITION % GAB_PAGE) * padded;
        for (uint32_t i = 0; i < kv->head_dim; i++) got[i] = pool_value(kv, pool, first + i);
        gab_trial_judge(t, got, y + (size_t)h * kv->head_dim, size + (size_t)h * kv->head_dim, true, kv->head_dim,
                        l2_max, one_max, what);
    }
}

/* What rotation does to the sizes of what is summed: a pair has one. */
static void rotate(const gab_rope_scaling *scaling, uint32_t head_dim, double *y, double *size) {
    gab_rope_reference(scaling, NULL, 0, head_dim, POSITION, y);
    for (uint32_t i = 0; i < scaling->n_turn; i++) size[2 * i] = size[2 * i + 1] = hypot(size[2 * i], size[2 * i + 1]);
}

static gab_status heads(gab_trial *t) {
    const gab_workload *w = t->workload;
    const uint32_t d = w->head_dim, n_row = (N_QUERY + 2 * N_KEY) * d, k_offset = N_QUERY * d,
                   v_offset = k_offset + N_KEY * d;
    const uint64_t pool_bytes = (uint64_t)N_PAGE * N_KEY * GAB_PAGE * gab_head_dim_padded(d) * (w->kv_f16 ? 2 : 4);
    const gab_rope_scaling scaling = {.n_turn = w->n_turn, .base = 10000};
    form f;
    const bool made = make_form(t, n_row, 1, 1, 1, 1, &f);
    const gab_kv_write write = {.kv = {.keys = gab_trial_shared(t, pool_bytes),
                                       .values = gab_trial_shared(t, pool_bytes),
                                       .n_head_kv = N_KEY,
                                       .head_dim = d,
                                       .f16 = w->kv_f16},
                                .x = f.y,
                                .x_stride = f.y_stride,
                                .k_offset = k_offset,
                                .v_offset = v_offset};
    const uint64_t table_floats = gab_rope_table_floats(w->n_turn, N_PAGE * GAB_PAGE);
    const gab_rope rope = {.table = gab_trial_shared(t, 4 * table_floats + 4), .n_turn = w->n_turn};
    gab_matmul op = product_of(&f);
    op.kv = &write;
    op.rope = w->n_turn ? &rope : NULL;
    double *y = gab_trial_host(t, n_row, sizeof *y), *size = gab_trial_host(t, n_row, sizeof *size);
    if (!made || t->full) return gab_trial_out_of_memory(t);
    if (w->n_turn) gab_rope_table_fill(&scaling, N_PAGE * GAB_PAGE, rope.table.mapped);
    memset(write.kv.keys.mapped, 0xff, (size_t)pool_bytes);
    memset(write.kv.values.mapped, 0xff, (size_t)pool_bytes);
    f.step->rows[0] = (gab_step_row){.slot = ROW_SLOT, .position = POSITION};
    f.step->table_stride = N_PAGE;
    uint32_t *tables = (uint32_t *)(f.step + 1);
    for (uint32_t i = 0; i < (ROW_SLOT + 1) * N_PAGE; i++) tables[i] = N_PAGE - 1 - i % N_PAGE;
    GAB_TRY(gab_trial_run(t, f.step_slice, 1, &op, NULL));
    sums(&f, n_row, 0, 0, y, size);
    for (uint32_t h = 0; h < N_QUERY + N_KEY && w->n_turn; h++)
        rotate(&scaling, d, y + (size_t)h * d, size + (size_t)h * d);
    const float *got = f.y.mapped;
    const uint32_t page = tables[ROW_SLOT * N_PAGE + POSITION / GAB_PAGE];
    gab_trial_judge(t, got, y, size, true, k_offset, gab_trial_l2_max(t), gab_trial_value_max(t, gab_trial_l2_max(t)),
                    "queries");
    judge_pool(t, &write.kv, write.kv.keys.mapped, page, y + k_offset, size + k_offset, "keys");
    judge_pool(t, &write.kv, write.kv.values.mapped, page, y + v_offset, size + v_offset, "values");
    return t->full ? gab_trial_out_of_memory(t) : GAB_OK;
}

/* ---- all of them ---- */

uint64_t gab_trial_forms_bytes(const gab_workload *w) {
    const uint64_t padded = gab_head_dim_padded(w->head_dim), room = 4 << 20;
    return room + (uint64_t)4 * padded * (2 * N_PAGE * N_KEY * GAB_PAGE + (N_QUERY + 2 * N_KEY) * 512);
}

gab_status gab_trial_forms(gab_trial *t) {
    const gab_workload *w = t->workload;
    const bool pairs = t->variant->pairs, decode = w->operation < GAB_OP_MATMUL_SMALL;
    const uint32_t n_plan = decode ? 1 : w->operation < GAB_OP_MATMUL ? 32 : 128;
    if (w->experts) GAB_TRY(experts(t, 67, n_plan, decode ? 1 : n_plan - 27, false));
    if (!decode || !pairs) return GAB_OK;
    if (w->experts && w->gated) GAB_TRY(experts(t, 66, 1, 1, true));
    if (w->gated) GAB_TRY(gates(t));
    return w->head_dim > 0 ? heads(t) : GAB_OK;
}
