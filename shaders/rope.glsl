// rope.glsl - rotary positions (Su et al. 2021): dimensions 2i and 2i + 1 of a head are turned by position * frequency i. The angle's
// cos and sin are those of a sum, of the position within a page and of the page, which the host has made a table of in double
// (src/kernels/rope.h). Needs the binding `rope`.
#ifndef GAB_ROPE_GLSL
#define GAB_ROPE_GLSL

vec2 rope_product(vec2 a, vec2 b) { // of complex numbers
    return vec2(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x);
}

vec2 rope_turned(vec2 v, uint position, uint pair, uint n_turn) {
    vec2 in_page = rope[position % GAB_PAGE * n_turn + pair];
    vec2 page = rope[(GAB_PAGE + position / GAB_PAGE) * n_turn + pair];
    return rope_product(v, rope_product(in_page, page));
}

#endif
