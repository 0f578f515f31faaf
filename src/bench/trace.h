/*
 * trace.h - what is recorded on a device: commands counted and pipelines named, by putting counting functions into its
 * function table. One device at a time, one thread.
 */
#ifndef GAB_BENCH_TRACE_H
#define GAB_BENCH_TRACE_H

#include "vk/pipeline.h"

enum { BENCH_TRACE_MAX = 64 };

typedef struct bench_trace {
    uint32_t n_primary, n_dispatch, n_barrier;
    uint32_t n_piece;                      /* dispatch commands: more than n_dispatch where long ones are cut */
    VkPipeline pipelines[BENCH_TRACE_MAX]; /* of the first dispatches */
} bench_trace;

void bench_trace_start(gab_vk *vk);
bench_trace bench_trace_now(void); /* since the start */
void bench_trace_stop(gab_vk *vk);

/* The description of a pipeline of the device's store, "?" for another. */
void bench_trace_describe(const gab_vk *vk, VkPipeline pipeline, char *text, size_t size);

#endif
