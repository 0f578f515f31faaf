#include "plan/selftest.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "tensor/quant.h"
#include "vk/statistics.h"

/* f32 sums in any order, relative to the size of what is summed: one column, one value. */
static const double exact_l2 = 4e-6, exact_value = 3e-5, narrow_value_factor = 8;
static const float untouched = 12345.0f;

float gab_selftest_number(uint64_t *state) { /* splitmix64 (Steele, Lea, Flood 2014) */
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return ((float)((z ^ (z >> 31)) >> 40) * 0x1p-23f - 1.0f) * 1.7320508f;
}

/* ---- the log while variants are tried ---- */

static void demote(void *user, gab_log_level level, const char *message) {
    const gab_quiet_log *quiet = user;
    const bool validation = strncmp(message, "validation: ", 12) == 0;
    if (quiet->log.fn) quiet->log.fn(quiet->log.user, validation ? level : GAB_LOG_DEBUG, message);
}

void gab_quiet_begin(gab_vk *vk, gab_quiet_log *quiet) {
    quiet->log = vk->log;
    vk->log = (gab_log){demote, quiet};
}

void gab_quiet_end(gab_vk *vk, const gab_quiet_log *quiet) {
    vk->log = quiet->log;
}

/* Failures that say something about the variant, not about the machine. */
static bool of_variant(gab_status status) {
    return status != GAB_OK && status != GAB_ERROR_DEVICE_LOST && status != GAB_ERROR_HOST_MEMORY &&
           status != GAB_ERROR_DEVICE_MEMORY;
}

/* The first reason counts. */
GAB_PRINTF(3, 4) static void condemn(gab_proof *proof, gab_tune_verdict verdict, const char *format, ...) {
    va_list args;
    if (proof->verdict != GAB_VERDICT_UNTESTED) return;
    proof->verdict = verdict;
    va_start(args, format);
    vsnprintf(proof->reason, sizeof proof->reason, format, args);
    va_end(args);
}

/* ---- compiling ---- */

static gab_status compile(gab_vk *vk, const gab_kernel_set *set, const gab_workload *w, gab_proof *proof) {
    gab_pipeline_key keys[GAB_WORKLOAD_KEYS_MAX];
    const uint32_t n = gab_workload_keys(vk, set, w, keys);
    for (uint32_t i = 0; i < n; i++) {
        const gab_pipeline *pipeline = NULL;
        gab_status status = gab_pipeline_get(vk->pipelines, &keys[i], &pipeline);
        if (of_variant(status)) {
            proof->verdict = GAB_VERDICT_UNTESTED; /* worse than spills */
            condemn(proof, GAB_VERDICT_UNCOMPILABLE, "%s", gab_last_error());
            return GAB_OK;
        }
        GAB_TRY(status);
        if (proof->verdict == GAB_VERDICT_SPILLS || !gab_pipeline_spills(vk, pipeline->pipeline)) continue;
        char text[160];
        gab_pipeline_describe(&keys[i], text, sizeof text);
        condemn(proof, GAB_VERDICT_SPILLS, "%s", text);
    }
    return GAB_OK;
}

gab_status gab_selftest_compile(gab_vk *vk, const gab_kernel_set *set, const gab_workload *w, gab_proof *proof) {
    gab_quiet_log quiet;
    *proof = (gab_proof){.verdict = GAB_VERDICT_UNTESTED};
    gab_quiet_begin(vk, &quiet);
    gab_status status = compile(vk, set, w, proof);
    gab_quiet_end(vk, &quiet);
    return status;
}

/* ---- one run of a variant, in memory that host and device share ---- */

typedef struct bench {
    gab_vk *vk;
    const gab_kernel_set *set;
    const gab_workload *workload;
    const gab_workload_recorders *recorders;
    const gab_variant *variant;
    gab_proof *proof;
    gab_arena arena;   /* of the host's side of a case */
    gab_buffer buffer; /* of the device's */
    uint64_t used;
    bool full;
} bench;

