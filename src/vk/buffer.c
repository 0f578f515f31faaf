#include "vk/buffer.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { STAGING_BYTES = 16 * 1024 * 1024 };

/* The memory type among `allowed` for a kind: the first that has all wanted flags, trying the lists in turn. -1: none.
 */
static int memory_type(const gab_vk *vk, uint32_t allowed, gab_memory_kind kind) {
    const VkMemoryPropertyFlags local = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT;
    const VkMemoryPropertyFlags host = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    const VkMemoryPropertyFlags cached = VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
    const VkMemoryPropertyFlags wanted[3][3] = {
        [GAB_MEMORY_DEVICE] = {vk->info.unified_memory ? local | host : local, local, 0},
        [GAB_MEMORY_MAILBOX] = {host, host, host},
        [GAB_MEMORY_READBACK] = {host | cached, host, host},
    };
    for (int try = 0; try < 3; try++)
        for (uint32_t i = 0; i < vk->memory.memoryTypeCount; i++)
            if ((allowed & (1u << i)) &&
                (vk->memory.memoryTypes[i].propertyFlags & wanted[kind][try]) == wanted[kind][try])
                return (int)i;
    return -1;
}

gab_status gab_buffer_create_unset(gab_vk *vk, gab_memory_kind kind, uint64_t size, const char *what,
                                   gab_buffer *buffer) {
    const double mib = 1.0 / (1 << 20);
    gab_status status = GAB_OK;
    uint32_t families[2] = {vk->queue_family, vk->transfer_family};
    bool shared = kind == GAB_MEMORY_DEVICE && families[0] != families[1];
    VkBufferCreateInfo info = {.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                               .size = size,
                               .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
                                        VK_BUFFER_USAGE_TRANSFER_DST_BIT,
                               .sharingMode = shared ? VK_SHARING_MODE_CONCURRENT : VK_SHARING_MODE_EXCLUSIVE,
                               .queueFamilyIndexCount = shared ? 2 : 0,
                               .pQueueFamilyIndices = families};
    VkMemoryRequirements need;
    const bool addressed = vk->features & GAB_FEATURE_ADDRESS;
    const VkMemoryAllocateFlagsInfo flags = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO,
                                             .flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT};

    if (addressed) info.usage |= VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT;
    memset(buffer, 0, sizeof *buffer);
    if (size > vk->buffer_bytes_max)
        return gab_fail(
            &vk->log, GAB_ERROR_DEVICE_MEMORY,
            "%s needs one buffer of %.0f MiB; %s allows %.0f MiB: try a smaller --context or a smaller file", what,
            (double)size * mib, vk->info.name, (double)vk->buffer_bytes_max * mib);
    VkResult result = vk->fn.vkCreateBuffer(vk->device, &info, NULL, &buffer->buffer);
    if (result != VK_SUCCESS) return gab_vk_error(vk, result, "vkCreateBuffer");
    vk->fn.vkGetBufferMemoryRequirements(vk->device, buffer->buffer, &need);
    int type = memory_type(vk, need.memoryTypeBits, kind);
    if (type < 0) {
        status = gab_fail(&vk->log, GAB_ERROR_UNSUPPORTED, "%s offers no memory for %s", vk->info.name, what);
        goto error;
    }
    VkMemoryAllocateInfo allocate = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                     .pNext = addressed ? &flags : NULL,
                                     /* at addresses, lavapipe may read a turn past the end of a loop */
                                     .allocationSize = need.size + (addressed ? 4096 : 0),
                                     .memoryTypeIndex = (uint32_t)type};
    result = vk->fn.vkAllocateMemory(vk->device, &allocate, NULL, &buffer->memory);
    if (result == VK_ERROR_OUT_OF_DEVICE_MEMORY || result == VK_ERROR_OUT_OF_HOST_MEMORY) {
        status = gab_fail(&vk->log, GAB_ERROR_DEVICE_MEMORY,
                          "%s needs %.1f MiB more on %s (%.0f MiB, %.0f free): close other programs that use it, try a "
                          "smaller --context or a smaller file",
                          what, (double)size * mib, vk->info.name, (double)vk->info.memory_total * mib,
                          (double)gab_vk_memory_free(vk) * mib);
        goto error;
    }
    if (result != VK_SUCCESS) {
        status = gab_vk_error(vk, result, "vkAllocateMemory");
        goto error;
    }
    result = vk->fn.vkBindBufferMemory(vk->device, buffer->buffer, buffer->memory, 0);
    if (result != VK_SUCCESS) {
        status = gab_vk_error(vk, result, "vkBindBufferMemory");
        goto error;
    }
    if ((vk->memory.memoryTypes[type].propertyFlags &
         (VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT)) ==
        (VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT))
        result = vk->fn.vkMapMemory(vk->device, buffer->memory, 0, VK_WHOLE_SIZE, 0, &buffer->mapped);
    if (result != VK_SUCCESS &&
        (kind != GAB_MEMORY_DEVICE || result == VK_ERROR_DEVICE_LOST)) { /* else it goes unmapped */
        status = gab_vk_error(vk, result, "vkMapMemory");
        goto error;
    }
    buffer->size = size;
    if (addressed) {
        const VkBufferDeviceAddressInfo where = {.sType = VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO,
                                                 .buffer = buffer->buffer};
        buffer->address = vk->fn.vkGetBufferDeviceAddress(vk->device, &where);
    }
    return GAB_OK;
