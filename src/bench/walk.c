#include "bench/walk.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plan/selftest.h"
#include "tensor/quant.h"

/* ---- what a dispatch is ---- */

static const struct {
    const char *name; /* how the shader's begins */
    bench_op op;
} ops[] = {
    {"matvec_", BENCH_OP_PRODUCT},
    {"matmul_", BENCH_OP_PRODUCT},
    {"attention_decode", BENCH_OP_ATTENTION_DECODE},
    {"attention_prefill", BENCH_OP_ATTENTION_PREFILL},
    {"attention_lane", BENCH_OP_ATTENTION_PREFILL}, /* or decode */
    {"attention_merge", BENCH_OP_ATTENTION_MERGE},
    {"layernorm", BENCH_OP_LAYERNORM},
    {"rmsnorm", BENCH_OP_RMSNORM},
    {"gather", BENCH_OP_GATHER},
    {"kv_write", BENCH_OP_KV_WRITE},
    {"rope", BENCH_OP_ROPE},
    {"gated", BENCH_OP_GATED},
    {"sample", BENCH_OP_SAMPLE},
    {"expert_route", BENCH_OP_EXPERT_ROUTE},
    {"expert_runs", BENCH_OP_EXPERT_RUNS},
    {"expert_sum", BENCH_OP_EXPERT_SUM},
};

static bench_op op_of(const gab_pipeline_key *key) {
    const char *name = gab_shaders[key->shader].name;
    if (strcmp(name, "attention_lane") == 0 && key->spec[GAB_SPEC_DECODE]) return BENCH_OP_ATTENTION_DECODE;
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (strncmp(name, ops[i].name, strlen(ops[i].name)) == 0) return ops[i].op;
    return BENCH_OP_OTHER;
}

/* By the shader's name, which ends in it. */
static gab_dtype type_of(const char *shader) {
    for (int t = GAB_DTYPE_COUNT - 1; t > 0; t--) {
        const char *name = gab_dtype_get((gab_dtype)t)->name;
        const size_t n = strlen(name), n_shader = strlen(shader);
        bool same = n_shader > n;
        for (size_t i = 0; same && i < n; i++) {
            const char c = name[i];
            same = shader[n_shader - n + i] == (c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c);
        }
        if (same) return (gab_dtype)t;
    }
    return GAB_DTYPE_F32;
}

static bench_ceiling_id arithmetic_of(const char *shader) {
    if (strstr(shader, "_dot8")) return BENCH_CEILING_DOT;
    if (strstr(shader, "_half")) return BENCH_CEILING_F16;
    return strstr(shader, "_matrix") ? BENCH_CEILING_MATRIX : BENCH_CEILING_F32;
}

static uint32_t columns_of(const bench_walk *w, const gab_matmul_args *args) {
    return args->of_outs ? w->n_out : w->n_row;
}

/* Relative, that the kernel may have: by its shader, whatever it was chosen for. */
static double error_of(const bench_kernel *k) {
    for (uint32_t i = 0; i < gab_matmul_n_variant; i++)
        if (gab_shader_of_type(gab_matmul_variants[i].shader, k->type) == k->dispatch.pipeline.shader)
            return (double)gab_matmul_variants[i].error;
    return 0;
}

/* Experts are counted as if all were equally likely: a shard has its share of the columns, and of the experts that any
 * row goes to. */
