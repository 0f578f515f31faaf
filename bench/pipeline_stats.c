/*
 * pipeline_stats.c - compiles every pipeline that a device may be given and prints what its driver says of each:
 * registers, spills, instructions, cycles, occupancy. Works on drivers that execute nothing.
 *
 *     bench/pipeline_stats [-d DEVICE] [--variant lane|group] [--quiet]
 *
 * Exit status 1 when a pipeline does not compile or spills. --quiet prints the closing line and what is wrong alone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/attention.h"
#include "kernels/gather.h"
#include "kernels/layernorm.h"
#include "kernels/matmul.h"
#include "kernels/sample.h"

/* What we print: a column, and the names that drivers give it (their words, matched whole). */
static const struct {
    const char *title;
    const char *names[4];
    bool bad; /* must be 0 */
} columns[] = {
    {"regs", {"VGPRs", "Max live registers", "Number of GPRs"}, false},
    {"sgprs", {"SGPRs"}, false},
    {"spills", {"Spilled VGPRs", "Spill Count", "Spills to memory"}, true},
    {"sspills", {"Spilled SGPRs", "Spills to Reg"}, false},
    {"fills", {"Fill Count", "Fills from memory"}, true},
    {"scratch", {"Scratch size", "Scratch Memory Size", "SLM Size"}, true},
    {"instrs", {"Instructions", "Instruction Count", "Instruction count"}, false},
    {"cycles", {"Inverse Throughput", "Cycle Count", "Static cycle count"}, false},
    {"waves", {"Subgroups per SIMD", "Max warps/SM"}, false},
    {"width", {"Subgroup size"}, false},
};

enum { N_COLUMN = sizeof columns / sizeof *columns, STATISTIC_MAX = 64 };

static void print_log(void *user, gab_log_level level, const char *message) {
    (void)user;
    if (level <= GAB_LOG_INFO) fprintf(stderr, "%s\n", message);
}

/* ---- which pipelines ---- */

static void request_products(const gab_kernel_context *c, gab_dtype type) {
    gab_shard shard = {.n_row = 768};
    const gab_weight weight = {.type = type, .n_col = 768, .n_row = 768, .n_shard = 1, .shards = &shard};
    const gab_matmul op = {.weight = &weight};
    const gab_gather rows = {.table = &weight};
    gab_matmul_record(c, &op);
    gab_gather_record(c, &rows);
}

static void request_attention(const gab_kernel_context *c, uint32_t head_dim, bool f16) {
    const gab_kv_layer kv = {.n_head_kv = 4, .head_dim = head_dim, .f16 = f16};
    const gab_kv_write write = {.kv = kv};
    const gab_attention op = {.kv = kv, .n_head = 4, .n_piece = 1, .n_work = 1};
    gab_kv_write_record(c, &write);
    gab_attention_record(c, &op);
}

static gab_status request_all(gab_vk *vk, gab_kernel_set set) {
    static const uint32_t rows[] = {1, 2, 4, 8, 32}, head_dims[] = {16, 32, 64, 80, 96, 128, 256};
    gab_recorder recorder = {.vk = vk};
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        const gab_kernel_context c = {.recorder = &recorder, .set = set, .n_row = rows[r], .n_out = rows[r]};
        const gab_layernorm norm = {.n_col = 768};
        const gab_sample sample = {.n_vocab = 50257, .logits_stride = 50272};
        for (int type = 0; type < GAB_DTYPE_COUNT; type++) request_products(&c, (gab_dtype)type);
        for (size_t d = 0; d < sizeof head_dims / sizeof *head_dims; d++) {
            request_attention(&c, head_dims[d], true);
            request_attention(&c, head_dims[d], false);
        }
        gab_layernorm_record(&c, &norm);
        gab_sample_record(&c, &sample);
    }
    if (recorder.status != GAB_OK) return recorder.status;
    return gab_pipeline_compile_requested(vk->pipelines);
}

/* ---- what the driver says ---- */

static double value_of(const VkPipelineExecutableStatisticKHR *s) {
    switch (s->format) {
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_BOOL32_KHR: return s->value.b32;
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_INT64_KHR: return (double)s->value.i64;
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_FLOAT64_KHR: return s->value.f64;
    default: return (double)s->value.u64;
    }
}

