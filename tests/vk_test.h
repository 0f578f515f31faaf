/*
 * vk_test.h - what tests of kernels and of the Vulkan layer share.
 *
 * gab_test_each_device() runs a body on every device that the loader offers, with both families of kernels, under the
 * validation layer (GABBRO_VALIDATE=1 unless the variable is set; without the layer it says so and goes on). A
 * validation message fails the case. Every device gets its pipeline cache in a fresh folder.
 *
 * Slices, weights and host memory made here belong to the harness: gab_test_release() frees them, as do the end of a
 * body and gab_test_vk_close(). On a device that does not execute, everything is compiled, recorded and submitted, and
 * comparisons are skipped.
 *
 *     static void body(gab_vk *vk, gab_kernel_set set) {
 *         gab_kernel_context *c = gab_test_begin(vk, set, step, n_row, n_out);
 *         gab_layernorm_record(c, &op);
 *         gab_test_end(c);
 *         gab_test_read(vk, op.y, y, sizeof y);
 *         gab_test_close(y, expected, n, 1e-6, 1e-6, "layernorm %u", n);
 *     }
 *     GAB_TEST(one_row) { gab_test_each_device(body); }
 */
#ifndef GAB_VK_TEST_H
#define GAB_VK_TEST_H

#include "base/error.h"
#include "kernels/kernels.h"
#include "test.h"
#include "vk/commands.h"

/* ---- devices ---- */

/* The validation layer and the cache folder; called by all that follows. Skips the case without a Vulkan device. */
void gab_test_vk_setup(void);

void gab_test_each_device(void (*body)(gab_vk *vk, gab_kernel_set set));

/* Is variant i of a table to be run: of the set's family, usable, and, with `once` or GABBRO_TEST_ONCE=1 (for a driver
 * that compiles slowly), not one more of the same shader? */
bool gab_test_wants_variant(const gab_vk *vk, const gab_kernel_set *set, const gab_variant *variants, uint32_t i,
                            bool once);

/* One device, named as for gab_vk_create(), which must open. */
gab_vk *gab_test_vk_open(const char *choice);
void gab_test_vk_close(gab_vk **vk);

/* The XDG_CACHE_HOME of this process; removed at exit. */
const char *gab_test_cache_home(void);

/* The one file in the program's cache folder that begins with `start`; false when there is none. */
bool gab_test_cache_file(const char *start, char *path, size_t size);

/* From here on the device's driver says that a pipeline spills, or with VK_NULL_HANDLE that all do; end: it says
 * nothing any more. */
void gab_test_spill(gab_vk *vk, VkPipeline pipeline);
void gab_test_spill_end(gab_vk *vk);

/* ---- the layer that counts calls (call_counter/) ---- */

typedef struct gab_test_calls {
    uint64_t (*get)(const char *name);       /* gab_call_counter_get */
    void (*lose_device_at)(uint64_t submit); /* gab_call_counter_lose_device_at */
    uint64_t (*spoilt)(void);                /* gab_call_counter_spoilt */
} gab_test_calls;

/* Puts the layer into every device opened later in this process; call it first in a case. Skips the case where the
 * layer cannot be loaded. */
gab_test_calls gab_test_calls_start(void);

/* ---- the log ---- */

gab_log gab_test_log(void); /* counts, keeps the last message of a level, prints errors and warnings */
unsigned gab_test_log_count(gab_log_level level);   /* messages since gab_test_log_reset(), those of validation apart */
const char *gab_test_log_last(gab_log_level level); /* "": none */
void gab_test_log_reset(void);
unsigned gab_test_validation_count(void); /* messages of the validation layer so far */
void gab_test_validation_forget(void);    /* for the case that provokes some */

/* ---- memory ---- */

/* A slice of its own buffer holding `data` (zeros: NULL). */
gab_slice gab_test_slice(gab_vk *vk, const void *data, size_t n_byte);
void gab_test_write(gab_vk *vk, gab_slice slice, const void *data, size_t n_byte);
void gab_test_read(gab_vk *vk, gab_slice slice, void *data, size_t n_byte);
void *gab_test_alloc(size_t n_byte); /* zeroed */
void gab_test_release(gab_vk *vk);

/* n floats of a normal distribution times scale. */
float *gab_test_floats(gab_test_random *random, size_t n, float scale);
/* rows x n_col floats as rows of `stride` floats, the rest zeros. */
float *gab_test_pad_rows(const float *values, uint32_t n_row, uint32_t n_col, uint32_t stride);

/* ---- steps and weights ---- */

/* A step buffer: the step, then n_word words of page tables. */
gab_slice gab_test_step(gab_vk *vk, const gab_step *step, const uint32_t *page_tables, size_t n_word);
/* The same for a step of n_row rows (tokens and positions 0.., slot 0) and n_out output rows (rows 0..), without pages.
 */
gab_slice gab_test_step_of(gab_vk *vk, uint32_t n_row, uint32_t n_out);

typedef struct gab_test_weight {
    gab_weight weight;
    float *values; /* [n_row][n_col] as the device sees them: dequantized */
} gab_test_weight;

/* Random weights of a type, cut into n_shard shards of about equal rows. n_col: a multiple of the type's block. */
gab_test_weight gab_test_weight_make(gab_vk *vk, gab_dtype type, uint32_t n_row, uint32_t n_col, uint32_t n_shard,
                                     gab_test_random *random);

/* The same, of given rows as in a file. */
gab_test_weight gab_test_weight_of(gab_vk *vk, gab_dtype type, uint32_t n_row, uint32_t n_col, uint32_t n_shard,
                                   const void *rows);

/* ---- running and comparing ---- */

/* Opens a command list to record into (one at a time); end submits it and waits. */
gab_kernel_context *gab_test_begin(gab_vk *vk, gab_kernel_set set, gab_slice step, uint32_t n_row, uint32_t n_out);
void gab_test_end(gab_kernel_context *context);

/* Fails the case when the relative L2 error of n values is above l2_max, or the largest error, relative to the largest
 * value expected, is above relative_max, or a value is not finite where the expected one is. The message names device,
 * family and what the format says. The largest errors seen are printed at the end of the case. */
void gab_test_close(const float *got, const double *expected, size_t n, double l2_max, double relative_max,
                    const char *format, ...) GAB_PRINTF(6, 7);

/* The same for sums that may cancel: errors are relative to `size`, what each value's terms amount to (the root of the
 * sum of their squares): L2 norm to L2 norm, value to value. */
void gab_test_close_sums(const float *got, const double *expected, const double *size, size_t n, double l2_max,
                         double relative_max, const char *format, ...) GAB_PRINTF(7, 8);

/* The same words, exactly. */
void gab_test_same(const void *got, const void *expected, size_t n_word, const char *format, ...) GAB_PRINTF(4, 5);

#endif
