/*
 * dtype.c - the table of weight types, and the sizes and copies that follow from it.
 */
#include "tensor/dtype.h"

#include <string.h>

#include "tensor/block.h"

static const gab_dtype_info dtypes[GAB_DTYPE_COUNT] = {
    [GAB_DTYPE_F32] = {"F32", 0, 1, 4, 1, {{0, 4, 1}}, false},
    [GAB_DTYPE_F16] = {"F16", 1, 1, 2, 1, {{0, 2, 1}}, false},
    [GAB_DTYPE_Q8_0] = {"Q8_0", 8, 32, 34, 2, {{2, 32, 1}, {0, 2, 1}}, false},
    [GAB_DTYPE_Q4_0] = {"Q4_0", 2, 32, 18, 2, {{2, 16, 1}, {0, 2, 1}}, false},
    [GAB_DTYPE_Q4_K] = {"Q4_K", 12, 256, 144, 2, {{0, 128, 1}, {0, 4 * 5, 1}}, true},
    [GAB_DTYPE_Q5_K] = {"Q5_K", 13, 256, 176, 2, {{0, 128, 1}, {0, 4 * 13, 1}}, true},
    [GAB_DTYPE_Q6_K] = {"Q6_K", 14, 256, 210, 2, {{0, 128, 1}, {0, 4 * 21, 1}}, true},
    [GAB_DTYPE_BF16] = {"BF16", 30, 1, 2, 1, {{0, 2, 1}}, false},
    [GAB_DTYPE_Q4_1] = {"Q4_1", 3, 32, 20, 2, {{0, 16, 1}, {0, 4, 1}}, true},
    [GAB_DTYPE_Q5_0] = {"Q5_0", 6, 32, 22, 2, {{0, 16, 1}, {0, 4 * 3, 2}}, true},
    [GAB_DTYPE_Q5_1] = {"Q5_1", 7, 32, 24, 2, {{0, 16, 1}, {0, 4 * 2, 1}}, true},
    [GAB_DTYPE_IQ4_NL] = {"IQ4_NL", 20, 32, 18, 2, {{0, 16, 1}, {0, 4, 2}}, true},
    [GAB_DTYPE_IQ4_XS] = {"IQ4_XS", 23, 256, 136, 2, {{0, 128, 1}, {0, 4 * 3, 1}}, true},
    [GAB_DTYPE_Q2_K] = {"Q2_K", 10, 256, 84, 2, {{0, 128, 1}, {0, 4 * 5, 1}}, true},
    [GAB_DTYPE_Q3_K] = {"Q3_K", 11, 256, 110, 2, {{0, 128, 1}, {0, 4 * 5, 1}}, true},
    [GAB_DTYPE_MXFP4] = {"MXFP4", 39, 32, 17, 2, {{0, 16, 1}, {0, 4, 4}}, true},
};

/* enum ggml_type of ggml.h, by number. Numbers that were given up keep the name that old files were written with. */
static const char *const gguf_names[] = {
    "F32",        "F16",        "Q4_0",       "Q4_1",  "Q4_2",     "Q4_3",     "Q5_0",     "Q5_1",    "Q8_0",
    "Q8_1",       "Q2_K",       "Q3_K",       "Q4_K",  "Q5_K",     "Q6_K",     "Q8_K",     "IQ2_XXS", "IQ2_XS",
    "IQ3_XXS",    "IQ1_S",      "IQ4_NL",     "IQ3_S", "IQ2_S",    "IQ4_XS",   "I8",       "I16",     "I32",
    "I64",        "F64",        "IQ1_M",      "BF16",  "Q4_0_4_4", "Q4_0_4_8", "Q4_0_8_8", "TQ1_0",   "TQ2_0",
    "IQ4_NL_4_4", "IQ4_NL_4_8", "IQ4_NL_8_8", "MXFP4", "NVFP4",    "Q1_0",     "Q2_0",
};

const gab_dtype_info *gab_dtype_get(gab_dtype type) {
    return &dtypes[type];
}

bool gab_dtype_from_gguf(uint32_t gguf_id, gab_dtype *type) {
    for (int i = 0; i < GAB_DTYPE_COUNT; i++) {
        if (dtypes[i].gguf_id != gguf_id) continue;
        *type = (gab_dtype)i;
        return true;
    }
    return false;
}

const char *gab_dtype_gguf_name(uint32_t gguf_id) {
    return gguf_id < sizeof gguf_names / sizeof *gguf_names ? gguf_names[gguf_id] : NULL;
}

bool gab_dtype_row_bytes(gab_dtype type, uint64_t n, uint64_t *bytes) {
    const gab_dtype_info *info = &dtypes[type];
    uint64_t n_block = n / info->block_size;
    if (n % info->block_size != 0 || n_block > UINT64_MAX / info->block_bytes) return false;
    *bytes = n_block * info->block_bytes;
    return true;
}

uint64_t gab_dtype_plane_row_bytes(gab_dtype type, uint32_t plane, uint64_t n) {
    const gab_dtype_info *info = &dtypes[type];
    if (plane >= info->n_plane) return 0;
    const uint64_t n_block = n / info->block_size, blocks = info->plane[plane].blocks;
    const uint64_t bytes = (n_block + blocks - 1) / blocks * info->plane[plane].bytes;
    return (bytes + GAB_PLANE_ROW_ALIGN - 1) / GAB_PLANE_ROW_ALIGN * GAB_PLANE_ROW_ALIGN;
}

uint64_t gab_dtype_planes_row_bytes(gab_dtype type, uint64_t n) {
    uint64_t bytes = 0;
    for (uint32_t p = 0; p < dtypes[type].n_plane; p++) bytes += gab_dtype_plane_row_bytes(type, p, n);
    return bytes;
}

void gab_dtype_split_row(gab_dtype type, uint64_t n, const void *row, void *const planes[]) {
    const gab_dtype_info *info = &dtypes[type];
    size_t n_block = (size_t)(n / info->block_size);
    if (info->grouped) {
        for (uint32_t p = 0; p < info->n_plane; p++)
            memset(planes[p], 0, (size_t)gab_dtype_plane_row_bytes(type, p, n));
        gab_block_split(type, n_block, row, planes);
        return;
    }
    for (uint32_t p = 0; p < info->n_plane; p++) {
        const unsigned char *from = (const unsigned char *)row + info->plane[p].offset;
        unsigned char *to = planes[p];
        size_t part = info->plane[p].bytes, used = n_block * part;
        if (part == info->block_bytes)
            memcpy(to, from, used);
        else
            for (size_t b = 0; b < n_block; b++) memcpy(to + b * part, from + b * info->block_bytes, part);
        memset(to + used, 0, (size_t)gab_dtype_plane_row_bytes(type, p, n) - used);
    }
}
