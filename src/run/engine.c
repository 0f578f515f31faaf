#include "run/engine.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "format/reader.h"
#include "text/chat.h"

enum { SESSION_MAX = GAB_SLOT_MAX };

gab_engine_options gab_engine_options_default(void) {
    const char *tune = getenv("GABBRO_TUNE");
    return (gab_engine_options){.struct_size = sizeof(gab_engine_options),
                                .n_session = 8,
                                .submit_budget_ms = 100,
                                .tune = !tune || strcmp(tune, "0") != 0};
}

/* ---- memory ---- */

typedef struct memory_plan {
    uint64_t weights, activations, page; /* bytes */
    uint64_t available;
    uint32_t pages_a_session;
    uint32_t n_page_max;
} memory_plan;

static const double gib = 1.0 / (1 << 30);

static memory_plan plan_memory(const gab_engine *e, uint32_t context) {
    const gab_model_config *c = &e->model->config;
    const bool f16 = e->options.kv == GAB_KV_F16;
    const gab_plan_sizes sizes = gab_model_sizes(e->model, context);
    memory_plan plan = {.weights = gab_model_weight_bytes(e->model),
                        .activations = gab_plans_bytes(&sizes),
                        .page = gab_kv_page_bytes(c->kv, c->n_layer, f16),
                        .available = gab_vk_memory_free(e->vk),
                        .pages_a_session = (context + GAB_PAGE - 1) / GAB_PAGE};
    uint64_t fixed = plan.weights + plan.activations;
    /* while the cache grows, one of its pools exists twice */
    const uint64_t page = plan.page + plan.page / (2 * c->n_layer);
    uint64_t fitting = plan.available > fixed ? (plan.available - fixed) / page : 0;
    uint64_t limit = gab_kv_page_limit(e->vk, c->kv, c->n_layer, f16);
    uint64_t wanted = (uint64_t)plan.pages_a_session * e->options.n_session;
    if (fitting > limit) fitting = limit;
    plan.n_page_max = (uint32_t)(wanted < fitting ? wanted : fitting);
    return plan;
}

/* What the weights could still be quantized to. */
static const char *narrower_types(const gab_model *model) {
    const double bits = gab_model_weight_bits(model);
    return bits > 9 ? " or one quantized to Q8_0 or Q4_0" : bits > 5 ? " or one quantized to Q4_0" : "";
}

gab_status gab_context_wanted(uint32_t asked, const gab_model_config *c, const char *path, const gab_log *log,
                              uint32_t *context) {
    *context = asked ? asked : c->n_ctx < GAB_CONTEXT_MAX ? c->n_ctx : GAB_CONTEXT_MAX;
    if (*context <= c->n_ctx) return GAB_OK;
    return gab_fail(log, GAB_ERROR_ARGUMENT, "a context of %u is more than the %u positions that %s was trained for",
                    *context, c->n_ctx, path);
}

/* Settles engine->info.context, or says what would fit. */
static gab_status choose_context(gab_engine *e, memory_plan *plan) {
    const gab_model_config *c = &e->model->config;
    uint32_t context;
    GAB_TRY(gab_context_wanted(e->options.context, c, e->model_path, &e->log, &context));
    *plan = plan_memory(e, context);
    if (plan->n_page_max < plan->pages_a_session && e->options.context == 0) {
        while (plan->n_page_max < plan->pages_a_session && context > GAB_PAGE) {
            context = (context / 2 + GAB_PAGE - 1) / GAB_PAGE * GAB_PAGE;
            *plan = plan_memory(e, context);
        }
        if (plan->n_page_max >= plan->pages_a_session)
            gab_log_print(&e->log, GAB_LOG_WARNING, "memory is short on %s: the context is %u positions instead of %u",
                          e->vk->info.name, context, c->n_ctx);
    }
    if (plan->n_page_max >= plan->pages_a_session) {
        e->info.context = context;
        return GAB_OK;
    }
    uint64_t need = plan->weights + plan->activations + plan->page * plan->pages_a_session;
    char remedy[160];
    if (plan->n_page_max > 0)
        snprintf(remedy, sizeof remedy, "try --context %u", plan->n_page_max * GAB_PAGE);
    else if (plan->weights < plan->available)
        snprintf(remedy, sizeof remedy,
                 "the weights fit, %.1f GiB for activations and the first page do not: try a smaller "
                 "--context or a smaller model",
                 (double)(plan->activations + plan->page) * gib);
    else
        snprintf(remedy, sizeof remedy, "the weights alone are %.1f GiB: try a smaller model%s",
                 (double)plan->weights * gib, narrower_types(e->model));
    return gab_fail(&e->log, GAB_ERROR_DEVICE_MEMORY, "%s needs %.1f GiB on %s (%.1f GiB, %.1f free): %s",
                    e->model_path, (double)need * gib, e->vk->info.name, (double)e->vk->info.memory_total * gib,
                    (double)plan->available * gib, remedy);
}

