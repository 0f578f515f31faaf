#include "bench/trace.h"

#include <stdio.h>

static struct VolkDeviceTable real;
static bench_trace now;

static VKAPI_ATTR VkResult VKAPI_CALL begin(VkCommandBuffer cmd, const VkCommandBufferBeginInfo *info) {
    now.n_primary++;
    return real.vkBeginCommandBuffer(cmd, info);
}

static VKAPI_ATTR void VKAPI_CALL bind(VkCommandBuffer cmd, VkPipelineBindPoint point, VkPipeline pipeline) {
    if (now.n_dispatch < BENCH_TRACE_MAX) now.pipelines[now.n_dispatch] = pipeline;
    now.n_dispatch++;
    real.vkCmdBindPipeline(cmd, point, pipeline);
}

static VKAPI_ATTR void VKAPI_CALL dispatch(VkCommandBuffer cmd, uint32_t x, uint32_t y, uint32_t z) {
    now.n_piece++;
    real.vkCmdDispatch(cmd, x, y, z);
}

static VKAPI_ATTR void VKAPI_CALL dispatch_base(VkCommandBuffer cmd, uint32_t x0, uint32_t y0, uint32_t z0, uint32_t x,
                                                uint32_t y, uint32_t z) {
    now.n_piece++;
    real.vkCmdDispatchBase(cmd, x0, y0, z0, x, y, z);
}

/* NOLINTNEXTLINE(readability-function-size): the parameters are Vulkan's */
static VKAPI_ATTR void VKAPI_CALL barrier(VkCommandBuffer cmd, VkPipelineStageFlags from, VkPipelineStageFlags to,
                                          VkDependencyFlags flags, uint32_t n_memory, const VkMemoryBarrier *memory,
                                          uint32_t n_buffer, const VkBufferMemoryBarrier *buffers, uint32_t n_image,
                                          const VkImageMemoryBarrier *images) {
    now.n_barrier++;
    real.vkCmdPipelineBarrier(cmd, from, to, flags, n_memory, memory, n_buffer, buffers, n_image, images);
}

void bench_trace_start(gab_vk *vk) {
    real = vk->fn;
    now = (bench_trace){0};
    vk->fn.vkBeginCommandBuffer = begin;
    vk->fn.vkCmdBindPipeline = bind;
    vk->fn.vkCmdDispatch = dispatch;
    vk->fn.vkCmdDispatchBase = dispatch_base;
    vk->fn.vkCmdPipelineBarrier = barrier;
}

bench_trace bench_trace_now(void) {
    return now;
}

void bench_trace_stop(gab_vk *vk) {
    vk->fn = real;
}

void bench_trace_describe(const gab_vk *vk, VkPipeline pipeline, char *text, size_t size) {
    for (uint32_t i = 0; i < gab_pipeline_count(vk->pipelines); i++) {
        const gab_pipeline *p = gab_pipeline_at(vk->pipelines, i);
        if (p->pipeline != pipeline) continue;
        gab_pipeline_describe(&p->key, text, size);
        return;
    }
    snprintf(text, size, "?");
}
