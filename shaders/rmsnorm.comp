// rmsnorm.comp - y = factor * ((y +) x / sqrt(mean of x^2 + eps) * weight), one row a group (Zhang, Sennrich 2019); of_outs: of the step's output
// rows, which are picked from all rows. y may be x.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "args.h"

layout(constant_id = GAB_SPEC_LANES) const uint LANES = 64;
layout(local_size_x_id = GAB_SPEC_LANES) in;
layout(push_constant, std430) uniform Push {
    gab_rmsnorm_args args;
};
#include "step.glsl"
#include "reduce.glsl"
layout(std430, binding = 1) readonly buffer X {
    float x[];
};
layout(std430, binding = 2) readonly buffer Weight {
    float weight[];
};
layout(std430, binding = 3) buffer Y {
    float y[];
};

void main() {
    uint row = folded_group();
    if (row >= (args.of_outs != 0 ? step_now.n_out : step_now.n_row)) return;
    uint from = (args.of_outs != 0 ? step_now.outs[row].row : row) * args.x_stride + args.x_first;
    uint to = row * args.y_stride + args.y_first;

    float sum = 0.0;
    for (uint i = gl_LocalInvocationID.x; i < args.n_col; i += LANES) sum += x[from + i] * x[from + i];
    float scale = 1.0 / sqrt(group_sum(sum) / float(args.n_col) + args.eps);
    for (uint i = gl_LocalInvocationID.x; i < args.n_col; i += LANES) {
        float value = x[from + i] * scale * weight[i];
        y[to + i] = args.factor * (args.add != 0 ? y[to + i] + value : value);
    }
}
