// dequant_q4_0.glsl - a part is a block of 32: byte j holds weight j in its low and weight j + 16 in its high nibble.
#define WEIGHT_QUADS 8
#define WEIGHT_SCALE_PARTS 1

vec4 weight_quad(uvec4 part, uint i) {
    uint bytes = part[i & 3u] >> (i & 4u) & 0x0f0f0f0fu; // the high nibbles belong to quads 4 to 7
    return vec4(uvec4(bytes, bytes >> 8, bytes >> 16, bytes >> 24) & 255u) - 8.0; // bytes convert in one instruction
}

uvec4 weight_bytes(uvec4 part, uint i) {
    part = part >> 4u * i & 0x0f0f0f0fu;
    return uvec4(bytes_less(part.x, 8u), bytes_less(part.y, 8u), bytes_less(part.z, 8u), bytes_less(part.w, 8u));
}

uint weight_quad_at(uint i) {
    return 4u * i;
}

#define WEIGHT_STEPS 2
void weight_step(inout uvec4 part) {
    part >>= 4;
}

float weight_scale(uint row, uint part_index) {
    return weight_f16_scale(row, part_index);
}

#define WEIGHT_TURNS 8

// The nibble becomes the last bits of a float from 2^23 on: exact, and fewer instructions than a conversion.
float word_weight(uint word, uint turn) {
    return uintBitsToFloat((word >> (4u * turn) & 15u) | 0x4b000000u) - 8388616.0;
}

uint word_weight_at(uint i, uint turn) {
    return i / 4u * 32u + i % 4u * 4u + turn / 2u + (turn & 1u) * 16u;
}
