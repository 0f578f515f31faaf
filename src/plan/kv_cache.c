#include "plan/kv_cache.h"

#include <stdlib.h>
#include <string.h>

static uint64_t pool_page_bytes(uint32_t n_head_kv, uint32_t head_dim, bool f16) {
    return (uint64_t)n_head_kv * GAB_PAGE * gab_head_dim_padded(head_dim) * (f16 ? 2 : 4);
}

uint64_t gab_kv_page_bytes(uint32_t n_layer, uint32_t n_head_kv, uint32_t head_dim, bool f16) {
    return 2ull * n_layer * pool_page_bytes(n_head_kv, head_dim, f16);
}

uint32_t gab_kv_page_limit(const gab_vk *vk, uint32_t n_head_kv, uint32_t head_dim, bool f16) {
    uint64_t n = vk->binding_bytes_max / pool_page_bytes(n_head_kv, head_dim, f16);
    return n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

/* Buffers of n_page pages for every layer into buffers[2 * n_layer]. */
static gab_status pools_create(gab_kv_cache *cache, uint32_t n_page, gab_buffer *buffers) {
    for (uint32_t i = 0; i < 2 * cache->n_layer; i++)
        GAB_TRY(
            gab_buffer_create(cache->vk, GAB_MEMORY_DEVICE, n_page * cache->page_bytes, "the KV cache", &buffers[i]));
    return GAB_OK;
}

static void pools_destroy(gab_kv_cache *cache, gab_buffer *buffers) {
    if (!buffers) return;
    for (uint32_t i = 0; i < 2 * cache->n_layer; i++) gab_buffer_destroy(cache->vk, &buffers[i]);
    free(buffers);
}

static void bind_layers(gab_kv_cache *cache) {
    for (uint32_t i = 0; i < cache->n_layer; i++) {
        cache->layers[i].keys = gab_buffer_all(&cache->buffers[2 * i]);
        cache->layers[i].values = gab_buffer_all(&cache->buffers[2 * i + 1]);
    }
}

gab_status gab_kv_cache_create(gab_vk *vk, uint32_t n_layer, uint32_t n_head_kv, uint32_t head_dim, bool f16,
                               uint32_t n_page, uint32_t n_page_max, gab_kv_cache *cache) {
    *cache = (gab_kv_cache){.vk = vk,
                            .n_layer = n_layer,
                            .page_bytes = pool_page_bytes(n_head_kv, head_dim, f16),
                            .n_page = n_page,
                            .n_page_max = n_page_max,
                            .layers = calloc(n_layer, sizeof(gab_kv_layer)),
                            .buffers = calloc(2 * (size_t)n_layer, sizeof(gab_buffer)),
                            .uses = calloc(n_page_max, sizeof(uint32_t))};
    if (!cache->layers || !cache->buffers || !cache->uses)
        return gab_fail(&vk->log, GAB_ERROR_HOST_MEMORY, "out of host memory for the KV cache");
    for (uint32_t i = 0; i < n_layer; i++)
        cache->layers[i] = (gab_kv_layer){.n_head_kv = n_head_kv, .head_dim = head_dim, .f16 = f16};
    GAB_TRY(pools_create(cache, n_page, cache->buffers));
    bind_layers(cache);
    return GAB_OK;
}

void gab_kv_cache_destroy(gab_kv_cache *cache) {
    if (!cache->vk) return;
    pools_destroy(cache, cache->buffers);
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
    const uint64_t old_bytes = cache->n_page * cache->page_bytes;
    for (uint32_t i = 0; status == GAB_OK && i < 2 * cache->n_layer; i++) { /* one pool at a time exists twice */
        gab_buffer larger;
        if (cache->buffers[i].size >= n_page * cache->page_bytes) continue;
        status = gab_buffer_create(cache->vk, GAB_MEMORY_DEVICE, n_page * cache->page_bytes, "the KV cache", &larger);
        if (status != GAB_OK) break;
        status = gab_slice_copy(cache->vk, gab_buffer_all(&cache->buffers[i]), gab_buffer_all(&larger), old_bytes);
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
    for (uint32_t i = 0; i < 2 * cache->n_layer; i++)
        GAB_TRY(gab_slice_copy(
            cache->vk, gab_buffer_slice(&cache->buffers[i], from * cache->page_bytes, cache->page_bytes),
            gab_buffer_slice(&cache->buffers[i], to * cache->page_bytes, cache->page_bytes), cache->page_bytes));
    return GAB_OK;
}
