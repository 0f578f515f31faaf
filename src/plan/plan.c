#include "plan/plan.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/matmul.h"

static const uint32_t row_sizes[] = {0, 1, 2, 4, 8, 32, 128, GAB_ROW_MAX};
static const uint32_t out_sizes[] = {0, 1, 2, 4, 8, GAB_OUT_MAX};

enum { PRIMARY_MAX = 1 << 16 };

enum { SCRATCH_COUNT = sizeof(gab_scratch) / sizeof(gab_slice), NONE = GAB_SLICE_ALIGN /* bytes that are not used */ };

static uint32_t n_piece_of(uint32_t depth) {
    return (depth + GAB_PIECE - 1) / GAB_PIECE;
}

static void scratch_bytes(const gab_plan_sizes *s, uint64_t bytes[SCRATCH_COUNT]) {
    const uint64_t rows = GAB_ROW_MAX * sizeof(float), outs = GAB_OUT_MAX * sizeof(float);
    const uint64_t pairs = rows * s->n_used;
    const uint32_t n_hidden = s->n_ff > s->n_input ? s->n_ff : s->n_input;
    const uint64_t sizes[SCRATCH_COUNT] = {
        rows * gab_row_stride(s->n_embd),
        rows * gab_row_stride(s->n_embd),
        rows * gab_row_stride(s->n_qkv),
        rows * gab_row_stride(s->n_head * s->head_dim),
        rows * gab_row_stride(s->n_up ? s->n_up : 1),
        rows * gab_row_stride(n_hidden ? n_hidden : 1),
        s->n_used ? rows * gab_row_stride(s->n_expert) : NONE,
        s->n_used ? sizeof(gab_route) : NONE,
        s->n_used ? pairs * gab_row_stride(2 * s->n_ff_expert) : NONE,
        s->n_used ? pairs * gab_row_stride(s->n_ff_expert) : NONE,
        s->n_used ? pairs * gab_row_stride(s->n_embd) : NONE,
        s->n_input ? rows * gab_row_stride((s->n_layer + 1) * s->n_input) : NONE,
        s->n_input ? rows * gab_row_stride(s->n_layer * s->n_input) : NONE,
        gab_attention_pieces_bytes(8, s->n_head, s->head_dim, n_piece_of(s->context)),
        outs * gab_row_stride(s->n_embd),
        outs * gab_row_stride(s->n_vocab),
        gab_sample_scratch_bytes(GAB_OUT_MAX, s->n_vocab),
    };
    memcpy(bytes, sizes, sizeof sizes);
}

uint64_t gab_plans_bytes(const gab_plan_sizes *sizes) {
    uint64_t bytes[SCRATCH_COUNT], sum = 0;
    scratch_bytes(sizes, bytes);
    for (int i = 0; i < SCRATCH_COUNT; i++) sum += bytes[i];
    return sum + 4 * sizeof(gab_step);
}

gab_status gab_plans_create(gab_vk *vk, const gab_kernel_set *set, const gab_plan_sizes *sizes,
                            const gab_forward_pass *pass, gab_kv_cache *kv, double submit_budget_ms, gab_plans *plans) {
    uint64_t bytes[SCRATCH_COUNT];
    *plans = (gab_plans){.vk = vk,
                         .set = *set,
                         .sizes = *sizes,
                         .pass = *pass,
                         .kv = kv,
                         .table_stride = (sizes->context + GAB_PAGE - 1) / GAB_PAGE,
                         .submit_budget_ms = submit_budget_ms,
                         .piece_ms = submit_budget_ms / 10,
                         /* until measured: a slow desktop processor, a slow integrated GPU */
                         .cost_per_ms = vk->info.kind == GAB_DEVICE_CPU ? 5e6 : 1e8};
    const uint64_t step_bytes = sizeof(gab_step) + 4ull * GAB_SLOT_MAX * plans->table_stride;
    for (int p = 0; p < 2; p++) {
        GAB_TRY(gab_buffer_create(vk, GAB_MEMORY_DEVICE, step_bytes, "the step buffer", &plans->steps[p]));
        GAB_TRY(gab_buffer_create(vk, GAB_MEMORY_MAILBOX, step_bytes, "the mailbox", &plans->mailboxes[p]));
        GAB_TRY(gab_buffer_create(vk, GAB_MEMORY_READBACK, 4 * GAB_OUT_MAX, "readback", &plans->readbacks[p]));
    }
    GAB_TRY(gab_buffer_create(vk, GAB_MEMORY_DEVICE, 4 * GAB_SLOT_MAX, "sampled tokens", &plans->sampled));
    scratch_bytes(sizes, bytes);
    for (int i = 0; i < SCRATCH_COUNT; i++) {
        GAB_TRY(gab_buffer_create(vk, GAB_MEMORY_DEVICE, bytes[i], "activations", &plans->scratch_buffers[i]));
        ((gab_slice *)&plans->scratch)[i] = gab_buffer_all(&plans->scratch_buffers[i]);
    }
    return GAB_OK;
}

