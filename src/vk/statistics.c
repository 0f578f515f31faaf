#include "vk/statistics.h"

#include <string.h>

enum { STATISTIC_MAX = 64 };

const gab_statistic_column gab_statistic_columns[GAB_STATISTIC_COUNT] = {
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

static double value_of(const VkPipelineExecutableStatisticKHR *s) {
    switch (s->format) {
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_BOOL32_KHR: return s->value.b32;
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_INT64_KHR: return (double)s->value.i64;
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_FLOAT64_KHR: return s->value.f64;
    default: return (double)s->value.u64;
    }
}

static void read_one(gab_vk *vk, VkPipeline pipeline, uint32_t index, gab_executable *executable) {
    const VkPipelineExecutableInfoKHR info = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR, .pipeline = pipeline, .executableIndex = index};
    VkPipelineExecutableStatisticKHR list[STATISTIC_MAX];
    uint32_t n = STATISTIC_MAX;
    memset(list, 0, sizeof list);
    for (uint32_t i = 0; i < n; i++) list[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR;
    if (vk->fn.vkGetPipelineExecutableStatisticsKHR(vk->device, &info, &n, list) < 0) return;
    for (uint32_t i = 0; i < n; i++)
        for (int c = 0; c < GAB_STATISTIC_COUNT; c++)
            for (int k = 0; k < 4 && gab_statistic_columns[c].names[k]; k++)
                if (strcmp(gab_statistic_columns[c].names[k], list[i].name) == 0) {
                    executable->values[c] = value_of(&list[i]);
                    executable->known[c] = true;
                    executable->spills |= gab_statistic_columns[c].bad && executable->values[c] > 0;
                }
}

uint32_t gab_pipeline_executables(gab_vk *vk, VkPipeline pipeline, gab_executable executables[GAB_EXECUTABLE_MAX]) {
    const VkPipelineInfoKHR info = {.sType = VK_STRUCTURE_TYPE_PIPELINE_INFO_KHR, .pipeline = pipeline};
    VkPipelineExecutablePropertiesKHR properties[GAB_EXECUTABLE_MAX];
    uint32_t n = GAB_EXECUTABLE_MAX;
    if (!vk->has_pipeline_statistics) return 0;
    memset(properties, 0, sizeof properties);
    for (uint32_t i = 0; i < n; i++) properties[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_PROPERTIES_KHR;
    if (vk->fn.vkGetPipelineExecutablePropertiesKHR(vk->device, &info, &n, properties) < 0) return 0;
    for (uint32_t i = 0; i < n; i++) {
        executables[i] = (gab_executable){.subgroup_size = properties[i].subgroupSize};
        read_one(vk, pipeline, i, &executables[i]);
    }
    return n;
}

bool gab_pipeline_spills(gab_vk *vk, VkPipeline pipeline) {
    gab_executable executables[GAB_EXECUTABLE_MAX];
    const uint32_t n = gab_pipeline_executables(vk, pipeline, executables);
    for (uint32_t i = 0; i < n; i++)
        if (executables[i].spills) return true;
    return false;
}
