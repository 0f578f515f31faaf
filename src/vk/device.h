/*
 * device.h - a Vulkan device: which there are, which one is taken, opening and closing it.
 *
 * Vulkan 1.2, no optional feature. Functions of the device come from a table of its own (`vk->fn`), so that several
 * devices can be open at once. A gab_vk may be used from one thread at a time, but for pipeline compilation, which is
 * locked.
 */
#ifndef GAB_VK_DEVICE_H
#define GAB_VK_DEVICE_H

#include <stdatomic.h>

#include <volk.h>

#include "base/error.h"

typedef struct gab_pipeline_store gab_pipeline_store;

/* What a device may have, for variants of kernels. */
enum {
    /* Arithmetic on 16-bit floats. */
    GAB_FEATURE_F16 = 1,
    /* Four 8-bit products and their sum in one operation (VK_KHR_shader_integer_dot_product). */
    GAB_FEATURE_INT_DOT = 2,
    /* VK_KHR_cooperative_matrix with f16 products and f32 sums, of the shape in gab_vk.matrix. */
    GAB_FEATURE_MATRIX = 4,
    /* Buffers have addresses, and kernels can compute with them. Asked for on CPU drivers alone: on GPUs descriptors
       are faster. */
    GAB_FEATURE_ADDRESS = 8,
    /* Subgroups of 4 or 8 lanes, and sums over them. */
    GAB_FEATURE_SUM = 16,
    /* Subgroups of 4 or 8 lanes, and shuffles among them. */
    GAB_FEATURE_SHUFFLE = 32,
    /* Loads of 16 bits from buffers and 16-bit integers. Asked for on CPU drivers alone. */
    GAB_FEATURE_HALVES = 64,
};

/* Shape of a cooperative matrix product: [m][k] by [k][n], by one subgroup. */
typedef struct gab_matrix_shape {
    uint32_t m, n, k;
    uint32_t lanes; /* of the subgroup */
} gab_matrix_shape;

typedef struct gab_vk {
    gab_log log;
    VkInstance instance;
    VkDebugUtilsMessengerEXT messenger;
    atomic_uint n_validation; /* messages of the validation layer so far */
    VkPhysicalDevice physical;
    VkDevice device;
    struct VolkDeviceTable fn;
    VkQueue queue; /* compute */
    uint32_t queue_family;
    VkQueue transfer_queue; /* equal to `queue` when the device has no other */
    uint32_t transfer_family;
    VkPhysicalDeviceProperties properties;
    VkPhysicalDeviceMemoryProperties memory;
    bool has_memory_budget;
    bool has_pipeline_statistics; /* VK_KHR_pipeline_executable_properties */
    bool has_timestamps;          /* on the compute queue */
    uint32_t features;            /* GAB_FEATURE_* */
    gab_matrix_shape matrix;
    bool executes;              /* false: the probe read back nothing, as on compile-only drivers */
    bool f16_flushed;           /* subnormal f16 become 0 where kernels unpack them */
    uint64_t binding_bytes_max; /* largest range one binding can see */
    uint64_t buffer_bytes_max;  /* largest buffer */
    gab_device_info info;
    uint8_t driver_uuid[VK_UUID_SIZE];
    VkSemaphore timeline;
    uint64_t timeline_value; /* last value submitted */
    gab_pipeline_store *pipelines;
} gab_vk;

/* `choice`: an index, part of a name (any case) or a UUID; NULL or "" takes GABBRO_DEVICE, else the fastest kind:
 * discrete, integrated, virtual, CPU, the one with more memory among equals. Logs which one was taken and why. An
 * unknown choice is an error that lists what exists.
 *
 * GABBRO_VALIDATE in the environment ("1", or "gpu" for GPU-assisted) turns on the Khronos validation layer with
 * synchronization validation, and robust buffer access; its messages are logged as errors that begin with "validation:
 * ". */
gab_status gab_vk_create(const char *choice, const gab_log *log, gab_vk **vk);
void gab_vk_destroy(gab_vk **vk);

/* "<cache folder>/STEM-<driver UUID>ENDING"; false when there is no folder, or the path is longer than size. */
bool gab_vk_cache_path(const gab_vk *vk, const char *stem, const char *ending, char *path, size_t size);

/* Turns a VkResult into an error naming the call. DEVICE_LOST and out-of-memory results have statuses of their own. */
gab_status gab_vk_error(const gab_vk *vk, VkResult result, const char *call);

#define GAB_VK_TRY(vk, call)                                                                                           \
    do {                                                                                                               \
        VkResult vk_result = (call);                                                                                   \
        if (vk_result != VK_SUCCESS) return gab_vk_error(vk, vk_result, #call);                                        \
    } while (0)

#endif
