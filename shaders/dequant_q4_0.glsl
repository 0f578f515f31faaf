// dequant_q4_0.glsl - a part is a block of 32: byte j holds weight j in its low and weight j + 16 in its high nibble.
#define WEIGHT_QUADS 8

vec4 weight_quad(uvec4 part, uint i) {
    uint word = part[i & 3u] >> (i & 4u); // the high nibbles belong to quads 4 to 7
    return vec4(uvec4(word, word >> 8, word >> 16, word >> 24) & 15u) - 8.0;
}

uint weight_quad_at(uint i) {
    return 4u * i;
}

float weight_scale(uint row, uint part_index) {
    return weight_f16_scale(row, part_index);
}