static void describe_product(const bench_walk *w, bench_kernel *k) {
    const gab_matmul_args *a = &k->args.matmul;
    const bool experts = k->dispatch.pipeline.spec[GAB_SPEC_EXPERTS] != GAB_EXPERTS_NONE;
    const double n_expert = experts ? w->engine->plans.sizes.n_expert : 1, share = experts ? a->n_expert / n_expert : 1;
    const uint32_t rows = columns_of(w, a), all_cols = rows * (experts ? a->n_used : 1);
    const double matrices = experts ? share * n_expert * (1 - pow(1 - a->n_used / n_expert, rows)) : 1;
    const double cols = share * all_cols, x_rows = experts ? cols / a->x_share : cols;
    k->n_col = (uint32_t)(a->n_block * (16 * 256 / gab_dtype_plane_row_bytes(k->type, 0, 256)));
    k->error = error_of(k);
    k->arithmetic = arithmetic_of(k->name);
    snprintf(k->shape, sizeof k->shape, "%ux%u x %u", a->n_row, k->n_col, all_cols);
    k->bytes = matrices * a->n_row * (double)gab_dtype_planes_row_bytes(k->type, k->n_col) + 4.0 * x_rows * k->n_col +
               4.0 * cols * a->n_row * (a->residual ? 2 : 1);
    k->operations = 2.0 * a->n_row * k->n_col * cols;
}

static uint32_t seen_by(const gab_attention_args *a, uint32_t position) {
    return a->window > 0 && a->window <= position ? a->window : position + 1;
}

static void describe_attention(const bench_walk *w, bench_kernel *k) {
    const gab_attention_args *a = &k->args.attention;
    const double vector = gab_head_dim_padded(a->head_dim) * (w->kv_f16 ? 2.0 : 4.0);
    double keys = 0, pairs = 0;
    for (uint32_t r = 0; r < w->n_row; r++) {
        const uint32_t seen = seen_by(a, w->position + r);
        pairs += seen;
        keys = w->together ? (seen > keys ? seen : keys) : keys + seen;
    }
    k->arithmetic = arithmetic_of(k->name);
    if (k->arithmetic == BENCH_CEILING_MATRIX) k->error = 1e-3;
    k->bytes = 2 * keys * a->n_head_kv * vector + 8.0 * w->n_row * a->n_head * a->head_dim;
    k->operations = 4.0 * pairs * a->n_head * a->head_dim;
    snprintf(k->shape, sizeof k->shape, "%u/%u heads of %u, %u at %u", a->n_head, a->n_head_kv, a->head_dim, w->n_row,
             w->position);
}

/* The small ones: floats a row that are read and written once. */
static void describe_rows(const bench_walk *w, bench_kernel *k) {
    double floats = 0, rows = w->n_row;
    switch (k->op) {
    case BENCH_OP_ATTENTION_MERGE:
        floats = k->args.attention.n_head * (k->args.attention.head_dim * (k->args.attention.n_piece + 1.0));
        break;
    case BENCH_OP_LAYERNORM:
        floats = 2.0 * k->args.layernorm.n_col;
        rows = k->args.layernorm.of_outs ? w->n_out : w->n_row;
        break;
    case BENCH_OP_RMSNORM:
        floats = 2.0 * k->args.rmsnorm.n_col;
        rows = k->args.rmsnorm.of_outs ? w->n_out : w->n_row;
        break;
    case BENCH_OP_KV_WRITE: floats = 3.0 * k->args.kv_write.n_head_kv * k->args.kv_write.head_dim; break;
    case BENCH_OP_ROPE:
        floats = (2.0 * k->args.rope.n_head +
                  (k->dispatch.groups[0] > k->args.rope.n_head ? 3.0 : 0.0) * k->args.rope.n_head_kv) *
                 k->args.rope.head_dim;
        break;
    case BENCH_OP_GATED: floats = 3.0 * k->args.gated.n * k->args.gated.n_used; break;
    case BENCH_OP_EXPERT_ROUTE: floats = k->args.expert.n_expert; break;
    case BENCH_OP_EXPERT_RUNS: floats = 3.0 * k->args.expert.n_used; break;
    case BENCH_OP_EXPERT_SUM: floats = k->args.expert.n_col * (k->args.expert.n_used + 2.0); break;
    case BENCH_OP_SAMPLE:
        floats = k->args.sample.n_vocab;
        rows = w->n_out;
        break;
    default: break;
    }
    k->bytes = 4 * floats * rows;
    k->operations = 4 * floats * rows;
    snprintf(k->shape, sizeof k->shape, "%.0f floats x %.0f", floats, rows);
}

