/* Which device is taken, what is listed, several at once. */
#include "vk_test.h"

#include <ctype.h>

#include "kernels/layernorm.h"

static gab_device_info *devices;
static size_t n_device;

static void list(void) {
    gab_test_vk_setup();
    CHECK_OK(gab_device_list(&devices, &n_device, NULL, NULL));
    CHECK(n_device >= 1);
}

/* The index of the device that `choice` opens, or the status. */
static int index_of(const char *choice) {
    gab_vk *vk = gab_test_vk_open(choice);
    int index = (int)vk->info.index;
    gab_test_vk_close(&vk);
    return index;
}

GAB_TEST(list_describes) {
    size_t n_default = 0;
    list();
    for (size_t i = 0; i < n_device; i++) {
        const gab_device_info *d = &devices[i];
        CHECK(d->index == i && d->name[0]);
        n_default += d->is_default;
        if (!d->usable) continue;
        CHECK(d->driver[0] && strlen(d->uuid) == 36 && d->uuid[8] == '-' && d->uuid[23] == '-');
        CHECK(d->memory_total > 0 && d->memory_free <= d->memory_total && d->subgroup_size >= 1);
        CHECK(gab_device_kind_text(d->kind)[0]);
        for (size_t j = 0; j < i; j++) CHECK(strcmp(devices[j].uuid, d->uuid) != 0);
    }
    CHECK(n_default == 1);
    gab_device_list_free(&devices);
    CHECK(!devices);
    gab_device_list_free(&devices);
    gab_device_list_free(NULL);
}

GAB_TEST(by_index_name_uuid) {
    char choice[256];
    list();
    for (size_t i = 0; i < n_device; i++) {
        if (!devices[i].usable) continue;
        snprintf(choice, sizeof choice, "%zu", i);
        CHECK(index_of(choice) == (int)i);
        CHECK(index_of(devices[i].uuid) == (int)i);
        for (size_t k = 0; devices[i].uuid[k]; k++) choice[k] = (char)toupper((unsigned char)devices[i].uuid[k]);
        choice[36] = 0;
        CHECK(index_of(choice) == (int)i);
        /* A part of the name in the other case opens the first device with such a name. */
        size_t n = strlen(devices[i].name), first = 0;
        snprintf(choice, sizeof choice, "%s", devices[i].name);
        choice[n < 8 ? n : 8] = 0;
        while (strncmp(devices[first].name, choice, strlen(choice)) != 0) first++;
        for (char *c = choice; *c; c++)
            *c = (char)(islower((unsigned char)*c) ? toupper((unsigned char)*c) : tolower((unsigned char)*c));
        CHECK(index_of(choice) == (int)first);
    }
    gab_device_list_free(&devices);
}

GAB_TEST(by_environment_and_default) {
    char choice[32];
    list();
    for (size_t i = 0; i < n_device; i++) {
        if (!devices[i].usable) continue;
        snprintf(choice, sizeof choice, "%zu", i);
        CHECK(setenv("GABBRO_DEVICE", choice, 1) == 0);
        CHECK(index_of(NULL) == (int)i);
        CHECK(index_of("") == (int)i);
        CHECK(index_of("0") == 0); /* what is asked for comes first */
    }
    CHECK(setenv("GABBRO_DEVICE", "", 1) == 0);
    gab_test_log_reset();
    CHECK(devices[index_of(NULL)].is_default);
    CHECK(strstr(gab_test_log_last(GAB_LOG_INFO), "device: ")); /* which one, and why */
    gab_device_list_free(&devices);
}

GAB_TEST(unknown_lists_what_exists) {
    static const char *const choices[] = {"no such card", "4711", "-1", "00000000-0000-0000-0000-00000000000g"};
    list();
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++) {
        gab_vk *vk = NULL;
        CHECK(gab_vk_create(choices[i], NULL, &vk) == GAB_ERROR_NO_DEVICE && !vk);
        CHECK(strstr(gab_last_error(), choices[i]));
        for (size_t k = 0; k < n_device; k++) CHECK(strstr(gab_last_error(), devices[k].name));
    }
    gab_device_list_free(&devices);
}

/* Without a driver: an error that says what to install. */
GAB_TEST(no_driver) {
    gab_vk *vk = NULL;
    CHECK(setenv("GABBRO_VALIDATE", "0", 1) == 0);
    CHECK(setenv("VK_DRIVER_FILES", "/nonexistent.json", 1) == 0 &&
          setenv("VK_ICD_FILENAMES", "/nonexistent.json", 1) == 0);
    CHECK(gab_vk_create(NULL, NULL, &vk) == GAB_ERROR_NO_DEVICE && !vk);
    CHECK(strstr(gab_last_error(), "install"));
    CHECK(gab_device_list(&devices, &n_device, NULL, NULL) == GAB_ERROR_NO_DEVICE);
}

/* ---- several at once ---- */

enum { N_COL = 48 };

static void run_layernorm(gab_vk *vk, uint64_t seed) {
    gab_test_random random = {seed};
    gab_kernel_set set;
    CHECK_OK(gab_kernel_set_choose(vk, NULL, false, &set));
    float *x = gab_test_floats(&random, N_COL, 1), *weight = gab_test_floats(&random, N_COL, 1), y[N_COL];
    double expected[N_COL];
    gab_slice w = gab_test_slice(vk, weight, sizeof y);
    const gab_layernorm op = {.x = gab_test_slice(vk, x, sizeof y),
                              .y = gab_test_slice(vk, NULL, sizeof y),
                              .weight = w,
                              .bias = w,
                              .n_col = N_COL,
                              .x_stride = N_COL,
                              .y_stride = N_COL,
                              .eps = 1e-5f};
    gab_kernel_context *context = gab_test_begin(vk, set, gab_test_step_of(vk, 1, 0), 1, 0);
    gab_layernorm_record(context, &op);
    gab_test_end(context);
    gab_test_read(vk, op.y, y, sizeof y);
    gab_layernorm_reference(x, weight, weight, N_COL, 1e-5, expected);
    if (vk->executes) gab_test_close(y, expected, N_COL, 1e-6, 1e-6, "layernorm on one of two devices");
    gab_test_release(vk);
}

/* All devices, and the first a second time; closed in another order than opened. */
GAB_TEST(several_open) {
    enum { MOST = 5 };
    gab_vk *open[MOST] = {0};
    size_t n = 0;
    list();
    for (size_t i = 0; i < n_device && n < MOST - 1; i++)
        if (devices[i].usable) open[n++] = gab_test_vk_open(devices[i].uuid);
    open[n++] = gab_test_vk_open(NULL);
    for (size_t turn = 0; turn < 3; turn++)
        for (size_t i = 0; i < n; i++) run_layernorm(open[i], turn * MOST + i);
    gab_test_vk_close(&open[0]);
    for (size_t i = 1; i < n; i++) run_layernorm(open[i], i);
    for (size_t i = n; i-- > 1;) gab_test_vk_close(&open[i]);
    gab_vk_destroy(&open[0]); /* NULL by now */
    gab_vk_destroy(NULL);
    gab_device_list_free(&devices);
}

GAB_TEST_MAIN()
