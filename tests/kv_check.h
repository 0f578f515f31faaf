/*
 * kv_check.h - a paged cache with known contents, and a step that uses it: what the tests of kv_write and attention
 * share.
 */
#ifndef GAB_KV_CHECK_H
#define GAB_KV_CHECK_H

#include "kernels/kv_write.h"
#include "vk_test.h"

typedef struct gab_kv_check {
    gab_kv_layer layer;
    uint32_t n_slot, table_stride; /* pages a slot */
    uint32_t n_word;               /* of one pool */
    uint32_t *page_tables;         /* [n_slot][table_stride], a random permutation of the pools' pages */
    uint32_t *keys, *values;       /* the pools in host memory, as on the device */
} gab_kv_check;

/* Pools for n_slot slots of n_position positions each, filled on both sides by kv_write's reference with random keys
 * times key_scale and random values. key_scale 0: all words stay zero. */
gab_kv_check gab_kv_check_make(gab_vk *vk, uint32_t n_head_kv, uint32_t head_dim, bool f16, uint32_t n_slot,
                               uint32_t n_position, float key_scale, gab_test_random *random);

/* The page table of a slot. */
static inline const uint32_t *gab_kv_check_table(const gab_kv_check *kv, uint32_t slot) {
    return kv->page_tables + (size_t)slot * kv->table_stride;
}

/* The step on the device, with these page tables. */
gab_slice gab_kv_check_step(gab_vk *vk, const gab_kv_check *kv, gab_step *step);

#endif
