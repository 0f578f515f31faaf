/*
 * variants.h - operations of which there are several right forms, and which one a device uses.
 *
 * A variant is a shader with a shape. Each operation has a table of them, the best guess first in each family. Two
 * families exist: LANE, one vector of invocations a group, without shared memory and barriers, for CPU drivers; GROUP,
 * for GPUs. The first variant of either family that needs nothing runs on any Vulkan 1.2 device and computes with f32
 * products; others may need a feature or have narrower products. The set of a device is chosen by rule
 * (gab_kernel_set_choose), by measurement (plan/autotune.h) or by name.
 */
#ifndef GAB_KERNELS_VARIANTS_H
#define GAB_KERNELS_VARIANTS_H

#include "tensor/dtype.h"
#include "vk/pipeline.h"

/* An operation with variants; those on weights once for each type: GAB_OP_MATVEC + GAB_DTYPE_Q8_0. */
enum {
    GAB_OP_MATVEC = 0,                                     /* products with 1 to 8 columns */
    GAB_OP_MATMUL_SMALL = GAB_OP_MATVEC + GAB_DTYPE_COUNT, /* 9 to 32 columns */
    GAB_OP_MATMUL = GAB_OP_MATMUL_SMALL + GAB_DTYPE_COUNT, /* more */
    GAB_OP_ATTENTION_DECODE = GAB_OP_MATMUL + GAB_DTYPE_COUNT,
    GAB_OP_ATTENTION_PREFILL,
    GAB_OP_COUNT
};
typedef uint32_t gab_operation;

typedef struct gab_variant {
    const char *name;     /* "group_64x4": unique in the operation's table */
    gab_shader_id shader; /* of F32, where there is one a weight type */
    bool lane;            /* of the LANE family, else GROUP */
    bool across;          /* LANE: the lanes lie along a weight row or a key, else each has rows of its own */
    float error;          /* 0: products of f32; else they are narrower, the relative L2 error of a result is at most
                             this, and the variant is only for GAB_PRECISION_FAST */
    bool pairs;           /* MATVEC: can store keys and values straight into the cache */
    uint32_t needs;       /* GAB_FEATURE_*, all of them */
    uint32_t lanes;       /* invocations a group; 0: the set's */
    uint32_t rows[4]; /* weight rows a lane or a group; of MATVEC with 1, 2, 4 and 8 columns a group, else rows[0] */
    uint32_t cols;    /* columns a group, for more than 8 */
    uint32_t depth;   /* weights of a row staged, or written out, at once, where that varies */
    bool quantized;   /* only for quantized types; such variants stand last in a table */
    bool stand_in;    /* for devices that lack what a better one of its family needs: else not worth a trial */
} gab_variant;

typedef struct gab_kernel_set {
    bool lane;      /* the family of the operations without variants */
    uint32_t lanes; /* invocations a group of kernels that work for any number: the subgroup size for LANE, else 64 */
    uint8_t choice[GAB_OP_COUNT]; /* index into the operation's table */
    gab_matrix_shape matrix;      /* of the device */
} gab_kernel_set;

/* "matvec_q8_0" */
void gab_operation_name(gab_operation operation, char *name, size_t size);

/* The operation's table, as far as it is for the operation's weight type. */
const gab_variant *gab_variants(gab_operation operation, uint32_t *n);

/* Has the device what the variant needs? exact: and are its products f32? */
bool gab_variant_usable(const gab_vk *vk, const gab_variant *variant, bool exact);

/* The one a set has chosen. */
const gab_variant *gab_variant_of(const gab_kernel_set *set, gab_operation operation);

/* The family by the kind of device, and of each operation the first usable variant of it; `forced` overrides: a list,
 * separated by commas, of "lane", "group" (a family) and OPERATION=VARIANT ("matvec=group_64x4", "matmul_q8_0=tiled";
 * the start of an operation's name means all that begin so). NULL: nothing forced. ARGUMENT, saying what exists, for an
 * unknown name and for a variant that the device cannot run. */
gab_status gab_kernel_set_choose(const gab_vk *vk, const char *forced, bool exact, gab_kernel_set *set);

/* Does `forced` (as above) decide this operation? A family decides all. */
bool gab_variant_is_forced(const char *forced, gab_operation operation);

/* 64-bit hash of all tables and the code of all shaders: another one means that measurements are to be made again. */
uint64_t gab_variants_hash(void);

/* 64-bit hash of the choices and the code of all shaders: names the variant set in results. */
uint64_t gab_kernel_set_hash(const gab_kernel_set *set);

#endif
