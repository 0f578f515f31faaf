/* compare.h - documents side by side: the devices of all of them as columns, what was measured as rows. */
#ifndef GAB_BENCH_COMPARE_H
#define GAB_BENCH_COMPARE_H

#include "bench/report.h"

enum { BENCH_COLUMN_MAX = 32 };

typedef struct bench_column {
    const cJSON *document, *device;
    const char *model; /* where models are compared whatever they are called; else NULL */
    char letter;       /* 'A', 'B', ... */
} bench_column;

typedef struct bench_row {
    const char *model, *name, *unit;      /* model "": a limit of the device */
    const cJSON *cells[BENCH_COLUMN_MAX]; /* NULL: not measured */
    bool lower;                           /* is better */
} bench_row;

typedef struct bench_comparison {
    bench_column columns[BENCH_COLUMN_MAX];
    uint32_t n_column;
    bench_row *rows;
    uint32_t n_row;
} bench_comparison;

/* A device that computes nothing has a column without figures. False: out of memory. To be freed. */
bool bench_comparison_make(cJSON *const *documents, uint32_t n, bench_comparison *comparison);
void bench_comparison_free(bench_comparison *comparison);

/* Of a cell beside the first column's: percent that it is better (worse: below 0), and whether that is more than noise.
 * False: there is nothing to compare. */
bool bench_cell_change(const bench_row *row, uint32_t column, double *percent, bool *beyond_noise);

#endif
