// attention_group.comp - attention with a tile of ROWS queries of one head a group of 64 invocations, page by page: first a lane is
// a key, then a lane is a dimension. The form for GPUs. DECODE: ROWS is 1; grid heads, pieces, rows. Prefill: grid heads, tiles.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "args.h"

layout(constant_id = GAB_SPEC_ROWS) const uint ROWS = 1;
layout(constant_id = GAB_SPEC_HEAD_DIM) const uint HEAD_DIM = 64;
layout(constant_id = GAB_SPEC_KV_F16) const bool KV_F16 = true;
layout(constant_id = GAB_SPEC_DECODE) const bool DECODE = true;
layout(local_size_x = 64) in; // GAB_PAGE
layout(push_constant, std430) uniform Push {
    gab_attention_args args;
};
#include "step.glsl"
#include "attention.glsl"

const uint LANES = GAB_PAGE;
const uint DIMS = (HEAD_DIM + LANES - 1) / LANES; // dimensions a lane owns: lane, lane + 64, ...
shared vec4 query[ROWS * HEAD_DIM / 4];
shared vec4 probability[ROWS * GAB_PAGE / 4];

float value_at(uint address, uint d) {
    uint w = KV_F16 ? address + d / 2 : address + d;
    uint bits = values[w / 4][w % 4];
    if (!KV_F16) return uintBitsToFloat(bits);
    vec2 pair = unpackHalf2x16(bits);
    return d % 2 == 0 ? pair.x : pair.y;
}

void main() {
    uint lane = gl_LocalInvocationID.x;
    uint head = gl_WorkGroupID.x, piece = 0, slot, first_row, n_row, first_position, first, last;
    if (DECODE) {
        piece = gl_WorkGroupID.y;
        first_row = gl_WorkGroupID.z;
        if (first_row >= step_now.n_row) return;
        slot = step_now.rows[first_row].slot;
        first_position = step_now.rows[first_row].position;
        n_row = 1;
        first = piece * GAB_PIECE;
        if (first > first_position) return;
        last = min(first + GAB_PIECE, first_position + 1);
    } else {
        if (gl_WorkGroupID.y >= step_now.n_work) return;
        gab_step_work work = step_now.works[gl_WorkGroupID.y];
        slot = work.slot;
        first_row = work.first_row;
        n_row = work.n_row;
        first_position = work.first_position;
        first = 0;
        last = first_position + n_row;
    }
    uint kv_head = head / (args.n_head / args.n_head_kv);

    for (uint i = lane; i < ROWS * HEAD_DIM; i += LANES) {
        uint r = min(i / HEAD_DIM, n_row - 1), d = i % HEAD_DIM;
        query[i / 4][i % 4] =
            d < args.head_dim ? q[(first_row + r) * args.x_stride + head * args.head_dim + d] * args.scale : 0.0;
    }
    float largest[ROWS], sum[ROWS], acc[ROWS][DIMS];
    for (uint r = 0; r < ROWS; r++) {
        largest[r] = LOWEST;
        sum[r] = 0.0;
        for (uint i = 0; i < DIMS; i++) acc[r][i] = 0.0;
    }
    barrier();
    for (uint t = first; t < last; t += GAB_PAGE) {
        uint page = kv_address(slot, t, kv_head, args.n_head_kv);
        float scores[ROWS];
        for (uint r = 0; r < ROWS; r++) scores[r] = 0.0;
        if (t + lane < last)
            for (uint i = 0; i < KV_VECTORS; i++) {
                uvec4 v = keys[(page + lane * KV_WORDS) / 4 + i];
                for (uint h = 0; h < KV_PART / 4; h++) {
                    vec4 a = kv_quad(v, h);
                    for (uint r = 0; r < ROWS; r++)
                        scores[r] += dot(a, query[r * (HEAD_DIM / 4) + i * (KV_PART / 4) + h]);
                }
            }
        for (uint r = 0; r < ROWS; r++) {
            if (t + lane > first_position + r) scores[r] = LOWEST;
            probability[(r * GAB_PAGE + lane) / 4][lane % 4] = scores[r];
        }
        barrier();
        float shrink[ROWS];
        for (uint r = 0; r < ROWS; r++) {
            vec4 top = probability[r * GAB_PAGE / 4];
            for (uint i = 1; i < GAB_PAGE / 4; i++) top = max(top, probability[r * GAB_PAGE / 4 + i]);
            float new_largest = max(max(max(top.x, top.y), max(top.z, top.w)), largest[r]);
            shrink[r] = exp(largest[r] - new_largest);
            largest[r] = new_largest;
        }
        barrier();
        for (uint r = 0; r < ROWS; r++)
            probability[(r * GAB_PAGE + lane) / 4][lane % 4] = scores[r] == LOWEST ? 0.0 : exp(scores[r] - largest[r]);
        barrier();
        for (uint r = 0; r < ROWS; r++) {
            sum[r] *= shrink[r];
            for (uint i = 0; i < DIMS; i++) acc[r][i] *= shrink[r];
        }
        uint n_key = min(GAB_PAGE, last - t);
        for (uint k = 0; k < n_key; k++) {
            float v[DIMS];
            for (uint i = 0; i < DIMS; i++)
                v[i] = i * LANES + lane < HEAD_DIM ? value_at(page + k * KV_WORDS, i * LANES + lane) : 0.0;
            for (uint r = 0; r < ROWS; r++) {
                float p = probability[(r * GAB_PAGE + k) / 4][k % 4];
                sum[r] += p;
                for (uint i = 0; i < DIMS; i++) acc[r][i] = fma(p, v[i], acc[r][i]);
            }
        }
        barrier();
    }
    for (uint r = 0; r < ROWS; r++) {
        if (r >= n_row) return;
        uint to = DECODE ? piece_address(first_row, head, piece) : (first_row + r) * args.y_stride + head * args.head_dim;
        if (DECODE && lane == 0) {
            y[to] = largest[r];
            y[to + 1] = sum[r];
        }
        for (uint i = 0; i < DIMS; i++) {
            uint d = i * LANES + lane;
            if (DECODE && d < HEAD_DIM) y[to + 2 + d] = acc[r][i];
            if (!DECODE && d < args.head_dim) y[to + d] = acc[r][i] / sum[r];
        }
    }
}
