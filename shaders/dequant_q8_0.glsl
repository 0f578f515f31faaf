// dequant_q8_0.glsl - a part is 16 signed bytes, half a block of 32.
#define WEIGHT_QUADS 4
#define WEIGHT_SCALE_PARTS 2

vec4 weight_quad(uvec4 part, uint i) {
    int word = int(part[i]);
    return vec4(word << 24 >> 24, word << 16 >> 24, word << 8 >> 24, word >> 24);
}

uint weight_quad_at(uint i) {
    return 4u * i;
}

float weight_scale(uint row, uint part_index) {
    return weight_f16_scale(row, part_index >> 1);
}

#define WEIGHT_TURNS 4

float word_weight(uint word, uint turn) {
    return float(int(word << (24u - 8u * turn)) >> 24);
}

uint word_weight_at(uint i, uint turn) {
    return 4u * i + turn;
}
