#include "bench/figures.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"

enum {
    SLOW_FIGURES = 8, /* times a figure's time that one run of it may take */
    TOKENS_MIN = 8,
    TOKENS_MAX = 256,
    MARGIN = 2 * TOKENS_MAX + 64
};

static const uint32_t turns[] = {4, 32}; /* tokens of an answer */
enum { N_TURN = sizeof turns / sizeof *turns };

static uint32_t largest(const bench_list *list) {
    uint32_t most = 0;
    for (uint32_t i = 0; i < list->n; i++)
        if (list->values[i] > most) most = list->values[i];
    return most;
}

uint32_t bench_plan_context(const bench_plan *plan) {
    const uint32_t prompt = largest(&plan->prompts), depth = largest(&plan->depths);
    return ((prompt > depth ? prompt : depth) + MARGIN + GAB_PAGE - 1) / GAB_PAGE * GAB_PAGE;
}

uint32_t bench_plan_turn_depth(const bench_plan *plan, uint32_t context) {
    uint32_t depth = 0;
    for (uint32_t i = 0; i < plan->depths.n; i++) {
        const uint32_t n = plan->depths.values[i];
        if (n <= 4096 && n > depth && n + TOKENS_MAX + 1 <= context) depth = n;
    }
    return depth;
}

uint32_t bench_plan_n_figure(const bench_plan *plan) {
    return plan->prompts.n + plan->depths.n + N_TURN + plan->batch.n + 1;
}

bench_figure *bench_figure_add(bench_figures *figures, bench_figure_kind kind, const char *id, const char *name,
                               const char *unit, double value) {
    if (figures->n == BENCH_FIGURE_MAX) return NULL;
    bench_figure *f = &figures->list[figures->n++];
    *f = (bench_figure){
        .kind = kind, .unit = unit, .lower = strcmp(unit, "ms") == 0, .value = value, .least = value, .most = value};
    f->n_run = 1;
    snprintf(f->id, sizeof f->id, "%s", id);
    snprintf(f->name, sizeof f->name, "%s", name);
    return f;
}

/* The runs of a figure. */
typedef struct samples {
    double ms[BENCH_RUN_MAX];
    uint32_t n, n_least;
    uint32_t n_token; /* 0: not measured again and again */
    double spent_ms;
} samples;

/* What is measured, again and again. */
typedef struct bench_runs {
    gab_engine *engine;
    const bench_plan *plan;
    const bench_ceilings *ceilings;
    const char *stage;
    bench_figures *figures;
    gab_session *sessions[GAB_SLOT_MAX];
    uint32_t n_session;
    int32_t *tokens; /* a prompt: any */
    uint32_t n_done, n_total;
    samples samples[BENCH_FIGURE_MAX]; /* by figure */
} bench_runs;

static gab_status drain(gab_session *session) {
    gab_event event = {0};
    gab_status status = GAB_OK;
    while (status == GAB_OK && event.stop == GAB_STOP_NONE) status = gab_session_next(session, &event);
    return status;
}

/* ---- sessions at a depth, without computing what lies before ---- */

/* The session holds `depth` tokens, and pages for them with whatever the cache was filled with. */
static gab_status deepen(gab_engine *e, gab_session *s, uint32_t depth) {
    const uint32_t n_page = (depth + GAB_PAGE - 1) / GAB_PAGE;
    GAB_TRY(gab_session_truncate(s, depth));
    pthread_mutex_lock(&e->lock);
    gab_status status = GAB_OK;
    while (status == GAB_OK && s->n_page < n_page) {
        uint32_t page;
        if (gab_kv_page_take(&e->kv, &page))
            s->pages[s->n_page++] = page;
        else
            status = bench_grow_cache(e, e->kv.n_page + 1);
    }
    for (uint32_t i = s->n_token; status == GAB_OK && i < depth; i++)
        s->tokens[i] = (int32_t)(i * 7919u % e->info.n_vocab);
    if (status == GAB_OK) s->n_token = s->n_computed = depth;
    pthread_mutex_unlock(&e->lock);
    return status;
}

/* ---- one run of each kind: milliseconds ---- */

