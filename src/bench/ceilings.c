#include "bench/ceilings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "bench/ceiling_dot.h"
#include "bench/ceiling_f16.h"
#include "bench/ceiling_f32.h"
#ifdef BENCH_KNOWS_MATRIX
#include "bench/ceiling_matrix.h"
#endif
#include "bench/ceiling_read.h"
#include "bench/ceiling_read_address.h"
#include "vk/features.h"
#include "vk/pipeline.h"

enum {
    CACHED_BYTES = 1 << 20,
    READ_AGAIN_BYTES = 64 << 20,
    SIFT_MS = 20,
    CPU_LANES_MAX = 16,
    SPEC_SHAPE = 3,
    SPEC_COUNT = SPEC_SHAPE + 3,
    VECTOR = 16
};

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
 * and chains. Those of 16 lanes and fewer are for CPU drivers, on which the others take
 * seconds and lose, the rest for GPUs. turns is small enough for llvmpipe, which ends
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
                                          {{8, 2}, 1024}, {{8, 3}, 1024}, {{8, 4}, 1024}};
static const shape matrix_shapes[] = {{{1, 4}, 16}, {{4, 2}, 16}, {{4, 4}, 16}, {{8, 4}, 16}};

#define SHAPES(shapes) shapes, sizeof(shapes) / sizeof *(shapes)
static const struct {
    const char *name, *unit;
    const shape *shapes; /* NULL: not by a kernel of our own */
    size_t n_shape;
    const shader_code *arithmetic; /* NULL: another kind */
} kinds[BENCH_CEILING_COUNT] = {
    [BENCH_CEILING_READ] = {"read", "GB/s", SHAPES(read_shapes)},
    [BENCH_CEILING_COPY] = {"copy", "GB/s"},
    [BENCH_CEILING_F32] = {"f32 multiply-add", "GFLOP/s", SHAPES(arithmetic_shapes), &f32_code},
    [BENCH_CEILING_F16] = {"f16 multiply-add", "GFLOP/s", SHAPES(arithmetic_shapes), &f16_code},
    [BENCH_CEILING_DOT] = {"8-bit dot product", "Gop/s", SHAPES(arithmetic_shapes), &dot_code},
    [BENCH_CEILING_MATRIX] = {"f16 matrix product", "GFLOP/s", SHAPES(matrix_shapes), &matrix_code},
    [BENCH_CEILING_UPLOAD] = {"upload", "GB/s"},
    [BENCH_CEILING_DISPATCH] = {"dispatch and barrier", "us"},
    [BENCH_CEILING_BARRIER] = {"barrier", "us"},
    [BENCH_CEILING_SUBMIT] = {"submit and wait", "us"},
};

