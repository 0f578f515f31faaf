// attention_merge.comp - puts the pieces of a split attention together: y = sum of exp(m_i - m) v_i over the sum of
// exp(m_i - m) s_i, in the order of the pieces. Grid: heads, rows; a lane has dimensions lane, lane + LANES, ...
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "args.h"

layout(constant_id = GAB_SPEC_LANES) const uint LANES = 64;
layout(constant_id = GAB_SPEC_HEAD_DIM) const uint HEAD_DIM = 64;
layout(local_size_x_id = GAB_SPEC_LANES) in;
layout(push_constant, std430) uniform Push {
    gab_attention_args args;
};
#include "step.glsl"
layout(std430, binding = 1) readonly buffer Pieces {
    float pieces[]; // [row][head][piece][HEAD_DIM + 2]
};
layout(std430, binding = 2) writeonly buffer Y {
    float y[];
};

#define SINKS_BINDING 3
#include "sinks.glsl"

const uint DIMS = (HEAD_DIM + LANES - 1) / LANES;

void main() {
    uint row = gl_WorkGroupID.y;
    uint head = gl_WorkGroupID.x, lane = gl_LocalInvocationID.x;
    if (row >= step_now.n_row) return;
    uint position = step_now.rows[row].position, n = position / GAB_PIECE + 1;
    uint first = args.window != 0 && position >= args.window ? (position + 1 - args.window) / GAB_PIECE : 0;
    uint from = (row * args.n_head + head) * args.n_piece * (HEAD_DIM + 2);

    float largest = pieces[from + first * (HEAD_DIM + 2)];
    for (uint i = first + 1; i < n; i++) largest = max(largest, pieces[from + i * (HEAD_DIM + 2)]);
    float sum = 0.0, value[DIMS];
    [[unroll]] for (uint k = 0; k < DIMS; k++) value[k] = 0.0;
    for (uint i = first; i < n; i++) {
        uint at = from + i * (HEAD_DIM + 2);
        float weight = exp(pieces[at] - largest);
        sum = fma(weight, pieces[at + 1], sum);
        [[unroll]] for (uint k = 0; k < DIMS; k++) {
            uint d = k * LANES + lane;
            value[k] = fma(weight, d < HEAD_DIM ? pieces[at + 2 + d] : 0.0, value[k]);
        }
    }
    sum = with_sink(head, largest, sum);
    [[unroll]] for (uint k = 0; k < DIMS; k++) {
        uint d = k * LANES + lane;
        if (d < args.head_dim) y[row * args.y_stride + head * args.head_dim + d] = value[k] / sum;
    }
}
