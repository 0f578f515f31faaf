// kv_write.comp - copies the keys and values of the step's rows into their pages, converted to the cache's type; one invocation
// owns a word of the cache. Dimensions from head_dim to HEAD_DIM are zero. Grid: words of all heads / LANES, rows.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "args.h"

layout(constant_id = GAB_SPEC_LANES) const uint LANES = 64;
layout(constant_id = GAB_SPEC_HEAD_DIM) const uint HEAD_DIM = 64;
layout(constant_id = GAB_SPEC_KV_F16) const bool KV_F16 = true;
layout(local_size_x_id = GAB_SPEC_LANES) in;
layout(push_constant, std430) uniform Push {
    gab_kv_write_args args;
};
#include "step.glsl"
#include "kv.glsl"
layout(std430, binding = 1) readonly buffer X {
    float x[];
};
layout(std430, binding = 2) writeonly buffer Keys {
    uint keys[];
};
layout(std430, binding = 3) writeonly buffer Values {
    uint values[];
};

float element(uint from, uint d) {
    return d < args.head_dim ? x[from + d] : 0.0;
}

uint word(uint from, uint w) {
    if (!KV_F16) return kv_float(element(from, w));
    return kv_half_pair(vec2(element(from, 2 * w), element(from, 2 * w + 1)));
}

void main() {
    uint row = gl_WorkGroupID.y;
    uint head = gl_GlobalInvocationID.x / KV_WORDS, w = gl_GlobalInvocationID.x % KV_WORDS;
    if (row >= step_now.n_row || head >= args.n_head_kv) return;
    uint to = kv_address(step_now.rows[row].slot, step_now.rows[row].position, head, args.n_head_kv) + w;
    uint from = row * args.x_stride + head * args.head_dim;
    keys[to] = word(from + args.k_offset, w);
    values[to] = word(from + args.v_offset, w);
}
