#include "plan/autotune.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "plan/tune_cache.h"

/* Raise it when proving or timing changes so that what is in caches should be measured again. */
enum { METHOD_VERSION = 4 };

enum { CANDIDATE_MAX = 64 };

/* The first variant of a family that is this much slower in the first operation speaks for all of the family; the
 * families differ more on a processor, whose time for a try is longer. */
static const double hopeless_family = 3, hopeless_family_cpu = 1.5;
/* A variant must be this much faster than one before it: between equals the table's order decides, not noise. */
static const double worthwhile = 0.97;

/* A product of many columns that does not compute this much faster than one of one column has gone wrong with the
 * driver (addresses on old versions of lavapipe): then all that there is is tried. */
static const double gain_of_many = 1.5;

/* The runner-up is timed again, beside the fastest, when it was no slower than this; a processor's speed swings more.
 */
static const double close_enough = 2, close_enough_cpu = 4;

/* Why a candidate was not tried, or not to the end. */
static const char late[] = "out of time", hopeless[] = "its family is far slower here",
                  unneeded[] = "a better one is right", slower[] = "slower: not proved",
                  slow_for_more[] = "slower with more columns, or rarely used",
                  alone[] = "not timed: there is no other";

static const gab_tune_functions real_functions = {gab_selftest, gab_timing_prepare, gab_timing_run, gab_timing_duel};

typedef struct tuner {
    gab_vk *vk;
    gab_log log; /* the device's own, which is quiet meanwhile */
    const gab_tune_options *options;
    const gab_tune_functions *functions;
    gab_kernel_set *set;
    gab_tune_report *report;
    gab_tune_cache cache;
    uint64_t start_ns, proving_ns; /* proving_ns: when all that can be is compiled ahead, which the budget is not for */
    double budget_ms;
    bool measuring;
    bool lazy;                           /* prove what is fast alone: CPU drivers take long to compile */
    bool asked[GAB_OP_COUNT];            /* of the workloads */
    bool measured[GAB_OP_COUNT];         /* an operation's choice is of this run's times */
    bool family_hopeless;                /* the one that the rule did not choose */
    double one_gflop_s[GAB_DTYPE_COUNT]; /* of products of one column, as measured */
    const char *stage;                   /* of the progress */
    uint32_t n_candidate, n_done;        /* to be measured */
    uint32_t n_measured, n_out_of_time;  /* operations */
    uint32_t n_left;                     /* of the latter those that the cache does not get */
} tuner;

/* One operation being tuned. */
typedef struct contest {
    const gab_workload *workload;
    const gab_variant *variants;
    bool lane; /* the family of the rule's choice */
    char operation[64], shape_class[128];
    uint32_t order[CANDIDATE_MAX], n; /* indices of variants, as they are tried */
    size_t first_result;              /* in the report, in the same order */
    gab_timing_ground ground;
    bool prepared, no_memory;
    bool begun_late;      /* with less than half of the budget */
    bool family_hopeless; /* here, of a disappointing operation */
    bool raced;           /* the first two, in turns */
    double best_ms;       /* 0: none is timed */
    int best;             /* in order; -1: none is right */
} contest;

const char *gab_tune_verdict_text(gab_tune_verdict verdict) {
    static const char *const text[] = {"untested", "right", "wrong", "does not compile", "spills"};
    return text[verdict];
}

/* ---- the report ---- */

static gab_tune_result *result_of(const tuner *t, const contest *c, uint32_t i) {
    return &t->report->results[c->first_result + i];
}

/* A row for each candidate, untested. */
static gab_status add_results(tuner *t, contest *c) {
    gab_tune_result *results = realloc(t->report->results, (t->report->n + c->n + 1) * sizeof *results);
    if (!results) return gab_fail(&t->vk->log, GAB_ERROR_HOST_MEMORY, "out of host memory for tuning");
    t->report->results = results;
    c->first_result = t->report->n;
    t->report->n += c->n;
    for (uint32_t i = 0; i < c->n; i++) {
        gab_tune_result *r = result_of(t, c, i);
        *r = (gab_tune_result){.verdict = GAB_VERDICT_UNTESTED};
        snprintf(r->operation, sizeof r->operation, "%s", c->operation);
        snprintf(r->shape, sizeof r->shape, "%s", c->shape_class);
        snprintf(r->variant, sizeof r->variant, "%s", c->variants[c->order[i]].name);
    }
    return GAB_OK;
}

/* ---- candidates ---- */

