// attention.glsl - what the attention kernels share. softmax(q K' * scale) V with online softmax (Milakov, Gimelshein 2018; Dao
// et al. 2022), causal, over paged keys and values. Two kinds:
//   decode   each row on its own, the sequence cut into pieces of GAB_PIECE positions; a piece leaves its largest score, its sum
//            of exponentials and its weighted values in `y` as [row][head][piece][HEAD_DIM + 2], for attention_merge. Where the
//            plan has one piece, the result goes to y[row][head * head_dim] at once.
//   prefill  tiles of rows of one slot (the step's work list); the result goes to y[row][head * head_dim].
#ifndef GAB_ATTENTION_GLSL
#define GAB_ATTENTION_GLSL

layout(std430, binding = 1) readonly buffer Q {
    float q[];
};
layout(std430, binding = 2) readonly buffer Keys {
    uvec4 keys[];
};
layout(std430, binding = 3) readonly buffer Values {
    uvec4 values[];
};
layout(std430, binding = 4) writeonly buffer Y {
    float y[];
};
#include "kv.glsl"
#include "activation.glsl"
layout(constant_id = GAB_SPEC_WINDOW) const bool WINDOW = false;
layout(constant_id = GAB_SPEC_SOFTCAP) const bool SOFTCAP = false;
#include "sinks.glsl"

const float LOWEST = -3.0e38;
const uint KV_VECTORS = KV_WORDS / 4;          // 16-byte vectors a key
const uint KV_PART = KV_F16 ? 8 : 4;           // dimensions a vector

// Dimensions 4 half .. 4 half + 3 of a 16-byte vector.
vec4 kv_quad(uvec4 v, uint half_index) {
    if (!KV_F16) return uintBitsToFloat(v);
    return vec4(unpackHalf2x16(v[2 * half_index]), unpackHalf2x16(v[2 * half_index + 1]));
}

// The first key that a query at a position sees.
uint first_key(uint position) {
    return WINDOW && position >= args.window ? position + 1 - args.window : 0;
}

bool seen(uint key, uint position, uint lowest) {
    return key <= position && (!WINDOW || key >= lowest);
}

float limited(float score) {
    return SOFTCAP ? softcap(score, args.softcap) : score;
}

uint piece_address(uint row, uint head, uint piece) {
    return ((row * args.n_head + head) * args.n_piece + piece) * (HEAD_DIM + 2);
}

#endif
