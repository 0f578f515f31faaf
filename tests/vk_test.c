#include "vk_test.h"

#include <dirent.h>
#include <dlfcn.h>
#include <math.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/time.h"
#include "tensor/quant.h"

enum { MESSAGE_LEVELS = GAB_LOG_DEBUG + 1 };

/* What the harness owns until gab_test_release(). */
typedef struct owned {
    gab_buffer buffer;
    void *memory;
    struct owned *next;
} owned;

static struct {
    bool ready;
    char cache_home[512];
    pid_t owner; /* of cache_home */
    atomic_uint n_validation;
    atomic_uint n_message[MESSAGE_LEVELS];
    char last[MESSAGE_LEVELS][GAB_MESSAGE_MAX];
    owned *owned;
    gab_command_list list;
    gab_recorder recorder;
    gab_kernel_context context;
    char where[320]; /* device and family now */
    bool executes;
    double worst_l2, worst_relative;
    char worst_what[512];
} harness = {.executes = true};

/* ---- devices ---- */

static void remove_files(const char *folder) {
    DIR *dir = opendir(folder);
    char path[1024];
    if (!dir) return;
    for (struct dirent *entry; (entry = readdir(dir));) {
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) remove(path);
    }
    closedir(dir);
}

static void remove_cache_home(void) {
    char folder[600];
    if (getpid() != harness.owner) return;
    snprintf(folder, sizeof folder, "%s/gabbro", harness.cache_home);
    remove_files(folder);
    remove_files(harness.cache_home);
    rmdir(harness.cache_home);
}

static void on_message(void *user, gab_log_level level, const char *message) {
    (void)user;
    if (strncmp(message, "validation: ", 12) == 0) {
        if (atomic_fetch_add(&harness.n_validation, 1) < 8) fprintf(stderr, "%s: %s\n", harness.where, message);
        return;
    }
    atomic_fetch_add(&harness.n_message[level], 1);
    snprintf(harness.last[level], sizeof harness.last[level], "%s", message);
    if (level <= GAB_LOG_WARNING) fprintf(stderr, "%s: %s\n", level == GAB_LOG_ERROR ? "error" : "warning", message);
}

gab_log gab_test_log(void) {
    return (gab_log){on_message, NULL};
}

unsigned gab_test_log_count(gab_log_level level) {
    return harness.n_message[level];
}

const char *gab_test_log_last(gab_log_level level) {
    return harness.last[level];
}

void gab_test_log_reset(void) {
    for (int i = 0; i < MESSAGE_LEVELS; i++) {
        harness.n_message[i] = 0;
        harness.last[i][0] = 0;
    }
}

unsigned gab_test_validation_count(void) {
    return harness.n_validation;
}

void gab_test_validation_forget(void) {
    harness.n_validation = 0;
}

const char *gab_test_cache_home(void) {
    return harness.cache_home;
}

