/*
 * pool.h - device memory for benchmarks: a few large buffers of small positive numbers, larger together than any cache,
 * from which weights and caches are cut.
 */
#ifndef GAB_BENCH_POOL_H
#define GAB_BENCH_POOL_H

#include "vk/buffer.h"

enum { BENCH_POOL_MAX = 16, BENCH_POOL_BYTE = 0x2c /* repeated, a small positive number in every type */ };

typedef struct bench_pool {
    gab_buffer buffers[BENCH_POOL_MAX]; /* of one size, a power of two */
    uint32_t n_buffer;
    uint32_t taken_buffer; /* where the next part comes from */
    uint64_t taken_bytes;
} bench_pool;

/* About `bytes` in all, at most a quarter of what is free. */
gab_status bench_pool_create(gab_vk *vk, uint64_t bytes, bench_pool *pool);
void bench_pool_destroy(gab_vk *vk, bench_pool *pool);
uint64_t bench_pool_bytes(const bench_pool *pool);

/* Up to `wanted` bytes, a multiple of `unit`, from one buffer; size 0: the pool is used up. */
gab_slice bench_pool_take(bench_pool *pool, uint64_t unit, uint64_t wanted);
void bench_pool_reset(bench_pool *pool); /* all of it is free again */

/* A buffer filled like the pool. */
gab_status bench_buffer_create(gab_vk *vk, uint64_t size, const char *what, gab_buffer *buffer);

#endif
