// attention_prefill_matrix.comp - flash attention as attention_prefill_group.comp, with products by cooperative matrices: f16
// factors, f32 sums, a cache of f16. All subgroups share ROWS queries: each forms the scores of its own keys and the result's own
// dimensions, so that a tile of keys or values is loaded once a group. A query row is scaled by a power of two to below 2^14 and
// kept as the sum of two f16 (real models exceed f16's range, and large scores need more than its 11 bits); probabilities are one
// f16 each. Values past the end of a sequence are read and multiplied by 0: pages hold finite numbers everywhere (kv.glsl).
// Grid: heads, tiles of at most ROWS rows.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_cooperative_matrix : require
#include "args.h"

layout(constant_id = GAB_SPEC_LANES) const uint LANES = 32;
layout(constant_id = GAB_SPEC_ROWS) const uint ROWS = 32;
layout(constant_id = GAB_SPEC_COLS) const uint SUBGROUPS = 4;
layout(constant_id = GAB_SPEC_HEAD_DIM) const uint HEAD_DIM = 64;
layout(constant_id = GAB_SPEC_M) const uint M = 8;
layout(constant_id = GAB_SPEC_N) const uint N = 8;
layout(constant_id = GAB_SPEC_K) const uint K = 8;
layout(local_size_x_id = GAB_SPEC_LANES) in;
const bool KV_F16 = true;
layout(push_constant, std430) uniform Push {
    gab_attention_args args;
};
#include "step.glsl"
#include "attention.glsl"
#include "scale.glsl"

const uint TILES = ROWS / M;                                     // of queries
const uint OUT = (HEAD_DIM / N + SUBGROUPS - 1) / SUBGROUPS;     // tiles of dimensions a subgroup
const uint PARTS = LANES / ROWS;                                 // invocations that share a row of scores
const uint PART_QUADS = GAB_PAGE / PARTS / 4;                    // of an invocation
const uint QUERY_STRIDE = HEAD_DIM / 4 + 2;                      // in four f16
const uint P_STRIDE = GAB_PAGE / 4 + 2;                          // in four f16
const uint WIDTH = SUBGROUPS * N;                                // dimensions that leave at once
const uint S_STRIDE = (WIDTH > GAB_PAGE + N ? WIDTH : GAB_PAGE + N) / 4; // in four f32
const uint LOW = ROWS * QUERY_STRIDE;                            // the second summand of the queries
shared uvec2 queries[2 * ROWS * QUERY_STRIDE];
shared uvec2 p[ROWS * P_STRIDE];
shared vec4 s[ROWS * S_STRIDE]; // scores [row][key], then N times the factor by which the row's sums shrink
shared float shares[LANES];

float dimension(uint from, uint d) {
    return d < args.head_dim ? q[from + d] : 0.0;
}

vec4 query_quad(uint from, uint quad) {
    const uint d = 4 * quad;
    return vec4(dimension(from, d), dimension(from, d + 1), dimension(from, d + 2), dimension(from, d + 3));
}

uvec2 pack(vec4 v) {
    return uvec2(packHalf2x16(v.xy), packHalf2x16(v.zw));
}

vec4 unpack(uvec2 v) {
    return vec4(unpackHalf2x16(v.x), unpackHalf2x16(v.y));
}

float greatest(vec4 v) {
    return max(max(v.x, v.y), max(v.z, v.w));
}

// Stages the row's queries; returns what the products must be multiplied by.
float stage_queries(uint from, uint row, uint part, uint lane) {
    float most = 0.0;
    for (uint i = part; i < HEAD_DIM / 4; i += PARTS) most = max(most, greatest(abs(query_quad(from, i))));
    shares[lane] = most;
    barrier();
    for (uint i = 0; i < PARTS; i++) most = max(most, shares[row * PARTS + i]);
    const int e = scale_exponent(most, 14);
    for (uint i = part; i < HEAD_DIM / 4; i += PARTS) {
        const vec4 x = query_quad(from, i) * power_of_two(e);
        const uvec2 high = pack(x);
        queries[row * QUERY_STRIDE + i] = high;
        queries[LOW + row * QUERY_STRIDE + i] = pack(x - unpack(high));
    }
    return power_of_two(-e) * args.scale;
}

// Scores of the page's keys, each subgroup's own.
void form_scores(uint page) {
    [[dont_unroll]] for (uint n = gl_SubgroupID; n < GAB_PAGE / N; n += SUBGROUPS) {
        coopmat<float, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator> sums[TILES];
        [[unroll]] for (uint r = 0; r < TILES; r++)
            sums[r] = coopmat<float, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator>(0.0);
        [[dont_unroll]] for (uint d = 0; d < HEAD_DIM; d += K) {
            coopmat<float16_t, gl_ScopeSubgroup, K, N, gl_MatrixUseB> b;
            coopMatLoad(b, keys, page + n * N * KV_VECTORS + d / 8, KV_VECTORS, gl_CooperativeMatrixLayoutColumnMajor);
            [[unroll]] for (uint r = 0; r < TILES; r++) {
                coopmat<float16_t, gl_ScopeSubgroup, M, K, gl_MatrixUseA> a;
                coopMatLoad(a, queries, r * M * QUERY_STRIDE + d / 4, QUERY_STRIDE, gl_CooperativeMatrixLayoutRowMajor);
                sums[r] = coopMatMulAdd(a, b, sums[r]);
                coopMatLoad(a, queries, LOW + r * M * QUERY_STRIDE + d / 4, QUERY_STRIDE, gl_CooperativeMatrixLayoutRowMajor);
                sums[r] = coopMatMulAdd(a, b, sums[r]);
            }
        }
        [[unroll]] for (uint r = 0; r < TILES; r++)
            coopMatStore(sums[r], s, r * M * S_STRIDE + n * (N / 4), S_STRIDE, gl_CooperativeMatrixLayoutRowMajor);
    }
}