gab_status gab_engine_choose_context(gab_engine *e) {
    memory_plan plan;
    return choose_context(e, &plan);
}

/* ---- the device ---- */

/* Every token of the vocabulary must have a row in the model. */
static gab_status check_vocabulary(gab_engine *e) {
    uint32_t n = e->tokenizer ? gab_tokenizer_n_vocab(e->tokenizer) : 0;
    if (n > e->model->config.n_vocab)
        return gab_fail(&e->log, GAB_ERROR_FORMAT,
                        "%s: %s holds %u tokens, token_embd.weight only %u rows: the files do not belong together",
                        e->model_path, gab_gguf_version(e->gguf) > 0 ? "tokenizer.ggml.tokens" : "tokenizer.json", n,
                        e->model->config.n_vocab);
    return GAB_OK;
}

gab_status gab_engine_open_file(const char *path, const char *quantize, const gab_log *log, gab_gguf **gguf) {
    GAB_TRY(gab_model_gguf_open(path, log, gguf));
    gab_status status = quantize ? gab_model_quantize(*gguf, quantize, log) : GAB_OK;
    if (status != GAB_OK) gab_gguf_close(gguf);
    return status;
}

/* The vocabulary of a folder is in files of its own. */
static gab_status read_tokenizer(gab_engine *e, const gab_log *log) {
    const gab_gguf_tensor *table = gab_gguf_tensor_find(e->gguf, "token_embd.weight");
    const uint32_t n_row = table && table->n_row <= INT32_MAX ? (uint32_t)table->n_row : 0;
    return gab_gguf_version(e->gguf) > 0 ? gab_tokenizer_create(e->gguf, log, &e->tokenizer)
                                         : gab_tokenizer_create_json(e->model_path, n_row, log, &e->tokenizer);
}

static void drop_errors(void *user, gab_log_level level, const char *message) {
    const gab_log *log = user;
    if (level != GAB_LOG_ERROR && log->fn) log->fn(log->user, level, message);
}

/* A kind of tokenizer that is not supported, or a folder without one, leaves a model that token ids can be fed to. */
static gab_status open_tokenizer(gab_engine *e) {
    const gab_log without_errors = {drop_errors, &e->log};
    const gab_status status = read_tokenizer(e, &without_errors);
    if (status == GAB_OK) return GAB_OK;
    if (status != GAB_ERROR_UNSUPPORTED && status != GAB_ERROR_FILE) return read_tokenizer(e, &e->log);
    gab_log_print(&e->log, GAB_LOG_WARNING, "%s: the model can be used with token ids alone", gab_last_error());
    return GAB_OK;
}

bool gab_engine_is_end(const gab_engine *e, int32_t token) {
    for (uint64_t i = 0; i < e->n_end; i++)
        if (e->ends[i] == token) return true;
    return e->tokenizer && gab_tokenizer_is_end(e->tokenizer, token);
}

/* Records the plans that every session needs first: a token, and a prompt. */
static gab_status prepare_plans(gab_engine *e, const gab_load_options *load) {
    const uint32_t rows[] = {1, GAB_ROW_MAX};
    for (uint32_t i = 0; i < 2; i++) {
        const gab_plan_shape shape = gab_plan_shape_for(&e->plans, rows[i], 1, rows[i], false);
        if (load->progress) load->progress(load->progress_user, "preparing kernels", i, 2);
        GAB_TRY(gab_plan_prepare(&e->plans, &shape));
    }
    if (load->progress) load->progress(load->progress_user, "preparing kernels", 2, 2);
    return GAB_OK;
}

