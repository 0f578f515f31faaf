#include "plan/timing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "plan/selftest.h"
#include "tensor/quant.h"

/* What a measurement may take, by the kind of device. */
typedef struct limits {
    double dispatch_ms; /* one run */
    double sample_ms;   /* the runs of a sample, at least */
    uint32_t n_sample;
    uint64_t bytes; /* of weights */
    uint32_t depth;
} limits;

static limits limits_of(const gab_vk *vk) {
    const limits cpu = {20, 10, 4, 64u << 20, 512}, gpu = {8, 3, 5, 256u << 20, 4096};
    return vk->info.kind == GAB_DEVICE_CPU ? cpu : gpu;
}

/* A variant this much slower than the best, in its first run or its first sample, is not timed further. */
static const double hopeless_run = 3, hopeless_sample = 1.3;

/* A matrix is made by the host, its copies by the device, which is faster. */
enum { FIRST_ROWS = 256, COPIES_MAX = 64, MATRIX_BYTES_MAX = 64 << 20 };

/* ---- data ---- */

static gab_status random_buffer(gab_vk *vk, uint64_t n_byte, bool f16, gab_buffer *buffer) {
    enum { CHUNK = 1 << 20 };
    uint64_t random = 1;
    gab_status status = gab_buffer_create(vk, GAB_MEMORY_DEVICE, n_byte, "tuning", buffer);
    if (status != GAB_OK) return status;
    uint32_t *words = malloc(CHUNK);
    if (!words) return gab_fail(&vk->log, GAB_ERROR_HOST_MEMORY, "out of host memory for tuning");
    for (uint32_t i = 0; i < CHUNK / 4; i++) {
        const float value = gab_selftest_number(&random);
        memcpy(&words[i], &value, sizeof value);
        if (f16) words[i] = gab_f32_to_f16(value) * 0x10001u;
    }
    for (uint64_t at = 0; status == GAB_OK && at < n_byte; at += CHUNK)
        status = gab_slice_write(vk, gab_buffer_all(buffer), at, words, n_byte - at < CHUNK ? n_byte - at : CHUNK);
    free(words);
    return status;
}

/* One matrix whose rows are all the same, then copies of it on the device. */
static gab_status make_weights(gab_vk *vk, gab_timing_ground *g) {
    const gab_workload *w = &g->workload;
    const gab_dtype type = gab_workload_type(w);
    const gab_dtype_info *info = gab_dtype_get(type);
    uint64_t row_bytes = 0, random = 2;
    size_t plane_row[GAB_PLANE_MAX] = {0};
    gab_dtype_row_bytes(type, w->n_col, &row_bytes);
    for (uint32_t p = 0; p < info->n_plane; p++) plane_row[p] = (size_t)gab_dtype_plane_row_bytes(type, p, w->n_col);
    gab_status status = gab_buffer_create(vk, GAB_MEMORY_DEVICE, g->copy_bytes * g->n_copy, "tuning", &g->weights);
    if (status != GAB_OK) return status;
    unsigned char *blocks = malloc((size_t)row_bytes), *planes = calloc((size_t)g->copy_bytes, 1);
    if (blocks && planes) {
        gab_random_row(type, w->n_col, &random, blocks);
        for (uint32_t r = 0; r < g->n_row; r++) {
            void *to[GAB_PLANE_MAX] = {planes + r * plane_row[0], planes + g->n_row * plane_row[0] + r * plane_row[1]};
            if (r == 0) gab_dtype_split_row(type, w->n_col, blocks, to);
            for (uint32_t p = 0; r > 0 && p < GAB_PLANE_MAX; p++)
                memcpy(to[p], planes + (p ? g->n_row * plane_row[0] : 0), plane_row[p]);
        }
        status = gab_slice_write(vk, gab_buffer_all(&g->weights), 0, planes, g->copy_bytes);
    } else {
        status = gab_fail(&vk->log, GAB_ERROR_HOST_MEMORY, "out of host memory for tuning");
    }
    free(blocks);
    free(planes);
    for (uint32_t i = 1; status == GAB_OK && i < g->n_copy; i++)
        status = gab_slice_copy(vk, gab_buffer_slice(&g->weights, 0, g->copy_bytes),
                                gab_buffer_slice(&g->weights, i * g->copy_bytes, g->copy_bytes), g->copy_bytes);
    return status;
}