void gab_test_vk_setup(void) {
    gab_device_info *devices = NULL;
    size_t n = 0;
    if (harness.ready) return;
    harness.ready = true;
    /* Mesa's own cache of compiled code stays where it is: without it every run compiles for a minute. */
    const char *folder = getenv("TMPDIR"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char mesa[512];
    snprintf(mesa, sizeof mesa, xdg ? "%s" : "%s/.cache", xdg ? xdg : home ? home : "/tmp");
    CHECK(setenv("MESA_SHADER_CACHE_DIR", mesa, 0) == 0);
    snprintf(harness.cache_home, sizeof harness.cache_home, "%s/gabbro-vk-test-XXXXXX", folder ? folder : "/tmp");
    CHECK(mkdtemp(harness.cache_home));
    harness.owner = getpid();
    atexit(remove_cache_home);
    CHECK(setenv("XDG_CACHE_HOME", harness.cache_home, 1) == 0);
    CHECK(unsetenv("GABBRO_DEVICE") == 0);
    CHECK(setenv("GABBRO_TUNE", "0", 0) == 0); /* the same kernels in every run; tests of tuning ask for it */
    CHECK(setenv("GABBRO_VALIDATE", "1", 0) == 0);
    /* Layers before 1.3.275 look across submits only when asked; later ones always do, but see what shaders access only
     * when asked. */
    CHECK(setenv("VK_LAYER_ENABLES", "VALIDATION_CHECK_ENABLE_SYNCHRONIZATION_VALIDATION_QUEUE_SUBMIT", 0) == 0);
    CHECK(setenv("VK_KHRONOS_VALIDATION_SYNCVAL_SHADER_ACCESSES_HEURISTIC", "1", 0) == 0);
    gab_status status = gab_device_list(&devices, &n, NULL, NULL);
    if (status == GAB_ERROR_VULKAN && strstr(gab_last_error(), "GABBRO_VALIDATE")) {
        puts("no validation layer: results only");
        CHECK(setenv("GABBRO_VALIDATE", "0", 1) == 0);
        status = gab_device_list(&devices, &n, NULL, NULL);
    }
    if (status == GAB_ERROR_NO_DEVICE) SKIP("%s", gab_last_error());
    CHECK_OK(status);
    gab_device_list_free(&devices);
}

gab_vk *gab_test_vk_open(const char *choice) {
    gab_vk *vk = NULL;
    const gab_log log = gab_test_log();
    gab_test_vk_setup();
    CHECK_OK(gab_vk_create(choice, &log, &vk));
    harness.executes = vk->executes;
    snprintf(harness.where, sizeof harness.where, "%s", vk->info.name);
    return vk;
}

void gab_test_vk_close(gab_vk **vk) {
    gab_test_release(*vk);
    gab_vk_destroy(vk);
}

void gab_test_each_device(void (*body)(gab_vk *vk, gab_kernel_set set)) {
    gab_device_info *devices = NULL;
    size_t n = 0, n_usable = 0;
    gab_test_vk_setup();
    CHECK_OK(gab_device_list(&devices, &n, on_message, NULL));
    for (size_t i = 0; i < n; i++) {
        if (!devices[i].usable) continue;
        n_usable++;
        gab_vk *vk = gab_test_vk_open(devices[i].uuid);
        for (int family = 0; family < 2; family++) {
            const char *name = family == 0 ? "lane" : "group";
            gab_kernel_set set;
            CHECK_OK(gab_kernel_set_choose(vk, name, false, &set));
            snprintf(harness.where, sizeof harness.where, "%s, %s", vk->info.name, name);
            uint64_t start = gab_time_ns();
            body(vk, set);
            gab_test_release(vk);
            printf("device: %s family, %.0f ms%s\n", harness.where, gab_time_ms_since(start),
                   vk->executes ? "" : " (compile-only: not compared)");
        }
        gab_test_vk_close(&vk);
    }
    gab_device_list_free(&devices);
    if (n_usable == 0) SKIP("no device with Vulkan 1.2");
}

bool gab_test_wants_variant(const gab_vk *vk, const gab_kernel_set *set, const gab_variant *variants, uint32_t i,
                            bool once) {
    const char *asked = getenv("GABBRO_TEST_ONCE");
    if (variants[i].lane != set->lane || !gab_variant_usable(vk, &variants[i], false)) return false;
    return !(once || (asked && strcmp(asked, "1") == 0)) || i == 0 || variants[i].shader != variants[i - 1].shader;
}

bool gab_test_cache_file(const char *start, char *path, size_t size) {
    char folder[600];
    bool found = false;
    snprintf(folder, sizeof folder, "%s/gabbro", gab_test_cache_home());
    DIR *dir = opendir(folder);
    if (!dir) return false;
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (strncmp(entry->d_name, start, strlen(start)) != 0) continue;
        CHECK(!found && !strstr(entry->d_name, ".tmp"));
        found = true;
        snprintf(path, size, "%s/%s", folder, entry->d_name);
    }
    closedir(dir);
    return found;
}

static VkPipeline spilling; /* VK_NULL_HANDLE: all */

static VkResult one_executable(VkDevice device, const VkPipelineInfoKHR *info, uint32_t *n,
                               VkPipelineExecutablePropertiesKHR *properties) {
    (void)device, (void)info, (void)properties;
    *n = 1;
    return VK_SUCCESS;
}

