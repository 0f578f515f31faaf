#include "bench/bench.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "bench/document.h"
#include "bench/job.h"
#include "bench/text.h"
#include "run/engine.h"

const bench_mode_row bench_modes[] = {
    [BENCH_NORMAL] = {"normal", "128,512,2048", "0,4096,16384", "1,4,16", 5, 500, 3000, 512u << 20, 50, 60, 3},
    [BENCH_QUICK] = {"quick", "128,512", "0,4096", "4", 3, 250, 1200, 256u << 20, 20, 25, 1},
    [BENCH_FULL] = {"full", "128,512,2048", "0,4096,16384", "1,4,16", 9, 1000, 20000, 1024u << 20, 50, 1e9, 3},
};

/* ---- a device ---- */

GAB_PRINTF(2, 3) static void add_note(const bench_job *r, const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    cJSON_AddItemToArray(cJSON_GetObjectItemCaseSensitive(r->json, "notes"), cJSON_CreateString(text));
}

/* What a reader must know before believing anything. again: could the limit be measured at the end? */
static void add_notes(bench_job *r, const bench_conditions *before, double f32_again, gab_status again) {
    const double first = bench_ceiling_of(&r->ceilings, BENCH_CEILING_F32, 0);
    const double change = first > 0 && f32_again > 0 ? 100 * (f32_again / first - 1) : 0;
    cJSON_AddArrayToObject(r->json, "notes");
    bench_json_add(r->json, "change_percent", change);
    if (!r->executes) add_note(r, "results invalid: this device computes nothing");
    if (change < -10)
        add_note(r, "at the end the device was %.0f%% slower than at the beginning: throttled, or disturbed", -change);
    if (r->first && before->load > 0.5 * before->cores) /* later ones see what was run for those before */
        add_note(r, "the machine was busy: %.1f runnable threads on %.0f cores before the first measurement",
                 before->load, before->cores);
    if (before->power_saving) add_note(r, "the processor's governor is powersave");
    if (again != GAB_OK) add_note(r, "its limits could not be measured again at the end: %s", gab_last_error());
}

/* The limits, on a device opened for them alone. again: of f32 only, to see whether it has changed. */
static gab_status measure_limits(bench_job *r, bool again, double *f32_again) {
    const gab_engine_options *e = &r->options->engine;
    const gab_log log = again ? r->log : (gab_log){e->log, e->log_user};
    const bench_ceiling_options o = {.n_run = r->plan.n_run,
                                     .sizes = !r->options->smoke,
                                     .rough = r->options->smoke,
                                     .submit_ms = bench_job_submit_ms(r),
                                     .progress = e->progress,
                                     .progress_user = e->progress_user};
    gab_vk *vk = NULL;
    bench_pool pool = {0};
    gab_status status;
    GAB_TRY(gab_vk_create(r->device, &log, &vk));
    if (!again) {
        r->executes = vk->executes;
        r->room = (bench_room){0.8 * (double)gab_vk_memory_free(vk), /* others use it, too */
                               vk->binding_bytes_max};
        cJSON_AddItemToObject(r->json, "device", bench_device_json(vk));
    }
    const uint64_t small = 4 << 20; /* enough for arithmetic */
    GAB_TRY_GOTO(bench_pool_create(vk, r->options->smoke || again ? small : bench_modes[r->mode].pool_bytes, &pool),
                 error);
    if (again)
        status = bench_ceiling_again(vk, &pool, &r->ceilings, &o, f32_again);
    else
        status = bench_ceilings_measure(vk, &pool, &o, &r->ceilings);
    if (o.progress) o.progress(o.progress_user, "limits", 1, 1);
error:
    bench_pool_destroy(vk, &pool);
    gab_vk_destroy(&vk);
    return status;
}

static gab_status measure_models(bench_job *r) {
    const char *path = r->options->engine.model_path;
    r->models = cJSON_AddArrayToObject(r->json, "models");
    r->skipped = cJSON_AddArrayToObject(r->json, "skipped");
    const gab_status status = path ? bench_job_model(r, path, NULL) : bench_job_presets(r);
    if (cJSON_GetArraySize(r->models) == 0) return status;
    if (status != GAB_OK) bench_job_skip(r, "what was to come", gab_last_error());
    return GAB_OK;
}

static gab_status measure_device(bench_job *r) {
    bench_conditions before, after;
    double f32_again = 0;
    r->log = (gab_log){bench_job_log, r};
    r->start_ns = gab_time_ns();
    bench_conditions_read(&before);
    GAB_TRY(measure_limits(r, false, NULL));
    cJSON_AddItemToObject(r->json, "ceilings", bench_ceilings_json(&r->ceilings, r->plan.n_run));
    GAB_TRY(measure_models(r));
    const gab_status again = measure_limits(r, true, &f32_again);
    bench_conditions_read(&after);
    cJSON_AddItemToObject(r->json, "before", bench_conditions_json(&before));
    cJSON_AddItemToObject(r->json, "after", bench_conditions_json(&after));
    bench_json_add(r->json, "seconds", gab_time_ms_since(r->start_ns) * 1e-3);
    add_notes(r, &before, f32_again, again);
    return GAB_OK;
}

/* ---- options ---- */

/* "128,512" */
static gab_status parse_list(const char *text, const char *what, uint32_t least, uint32_t most, const gab_log *log,
                             bench_list *list) {
    list->n = 0;
    for (const char *at = text; *at && list->n < BENCH_LIST_MAX;) {
        char *end;
        const unsigned long value = strtoul(at, &end, 10);
        if (at[strspn(at, "0123456789")] != *end || end == at || value < least || value > most || (*end && *end != ','))
            break;
        list->values[list->n++] = (uint32_t)value;
        at = *end ? end + 1 : end;
        if (!*at) return GAB_OK;
    }
    return gab_fail(log, GAB_ERROR_ARGUMENT,
                    "%s: '%.64s' is not a list of up to %d numbers from %u to %u, as in 128,512", what, text,
                    BENCH_LIST_MAX, least, most);
}

