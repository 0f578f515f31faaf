/*
 * pipeline_stats.c - compiles every pipeline that a device may be given, of all variants of its family, and prints what
 * its driver says of each: registers, spills, instructions, cycles, occupancy. Works on drivers that execute nothing.
 *
 *     bench/pipeline_stats [-d DEVICE] [--variant lane|group] [--quiet] [--json] [--main] [--chosen] [--assembly]
 *
 * Exit status 1 when a pipeline does not compile, or one of those chosen by rule spills; other variants that spill are
 * marked as rejected, for they are not taken on the device (plan/autotune.h). --quiet prints the closing line and what
 * is wrong alone;
 * --json everything that the driver says. --main takes only the kernels that bench/chips compares: products of 1 and of
 * 128 columns, attention with heads of 64; --chosen only the variants chosen by rule. --assembly compiles one after
 * another and names each on standard error behind what the driver's own debugging output (RADV_DEBUG=asm,nocache;
 * INTEL_DEBUG=cs; NAK_DEBUG=print) says of it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "kernels/attention.h"
#include "kernels/gather.h"
#include "kernels/layernorm.h"
#include "kernels/matmul.h"
#include "kernels/rmsnorm.h"
#include "kernels/sample.h"
#include "vk/statistics.h"

static void print_log(void *user, gab_log_level level, const char *message) {
    (void)user;
    if (level <= GAB_LOG_INFO) fprintf(stderr, "%s\n", message);
}

/* ---- which pipelines ---- */

/* Requests with each usable variant of the family. */
static void request_variants(gab_kernel_context *c, gab_operation operation,
                             void (*request)(const gab_kernel_context *, uint32_t), uint32_t argument) {
    const uint8_t chosen = c->set.choice[operation];
    uint32_t n;
    const gab_variant *variants = gab_variants(operation, &n);
    for (uint32_t i = 0; i < n; i++) {
        if (variants[i].lane != c->set.lane || !gab_variant_usable(c->recorder->vk, &variants[i], false)) continue;
        c->set.choice[operation] = (uint8_t)i;
        request(c, argument);
    }
    c->set.choice[operation] = chosen;
}

static void request_product(const gab_kernel_context *c, uint32_t type) {
    gab_shard shard = {.n_row = 768};
    const gab_weight weight = {.type = (gab_dtype)type, .n_col = 768, .n_row = 768, .n_shard = 1, .shards = &shard};
    const gab_matmul op = {.weight = &weight};
    gab_matmul_record(c, &op);
    /* the same rows as those of 8 experts */
    const gab_experts experts = {.n_expert = 8, .n_used = 2};
    gab_weight stack = weight;
    stack.n_expert = 8;
    const gab_matmul of_experts = {.weight = &stack, .experts = &experts};
    gab_matmul_record(c, &of_experts);
    /* the product whose outputs are 4 heads of queries, keys and values */
    const gab_kv_write write = {.kv = {.n_head_kv = 4, .head_dim = 64, .f16 = true}, .k_offset = 256, .v_offset = 512};
    const gab_matmul qkv = {.weight = &weight, .kv = &write};
    /* the same rotated; gates and what they gate */
    const gab_rope rope = {.n_turn = 32};
    const gab_matmul rotated = {.weight = &weight, .kv = &write, .rope = &rope};
    const gab_gated gated = {.n = 384, .in_turn = true, .activation = GAB_ACTIVATION_SILU};
    const gab_matmul gates = {.weight = &weight, .gated = &gated};
    if (!gab_variant_of(&c->set, gab_matmul_operation((gab_dtype)type, c->n_row))->pairs) return;
    gab_matmul_record(c, &qkv);
    gab_matmul_record(c, &rotated);
    gab_matmul_record(c, &gates);
}

static void request_attention(const gab_kernel_context *c, uint32_t head_dim) {
    static const uint32_t n_heads[] = {4, 8, 16}; /* that share 4 heads of keys and values */
    for (int f16 = 0; f16 < 2; f16++)
        for (size_t i = 0; i < sizeof n_heads / sizeof *n_heads; i++) {
            gab_attention op = {.kv = {.n_head_kv = 4, .head_dim = head_dim, .f16 = f16},
                                .n_head = n_heads[i],
                                .n_piece = 2,
                                .n_work = 1};
            gab_attention_record(c, &op);
            op.window = 1024;
            gab_attention_record(c, &op);
            op.softcap = 50;
            gab_attention_record(c, &op);
        }
}