static gab_status prepare_product(gab_vk *vk, gab_timing_ground *g) {
    const gab_workload *w = &g->workload;
    const limits limit = limits_of(vk);
    const uint64_t row_bytes = gab_dtype_planes_row_bytes(gab_workload_type(w), w->n_col);
    const uint32_t columns = gab_workload_rows(w, vk);
    uint64_t bytes = limit.bytes, rows;
    if (bytes > gab_vk_memory_free(vk) / 4) bytes = gab_vk_memory_free(vk) / 4;
    if (bytes > vk->buffer_bytes_max) bytes = vk->buffer_bytes_max;
    const uint64_t one = bytes < MATRIX_BYTES_MAX ? bytes : MATRIX_BYTES_MAX;
    rows = (one < vk->binding_bytes_max ? one : vk->binding_bytes_max) / row_bytes;
    g->n_row = g->n_laid = rows < w->n_row ? (uint32_t)rows : w->n_row;
    if (g->n_row == 0)
        return gab_fail(&vk->log, GAB_ERROR_DEVICE_MEMORY, "%s has too little memory to tune kernels: use --no-tune",
                        vk->info.name);
    g->copy_bytes = (g->n_row * row_bytes + GAB_SLICE_ALIGN - 1) / GAB_SLICE_ALIGN * GAB_SLICE_ALIGN;
    if (bytes > w->bytes) bytes = w->bytes;
    g->n_copy = bytes / g->copy_bytes > COPIES_MAX ? COPIES_MAX : (uint32_t)(bytes / g->copy_bytes);
    if (g->n_copy == 0 || w->operation >= GAB_OP_MATMUL) g->n_copy = 1;
    GAB_TRY(make_weights(vk, g));
    GAB_TRY(random_buffer(vk, 4ull * columns * gab_row_stride(w->n_col), false, &g->x));
    return gab_buffer_create(vk, GAB_MEMORY_DEVICE, 4ull * columns * gab_row_stride(g->n_row), "tuning", &g->y);
}

static gab_status prepare_attention(gab_vk *vk, gab_timing_ground *g) {
    const gab_workload *w = &g->workload;
    const limits limit = limits_of(vk);
    const uint32_t rows = gab_workload_rows(w, vk), padded = gab_head_dim_padded(w->head_dim);
    g->depth = w->depth < limit.depth ? w->depth : limit.depth;
    const uint64_t page_bytes = (uint64_t)w->n_head_kv * GAB_PAGE * padded * (w->kv_f16 ? 2 : 4);
    const uint64_t pool = (g->depth + GAB_PAGE - 1) / GAB_PAGE * page_bytes;
    const uint32_t n_piece = (g->depth + GAB_PIECE - 1) / GAB_PIECE;
    const uint64_t row_bytes = 4ull * rows * gab_row_stride(w->n_head * w->head_dim);
    GAB_TRY(random_buffer(vk, pool, w->kv_f16, &g->weights));
    GAB_TRY(random_buffer(vk, pool, w->kv_f16, &g->values));
    GAB_TRY(random_buffer(vk, row_bytes, false, &g->x));
    GAB_TRY(gab_buffer_create(vk, GAB_MEMORY_DEVICE, row_bytes, "tuning", &g->y));
    return gab_buffer_create(vk, GAB_MEMORY_DEVICE,
                             gab_attention_pieces_bytes(GAB_MATVEC_COLUMNS_MAX, w->n_head, w->head_dim, n_piece),
                             "tuning", &g->pieces);
}

