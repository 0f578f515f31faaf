/*
 * features.h - what a device may have beyond Vulkan 1.2's minimum: found out, and turned on when the device is created.
 */
#ifndef GAB_VK_FEATURES_H
#define GAB_VK_FEATURES_H

#include "vk/device.h"

enum { GAB_FEATURE_EXTENSION_MAX = 8 };

/* Structures of optional features, chained: all that a device creation may ask for. */
typedef struct gab_feature_chain {
    VkPhysicalDeviceBufferDeviceAddressFeatures address;
    VkPhysicalDevice16BitStorageFeatures halves;
    VkPhysicalDeviceShaderFloat16Int8Features f16;
    VkPhysicalDeviceShaderIntegerDotProductFeatures dot;
    VkPhysicalDeviceSubgroupSizeControlFeatures size;
    VkPhysicalDeviceVulkanMemoryModelFeatures model;
#ifdef VK_KHR_cooperative_matrix
    VkPhysicalDeviceCooperativeMatrixFeaturesKHR matrix;
#endif
    const void *first; /* for the pNext of VkDeviceCreateInfo; ends in what was given */
    const char *extensions[GAB_FEATURE_EXTENSION_MAX];
    uint32_t n_extension;
} gab_feature_chain;

bool gab_has_extension(VkPhysicalDevice physical, const char *name);

/* Sets vk->features and vk->matrix: what variants of kernels may use. */
void gab_features_read(gab_vk *vk);

/* The shapes of cooperative matrices that kernels could use; how many. */
enum { GAB_MATRIX_SHAPE_MAX = 64 };
uint32_t gab_matrix_shapes(const gab_vk *vk, gab_matrix_shape shapes[GAB_MATRIX_SHAPE_MAX]);

/* What to ask for when the device is created, for vk->features; `next` is what the chain ends in. */
void gab_features_enable(const gab_vk *vk, const void *next, gab_feature_chain *chain);

#endif
