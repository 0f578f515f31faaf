// attention_prefill_across.comp - flash attention with one query row a lane, ROWS vectors of rows a group, KEYS keys at a time: keys
// and values are loaded as vectors of dimensions, each dimension then given to all lanes; no shared memory, no barrier. The form
// for CPU drivers (attention_across.glsl says why). Grid: heads, tiles of at most LANES * ROWS rows.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_shader_explicit_arithmetic_types_int16 : require
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
#extension GL_EXT_shader_16bit_storage : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "args.h"

layout(constant_id = GAB_SPEC_LANES) const uint LANES = 8; // of a subgroup: 4 or 8
layout(constant_id = GAB_SPEC_ROWS) const uint ROWS = 2;   // vectors of LANES rows
layout(constant_id = GAB_SPEC_COLS) const uint KEYS = 4;   // divides GAB_PAGE
layout(constant_id = GAB_SPEC_HEAD_DIM) const uint HEAD_DIM = 64;
layout(constant_id = GAB_SPEC_KV_F16) const bool KV_F16 = true;
layout(local_size_x_id = GAB_SPEC_LANES) in;
layout(push_constant, std430) uniform Push {
    gab_attention_args args;
};
#include "step.glsl"
#include "attention.glsl"
#include "attention_across.glsl"

void main() {
    if (gl_WorkGroupID.y >= step_now.n_work) return;
    const gab_step_work work = step_now.works[gl_WorkGroupID.y];
    const uint head = gl_WorkGroupID.x, kv_head = head / (args.n_head / args.n_head_kv);
    const uint last = work.first_position + work.n_row;
    const uint64_t keys_at = packUint2x32(uvec2(args.keys_low, args.keys_high));
    const uint64_t values_at = packUint2x32(uvec2(args.values_low, args.values_high));

    float query[HEAD_DIM * ROWS], acc[HEAD_DIM * ROWS], largest[ROWS], sum[ROWS];
    uint position[ROWS], lowest[ROWS];
    [[unroll]] for (uint r = 0; r < ROWS; r++) {
        const uint in_work = min(r * LANES + lane, work.n_row - 1);
        const uint from = (work.first_row + in_work) * args.x_stride + head * args.head_dim;
        position[r] = work.first_position + in_work;
        lowest[r] = first_key(position[r]);
        [[unroll]] for (uint d = 0; d < HEAD_DIM; d++) {
            query[d * ROWS + r] = d < args.head_dim ? q[from + d] * args.scale : 0.0;
            acc[d * ROWS + r] = 0.0;
        }
        largest[r] = LOWEST;
        sum[r] = 0.0;
    }
    for (uint t = first_key(work.first_position) / KEYS * KEYS; t < last; t += KEYS) {
        // A batch never crosses a page; beyond the last key it reads on in the page, which holds finite numbers everywhere. Lavapipe
        // may go through the loop with no lane active, and loads: at a good address.
        const uint words = kv_address(work.slot, min(t, last - 1) / KEYS * KEYS, kv_head, args.n_head_kv);
        const uint64_t keys_now = keys_at + 4 * uint64_t(words), values_now = values_at + 4 * uint64_t(words);
        float p[KEYS * ROWS];
        [[unroll]] for (uint b = 0; b < KEYS; b++) {
            [[unroll]] for (uint r = 0; r < ROWS; r++) p[b * ROWS + r] = 0.0;
            [[unroll]] for (uint i = 0; i < HEAD_DIM / LANES; i++) {
                const float k = value_at(keys_now, b, i);
                [[unroll]] for (uint j = 0; j < LANES; j++) {
                    const float all = subgroupShuffle(k, j);
                    [[unroll]] for (uint r = 0; r < ROWS; r++)
                        p[b * ROWS + r] = fma(all, query[(i * LANES + j) * ROWS + r], p[b * ROWS + r]);
                }
            }
        }
        float shrink[ROWS];
        [[unroll]] for (uint r = 0; r < ROWS; r++) {
            float top = largest[r];
            [[unroll]] for (uint b = 0; b < KEYS; b++) {
                p[b * ROWS + r] = seen(t + b, position[r], lowest[r]) ? limited(p[b * ROWS + r]) : LOWEST;
                top = max(top, p[b * ROWS + r]);
            }
            shrink[r] = exp(largest[r] - top);
            largest[r] = top;
            sum[r] *= shrink[r];
            [[unroll]] for (uint b = 0; b < KEYS; b++) {
                p[b * ROWS + r] = seen(t + b, position[r], lowest[r]) ? exp(p[b * ROWS + r] - top) : 0.0;
                sum[r] += p[b * ROWS + r];
            }
        }
        [[unroll]] for (uint i = 0; i < HEAD_DIM / LANES; i++) {
            float v[KEYS];
            [[unroll]] for (uint b = 0; b < KEYS; b++) v[b] = value_at(values_now, b, i);
            [[unroll]] for (uint j = 0; j < LANES; j++) {
                const uint at = (i * LANES + j) * ROWS;
                [[unroll]] for (uint r = 0; r < ROWS; r++) acc[at + r] *= shrink[r];
                [[unroll]] for (uint b = 0; b < KEYS; b++) {
                    const float all = subgroupShuffle(v[b], j);
                    [[unroll]] for (uint r = 0; r < ROWS; r++) acc[at + r] = fma(p[b * ROWS + r], all, acc[at + r]);
                }
            }
        }
    }
    [[unroll]] for (uint r = 0; r < ROWS; r++) {
        if (r * LANES + lane >= work.n_row) continue;
        const uint to = (work.first_row + r * LANES + lane) * args.y_stride + head * args.head_dim;
        const float scale = 1.0 / with_sink(head, largest[r], sum[r]);
        [[unroll]] for (uint d = 0; d < HEAD_DIM; d++)
            if (d < args.head_dim) y[to + d] = acc[d * ROWS + r] * scale;
    }
}