/* A device that is opened again must be the one that the kernels were chosen on. */
static gab_status remember_device(gab_engine *e) {
    char *uuid = strdup(e->vk->info.uuid);
    if (!uuid) return gab_fail(&e->log, GAB_ERROR_HOST_MEMORY, "out of host memory");
    free(e->device_choice);
    e->device_choice = uuid;
    return GAB_OK;
}

gab_status gab_engine_open_model(gab_engine *e) {
    GAB_TRY(gab_vk_create(e->device_choice, &e->log, &e->vk));
    GAB_TRY(remember_device(e));
    GAB_TRY(gab_model_open(e->gguf, &e->log, &e->model));
    return check_vocabulary(e);
}

void gab_engine_describe(gab_engine *e) {
    gab_engine_info *info = &e->info;
    const gab_model_config *c = &e->model->config;
    snprintf(info->model_name, sizeof info->model_name, "%s", c->name);
    snprintf(info->architecture, sizeof info->architecture, "%s", c->architecture);
    snprintf(info->device, sizeof info->device, "%s", e->vk->info.name);
    snprintf(info->driver, sizeof info->driver, "%s", e->vk->info.driver);
    snprintf(info->variants, sizeof info->variants, "%016" PRIx64, gab_kernel_set_hash(&e->set));
    info->n_vocab = c->n_vocab;
    info->n_embd = c->n_embd;
    info->n_layer = c->n_layer;
    info->n_head = c->n_head;
    info->n_ctx_train = c->n_ctx;
    info->executes = e->vk->executes;
}

gab_status gab_engine_open_device(gab_engine *e) {
    memory_plan plan = {0};
    const gab_load_options load = {.shard_bytes_max = e->options.shard_bytes_max,
                                   .staging = e->options.staging,
                                   .progress = e->options.progress,
                                   .progress_user = e->options.progress_user};
    GAB_TRY(gab_engine_open_model(e));
    GAB_TRY(choose_context(e, &plan));
    GAB_TRY(gab_engine_choose_kernels(e, false, NULL));
    GAB_TRY(gab_model_load(e->model, e->vk, e->info.context, &load));

    const gab_model_config *c = &e->model->config;
    const gab_plan_sizes sizes = gab_model_sizes(e->model, e->info.context);
    const gab_forward_pass pass = gab_model_pass(e->model);
    GAB_TRY(gab_kv_cache_create(e->vk, c->kv, c->n_layer, e->options.kv == GAB_KV_F16, plan.pages_a_session,
                                plan.n_page_max, &e->kv));
    GAB_TRY(gab_plans_create(e->vk, &e->set, &sizes, &pass, &e->kv, e->submit_budget_ms, &e->plans));

    e->info.weight_bytes = e->model->weights.bytes;
    gab_engine_describe(e);
    return prepare_plans(e, &load);
}

void gab_engine_close_device(gab_engine *e) {
    if (e->vk) e->vk->fn.vkDeviceWaitIdle(e->vk->device);
    gab_plans_destroy(&e->plans);
    gab_kv_cache_destroy(&e->kv);
    gab_model_destroy(&e->model);
    gab_vk_destroy(&e->vk);
}

/* ---- making and unmaking ---- */

static bool copy_text(const char *text, char **copy) {
    if (!text) return true;
    *copy = malloc(strlen(text) + 1);
    if (*copy) memcpy(*copy, text, strlen(text) + 1);
    return *copy != NULL;
}

