/*
 * statistics.h - what a driver says of a compiled pipeline (VK_KHR_pipeline_executable_properties): registers, spills,
 * instructions, cycles, in one list of columns for the words of all drivers. Works on drivers that execute nothing.
 */
#ifndef GAB_VK_STATISTICS_H
#define GAB_VK_STATISTICS_H

#include "vk/pipeline.h"

/* A column, and the names that drivers give it (their words, matched whole). */
typedef struct gab_statistic_column {
    const char *title;
    const char *names[4];
    bool bad; /* must be 0: spills and scratch memory */
} gab_statistic_column;

enum { GAB_STATISTIC_COUNT = 10, GAB_EXECUTABLE_MAX = 8 };
extern const gab_statistic_column gab_statistic_columns[GAB_STATISTIC_COUNT];

/* One executable of a pipeline (Intel compiles several widths). */
typedef struct gab_executable {
    uint32_t subgroup_size;
    double values[GAB_STATISTIC_COUNT]; /* 0 where the driver says nothing */
    bool known[GAB_STATISTIC_COUNT];
    bool spills;
} gab_executable;

/* Number of executables written; 0 where the driver gives no statistics. */
uint32_t gab_pipeline_executables(gab_vk *vk, VkPipeline pipeline, gab_executable executables[GAB_EXECUTABLE_MAX]);

/* Does any of them spill? False where the driver gives no statistics. */
bool gab_pipeline_spills(gab_vk *vk, VkPipeline pipeline);

#endif
