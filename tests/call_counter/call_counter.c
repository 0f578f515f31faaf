/*
 * call_counter.c - a Vulkan layer for tests: counts the calls that a program makes while it generates, loses a
 * device and spoils a shader on demand. Functions beyond Vulkan's: see call_counter.h.
 *
 * Reference: Vulkan-Loader, docs/LoaderLayerInterface.md, interface version 2. A dispatchable handle points to its
 * dispatch table, which a device shares with its queues and command buffers: that pointer is the key to what is kept of
 * a device.
 */
#include "call_counter.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <vulkan/vk_layer.h>
#include <vulkan/vulkan.h>

/* ---- what is counted ----
 *
 * X(name, parameters, arguments, handle): functions that return a VkResult; V the same, without a result. */
#define COUNTED_RESULTS(X)                                                                                             \
    X(vkBeginCommandBuffer, (VkCommandBuffer a, const VkCommandBufferBeginInfo *b), (a, b))                            \
    X(vkAllocateCommandBuffers, (VkDevice a, const VkCommandBufferAllocateInfo *b, VkCommandBuffer *c), (a, b, c))     \
    X(vkAllocateDescriptorSets, (VkDevice a, const VkDescriptorSetAllocateInfo *b, VkDescriptorSet *c), (a, b, c))     \
    X(vkAllocateMemory,                                                                                                \
      (VkDevice a, const VkMemoryAllocateInfo *b, const VkAllocationCallbacks *c, VkDeviceMemory *d), (a, b, c, d))    \
    X(vkMapMemory, (VkDevice a, VkDeviceMemory b, VkDeviceSize c, VkDeviceSize d, VkMemoryMapFlags e, void **f),       \
      (a, b, c, d, e, f))                                                                                              \
    X(vkCreateBuffer, (VkDevice a, const VkBufferCreateInfo *b, const VkAllocationCallbacks *c, VkBuffer *d),          \
      (a, b, c, d))                                                                                                    \
    X(vkCreateComputePipelines,                                                                                        \
      (VkDevice a, VkPipelineCache b, uint32_t c, const VkComputePipelineCreateInfo *d,                                \
       const VkAllocationCallbacks *e, VkPipeline *f),                                                                 \
      (a, b, c, d, e, f))
#define COUNTED_VOIDS(X)                                                                                               \
    X(vkCmdDispatch, (VkCommandBuffer a, uint32_t b, uint32_t c, uint32_t d), (a, b, c, d))                            \
    X(vkCmdDispatchBase, (VkCommandBuffer a, uint32_t b, uint32_t c, uint32_t d, uint32_t e, uint32_t f, uint32_t g),  \
      (a, b, c, d, e, f, g))                                                                                           \
    X(vkCmdDispatchIndirect, (VkCommandBuffer a, VkBuffer b, VkDeviceSize c), (a, b, c))                               \
    X(vkUpdateDescriptorSets,                                                                                          \
      (VkDevice a, uint32_t b, const VkWriteDescriptorSet *c, uint32_t d, const VkCopyDescriptorSet *e),               \
      (a, b, c, d, e))
/* These fail on a lost device. */
#define COUNTED_LOSABLE(X)                                                                                             \
    X(vkQueueSubmit, (VkQueue a, uint32_t b, const VkSubmitInfo *c, VkFence d), (a, b, c, d))                          \
    X(vkQueueSubmit2, (VkQueue a, uint32_t b, const VkSubmitInfo2 *c, VkFence d), (a, b, c, d))                        \
    X(vkWaitSemaphores, (VkDevice a, const VkSemaphoreWaitInfo *b, uint64_t c), (a, b, c))                             \
    X(vkWaitForFences, (VkDevice a, uint32_t b, const VkFence *c, VkBool32 d, uint64_t e), (a, b, c, d, e))

#define ENUM_OF(name, parameters, arguments) CALL_##name,
enum call { COUNTED_RESULTS(ENUM_OF) COUNTED_VOIDS(ENUM_OF) COUNTED_LOSABLE(ENUM_OF) CALL_COUNT };
#define NAME_OF(name, parameters, arguments) #name,
static const char *const names[CALL_COUNT] = {COUNTED_RESULTS(NAME_OF) COUNTED_VOIDS(NAME_OF) COUNTED_LOSABLE(NAME_OF)};
static atomic_uint_least64_t counts[CALL_COUNT];
static atomic_uint_least64_t submits_left; /* until one is lost; 0: none */