static gab_status run_turn(bench_runs *r, uint32_t depth, uint32_t n_prompt, uint32_t n_predict, double *ms) {
    GAB_TRY(deepen(r->engine, r->sessions[0], depth));
    const uint64_t start = gab_time_ns();
    GAB_TRY(gab_session_feed(r->sessions[0], r->tokens, n_prompt, n_predict));
    GAB_TRY(drain(r->sessions[0]));
    *ms = gab_time_ms_since(start);
    return GAB_OK;
}

/* From the first token to the last, as `gabbro run` counts: a token's. */
static gab_status run_decode(bench_runs *r, uint32_t depth, uint32_t n_predict, double *ms) {
    gab_session_stats stats;
    GAB_TRY(run_turn(r, depth, 1, n_predict, ms));
    gab_session_get_stats(r->sessions[0], &stats);
    *ms = stats.decode_ms / (double)(stats.n_decode - 1);
    return GAB_OK;
}

static gab_status run_batch(bench_runs *r, uint32_t n, uint32_t n_predict, double *ms) {
    double most = 0;
    for (uint32_t i = 0; i < n; i++) GAB_TRY(deepen(r->engine, r->sessions[i], 0));
    for (uint32_t i = 0; i < n; i++) /* texts of their own, which go to experts of their own */
        GAB_TRY(gab_session_feed(r->sessions[i], r->tokens + i, 1, n_predict));
    for (uint32_t i = 0; i < n; i++) GAB_TRY(drain(r->sessions[i]));
    for (uint32_t i = 0; i < n; i++) {
        gab_session_stats stats;
        gab_session_get_stats(r->sessions[i], &stats);
        if (stats.decode_ms > most) most = stats.decode_ms;
    }
    *ms = most / (n_predict - 1);
    return GAB_OK;
}

/* ---- figures ---- */

static gab_status run_once(bench_runs *r, const bench_figure *f, uint32_t n_token, double *ms) {
    switch (f->kind) {
    case BENCH_PREFILL:
    case BENCH_FIRST: return run_turn(r, 0, f->size, 1, ms);
    case BENCH_DECODE: return run_decode(r, f->depth, n_token, ms);
    case BENCH_BATCH: return run_batch(r, f->size, n_token, ms);
    default: return run_turn(r, f->depth, BENCH_TURN_PROMPT, f->size, ms);
    }
}

/* Tokens a run of text takes: as many as fill the time that a run should take. */
static uint32_t tokens_for(const bench_plan *plan, double token_ms) {
    const double n = plan->run_ms / token_ms;
    return n < TOKENS_MIN ? TOKENS_MIN : n > TOKENS_MAX ? TOKENS_MAX : (uint32_t)n;
}

/* The work of the step that the figure repeats most, at the ceilings. */
static gab_status find_ideal(bench_runs *r, bench_figure *f) {
    gab_engine *e = r->engine;
    const bool decode = f->kind == BENCH_DECODE || f->kind == BENCH_BATCH;
    double ms = 0, ms_bytes = 0;
    gab_status status = GAB_OK;
    pthread_mutex_lock(&e->lock);
    const uint32_t chunk = gab_attention_rows_max(&e->set, f->size);
    for (uint32_t at = 0; status == GAB_OK && (decode ? at == 0 : at < f->size); at += chunk) {
        const uint32_t rows = f->kind == BENCH_BATCH ? f->size
                              : decode               ? 1
                              : f->size - at < chunk ? f->size - at
                                                     : chunk;
        bench_walk walk;
        status = bench_walk_make(e, rows, decode ? f->depth : at, !decode, 0, &walk);
        if (status == GAB_OK) {
            const double step_ms = bench_walk_ideal_ms(&walk, r->ceilings, UINT32_MAX, &f->by_bytes);
            ms += step_ms;
            ms_bytes += f->by_bytes ? step_ms : 0;
        }
        bench_walk_free(&walk);
        if (decode) break;
    }
    pthread_mutex_unlock(&e->lock);
    if (status != GAB_OK || ms <= 0) return status;
    f->by_bytes = 2 * ms_bytes >= ms;
    f->ideal = f->lower ? ms : f->kind == BENCH_DECODE ? 1e3 / ms : f->size * 1e3 / ms;
    return GAB_OK;
}

