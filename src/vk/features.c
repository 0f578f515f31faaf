#include "vk/features.h"

#include <stdlib.h>
#include <string.h>

#include "shader_list.h"

const char *gab_build_lacks(void) {
    return gab_shaders[GAB_SHADER_MATMUL_MATRIX_F32].bytes > 0
               ? ""
               : "kernels for matrix units: it was built with a glslang before 13 or Vulkan headers before 1.3.255";
}

bool gab_has_extension(VkPhysicalDevice physical, const char *name) {
    uint32_t n = 0;
    bool found = false;
    if (vkEnumerateDeviceExtensionProperties(physical, NULL, &n, NULL) != VK_SUCCESS) return false;
    VkExtensionProperties *list = calloc(n ? n : 1, sizeof *list);
    if (list && vkEnumerateDeviceExtensionProperties(physical, NULL, &n, list) >= 0)
        for (uint32_t i = 0; i < n && !found; i++) found = strcmp(list[i].extensionName, name) == 0;
    free(list);
    return found;
}

/* Fills a structure of features. */
static void query(const gab_vk *vk, void *feature) {
    VkPhysicalDeviceFeatures2 f = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = feature};
    vkGetPhysicalDeviceFeatures2(vk->physical, &f);
}

static bool has_address(const gab_vk *vk) {
    VkPhysicalDeviceFeatures core;
    VkPhysicalDeviceBufferDeviceAddressFeatures f = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_BUFFER_DEVICE_ADDRESS_FEATURES};
    vkGetPhysicalDeviceFeatures(vk->physical, &core);
    query(vk, &f);
    return f.bufferDeviceAddress && core.shaderInt64 && vk->info.kind == GAB_DEVICE_CPU;
}

/* Subgroups of 4 or 8 lanes with operations of this kind. */
static bool has_subgroup(const gab_vk *vk, VkSubgroupFeatureFlagBits operations) {
    VkPhysicalDeviceSubgroupProperties subgroup = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES};
    VkPhysicalDeviceProperties2 p = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &subgroup};
    vkGetPhysicalDeviceProperties2(vk->physical, &p);
    return (subgroup.supportedOperations & operations) && (subgroup.supportedStages & VK_SHADER_STAGE_COMPUTE_BIT) &&
           (subgroup.subgroupSize == 4 || subgroup.subgroupSize == 8);
}

/* Not of lavapipe before Vulkan 1.4: it makes a loop over the lanes of each such load, and takes minutes to compile. */
static bool has_halves(const gab_vk *vk) {
    VkPhysicalDeviceFeatures core;
    VkPhysicalDevice16BitStorageFeatures f = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES};
    vkGetPhysicalDeviceFeatures(vk->physical, &core);
    query(vk, &f);
    return f.storageBuffer16BitAccess && core.shaderInt16 && vk->info.kind == GAB_DEVICE_CPU &&
           vk->properties.apiVersion >= VK_MAKE_API_VERSION(0, 1, 4, 0);
}

static bool has_f16(const gab_vk *vk) {
    VkPhysicalDeviceShaderFloat16Int8Features f = {.sType =
                                                       VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES};
    query(vk, &f);
    return f.shaderFloat16;
}

static bool has_int_dot(const gab_vk *vk) {
    VkPhysicalDeviceShaderIntegerDotProductFeatures f = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES};
    if (!gab_has_extension(vk->physical, VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME)) return false;
    query(vk, &f);
    return f.shaderIntegerDotProduct;
}

#ifdef VK_KHR_cooperative_matrix

/* Lanes of the subgroups that a kernel with matrices runs in: the smallest, which all drivers with matrices take. 0:
 * they cannot be pinned. */
static uint32_t matrix_lanes(const gab_vk *vk) {
    VkPhysicalDeviceSubgroupSizeControlFeatures f = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES};
    VkPhysicalDeviceSubgroupSizeControlProperties size = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES};
    VkPhysicalDeviceProperties2 p = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &size};
    if (!gab_has_extension(vk->physical, VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME)) return 0;
    query(vk, &f);
    vkGetPhysicalDeviceProperties2(vk->physical, &p);
    const bool pins = f.subgroupSizeControl && (size.requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT);
    return f.computeFullSubgroups && pins ? size.minSubgroupSize : 0;
}

/* f16 factors, f32 sums, by a subgroup, and of sizes that divide the tiles of our kernels. */
static bool is_useful(const VkCooperativeMatrixPropertiesKHR *p) {
    return p->AType == VK_COMPONENT_TYPE_FLOAT16_KHR && p->BType == VK_COMPONENT_TYPE_FLOAT16_KHR &&
           p->CType == VK_COMPONENT_TYPE_FLOAT32_KHR && p->ResultType == VK_COMPONENT_TYPE_FLOAT32_KHR &&
           p->scope == VK_SCOPE_SUBGROUP_KHR && !p->saturatingAccumulation && (p->MSize == 8 || p->MSize == 16) &&
           (p->NSize == 8 || p->NSize == 16) && (p->KSize == 8 || p->KSize == 16 || p->KSize == 32);
}