static VkResult some_spill(VkDevice device, const VkPipelineExecutableInfoKHR *info, uint32_t *n,
                           VkPipelineExecutableStatisticKHR *statistics) {
    (void)device;
    *n = 1;
    snprintf(statistics[0].name, sizeof statistics[0].name, "Spilled VGPRs");
    statistics[0].format = VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_UINT64_KHR;
    statistics[0].value.u64 = !spilling || info->pipeline == spilling ? 7 : 0;
    return VK_SUCCESS;
}

void gab_test_spill(gab_vk *vk, VkPipeline pipeline) {
    spilling = pipeline;
    vk->fn.vkGetPipelineExecutablePropertiesKHR = one_executable;
    vk->fn.vkGetPipelineExecutableStatisticsKHR = some_spill;
    vk->has_pipeline_statistics = true; /* of pipelines that are compiled already */
}

void gab_test_spill_end(gab_vk *vk) {
    vk->has_pipeline_statistics = false;
}

gab_test_calls gab_test_calls_start(void) {
    gab_test_calls calls;
    void *layer = dlopen(GAB_TEST_CALL_COUNTER, RTLD_NOW); /* the loader's copy is the same */
    if (!layer) SKIP("%s", dlerror());
    *(void **)&calls.get = dlsym(layer, "gab_call_counter_get");
    *(void **)&calls.lose_device_at = dlsym(layer, "gab_call_counter_lose_device_at");
    *(void **)&calls.spoilt = dlsym(layer, "gab_call_counter_spoilt");
    CHECK(calls.get && calls.lose_device_at && calls.spoilt);
    CHECK(setenv("VK_INSTANCE_LAYERS", "VK_LAYER_GABBRO_call_counter", 1) == 0);
    char folder[1024];
    snprintf(folder, sizeof folder, "%s", GAB_TEST_CALL_COUNTER);
    *strrchr(folder, '/') = 0;
    CHECK(setenv("VK_ADD_LAYER_PATH", folder, 1) == 0);
    gab_vk *vk = gab_test_vk_open(NULL);
    uint64_t n_submit = calls.get("vkQueueSubmit");
    gab_test_vk_close(&vk);
    if (n_submit == 0) SKIP("the Vulkan loader does not take the layer %s", GAB_TEST_CALL_COUNTER);
    return calls;
}

void gab_test_finish(void) {
    if (harness.worst_what[0])
        printf("largest errors: relative L2 %.2e, of one value %.2e (%s)\n", harness.worst_l2, harness.worst_relative,
               harness.worst_what);
    if (harness.n_validation > 0) FAIL("%u messages of the validation layer", harness.n_validation);
    harness.worst_l2 = harness.worst_relative = 0;
    harness.worst_what[0] = 0;
}

/* ---- memory ---- */

static owned *own(void) {
    owned *entry = calloc(1, sizeof *entry);
    CHECK(entry);
    entry->next = harness.owned;
    return harness.owned = entry;
}

gab_slice gab_test_slice(gab_vk *vk, const void *data, size_t n_byte) {
    owned *entry = own();
    CHECK_OK(gab_buffer_create(vk, GAB_MEMORY_DEVICE, n_byte, "test data", &entry->buffer));
    gab_slice slice = gab_buffer_all(&entry->buffer);
    if (data) gab_test_write(vk, slice, data, n_byte);
    return slice;
}

void gab_test_write(gab_vk *vk, gab_slice slice, const void *data, size_t n_byte) {
    CHECK_OK(gab_slice_write(vk, slice, 0, data, n_byte));
}

void gab_test_read(gab_vk *vk, gab_slice slice, void *data, size_t n_byte) {
    CHECK_OK(gab_slice_read(vk, slice, 0, data, n_byte));
}

void *gab_test_alloc(size_t n_byte) {
    owned *entry = own();
    entry->memory = calloc(n_byte ? n_byte : 1, 1);
    CHECK(entry->memory);
    return entry->memory;
}

void gab_test_release(gab_vk *vk) {
    while (harness.owned) {
        owned *next = harness.owned->next;
        gab_buffer_destroy(vk, &harness.owned->buffer);
        free(harness.owned->memory);
        free(harness.owned);
        harness.owned = next;
    }
}