static void plan_destroy(gab_vk *vk, gab_plan *plan) {
    for (int p = 0; p < 2; p++) gab_command_list_destroy(vk, &plan->lists[p]);
    free(plan);
}

void gab_plans_forget(gab_plans *plans) {
    while (plans->first) {
        gab_plan *next = plans->first->next;
        plan_destroy(plans->vk, plans->first);
        plans->first = next;
    }
}

void gab_plans_destroy(gab_plans *plans) {
    if (!plans->vk) return;
    gab_plans_forget(plans);
    for (int p = 0; p < 2; p++) {
        gab_buffer_destroy(plans->vk, &plans->steps[p]);
        gab_buffer_destroy(plans->vk, &plans->mailboxes[p]);
        gab_buffer_destroy(plans->vk, &plans->readbacks[p]);
    }
    gab_buffer_destroy(plans->vk, &plans->sampled);
    gab_buffer_destroy(plans->vk, &plans->logits_readback);
    for (int i = 0; i < SCRATCH_COUNT; i++) gab_buffer_destroy(plans->vk, &plans->scratch_buffers[i]);
    memset(plans, 0, sizeof *plans);
}

static uint32_t at_least(const uint32_t *sizes, size_t n, uint32_t wanted) {
    size_t i = 0;
    while (i + 1 < n && sizes[i] < wanted) i++;
    return sizes[i];
}

uint32_t gab_plan_tile_rows(const gab_plans *plans) {
    const uint32_t largest = gab_attention_tile_rows(&plans->set, plans->sizes.head_dim);
    const uint32_t least = gab_attention_tile_rows(&plans->set, plans->sizes.head_dim_least);
    return largest < least ? largest : least;
}

gab_plan_shape gab_plan_shape_for(const gab_plans *plans, uint32_t n_row, uint32_t n_out, uint32_t depth, bool logits) {
    gab_plan_shape shape = {.n_row = at_least(row_sizes, sizeof row_sizes / sizeof *row_sizes, n_row),
                            .n_out = at_least(out_sizes, sizeof out_sizes / sizeof *out_sizes, n_out),
                            .depth = 256,
                            .logits = logits};
    while (shape.depth < depth) shape.depth *= 4;
    if (shape.depth > plans->sizes.context) shape.depth = plans->sizes.context;
    return shape;
}

/* ---- recording ---- */

static void record_mailbox(const gab_plans *plans, const gab_plan_shape *shape, const gab_forward *f, uint32_t parity) {
    gab_recorder *recorder = f->kernels.recorder;
    const VkBufferCopy all[] = {
        {0, 0, offsetof(gab_step, rows) + sizeof(gab_step_row) * shape->n_row},
        {offsetof(gab_step, outs), offsetof(gab_step, outs), sizeof(gab_step_out) * shape->n_out},
        {offsetof(gab_step, works), offsetof(gab_step, works), sizeof(gab_step_work) * f->n_work},
        {sizeof(gab_step), sizeof(gab_step), 4ull * GAB_SLOT_MAX * plans->table_stride},
    };
    VkBufferCopy regions[4];
    uint32_t n = 0;
    for (int i = 0; i < 4; i++)
        if (all[i].size > 0) regions[n++] = all[i];
    gab_record_copy(recorder, gab_buffer_all(&plans->mailboxes[parity]), gab_buffer_all(&plans->steps[parity]), regions,
                    n);
    gab_record_barrier(recorder);
}

static void record_outputs(const gab_plans *plans, const gab_plan_shape *shape, const gab_forward *f, uint32_t parity) {
    gab_recorder *recorder = f->kernels.recorder;
    const uint32_t stride = gab_row_stride(plans->sizes.n_vocab);
    plans->pass.head(plans->pass.model, f);
    gab_record_barrier(recorder);
    if (shape->logits) {
        const VkBufferCopy all = {0, 0, 4ull * stride * shape->n_out};
        gab_record_copy(recorder, plans->scratch.logits, gab_buffer_all(&plans->logits_readback), &all, 1);
    } else {
        const gab_sample op = {.logits = plans->scratch.logits,
                               .n_vocab = plans->sizes.n_vocab,
                               .logits_stride = stride,
                               .scratch = plans->scratch.sample,
                               .sampled = f->sampled,
                               .readback = gab_buffer_all(&plans->readbacks[parity])};
        gab_sample_record(&f->kernels, &op);
    }
}

/* Between parts of the plan: goes on in another primary when this one is no longer short beside a submit. Every primary
 * costs the host: a token of 12 layers takes RADV 5.6 us in 14 of them, 2.4 us in one. */