static void take(bench_figure *f, samples *s) {
    const bench_time t = bench_time_of(s->ms, s->n, 1);
    const double amount = f->kind == BENCH_DECODE ? 1e3 : f->lower ? 0 : f->size * 1e3;
    f->n_run = s->n;
    f->value = amount > 0 ? amount / t.ms : t.ms;
    f->least = amount > 0 ? amount / t.most : t.least;
    f->most = amount > 0 ? amount / t.least : t.most;
}

static void say(bench_runs *r) {
    if (r->plan->progress) r->plan->progress(r->plan->progress_user, r->stage, r->n_done++, r->n_total);
}

/* A share of the runs and of the time of a figure. */
static gab_status run_share(bench_runs *r, bench_figure *f, samples *s, double share) {
    const bench_plan *p = r->plan;
    const uint32_t n = (uint32_t)(share * p->n_run + 0.5), n_least = (uint32_t)(share * s->n_least + 0.5);
    say(r);
    while (s->n < n && (p->all_runs || s->n < n_least || s->spent_ms < share * p->figure_ms)) {
        const uint64_t start = gab_time_ns();
        GAB_TRY(run_once(r, f, s->n_token, &s->ms[s->n++]));
        s->spent_ms += gab_time_ms_since(start);
    }
    take(f, s);
    return GAB_OK;
}

/* Half of the runs now, the other half when all figures have had theirs: what changes in the meantime is seen. */
static gab_status measure(bench_runs *r, bench_figure_kind kind, const char *id, const char *name, const char *unit,
                          uint32_t size, uint32_t depth) {
    const uint32_t i = r->figures->n;
    bench_figure *f = bench_figure_add(r->figures, kind, id, name, unit, 0);
    if (!f) return GAB_OK;
    samples *s = &r->samples[i];
    f->size = size;
    f->depth = depth;
    const uint64_t first = gab_time_ns();
    GAB_TRY(run_once(r, f, TOKENS_MIN, &s->ms[0])); /* records plans, and some drivers finish compiling now */
    const double first_ms = gab_time_ms_since(first), figure_ms = r->plan->figure_ms;
    if (!r->plan->patient && !r->plan->all_runs && first_ms > 2 * figure_ms) { /* then that one is the figure */
        s->n = 1;
        take(f, s);
        return GAB_OK;
    }
    if (first_ms < figure_ms / 8) GAB_TRY(run_once(r, f, TOKENS_MIN, &s->ms[0]));
    s->n_token = tokens_for(r->plan, s->ms[0]);
    s->n_least = first_ms > figure_ms / 2 ? 2 : 3;
    s->spent_ms = gab_time_ms_since(first);
    return run_share(r, f, s, 0.5);
}

static gab_status measure_again(bench_runs *r) {
    for (uint32_t i = 1; i < r->n_session; i++) GAB_TRY(gab_session_truncate(r->sessions[i], 0)); /* pages of batches */
    for (uint32_t i = 0; i < r->figures->n; i++) {
        bench_figure *f = &r->figures->list[i];
        samples *s = &r->samples[i];
        if (s->n == 0) continue; /* of loading */
        if (s->n_token > 0) GAB_TRY(run_share(r, f, s, 1));
        if (f->kind != BENCH_TURN) GAB_TRY(find_ideal(r, f));
        gab_log_print(&r->engine->log, GAB_LOG_DEBUG, "%s: %u runs, %.0f ms", f->id, s->n, s->spent_ms);
    }
    return GAB_OK;
}

static void leave_out(bench_figures *figures, const char *name, const char *why) {
    if (figures->n_left_out == BENCH_LEFT_OUT_MAX) return;
    snprintf(figures->left_out[figures->n_left_out].name, sizeof figures->left_out->name, "%s", name);
    figures->left_out[figures->n_left_out++].why = why;
}

/* Would so many tokens of a prompt and of text take too long, by what was reached before? */
static bool too_slow(const bench_runs *r, double n_prompt, double n_text) {
    double prompt = 0, text = 0;
    for (uint32_t i = 0; i < r->figures->n; i++) {
        const bench_figure *f = &r->figures->list[i];
        if (f->kind == BENCH_PREFILL) prompt = f->value;
        if (f->kind == BENCH_DECODE) text = f->value;
    }
    const double ms = (prompt > 0 ? 1e3 * n_prompt / prompt : 0) + (text > 0 ? 1e3 * n_text / text : 0);
    return !r->plan->patient && ms > SLOW_FIGURES * r->plan->figure_ms;
}

