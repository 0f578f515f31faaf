#include "bench/job.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "bench/document.h"
#include "bench/text.h"

double bench_job_submit_ms(const bench_job *r) {
    return r->options->smoke ? 1 : bench_modes[r->mode].submit_ms;
}

void bench_job_skip(bench_job *r, const char *what, const char *why) {
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "what", what);
    cJSON_AddStringToObject(o, "why", why);
    cJSON_AddItemToArray(r->skipped, o);
}

void bench_job_say(bench_job *r, const char *stage, uint64_t done, uint64_t total) {
    if (r->options->engine.progress) r->options->engine.progress(r->options->engine.progress_user, stage, done, total);
}

void bench_job_log(void *user, gab_log_level level, const char *message) {
    const bench_job *r = user;
    const gab_engine_options *e = &r->options->engine;
    if (e->log) e->log(e->log_user, level == GAB_LOG_INFO ? GAB_LOG_DEBUG : level, message);
}

gab_status bench_job_need(const bench_job *r, const char *path, bench_need *need) {
    return bench_need_of(&r->options->engine, path, &r->plan, &r->room, need);
}

/* ---- making an engine, with the time of its parts ---- */

static void note_stage(void *user, const char *stage, uint64_t done, uint64_t total) {
    static const char *const beginnings[3] = {"tuning", "loading", "preparing"};
    bench_job *r = user;
    const uint64_t now = gab_time_ns();
    for (int i = 0; i < 3; i++)
        if (r->stage && strncmp(r->stage, beginnings[i], strlen(beginnings[i])) == 0)
            r->stage_ms[i] += (double)(now - r->stage_ns) * 1e-6;
    r->stage = done < total ? stage : NULL;
    r->stage_ns = now;
    bench_job_say(r, stage, done, total);
}

static gab_status make_engine(bench_job *r, const char *path, gab_engine **engine) {
    gab_engine_options o = r->options->engine;
    if (o.context == 0) { /* no more of a large one than is measured */
        bench_need need;
        GAB_TRY(bench_job_need(r, path, &need));
        o.context = need.context;
    }
    o.model_path = path;
    o.device = r->device;
    o.n_session = GAB_SLOT_MAX;
    o.log = bench_job_log;
    o.log_user = r;
    o.progress = note_stage;
    o.progress_user = r;
    memset(r->stage_ms, 0, sizeof r->stage_ms);
    r->stage = NULL;
    return gab_engine_create(&o, engine);
}

/* Loading, its parts, and the first token of all. */
static gab_status add_load(bench_job *r, gab_engine *e, uint64_t start_ns, bench_figures *figures) {
    static const struct {
        const char *id, *name;
    } stages[3] = {{"load.tuning", "tuning, in loading"},
                   {"load.weights", "weights, in loading"},
                   {"load.kernels", "kernels, in loading"}};
    enum { PROMPT = 128 };
    gab_session_options options = gab_session_options_default();
    gab_session *session = NULL;
    gab_event event = {0};
    int32_t tokens[PROMPT];
    for (int i = 0; i < PROMPT; i++) tokens[i] = (int32_t)((uint32_t)i * 7919u % e->info.n_vocab);
    const size_t n = e->info.context > PROMPT ? PROMPT : 1;
    gab_status status = gab_session_create(e, &options, &session);
    if (status == GAB_OK) status = gab_session_feed(session, tokens, n, 1);
    while (status == GAB_OK && event.stop == GAB_STOP_NONE) status = gab_session_next(session, &event);
    gab_session_destroy(&session);
    GAB_TRY(status);
    bench_figure_add(figures, BENCH_FIRST, "first.cold", "first token, with loading", "ms",
                     gab_time_ms_since(start_ns));
    bench_figure_add(figures, BENCH_LOAD, "load", "loading", "ms", e->info.load_ms);
    for (int i = 0; i < 3; i++)
        if (r->stage_ms[i] > 0)
            bench_figure_add(figures, BENCH_LOAD, stages[i].id, stages[i].name, "ms", r->stage_ms[i]);
    return GAB_OK;
}