static void add_candidate(const tuner *t, contest *c, uint32_t i) {
    const gab_variant *v = &c->variants[i];
    if (c->n < CANDIDATE_MAX && gab_variant_usable(t->vk, v, t->options->exact) &&
        !gab_tune_cache_is_bad(&t->cache, c->operation, t->options->exact, c->shape_class, v->name))
        c->order[c->n++] = i;
}

/* Of the same type, with many columns for few. */
static gab_operation with_more(gab_operation o) {
    return o >= GAB_OP_MATMUL_SMALL && o < GAB_OP_MATMUL ? o - GAB_OP_MATMUL_SMALL + GAB_OP_MATMUL : o;
}

/* Products of few columns are not measured where tries are dear: what was fastest for many serves them; where there are
 * none of many, as of a head's type, they are rare. */
static bool follows_more(const tuner *t, gab_operation o) {
    const gab_operation more = with_more(o);
    return t->lazy && !t->options->again && more != o && (t->measured[more] || !t->asked[more]);
}

/* The rule's own, then its family, then the other. */
static contest contest_of(const tuner *t, const gab_workload *workload) {
    contest c = {.workload = workload, .best = -1};
    const gab_operation o = workload->operation, more = with_more(o);
    const uint32_t first = t->set->choice[follows_more(t, o) && t->measured[more] ? more : o];
    uint32_t n_variant;
    c.variants = gab_variants(o, &n_variant);
    c.lane = c.variants[first].lane;
    gab_operation_name(o, c.operation, sizeof c.operation);
    gab_workload_class(workload, c.shape_class, sizeof c.shape_class);
    add_candidate(t, &c, first);
    for (int other = 0; other < 2; other++)
        for (uint32_t i = 0; i < n_variant; i++)
            if (i != first && (c.variants[i].lane != c.lane) == other) add_candidate(t, &c, i);
    return c;
}

static bool of_other_family(const contest *c, uint32_t i) {
    return c->variants[c->order[i]].lane != c->lane;
}

static gab_kernel_set set_with(const tuner *t, const contest *c, uint32_t i) {
    gab_kernel_set set = *t->set;
    set.choice[c->workload->operation] = (uint8_t)c->order[i];
    return set;
}

static void say_put_aside(const tuner *t, const gab_tune_result *r) {
    gab_log_print(&t->log, r->verdict == GAB_VERDICT_SPILLS ? GAB_LOG_INFO : GAB_LOG_WARNING,
                  "kernel %s=%s is put aside on %s: %s (%s)", r->operation, r->variant, t->vk->info.name,
                  gab_tune_verdict_text(r->verdict), r->reason);
}

/* ---- measuring ---- */

static bool out_of_time(const tuner *t) {
    return gab_time_ms_since(t->proving_ns) > t->budget_ms;
}

static gab_status prove(tuner *t, contest *c, uint32_t i, bool spills_allowed) {
    const gab_kernel_set set = set_with(t, c, i);
    gab_tune_result *r = result_of(t, c, i);
    gab_proof proof = {0};
    GAB_TRY(t->functions->prove(t->vk, &set, c->workload, &gab_workload_kernels, spills_allowed, &proof));
    r->verdict = proof.verdict;
    r->error = proof.error;
    r->error_max = proof.error_max;
    snprintf(r->reason, sizeof r->reason, "%s", proof.reason);
    if (r->verdict != GAB_VERDICT_RIGHT) say_put_aside(t, r);
    return GAB_OK;
}

/* Where it is not timed yet; best_ms: what it is measured against, 0: nothing. Leaves ms at 0 where there is no memory
 * to time anything on, and where the driver refuses the variant. */
static gab_status take_time(tuner *t, contest *c, uint32_t i, double best_ms) {
    const gab_kernel_set set = set_with(t, c, i);
    gab_tune_result *r = result_of(t, c, i);
    if (c->no_memory || r->ms > 0) return GAB_OK;
    gab_status status = c->prepared ? GAB_OK : t->functions->prepare(t->vk, c->workload, &c->ground);
    c->no_memory = status == GAB_ERROR_DEVICE_MEMORY;
    if (c->no_memory) return GAB_OK;
    GAB_TRY(status);
    c->prepared = true;
    status = t->functions->time(t->vk, &set, &c->ground, best_ms, &r->ms);
    if (status == GAB_ERROR_VULKAN || status == GAB_ERROR_LIMIT) return GAB_OK; /* the proof says why */
    GAB_TRY(status);
    gab_timing_shape(t->vk, &c->ground, r->shape, sizeof r->shape);
    r->gb_s = gab_timing_bytes(&c->ground) / r->ms * 1e-6;
    r->gflop_s = gab_timing_operations(t->vk, &c->ground) / r->ms * 1e-6;
    const double far_slower = t->lazy ? hopeless_family_cpu : hopeless_family;
    if (of_other_family(c, i) && best_ms > 0 && r->ms > far_slower * best_ms) {
        c->family_hopeless = true;
        t->family_hopeless = t->family_hopeless || t->n_measured == 0;
    }
    return GAB_OK;
}

