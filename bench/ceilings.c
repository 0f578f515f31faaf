#include "bench/ceilings.h"

#include <stdio.h>
#include <string.h>

#include "ceiling_dot.h"
#include "ceiling_f16.h"
#include "ceiling_f32.h"
#ifdef BENCH_KNOWS_MATRIX
#include "ceiling_matrix.h"
#endif
#include "ceiling_read.h"
#include "ceiling_read_address.h"
#include "vk/pipeline.h"

enum { CACHED_BYTES = 1 << 20, SPEC_SHAPE = 3, SPEC_COUNT = SPEC_SHAPE + 3, VECTOR = 16 };

typedef enum how { OWN, UNIFORM, ACROSS } how; /* ceiling_read.comp */

/* A shader, by what it measures: operations a step and component (matrices: product of two elements); 0: it reads. */
typedef struct shader_code {
    const uint32_t *words;
    size_t bytes;
    uint32_t needs; /* GAB_FEATURE_* */
    double weight;
} shader_code;

#define CODE(name, ...)                                                                                                \
    { gab_spirv_ceiling_##name, sizeof gab_spirv_ceiling_##name, __VA_ARGS__ }
static const shader_code read_code = CODE(read, 0, 0), read_address_code = CODE(read_address, GAB_FEATURE_ADDRESS, 0),
                         f32_code = CODE(f32, 0, 2), f16_code = CODE(f16, GAB_FEATURE_F16, 2),
                         dot_code = CODE(dot, GAB_FEATURE_INT_DOT, 8),
#ifdef BENCH_KNOWS_MATRIX
                         matrix_code = CODE(matrix, GAB_FEATURE_MATRIX, 2);
#else
                         matrix_code = {.needs = UINT32_MAX, .weight = 2};
#endif

/* A shape of a ceiling's kernel: of reads lanes, loads and how, of arithmetic lanes and chains, of matrices subgroups
 * and chains. The first ones are for GPUs, the others for CPU drivers. turns is small enough for llvmpipe, which ends
 * loops after 65535 turns. */
typedef struct shape {
    uint32_t spec[SPEC_SHAPE];
    uint32_t turns;
} shape;

static const shape read_shapes[] = {{{64, 4}, 16},         {{64, 8}, 32},          {{256, 2}, 8},
                                    {{256, 4}, 16},        {{8, 16}, 64},          {{4, 32, UNIFORM}, 512},
                                    {{8, 8, ACROSS}, 256}, {{8, 16, ACROSS}, 512}, {{8, 32, ACROSS}, 64},
                                    {{8, 64, ACROSS}, 64}};
static const shape arithmetic_shapes[] = {{{64, 2}, 512}, {{64, 4}, 512}, {{256, 4}, 512},
                                          {{8, 2}, 4096}, {{8, 3}, 4096}, {{8, 4}, 4096}};
static const shape matrix_shapes[] = {{{1, 4}, 16}, {{4, 2}, 16}, {{4, 4}, 16}, {{8, 4}, 16}};

#define SHAPES(shapes) shapes, sizeof(shapes) / sizeof *(shapes)
static const struct {
    const char *name, *unit;
    const shape *shapes; /* NULL: a latency */
    size_t n_shape;
    const shader_code *arithmetic; /* NULL: another kind */
} kinds[BENCH_CEILING_COUNT] = {
    [BENCH_CEILING_READ] = {"read, memory", "GB/s", SHAPES(read_shapes)},
    [BENCH_CEILING_CACHED] = {"read, cached", "GB/s", SHAPES(read_shapes)},
    [BENCH_CEILING_F32] = {"f32 multiply-add", "GFLOP/s", SHAPES(arithmetic_shapes), &f32_code},
    [BENCH_CEILING_F16] = {"f16 multiply-add", "GFLOP/s", SHAPES(arithmetic_shapes), &f16_code},
    [BENCH_CEILING_DOT] = {"8-bit dot product", "Gop/s", SHAPES(arithmetic_shapes), &dot_code},
    [BENCH_CEILING_MATRIX] = {"f16 matrix product", "GFLOP/s", SHAPES(matrix_shapes), &matrix_code},
    [BENCH_CEILING_DISPATCH] = {"dispatch and barrier", "us"},
    [BENCH_CEILING_SUBMIT] = {"submit and wait", "us"},
};

typedef struct kernel {
    gab_vk *vk;
    const bench_pool *pool;
    bench_ceiling_id id;
    const shader_code *code;
    shape shape;
    VkShaderModule module;
    VkPipelineLayout layout;
    VkPipeline pipeline;
    VkDescriptorPool sets;
    VkDescriptorSet set[BENCH_POOL_MAX]; /* by buffer of the pool */
    uint32_t n_set;
    uint32_t groups[3];
    double amount; /* bytes or operations of one recording */
} kernel;

#define FULL_SUBGROUPS VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT

static bool is_matrix(const kernel *k) {
    return k->id == BENCH_CEILING_MATRIX;
}

/* ---- kernels of our own: the library's store knows only its own shaders, but has the layouts ---- */

static gab_status pipeline_create(kernel *k, const gab_pipeline *like) {
    gab_vk *vk = k->vk;
    const gab_matrix_shape *m = &vk->matrix;
    const uint32_t values[SPEC_COUNT] = {k->shape.spec[0], k->shape.spec[1], k->shape.spec[2], m->m, m->n, m->k};
    VkSpecializationMapEntry entries[SPEC_COUNT]; /* those that a shader does not have are passed over */
    for (uint32_t i = 0; i < SPEC_COUNT; i++)
        entries[i] = (VkSpecializationMapEntry){.constantID = i, .offset = 4 * i, .size = 4};
    const VkSpecializationInfo spec = {
        .mapEntryCount = SPEC_COUNT, .pMapEntries = entries, .dataSize = sizeof values, .pData = values};
    const bool matrix = is_matrix(k);
    const VkPipelineShaderStageRequiredSubgroupSizeCreateInfo subgroup = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO,
        .requiredSubgroupSize = m->lanes};
    const VkShaderModuleCreateInfo module = {
        .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO, .codeSize = k->code->bytes, .pCode = k->code->words};
    GAB_VK_TRY(vk, vk->fn.vkCreateShaderModule(vk->device, &module, NULL, &k->module));
    const VkComputePipelineCreateInfo info = {.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
                                              .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                                                        .pNext = matrix ? &subgroup : NULL,
                                                        .flags = matrix ? FULL_SUBGROUPS : 0,
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
    const uint64_t bytes = k->id == BENCH_CEILING_READ ? k->pool->buffers[0].size : CACHED_BYTES;
    const VkDescriptorPoolSize size = {.type = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                       .descriptorCount = 2 * BENCH_POOL_MAX};
    const VkDescriptorPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
                                             .maxSets = BENCH_POOL_MAX,
                                             .poolSizeCount = 1,
                                             .pPoolSizes = &size};
    GAB_VK_TRY(vk, vk->fn.vkCreateDescriptorPool(vk->device, &pool, NULL, &k->sets));
    k->n_set = k->id == BENCH_CEILING_READ ? k->pool->n_buffer : 1;
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
    const uint64_t bytes = k->id == BENCH_CEILING_READ ? k->pool->buffers[0].size : CACHED_BYTES;
    (void)i;
    if (recorder->status != GAB_OK) return;
    vk->fn.vkCmdBindPipeline(recorder->cmd, VK_PIPELINE_BIND_POINT_COMPUTE, k->pipeline);
    for (uint32_t b = 0; b < k->n_set; b++) {
        const uint64_t address = k->pool->buffers[b].address;
        const struct {
            uint32_t mask, turns, address_low, address_high;
        } read = {(uint32_t)(bytes / VECTOR) - 1, k->shape.turns, (uint32_t)address, (uint32_t)(address >> 32)};
        const struct {
            uint32_t turns;
            float a, b;
        } arithmetic = {k->shape.turns, 0.999f, 0.001f};
        if (k->code->weight > 0)
            vk->fn.vkCmdPushConstants(recorder->cmd, k->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof arithmetic,
                                      &arithmetic);
        else
            vk->fn.vkCmdPushConstants(recorder->cmd, k->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof read, &read);
        vk->fn.vkCmdBindDescriptorSets(recorder->cmd, VK_PIPELINE_BIND_POINT_COMPUTE, k->layout, 0, 1, &k->set[b], 0,
                                       NULL);
        vk->fn.vkCmdDispatch(recorder->cmd, k->groups[0], k->groups[1], 1);
    }
}