gab_status gab_timing_prepare(gab_vk *vk, const gab_workload *workload, gab_timing_ground *g) {
    *g = (gab_timing_ground){.workload = *workload};
    const bool attention = gab_workload_is_attention(workload);
    gab_status status = attention ? prepare_attention(vk, g) : prepare_product(vk, g);
    const uint64_t step_bytes = sizeof(gab_step) + 4ull * ((g->depth + GAB_PAGE - 1) / GAB_PAGE + 1);
    if (status == GAB_OK) status = gab_buffer_create(vk, GAB_MEMORY_DEVICE, step_bytes, "tuning", &g->step);
    if (status != GAB_OK) gab_timing_free(vk, g);
    return status;
}

void gab_timing_free(gab_vk *vk, gab_timing_ground *g) {
    gab_buffer *buffers[] = {&g->weights, &g->x, &g->y, &g->step, &g->values, &g->pieces};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) gab_buffer_destroy(vk, buffers[i]);
}

/* ---- the step ---- */

/* Rows at the end of the sequence; for prefill in tiles of the variant's size. Returns the number of tiles. */
static uint32_t fill_step(const gab_vk *vk, const gab_kernel_set *set, const gab_timing_ground *g, gab_step *step,
                          uint32_t *page_table) {
    const uint32_t n = gab_workload_rows(&g->workload, vk);
    *step = (gab_step){.n_row = n};
    if (!gab_workload_is_attention(&g->workload)) return 0;
    const uint32_t tile = gab_attention_tile_rows(set, g->workload.head_dim);
    if (step->n_row > g->depth) step->n_row = g->depth;
    step->table_stride = (g->depth + GAB_PAGE - 1) / GAB_PAGE;
    for (uint32_t i = 0; i < step->table_stride; i++) page_table[i] = i;
    const uint32_t first = g->depth - step->n_row;
    for (uint32_t i = 0; i < step->n_row; i++) step->rows[i].position = first + i;
    gab_attention_add_tiles(step, 0, 0, step->n_row, first, tile);
    return step->n_work;
}

static gab_status write_step(gab_vk *vk, const gab_kernel_set *set, const gab_timing_ground *g, uint32_t *n_work) {
    gab_step *step = calloc(1, (size_t)g->step.size);
    if (!step) return gab_fail(&vk->log, GAB_ERROR_HOST_MEMORY, "out of host memory for tuning");
    *n_work = fill_step(vk, set, g, step, (uint32_t *)(step + 1));
    gab_status status = gab_slice_write(vk, gab_buffer_all(&g->step), 0, step, g->step.size);
    free(step);
    return status;
}

/* ---- running ---- */

static void record_product(const gab_kernel_context *context, const gab_timing_ground *g, uint32_t copy) {
    const gab_workload *w = &g->workload;
    const gab_dtype type = gab_workload_type(w);
    gab_shard shard = {.slice = gab_buffer_slice(&g->weights, copy * g->copy_bytes, g->copy_bytes),
                       .n_row = g->n_row,
                       .scale_offset = gab_shard_scale_offset(type, w->n_col, g->n_laid)};
    const gab_weight weight = {.type = type, .n_col = w->n_col, .n_row = g->n_row, .n_shard = 1, .shards = &shard};
    const gab_matmul op = {.weight = &weight,
                           .x = gab_buffer_all(&g->x),
                           .y = gab_buffer_all(&g->y),
                           .x_stride = gab_row_stride(w->n_col),
                           .y_stride = gab_row_stride(g->n_row)};
    gab_matmul_record(context, &op);
}

static void record_attention(const gab_kernel_context *context, const gab_timing_ground *g, uint32_t n_work) {
    const gab_workload *w = &g->workload;
    const uint32_t stride = gab_row_stride(w->n_head * w->head_dim);
    const gab_attention op = {.kv = {.keys = gab_buffer_all(&g->weights),
                                     .values = gab_buffer_all(&g->values),
                                     .n_head_kv = w->n_head_kv,
                                     .head_dim = w->head_dim,
                                     .f16 = w->kv_f16},
                              .q = gab_buffer_all(&g->x),
                              .y = gab_buffer_all(&g->y),
                              .q_stride = stride,
                              .y_stride = stride,
                              .n_head = w->n_head,
                              .softcap = w->softcap,
                              .n_piece = (g->depth + GAB_PIECE - 1) / GAB_PIECE,
                              .n_work = n_work,
                              .pieces = gab_buffer_all(&g->pieces)};
    gab_attention_record(context, &op);
}

