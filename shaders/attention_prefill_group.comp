// attention_prefill_group.comp - a tile of ROWS queries of one head against a page of keys after the other (flash attention; Dao et
// al. 2022), products tiled in registers; the form for GPUs. 16 invocations side by side share ROWS / (LANES / 16) queries. Of the
// scores an invocation has four keys, of the result every 16th quad of dimensions. Grid: heads, tiles of at most ROWS rows.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "args.h"

layout(constant_id = GAB_SPEC_LANES) const uint LANES = 128;
layout(constant_id = GAB_SPEC_ROWS) const uint ROWS = 32;
layout(constant_id = GAB_SPEC_HEAD_DIM) const uint HEAD_DIM = 64;
layout(constant_id = GAB_SPEC_KV_F16) const bool KV_F16 = true;
layout(local_size_x_id = GAB_SPEC_LANES) in;
layout(push_constant, std430) uniform Push {
    gab_attention_args args;
};
#include "step.glsl"
#include "attention.glsl"
layout(std430, binding = 3) readonly buffer ValueQuads {
    uvec2 value_quads[]; // the same values, four of f16 at a time
};

const uint SIDE = 16;                            // invocations that share queries
const uint QUERIES = ROWS / (LANES / SIDE);      // of an invocation
const uint QUADS = HEAD_DIM / 4;                 // of a key
const uint OUT = (QUADS + SIDE - 1) / SIDE;      // quads of an invocation
const uint CHUNK = HEAD_DIM % 32 == 0 ? (KV_F16 ? 32 : 16) : 16; // dimensions staged at a time
const uint CHUNK_QUADS = CHUNK / 4;
const uint CHUNK_VECTORS = CHUNK / KV_PART;
const uint KEY_LOADS = GAB_PAGE * CHUNK_VECTORS / LANES;
const uint QUERY_LOADS = (ROWS * CHUNK_QUADS + LANES - 1) / LANES;
const uint KEY_STRIDE = GAB_PAGE / 4;
const uint QUERY_STRIDE = CHUNK_QUADS + 1;
const uint P_STRIDE = GAB_PAGE / 4 + 1;
const uint QUERIES_AT = CHUNK * KEY_STRIDE;
const uint STAGE = QUERIES_AT + ROWS * QUERY_STRIDE;
shared vec4 stage[STAGE > ROWS * P_STRIDE ? STAGE : ROWS * P_STRIDE]; // keys [dimension][key], queries [row][dimension]; then P [row][key]
shared vec4 shares[ROWS * SIDE / 4];                                  // of a row: the largest score, then the sum

float dimension(uint from, uint d) {
    return d < args.head_dim ? q[from + d] : 0.0;
}

vec4 value_quad(uint page, uint key, uint quad) { // page: in vectors
    if (!KV_F16) return uintBitsToFloat(values[page + key * KV_VECTORS + quad]);
    uvec2 v = value_quads[2 * page + key * QUADS + quad];
    return vec4(unpackHalf2x16(v.x), unpackHalf2x16(v.y));
}

