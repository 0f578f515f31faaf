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
    gab_binding *known; /* tensors that go nowhere: the host's own, and those that are not needed */
    gab_arena arena;
    gab_status status; /* the first failure; later calls do nothing */
} gab_binder;

/* A matrix [n_row][n_col], in the file's type. */
void gab_bind_matrix(gab_binder *binder, gab_weight *weight, uint64_t n_row, uint64_t n_col, const char *name, ...)
    GAB_PRINTF(5, 6);
/* A vector [n], as f32 whatever the file's type. */
void gab_bind_vector(gab_binder *binder, gab_slice *vector, uint64_t n, const char *name, ...) GAB_PRINTF(4, 5);

/* Rows of a tensor, or elements of a vector, that become part of a larger one. */
typedef struct gab_part {
    const char *name;
    uint64_t n_tensor; /* rows, or elements, that the tensor must have, */
    uint64_t first, n; /* and those that are taken */
    /* They come in heads of head_dim, in which number i and number i + n_turn are to lie side by side, for i below
     * n_turn (kernels/rope.h); 0: they stay as they are. */
    uint32_t head_dim, n_turn;
    /* The rows are those of so many experts, one below the other; 0: of none. With run_step they come in runs, each so
     * many rows behind the one before: `run` of every run are taken. */
    uint32_t n_expert;
    uint64_t run, run_step;
} gab_part;

enum { GAB_PART_MAX = 3 };

/* Matrices whose rows are those of the parts, one part after the other. Parts of one type that follow each other become
 * one weight: how many there are comes back, at most n_part. in_turn: two parts of equal size and type become one
 * weight with their rows in turn; of different types, they stay one after the other, and *in_turn becomes false. */
uint32_t gab_bind_parts(gab_binder *binder, gab_weight weights[GAB_PART_MAX], uint64_t n_col, const gab_part *parts,
                        uint32_t n_part, bool *in_turn);
/* A vector of the parts' elements; in_turn: one of each. */
void gab_bind_vector_parts(gab_binder *binder, gab_slice *vector, const gab_part *parts, uint32_t n_part, bool in_turn);

/* A small vector for the host's own use, read now: n floats. */
void gab_bind_host(gab_binder *binder, float *values, uint64_t n, const char *name, ...) GAB_PRINTF(4, 5);
/* A tensor that a file may have and nothing needs. */
void gab_bind_unused(gab_binder *binder, const char *name, ...) GAB_PRINTF(2, 3);

/* Has the file such a tensor? Once binding has failed: no. */
bool gab_binder_has(const gab_binder *binder, const char *name, ...) GAB_PRINTF(2, 3);

/* A small vector of the file for the host's own use: n floats. */
gab_status gab_vector_read(const gab_gguf *gguf, const gab_log *log, const char *name, uint64_t n, float *values);

void gab_binder_free(gab_binder *binder);

/* Steps through the matrices bound: where each goes, and in `as` how it will lie on the device, without shards; NULL
 * behind the last. *at is NULL before the first. */
const gab_weight *gab_binder_next_matrix(const gab_binder *binder, const gab_binding **at, gab_weight *as);

/* The first tensor of the files that nothing has bound; NULL: there is none. */
const gab_gguf_tensor *gab_binder_unbound(const gab_binder *binder);

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