/* Groups and amount: each buffer once, the cached part 64 times, or a few milliseconds of multiply-adds. */
static void size(kernel *k) {
    const uint32_t *spec = k->shape.spec;
    if (k->code->weight > 0) {
        const uint32_t n = k->vk->info.kind == GAB_DEVICE_CPU ? 4096 / spec[0] : 1 << 20;
        gab_grid_fold(n / spec[0] + 64, k->groups);
        const gab_matrix_shape *m = &k->vk->matrix;
        const double a_step = is_matrix(k) ? (double)m->m * m->n * m->k / m->lanes : 4; /* an invocation */
        k->amount = k->code->weight * a_step * 8 * spec[0] * spec[1] * k->shape.turns * k->groups[0] * k->groups[1];
        return;
    }
    const uint32_t turn_bytes = spec[1] * (spec[2] == UNIFORM  ? VECTOR
                                           : spec[2] == ACROSS ? 4 * spec[0]
                                                               : VECTOR * spec[0]);
    const uint64_t group_bytes = (uint64_t)turn_bytes * k->shape.turns;
    const uint64_t bytes = k->id == BENCH_CEILING_READ ? k->pool->buffers[0].size : 64ull * CACHED_BYTES;
    gab_grid_fold(bytes / group_bytes, k->groups);
    k->amount = (double)(k->n_set * bytes);
}