void main() {
    const uint lane = gl_LocalInvocationID.x, side = lane % SIDE, first_query = lane / SIDE * QUERIES;
    if (gl_WorkGroupID.y >= step_now.n_work) return;
    const gab_step_work work = step_now.works[gl_WorkGroupID.y];
    const uint head = gl_WorkGroupID.x, kv_head = head / (args.n_head / args.n_head_kv);
    const uint last = work.first_position + work.n_row;

    float largest[QUERIES], sum[QUERIES];
    vec4 acc[QUERIES * OUT];
    [[unroll]] for (uint r = 0; r < QUERIES; r++) {
        largest[r] = LOWEST;
        sum[r] = 0.0;
    }
    [[unroll]] for (uint i = 0; i < QUERIES * OUT; i++) acc[i] = vec4(0.0);

    for (uint t = first_key(work.first_position) / GAB_PAGE * GAB_PAGE; t < last; t += GAB_PAGE) {
        const uint page = kv_address(work.slot, t, kv_head, args.n_head_kv) / 4, n_key = min(GAB_PAGE, last - t);
        vec4 s[QUERIES]; // scores of four keys
        [[unroll]] for (uint r = 0; r < QUERIES; r++) s[r] = vec4(0.0);
        [[dont_unroll]] for (uint d = 0; d < HEAD_DIM; d += CHUNK) {
            uvec4 k[KEY_LOADS];
            vec4 x[QUERY_LOADS];
            [[unroll]] for (uint i = 0; i < KEY_LOADS; i++) {
                const uint key = (i * LANES + lane) / CHUNK_VECTORS, part = (i * LANES + lane) % CHUNK_VECTORS;
                k[i] = keys[page + min(key, n_key - 1) * KV_VECTORS + d / KV_PART + part];
            }
            [[unroll]] for (uint i = 0; i < QUERY_LOADS; i++) {
                const uint row = (i * LANES + lane) / CHUNK_QUADS, at = d + (i * LANES + lane) % CHUNK_QUADS * 4;
                const uint from = (work.first_row + min(row, work.n_row - 1)) * args.x_stride + head * args.head_dim;
                x[i] = args.scale *
                       vec4(dimension(from, at), dimension(from, at + 1), dimension(from, at + 2), dimension(from, at + 3));
            }
            barrier();
            [[unroll]] for (uint i = 0; i < KEY_LOADS; i++) {
                const uint key = (i * LANES + lane) / CHUNK_VECTORS, part = (i * LANES + lane) % CHUNK_VECTORS;
                [[unroll]] for (uint j = 0; j < KV_PART; j++)
                    stage[(part * KV_PART + j) * KEY_STRIDE + key / 4][key % 4] = kv_quad(k[i], j / 4)[j % 4];
            }
            [[unroll]] for (uint i = 0; i < QUERY_LOADS; i++) {
                const uint row = (i * LANES + lane) / CHUNK_QUADS, quad = (i * LANES + lane) % CHUNK_QUADS;
                if (row < ROWS) stage[QUERIES_AT + row * QUERY_STRIDE + quad] = x[i];
            }
            barrier();
            [[dont_unroll]] for (uint c = 0; c < CHUNK_QUADS; c++) {
                vec4 b[4];
                [[unroll]] for (uint j = 0; j < 4; j++) b[j] = stage[(4 * c + j) * KEY_STRIDE + side];
                [[unroll]] for (uint r = 0; r < QUERIES; r++) {
                    const vec4 a = stage[QUERIES_AT + (first_query + r) * QUERY_STRIDE + c];
                    [[unroll]] for (uint j = 0; j < 4; j++) s[r] = fma(vec4(a[j]), b[j], s[r]);
                }
            }
        }
        [[unroll]] for (uint r = 0; r < QUERIES; r++) {
            const uint position = min(work.first_position + first_query + r, last - 1), lowest = first_key(position);
            [[unroll]] for (uint j = 0; j < 4; j++)
                s[r][j] = seen(t + 4 * side + j, position, lowest) ? limited(s[r][j]) : LOWEST;
            shares[((first_query + r) * SIDE + side) / 4][side % 4] = max(max(s[r].x, s[r].y), max(s[r].z, s[r].w));
        }
        barrier();
        [[unroll]] for (uint r = 0; r < QUERIES; r++) {
            vec4 top = shares[(first_query + r) * (SIDE / 4)];
            [[unroll]] for (uint i = 1; i < SIDE / 4; i++) top = max(top, shares[(first_query + r) * (SIDE / 4) + i]);
            const float new_largest = max(largest[r], max(max(top.x, top.y), max(top.z, top.w)));
            const float shrink = exp(largest[r] - new_largest);
            largest[r] = new_largest;
            // A page may hold nothing that counts for a query.
            const vec4 p = mix(exp(s[r] - new_largest), vec4(0.0), equal(s[r], vec4(LOWEST)));
            stage[(first_query + r) * P_STRIDE + side] = p;
            sum[r] = fma(sum[r], shrink, (p.x + p.y) + (p.z + p.w));
            [[unroll]] for (uint i = 0; i < OUT; i++) acc[r * OUT + i] *= shrink;
        }
        barrier();
        for (uint k = 0; k < n_key; k += 4) {
            vec4 p[QUERIES];
            [[unroll]] for (uint r = 0; r < QUERIES; r++) p[r] = stage[(first_query + r) * P_STRIDE + k / 4];
            [[unroll]] for (uint i = 0; i < OUT; i++) {
                vec4 v[4];
                [[unroll]] for (uint j = 0; j < 4; j++)
                    v[j] = value_quad(page, min(k + j, n_key - 1), min(i * SIDE + side, QUADS - 1));
                [[unroll]] for (uint r = 0; r < QUERIES; r++)
                    [[unroll]] for (uint j = 0; j < 4; j++) acc[r * OUT + i] = fma(vec4(p[r][j]), v[j], acc[r * OUT + i]);
            }
        }
    }

    barrier();
    [[unroll]] for (uint r = 0; r < QUERIES; r++) shares[((first_query + r) * SIDE + side) / 4][side % 4] = sum[r];
    barrier();
    [[unroll]] for (uint r = 0; r < QUERIES; r++) {
        if (first_query + r >= work.n_row) return;
        vec4 total = shares[(first_query + r) * (SIDE / 4)];
        [[unroll]] for (uint i = 1; i < SIDE / 4; i++) total += shares[(first_query + r) * (SIDE / 4) + i];
        const float scale = 1.0 / with_sink(head, largest[r], (total.x + total.y) + (total.z + total.w));
        const uint to = (work.first_row + first_query + r) * args.y_stride + head * args.head_dim;
        [[unroll]] for (uint i = 0; i < OUT; i++) {
            const uint d = 4 * (i * SIDE + side);
            [[unroll]] for (uint j = 0; j < 4; j++)
                if (d + j < args.head_dim) y[to + d + j] = acc[r * OUT + i][j] * scale;
        }
    }
}
