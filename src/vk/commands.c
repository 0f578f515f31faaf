#include "vk/commands.h"

#include <stdlib.h>
#include <string.h>

enum { SETS_A_POOL = 256 };

gab_status gab_command_list_create(gab_vk *vk, uint32_t n_primary_max, gab_command_list *list) {
    memset(list, 0, sizeof *list);
    list->primaries = calloc(n_primary_max, sizeof *list->primaries);
    list->ms = calloc(n_primary_max, sizeof *list->ms);
    list->cost = calloc(n_primary_max, sizeof *list->cost);
    if (!list->primaries || !list->ms || !list->cost)
        return gab_fail(&vk->log, GAB_ERROR_HOST_MEMORY, "out of host memory");
    list->primary_capacity = n_primary_max;
    VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                    .queueFamilyIndex = vk->queue_family};
    GAB_VK_TRY(vk, vk->fn.vkCreateCommandPool(vk->device, &pool, NULL, &list->pool));
    VkQueryPoolCreateInfo queries = {.sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO,
                                     .queryType = VK_QUERY_TYPE_TIMESTAMP,
                                     .queryCount = 2 * n_primary_max};
    if (vk->has_timestamps) GAB_VK_TRY(vk, vk->fn.vkCreateQueryPool(vk->device, &queries, NULL, &list->queries));
    return GAB_OK;
}

void gab_command_list_destroy(gab_vk *vk, gab_command_list *list) {
    if (list->queries) vk->fn.vkDestroyQueryPool(vk->device, list->queries, NULL);
    if (list->pool) vk->fn.vkDestroyCommandPool(vk->device, list->pool, NULL);
    for (uint32_t i = 0; i < list->n_set_pool; i++)
        vk->fn.vkDestroyDescriptorPool(vk->device, list->set_pools[i], NULL);
    free(list->set_pools);
    free(list->primaries);
    free(list->ms);
    free(list->cost);
    memset(list, 0, sizeof *list);
}

/* True when there is something to record into and nothing has failed. */
static bool recording(gab_recorder *r) {
    return r->status == GAB_OK && r->list;
}

static void check(gab_recorder *r, VkResult result, const char *call) {
    if (result != VK_SUCCESS && r->status == GAB_OK) r->status = gab_vk_error(r->vk, result, call);
}

void gab_record_open(gab_recorder *r) {
    gab_vk *vk = r->vk;
    gab_command_list *list = r->list;
    if (!recording(r)) return;
    if (list->n_primary == list->primary_capacity) {
        r->status =
            gab_fail(&vk->log, GAB_ERROR_LIMIT, "a plan needs more than %u command buffers", list->primary_capacity);
        return;
    }
    VkCommandBufferAllocateInfo allocate = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                            .commandPool = list->pool,
                                            .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                            .commandBufferCount = 1};
    VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
    check(r, vk->fn.vkAllocateCommandBuffers(vk->device, &allocate, &r->cmd), "vkAllocateCommandBuffers");
    if (r->status != GAB_OK) return;
    check(r, vk->fn.vkBeginCommandBuffer(r->cmd, &begin), "vkBeginCommandBuffer");
    uint32_t i = list->n_primary++;
    list->primaries[i] = r->cmd;
    if (list->queries) {
        vk->fn.vkCmdResetQueryPool(r->cmd, list->queries, 2 * i, 2);
        vk->fn.vkCmdWriteTimestamp(r->cmd, VK_PIPELINE_STAGE_TOP_OF_PIPE_BIT, list->queries, 2 * i);
    }
    gab_record_barrier(r);
}

void gab_record_close(gab_recorder *r) {
    if (!recording(r)) return;
    if (r->list->queries)
        r->vk->fn.vkCmdWriteTimestamp(r->cmd, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, r->list->queries,
                                      2 * r->list->n_primary - 1);
    check(r, r->vk->fn.vkEndCommandBuffer(r->cmd), "vkEndCommandBuffer");
}

static void barrier(gab_recorder *r, VkPipelineStageFlags to, VkAccessFlags access) {
    if (!recording(r)) return;
    VkMemoryBarrier memory = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                              .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
                              .dstAccessMask = access};
    r->vk->fn.vkCmdPipelineBarrier(r->cmd, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT, to, 0,
                                   1, &memory, 0, NULL, 0, NULL);
    r->list->n_barrier++;
}

void gab_record_barrier(gab_recorder *r) {
    barrier(r, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT,
            VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_READ_BIT |
                VK_ACCESS_TRANSFER_WRITE_BIT);
}

void gab_record_apart(gab_recorder *r) {
    if (!recording(r) || !r->vk->messenger) return;
    gab_record_barrier(r);
    r->list->n_barrier--; /* none otherwise */
}

