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

// One of LANES elements for each lane; a tree, in which compilers find the vector load more often than in a chain.
uint16_t pick4(uint16_t a, uint16_t b, uint16_t c, uint16_t d) {
    const uint16_t low = (lane & 1) != 0 ? b : a, high = (lane & 1) != 0 ? d : c;
    return (lane & 2) != 0 ? high : low;
}

uint pick4(uint a, uint b, uint c, uint d) {
    const uint low = (lane & 1) != 0 ? b : a, high = (lane & 1) != 0 ? d : c;
    return (lane & 2) != 0 ? high : low;
}

// The lane's dimension number i (i * LANES + lane) of vector number b at an address.
float value_at(uint64_t address, uint b, uint i) {
    const uint at = b * HEAD_DIM + i * LANES;
    if (KV_F16) {
        Halves x = Halves(address);
        uint16_t mine = pick4(x.element[at], x.element[at + 1], x.element[at + 2], x.element[at + 3]);
        if (LANES == 8) {
            const uint16_t upper = pick4(x.element[at + 4], x.element[at + 5], x.element[at + 6], x.element[at + 7]);
            mine = (lane & 4) != 0 ? upper : mine;
        }
        return unpackHalf2x16(mine).x;
    }
    Words x = Words(address);
    uint mine = pick4(x.word[at], x.word[at + 1], x.word[at + 2], x.word[at + 3]);
    if (LANES == 8) {
        const uint upper = pick4(x.word[at + 4], x.word[at + 5], x.word[at + 6], x.word[at + 7]);
        mine = (lane & 4) != 0 ? upper : mine;
    }
    return uintBitsToFloat(mine);
}

#endif
