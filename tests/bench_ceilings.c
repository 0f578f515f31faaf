/*
 * The read limit of `gabbro bench` against a program that stands alone: below, Vulkan is spoken to without any of
 * Gabbro's own layers, with the same kernel (src/bench/ceiling_read.comp) on as many bytes. Figures need a quiet
 * machine: without GABBRO_TEST_SPEED=1 only what both compute is looked at.
 */
#include "bench/ceilings.h"

#include <math.h>

#include "base/time.h"
#include "vk_test.h"

/* A copy of the code under names of its own. */
#define gab_spirv_ceiling_read         alone_read
#define gab_spirv_ceiling_read_address alone_read_address
#include "bench/ceiling_read.h"
#include "bench/ceiling_read_address.h"

enum { RUNS = 7, AGAIN = 8 };
static uint32_t n_byte = 4 << 20;

/* What is open, and the best rate seen. */
typedef struct alone {
    VkInstance instance;
    VkPhysicalDevice physical;
    VkDevice device;
    VkQueue queue;
    struct VolkDeviceTable fn;
    VkBuffer buffer;
    VkDeviceMemory memory;
    uint64_t address;
    bool addresses;
} alone;

#define GOOD(call) CHECK((call) == VK_SUCCESS)

/* The device of that name. */
static void open_device(alone *a, const char *name) {
    const VkApplicationInfo application = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
                                           .apiVersion = VK_API_VERSION_1_2};
    const VkInstanceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
                                       .pApplicationInfo = &application};
    VkPhysicalDevice all[16];
    uint32_t n = 16;
    GOOD(volkInitialize());
    GOOD(vkCreateInstance(&info, NULL, &a->instance));
    volkLoadInstanceOnly(a->instance);
    CHECK(vkEnumeratePhysicalDevices(a->instance, &n, all) >= 0);
    for (uint32_t i = 0; i < n; i++) {
        VkPhysicalDeviceProperties properties;
        vkGetPhysicalDeviceProperties(all[i], &properties);
        if (strcmp(properties.deviceName, name) == 0) a->physical = all[i];
    }
    CHECK(a->physical);
    const float priority = 1;
    const VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                           .queueCount = 1, /* family 0: a CPU driver has one */
                                           .pQueuePriorities = &priority};
    const VkPhysicalDeviceBufferDeviceAddressFeatures address = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_BUFFER_DEVICE_ADDRESS_FEATURES, .bufferDeviceAddress = VK_TRUE};
    const VkDeviceCreateInfo device = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                                       .pNext = a->addresses ? &address : NULL,
                                       .queueCreateInfoCount = 1,
                                       .pQueueCreateInfos = &queue};
    GOOD(vkCreateDevice(a->physical, &device, NULL, &a->device));
    volkLoadDeviceTable(&a->fn, a->device);
    a->fn.vkGetDeviceQueue(a->device, 0, 0, &a->queue);
}

/* Memory that the host can see, written once. */
static void make_buffer(alone *a) {
    const VkBufferCreateInfo info = {.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                                     .size = n_byte,
                                     .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT |
                                              (a->addresses ? VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT : 0)};
    const VkMemoryAllocateFlagsInfo flags = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO,
                                             .flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT};
    VkPhysicalDeviceMemoryProperties memory;
    VkMemoryRequirements needs;
    void *mapped;
    GOOD(a->fn.vkCreateBuffer(a->device, &info, NULL, &a->buffer));
    a->fn.vkGetBufferMemoryRequirements(a->device, a->buffer, &needs);
    vkGetPhysicalDeviceMemoryProperties(a->physical, &memory);
    uint32_t type = 0;
    while (!(needs.memoryTypeBits >> type & 1) ||
           !(memory.memoryTypes[type].propertyFlags & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT))
        CHECK(++type < memory.memoryTypeCount);
    const VkMemoryAllocateInfo allocate = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                           .pNext = a->addresses ? &flags : NULL,
                                           .allocationSize = needs.size,
                                           .memoryTypeIndex = type};
    GOOD(a->fn.vkAllocateMemory(a->device, &allocate, NULL, &a->memory));
    GOOD(a->fn.vkBindBufferMemory(a->device, a->buffer, a->memory, 0));
    GOOD(a->fn.vkMapMemory(a->device, a->memory, 0, n_byte, 0, &mapped));
    memset(mapped, 0x2c, n_byte);
    const VkBufferDeviceAddressInfo where = {.sType = VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO,
                                             .buffer = a->buffer};
    if (a->addresses) a->address = a->fn.vkGetBufferDeviceAddress(a->device, &where);
}