/* Zeros that the device sees. */
static gab_slice shared(bench *b, uint64_t n_byte) {
    const uint64_t at = b->used, n = (n_byte + GAB_SLICE_ALIGN - 1) / GAB_SLICE_ALIGN * GAB_SLICE_ALIGN;
    b->full = b->full || n > b->buffer.size - at;
    if (b->full) return gab_buffer_slice(&b->buffer, 0, GAB_SLICE_ALIGN);
    b->used += n;
    gab_slice slice = gab_buffer_slice(&b->buffer, at, n);
    memset(slice.mapped, 0, (size_t)n);
    return slice;
}

static void *host(bench *b, size_t n, size_t size) {
    void *memory = gab_arena_alloc(&b->arena, n ? n : 1, size);
    b->full = b->full || !memory;
    return memory;
}

static void case_begin(bench *b) {
    gab_arena_free(&b->arena);
    b->used = 0;
}

static gab_status case_run(bench *b, gab_slice step, uint32_t n_plan, const gab_matmul *matmul,
                           const gab_attention *attention) {
    gab_status status;
    gab_command_list list = {0};
    gab_recorder recorder = {.vk = b->vk, .list = &list};
    const gab_kernel_context context = {.recorder = &recorder, .set = *b->set, .step = step, .n_row = n_plan};
    uint64_t value;
    GAB_TRY_GOTO(gab_command_list_create(b->vk, 1, &list), error);
    gab_record_open(&recorder);
    if (matmul)
        b->recorders->matmul(&context, matmul);
    else
        b->recorders->attention(&context, attention);
    gab_record_host_barrier(&recorder);
    gab_record_close(&recorder);
    GAB_TRY_GOTO(recorder.status, error);
    GAB_TRY_GOTO(gab_submit(b->vk, &list, 0, 1, &value), error);
    status = gab_wait(b->vk, value);
error:
    gab_command_list_destroy(b->vk, &list);
    return status;
}

/* What one value may be off by, where all may be by l2_max. */
static double value_max(const bench *b, double l2_max) {
    return l2_max * (b->variant->error > 0 ? narrow_value_factor : exact_value / exact_l2);
}

/* Notes the errors of n values, relative to `size` (one each, or one for all); condemns what is off. */
static void judge(bench *b, const float *got, const double *expected, const double *size, bool size_each, size_t n,
                  double l2_max, double one_max, const char *what) {
    double error = 0, norm = 0, worst = 0;
    for (size_t i = 0; i < n; i++) {
        const double d = fabs((double)got[i] - expected[i]), own = size_each ? size[i] : size[0];
        error += d * d;
        norm += own * own;
        if (!(d <= worst * own)) worst = isfinite(d) ? d / own : INFINITY;
    }
    const double l2 = isfinite(worst) ? sqrt(error / norm) : INFINITY;
    const double scaled = l2 * b->proof->error_max / l2_max;
    if (scaled > b->proof->error) b->proof->error = scaled;
    if (l2 <= l2_max && worst <= one_max) return;
    condemn(b->proof, GAB_VERDICT_WRONG, "%s: relative error %.1e, of one value %.1e, expected at most %.1e", what, l2,
            worst, l2_max);
}

static void judge_untouched(bench *b, const float *got, size_t n, const char *what) {
    for (size_t i = 0; i < n; i++)
        if (!(got[i] >= untouched && got[i] <= untouched))
            condemn(b->proof, GAB_VERDICT_WRONG, "%s: writes where it must not", what);
}

/* ---- products ---- */