__attribute__((visibility("default"))) uint64_t gab_call_counter_get(const char *name) {
    for (int i = 0; i < CALL_COUNT; i++)
        if (strcmp(names[i], name) == 0) return counts[i];
    return UINT64_MAX;
}

static atomic_uint_least64_t n_spoilt;

__attribute__((visibility("default"))) uint64_t gab_call_counter_spoilt(void) {
    return n_spoilt;
}

__attribute__((visibility("default"))) void gab_call_counter_lose_device_at(uint64_t submit) {
    submits_left = submit;
}

/* ---- instances and devices ---- */

typedef struct object {
    void *key;
    VkInstance instance;                    /* of an instance */
    PFN_vkDestroyInstance destroy_instance; /* asked for at once: later the loader answers with the head of the chain */
    PFN_vkGetInstanceProcAddr next_of_instance;
    PFN_vkGetDeviceProcAddr next_of_device; /* NULL for an instance */
    PFN_vkVoidFunction next[CALL_COUNT];
    atomic_bool lost;
    struct object *rest;
} object;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static object *objects;

static void *key_of(const void *handle) {
    return *(void *const *)handle;
}

static object *object_of(const void *handle) {
    pthread_mutex_lock(&lock);
    object *o = objects;
    while (o && o->key != key_of(handle)) o = o->rest;
    pthread_mutex_unlock(&lock);
    return o;
}

static object *object_add(const void *handle) {
    object *o = calloc(1, sizeof *o);
    if (!o) return NULL;
    o->key = key_of(handle);
    pthread_mutex_lock(&lock);
    o->rest = objects;
    objects = o;
    pthread_mutex_unlock(&lock);
    return o;
}

static void object_remove(object *o) {
    pthread_mutex_lock(&lock);
    object **at = &objects;
    while (*at != o) at = &(*at)->rest;
    *at = o->rest;
    pthread_mutex_unlock(&lock);
    free(o);
}

static VKAPI_ATTR VkResult VKAPI_CALL create_instance(const VkInstanceCreateInfo *info,
                                                      const VkAllocationCallbacks *allocator, VkInstance *instance) {
    VkLayerInstanceCreateInfo *link = (VkLayerInstanceCreateInfo *)info->pNext;
    while (link &&
           !(link->sType == VK_STRUCTURE_TYPE_LOADER_INSTANCE_CREATE_INFO && link->function == VK_LAYER_LINK_INFO))
        link = (VkLayerInstanceCreateInfo *)link->pNext;
    if (!link) return VK_ERROR_INITIALIZATION_FAILED;
    PFN_vkGetInstanceProcAddr next = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
    link->u.pLayerInfo = link->u.pLayerInfo->pNext;
    PFN_vkCreateInstance create = (PFN_vkCreateInstance)next(NULL, "vkCreateInstance");
    VkResult result = create(info, allocator, instance);
    if (result != VK_SUCCESS) return result;
    object *o = object_add(*instance);
    if (!o) return VK_ERROR_OUT_OF_HOST_MEMORY;
    o->instance = *instance;
    o->next_of_instance = next;
    o->destroy_instance = (PFN_vkDestroyInstance)next(*instance, "vkDestroyInstance");
    return VK_SUCCESS;
}

static VKAPI_ATTR void VKAPI_CALL destroy_instance(VkInstance instance, const VkAllocationCallbacks *allocator) {
    if (!instance) return;
    object *o = object_of(instance);
    PFN_vkDestroyInstance destroy = o->destroy_instance;
    object_remove(o);
    destroy(instance, allocator);
}

static VKAPI_ATTR VkResult VKAPI_CALL create_device(VkPhysicalDevice physical, const VkDeviceCreateInfo *info,
                                                    const VkAllocationCallbacks *allocator, VkDevice *device) {
    VkLayerDeviceCreateInfo *link = (VkLayerDeviceCreateInfo *)info->pNext;
    while (link &&
           !(link->sType == VK_STRUCTURE_TYPE_LOADER_DEVICE_CREATE_INFO && link->function == VK_LAYER_LINK_INFO))
        link = (VkLayerDeviceCreateInfo *)link->pNext;
    if (!link) return VK_ERROR_INITIALIZATION_FAILED;
    PFN_vkGetInstanceProcAddr next_of_instance = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
    PFN_vkGetDeviceProcAddr next = link->u.pLayerInfo->pfnNextGetDeviceProcAddr;
    link->u.pLayerInfo = link->u.pLayerInfo->pNext;
    object *parent = object_of(physical);
    PFN_vkCreateDevice create = (PFN_vkCreateDevice)next_of_instance(parent->instance, "vkCreateDevice");
    VkResult result = create(physical, info, allocator, device);
    if (result != VK_SUCCESS) return result;
    object *o = object_add(*device);
    if (!o) return VK_ERROR_OUT_OF_HOST_MEMORY;
    o->next_of_device = next;
    for (int i = 0; i < CALL_COUNT; i++) o->next[i] = next(*device, names[i]);
    return VK_SUCCESS;
}

