#include "plan/workload.h"

#include <stdio.h>
#include <string.h>

const gab_workload_recorders gab_workload_kernels = {gab_matmul_record, gab_attention_record};

bool gab_workload_is_attention(const gab_workload *workload) {
    return workload->operation >= GAB_OP_ATTENTION_DECODE;
}

gab_dtype gab_workload_type(const gab_workload *workload) {
    return (gab_dtype)(workload->operation % GAB_DTYPE_COUNT); /* the tables of products are whole rows of types */
}
_Static_assert(GAB_OP_MATVEC == 0 && GAB_OP_MATMUL_SMALL % GAB_DTYPE_COUNT == 0 && GAB_OP_MATMUL % GAB_DTYPE_COUNT == 0,
               "gab_workload_type");

uint32_t gab_workload_rows(const gab_workload *workload, const gab_vk *vk) {
    const gab_operation o = workload->operation;
    if (o < GAB_OP_MATMUL_SMALL || o == GAB_OP_ATTENTION_DECODE) return 1;
    if (o < GAB_OP_MATMUL) return GAB_MATMUL_SMALL_COLUMNS_MAX;
    if (vk->info.kind != GAB_DEVICE_CPU) return GAB_ROW_MAX;
    return o < GAB_OP_ATTENTION_DECODE ? 128 : 64;
}

static uint32_t power_of_two_above(uint32_t n) {
    uint32_t p = 1;
    while (p < n && p < 1u << 31) p *= 2;
    return p;
}

gab_workload gab_workload_other(const gab_workload *w) {
    gab_workload other = *w;
    other.n_head_kv = w->other_n_head_kv;
    other.head_dim = w->other_head_dim;
    other.other_n_head_kv = other.other_head_dim = 0;
    return other;
}

void gab_workload_class(const gab_workload *w, char *text, size_t size) {
    char other[48] = "", heads[64] = "";
    if (w->head_dim > 0)
        snprintf(heads, sizeof heads, ", heads of %u%s, %s", w->head_dim, w->n_turn ? " rotated" : "",
                 w->kv_f16 ? "f16" : "f32");
    if (w->other_head_dim > 0) snprintf(other, sizeof other, " and %u of %u", w->other_n_head_kv, w->other_head_dim);
    if (gab_workload_is_attention(w))
        snprintf(text, size, "%u/%u heads of %u%s, %s, %u%s%s%s", w->n_head, w->n_head_kv, w->head_dim, other,
                 w->kv_f16 ? "f16" : "f32", power_of_two_above(w->depth), w->window ? ", windows" : "",
                 w->softcap > 0 ? ", limited" : "", w->sinks ? ", sinks" : "");
    else
        snprintf(text, size, "%ux%u%s%s%s", power_of_two_above(w->n_row), power_of_two_above(w->n_col),
                 w->experts ? ", experts" : "", w->gated ? ", gates" : "", heads);
}

/* Products as some weights of the model need them besides. */
static void record_forms(const gab_kernel_context *c, const gab_workload *w, const gab_weight *weight) {
    gab_weight stack = *weight;
    stack.n_expert = 2;
    const gab_experts experts = {.n_expert = 2, .n_used = 1};
    const gab_gated gated = {.n = w->n_row / 2, .in_turn = true};
    const gab_rope rope = {.n_turn = w->n_turn};
    gab_shard shard = {.n_row = 3 * w->head_dim};
    gab_weight heads = *weight;
    heads.n_row = shard.n_row;
    heads.shards = &shard;
    const gab_kv_write kv = {.kv = {.n_head_kv = 1, .head_dim = w->head_dim, .f16 = w->kv_f16},
                             .k_offset = w->head_dim,
                             .v_offset = 2 * w->head_dim};
    gab_matmul op = {.weight = &stack, .experts = &experts};
    if (w->experts) gab_matmul_record(c, &op);
    if (!gab_variant_of(&c->set, w->operation)->pairs) return;
    op.gated = w->n_row % 2 == 0 ? &gated : NULL;
    if (w->experts && w->gated) gab_matmul_record(c, &op);
    op = (gab_matmul){.weight = weight, .gated = op.gated};
    if (w->gated) gab_matmul_record(c, &op);
    op = (gab_matmul){.weight = &heads, .kv = &kv, .rope = w->n_turn ? &rope : NULL};
    if (w->head_dim > 0) gab_matmul_record(c, &op);
}

static void record_product(gab_recorder *recorder, const gab_kernel_set *set, const gab_workload *w) {
    const bool decode = w->operation < GAB_OP_MATMUL_SMALL;
    gab_shard shard = {.n_row = w->n_row};
    const gab_weight weight = {
        .type = gab_workload_type(w), .n_col = w->n_col, .n_row = w->n_row, .n_shard = 1, .shards = &shard};
    const gab_matmul matmul = {.weight = &weight};
    const uint32_t first = gab_workload_rows(w, recorder->vk), last = decode ? GAB_MATVEC_COLUMNS_MAX : first;
    for (uint32_t n = first; n <= last; n *= 2) {
        const gab_kernel_context context = {.recorder = recorder, .set = *set, .n_row = n};
        gab_matmul_record(&context, &matmul);
        if (n == first) record_forms(&context, w, &weight);
    }
}

static void record_attention(gab_recorder *recorder, const gab_kernel_set *set, const gab_workload *w) {
    const gab_slice sinks = {0};
    gab_attention attention = {.kv = {.n_head_kv = w->n_head_kv, .head_dim = w->head_dim, .f16 = w->kv_f16},
                               .n_head = w->n_head,
                               .softcap = w->softcap,
                               .sinks = w->sinks ? &sinks : NULL,
                               .n_piece = 1,
                               .n_work = 1};
    const gab_kernel_context context = {.recorder = recorder, .set = *set, .n_row = gab_workload_rows(w, recorder->vk)};
    gab_attention_record(&context, &attention);
    attention.window = w->window;
    if (w->window > 0) gab_attention_record(&context, &attention);
}

uint32_t gab_workload_keys(gab_vk *vk, const gab_kernel_set *set, const gab_workload *w,
                           gab_pipeline_key keys[GAB_WORKLOAD_KEYS_MAX]) {
    gab_recorder recorder = {.vk = vk, .keys = keys, .key_capacity = GAB_WORKLOAD_KEYS_MAX};
    const gab_workload other = gab_workload_other(w);
    if (!gab_workload_is_attention(w)) record_product(&recorder, set, w);
    if (gab_workload_is_attention(w)) record_attention(&recorder, set, w);
    if (other.head_dim > 0) record_attention(&recorder, set, &other);
    return recorder.n_key;
}
