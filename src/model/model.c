#include "model/model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "format/reader.h"
#include "model/folder.h"
#include "model/synth.h"

static const gab_architecture *const architectures[] = {
    &gab_gpt2,    &gab_llama,  &gab_mistral3, &gab_qwen2,  &gab_qwen3,   &gab_qwen3moe, &gab_phi3,
    &gab_smollm3, &gab_gemma2, &gab_gemma3,   &gab_gemma4, &gab_gptneox, &gab_olmo2,    &gab_gptoss};

enum { N_ARCHITECTURE = sizeof architectures / sizeof *architectures };

gab_status gab_model_gguf_open(const char *model_path, const gab_log *log, gab_gguf **gguf) {
    if (gab_synth_is_name(model_path)) return gab_synth_open(model_path, log, gguf);
    if (gab_path_kind(model_path) == GAB_PATH_FOLDER) return gab_folder_open(model_path, log, gguf);
    return gab_gguf_open(model_path, log, gguf);
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

void gab_model_read_name(const gab_gguf *gguf, char *out, size_t size) {
    gab_gguf_string name = {"", 0};
    size_t at = 0, length;
    gab_utf8_kind kind;
    gab_gguf_get_string(gguf, "general.name", &name);
    for (size_t i = 0; i < name.n_byte; i += length) {
        const char *text = name.text;
        length = gab_utf8_next(text + i, name.n_byte - i, &kind);
        bool good = kind == GAB_UTF8_CHARACTER && (unsigned char)text[i] >= 0x20 && text[i] != 0x7f &&
                    !((unsigned char)text[i] == 0xc2 && (unsigned char)text[i + 1] < 0xa0);
        const size_t need = good ? length : 1;
        if (at + need + 1 > size) break;
        memcpy(out + at, good ? text + i : "?", need);
        at += need;
    }
    out[at] = 0;
}

/* A tensor of a folder that hf_names.c knows and the architecture does not bind (a bias, a norm) belongs to a variant
 * that would be computed wrongly. Tables of angles are read apart. */
static gab_status check_all_bound(const gab_binder *b, const char *architecture) {
    if (gab_gguf_version(b->gguf) > 0) return GAB_OK;
    const gab_gguf_tensor *t = gab_binder_unbound(b);
    if (!t || strncmp(t->name, "rope_", 5) == 0) return GAB_OK;
    return gab_fail(
        b->log, GAB_ERROR_UNSUPPORTED,
        "%s has a tensor '%s' (in GGUF's names), which is no part of '%s' as it is computed here: the model is of "
        "another kind",
        gab_gguf_path(b->gguf), t->name, architecture);
}

gab_status gab_model_open(const gab_gguf *gguf, const gab_log *log, gab_model **out) {
    const gab_architecture *architecture = NULL;
    gab_status status;
    GAB_TRY(find_architecture(gguf, log, &architecture));
    gab_model *model = calloc(1, sizeof *model);
    if (!model) return gab_fail(log, GAB_ERROR_HOST_MEMORY, "out of host memory opening %s", gab_gguf_path(gguf));
    model->architecture = architecture;
    model->binder = (gab_binder){.gguf = gguf, .log = log};
    snprintf(model->config.architecture, sizeof model->config.architecture, "%s", architecture->name);
    gab_model_read_name(gguf, model->config.name, sizeof model->config.name);
    GAB_TRY_GOTO(architecture->read_config(gguf, log, &model->config), error);
    model->parts = calloc(1, architecture->parts_bytes);
    if (!model->parts) {
        status = gab_fail(log, GAB_ERROR_HOST_MEMORY, "out of host memory opening %s", gab_gguf_path(gguf));
        goto error;
    }
    architecture->bind(model, &model->binder);
    GAB_TRY_GOTO(model->binder.status, error);
    GAB_TRY_GOTO(check_all_bound(&model->binder, architecture->name), error);
    *out = model;
    return GAB_OK;
error:
    gab_model_destroy(&model);
    return status;
}

/* The divisors of a rope's frequencies for a context, into its scaling; to be freed. */
static gab_status read_divisors(const gab_model *model, const gab_rope_config *rope, uint32_t context, float **out) {
    const gab_binder *b = &model->binder;
    const bool beyond = rope->divisors_beyond && context > rope->scaling.n_ctx_original;
    const uint32_t n = rope->scaling.n_turn;
    if (!rope->divisors) return GAB_OK;
    *out = calloc(n, sizeof **out);
    if (!*out) return gab_fail(b->log, GAB_ERROR_HOST_MEMORY, "out of host memory for rotary positions");
    const char *name = beyond ? rope->divisors_beyond : rope->divisors;
    GAB_TRY(gab_vector_read(b->gguf, b->log, name, n, *out));
    for (uint32_t i = 0; i < n; i++)
        if (!((*out)[i] > 0 && isfinite((*out)[i]))) /* very large ones turn nothing */
            return gab_fail(b->log, GAB_ERROR_FORMAT,
                            "%s: '%s' holds %g, expected positive numbers: the file is damaged", gab_gguf_path(b->gguf),
                            name, (double)(*out)[i]);
    return GAB_OK;
}

static gab_status make_rope_table(gab_model *model, gab_vk *vk, uint32_t context, uint32_t i) {
    gab_rope_scaling scaling = model->config.rope[i].scaling;
    const uint64_t n = gab_rope_table_floats(scaling.n_turn, context);
    float *divisors = NULL, *table = malloc(n * sizeof *table);
    gab_status status = table ? read_divisors(model, &model->config.rope[i], context, &divisors)
                              : gab_fail(&vk->log, GAB_ERROR_HOST_MEMORY, "out of host memory for rotary positions");
    scaling.divisors = divisors;
    if (status == GAB_OK) gab_rope_table_fill(&scaling, context, table);
    if (status == GAB_OK)
        status = gab_buffer_create_unset(vk, GAB_MEMORY_DEVICE, n * sizeof *table, "rotary positions",
                                         &model->rope_tables[i]);
    if (status == GAB_OK)
        status = gab_slice_write(vk, gab_buffer_all(&model->rope_tables[i]), 0, table, n * sizeof *table);
    free(divisors);
    free(table);
    return status;
}

gab_status gab_model_load(gab_model *model, gab_vk *vk, uint32_t context, const gab_load_options *options) {
    GAB_TRY(gab_weights_load(&model->binder, vk, options, &model->weights));
    for (uint32_t i = 0; i < model->config.n_rope; i++) GAB_TRY(make_rope_table(model, vk, context, i));
    return GAB_OK;
}

void gab_model_destroy(gab_model **pmodel) {
    if (!pmodel || !*pmodel) return;
    gab_model *model = *pmodel;
    for (uint32_t i = 0; i < GAB_ROPE_MAX && model->weights.vk; i++)
        gab_buffer_destroy(model->weights.vk, &model->rope_tables[i]);
    gab_weights_destroy(&model->weights);
    gab_binder_free(&model->binder);
    free(model->parts);
    free(model);
    *pmodel = NULL;
}

uint64_t gab_model_weight_bytes(const gab_model *model) {
    const gab_model_config *c = &model->config;
    uint64_t bytes = gab_binder_bytes(&model->binder);
    for (uint32_t i = 0; i < c->n_rope; i++) bytes += 4 * gab_rope_table_floats(c->rope[i].scaling.n_turn, c->n_ctx);
    return bytes;
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
    uint32_t n_qkv = 0, least = c->head_dim;
    for (uint32_t i = 0; i < c->n_layer; i++) {
        const gab_kv_shape *kv = &c->kv[i];
        const uint32_t n = (c->n_head + 2 * kv->n_head_kv) * kv->head_dim;
        if (n > n_qkv) n_qkv = n;
        if (kv->head_dim < least) least = kv->head_dim;
    }
    return (gab_plan_sizes){.n_embd = c->n_embd,
                            .n_qkv = n_qkv,
                            .n_ff = c->all_experts ? 0 : c->n_ff,
                            .n_up = c->all_experts ? 0 : c->n_up,
                            .n_expert = c->n_expert,
                            .n_used = c->n_used,
                            .n_ff_expert = c->n_ff_expert,
                            .n_vocab = c->n_vocab,
                            .n_layer = c->n_layer,
                            .n_head = c->n_head,
                            .n_head_kv = c->n_head_kv,
                            .head_dim = c->head_dim,
                            .head_dim_least = least,
                            .n_input = c->n_input,
                            .context = context};
}

/* The most columns that a product with a weight has in a step; 0: it is a table of rows, never multiplied. */
static uint32_t columns_max(const gab_model *model, const gab_weight *weight) {
    if (weight == model->vocabulary.used) return GAB_OUT_MAX;
    return weight == &model->vocabulary.embedding || weight == &model->positions || weight == &model->inputs
               ? 0
               : GAB_ROW_MAX;
}

/* Rows of a weight that one column is multiplied by. */
static uint32_t rows_used(const gab_model *model, const gab_weight *as) {
    return as->n_expert ? gab_weight_rows(as) * model->config.n_used : as->n_row;
}

/* Bytes of the weights of the type that are multiplied with so many columns, and of those that have the shape of w. */
static uint64_t product_bytes(const gab_model *model, gab_dtype type, uint32_t n_col, const gab_weight *w) {
    uint64_t bytes = 0;
    gab_weight as;
    const gab_binding *at = NULL;
    for (const gab_weight *weight; (weight = gab_binder_next_matrix(&model->binder, &at, &as));)
        if (as.type == type && columns_max(model, weight) >= n_col &&
            (!w || (as.n_row == w->n_row && as.n_col == w->n_col)))
            bytes += (n_col > 1 ? as.n_row : rows_used(model, &as)) * gab_dtype_planes_row_bytes(type, as.n_col);
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
        if (as.type != type || columns_max(model, weight) < n_col) continue;
        const uint64_t bytes = product_bytes(model, type, n_col, &as);
        if (bytes <= most) continue;
        most = bytes;
        workload->n_row = rows_used(model, &as);
        workload->n_col = as.n_col;
    }
    return true;
}

