/*
 * base_file.c - reading and writing files, and what is said when that fails.
 */
#include "base/file.h"

#include "gguf_build.h"
#include "test.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

static void expect_error(gab_status status, gab_status expected, const char *words) {
    if (status != expected) FAIL("%s, expected %s", gab_status_text(status), gab_status_text(expected));
    if (!strstr(gab_last_error(), words)) FAIL("no '%s' in: %s", words, gab_last_error());
}

GAB_TEST(read_at) {
    const char *path = gguf_build_temp_bytes("0123456789", 10);
    gab_file *file = NULL;
    char data[8] = "";
    CHECK_OK(gab_file_open(path, NULL, &file));
    CHECK(gab_file_size(file) == 10 && strcmp(gab_file_path(file), path) == 0);
    CHECK_OK(gab_file_read_at(file, 3, data, 4, NULL));
    CHECK(memcmp(data, "3456", 4) == 0);
    CHECK_OK(gab_file_read_at(file, 10, data, 0, NULL));
    expect_error(gab_file_read_at(file, 8, data, 3, NULL), GAB_ERROR_FILE, "ends at byte 10, 1 bytes early");
    expect_error(gab_file_read_at(file, 11, data, 1, NULL), GAB_ERROR_FILE, path);
    expect_error(gab_file_read_at(file, UINT64_MAX, data, 1, NULL), GAB_ERROR_FORMAT, "beyond any file");
    expect_error(gab_file_read_at(file, INT64_MAX, data, 1, NULL), GAB_ERROR_FORMAT, "beyond any file");
    gab_file_close(&file);
    CHECK(!file);
    gab_file_close(&file);
    gab_file_close(NULL);
}

static void make_digits(const void *user, uint64_t offset, void *bytes, size_t n) {
    for (size_t i = 0; i < n; i++) ((char *)bytes)[i] = ((const char *)user)[(offset + i) % 10];
}

static int n_destroyed;

static void count_destroyed(void *user) {
    (void)user;
    n_destroyed++;
}

GAB_TEST(made) {
    static char digits[] = "0123456789";
    const gab_file_content content = {
        .make = make_digits, .destroy = count_destroyed, .user = digits, .size = UINT64_C(1) << 40};
    gab_file *file = NULL;
    char data[8] = "";
    CHECK_OK(gab_file_open_made("digits", &content, NULL, &file));
    CHECK(gab_file_size(file) == content.size && strcmp(gab_file_path(file), "digits") == 0);
    CHECK_OK(gab_file_read_at(file, 1234567898, data, 4, NULL));
    CHECK(memcmp(data, "8901", 4) == 0);
    CHECK_OK(gab_file_read_at(file, content.size, data, 0, NULL));
    expect_error(gab_file_read_at(file, content.size - 2, data, 3, NULL), GAB_ERROR_FILE, "digits ends at byte");
    expect_error(gab_file_read_at(file, UINT64_MAX, data, 1, NULL), GAB_ERROR_FORMAT, "beyond any file");
    CHECK_OK(gab_file_check_unchanged(file, NULL));
    CHECK(n_destroyed == 0);
    gab_file_close(&file);
    CHECK(n_destroyed == 1 && !file);
}

GAB_TEST(open_refuses) {
    gab_file *file = NULL;
    expect_error(gab_file_open("/nonexistent/x", NULL, &file), GAB_ERROR_FILE, "/nonexistent/x");
    expect_error(gab_file_open(gab_test_source("tests"), NULL, &file), GAB_ERROR_FILE, "not a regular file");
    CHECK(!file);
}

GAB_TEST(changes_are_noticed) {
    const char *path = gguf_build_temp_bytes("0123456789", 10);
    gab_file *file = NULL;
    char data[10];
    CHECK_OK(gab_file_open(path, NULL, &file));
    CHECK_OK(gab_file_check_unchanged(file, NULL));
    CHECK(truncate(path, 5) == 0);
    expect_error(gab_file_check_unchanged(file, NULL), GAB_ERROR_FILE, "has changed");
    expect_error(gab_file_read_at(file, 0, data, 10, NULL), GAB_ERROR_FILE,
                 "ends at byte 5"); /* an error, not a signal */
    gab_file_close(&file);

    CHECK_OK(gab_file_open(path, NULL, &file));
    CHECK(gab_file_write_all(path, "01234", 5)); /* the same bytes in another inode */
    expect_error(gab_file_check_unchanged(file, NULL), GAB_ERROR_FILE, "has changed");
    CHECK(remove(path) == 0);
    expect_error(gab_file_check_unchanged(file, NULL), GAB_ERROR_FILE, "is gone");
    gab_file_close(&file);
}

GAB_TEST(read_all) {
    enum { N = 10000 };
    char *bytes = malloc(N), *data = NULL;
    size_t n = 0;
    CHECK(bytes);
    for (int i = 0; i < N; i++) bytes[i] = (char)(i * 7);
    for (size_t size = 0; size <= N; size = size < 4090 ? size + 409 : size < 4100 ? size + 1 : size + 1180) {
        const char *path = gguf_build_temp_bytes(bytes, size);
        CHECK_OK(gab_file_read_all(path, size, NULL, &data, &n));
        CHECK(n == size && memcmp(data, bytes, n) == 0 && data[n] == 0);
        free(data);
        if (size == 0) continue;
        data = NULL;
        expect_error(gab_file_read_all(path, size - 1, NULL, &data, &n), GAB_ERROR_LIMIT, path);
        CHECK(!data);
    }
    expect_error(gab_file_read_all("/nonexistent/x", 10, NULL, &data, &n), GAB_ERROR_FILE, "/nonexistent/x");
    free(bytes);
}

GAB_TEST(write_all_replaces_whole) {
    const char *path = gguf_build_temp_bytes("old and longer", 14);
    char *data;
    size_t n;
    CHECK(gab_file_write_all(path, "new", 3));
    CHECK_OK(gab_file_read_all(path, 100, NULL, &data, &n));
    CHECK(n == 3 && memcmp(data, "new", 3) == 0);
    free(data);
    errno = 0;
    CHECK(!gab_file_write_all("/nonexistent/x", "new", 3) && errno == ENOENT);
}

GAB_TEST(cache_folder) {
    char home[256], path[512], expected[512];
    struct stat info;
    const char *temp = getenv("TMPDIR");
    snprintf(home, sizeof home, "%s/gabbro-cache-XXXXXX", temp && temp[0] ? temp : "/tmp");
    CHECK(mkdtemp(home));
    CHECK(setenv("XDG_CACHE_HOME", home, 1) == 0);
    snprintf(expected, sizeof expected, "%s/gabbro", home);
    CHECK(gab_cache_folder(path, sizeof path) && strcmp(path, expected) == 0);
    CHECK(stat(path, &info) == 0 && S_ISDIR(info.st_mode) && rmdir(path) == 0);
    CHECK(!gab_cache_folder(path, strlen(expected)) && gab_cache_folder(path, strlen(expected) + 1));
    CHECK(rmdir(path) == 0);

    CHECK(unsetenv("XDG_CACHE_HOME") == 0 && setenv("HOME", home, 1) == 0);
    snprintf(expected, sizeof expected, "%s/.cache/gabbro", home);
    CHECK(gab_cache_folder(path, sizeof path) && strcmp(path, expected) == 0 && rmdir(path) == 0);
    snprintf(expected, sizeof expected, "%s/.cache", home);
    CHECK(rmdir(expected) == 0 && rmdir(home) == 0);
    CHECK(setenv("HOME", "relative", 1) == 0 && !gab_cache_folder(path, sizeof path));
}

GAB_TEST_MAIN()
