#include "vk/pipeline.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/threads.h"
#include "base/time.h"
#include "vk/commands.h"

enum { CACHE_BYTES_MAX = 64 * 1024 * 1024 };

typedef struct cache_header {
    char magic[8];
    uint8_t driver_uuid[VK_UUID_SIZE];
    uint32_t vendor, device;
    uint64_t bytes;
    uint64_t checksum;
} cache_header;

typedef struct pipeline_node {
    gab_pipeline pipeline;
    struct pipeline_node *next;
} pipeline_node;

struct gab_pipeline_store {
    gab_vk *vk;
    gab_mutex lock;
    pipeline_node *first, *last; /* in the order of request; nodes never move */
    uint32_t n;
    VkPipelineCache cache;
    bool cache_changed;
    bool cache_warned;        /* that the file cannot be used: said once */
    cache_header cache_found; /* of the file that was read; all zero: none */
    VkShaderModule modules[GAB_SHADER_COUNT];
    VkDescriptorSetLayout set_layouts[GAB_BINDING_MAX + 1]; /* by number of bindings */
    VkPipelineLayout layouts[GAB_BINDING_MAX + 1];
};

/* ---- the file ---- */

static cache_header header_of(const gab_vk *vk, const void *data, size_t n) {
    cache_header header = {.magic = {'G', 'A', 'B', 'P', 'I', 'P', 'E', '1'},
                           .vendor = vk->properties.vendorID,
                           .device = vk->properties.deviceID,
                           .bytes = n,
                           .checksum = gab_hash_bytes(GAB_HASH_START, data, n)};
    memcpy(header.driver_uuid, vk->driver_uuid, VK_UUID_SIZE);
    return header;
}

/* One a device and driver: cards of one driver would take each other's for damaged. */
static bool cache_path(const gab_vk *vk, char *path, size_t size) {
    char stem[64];
    snprintf(stem, sizeof stem, "pipelines-%s", vk->info.uuid);
    return gab_vk_cache_path(vk, stem, ".bin", path, size);
}

/* The driver's part of the cache file, or NULL. */
static char *cache_read(gab_pipeline_store *store, size_t *n) {
    const gab_vk *vk = store->vk;
    char path[4096];
    char *file = NULL;
    size_t size = 0;
    if (!cache_path(vk, path, sizeof path)) return NULL;
    FILE *exists = fopen(path, "rb");
    if (!exists) {
        if (errno != ENOENT) {
            store->cache_warned = true;
            gab_log_print(&vk->log, GAB_LOG_WARNING, "pipeline cache %s cannot be read (%s): compiling again", path,
                          strerror(errno));
        }
        return NULL;
    }
    fclose(exists);
    const gab_log silent = {0};
    if (gab_file_read_all(path, CACHE_BYTES_MAX, &silent, &file, &size) != GAB_OK) {
        store->cache_warned = true;
        gab_log_print(&vk->log, GAB_LOG_WARNING, "pipeline cache %s cannot be read: compiling again", path);
        return NULL;
    }
    cache_header header;
    if (size >= sizeof header) memcpy(&header, file, sizeof header);
    cache_header expected = header_of(vk, file + sizeof header, size >= sizeof header ? size - sizeof header : 0);
    if (size < sizeof header || memcmp(&header, &expected, sizeof header) != 0) {
        gab_log_print(&vk->log, GAB_LOG_WARNING, "pipeline cache %s is damaged or from another driver: compiling again",
                      path);
        free(file);
        return NULL;
    }
    *n = size - sizeof header;
    memmove(file, file + sizeof header, *n);
    store->cache_found = header;
    return file;
}

static void cache_save(const gab_pipeline_store *store, const char *file, size_t n) {
    const gab_log *log = &store->vk->log;
    char path[4096];
    if (!cache_path(store->vk, path, sizeof path))
        gab_log_print(log, GAB_LOG_WARNING,
                      "no cache folder can be made (%s; XDG_CACHE_HOME or HOME says where): pipelines are compiled at "
                      "every start",
                      strerror(errno));
    else if (!gab_file_write_all(path, file, n) && !store->cache_warned)
        gab_log_print(log, GAB_LOG_WARNING,
                      "pipeline cache %s cannot be written (%s): pipelines are compiled at every start", path,
                      strerror(errno));
}