gab_status gab_engine_options_check(const gab_engine_options *o, const gab_log *log) {
    if (o->struct_size != sizeof *o)
        return gab_fail(log, GAB_ERROR_ARGUMENT,
                        "gab_engine_options of %zu bytes, expected %zu: fill it with "
                        "gab_engine_options_default and compile against this version's header",
                        o->struct_size, sizeof *o);
    if (!o->model_path)
        return gab_fail(log, GAB_ERROR_ARGUMENT, "no model_path: name a GGUF file, a folder or synth:PRESET");
    if (o->n_session < 1 || o->n_session > SESSION_MAX)
        return gab_fail(log, GAB_ERROR_ARGUMENT, "n_session is %u, expected 1 to %d", o->n_session, SESSION_MAX);
    if (o->context > GAB_CONTEXT_MAX)
        return gab_fail(log, GAB_ERROR_ARGUMENT, "context is %u, expected at most %d", o->context, GAB_CONTEXT_MAX);
    if (o->submit_budget_ms < 1 || o->submit_budget_ms > 10000)
        return gab_fail(log, GAB_ERROR_ARGUMENT, "submit_budget_ms is %u, expected 1 to 10000", o->submit_budget_ms);
    return GAB_OK;
}

static void log_summary(const gab_engine *e) {
    gab_log_print(&e->log, GAB_LOG_INFO,
                  "model: %s (%s), %u layers, width %u, %u heads, vocabulary %u, context %u of %u", e->info.model_name,
                  e->info.architecture, e->info.n_layer, e->info.n_embd, e->info.n_head, e->info.n_vocab,
                  e->info.context, e->info.n_ctx_train);
    gab_log_print(&e->log, GAB_LOG_INFO, "memory: weights %.1f MiB, KV cache %.1f MiB (%s)",
                  (double)e->info.weight_bytes / (1 << 20), (double)e->kv.n_page * (double)e->kv.page_bytes / (1 << 20),
                  e->options.kv == GAB_KV_F16 ? "f16" : "f32");
    gab_log_print(&e->log, GAB_LOG_INFO, "precision: %s; kernels: %s family, variants %s",
                  e->narrow ? "f32 sums, narrower products where they are faster"
                            : "f32 activations, products and sums",
                  e->plans.set.lane ? "lane" : "group", e->info.variants);
}

gab_status gab_engine_make(const gab_engine_options *options, gab_engine **out) {
    gab_status status;
    const gab_log log = {options->log, options->log_user};
    GAB_TRY(gab_engine_options_check(options, &log));
    gab_engine *e = calloc(1, sizeof *e);
    if (!e) return gab_fail(&log, GAB_ERROR_HOST_MEMORY, "out of host memory for the engine");
    e->options = *options;
    e->log = log;
    e->submit_budget_ms = options->submit_budget_ms;
    pthread_mutex_init(&e->lock, NULL);
    pthread_cond_init(&e->wake, NULL);
    if (!copy_text(options->model_path, &e->model_path) || !copy_text(options->device, &e->device_choice) ||
        !copy_text(options->variant, &e->variant)) {
        status = gab_fail(&log, GAB_ERROR_HOST_MEMORY, "out of host memory for the engine");
        goto error;
    }
    GAB_TRY_GOTO(gab_engine_open_file(e->model_path, options->quantize, &e->log, &e->gguf), error);
    GAB_TRY_GOTO(gab_model_check_architecture(e->gguf, &e->log), error); /* says more than its tokenizer would */
    GAB_TRY_GOTO(open_tokenizer(e), error);
    if (!gab_gguf_get_i32s(e->gguf, "tokenizer.ggml.eos_token_ids", &e->ends, &e->n_end)) e->n_end = 0;
    e->options.quantize = NULL; /* it is the caller's, and done */
    *out = e;
    return GAB_OK;
error:
    gab_engine_destroy(&e);
    return status;
}

gab_status gab_engine_create(const gab_engine_options *options, gab_engine **out) {
    const uint64_t start = gab_time_ns();
    gab_engine *e = NULL;
    gab_status status;
    GAB_TRY(gab_engine_make(options, &e));
    GAB_TRY_GOTO(gab_engine_open_first(e), error);
    e->options.context = e->info.context; /* also when the device is opened again */
    e->options.progress = NULL;           /* which is not the user's thread any more */
    e->info.load_ms = gab_time_ms_since(start);
    log_summary(e);
    e->thread_started = gab_thread_start(&e->thread, gab_scheduler_run, e);
    if (!e->thread_started) {
        status = gab_fail(&e->log, GAB_ERROR_HOST_MEMORY, "the scheduler's thread cannot be started");
        goto error;
    }
    *out = e;
    return GAB_OK;
error:
    gab_engine_destroy(&e);
    return status;
}