void gab_record_host_barrier(gab_recorder *r) {
    barrier(r, VK_PIPELINE_STAGE_HOST_BIT, VK_ACCESS_HOST_READ_BIT);
}

void gab_record_copy(gab_recorder *r, gab_slice from, gab_slice to, const VkBufferCopy *regions, uint32_t n_region) {
    VkBufferCopy absolute[8];
    if (!recording(r)) return;
    for (uint32_t i = 0; i < n_region; i++)
        absolute[i] = (VkBufferCopy){.srcOffset = from.offset + regions[i].srcOffset,
                                     .dstOffset = to.offset + regions[i].dstOffset,
                                     .size = regions[i].size};
    r->vk->fn.vkCmdCopyBuffer(r->cmd, from.buffer, to.buffer, n_region, absolute);
}

void gab_grid_fold(uint64_t n, uint32_t groups[3]) {
    groups[0] = n < GAB_GRID_FOLD ? (uint32_t)n : GAB_GRID_FOLD;
    groups[1] = (uint32_t)((n + GAB_GRID_FOLD - 1) / GAB_GRID_FOLD);
    groups[2] = 1;
}

static gab_status set_allocate(gab_recorder *r, VkDescriptorSetLayout layout, VkDescriptorSet *set) {
    gab_vk *vk = r->vk;
    gab_command_list *list = r->list;
    if (list->n_set_left == 0) {
        VkDescriptorPool *pools = realloc(list->set_pools, (list->n_set_pool + 1) * sizeof *pools);
        if (!pools) return gab_fail(&vk->log, GAB_ERROR_HOST_MEMORY, "out of host memory");
        list->set_pools = pools;
        VkDescriptorPoolSize size = {.type = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                     .descriptorCount = SETS_A_POOL * GAB_BINDING_MAX};
        VkDescriptorPoolCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
                                           .maxSets = SETS_A_POOL,
                                           .poolSizeCount = 1,
                                           .pPoolSizes = &size};
        GAB_VK_TRY(vk, vk->fn.vkCreateDescriptorPool(vk->device, &info, NULL, &pools[list->n_set_pool]));
        list->n_set_pool++;
        list->n_set_left = SETS_A_POOL;
    }
    VkDescriptorSetAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
                                        .descriptorPool = list->set_pools[list->n_set_pool - 1],
                                        .descriptorSetCount = 1,
                                        .pSetLayouts = &layout};
    GAB_VK_TRY(vk, vk->fn.vkAllocateDescriptorSets(vk->device, &info, set));
    list->n_set_left--;
    return GAB_OK;
}

static void set_write(gab_vk *vk, VkDescriptorSet set, const gab_dispatch *d) {
    VkDescriptorBufferInfo buffers[GAB_BINDING_MAX];
    VkWriteDescriptorSet write = {.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
                                  .dstSet = set,
                                  .descriptorCount = d->pipeline.n_binding,
                                  .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                  .pBufferInfo = buffers};
    for (uint32_t i = 0; i < d->pipeline.n_binding; i++)
        buffers[i] = (VkDescriptorBufferInfo){d->bindings[i].buffer, d->bindings[i].offset, d->bindings[i].size};
    vk->fn.vkUpdateDescriptorSets(vk->device, 1, &write, 0, NULL);
}

static void bind(gab_recorder *r, const gab_pipeline *pipeline, VkDescriptorSet set, const gab_dispatch *d) {
    gab_vk *vk = r->vk;
    vk->fn.vkCmdBindPipeline(r->cmd, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline->pipeline);
    vk->fn.vkCmdBindDescriptorSets(r->cmd, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline->layout, 0, 1, &set, 0, NULL);
    vk->fn.vkCmdPushConstants(r->cmd, pipeline->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, d->push_bytes, d->push);
}

/* Goes on in another primary when `cost` more operations would make this one too long. */
static bool next_primary(gab_recorder *r, double cost) {
    const gab_command_list *list = r->list;
    const double so_far = list->cost[list->n_primary - 1];
    if (r->primary_cost <= 0 || so_far <= 0 || so_far + cost <= r->primary_cost) return false;
    if (list->n_primary + r->n_primary_kept >= list->primary_capacity) return false;
    gab_record_close(r);
    gab_record_open(r);
    return true;
}