static void set_ms(gab_tune_result *r, double ms) {
    r->gb_s *= r->ms / ms;
    r->gflop_s *= r->ms / ms;
    r->ms = ms;
}

/* Two again, in turns: their times may be of moments in which the machine was not equally fast. */
static gab_status time_in_turns(tuner *t, contest *c, uint32_t i, uint32_t k) {
    const gab_kernel_set a = set_with(t, c, i), b = set_with(t, c, k);
    const double near_ms = fmin(result_of(t, c, i)->ms, result_of(t, c, k)->ms);
    double a_ms = 0, b_ms = 0;
    GAB_TRY(t->functions->duel(t->vk, &a, &b, &c->ground, near_ms, &a_ms, &b_ms));
    set_ms(result_of(t, c, i), a_ms);
    set_ms(result_of(t, c, k), b_ms);
    return GAB_OK;
}

/* Below this a product of many columns is no better than as many of one column; 0: there is no saying. */
static double gflop_s_expected(const tuner *t, const gab_workload *w) {
    if (w->operation < GAB_OP_MATMUL_SMALL || gab_workload_is_attention(w)) return 0;
    return gain_of_many * t->one_gflop_s[gab_workload_type(w)];
}

static bool is_disappointing(const tuner *t, const contest *c) {
    return c->best >= 0 && c->best_ms > 0 &&
           result_of(t, c, (uint32_t)c->best)->gflop_s < gflop_s_expected(t, c->workload);
}

/* Why a candidate is not even tried once another is right; NULL: it is. */
static const char *reason_against(const tuner *t, const contest *c, uint32_t i) {
    if (is_disappointing(t, c)) return c->family_hopeless && of_other_family(c, i) ? hopeless : NULL;
    if (c->variants[c->order[i]].stand_in) return unneeded;
    if (t->family_hopeless && of_other_family(c, i)) return hopeless;
    return follows_more(t, c->workload->operation) ? slow_for_more : NULL;
}

/* Those behind it are not tried when it is right, so that it need not be timed: unless its time may disappoint. */
static bool is_alone(const tuner *t, const contest *c, uint32_t i) {
    if (!t->lazy || t->options->again || c->best >= 0) return false;
    if (i + 1 < c->n && !follows_more(t, c->workload->operation) && gflop_s_expected(t, c->workload) > 0) return false;
    for (uint32_t k = i + 1; k < c->n; k++)
        if (!reason_against(t, c, k)) return false;
    return true;
}

/* Proves and times one candidate, or times it first where proofs are dear and better spent on those that may win. */
static gab_status try_candidate(tuner *t, contest *c, uint32_t i, bool spills_allowed) {
    gab_tune_result *r = result_of(t, c, i);
    const char *why = c->best < 0 ? NULL : reason_against(t, c, i);
    if (!why && c->best >= 0 && !(r->ms > 0) && out_of_time(t)) why = late;
    const bool timed_first = t->lazy && c->best_ms > 0;
    if (!why && timed_first) {
        GAB_TRY(take_time(t, c, i, c->best_ms));
        if (r->ms >= worthwhile * c->best_ms) why = slower;
    }
    if (why) {
        snprintf(r->reason, sizeof r->reason, "%s", why);
        return GAB_OK;
    }
    GAB_TRY(prove(t, c, i, spills_allowed));
    if (r->verdict != GAB_VERDICT_RIGHT) return GAB_OK;
    if (c->best < 0 && out_of_time(t))
        snprintf(r->reason, sizeof r->reason, "%s", late); /* it stays, whatever it takes */
    else if (is_alone(t, c, i))
        snprintf(r->reason, sizeof r->reason, "%s", alone);
    else if (!timed_first)
        GAB_TRY(take_time(t, c, i, c->best_ms));
    if (c->best >= 0 && !(r->ms > 0 && r->ms < worthwhile * c->best_ms)) return GAB_OK;
    c->best = (int)i;
    c->best_ms = r->ms;
    return GAB_OK;
}