static void describe(const bench_walk *w, bench_kernel *k) {
    k->op = op_of(&k->dispatch.pipeline);
    k->name = gab_shaders[k->dispatch.pipeline.shader].name;
    k->arithmetic = BENCH_CEILING_F32;
    if (k->op == BENCH_OP_PRODUCT || k->op == BENCH_OP_GATHER) k->type = type_of(k->name);
    if (k->op == BENCH_OP_PRODUCT) {
        describe_product(w, k);
    } else if (k->op == BENCH_OP_ATTENTION_DECODE || k->op == BENCH_OP_ATTENTION_PREFILL) {
        describe_attention(w, k);
    } else if (k->op == BENCH_OP_GATHER) {
        k->n_col = (uint32_t)(k->args.gather.n_block * (16 * 256 / gab_dtype_plane_row_bytes(k->type, 0, 256)));
        k->bytes = (double)w->n_row * ((double)gab_dtype_planes_row_bytes(k->type, k->n_col) + 4.0 * k->n_col);
        snprintf(k->shape, sizeof k->shape, "%u x %u", k->n_col, w->n_row);
    } else {
        describe_rows(w, k);
    }
}

/* Of one kernel: nothing but bindings and addresses differs. */
static bool same_kernel(const bench_kernel *a, const bench_kernel *b) {
    bench_args x = a->args, y = b->args;
    if (memcmp(&a->dispatch.pipeline, &b->dispatch.pipeline, sizeof a->dispatch.pipeline) != 0 ||
        memcmp(a->dispatch.groups, b->dispatch.groups, sizeof a->dispatch.groups) != 0)
        return false;
    bench_args *const both[] = {&x, &y};
    for (int i = 0; i < 2; i++) {
        if (a->op == BENCH_OP_PRODUCT)
            both[i]->matmul.weights_low = both[i]->matmul.weights_high = both[i]->matmul.x_low =
                both[i]->matmul.x_high = 0;
        if (a->op == BENCH_OP_ATTENTION_DECODE || a->op == BENCH_OP_ATTENTION_PREFILL)
            both[i]->attention.keys_low = both[i]->attention.keys_high = both[i]->attention.values_low =
                both[i]->attention.values_high = 0;
    }
    return memcmp(x.bytes, y.bytes, sizeof x.bytes) == 0;
}

static void visit(void *user, const gab_dispatch *dispatch, uint32_t layer) {
    bench_walk *w = user;
    if (w->status != GAB_OK) return;
    if (w->n == w->capacity) {
        const uint32_t larger = w->capacity ? 2 * w->capacity : 64;
        bench_kernel *kernels = realloc(w->kernels, larger * sizeof *kernels);
        if (!kernels) {
            w->status = gab_fail(&w->engine->log, GAB_ERROR_HOST_MEMORY, "out of host memory");
            return;
        }
        w->kernels = kernels;
        w->capacity = larger;
    }
    bench_kernel *k = &w->kernels[w->n];
    *k = (bench_kernel){.dispatch = *dispatch, .layer = layer, .first = w->n};
    memcpy(k->args.bytes, dispatch->push, dispatch->push_bytes);
    describe(w, k);
    for (uint32_t i = 0; i < w->n; i++)
        if (w->kernels[i].first == i && same_kernel(&w->kernels[i], k)) {
            k->first = i;
            break;
        }
    w->n++;
}

/* ---- the step ---- */

static uint32_t pages_of(const bench_walk *w) {
    return (w->position + w->n_row + GAB_PAGE - 1) / GAB_PAGE;
}

