/*
 * tensor_dtype.c - the table of weight types: sizes, names, and taking rows apart into planes and back.
 */
#include "tensor/dtype.h"
#include "tensor/quant.h"

#include "test.h"

#include <inttypes.h>

GAB_TEST(gguf_numbers) {
    static const struct {
        uint32_t id;
        const char *name;
        bool known;
    } rows[] = {{0, "F32", true},    {1, "F16", true},     {2, "Q4_0", true},    {8, "Q8_0", true},
                {3, "Q4_1", true},   {7, "Q5_1", true},    {12, "Q4_K", true},   {14, "Q6_K", true},
                {15, "Q8_K", false}, {20, "IQ4_NL", true}, {23, "IQ4_XS", true}, {28, "F64", false},
                {30, "BF16", true},  {34, "TQ1_0", false}, {39, "MXFP4", true},  {42, "Q2_0", false}};
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
        {GAB_DTYPE_Q4_K, 256, 144, {128, 32}}, {GAB_DTYPE_Q6_K, 768, 630, {384, 256}},
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

enum { BLOCK_MAX = 9, ROW_SIZE = 256 * BLOCK_MAX, PLANE_SIZE = 2 * ROW_SIZE };
typedef unsigned char plane_bytes[GAB_PLANE_MAX][PLANE_SIZE];

static void split(gab_dtype type, uint64_t n_block, const void *row, plane_bytes planes) {
    void *to[GAB_PLANE_MAX];
    memset(planes, 0xa5, sizeof(plane_bytes));
    for (int p = 0; p < GAB_PLANE_MAX; p++) to[p] = planes[p];
    gab_dtype_split_row(type, n_block * gab_dtype_get(type)->block_size, row, to);
}

/* Bit number i of the planes of a row, padding included. */
static bool bit_of(gab_dtype type, uint64_t n_block, const plane_bytes planes, uint64_t i) {
    const uint64_t first = 8 * gab_dtype_plane_row_bytes(type, 0, n_block * gab_dtype_get(type)->block_size);
    const unsigned char *plane = planes[i < first ? 0 : 1];
    if (i >= first) i -= first;
    return plane[i / 8] >> i % 8 & 1;
}

/* Every bit of a row has a place of its own in the planes, all other bits of which are zero: nothing is lost. */
GAB_TEST(split_keeps_every_bit) {
    for (int t = 0; t < GAB_DTYPE_COUNT; t++) {
        const gab_dtype type = (gab_dtype)t;
        const uint64_t n_block = 3, n_bit = 24ull * gab_dtype_get(type)->block_bytes;
        const uint64_t n_place = 8 * gab_dtype_planes_row_bytes(type, n_block * gab_dtype_get(type)->block_size);
        static bool taken[8 * PLANE_SIZE];
        static plane_bytes planes;
        memset(taken, 0, sizeof taken);
        for (uint64_t bit = 0; bit < n_bit; bit++) {
            unsigned char row[ROW_SIZE] = {0};
            uint32_t n_set = 0;
            row[bit / 8] = (unsigned char)(1u << bit % 8);
            split(type, n_block, row, planes);
            for (uint64_t i = 0; i < n_place; i++) {
                if (!bit_of(type, n_block, (const unsigned char(*)[PLANE_SIZE])planes, i)) continue;
                if (taken[i]) FAIL("%s: bit %" PRIu64 " lies where another does", gab_dtype_get(type)->name, bit);
                taken[i] = true;
                n_set++;
            }
            if (n_set != 1) FAIL("%s: bit %" PRIu64 " has %" PRIu32 " places", gab_dtype_get(type)->name, bit, n_set);
        }
    }
}

GAB_TEST(split_by_hand) {
    unsigned char row[2 * 18], quants[32], scales[32];
    void *planes[] = {quants, scales};
    for (int i = 0; i < 36; i++) row[i] = (unsigned char)(i + 1);
    memset(scales, 0xee, sizeof scales);
    gab_dtype_split_row(GAB_DTYPE_Q4_0, 64, row, planes);
    for (int i = 0; i < 16; i++) CHECK(quants[i] == 3 + i && quants[16 + i] == 21 + i);
    CHECK(scales[0] == 1 && scales[1] == 2 && scales[2] == 19 && scales[3] == 20);
    for (int i = 4; i < 32; i++) CHECK(scales[i] == 0);
}

/* Every type, on rows of 1 to 9 blocks of random bytes: as many bits as before, and nothing beyond the planes. */
GAB_TEST(split_stays_in_planes) {
    gab_test_random random = {1};
    for (int t = 0; t < GAB_DTYPE_COUNT; t++)
        for (uint64_t n_block = 1; n_block <= BLOCK_MAX; n_block++) {
            const gab_dtype type = (gab_dtype)t;
            const uint64_t n = n_block * gab_dtype_get(type)->block_size;
            uint64_t bytes, n_before = 0, n_after = 0;
            unsigned char row[ROW_SIZE] = {0};
            static plane_bytes planes;
            CHECK(gab_dtype_row_bytes(type, n, &bytes) && bytes <= sizeof row);
            for (uint64_t i = 0; i < bytes; i++) row[i] = (unsigned char)gab_test_random_u32(&random);
            split(type, n_block, row, planes);
            for (uint64_t i = 0; i < 8 * bytes; i++) n_before += row[i / 8] >> i % 8 & 1;
            for (uint64_t i = 0; i < 8 * gab_dtype_planes_row_bytes(type, n); i++)
                n_after += bit_of(type, n_block, (const unsigned char(*)[PLANE_SIZE])planes, i);
            CHECK(n_before == n_after);
            for (uint32_t p = 0; p < gab_dtype_get(type)->n_plane; p++) {
                const uint64_t end = gab_dtype_plane_row_bytes(type, p, n);
                CHECK(end % GAB_PLANE_ROW_ALIGN == 0 && planes[p][end] == 0xa5);
            }
        }
}

/* What the planes say is what the row says, to the last bit. */
GAB_TEST(planes_have_the_values) {
    gab_test_random random = {2};
    for (int t = 0; t < GAB_DTYPE_COUNT; t++) {
        const gab_dtype type = (gab_dtype)t;
        const uint64_t n = BLOCK_MAX * gab_dtype_get(type)->block_size;
        unsigned char row[ROW_SIZE];
        static plane_bytes planes;
        static float expected[256 * BLOCK_MAX], found[256 * BLOCK_MAX];
        const void *const from[] = {planes[0], planes[1]};
        for (size_t i = 0; i < sizeof row; i++) row[i] = (unsigned char)gab_test_random_u32(&random);
        split(type, BLOCK_MAX, row, planes);
        gab_dequantize_row(type, row, n, expected);
        gab_dequantize_planes(type, from, n, found);
        if (memcmp(expected, found, n * sizeof *found) != 0) FAIL("%s", gab_dtype_get(type)->name);
    }
}

GAB_TEST_MAIN()