static void say_progress(const tuner *t) {
    if (t->options->progress) t->options->progress(t->options->progress_user, t->stage, t->n_done, t->n_candidate);
}

/* The next attempt leaves out what has cost the device; what was settled before is kept. */
static void remember_loss(tuner *t, const contest *c, uint32_t i) {
    const char *variant = c->variants[c->order[i]].name;
    gab_log_print(&t->log, GAB_LOG_WARNING, "kernel %s=%s is put aside on %s: the device was lost with it",
                  c->operation, variant, t->vk->info.name);
    gab_tune_cache_add_bad(&t->cache, c->operation, t->options->exact, c->shape_class, variant);
    gab_tune_cache_write(&t->cache);
}

/* What the candidate has made of the device. */
static gab_status noted(tuner *t, const contest *c, uint32_t i, gab_status status) {
    if (status == GAB_ERROR_DEVICE_LOST) remember_loss(t, c, i);
    return status;
}

/* Products of one column have many pipelines to prove: where that is dear, the rule's choice and the next of its family
 * are timed before, and the faster one is the first. */
static gab_status race(tuner *t, contest *c) {
    if (!t->lazy || t->options->again || c->workload->operation >= GAB_OP_MATMUL_SMALL || c->n < 2 ||
        of_other_family(c, 1) || out_of_time(t))
        return GAB_OK;
    GAB_TRY(noted(t, c, 0, take_time(t, c, 0, 0)));
    gab_tune_result *first = result_of(t, c, 0), *second = result_of(t, c, 1);
    if (!(first->ms > 0)) return GAB_OK;
    GAB_TRY(noted(t, c, 1, take_time(t, c, 1, first->ms)));
    if (!(second->ms > 0)) return GAB_OK;
    if (second->ms < close_enough_cpu * first->ms && first->ms < close_enough_cpu * second->ms)
        GAB_TRY(noted(t, c, 1, time_in_turns(t, c, 0, 1)));
    if (second->ms < worthwhile * first->ms) {
        const gab_tune_result result = *first;
        const uint32_t index = c->order[0];
        *first = *second;
        *second = result;
        c->order[0] = c->order[1];
        c->order[1] = index;
    }
    c->raced = true;
    return GAB_OK;
}

static gab_status try_all(tuner *t, contest *c) {
    GAB_TRY(race(t, c));
    for (uint32_t i = 0; i < c->n; i++) {
        GAB_TRY(noted(t, c, i, try_candidate(t, c, i, false)));
        t->n_done++;
        say_progress(t);
    }
    for (uint32_t i = 0; c->best < 0 && i < c->n; i++) /* slow is better than nothing */
        if (result_of(t, c, i)->verdict == GAB_VERDICT_SPILLS) GAB_TRY(noted(t, c, i, try_candidate(t, c, i, true)));
    if (c->best >= 0) return GAB_OK;
    const gab_tune_result none = {.variant = "all", .reason = "the device was lost"};
    const gab_tune_result *r = c->n > 0 ? result_of(t, c, 0) : &none;
    return gab_fail(&t->vk->log, GAB_ERROR_UNSUPPORTED,
                    "every kernel for %s is wrong on %s (%s: %s, %s): this is a bug of the driver (%s): update it, or "
                    "take another device with -d",
                    c->operation, t->vk->info.name, r->variant, gab_tune_verdict_text(r->verdict), r->reason,
                    t->vk->info.driver);
}

/* The fastest but one, when it is near and has not met the fastest; -1: none. */
static int runner_up(const tuner *t, const contest *c) {
    const double most_ms = c->best_ms * (t->vk->info.kind == GAB_DEVICE_CPU ? close_enough_cpu : close_enough);
    int found = -1;
    for (uint32_t i = 0; i < c->n; i++) {
        const gab_tune_result *r = result_of(t, c, i);
        if ((int)i == c->best || !(r->ms > 0 && r->ms < most_ms)) continue;
        if (c->raced && c->best == 0 && i == 1) continue;
        if (r->verdict != GAB_VERDICT_RIGHT && strcmp(r->reason, slower) != 0) continue;
        if (found < 0 || r->ms < result_of(t, c, (uint32_t)found)->ms) found = (int)i;
    }
    return found;
}