float *gab_test_floats(gab_test_random *random, size_t n, float scale) {
    float *values = gab_test_alloc(n * sizeof *values);
    for (size_t i = 0; i < n; i++) values[i] = gab_test_random_normal(random) * scale;
    return values;
}

float *gab_test_pad_rows(const float *values, uint32_t n_row, uint32_t n_col, uint32_t stride) {
    float *padded = gab_test_alloc((size_t)n_row * stride * sizeof *padded);
    for (uint32_t r = 0; r < n_row; r++)
        memcpy(padded + (size_t)r * stride, values + (size_t)r * n_col, n_col * sizeof *padded);
    return padded;
}

/* ---- steps and weights ---- */

gab_slice gab_test_step(gab_vk *vk, const gab_step *step, const uint32_t *page_tables, size_t n_word) {
    gab_slice slice = gab_test_slice(vk, NULL, sizeof *step + (n_word ? n_word : 1) * sizeof *page_tables);
    CHECK_OK(gab_slice_write(vk, slice, 0, step, sizeof *step));
    CHECK_OK(gab_slice_write(vk, slice, sizeof *step, page_tables, n_word * sizeof *page_tables));
    return slice;
}

gab_slice gab_test_step_of(gab_vk *vk, uint32_t n_row, uint32_t n_out) {
    gab_step *step = gab_test_alloc(sizeof *step);
    step->n_row = n_row;
    step->n_out = n_out;
    for (uint32_t i = 0; i < n_row; i++) step->rows[i] = (gab_step_row){.token = i, .position = i};
    for (uint32_t i = 0; i < n_out; i++) step->outs[i].row = i;
    return gab_test_step(vk, step, NULL, 0);
}

gab_test_weight gab_test_weight_of(gab_vk *vk, gab_dtype type, uint32_t n_row, uint32_t n_col, uint32_t n_shard,
                                   const void *rows) {
    const gab_dtype_info *info = gab_dtype_get(type);
    CHECK(n_col % info->block_size == 0 && n_shard >= 1 && n_shard <= n_row);
    gab_test_weight result = {.weight = {.type = type, .n_col = n_col, .n_row = n_row, .n_shard = n_shard}};
    uint64_t row_bytes = 0;
    CHECK(gab_dtype_row_bytes(type, n_col, &row_bytes));
    result.values = gab_test_alloc((size_t)n_row * n_col * sizeof *result.values);
    result.weight.shards = gab_test_alloc(n_shard * sizeof *result.weight.shards);
    for (uint32_t s = 0; s < n_shard; s++) {
        uint32_t first = (uint32_t)((uint64_t)n_row * s / n_shard);
        uint32_t n = (uint32_t)((uint64_t)n_row * (s + 1) / n_shard) - first;
        size_t plane_row[GAB_PLANE_MAX] = {0};
        for (uint32_t p = 0; p < info->n_plane; p++) plane_row[p] = gab_dtype_plane_row_bytes(type, p, n_col);
        size_t bytes = n * gab_dtype_planes_row_bytes(type, n_col);
        unsigned char *planes = gab_test_alloc(bytes);
        for (uint32_t r = 0; r < n; r++) {
            void *to[GAB_PLANE_MAX] = {planes + r * plane_row[0], planes + n * plane_row[0] + r * plane_row[1]};
            const unsigned char *row = (const unsigned char *)rows + (first + r) * row_bytes;
            gab_dequantize_row(type, row, n_col, result.values + (size_t)(first + r) * n_col);
            gab_dtype_split_row(type, n_col, row, to);
        }
        result.weight.shards[s] = (gab_shard){.slice = gab_test_slice(vk, planes, bytes),
                                              .first_row = first,
                                              .n_row = n,
                                              .scale_offset = gab_shard_scale_offset(type, n_col, n)};
    }
    return result;
}

