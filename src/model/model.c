#include "model/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/reader.h"
#include "model/synth.h"
#include "text/utf8.h"

static const gab_architecture *const architectures[] = {&gab_gpt2};

enum { N_ARCHITECTURE = sizeof architectures / sizeof *architectures };

gab_status gab_model_gguf_open(const char *model_path, const gab_log *log, gab_gguf **gguf) {
    return gab_synth_is_name(model_path) ? gab_synth_open(model_path, log, gguf) : gab_gguf_open(model_path, log, gguf);
}

gab_status gab_config_u32(const gab_gguf *gguf, const gab_log *log, uint32_t max, uint32_t *value, const char *key) {
    GAB_TRY(gab_gguf_require_u32(gguf, key, log, value));
    if (*value == 0 || *value > max)
        return gab_fail(log, GAB_ERROR_FORMAT, "%s: %s is %u, expected 1 to %u: the file is damaged",
                        gab_gguf_path(gguf), key, *value, max);
    return GAB_OK;
}

static gab_status find_architecture(const gab_gguf *gguf, const gab_log *log, const gab_architecture **out) {
    gab_gguf_string name;
    GAB_TRY(gab_gguf_require_string(gguf, "general.architecture", log, &name));
    char known[256] = "", shown[65];
    gab_reader_show(shown, sizeof shown, name.text);
    for (size_t i = 0, at = 0; i < N_ARCHITECTURE; i++) {
        if (strcmp(architectures[i]->name, name.text) == 0) {
            *out = architectures[i];
            return GAB_OK;
        }
        at += (size_t)snprintf(known + at, sizeof known - at, "%s%s", i ? ", " : "", architectures[i]->name);
    }
    return gab_fail(log, GAB_ERROR_UNSUPPORTED,
                    "%s: general.architecture is '%s', which is not supported; supported: %s", gab_gguf_path(gguf),
                    shown, known);
}

gab_status gab_model_check_architecture(const gab_gguf *gguf, const gab_log *log) {
    const gab_architecture *architecture = NULL;
    return find_architecture(gguf, log, &architecture);
}

/* A name from the file, fit to be shown: whole UTF-8 characters that are no control characters, '?' for the rest. */
static void copy_name(char *out, size_t size, const char *text, size_t n) {
    size_t at = 0, length;
    gab_utf8_kind kind;
    for (size_t i = 0; i < n; i += length) {
        length = gab_utf8_next(text + i, n - i, &kind);
        bool good = kind == GAB_UTF8_CHARACTER && (unsigned char)text[i] >= 0x20 && text[i] != 0x7f &&
                    !((unsigned char)text[i] == 0xc2 && (unsigned char)text[i + 1] < 0xa0);
        const size_t need = good ? length : 1;
        if (at + need + 1 > size) break;
        memcpy(out + at, good ? text + i : "?", need);
        at += need;
    }
    out[at] = 0;
}

gab_status gab_model_open(const gab_gguf *gguf, const gab_log *log, gab_model **out) {
    const gab_architecture *architecture = NULL;
    gab_gguf_string name;
    gab_status status;
    GAB_TRY(find_architecture(gguf, log, &architecture));
    gab_model *model = calloc(1, sizeof *model);
    if (!model) return gab_fail(log, GAB_ERROR_HOST_MEMORY, "out of host memory opening %s", gab_gguf_path(gguf));
    model->architecture = architecture;
    model->binder = (gab_binder){.gguf = gguf, .log = log};
    snprintf(model->config.architecture, sizeof model->config.architecture, "%s", architecture->name);
    if (gab_gguf_get_string(gguf, "general.name", &name))
        copy_name(model->config.name, sizeof model->config.name, name.text, name.n_byte);
    GAB_TRY_GOTO(architecture->read_config(gguf, log, &model->config), error);
    model->parts = calloc(1, architecture->parts_bytes);
    if (!model->parts) {
        status = gab_fail(log, GAB_ERROR_HOST_MEMORY, "out of host memory opening %s", gab_gguf_path(gguf));
        goto error;
    }
    architecture->bind(model, &model->binder);
    GAB_TRY_GOTO(model->binder.status, error);
    *out = model;
    return GAB_OK;
error:
    gab_model_destroy(&model);
    return status;
}

gab_status gab_model_load(gab_model *model, gab_vk *vk, const gab_load_options *options) {
    return gab_weights_load(&model->binder, vk, options, &model->weights);
}

