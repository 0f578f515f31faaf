/*
 * kv_cache.h - the keys and values of all sessions: per layer two pools of pages on the device, and on the host a count
 * of uses a page. A page holds GAB_PAGE positions of one sequence in all layers. Pages are shared by counting and
 * copied before a write. Used by the scheduler's thread alone.
 */
#ifndef GAB_PLAN_KV_CACHE_H
#define GAB_PLAN_KV_CACHE_H

#include "kernels/kv_write.h"

/* The keys and values of a layer. */
typedef struct gab_kv_shape {
    uint32_t n_head_kv, head_dim;
    uint32_t layer; /* whose they are: its own number, or that of a layer before it, of the same sizes */
} gab_kv_shape;

typedef struct gab_kv_cache {
    gab_vk *vk;
    uint32_t n_layer;
    uint32_t *owners;     /* [n_layer]: the layer whose pools a layer reads */
    gab_kv_layer *layers; /* [n_layer]: what kernels see */
    uint64_t page_bytes;  /* of all pools together */
    gab_buffer *buffers;  /* [2 * n_layer]: keys, values; none where a layer has none of its own */
    uint32_t n_page;      /* pages a pool has now */
    uint32_t n_page_max;  /* what it may grow to */
    uint32_t *uses;       /* [n_page_max] */
} gab_kv_cache;

/* Bytes of a page in all layers together. */
uint64_t gab_kv_page_bytes(const gab_kv_shape *shapes, uint32_t n_layer, bool f16);

/* Most pages that every pool can hold on this device. */
uint32_t gab_kv_page_limit(const gab_vk *vk, const gab_kv_shape *shapes, uint32_t n_layer, bool f16);

gab_status gab_kv_cache_create(gab_vk *vk, const gab_kv_shape *shapes, uint32_t n_layer, bool f16, uint32_t n_page,
                               uint32_t n_page_max, gab_kv_cache *cache);
void gab_kv_cache_destroy(gab_kv_cache *cache);

uint32_t gab_kv_pages_free(const gab_kv_cache *cache);

/* Makes the pools larger (at least by one page) and keeps what is in them. The buffers change: plans that bind them
 * must be recorded again, also when it fails half way (the cache is then as it was, with some pools larger). Fails with
 * LIMIT at n_page_max. */
gab_status gab_kv_cache_grow(gab_kv_cache *cache);

/* A free page, used once; false when there is none. */
bool gab_kv_page_take(gab_kv_cache *cache, uint32_t *page);
void gab_kv_page_share(gab_kv_cache *cache, uint32_t page);
void gab_kv_page_release(gab_kv_cache *cache, uint32_t page);

/* Copies a page's contents in all layers. Blocks. */
gab_status gab_kv_page_copy(gab_kv_cache *cache, uint32_t from, uint32_t to);

#endif
