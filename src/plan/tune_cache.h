/*
 * tune_cache.h - the variants chosen for a device, kept in the cache folder as text: what autotune.c has measured need
 * not be measured again, and the same kernels, hence the same numbers, are used at every start.
 *
 * The file is <cache folder>/tuning-<device UUID>-<driver UUID>.txt:
 *
 *     gabbro tuning 1
 *     device NVIDIA GeForce RTX 4090
 *     driver 8a41c2f0 kernels 0123456789abcdef
 *     use matvec_q8_0 fast 4096x1024 : group 553000 ns
 *     row matvec_q8_0 fast 4096x1024 : other 721000 ns, right
 *     end 0123456789abcdef
 *
 * "use" lines are the choices, "row" lines are for people, "bad matvec_q8_0 fast 4096x1024 : other" is a variant with
 * which the device was lost. The last line is the checksum of all before it. A file of another driver version or other
 * kernels is replaced; one that is damaged or cannot be written costs one warning.
 */
#ifndef GAB_PLAN_TUNE_CACHE_H
#define GAB_PLAN_TUNE_CACHE_H

#include "vk/device.h"

typedef struct gab_tune_cache {
    gab_vk *vk;
    uint64_t kernels; /* what the choices were measured with */
    char *text;       /* lines between the head and the end, as they were read; NULL: none */
    char *added;      /* lines for gab_tune_cache_write; NULL: none */
    bool warned;      /* that the file cannot be used */
} gab_tune_cache;

/* Reads the file; never fails. */
void gab_tune_cache_open(gab_vk *vk, uint64_t kernels, gab_tune_cache *cache);
void gab_tune_cache_close(gab_tune_cache *cache);

/* The name of the variant chosen for an operation and class of shapes; false when there is none. */
bool gab_tune_cache_find(const gab_tune_cache *cache, const char *operation, bool exact, const char *shape, char *name,
                         size_t size);

/* Adds a choice, or with a verdict a row, in the place of what the file has of this operation and class. */
void gab_tune_cache_add(gab_tune_cache *cache, const char *operation, bool exact, const char *shape,
                        const char *variant, double ms, const char *verdict);

/* A variant with which the device was lost. */
void gab_tune_cache_add_bad(gab_tune_cache *cache, const char *operation, bool exact, const char *shape,
                            const char *variant);
bool gab_tune_cache_is_bad(const gab_tune_cache *cache, const char *operation, bool exact, const char *shape,
                           const char *variant);

/* Puts what was added into the file as it is now: another process may have tuned meanwhile. One warning when it cannot.
 */
void gab_tune_cache_write(gab_tune_cache *cache);

#endif
