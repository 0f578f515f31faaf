#include "bench/ceilings.h"

#include <stdio.h>
#include <string.h>

#include "ceiling_fma.h"
#include "ceiling_read.h"
#include "vk/pipeline.h"

enum { CACHED_BYTES = 1 << 20, SPEC_MAX = 3, VECTOR = 16 };

/* A shape of a ceiling's kernel. turns is small enough for llvmpipe, which ends loops after 65535 turns. */
typedef struct shape {
    bench_ceiling_id ceiling;
    uint32_t spec[SPEC_MAX]; /* read: lanes, loads, uniform; fma: lanes, chains */
    uint32_t turns;
} shape;

static const shape shapes[] = {
    /* for GPUs */
    {BENCH_CEILING_READ, {64, 4}, 16},
    {BENCH_CEILING_READ, {64, 8}, 32},
    {BENCH_CEILING_READ, {256, 2}, 8},
    {BENCH_CEILING_READ, {256, 4}, 16},
    {BENCH_CEILING_CACHED, {64, 4}, 16},
    {BENCH_CEILING_CACHED, {256, 2}, 8},
    {BENCH_CEILING_CACHED, {256, 4}, 16},
    {BENCH_CEILING_FMA, {64, 2}, 512},
    {BENCH_CEILING_FMA, {64, 4}, 512},
    {BENCH_CEILING_FMA, {256, 4}, 512},
    /* for CPU drivers */
    {BENCH_CEILING_READ, {8, 4}, 256},
    {BENCH_CEILING_READ, {4, 32, 1}, 512},
    {BENCH_CEILING_READ, {1, 16, 1}, 2048},
    {BENCH_CEILING_CACHED, {8, 8}, 128},
    {BENCH_CEILING_CACHED, {8, 16}, 64},
    {BENCH_CEILING_FMA, {8, 2}, 4096},
    {BENCH_CEILING_FMA, {8, 3}, 4096},
    {BENCH_CEILING_FMA, {8, 4}, 4096},
};

static const struct {
    const char *name, *unit;
} titles[BENCH_CEILING_COUNT] = {[BENCH_CEILING_READ] = {"read, memory", "GB/s"},
                                 [BENCH_CEILING_CACHED] = {"read, cached", "GB/s"},
                                 [BENCH_CEILING_FMA] = {"f32 multiply-add", "GFLOP/s"},
                                 [BENCH_CEILING_DISPATCH] = {"dispatch and barrier", "us"},
                                 [BENCH_CEILING_SUBMIT] = {"submit and wait", "us"}};

typedef struct kernel {
    gab_vk *vk;
    const bench_pool *pool;
    const shape *shape;
    VkShaderModule module;
    VkPipelineLayout layout;
    VkPipeline pipeline;
    VkDescriptorPool sets;
    VkDescriptorSet set[BENCH_POOL_MAX]; /* by buffer of the pool */
    uint32_t n_set;
    uint32_t groups[3];
    double amount; /* bytes or operations of one recording */
} kernel;

/* ---- kernels of our own: the library's store knows only its own shaders, but has the layouts ---- */

static gab_status pipeline_create(kernel *k, const gab_pipeline *like) {
    gab_vk *vk = k->vk;
    const bool fma = k->shape->ceiling == BENCH_CEILING_FMA;
    VkSpecializationMapEntry entries[SPEC_MAX];
    for (uint32_t i = 0; i < SPEC_MAX; i++)
        entries[i] = (VkSpecializationMapEntry){.constantID = i, .offset = 4 * i, .size = 4};
    const VkSpecializationInfo spec = {.mapEntryCount = fma ? 2 : SPEC_MAX,
                                       .pMapEntries = entries,
                                       .dataSize = sizeof k->shape->spec,
                                       .pData = k->shape->spec};
    const VkShaderModuleCreateInfo module = {.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
                                             .codeSize =
                                                 fma ? sizeof gab_spirv_ceiling_fma : sizeof gab_spirv_ceiling_read,
                                             .pCode = fma ? gab_spirv_ceiling_fma : gab_spirv_ceiling_read};
    GAB_VK_TRY(vk, vk->fn.vkCreateShaderModule(vk->device, &module, NULL, &k->module));
    const VkComputePipelineCreateInfo info = {.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
                                              .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                                                        .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                                                        .module = k->module,
                                                        .pName = "main",
                                                        .pSpecializationInfo = &spec},
                                              .layout = like->layout};
    GAB_VK_TRY(vk, vk->fn.vkCreateComputePipelines(vk->device, VK_NULL_HANDLE, 1, &info, NULL, &k->pipeline));
    k->layout = like->layout;
    return GAB_OK;
}

