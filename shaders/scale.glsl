// scale.glsl - scaling by powers of two, which is exact, so that a magnitude fits a narrow type.
#ifndef GAB_SCALE_GLSL
#define GAB_SCALE_GLSL

float power_of_two(int e) {
    return uintBitsToFloat(uint(127 + e) << 23);
}

// The e by whose power of two a magnitude must be multiplied to come below 2^limit.
int scale_exponent(float magnitude, int limit) {
    return clamp(126 + limit - int(floatBitsToUint(magnitude) >> 23), -126, 126);
}

#endif
