#include "vk/device.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/threads.h"
#include "vk/features.h"
#include "vk/pipeline.h"
#include "vk/probe.h"

enum { DEVICE_MAX = 64 };

/* volk's loader functions are process-wide: opened once, then only read. */
static pthread_once_t loader_once = PTHREAD_ONCE_INIT;
static VkResult loader_result;

static void loader_open(void) {
    loader_result = volkInitialize();
}

static VKAPI_ATTR VkBool32 VKAPI_CALL on_validation(VkDebugUtilsMessageSeverityFlagBitsEXT severity,
                                                    VkDebugUtilsMessageTypeFlagsEXT types,
                                                    const VkDebugUtilsMessengerCallbackDataEXT *data, void *user) {
    gab_vk *vk = user;
    (void)severity, (void)types;
    /* The layer tells of its own set-up, not of what we do (GPU-assisted validation turns on features it needs). */
    if (data->pMessageIdName && strcmp(data->pMessageIdName, "WARNING-Setting-Limit-Adjusted") == 0) {
        gab_log_print(&vk->log, GAB_LOG_DEBUG, "%s", data->pMessage);
        return VK_FALSE;
    }
    atomic_fetch_add(&vk->n_validation, 1);
    gab_log_print(&vk->log, GAB_LOG_ERROR, "validation: %s", data->pMessage);
    return VK_FALSE;
}

gab_status gab_vk_error(const gab_vk *vk, VkResult result, const char *call) {
    if (strncmp(call, "vk->fn.", 7) == 0) call += 7; /* as GAB_VK_TRY spells it */
    int n = (int)strcspn(call, "(");
    switch (result) {
    case VK_ERROR_DEVICE_LOST:
        return gab_fail(&vk->log, GAB_ERROR_DEVICE_LOST,
                        "%s was lost in %.*s: the driver reset it, or a submit ran too long", vk->info.name, n, call);
    case VK_ERROR_OUT_OF_DEVICE_MEMORY:
        return gab_fail(&vk->log, GAB_ERROR_DEVICE_MEMORY,
                        "%s is out of memory in %.*s: close other programs that use it, try a smaller --context or a "
                        "smaller file",
                        vk->info.name, n, call);
    case VK_ERROR_OUT_OF_HOST_MEMORY:
        return gab_fail(&vk->log, GAB_ERROR_HOST_MEMORY, "out of host memory in %.*s", n, call);
    default:
        return gab_fail(&vk->log, GAB_ERROR_VULKAN, "%.*s failed on %s (VkResult %d): update its driver", n, call,
                        vk->info.name, result);
    }
}

static bool has_layer(const char *name) {
    static VkLayerProperties layers[256];
    uint32_t n = sizeof layers / sizeof *layers;
    vkEnumerateInstanceLayerProperties(&n, layers);
    for (uint32_t i = 0; i < n; i++)
        if (strcmp(layers[i].layerName, name) == 0) return true;
    return false;
}