/* A set a buffer: the buffer to read, and its first word as the place for results that never come. */
static gab_status sets_create(kernel *k, const gab_pipeline *like) {
    gab_vk *vk = k->vk;
    const uint64_t bytes = k->shape->ceiling == BENCH_CEILING_READ ? k->pool->buffers[0].size : CACHED_BYTES;
    const VkDescriptorPoolSize size = {.type = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                       .descriptorCount = 2 * BENCH_POOL_MAX};
    const VkDescriptorPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
                                             .maxSets = BENCH_POOL_MAX,
                                             .poolSizeCount = 1,
                                             .pPoolSizes = &size};
    GAB_VK_TRY(vk, vk->fn.vkCreateDescriptorPool(vk->device, &pool, NULL, &k->sets));
    k->n_set = k->shape->ceiling == BENCH_CEILING_READ ? k->pool->n_buffer : 1;
    for (uint32_t i = 0; i < k->n_set; i++) {
        const VkDescriptorSetAllocateInfo allocate = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
                                                      .descriptorPool = k->sets,
                                                      .descriptorSetCount = 1,
                                                      .pSetLayouts = &like->set_layout};
        const VkBuffer buffer = k->pool->buffers[i].buffer;
        const VkDescriptorBufferInfo buffers[] = {{buffer, 0, bytes}, {buffer, 0, VECTOR}};
        GAB_VK_TRY(vk, vk->fn.vkAllocateDescriptorSets(vk->device, &allocate, &k->set[i]));
        const VkWriteDescriptorSet write = {.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
                                            .dstSet = k->set[i],
                                            .descriptorCount = 2,
                                            .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                            .pBufferInfo = buffers};
        vk->fn.vkUpdateDescriptorSets(vk->device, 1, &write, 0, NULL);
    }
    return GAB_OK;
}

static void record(const void *user, gab_recorder *recorder, uint32_t i) {
    const kernel *k = user;
    gab_vk *vk = k->vk;
    const uint64_t bytes = k->shape->ceiling == BENCH_CEILING_READ ? k->pool->buffers[0].size : CACHED_BYTES;
    const union {
        uint32_t u;
        float f;
    } read[3] = {{.u = (uint32_t)(bytes / VECTOR) - 1}, {.u = k->shape->turns}},
      fma[3] = {{.u = k->shape->turns}, {.f = 0.999f}, {.f = 0.001f}};
    (void)i;
    if (recorder->status != GAB_OK) return;
    vk->fn.vkCmdBindPipeline(recorder->cmd, VK_PIPELINE_BIND_POINT_COMPUTE, k->pipeline);
    vk->fn.vkCmdPushConstants(recorder->cmd, k->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof read,
                              k->shape->ceiling == BENCH_CEILING_FMA ? fma : read);
    for (uint32_t b = 0; b < k->n_set; b++) {
        vk->fn.vkCmdBindDescriptorSets(recorder->cmd, VK_PIPELINE_BIND_POINT_COMPUTE, k->layout, 0, 1, &k->set[b], 0,
                                       NULL);
        vk->fn.vkCmdDispatch(recorder->cmd, k->groups[0], k->groups[1], 1);
    }
}

/* Groups and amount: each buffer once, the cached part 64 times, or a few milliseconds of multiply-adds. */
static void size(kernel *k) {
    const uint32_t *spec = k->shape->spec;
    if (k->shape->ceiling == BENCH_CEILING_FMA) {
        const uint32_t n = k->vk->info.kind == GAB_DEVICE_CPU ? 4096 / spec[0] : 1 << 20;
        gab_grid_fold(n / spec[0] + 64, k->groups);
        k->amount = 2.0 * 4 * 8 * spec[0] * spec[1] * k->shape->turns * k->groups[0] * k->groups[1];
        return;
    }
    const uint64_t group_bytes = (uint64_t)VECTOR * (spec[2] ? 1 : spec[0]) * spec[1] * k->shape->turns;
    const uint64_t bytes = k->shape->ceiling == BENCH_CEILING_READ ? k->pool->buffers[0].size : 64ull * CACHED_BYTES;
    gab_grid_fold(bytes / group_bytes, k->groups);
    k->amount = (double)(k->n_set * bytes);
}