error:
    gab_buffer_destroy(vk, buffer);
    return status;
}

void gab_buffer_destroy(gab_vk *vk, gab_buffer *buffer) {
    if (buffer->buffer) vk->fn.vkDestroyBuffer(vk->device, buffer->buffer, NULL);
    if (buffer->memory) vk->fn.vkFreeMemory(vk->device, buffer->memory, NULL);
    memset(buffer, 0, sizeof *buffer);
}

gab_slice gab_buffer_slice(const gab_buffer *buffer, uint64_t offset, uint64_t size) {
    return (gab_slice){.buffer = buffer->buffer,
                       .offset = offset,
                       .size = size,
                       .mapped = buffer->mapped ? (char *)buffer->mapped + offset : NULL,
                       .address = buffer->address ? buffer->address + offset : 0};
}

uint64_t gab_vk_memory_free(const gab_vk *vk) {
    VkPhysicalDeviceMemoryBudgetPropertiesEXT budget = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT};
    VkPhysicalDeviceMemoryProperties2 memory = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2,
                                                .pNext = &budget};
    if (!vk->has_memory_budget) return vk->info.memory_free;
    vkGetPhysicalDeviceMemoryProperties2(vk->physical, &memory);
    uint32_t heap = 0;
    for (uint32_t i = 0; i < vk->memory.memoryHeapCount; i++)
        if ((vk->memory.memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) &&
            vk->memory.memoryHeaps[i].size == vk->info.memory_total)
            heap = i;
    uint64_t total = budget.heapBudget[heap], used = budget.heapUsage[heap];
    return total > used ? total - used : 0;
}

/* ---- one-off transfers ---- */

typedef struct transfer {
    VkCommandPool pool;
    VkCommandBuffer cmd;
    VkFence fence;
    bool on_compute;
} transfer;

/* Records into transfer->cmd between begin and run; run submits on the queue and waits. */
static gab_status transfer_begin(gab_vk *vk, bool on_compute, transfer *t) {
    memset(t, 0, sizeof *t);
    t->on_compute = on_compute;
    VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                    .queueFamilyIndex = on_compute ? vk->queue_family : vk->transfer_family};
    GAB_VK_TRY(vk, vk->fn.vkCreateCommandPool(vk->device, &pool, NULL, &t->pool));
    VkCommandBufferAllocateInfo allocate = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                            .commandPool = t->pool,
                                            .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                            .commandBufferCount = 1};
    VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                      .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT};
    VkFenceCreateInfo fence = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    GAB_VK_TRY(vk, vk->fn.vkAllocateCommandBuffers(vk->device, &allocate, &t->cmd));
    GAB_VK_TRY(vk, vk->fn.vkCreateFence(vk->device, &fence, NULL, &t->fence));
    GAB_VK_TRY(vk, vk->fn.vkBeginCommandBuffer(t->cmd, &begin));
    VkMemoryBarrier barrier = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                               .srcAccessMask = VK_ACCESS_MEMORY_WRITE_BIT,
                               .dstAccessMask = VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT};
    vk->fn.vkCmdPipelineBarrier(t->cmd, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, VK_PIPELINE_STAGE_TRANSFER_BIT, 0, 1,
                                &barrier, 0, NULL, 0, NULL);
    return GAB_OK;
}

static gab_status transfer_run(gab_vk *vk, transfer *t) {
    VkMemoryBarrier barrier = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                               .srcAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT,
                               .dstAccessMask = VK_ACCESS_HOST_READ_BIT};
    vk->fn.vkCmdPipelineBarrier(t->cmd, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &barrier, 0,
                                NULL, 0, NULL);
    GAB_VK_TRY(vk, vk->fn.vkEndCommandBuffer(t->cmd));
    VkSubmitInfo submit = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO, .commandBufferCount = 1, .pCommandBuffers = &t->cmd};
    GAB_VK_TRY(vk, vk->fn.vkQueueSubmit(t->on_compute ? vk->queue : vk->transfer_queue, 1, &submit, t->fence));
    GAB_VK_TRY(vk, vk->fn.vkWaitForFences(vk->device, 1, &t->fence, VK_TRUE, UINT64_MAX));
    return GAB_OK;
}

static void transfer_end(gab_vk *vk, transfer *t) {
    if (t->fence) vk->fn.vkDestroyFence(vk->device, t->fence, NULL);
    if (t->pool) vk->fn.vkDestroyCommandPool(vk->device, t->pool, NULL);
}

