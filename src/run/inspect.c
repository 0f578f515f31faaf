/*
 * inspect.c - what a model is and what it would need, from its metadata alone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/json.h"
#include "format/reader.h"
#include "model/synth.h"
#include "run/engine.h"

enum { TOKENIZER_BYTES_MAX = 64 << 20 };

/* A number under ARCHITECTURE.name; 0 when there is none. */
static uint32_t number_of(const gab_gguf *gguf, const char *architecture, const char *name) {
    char key[192];
    uint32_t value = 0;
    snprintf(key, sizeof key, "%s.%s", architecture, name);
    return gab_gguf_get_u32(gguf, key, &value) ? value : 0;
}

static void inspect_sizes(const gab_gguf *gguf, gab_model_info *info) {
    const char *a = info->architecture;
    gab_gguf_string text;
    const gab_gguf_string *tokens;
    uint64_t n_token = 0;
    if (gab_gguf_get_string(gguf, "general.architecture", &text))
        gab_reader_show(info->architecture, sizeof info->architecture, text.text);
    gab_model_read_name(gguf, info->name, sizeof info->name);
    info->n_layer = number_of(gguf, a, "block_count");
    info->n_embd = number_of(gguf, a, "embedding_length");
    info->n_ff = number_of(gguf, a, "feed_forward_length");
    info->n_head = number_of(gguf, a, "attention.head_count");
    info->n_head_kv = number_of(gguf, a, "attention.head_count_kv");
    info->head_dim = number_of(gguf, a, "attention.key_length");
    info->n_ctx_train = number_of(gguf, a, "context_length");
    info->n_vocab = number_of(gguf, a, "vocab_size");
    if (info->n_head_kv == 0) info->n_head_kv = info->n_head;
    if (info->head_dim == 0 && info->n_head > 0) info->head_dim = info->n_embd / info->n_head;
    if (gab_gguf_get_strings(gguf, "tokenizer.ggml.tokens", &tokens, &n_token)) info->n_vocab = (uint32_t)n_token;
    info->chat_template = gab_gguf_get_string(gguf, "tokenizer.chat_template", &text) && text.n_byte > 0;
}

/* ---- files and weights ---- */

static void inspect_files(const gab_gguf *gguf, const char *path, gab_model_info *info) {
    info->container_version = gab_synth_is_name(path) ? 0 : gab_gguf_version(gguf);
    info->n_file = gab_gguf_n_file(gguf);
    for (uint32_t i = 0; i < info->n_file; i++) info->file_bytes += gab_file_size(gab_gguf_file_at(gguf, i));
    snprintf(info->container, sizeof info->container, "%s",
             gab_synth_is_name(path)       ? "synthetic"
             : gab_gguf_version(gguf) == 0 ? "safetensors"
                                           : "GGUF");
}

static int compare_types(const void *a, const void *b) {
    const gab_model_type *s = a, *t = b;
    return s->n_weight != t->n_weight ? (s->n_weight > t->n_weight ? -1 : 1) : strcmp(s->name, t->name);
}

static void inspect_tensors(const gab_gguf *gguf, gab_model_info *info) {
    info->n_tensor = gab_gguf_n_tensor(gguf);
    for (uint64_t i = 0; i < info->n_tensor; i++) {
        const gab_gguf_tensor *t = gab_gguf_tensor_at(gguf, i);
        uint32_t k = 0;
        info->n_weight += t->n_row * t->shape[0];
        while (k < info->n_type && strcmp(info->types[k].name, t->type_name) != 0) k++;
        if (k == GAB_MODEL_TYPE_MAX) continue; /* GGUF does not have so many */
        if (k == info->n_type) {
            info->n_type++;
            snprintf(info->types[k].name, sizeof info->types[k].name, "%s", t->type_name);
        }
        info->types[k].n_tensor++;
        info->types[k].n_weight += t->n_row * t->shape[0];
        info->types[k].bytes += t->bytes;
    }
    qsort(info->types, info->n_type, sizeof *info->types, compare_types);
}

/* ---- the tokenizer ---- */