typedef struct product_case {
    uint32_t n_row, n_block; /* of the weights; n_block times 32 in a row, and as few more as the type's blocks ask for,
                                or where there are none, 5 */
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

/* Random weights in planes on the device; their values as the device sees them. */
static float *make_weight(bench *b, gab_dtype type, uint32_t n_row, uint32_t n_col, gab_shard *shard,
                          uint64_t *random) {
    const gab_dtype_info *info = gab_dtype_get(type);
    uint64_t row_bytes = 0;
    size_t plane_row[GAB_PLANE_MAX] = {0};
    gab_dtype_row_bytes(type, n_col, &row_bytes);
    for (uint32_t p = 0; p < info->n_plane; p++) plane_row[p] = (size_t)gab_dtype_plane_row_bytes(type, p, n_col);
    *shard = (gab_shard){.slice = shared(b, n_row * gab_dtype_planes_row_bytes(type, n_col)),
                         .n_row = n_row,
                         .scale_offset = gab_shard_scale_offset(type, n_col, n_row)};
    float *values = host(b, (size_t)n_row * n_col, sizeof *values);
    void *blocks = host(b, (size_t)row_bytes, 1);
    if (b->full) return NULL;
    unsigned char *planes = shard->slice.mapped;
    for (uint32_t r = 0; r < n_row; r++) {
        void *to[GAB_PLANE_MAX] = {planes + r * plane_row[0], planes + n_row * plane_row[0] + r * plane_row[1]};
        gab_random_row(type, n_col, random, blocks);
        gab_dequantize_row(type, blocks, n_col, values + (size_t)r * n_col);
        gab_dtype_split_row(type, n_col, blocks, to);
    }
    return values;
}

/* A case that was run. */
typedef struct product_run {
    const product_case *c;
    uint32_t n_col, x_stride, y_stride;
    const float *w, *x, *bias; /* bias: NULL without */
    const float *before, *y;
} product_run;

static void judge_product(bench *b, const product_run *run) {
    const product_case *c = run->c;
    const double l2_max = b->variant->error > 0 ? (double)b->variant->error : exact_l2;
    /* A value whose weight at the outlier is 0 loses most of what 8 bits keep of its neighbours. */
    const double one_max = b->variant->quantized && c->outliers ? 2 : value_max(b, l2_max);
    double *expected = host(b, c->n_row, sizeof *expected), *size = host(b, c->n_row, sizeof *size);
    if (b->full) return;
    for (uint32_t column = 0; column < c->n_plan; column++) {
        const float *got = run->y + (size_t)column * run->y_stride, *x = run->x + (size_t)column * run->x_stride;
        const float *old = run->before + (size_t)column * run->y_stride;
        const uint32_t n_written = column < c->n_step ? c->n_row : 0;
        char what[96];
        snprintf(what, sizeof what, "%ux%u, column %u of %u", c->n_row, run->n_col, column, c->n_plan);
        judge_untouched(b, got + n_written, run->y_stride - n_written, what);
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
        judge(b, got, expected, size, true, c->n_row, l2_max, one_max, what);
    }
}

static gab_status product(bench *b, const product_case *c) {
    const gab_dtype type = gab_workload_type(b->workload);
    const uint32_t block = gab_dtype_get(type)->block_size, n_least = c->n_block * 32 + (block == 1 ? 5 : 0);
    const uint32_t n_col = (n_least + block - 1) / block * block;
    const uint32_t x_stride = gab_row_stride(n_col), y_stride = gab_row_stride(c->n_row) + 32;
    const uint32_t n_x = (c->n_plan + 31) / 32 * 32; /* kernels may read rows up to a multiple of 32 */
    uint64_t random = c->n_row * 7919u + c->n_block * 31u + c->n_plan;
    gab_shard shard;
    case_begin(b);
    const float *w = make_weight(b, type, c->n_row, n_col, &shard, &random);
    const gab_weight weight = {.type = type, .n_col = n_col, .n_row = c->n_row, .n_shard = 1, .shards = &shard};
    const gab_slice x = shared(b, 4ull * n_x * x_stride), y = shared(b, 4ull * c->n_plan * y_stride);
    const gab_slice bias = shared(b, 4ull * c->n_row), step = shared(b, sizeof(gab_step));
    float *before = host(b, (size_t)c->n_plan * y_stride, sizeof *before);
    if (b->full) return gab_fail(&b->vk->log, GAB_ERROR_HOST_MEMORY, "the self-test of kernels has too little memory");
    for (uint32_t i = 0; i < n_x * x_stride; i++) ((float *)x.mapped)[i] = i / x_stride < c->n_plan ? 0 : NAN;
    for (uint32_t i = 0; i < c->n_plan; i++) {
        float *row = (float *)x.mapped + (size_t)i * x_stride;
        for (uint32_t k = 0; k < n_col; k++) row[k] = gab_selftest_number(&random);
        if (c->outliers) row[i % 9 * 32 + (i * 7 + 11) % 32] = i % 2 ? -1e6f : 1e6f;
    }
    for (uint32_t i = 0; i < c->n_row; i++) ((float *)bias.mapped)[i] = gab_selftest_number(&random);
    for (uint32_t i = 0; i < c->n_plan * y_stride; i++)
        before[i] = c->residual && i / y_stride < c->n_step && i % y_stride < c->n_row ? gab_selftest_number(&random)
                                                                                       : untouched;
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
    GAB_TRY(case_run(b, step, c->n_plan, &op, NULL));
    const product_run run = {c, n_col, x_stride, y_stride, w, x.mapped, c->bias ? bias.mapped : NULL, before, y.mapped};
    judge_product(b, &run);
    return GAB_OK;
}

static gab_status products(bench *b) {
    for (size_t i = 0; i < sizeof product_cases / sizeof *product_cases; i++)
        if (gab_matmul_operation(gab_workload_type(b->workload), product_cases[i].n_plan) == b->workload->operation)
            GAB_TRY(product(b, &product_cases[i]));
    return GAB_OK;
}

/* ---- attention ---- */

enum {
    SLOTS = 3,
    POSITIONS = 600,
    PAGES_A_SLOT = POSITIONS / GAB_PAGE + 1,
    DECODE_ROWS = 4,
    PREFILL_ROWS = 72,
    WINDOW = 70
};

typedef struct attention_case {
    gab_kv_layer kv;
    uint32_t n_head;
    uint32_t *page_tables; /* [SLOTS][PAGES_A_SLOT] */
    gab_step *step;
    gab_slice step_slice;
} attention_case;

/* Heads as the model shares them, but few: filled pools, and page tables that go through them backwards. */
static bool make_cache(bench *b, attention_case *c, uint64_t *random) {
    const gab_workload *w = b->workload;
    const uint32_t share = w->n_head / w->n_head_kv, n_kv = w->n_head_kv > 1 && w->head_dim <= 128 ? 2 : 1;
    const uint32_t padded = gab_head_dim_padded(w->head_dim), n_page = SLOTS * PAGES_A_SLOT;
    const uint64_t words = (uint64_t)n_page * n_kv * GAB_PAGE * (w->kv_f16 ? padded / 2 : padded);
    c->n_head = n_kv * share;
    c->kv = (gab_kv_layer){.keys = shared(b, 4 * words),
                           .values = shared(b, 4 * words),
                           .n_head_kv = n_kv,
                           .head_dim = w->head_dim,
                           .f16 = w->kv_f16};
    c->step_slice = shared(b, sizeof(gab_step) + 4ull * n_page);
    float *k = host(b, (size_t)n_kv * w->head_dim, sizeof *k), *v = host(b, (size_t)n_kv * w->head_dim, sizeof *v);
    if (b->full) return false;
    c->step = c->step_slice.mapped;
    c->step->table_stride = PAGES_A_SLOT;
    c->page_tables = (uint32_t *)(c->step + 1);
    for (uint32_t i = 0; i < n_page; i++) c->page_tables[i] = n_page - 1 - i;
    for (uint32_t t = 0; t < SLOTS * POSITIONS; t++) {
        for (uint32_t i = 0; i < n_kv * w->head_dim; i++) {
            k[i] = gab_selftest_number(random);
            v[i] = gab_selftest_number(random);
        }
        gab_kv_write_reference(&c->kv, k, v, c->page_tables + t / POSITIONS * PAGES_A_SLOT, t % POSITIONS,
                               c->kv.keys.mapped, c->kv.values.mapped);
    }
    return true;
}

static void add_run(gab_step *step, uint32_t slot, uint32_t position, uint32_t n, uint32_t tile) {
    gab_attention_add_tiles(step, slot, step->n_row, n, position, tile);
    for (uint32_t i = 0; i < n; i++) step->rows[step->n_row++] = (gab_step_row){.slot = slot, .position = position + i};
}

/* The rows of a step: at the edges of pages and pieces. */
static void fill_step(const bench *b, attention_case *c, uint32_t turn) {
    static const uint32_t positions[] = {0, 63, GAB_PIECE - 1, 300, GAB_PIECE, POSITIONS - 1};
    gab_step *step = c->step;
    const uint32_t tile = gab_attention_tile_rows(b->set, c->kv.head_dim);
    step->n_row = step->n_work = 0;
    if (b->workload->operation == GAB_OP_ATTENTION_DECODE) {
        step->n_row = DECODE_ROWS - 1;
        for (uint32_t r = 0; r < step->n_row; r++)
            step->rows[r] = (gab_step_row){.slot = (r + turn) % SLOTS, .position = positions[r + 3 * turn]};
        return;
    }
    add_run(step, 0, 0, turn ? 20 : 41, tile);
    add_run(step, 1, POSITIONS - 1, 1, tile);
    add_run(step, 2, turn ? 250 : 60, 21, tile);
}

static gab_status attend(bench *b, attention_case *c, uint32_t turn, uint32_t window, float q_scale, double l2_max,
                         uint64_t *random) {
    const bool decode = b->workload->operation == GAB_OP_ATTENTION_DECODE;
    const uint32_t n_plan = decode ? DECODE_ROWS : PREFILL_ROWS, n = c->n_head * c->kv.head_dim;
    const uint32_t stride = gab_row_stride(n);
    const uint32_t n_piece = decode && turn == 0 ? 1 : (POSITIONS + GAB_PIECE - 1) / GAB_PIECE;
    const uint64_t kept = b->used;
    const gab_slice q = shared(b, 4ull * n_plan * stride), y = shared(b, 4ull * n_plan * stride);
    const gab_slice pieces = shared(b, gab_attention_pieces_bytes(n_plan, c->n_head, c->kv.head_dim, n_piece));
    const gab_slice sinks = shared(b, 4ull * c->n_head);
    double *expected = host(b, n, sizeof *expected);
    if (b->full) return gab_fail(&b->vk->log, GAB_ERROR_HOST_MEMORY, "the self-test of kernels has too little memory");
    for (uint32_t h = 0; h < c->n_head; h++) ((float *)sinks.mapped)[h] = 3 * gab_selftest_number(random);
    fill_step(b, c, turn);
    for (uint32_t i = 0; i < n_plan * stride; i++) {
        ((float *)q.mapped)[i] = gab_selftest_number(random) * q_scale;
        ((float *)y.mapped)[i] = untouched;
    }
    const gab_attention op = {.kv = c->kv,
                              .q = q,
                              .y = y,
                              .q_stride = stride,
                              .y_stride = stride,
                              .n_head = c->n_head,
                              .softcap = b->workload->softcap,
                              .sinks = b->workload->sinks ? &sinks : NULL,
                              .window = window,
                              .n_piece = n_piece,
                              .n_work = c->step->n_work + 1,
                              .pieces = pieces};
    GAB_TRY(case_run(b, c->step_slice, n_plan, NULL, &op));
    for (uint32_t r = 0; r < n_plan; r++) {
        const float *got = (const float *)y.mapped + (size_t)r * stride;
        const gab_step_row *row = &c->step->rows[r];
        const uint32_t n_written = r < c->step->n_row ? n : 0;
        double size = 0;
        char what[96];
        snprintf(what, sizeof what, "row %u of %u, position %u, scores of %.0f", r, n_plan, row->position,
                 (double)q_scale);
        judge_untouched(b, got + n_written, stride - n_written, what);
        if (n_written == 0) continue;
        gab_attention_reference(&op, (const float *)q.mapped + (size_t)r * stride,
                                c->page_tables + row->slot * PAGES_A_SLOT, row->position,
                                op.sinks ? sinks.mapped : NULL, c->kv.keys.mapped, c->kv.values.mapped, expected);
        for (uint32_t i = 0; i < n; i++) size += expected[i] * expected[i] / n;
        size = sqrt(size);
        judge(b, got, expected, &size, false, n, l2_max, value_max(b, l2_max), what);
    }
    b->used = kept;
    return GAB_OK;
}

static gab_status attention(bench *b) {
    const double error = (double)b->variant->error;
    uint64_t random = b->workload->head_dim;
    attention_case c = {0};
    case_begin(b);
    if (!make_cache(b, &c, &random))
        return gab_fail(&b->vk->log, GAB_ERROR_HOST_MEMORY, "the self-test of kernels has too little memory");
    for (uint32_t turn = 0; turn < 2; turn++) GAB_TRY(attend(b, &c, turn, 0, 1, error > 0 ? error : exact_l2, &random));
    for (uint32_t turn = 0; turn < 2 && b->workload->window > 0; turn++)
        GAB_TRY(attend(b, &c, turn, turn ? WINDOW : 1, 1, error > 0 ? error : exact_l2, &random));
    /* Scores of +-80: exp multiplies their errors of 80 x 2^-24. */
    if (error > 0) return GAB_OK;
    return attend(b, &c, 1, 0, 40, 3e-5, &random);
}

/* ---- all of it ---- */

/* What the largest case takes, with room to spare. */
static uint64_t bytes_needed(const gab_workload *w) {
    const uint64_t room = 4 << 20, share = w->n_head_kv ? w->n_head / w->n_head_kv : 0;
    const uint64_t padded = gab_head_dim_padded(w->head_dim), n_kv = 2, n_page = SLOTS * PAGES_A_SLOT;
    const uint64_t cache = 2 * n_page * n_kv * GAB_PAGE * padded * sizeof(float);
    return room +
           (gab_workload_is_attention(w) ? cache + 4 * PREFILL_ROWS * n_kv * share * padded * sizeof(float) * 2 : 0);
}

static gab_status run(bench *b) {
    const gab_workload other = gab_workload_other(b->workload);
    const uint64_t own = bytes_needed(b->workload), others = bytes_needed(&other);
    gab_status status = gab_buffer_create(b->vk, GAB_MEMORY_READBACK, own > others ? own : others,
                                          "the self-test of kernels", &b->buffer);
    if (status == GAB_OK) status = gab_workload_is_attention(b->workload) ? attention(b) : products(b);
    if (status == GAB_OK && other.head_dim > 0) {
        b->workload = &other;
        status = attention(b);
    }
    gab_buffer_destroy(b->vk, &b->buffer);
    gab_arena_free(&b->arena);
    if (!of_variant(status)) return status;
    condemn(b->proof, GAB_VERDICT_UNCOMPILABLE, "%s", gab_last_error());
    return GAB_OK;
}

gab_status gab_selftest(gab_vk *vk, const gab_kernel_set *set, const gab_workload *w,
                        const gab_workload_recorders *recorders, bool spills_allowed, gab_proof *proof) {
    const gab_variant *variant = gab_variant_of(set, w->operation);
    gab_quiet_log quiet;
    *proof = (gab_proof){.verdict = GAB_VERDICT_UNTESTED,
                         .error_max = variant->error > 0 ? (double)variant->error : exact_l2};
    bench b = {.vk = vk, .set = set, .workload = w, .recorders = recorders, .variant = variant, .proof = proof};
    gab_quiet_begin(vk, &quiet);
    gab_status status = compile(vk, set, w, proof);
    if (status == GAB_OK && spills_allowed && proof->verdict == GAB_VERDICT_SPILLS)
        proof->verdict = GAB_VERDICT_UNTESTED;
    if (status == GAB_OK && proof->verdict == GAB_VERDICT_UNTESTED) {
        proof->reason[0] = 0;
        status = run(&b);
        if (proof->verdict == GAB_VERDICT_UNTESTED) proof->verdict = GAB_VERDICT_RIGHT;
    }
    gab_quiet_end(vk, &quiet);
    return status;
}
