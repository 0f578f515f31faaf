// matvec_across.comp - y = W x for COLS activation rows: the lanes of one subgroup lie along the weight row, ROWS rows a group; no
// shared memory, no barrier. The form for CPU drivers that turn a load of the same address in all lanes into one scalar load, and
// LANES of them, one picked by each lane, into one vector load: weights then stream in at the speed of memory. It reads at
// addresses because each load through a descriptor would be checked against its size.
// A column's arithmetic does not depend on ROWS or COLS. Grid: weight rows / ROWS, folded; z: columns / COLS.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_buffer_reference2 : require
#extension GL_EXT_buffer_reference_uvec2 : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#define UNROLL [[unroll]]
#define WEIGHT_ADDRESS
#define MATMUL_PAIRS
#include "args.h"

layout(constant_id = GAB_SPEC_LANES) const uint LANES = 8; // of a subgroup: 4 or 8
layout(constant_id = GAB_SPEC_ROWS) const uint ROWS = 2; // even
layout(constant_id = GAB_SPEC_COLS) const uint COLS = 1;
layout(local_size_x_id = GAB_SPEC_LANES) in;
layout(push_constant, std430) uniform Push {
    gab_matmul_args args;
};
#include "step.glsl"
#include "matmul_epilogue.glsl"
#include "weight.glsl"

const uint CHUNK = LANES * WEIGHT_TURNS; // weights of a row in LANES words
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer Words {
    uint word[4];
};
layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer Scales {
    uint pair;
};
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer Floats {
    float value[4];
};

float weight_f16_scale(uint row, uint i) {
    Scales scales = Scales(uvec2(args.weights_low, args.weights_high));
    vec2 pair = unpack_scales(scales[args.scale_offset + row * args.scale_words + i / 2].pair);
    if (CHUNK > 32) return gl_SubgroupInvocationID < LANES / 2 ? pair.x : pair.y; // the lanes are in two blocks
    return i % 2 == 0 ? pair.x : pair.y;
}

uint weight_word(uint at) {
    Scales scales = Scales(uvec2(args.weights_low, args.weights_high));
    return scales[at].pair;
}

#ifdef WEIGHT_GROUPED
// What the lane's word of a chunk needs: the chunk is one part or two.
weight_lane rest_of_lane(uint row, uint chunk) {
    uint at = args.scale_offset + row * args.scale_words, lane = gl_SubgroupInvocationID;
    if (LANES == 4) return weight_lane_of(weight_rest(at, chunk), lane);
    weight_data w = weight_rest(at, 2 * chunk), next = weight_rest(at, 2 * chunk + 1);
    w.high = lane < 4 ? w.high : next.high;
    w.scale = lane < 4 ? w.scale : next.scale;
    w.d = lane < 4 ? w.d : next.d;
    return weight_lane_of(w, lane % 4);
}
#endif

void main() {
    Words weights = Words(uvec2(args.weights_low, args.weights_high));
    Floats x = Floats(uvec2(args.x_low, args.x_high));
    uint lane = gl_SubgroupInvocationID;
    uint first_row = folded_group() * ROWS;
    uint first_col, n_col;
    if (!columns_of_group(COLS, first_col, n_col)) return;
    uint x_at[COLS];
    UNROLL for (uint c = 0; c < COLS; c++) x_at[c] = x_row(first_col + c) * (args.x_stride / 4);

    float sums[ROWS][COLS];
    UNROLL for (uint r = 0; r < ROWS; r++)
        UNROLL for (uint c = 0; c < COLS; c++) sums[r][c] = 0.0;
    for (uint chunk = 0; chunk < args.row_vectors / (LANES / 4); chunk++) {
        float v[COLS][WEIGHT_TURNS];
        UNROLL for (uint c = 0; c < COLS; c++)
            UNROLL for (uint t = 0; t < WEIGHT_TURNS; t++)
                UNROLL for (uint k = 0; k < LANES; k++) {
                    const uint at = word_weight_at(k, t);
                    float other = x[x_at[c] + chunk * (CHUNK / 4) + at / 4].value[at % 4];
                    v[c][t] = lane == k ? other : v[c][t];
                }
        UNROLL for (uint r = 0; r < ROWS; r++) {
            uint row = base_row + min(first_row + r, args.n_row - 1), word = 0;
            UNROLL for (uint k = 0; k < LANES; k++) {
                uint other = weights[row * args.row_vectors + chunk * (LANES / 4) + k / 4].word[k % 4];
                word = lane == k ? other : word;
            }
            // The products of a chunk are summed before they go into the sum over the row: short chains are more precise.
            float part[COLS];
            UNROLL for (uint c = 0; c < COLS; c++) part[c] = 0.0;
#ifdef WEIGHT_GROUPED
            weight_lane rest = rest_of_lane(row, chunk);
#endif
            UNROLL for (uint t = 0; t < WEIGHT_TURNS; t++) {
#ifdef WEIGHT_GROUPED
                float w = word_weight(rest, word, t);
#else
                float w = word_weight(word, t);
#endif
                UNROLL for (uint c = 0; c < COLS; c++) part[c] = fma(w, v[c][t], part[c]);
            }
            float scale = weight_scale(row, chunk * CHUNK / WEIGHT_PART);
            UNROLL for (uint c = 0; c < COLS; c++) sums[r][c] = fma(scale, part[c], sums[r][c]);
        }
    }
    // Lane k of turn i stores pair number i * LANES + k: two rows of one column.
    const uint PAIRS = ROWS / 2 * COLS, STORES = (PAIRS + LANES - 1) / LANES;
    vec2 mine[STORES];
    UNROLL for (uint i = 0; i < PAIRS; i++) {
        vec2 pair = vec2(subgroupAdd(sums[i / COLS * 2][i % COLS]), subgroupAdd(sums[i / COLS * 2 + 1][i % COLS]));
        mine[i / LANES] = lane == i % LANES ? pair : mine[i / LANES];
    }
    UNROLL for (uint i = 0; i < STORES; i++) {
        uint pair = i * LANES + lane, col = first_col + pair % COLS;
        if (pair < PAIRS && col < n_col)
            matmul_store_pair(first_row + pair / COLS * 2, col, mine[i].x, mine[i].y);
    }
}
