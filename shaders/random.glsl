// random.glsl - Philox 4x32-10, a counter-based random number generator (Salmon, Moraes, Dror, Shaw 2011): four random
// words for each key and counter, with no state.
#ifndef GAB_RANDOM_GLSL
#define GAB_RANDOM_GLSL

uvec4 philox(uvec2 key, uvec4 counter) {
    for (uint i = 0; i < 10; i++) {
        uint high0, low0, high1, low1;
        umulExtended(0xd2511f53u, counter.x, high0, low0);
        umulExtended(0xcd9e8d57u, counter.z, high1, low1);
        counter = uvec4(high1 ^ counter.y ^ key.x, low1, high0 ^ counter.w ^ key.y, low0);
        key += uvec2(0x9e3779b9u, 0xbb67ae85u);
    }
    return counter;
}

#endif