static void cache_write(gab_pipeline_store *store) {
    gab_vk *vk = store->vk;
    size_t n = 0;
    if (!store->cache_changed || !vk->executes) return;
    if (vk->fn.vkGetPipelineCacheData(vk->device, store->cache, &n, NULL) != VK_SUCCESS || n > CACHE_BYTES_MAX) return;
    char *file = malloc(sizeof(cache_header) + n);
    if (file &&
        vk->fn.vkGetPipelineCacheData(vk->device, store->cache, &n, file + sizeof(cache_header)) == VK_SUCCESS) {
        const cache_header header = header_of(vk, file + sizeof header, n); /* with size and sum */
        memcpy(file, &header, sizeof header);
        if (memcmp(&header, &store->cache_found, sizeof header) != 0) cache_save(store, file, sizeof header + n);
    }
    free(file);
}

/* ---- the store ---- */

gab_status gab_pipeline_store_create(gab_vk *vk, gab_pipeline_store **out) {
    size_t n = 0;
    gab_pipeline_store *store = calloc(1, sizeof *store);
    if (!store) return gab_fail(&vk->log, GAB_ERROR_HOST_MEMORY, "out of host memory");
    store->vk = vk;
    pthread_mutex_init(&store->lock, NULL);
    *out = store;
    char *data = cache_read(store, &n);
    /* A header alone holds no pipeline; SwiftShader would put its own behind it, one more at every start. */
    if (n <= sizeof(VkPipelineCacheHeaderVersionOne)) n = 0;
    VkPipelineCacheCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO, .initialDataSize = n, .pInitialData = data};
    VkResult result = vk->fn.vkCreatePipelineCache(vk->device, &info, NULL, &store->cache);
    free(data);
    return result == VK_SUCCESS ? GAB_OK : gab_vk_error(vk, result, "vkCreatePipelineCache");
}

void gab_pipeline_store_destroy(gab_pipeline_store **pstore) {
    if (!*pstore) return;
    gab_pipeline_store *store = *pstore;
    gab_vk *vk = store->vk;
    if (store->cache) cache_write(store);
    while (store->first) {
        pipeline_node *next = store->first->next;
        vk->fn.vkDestroyPipeline(vk->device, store->first->pipeline.pipeline, NULL);
        free(store->first);
        store->first = next;
    }
    for (int i = 0; i < GAB_SHADER_COUNT; i++) vk->fn.vkDestroyShaderModule(vk->device, store->modules[i], NULL);
    for (int i = 0; i <= GAB_BINDING_MAX; i++) {
        vk->fn.vkDestroyPipelineLayout(vk->device, store->layouts[i], NULL);
        vk->fn.vkDestroyDescriptorSetLayout(vk->device, store->set_layouts[i], NULL);
    }
    vk->fn.vkDestroyPipelineCache(vk->device, store->cache, NULL);
    pthread_mutex_destroy(&store->lock);
    free(store);
    *pstore = NULL;
}

/* The layouts for n storage buffers, made at first use; under the lock. */
static gab_status layouts_get(gab_pipeline_store *store, uint32_t n) {
    gab_vk *vk = store->vk;
    VkDescriptorSetLayoutBinding bindings[GAB_BINDING_MAX];
    if (store->layouts[n]) return GAB_OK;
    for (uint32_t i = 0; i < n; i++)
        bindings[i] = (VkDescriptorSetLayoutBinding){.binding = i,
                                                     .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                                     .descriptorCount = 1,
                                                     .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT};
    VkDescriptorSetLayoutCreateInfo set = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO, .bindingCount = n, .pBindings = bindings};
    VkPushConstantRange push = {.stageFlags = VK_SHADER_STAGE_COMPUTE_BIT, .size = GAB_PUSH_MAX};
    VkPipelineLayoutCreateInfo layout = {.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
                                         .setLayoutCount = 1,
                                         .pSetLayouts = &store->set_layouts[n],
                                         .pushConstantRangeCount = 1,
                                         .pPushConstantRanges = &push};
    if (!store->set_layouts[n])
        GAB_VK_TRY(vk, vk->fn.vkCreateDescriptorSetLayout(vk->device, &set, NULL, &store->set_layouts[n]));
    GAB_VK_TRY(vk, vk->fn.vkCreatePipelineLayout(vk->device, &layout, NULL, &store->layouts[n]));
    return GAB_OK;
}