static void keep_better(bench_ceiling *best, const shape *s, double amount, const bench_time *time) {
    const double value = amount / time->ms * 1e-6;
    if (value <= best->value) return;
    best->value = value;
    best->least = amount / time->most * 1e-6;
    best->most = amount / time->least * 1e-6;
    if (s->ceiling == BENCH_CEILING_FMA)
        snprintf(best->shape, sizeof best->shape, "%u lanes, %u vectors of 4", s->spec[0], s->spec[1]);
    else
        snprintf(best->shape, sizeof best->shape, "%u lanes, %u loads%s", s->spec[0], s->spec[1],
                 s->spec[2] ? ", uniform" : "");
}

static gab_status measure_shape(gab_vk *vk, const bench_pool *pool, const shape *s, uint32_t n_run,
                                bench_ceiling *best) {
    gab_status status;
    kernel k = {.vk = vk, .pool = pool, .shape = s};
    const bench_work work = {record, &k};
    bench_time time;
    const gab_pipeline *like;
    /* any pipeline of two bindings has the layouts we need */
    const gab_pipeline_key key = {.shader = GAB_SHADER_PROBE, .n_binding = 2, .spec = {[GAB_SPEC_LANES] = 64}};
    GAB_TRY_GOTO(gab_pipeline_get(vk->pipelines, &key, &like), error);
    GAB_TRY_GOTO(pipeline_create(&k, like), error);
    GAB_TRY_GOTO(sets_create(&k, like), error);
    size(&k);
    GAB_TRY_GOTO(bench_measure(vk, &work, n_run, &time), error);
    keep_better(best, s, k.amount, &time);
error:
    vk->fn.vkDestroyDescriptorPool(vk->device, k.sets, NULL);
    vk->fn.vkDestroyPipeline(vk->device, k.pipeline, NULL);
    vk->fn.vkDestroyShaderModule(vk->device, k.module, NULL);
    return status;
}

/* ---- latencies ---- */

static void record_dispatch(const void *user, gab_recorder *recorder, uint32_t i) {
    const gab_probe_args args = {.value = i};
    const gab_dispatch dispatch = {
        .pipeline = {.shader = GAB_SHADER_PROBE, .n_binding = 1, .spec = {[GAB_SPEC_LANES] = 64}},
        .bindings = {gab_buffer_all(user)},
        .push = &args,
        .push_bytes = sizeof args,
        .groups = {1, 1, 1}};
    gab_record_dispatch(recorder, &dispatch);
}

static void take_latency(bench_ceiling *ceiling, const bench_time *time) {
    ceiling->value = time->ms * 1e3;
    ceiling->least = time->least * 1e3;
    ceiling->most = time->most * 1e3;
}

static gab_status measure_latencies(gab_vk *vk, uint32_t n_run, bench_ceiling *ceilings) {
    gab_status status;
    gab_buffer buffer = {0};
    const bench_work dispatch = {record_dispatch, &buffer};
    bench_time time;
    GAB_TRY_GOTO(gab_buffer_create(vk, GAB_MEMORY_DEVICE, GAB_SLICE_ALIGN, "benchmark data", &buffer), error);
    GAB_TRY_GOTO(bench_measure(vk, &dispatch, n_run, &time), error);
    take_latency(&ceilings[BENCH_CEILING_DISPATCH], &time);
    GAB_TRY_GOTO(bench_measure_submit(vk, n_run, &time), error);
    take_latency(&ceilings[BENCH_CEILING_SUBMIT], &time);
error:
    gab_buffer_destroy(vk, &buffer);
    return status;
}

gab_status bench_ceilings_measure(gab_vk *vk, const bench_pool *pool, uint32_t n_run,
                                  bench_ceiling ceilings[BENCH_CEILING_COUNT]) {
    const VkPhysicalDeviceLimits *limits = &vk->properties.limits;
    for (int i = 0; i < BENCH_CEILING_COUNT; i++)
        ceilings[i] = (bench_ceiling){.name = titles[i].name, .unit = titles[i].unit};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (shapes[i].spec[0] <= limits->maxComputeWorkGroupInvocations)
            GAB_TRY(measure_shape(vk, pool, &shapes[i], n_run, &ceilings[shapes[i].ceiling]));
    return measure_latencies(vk, n_run, ceilings);
}