/* Sequences of their own share their pages, and write them at positions that follow each other. */
static void fill_step(bench_walk *w, float temperature) {
    const gab_engine *e = w->engine;
    gab_step *step = w->step;
    uint32_t *tables = (uint32_t *)(step + 1);
    const uint32_t pages = pages_of(w), tile = gab_plan_tile_rows(&e->plans);
    step->n_row = w->n_row;
    step->n_out = w->n_out;
    step->table_stride = e->plans.table_stride;
    for (uint32_t r = 0; r < w->n_row; r++)
        step->rows[r] = (gab_step_row){.token = (r * 7919u + 11) % e->info.n_vocab,
                                       .slot = w->together ? 0 : r % GAB_SLOT_MAX,
                                       .position = w->position + r};
    for (uint32_t r = 0; r < w->n_row; r += w->together ? w->n_row : 1)
        gab_attention_add_tiles(step, step->rows[r].slot, r, w->together ? w->n_row : 1, step->rows[r].position, tile);
    for (uint32_t i = 0; i < w->n_out; i++)
        step->outs[i] = (gab_step_out){.row = w->together ? w->n_row - 1 : i,
                                       .slot = i % GAB_SLOT_MAX,
                                       .temperature = temperature,
                                       .top_k = 40,
                                       .top_p = 0.95f,
                                       .min_p = 0.05f,
                                       .repeat_penalty = 1,
                                       .seed_low = 7,
                                       .position = w->position + i + 1};
    for (uint32_t s = 0; s < GAB_SLOT_MAX; s++)
        for (uint32_t p = 0; p < pages; p++) tables[s * step->table_stride + p] = p;
}

gab_status bench_walk_make(gab_engine *e, uint32_t n_row, uint32_t position, bool together, float temperature,
                           bench_walk *w) {
    *w = (bench_walk){.engine = e,
                      .n_row = n_row,
                      .n_out = together ? 1 : n_row,
                      .position = position,
                      .together = together,
                      .kv_f16 = e->kv.layers[0].f16};
    const uint32_t depth = position + n_row;
    w->shape = gab_plan_shape_for(&e->plans, n_row, w->n_out, depth, false);
    w->step_bytes = sizeof *w->step + 4ull * GAB_SLOT_MAX * e->plans.table_stride;
    w->step = calloc(1, w->step_bytes);
    if (!w->step) return gab_fail(&e->log, GAB_ERROR_HOST_MEMORY, "out of host memory");
    GAB_TRY(bench_grow_cache(e, pages_of(w)));
    fill_step(w, temperature);
    GAB_TRY(gab_plan_visit(&e->plans, &w->shape, visit, w));
    GAB_TRY(w->status);
    return gab_slice_write(e->vk, gab_buffer_all(&e->plans.steps[0]), 0, w->step, w->step_bytes);
}

void bench_walk_free(bench_walk *w) {
    free(w->step);
    free(w->kernels);
    *w = (bench_walk){0};
}

gab_status bench_grow_cache(gab_engine *e, uint32_t n_page) {
    if (e->kv.n_page >= n_page) return GAB_OK;
    gab_status status = GAB_OK;
    while (status == GAB_OK && e->kv.n_page < n_page) status = gab_kv_cache_grow(&e->kv);
    gab_plans_forget(&e->plans);
    return status == GAB_OK ? bench_fill_cache(e) : status;
}

gab_status bench_fill_cache(gab_engine *e) {
    enum { CHUNK = 1 << 18 };
    uint64_t random = 5;
    uint32_t *words = malloc(4 * CHUNK);
    if (!words) return gab_fail(&e->log, GAB_ERROR_HOST_MEMORY, "out of host memory");
    for (uint32_t i = 0; i < CHUNK; i++) {
        const float value = gab_selftest_number(&random);
        memcpy(&words[i], &value, sizeof value);
        if (e->kv.layers[0].f16)
            words[i] = gab_f32_to_f16(value) | (uint32_t)gab_f32_to_f16(gab_selftest_number(&random)) << 16;
    }
    gab_status status = GAB_OK;
    for (uint32_t b = 0; b < 2 * e->kv.n_layer; b++) {
        const gab_slice slice = gab_buffer_all(&e->kv.buffers[b]);
        for (uint64_t at = 0; status == GAB_OK && at < slice.size; at += 4 * CHUNK)
            status =
                gab_slice_write(e->vk, slice, at, words, slice.size - at < 4 * CHUNK ? slice.size - at : 4 * CHUNK);
    }
    free(words);
    return status;
}

/* ---- running ---- */