static gab_status make_plan(const bench_options *o, const gab_log *log, bench_plan *plan) {
    const bench_mode m = o->mode;
    *plan = (bench_plan){.n_run = o->n_run ? o->n_run : bench_modes[m].n_run,
                         .run_ms = bench_modes[m].run_ms,
                         .figure_ms = bench_modes[m].figure_ms,
                         .all_runs = o->n_run > 0,
                         .patient = m == BENCH_FULL,
                         .progress = o->engine.progress,
                         .progress_user = o->engine.progress_user};
    if (o->smoke) {
        plan->run_ms = plan->figure_ms = 1;
        plan->patient = true; /* nothing is left out for being slow */
    }
    if (plan->n_run > BENCH_RUN_MAX) plan->n_run = BENCH_RUN_MAX;
    GAB_TRY(
        parse_list(o->prompts ? o->prompts : bench_modes[m].prompts, "--prompt-sizes", 2, 65536, log, &plan->prompts));
    GAB_TRY(parse_list(o->depths ? o->depths : bench_modes[m].depths, "--depths", 0, 131072, log, &plan->depths));
    return parse_list(o->batch ? o->batch : bench_modes[m].batch, "--batch", 1, GAB_SLOT_MAX, log, &plan->batch);
}

/* A device that is asked for. */
typedef struct asked {
    char choice[64]; /* as for gab_vk_create */
    char name[256];
} asked;

static gab_status list_devices(const bench_options *o, const gab_log *log, asked list[BENCH_DOCUMENT_MAX],
                               uint32_t *n) {
    gab_device_info *devices = NULL;
    size_t n_device = 0;
    *n = 0;
    if (strcmp(o->devices, "*") == 0) {
        GAB_TRY(gab_device_list(&devices, &n_device, log->fn, log->user));
        for (size_t i = 0; i < n_device && *n < BENCH_DOCUMENT_MAX; i++) {
            if (!devices[i].usable) continue;
            snprintf(list[*n].choice, sizeof list->choice, "%u", devices[i].index);
            snprintf(list[(*n)++].name, sizeof list->name, "%s", devices[i].name);
        }
        gab_device_list_free(&devices);
        return *n > 0 ? GAB_OK
                      : gab_fail(log, GAB_ERROR_UNSUPPORTED,
                                 "none of the %zu Vulkan devices can be used: 'gabbro devices' says why", n_device);
    }
    for (const char *at = o->devices; at && *n < BENCH_DOCUMENT_MAX; (*n)++) {
        const size_t length = strcspn(at, ",");
        if (length == 0) return gab_fail(log, GAB_ERROR_ARGUMENT, "--devices: a name in '%s' is empty", o->devices);
        snprintf(list[*n].choice, sizeof list->choice, "%.*s", (int)(length < 63 ? length : 63), at);
        snprintf(list[*n].name, sizeof list->name, "%.*s", (int)(length < 63 ? length : 63), at);
        at = at[length] ? at + length + 1 : NULL;
    }
    return GAB_OK;
}

static gab_status run_device(const bench_options *o, const bench_plan *plan, const asked *device, bool first,
                             cJSON *document, bool *right) {
    const gab_log log = {o->engine.log, o->engine.log_user};
    bench_job *r = calloc(1, sizeof *r);
    if (!r) return gab_fail(&log, GAB_ERROR_HOST_MEMORY, "out of host memory");
    r->options = o;
    r->plan = r->whole_plan = *plan;
    r->mode = o->mode;
    r->device = device ? device->choice : o->engine.device;
    r->right = true;
    r->first = first;
    r->json = cJSON_CreateObject();
    const gab_status status = measure_device(r);
    *right = *right && r->right;
    if (status == GAB_OK)
        cJSON_AddItemToArray(cJSON_GetObjectItemCaseSensitive(document, "devices"), r->json);
    else
        cJSON_Delete(r->json);
    if (status != GAB_OK && device) bench_document_fail(document, device->name, gab_last_error());
    free(r);
    return status;
}

gab_status bench_run(const bench_options *o, cJSON **document, bench_outcome *outcome) {
    const gab_log log = {o->engine.log, o->engine.log_user};
    asked list[BENCH_DOCUMENT_MAX];
    uint32_t n = 1;
    bench_plan plan;
    gab_status status = GAB_OK;
    *outcome = (bench_outcome){.right = true};
    GAB_TRY(make_plan(o, &log, &plan));
    if (o->engine.model_path) { /* a file that cannot be opened is said before anything is measured */
        gab_gguf *gguf = NULL;
        GAB_TRY(gab_engine_open_file(o->engine.model_path, o->engine.quantize, &log, &gguf));
        gab_gguf_close(&gguf);
    }
    if (o->devices) GAB_TRY(list_devices(o, &log, list, &n));
    cJSON *d = bench_document_create(bench_modes[o->mode].name, plan.n_run, o->program);
    for (uint32_t i = 0; i < n; i++) {
        const gab_status now = run_device(o, &plan, o->devices ? &list[i] : NULL, i == 0, d, &outcome->right);
        if (now != GAB_OK) outcome->n_failed++, status = now;
    }
    if (outcome->n_failed == n) {
        cJSON_Delete(d);
        return status;
    }
    *document = d;
    return GAB_OK;
}
