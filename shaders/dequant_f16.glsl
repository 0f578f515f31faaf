// dequant_f16.glsl - a part is 8 weights: F16, or BF16, the upper halves of floats.
#define WEIGHT_QUADS 2

vec2 weight_pair(uint word) {
#ifdef WEIGHT_BF16
    return uintBitsToFloat(uvec2(word << 16, word & 0xffff0000u));
#else
    return unpackHalf2x16(word);
#endif
}

vec4 weight_quad(uvec4 part, uint i) {
    return vec4(weight_pair(part[2u * i]), weight_pair(part[2u * i + 1u]));
}

uint weight_quad_at(uint i) {
    return 4u * i;
}

float weight_scale(uint row, uint part_index) {
    return 1.0;
}

#define WEIGHT_TURNS 2

float word_weight(uint word, uint turn) {
    return weight_pair(word)[turn];
}

uint word_weight_at(uint i, uint turn) {
    return 2u * i + turn;
}
