/*
 * kernels.h - what all kernels share: the family of variants a device uses, weights as kernels see them, and the step.
 *
 * A kernel file holds what it computes, a struct of what one dispatch needs, a function that records it, and its CPU
 * reference in double precision.
 *
 * Two families of variants exist. LANE: one vector of invocations a group, no shared memory, no barriers where it
 * matters; for CPU drivers. GROUP: for GPUs. Both run on any Vulkan 1.2 device.
 */
#ifndef GAB_KERNELS_KERNELS_H
#define GAB_KERNELS_KERNELS_H

#include "tensor/dtype.h"
#include "vk/commands.h"

typedef struct gab_kernel_set {
    bool lane; /* the LANE family, else GROUP */
    uint32_t
        lanes; /* invocations a group of the kernels that work for any number: the subgroup size for LANE, else 64 */
} gab_kernel_set;

/* By the kind of device; `forced` "lane" or "group" overrides (NULL: no). */
gab_status gab_kernel_set_choose(const gab_vk *vk, const char *forced, gab_kernel_set *set);

/* 64-bit hash of the family, its parameters and the code of all shaders: names the variant set in results. */
uint64_t gab_kernel_set_hash(const gab_kernel_set *set);

/* Whole rows of a weight matrix in one binding: plane 0 of all rows, then plane 1. */
typedef struct gab_shard {
    gab_slice slice;
    uint32_t first_row, n_row;
    uint32_t scale_offset; /* words from the start of the slice to plane 1; 0 without one */
} gab_shard;

/* A weight matrix [n_row][n_col] on the device. */
typedef struct gab_weight {
    gab_dtype type;
    uint32_t n_col, n_row;
    uint32_t n_shard;
    gab_shard *shards;
} gab_weight;

/* 16-byte parts a row of plane 0, counted in weights of the type; the last may be padded with zeros. */
uint32_t gab_weight_n_part(const gab_weight *weight);

/* The shader variant of a weight type, given its F32 variant (variants lie in the order of gab_dtype). */
gab_shader_id gab_shader_of_type(gab_shader_id f32, gab_shader_id next, gab_dtype type);

/* Activation rows are padded with zeros to this many floats: no kernel reads past a row's padded end. */
enum { GAB_ROW_FLOATS_ALIGN = 32 };
static inline uint32_t gab_row_stride(uint32_t n_col) {
    return (n_col + GAB_ROW_FLOATS_ALIGN - 1) / GAB_ROW_FLOATS_ALIGN * GAB_ROW_FLOATS_ALIGN;
}

/* What every record function takes: where to record, with which variants, for which step. */
typedef struct gab_kernel_context {
    gab_recorder *recorder;
    gab_kernel_set set;
    gab_slice step; /* this parity's step buffer: gab_step, then page tables */
    uint32_t n_row; /* rows the plan holds (the step may use fewer) */
    uint32_t n_out; /* output rows the plan holds */
} gab_kernel_context;

#endif