/* The two fastest again. */
static gab_status duel(tuner *t, contest *c, uint32_t second) {
    gab_tune_result *r = result_of(t, c, second);
    GAB_TRY(time_in_turns(t, c, (uint32_t)c->best, second));
    if (r->ms >= worthwhile * result_of(t, c, (uint32_t)c->best)->ms) return GAB_OK;
    if (r->verdict != GAB_VERDICT_RIGHT) {
        r->reason[0] = 0;
        GAB_TRY(prove(t, c, second, false));
        if (r->verdict != GAB_VERDICT_RIGHT) return GAB_OK;
    }
    c->best = (int)second;
    c->best_ms = r->ms;
    return GAB_OK;
}

/* The rows of an operation into the cache. */
static void keep(tuner *t, const contest *c) {
    const bool exact = t->options->exact;
    for (uint32_t i = 0; i < c->n; i++) {
        const gab_tune_result *r = result_of(t, c, i);
        char verdict[256];
        snprintf(verdict, sizeof verdict, "%s%s%s", gab_tune_verdict_text(r->verdict), r->reason[0] ? ": " : "",
                 r->reason);
        gab_tune_cache_add(&t->cache, c->operation, exact, c->shape_class, r->variant, r->ms,
                           r->chosen ? NULL : verdict);
    }
}

static gab_status measure(tuner *t, contest *c) {
    c->begun_late = gab_time_ms_since(t->proving_ns) > t->budget_ms / 2;
    gab_status status = try_all(t, c);
    const int second = status == GAB_OK && c->best_ms > 0 && !out_of_time(t) ? runner_up(t, c) : -1;
    if (second >= 0) status = noted(t, c, (uint32_t)second, duel(t, c, (uint32_t)second));
    if (c->prepared) gab_timing_free(t->vk, &c->ground);
    GAB_TRY(status);
    result_of(t, c, (uint32_t)c->best)->chosen = true;
    t->set->choice[c->workload->operation] = (uint8_t)c->order[c->best];
    t->n_measured++;
    t->measured[c->workload->operation] = true;
    if (c->workload->operation < GAB_OP_MATMUL_SMALL)
        t->one_gflop_s[gab_workload_type(c->workload)] = result_of(t, c, (uint32_t)c->best)->gflop_s;
    bool cut = false;
    for (uint32_t i = 0; i < c->n; i++) cut = cut || strcmp(result_of(t, c, i)->reason, late) == 0;
    t->n_out_of_time += cut;
    t->n_left += cut && c->begun_late;
    if (!cut || !c->begun_late) keep(t, c); /* else the next start has the time for it */
    return GAB_OK;
}

/* ---- without measuring ---- */

/* The first of the family that compiles and does not spill, else that compiles; else the rule's own. */
static gab_status choose_by_statistics(tuner *t, contest *c) {
    uint32_t best = 0;
    bool found = !t->vk->has_pipeline_statistics, spilling = false;
    for (uint32_t i = 0; !found && i < c->n && !of_other_family(c, i); i++) {
        const gab_kernel_set set = set_with(t, c, i);
        gab_tune_result *r = result_of(t, c, i);
        gab_proof proof;
        GAB_TRY(gab_selftest_compile(t->vk, &set, c->workload, &proof));
        r->verdict = proof.verdict;
        snprintf(r->reason, sizeof r->reason, "%s", proof.reason);
        found = proof.verdict == GAB_VERDICT_UNTESTED;
        if (found || (proof.verdict == GAB_VERDICT_SPILLS && !spilling)) best = i;
        spilling = spilling || proof.verdict == GAB_VERDICT_SPILLS;
        if (!found) say_put_aside(t, r);
    }
    result_of(t, c, best)->chosen = true;
    t->set->choice[c->workload->operation] = (uint8_t)c->order[best];
    return GAB_OK;
}

/* ---- all operations ---- */

/* Is the choice settled: forced, or known to the cache? */
static bool settle(tuner *t, contest *c) {
    char name[64];
    bool settled = gab_variant_is_forced(t->options->forced, c->workload->operation);
    if (!settled && t->measuring && !t->options->again &&
        gab_tune_cache_find(&t->cache, c->operation, t->options->exact, c->shape_class, name, sizeof name))
        for (uint32_t i = 0; i < c->n && !settled; i++) {
            settled = strcmp(name, c->variants[c->order[i]].name) == 0;
            if (settled) t->set->choice[c->workload->operation] = (uint8_t)c->order[i];
        }
    return settled;
}

