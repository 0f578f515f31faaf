// gated.comp - y = activation(gate) * up, element by element (Shazeer 2020), of what a product has left. Grid: elements / LANES, rows.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "args.h"

layout(constant_id = GAB_SPEC_LANES) const uint LANES = 64;
layout(local_size_x_id = GAB_SPEC_LANES) in;
layout(push_constant, std430) uniform Push {
    gab_gated_args args;
};
#include "step.glsl"
#include "activation.glsl"
layout(std430, binding = 1) readonly buffer X {
    float x[];
};
layout(std430, binding = 2) writeonly buffer Y {
    float y[];
};

void main() {
    uint row = gl_WorkGroupID.y, i = gl_GlobalInvocationID.x;
    if (row >= step_now.n_row * args.n_used || i >= args.n) return;
    uint gate = row * args.x_stride + i * args.gate_step;
    y[row * args.y_stride + i] = gated(args.activation, x[gate], x[gate + args.up_first]);
}