static gab_status add_compile(bench_job *r, gab_engine *e, bench_figures *figures) {
    uint32_t n;
    double ms;
    char name[64];
    if (r->mode == BENCH_QUICK) return GAB_OK;
    bench_job_say(r, "compiling again", 0, 1);
    pthread_mutex_lock(&e->lock);
    gab_status status = gab_pipeline_compile_again(e->vk->pipelines, &n, &ms);
    pthread_mutex_unlock(&e->lock);
    snprintf(name, sizeof name, "compiling %u kernels", n);
    if (status == GAB_OK) bench_figure_add(figures, BENCH_LOAD, "compile", name, "ms", ms);
    return status;
}

/* ---- integrity ---- */

static gab_status check_walk(bench_job *r, const bench_walk *w, cJSON *list, bool *right) {
    for (uint32_t i = 0; i < w->n; i++) {
        bench_verdict v;
        if (w->kernels[i].first != i) continue;
        bench_job_say(r, "checking kernels", i, w->n);
        GAB_TRY(bench_check_kernel(w, i, &v));
        if (v.elsewhere) continue;
        cJSON_AddItemToArray(list, bench_verdict_json(&w->kernels[i], &v));
        if (v.error > 1) *right = false;
    }
    bench_job_say(r, "checking kernels", 1, 1);
    return GAB_OK;
}

enum { STEP_MAX = 64 };

typedef struct check_steps {
    struct {
        uint32_t rows, position;
        bool together;
    } list[STEP_MAX];
    gab_plan_shape shapes[STEP_MAX];
    uint32_t n;
} check_steps;

/* Steps of one plan run the same kernels: one of them is enough. */
static void add_step(const gab_engine *e, check_steps *s, uint32_t rows, uint32_t position, bool together) {
    if (position + rows >= e->info.context || s->n == STEP_MAX) return;
    const gab_plan_shape shape = gab_plan_shape_for(&e->plans, rows, together ? 1 : rows, position + rows, false);
    for (uint32_t i = 0; i < s->n; i++)
        if (gab_plan_shape_same(&s->shapes[i], &shape)) return;
    s->shapes[s->n] = shape;
    s->list[s->n].rows = rows;
    s->list[s->n].together = together;
    s->list[s->n++].position = position;
}

/* A prompt, step by step, as the engine cuts it. */
static void add_prompt(const gab_engine *e, check_steps *s, uint32_t n, uint32_t position) {
    const uint32_t chunk = gab_attention_rows_max(&e->set, n);
    for (uint32_t at = 0; at < n && position + n < e->info.context; at += chunk)
        add_step(e, s, n - at < chunk ? n - at : chunk, position + at, true);
}

/* The steps that the figures are made of: one row, those of a batch, prompts, those of short turns at a depth. */
static void list_steps(const bench_plan *plan, const gab_engine *e, check_steps *s) {
    s->n = 0;
    for (uint32_t i = 0; i < plan->depths.n; i++) add_step(e, s, 1, plan->depths.values[i], false);
    for (uint32_t i = 0; i < plan->batch.n; i++)
        if (plan->batch.values[i] > 1) add_step(e, s, plan->batch.values[i], 3, false);
    for (uint32_t i = 0; i < plan->prompts.n; i++) add_prompt(e, s, plan->prompts.values[i], 0);
    add_prompt(e, s, BENCH_TURN_PROMPT, bench_plan_turn_depth(plan, e->info.context));
    add_prompt(e, s, BENCH_FIRST_PROMPT, 0);
}

static gab_status check_model(bench_job *r, gab_engine *e, cJSON *list, bool *right) {
    check_steps steps;
    list_steps(&r->plan, e, &steps);
    gab_status status = bench_fill_cache(e);
    for (uint32_t i = 0; status == GAB_OK && i < steps.n; i++) {
        bench_walk walk;
        bench_verdict v = {0};
        status = bench_walk_make(e, steps.list[i].rows, steps.list[i].position, steps.list[i].together,
                                 steps.list[i].rows == 1 ? 0 : 0.8f, &walk);
        if (status == GAB_OK) status = check_walk(r, &walk, list, right);
        if (status == GAB_OK && i == 0) {
            status = bench_check_layer(&walk, &v);
            cJSON_AddItemToArray(list, bench_verdict_json(NULL, &v));
            if (v.error > 1) *right = false;
        }
        bench_walk_free(&walk);
    }
    return status;
}

