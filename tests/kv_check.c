#include "kv_check.h"

gab_kv_check gab_kv_check_make(gab_vk *vk, uint32_t n_head_kv, uint32_t head_dim, bool f16, uint32_t n_slot,
                               uint32_t n_position, float key_scale, gab_test_random *random) {
    const uint32_t padded = gab_head_dim_padded(head_dim), words = f16 ? padded / 2 : padded;
    gab_kv_check kv = {.layer = {.n_head_kv = n_head_kv, .head_dim = head_dim, .f16 = f16},
                       .n_slot = n_slot,
                       .table_stride = (n_position + GAB_PAGE - 1) / GAB_PAGE + 1};
    const uint32_t n_page = n_slot * kv.table_stride, n_head_float = n_head_kv * head_dim;
    kv.n_word = n_page * n_head_kv * GAB_PAGE * words;
    kv.page_tables = gab_test_alloc(4ul * n_page);
    kv.keys = gab_test_alloc(4ul * kv.n_word);
    kv.values = gab_test_alloc(4ul * kv.n_word);
    for (uint32_t i = 0; i < n_page; i++) { /* Fisher, Yates */
        uint32_t j = gab_test_random_u32(random) % (i + 1);
        kv.page_tables[i] = kv.page_tables[j];
        kv.page_tables[j] = i;
    }
    float *k = gab_test_alloc(4ul * n_head_float), *v = gab_test_alloc(4ul * n_head_float);
    for (uint32_t slot = 0; key_scale != 0 && slot < n_slot; slot++)
        for (uint32_t t = 0; t < n_position; t++) {
            for (uint32_t i = 0; i < n_head_float; i++) {
                k[i] = gab_test_random_normal(random) * key_scale;
                v[i] = gab_test_random_normal(random);
            }
            gab_kv_write_reference(&kv.layer, k, v, gab_kv_check_table(&kv, slot), t, kv.keys, kv.values);
        }
    kv.layer.keys = gab_test_slice(vk, kv.keys, 4ul * kv.n_word);
    kv.layer.values = gab_test_slice(vk, kv.values, 4ul * kv.n_word);
    return kv;
}

gab_slice gab_kv_check_step(gab_vk *vk, const gab_kv_check *kv, gab_step *step) {
    step->table_stride = kv->table_stride;
    return gab_test_step(vk, step, kv->page_tables, (size_t)kv->n_slot * kv->table_stride);
}
