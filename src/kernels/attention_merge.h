/*
 * attention_merge.h - puts the pieces of a split attention together.
 */
#ifndef GAB_KERNELS_ATTENTION_MERGE_H
#define GAB_KERNELS_ATTENTION_MERGE_H

#include "kernels/attention.h"

void gab_attention_merge_record(const gab_kernel_context *context, const gab_attention *op);

/* pieces: n x (head_dim_padded + 2): largest score, sum, values. y: head_dim. */
void gab_attention_merge_reference(const float *pieces, uint32_t n, uint32_t head_dim, uint32_t head_dim_padded,
                                   double *y);

#endif