gab_test_weight gab_test_weight_make(gab_vk *vk, gab_dtype type, uint32_t n_row, uint32_t n_col, uint32_t n_shard,
                                     gab_test_random *random) {
    uint64_t row_bytes = 0, state = gab_test_random_u32(random);
    CHECK(gab_dtype_row_bytes(type, n_col, &row_bytes));
    unsigned char *rows = gab_test_alloc(n_row * row_bytes);
    for (uint32_t r = 0; r < n_row; r++) gab_random_row(type, n_col, &state, rows + r * row_bytes);
    return gab_test_weight_of(vk, type, n_row, n_col, n_shard, rows);
}

/* ---- running and comparing ---- */

gab_kernel_context *gab_test_begin(gab_vk *vk, gab_kernel_set set, gab_slice step, uint32_t n_row, uint32_t n_out) {
    CHECK(!harness.list.pool);
    CHECK_OK(gab_command_list_create(vk, 1, &harness.list));
    harness.recorder = (gab_recorder){.vk = vk, .list = &harness.list};
    harness.context =
        (gab_kernel_context){.recorder = &harness.recorder, .set = set, .step = step, .n_row = n_row, .n_out = n_out};
    gab_record_open(&harness.recorder);
    return &harness.context;
}

void gab_test_end(gab_kernel_context *context) {
    gab_recorder *recorder = context->recorder;
    uint64_t value = 0;
    gab_record_host_barrier(recorder);
    gab_record_close(recorder);
    CHECK_OK(recorder->status);
    CHECK_OK(gab_submit(recorder->vk, &harness.list, 0, 1, &value));
    CHECK_OK(gab_wait(recorder->vk, value));
    gab_command_list_destroy(recorder->vk, &harness.list);
}

/* size: NULL for the expected values themselves, taken together. */
static void close_to(const float *got, const double *expected, const double *size, size_t n, double l2_max,
                     double relative_max, const char *what) {
    double error = 0, norm = 0, largest = 0, worst = 0;
    size_t at = 0;
    for (size_t i = 0; i < n; i++) largest = fmax(largest, fabs(expected[i]));
    for (size_t i = 0; i < n; i++) {
        double d = fabs(got[i] - expected[i]), own_size = size ? size[i] : expected[i];
        if (!isfinite(d))
            FAIL("%s: %s: value %zu of %zu is %g, expected %g", harness.where, what, i, n, (double)got[i], expected[i]);
        error += d * d;
        norm += own_size * own_size;
        double relative = d > 0 ? d / (size ? own_size : largest) : 0;
        if (relative > worst) {
            worst = relative;
            at = i;
        }
    }
    double l2 = error > 0 ? sqrt(error / norm) : 0;
    if (!(l2 <= l2_max && worst <= relative_max))
        FAIL("%s: %s: relative L2 error %.3e (at most %.1e), largest relative error %.3e (at most %.1e), at %zu of "
             "%zu: %.9g, "
             "expected %.9g",
             harness.where, what, l2, l2_max, worst, relative_max, at, n, (double)got[at], expected[at]);
    if (l2 >= harness.worst_l2) snprintf(harness.worst_what, sizeof harness.worst_what, "%s: %s", harness.where, what);
    harness.worst_l2 = fmax(harness.worst_l2, l2);
    harness.worst_relative = fmax(harness.worst_relative, worst);
}

void gab_test_close(const float *got, const double *expected, size_t n, double l2_max, double relative_max,
                    const char *format, ...) {
    char what[160];
    va_list args;
    if (!harness.executes) return;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    close_to(got, expected, NULL, n, l2_max, relative_max, what);
}

void gab_test_close_sums(const float *got, const double *expected, const double *size, size_t n, double l2_max,
                         double relative_max, const char *format, ...) {
    char what[160];
    va_list args;
    if (!harness.executes) return;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    close_to(got, expected, size, n, l2_max, relative_max, what);
}

void gab_test_same(const void *got, const void *expected, size_t n_word, const char *format, ...) {
    const uint32_t *a = got, *b = expected;
    char what[128];
    va_list args;
    if (!harness.executes) return;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    for (size_t i = 0; i < n_word; i++)
        if (a[i] != b[i])
            FAIL("%s: %s: word %zu of %zu is %08x, expected %08x", harness.where, what, i, n_word, a[i], b[i]);
}
