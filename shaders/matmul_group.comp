// matmul_group.comp - y = W x for many activation rows, with products and sums of f32: tiles of both in shared memory, LANE_ROWS by
// 4 sums an invocation. Grid: weight rows / ROWS, folded; z: columns / COLS. ROWS / LANE_ROWS must be a multiple of 8.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "args.h"

layout(constant_id = GAB_SPEC_LANES) const uint LANES = 128;
layout(constant_id = GAB_SPEC_ROWS) const uint ROWS = 64;
layout(constant_id = GAB_SPEC_COLS) const uint COLS = 32;
layout(constant_id = GAB_SPEC_DEPTH) const uint DEPTH = 32;
layout(local_size_x_id = GAB_SPEC_LANES) in;
layout(push_constant, std430) uniform Push {
    gab_matmul_args args;
};
#include "step.glsl"
#include "weight.glsl"
#include "matmul_epilogue.glsl"
#include "matmul_tile.glsl"
#include "matmul_registers.glsl"

const uint QUADS = DEPTH / 4;
const uint UNIT = DEPTH < WEIGHT_PART ? DEPTH : WEIGHT_PART; // weights an invocation loads at once: a part, or some of one
const uint UNITS = DEPTH / UNIT;
shared vec4 w_tile[ROWS * QUADS];
shared vec4 x_tile[COLS * QUADS];

void stage_weights(uint first_row, uint k0, uint lane) {
    for (uint i = lane; i < ROWS * UNITS; i += LANES) {
        uint row = i / UNITS, k = k0 + i % UNITS * UNIT, p = k / WEIGHT_PART;
        bool inside = p < args.n_block;
        uint from_row = tile_row(first_row + row);
        weight_data part = weight_part_or_zeros(from_row, p);
        float scale = inside ? weight_scale(from_row, p) : 0.0;
        [[unroll]] for (uint q = 0; q < UNIT / 4; q++) {
            vec4 quad = scale * weight_quad(part, k % WEIGHT_PART / 4 + q);
            w_tile[row * QUADS + ((i % UNITS * UNIT / 4 + q) ^ TILE_SWIZZLE(row, QUADS))] = quad;
        }
    }
}

void main() {
    uint first_col, n_col;
    if (!columns_of_group(COLS, first_col, n_col)) return;
    uint first_row = folded_group() * ROWS;
    uint lane = gl_LocalInvocationID.x;
    uint my_row = lane % ROW_LANES, my_col = lane / ROW_LANES;
    uint swizzle = TILE_SWIZZLE(my_row, QUADS);

    sums_clear();
    for (uint k0 = 0; k0 < args.n_block * WEIGHT_PART; k0 += DEPTH) {
        stage_weights(first_row, k0, lane);
        for (uint i = lane; i < COLS * QUADS; i += LANES)
            x_tile[i] = x[tile_column(first_col + i / QUADS, n_col) + k0 / 4 + i % QUADS];
        barrier();
        [[unroll]] for (uint q = 0; q < QUADS; q++) {
            vec4 w[LANE_ROWS];
            [[unroll]] for (uint i = 0; i < LANE_ROWS; i++)
                w[i] = w_tile[(my_row + ROW_LANES * i) * QUADS + (q ^ swizzle)];
            [[unroll]] for (uint j = 0; j < 4; j++) {
                vec4 v = x_tile[(my_col + COL_LANES * j) * QUADS + q];
                [[unroll]] for (uint i = 0; i < LANE_ROWS; i++)
                    [[unroll]] for (uint k = 0; k < 4; k++) sums[i][j] = fma(w[i][k], v[k], sums[i][j]);
            }
        }
        barrier();
    }
    sums_store(first_row + my_row, first_col + my_col, n_col);
}
