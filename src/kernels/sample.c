#include "kernels/sample.h"

#include <math.h>
#include <stdlib.h>

static uint32_t scratch_stride(uint32_t n_vocab) {
    return gab_row_stride(n_vocab);
}

uint64_t gab_sample_scratch_bytes(uint32_t n_out, uint32_t n_vocab) {
    return (uint64_t)n_out * scratch_stride(n_vocab) * sizeof(uint32_t);
}

void gab_sample_record(const gab_kernel_context *context, const gab_sample *op) {
    const gab_sample_args args = {
        .n_vocab = op->n_vocab, .logits_stride = op->logits_stride, .scratch_stride = scratch_stride(op->n_vocab)};
    gab_dispatch dispatch = {.pipeline = {.shader = GAB_SHADER_SAMPLE,
                                          .n_binding = 5,
                                          .spec = {[GAB_SPEC_LANES] = context->set.lane ? 128 : 256}},
                             .bindings = {context->step, op->logits, op->scratch, op->sampled, op->readback},
                             .push = &args,
                             .push_bytes = sizeof args,
                             .groups = {context->n_out, 1, 1},
                             .cost = 64.0 * op->n_vocab * context->n_out}; /* some ten passes */
    gab_record_dispatch(context->recorder, &dispatch);
}

/* ---- reference ---- */

typedef struct candidate {
    float logit;
    uint32_t id;
    double mass;
} candidate;

static int by_logit_then_id(const void *left, const void *right) {
    const candidate *a = left, *b = right;
    if (a->logit != b->logit) return a->logit > b->logit ? -1 : 1;
    return a->id < b->id ? -1 : 1;
}

static void penalize(candidate *list, uint32_t n_vocab, const gab_step_out *out) {
    for (uint32_t i = 0; i < out->n_recent && i < GAB_RECENT_MAX; i++) {
        uint32_t id = out->recent[i];
        bool seen = id >= n_vocab;
        for (uint32_t j = 0; j < i && !seen; j++) seen = out->recent[j] == id;
        if (seen) continue;
        float *logit = &list[id].logit;
        *logit = *logit > 0 ? *logit / out->repeat_penalty : *logit * out->repeat_penalty;
    }
}

/* How many of the sorted candidates are left. Fills in their masses, 1 for the likeliest. */
static uint32_t filter(candidate *list, uint32_t n_vocab, const gab_step_out *out) {
    uint32_t n = out->top_k > 0 && out->top_k < n_vocab ? out->top_k : n_vocab;
    double total = 0, sum = 0;
    if (!(out->temperature > 0)) n = 1;
    for (uint32_t i = 0; i < n; i++) {
        list[i].mass = list[i].logit == list[0].logit ? 1
                       : isinf(list[0].logit) || isinf(list[i].logit)
                           ? 0
                           : exp(((double)list[i].logit - list[0].logit) / (double)out->temperature);
        total += list[i].mass;
    }
    if (out->top_p < 1) {
        uint32_t n_kept = 0;
        do sum += list[n_kept++].mass;
        while (n_kept < n && sum < (double)out->top_p * total);
        n = n_kept;
    }
    while (n > 1 && list[n - 1].mass < fmin(out->min_p, 1)) n--;
    return n;
}

bool gab_sample_reference(const float *logits, uint32_t n_vocab, const gab_step_out *out, double *probabilities) {
    candidate *list = malloc(n_vocab * sizeof *list);
    if (!list) return false;
    for (uint32_t i = 0; i < n_vocab; i++) list[i] = (candidate){.logit = logits[i], .id = i};
    penalize(list, n_vocab, out);
    for (uint32_t i = 0; i < n_vocab; i++) {
        if (isnan(list[i].logit)) list[i].logit = -INFINITY;
        probabilities[i] = 0;
    }
    qsort(list, n_vocab, sizeof *list, by_logit_then_id);
    uint32_t n = filter(list, n_vocab, out);
    double total = 0;
    for (uint32_t i = 0; i < n; i++) total += list[i].mass;
    for (uint32_t i = 0; i < n; i++) probabilities[list[i].id] = list[i].mass / total;
    free(list);
    return true;
}

void gab_sample_philox(const uint32_t key[2], const uint32_t counter[4], uint32_t random[4]) {
    uint32_t k0 = key[0], k1 = key[1], c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    for (int i = 0; i < 10; i++, k0 += 0x9e3779b9u, k1 += 0xbb67ae85u) {
        uint64_t p0 = (uint64_t)0xd2511f53u * c0, p1 = (uint64_t)0xcd9e8d57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
    }
    random[0] = c0, random[1] = c1, random[2] = c2, random[3] = c3;
}

double gab_sample_uniform(uint64_t seed, uint32_t position) {
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)}, counter[4] = {position, 0, 0, 0};
    uint32_t random[4];
    gab_sample_philox(key, counter, random);
    return random[0] / 4294967296.0;
}