static void request_rest(const gab_kernel_context *c, const uint32_t *head_dims, size_t n_head_dim) {
    gab_shard shard = {.n_row = 768};
    const gab_layernorm norm = {.n_col = 768};
    const gab_sample sample = {.n_vocab = 50257, .logits_stride = 50272};
    for (int type = 0; type < GAB_DTYPE_COUNT; type++) {
        const gab_weight weight = {.type = (gab_dtype)type, .n_col = 768, .n_row = 768, .n_shard = 1, .shards = &shard};
        const gab_gather rows = {.table = &weight};
        gab_gather_record(c, &rows);
    }
    for (size_t i = 0; i < n_head_dim; i++)
        for (int f16 = 0; f16 < 2; f16++) {
            const gab_kv_write write = {.kv = {.n_head_kv = 4, .head_dim = head_dims[i], .f16 = f16}};
            gab_rope rope = {.n_turn = head_dims[i] / 2};
            gab_kv_write_record(c, &write);
            gab_rope_record(c, &rope, &write);
            rope.norm = true;
            gab_rope_record(c, &rope, &write);
        }
    const gab_rmsnorm rmsnorm = {.n_col = 768};
    const gab_gated gated = {.n = 768};
    const gab_expert_route route = {.experts = {.n_expert = 8, .n_used = 2}};
    const gab_expert_sum sum = {.experts = route.experts, .n_col = 768};
    gab_expert_route_record(c, &route);
    gab_expert_runs_record(c, &route.experts);
    gab_expert_sum_record(c, &sum);
    gab_rmsnorm_record(c, &rmsnorm);
    gab_gated_record(c, &gated);
    gab_layernorm_record(c, &norm);
    gab_sample_record(c, &sample);
}

/* Those of the chosen set first, *n_chosen of them, then those of the variants that may take their place. */
static gab_status request_all(gab_vk *vk, gab_kernel_set set, bool main_only, bool chosen_only, uint32_t *n_chosen) {
    static const uint32_t all_rows[] = {1, 2, 4, 8, 32, 128}, all_head_dims[] = {16, 32, 64, 80, 96, 128, 256};
    static const uint32_t main_rows[] = {1, 128}, main_head_dims[] = {64};
    const uint32_t *rows = main_only ? main_rows : all_rows, *head_dims = main_only ? main_head_dims : all_head_dims;
    const size_t n_row = main_only ? 2 : sizeof all_rows / sizeof *all_rows;
    const size_t n_head_dim = main_only ? 1 : sizeof all_head_dims / sizeof *all_head_dims;
    gab_recorder recorder = {.vk = vk};
    for (size_t r = 0; r < n_row; r++) {
        const gab_kernel_context c = {.recorder = &recorder, .set = set, .n_row = rows[r], .n_out = rows[r]};
        for (uint32_t type = 0; type < GAB_DTYPE_COUNT; type++) request_product(&c, type);
        for (size_t d = 0; d < n_head_dim; d++) request_attention(&c, head_dims[d]);
        if (!main_only) request_rest(&c, head_dims, n_head_dim);
    }
    *n_chosen = gab_pipeline_count(vk->pipelines);
    for (size_t r = 0; r < n_row && !chosen_only; r++) {
        gab_kernel_context c = {.recorder = &recorder, .set = set, .n_row = rows[r], .n_out = rows[r]};
        for (uint32_t type = 0; type < GAB_DTYPE_COUNT; type++)
            request_variants(&c, gab_matmul_operation((gab_dtype)type, rows[r]), request_product, type);
        for (size_t d = 0; d < n_head_dim; d++)
            request_variants(&c, gab_attention_is_decode(&c) ? GAB_OP_ATTENTION_DECODE : GAB_OP_ATTENTION_PREFILL,
                             request_attention, head_dims[d]);
    }
    return recorder.status;
}

/* One after another, each named on standard error when the driver has said what it has to say. */
static gab_status compile_in_turn(gab_vk *vk) {
    for (uint32_t i = 0; i < gab_pipeline_count(vk->pipelines); i++) {
        const gab_pipeline *pipeline = gab_pipeline_at(vk->pipelines, i);
        char name[160];
        gab_pipeline_describe(&pipeline->key, name, sizeof name);
        GAB_TRY(gab_pipeline_get(vk->pipelines, &pipeline->key, &pipeline));
        fprintf(stderr, "pipeline: %s\n", name);
    }
    return GAB_OK;
}

/* ---- what the driver says ---- */

static void print_executable(const char *name, const gab_executable *e, bool chosen) {
    printf("%-56s %5u", name, e->subgroup_size);
    for (int c = 0; c < GAB_STATISTIC_COUNT; c++)
        if (e->known[c])
            printf(" %8.0f", e->values[c]);
        else
            printf(" %8s", "-");
    printf("%s\n", !e->spills ? "" : chosen ? "  SPILLS" : "  rejected: spills");
}

static cJSON *json_of_executable(const gab_executable *e) {
    cJSON *json = cJSON_CreateObject();
    cJSON_AddNumberToObject(json, "subgroup_size", e->subgroup_size);
    cJSON_AddBoolToObject(json, "spills", e->spills);
    cJSON *statistics = cJSON_AddObjectToObject(json, "statistics");
    for (int c = 0; c < GAB_STATISTIC_COUNT; c++)
        if (e->known[c]) cJSON_AddNumberToObject(statistics, gab_statistic_columns[c].title, e->values[c]);
    return json;
}

