#include "plan/selftest.h"

#include <string.h>

#include "plan/trial.h"
#include "vk/statistics.h"

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

/* ---- compiling ---- */

static gab_status compile(gab_vk *vk, const gab_kernel_set *set, const gab_workload *w, gab_proof *proof) {
    gab_pipeline_key keys[GAB_WORKLOAD_KEYS_MAX];
    const uint32_t n = gab_workload_keys(vk, set, w, keys);
    for (uint32_t i = 0; i < n; i++) {
        const gab_pipeline *pipeline = NULL;
        gab_status status = gab_pipeline_get(vk->pipelines, &keys[i], &pipeline);
        if (of_variant(status)) {
            proof->verdict = GAB_VERDICT_UNTESTED; /* worse than spills */
            gab_proof_condemn(proof, GAB_VERDICT_UNCOMPILABLE, "%s", gab_last_error());
            return GAB_OK;
        }
        GAB_TRY(status);
        if (proof->verdict == GAB_VERDICT_SPILLS || !gab_pipeline_spills(vk, pipeline->pipeline)) continue;
        char text[160];
        gab_pipeline_describe(&keys[i], text, sizeof text);
        gab_proof_condemn(proof, GAB_VERDICT_SPILLS, "%s", text);
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

/* ---- all of it ---- */

static uint64_t bytes_needed(const gab_workload *w) {
    return gab_workload_is_attention(w) ? gab_trial_attention_bytes(w) : gab_trial_forms_bytes(w);
}

static gab_status try_products(gab_trial *t) {
    GAB_TRY(gab_trial_products(t));
    return gab_trial_forms(t);
}

static gab_status run(gab_trial *t) {
    const gab_workload other = gab_workload_other(t->workload);
    const uint64_t own = bytes_needed(t->workload), others = bytes_needed(&other);
    gab_status status = gab_buffer_create(t->vk, GAB_MEMORY_READBACK, own > others ? own : others,
                                          "the self-test of kernels", &t->buffer);
    if (status == GAB_OK) status = gab_workload_is_attention(t->workload) ? gab_trial_attention(t) : try_products(t);
    if (status == GAB_OK && other.head_dim > 0) {
        t->workload = &other;
        status = gab_trial_attention(t);
    }
    gab_buffer_destroy(t->vk, &t->buffer);
    gab_arena_free(&t->arena);
    if (!of_variant(status)) return status;
    gab_proof_condemn(t->proof, GAB_VERDICT_UNCOMPILABLE, "%s", gab_last_error());
    return GAB_OK;
}

gab_status gab_selftest(gab_vk *vk, const gab_kernel_set *set, const gab_workload *w,
                        const gab_workload_recorders *recorders, bool spills_allowed, gab_proof *proof) {
    const gab_variant *variant = gab_variant_of(set, w->operation);
    gab_quiet_log quiet;
    *proof = (gab_proof){.verdict = GAB_VERDICT_UNTESTED,
                         .error_max = variant->error > 0 ? (double)variant->error : gab_trial_exact_l2};
    gab_trial t = {.vk = vk, .set = set, .workload = w, .recorders = recorders, .variant = variant, .proof = proof};
    gab_quiet_begin(vk, &quiet);
    gab_status status = compile(vk, set, w, proof);
    if (status == GAB_OK && spills_allowed && proof->verdict == GAB_VERDICT_SPILLS)
        proof->verdict = GAB_VERDICT_UNTESTED;
    if (status == GAB_OK && proof->verdict == GAB_VERDICT_UNTESTED) {
        proof->reason[0] = 0;
        status = run(&t);
        if (proof->verdict == GAB_VERDICT_UNTESTED) proof->verdict = GAB_VERDICT_RIGHT;
    }
    gab_quiet_end(vk, &quiet);
    return status;
}
