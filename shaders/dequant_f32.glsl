// dequant_f32.glsl - a part is 4 weights.
#define WEIGHT_QUADS 1

vec4 weight_quad(uvec4 part, uint i) {
    return uintBitsToFloat(part);
}

uint weight_quad_at(uint i) {
    return 0u;
}

float weight_scale(uint row, uint part_index) {
    return 1.0;
}

#define WEIGHT_TURNS 1

float word_weight(uint word, uint turn) {
    return uintBitsToFloat(word);
}

uint word_weight_at(uint i, uint turn) {
    return i;
}