static cJSON *json_of_pipeline(const gab_pipeline_key *key, const char *name, const gab_executable *executables,
                               uint32_t n) {
    cJSON *json = cJSON_CreateObject(), *spec = cJSON_AddArrayToObject(json, "spec");
    cJSON_AddStringToObject(json, "name", name);
    cJSON_AddStringToObject(json, "shader", gab_shaders[key->shader].name);
    for (int i = 0; i < GAB_SPEC_COUNT; i++) cJSON_AddItemToArray(spec, cJSON_CreateNumber(key->spec[i]));
    cJSON *list = cJSON_AddArrayToObject(json, "executables");
    for (uint32_t i = 0; i < n; i++) cJSON_AddItemToArray(list, json_of_executable(&executables[i]));
    return json;
}

/* Reports a pipeline's executables (some drivers have several): a row each, or into `rows`; false when one spills. */
static bool report(gab_vk *vk, const gab_pipeline *pipeline, bool chosen, bool quiet, cJSON *rows) {
    char name[160];
    gab_executable executables[GAB_EXECUTABLE_MAX];
    const uint32_t n = gab_pipeline_executables(vk, pipeline->pipeline, executables);
    bool good = true;
    gab_pipeline_describe(&pipeline->key, name, sizeof name);
    for (uint32_t i = 0; i < n; i++) {
        good = good && !executables[i].spills;
        if (!rows && (!quiet || executables[i].spills)) print_executable(name, &executables[i], chosen);
    }
    if (rows) {
        cJSON *row = json_of_pipeline(&pipeline->key, name, executables, n);
        cJSON_AddBoolToObject(row, "rejected", !good && !chosen);
        cJSON_AddItemToArray(rows, row);
    }
    return good;
}

static void print_head(const gab_vk *vk) {
    printf("%-56s %5s", vk->info.name, "group");
    for (int c = 0; c < GAB_STATISTIC_COUNT; c++) printf(" %8s", gab_statistic_columns[c].title);
    putchar('\n');
}

/* Reports all; the number of chosen ones that spill. Others that spill are not taken on this device: rejected. */
static uint32_t report_all(gab_vk *vk, uint32_t n_chosen, bool quiet, bool json) {
    uint32_t n_bad = 0, n_rejected = 0;
    cJSON *all = json ? cJSON_CreateObject() : NULL, *rows = cJSON_AddArrayToObject(all, "pipelines");
    if (!json && !quiet && vk->has_pipeline_statistics) print_head(vk);
    for (uint32_t i = 0; i < gab_pipeline_count(vk->pipelines); i++)
        *(i < n_chosen ? &n_bad : &n_rejected) +=
            !report(vk, gab_pipeline_at(vk->pipelines, i), i < n_chosen, quiet, rows);
    if (json) {
        cJSON_AddStringToObject(all, "device", vk->info.name);
        cJSON_AddStringToObject(all, "driver", vk->info.driver);
        char *text = cJSON_PrintUnformatted(all);
        if (text) puts(text);
        cJSON_free(text);
        cJSON_Delete(all);
        return n_bad;
    }
    printf("%s: %u pipelines compiled, %u of the %u chosen spill, %u others are rejected because they do%s\n",
           vk->info.name, gab_pipeline_count(vk->pipelines), n_bad, n_chosen, n_rejected,
           vk->has_pipeline_statistics ? "" : " (the driver gives no statistics)");
    return n_bad;
}

int main(int argc, char **argv) {
    const char *device = NULL, *variant = NULL;
    const gab_log log = {print_log, NULL};
    gab_vk *vk = NULL;
    gab_kernel_set set;
    bool quiet = false, json = false, main_only = false, chosen_only = false, assembly = false, usage = false;
    const struct {
        const char *name;
        bool *value;
    } flags[] = {{"--quiet", &quiet},
                 {"--json", &json},
                 {"--main", &main_only},
                 {"--chosen", &chosen_only},
                 {"--assembly", &assembly}};
    for (int i = 1; i < argc; i++) {
        size_t f = 0;
        while (f < 5 && strcmp(argv[i], flags[f].name) != 0) f++;
        if (f < 5)
            *flags[f].value = true;
        else if (strcmp(argv[i], "-d") == 0 && i + 1 < argc)
            device = argv[++i];
        else if (strcmp(argv[i], "--variant") == 0 && i + 1 < argc)
            variant = argv[++i];
        else
            usage = true;
    }
    if (usage) {
        fprintf(stderr, "usage: pipeline_stats [-d DEVICE] [--variant lane|group] [--quiet] [--json] [--main] "
                        "[--chosen] [--assembly]\n");
        return 2;
    }
    uint32_t n_bad = 0, n_chosen = 0;
    gab_status status = gab_vk_create(device, &log, &vk);
    if (status == GAB_OK) status = gab_kernel_set_choose(vk, variant, false, &set);
    if (status == GAB_OK) status = request_all(vk, set, main_only, chosen_only, &n_chosen);
    if (status == GAB_OK) status = assembly ? compile_in_turn(vk) : gab_pipeline_compile_requested(vk->pipelines);
    if (status == GAB_OK) n_bad = report_all(vk, n_chosen, quiet, json);
    gab_vk_destroy(&vk);
    return status == GAB_OK && n_bad == 0 ? 0 : 1;
}
