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
    char other[48] = "";
    if (w->other_head_dim > 0) snprintf(other, sizeof other, " and %u of %u", w->other_n_head_kv, w->other_head_dim);
    if (gab_workload_is_attention(w))
        snprintf(text, size, "%u/%u heads of %u%s, %s, %u%s%s%s", w->n_head, w->n_head_kv, w->head_dim, other,
                 w->kv_f16 ? "f16" : "f32", power_of_two_above(w->depth), w->window ? ", windows" : "",
                 w->softcap > 0 ? ", limited" : "", w->sinks ? ", sinks" : "");
    else
        snprintf(text, size, "%ux%u", power_of_two_above(w->n_row), power_of_two_above(w->n_col));
}

static void record_keys(gab_recorder *recorder, const gab_kernel_set *set, const gab_workload *w) {
    const bool decode = w->operation < GAB_OP_MATMUL_SMALL;
    gab_shard shard = {.n_row = w->n_row};
    const gab_weight weight = {
        .type = gab_workload_type(w), .n_col = w->n_col, .n_row = w->n_row, .n_shard = 1, .shards = &shard};
    const gab_matmul matmul = {.weight = &weight};
    gab_attention attention = {.kv = {.n_head_kv = w->n_head_kv, .head_dim = w->head_dim, .f16 = w->kv_f16},
                               .n_head = w->n_head,
                               .softcap = w->softcap,
                               .n_piece = 1,
                               .n_work = 1};
    const gab_slice sinks = {0};
    if (w->sinks) attention.sinks = &sinks;
    const uint32_t first = gab_workload_rows(w, recorder->vk), last = decode ? GAB_MATVEC_COLUMNS_MAX : first;
    for (uint32_t n = first; n <= last; n *= 2) {
        const gab_kernel_context context = {.recorder = recorder, .set = *set, .n_row = n};
        if (!gab_workload_is_attention(w)) gab_matmul_record(&context, &matmul);
        for (uint32_t i = 0; gab_workload_is_attention(w) && i < (w->window > 0 ? 2 : 1); i++) {
            attention.window = i * w->window;
            gab_attention_record(&context, &attention);
        }
    }
}

uint32_t gab_workload_keys(gab_vk *vk, const gab_kernel_set *set, const gab_workload *w,
                           gab_pipeline_key keys[GAB_WORKLOAD_KEYS_MAX]) {
    gab_recorder recorder = {.vk = vk, .keys = keys, .key_capacity = GAB_WORKLOAD_KEYS_MAX};
    const gab_workload other = gab_workload_other(w);
    record_keys(&recorder, set, w);
    if (other.head_dim > 0) record_keys(&recorder, set, &other);
    return recorder.n_key;
}
