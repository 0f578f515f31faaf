// dequant_f16.glsl - a part is 8 weights.
#define WEIGHT_QUADS 2

vec4 weight_quad(uvec4 part, uint i) {
    return vec4(unpackHalf2x16(part[2u * i]), unpackHalf2x16(part[2u * i + 1u]));
}

uint weight_quad_at(uint i) {
    return 4u * i;
}

float weight_scale(uint row, uint part_index) {
    return 1.0;
}

#define WEIGHT_TURNS 2

float word_weight(uint word, uint turn) {
    return unpackHalf2x16(word)[turn];
}

uint word_weight_at(uint i, uint turn) {
    return 2u * i + turn;
}