/* What kernels of products do besides for a model whose layers have weights of the type. */
static void add_forms(const gab_model *model, const gab_workload *attention, gab_workload *w) {
    const gab_model_config *c = &model->config;
    const gab_dtype type = gab_workload_type(w);
    gab_weight as;
    const gab_binding *at = NULL;
    while (gab_binder_next_matrix(&model->binder, &at, &as))
        w->experts = w->experts || (as.type == type && as.n_expert);
    if (w->operation >= GAB_OP_MATMUL_SMALL || product_bytes(model, type, GAB_ROW_MAX, NULL) == 0) return;
    w->gated = c->n_up > 0 || c->n_expert > 0;
    w->head_dim = attention->head_dim;
    w->n_turn = c->n_rope ? c->rope[0].scaling.n_turn : 0;
    w->kv_f16 = attention->kv_f16;
}

/* Attention as most layers have it, and as the others do. */
static gab_workload attention_workload(const gab_model_config *c) {
    const gab_kv_shape *first = &c->kv[0], *other = NULL;
    uint32_t n_first = 0;
    for (uint32_t i = 0; i < c->n_layer; i++) {
        const bool same = c->kv[i].head_dim == first->head_dim && c->kv[i].n_head_kv == first->n_head_kv;
        n_first += same;
        if (!same) other = &c->kv[i];
    }
    const gab_kv_shape *most = other && 2 * n_first < c->n_layer ? other : first;
    gab_workload w = {.n_head = c->n_head,
                      .n_head_kv = most->n_head_kv,
                      .head_dim = most->head_dim,
                      .window = c->window,
                      .softcap = c->attention_softcap,
                      .sinks = c->attention_sinks};
    if (other) {
        const gab_kv_shape *rest = most == first ? other : first;
        w.other_n_head_kv = rest->n_head_kv;
        w.other_head_dim = rest->head_dim;
    }
    return w;
}

uint32_t gab_model_workloads(const gab_model *model, uint32_t context, bool kv_f16,
                             gab_workload workloads[GAB_OP_COUNT]) {
    static const uint32_t columns[] = {1, GAB_ROW_MAX, GAB_OUT_MAX};
    gab_workload attention = attention_workload(&model->config);
    attention.depth = context < 4096 ? context : 4096;
    attention.kv_f16 = kv_f16;
    uint32_t n = 0;
    for (uint32_t i = 0; i < 3; i++) {
        for (int type = 0; type < GAB_DTYPE_COUNT; type++)
            if (product_workload(model, (gab_dtype)type, columns[i], &workloads[n]))
                add_forms(model, &attention, &workloads[n++]);
        for (gab_operation o = GAB_OP_ATTENTION_DECODE; i == 1 && o < GAB_OP_COUNT; o++)
            workloads[n] = attention, workloads[n++].operation = o;
    }
    return n;
}

gab_forward_pass gab_model_pass(const gab_model *model) {
    gab_forward_pass pass = model->architecture->pass;
    pass.model = model;
    return pass;
}
