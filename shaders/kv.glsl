// kv.glsl - where a key or value lies: pools of pages, a page [kv_head][GAB_PAGE][HEAD_DIM], f16 or f32, read as words.
#ifndef GAB_KV_GLSL
#define GAB_KV_GLSL

const uint KV_WORDS = KV_F16 ? HEAD_DIM / 2 : HEAD_DIM; // a vector's words

// First word of the vector of a head at a position of a slot.
uint kv_address(uint slot, uint position, uint kv_head, uint n_head_kv) {
    uint page = page_table[slot * step_now.table_stride + position / GAB_PAGE];
    return ((page * n_head_kv + kv_head) * GAB_PAGE + position % GAB_PAGE) * KV_WORDS;
}

uint kv_half_pair(vec2 pair) {
    const float largest = 65504.0; // of f16
    return packHalf2x16(clamp(pair, vec2(-largest), vec2(largest)));
}

#endif
