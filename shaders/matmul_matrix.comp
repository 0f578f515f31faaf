// matmul_matrix.comp - y = W x for many activation rows by cooperative matrices of the device's own shape: f16 factors, f32 sums. Tiles
// of both are staged through shared memory as f16. A column is scaled by a power of two to below 2^14, weights by GAIN, where they are
// not f16 already, so that small ones stay normal; both are undone in the epilogue. Weights beyond 65504 / GAIN overflow.
// Grid: weight rows / ROWS, folded; z: columns / COLS.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_cooperative_matrix : require
#include "args.h"

layout(constant_id = GAB_SPEC_LANES) const uint LANES = 128;
layout(constant_id = GAB_SPEC_ROWS) const uint ROWS = 64;
layout(constant_id = GAB_SPEC_COLS) const uint COLS = 64;
layout(constant_id = GAB_SPEC_M) const uint M = 16;
layout(constant_id = GAB_SPEC_N) const uint N = 16;
layout(constant_id = GAB_SPEC_K) const uint K = 16;
layout(constant_id = GAB_SPEC_SUBGROUPS) const uint SUBGROUPS = 4;
layout(local_size_x_id = GAB_SPEC_LANES) in;
layout(push_constant, std430) uniform Push {
    gab_matmul_args args;
};
#include "step.glsl"
#include "weight.glsl"
#include "matmul_epilogue.glsl"
#include "matmul_tile.glsl"
#include "matmul_f16.glsl"

const uint DEPTH = 32, EIGHTS = DEPTH / 8, UNITS = EIGHTS / UNIT_EIGHTS;
const uint PITCH = EIGHTS + 1; // odd: neighbouring rows begin in different banks
#ifdef WEIGHT_F16
const float GAIN = 1.0;
#else
const float GAIN = 64.0;
#endif

// The tile is shared among the subgroups as a grid of SUBGROUP_ROWS by SUBGROUP_COLS.
const uint SUBGROUP_COLS = SUBGROUPS >= 16 ? 4 : SUBGROUPS >= 4 ? 2 : 1;
const uint SUBGROUP_ROWS = SUBGROUPS / SUBGROUP_COLS;
const uint TILE_ROWS = ROWS / SUBGROUP_ROWS / M, TILE_COLS = COLS / SUBGROUP_COLS / N; // matrices a subgroup
const uint TILE_VECTORS = (ROWS + COLS) * PITCH, STORE_VECTORS = SUBGROUPS * M * N / 4;
shared uvec4 tile[TILE_VECTORS > STORE_VECTORS ? TILE_VECTORS : STORE_VECTORS]; // weights, columns; at the end: sums
shared uint most[COLS];                                                         // the columns' largest magnitudes

void stage_weights(uint first_row, uint k0, uint lane) {
    for (uint i = lane; i < ROWS * UNITS; i += LANES) {
        uint row = i / UNITS, unit = i % UNITS, k = k0 + unit * UNIT_EIGHTS * 8, from_row = tile_row(first_row + row);
        weight_data parts[UNIT_PARTS];
        unit_load(from_row, k, parts);
        float factor = k / WEIGHT_PART < args.n_block ? GAIN * weight_scale(from_row, k / WEIGHT_PART) : 0.0;
        [[unroll]] for (uint e = 0; e < UNIT_EIGHTS; e++)
            tile[row * PITCH + unit * UNIT_EIGHTS + e] = unit_eight(parts, e, factor);
    }
}

// Eight invocations a column; the magnitudes' bits are ordered as they are.
void measure_columns(uint first_col, uint n_col, uint lane) {
    for (uint col = lane; col < COLS; col += LANES) most[col] = 0;
    barrier();
    for (uint i = lane; i < COLS * 8; i += LANES) {
        uint from = tile_column(first_col + i / 8, n_col);
        float greatest = 0.0;
        for (uint k4 = i % 8; k4 < args.n_block * WEIGHT_PART / 4; k4 += 8) greatest = max(greatest, largest(x[from + k4]));
        atomicMax(most[i / 8], floatBitsToUint(greatest));
    }
    barrier();
}

int column_exponent(uint col) {
    return scale_exponent(uintBitsToFloat(most[col]), 14);
}

void stage_columns(uint first_col, uint n_col, uint k0, uint lane) {
    for (uint i = lane; i < COLS * EIGHTS; i += LANES) {
        uint col = i / EIGHTS, from = tile_column(first_col + col, n_col) + k0 / 4 + i % EIGHTS * 2;
        float factor = power_of_two(column_exponent(col));
        tile[(ROWS + col) * PITCH + i % EIGHTS] = uvec4(pack(x[from] * factor), pack(x[from + 1] * factor));
    }
}

void main() {
    uint first_col, n_col;
    if (!columns_of_group(COLS, first_col, n_col)) return;
    uint first_row = folded_group() * ROWS;
    uint lane = gl_LocalInvocationID.x;
    uint my_row = gl_SubgroupID / SUBGROUP_COLS * (TILE_ROWS * M), my_col = gl_SubgroupID % SUBGROUP_COLS * (TILE_COLS * N);

    coopmat<float, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator> sums[TILE_ROWS * TILE_COLS];
    [[unroll]] for (uint i = 0; i < TILE_ROWS * TILE_COLS; i++)
        sums[i] = coopmat<float, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator>(0.0);
    measure_columns(first_col, n_col, lane);
    for (uint k0 = 0; k0 < args.n_block * WEIGHT_PART; k0 += DEPTH) {
        stage_weights(first_row, k0, lane);
        stage_columns(first_col, n_col, k0, lane);
        barrier();
        [[unroll]] for (uint k = 0; k < EIGHTS; k += K / 8) {
            coopmat<float16_t, gl_ScopeSubgroup, M, K, gl_MatrixUseA> w[TILE_ROWS];
            [[unroll]] for (uint r = 0; r < TILE_ROWS; r++)
                coopMatLoad(w[r], tile, (my_row + r * M) * PITCH + k, PITCH, gl_CooperativeMatrixLayoutRowMajor);
            [[unroll]] for (uint c = 0; c < TILE_COLS; c++) {
                coopmat<float16_t, gl_ScopeSubgroup, K, N, gl_MatrixUseB> v;
                coopMatLoad(v, tile, (ROWS + my_col + c * N) * PITCH + k, PITCH, gl_CooperativeMatrixLayoutColumnMajor);
                [[unroll]] for (uint r = 0; r < TILE_ROWS; r++)
                    sums[r * TILE_COLS + c] = coopMatMulAdd(w[r], v, sums[r * TILE_COLS + c]);
            }
        }
        barrier();
    }
    uint at = gl_SubgroupID * (M * N / 4);
    [[unroll]] for (uint r = 0; r < TILE_ROWS; r++)
        [[unroll]] for (uint c = 0; c < TILE_COLS; c++) {
            coopMatStore(sums[r * TILE_COLS + c], tile, at, M / 4, gl_CooperativeMatrixLayoutColumnMajor);
            barrier();
            [[dont_unroll]] for (uint i = gl_SubgroupInvocationID; i < M * N; i += gl_SubgroupSize) {
                uint row = first_row + my_row + r * M + i % M, in_tile = my_col + c * N + i / M, col = first_col + in_tile;
                float sum = uintBitsToFloat(tile[at + i / 4][i % 4]) * (power_of_two(-column_exponent(in_tile)) / GAIN);
                if (row < args.n_row && col < n_col) matmul_store(row, col, sum);
            }
            barrier();
        }
}
