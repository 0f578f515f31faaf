// attention_lane.comp - attention with one query a lane: no shared memory, no barrier; the form for CPU drivers. DECODE: lanes are
// heads of one row; grid heads / LANES, pieces, rows. Prefill: lanes are rows of one head, so that keys and values are read once
// for all lanes; grid heads, tiles of at most LANES rows.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "args.h"

layout(constant_id = GAB_SPEC_LANES) const uint LANES = 8;
layout(constant_id = GAB_SPEC_HEAD_DIM) const uint HEAD_DIM = 64;
layout(constant_id = GAB_SPEC_KV_F16) const bool KV_F16 = true;
layout(constant_id = GAB_SPEC_DECODE) const bool DECODE = true;
layout(local_size_x_id = GAB_SPEC_LANES) in;
layout(push_constant, std430) uniform Push {
    gab_attention_args args;
};
#include "step.glsl"
#include "attention.glsl"

const uint QUADS = HEAD_DIM / 4;
const uint BATCH = 8; // keys between two looks at the largest score; divides GAB_PAGE

vec4 query[QUADS]; // not a parameter: an array sized by a specialization constant cannot be copied into one

// Written out, as the loop over a value's vectors below: lavapipe ends all loops of an invocation after 65535 turns together.
float score(uint key_address) {
    float sum = 0.0;
    [[unroll]] for (uint i = 0; i < KV_VECTORS; i++) {
        uvec4 v = keys[key_address / 4 + i];
        for (uint h = 0; h < KV_PART / 4; h++) {
            vec4 a = kv_quad(v, h), b = query[i * KV_PART / 4 + h];
            for (uint k = 0; k < 4; k++) sum = fma(a[k], b[k], sum);
        }
    }
    return limited(sum * args.scale);
}

void main() {
    uint lane = gl_LocalInvocationID.x;
    uint piece = 0, slot, row, head, first, last, position; // keys first..last-1, of which up to `position` count
    bool valid;
    if (DECODE) {
        piece = gl_WorkGroupID.y;
        row = gl_WorkGroupID.z;
        if (row >= step_now.n_row) return;
        slot = step_now.rows[row].slot;
        position = step_now.rows[row].position;
        first = piece * GAB_PIECE;
        if (first > position || first + GAB_PIECE <= first_key(position)) return;
        last = min(first + GAB_PIECE, position + 1);
        first = max(first, first_key(position) / BATCH * BATCH);
        head = gl_WorkGroupID.x * LANES + lane;
        valid = head < args.n_head;
        head = min(head, args.n_head - 1);
    } else {
        if (gl_WorkGroupID.y >= step_now.n_work) return;
        gab_step_work work = step_now.works[gl_WorkGroupID.y];
        slot = work.slot;
        valid = lane < work.n_row;
        uint in_work = min(lane, work.n_row - 1);
        row = work.first_row + in_work;
        position = work.first_position + in_work;
        first = first_key(work.first_position) / BATCH * BATCH;
        last = work.first_position + work.n_row;
        head = gl_WorkGroupID.x;
    }
    uint lowest = first_key(position), kv_head = head / (args.n_head / args.n_head_kv);

    // Loads and stores stand in loops that are not unrolled, with the element of an array picked by comparing: on lavapipe each one
    // written out is a loop over the lanes, and compiling 64 of them takes seconds.
    vec4 acc[QUADS];
    for (uint i = 0; i < QUADS; i++) acc[i] = vec4(0.0);
    [[dont_unroll]] for (uint i = 0; i < QUADS; i++) {
        vec4 v;
        for (uint k = 0; k < 4; k++)
            v[k] = 4 * i + k < args.head_dim ? q[row * args.x_stride + head * args.head_dim + 4 * i + k] : 0.0;
        for (uint j = 0; j < QUADS; j++) query[j] = i == j ? v : query[j];
    }
    float largest = LOWEST, sum = 0.0;
    for (uint t = first; t < last; t += BATCH) {
        uint address = kv_address(slot, t, kv_head, args.n_head_kv); // a batch never crosses a page
        float scores[BATCH];
        float top = largest;
        [[dont_unroll]] for (uint b = 0; b < BATCH; b++) { // unrolled, LLVM compiles for minutes
            scores[b] = seen(t + b, position, lowest) ? score(address + b * KV_WORDS) : LOWEST;
            top = max(top, scores[b]);
        }
        float shrink = exp(largest - top);
        largest = top;
        sum *= shrink;
        for (uint i = 0; i < QUADS; i++) acc[i] *= shrink;
        [[dont_unroll]] for (uint b = 0; b < BATCH; b++) {
            if (t + b >= last) break;
            float p = seen(t + b, position, lowest) ? exp(scores[b] - top) : 0.0;
            sum += p;
            [[unroll]] for (uint i = 0; i < KV_VECTORS; i++) {
                uvec4 v = values[(address + b * KV_WORDS) / 4 + i];
                for (uint h = 0; h < KV_PART / 4; h++)
                    acc[i * KV_PART / 4 + h] = fma(vec4(p), kv_quad(v, h), acc[i * KV_PART / 4 + h]);
            }
        }
    }
    if (!valid) return;
    uint to = row * args.y_stride + head * args.head_dim, n_dim = args.head_dim;
    float divisor = with_sink(head, largest, sum); // as attention_merge divides: the same bits, however many pieces a plan has
    if (DECODE && args.n_piece > 1) {
        to = piece_address(row, head, piece);
        y[to] = largest;
        y[to + 1] = sum;
        to += 2;
        n_dim = HEAD_DIM;
        divisor = 1.0;
    }
    [[dont_unroll]] for (uint i = 0; i < QUADS; i++) {
        vec4 v = acc[0];
        for (uint j = 1; j < QUADS; j++) v = i == j ? acc[j] : v;
        for (uint k = 0; k < 4; k++)
            if (4 * i + k < n_dim) y[to + 4 * i + k] = v[k] / divisor;
    }
}
