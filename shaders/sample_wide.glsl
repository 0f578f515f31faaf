// sample_wide.glsl - unsigned 64-bit numbers as two words (x low, y high), for devices without 64-bit integers.
#ifndef GAB_SAMPLE_WIDE_GLSL
#define GAB_SAMPLE_WIDE_GLSL

uvec2 wide_add(uvec2 a, uvec2 b) {
    uint carry, low = uaddCarry(a.x, b.x, carry);
    return uvec2(low, a.y + b.y + carry);
}

uvec2 wide_subtract(uvec2 a, uvec2 b) {
    uint borrow, low = usubBorrow(a.x, b.x, borrow);
    return uvec2(low, a.y - b.y - borrow);
}

bool wide_less(uvec2 a, uvec2 b) {
    return a.y < b.y || (a.y == b.y && a.x < b.x);
}

uvec2 wide_product(uint a, uint b) {
    uint high, low;
    umulExtended(a, b, high, low);
    return uvec2(low, high);
}

// a * fraction / 2^32, rounded down; `rest` is what was cut off.
uvec2 wide_scale(uvec2 a, uint fraction, out uint rest) {
    uvec2 low = wide_product(a.x, fraction);
    rest = low.x;
    return wide_add(wide_product(a.y, fraction), uvec2(low.y, 0));
}

// a / b rounded up, for a, b > 0 and a quotient below 2^32: one more than the largest q with q * b < a.
uint wide_divide_up(uvec2 a, uint b) {
    uint q = 0;
    for (uint bit = 0x80000000u; bit != 0; bit >>= 1)
        if (wide_less(wide_product(q | bit, b), a)) q |= bit;
    return q + 1;
}

#endif
