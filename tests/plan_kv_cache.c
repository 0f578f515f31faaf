/* Pages: counting, sharing, copying, and pools that grow and keep what they hold. */
#include "plan/kv_cache.h"
#include "vk_test.h"

/* Layers of two kinds, and one without keys and values of its own. */
enum { N_LAYER = 3 };
static const gab_kv_shape shapes[N_LAYER] = {{2, 20, 0}, {1, 50, 1}, {2, 20, 0}}; /* padded to 32 and 64 */
static const uint32_t page_words[N_LAYER] = {2 * 64 * 32, 1 * 64 * 64, 0};        /* of a pool, in f32 */

static void count(gab_vk *vk, gab_kernel_set set) {
    gab_kv_cache cache;
    uint32_t pages[5], more;
    (void)set;
    CHECK_OK(gab_kv_cache_create(vk, shapes, N_LAYER, true, 4, 6, &cache));
    CHECK(cache.page_bytes == 2 * 2 * (page_words[0] + page_words[1]));
    CHECK(gab_kv_page_bytes(shapes, N_LAYER, true) == cache.page_bytes);
    CHECK(gab_kv_page_bytes(shapes, N_LAYER, false) == 2 * cache.page_bytes);
    CHECK(gab_kv_page_limit(vk, shapes, N_LAYER, true) == vk->binding_bytes_max / (2 * page_words[0]));
    CHECK(gab_kv_page_limit(vk, shapes + 1, 1, true) == vk->binding_bytes_max / (2 * page_words[1]));
    CHECK(gab_kv_pages_free(&cache) == 4);
    for (int i = 0; i < 4; i++) {
        CHECK(gab_kv_page_take(&cache, &pages[i]) && pages[i] < 4);
        for (int j = 0; j < i; j++) CHECK(pages[i] != pages[j]);
        CHECK(gab_kv_pages_free(&cache) == 3u - (unsigned)i);
    }
    CHECK(!gab_kv_page_take(&cache, &more));
    gab_kv_page_share(&cache, pages[2]); /* twice used: free only after two releases */
    gab_kv_page_release(&cache, pages[2]);
    CHECK(gab_kv_pages_free(&cache) == 0 && !gab_kv_page_take(&cache, &more));
    gab_kv_page_release(&cache, pages[2]);
    CHECK(gab_kv_pages_free(&cache) == 1);
    CHECK(gab_kv_page_take(&cache, &more) && more == pages[2]);
    gab_kv_cache_destroy(&cache);
    gab_kv_cache_destroy(&cache); /* zeroed by now */
}
GAB_TEST(pages_are_taken_shared_and_released) {
    gab_test_each_device(count);
}

static gab_slice pool_page(const gab_kv_cache *cache, uint32_t pool, uint32_t page) {
    const uint64_t bytes = 4ull * page_words[pool / 2];
    return gab_buffer_slice(&cache->buffers[pool], page * bytes, bytes);
}

/* Every page of every pool holds words of its own: pool, page, index. */
static void fill(gab_vk *vk, gab_kv_cache *cache, uint32_t page) {
    uint32_t *words = gab_test_alloc(cache->page_bytes);
    for (uint32_t pool = 0; pool < 2 * N_LAYER; pool++) {
        const size_t n = page_words[pool / 2];
        if (n == 0) continue;
        for (size_t i = 0; i < n; i++) words[i] = pool << 28 | page << 20 | (uint32_t)i;
        gab_test_write(vk, pool_page(cache, pool, page), words, 4 * n);
    }
}

/* `page` holds what was written into page `origin`. */
static void check_holds(gab_vk *vk, gab_kv_cache *cache, uint32_t page, uint32_t origin, const char *what) {
    uint32_t *words = gab_test_alloc(cache->page_bytes);
    for (uint32_t pool = 0; pool < 2 * N_LAYER; pool++) {
        const size_t n = page_words[pool / 2];
        if (n == 0) continue;
        gab_test_read(vk, pool_page(cache, pool, page), words, 4 * n);
        if (!vk->executes) continue;
        for (size_t i = 0; i < n; i++)
            if (words[i] != (pool << 28 | origin << 20 | (uint32_t)i))
                FAIL("%s: pool %u, page %u: word %zu is %08x", what, pool, page, i, words[i]);
    }
}

static void contents(gab_vk *vk, gab_kernel_set set) {
    gab_kv_cache cache;
    uint32_t page;
    (void)set;
    CHECK_OK(gab_kv_cache_create(vk, shapes, N_LAYER, false, 3, 10, &cache));
    for (uint32_t i = 0; i < 3; i++) {
        CHECK(gab_kv_page_take(&cache, &page) && page == i);
        fill(vk, &cache, page);
    }
    static const uint32_t sizes[] = {6, 10}; /* doubled, then to the limit */
    for (int g = 0; g < 2; g++) {
        CHECK_OK(gab_kv_cache_grow(&cache));
        CHECK(cache.n_page == sizes[g] && gab_kv_pages_free(&cache) == sizes[g] - 3);
        for (uint32_t i = 0; i < 3; i++) check_holds(vk, &cache, i, i, "after growth");
        for (uint32_t i = 0; i < N_LAYER; i++) { /* what kernels see */
            const uint32_t owner = shapes[i].layer;
            CHECK(cache.layers[i].keys.buffer == cache.buffers[2 * owner].buffer);
            CHECK(cache.layers[i].values.buffer == cache.buffers[2 * owner + 1].buffer);
            CHECK(cache.layers[i].keys.size == 4ull * cache.n_page * page_words[owner]);
        }
    }
    CHECK_OK(gab_kv_page_copy(&cache, 1, 9));
    check_holds(vk, &cache, 9, 1, "the copy");
    for (uint32_t i = 0; i < 3; i++) check_holds(vk, &cache, i, i, "beside the copy");
    fill(vk, &cache, 9);
    check_holds(vk, &cache, 1, 1, "after writing the copy");
    gab_kv_cache_destroy(&cache);
}
GAB_TEST(contents_survive_growth_and_copies) {
    gab_test_each_device(contents);
}

static void limit(gab_vk *vk, gab_kernel_set set) {
    gab_kv_cache cache;
    (void)set;
    CHECK_OK(gab_kv_cache_create(vk, shapes, N_LAYER, true, 2, 3, &cache));
    CHECK_OK(gab_kv_cache_grow(&cache));
    CHECK(cache.n_page == 3);
    const gab_buffer before = cache.buffers[0];
    CHECK(gab_kv_cache_grow(&cache) == GAB_ERROR_LIMIT);
    CHECK(strstr(gab_last_error(), "3 pages") && strstr(gab_last_error(), "--context"));
    CHECK(cache.n_page == 3 && cache.buffers[0].buffer == before.buffer); /* as it was */
    gab_kv_cache_destroy(&cache);
}
GAB_TEST(growth_ends_at_the_limit) {
    gab_test_each_device(limit);
}

GAB_TEST_MAIN()
