// matvec_group.comp - y = W x for COLS (1 to 8) activation rows, ROWS weight rows a group: the lanes stride over the row, their
// sums meet in shared memory. The form for GPUs. A column's arithmetic does not depend on ROWS or COLS.
// Grid: weight rows / ROWS, folded; z: columns / COLS. ROWS * COLS <= LANES; LANES a multiple of 8.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#define MATMUL_PAIRS
#include "args.h"

layout(constant_id = GAB_SPEC_LANES) const uint LANES = 64;
layout(constant_id = GAB_SPEC_ROWS) const uint ROWS = 4; // even
layout(constant_id = GAB_SPEC_COLS) const uint COLS = 1;
layout(local_size_x_id = GAB_SPEC_LANES) in;
layout(push_constant, std430) uniform Push {
    gab_matmul_args args;
};
#include "step.glsl"
#include "weight.glsl"
layout(std430, binding = 3) readonly buffer X {
    vec4 x[];
};
#include "matmul_epilogue.glsl"

// What a lane takes of a row at a time: of weights with a scale half a part, so that lanes side by side read activations that
// lie (almost) side by side.
#if defined(WEIGHT_SCALE_PARTS) || defined(WEIGHT_GROUPED)
#define PIECE uvec2
#define PIECE_PART(piece) piece, 0, 0
const uint PART_PIECES = 2;
#else
#define PIECE uvec4
#define PIECE_PART(piece) piece
const uint PART_PIECES = 1;
#endif
layout(std430, binding = 1) readonly buffer Pieces { // weights[] of weight.glsl again
    PIECE pieces[];
};
const uint PIECE_QUADS = WEIGHT_QUADS / PART_PIECES;

const uint SUMS = ROWS * COLS, FOLD = 8;
shared float partial[SUMS * LANES];
shared float folded[SUMS * LANES / FOLD];

#if defined(WEIGHT_GROUPED) && HIGH_BITS > 0
const uint TURNS = 1; // two leave Intel's compilers room for 8 lanes a thread instead of 16
#else
const uint TURNS = COLS <= 2 ? 2 : 1; // more columns have enough to do while they wait
#endif
float sums[ROWS][COLS];
uint row_at[ROWS], scale_at[ROWS], x_at[COLS];

#ifdef WEIGHT_GROUPED
const uint QUAD_STEP = 2; // a piece is a group: its quads follow each other
#else
const uint QUAD_STEP = 4; // of nibbles, the high ones are four on
#endif

// The i-th quad of a piece among those of its part.
uint quad_of(uint i) {
    return PART_PIECES == 2 ? i / 2 * QUAD_STEP + i % 2 : i;
}

// Where the activations of a piece's first quad are.
uint x_of(uint piece) {
    return piece / PART_PIECES * WEIGHT_QUADS + piece % PART_PIECES * (QUAD_STEP == 2 ? 4 : 2);
}

// The f16 scales of a piece and a neighbour, and the piece's own; or that of a group.
#ifdef WEIGHT_SCALE_PARTS
const uint SCALE_PIECES = WEIGHT_SCALE_PARTS * PART_PIECES;
uint scale_pair(uint r, uint piece, uint turn) {
    return scales[scale_at[r] + piece / (2 * SCALE_PIECES) + turn * (LANES / (2 * SCALE_PIECES))];
}
float scale_of(weight_data part, uint pair, uint piece) {
    return unpack_scales(pair >> piece / SCALE_PIECES % 2 * 16).x;
}
#else
uint scale_pair(uint r, uint piece, uint turn) {
    return 0;
}
float scale_of(weight_data part, uint pair, uint piece) {
#ifdef NO_MINIMUM
    return group_scale(part, 0).x;
#else
    return 1.0;
#endif
}
#endif

// The i-th four weights of a piece, but for what scale_of gives. A minimum would be one operation a weight either way.
vec4 piece_quad(weight_data part, uint i) {
#ifdef NO_MINIMUM
    return quant_numbers(quant_bytes(part, 0, i)) - float(QUANT_ZERO);
#else
    return weight_quad(part, quad_of(i));
#endif
}

