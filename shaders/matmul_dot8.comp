// matmul_dot8.comp - as matmul_group.comp, for quantized weights, with integer products: 32 activations of a column share a scale and
// become two 8-bit integers each, a number and what rounding has left of it (one alone costs 0.3% of perplexity); four products are
// summed by one operation, and the scales are applied to the exact sum of a block in f32; a minimum is multiplied by the sum of the
// same integers.
// Grid: weight rows / ROWS, folded; z: columns / COLS.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_spirv_intrinsics : require
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

// OpSDot of SPV_KHR_integer_dot_product on words of four bytes: capabilities DotProduct, DotProductInput4x8BitPacked; the literal is
// PackedVectorFormat4x8Bit.
spirv_instruction(extensions = ["SPV_KHR_integer_dot_product"], capabilities = [6018, 6019], id = 4450)
int dot_4x8(uint a, uint b, spirv_literal int packed_format);

const uint DEPTH = 32; // a block: two vectors of 16 bytes
const uint UNITS = DEPTH / WEIGHT_PART;
const int REST = 254; // the rest, up to a half, in these parts of the unit
#ifdef SCALE_A_GROUP
const uint SCALES = 2; // a block
#else
const uint SCALES = 1;
#endif
#if defined(WEIGHT_GROUPED) && !defined(NO_MINIMUM)
#define WITH_MINIMUM
#endif
shared uvec4 w_tile[ROWS * 2];
shared uvec4 x_tile[COLS * 2];
shared uvec4 x_rest[COLS * 2];
shared float w_scale[ROWS * SCALES];
shared float x_scale[COLS];
#ifdef WITH_MINIMUM
shared float w_add[ROWS * SCALES]; // to each weight
shared float x_sum[COLS * SCALES];
#endif

void stage_scales(uint row, uint from_row, uint p, weight_data part) {
#ifdef WEIGHT_GROUPED
    [[unroll]] for (uint s = 0; s < SCALES; s++) {
        vec2 scale = group_scale(part, s);
        w_scale[row * SCALES + s] = scale.x;
#ifdef WITH_MINIMUM
        w_add[row * SCALES + s] = scale.y;
#endif
    }
#else
    w_scale[row] = p < args.n_block ? weight_scale(from_row, p) : 0.0;
#endif
}

void stage_weights(uint first_row, uint k0, uint lane) {
    for (uint i = lane; i < ROWS * UNITS; i += LANES) {
        uint row = i / UNITS, unit = i % UNITS, p = k0 / WEIGHT_PART + unit, from_row = tile_row(first_row + row);
        weight_data part = weight_part_or_zeros(from_row, p);
        if (unit == 0) stage_scales(row, from_row, p, part);
        uint swizzle = TILE_SWIZZLE(row, 2);
#ifdef WEIGHT_Q8_0
        w_tile[row * 2 + (unit ^ swizzle)] = part;
#else
        w_tile[row * 2 + swizzle] = weight_bytes(part, 0);
        w_tile[row * 2 + (1 ^ swizzle)] = weight_bytes(part, 1);
#endif
    }
}

void stage_columns(uint first_col, uint n_col, uint k0, uint lane) {
    for (uint col = lane; col < COLS; col += LANES) {
        vec4 v[DEPTH / 4];
        float most = column_block(tile_column(first_col + col, n_col) + k0 / 4, v);
        float inverse = most > 1e-30 ? 127.0 / most : 0.0, unit = most * (1.0 / (127.0 * REST));
#ifdef WITH_MINIMUM
        vec4 sum = vec4(0.0); // of what the bytes stand for: its error is that of the products
#endif
        [[unroll]] for (uint q = 0; q < DEPTH / 4; q++) {
            vec4 scaled = v[q] * inverse, whole = round(scaled), rest = round((scaled - whole) * REST);
            x_tile[col * 2 + q / 4][q % 4] = signed_bytes(ivec4(whole));
            x_rest[col * 2 + q / 4][q % 4] = signed_bytes(ivec4(rest));
#ifdef WITH_MINIMUM
            sum = (q % (8 / SCALES) == 0 ? vec4(0.0) : sum) + whole * REST + rest;
            if ((q + 1) % (8 / SCALES) == 0) x_sum[col * SCALES + q * SCALES / 8] = dot(sum, vec4(1.0)) * unit;
#endif
        }
        x_scale[col] = unit;
    }
}

void main() {
    uint first_col, n_col;
    if (!columns_of_group(COLS, first_col, n_col)) return;
    uint first_row = folded_group() * ROWS;
    uint lane = gl_LocalInvocationID.x;
    uint my_row = lane % ROW_LANES, my_col = lane / ROW_LANES;
    uint swizzle = TILE_SWIZZLE(my_row, 2);

    sums_clear();
    for (uint k0 = 0; k0 < args.n_block * WEIGHT_PART; k0 += DEPTH) {
        stage_weights(first_row, k0, lane);
        stage_columns(first_col, n_col, k0, LANES - 1 - lane); // the others, where not all have weights to load
        barrier();
        [[unroll]] for (uint s = 0; s < SCALES; s++) {
            int dots[LANE_ROWS * 4];
            [[unroll]] for (uint i = 0; i < LANE_ROWS * 4; i++) dots[i] = 0;
            [[unroll]] for (uint h = s; h < s + 2 / SCALES; h++) {
                uvec4 w[LANE_ROWS];
                [[unroll]] for (uint i = 0; i < LANE_ROWS; i++)
                    w[i] = w_tile[(my_row + ROW_LANES * i) * 2 + (h ^ swizzle)];
                [[unroll]] for (uint j = 0; j < 4; j++) {
                    uvec4 v = x_tile[(my_col + COL_LANES * j) * 2 + h], rest = x_rest[(my_col + COL_LANES * j) * 2 + h];
                    [[unroll]] for (uint i = 0; i < LANE_ROWS; i++) {
                        int whole = 0;
                        [[unroll]] for (uint k = 0; k < 4; k++) {
                            whole += dot_4x8(w[i][k], v[k], 0);
                            dots[4 * i + j] += dot_4x8(w[i][k], rest[k], 0);
                        }
                        dots[4 * i + j] += whole * REST;
                    }
                }
            }
            [[unroll]] for (uint i = 0; i < LANE_ROWS; i++)
                [[unroll]] for (uint j = 0; j < 4; j++) {
                    uint row = (my_row + ROW_LANES * i) * SCALES + s, col = my_col + COL_LANES * j;
                    sums[i][j] = fma(float(dots[4 * i + j]), w_scale[row] * x_scale[col], sums[i][j]);
#ifdef WITH_MINIMUM
                    sums[i][j] = fma(w_add[row], x_sum[col * SCALES + s], sums[i][j]);
#endif
                }
        }
        barrier();
    }
    sums_store(first_row + my_row, first_col + my_col, n_col);
}
