#include "plan/kv_cache.h"

#include <stdlib.h>
#include <string.h>

static uint64_t pool_page_bytes(uint32_t n_head_kv, uint32_t head_dim, bool f16) {
    return (uint64_t)n_head_kv * GAB_PAGE * gab_head_dim_padded(head_dim) * (f16 ? 2 : 4);
}

uint64_t gab_kv_page_bytes(const gab_kv_shape *shapes, uint32_t n_layer, bool f16) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < n_layer; i++)
        if (shapes[i].layer == i) bytes += 2 * pool_page_bytes(shapes[i].n_head_kv, shapes[i].head_dim, f16);
    return bytes;
}

uint32_t gab_kv_page_limit(const gab_vk *vk, const gab_kv_shape *shapes, uint32_t n_layer, bool f16) {
    uint64_t n = UINT32_MAX;
    for (uint32_t i = 0; i < n_layer; i++) {
        const uint64_t fitting = vk->binding_bytes_max / pool_page_bytes(shapes[i].n_head_kv, shapes[i].head_dim, f16);
        if (fitting < n) n = fitting;
    }
    return (uint32_t)n;
}

/* Of the pool that buffer i is. */
static uint64_t page_bytes_of(const gab_kv_cache *cache, uint32_t i) {
    const gab_kv_layer *layer = &cache->layers[i / 2];
    return cache->owners[i / 2] == i / 2 ? pool_page_bytes(layer->n_head_kv, layer->head_dim, layer->f16) : 0;
}

static gab_status pools_create(gab_kv_cache *cache, uint32_t n_page) {
    for (uint32_t i = 0; i < 2 * cache->n_layer; i++)
        if (page_bytes_of(cache, i) > 0)
            GAB_TRY(gab_buffer_create(cache->vk, GAB_MEMORY_DEVICE, n_page * page_bytes_of(cache, i), "the KV cache",
                                      &cache->buffers[i]));
    return GAB_OK;
}

static void bind_layers(gab_kv_cache *cache) {
    for (uint32_t i = 0; i < cache->n_layer; i++) {
        cache->layers[i].keys = gab_buffer_all(&cache->buffers[2 * cache->owners[i]]);
        cache->layers[i].values = gab_buffer_all(&cache->buffers[2 * cache->owners[i] + 1]);
    }
}

gab_status gab_kv_cache_create(gab_vk *vk, const gab_kv_shape *shapes, uint32_t n_layer, bool f16, uint32_t n_page,
                               uint32_t n_page_max, gab_kv_cache *cache) {
    *cache = (gab_kv_cache){.vk = vk,
                            .n_layer = n_layer,
                            .page_bytes = gab_kv_page_bytes(shapes, n_layer, f16),
                            .n_page = n_page,
                            .n_page_max = n_page_max,
                            .owners = calloc(n_layer, sizeof(uint32_t)),
                            .layers = calloc(n_layer, sizeof(gab_kv_layer)),
                            .buffers = calloc(2 * (size_t)n_layer, sizeof(gab_buffer)),
                            .uses = calloc(n_page_max, sizeof(uint32_t))};
    if (!cache->owners || !cache->layers || !cache->buffers || !cache->uses)
        return gab_fail(&vk->log, GAB_ERROR_HOST_MEMORY, "out of host memory for the KV cache");
    for (uint32_t i = 0; i < n_layer; i++) {
        cache->owners[i] = shapes[i].layer;
        cache->layers[i] = (gab_kv_layer){.n_head_kv = shapes[i].n_head_kv, .head_dim = shapes[i].head_dim, .f16 = f16};
    }
    GAB_TRY(pools_create(cache, n_page));
    bind_layers(cache);
    return GAB_OK;
}

void gab_kv_cache_destroy(gab_kv_cache *cache) {
    if (!cache->vk) return;
    for (uint32_t i = 0; cache->buffers && i < 2 * cache->n_layer; i++)
        gab_buffer_destroy(cache->vk, &cache->buffers[i]);
    free(cache->buffers);
    free(cache->owners);
    free(cache->layers);
    free(cache->uses);
    memset(cache, 0, sizeof *cache);
}

uint32_t gab_kv_pages_free(const gab_kv_cache *cache) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < cache->n_page; i++) n += cache->uses[i] == 0;
    return n;
}

gab_status gab_kv_cache_grow(gab_kv_cache *cache) {
    gab_status status = GAB_OK;
    if (cache->n_page >= cache->n_page_max)
        return gab_fail(
            &cache->vk->log, GAB_ERROR_LIMIT,
            "the KV cache is full: all %u pages of %u positions are in use by sessions: end one, or start with "
            "a smaller --context",
            cache->n_page, GAB_PAGE);
    const uint32_t n_page = cache->n_page > cache->n_page_max / 2 ? cache->n_page_max : 2 * cache->n_page;
    for (uint32_t i = 0; status == GAB_OK && i < 2 * cache->n_layer; i++) { /* one pool at a time exists twice */
        gab_buffer larger;
        const uint64_t page_bytes = page_bytes_of(cache, i);
        if (cache->buffers[i].size >= n_page * page_bytes) continue;
        status = gab_buffer_create(cache->vk, GAB_MEMORY_DEVICE, n_page * page_bytes, "the KV cache", &larger);
        if (status != GAB_OK) break;
        status = gab_slice_copy(cache->vk, gab_buffer_all(&cache->buffers[i]), gab_buffer_all(&larger),
                                cache->n_page * page_bytes);
        gab_buffer_destroy(cache->vk, status == GAB_OK ? &cache->buffers[i] : &larger);
        if (status == GAB_OK) cache->buffers[i] = larger;
    }
    if (status == GAB_OK) cache->n_page = n_page;
    bind_layers(cache);
    return status;
}

bool gab_kv_page_take(gab_kv_cache *cache, uint32_t *page) {
    for (uint32_t i = 0; i < cache->n_page; i++)
        if (cache->uses[i] == 0) {
            cache->uses[i] = 1;
            *page = i;
            return true;
        }
    return false;
}

void gab_kv_page_share(gab_kv_cache *cache, uint32_t page) {
    cache->uses[page]++;
}

void gab_kv_page_release(gab_kv_cache *cache, uint32_t page) {
    cache->uses[page]--;
}

gab_status gab_kv_page_copy(gab_kv_cache *cache, uint32_t from, uint32_t to) {
    for (uint32_t i = 0; i < 2 * cache->n_layer; i++) {
        const uint64_t bytes = page_bytes_of(cache, i);
        if (bytes > 0)
            GAB_TRY(gab_slice_copy(cache->vk, gab_buffer_slice(&cache->buffers[i], from * bytes, bytes),
                                   gab_buffer_slice(&cache->buffers[i], to * bytes, bytes), bytes));
    }
    return GAB_OK;
}
