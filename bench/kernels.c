/*
 * kernels.c - the products of a model, alone: median time, GB/s of weights read and GFLOP/s, for each weight type and
 * number of columns, on one device. `host` is processor time a product: on a CPU driver, the work itself, whatever else
 * the machine does.
 *
 *     bench/kernels [-d DEVICE] [--rows N] [--cols N] [--variant lane|group] [--runs N]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/time.h"
#include "kernels/matmul.h"

static void print_log(void *user, gab_log_level level, const char *message) {
    (void)user;
    if (level <= GAB_LOG_INFO) fprintf(stderr, "%s\n", message);
}

typedef struct bench {
    gab_vk *vk;
    gab_kernel_set set;
    uint32_t n_row, n_col, n_run;
    gab_slice step, x, y, bias;
} bench;

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Times `repeat` products in one command buffer; milliseconds a product, the first run (with its compilation) apart. */
static gab_status run(bench *b, const gab_weight *weight, uint32_t columns, uint32_t repeat, double *first,
                      double *median, double *cpu) {
    gab_status status;
    gab_command_list list = {0};
    gab_recorder recorder = {.vk = b->vk, .list = &list};
    const gab_kernel_context context = {.recorder = &recorder, .set = b->set, .step = b->step, .n_row = columns};
    const gab_matmul op = {.weight = weight,
                           .x = b->x,
                           .y = b->y,
                           .x_stride = gab_row_stride(b->n_col),
                           .y_stride = gab_row_stride(b->n_row),
                           .bias = &b->bias};
    double *ms = calloc(b->n_run, sizeof *ms);
    clock_t cpu_start = 0;
    GAB_TRY_GOTO(gab_command_list_create(b->vk, 1, &list), error);
    gab_record_open(&recorder);
    for (uint32_t i = 0; i < repeat; i++) {
        gab_matmul_record(&context, &op);
        gab_record_barrier(&recorder);
    }
    gab_record_close(&recorder);
    GAB_TRY_GOTO(recorder.status, error);
    for (uint32_t i = 0; i <= b->n_run; i++) {
        if (i == 1) cpu_start = clock();
        uint64_t value, start = gab_time_ns();
        GAB_TRY_GOTO(gab_submit(b->vk, &list, 0, 1, &value), error);
        GAB_TRY_GOTO(gab_wait(b->vk, value), error);
        if (i == 0)
            *first = gab_time_ms_since(start);
        else
            ms[i - 1] = gab_time_ms_since(start) / repeat;
    }
    qsort(ms, b->n_run, sizeof *ms, compare);
    *median = ms[b->n_run / 2];
    *cpu = (double)(clock() - cpu_start) * 1e3 / CLOCKS_PER_SEC / (b->n_run * repeat);
error:
    free(ms);
    gab_command_list_destroy(b->vk, &list);
    return status;
}

static gab_status fill(gab_vk *vk, uint64_t size, gab_buffer *buffer) {
    GAB_TRY(gab_buffer_create(vk, GAB_MEMORY_DEVICE, size, "benchmark data", buffer));
    char *bytes = malloc(size);
    if (!bytes) return GAB_ERROR_HOST_MEMORY;
    memset(bytes, 0x2c, size); /* small positive numbers in every type */
    gab_status status = gab_slice_write(vk, gab_buffer_all(buffer), 0, bytes, size);
    free(bytes);
    return status;
}

