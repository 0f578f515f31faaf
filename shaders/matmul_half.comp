// matmul_half.comp - as matmul_group.comp, with products of f16, two in one operation: chains of 8 sums in f16, then added in f32.
// 32 activations of a column are scaled by a power of two to below 2^4; quants stay integers, and their scales are applied in f32. So
// no chain overflows for quantized weights, nor for others up to 255. Grid: weight rows / ROWS, folded; z: columns / COLS.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#include "args.h"

layout(constant_id = GAB_SPEC_LANES) const uint LANES = 128;
layout(constant_id = GAB_SPEC_ROWS) const uint ROWS = 64;
layout(constant_id = GAB_SPEC_COLS) const uint COLS = 32;
layout(local_size_x_id = GAB_SPEC_LANES) in;
layout(push_constant, std430) uniform Push {
    gab_matmul_args args;
};
#include "step.glsl"
#include "weight.glsl"
#include "matmul_epilogue.glsl"
#include "matmul_tile.glsl"
#include "matmul_registers.glsl"
#include "matmul_f16.glsl"

const uint DEPTH = 32, EIGHTS = DEPTH / 8, UNITS = EIGHTS / UNIT_EIGHTS;
shared uvec4 w_tile[ROWS * EIGHTS];
shared uvec4 x_tile[COLS * EIGHTS];
shared float w_scale[ROWS];
shared float x_scale[COLS];

void stage_weights(uint first_row, uint k0, uint lane) {
    for (uint i = lane; i < ROWS * UNITS; i += LANES) {
        uint row = i / UNITS, unit = i % UNITS, k = k0 + unit * UNIT_EIGHTS * 8, from_row = tile_row(first_row + row);
        weight_data parts[UNIT_PARTS];
        unit_load(from_row, k, parts);
        if (unit == 0) w_scale[row] = weight_scale(from_row, k / WEIGHT_PART);
        [[unroll]] for (uint e = 0; e < UNIT_EIGHTS; e++)
            w_tile[row * EIGHTS + ((unit * UNIT_EIGHTS + e) ^ TILE_SWIZZLE(row, EIGHTS))] = unit_eight(parts, e, 1.0);
    }
}

void stage_columns(uint first_col, uint n_col, uint k0, uint lane) {
    for (uint col = lane; col < COLS; col += LANES) {
        vec4 v[DEPTH / 4];
        float most = column_block(tile_column(first_col + col, n_col) + k0 / 4, v);
        int e = scale_exponent(most, 4);
        [[unroll]] for (uint q = 0; q < EIGHTS; q++)
            x_tile[col * EIGHTS + q] = uvec4(pack(v[2 * q] * power_of_two(e)), pack(v[2 * q + 1] * power_of_two(e)));
        x_scale[col] = power_of_two(-e);
    }
}

void main() {
    uint first_col, n_col;
    if (!columns_of_group(COLS, first_col, n_col)) return;
    uint first_row = folded_group() * ROWS;
    uint lane = gl_LocalInvocationID.x;
    uint my_row = lane % ROW_LANES, my_col = lane / ROW_LANES;
    uint swizzle = TILE_SWIZZLE(my_row, EIGHTS);

    sums_clear();
    for (uint k0 = 0; k0 < args.n_block * WEIGHT_PART; k0 += DEPTH) {
        stage_weights(first_row, k0, lane);
        stage_columns(first_col, n_col, k0, LANES - 1 - lane); // the others, where not all have weights to load
        barrier();
        [[dont_unroll]] for (uint half_of = 0; half_of < 2; half_of++) {
            f16vec2 chains[LANE_ROWS * 4];
            [[unroll]] for (uint i = 0; i < LANE_ROWS * 4; i++) chains[i] = f16vec2(0.0);
            [[unroll]] for (uint e = 0; e < EIGHTS / 2; e++) {
                const uint q = half_of * (EIGHTS / 2) + e;
                uvec4 w[LANE_ROWS];
                [[unroll]] for (uint i = 0; i < LANE_ROWS; i++)
                    w[i] = w_tile[(my_row + ROW_LANES * i) * EIGHTS + (q ^ swizzle)];
                [[unroll]] for (uint j = 0; j < 4; j++) {
                    uvec4 v = x_tile[(my_col + COL_LANES * j) * EIGHTS + q];
                    [[unroll]] for (uint i = 0; i < LANE_ROWS; i++)
                        [[unroll]] for (uint k = 0; k < 4; k++)
                            chains[4 * i + j] = fma(unpackFloat2x16(w[i][k]), unpackFloat2x16(v[k]), chains[4 * i + j]);
                }
            }
            [[unroll]] for (uint i = 0; i < LANE_ROWS; i++)
                [[unroll]] for (uint j = 0; j < 4; j++) {
                    float scale = w_scale[my_row + ROW_LANES * i] * x_scale[my_col + COL_LANES * j];
                    sums[i][j] = fma(float(chains[4 * i + j].x) + float(chains[4 * i + j].y), scale, sums[i][j]);
                }
        }
        barrier();
    }
    sums_store(first_row + my_row, first_col + my_col, n_col);
}