// Adds the products of a piece, and with two turns of the piece LANES further: the loads of weights come before all sums.
void add_pieces(uint first, const uint n_turn) {
    weight_data parts[2][ROWS];
    uint pairs[2][ROWS];
    [[unroll]] for (uint t = 0; t < n_turn; t++)
        [[unroll]] for (uint r = 0; r < ROWS; r++) {
            PIECE piece = pieces[row_at[r] + first + t * LANES];
#ifdef WEIGHT_GROUPED
            parts[t][r] = weight_rest_of_group(scale_at[r], first + t * LANES);
            parts[t][r].low.xy = piece;
#else
            parts[t][r] = uvec4(PIECE_PART(piece));
#endif
            pairs[t][r] = scale_pair(r, first, t);
        }
    [[unroll]] for (uint t = 0; t < n_turn; t++) {
        float part[ROWS][COLS];
        [[unroll]] for (uint q = 0; q < PIECE_QUADS; q++) {
            vec4 v[COLS];
            [[unroll]] for (uint c = 0; c < COLS; c++)
                v[c] = x[x_at[c] + x_of(first) + quad_of(q) + t * LANES * PIECE_QUADS];
            [[unroll]] for (uint r = 0; r < ROWS; r++) {
                vec4 quad = piece_quad(parts[t][r], q);
                [[unroll]] for (uint c = 0; c < COLS; c++)
                    [[unroll]] for (uint k = 0; k < 4; k++)
                        part[r][c] = fma(quad[k], v[c][k], q + k == 0 ? 0.0 : part[r][c]);
            }
        }
        [[unroll]] for (uint r = 0; r < ROWS; r++)
            [[unroll]] for (uint c = 0; c < COLS; c++)
                sums[r][c] = fma(scale_of(parts[t][r], pairs[t][r], gl_LocalInvocationID.x), part[r][c], sums[r][c]);
    }
}

float folded_sum(uint row, uint k) {
    return folded[(row * COLS + gl_LocalInvocationID.x % COLS) * (LANES / FOLD) + k];
}

void main() {
    uint first_col, n_col;
    if (!columns_of_group(COLS, first_col, n_col)) return;
    uint first_row = folded_group() * ROWS;
    uint lane = gl_LocalInvocationID.x;

    for (uint r = 0; r < ROWS; r++) {
        uint row = base_row + min(first_row + r, args.n_row - 1);
        row_at[r] = row * args.row_vectors * PART_PIECES;
        scale_at[r] = args.scale_offset + row * args.scale_words;
        for (uint c = 0; c < COLS; c++) sums[r][c] = 0.0;
    }
    for (uint c = 0; c < COLS; c++) x_at[c] = x_row(first_col + c) * (args.x_stride / 4);
    uint n_piece = args.n_block * PART_PIECES, p = lane;
    // Loops with the test at their end: drivers take what does not change, descriptors above all, out of them.
    if (TURNS == 2 && p + LANES < n_piece) do {
            add_pieces(p, 2);
            p += 2 * LANES;
        } while (p + LANES < n_piece);
    if (p < n_piece) do {
            add_pieces(p, 1);
            p += LANES;
        } while (TURNS == 1 && p < n_piece);

    // LANES values become LANES / FOLD, and these one: the order is fixed by LANES alone.
    for (uint r = 0; r < ROWS; r++)
        for (uint c = 0; c < COLS; c++) partial[(r * COLS + c) * LANES + lane] = sums[r][c];
    barrier();
    for (uint i = lane; i < SUMS * LANES / FOLD; i += LANES) {
        float sum = partial[i * FOLD];
        for (uint k = 1; k < FOLD; k++) sum += partial[i * FOLD + k];
        folded[i] = sum;
    }
    barrier();
    // Two rows of a column an invocation: what goes into a cache of f16 is one word.
    if (lane >= SUMS / 2) return;
    uint row = lane / COLS * 2, col = first_col + lane % COLS;
    vec2 pair = vec2(0.0);
    for (uint k = 0; k < LANES / FOLD; k++)
        pair += vec2(folded_sum(row, k), folded_sum(row + 1, k));
    if (col < n_col) matmul_store_pair(first_row + row, col, pair.x, pair.y);
}