static gab_status submit_timed(gab_vk *vk, gab_command_list *list, double *ms) {
    const uint64_t start = gab_time_ns();
    uint64_t value;
    GAB_TRY(gab_submit(vk, list, 0, 1, &value));
    GAB_TRY(gab_wait(vk, value));
    *ms = gab_time_ms_since(start);
    if (vk->info.kind == GAB_DEVICE_CPU) return GAB_OK;
    gab_command_list_measure(vk, list);
    if (list->ms[0] > 0) *ms = list->ms[0];
    return GAB_OK;
}

/* The least time a run takes in n_sample submits of n_run each, after n_warm that do not count. */
static gab_status sample(gab_vk *vk, const gab_kernel_set *set, gab_timing_ground *g, uint32_t n_warm,
                         uint32_t n_sample, uint32_t n_run, double enough_ms, double *ms) {
    gab_status status;
    gab_command_list list = {0};
    gab_recorder recorder = {.vk = vk, .list = &list};
    const gab_kernel_context context = {.recorder = &recorder,
                                        .set = *set,
                                        .step = gab_buffer_all(&g->step),
                                        .n_row = gab_workload_rows(&g->workload, vk)};
    uint32_t n_work = 0;
    GAB_TRY_GOTO(write_step(vk, set, g, &n_work), error);
    GAB_TRY_GOTO(gab_command_list_create(vk, 1, &list), error);
    gab_record_open(&recorder);
    for (uint32_t i = 0; i < n_run; i++) {
        if (gab_workload_is_attention(&g->workload))
            record_attention(&context, g, n_work);
        else
            record_product(&context, g, i % g->n_copy);
        gab_record_barrier(&recorder);
    }
    gab_record_close(&recorder);
    GAB_TRY_GOTO(recorder.status, error);
    *ms = INFINITY;
    for (uint32_t i = 0; i < n_warm + n_sample; i++) {
        double now = 0;
        GAB_TRY_GOTO(submit_timed(vk, &list, &now), error);
        if (i >= n_warm && now / n_run < *ms) *ms = now / n_run;
        if (i >= n_warm && enough_ms > 0 && *ms > enough_ms) break;
    }
error:
    gab_command_list_destroy(vk, &list);
    return status;
}

/* Attention of many rows: as many positions, all of the rows among them. */
static gab_status fit_depth(gab_vk *vk, const gab_kernel_set *set, gab_timing_ground *g) {
    const uint32_t all = g->depth, first = gab_workload_rows(&g->workload, vk);
    double ms = 0;
    if (g->workload.operation != GAB_OP_ATTENTION_PREFILL || all <= first) return GAB_OK;
    g->depth = first;
    GAB_TRY(sample(vk, set, g, 1, 1, 1, 0, &ms));
    const double depth = first * limits_of(vk).dispatch_ms / ms;
    g->depth = depth >= all ? all : depth < first ? first : (uint32_t)depth / GAB_PAGE * GAB_PAGE;
    return GAB_OK;
}

/* As many rows as a run of dispatch_ms has time for, by the variant at hand; the same for those that follow. */
static gab_status fit(gab_vk *vk, const gab_kernel_set *set, gab_timing_ground *g) {
    const uint32_t all = g->n_row;
    double ms = 0;
    g->fitted = true;
    if (gab_workload_is_attention(&g->workload)) return fit_depth(vk, set, g);
    if (all <= FIRST_ROWS) return GAB_OK;
    g->n_row = FIRST_ROWS;
    GAB_TRY(sample(vk, set, g, 1, 1, 1, 0, &ms));
    const double rows = FIRST_ROWS * limits_of(vk).dispatch_ms / ms;
    g->n_row = rows >= all ? all : rows < FIRST_ROWS ? FIRST_ROWS : (uint32_t)rows / FIRST_ROWS * FIRST_ROWS;
    return GAB_OK;
}

