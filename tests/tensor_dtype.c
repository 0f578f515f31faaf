/*
 * tensor_dtype.c - the table of weight types: sizes, names, and taking rows apart into planes and back.
 */
#include "tensor/dtype.h"

#include "test.h"

#include <inttypes.h>

GAB_TEST(gguf_numbers) {
    static const struct {
        uint32_t id;
        const char *name;
        bool known;
    } rows[] = {{0, "F32", true},    {1, "F16", true},      {2, "Q4_0", true},     {8, "Q8_0", true},
                {3, "Q4_1", false},  {7, "Q5_1", false},    {12, "Q4_K", false},   {14, "Q6_K", false},
                {15, "Q8_K", false}, {20, "IQ4_NL", false}, {23, "IQ4_XS", false}, {28, "F64", false},
                {30, "BF16", false}, {34, "TQ1_0", false},  {39, "MXFP4", false},  {42, "Q2_0", false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        gab_dtype type;
        const char *name = gab_dtype_gguf_name(rows[i].id);
        if (!name || strcmp(name, rows[i].name) != 0)
            FAIL("type %" PRIu32 " is called %s", rows[i].id, name ? name : "-");
        CHECK(gab_dtype_from_gguf(rows[i].id, &type) == rows[i].known);
        if (!rows[i].known) continue;
        CHECK(strcmp(gab_dtype_get(type)->name, name) == 0 && gab_dtype_get(type)->gguf_id == rows[i].id);
    }
    CHECK(!gab_dtype_gguf_name(43) && !gab_dtype_gguf_name(UINT32_MAX));
}

GAB_TEST(row_bytes) {
    static const struct {
        gab_dtype type;
        uint64_t n, bytes, plane[GAB_PLANE_MAX];
    } rows[] = {
        {GAB_DTYPE_F32, 5, 20, {32, 0}},       {GAB_DTYPE_F16, 8, 16, {32, 0}},
        {GAB_DTYPE_F16, 9, 18, {32, 0}},       {GAB_DTYPE_Q8_0, 32, 34, {32, 32}},
        {GAB_DTYPE_Q8_0, 288, 306, {288, 32}}, {GAB_DTYPE_Q4_0, 32, 18, {32, 32}},
        {GAB_DTYPE_Q4_0, 256, 144, {128, 32}}, {GAB_DTYPE_Q4_0, 0, 0, {0, 0}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t bytes = 1;
        gab_dtype type = rows[i].type;
        if (!gab_dtype_row_bytes(type, rows[i].n, &bytes) || bytes != rows[i].bytes)
            FAIL("row %zu: %" PRIu64, i, bytes);
        for (uint32_t p = 0; p < gab_dtype_get(type)->n_plane; p++)
            if (gab_dtype_plane_row_bytes(type, p, rows[i].n) != rows[i].plane[p])
                FAIL("row %zu, plane %" PRIu32, i, p);
        CHECK(gab_dtype_planes_row_bytes(type, rows[i].n) == rows[i].plane[0] + rows[i].plane[1]);
    }
}

GAB_TEST(row_bytes_refuse) {
    uint64_t bytes;
    CHECK(!gab_dtype_row_bytes(GAB_DTYPE_Q8_0, 33, &bytes) && !gab_dtype_row_bytes(GAB_DTYPE_Q4_0, 16, &bytes));
    CHECK(!gab_dtype_row_bytes(GAB_DTYPE_F32, UINT64_MAX / 4 + 1, &bytes));
    CHECK(gab_dtype_row_bytes(GAB_DTYPE_F32, UINT64_MAX / 4, &bytes) && bytes == UINT64_MAX - 3);
    CHECK(!gab_dtype_row_bytes(GAB_DTYPE_Q8_0, UINT64_MAX / 32 * 32, &bytes));
}

/* The parts of every block of a type are all of it: no byte twice, none left out. */
GAB_TEST(planes_cover_blocks) {
    for (int type = 0; type < GAB_DTYPE_COUNT; type++) {
        const gab_dtype_info *info = gab_dtype_get((gab_dtype)type);
        unsigned char count[64] = {0};
        CHECK(info->n_plane >= 1 && info->n_plane <= GAB_PLANE_MAX && info->block_bytes <= sizeof count);
        for (uint32_t p = 0; p < info->n_plane; p++)
            for (uint32_t i = 0; i < info->plane[p].block_bytes; i++) count[info->plane[p].block_offset + i]++;
        for (uint32_t i = 0; i < sizeof count; i++) CHECK(count[i] == (i < info->block_bytes));
    }
}

GAB_TEST(split_by_hand) {
    unsigned char row[2 * 18], quants[32], scales[32], back[2 * 18];
    void *planes[] = {quants, scales};
    const void *from[] = {quants, scales};
    for (int i = 0; i < 36; i++) row[i] = (unsigned char)(i + 1);
    memset(scales, 0xee, sizeof scales);
    gab_dtype_split_row(GAB_DTYPE_Q4_0, 64, row, planes);
    for (int i = 0; i < 16; i++) CHECK(quants[i] == 3 + i && quants[16 + i] == 21 + i);
    CHECK(scales[0] == 1 && scales[1] == 2 && scales[2] == 19 && scales[3] == 20);
    for (int i = 4; i < 32; i++) CHECK(scales[i] == 0);
    gab_dtype_join_row(GAB_DTYPE_Q4_0, 64, from, back);
    CHECK(memcmp(row, back, sizeof row) == 0);
}

/* Every type, on rows of 1 to 40 blocks: split then join is the same row, and both stay within their buffers. */
GAB_TEST(split_and_join) {
    enum { BLOCK_MAX = 40, SIZE = 34 * BLOCK_MAX + 96 };
    gab_test_random random = {1};
    for (int t = 0; t < GAB_DTYPE_COUNT; t++) {
        gab_dtype type = (gab_dtype)t;
        for (uint64_t n_block = 1; n_block <= BLOCK_MAX; n_block++) {
            unsigned char row[SIZE], back[SIZE], plane[GAB_PLANE_MAX][SIZE];
            void *to[GAB_PLANE_MAX];
            const void *from[GAB_PLANE_MAX];
            uint64_t n = n_block * gab_dtype_get(type)->block_size, bytes;
            CHECK(gab_dtype_row_bytes(type, n, &bytes));
            for (uint64_t i = 0; i < bytes; i++) row[i] = (unsigned char)gab_test_random_u32(&random);
            memset(plane, 0xa5, sizeof plane);
            memset(back, 0xa5, sizeof back);
            for (int p = 0; p < GAB_PLANE_MAX; p++) from[p] = to[p] = plane[p];
            gab_dtype_split_row(type, n, row, to);
            gab_dtype_join_row(type, n, from, back);
            CHECK(memcmp(row, back, bytes) == 0 && back[bytes] == 0xa5);
            for (uint32_t p = 0; p < gab_dtype_get(type)->n_plane; p++) {
                uint64_t end = gab_dtype_plane_row_bytes(type, p, n),
                         used = n_block * gab_dtype_get(type)->plane[p].block_bytes;
                CHECK(end % GAB_PLANE_ROW_ALIGN == 0 && end - used < GAB_PLANE_ROW_ALIGN && plane[p][end] == 0xa5);
                for (uint64_t i = used; i < end; i++) CHECK(plane[p][i] == 0);
            }
        }
    }
}

GAB_TEST_MAIN()
