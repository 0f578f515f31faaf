/* Buffers and the ways data takes to them: mapped, and through staging. */
#include "vk_test.h"

static const uint64_t mib = 1 << 20;

static unsigned char *pattern(size_t n, uint64_t seed) {
    gab_test_random random = {seed};
    unsigned char *bytes = gab_test_alloc(n);
    for (size_t i = 0; i + 4 <= n; i += 4) {
        uint32_t word = gab_test_random_u32(&random);
        memcpy(bytes + i, &word, 4);
    }
    return bytes;
}

/* Writes n bytes at offset of a slice that starts at `start` of its buffer, and checks that nothing beside has changed.
 */
static void round_trip(gab_vk *vk, uint64_t start, uint64_t offset, uint64_t n, bool staged) {
    const uint64_t size = start + offset + n + 512;
    gab_buffer buffer;
    CHECK_OK(gab_buffer_create(vk, GAB_MEMORY_DEVICE, size, "round trip", &buffer));
    CHECK(buffer.size == size);
    gab_slice all = gab_buffer_all(&buffer), slice = gab_buffer_slice(&buffer, start, size - start);
    if (staged) all.mapped = slice.mapped = NULL;
    unsigned char *data = pattern(n, n), *expected = gab_test_alloc(size), *got = gab_test_alloc(size);
    CHECK_OK(gab_slice_write(vk, slice, offset, data, n));
    memcpy(expected + start + offset, data, n);
    CHECK_OK(gab_slice_read(vk, all, 0, got, size));
    if (vk->executes) CHECK(memcmp(got, expected, size) == 0);
    memset(got, 0, n);
    CHECK_OK(gab_slice_read(vk, slice, offset, got, n));
    if (vk->executes) CHECK(memcmp(got, data, n) == 0);
    gab_buffer_destroy(vk, &buffer);
    CHECK(!buffer.buffer && !buffer.mapped);
    gab_test_release(vk);
}

static void small(gab_vk *vk, gab_kernel_set set) {
    static const uint64_t sizes[] = {4, 8, 252, 256, 260, 4096, 65540};
    if (set.lane) return; /* once a device */
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int staged = 0; staged < 2; staged++) {
            round_trip(vk, 0, 0, sizes[i], staged);
            round_trip(vk, 256, 4, sizes[i], staged);
            round_trip(vk, 512, 1024, sizes[i], staged);
        }
}
GAB_TEST(small) {
    gab_test_each_device(small);
}

/* Around the size of the staging buffer, 16 MiB. */
static void around_staging(gab_vk *vk, gab_kernel_set set) {
    if (set.lane) return;
    round_trip(vk, 256, 8, 16 * mib, true);
    round_trip(vk, 256, 8, 16 * mib + 4, true);
    round_trip(vk, 0, 0, 33 * mib + 12, true);
}
GAB_TEST(around_staging) {
    gab_test_each_device(around_staging);
}

static void kinds(gab_vk *vk, gab_kernel_set set) {
    static const gab_memory_kind all[] = {GAB_MEMORY_DEVICE, GAB_MEMORY_MAILBOX, GAB_MEMORY_READBACK};
    if (set.lane) return;
    for (size_t i = 0; i < 3; i++) {
        gab_buffer buffer;
        unsigned char got[1000], zeros[1000] = {0};
        CHECK_OK(gab_buffer_create(vk, all[i], sizeof got, "kind", &buffer));
        if (all[i] != GAB_MEMORY_DEVICE) CHECK(buffer.mapped);
        CHECK_OK(gab_slice_read(vk, gab_buffer_all(&buffer), 0, got, sizeof got));
        if (vk->executes) CHECK(memcmp(got, zeros, sizeof got) == 0);
        CHECK_OK(gab_slice_write(vk, gab_buffer_all(&buffer), 0, NULL, 0)); /* nothing: no data needed */
        gab_buffer_destroy(vk, &buffer);
        gab_buffer_destroy(vk, &buffer); /* twice */
    }
    CHECK(gab_vk_memory_free(vk) > 0 && gab_vk_memory_free(vk) <= vk->info.memory_total);
}
GAB_TEST(kinds) {
    gab_test_each_device(kinds);
}

/* More than the device takes: an error that names the use, the device and both sizes; nothing half-made is left. */
static void too_large(gab_vk *vk, gab_kernel_set set) {
    const uint64_t sizes[] = {vk->buffer_bytes_max + 1, vk->buffer_bytes_max + mib, UINT64_MAX / 2, UINT64_MAX};
    if (set.lane) return;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        gab_buffer buffer;
        CHECK(gab_buffer_create(vk, GAB_MEMORY_DEVICE, sizes[i], "the KV cache", &buffer) == GAB_ERROR_DEVICE_MEMORY);
        CHECK(strstr(gab_last_error(), "the KV cache") && strstr(gab_last_error(), vk->info.name));
        CHECK(strstr(gab_last_error(), "MiB"));
        CHECK(!buffer.buffer && !buffer.memory && !buffer.mapped);
    }
}
GAB_TEST(too_large) {
    gab_test_each_device(too_large);
}

GAB_TEST_MAIN()
