/*
 * pipeline.h - compute pipelines by key, compiled in parallel, and their cache on disk.
 *
 * The cache file is <cache folder>/pipelines-<driver UUID>.bin: a header of our own (magic, device and driver UUID,
 * length, checksum) before the driver's data. A file that is damaged, from another driver, or cannot be written is
 * ignored with one warning. Thread safe.
 */
#ifndef GAB_VK_PIPELINE_H
#define GAB_VK_PIPELINE_H

#include "args.h"
#include "shader_list.h"
#include "vk/device.h"

typedef struct gab_pipeline_key {
    gab_shader_id shader;
    uint32_t n_binding;
    uint32_t subgroup;             /* lanes that subgroups must have, all of them full; 0: as the driver likes */
    uint32_t spec[GAB_SPEC_COUNT]; /* by GAB_SPEC_*; 0 where the shader has no such constant */
} gab_pipeline_key;

typedef struct gab_pipeline {
    gab_pipeline_key key;
    VkPipeline pipeline; /* VK_NULL_HANDLE: requested, not yet compiled, or it cannot be */
    bool failed;         /* the driver has refused it: compile_requested leaves it out */
    VkPipelineLayout layout;
    VkDescriptorSetLayout set_layout;
} gab_pipeline;

gab_status gab_pipeline_store_create(gab_vk *vk, gab_pipeline_store **store);
void gab_pipeline_store_destroy(gab_pipeline_store **store); /* writes the cache file first */

/* Notes that a pipeline will be needed; compile_requested compiles all those noted, on all cores. One that the driver
 * refuses fails the call, once. */
gab_status gab_pipeline_request(gab_pipeline_store *store, const gab_pipeline_key *key);
gab_status gab_pipeline_compile_requested(gab_pipeline_store *store);

/* The pipeline of a key, compiled now if need be; one that was refused is tried again. The pointer lives as long as the
 * store. */
gab_status gab_pipeline_get(gab_pipeline_store *store, const gab_pipeline_key *key, const gab_pipeline **pipeline);

/* Compiles all that there are again, one after the other and without the cache, to see what it takes: how many, and
 * milliseconds. Drivers may have a cache of their own. */
gab_status gab_pipeline_compile_again(gab_pipeline_store *store, uint32_t *n, double *ms);

/* Makes it a pipeline of cooperative matrices of a shape: subgroup, M, N, K. */
void gab_pipeline_key_use_matrix(gab_pipeline_key *key, const gab_matrix_shape *shape);

/* All pipelines so far, for statistics and the hash of variants. */
uint32_t gab_pipeline_count(const gab_pipeline_store *store);
const gab_pipeline *gab_pipeline_at(const gab_pipeline_store *store, uint32_t i);

/* "matvec_lane_q8_0 lanes=8 rows=4 cols=1" */
void gab_pipeline_describe(const gab_pipeline_key *key, char *text, size_t size);

#endif
