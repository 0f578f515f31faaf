/* report.h - what the renderings share. */
#ifndef GAB_BENCH_REPORT_H
#define GAB_BENCH_REPORT_H

#include "bench/bench.h"
#include "bench/text.h"

/* What a person wants to know of a device, in a few sentences. */
void bench_say_verdict(const cJSON *device, bench_text *text);

/* The figure of a model, NULL: it has none. */
const cJSON *bench_figure_of(const cJSON *model, const char *id);

/* The n-th kernel of an anatomy by lost time; NULL: there are not so many. */
const cJSON *bench_loser(const cJSON *anatomy, uint32_t n);

/* "every kernel right: 41 checked", or what is wrong. */
void bench_say_integrity(const cJSON *model, bool executes, bench_text *text);

/* Part of a pair of runs whose difference says nothing: that of their spreads, at least 3%, and
 * 20% of what was measured once. */
double bench_noise_percent(const cJSON *a, const cJSON *b);

#endif