enum { PRIMARY_MAX = 512 };

gab_status bench_walk_run(const bench_walk *w, uint32_t first, uint32_t n) {
    gab_vk *vk = w->engine->vk;
    const gab_plans *plans = &w->engine->plans;
    gab_command_list list = {0};
    gab_recorder recorder = {.vk = vk,
                             .list = &list,
                             .piece_cost = plans->piece_ms * plans->cost_per_ms,
                             .primary_cost = plans->submit_budget_ms * plans->cost_per_ms};
    gab_status status;
    uint64_t value = 0;
    GAB_TRY_GOTO(gab_command_list_create(vk, PRIMARY_MAX, &list), error);
    gab_record_open(&recorder);
    for (uint32_t i = first; i < first + n; i++) {
        gab_dispatch dispatch = w->kernels[i].dispatch;
        dispatch.push = w->kernels[i].args.bytes;
        gab_record_dispatch(&recorder, &dispatch);
        gab_record_barrier(&recorder);
    }
    gab_record_host_barrier(&recorder);
    gab_record_close(&recorder);
    GAB_TRY_GOTO(recorder.status, error);
    for (uint32_t i = 0; i < list.n_primary; i++) {
        GAB_TRY_GOTO(gab_submit(vk, &list, i, 1, &value), error);
        GAB_TRY_GOTO(gab_wait(vk, value), error);
    }
error:
    gab_command_list_destroy(vk, &list);
    return status;
}

typedef struct timed {
    const bench_walk *walk;
    uint32_t first;
} timed;

static void record_timed(const void *user, gab_recorder *recorder, uint32_t turn) {
    const timed *t = user;
    bool any = false;
    (void)turn;
    for (uint32_t i = t->first; i < t->walk->n; i++) {
        if (t->walk->kernels[i].first != t->first) continue;
        gab_dispatch dispatch = t->walk->kernels[i].dispatch;
        dispatch.push = t->walk->kernels[i].args.bytes;
        if (any) gab_record_barrier(recorder);
        gab_record_dispatch(recorder, &dispatch);
        any = true;
    }
}

static uint32_t count_of(const bench_walk *w, uint32_t first) {
    uint32_t n = 0;
    for (uint32_t i = first; i < w->n; i++) n += w->kernels[i].first == first;
    return n;
}

gab_status bench_walk_time(const bench_walk *w, uint32_t first, uint32_t n_run, double submit_ms, bench_time *time) {
    const timed t = {w, first};
    const bench_work work = {record_timed, &t, submit_ms};
    const double n = count_of(w, first);
    GAB_TRY(bench_measure(w->engine->vk, &work, n_run, time));
    time->ms /= n;
    time->least /= n;
    time->most /= n;
    return GAB_OK;
}

/* What a step touches decides which cache it could come from: all weights and keys, or those of one dispatch if it is
 * run alone; kernels of a step are therefore all compared with the step's own working set. */
double bench_walk_ideal_ms(const bench_walk *w, const bench_ceilings *ceilings, uint32_t first, bool *by_bytes) {
    double bytes = 0, ms = 0, ms_bytes = 0;
    for (uint32_t i = 0; i < w->n; i++) bytes += w->kernels[i].bytes;
    const double read = bench_ceiling_of(ceilings, BENCH_CEILING_READ, (uint64_t)bytes);
    for (uint32_t i = 0; i < w->n; i++) {
        const bench_kernel *k = &w->kernels[i];
        if (first != UINT32_MAX && k->first != first) continue;
        double rate = bench_ceiling_of(ceilings, k->arithmetic, 0);
        if (!(rate > 0)) rate = bench_ceiling_of(ceilings, BENCH_CEILING_F32, 0);
        const double b = read > 0 ? k->bytes / read * 1e-6 : 0, o = rate > 0 ? k->operations / rate * 1e-6 : 0;
        ms += b > o ? b : o;
        if (b > o) ms_bytes += b;
    }
    *by_bytes = 2 * ms_bytes >= ms;
    return ms;
}
