// attention_merge.comp - puts the pieces of a split attention together: y = sum of exp(m_i - m) v_i over the sum of
// exp(m_i - m) s_i, in the order of the pieces. Grid: head_dim * heads / LANES, rows.
#version 450
#extension GL_GOOGLE_include_directive : require
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

void main() {
    uint row = gl_WorkGroupID.y;
    uint head = gl_GlobalInvocationID.x / args.head_dim, d = gl_GlobalInvocationID.x % args.head_dim;
    if (row >= step_now.n_row || head >= args.n_head) return;
    uint n = step_now.rows[row].position / GAB_PIECE + 1;
    uint from = (row * args.n_head + head) * args.n_piece * (HEAD_DIM + 2);

    float largest = pieces[from];
    for (uint i = 1; i < n; i++) largest = max(largest, pieces[from + i * (HEAD_DIM + 2)]);
    float sum = 0.0, value = 0.0;
    for (uint i = 0; i < n; i++) {
        uint at = from + i * (HEAD_DIM + 2);
        float weight = exp(pieces[at] - largest);
        sum = fma(weight, pieces[at + 1], sum);
        value = fma(weight, pieces[at + 2 + d], value);
    }
    y[row * args.y_stride + head * args.head_dim + d] = value / sum;
}
