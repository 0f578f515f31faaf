#include "bench/pool.h"

#include <stdlib.h>
#include <string.h>

gab_status bench_buffer_create(gab_vk *vk, uint64_t size, const char *what, gab_buffer *buffer) {
    enum { CHUNK = 1 << 22 };
    GAB_TRY(gab_buffer_create(vk, GAB_MEMORY_DEVICE, size, what, buffer));
    const uint64_t chunk = size < CHUNK ? size : CHUNK;
    char *bytes = malloc(chunk);
    gab_status status = bytes ? GAB_OK : gab_fail(&vk->log, GAB_ERROR_HOST_MEMORY, "out of host memory");
    if (bytes) memset(bytes, BENCH_POOL_BYTE, chunk);
    for (uint64_t at = 0; status == GAB_OK && at < size; at += chunk)
        status = gab_slice_write(vk, gab_buffer_all(buffer), at, bytes, size - at < chunk ? size - at : chunk);
    free(bytes);
    return status;
}

gab_status bench_pool_create(gab_vk *vk, uint64_t bytes, bench_pool *pool) {
    const uint64_t least = 1 << 20, free_bytes = gab_vk_memory_free(vk);
    uint64_t size = least;
    *pool = (bench_pool){0};
    if (bytes > free_bytes / 4) bytes = free_bytes / 4;
    while (2 * size <= bytes && 2 * size <= vk->binding_bytes_max) size *= 2;
    do GAB_TRY(bench_buffer_create(vk, size, "benchmark data", &pool->buffers[pool->n_buffer++]));
    while (pool->n_buffer < BENCH_POOL_MAX && (pool->n_buffer + 1) * size <= bytes);
    return GAB_OK;
}

void bench_pool_destroy(gab_vk *vk, bench_pool *pool) {
    for (uint32_t i = 0; i < pool->n_buffer; i++) gab_buffer_destroy(vk, &pool->buffers[i]);
    pool->n_buffer = 0;
}

uint64_t bench_pool_bytes(const bench_pool *pool) {
    return pool->n_buffer * pool->buffers[0].size;
}

gab_slice bench_pool_take(bench_pool *pool, uint64_t unit, uint64_t wanted) {
    for (; pool->taken_buffer < pool->n_buffer; pool->taken_buffer++, pool->taken_bytes = 0) {
        const gab_buffer *buffer = &pool->buffers[pool->taken_buffer];
        uint64_t size = (buffer->size - pool->taken_bytes) / unit * unit;
        if (size > wanted) size = wanted;
        if (size == 0) continue;
        const gab_slice slice = gab_buffer_slice(buffer, pool->taken_bytes, size);
        pool->taken_bytes += (size + GAB_SLICE_ALIGN - 1) / GAB_SLICE_ALIGN * GAB_SLICE_ALIGN;
        if (pool->taken_bytes > buffer->size) pool->taken_bytes = buffer->size;
        return slice;
    }
    return (gab_slice){0};
}

void bench_pool_reset(bench_pool *pool) {
    pool->taken_buffer = 0;
    pool->taken_bytes = 0;
}
