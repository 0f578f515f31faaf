// matmul_registers.glsl - the matrix-matrix kernels whose invocations hold LANE_ROWS by 4 sums in registers: the weight rows my_row +
// ROW_LANES i and the columns my_col + COL_LANES j of the group's tile. Needs LANES, ROWS, COLS.
#ifndef GAB_MATMUL_REGISTERS_GLSL
#define GAB_MATMUL_REGISTERS_GLSL

const uint LANE_ROWS = ROWS * COLS / (4 * LANES);
const uint ROW_LANES = ROWS / LANE_ROWS, COL_LANES = COLS / 4;
vec4 sums[LANE_ROWS]; // by row; of each column one

void sums_clear() {
    [[unroll]] for (uint i = 0; i < LANE_ROWS; i++) sums[i] = vec4(0.0);
}

// row, col: of this invocation's first sum, of the shard and of all columns.
void sums_store(uint row, uint col, uint n_col) {
    [[unroll]] for (uint i = 0; i < LANE_ROWS; i++)
        [[unroll]] for (uint j = 0; j < 4; j++)
            if (row + ROW_LANES * i < args.n_row && col + COL_LANES * j < n_col)
                matmul_store(row + ROW_LANES * i, col + COL_LANES * j, sums[i][j]);
}

#endif