/* Creates vk->instance; with GABBRO_VALIDATE also the layer and its messenger. */
static gab_status instance_create(gab_vk *vk) {
    static const char *const layer_name = "VK_LAYER_KHRONOS_validation";
    static const char *const debug_utils = VK_EXT_DEBUG_UTILS_EXTENSION_NAME;
    const char *validate = getenv("GABBRO_VALIDATE");
    bool on = validate && *validate && strcmp(validate, "0") != 0;

    pthread_once(&loader_once, loader_open);
    if (loader_result != VK_SUCCESS)
        return gab_fail(&vk->log, GAB_ERROR_NO_DEVICE,
                        "no Vulkan loader (libvulkan.so.1): install libvulkan1 and a driver, for example "
                        "mesa-vulkan-drivers");
    if (volkGetInstanceVersion() < VK_API_VERSION_1_2)
        return gab_fail(&vk->log, GAB_ERROR_NO_DEVICE,
                        "the Vulkan loader knows only Vulkan 1.%u, needed is 1.2: update it",
                        VK_API_VERSION_MINOR(volkGetInstanceVersion()));
    if (on && !has_layer(layer_name))
        return gab_fail(&vk->log, GAB_ERROR_VULKAN,
                        "GABBRO_VALIDATE is set but the Khronos validation layer is missing: install "
                        "vulkan-validationlayers");

    VkApplicationInfo app = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
                             .pApplicationName = "gabbro",
                             .pEngineName = "gabbro",
                             .apiVersion = VK_API_VERSION_1_2};
    VkInstanceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO, .pApplicationInfo = &app};
    VkValidationFeatureEnableEXT enables[] = {VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT,
                                              VK_VALIDATION_FEATURE_ENABLE_GPU_ASSISTED_EXT,
                                              VK_VALIDATION_FEATURE_ENABLE_GPU_ASSISTED_RESERVE_BINDING_SLOT_EXT};
    VkValidationFeaturesEXT features = {.sType = VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT,
                                        .enabledValidationFeatureCount = on && strcmp(validate, "gpu") == 0 ? 3 : 1,
                                        .pEnabledValidationFeatures = enables};
    if (on) {
        info.pNext = &features;
        info.enabledLayerCount = 1;
        info.ppEnabledLayerNames = &layer_name;
        info.enabledExtensionCount = 1;
        info.ppEnabledExtensionNames = &debug_utils;
    }
    VkResult result = vkCreateInstance(&info, NULL, &vk->instance);
    if (result != VK_SUCCESS)
        return gab_fail(&vk->log, GAB_ERROR_NO_DEVICE,
                        "no Vulkan driver (vkCreateInstance: %d): install one, for example mesa-vulkan-drivers",
                        result);
    volkLoadInstanceOnly(vk->instance);
    if (on) {
        VkDebugUtilsMessengerCreateInfoEXT messenger = {
            .sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
            .messageSeverity =
                VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT,
            .messageType =
                VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_TYPE_PERFORMANCE_BIT_EXT,
            .pfnUserCallback = on_validation,
            .pUserData = vk};
        GAB_VK_TRY(vk, vkCreateDebugUtilsMessengerEXT(vk->instance, &messenger, NULL, &vk->messenger));
    }
    return GAB_OK;
}

static gab_device_kind kind_of(VkPhysicalDeviceType type) {
    switch (type) {
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU: return GAB_DEVICE_DISCRETE;
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU: return GAB_DEVICE_INTEGRATED;
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU: return GAB_DEVICE_VIRTUAL;
    case VK_PHYSICAL_DEVICE_TYPE_CPU: return GAB_DEVICE_CPU;
    default: return GAB_DEVICE_OTHER;
    }
}

const char *gab_device_kind_text(gab_device_kind kind) {
    static const char *const text[] = {"other", "CPU", "virtual GPU", "integrated GPU", "discrete GPU"};
    return text[kind];
}

/* The family for compute: one without graphics where there is one. -1: none. */
static int compute_family(VkPhysicalDevice physical, VkQueueFamilyProperties *families, uint32_t *n) {
    int best = -1;
    vkGetPhysicalDeviceQueueFamilyProperties(physical, n, families);
    for (uint32_t i = 0; i < *n; i++) {
        if (!(families[i].queueFlags & VK_QUEUE_COMPUTE_BIT)) continue;
        if (best < 0 ||
            (!(families[i].queueFlags & VK_QUEUE_GRAPHICS_BIT) && (families[best].queueFlags & VK_QUEUE_GRAPHICS_BIT)))
            best = (int)i;
    }
    return best;
}