void gab_engine_destroy(gab_engine **pengine) {
    if (!pengine || !*pengine) return;
    gab_engine *e = *pengine;
    if (e->thread_started) {
        pthread_mutex_lock(&e->lock);
        e->quit = true;
        pthread_cond_signal(&e->wake);
        pthread_mutex_unlock(&e->lock);
        gab_thread_join(e->thread);
    }
    gab_engine_close_device(e);
    gab_tokenizer_destroy(&e->tokenizer);
    gab_gguf_close(&e->gguf);
    pthread_cond_destroy(&e->wake);
    pthread_mutex_destroy(&e->lock);
    free(e->model_path);
    free(e->device_choice);
    free(e->variant);
    free(e);
    *pengine = NULL;
}

void gab_engine_get_info(const gab_engine *engine, gab_engine_info *info) {
    gab_engine *e = (gab_engine *)engine;
    pthread_mutex_lock(&e->lock);
    *info = e->info;
    info->kv_bytes = e->kv.n_page * e->kv.page_bytes;
    pthread_mutex_unlock(&e->lock);
}

const gab_tokenizer *gab_engine_tokenizer(const gab_engine *engine) {
    return engine->tokenizer;
}

/* A value that a file does not have, or that means nothing, changes nothing. */
static void recommend_f32(const gab_gguf *gguf, const char *key, float least, float most, float *value) {
    float said;
    if (gab_gguf_get_f32(gguf, key, &said) && said >= least && said <= most) *value = said;
}

void gab_engine_recommend_sampling(const gab_engine *engine, gab_sampling *s) {
    const gab_gguf *gguf = engine->gguf;
    gab_gguf_get_u32(gguf, "general.sampling.top_k", &s->top_k);
    recommend_f32(gguf, "general.sampling.temp", 0, 100, &s->temperature);
    recommend_f32(gguf, "general.sampling.top_p", 1e-6f, 1, &s->top_p);
    recommend_f32(gguf, "general.sampling.min_p", 0, 1, &s->min_p);
    recommend_f32(gguf, "general.sampling.penalty_repeat", 0.01f, 100, &s->repeat_penalty);
}

gab_status gab_chat_create(const gab_engine *engine, const char *variables, gab_chat **chat) {
    gab_gguf_string source = {0};
    if (!engine->tokenizer)
        return gab_fail(&engine->log, GAB_ERROR_UNSUPPORTED,
                        "%s has no tokenizer that is supported: a conversation needs one", engine->model_path);
    gab_gguf_get_string(engine->gguf, "tokenizer.chat_template", &source);
    if (source.n_byte > 0 && !memchr(source.text, '{', (size_t)source.n_byte)) { /* "mistral-v7": of whom knows it */
        char shown[65];
        gab_reader_show(shown, sizeof shown, source.text);
        gab_log_print(&engine->log, GAB_LOG_WARNING, "%s: tokenizer.chat_template is '%s', which is no template",
                      gab_gguf_path(engine->gguf), shown);
        source.n_byte = 0;
    }
    return gab_chat_make(source.n_byte > 0 ? source.text : NULL, (size_t)source.n_byte, gab_gguf_path(engine->gguf),
                         variables, engine->tokenizer, &engine->log, chat);
}

gab_status gab_tokenizer_open(const char *model_path, gab_log_fn log_fn, void *log_user, gab_tokenizer **tokenizer) {
    gab_log log = {log_fn, log_user};
    gab_gguf *gguf = NULL;
    if (!model_path || !tokenizer)
        return gab_fail(&log, GAB_ERROR_ARGUMENT, "gab_tokenizer_open: model_path and tokenizer must not be NULL");
    if (gab_tokenizer_is_json(model_path)) return gab_tokenizer_create_json(model_path, 0, &log, tokenizer);
    GAB_TRY(gab_model_gguf_open(model_path, &log, &gguf));
    gab_status status = gab_tokenizer_create(gguf, &log, tokenizer);
    gab_gguf_close(&gguf);
    return status;
}
