/* info.c - `gabbro info`: what a model file is, and what it would need. */
#include <inttypes.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/setup.h"

/* "1.23 G", "45.6 M", "789" */
static const char *count_text(uint64_t n, char *text, size_t size) {
    static const struct {
        double unit;
        const char *name;
    } units[] = {{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}};
    snprintf(text, size, "%" PRIu64, n);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if ((double)n < units[i].unit) continue;
        snprintf(text, size, "%.3g %s", (double)n / units[i].unit, units[i].name);
        break;
    }
    return text;
}

static const char *bytes_text(uint64_t bytes, char *text, size_t size) {
    const double mib = (double)bytes / (1 << 20);
    if (mib >= 1024)
        snprintf(text, size, "%.2f GiB", mib / 1024);
    else
        snprintf(text, size, mib >= 100 ? "%.0f MiB" : "%.2f MiB", mib);
    return text;
}

/* ---- for people ---- */

static gab_status print_sizes(cli_output *out, const gab_model_info *i) {
    char n[32];
    GAB_TRY(cli_output_print(out, "%s\n", i->name[0] ? i->name : "a model without a name"));
    GAB_TRY(cli_output_print(out, "  architecture  %s%s\n", i->architecture[0] ? i->architecture : "not said",
                             i->supported ? "" : ", cannot run here"));
    GAB_TRY(cli_output_print(out, "  files         %s", i->container));
    if (i->container_version) GAB_TRY(cli_output_print(out, " %u", i->container_version));
    if (i->n_file > 1) GAB_TRY(cli_output_print(out, ", %u files", i->n_file));
    GAB_TRY(cli_output_print(out, ", %s\n", bytes_text(i->file_bytes, n, sizeof n)));
    if (i->n_layer)
        GAB_TRY(
            cli_output_print(out, "  layers        %u of width %u, feed-forward %u\n", i->n_layer, i->n_embd, i->n_ff));
    if (i->n_head)
        GAB_TRY(cli_output_print(out, "  heads         %u of %u dimensions, %u of keys and values\n", i->n_head,
                                 i->head_dim, i->n_head_kv));
    if (i->n_ctx_train) GAB_TRY(cli_output_print(out, "  context       %u\n", i->n_ctx_train));
    GAB_TRY(cli_output_print(out, "  vocabulary    %u tokens, %s%s\n", i->n_vocab,
                             i->tokenizer[0] ? i->tokenizer : "no tokenizer",
                             i->chat_template ? ", chat template" : ", no chat template"));
    if (i->n_tensor == 0) return cli_output_print(out, "  weights       none: a vocabulary alone\n");
    return cli_output_print(out, "  weights       %s in %" PRIu64 " tensors\n", count_text(i->n_weight, n, sizeof n),
                            i->n_tensor);
}

static gab_status print_types(cli_output *out, const gab_model_info *i) {
    char n[32], bytes[32];
    for (uint32_t k = 0; k < i->n_type; k++) {
        const gab_model_type *t = &i->types[k];
        GAB_TRY(cli_output_print(out, "    %-10s  %10s in %5" PRIu64 " tensors  %12s\n", t->name,
                                 count_text(t->n_weight, n, sizeof n), t->n_tensor,
                                 t->bytes ? bytes_text(t->bytes, bytes, sizeof bytes) : "-"));
    }
    return GAB_OK;
}