void gab_model_destroy(gab_model **pmodel) {
    if (!pmodel || !*pmodel) return;
    gab_model *model = *pmodel;
    gab_weights_destroy(&model->weights);
    gab_binder_free(&model->binder);
    free(model->parts);
    free(model);
    *pmodel = NULL;
}

uint64_t gab_model_weight_bytes(const gab_model *model) {
    return gab_binder_bytes(&model->binder);
}

double gab_model_weight_bits(const gab_model *model) {
    double n_weight = 0, bits = 0;
    gab_weight as;
    const gab_binding *at = NULL;
    while (gab_binder_next_matrix(&model->binder, &at, &as)) {
        const gab_dtype_info *type = gab_dtype_get(as.type);
        const double n = (double)as.n_row * as.n_col;
        n_weight += n;
        bits += n * 8 * type->block_bytes / type->block_size;
    }
    return bits / n_weight;
}

gab_plan_sizes gab_model_sizes(const gab_model *model, uint32_t context) {
    const gab_model_config *c = &model->config;
    return (gab_plan_sizes){.n_embd = c->n_embd,
                            .n_qkv = (c->n_head + 2 * c->n_head_kv) * c->head_dim,
                            .n_ff = c->n_ff,
                            .n_vocab = c->n_vocab,
                            .n_layer = c->n_layer,
                            .n_head = c->n_head,
                            .n_head_kv = c->n_head_kv,
                            .head_dim = c->head_dim,
                            .context = context};
}

/* Bytes of the weights of the type that are multiplied with so many columns, and of those that have the shape of w. */
static uint64_t product_bytes(const gab_model *model, gab_dtype type, uint32_t n_col, const gab_weight *w) {
    uint64_t bytes = 0;
    gab_weight as;
    const gab_binding *at = NULL;
    for (const gab_weight *weight; (weight = gab_binder_next_matrix(&model->binder, &at, &as));)
        if (as.type == type && model->architecture->columns_max(model, weight) >= n_col &&
            (!w || (as.n_row == w->n_row && as.n_col == w->n_col)))
            bytes += as.n_row * gab_dtype_planes_row_bytes(type, as.n_col);
    return bytes;
}

/* A product of the type with so many columns, on the shape that most of the bytes are in; false: the model has none. */
static bool product_workload(const gab_model *model, gab_dtype type, uint32_t n_col, gab_workload *workload) {
    uint64_t most = 0;
    gab_weight as;
    const gab_binding *at = NULL;
    *workload = (gab_workload){.operation = gab_matmul_operation(type, n_col),
                               .bytes = product_bytes(model, type, n_col, NULL)};
    if (workload->bytes == 0) return false;
    for (const gab_weight *weight; (weight = gab_binder_next_matrix(&model->binder, &at, &as));) {
        if (as.type != type || model->architecture->columns_max(model, weight) < n_col) continue;
        const uint64_t bytes = product_bytes(model, type, n_col, &as);
        if (bytes <= most) continue;
        most = bytes;
        workload->n_row = as.n_row;
        workload->n_col = as.n_col;
    }
    return true;
}

uint32_t gab_model_workloads(const gab_model *model, uint32_t context, bool kv_f16,
                             gab_workload workloads[GAB_OP_COUNT]) {
    static const uint32_t columns[] = {1, GAB_ROW_MAX, GAB_OUT_MAX};
    const gab_model_config *c = &model->config;
    uint32_t n = 0;
    for (uint32_t i = 0; i < 3; i++) {
        for (int type = 0; type < GAB_DTYPE_COUNT; type++)
            n += product_workload(model, (gab_dtype)type, columns[i], &workloads[n]);
        for (gab_operation o = GAB_OP_ATTENTION_DECODE; i == 1 && o < GAB_OP_COUNT; o++)
            workloads[n++] = (gab_workload){.operation = o,
                                            .n_head = c->n_head,
                                            .n_head_kv = c->n_head_kv,
                                            .head_dim = c->head_dim,
                                            .depth = context < 4096 ? context : 4096,
                                            .kv_f16 = kv_f16};
    }
    return n;
}

gab_forward_pass gab_model_pass(const gab_model *model) {
    gab_forward_pass pass = model->architecture->pass;
    pass.model = model;
    return pass;
}
