// weight.glsl - reads a shard of weights in 16-byte parts; which type is chosen by WEIGHT_<TYPE>. Each dequant file has:
//   WEIGHT_QUADS          groups of four weights in one 16-byte part of plane 0
//   weight_quad(part, i)  the i-th four quants of a part, as floats
//   weight_quad_at(i)     the offset of their first weight among the part's weights
//   weight_scale(row, part_index)  what to multiply them by
//   WEIGHT_SCALE_PARTS    parts that share a scale; not defined where there are none
//   WEIGHT_STEPS, weight_step(part)  where a part has 32 weights: 2, and what makes its second half the first one
// and, those of whole blocks:
//   weight_bytes(part, i)  the i-th 16 of its quants as signed bytes, for integer products
// Their weight_data, what is read of a part, is a uvec4. That of the grouped types (WEIGHT_GROUPED) has more.
// and, for kernels that read words at addresses (WEIGHT_ADDRESS):
//   WEIGHT_TURNS            weights in a 32-bit word of plane 0
//   word_weight(word, turn) one of them, as a float
//   word_weight_at(i, turn) the offset of that weight of the i-th word from the first word's block
// Needs the binding `weights` (uvec4 and, for plane 1, the same range as words) and the including shader's `args`.
#ifndef GAB_WEIGHT_GLSL
#define GAB_WEIGHT_GLSL

layout(constant_id = GAB_SPEC_F16_FLUSHED) const bool F16_FLUSHED = false;

// Two f16, which may be scales: often subnormal ones.
vec2 unpack_scales(uint word) {
    vec2 pair = unpackHalf2x16(word);
    if (F16_FLUSHED) {
        const uvec2 bits = uvec2(word & 0xffffu, word >> 16);
        const vec2 small = vec2(bits & 0x3ffu) * 5.9604644775390625e-8; // 2^-24, exact
        pair = mix(pair, mix(small, -small, greaterThan(bits, uvec2(0x7fffu))), equal(bits & 0x7c00u, uvec2(0)));
    }
    return pair;
}

#ifdef WEIGHT_ADDRESS
float weight_f16_scale(uint row, uint i); // the includer's
uint weight_word(uint at);
#else
layout(std430, binding = 1) readonly buffer Weights {
    uvec4 weights[];
};
layout(std430, binding = 2) readonly buffer Scales { // plane 1 of the same shard, bound again
    uint scales[];
};

uint weight_word(uint at) {
    return scales[at];
}

// The f16 at an index of a row of plane 1.
float weight_f16_scale(uint row, uint i) {
    vec2 pair = unpack_scales(scales[args.scale_offset + row * args.scale_words + (i >> 1)]);
    return (i & 1u) == 0u ? pair.x : pair.y;
}
#endif

// Four bytes below 128, each less a number below 128, as signed ones: the high bit keeps a byte from borrowing from the next.
uint bytes_less(uint bytes, uint number) {
    return (bytes | 0x80808080u) - number * 0x01010101u ^ 0x80808080u;
}

uint signed_bytes(ivec4 numbers) {
    uvec4 q = uvec4(numbers) & 255u;
    return q.x | q.y << 8 | q.z << 16 | q.w << 24;
}

#if defined(WEIGHT_F32)
#include "dequant_f32.glsl"
#elif defined(WEIGHT_F16) || defined(WEIGHT_BF16)
#include "dequant_f16.glsl"
#elif defined(WEIGHT_Q8_0)
#include "dequant_q8_0.glsl"
#elif defined(WEIGHT_Q4_0)
#include "dequant_q4_0.glsl"
#else
#include "dequant_grouped.glsl"
#endif

#ifndef WEIGHT_STEPS
#define WEIGHT_STEPS 1
#define weight_step(part)
#endif
#define WEIGHT_PART (4 * WEIGHT_QUADS) // weights in a part

#ifndef WEIGHT_GROUPED
#define weight_data uvec4
#endif
#ifndef WEIGHT_ADDRESS
weight_data weight_part(uint row, uint part_index) {
#ifdef WEIGHT_GROUPED
    weight_data w = weight_rest(args.scale_offset + row * args.scale_words, part_index);
    w.low = weights[row * args.row_vectors + part_index];
    return w;
#else
    return weights[row * args.row_vectors + part_index];
#endif
}

// The same, or zeros beyond the row's end. Tiles are as deep as a grouped part, or less: none is beyond it.
weight_data weight_part_or_zeros(uint row, uint part_index) {
#ifdef WEIGHT_GROUPED
    return weight_part(row, part_index);
#else
    return part_index < args.n_block ? weight_part(row, part_index) : uvec4(0);
#endif
}
#endif

#endif
