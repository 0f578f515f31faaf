/*
 * kernels.h - what all kernels share: weights as kernels see them, and what a record function gets.
 *
 * A kernel file holds what it computes, a struct of what one dispatch needs, a function that records it, and its CPU
 * reference in double precision.
 */
#ifndef GAB_KERNELS_KERNELS_H
#define GAB_KERNELS_KERNELS_H

#include "kernels/variants.h"
#include "vk/commands.h"

/* Whole rows of a weight matrix in one binding: plane 0 of all rows, then plane 1. */
typedef struct gab_shard {
    gab_slice slice;
    uint32_t first_row, n_row;
    uint32_t scale_offset; /* words from the start of the slice to plane 1; 0 without one */
} gab_shard;

/* A weight matrix [n_row][n_col] on the device; of experts, one below the other, and shards of
 * whole ones or of rows of one. */
typedef struct gab_weight {
    gab_dtype type;
    uint32_t n_col, n_row;
    uint32_t n_expert; /* 0: no experts */
    uint32_t n_shard;
    gab_shard *shards;
} gab_weight;

/* Words from the start of a shard of n_row rows to its plane 1; 0 without one. */
uint32_t gab_shard_scale_offset(gab_dtype type, uint32_t n_col, uint32_t n_row);

/* Rows of the whole, or of one expert. */
uint32_t gab_weight_rows(const gab_weight *weight);

/* 16-byte parts a row of plane 0, counted in weights of the type; the last may be padded with zeros. */
uint32_t gab_weight_n_part(const gab_weight *weight);

/* The shader of a weight type, given that of F32 (shaders/shaders.cmake lists them in the order of gab_dtype). */
gab_shader_id gab_shader_of_type(gab_shader_id f32, gab_dtype type);

/* Activation rows are padded with zeros to this many floats: no kernel reads past a row's padded end. */
enum { GAB_ROW_FLOATS_ALIGN = 64 };
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