/* ---- anatomy ---- */

static gab_status add_anatomy(bench_job *r, gab_engine *e, const bench_figure *figure, cJSON *list) {
    const bool decode = figure->kind == BENCH_DECODE;
    const uint32_t rows = decode ? 1 : figure->size < GAB_ROW_MAX ? figure->size : GAB_ROW_MAX;
    const double step_ms = decode ? 1e3 / figure->value : figure->size * 1e3 / figure->value;
    const uint32_t n_run = r->mode == BENCH_QUICK || step_ms > 500 ? 1 : 3; /* of each kernel */
    bench_walk walk;
    double sum = 0;
    gab_status status = bench_walk_make(e, rows, figure->depth, !decode, 0.8f, &walk);
    cJSON *o = cJSON_CreateObject(), *kernels = cJSON_AddArrayToObject(o, "kernels");
    cJSON_AddStringToObject(o, "figure", figure->id);
    cJSON_AddStringToObject(o, "name", figure->name);
    for (uint32_t i = 0; status == GAB_OK && i < walk.n; i++) {
        bench_time time;
        if (walk.kernels[i].first != i) continue;
        bench_job_say(r, "anatomy of a token", i, walk.n);
        status = bench_walk_time(&walk, i, n_run, bench_job_submit_ms(r), &time);
        if (status != GAB_OK) break;
        cJSON *k = bench_kernel_json(&walk, &r->ceilings, i, &time);
        sum += time.ms * bench_json_number(k, "times");
        cJSON_AddItemToArray(kernels, k);
    }
    bench_job_say(r, "anatomy of a token", 1, 1);
    bench_walk_free(&walk);
    bench_json_add(o, "step_ms", step_ms);
    bench_json_add(o, "kernels_ms", sum);
    cJSON_AddItemToArray(list, o);
    return status;
}

/* Of text at the first and the last depth, and of the longest prompt that is one step. */
static gab_status add_anatomies(bench_job *r, gab_engine *e, const bench_figures *figures, cJSON *list) {
    const bench_figure *text[2] = {NULL, NULL}, *prompt = NULL;
    for (uint32_t i = 0; i < figures->n; i++) {
        const bench_figure *f = &figures->list[i];
        if (f->kind == BENCH_DECODE) text[text[0] != NULL] = f;
        if (f->kind == BENCH_PREFILL && f->size <= GAB_ROW_MAX) prompt = f;
    }
    const bench_figure *const wanted[] = {text[0], text[1], prompt};
    gab_status status = GAB_OK;
    for (size_t i = r->mode == BENCH_QUICK && text[1] ? 1 : 0; status == GAB_OK && i < 3; i++)
        if (wanted[i] && wanted[i]->value > 0) status = add_anatomy(r, e, wanted[i], list);
    return status;
}

/* ---- a model ---- */

/* For the time that the next one would take. */
static void note_reached(bench_job *r, const char *path, const bench_figures *figures) {
    bench_need need;
    if (bench_job_need(r, path, &need) != GAB_OK) return;
    if (r->stage_ms[1] > 0) r->reached.load_bytes_s = 1e3 * need.weight_bytes / r->stage_ms[1];
    for (uint32_t i = 0; i < figures->n; i++) {
        const bench_figure *f = &figures->list[i];
        if (f->kind == BENCH_DECODE && f->depth == 0) r->reached.text_bytes_s = f->value * need.token_bytes;
        if (f->kind == BENCH_PREFILL) r->reached.prompt_flop_s = 2 * f->value * need.token_weights;
    }
}

/* With what a model is run, where that is not the usual: "quantized to q4_0, exact". */
static void write_settings(const gab_engine_options *o, char *text, size_t size) {
    snprintf(text, size, "%s%s%s%s", o->quantize ? ", quantized to " : "", o->quantize ? o->quantize : "",
             o->kv == GAB_KV_F32 ? ", cache of f32" : "", o->precision == GAB_PRECISION_EXACT ? ", exact" : "");
}

