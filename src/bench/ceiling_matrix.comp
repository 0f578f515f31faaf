// ceiling_matrix.comp - products of cooperative matrices of the device's own shape as fast as it can: f16 factors, f32 sums, CHAINS
// independent sums a subgroup, 8 steps of each a turn. Factors come from memory, so that compilers know nothing of them; the
// comparison at the end only keeps the sums alive.
#version 450
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_cooperative_matrix : require

layout(constant_id = 0) const uint LANES = 128;
layout(constant_id = 1) const uint CHAINS = 4;
layout(constant_id = 3) const uint M = 16;
layout(constant_id = 4) const uint N = 16;
layout(constant_id = 5) const uint K = 16;
layout(local_size_x_id = 0) in;
layout(push_constant, std430) uniform Push {
    uint turns;
    float a;
};
layout(std430, binding = 0) readonly buffer Data {
    uvec4 data[]; // eight f16 each
};
layout(std430, binding = 1) writeonly buffer Result {
    uint result[];
};

void main() {
    coopmat<float16_t, gl_ScopeSubgroup, M, K, gl_MatrixUseA> left;
    coopmat<float16_t, gl_ScopeSubgroup, K, N, gl_MatrixUseB> right[CHAINS];
    coopmat<float, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator> sums[CHAINS];
    coopMatLoad(left, data, 0, K / 8, gl_CooperativeMatrixLayoutRowMajor);
    [[unroll]] for (uint i = 0; i < CHAINS; i++) {
        coopMatLoad(right[i], data, (i + 1) * 64, K / 8, gl_CooperativeMatrixLayoutColumnMajor);
        sums[i] = coopmat<float, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator>(float(i));
    }
    for (uint t = 0; t < turns; t++)
        [[unroll]] for (uint step = 0; step < 8; step++) {
            [[unroll]] for (uint i = 0; i < CHAINS; i++) sums[i] = coopMatMulAdd(left, right[i], sums[i]);
            left *= float16_t(a); // or products could be kept from step to step
        }
    [[unroll]] for (uint i = 1; i < CHAINS; i++) sums[0] += sums[i];
    if (sums[0][0] == 12345.678) result[0] = 1;
}