static void describe(VkPhysicalDevice physical, uint32_t index, gab_device_info *info) {
    VkPhysicalDeviceDriverProperties driver = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES};
    VkPhysicalDeviceSubgroupProperties subgroup = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES};
    VkPhysicalDeviceIDProperties id = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_ID_PROPERTIES};
    VkPhysicalDeviceProperties2 p = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2};
    VkPhysicalDeviceMemoryBudgetPropertiesEXT budget = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT};
    VkPhysicalDeviceMemoryProperties2 memory = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2};
    VkQueueFamilyProperties families[16];
    uint32_t n_family = 16;

    memset(info, 0, sizeof *info);
    info->index = index;
    vkGetPhysicalDeviceProperties(physical, &p.properties);
    info->api_version = p.properties.apiVersion;
    info->kind = kind_of(p.properties.deviceType);
    snprintf(info->name, sizeof info->name, "%s", p.properties.deviceName);
    info->usable = p.properties.apiVersion >= VK_API_VERSION_1_2 && compute_family(physical, families, &n_family) >= 0;
    if (!info->usable) return;

    p.pNext = &driver;
    driver.pNext = &subgroup;
    subgroup.pNext = &id;
    vkGetPhysicalDeviceProperties2(physical, &p);
    snprintf(info->driver, sizeof info->driver, "%.120s %.120s", driver.driverName, driver.driverInfo);
    info->subgroup_size = subgroup.subgroupSize;
    for (size_t i = 0, at = 0; i < VK_UUID_SIZE; i++)
        at += (size_t)snprintf(info->uuid + at, sizeof info->uuid - at, "%s%02x",
                               i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", id.deviceUUID[i]);

    bool has_budget = gab_has_extension(physical, VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
    if (has_budget) memory.pNext = &budget;
    vkGetPhysicalDeviceMemoryProperties2(physical, &memory);
    const VkPhysicalDeviceMemoryProperties *m = &memory.memoryProperties;
    uint32_t heap = 0;
    for (uint32_t i = 0; i < m->memoryHeapCount; i++)
        if ((m->memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) &&
            m->memoryHeaps[i].size > info->memory_total) {
            info->memory_total = m->memoryHeaps[i].size;
            heap = i;
        }
    info->memory_free = info->memory_total;
    if (has_budget)
        info->memory_free =
            budget.heapBudget[heap] > budget.heapUsage[heap] ? budget.heapBudget[heap] - budget.heapUsage[heap] : 0;
    const VkMemoryPropertyFlags in_place = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT | VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT |
                                           VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    for (uint32_t i = 0; i < m->memoryTypeCount; i++)
        if ((m->memoryTypes[i].propertyFlags & in_place) == in_place && m->memoryTypes[i].heapIndex == heap)
            info->unified_memory = true;
}

/* Physical devices and what they are, in loader order, with the default marked. */
static gab_status enumerate(gab_vk *vk, VkPhysicalDevice *physical, gab_device_info *info, uint32_t *n) {
    *n = DEVICE_MAX;
    VkResult result = vkEnumeratePhysicalDevices(vk->instance, n, physical);
    if (result < 0 || *n == 0)
        return gab_fail(
            &vk->log, GAB_ERROR_NO_DEVICE,
            "no Vulkan device: install a driver (mesa-vulkan-drivers has one for AMD, Intel and one for the "
            "CPU; NVIDIA's comes with its own packages) and check with vulkaninfo");
    gab_device_info *best = NULL;
    for (uint32_t i = 0; i < *n; i++) {
        describe(physical[i], i, &info[i]);
        if (!info[i].usable) continue;
        if (!best || info[i].kind > best->kind ||
            (info[i].kind == best->kind && info[i].memory_total > best->memory_total))
            best = &info[i];
    }
    if (best) best->is_default = true;
    return GAB_OK;
}

static void instance_destroy(gab_vk *vk) {
    if (vk->messenger) vkDestroyDebugUtilsMessengerEXT(vk->instance, vk->messenger, NULL);
    if (vk->instance) vkDestroyInstance(vk->instance, NULL);
}

gab_status gab_device_list(gab_device_info **devices, size_t *n_device, gab_log_fn log, void *log_user) {
    gab_vk vk = {.log = {log, log_user}};
    VkPhysicalDevice physical[DEVICE_MAX];
    uint32_t n = 0;
    gab_device_info *info = calloc(DEVICE_MAX, sizeof *info);
    gab_status status = info ? instance_create(&vk) : gab_fail(&vk.log, GAB_ERROR_HOST_MEMORY, "out of host memory");
    if (status == GAB_OK) status = enumerate(&vk, physical, info, &n);
    instance_destroy(&vk);
    if (status != GAB_OK) {
        free(info);
        return status;
    }
    *devices = info;
    *n_device = n;
    return GAB_OK;
}

void gab_device_list_free(gab_device_info **devices) {
    if (!devices) return;
    free(*devices);
    *devices = NULL;
}

static bool contains_ignoring_case(const char *text, const char *part) {
    size_t n = strlen(part);
    for (; *text; text++) {
        size_t i = 0;
        while (i < n && tolower((unsigned char)text[i]) == tolower((unsigned char)part[i])) i++;
        if (i == n) return true;
    }
    return n == 0;
}

/* A number of one of n devices; others ("7900") are parts of names. */
static bool is_index(const char *text, uint32_t n) {
    return *text && strspn(text, "0123456789") == strlen(text) && strlen(text) < 9 && strtoul(text, NULL, 10) < n;
}

/* The device that `choice` names, or the default; logs which and why. */
static gab_status choose(gab_vk *vk, const char *choice, const gab_device_info *info, uint32_t n, uint32_t *taken) {
    const char *origin = "asked for";
    if (!choice || !*choice) {
        choice = getenv("GABBRO_DEVICE");
        origin = "named by GABBRO_DEVICE";
    }
    uint32_t found = n;
    if (!choice || !*choice) {
        for (uint32_t i = 0; i < n; i++)
            if (info[i].is_default) found = i;
        if (found == n)
            return gab_fail(&vk->log, GAB_ERROR_NO_DEVICE,
                            "none of %u Vulkan devices knows Vulkan 1.2: update the driver", n);
        gab_log_print(&vk->log, GAB_LOG_INFO, "device: %s (%s), %s", info[found].name,
                      gab_device_kind_text(info[found].kind),
                      n == 1 ? "the only one" : "the fastest kind here; -d takes another");
        *taken = found;
        return GAB_OK;
    }
    for (uint32_t i = 0; i < n && found == n; i++)
        if (is_index(choice, n) ? strtoul(choice, NULL, 10) == i
                                : (contains_ignoring_case(info[i].uuid, choice) && strlen(choice) == 36) ||
                                      contains_ignoring_case(info[i].name, choice))
            found = i;
    if (found == n) {
        char list[768] = "";
        for (uint32_t i = 0, at = 0; i < n && at < sizeof list; i++)
            at += (uint32_t)snprintf(list + at, sizeof list - at, "%s%u: %s", i ? ", " : "", i, info[i].name);
        return gab_fail(&vk->log, GAB_ERROR_NO_DEVICE, "no Vulkan device matches '%s'; there is %s", choice, list);
    }
    if (!info[found].usable)
        return gab_fail(&vk->log, GAB_ERROR_NO_DEVICE, "%s knows only Vulkan %u.%u, needed is 1.2: update its driver",
                        info[found].name, VK_API_VERSION_MAJOR(info[found].api_version),
                        VK_API_VERSION_MINOR(info[found].api_version));
    gab_log_print(&vk->log, GAB_LOG_INFO, "device: %s (%s), %s", info[found].name,
                  gab_device_kind_text(info[found].kind), origin);
    *taken = found;
    return GAB_OK;
}

/* Families and limits of vk->physical. */
static void read_properties(gab_vk *vk) {
    const VkQueueFlags other = VK_QUEUE_SPARSE_BINDING_BIT | VK_QUEUE_PROTECTED_BIT;
    VkQueueFamilyProperties families[16];
    uint32_t n = 16;
    VkPhysicalDeviceMaintenance3Properties sizes = {.sType =
                                                        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES};
    VkPhysicalDeviceIDProperties id = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_ID_PROPERTIES, .pNext = &sizes};
    VkPhysicalDeviceProperties2 p = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &id};

    vk->queue_family = (uint32_t)compute_family(vk->physical, families, &n);
    vk->has_timestamps = families[vk->queue_family].timestampValidBits > 0;
    vk->transfer_family = vk->queue_family;
    for (uint32_t i = n; i-- > 0;) /* the first; later ones belong to engines for other things, which copy besides */
        if ((families[i].queueFlags & ~other) == VK_QUEUE_TRANSFER_BIT) vk->transfer_family = i;
    vkGetPhysicalDeviceProperties2(vk->physical, &p);
    vkGetPhysicalDeviceMemoryProperties(vk->physical, &vk->memory);
    vk->properties = p.properties;
    memcpy(vk->driver_uuid, id.driverUUID, VK_UUID_SIZE);
    vk->buffer_bytes_max = sizes.maxMemoryAllocationSize;
    vk->binding_bytes_max = p.properties.limits.maxStorageBufferRange;
    if (vk->binding_bytes_max > vk->buffer_bytes_max) vk->binding_bytes_max = vk->buffer_bytes_max;
}