// What a probability of 1 is kept as: small ones, of which many keys have one, are then no subnormal numbers of f16, which some
// devices take for 0, and others keep few bits of.
const float P_ONE = 16384.0;

void main() {
    if (gl_WorkGroupID.y >= step_now.n_work) return;
    const gab_step_work work = step_now.works[gl_WorkGroupID.y];
    const uint lane = gl_LocalInvocationID.x, row = lane / PARTS, part = lane % PARTS;
    const uint head = gl_WorkGroupID.x, kv_head = head / (args.n_head / args.n_head_kv);
    const uint last = work.first_position + work.n_row, end = min(work.first_position + row + 1, last); // keys of the row
    const uint from = (work.first_row + min(row, work.n_row - 1)) * args.x_stride + head * args.head_dim;
    const float scale = stage_queries(from, row, part, lane);

    float largest = LOWEST, sum = 0.0;
    coopmat<float, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator> acc[TILES * OUT];
    [[unroll]] for (uint i = 0; i < TILES * OUT; i++)
        acc[i] = coopmat<float, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator>(0.0);
    barrier();
    for (uint t = first_key(work.first_position) / GAB_PAGE * GAB_PAGE; t < last; t += GAB_PAGE) {
        const uint page = kv_address(work.slot, t, kv_head, args.n_head_kv) / 4, n_key = min(GAB_PAGE, last - t);
        form_scores(page);
        barrier();
        vec4 x[PART_QUADS];
        float top = largest;
        [[unroll]] for (uint i = 0; i < PART_QUADS; i++) {
            const uint quad = part * PART_QUADS + i;
            const uvec4 key = t + 4 * quad + uvec4(0, 1, 2, 3);
            x[i] = s[row * S_STRIDE + quad] * scale;
            if (SOFTCAP)
                [[unroll]] for (uint j = 0; j < 4; j++) x[i][j] = limited(x[i][j]);
            x[i] = mix(vec4(LOWEST), x[i], lessThan(key, uvec4(end)));
            if (WINDOW) x[i] = mix(x[i], vec4(LOWEST), lessThan(key, uvec4(first_key(end - 1))));
            top = max(top, greatest(x[i]));
        }
        if (PARTS > 1) {
            shares[lane] = top;
            barrier();
            for (uint i = 0; i < PARTS; i++) top = max(top, shares[row * PARTS + i]);
        }
        const float shrink = exp(largest - top);
        largest = top;
        sum *= shrink;
        [[unroll]] for (uint i = 0; i < PART_QUADS; i++) {
            const uvec2 packed = pack(mix(exp(x[i] - top) * P_ONE, vec4(0.0), equal(x[i], vec4(LOWEST))));
            const vec4 rounded = unpack(packed);
            p[row * P_STRIDE + part * PART_QUADS + i] = packed;
            sum += (rounded.x + rounded.y) + (rounded.z + rounded.w);
        }
        for (uint i = part; i < N / 4; i += PARTS) s[row * S_STRIDE + GAB_PAGE / 4 + i] = vec4(shrink);
        barrier();
        [[unroll]] for (uint r = 0; r < TILES; r++) {
            coopmat<float, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator> factor;
            coopMatLoad(factor, s, r * M * S_STRIDE + GAB_PAGE / 4, S_STRIDE, gl_CooperativeMatrixLayoutRowMajor);
            [[unroll]] for (uint i = 0; i < OUT; i++) acc[r * OUT + i] = acc[r * OUT + i] * factor;
        }
        [[dont_unroll]] for (uint k = 0; k < n_key; k += K) {
            [[unroll]] for (uint i = 0; i < OUT; i++) {
                const uint n = min(i * SUBGROUPS + gl_SubgroupID, HEAD_DIM / N - 1); // those beyond repeat the last
                coopmat<float16_t, gl_ScopeSubgroup, K, N, gl_MatrixUseB> b;
                coopMatLoad(b, values, page + k * KV_VECTORS + n * (N / 8), KV_VECTORS, gl_CooperativeMatrixLayoutRowMajor);
                [[unroll]] for (uint r = 0; r < TILES; r++) {
                    coopmat<float16_t, gl_ScopeSubgroup, M, K, gl_MatrixUseA> a;
                    coopMatLoad(a, p, r * M * P_STRIDE + k / 4, P_STRIDE, gl_CooperativeMatrixLayoutRowMajor);
                    acc[r * OUT + i] = coopMatMulAdd(a, b, acc[r * OUT + i]);
                }
            }
        }
    }

    shares[lane] = part == 0 ? with_sink(head, largest, sum / P_ONE) * P_ONE : sum;
    [[unroll]] for (uint i = 0; i < OUT; i++) {
        barrier();
        [[unroll]] for (uint r = 0; r < TILES; r++)
            coopMatStore(acc[r * OUT + i], s, r * M * S_STRIDE + gl_SubgroupID * (N / 4), S_STRIDE,
                         gl_CooperativeMatrixLayoutRowMajor);
        barrier();
        for (uint j = lane; j < ROWS * WIDTH; j += LANES) {
            const uint r = j / WIDTH, c = j % WIDTH, d = i * WIDTH + c;
            if (r >= work.n_row || d >= args.head_dim) continue;
            float total = 0.0;
            for (uint k = 0; k < PARTS; k++) total += shares[r * PARTS + k];
            y[(work.first_row + r) * args.y_stride + head * args.head_dim + d] = s[r * S_STRIDE + c / 4][c % 4] / total;
        }
    }
}