static gab_status print_memory(cli_output *out, const cli_options *options, const gab_model_info *i) {
    char n[32], m[32];
    const uint64_t total = i->weight_bytes + i->kv_bytes + i->scratch_bytes;
    if (!i->supported) return cli_output_print(out, "It cannot run here: %s\n", i->problem);
    GAB_TRY(cli_output_print(out, "  memory for a context of %u\n", i->context));
    GAB_TRY(cli_output_print(out, "    weights     %12s\n", bytes_text(i->weight_bytes, n, sizeof n)));
    GAB_TRY(cli_output_print(out, "    KV cache    %12s in %s\n", bytes_text(i->kv_bytes, n, sizeof n),
                             options->engine.kv == GAB_KV_F32 ? "f32" : "f16"));
    GAB_TRY(cli_output_print(out, "    activations %12s\n", bytes_text(i->scratch_bytes, n, sizeof n)));
    GAB_TRY(cli_output_print(out, "    together    %12s\n", bytes_text(total, n, sizeof n)));
    if (!i->device[0]) return cli_output_print(out, "  there is no Vulkan device to hold it\n");
    return cli_output_print(out, "  %s has %s, %s free: it %s\n", i->device, bytes_text(i->device_bytes, n, sizeof n),
                            bytes_text(i->device_free_bytes, m, sizeof m),
                            total <= i->device_free_bytes ? "fits" : "does not fit");
}

/* ---- for programs ---- */

static void add_count(cJSON *object, const char *name, uint64_t value) {
    cJSON_AddNumberToObject(object, name, (double)value);
}

static cJSON *types_json(const gab_model_info *i) {
    cJSON *array = cJSON_CreateArray();
    for (uint32_t k = 0; k < i->n_type; k++) {
        cJSON *type = cJSON_CreateObject();
        cJSON_AddStringToObject(type, "type", i->types[k].name);
        add_count(type, "tensors", i->types[k].n_tensor);
        add_count(type, "weights", i->types[k].n_weight);
        add_count(type, "bytes", i->types[k].bytes);
        cJSON_AddItemToArray(array, type);
    }
    return array;
}

static gab_status print_json(cli_output *out, const gab_model_info *i) {
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "model", i->name);
    cJSON_AddStringToObject(json, "architecture", i->architecture);
    cJSON_AddBoolToObject(json, "supported", i->supported);
    cJSON_AddStringToObject(json, "problem", i->problem);
    cJSON_AddStringToObject(json, "container", i->container);
    const struct {
        const char *name;
        uint64_t value;
    } counts[] = {{"container_version", i->container_version},
                  {"files", i->n_file},
                  {"file_bytes", i->file_bytes},
                  {"n_layer", i->n_layer},
                  {"n_embd", i->n_embd},
                  {"n_ff", i->n_ff},
                  {"n_head", i->n_head},
                  {"n_head_kv", i->n_head_kv},
                  {"head_dim", i->head_dim},
                  {"n_ctx_train", i->n_ctx_train},
                  {"n_vocab", i->n_vocab},
                  {"tensors", i->n_tensor},
                  {"weights", i->n_weight},
                  {"context", i->context},
                  {"weight_bytes", i->weight_bytes},
                  {"kv_bytes", i->kv_bytes},
                  {"scratch_bytes", i->scratch_bytes},
                  {"device_bytes", i->device_bytes},
                  {"device_free_bytes", i->device_free_bytes}};
    for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) add_count(json, counts[k].name, counts[k].value);
    cJSON_AddItemToObject(json, "types", types_json(i));
    cJSON_AddStringToObject(json, "tokenizer", i->tokenizer);
    cJSON_AddBoolToObject(json, "chat_template", i->chat_template);
    cJSON_AddStringToObject(json, "device", i->device);
    return cli_output_json(out, json);
}

gab_status cli_info(const cli_options *options, cli_console *console) {
    cli_output out = {0};
    gab_model_info info;
    gab_engine_options engine = options->engine;
    cli_engine_console(&engine, console);
    GAB_TRY(gab_model_inspect(&engine, &info));
    gab_status status = cli_output_open(&out, "-", &console->log);
    if (status == GAB_OK && options->json)
        status = print_json(&out, &info);
    else if (status == GAB_OK) {
        status = print_sizes(&out, &info);
        if (status == GAB_OK) status = print_types(&out, &info);
        if (status == GAB_OK) status = print_memory(&out, options, &info);
    }
    return cli_output_close(&out, status);
}
