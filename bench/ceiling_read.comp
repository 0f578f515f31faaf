// ceiling_read.comp - reads a buffer as fast as the device can: each group a stretch of its own, LOADS 16-byte loads an invocation
// and turn. UNIFORM: the invocations of a group read the same addresses, which CPU drivers load once. Nothing is ever stored: the
// comparison at the end only keeps the loads alive.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "args.h"

layout(constant_id = 0) const uint LANES = 64;
layout(constant_id = 1) const uint LOADS = 4;
layout(constant_id = 2) const bool UNIFORM = false;
layout(local_size_x_id = 0) in;
layout(push_constant, std430) uniform Push {
    uint mask; // 16-byte vectors of the buffer, a power of two, less 1
    uint turns;
};
layout(std430, binding = 0) readonly buffer Data {
    uvec4 data[];
};
layout(std430, binding = 1) writeonly buffer Result {
    uint result[];
};

void main() {
    const uint step = UNIFORM ? 1 : LANES, width = step * LOADS;
    uint group = gl_WorkGroupID.x + gl_WorkGroupID.y * GAB_GRID_FOLD;
    uint at = group * turns * width + (UNIFORM ? 0 : gl_LocalInvocationID.x);
    uvec4 all_bits = uvec4(0);
    for (uint t = 0; t < turns; t++, at += width) {
        uvec4 v[LOADS];
        [[unroll]] for (uint i = 0; i < LOADS; i++) v[i] = data[(at + i * step) & mask];
        [[unroll]] for (uint i = 0; i < LOADS; i++) all_bits ^= v[i];
    }
    if ((all_bits.x ^ all_bits.y ^ all_bits.z ^ all_bits.w) == 0x9e3779b9u) result[0] = group;
}