/* Notes the pipelines that are going to be tried; CPU drivers compile at first use, whatever is asked. */
static gab_status request_pipelines(tuner *t, const contest *c) {
    if (t->vk->info.kind == GAB_DEVICE_CPU) return GAB_OK;
    const uint32_t n_tried = t->measuring ? c->n : 1;
    for (uint32_t i = 0; i < n_tried && !of_other_family(c, i); i++) {
        const gab_kernel_set set = set_with(t, c, i);
        gab_pipeline_key keys[GAB_WORKLOAD_KEYS_MAX];
        const uint32_t n = gab_workload_keys(t->vk, &set, c->workload, keys);
        for (uint32_t k = 0; k < n; k++) GAB_TRY(gab_pipeline_request(t->vk->pipelines, &keys[k]));
    }
    return GAB_OK;
}

/* Counts what is to be measured, and compiles it on all cores. What the driver refuses is found again, one by one. */
static gab_status compile_ahead(tuner *t, const gab_workload *workloads, uint32_t n) {
    if (!t->measuring && !t->vk->has_pipeline_statistics) return GAB_OK;
    for (uint32_t i = 0; i < n; i++) {
        contest c = contest_of(t, &workloads[i]);
        if (settle(t, &c)) continue;
        t->n_candidate += t->measuring ? c.n : 0;
        GAB_TRY(request_pipelines(t, &c));
    }
    if (t->n_candidate) say_progress(t);
    const gab_status status = gab_pipeline_compile_requested(t->vk->pipelines);
    return status == GAB_ERROR_VULKAN ? GAB_OK : status;
}

static gab_status tune_one(tuner *t, const gab_workload *workload) {
    contest c = contest_of(t, workload);
    const bool settled = settle(t, &c);
    if (settled) {
        c.order[0] = t->set->choice[workload->operation];
        c.n = 1;
    }
    GAB_TRY(add_results(t, &c));
    if (!settled) return t->measuring ? measure(t, &c) : choose_by_statistics(t, &c);
    result_of(t, &c, 0)->chosen = true;
    return GAB_OK;
}

static void say_end(const tuner *t) {
    gab_log_print(&t->log, GAB_LOG_INFO, "tuned %u operations in %.1f s", t->n_measured,
                  gab_time_ms_since(t->start_ns) * 1e-3);
    if (t->n_out_of_time)
        gab_log_print(&t->log, GAB_LOG_INFO,
                      "tuning ran out of time for %u of them, which use the best of what was tried; %s'gabbro tune' "
                      "takes the time it needs",
                      t->n_out_of_time, t->n_left ? "the next start goes on; " : "");
}

/* What was said to a quiet log is an error after all. */
static gab_status fail_aloud(const tuner *t, gab_status status) {
    char message[GAB_MESSAGE_MAX];
    snprintf(message, sizeof message, "%s", gab_last_error());
    return gab_fail(&t->log, status, "%s", message);
}

gab_status gab_autotune(gab_vk *vk, const gab_tune_options *options, const gab_workload *workloads, uint32_t n_workload,
                        gab_kernel_set *set, gab_tune_report *report) {
    const double budget_ms = options->budget_ms > 0            ? options->budget_ms
                             : vk->info.kind == GAB_DEVICE_CPU ? 8000
                                                               : 2200;
    tuner t = {.vk = vk,
               .log = vk->log,
               .options = options,
               .functions = options->functions ? options->functions : &real_functions,
               .set = set,
               .report = report,
               .start_ns = gab_time_ns(),
               .budget_ms = budget_ms,
               .measuring = options->measure && vk->executes,
               .lazy = vk->info.kind == GAB_DEVICE_CPU,
               .stage = options->again ? "tuning kernels" : "tuning kernels (first use on this device)"};
    gab_quiet_log quiet;
    for (uint32_t i = 0; i < n_workload; i++) t.asked[workloads[i].operation] = true;
    if (t.measuring) gab_tune_cache_open(vk, gab_variants_hash() + METHOD_VERSION, &t.cache);
    gab_quiet_begin(vk, &quiet);
    gab_status status = compile_ahead(&t, workloads, n_workload);
    t.proving_ns = gab_time_ns();
    for (uint32_t i = 0; status == GAB_OK && i < n_workload; i++) status = tune_one(&t, &workloads[i]);
    gab_quiet_end(vk, &quiet);
    if (status == GAB_OK && t.n_measured) {
        gab_tune_cache_write(&t.cache);
        say_end(&t);
    }
    gab_tune_cache_close(&t.cache);
    return status == GAB_OK || status == GAB_ERROR_DEVICE_LOST ? status : fail_aloud(&t, status);
}
