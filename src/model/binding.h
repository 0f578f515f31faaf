/*
 * binding.h - what binding (bind.c) leaves for loading (weights.c): which rows of the files become which rows of a
 * weight.
 */
#ifndef GAB_MODEL_BINDING_H
#define GAB_MODEL_BINDING_H

#include "model/weights.h"

/* Rows of a tensor, or elements of a vector, in a binding. */
typedef struct gab_source {
    const gab_gguf_tensor *tensor;
    uint64_t first, n;
    uint32_t head_dim, n_turn;
    uint64_t run, run_step;
} gab_source;

struct gab_binding {
    gab_source sources[GAB_PART_MAX];
    uint32_t n_source;
    bool in_turn;       /* a row of each source, else one source after the other */
    gab_weight *weight; /* a matrix, or */
    gab_slice *vector;  /* a vector */
    gab_weight as;      /* how it lies on the device: for a vector, one row of f32 */
    gab_binding *next;
};

#endif