static void record_next(gab_recorder *r) {
    enum { SHORT = 16 };
    const gab_command_list *list = r->list;
    if (r->status == GAB_OK && list && SHORT * list->cost[list->n_primary - 1] < r->primary_cost) {
        gab_record_barrier(r);
    } else {
        gab_record_close(r);
        gab_record_open(r);
    }
}

/* The whole plan; *layer: what is being recorded. */
static void record_all(gab_plans *plans, const gab_plan_shape *shape, uint32_t parity, gab_recorder *recorder,
                       uint32_t *layer) {
    const uint32_t tile = gab_plan_tile_rows(plans);
    const gab_forward f = {.kernels = {.recorder = recorder,
                                       .set = plans->set,
                                       .step = gab_buffer_all(&plans->steps[parity]),
                                       .n_row = shape->n_row,
                                       .n_out = shape->n_out},
                           .scratch = &plans->scratch,
                           .kv = plans->kv,
                           .sampled = gab_buffer_all(&plans->sampled),
                           .n_piece = n_piece_of(shape->depth),
                           .n_work = shape->n_row <= 8 ? 0 : shape->n_row / tile + GAB_SLOT_MAX};
    *layer = 0;
    gab_record_open(recorder);
    record_mailbox(plans, shape, &f, parity);
    if (shape->n_row > 0) plans->pass.embed(plans->pass.model, &f);
    for (uint32_t i = 0; shape->n_row > 0 && i < plans->sizes.n_layer; i++) {
        *layer = i + 1;
        record_next(recorder);
        plans->pass.layer(plans->pass.model, &f, i);
    }
    *layer = plans->sizes.n_layer + 1;
    record_next(recorder);
    if (shape->n_out > 0) record_outputs(plans, shape, &f, parity);
    gab_record_host_barrier(recorder);
    gab_record_close(recorder);
}

/* Into `list`, or with list NULL only the pipelines that are needed; the operations then. */
static gab_status record(gab_plans *plans, const gab_plan_shape *shape, uint32_t parity, gab_command_list *list,
                         double *cost) {
    gab_recorder recorder = {.vk = plans->vk,
                             .list = list,
                             .piece_cost = plans->piece_ms * plans->cost_per_ms,
                             .primary_cost = plans->submit_budget_ms * plans->cost_per_ms,
                             .n_primary_kept = plans->sizes.n_layer + 2};
    uint32_t layer;
    record_all(plans, shape, parity, &recorder, &layer);
    if (cost) *cost = recorder.cost;
    return recorder.status;
}

/* Primaries that so many operations may be cut into: one a layer, and what follows where one is full, which may be
 * after half of it when a dispatch cannot be cut. */
static uint32_t primaries_needed(const gab_plans *plans, double cost) {
    const double full = plans->submit_budget_ms * plans->cost_per_ms;
    const double n = plans->sizes.n_layer + 3 + (full > 0 ? 2 * cost / full : 0);
    return n < PRIMARY_MAX ? (uint32_t)n : PRIMARY_MAX;
}

typedef struct visit {
    gab_plan_visit_fn fn;
    void *user;
    uint32_t layer;
} visit;

static void visit_dispatch(void *user, const gab_dispatch *dispatch) {
    const visit *v = user;
    v->fn(v->user, dispatch, v->layer);
}

gab_status gab_plan_visit(gab_plans *plans, const gab_plan_shape *shape, gab_plan_visit_fn fn, void *user) {
    visit v = {.fn = fn, .user = user};
    gab_recorder recorder = {.vk = plans->vk, .tell = visit_dispatch, .tell_user = &v};
    record_all(plans, shape, 0, &recorder, &v.layer);
    return recorder.status;
}

bool gab_plan_shape_same(const gab_plan_shape *a, const gab_plan_shape *b) {
    return a->n_row == b->n_row && a->n_out == b->n_out && a->depth == b->depth && a->logits == b->logits;
}

gab_plan *gab_plan_find(const gab_plans *plans, const gab_plan_shape *shape) {
    for (gab_plan *plan = plans->stale ? NULL : plans->first; plan; plan = plan->next)
        if (gab_plan_shape_same(&plan->shape, shape)) return plan;
    return NULL;
}