/* The statistics of an executable into one value a column; NAN where the driver says nothing. */
static void read_statistics(gab_vk *vk, VkPipeline pipeline, uint32_t executable, double values[N_COLUMN],
                            bool seen[N_COLUMN]) {
    VkPipelineExecutableInfoKHR info = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR, .pipeline = pipeline, .executableIndex = executable};
    static VkPipelineExecutableStatisticKHR list[STATISTIC_MAX];
    uint32_t n = STATISTIC_MAX;
    for (uint32_t i = 0; i < n; i++) list[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR;
    if (vk->fn.vkGetPipelineExecutableStatisticsKHR(vk->device, &info, &n, list) < 0) return;
    for (uint32_t i = 0; i < n; i++)
        for (int c = 0; c < N_COLUMN; c++)
            for (int k = 0; k < 4 && columns[c].names[k]; k++)
                if (strcmp(columns[c].names[k], list[i].name) == 0) {
                    values[c] = value_of(&list[i]);
                    seen[c] = true;
                }
}

/* Prints a row an executable (Intel compiles several widths); false when one spills. */
static bool report(gab_vk *vk, const gab_pipeline *pipeline, bool quiet) {
    char name[160];
    VkPipelineInfoKHR info = {.sType = VK_STRUCTURE_TYPE_PIPELINE_INFO_KHR, .pipeline = pipeline->pipeline};
    static VkPipelineExecutablePropertiesKHR executables[8];
    uint32_t n = 8;
    bool good = true;
    for (uint32_t i = 0; i < n; i++) executables[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_PROPERTIES_KHR;
    gab_pipeline_describe(&pipeline->key, name, sizeof name);
    if (vk->fn.vkGetPipelineExecutablePropertiesKHR(vk->device, &info, &n, executables) < 0) return true;
    for (uint32_t i = 0; i < n; i++) {
        double values[N_COLUMN] = {0};
        bool seen[N_COLUMN] = {0}, spills = false;
        read_statistics(vk, pipeline->pipeline, i, values, seen);
        for (int c = 0; c < N_COLUMN; c++) spills = spills || (columns[c].bad && values[c] > 0);
        good = good && !spills;
        if (quiet && !spills) continue;
        printf("%-56s %5u", name, executables[i].subgroupSize);
        for (int c = 0; c < N_COLUMN; c++)
            if (seen[c])
                printf(" %8.0f", values[c]);
            else
                printf(" %8s", "-");
        printf("%s\n", spills ? "  SPILLS" : "");
    }
    return good;
}

int main(int argc, char **argv) {
    const char *device = NULL, *variant = NULL;
    const gab_log log = {print_log, NULL};
    gab_vk *vk = NULL;
    gab_kernel_set set;
    bool quiet = false;
    uint32_t n_bad = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-d") == 0 && i + 1 < argc)
            device = argv[++i];
        else if (strcmp(argv[i], "--variant") == 0 && i + 1 < argc)
            variant = argv[++i];
        else if (strcmp(argv[i], "--quiet") == 0)
            quiet = true;
        else {
            fprintf(stderr, "usage: pipeline_stats [-d DEVICE] [--variant lane|group] [--quiet]\n");
            return 2;
        }
    }
    gab_status status = gab_vk_create(device, &log, &vk);
    if (status == GAB_OK) status = gab_kernel_set_choose(vk, variant, false, &set);
    if (status == GAB_OK) status = request_all(vk, set);
    if (status == GAB_OK && vk->has_pipeline_statistics) {
        if (!quiet) {
            printf("%-56s %5s", vk->info.name, "group");
            for (int c = 0; c < N_COLUMN; c++) printf(" %8s", columns[c].title);
            putchar('\n');
        }
        for (uint32_t i = 0; i < gab_pipeline_count(vk->pipelines); i++)
            n_bad += !report(vk, gab_pipeline_at(vk->pipelines, i), quiet);
    }
    if (status == GAB_OK)
        printf("%s: %u pipelines compiled, %u spill%s\n", vk->info.name, gab_pipeline_count(vk->pipelines), n_bad,
               vk->has_pipeline_statistics ? "" : " (the driver gives no statistics)");
    gab_vk_destroy(&vk);
    return status == GAB_OK && n_bad == 0 ? 0 : 1;
}