static void describe_model(const gab_engine *e, const gab_engine_options *options, const char *path, const char *label,
                           cJSON *m) {
    char hash[80], settings[96], text[256];
    write_settings(options, settings, sizeof settings);
    cJSON_AddStringToObject(m, "name", e->info.model_name[0] ? e->info.model_name : path);
    cJSON_AddStringToObject(m, "path", path);
    cJSON_AddStringToObject(m, "architecture", e->info.architecture);
    cJSON_AddNumberToObject(m, "weight_bytes", (double)e->info.weight_bytes);
    cJSON_AddNumberToObject(m, "context", e->info.context);
    cJSON_AddStringToObject(m, "variants", e->info.variants);
    cJSON_AddStringToObject(m, "settings", settings[0] ? settings + 2 : "");
    snprintf(text, sizeof text, "%s%s", label ? label : bench_json_text(m, "name"), settings);
    cJSON_AddStringToObject(m, "label", text);
    bench_hash_model(path, hash);
    cJSON_AddStringToObject(m, "sha256", hash); /* "": a synthetic model is its name */
}

/* Where the time of the benchmark itself goes. */
static void note_time(const bench_job *r, const char *what, uint64_t *since) {
    gab_log_print(&r->log, GAB_LOG_DEBUG, "%s: %.0f ms", what, gab_time_ms_since(*since));
    *since = gab_time_ns();
}

gab_status bench_job_model(bench_job *r, const char *path, const char *label) {
    gab_engine *e = NULL;
    bench_figures *figures = calloc(1, sizeof *figures);
    const uint64_t start = gab_time_ns();
    uint64_t since = start;
    bool right = true;
    gab_status status = figures ? make_engine(r, path, &e) : GAB_ERROR_HOST_MEMORY;
    if (status == GAB_OK) status = add_load(r, e, start, figures); /* before anything else takes time */
    if (status != GAB_OK) {
        free(figures);
        gab_engine_destroy(&e);
        return status;
    }
    cJSON *m = cJSON_CreateObject();
    cJSON_AddItemToArray(r->models, m);
    describe_model(e, &r->options->engine, path, label, m);
    cJSON *integrity = cJSON_AddArrayToObject(m, "integrity"), *anatomy = NULL;
    note_time(r, "loading and a first token", &since);
    if (r->executes) {
        pthread_mutex_lock(&e->lock);
        status = check_model(r, e, integrity, &right);
        pthread_mutex_unlock(&e->lock);
        if (status != GAB_OK) goto error;
        note_time(r, "checking", &since);
    }
    cJSON_AddBoolToObject(m, "right", right && r->executes);
    r->right = r->right && right;
    if (!right) goto error; /* no figure of a model that is computed wrongly */
    GAB_TRY_GOTO(bench_figures_measure(e, &r->plan, &r->ceilings, label ? label : "measuring", figures), error);
    for (uint32_t i = 0; i < figures->n_left_out; i++) {
        char what[160];
        snprintf(what, sizeof what, "%.80s, %s", bench_json_text(m, "label"), figures->left_out[i].name);
        bench_job_skip(r, what, figures->left_out[i].why);
    }
    note_reached(r, path, figures);
    note_time(r, "figures", &since);
    GAB_TRY_GOTO(add_compile(r, e, figures), error);
    cJSON_AddItemToObject(m, "figures", bench_figures_json(figures));
    anatomy = cJSON_AddArrayToObject(m, "anatomy");
    pthread_mutex_lock(&e->lock);
    status = add_anatomies(r, e, figures, anatomy);
    pthread_mutex_unlock(&e->lock);
    note_time(r, "compiling again and anatomies", &since);
error:
    if (status != GAB_OK && !bench_json_item(m, "figures")) cJSON_Delete(cJSON_DetachItemViaPointer(r->models, m));
    free(figures);
    gab_engine_destroy(&e);
    return status;
}
