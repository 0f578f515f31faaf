// matmul_tile.glsl - what the matrix-matrix kernels share: a group of LANES invocations computes ROWS weight rows by COLS columns.
// Both are staged through shared memory, DEPTH weights of a row at a time. Binding 3.
#ifndef GAB_MATMUL_TILE_GLSL
#define GAB_MATMUL_TILE_GLSL
#include "scale.glsl"

layout(std430, binding = 3) readonly buffer X {
    vec4 x[];
};

// Bits of rows of VECTORS 16-byte vectors: neighbouring rows begin in different banks. Rows 8 apart agree in it.
#define TILE_SWIZZLE(row, vectors) ((row) * (vectors) / 8 & ((vectors) - 1))

// The weight row, of the shard, and where the column begins that an invocation loads: beyond the last, the last again.
uint tile_row(uint row) {
    return base_row + min(row, args.n_row - 1);
}

uint tile_column(uint col, uint n_col) {
    return x_row(min(col, n_col - 1)) * (args.x_stride / 4);
}

float largest(vec4 v) {
    vec4 a = abs(v);
    return max(max(a.x, a.y), max(a.z, a.w));
}

// 32 activations of a column; returns the largest magnitude.
float column_block(uint from, out vec4 v[8]) {
    float most = 0.0;
    [[unroll]] for (uint q = 0; q < 8; q++) {
        v[q] = x[from + q];
        most = max(most, largest(v[q]));
    }
    return most;
}

#endif
