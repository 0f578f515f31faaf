// reduce.glsl - sums over the invocations of a group, in a fixed order, without subgroup operations. Needs LANES (a
// multiple of 16, or less than 16) and the local size in x only. Contains barriers: all invocations must call it.
#ifndef GAB_REDUCE_GLSL
#define GAB_REDUCE_GLSL

shared float reduce_one[LANES];
shared float reduce_two[16];

float group_sum(float value) {
    const uint lane = gl_LocalInvocationID.x;
    const uint n = LANES < 16 ? LANES : 16;
    float sum = 0.0;
    reduce_one[lane] = value;
    barrier();
    if (lane < n) {
        for (uint i = lane; i < LANES; i += n) sum += reduce_one[i];
        reduce_two[lane] = sum;
    }
    barrier();
    sum = 0.0;
    for (uint i = 0; i < n; i++) sum += reduce_two[i];
    return sum;
}

#endif
