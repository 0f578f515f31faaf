// ceiling_read.comp - reads a buffer as fast as the device can: each group a stretch of its own. HOW:
//   OWN      LOADS 16-byte loads an invocation and turn, neighbours side by side: for GPUs
//   UNIFORM  the invocations of a group read the same addresses, which CPU drivers load once
//   ACROSS   (with ADDRESS) each invocation picks its word from LANES loads of one address each, which lavapipe turns into one vector
//            load; at addresses, because a load through a descriptor is checked against its size; the LOADS of a turn lie in as many
//            streams, of which a processor fetches several ahead
// Nothing is ever stored: the comparison at the end only keeps the loads alive.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "args.h"

layout(constant_id = 0) const uint LANES = 64;
layout(constant_id = 1) const uint LOADS = 4;
layout(constant_id = 2) const uint HOW = 0;
layout(local_size_x_id = 0) in;
layout(push_constant, std430) uniform Push {
    uint mask; // 16-byte vectors of the buffer, a power of two, less 1
    uint turns;
    uint address_low, address_high;
};
layout(std430, binding = 0) readonly buffer Data {
    uvec4 data[];
};
layout(std430, binding = 1) writeonly buffer Result {
    uint result[];
};
#ifdef ADDRESS
#extension GL_EXT_buffer_reference2 : require
#extension GL_EXT_buffer_reference_uvec2 : require
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer Words {
    uint word[4];
};
#endif

const uint OWN = 0, UNIFORM = 1;

void main() {
    uint group = gl_WorkGroupID.x + gl_WorkGroupID.y * GAB_GRID_FOLD, lane = gl_LocalInvocationID.x;
    uint all_bits = 0;
#ifdef ADDRESS
    const uint vectors = LANES / 4;
    Words words = Words(uvec2(address_low, address_high));
    for (uint t = 0, at = group * turns * vectors * LOADS; t < turns; t++, at += vectors) {
        [[unroll]] for (uint i = 0; i < LOADS; i++) {
            uint word = 0;
            [[unroll]] for (uint k = 0; k < LANES; k++) {
                uint other = words[((at + i * turns * vectors) & mask) + k / 4].word[k % 4];
                word = lane == k ? other : word;
            }
            all_bits ^= word;
        }
    }
#else
    const uint apart = HOW == UNIFORM ? 1 : LANES, turn = apart * LOADS;
    uint at = group * turns * turn + (HOW == UNIFORM ? 0 : lane);
    uvec4 bits = uvec4(0);
    for (uint t = 0; t < turns; t++, at += turn) {
        uvec4 v[LOADS];
        [[unroll]] for (uint i = 0; i < LOADS; i++) v[i] = data[(at + i * apart) & mask];
        [[unroll]] for (uint i = 0; i < LOADS; i++) bits ^= v[i];
    }
    all_bits = bits.x ^ bits.y ^ bits.z ^ bits.w;
#endif
    if (all_bits == 0x9e3779b9u) result[0] = group;
}