static VKAPI_ATTR void VKAPI_CALL destroy_device(VkDevice device, const VkAllocationCallbacks *allocator) {
    if (!device) return;
    object *o = object_of(device);
    PFN_vkDestroyDevice destroy = (PFN_vkDestroyDevice)o->next_of_device(device, "vkDestroyDevice");
    object_remove(o);
    destroy(device, allocator);
}

/* ---- spoiling a shader (SPIR-V 1.5, sections 2.3 and 3.42; GLSL.std.450) ---- */

/* The other instruction of the same operands that an arithmetic one can be taken for; 0: none. Loops and addresses are
 * left alone, so that what is spoilt ends. */
static uint32_t spoilt_code(uint32_t opcode) {
    static const uint32_t pairs[][2] = {{129, 131}, {131, 129}, {133, 129}, {136, 133}}; /* FAdd, FSub, FMul, FDiv */
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        if (pairs[i][0] == opcode) return pairs[i][1];
    return 0;
}

static uint32_t spoilt_function(uint32_t number) {
    static const uint32_t pairs[][2] = {{50, 46}, {62, 60}, {58, 56}, {27, 31}, {32, 31}, {40, 37}, {37, 40}, {43, 46}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) /* Fma, [un]packHalf2x16, exp, 1/sqrt, max, min, clamp */
        if (pairs[i][0] == number) return pairs[i][1];
    return 0;
}

/* Changes the nth of its instructions that can be, counted modulo how many there are; words: the module. */
static bool spoil(uint32_t *words, size_t n, uint32_t nth) {
    const uint32_t ext_inst = 12;
    for (uint32_t pass = 0, count = 0, seen = 0; pass < 2; pass++) {
        for (size_t at = 5; at < n && words[at] >> 16; at += words[at] >> 16) {
            const uint32_t opcode = words[at] & 0xffff;
            uint32_t *place = opcode == ext_inst ? &words[at + 4] : &words[at];
            const uint32_t other = opcode == ext_inst ? spoilt_function(*place) : spoilt_code(opcode);
            if (other == 0) continue;
            if (pass == 0)
                count++;
            else if (seen++ == nth % count) {
                *place = opcode == ext_inst ? other : (*place & 0xffff0000u) | other;
                return true;
            }
        }
        if (count == 0) return false;
    }
    return false;
}

/* GABBRO_TEST_SPOIL=BYTES:NTH names the module by its size. */
static VKAPI_ATTR VkResult VKAPI_CALL create_shader_module(VkDevice device, const VkShaderModuleCreateInfo *info,
                                                           const VkAllocationCallbacks *allocator,
                                                           VkShaderModule *module) {
    PFN_vkCreateShaderModule next =
        (PFN_vkCreateShaderModule)object_of(device)->next_of_device(device, "vkCreateShaderModule");
    const char *wanted = getenv("GABBRO_TEST_SPOIL");
    VkShaderModuleCreateInfo spoilt = *info;
    char *end = NULL;
    if (!wanted || strtoul(wanted, &end, 10) != info->codeSize || *end != ':')
        return next(device, info, allocator, module);
    uint32_t *words = malloc(info->codeSize);
    if (!words) return VK_ERROR_OUT_OF_HOST_MEMORY;
    memcpy(words, info->pCode, info->codeSize);
    spoilt.pCode = words;
    if (spoil(words, info->codeSize / 4, (uint32_t)strtoul(end + 1, NULL, 10))) atomic_fetch_add(&n_spoilt, 1);
    VkResult result = next(device, &spoilt, allocator, module);
    free(words);
    return result;
}

/* Waits in truth, for the program will destroy what the device may still use. */
static VKAPI_ATTR VkResult VKAPI_CALL device_wait_idle(VkDevice device) {
    object *o = object_of(device);
    VkResult result = ((PFN_vkDeviceWaitIdle)o->next_of_device(device, "vkDeviceWaitIdle"))(device);
    return o->lost ? VK_ERROR_DEVICE_LOST : result;
}

