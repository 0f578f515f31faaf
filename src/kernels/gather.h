/*
 * gather.h - y[i] (+)= table[index(i)], dequantized: token and position embeddings.
 */
#ifndef GAB_KERNELS_GATHER_H
#define GAB_KERNELS_GATHER_H

#include "kernels/kernels.h"

typedef struct gab_gather {
    const gab_weight *table;
    uint32_t index_kind; /* GAB_INDEX_* */
    bool add;            /* to what y holds */
    float factor;        /* of the rows; 0: 1 */
    gab_slice sampled;   /* words by slot: the token sampled last */
    gab_slice y;         /* [n_row][y_stride] floats */
    uint32_t y_stride;
    uint32_t y_first; /* floats from the start of a row of y, a multiple of 4 */
} gab_gather;

void gab_gather_record(const gab_kernel_context *context, const gab_gather *op);

/* table: n_table x n_col, dequantized; y: n x y_stride. */
void gab_gather_reference(const float *table, uint32_t n_col, const uint32_t *index, uint32_t n, bool add, double *y,
                          uint32_t y_stride);

#endif