static gab_status module_get(gab_pipeline_store *store, gab_shader_id shader) {
    gab_vk *vk = store->vk;
    VkShaderModuleCreateInfo info = {.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
                                     .codeSize = gab_shaders[shader].bytes,
                                     .pCode = gab_shaders[shader].code};
    if (!store->modules[shader])
        GAB_VK_TRY(vk, vk->fn.vkCreateShaderModule(vk->device, &info, NULL, &store->modules[shader]));
    return GAB_OK;
}

/* The node of a key, made if missing, with module and layouts ready; under the lock. */
static gab_status node_get(gab_pipeline_store *store, const gab_pipeline_key *key, pipeline_node **out) {
    for (pipeline_node *node = store->first; node; node = node->next)
        if (memcmp(&node->pipeline.key, key, sizeof *key) == 0) {
            *out = node;
            return GAB_OK;
        }
    GAB_TRY(layouts_get(store, key->n_binding));
    GAB_TRY(module_get(store, key->shader));
    pipeline_node *node = calloc(1, sizeof *node);
    if (!node) return gab_fail(&store->vk->log, GAB_ERROR_HOST_MEMORY, "out of host memory");
    node->pipeline.key = *key;
    node->pipeline.layout = store->layouts[key->n_binding];
    node->pipeline.set_layout = store->set_layouts[key->n_binding];
    if (store->last)
        store->last->next = node;
    else
        store->first = node;
    store->last = node;
    store->n++;
    *out = node;
    return GAB_OK;
}

/* Compiles one; different nodes may be compiled at once. */
static gab_status compile(gab_pipeline_store *store, gab_pipeline *pipeline) {
    gab_vk *vk = store->vk;
    const gab_pipeline_key *key = &pipeline->key;
    VkSpecializationMapEntry entries[GAB_SPEC_COUNT];
    for (uint32_t i = 0; i < GAB_SPEC_COUNT; i++)
        entries[i] = (VkSpecializationMapEntry){.constantID = i, .offset = 4 * i, .size = 4};
    uint32_t values[GAB_SPEC_COUNT];
    memcpy(values, key->spec, sizeof values);
    values[GAB_SPEC_F16_FLUSHED] = vk->f16_flushed;
    VkSpecializationInfo spec = {
        .mapEntryCount = GAB_SPEC_COUNT, .pMapEntries = entries, .dataSize = sizeof values, .pData = values};
    const VkPipelineShaderStageRequiredSubgroupSizeCreateInfo subgroup = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO,
        .requiredSubgroupSize = key->subgroup};
    VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .flags = VK_PIPELINE_CREATE_DISPATCH_BASE |
                 (vk->has_pipeline_statistics ? VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR : 0),
        .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                  .pNext = key->subgroup ? &subgroup : NULL,
                  .flags = key->subgroup ? VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT : 0,
                  .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                  .module = store->modules[key->shader],
                  .pName = "main",
                  .pSpecializationInfo = &spec},
        .layout = pipeline->layout};
    VkPipeline result = VK_NULL_HANDLE;
    char text[160];
    const uint64_t start = gab_time_ns();
    gab_pipeline_describe(key, text, sizeof text);
    VkResult ok = vk->fn.vkCreateComputePipelines(vk->device, store->cache, 1, &info, NULL, &result);
    pipeline->failed = ok != VK_SUCCESS;
    if (ok == VK_ERROR_DEVICE_LOST || ok == VK_ERROR_OUT_OF_HOST_MEMORY || ok == VK_ERROR_OUT_OF_DEVICE_MEMORY)
        return gab_vk_error(vk, ok, "vkCreateComputePipelines"); /* says nothing about the kernel */
    if (ok != VK_SUCCESS) {
        return gab_fail(&vk->log, GAB_ERROR_VULKAN, "%s cannot compile the kernel %s (VkResult %d): update its driver",
                        vk->info.name, text, ok);
    }
    gab_log_print(&vk->log, GAB_LOG_DEBUG, "compiled %s in %.0f ms", text, gab_time_ms_since(start));
    pipeline->pipeline = result;
    return GAB_OK;
}

gab_status gab_pipeline_request(gab_pipeline_store *store, const gab_pipeline_key *key) {
    pipeline_node *node;
    pthread_mutex_lock(&store->lock);
    gab_status status = node_get(store, key, &node);
    pthread_mutex_unlock(&store->lock);
    return status;
}

