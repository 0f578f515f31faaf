/*
 * measure.h - the time of something recorded, done many times in one submit: what all benchmarks of the device share.
 *
 * How often is found by a first run, so that a submit takes about BENCH_SUBMIT_MS: long against what a submit costs,
 * short against the 2 s after which drivers give up. Work that takes longer once is cut and submitted in pieces. Time
 * is the device's own (timestamps) where it has one, else the host's.
 */
#ifndef GAB_BENCH_MEASURE_H
#define GAB_BENCH_MEASURE_H

#include "bench/trace.h"
#include "vk/commands.h"

enum { BENCH_SUBMIT_MS = 50, BENCH_REPEAT_MAX = 1000, BENCH_RUN_MAX = 101 };

/* Records the work for the i-th time; a barrier is put between two of them. */
typedef struct bench_work {
    void (*record)(const void *user, gab_recorder *recorder, uint32_t i);
    const void *user;
    double submit_ms; /* about what a submit takes; 0: BENCH_SUBMIT_MS */
} bench_work;

typedef struct bench_time {
    double ms, least, most; /* of doing it once: median, smallest, largest of the runs */
    double cpu_ms;          /* processor time of it: on a CPU driver the work itself, whatever else the machine does */
    uint32_t n_repeat;      /* times a run */
    uint32_t n_run;
    bench_trace trace; /* what doing it once records */
} bench_time;

/* n_run: at most BENCH_RUN_MAX. */
gab_status bench_measure(gab_vk *vk, const bench_work *work, uint32_t n_run, bench_time *time);

/* Milliseconds from submitting a command buffer with one barrier in it to the end of waiting for it, by the host. */
gab_status bench_measure_submit(gab_vk *vk, uint32_t n_run, bench_time *time);

/* Sorts the values and takes median, smallest and largest. */
bench_time bench_time_of(double *ms, uint32_t n_run, uint32_t n_repeat);

#endif
