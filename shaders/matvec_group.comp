// matvec_group.comp - y = W x for COLS (1 to 8) activation rows, ROWS weight rows a group: the lanes stride over the row, their
// sums meet in shared memory. The form for GPUs. A column's arithmetic does not depend on ROWS or COLS.
// Grid: weight rows / ROWS, folded; z: columns / COLS. ROWS * COLS <= LANES; LANES a multiple of 8.
#version 450
#extension GL_GOOGLE_include_directive : require
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
#ifdef WEIGHT_SCALE_PARTS
#define PIECE uvec2
#define PIECE_PART(piece) piece, 0, 0
const uint PART_PIECES = 2, SCALE_PIECES = WEIGHT_SCALE_PARTS * PART_PIECES;
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

const uint TURNS = COLS <= 2 ? 2 : 1; // more columns have enough to do while they wait
float sums[ROWS][COLS];
uint row_at[ROWS], scale_at[ROWS], x_at[COLS];

// The i-th quad of a piece among those of its part: of nibbles, the high ones are four on.
uint quad_of(uint i) {
    return PART_PIECES == 2 ? i / 2 * 4 + i % 2 : i;
}

// Where the activations of a piece's first quad are.
uint x_of(uint piece) {
    return piece / PART_PIECES * WEIGHT_QUADS + piece % PART_PIECES * 2;
}

// The f16 scales of a piece and a neighbour, and the piece's own.
#ifdef WEIGHT_SCALE_PARTS
uint scale_pair(uint r, uint piece, uint turn) {
    return scales[scale_at[r] + piece / (2 * SCALE_PIECES) + turn * (LANES / (2 * SCALE_PIECES))];
}
float scale_of(uint pair, uint piece) {
    return unpackHalf2x16(pair >> piece / SCALE_PIECES % 2 * 16).x;
}
#else
uint scale_pair(uint r, uint piece, uint turn) {
    return 0;
}
float scale_of(uint pair, uint piece) {
    return 1.0;
}
#endif

// Adds the products of a piece, and with two turns of the piece LANES further: the loads of weights come before all sums.
void add_pieces(uint first, const uint n_turn) {
    uvec4 parts[2][ROWS];
    uint pairs[2][ROWS];
    for (uint t = 0; t < n_turn; t++)
        for (uint r = 0; r < ROWS; r++) {
            PIECE piece = pieces[row_at[r] + first + t * LANES];
            parts[t][r] = uvec4(PIECE_PART(piece));
            pairs[t][r] = scale_pair(r, first, t);
        }
    for (uint t = 0; t < n_turn; t++) {
        float part[ROWS][COLS];
        for (uint q = 0; q < PIECE_QUADS; q++) {
            vec4 v[COLS];
            for (uint c = 0; c < COLS; c++)
                v[c] = x[x_at[c] + x_of(first) + quad_of(q) + t * LANES * PIECE_QUADS];
            for (uint r = 0; r < ROWS; r++) {
                vec4 quad = weight_quad(parts[t][r], quad_of(q));
                for (uint c = 0; c < COLS; c++)
                    for (uint k = 0; k < 4; k++)
                        part[r][c] = fma(quad[k], v[c][k], q + k == 0 ? 0.0 : part[r][c]);
            }
        }
        for (uint r = 0; r < ROWS; r++)
            for (uint c = 0; c < COLS; c++)
                sums[r][c] = fma(scale_of(pairs[t][r], gl_LocalInvocationID.x), part[r][c], sums[r][c]);
    }
}

float folded_sum(uint row, uint k) {
    return folded[(row * COLS + gl_LocalInvocationID.x % COLS) * (LANES / FOLD) + k];
}

void main() {
    uint first_col = gl_WorkGroupID.z * COLS;
    uint first_row = folded_group() * ROWS;
    uint lane = gl_LocalInvocationID.x;
    if (first_col >= matmul_columns()) return;

    for (uint r = 0; r < ROWS; r++) {
        uint row = min(first_row + r, args.n_row - 1);
        row_at[r] = row * args.row_vectors * PART_PIECES;
        scale_at[r] = args.scale_offset + row * args.scale_words;
        for (uint c = 0; c < COLS; c++) sums[r][c] = 0.0;
    }
    for (uint c = 0; c < COLS; c++) x_at[c] = (first_col + c) * (args.x_stride / 4);
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
    if (col < matmul_columns()) matmul_store_pair(first_row + row, col, pair.x, pair.y);
}
