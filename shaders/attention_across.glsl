// attention_across.glsl - keys and values as vectors, lanes along their dimensions, for CPU drivers: LANES loads of uniform addresses
// at known distances, one of them picked by a constant each, are one vector load there, converted to f32 as it is loaded. Reads at
// addresses, because loads through descriptors are checked one by one against the buffer's size.
#ifndef GAB_ATTENTION_ACROSS_GLSL
#define GAB_ATTENTION_ACROSS_GLSL

layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer Words {
    uint word[65536];
};
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer Halves {
    uint16_t element[65536];
};

#define lane gl_SubgroupInvocationID

// The lane's dimension number i (i * LANES + lane) of vector number b at an address.
float value_at(uint64_t address, uint b, uint i) {
    const uint at = b * HEAD_DIM + i * LANES;
    if (KV_F16) {
        Halves halves = Halves(address);
        uint16_t mine = halves.element[at];
        [[unroll]] for (uint k = 1; k < LANES; k++) {
            const uint16_t other = halves.element[at + k]; // loaded by all lanes, not in a branch
            mine = lane == k ? other : mine;
        }
        return unpackHalf2x16(mine).x;
    }
    Words words = Words(address);
    uint mine = words.word[at];
    [[unroll]] for (uint k = 1; k < LANES; k++) {
        const uint other = words.word[at + k];
        mine = lane == k ? other : mine;
    }
    return uintBitsToFloat(mine);
}

#endif
