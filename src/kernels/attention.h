/*
 * attention.h - softmax(q K' * scale) V, causal, over the paged cache (Vaswani et al. 2017; online softmax:
 * Milakov, Gimelshein 2018). Grouped heads: n_head a multiple of n_head_kv.
 *
 * Plans of up to 8 rows ("decode") treat each row on its own and split its sequence into pieces of GAB_PIECE positions,
 * which attention_merge puts together; a row's arithmetic does not depend on the other rows. Plans of more rows run
 * over the step's work list: tiles of rows of one slot.
 */
#ifndef GAB_KERNELS_ATTENTION_H
#define GAB_KERNELS_ATTENTION_H

#include "kernels/kv_write.h"

extern const gab_variant gab_attention_decode_variants[], gab_attention_prefill_variants[];
extern const uint32_t gab_attention_decode_n_variant, gab_attention_prefill_n_variant;

typedef struct gab_attention {
    gab_kv_layer kv;
    gab_slice q; /* [n_row][q_stride] floats, [n_head][head_dim] at the start of a row */
    gab_slice y; /* [n_row][y_stride] floats, [n_head][head_dim] */
    uint32_t q_stride, y_stride;
    uint32_t n_head;
    float scale;            /* of scores; 0: 1 / sqrt(head_dim) */
    float softcap;          /* a score becomes softcap * tanh(score / softcap) (Gemma 2); 0: it stays */
    uint32_t window;        /* keys that a query sees, its own included (Beltagy et al. 2020); 0: all */
    const gab_slice *sinks; /* [n_head] floats: a score of each head that takes part in the softmax alone; NULL: none */
    uint32_t n_piece;       /* decode: pieces of the plan's depth */
    uint32_t n_work;        /* prefill: tiles the plan holds */
    gab_slice pieces;       /* decode: gab_attention_pieces_bytes */
} gab_attention;

/* Rows a step may hold when its deepest sequence has this many positions. Lavapipe ends all loops of an invocation
 * after 65535 turns; the LANE kernels make about two a position, or one every fourth ("across"), so that deep sequences
 * are left to the split kernel, row by row. */
uint32_t gab_attention_rows_max(const gab_kernel_set *set, uint32_t depth);

bool gab_attention_is_decode(const gab_kernel_context *context);
/* Rows of a tile of the work list. */
uint32_t gab_attention_tile_rows(const gab_kernel_set *set, uint32_t head_dim);
/* Adds the rows first_row..first_row + n_row - 1 of one slot, at rising positions, to the step's work list, in tiles.
 */
void gab_attention_add_tiles(gab_step *step, uint32_t slot, uint32_t first_row, uint32_t n_row, uint32_t first_position,
                             uint32_t tile_rows);
uint64_t gab_attention_pieces_bytes(uint32_t n_row, uint32_t n_head, uint32_t head_dim, uint32_t n_piece);

/* Records attention and, for decode, a barrier and the merge. */
void gab_attention_record(const gab_kernel_context *context, const gab_attention *op);

/* One query row of all heads: q [n_head][head_dim]; sinks [n_head] or NULL; keys, values: pools in host memory, words
 * as on the device. Of op: kv (without its pools), n_head, scale, softcap, window. */
void gab_attention_reference(const gab_attention *op, const float *q, const uint32_t *page_table, uint32_t position,
                             const float *sinks, const uint32_t *keys, const uint32_t *values, double *y);

#endif
