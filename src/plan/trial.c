#include "plan/trial.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tensor/quant.h"

const double gab_trial_exact_l2 = 4e-6;
const float gab_trial_untouched = 12345.0f;

/* The same of one value. */
static const double exact_value = 3e-5, narrow_value_factor = 8;

void gab_proof_condemn(gab_proof *proof, gab_tune_verdict verdict, const char *format, ...) {
    va_list args;
    if (proof->verdict != GAB_VERDICT_UNTESTED) return;
    proof->verdict = verdict;
    va_start(args, format);
    vsnprintf(proof->reason, sizeof proof->reason, format, args);
    va_end(args);
}

/* ---- memory ---- */

gab_slice gab_trial_shared(gab_trial *t, uint64_t n_byte) {
    const uint64_t at = t->used, n = (n_byte + GAB_SLICE_ALIGN - 1) / GAB_SLICE_ALIGN * GAB_SLICE_ALIGN;
    t->full = t->full || n > t->buffer.size - at;
    if (t->full) return gab_buffer_slice(&t->buffer, 0, GAB_SLICE_ALIGN);
    t->used += n;
    gab_slice slice = gab_buffer_slice(&t->buffer, at, n);
    memset(slice.mapped, 0, (size_t)n);
    return slice;
}

void *gab_trial_host(gab_trial *t, size_t n, size_t size) {
    void *memory = gab_arena_alloc(&t->arena, n ? n : 1, size);
    t->full = t->full || !memory;
    return memory;
}

void gab_trial_begin(gab_trial *t) {
    gab_arena_free(&t->arena);
    t->used = 0;
}

gab_status gab_trial_out_of_memory(const gab_trial *t) {
    return gab_fail(&t->vk->log, GAB_ERROR_HOST_MEMORY, "the self-test of kernels has too little memory");
}

uint32_t gab_trial_columns(gab_dtype type, uint32_t n_block) {
    const uint32_t block = gab_dtype_get(type)->block_size, n_least = n_block * 32 + (block == 1 ? 5 : 0);
    return (n_least + block - 1) / block * block;
}

float *gab_trial_weight(gab_trial *t, gab_dtype type, uint32_t n_row, uint32_t n_col, gab_shard *shard,
                        uint64_t *random) {
    const gab_dtype_info *info = gab_dtype_get(type);
    uint64_t row_bytes = 0;
    size_t plane_row[GAB_PLANE_MAX] = {0};
    gab_dtype_row_bytes(type, n_col, &row_bytes);
    for (uint32_t p = 0; p < info->n_plane; p++) plane_row[p] = (size_t)gab_dtype_plane_row_bytes(type, p, n_col);
    *shard = (gab_shard){.slice = gab_trial_shared(t, n_row * gab_dtype_planes_row_bytes(type, n_col)),
                         .n_row = n_row,
                         .scale_offset = gab_shard_scale_offset(type, n_col, n_row)};
    float *values = gab_trial_host(t, (size_t)n_row * n_col, sizeof *values);
    void *blocks = gab_trial_host(t, (size_t)row_bytes, 1);
    if (t->full) return NULL;
    unsigned char *planes = shard->slice.mapped;
    for (uint32_t r = 0; r < n_row; r++) {
        void *to[GAB_PLANE_MAX] = {planes + r * plane_row[0], planes + n_row * plane_row[0] + r * plane_row[1]};
        gab_random_row(type, n_col, random, blocks);
        gab_dequantize_row(type, blocks, n_col, values + (size_t)r * n_col);
        gab_dtype_split_row(type, n_col, blocks, to);
    }
    return values;
}

/* ---- a run, and what it has computed ---- */

gab_status gab_trial_run(gab_trial *t, gab_slice step, uint32_t n_plan, const gab_matmul *matmul,
                         const gab_attention *attention) {
    gab_status status;
    gab_command_list list = {0};
    gab_recorder recorder = {.vk = t->vk, .list = &list};
    const gab_kernel_context context = {.recorder = &recorder, .set = *t->set, .step = step, .n_row = n_plan};
    uint64_t value;
    GAB_TRY_GOTO(gab_command_list_create(t->vk, 1, &list), error);
    gab_record_open(&recorder);
    if (matmul)
        t->recorders->matmul(&context, matmul);
    else
        t->recorders->attention(&context, attention);
    gab_record_host_barrier(&recorder);
    gab_record_close(&recorder);
    GAB_TRY_GOTO(recorder.status, error);
    GAB_TRY_GOTO(gab_submit(t->vk, &list, 0, 1, &value), error);
    status = gab_wait(t->vk, value);
error:
    gab_command_list_destroy(t->vk, &list);
    return status;
}

double gab_trial_l2_max(const gab_trial *t) {
    return t->variant->error > 0 ? (double)t->variant->error : gab_trial_exact_l2;
}

double gab_trial_value_max(const gab_trial *t, double l2_max) {
    return l2_max * (t->variant->error > 0 ? narrow_value_factor : exact_value / gab_trial_exact_l2);
}

void gab_trial_judge(gab_trial *t, const float *got, const double *expected, const double *size, bool size_each,
                     size_t n, double l2_max, double one_max, const char *what) {
    double error = 0, norm = 0, worst = 0;
    for (size_t i = 0; i < n; i++) {
        const double d = fabs((double)got[i] - expected[i]), own = size_each ? size[i] : size[0];
        error += d * d;
        norm += own * own;
        if (!(d <= worst * own)) worst = isfinite(d) ? d / own : INFINITY;
    }
    const double l2 = isfinite(worst) ? sqrt(error / norm) : INFINITY;
    const double scaled = l2 * t->proof->error_max / l2_max;
    if (scaled > t->proof->error) t->proof->error = scaled;
    if (l2 <= l2_max && worst <= one_max) return;
    gab_proof_condemn(t->proof, GAB_VERDICT_WRONG, "%s: relative error %.1e, of one value %.1e, expected at most %.1e",
                      what, l2, worst, l2_max);
}

void gab_trial_judge_untouched(gab_trial *t, const float *got, size_t n, const char *what) {
    for (size_t i = 0; i < n; i++)
        if (!(got[i] >= gab_trial_untouched && got[i] <= gab_trial_untouched))
            gab_proof_condemn(t->proof, GAB_VERDICT_WRONG, "%s: writes where it must not", what);
}
