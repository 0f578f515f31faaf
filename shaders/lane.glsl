// lane.glsl - y = W x for COLS activation rows, one weight row a lane: no shared memory, no barrier. The form for CPU drivers, where
// all lanes of a group are one vector: activations are read once for all of them. A column's arithmetic does not depend on ROWS or
// COLS. Grid: columns / COLS, so that groups one after another read the same weights, which a processor's caches then hold; y, z:
// weight rows / (LANES * ROWS), folded. X_ADDRESS: activations are read at their address.
#extension GL_EXT_control_flow_attributes : require
#define UNROLL [[unroll]]
#define COLUMN_GROUP gl_WorkGroupID.x
#include "args.h"

layout(constant_id = GAB_SPEC_LANES) const uint LANES = 8;
layout(constant_id = GAB_SPEC_ROWS) const uint ROWS = 1;
layout(constant_id = GAB_SPEC_COLS) const uint COLS = 1;
layout(constant_id = GAB_SPEC_DEPTH) const uint DEPTH = 16; // weights of a row that are written out; 4 at least
layout(local_size_x_id = GAB_SPEC_LANES) in;
layout(push_constant, std430) uniform Push {
    gab_matmul_args args;
};
#include "step.glsl"
#include "weight.glsl"
#ifdef X_ADDRESS
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer Vectors {
    vec4 value;
};
Vectors x_from[COLS];
void x_start(uint c, uint at) {
    Vectors all = Vectors(uvec2(args.x_low, args.x_high));
    x_from[c] = all[at];
}
vec4 x_vector(uint c, uint at) {
    return x_from[c][at].value;
}
#else
layout(std430, binding = 3) readonly buffer X {
    vec4 x[];
};
uint x_from[COLS];
void x_start(uint c, uint at) {
    x_from[c] = at;
}
vec4 x_vector(uint c, uint at) {
    return x[x_from[c] + at];
}
#endif
#include "matmul_epilogue.glsl"

const uint PARTS = DEPTH > WEIGHT_PART ? DEPTH / WEIGHT_PART : 1; // a turn of the loop over the row; with one scale

weight_data parts[ROWS];
float part_sums[ROWS][COLS];

// Adds the products of the next weights of the parts; first: the number of the first one in the row.
void add_quads(uint first, const uint n) {
    UNROLL for (uint q = 0; q < n; q++) {
        vec4 quads[ROWS];
        UNROLL for (uint r = 0; r < ROWS; r++) quads[r] = weight_quad(parts[r], q);
        UNROLL for (uint c = 0; c < COLS; c++) {
            vec4 v = x_vector(c, (first + weight_quad_at(q)) / 4);
            UNROLL for (uint r = 0; r < ROWS; r++)
                UNROLL for (uint k = 0; k < 4; k++) part_sums[r][c] = fma(quads[r][k], v[k], part_sums[r][c]);
        }
    }
    UNROLL for (uint r = 0; r < ROWS; r++) weight_step(parts[r]);
}

void main() {
    uint first_row = unfolded(gl_WorkGroupID.yz) * LANES * ROWS + gl_LocalInvocationID.x;
    uint first_col, n_col;
    if (!columns_of_group(COLS, first_col, n_col)) return;
    UNROLL for (uint c = 0; c < COLS; c++) x_start(c, x_row(min(first_col + c, n_col - 1)) * (args.x_stride / 4));

    uint rows[ROWS];
    float sums[ROWS][COLS];
    UNROLL for (uint r = 0; r < ROWS; r++) {
        rows[r] = base_row + min(first_row + r * LANES, args.n_row - 1);
        UNROLL for (uint c = 0; c < COLS; c++) sums[r][c] = 0.0;
    }
    for (uint p = 0; p < args.n_block; p += PARTS) {
        // The products of a turn are summed before they go into the sum over the row: short chains are more precise.
        UNROLL for (uint r = 0; r < ROWS; r++)
            UNROLL for (uint c = 0; c < COLS; c++) part_sums[r][c] = 0.0;
        UNROLL for (uint i = 0; i < PARTS; i++) {
            UNROLL for (uint r = 0; r < ROWS; r++) parts[r] = weight_part(rows[r], p + i);
            // Written out, a part of 32 is too much code for some processors' caches of decoded instructions; a loop keeps a mask on
            // lavapipe, which each sum goes through at every turn.
            const uint first = (p + i) * WEIGHT_PART, step_weights = WEIGHT_PART / WEIGHT_STEPS;
            if (DEPTH < WEIGHT_PART)
                [[dont_unroll]] for (uint h = 0; h < WEIGHT_STEPS; h++) add_quads(first + h * step_weights, step_weights / 4);
            else
                UNROLL for (uint h = 0; h < WEIGHT_STEPS; h++) add_quads(first + h * step_weights, step_weights / 4);
        }
        UNROLL for (uint r = 0; r < ROWS; r++) {
            float scale = weight_scale(rows[r], p);
            UNROLL for (uint c = 0; c < COLS; c++) sums[r][c] = fma(scale, part_sums[r][c], sums[r][c]);
        }
    }
    // One store written out a row, its column's sum picked by comparing: on lavapipe each store is a loop over the lanes, and
    // compiling ROWS * COLS of them takes longer than all else.
    [[dont_unroll]] for (uint c = 0; c < COLS; c++) {
        if (first_col + c >= n_col) return;
        UNROLL for (uint r = 0; r < ROWS; r++) {
            float sum = sums[r][0];
            UNROLL for (uint i = 1; i < COLS; i++) sum = i == c ? sums[r][i] : sum;
            if (first_row + r * LANES < args.n_row) matmul_store(first_row + r * LANES, first_col + c, sum);
        }
    }
}