uint32_t gab_matrix_shapes(const gab_vk *vk, gab_matrix_shape shapes[GAB_MATRIX_SHAPE_MAX]) {
    enum { SHAPE_MAX = 256 };
    uint32_t n_shape = 0;
    VkPhysicalDeviceVulkanMemoryModelFeatures model = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_MEMORY_MODEL_FEATURES};
    VkPhysicalDeviceCooperativeMatrixFeaturesKHR f = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR};
    VkCooperativeMatrixPropertiesKHR list[SHAPE_MAX];
    uint32_t n = SHAPE_MAX;
    if (!gab_has_extension(vk->physical, VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME)) return 0;
    query(vk, &model);
    query(vk, &f);
    const uint32_t lanes = matrix_lanes(vk);
    if (!model.vulkanMemoryModel || !model.vulkanMemoryModelDeviceScope || !f.cooperativeMatrix || lanes < 8 ||
        lanes > 64)
        return 0;
    if (vk->properties.limits.maxComputeSharedMemorySize < 32768) return 0;
    for (uint32_t i = 0; i < SHAPE_MAX; i++)
        list[i] = (VkCooperativeMatrixPropertiesKHR){.sType = VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_KHR};
    if (vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR(vk->physical, &n, list) < 0) return 0;
    for (uint32_t i = 0; i < n && n_shape < GAB_MATRIX_SHAPE_MAX; i++)
        if (is_useful(&list[i]))
            shapes[n_shape++] = (gab_matrix_shape){list[i].MSize, list[i].NSize, list[i].KSize, lanes};
    return n_shape;
}

#else
uint32_t gab_matrix_shapes(const gab_vk *vk, gab_matrix_shape shapes[GAB_MATRIX_SHAPE_MAX]) {
    (void)vk, (void)shapes;
    return 0;
}
#endif

/* The largest of the device's shapes; all zeros: none. */
static gab_matrix_shape read_matrix(const gab_vk *vk) {
    gab_matrix_shape shapes[GAB_MATRIX_SHAPE_MAX], best = {0};
    const uint32_t n = gab_matrix_shapes(vk, shapes);
    for (uint32_t i = 0; i < n; i++)
        if (shapes[i].m * shapes[i].n * shapes[i].k > best.m * best.n * best.k) best = shapes[i];
    return best;
}

void gab_features_read(gab_vk *vk) {
    if (has_address(vk)) vk->features |= GAB_FEATURE_ADDRESS;
    if (has_subgroup(vk, VK_SUBGROUP_FEATURE_ARITHMETIC_BIT)) vk->features |= GAB_FEATURE_SUM;
    if (has_subgroup(vk, VK_SUBGROUP_FEATURE_SHUFFLE_BIT)) vk->features |= GAB_FEATURE_SHUFFLE;
    if (has_halves(vk)) vk->features |= GAB_FEATURE_HALVES;
    if (has_f16(vk)) vk->features |= GAB_FEATURE_F16;
    if (has_int_dot(vk)) vk->features |= GAB_FEATURE_INT_DOT;
    if (vk->features & GAB_FEATURE_F16) vk->matrix = read_matrix(vk);
    if (vk->matrix.m) vk->features |= GAB_FEATURE_MATRIX;
}

/* Puts a structure of features in front of the chain, with its extension (NULL: part of Vulkan 1.2). */
static void ask(gab_feature_chain *chain, void *features, const char *extension) {
    ((VkBaseInStructure *)features)->pNext = chain->first;
    chain->first = features;
    if (extension) chain->extensions[chain->n_extension++] = extension;
}

void gab_features_enable(const gab_vk *vk, const void *next, gab_feature_chain *chain) {
    *chain = (gab_feature_chain){
        .first = next,
        .address = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_BUFFER_DEVICE_ADDRESS_FEATURES,
                    .bufferDeviceAddress = VK_TRUE},
        .halves = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES,
                   .storageBuffer16BitAccess = VK_TRUE},
        .f16 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES, .shaderFloat16 = VK_TRUE},
        .dot = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES,
                .shaderIntegerDotProduct = VK_TRUE},
        .size = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES,
                 .subgroupSizeControl = VK_TRUE,
                 .computeFullSubgroups = VK_TRUE},
        .model = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_MEMORY_MODEL_FEATURES,
                  .vulkanMemoryModel = VK_TRUE,
                  .vulkanMemoryModelDeviceScope = VK_TRUE /* kernels without matrices have it by default */}};
    if (vk->features & GAB_FEATURE_ADDRESS) ask(chain, &chain->address, NULL);
    if (vk->features & GAB_FEATURE_HALVES) ask(chain, &chain->halves, NULL);
    if (vk->features & GAB_FEATURE_F16) ask(chain, &chain->f16, NULL);
    if (vk->features & GAB_FEATURE_INT_DOT) ask(chain, &chain->dot, VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME);
#ifdef VK_KHR_cooperative_matrix
    chain->matrix = (VkPhysicalDeviceCooperativeMatrixFeaturesKHR){
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR, .cooperativeMatrix = VK_TRUE};
    if (vk->features & GAB_FEATURE_MATRIX) {
        ask(chain, &chain->matrix, VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME);
        ask(chain, &chain->size, VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME);
        ask(chain, &chain->model, NULL);
    }
#endif
}
