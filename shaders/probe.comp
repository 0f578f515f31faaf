// probe.comp - stores a pattern that the host checks: does this device execute? And, behind it, an f16 as a float.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "args.h"

layout(constant_id = GAB_SPEC_LANES) const uint LANES = 64;
layout(local_size_x_id = GAB_SPEC_LANES) in;
layout(push_constant, std430) uniform Push {
    gab_probe_args args;
};
layout(std430, binding = 0) writeonly buffer Out {
    uint result[];
};

void main() {
    result[gl_GlobalInvocationID.x] = args.value ^ gl_GlobalInvocationID.x;
    if (gl_GlobalInvocationID.x == 0) result[LANES] = floatBitsToUint(unpackHalf2x16(args.half_word).x);
}
