// kv.glsl - where a key or value lies: pools of pages, a page [kv_head][GAB_PAGE][HEAD_DIM], f16 or f32, read as words.
#ifndef GAB_KV_GLSL
#define GAB_KV_GLSL

const uint KV_WORDS = KV_F16 ? HEAD_DIM / 2 : HEAD_DIM; // a vector's words

// First word of the vector of a head at a position of a slot.
uint kv_address(uint slot, uint position, uint kv_head, uint n_head_kv) {
    uint page = page_table[slot * step_now.table_stride + position / GAB_PAGE];
    return ((page * n_head_kv + kv_head) * GAB_PAGE + position % GAB_PAGE) * KV_WORDS;
}

// What goes into the cache is finite: kernels may multiply what lies past the end of a sequence by 0, and a page's next owner finds
// there what the last one left. By the bits, for compilers may assume that a comparison with itself holds.
float kv_finite(float value, float largest) {
    uint magnitude = floatBitsToUint(value) & 0x7fffffffu;
    return magnitude > 0x7f800000u ? 0.0 : clamp(value, -largest, largest);
}

uint kv_half_pair(vec2 pair) {
    const float largest = 65504.0; // of f16
    return packHalf2x16(vec2(kv_finite(pair.x, largest), kv_finite(pair.y, largest)));
}

uint kv_float(float value) {
    return floatBitsToUint(kv_finite(value, 3.4028235e38));
}

#endif
