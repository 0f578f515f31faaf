/* svg.h - the pictures of a report: inline SVG, coloured by the classes of the page's style sheet (html.c). */
#ifndef GAB_BENCH_SVG_H
#define GAB_BENCH_SVG_H

#include "bench/text.h"

/* Every kernel of the model's anatomies as a point below the device's roofs (Williams, Waterman, Patterson 2009). */
void bench_svg_roofline(const cJSON *device, const cJSON *model, bench_text *text);
/* Reads and copies by size: the caches. */
void bench_svg_caches(const cJSON *device, bench_text *text);
/* Tokens a second over the depth; nothing for fewer than two depths. */
void bench_svg_depths(const cJSON *model, bench_text *text);
/* A step's time, taken apart: a bar of its kernels. */
void bench_svg_anatomy(const cJSON *anatomy, bench_text *text);

#endif
