// matmul_group.comp - y = W x for many activation rows: a tile of 64 weight rows by 32 columns a group of 128 invocations, both
// staged through shared memory as f32, 4 by 4 sums in registers. Grid: weight rows / 64, folded; z: columns / 32.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "args.h"

layout(local_size_x = 128) in;
layout(push_constant, std430) uniform Push {
    gab_matmul_args args;
};
#include "step.glsl"
#include "weight.glsl"
layout(std430, binding = 3) readonly buffer X {
    vec4 x[];
};
#include "matmul_epilogue.glsl"

const uint TILE_ROWS = 64, TILE_COLS = 32, DEPTH = 32; // weights of a row a turn
const uint PITCH = DEPTH + 1;                          // odd: neighbours in a column fall into different banks
const uint PARTS = DEPTH / WEIGHT_PART;                // 16-byte parts a row a turn
shared float w_tile[TILE_ROWS * PITCH];
shared float x_tile[TILE_COLS * PITCH];

void main() {
    uint first_col = gl_WorkGroupID.z * TILE_COLS;
    uint first_row = folded_group() * TILE_ROWS;
    uint lane = gl_LocalInvocationID.x;
    uint n_col = matmul_columns();
    if (first_col >= n_col) return;
    uint my_row = lane / 8, my_col = lane % 8; // rows my_row + 16 i, columns my_col + 8 j

    float sums[4][4];
    for (uint i = 0; i < 4; i++)
        for (uint j = 0; j < 4; j++) sums[i][j] = 0.0;
    for (uint p0 = 0; p0 < args.n_block; p0 += PARTS) {
        for (uint i = lane; i < TILE_ROWS * PARTS; i += 128) {
            uint row = i / PARTS, p = p0 + i % PARTS;
            bool inside = p < args.n_block;
            uint from_row = min(first_row + row, args.n_row - 1);
            uvec4 part = inside ? weight_part(from_row, p) : uvec4(0);
            float scale = inside ? weight_scale(from_row, p) : 0.0;
            for (uint q = 0; q < WEIGHT_QUADS; q++) {
                vec4 quad = scale * weight_quad(part, q);
                uint at = row * PITCH + i % PARTS * WEIGHT_PART + weight_quad_at(q);
                for (uint k = 0; k < 4; k++) w_tile[at + k] = quad[k];
            }
        }
        for (uint i = lane; i < TILE_COLS * DEPTH / 4; i += 128) {
            uint col = i / (DEPTH / 4), k4 = i % (DEPTH / 4);
            bool inside = first_col + col < n_col && p0 * WEIGHT_PART / 4 + k4 < args.n_block * WEIGHT_PART / 4;
            vec4 v = inside ? x[((first_col + col) * args.x_stride + p0 * WEIGHT_PART) / 4 + k4] : vec4(0.0);
            for (uint k = 0; k < 4; k++) x_tile[col * PITCH + 4 * k4 + k] = v[k];
        }
        barrier();
        for (uint k = 0; k < DEPTH; k++) {
            float w[4], v[4];
            for (uint i = 0; i < 4; i++) w[i] = w_tile[(my_row + 16 * i) * PITCH + k];
            for (uint j = 0; j < 4; j++) v[j] = x_tile[(my_col + 8 * j) * PITCH + k];
            for (uint i = 0; i < 4; i++)
                for (uint j = 0; j < 4; j++) sums[i][j] = fma(w[i], v[j], sums[i][j]);
        }
        barrier();
    }
    for (uint i = 0; i < 4; i++)
        for (uint j = 0; j < 4; j++) {
            uint row = first_row + my_row + 16 * i, col = first_col + my_col + 8 * j;
            if (row < args.n_row && col < n_col) matmul_store(row, col, sums[i][j]);
        }
}