/* ---- the counted functions ---- */

/* Whether this is the submit that loses its device. */
static bool submit_is_lost(int call) {
    if (call != CALL_vkQueueSubmit && call != CALL_vkQueueSubmit2) return false;
    uint_least64_t left = submits_left;
    while (left > 0 && !atomic_compare_exchange_weak(&submits_left, &left, left - 1)) continue;
    return left == 1;
}

#define DEFINE_RESULT(name, parameters, arguments)                                                                     \
    static VKAPI_ATTR VkResult VKAPI_CALL count_##name parameters {                                                    \
        counts[CALL_##name]++;                                                                                         \
        return ((PFN_##name)object_of(a)->next[CALL_##name])arguments;                                                 \
    }
#define DEFINE_VOID(name, parameters, arguments)                                                                       \
    static VKAPI_ATTR void VKAPI_CALL count_##name parameters {                                                        \
        counts[CALL_##name]++;                                                                                         \
        ((PFN_##name)object_of(a)->next[CALL_##name]) arguments;                                                       \
    }
#define DEFINE_LOSABLE(name, parameters, arguments)                                                                    \
    static VKAPI_ATTR VkResult VKAPI_CALL count_##name parameters {                                                    \
        object *o = object_of(a);                                                                                      \
        counts[CALL_##name]++;                                                                                         \
        if (submit_is_lost(CALL_##name)) o->lost = true;                                                               \
        return o->lost ? VK_ERROR_DEVICE_LOST : ((PFN_##name)o->next[CALL_##name])arguments;                           \
    }
COUNTED_RESULTS(DEFINE_RESULT)
COUNTED_VOIDS(DEFINE_VOID)
COUNTED_LOSABLE(DEFINE_LOSABLE)

/* ---- the loader's interface ---- */

static const struct {
    const char *name;
    PFN_vkVoidFunction function;
    bool of_instance;
} intercepted[] = {{"vkCreateInstance", (PFN_vkVoidFunction)create_instance, true},
                   {"vkDestroyInstance", (PFN_vkVoidFunction)destroy_instance, true},
                   {"vkCreateDevice", (PFN_vkVoidFunction)create_device, true},
                   {"vkDestroyDevice", (PFN_vkVoidFunction)destroy_device, false},
                   {"vkCreateShaderModule", (PFN_vkVoidFunction)create_shader_module, false},
                   {"vkDeviceWaitIdle", (PFN_vkVoidFunction)device_wait_idle, false},
#define ENTRY_OF(name, parameters, arguments) {#name, (PFN_vkVoidFunction)count_##name, false},
                   COUNTED_RESULTS(ENTRY_OF) COUNTED_VOIDS(ENTRY_OF) COUNTED_LOSABLE(ENTRY_OF)};

static PFN_vkVoidFunction find(const char *name, bool of_instance) {
    for (size_t i = 0; i < sizeof intercepted / sizeof *intercepted; i++)
        if ((of_instance || !intercepted[i].of_instance) && strcmp(intercepted[i].name, name) == 0)
            return intercepted[i].function;
    return NULL;
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL get_device_proc(VkDevice device, const char *name) {
    PFN_vkVoidFunction next = object_of(device)->next_of_device(device, name), own = find(name, false);
    if (strcmp(name, "vkGetDeviceProcAddr") == 0) return (PFN_vkVoidFunction)get_device_proc;
    return next && own ? own : next;
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL get_instance_proc(VkInstance instance, const char *name) {
    PFN_vkVoidFunction own = find(name, true);
    if (strcmp(name, "vkGetInstanceProcAddr") == 0) return (PFN_vkVoidFunction)get_instance_proc;
    if (strcmp(name, "vkGetDeviceProcAddr") == 0) return (PFN_vkVoidFunction)get_device_proc;
    if (own) return own;
    return instance ? object_of(instance)->next_of_instance(instance, name) : NULL;
}

__attribute__((visibility("default"))) VKAPI_ATTR VkResult VKAPI_CALL
vkNegotiateLoaderLayerInterfaceVersion(VkNegotiateLayerInterface *interface) {
    if (interface->loaderLayerInterfaceVersion < 2) return VK_ERROR_INITIALIZATION_FAILED;
    interface->loaderLayerInterfaceVersion = 2;
    interface->pfnGetInstanceProcAddr = get_instance_proc;
    interface->pfnGetDeviceProcAddr = get_device_proc;
    interface->pfnGetPhysicalDeviceProcAddr = NULL;
    return VK_SUCCESS;
}
