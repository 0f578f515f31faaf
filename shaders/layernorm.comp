// layernorm.comp - y = (x - mean) / sqrt(variance + eps) * weight + bias, one row a group (Ba, Kiros, Hinton 2016); of_outs: of the
// step's output rows, which are picked from all rows.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "args.h"

layout(constant_id = GAB_SPEC_LANES) const uint LANES = 64;
layout(local_size_x_id = GAB_SPEC_LANES) in;
layout(push_constant, std430) uniform Push {
    gab_layernorm_args args;
};
#include "step.glsl"
#include "reduce.glsl"
layout(std430, binding = 1) readonly buffer X {
    float x[];
};
layout(std430, binding = 2) readonly buffer Weight {
    float weight[];
};
layout(std430, binding = 3) readonly buffer Bias {
    float bias[];
};
layout(std430, binding = 4) buffer Y {
    float y[];
};

void main() {
    uint row = folded_group();
    if (row >= (args.of_outs != 0 ? step_now.n_out : step_now.n_row)) return;
    uint from = (args.of_outs != 0 ? step_now.outs[row].row : row) * args.x_stride, to = row * args.y_stride;
    float n = float(args.n_col);

    float sum = 0.0;
    for (uint i = gl_LocalInvocationID.x; i < args.n_col; i += LANES) sum += x[from + i];
    float mean = group_sum(sum) / n;
    sum = 0.0;
    for (uint i = gl_LocalInvocationID.x; i < args.n_col; i += LANES) {
        float d = x[from + i] - mean;
        sum += d * d;
    }
    float scale = 1.0 / sqrt(group_sum(sum) / n + args.eps);
    for (uint i = gl_LocalInvocationID.x; i < args.n_col; i += LANES)
        y[to + i] = (x[from + i] - mean) * scale * weight[i] + bias[i];
}