/* The kernel of lanes, loads and how, recorded AGAIN times with barriers. */
static VkCommandBuffer record(alone *a, const uint32_t spec[3], uint32_t turns) {
    VkDescriptorSetLayoutBinding bindings[2];
    VkSpecializationMapEntry entries[3];
    VkDescriptorSetLayout set_layout;
    VkPipelineLayout layout;
    VkShaderModule module;
    VkPipeline pipeline;
    VkDescriptorPool sets;
    VkDescriptorSet set;
    VkCommandPool pool;
    VkCommandBuffer cmd;
    for (uint32_t i = 0; i < 2; i++)
        bindings[i] =
            (VkDescriptorSetLayoutBinding){i, VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 1, VK_SHADER_STAGE_COMPUTE_BIT, NULL};
    for (uint32_t i = 0; i < 3; i++) entries[i] = (VkSpecializationMapEntry){i, 4 * i, 4};
    const VkDescriptorSetLayoutCreateInfo set_info = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO, .bindingCount = 2, .pBindings = bindings};
    GOOD(a->fn.vkCreateDescriptorSetLayout(a->device, &set_info, NULL, &set_layout));
    const VkPushConstantRange range = {VK_SHADER_STAGE_COMPUTE_BIT, 0, 16};
    const VkPipelineLayoutCreateInfo layout_info = {.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
                                                    .setLayoutCount = 1,
                                                    .pSetLayouts = &set_layout,
                                                    .pushConstantRangeCount = 1,
                                                    .pPushConstantRanges = &range};
    GOOD(a->fn.vkCreatePipelineLayout(a->device, &layout_info, NULL, &layout));
    const bool across = spec[2] == 2;
    const VkShaderModuleCreateInfo module_info = {
        .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
        .codeSize = across ? sizeof gab_spirv_ceiling_read_address : sizeof gab_spirv_ceiling_read,
        .pCode = across ? gab_spirv_ceiling_read_address : gab_spirv_ceiling_read};
    GOOD(a->fn.vkCreateShaderModule(a->device, &module_info, NULL, &module));
    const VkSpecializationInfo special = {3, entries, 12, spec};
    const VkComputePipelineCreateInfo info = {.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
                                              .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                                                        .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                                                        .module = module,
                                                        .pName = "main",
                                                        .pSpecializationInfo = &special},
                                              .layout = layout};
    GOOD(a->fn.vkCreateComputePipelines(a->device, VK_NULL_HANDLE, 1, &info, NULL, &pipeline));
    const VkDescriptorPoolSize size = {VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 2};
    const VkDescriptorPoolCreateInfo sets_info = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO, .maxSets = 1, .poolSizeCount = 1, .pPoolSizes = &size};
    GOOD(a->fn.vkCreateDescriptorPool(a->device, &sets_info, NULL, &sets));
    const VkDescriptorSetAllocateInfo set_allocate = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
                                                      .descriptorPool = sets,
                                                      .descriptorSetCount = 1,
                                                      .pSetLayouts = &set_layout};
    GOOD(a->fn.vkAllocateDescriptorSets(a->device, &set_allocate, &set));
    const VkDescriptorBufferInfo buffers[2] = {{a->buffer, 0, n_byte}, {a->buffer, 0, 16}};
    const VkWriteDescriptorSet write = {.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
                                        .dstSet = set,
                                        .descriptorCount = 2,
                                        .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                        .pBufferInfo = buffers};
    a->fn.vkUpdateDescriptorSets(a->device, 1, &write, 0, NULL);
    const VkCommandPoolCreateInfo pool_info = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO};
    GOOD(a->fn.vkCreateCommandPool(a->device, &pool_info, NULL, &pool));
    const VkCommandBufferAllocateInfo allocate = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO, .commandPool = pool, .commandBufferCount = 1};
    GOOD(a->fn.vkAllocateCommandBuffers(a->device, &allocate, &cmd));
    const VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
    GOOD(a->fn.vkBeginCommandBuffer(cmd, &begin));
    const uint32_t push[4] = {n_byte / 16 - 1, turns, (uint32_t)a->address, (uint32_t)(a->address >> 32)};
    const uint32_t turn_bytes = spec[1] * (spec[2] == 1 ? 16 : spec[2] == 2 ? 4 * spec[0] : 16 * spec[0]);
    const VkMemoryBarrier memory = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                                    .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT,
                                    .dstAccessMask = VK_ACCESS_SHADER_READ_BIT};
    a->fn.vkCmdBindPipeline(cmd, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline);
    a->fn.vkCmdBindDescriptorSets(cmd, VK_PIPELINE_BIND_POINT_COMPUTE, layout, 0, 1, &set, 0, NULL);
    a->fn.vkCmdPushConstants(cmd, layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, 16, push);
    for (int i = 0; i < AGAIN; i++) {
        a->fn.vkCmdDispatch(cmd, n_byte / turn_bytes / turns, 1, 1);
        a->fn.vkCmdPipelineBarrier(cmd, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, 0,
                                   1, &memory, 0, NULL, 0, NULL);
    }
    GOOD(a->fn.vkEndCommandBuffer(cmd));
    return cmd;
}