typedef struct compile_batch {
    gab_pipeline_store *store;
    gab_pipeline **list;
    gab_status *status;
} compile_batch;

static bool compile_one(void *user, size_t i) {
    compile_batch *batch = user;
    batch->status[i] = compile(batch->store, batch->list[i]);
    return true;
}

gab_status gab_pipeline_compile_requested(gab_pipeline_store *store) {
    gab_status result = GAB_OK;
    size_t n = 0;
    pthread_mutex_lock(&store->lock);
    gab_pipeline **list = calloc(store->n + 1u, sizeof *list);
    gab_status *status = calloc(store->n + 1u, sizeof *status);
    if (!list || !status) {
        result = gab_fail(&store->vk->log, GAB_ERROR_HOST_MEMORY, "out of host memory");
    } else {
        for (pipeline_node *node = store->first; node; node = node->next)
            if (!node->pipeline.pipeline && !node->pipeline.failed) list[n++] = &node->pipeline;
        compile_batch batch = {store, list, status};
        if (n > 0) store->cache_changed = true;
        gab_parallel_for(n, 0, compile_one, &batch);
        for (size_t i = 0; i < n && result == GAB_OK; i++) result = status[i];
    }
    pthread_mutex_unlock(&store->lock);
    free(list);
    free(status);
    return result;
}

gab_status gab_pipeline_get(gab_pipeline_store *store, const gab_pipeline_key *key, const gab_pipeline **pipeline) {
    pipeline_node *node = NULL;
    pthread_mutex_lock(&store->lock);
    gab_status status = node_get(store, key, &node);
    if (status == GAB_OK && !node->pipeline.pipeline) {
        store->cache_changed = true;
        status = compile(store, &node->pipeline);
    }
    pthread_mutex_unlock(&store->lock);
    if (status == GAB_OK) *pipeline = &node->pipeline;
    return status;
}

gab_status gab_pipeline_compile_again(gab_pipeline_store *store, uint32_t *n, double *ms) {
    gab_status status = GAB_OK;
    pthread_mutex_lock(&store->lock);
    const VkPipelineCache cache = store->cache;
    const uint64_t start = gab_time_ns();
    store->cache = VK_NULL_HANDLE;
    *n = 0;
    for (pipeline_node *node = store->first; node && status == GAB_OK; node = node->next) {
        gab_pipeline again = node->pipeline;
        if (!again.pipeline) continue;
        status = compile(store, &again);
        if (status == GAB_OK) store->vk->fn.vkDestroyPipeline(store->vk->device, again.pipeline, NULL);
        ++*n;
    }
    store->cache = cache;
    *ms = gab_time_ms_since(start);
    pthread_mutex_unlock(&store->lock);
    return status;
}

void gab_pipeline_key_use_matrix(gab_pipeline_key *key, const gab_matrix_shape *shape) {
    key->subgroup = shape->lanes;
    key->spec[GAB_SPEC_M] = shape->m;
    key->spec[GAB_SPEC_N] = shape->n;
    key->spec[GAB_SPEC_K] = shape->k;
}

uint32_t gab_pipeline_count(const gab_pipeline_store *store) {
    return store->n;
}

const gab_pipeline *gab_pipeline_at(const gab_pipeline_store *store, uint32_t i) {
    const pipeline_node *node = store->first;
    while (node && i-- > 0) node = node->next;
    return node ? &node->pipeline : NULL;
}

void gab_pipeline_describe(const gab_pipeline_key *key, char *text, size_t size) {
    static const char *const names[] = {"lanes", "rows",   "cols",     "head_dim",  "kv_f16", "decode",     "m",
                                        "n",     "k",      "kv_store", "subgroups", "depth",  "rope",       "gated",
                                        "norm",  "window", "softcap",  "experts",   "sinks",  "f16_flushed"};
    _Static_assert(sizeof names / sizeof *names == GAB_SPEC_COUNT, "a name for each constant");
    int at = snprintf(text, size, "%s", gab_shaders[key->shader].name);
    for (int i = 0; i < GAB_SPEC_COUNT; i++)
        if (key->spec[i] && at > 0 && (size_t)at < size)
            at += snprintf(text + at, size - (size_t)at, " %s=%u", names[i], key->spec[i]);
}
