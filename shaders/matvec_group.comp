// matvec_group.comp - y = W x for COLS (1 to 8) activation rows, ROWS weight rows a group: the lanes stride over the row, their
// sums meet in shared memory. The form for GPUs. A column's arithmetic does not depend on ROWS or COLS.
// Grid: weight rows / ROWS, folded; z: columns / COLS. ROWS * COLS <= LANES.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "args.h"

layout(constant_id = GAB_SPEC_LANES) const uint LANES = 64;
layout(constant_id = GAB_SPEC_ROWS) const uint ROWS = 4;
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

const uint SUMS = ROWS * COLS;
shared float partial[SUMS * LANES];

void main() {
    uint first_col = gl_WorkGroupID.z * COLS;
    uint first_row = folded_group() * ROWS;
    uint lane = gl_LocalInvocationID.x;
    if (first_col >= matmul_columns()) return;

    float sums[ROWS][COLS];
    for (uint r = 0; r < ROWS; r++)
        for (uint c = 0; c < COLS; c++) sums[r][c] = 0.0;
    for (uint p = lane; p < args.n_block; p += LANES) {
        uvec4 parts[ROWS];
        float scales_of[ROWS];
        for (uint r = 0; r < ROWS; r++) {
            uint row = min(first_row + r, args.n_row - 1);
            parts[r] = weight_part(row, p);
            scales_of[r] = weight_scale(row, p);
        }
        float part_sums[ROWS][COLS];
        for (uint r = 0; r < ROWS; r++)
            for (uint c = 0; c < COLS; c++) part_sums[r][c] = 0.0;
        for (uint q = 0; q < WEIGHT_QUADS; q++) {
            vec4 v[COLS];
            for (uint c = 0; c < COLS; c++)
                v[c] = x[((first_col + c) * args.x_stride + p * WEIGHT_PART + weight_quad_at(q)) / 4];
            for (uint r = 0; r < ROWS; r++) {
                vec4 quad = weight_quad(parts[r], q);
                for (uint c = 0; c < COLS; c++)
                    for (uint k = 0; k < 4; k++) part_sums[r][c] = fma(quad[k], v[c][k], part_sums[r][c]);
            }
        }
        for (uint r = 0; r < ROWS; r++)
            for (uint c = 0; c < COLS; c++) sums[r][c] = fma(scales_of[r], part_sums[r][c], sums[r][c]);
    }

    for (uint r = 0; r < ROWS; r++)
        for (uint c = 0; c < COLS; c++) partial[(r * COLS + c) * LANES + lane] = sums[r][c];
    // Halve until one is left: the order is fixed by LANES alone.
    for (uint n = LANES / 2; n > 0; n /= 2) {
        barrier();
        for (uint i = lane; i < n * SUMS; i += LANES)
            partial[i / n * LANES + i % n] += partial[i / n * LANES + i % n + n];
    }
    barrier();
    if (lane >= SUMS) return;
    uint row = first_row + lane / COLS, col = first_col + lane % COLS;
    if (row < args.n_row && col < matmul_columns()) matmul_store(row, col, partial[lane * LANES]);
}
