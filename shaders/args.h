/*
 * args.h - every structure that the host and the shaders share, declared once, for C and GLSL: push constants (at most
 * 128 bytes) and the step buffer. Members are 32-bit only, so that C's layout and std430 agree; sizes are asserted
 * below.
 */
#ifndef GAB_ARGS_H
#define GAB_ARGS_H

#ifdef GAB_GLSL
#define GAB_STRUCT(name) struct name
#else
#include <stdint.h>
typedef uint32_t uint;
#define GAB_STRUCT(name)                                                                                               \
    typedef struct name name;                                                                                          \
    struct name
#endif

#define GAB_GRID_FOLD     32768u      /* a linear grid longer than this goes on in y: group = x + y * fold */
#define GAB_ROW_MAX       512         /* rows a step can hold */
#define GAB_OUT_MAX       32          /* of which output rows */
#define GAB_SLOT_MAX      16          /* sessions */
#define GAB_WORK_MAX      528         /* attention tiles: at worst one a row of a chunk and one a slot */
#define GAB_RECENT_MAX    64          /* tokens the repetition penalty looks back over */
#define GAB_PAGE          64u         /* positions a KV page */
#define GAB_PIECE         256u        /* positions a piece of the split decode attention */
#define GAB_TOKEN_SAMPLED 0xffffffffu /* a row's token is the one sampled last for its slot */

/* Specialization constant ids. */
#define GAB_SPEC_LANES     0 /* invocations a group (local size x) */
#define GAB_SPEC_ROWS      1 /* weight rows a lane (lane kernels) or a group (group kernels) */
#define GAB_SPEC_COLS      2 /* columns (activation rows) a group */
#define GAB_SPEC_HEAD_DIM  3 /* head_dim padded to 16 */
#define GAB_SPEC_KV_F16    4 /* the KV cache is f16, else f32 */
#define GAB_SPEC_DECODE    5 /* attention: one row a group, split over the sequence */
#define GAB_SPEC_M         6 /* cooperative matrix products of [M][K] by [K][N] */
#define GAB_SPEC_N         7
#define GAB_SPEC_K         8
#define GAB_SPEC_KV_STORE  9  /* products: some outputs are keys and values, and go into the cache */
#define GAB_SPEC_SUBGROUPS 10 /* a group */
#define GAB_SPEC_DEPTH     11 /* weights of a row that are staged at once */
#define GAB_SPEC_COUNT     12

/* ---- the step buffer: what changes from step to step ---- */

GAB_STRUCT(gab_step_row) {
    uint token;    /* id, or GAB_TOKEN_SAMPLED */
    uint slot;     /* whose page table */
    uint position; /* in the sequence */
    uint reserved;
};

/* A tile of prefill attention: rows of one slot at rising positions. */
GAB_STRUCT(gab_step_work) {
    uint slot;
    uint first_row;
    uint n_row;
    uint first_position;
};

/* An output row and how its token is drawn. */
GAB_STRUCT(gab_step_out) {
    uint row;  /* index into rows */
    uint slot; /* where the sampled token goes */
    float temperature;
    uint top_k; /* 0: all */
    float top_p;
    float min_p;
    float repeat_penalty;
    uint seed_low;
    uint seed_high;
    uint position; /* of the token to be drawn: the counter of the random numbers */
    uint n_recent;
    uint reserved;
    uint recent[GAB_RECENT_MAX]; /* token ids the penalty applies to; GAB_TOKEN_SAMPLED allowed */
};

GAB_STRUCT(gab_step) {
    uint n_row;
    uint n_out;
    uint n_work;
    uint table_stride; /* pages a slot, in the page tables that follow the struct: pages[slot * table_stride + page] */
    gab_step_row rows[GAB_ROW_MAX];
    gab_step_out outs[GAB_OUT_MAX];
    gab_step_work works[GAB_WORK_MAX];
};

    /* ---- push constants ---- */

#define GAB_INDEX_TOKEN    0u /* of the step's rows: the token id */
#define GAB_INDEX_POSITION 1u /* of the step's rows: the position */

GAB_STRUCT(gab_gather_args) {
    uint n_block;      /* 16-byte parts a row */
    uint row_vectors;  /* 16-byte vectors a row of plane 0 */
    uint scale_offset; /* plane 1: first word */
    uint scale_words;  /* words a row of plane 1 */
    uint first_row;    /* of this shard */
    uint n_row;        /* of this shard */
    uint index_kind;   /* GAB_INDEX_* */
    uint add;          /* 1: add to the output, 0: write */
    uint y_stride;     /* floats */
};

GAB_STRUCT(gab_layernorm_args) {
    uint n_col;
    uint x_stride;
    uint y_stride;
    float eps;
    uint of_outs; /* 1: rows are the step's output rows, 0: its rows */
};

#define GAB_ACTIVATION_NONE 0u
#define GAB_ACTIVATION_GELU 1u

GAB_STRUCT(gab_matmul_args) {
    uint n_block;      /* 16-byte parts a row */
    uint row_vectors;  /* 16-byte vectors a row of plane 0 */
    uint scale_offset; /* plane 1: first word */
    uint scale_words;  /* words a row of plane 1 */
    uint n_row;        /* weight rows of this shard */
    uint y_first;      /* first output of this shard */
    uint x_stride;     /* floats */
    uint y_stride;     /* floats */
    uint has_bias;
    uint activation;                /* GAB_ACTIVATION_* */
    uint residual;                  /* 1: add to what y holds */
    uint of_outs;                   /* 1: columns are the step's output rows, 0: its rows */
    uint weights_low, weights_high; /* addresses of the shard and of x, where kernels read at addresses */
    uint x_low, x_high;
    uint k_offset, v_offset; /* KV_STORE: outputs from these on are keys and values */
    uint n_head_kv, head_dim;
};

GAB_STRUCT(gab_kv_write_args) {
    uint n_head_kv;
    uint head_dim;
    uint head_dim_padded;
    uint k_offset; /* floats from the start of an x row to its keys */
    uint v_offset;
    uint x_stride;
};

GAB_STRUCT(gab_attention_args) {
    uint n_head;
    uint n_head_kv;
    uint head_dim;
    uint x_stride;            /* floats a row of queries */
    uint y_stride;            /* floats a row of results */
    uint n_piece;             /* decode: pieces of the plan's depth bucket */
    float scale;              /* 1 / sqrt(head_dim) */
    uint keys_low, keys_high; /* addresses, where kernels read at addresses */
    uint values_low, values_high;
};

GAB_STRUCT(gab_sample_args) {
    uint n_vocab;
    uint logits_stride;
    uint scratch_stride; /* words of scratch an output row */
};

GAB_STRUCT(gab_probe_args) {
    uint value;
};

#ifndef GAB_GLSL
_Static_assert(sizeof(gab_step_row) == 16, "std430");
_Static_assert(sizeof(gab_step_work) == 16, "std430");
_Static_assert(sizeof(gab_step_out) == 48 + 4 * GAB_RECENT_MAX, "std430");
_Static_assert(sizeof(gab_step) == 16 + 16 * GAB_ROW_MAX + sizeof(gab_step_out) * GAB_OUT_MAX + 16 * GAB_WORK_MAX,
               "std430");
_Static_assert(sizeof(gab_matmul_args) <= 128 && sizeof(gab_gather_args) <= 128 && sizeof(gab_attention_args) <= 128,
               "push constants");
#endif
#endif
