/* The pipeline cache on disk: written at close, read at open; whatever is wrong with it costs one warning and never a
 * result. */
#include "vk_test.h"

#include <sys/stat.h>
#include <unistd.h>

#include "matmul_check.h"

static const char *device; /* the one at hand */

/* Opens the device, runs a kernel, closes it. Returns the warnings; none may be an error. */
static unsigned use_device(void) {
    gab_test_log_reset();
    gab_vk *vk = gab_test_vk_open(device);
    gab_kernel_set set;
    CHECK_OK(gab_kernel_set_choose(vk, NULL, false, &set));
    gab_matmul_check_run(vk, set, &(gab_matmul_check){.type = GAB_DTYPE_F16, .n_row = 33, .n_col = 40, .n_plan = 1});
    gab_test_vk_close(&vk);
    CHECK(gab_test_log_count(GAB_LOG_ERROR) == 0);
    return gab_test_log_count(GAB_LOG_WARNING);
}

/* For every device that executes, with an empty cache folder. */
static void each_device(void (*body)(void)) {
    gab_device_info *devices = NULL;
    size_t n = 0;
    char path[1024];
    gab_test_vk_setup();
    CHECK_OK(gab_device_list(&devices, &n, NULL, NULL));
    for (size_t i = 0; i < n; i++) {
        if (!devices[i].usable) continue;
        device = devices[i].uuid;
        gab_vk *vk = gab_test_vk_open(device);
        bool executes = vk->executes;
        gab_test_vk_close(&vk);
        if (gab_test_cache_file("pipelines-", path, sizeof path)) CHECK(remove(path) == 0);
        if (executes) body();
        if (gab_test_cache_file("pipelines-", path, sizeof path)) CHECK(remove(path) == 0);
    }
    gab_device_list_free(&devices);
}

static void written_and_read(void) {
    char path[1024];
    size_t n = 0, n_again = 0;
    CHECK(!gab_test_cache_file("pipelines-", path, sizeof path));
    CHECK(use_device() == 0);
    CHECK(gab_test_cache_file("pipelines-", path, sizeof path));
    CHECK(strstr(path, ".bin"));
    char *first = gab_test_file_read(path, &n);
    CHECK(n > 56 && memcmp(first, "GABPIPE1", 8) == 0);
    CHECK(use_device() == 0);
    char *second = gab_test_file_read(path, &n_again);
    CHECK(n_again > 56);
    free(first);
    free(second);
}
GAB_TEST(written_and_read) {
    each_device(written_and_read);
}

/* A start that compiles nothing new leaves the file alone: a new one would have another number. */
static void left_alone(void) {
    char path[1024];
    struct stat before, after;
    use_device();
    use_device(); /* drivers may keep more of what they have found in the cache */
    CHECK(gab_test_cache_file("pipelines-", path, sizeof path));
    CHECK(stat(path, &before) == 0);
    char held[1100];
    snprintf(held, sizeof held, "%s.held", path); /* so that the number is not given again */
    CHECK(link(path, held) == 0);
    CHECK(use_device() == 0);
    CHECK(stat(path, &after) == 0 && remove(held) == 0);
    CHECK(before.st_ino == after.st_ino);
}
GAB_TEST(left_alone) {
    each_device(left_alone);
}

/* One warning, right results, and a sound file afterwards. */
static void expect_one_warning(const char *path, const void *data, size_t n, const char *what) {
    gab_test_file_write(path, data, n);
    unsigned warnings = use_device();
    if (warnings != 1) FAIL("%s: %u warnings, expected one", what, warnings);
    CHECK(strstr(gab_test_log_last(GAB_LOG_WARNING), path));
    if (use_device() != 0) FAIL("%s: the file was not made good: %s", what, gab_test_log_last(GAB_LOG_WARNING));
}

static void truncated(void) {
    char path[1024];
    size_t n = 0;
    CHECK(use_device() == 0 && gab_test_cache_file("pipelines-", path, sizeof path));
    char *data = gab_test_file_read(path, &n);
    expect_one_warning(path, data, 0, "empty");
    expect_one_warning(path, data, 10, "10 bytes");
    expect_one_warning(path, data, n - 1, "one byte short");
    free(data);
}
GAB_TEST(truncated) {
    each_device(truncated);
}

static void damaged(void) {
    static const struct {
        size_t at; /* from the end when large */
        const char *what;
    } places[] = {{0, "magic"},   {8, "driver UUID"}, {24, "vendor"}, {28, "device"},
                  {32, "length"}, {40, "checksum"},   {48, "data"}};
    char path[1024];
    size_t n = 0;
    CHECK(use_device() == 0 && gab_test_cache_file("pipelines-", path, sizeof path));
    char *data = gab_test_file_read(path, &n);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        CHECK(places[i].at < n);
        data[places[i].at] ^= 4;
        expect_one_warning(path, data, n, places[i].what);
        data[places[i].at] ^= 4;
    }
    data[n - 1] ^= 0x40;
    expect_one_warning(path, data, n, "last byte");
    free(data);
}
GAB_TEST(damaged) {
    each_device(damaged);
}

static void folder_in_its_place(void) {
    char path[1024];
    CHECK(use_device() == 0 && gab_test_cache_file("pipelines-", path, sizeof path));
    CHECK(remove(path) == 0 && mkdir(path, 0777) == 0);
    unsigned warnings = use_device();
    CHECK(rmdir(path) == 0);
    if (warnings != 1) FAIL("%u warnings, expected one", warnings);
}
GAB_TEST(folder_in_its_place) {
    each_device(folder_in_its_place);
}

/* A file where the cache folder should be; root could write into a folder without permissions. */
static void folder_is_a_file(void) {
    char folder[600], path[1024];
    snprintf(folder, sizeof folder, "%s/gabbro", gab_test_cache_home());
    if (gab_test_cache_file("pipelines-", path, sizeof path)) CHECK(remove(path) == 0);
    CHECK(rmdir(folder) == 0);
    gab_test_file_write(folder, "x", 1);
    unsigned warnings = use_device();
    CHECK(remove(folder) == 0);
    CHECK(use_device() == 0 && gab_test_cache_file("pipelines-", path, sizeof path)); /* the folder is made again */
    if (warnings != 1) FAIL("%u warnings, expected one", warnings);
}
GAB_TEST(folder_is_a_file) {
    each_device(folder_is_a_file);
}

static void no_home(void) {
    char cache_home[600];
    snprintf(cache_home, sizeof cache_home, "%s", gab_test_cache_home());
    char *home = getenv("HOME") ? strdup(getenv("HOME")) : NULL;
    CHECK(unsetenv("HOME") == 0 && unsetenv("XDG_CACHE_HOME") == 0);
    unsigned warnings = use_device();
    CHECK(setenv("XDG_CACHE_HOME", cache_home, 1) == 0);
    if (home) CHECK(setenv("HOME", home, 1) == 0);
    free(home);
    if (warnings != 1) FAIL("%u warnings, expected one", warnings);
}
GAB_TEST(no_home) {
    each_device(no_home);
}

GAB_TEST_MAIN()
