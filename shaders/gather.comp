// gather.comp - y[i] (+)= row index(i) of a table, dequantized; index(i) is the token or the position of the step's i-th row. Run once a shard: rows of other shards are left alone. Grid: parts of a row / LANES, rows.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "args.h"

layout(constant_id = GAB_SPEC_LANES) const uint LANES = 64;
layout(local_size_x_id = GAB_SPEC_LANES) in;
layout(push_constant, std430) uniform Push {
    gab_gather_args args;
};
#include "step.glsl"
#define WEIGHT_EXACT
#include "weight.glsl"
layout(std430, binding = 3) buffer Y {
    vec4 y[];
};
layout(std430, binding = 4) readonly buffer Sampled {
    uint sampled[]; // by slot
};

uint row_index(uint i) {
    if (args.index_kind == GAB_INDEX_POSITION) return step_now.rows[i].position;
    uint token = step_now.rows[i].token;
    return token == GAB_TOKEN_SAMPLED ? sampled[step_now.rows[i].slot] : token;
}

void main() {
    uint i = gl_WorkGroupID.y;
    uint part_index = gl_GlobalInvocationID.x;
    if (i >= step_now.n_row || part_index >= args.n_block) return;
    uint row = row_index(i) - args.first_row; // wraps below the shard, and is then too large
    if (row >= args.n_row) return;

    weight_data part = weight_part(row, part_index);
    float scale = weight_scale(row, part_index);
    for (uint q = 0; q < WEIGHT_QUADS; q++) {
        uint at = (i * args.y_stride + args.y_first + part_index * WEIGHT_PART + weight_quad_at(q)) / 4;
        vec4 value = args.factor * (scale * weight_quad(part, q));
        y[at] = args.add != 0 ? y[at] + value : value;
    }
}
