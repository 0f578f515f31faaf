// expert_sum.comp - y += the weighted sum of what a row's experts have made, in the order in which they were chosen.
// Grid: n_col / LANES, rows.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "args.h"

layout(constant_id = GAB_SPEC_LANES) const uint LANES = 64;
layout(local_size_x_id = GAB_SPEC_LANES) in;
layout(push_constant, std430) uniform Push {
    gab_expert_args args;
};
#include "step.glsl"
layout(std430, binding = 1) readonly buffer X {
    float x[];
};
layout(std430, binding = 2) readonly buffer Route {
    gab_route route;
};
layout(std430, binding = 3) buffer Y {
    float y[];
};

void main() {
    uint row = gl_WorkGroupID.y, i = gl_GlobalInvocationID.x;
    if (row >= step_now.n_row || i >= args.n_col) return;
    float sum = 0.0;
    for (uint pair = row * args.n_used; pair < (row + 1) * args.n_used; pair++)
        sum = fma(route.weight[pair], x[pair * args.x_stride + i], sum);
    y[row * args.y_stride + i] += sum;
}
