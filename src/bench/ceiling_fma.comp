// ceiling_fma.comp - multiply-adds as fast as the device can: CHAINS independent vectors of four an invocation, 8 steps of each a
// turn. In f32; with F16 in f16; with DOT sums of four products of 8-bit integers, four to a vector. The comparison at the end only
// keeps them alive.
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

#if defined(F16)
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#define NUMBER f16vec4
#define STEP(sum) fma(sum, f16vec4(a), f16vec4(b))
#elif defined(DOT)
#extension GL_EXT_spirv_intrinsics : require
// OpSDot of two words of four signed bytes (SPV_KHR_integer_dot_product)
spirv_instruction(extensions = ["SPV_KHR_integer_dot_product"], capabilities = [6018, 6019], id = 4450)
int dot_of_bytes(int x, int y, spirv_literal int packed_4x8);
ivec4 dots(ivec4 v, int factor) {
    return ivec4(dot_of_bytes(v.x, factor, 0), dot_of_bytes(v.y, factor, 0), dot_of_bytes(v.z, factor, 0),
                 dot_of_bytes(v.w, factor, 0));
}
#define NUMBER ivec4
#define STEP(sum) sum + dots(sum, floatBitsToInt(a))
#else
#define NUMBER vec4
#define STEP(sum) fma(sum, vec4(a), vec4(b))
#endif

void main() {
    NUMBER sums[CHAINS];
    [[unroll]] for (uint i = 0; i < CHAINS; i++)
        sums[i] = NUMBER(uvec4(gl_LocalInvocationID.x + i) + uvec4(0, 1, 2, 3));
    for (uint t = 0; t < turns; t++)
        [[unroll]] for (uint step = 0; step < 8; step++)
            [[unroll]] for (uint i = 0; i < CHAINS; i++) sums[i] = STEP(sums[i]);
    NUMBER sum = sums[0];
    [[unroll]] for (uint i = 1; i < CHAINS; i++) sum += sums[i];
    vec4 all_four = vec4(sum);
    if (all_four.x + all_four.y + all_four.z + all_four.w == 12345.678) result[0] = 1;
}