/* Of a folder, the type that tokenizer.json names. */
static gab_status inspect_tokenizer_json(const char *folder, const gab_log *log, gab_model_info *info) {
    char path[4096], shown[65];
    cJSON *json = NULL;
    const int n = snprintf(path, sizeof path, "%s/tokenizer.json", folder);
    if (n < 0 || (size_t)n >= sizeof path || gab_path_kind(path) != GAB_PATH_FILE) return GAB_OK;
    GAB_TRY(gab_json_read(path, TOKENIZER_BYTES_MAX, log, &json));
    const cJSON *type = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(json, "model"), "type");
    gab_reader_show(shown, sizeof shown, cJSON_IsString(type) ? type->valuestring : "of unknown type");
    snprintf(info->tokenizer, sizeof info->tokenizer, "%s (tokenizer.json)", shown);
    cJSON_Delete(json);
    return GAB_OK;
}

static gab_status inspect_tokenizer(const gab_gguf *gguf, const gab_log *log, gab_model_info *info) {
    gab_gguf_string model, pre;
    char shown[41], shown_pre[41];
    if (gab_gguf_version(gguf) == 0) return inspect_tokenizer_json(gab_gguf_path(gguf), log, info);
    if (!gab_gguf_get_string(gguf, "tokenizer.ggml.model", &model)) return GAB_OK;
    gab_reader_show(shown, sizeof shown, model.text);
    if (gab_gguf_get_string(gguf, "tokenizer.ggml.pre", &pre)) {
        gab_reader_show(shown_pre, sizeof shown_pre, pre.text);
        snprintf(info->tokenizer, sizeof info->tokenizer, "%s (%s)", shown, shown_pre);
    } else {
        snprintf(info->tokenizer, sizeof info->tokenizer, "%s", shown);
    }
    return GAB_OK;
}

/* ---- what it needs ---- */

static gab_status inspect_memory(const gab_engine_options *o, const gab_model *model, const gab_log *log,
                                 gab_model_info *info) {
    const gab_model_config *c = &model->config;
    info->n_vocab = c->n_vocab;
    info->n_ff = c->n_ff; /* where layers differ, the largest */
    info->n_head_kv = c->n_head_kv;
    info->head_dim = c->head_dim;
    GAB_TRY(gab_context_wanted(o->context, c, o->model_path, log, &info->context));
    const gab_plan_sizes sizes = gab_model_sizes(model, info->context);
    const uint64_t n_page = (info->context + GAB_PAGE - 1) / GAB_PAGE;
    info->weight_bytes = gab_model_weight_bytes(model);
    info->scratch_bytes = gab_plans_bytes(&sizes);
    info->kv_bytes = n_page * gab_kv_page_bytes(c->kv, c->n_layer, o->kv == GAB_KV_F16);
    return GAB_OK;
}

/* A device that is not named may be missing. */
static gab_status inspect_device(const char *name, const gab_log *log, gab_model_info *info) {
    gab_vk *vk = NULL;
    gab_status status = gab_vk_create(name, name ? log : NULL, &vk);
    if (status != GAB_OK) return name ? status : GAB_OK;
    snprintf(info->device, sizeof info->device, "%s", vk->info.name);
    info->device_bytes = vk->info.memory_total;
    info->device_free_bytes = gab_vk_memory_free(vk);
    gab_vk_destroy(&vk);
    return GAB_OK;
}

static gab_status inspect(const gab_engine_options *o, const gab_gguf *gguf, const gab_log *log, gab_model_info *info) {
    gab_model *model = NULL;
    inspect_sizes(gguf, info);
    inspect_files(gguf, o->model_path, info);
    inspect_tensors(gguf, info);
    GAB_TRY(inspect_tokenizer(gguf, log, info));
    gab_status status = gab_model_open(gguf, NULL, &model);
    info->supported = status == GAB_OK;
    if (status == GAB_OK)
        status = inspect_memory(o, model, log, info);
    else if (status != GAB_ERROR_HOST_MEMORY) {
        snprintf(info->problem, sizeof info->problem, "%.500s", gab_last_error());
        status = GAB_OK;
    }
    gab_model_destroy(&model);
    return status == GAB_OK ? inspect_device(o->device, log, info) : status;
}

gab_status gab_model_inspect(const gab_engine_options *options, gab_model_info *info) {
    const gab_log log = {options->log, options->log_user};
    gab_gguf *gguf = NULL;
    GAB_TRY(gab_engine_options_check(options, &log));
    memset(info, 0, sizeof *info);
    GAB_TRY(gab_engine_open_file(options->model_path, options->quantize, &log, &gguf));
    gab_status status = inspect(options, gguf, &log, info);
    gab_gguf_close(&gguf);
    return status;
}