static gab_status measure_lists(bench_runs *r) {
    static const char no_room[] = "the context has no room for it",
                      slow[] = "too slow here: --full measures it all the same";
    const bench_plan *p = r->plan;
    const uint32_t context = r->engine->info.context;
    const uint32_t turn_depth = bench_plan_turn_depth(p, context);
    char id[32], name[64];
    for (uint32_t i = 0; i < p->prompts.n; i++) {
        const uint32_t n = p->prompts.values[i];
        snprintf(id, sizeof id, "prefill.%u", n);
        snprintf(name, sizeof name, "prompt of %u tokens", n);
        if (n >= context || too_slow(r, n, 0)) {
            leave_out(r->figures, name, n >= context ? no_room : slow);
            continue;
        }
        GAB_TRY(measure(r, BENCH_PREFILL, id, name, "tokens/s", n, 0));
    }
    for (uint32_t i = 0; i < p->depths.n; i++) {
        const uint32_t n = p->depths.values[i];
        snprintf(id, sizeof id, "decode.%u", n);
        snprintf(name, sizeof name, n ? "text at depth %u" : "text", n);
        if (n + TOKENS_MAX + 1 > context) {
            leave_out(r->figures, name, no_room);
            continue;
        }
        GAB_TRY(measure(r, BENCH_DECODE, id, name, "tokens/s", 1, n));
    }
    for (size_t i = 0; i < N_TURN; i++) {
        snprintf(id, sizeof id, "turn.%u.%u", turns[i], turn_depth);
        snprintf(name, sizeof name, "answer of %u tokens at %u", turns[i], turn_depth);
        const bool room = turn_depth + BENCH_TURN_PROMPT + turns[i] < context;
        if (room && !too_slow(r, BENCH_TURN_PROMPT, turns[i]))
            GAB_TRY(measure(r, BENCH_TURN, id, name, "ms", turns[i], turn_depth));
        else
            leave_out(r->figures, name, room ? slow : no_room);
    }
    for (uint32_t i = 0; i < p->batch.n; i++) {
        const uint32_t n = p->batch.values[i];
        snprintf(id, sizeof id, "batch.%u", n);
        snprintf(name, sizeof name, "%u texts at once", n);
        if (n <= r->n_session)
            GAB_TRY(measure(r, BENCH_BATCH, id, name, "tokens/s", n, 0));
        else
            leave_out(r->figures, name, "there is no memory for so many");
    }
    if (BENCH_FIRST_PROMPT < context && !too_slow(r, BENCH_FIRST_PROMPT, 1))
        return measure(r, BENCH_FIRST, "first.warm", "first token, warm", "ms", BENCH_FIRST_PROMPT, 0);
    leave_out(r->figures, "first token, warm", BENCH_FIRST_PROMPT < context ? slow : no_room);
    return GAB_OK;
}

gab_status bench_figures_measure(gab_engine *e, const bench_plan *plan, const bench_ceilings *ceilings,
                                 const char *stage, bench_figures *figures) {
    bench_runs r = {.engine = e, .plan = plan, .ceilings = ceilings, .stage = stage, .figures = figures};
    gab_session_options options = gab_session_options_default();
    gab_status status = GAB_OK;
    options.ignore_end = true;
    r.n_total = 2 * bench_plan_n_figure(plan);
    r.tokens = calloc(e->info.context, sizeof *r.tokens);
    if (!r.tokens) return gab_fail(&e->log, GAB_ERROR_HOST_MEMORY, "out of host memory");
    for (uint32_t i = 0; i < e->info.context; i++) r.tokens[i] = (int32_t)(i * 7919u % e->info.n_vocab);
    const uint32_t wanted = largest(&plan->batch) > 1 ? largest(&plan->batch) : 1;
    while (status == GAB_OK && r.n_session < wanted && r.n_session < e->options.n_session) {
        options.sampling.seed = 1 + r.n_session;
        status = gab_session_create(e, &options, &r.sessions[r.n_session++]);
    }
    if (status == GAB_OK) status = measure_lists(&r);
    if (status == GAB_OK) status = measure_again(&r);
    for (uint32_t i = 0; i < r.n_session; i++) gab_session_destroy(&r.sessions[i]);
    free(r.tokens);
    if (plan->progress) plan->progress(plan->progress_user, stage, 1, 1);
    return status;
}