typedef struct kernel {
    gab_vk *vk;
    const bench_pool *pool;
    bench_ceiling_id id;
    uint64_t size;  /* bytes read again and again, at most a buffer's; more: all buffers once */
    uint64_t again; /* so many bytes a dispatch, where that is more */
    const shader_code *code;
    shape shape;
    gab_matrix_shape matrix;
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
    const gab_matrix_shape *m = &k->matrix;
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

static bool is_whole(const kernel *k) {
    return k->size > k->pool->buffers[0].size;
}

/* What a binding sees. */
static uint64_t bound_bytes(const kernel *k) {
    return is_whole(k) || k->code->weight > 0 ? k->pool->buffers[0].size : k->size;
}

/* A set a buffer: the buffer to read, and its first word as the place for results that never come. */
static gab_status sets_create(kernel *k, const gab_pipeline *like) {
    gab_vk *vk = k->vk;
    const uint64_t bytes = bound_bytes(k);
    const VkDescriptorPoolSize size = {.type = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                       .descriptorCount = 2 * BENCH_POOL_MAX};
    const VkDescriptorPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
                                             .maxSets = BENCH_POOL_MAX,
                                             .poolSizeCount = 1,
                                             .pPoolSizes = &size};
    GAB_VK_TRY(vk, vk->fn.vkCreateDescriptorPool(vk->device, &pool, NULL, &k->sets));
    k->n_set = is_whole(k) ? k->pool->n_buffer : 1;
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
    const uint64_t bytes = bound_bytes(k);
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

/* Groups and amount: each buffer once, a part of one so often that it is worth a dispatch, or a few milliseconds of
 * multiply-adds. */
static void size(kernel *k) {
    const uint32_t *spec = k->shape.spec;
    if (k->code->weight > 0) {
        const uint32_t n = k->vk->info.kind == GAB_DEVICE_CPU ? 192 * spec[0] : 1 << 20;
        gab_grid_fold(n / spec[0] + 64, k->groups);
        const gab_matrix_shape *m = &k->matrix;
        const double a_step = is_matrix(k) ? (double)m->m * m->n * m->k / m->lanes : 4; /* an invocation */
        k->amount = k->code->weight * a_step * 8 * spec[0] * spec[1] * k->shape.turns * k->groups[0] * k->groups[1];
        return;
    }
    const uint32_t turn_bytes = spec[1] * (spec[2] == UNIFORM  ? VECTOR
                                           : spec[2] == ACROSS ? 4 * spec[0]
                                                               : VECTOR * spec[0]);
    const uint64_t group_bytes = (uint64_t)turn_bytes * k->shape.turns;
    const uint64_t bytes = k->size < k->again ? k->again : bound_bytes(k);
    gab_grid_fold(bytes / group_bytes, k->groups);
    k->amount = (double)(k->n_set * bytes);
}

/* "64 lanes, 4 loads" */
static void describe(const kernel *k, char *text, size_t size_max) {
    const uint32_t *spec = k->shape.spec;
    const gab_matrix_shape *m = &k->matrix;
    if (is_matrix(k))
        snprintf(text, size_max, "%ux%ux%u, %u lanes, %u sums", m->m, m->n, m->k, spec[0], spec[1]);
    else if (k->code->weight > 0)
        snprintf(text, size_max, "%u lanes, %u vectors of 4", spec[0], spec[1]);
    else
        snprintf(text, size_max, "%u lanes, %u loads%s", spec[0], spec[1],
                 spec[2] == UNIFORM  ? ", uniform"
                 : spec[2] == ACROSS ? ", across"
                                     : "");
}

static bench_ceiling rate_of(const kernel *k, const bench_time *time) {
    bench_ceiling c = {.id = k->id,
                       .name = kinds[k->id].name,
                       .unit = kinds[k->id].unit,
                       .bytes = k->code->weight > 0 ? 0 : k->size,
                       .value = k->amount / time->ms * 1e-6,
                       .least = k->amount / time->most * 1e-6,
                       .most = k->amount / time->least * 1e-6};
    describe(k, c.shape, sizeof c.shape);
    return c;
}

/* value 0: the device cannot. */
static gab_status measure_shape(gab_vk *vk, const bench_pool *pool, bench_ceiling_id id, uint64_t bytes, const shape *s,
                                const gab_matrix_shape *matrix, const bench_ceiling_options *o, bench_ceiling *out) {
    const shader_code *code = kinds[id].arithmetic   ? kinds[id].arithmetic
                              : s->spec[2] == ACROSS ? &read_address_code
                                                     : &read_code;
    kernel k = {.vk = vk, .pool = pool, .id = id, .size = bytes, .code = code, .shape = *s, .matrix = *matrix};
    k.again = o->rough ? CACHED_BYTES : READ_AGAIN_BYTES;
    out->value = 0;
    if (!is_matrix(&k) && (vk->info.kind == GAB_DEVICE_CPU) != (s->spec[0] <= CPU_LANES_MAX)) return GAB_OK;
    if ((vk->features & code->needs) != code->needs) return GAB_OK;
    if (is_matrix(&k)) k.shape.spec[0] *= matrix->lanes;
    if (k.shape.spec[0] > vk->properties.limits.maxComputeWorkGroupInvocations) return GAB_OK;
    gab_status status;
    const bench_work work = {record, &k, o->submit_ms};
    bench_time time;
    const gab_pipeline *like;
    /* any pipeline of two bindings has the layouts we need */
    const gab_pipeline_key key = {.shader = GAB_SHADER_PROBE, .n_binding = 2, .spec = {[GAB_SPEC_LANES] = 64}};
    GAB_TRY_GOTO(gab_pipeline_get(vk->pipelines, &key, &like), error);
    GAB_TRY_GOTO(pipeline_create(&k, like), error);
    GAB_TRY_GOTO(sets_create(&k, like), error);
    size(&k);
    GAB_TRY_GOTO(bench_measure(vk, &work, o->n_run, &time), error);
    *out = rate_of(&k, &time);
error:
    vk->fn.vkDestroyDescriptorPool(vk->device, k.sets, NULL);
    vk->fn.vkDestroyPipeline(vk->device, k.pipeline, NULL);
    vk->fn.vkDestroyShaderModule(vk->device, k.module, NULL);
    return status;
}

/* The best of a kind's shapes, in single runs; n_shape: there is none. */
static gab_status sift(gab_vk *vk, const bench_pool *pool, bench_ceiling_id id, uint64_t bytes,
                       const gab_matrix_shape *matrix, bool rough, size_t *best) {
    const bench_ceiling_options once = {.n_run = 1, .rough = rough, .submit_ms = rough ? 1 : SIFT_MS};
    double value = 0;
    *best = kinds[id].n_shape;
    for (size_t i = 0; i < kinds[id].n_shape; i++) {
        bench_ceiling c = {0};
        GAB_TRY(measure_shape(vk, pool, id, bytes, &kinds[id].shapes[i], matrix, &once, &c));
        if (c.value <= value) continue;
        value = c.value;
        *best = i;
        if (rough) break;
    }
    return GAB_OK;
}

static void add(bench_ceilings *ceilings, const bench_ceiling *c) {
    if (c->value > 0 && ceilings->n < BENCH_CEILING_MAX) ceilings->list[ceilings->n++] = *c;
}

/* ---- reads and copies by size ---- */

static uint32_t sizes_of(const bench_pool *pool, bool all, uint64_t sizes[16]) {
    uint32_t n = 0;
    for (uint64_t size_now = 64 << 10; size_now <= pool->buffers[0].size && n < 15; size_now *= 4)
        if (all || size_now == CACHED_BYTES) sizes[n++] = size_now;
    if (pool->n_buffer > 1 || n == 0 || sizes[n - 1] < pool->buffers[0].size) sizes[n++] = bench_pool_bytes(pool);
    return n;
}

static gab_status measure_reads(gab_vk *vk, const bench_pool *pool, const bench_ceiling_options *o,
                                bench_ceilings *ceilings) {
    uint64_t sizes[16];
    size_t best[2];
    const uint32_t n = sizes_of(pool, o->sizes, sizes);
    GAB_TRY(sift(vk, pool, BENCH_CEILING_READ, CACHED_BYTES, &vk->matrix, o->rough, &best[0]));
    GAB_TRY(sift(vk, pool, BENCH_CEILING_READ, pool->buffers[0].size, &vk->matrix, o->rough, &best[1]));
    for (uint32_t i = 0; i < n; i++) {
        bench_ceiling better = {0};
        for (int b = sizes[i] <= CACHED_BYTES ? 0 : 1; b >= (i + 1 < n ? 0 : 1); b--) {
            bench_ceiling c = {0};
            if (best[b] == kinds[BENCH_CEILING_READ].n_shape || (b == 0 && better.value > 0 && best[0] == best[1]))
                continue;
            GAB_TRY(measure_shape(vk, pool, BENCH_CEILING_READ, sizes[i], &read_shapes[best[b]], &vk->matrix, o, &c));
            if (c.value > better.value) better = c;
        }
        add(ceilings, &better);
    }
    return GAB_OK;
}

typedef struct copy_work {
    const bench_pool *pool;
    uint64_t bytes; /* from one place to another */
    uint32_t n;     /* times */
} copy_work;

/* From the first half of a buffer to its second, or from buffer to buffer. */
static void record_copy(const void *user, gab_recorder *recorder, uint32_t i) {
    const copy_work *c = user;
    const VkBufferCopy region = {0, 0, c->bytes};
    for (uint32_t k = 0; k < c->n; k++) {
        const gab_buffer *from = &c->pool->buffers[(i + k) % c->pool->n_buffer];
        if (k > 0) gab_record_barrier(recorder);
        gab_record_copy(recorder, gab_buffer_slice(from, 0, c->bytes), gab_buffer_slice(from, from->size / 2, c->bytes),
                        &region, 1);
    }
}

static gab_status measure_copies(gab_vk *vk, const bench_pool *pool, const bench_ceiling_options *o,
                                 bench_ceilings *ceilings) {
    enum { AGAIN_MAX = 256 };
    uint64_t sizes[16];
    const uint64_t most = pool->buffers[0].size / 2;
    uint64_t last = 0;
    const uint32_t n = sizes_of(pool, o->sizes, sizes);
    for (uint32_t i = 0; i < n; i++) {
        copy_work copy = {.pool = pool, .bytes = sizes[i] < most ? sizes[i] : most};
        const bench_work work = {record_copy, &copy, o->submit_ms};
        bench_time time;
        if (copy.bytes == last) break;
        last = copy.bytes;
        copy.n = (uint32_t)((o->rough ? CACHED_BYTES : READ_AGAIN_BYTES) / copy.bytes);
        if (copy.n < 1) copy.n = 1;
        if (copy.n > AGAIN_MAX) copy.n = AGAIN_MAX;
        GAB_TRY(bench_measure(vk, &work, o->n_run, &time));
        const double amount = 2.0 * (double)copy.bytes * copy.n * 1e-6;
        const bench_ceiling c = {.id = BENCH_CEILING_COPY,
                                 .name = kinds[BENCH_CEILING_COPY].name,
                                 .unit = "GB/s",
                                 .bytes = copy.bytes,
                                 .value = amount / time.ms,
                                 .least = amount / time.most,
                                 .most = amount / time.least};
        add(ceilings, &c);
    }
    return GAB_OK;
}

/* As weights are uploaded: written by the host into mapped memory, or through staging. */
static gab_status measure_upload(gab_vk *vk, const bench_pool *pool, uint32_t n_run, bench_ceilings *ceilings) {
    enum { UPLOAD_BYTES = 16 << 20 };
    double ms[BENCH_RUN_MAX];
    const gab_buffer *to = &pool->buffers[0];
    const uint64_t n = to->size < UPLOAD_BYTES ? to->size : UPLOAD_BYTES;
    void *bytes = malloc(n);
    gab_status status = bytes ? GAB_OK : gab_fail(&vk->log, GAB_ERROR_HOST_MEMORY, "out of host memory");
    if (bytes) memset(bytes, BENCH_POOL_BYTE, n);
    if (status == GAB_OK) status = gab_slice_write(vk, gab_buffer_all(to), 0, bytes, n);
    for (uint32_t i = 0; status == GAB_OK && i < n_run; i++) {
        const uint64_t start = gab_time_ns();
        status = gab_slice_write(vk, gab_buffer_all(to), 0, bytes, n);
        ms[i] = gab_time_ms_since(start);
    }
    free(bytes);
    if (status != GAB_OK) return status;
    const bench_time time = bench_time_of(ms, n_run, 1);
    const bench_ceiling c = {.id = BENCH_CEILING_UPLOAD,
                             .name = kinds[BENCH_CEILING_UPLOAD].name,
                             .unit = "GB/s",
                             .bytes = n,
                             .value = (double)n / time.ms * 1e-6,
                             .least = (double)n / time.most * 1e-6,
                             .most = (double)n / time.least * 1e-6};
    add(ceilings, &c);
    return GAB_OK;
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

static void record_nothing(const void *user, gab_recorder *recorder, uint32_t i) {
    (void)user, (void)recorder, (void)i; /* the barrier behind it is what is measured */
}

static void add_latency(bench_ceilings *ceilings, bench_ceiling_id id, const bench_time *time) {
    const bench_ceiling c = {.id = id,
                             .name = kinds[id].name,
                             .unit = kinds[id].unit,
                             .value = time->ms * 1e3,
                             .least = time->least * 1e3,
                             .most = time->most * 1e3};
    add(ceilings, &c);
}

static gab_status measure_latencies(gab_vk *vk, const bench_ceiling_options *o, bench_ceilings *ceilings) {
    gab_status status;
    gab_buffer buffer = {0};
    const bench_work dispatch = {record_dispatch, &buffer, o->submit_ms},
                     barrier = {record_nothing, NULL, o->submit_ms};
    bench_time time;
    GAB_TRY_GOTO(gab_buffer_create(vk, GAB_MEMORY_DEVICE, GAB_SLICE_ALIGN, "benchmark data", &buffer), error);
    GAB_TRY_GOTO(bench_measure(vk, &dispatch, o->n_run, &time), error);
    add_latency(ceilings, BENCH_CEILING_DISPATCH, &time);
    GAB_TRY_GOTO(bench_measure(vk, &barrier, o->n_run, &time), error);
    add_latency(ceilings, BENCH_CEILING_BARRIER, &time);
    GAB_TRY_GOTO(bench_measure_submit(vk, o->n_run, &time), error);
    add_latency(ceilings, BENCH_CEILING_SUBMIT, &time);
error:
    gab_buffer_destroy(vk, &buffer);
    return status;
}

/* ---- all of it ---- */

static gab_status measure_arithmetic(gab_vk *vk, const bench_pool *pool, bench_ceiling_id id,
                                     const bench_ceiling_options *o, bench_ceilings *ceilings) {
    gab_matrix_shape shapes[GAB_MATRIX_SHAPE_MAX] = {vk->matrix};
    const uint32_t n = id == BENCH_CEILING_MATRIX ? gab_matrix_shapes(vk, shapes) : 1;
    for (uint32_t i = 0; i < n; i++) {
        bench_ceiling c = {0};
        size_t best;
        GAB_TRY(sift(vk, pool, id, 0, &shapes[i], o->rough, &best));
        if (best == kinds[id].n_shape) continue;
        GAB_TRY(measure_shape(vk, pool, id, 0, &kinds[id].shapes[best], &shapes[i], o, &c));
        add(ceilings, &c);
    }
    return GAB_OK;
}

gab_status bench_ceilings_measure(gab_vk *vk, const bench_pool *pool, const bench_ceiling_options *o,
                                  bench_ceilings *ceilings) {
    ceilings->n = 0;
    for (int i = 0; i < BENCH_CEILING_COUNT; i++) {
        const bench_ceiling_id id = (bench_ceiling_id)i;
        char stage[64];
        const uint64_t start = gab_time_ns();
        snprintf(stage, sizeof stage, "limits: %s", kinds[i].name);
        if (o->progress) o->progress(o->progress_user, stage, (uint64_t)i, BENCH_CEILING_COUNT);
        if (id == BENCH_CEILING_READ) GAB_TRY(measure_reads(vk, pool, o, ceilings));
        if (id == BENCH_CEILING_COPY) GAB_TRY(measure_copies(vk, pool, o, ceilings));
        if (id == BENCH_CEILING_UPLOAD) GAB_TRY(measure_upload(vk, pool, o->n_run, ceilings));
        if (kinds[i].arithmetic) GAB_TRY(measure_arithmetic(vk, pool, id, o, ceilings));
        gab_log_print(&vk->log, GAB_LOG_DEBUG, "%s: %.0f ms", stage, gab_time_ms_since(start));
    }
    return measure_latencies(vk, o, ceilings);
}

double bench_ceiling_of(const bench_ceilings *ceilings, bench_ceiling_id id, uint64_t bytes) {
    double value = 0;
    for (uint32_t i = 0; i < ceilings->n; i++) {
        const bench_ceiling *c = &ceilings->list[i];
        if (c->id != id) continue;
        if (c->bytes > 0 || c->value > value) value = c->value;
        if (c->bytes > 0 && c->bytes >= bytes) break;
    }
    return value;
}

gab_status bench_ceiling_again(gab_vk *vk, const bench_pool *pool, const bench_ceilings *ceilings,
                               const bench_ceiling_options *o, double *gflop_s) {
    *gflop_s = 0;
    for (uint32_t i = 0; i < ceilings->n; i++) {
        const bench_ceiling *c = &ceilings->list[i];
        if (c->id != BENCH_CEILING_F32) continue;
        for (size_t s = 0; s < kinds[c->id].n_shape; s++) {
            bench_ceiling now = {0};
            kernel k = {.id = c->id, .code = &f32_code, .shape = arithmetic_shapes[s]};
            describe(&k, now.shape, sizeof now.shape);
            if (strcmp(now.shape, c->shape) != 0) continue;
            GAB_TRY(measure_shape(vk, pool, c->id, 0, &arithmetic_shapes[s], &vk->matrix, o, &now));
            *gflop_s = now.value;
        }
    }
    return GAB_OK;
}