static gab_status device_create(gab_vk *vk) {
    const char *extensions[GAB_FEATURE_EXTENSION_MAX + 2];
    uint32_t n_extension = 0;
    float priority = 1.0f;
    const char *validate = getenv("GABBRO_VALIDATE");
    gab_feature_chain chain;

    read_properties(vk);
    gab_features_read(vk);
    vk->has_memory_budget = gab_has_extension(vk->physical, VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
    vk->has_pipeline_statistics = gab_has_extension(vk->physical, VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME);
    if (vk->has_memory_budget) extensions[n_extension++] = VK_EXT_MEMORY_BUDGET_EXTENSION_NAME;
    VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR statistics = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR,
        .pipelineExecutableInfo = VK_TRUE};
    VkPhysicalDeviceTimelineSemaphoreFeatures timeline = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_TIMELINE_SEMAPHORE_FEATURES, .timelineSemaphore = VK_TRUE};
    if (vk->has_pipeline_statistics) {
        extensions[n_extension++] = VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME;
        timeline.pNext = &statistics;
    }
    gab_features_enable(vk, &timeline, &chain);
    for (uint32_t i = 0; i < chain.n_extension; i++) extensions[n_extension++] = chain.extensions[i];
    VkPhysicalDeviceFeatures features = {.robustBufferAccess = validate && *validate && strcmp(validate, "0") != 0,
                                         .shaderInt16 = (vk->features & GAB_FEATURE_HALVES) != 0,
                                         .shaderInt64 = (vk->features & GAB_FEATURE_ADDRESS) != 0};
    VkDeviceQueueCreateInfo queues[2] = {{.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                          .queueFamilyIndex = vk->queue_family,
                                          .queueCount = 1,
                                          .pQueuePriorities = &priority}};
    queues[1] = queues[0];
    queues[1].queueFamilyIndex = vk->transfer_family;
    VkDeviceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                               .pNext = chain.first,
                               .queueCreateInfoCount = vk->transfer_family == vk->queue_family ? 1 : 2,
                               .pQueueCreateInfos = queues,
                               .enabledExtensionCount = n_extension,
                               .ppEnabledExtensionNames = extensions,
                               .pEnabledFeatures = &features};
    GAB_VK_TRY(vk, vkCreateDevice(vk->physical, &info, NULL, &vk->device));
    volkLoadDeviceTable(&vk->fn, vk->device);
    vk->fn.vkGetDeviceQueue(vk->device, vk->queue_family, 0, &vk->queue);
    vk->fn.vkGetDeviceQueue(vk->device, vk->transfer_family, 0, &vk->transfer_queue);

    VkSemaphoreTypeCreateInfo type = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO,
                                      .semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE};
    VkSemaphoreCreateInfo semaphore = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO, .pNext = &type};
    GAB_VK_TRY(vk, vk->fn.vkCreateSemaphore(vk->device, &semaphore, NULL, &vk->timeline));
    return gab_pipeline_store_create(vk, &vk->pipelines);
}