/* Cuts the longest dimension into pieces of at most piece_cost; the shader sees the same group ids. */
static void dispatch_in_pieces(gab_recorder *r, const gab_pipeline *pipeline, VkDescriptorSet set,
                               const gab_dispatch *d) {
    uint32_t longest = 0, pieces = 1, base[3] = {0}, size[3];
    for (uint32_t i = 1; i < 3; i++)
        if (d->groups[i] > d->groups[longest]) longest = i;
    if (d->cost > 0 && r->piece_cost > 0 && d->cost > r->piece_cost) {
        double wanted = d->cost / r->piece_cost + 1;
        pieces = wanted > d->groups[longest] ? d->groups[longest] : (uint32_t)wanted;
    }
    const double cost = d->cost / pieces;
    memcpy(size, d->groups, sizeof size);
    size[longest] = (d->groups[longest] + pieces - 1) / pieces;
    for (; base[longest] < d->groups[longest]; base[longest] += size[longest]) {
        const bool next = next_primary(r, cost);
        if (r->status != GAB_OK) return;
        if (next || base[longest] == 0)
            bind(r, pipeline, set, d);
        else
            gab_record_apart(r);
        if (size[longest] > d->groups[longest] - base[longest]) size[longest] = d->groups[longest] - base[longest];
        if (pieces == 1) /* by the call that every validation layer understands */
            r->vk->fn.vkCmdDispatch(r->cmd, size[0], size[1], size[2]);
        else
            r->vk->fn.vkCmdDispatchBase(r->cmd, base[0], base[1], base[2], size[0], size[1], size[2]);
        r->list->cost[r->list->n_primary - 1] += cost;
    }
}

void gab_record_dispatch(gab_recorder *r, const gab_dispatch *d) {
    const gab_pipeline *pipeline = NULL;
    VkDescriptorSet set = VK_NULL_HANDLE;
    gab_vk *vk = r->vk;
    if (r->status != GAB_OK) return;
    if (!r->list) {
        r->cost += d->cost;
        if (r->tell)
            r->tell(r->tell_user, d);
        else if (!r->keys)
            r->status = gab_pipeline_request(vk->pipelines, &d->pipeline);
        else if (r->n_key < r->key_capacity)
            r->keys[r->n_key++] = d->pipeline;
        return;
    }
    for (uint32_t i = 0; i < 3; i++)
        if (d->groups[i] == 0 || d->groups[i] > vk->properties.limits.maxComputeWorkGroupCount[i]) {
            char text[160];
            gab_pipeline_describe(&d->pipeline, text, sizeof text);
            r->status =
                gab_fail(&vk->log, GAB_ERROR_LIMIT, "%s: a grid of %u groups in dimension %u, %s allows 1 to %u", text,
                         d->groups[i], i, vk->info.name, vk->properties.limits.maxComputeWorkGroupCount[i]);
            return;
        }
    r->status = gab_pipeline_get(vk->pipelines, &d->pipeline, &pipeline);
    if (r->status == GAB_OK) r->status = set_allocate(r, pipeline->set_layout, &set);
    if (r->status != GAB_OK) return;
    set_write(vk, set, d);
    dispatch_in_pieces(r, pipeline, set, d);
    r->list->n_dispatch++;
}

gab_status gab_submit(gab_vk *vk, const gab_command_list *list, uint32_t first, uint32_t n, uint64_t *value) {
    uint64_t next = vk->timeline_value + 1;
    VkTimelineSemaphoreSubmitInfo timeline = {.sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO,
                                              .signalSemaphoreValueCount = 1,
                                              .pSignalSemaphoreValues = &next};
    VkSubmitInfo submit = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                           .pNext = &timeline,
                           .commandBufferCount = n,
                           .pCommandBuffers = list->primaries + first,
                           .signalSemaphoreCount = 1,
                           .pSignalSemaphores = &vk->timeline};
    GAB_VK_TRY(vk, vk->fn.vkQueueSubmit(vk->queue, 1, &submit, VK_NULL_HANDLE));
    vk->timeline_value = next;
    *value = next;
    return GAB_OK;
}

gab_status gab_wait(gab_vk *vk, uint64_t value) {
    VkSemaphoreWaitInfo wait = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
                                .semaphoreCount = 1,
                                .pSemaphores = &vk->timeline,
                                .pValues = &value};
    GAB_VK_TRY(vk, vk->fn.vkWaitSemaphores(vk->device, &wait, UINT64_MAX));
    return GAB_OK;
}

void gab_command_list_measure(gab_vk *vk, gab_command_list *list) {
    for (uint32_t i = 0; list->queries && i < list->n_primary; i++) {
        uint64_t t[2] = {0};
        if (vk->fn.vkGetQueryPoolResults(vk->device, list->queries, 2 * i, 2, sizeof t, t, sizeof t[0],
                                         VK_QUERY_RESULT_64_BIT) == VK_SUCCESS &&
            t[1] >= t[0])
            list->ms[i] = (double)(t[1] - t[0]) * (double)vk->properties.limits.timestampPeriod * 1e-6;
    }
}
