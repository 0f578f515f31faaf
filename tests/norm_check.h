/*
 * norm_check.h - the shapes and rows on which the tests of the norms (kernel_layernorm, kernel_rmsnorm) compare theirs
 * with its reference.
 */
#ifndef GAB_NORM_CHECK_H
#define GAB_NORM_CHECK_H

#include "vk_test.h"

/* Compares on x [n_row][n_col]; n_out > 0: as many output rows, from the last to the first. */
typedef void gab_norm_check(gab_vk *vk, gab_kernel_set set, uint32_t n_col, uint32_t n_row, uint32_t n_out,
                            const float *x, double bound);

/* Around every tile. */
void gab_norm_widths(gab_vk *vk, gab_kernel_set set, gab_norm_check *check);
void gab_norm_row_counts(gab_vk *vk, gab_kernel_set set, gab_norm_check *check);
/* A mean far from zero, one value of 1e6 among ordinary ones, a row of zeros and one of a constant. */
void gab_norm_hard_rows(gab_vk *vk, gab_kernel_set set, gab_norm_check *check, float constant, double bound);

#endif