static void keep_better(bench_ceiling *best, const kernel *k, const bench_time *time) {
    const uint32_t *spec = k->shape.spec;
    const double amount = k->amount;
    const double value = amount / time->ms * 1e-6;
    if (value <= best->value) return;
    best->value = value;
    best->least = amount / time->most * 1e-6;
    best->most = amount / time->least * 1e-6;
    const gab_matrix_shape *m = &k->vk->matrix;
    if (is_matrix(k))
        snprintf(best->shape, sizeof best->shape, "%u lanes, %u of %ux%ux%u", spec[0], spec[1], m->m, m->n, m->k);
    else if (k->code->weight > 0)
        snprintf(best->shape, sizeof best->shape, "%u lanes, %u vectors of 4", spec[0], spec[1]);
    else
        snprintf(best->shape, sizeof best->shape, "%u lanes, %u loads%s", spec[0], spec[1],
                 spec[2] == UNIFORM  ? ", uniform"
                 : spec[2] == ACROSS ? ", across"
                                     : "");
}

static gab_status measure_shape(gab_vk *vk, const bench_pool *pool, bench_ceiling_id id, const shape *s, uint32_t n_run,
                                bench_ceiling *best) {
    const shader_code *code = kinds[id].arithmetic   ? kinds[id].arithmetic
                              : s->spec[2] == ACROSS ? &read_address_code
                                                     : &read_code;
    kernel k = {.vk = vk, .pool = pool, .id = id, .code = code, .shape = *s};
    if ((vk->features & code->needs) != code->needs) return GAB_OK;
    if (is_matrix(&k)) k.shape.spec[0] *= vk->matrix.lanes;
    if (k.shape.spec[0] > vk->properties.limits.maxComputeWorkGroupInvocations) return GAB_OK;
    gab_status status;
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
    keep_better(best, &k, &time);
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
    for (int i = 0; i < BENCH_CEILING_COUNT; i++) {
        ceilings[i] = (bench_ceiling){.name = kinds[i].name, .unit = kinds[i].unit};
        for (size_t n = 0; n < kinds[i].n_shape; n++)
            GAB_TRY(measure_shape(vk, pool, (bench_ceiling_id)i, &kinds[i].shapes[n], n_run, &ceilings[i]));
    }
    return measure_latencies(vk, n_run, ceilings);
}
