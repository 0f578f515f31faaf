#include "norm_check.h"

void gab_norm_widths(gab_vk *vk, gab_kernel_set set, gab_norm_check *check) {
    static const uint32_t n_cols[] = {1, 3, 4, 5, 31, 33, 48, 127, 128, 129, 767, 768, 769};
    for (size_t i = 0; i < sizeof n_cols / sizeof *n_cols; i++) {
        gab_test_random random = {i};
        uint32_t n_row = 1 + (uint32_t)i % 3;
        check(vk, set, n_cols[i], n_row, 0, gab_test_floats(&random, (size_t)n_row * n_cols[i], 1), 1e-6);
    }
}

void gab_norm_row_counts(gab_vk *vk, gab_kernel_set set, gab_norm_check *check) {
    static const uint32_t n_rows[] = {1, 2, 7, 65, 512};
    for (size_t i = 0; i < sizeof n_rows / sizeof *n_rows; i++) {
        gab_test_random random = {i};
        check(vk, set, 48, n_rows[i], 0, gab_test_floats(&random, (size_t)n_rows[i] * 48, 1), 1e-6);
    }
    gab_test_random random = {99};
    check(vk, set, 48, 65, 3, gab_test_floats(&random, (size_t)65 * 48, 1), 1e-6);
}

void gab_norm_hard_rows(gab_vk *vk, gab_kernel_set set, gab_norm_check *check, float constant, double bound) {
    gab_test_random random = {5};
    float *x = gab_test_floats(&random, 4 * 768, 1);
    for (uint32_t i = 0; i < 768; i++) {
        x[i] += 100.0f;
        x[2 * 768 + i] = 0.0f;
        x[3 * 768 + i] = constant;
    }
    x[768 + 77] = 1e6f;
    check(vk, set, 768, 4, 0, x, bound);
}