/* GB/s, the median of RUNS, by the host's clock. What was made goes with the process. */
static double measure(alone *a, const uint32_t spec[3], uint32_t turns) {
    double ms[RUNS];
    const VkCommandBuffer cmd = record(a, spec, turns);
    const VkSubmitInfo submit = {
        .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO, .commandBufferCount = 1, .pCommandBuffers = &cmd};
    for (int i = -1; i < RUNS; i++) {
        const uint64_t start = gab_time_ns();
        GOOD(a->fn.vkQueueSubmit(a->queue, 1, &submit, VK_NULL_HANDLE));
        GOOD(a->fn.vkQueueWaitIdle(a->queue));
        ms[i < 0 ? 0 : i] = gab_time_ms_since(start);
    }
    return (double)n_byte * AGAIN / bench_time_of(ms, RUNS, 1).ms * 1e-6;
}

GAB_TEST(read_agrees_with_a_program_that_stands_alone) {
    const char *speed = getenv("GABBRO_TEST_SPEED");
    const bool quiet = speed && strcmp(speed, "1") == 0;
    const bench_ceiling_options options = {.n_run = RUNS, .rough = !quiet, .submit_ms = quiet ? 0 : 1};
    bench_ceilings ceilings;
    bench_pool pool = {0};
    uint32_t spec[3] = {0};
    if (quiet) n_byte = 64 << 20;
    char how[16] = "";
    gab_vk *vk = NULL;
    if (GAB_TEST_ASAN) SKIP("what the program makes goes with the process, which here is a leak");
    CHECK(setenv("GABBRO_VALIDATE", "0", 1) == 0); /* the layer is not part of what is compared */
    const gab_log log = gab_test_log();
    if (gab_vk_create("llvmpipe", &log, &vk) != GAB_OK) SKIP("no llvmpipe");
    CHECK_OK(bench_pool_create(vk, n_byte, &pool));
    CHECK_OK(bench_ceilings_measure(vk, &pool, &options, &ceilings));
    const bench_ceiling *read = NULL;
    for (uint32_t i = 0; i < ceilings.n; i++)
        if (ceilings.list[i].id == BENCH_CEILING_READ) read = &ceilings.list[i];
    CHECK(read && read->bytes == n_byte && read->least > 0);
    CHECK(sscanf(read->shape, "%u lanes, %u loads, %15s", &spec[0], &spec[1], how) >= 2);
    spec[2] = strcmp(how, "across") == 0 ? 2 : strcmp(how, "uniform") == 0 ? 1 : 0;
    alone a = {.addresses = vk->features & GAB_FEATURE_ADDRESS};
    open_device(&a, vk->info.name);
    make_buffer(&a);
    const double rate = measure(&a, spec, 64), share = rate / read->value;
    printf("bench %.2f GB/s (%.2f to %.2f; %s), alone %.2f GB/s\n", read->value, read->least, read->most, read->shape,
           rate);
    CHECK(rate > 0 && isfinite(share));
    if (quiet && (share < 0.9 || share > 1.1)) FAIL("they differ by more than 10%%");
    bench_pool_destroy(vk, &pool);
    gab_vk_destroy(&vk);
}

GAB_TEST_MAIN()
