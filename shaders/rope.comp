// rope.comp - what happens between the product for queries, keys and values and attention: norms of queries and keys head by head,
// or of values, too (NORM), rotary positions, and keys and values into their pages of the cache, converted to its type. Queries stay where they are.
// A group a head. Grid: heads of queries, of keys, of values; rows.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "args.h"

layout(constant_id = GAB_SPEC_LANES) const uint LANES = 64;
layout(constant_id = GAB_SPEC_HEAD_DIM) const uint HEAD_DIM = 64;
layout(constant_id = GAB_SPEC_KV_F16) const bool KV_F16 = true;
layout(constant_id = GAB_SPEC_NORM) const uint NORM = GAB_NORM_NONE;
layout(local_size_x_id = GAB_SPEC_LANES) in;
layout(push_constant, std430) uniform Push {
    gab_rope_args args;
};
#include "step.glsl"
#include "kv.glsl"
#include "reduce.glsl"
layout(std430, binding = 1) buffer X {
    float x[];
};
layout(std430, binding = 2) writeonly buffer Keys {
    uint keys[];
};
layout(std430, binding = 3) writeonly buffer Values {
    uint values[];
};
layout(std430, binding = 4) readonly buffer Rope {
    vec2 rope[];
};
layout(std430, binding = 5) readonly buffer QueryNorm {
    float query_norm[];
};
layout(std430, binding = 6) readonly buffer KeyNorm {
    float key_norm[];
};
#include "rope.glsl"

vec2 loaded(uint from, uint pair) {
    return 2 * pair < args.head_dim ? vec2(x[from + 2 * pair], x[from + 2 * pair + 1]) : vec2(0.0);
}

void main() {
    const uint row = gl_WorkGroupID.y, head = gl_WorkGroupID.x;
    if (row >= step_now.n_row) return;
    const bool is_query = head < args.n_head, is_value = head >= args.n_head + args.n_head_kv;
    const uint from = row * args.x_stride + head * args.head_dim, position = step_now.rows[row].position;
    const uint n_pair = HEAD_DIM / 2; // beyond head_dim the cache holds zeros

    float scale = 1.0;
    if (NORM == GAB_NORM_QKV || (NORM == GAB_NORM_QK && !is_value)) {
        float sum = 0.0;
        for (uint i = gl_LocalInvocationID.x; i < n_pair; i += LANES) {
            const vec2 v = loaded(from, i);
            sum += dot(v, v);
        }
        scale = 1.0 / sqrt(group_sum(sum) / float(args.head_dim) + args.eps);
    }
    float temperature = 1.0;
    if (is_query && args.temperature_step > 0 && position >= args.temperature_step)
        temperature += args.temperature * log(float(1 + position / args.temperature_step));
    uint to = 0;
    if (!is_query) {
        const uint kv_head = head - args.n_head - (is_value ? args.n_head_kv : 0);
        to = kv_address(step_now.rows[row].slot, position, kv_head, args.n_head_kv);
    }
    for (uint i = gl_LocalInvocationID.x; i < n_pair; i += LANES) {
        vec2 v = scale * loaded(from, i);
        if (NORM != GAB_NORM_NONE && !is_value && 2 * i < args.head_dim)
            v *= is_query ? vec2(query_norm[2 * i], query_norm[2 * i + 1]) : vec2(key_norm[2 * i], key_norm[2 * i + 1]);
        if (!is_value && i < args.n_turn) v = rope_turned(v, position, i, args.n_turn);
        if (is_query) {
            if (2 * i >= args.head_dim) break;
            x[from + 2 * i] = temperature * v.x;
            x[from + 2 * i + 1] = temperature * v.y;
        } else if (KV_F16) {
            if (is_value)
                values[to + i] = kv_half_pair(v);
            else
                keys[to + i] = kv_half_pair(v);
        } else if (is_value) {
            values[to + 2 * i] = kv_float(v.x);
            values[to + 2 * i + 1] = kv_float(v.y);
        } else {
            keys[to + 2 * i] = kv_float(v.x);
            keys[to + 2 * i + 1] = kv_float(v.y);
        }
    }
}
