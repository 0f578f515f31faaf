// weight.glsl - reads a shard of weights in 16-byte parts; which type is chosen by WEIGHT_<TYPE>. Each dequant file has:
//   WEIGHT_QUADS          groups of four weights in one 16-byte part of plane 0
//   weight_quad(part, i)  the i-th four quants of a part, as floats
//   weight_quad_at(i)     the offset of their first weight among the part's weights
//   weight_scale(row, part_index)  what to multiply them by
//   WEIGHT_SCALE_PARTS    parts that share a scale; not defined where there are none
// and, for kernels that read words at addresses (WEIGHT_ADDRESS):
//   WEIGHT_TURNS            weights in a 32-bit word of plane 0
//   word_weight(word, turn) one of them, as a float
//   word_weight_at(i, turn) the offset of that weight of the i-th word from the first word's block
// Needs the binding `weights` (uvec4 and, for plane 1, the same range as words) and the including shader's `args`.
#ifndef GAB_WEIGHT_GLSL
#define GAB_WEIGHT_GLSL

#ifdef WEIGHT_ADDRESS
float weight_f16_scale(uint row, uint i); // the includer's
#else
layout(std430, binding = 1) readonly buffer Weights {
    uvec4 weights[];
};
layout(std430, binding = 2) readonly buffer Scales { // plane 1 of the same shard, bound again
    uint scales[];
};

uvec4 weight_part(uint row, uint part_index) {
    return weights[row * args.row_vectors + part_index];
}

// The f16 at an index of a row of plane 1.
float weight_f16_scale(uint row, uint i) {
    vec2 pair = unpackHalf2x16(scales[args.scale_offset + row * args.scale_words + (i >> 1)]);
    return (i & 1u) == 0u ? pair.x : pair.y;
}
#endif

#if defined(WEIGHT_F32)
#include "dequant_f32.glsl"
#elif defined(WEIGHT_F16)
#include "dequant_f16.glsl"
#elif defined(WEIGHT_Q8_0)
#include "dequant_q8_0.glsl"
#elif defined(WEIGHT_Q4_0)
#include "dequant_q4_0.glsl"
#endif

#define WEIGHT_PART (4 * WEIGHT_QUADS) // weights in a part

#endif
