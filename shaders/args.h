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
#define GAB_EXPERT_MAX    512u        /* experts a layer has at most, */
#define GAB_USED_MAX      16u         /* and uses for a row */
#define GAB_RUN           128u        /* rows that are multiplied by the same expert at once, at most */
#define GAB_TOKEN_SAMPLED 0xffffffffu /* a row's token is the one sampled last for its slot */

/* Specialization constant ids. */
#define GAB_SPEC_LANES       0 /* invocations a group (local size x) */
#define GAB_SPEC_ROWS        1 /* weight rows a lane (lane kernels) or a group (group kernels) */
#define GAB_SPEC_COLS        2 /* columns (activation rows) a group */
#define GAB_SPEC_HEAD_DIM    3 /* head_dim padded to 16 */
#define GAB_SPEC_KV_F16      4 /* the KV cache is f16, else f32 */
#define GAB_SPEC_DECODE      5 /* attention: one row a group, split over the sequence */
#define GAB_SPEC_M           6 /* cooperative matrix products of [M][K] by [K][N] */
#define GAB_SPEC_N           7
#define GAB_SPEC_K           8
#define GAB_SPEC_KV_STORE    9  /* products: some outputs are keys and values, and go into the cache */
#define GAB_SPEC_SUBGROUPS   10 /* a group */
#define GAB_SPEC_DEPTH       11 /* weights of a row that are staged, or written out, at once */
#define GAB_SPEC_ROPE        12 /* products: queries and keys are rotated */
#define GAB_SPEC_GATED       13 /* products: rows are gates and what they gate, in turn */
#define GAB_SPEC_NORM        14 /* rope: GAB_NORM_* */
#define GAB_SPEC_WINDOW      15 /* attention: a query sees its last keys alone */
#define GAB_SPEC_SOFTCAP     16 /* attention: scores are limited */
#define GAB_SPEC_EXPERTS     17 /* products: GAB_EXPERTS_* */
#define GAB_SPEC_SINKS       18 /* attention: heads have a sink */
#define GAB_SPEC_F16_FLUSHED 19 /* the device takes subnormal f16 for 0: scales are read by integers */
#define GAB_SPEC_COUNT       20

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

    /* ---- the route: which experts the rows of a step are multiplied by. Pair row * n_used + j is a row and its j-th
     * expert. ---- */

#define GAB_PAIR_MAX (GAB_ROW_MAX * GAB_USED_MAX)
#define GAB_RUN_MAX  (GAB_EXPERT_MAX + GAB_PAIR_MAX / GAB_RUN)

/* Pairs of one expert: order[first] to order[first + count - 1]. */
GAB_STRUCT(gab_route_run) {
    uint expert;
    uint first;
    uint count;
    uint reserved;
};

GAB_STRUCT(gab_route) {
    uint n_run;
    uint reserved[3];
    gab_route_run runs[GAB_RUN_MAX];
    uint expert[GAB_PAIR_MAX];  /* of each pair */
    float weight[GAB_PAIR_MAX]; /* of each pair, in the sum over a row's experts */
    uint order[GAB_PAIR_MAX];   /* the pairs, by expert */
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
    uint y_first;      /* floats from the start of an output row */
    float factor;      /* of the rows */
};

GAB_STRUCT(gab_layernorm_args) {
    uint n_col;
    uint x_stride;
    uint y_stride;
    float eps;
    uint of_outs; /* 1: rows are the step's output rows, 0: its rows */
};

GAB_STRUCT(gab_rmsnorm_args) {
    uint n_col;
    uint x_stride;
    uint y_stride;
    uint x_first; /* floats from the start of a row to what is normalized */
    uint y_first;
    float eps;
    float factor; /* of what is written */
    uint add;     /* 1: add to what y holds */
    uint of_outs; /* 1: rows are the step's output rows, 0: its rows */
};

#define GAB_ACTIVATION_NONE     0u
#define GAB_ACTIVATION_GELU     1u /* tanh form */
#define GAB_ACTIVATION_SILU     2u
#define GAB_ACTIVATION_GELU_ERF 3u
#define GAB_ACTIVATION_SOFTCAP  4u /* limit * tanh(x / limit) */
#define GAB_ACTIVATION_CLAMPED  5u /* of gates alone: gpt-oss's, with limits, and 1 added to what is gated */