static gab_status bench_type(bench *b, gab_dtype type) {
    static const uint32_t columns[] = {1, 2, 4, 8, 32, 128, 512};
    gab_buffer buffer;
    gab_weight weight = {.type = type, .n_row = b->n_row, .n_col = b->n_col, .n_shard = 1};
    const uint64_t bytes = (uint64_t)b->n_row * gab_dtype_planes_row_bytes(type, b->n_col);
    GAB_TRY(fill(b->vk, bytes, &buffer));
    gab_shard shard = {.slice = gab_buffer_all(&buffer),
                       .n_row = b->n_row,
                       .scale_offset = (uint32_t)(b->n_row * gab_dtype_plane_row_bytes(type, 0, b->n_col) / 4)};
    weight.shards = &shard;
    gab_status status = GAB_OK;
    for (size_t i = 0; status == GAB_OK && i < sizeof columns / sizeof *columns; i++) {
        double first = 0, ms = 0, cpu = 0;
        status = run(b, &weight, columns[i], columns[i] <= 8 ? 10 : 1, &first, &ms, &cpu);
        if (status == GAB_OK)
            printf("%-5s %4u x %-5u %3u columns  %9.3f ms  %7.2f GB/s  %8.1f GFLOP/s   first run %6.0f ms, host %9.3f "
                   "ms\n",
                   gab_dtype_get(type)->name, b->n_row, b->n_col, columns[i], ms, (double)bytes / ms * 1e-6,
                   2.0 * b->n_row * b->n_col * columns[i] / ms * 1e-6, first, cpu);
    }
    gab_buffer_destroy(b->vk, &buffer);
    return status;
}

static gab_status bench_all(bench *b) {
    gab_buffer step, x, y, bias;
    gab_step *now = calloc(1, sizeof *now);
    if (!now) return GAB_ERROR_HOST_MEMORY;
    now->n_row = GAB_ROW_MAX;
    GAB_TRY(fill(b->vk, sizeof *now, &step));
    GAB_TRY(gab_slice_write(b->vk, gab_buffer_all(&step), 0, now, sizeof *now));
    free(now);
    GAB_TRY(fill(b->vk, 4ull * GAB_ROW_MAX * gab_row_stride(b->n_col), &x));
    GAB_TRY(fill(b->vk, 4ull * GAB_ROW_MAX * gab_row_stride(b->n_row), &y));
    GAB_TRY(fill(b->vk, 4ull * gab_row_stride(b->n_row), &bias));
    b->step = gab_buffer_all(&step);
    b->x = gab_buffer_all(&x);
    b->y = gab_buffer_all(&y);
    b->bias = gab_buffer_all(&bias);
    gab_status status = GAB_OK;
    for (int type = 0; status == GAB_OK && type < GAB_DTYPE_COUNT; type++) status = bench_type(b, (gab_dtype)type);
    gab_buffer_destroy(b->vk, &step);
    gab_buffer_destroy(b->vk, &x);
    gab_buffer_destroy(b->vk, &y);
    gab_buffer_destroy(b->vk, &bias);
    return status;
}

int main(int argc, char **argv) {
    const char *device = NULL, *variant = NULL;
    bench b = {.n_row = 3072, .n_col = 768, .n_run = 5};
    const gab_log log = {print_log, NULL};
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *value = argv[i + 1];
        if (strcmp(argv[i], "-d") == 0)
            device = value;
        else if (strcmp(argv[i], "--variant") == 0)
            variant = value;
        else if (strcmp(argv[i], "--rows") == 0)
            b.n_row = (uint32_t)strtoul(value, NULL, 10);
        else if (strcmp(argv[i], "--cols") == 0)
            b.n_col = (uint32_t)strtoul(value, NULL, 10) / 32 * 32;
        else if (strcmp(argv[i], "--runs") == 0)
            b.n_run = (uint32_t)strtoul(value, NULL, 10);
    }
    if (argc % 2 == 0 || b.n_row == 0 || b.n_col == 0 || b.n_run == 0) {
        fprintf(
            stderr,
            "usage: kernels [-d DEVICE] [--rows N] [--cols N, a multiple of 32] [--variant lane|group] [--runs N]\n");
        return 2;
    }
    gab_status status = gab_vk_create(device, &log, &b.vk);
    if (status == GAB_OK) status = gab_kernel_set_choose(b.vk, variant, false, &b.set);
    if (status == GAB_OK) status = bench_all(&b);
    gab_vk_destroy(&b.vk);
    return status == GAB_OK ? 0 : 1;
}
