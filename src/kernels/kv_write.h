/*
 * kv_write.h - writes the keys and values of the step's rows into their pages of the cache, as f16 or f32: finite ones,
 * what is beyond the type's range as its largest number, and not-a-number as 0.
 */
#ifndef GAB_KERNELS_KV_WRITE_H
#define GAB_KERNELS_KV_WRITE_H

#include "kernels/kernels.h"

/* head_dim as it lies in the cache. */
static inline uint32_t gab_head_dim_padded(uint32_t head_dim) {
    return (head_dim + 15) / 16 * 16;
}

/* What attention and kv_write know of a layer's cache: pools of pages [n_head_kv][GAB_PAGE][head_dim padded to 16]. */
typedef struct gab_kv_layer {
    gab_slice keys, values;
    uint32_t n_head_kv, head_dim;
    bool f16; /* else f32 */
} gab_kv_layer;

typedef struct gab_kv_write {
    gab_kv_layer kv;
    gab_slice x; /* [n_row][x_stride] floats, keys at k_offset, values at v_offset, [n_head_kv][head_dim] each */
    uint32_t x_stride, k_offset, v_offset;
} gab_kv_write;

void gab_kv_write_record(const gab_kernel_context *context, const gab_kv_write *op);

/* One row into pools in host memory: page_table of its slot, pool words as on the device. */
void gab_kv_write_reference(const gab_kv_layer *kv, const float *k, const float *v, const uint32_t *page_table,
                            uint32_t position, uint32_t *keys, uint32_t *values);

#endif