/* Through a bus the device is faster. */
static gab_status clear(gab_vk *vk, gab_memory_kind kind, gab_buffer *buffer) {
    if (buffer->mapped && (kind != GAB_MEMORY_DEVICE || vk->info.kind == GAB_DEVICE_CPU)) {
        memset(buffer->mapped, 0, (size_t)buffer->size);
        return GAB_OK;
    }
    transfer t;
    gab_status status;
    GAB_TRY_GOTO(transfer_begin(vk, true, &t), error);
    vk->fn.vkCmdFillBuffer(t.cmd, buffer->buffer, 0, VK_WHOLE_SIZE, 0);
    status = transfer_run(vk, &t);
error:
    transfer_end(vk, &t);
    return status;
}

gab_status gab_buffer_create(gab_vk *vk, gab_memory_kind kind, uint64_t size, const char *what, gab_buffer *buffer) {
    GAB_TRY(gab_buffer_create_unset(vk, kind, size, what, buffer));
    gab_status status = clear(vk, kind, buffer);
    if (status != GAB_OK) gab_buffer_destroy(vk, buffer);
    return status;
}

static gab_status copy_once(gab_vk *vk, bool on_compute, VkBuffer from, VkBuffer to, const VkBufferCopy *regions,
                            uint32_t n_region) {
    transfer t;
    gab_status status;
    GAB_TRY_GOTO(transfer_begin(vk, on_compute, &t), error);
    vk->fn.vkCmdCopyBuffer(t.cmd, from, to, n_region, regions);
    status = transfer_run(vk, &t);
error:
    transfer_end(vk, &t);
    return status;
}

gab_status gab_slice_copy(gab_vk *vk, gab_slice from, gab_slice to, uint64_t n) {
    VkBufferCopy region = {.srcOffset = from.offset, .dstOffset = to.offset, .size = n};
    return copy_once(vk, true, from.buffer, to.buffer, &region, 1);
}

gab_status gab_buffer_upload(gab_vk *vk, const gab_buffer *from, VkBuffer to, const VkBufferCopy *regions,
                             uint32_t n_region) {
    return copy_once(vk, false, from->buffer, to, regions, n_region);
}

/* One bounded piece through a staging buffer, either way. */
static gab_status copy_piece(gab_vk *vk, const gab_buffer *staging, gab_slice slice, uint64_t offset, uint64_t n,
                             bool to_device) {
    VkBufferCopy region = {.srcOffset = to_device ? 0 : slice.offset + offset,
                           .dstOffset = to_device ? slice.offset + offset : 0,
                           .size = n};
    return copy_once(vk, !to_device, to_device ? staging->buffer : slice.buffer,
                     to_device ? slice.buffer : staging->buffer, &region, 1);
}

static gab_status copy_staged(gab_vk *vk, gab_slice slice, uint64_t offset, char *data, uint64_t n, bool to_device) {
    gab_buffer staging;
    gab_status status = gab_buffer_create(vk, to_device ? GAB_MEMORY_MAILBOX : GAB_MEMORY_READBACK,
                                          n < STAGING_BYTES ? n : STAGING_BYTES, "staging", &staging);
    for (uint64_t done = 0; status == GAB_OK && done < n; done += STAGING_BYTES) {
        uint64_t part = n - done < STAGING_BYTES ? n - done : STAGING_BYTES;
        if (to_device) memcpy(staging.mapped, data + done, (size_t)part);
        status = copy_piece(vk, &staging, slice, offset + done, part, to_device);
        if (status == GAB_OK && !to_device) memcpy(data + done, staging.mapped, (size_t)part);
    }
    gab_buffer_destroy(vk, &staging);
    return status;
}

gab_status gab_slice_write(gab_vk *vk, gab_slice slice, uint64_t offset, const void *data, uint64_t n) {
    if (n == 0) return GAB_OK;
    if (!slice.mapped) return copy_staged(vk, slice, offset, (char *)data, n, true);
    memcpy((char *)slice.mapped + offset, data, (size_t)n);
    return GAB_OK;
}

/* Is what is mapped of the device's memory read at speed? Through a bus it is read word by word. */
static bool mapped_is_cached(const gab_vk *vk) {
    const int type = memory_type(vk, UINT32_MAX, GAB_MEMORY_DEVICE);
    return type >= 0 && (vk->memory.memoryTypes[type].propertyFlags & VK_MEMORY_PROPERTY_HOST_CACHED_BIT);
}

gab_status gab_slice_read(gab_vk *vk, gab_slice slice, uint64_t offset, void *data, uint64_t n) {
    enum { MAPPED_BYTES_MAX = 256 * 1024 };
    if (n == 0) return GAB_OK;
    if (!slice.mapped || (n > MAPPED_BYTES_MAX && !mapped_is_cached(vk)))
        return copy_staged(vk, slice, offset, data, n, false);
    memcpy(data, (const char *)slice.mapped + offset, (size_t)n);
    return GAB_OK;
}
