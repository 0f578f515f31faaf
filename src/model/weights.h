/*
 * weights.h - the weights of a model: bound by name, checked, planned, then read, repacked into planes and uploaded.
 *
 * A model's bind function names every tensor it wants and where it goes; the first thing that is wrong (missing, of
 * another shape, of an unknown type) stops it with an error that names the tensor. Nothing is read before all is bound
 * and its memory is known. Loading runs on worker threads, which write the planes straight into mapped device memory
 * where there is such, else through a bounded staging buffer.
 */
#ifndef GAB_MODEL_WEIGHTS_H
#define GAB_MODEL_WEIGHTS_H

#include "base/arena.h"
#include "format/gguf.h"
#include "kernels/kernels.h"

typedef struct gab_weights {
    gab_vk *vk;
    gab_arena arena; /* shards */
    gab_buffer *slabs;
    uint32_t n_slab;
    uint64_t bytes; /* on the device */
} gab_weights;

typedef struct gab_binding gab_binding;

typedef struct gab_binder {
    const gab_gguf *gguf;
    const gab_log *log;
    gab_binding *first, *last;
    gab_arena arena;
    gab_status status; /* the first failure; later calls do nothing */
} gab_binder;

/* A matrix [n_row][n_col], in the file's type. */
void gab_bind_matrix(gab_binder *binder, gab_weight *weight, uint64_t n_row, uint64_t n_col, const char *name, ...)
    GAB_PRINTF(5, 6);
/* A vector [n], as f32 whatever the file's type. */
void gab_bind_vector(gab_binder *binder, gab_slice *vector, uint64_t n, const char *name, ...) GAB_PRINTF(4, 5);
void gab_binder_free(gab_binder *binder);

/* Steps through the matrices bound: where each goes, and in `as` how it will lie on the device, without shards; NULL
 * behind the last. *at is NULL before the first. */
const gab_weight *gab_binder_next_matrix(const gab_binder *binder, const gab_binding **at, gab_weight *as);

/* Device bytes of everything bound. */
uint64_t gab_binder_bytes(const gab_binder *binder);

typedef struct gab_load_options {
    uint64_t shard_bytes_max; /* 0: the device's limits */
    bool staging;             /* also where memory is mapped */
    gab_progress_fn progress;
    void *progress_user;
} gab_load_options;

/* Makes the slabs, fills in every gab_weight and vector slice that was bound, reads and uploads. */
gab_status gab_weights_load(gab_binder *binder, gab_vk *vk, const gab_load_options *options, gab_weights *weights);
void gab_weights_destroy(gab_weights *weights);

#endif