gab_status gab_plan_get(gab_plans *plans, const gab_plan_shape *shape, gab_plan **out) {
    gab_vk *vk = plans->vk;
    gab_status status;
    if (plans->stale) gab_plans_forget(plans);
    plans->stale = false;
    *out = gab_plan_find(plans, shape);
    if (*out) return GAB_OK;
    if (shape->logits && !plans->logits_readback.buffer)
        GAB_TRY(
            gab_buffer_create(vk, GAB_MEMORY_READBACK, plans->scratch.logits.size, "logits", &plans->logits_readback));
    double cost = 0;
    GAB_TRY(record(plans, shape, 0, NULL, &cost));
    GAB_TRY(gab_pipeline_compile_requested(vk->pipelines));
    gab_plan *plan = calloc(1, sizeof *plan);
    if (!plan) return gab_fail(&vk->log, GAB_ERROR_HOST_MEMORY, "out of host memory for a plan");
    plan->shape = *shape;
    for (uint32_t p = 0; p < 2; p++) {
        GAB_TRY_GOTO(gab_command_list_create(vk, primaries_needed(plans, cost), &plan->lists[p]), error);
        GAB_TRY_GOTO(record(plans, shape, p, &plan->lists[p], NULL), error);
    }
    plan->next = plans->first;
    plans->first = plan;
    *out = plan;
    return GAB_OK;
error:
    plan_destroy(vk, plan);
    return status;
}

/* ---- running ---- */

gab_step *gab_plan_mailbox(gab_plans *plans, uint32_t parity, uint32_t **page_tables) {
    gab_step *step = plans->mailboxes[parity].mapped;
    *page_tables = (uint32_t *)(step + 1);
    step->table_stride = plans->table_stride;
    return step;
}

gab_status gab_plan_submit(gab_plans *plans, gab_plan *plan, uint32_t parity, const gab_plan_stop *stop,
                           uint64_t *value) {
    const gab_command_list *list = &plan->lists[parity];
    uint64_t before = 0; /* the submit but one that was last */
    for (uint32_t first = 0, n; first < list->n_primary; first += n) {
        double ms = 0;
        if (stop && first > 0) {
            if (before > 0) GAB_TRY(gab_wait(plans->vk, before));
            before = *value;
            if (stop->wanted(stop->user)) {
                GAB_TRY(gab_wait(plans->vk, *value));
                return GAB_ERROR_CANCELLED;
            }
        }
        for (n = 0; first + n < list->n_primary; n++) {
            double next = list->ms[first + n] > 0 ? list->ms[first + n] : list->cost[first + n] / plans->cost_per_ms;
            if (n > 0 && ms + next > plans->submit_budget_ms) break;
            ms += next;
        }
        GAB_TRY(gab_submit(plans->vk, list, first, n, value));
    }
    return GAB_OK;
}

/* How fast the device is, from a plan of many rows, of which `share` were used. When it is far from what plans were cut
 * by, they are cut again. */
static void learn_speed(gab_plans *plans, const gab_command_list *list, double share) {
    const double tolerance = plans->measured ? 4 : 2;
    double ms = 0, cost = 0;
    for (uint32_t i = 0; i < list->n_primary; i++) ms += list->ms[i], cost += list->cost[i];
    if (ms <= 0 || cost <= 0) return;
    const double ratio = share * cost / ms / plans->cost_per_ms;
    plans->measured = true;
    if (ratio > 1 / tolerance && ratio < tolerance) return;
    plans->cost_per_ms *= ratio;
    plans->stale = true;
}

gab_status gab_plan_wait(gab_plans *plans, gab_plan *plan, uint32_t parity, uint64_t value) {
    enum { MEASURE_EVERY = 64 };
    gab_command_list *list = &plan->lists[parity];
    GAB_TRY(gab_wait(plans->vk, value));
    if (list->n_run++ % MEASURE_EVERY != 0) return GAB_OK;
    gab_command_list_measure(plans->vk, list);
    const gab_step *step = plans->mailboxes[parity].mapped; /* of the step that has run: the next one comes after */
    const double share = (double)step->n_row / (plan->shape.n_row ? plan->shape.n_row : 1);
    if (plans->vk->executes && plan->shape.n_row > GAB_MATVEC_COLUMNS_MAX && 2 * share >= 1)
        learn_speed(plans, list, share);
    return GAB_OK;
}

gab_status gab_plan_prepare(gab_plans *plans, const gab_plan_shape *shape) {
    gab_plan *plan;
    uint64_t value = 0;
    GAB_TRY(gab_plan_get(plans, shape, &plan));
    for (uint32_t parity = 0; parity < 2; parity++) {
        uint32_t *tables;
        gab_step *step = gab_plan_mailbox(plans, parity, &tables);
        step->n_row = step->n_out = step->n_work = 0;
        GAB_TRY(gab_plan_submit(plans, plan, parity, NULL, &value));
        GAB_TRY(gab_wait(plans->vk, value));
    }
    return GAB_OK;
}

const uint32_t *gab_plan_tokens(const gab_plans *plans, uint32_t parity) {
    return plans->readbacks[parity].mapped;
}

const float *gab_plan_logits(const gab_plans *plans, uint32_t *logits_stride) {
    *logits_stride = gab_row_stride(plans->sizes.n_vocab);
    return plans->logits_readback.mapped;
}
