// matmul_f16.glsl - weights as f16, eight in 16 bytes, for kernels with f16 products. A unit is what an invocation loads at once.
#ifndef GAB_MATMUL_F16_GLSL
#define GAB_MATMUL_F16_GLSL

#ifdef WEIGHT_F32
const uint UNIT_PARTS = 2; // F32 rows are a multiple of 8 weights
#else
const uint UNIT_PARTS = 1;
#endif
const uint UNIT_EIGHTS = UNIT_PARTS * WEIGHT_PART / 8;

uvec2 pack(vec4 v) {
    return uvec2(packFloat2x16(f16vec2(v.xy)), packFloat2x16(f16vec2(v.zw)));
}

// The i-th eight weights of a unit, times `factor` but for F16.
uvec4 unit_eight(weight_data parts[UNIT_PARTS], uint i, float factor) {
#if defined(WEIGHT_F16)
    return parts[0];
#elif defined(WEIGHT_F32)
    return uvec4(pack(factor * weight_quad(parts[0], 0)), pack(factor * weight_quad(parts[1], 0)));
#else
    return uvec4(pack(factor * weight_quad(parts[0], 2 * i)), pack(factor * weight_quad(parts[0], 2 * i + 1)));
#endif
}

// The parts of a unit from weight k of a row on; zeros beyond its end.
void unit_load(uint row, uint k, out weight_data parts[UNIT_PARTS]) {
    [[unroll]] for (uint i = 0; i < UNIT_PARTS; i++)
        parts[i] = weight_part_or_zeros(row, k / WEIGHT_PART + i);
}

#endif