gab_status gab_vk_create(const char *choice, const gab_log *log, gab_vk **out) {
    gab_status status = GAB_OK;
    VkPhysicalDevice physical[DEVICE_MAX];
    uint32_t n = 0, taken = 0;
    gab_vk *vk = calloc(1, sizeof *vk);
    gab_device_info *info = calloc(DEVICE_MAX, sizeof *info);
    if (!vk || !info) {
        status = gab_fail(log, GAB_ERROR_HOST_MEMORY, "out of host memory opening a device");
        goto error;
    }
    if (log) vk->log = *log;
    GAB_TRY_GOTO(instance_create(vk), error);
    GAB_TRY_GOTO(enumerate(vk, physical, info, &n), error);
    GAB_TRY_GOTO(choose(vk, choice, info, n, &taken), error);
    vk->physical = physical[taken];
    vk->info = info[taken];
    GAB_TRY_GOTO(device_create(vk), error);
    GAB_TRY_GOTO(gab_vk_probe(vk), error);
    if (!vk->executes)
        gab_log_print(&vk->log, GAB_LOG_WARNING,
                      "results invalid: %s does not execute what it is given (a compile-only driver)", vk->info.name);
    free(info);
    *out = vk;
    return GAB_OK;
error:
    free(info);
    gab_vk_destroy(&vk);
    return status;
}

void gab_vk_destroy(gab_vk **pvk) {
    if (!pvk || !*pvk) return;
    gab_vk *vk = *pvk;
    if (vk->device) {
        vk->fn.vkDeviceWaitIdle(vk->device);
        gab_pipeline_store_destroy(&vk->pipelines);
        if (vk->timeline) vk->fn.vkDestroySemaphore(vk->device, vk->timeline, NULL);
        vk->fn.vkDestroyDevice(vk->device, NULL);
    }
    instance_destroy(vk);
    free(vk);
    *pvk = NULL;
}

bool gab_vk_cache_path(const gab_vk *vk, const char *stem, const char *ending, char *path, size_t size) {
    char folder[3072], uuid[2 * VK_UUID_SIZE + 1];
    if (!gab_cache_folder(folder, sizeof folder)) return false;
    for (size_t i = 0; i < VK_UUID_SIZE; i++) snprintf(uuid + 2 * i, 3, "%02x", vk->driver_uuid[i]);
    const int n = snprintf(path, size, "%s/%s-%s%s", folder, stem, uuid, ending);
    return n > 0 && (size_t)n < size;
}