/* Runs of a sample: all copies of the weights, where there is time for them. */
static uint32_t runs_of(const limits *limit, const gab_timing_ground *g, double once) {
    double n_run = ceil(limit->sample_ms / once);
    if (n_run < g->n_copy && g->n_copy * once < 4 * limit->sample_ms) n_run = g->n_copy;
    return n_run > 256 ? 256 : (uint32_t)n_run;
}

gab_status gab_timing_run(gab_vk *vk, const gab_kernel_set *set, gab_timing_ground *g, double best_ms, double *ms) {
    const limits limit = limits_of(vk);
    double once = 0;
    if (!g->fitted) GAB_TRY(fit(vk, set, g));
    GAB_TRY(sample(vk, set, g, 1, 1, 1, 0, &once));
    *ms = once;
    if (best_ms > 0 && once > hopeless_run * best_ms) return GAB_OK;
    const uint32_t n_sample = once > limit.dispatch_ms ? 2 : limit.n_sample;
    return sample(vk, set, g, 0, n_sample, runs_of(&limit, g, once), best_ms * hopeless_sample, ms);
}

static double middle(double a, double b, double c) {
    return fmax(fmin(a, b), fmin(fmax(a, b), c));
}

gab_status gab_timing_duel(gab_vk *vk, const gab_kernel_set *a, const gab_kernel_set *b, gab_timing_ground *g,
                           double near_ms, double *a_ms, double *b_ms) {
    enum { ROUNDS = 3 };
    const limits limit = limits_of(vk);
    const uint32_t n_run = runs_of(&limit, g, near_ms);
    double ms[2][ROUNDS] = {{0}};
    for (int i = 0; i < ROUNDS; i++) {
        GAB_TRY(sample(vk, a, g, 0, 1, n_run, 0, &ms[0][i]));
        GAB_TRY(sample(vk, b, g, 0, 1, n_run, 0, &ms[1][i]));
    }
    *a_ms = middle(ms[0][0], ms[0][1], ms[0][2]);
    *b_ms = middle(ms[1][0], ms[1][1], ms[1][2]);
    return GAB_OK;
}

/* ---- what was run ---- */

void gab_timing_shape(const gab_vk *vk, const gab_timing_ground *g, char *text, size_t size) {
    const gab_workload *w = &g->workload;
    const uint32_t rows = gab_workload_rows(w, vk);
    if (gab_workload_is_attention(w))
        snprintf(text, size, "%u/%u heads of %u, %s, %u x %u", w->n_head, w->n_head_kv, w->head_dim,
                 w->kv_f16 ? "f16" : "f32", g->depth, rows < g->depth ? rows : g->depth);
    else
        snprintf(text, size, "%ux%u x %u", g->n_row, w->n_col, rows);
}

double gab_timing_bytes(const gab_timing_ground *g) {
    const gab_workload *w = &g->workload;
    if (gab_workload_is_attention(w))
        return 2.0 * g->depth * w->n_head_kv * gab_head_dim_padded(w->head_dim) * (w->kv_f16 ? 2 : 4);
    return (double)g->n_row * (double)gab_dtype_planes_row_bytes(gab_workload_type(w), w->n_col);
}

double gab_timing_operations(const gab_vk *vk, const gab_timing_ground *g) {
    const gab_workload *w = &g->workload;
    double rows = gab_workload_rows(w, vk);
    if (!gab_workload_is_attention(w)) return 2.0 * g->n_row * w->n_col * rows;
    if (rows > g->depth) rows = g->depth;
    return 4.0 * w->n_head * w->head_dim * rows * (g->depth - (rows - 1) / 2);
}
