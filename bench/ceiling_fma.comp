// ceiling_fma.comp - f32 multiply-adds as fast as the device can: CHAINS independent vectors of four an invocation, 8 steps of each
// a turn. The comparison at the end only keeps them alive.
#version 450
#extension GL_EXT_control_flow_attributes : require

layout(constant_id = 0) const uint LANES = 64;
layout(constant_id = 1) const uint CHAINS = 4;
layout(local_size_x_id = 0) in;
layout(push_constant, std430) uniform Push {
    uint turns;
    float a, b;
};
layout(std430, binding = 1) writeonly buffer Result {
    uint result[];
};

void main() {
    vec4 sums[CHAINS];
    [[unroll]] for (uint i = 0; i < CHAINS; i++) sums[i] = vec4(gl_LocalInvocationID.x + i) + vec4(0, 1, 2, 3);
    for (uint t = 0; t < turns; t++)
        [[unroll]] for (uint step = 0; step < 8; step++)
            [[unroll]] for (uint i = 0; i < CHAINS; i++) sums[i] = fma(sums[i], vec4(a), vec4(b));
    vec4 sum = vec4(0);
    [[unroll]] for (uint i = 0; i < CHAINS; i++) sum += sums[i];
    if (sum.x + sum.y + sum.z + sum.w == 12345.678) result[0] = 1;
}