GAB_STRUCT(gab_gated_args) {
    uint n;
    uint x_stride;
    uint y_stride;
    uint gate_step;  /* floats from one gate to the next */
    uint up_first;   /* floats from the start of a row to what the first gate gates */
    uint activation; /* GAB_ACTIVATION_* */
    uint n_used;     /* rows of x and y a row of the step */
};

/* The columns of a product with experts (GAB_SPEC_EXPERTS) are pairs of the route: */
#define GAB_EXPERTS_NONE  0u /* no experts */
#define GAB_EXPERTS_PAIRS 1u /* in their order, one a group */
#define GAB_EXPERTS_RUNS  2u /* run by run */

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
    float limit;                    /* of GAB_ACTIVATION_SOFTCAP */
    uint residual;                  /* 1: add to what y holds */
    uint of_outs;                   /* 1: columns are the step's output rows, 0: its rows */
    uint weights_low, weights_high; /* addresses of the shard and of x, where kernels read at addresses */
    uint x_low, x_high;
    uint k_offset, v_offset; /* KV_STORE: outputs from these on are keys and values */
    uint n_head_kv, head_dim;
    uint n_turn;                 /* ROPE: pairs of a head that are rotated */
    uint n_used;                 /* EXPERTS: pairs a row of the step, */
    uint x_share;                /* pairs that share a row of x, */
    uint first_expert, n_expert; /* of this shard, */
    uint n_out;                  /* outputs an expert, all weights together, */
    uint run_parts;              /* groups a run is cut into */
};

GAB_STRUCT(gab_expert_args) {
    uint n_expert;
    uint n_used;
    uint normalize; /* route: weights are those of the softmax over the chosen experts, else over all */
    float factor;   /* route: of the weights */
    uint n_col;     /* sum: floats a row */
    uint x_stride;
    uint y_stride;
};

GAB_STRUCT(gab_kv_write_args) {
    uint n_head_kv;
    uint head_dim;
    uint head_dim_padded;
    uint k_offset; /* floats from the start of an x row to its keys */
    uint v_offset;
    uint x_stride;
};

/* What is normalized head by head (GAB_SPEC_NORM). */
#define GAB_NORM_NONE 0u
#define GAB_NORM_QK   1u /* queries and keys */
#define GAB_NORM_QKV  2u /* and values, without a weight */

GAB_STRUCT(gab_rope_args) {
    uint n_head;
    uint n_head_kv;
    uint head_dim;
    uint n_turn; /* pairs of a head that are rotated */
    uint x_stride;
    float eps;             /* of the norms */
    float temperature;     /* queries grow by it times ln(1 + position / temperature_step, rounded down), */
    uint temperature_step; /* 0: they do not */
};

GAB_STRUCT(gab_attention_args) {
    uint n_head;
    uint n_head_kv;
    uint head_dim;
    uint x_stride;            /* floats a row of queries */
    uint y_stride;            /* floats a row of results */
    uint n_piece;             /* decode: pieces of the plan's depth bucket */
    float scale;              /* of scores */
    float softcap;            /* SOFTCAP: a score becomes softcap * tanh(score / softcap) */
    uint window;              /* keys that a query sees, its own included; 0: all */
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
    uint half_word; /* an f16 */
};

#ifndef GAB_GLSL
_Static_assert(sizeof(gab_step_row) == 16, "std430");
_Static_assert(sizeof(gab_step_work) == 16, "std430");
_Static_assert(sizeof(gab_step_out) == 48 + 4 * GAB_RECENT_MAX, "std430");
_Static_assert(sizeof(gab_step) == 16 + 16 * GAB_ROW_MAX + sizeof(gab_step_out) * GAB_OUT_MAX + 16 * GAB_WORK_MAX,
               "std430");
_Static_assert(sizeof(gab_route) == 16 + 16 * GAB_RUN_MAX + 12 * GAB_PAIR_MAX, "std430");
_Static_assert(sizeof(gab_matmul_args) <= 128 && sizeof(gab_gather_args) <= 128 && sizeof(gab_attention_args) <= 128,
               "push constants");
#endif
#endif
