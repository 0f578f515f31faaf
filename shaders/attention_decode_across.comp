// attention_decode_across.comp - one row of up to ROWS query heads that share a head of keys and values, over one piece of the
// sequence: the lanes of one subgroup lie along a key's or value's dimensions; no shared memory, no barrier. The form for CPU
// drivers (attention_across.glsl says why). Grid: head blocks, pieces, rows.
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
layout(constant_id = GAB_SPEC_ROWS) const uint ROWS = 1;   // query heads
layout(constant_id = GAB_SPEC_HEAD_DIM) const uint HEAD_DIM = 64;
layout(constant_id = GAB_SPEC_KV_F16) const bool KV_F16 = true;
layout(local_size_x_id = GAB_SPEC_LANES) in;
layout(push_constant, std430) uniform Push {
    gab_attention_args args;
};
#include "step.glsl"
#include "attention.glsl"
#include "attention_across.glsl"

const uint DIMS = HEAD_DIM / LANES;              // dimensions of a lane: lane, lane + LANES, ...
const uint SETS = HEAD_DIM * ROWS <= 64 ? 2 : 1; // of LANES keys, one a lane
const uint BATCH = SETS * LANES;                 // keys between two looks at the largest score; divides GAB_PAGE
float part[ROWS * BATCH]; // of the scores of a head and key, in each lane

// Lane k gets the sum over lanes of part[from + k]: halves are exchanged with a partner until each lane has one key.
float transposed_sum(uint from) {
    [[unroll]] for (uint n = LANES / 2; n > 0; n /= 2)
        [[unroll]] for (uint k = from; k < from + n; k++) {
            const bool upper = (lane & n) != 0;
            const float keep = upper ? part[k + n] : part[k], give = upper ? part[k] : part[k + n];
            part[k] = keep + subgroupShuffleXor(give, n);
        }
    return part[from];
}

float largest_of(float value) {
    [[unroll]] for (uint n = LANES / 2; n > 0; n /= 2) value = max(value, subgroupShuffleXor(value, n));
    return value;
}

float sum_of(float value) {
    [[unroll]] for (uint n = LANES / 2; n > 0; n /= 2) value += subgroupShuffleXor(value, n);
    return value;
}

float acc[ROWS * DIMS], p[ROWS * SETS], shrink[ROWS];

void add_values(uint64_t address) {
    [[unroll]] for (uint i = 0; i < ROWS * DIMS; i++) acc[i] *= shrink[i / DIMS];
    float weight[ROWS * BATCH];
    [[unroll]] for (uint h = 0; h < ROWS; h++)
        [[unroll]] for (uint b = 0; b < BATCH; b++) weight[h * BATCH + b] = subgroupShuffle(p[h * SETS + b / LANES], b % LANES);
    [[unroll]] for (uint i = 0; i < DIMS; i++)
        [[unroll]] for (uint b = 0; b < BATCH; b++) {
            const float v = value_at(address, b, i);
            [[unroll]] for (uint h = 0; h < ROWS; h++) acc[h * DIMS + i] = fma(weight[h * BATCH + b], v, acc[h * DIMS + i]);
        }
}

// Brings a batch into the processor's caches while another is worked on: one word of each 64-byte line; their sum is of no use. Where
// several heads share a key there is too much to do between two batches for a processor to look ahead by itself.
uint touch(uint64_t address) {
    Words x = Words(address);
    uint sum = 0;
    if (ROWS > 1)
        [[unroll]] for (uint i = 0; i < BATCH * KV_WORDS; i += 16) sum ^= x.word[i];
    return sum;
}

void main() {
    const uint row = gl_WorkGroupID.z;
    if (row >= step_now.n_row) return;
    const uint position = step_now.rows[row].position, first = gl_WorkGroupID.y * GAB_PIECE;
    if (first > position) return;
    const uint lowest = first_key(position), begin = max(first, lowest / BATCH * BATCH);
    if (first + GAB_PIECE <= lowest) return;
    const uint slot = step_now.rows[row].slot, last = min(first + GAB_PIECE, position + 1);
    const uint heads = args.n_head / args.n_head_kv, blocks = (heads + ROWS - 1) / ROWS;
    const uint kv_head = gl_WorkGroupID.x / blocks, first_of = gl_WorkGroupID.x % blocks * ROWS;
    const uint n_head = min(ROWS, heads - first_of), first_head = kv_head * heads + first_of;
    const uint64_t keys_at = packUint2x32(uvec2(args.keys_low, args.keys_high));
    const uint64_t values_at = packUint2x32(uvec2(args.values_low, args.values_high));

    float query[ROWS * DIMS], largest[ROWS], sum[ROWS];
    [[unroll]] for (uint h = 0; h < ROWS; h++) {
        const uint from = row * args.x_stride + (first_head + min(h, n_head - 1)) * args.head_dim;
        [[unroll]] for (uint i = 0; i < DIMS; i++) {
            const uint d = i * LANES + lane;
            query[h * DIMS + i] = d < args.head_dim ? q[from + d] * args.scale : 0.0;
            acc[h * DIMS + i] = 0.0;
        }
        [[unroll]] for (uint j = 0; j < SETS; j++) p[h * SETS + j] = 0.0;
        largest[h] = LOWEST;
        sum[h] = 0.0;
        shrink[h] = 1.0;
    }
    uint words = kv_address(slot, begin, kv_head, args.n_head_kv);
    uint next = words, touched = 0;
    for (uint t = begin;; t += BATCH) {
        const uint now = next;
        // A batch never crosses a page; beyond the last key it reads on in the page, which holds finite numbers everywhere. Lavapipe
        // may go through the loop with no lane active, and loads: at a good address.
        next = kv_address(slot, min(t + BATCH, position) / BATCH * BATCH, kv_head, args.n_head_kv);
        touched ^= touch(keys_at + 4 * uint64_t(next)) ^ touch(values_at + 4 * uint64_t(now));
        // The values of the batch before, while its keys' scores are still on their way through exp; those of the last one, too: a
        // second place that adds values is a third of the time that compiling takes.
        add_values(values_at + 4 * uint64_t(words));
        if (t >= last) break;
        words = now;
        const uint64_t keys_now = keys_at + 4 * uint64_t(words);
        [[unroll]] for (uint b = 0; b < BATCH; b++) {
            [[unroll]] for (uint h = 0; h < ROWS; h++) part[h * BATCH + b] = 0.0;
            [[unroll]] for (uint i = 0; i < DIMS; i++) {
                const float k = value_at(keys_now, b, i);
                [[unroll]] for (uint h = 0; h < ROWS; h++)
                    part[h * BATCH + b] = fma(k, query[h * DIMS + i], part[h * BATCH + b]);
            }
        }
        [[unroll]] for (uint h = 0; h < ROWS; h++) {
            float most = LOWEST;
            [[unroll]] for (uint j = 0; j < SETS; j++) {
                const float score = limited(transposed_sum((h * SETS + j) * LANES));
                p[h * SETS + j] = seen(t + j * LANES + lane, position, lowest) ? score : LOWEST;
                most = max(most, p[h * SETS + j]);
            }
            const float top = max(largest[h], largest_of(most));
            shrink[h] = exp(largest[h] - top);
            largest[h] = top;
            sum[h] *= shrink[h];
            [[unroll]] for (uint j = 0; j < SETS; j++) {
                p[h * SETS + j] = seen(t + j * LANES + lane, position, lowest) ? exp(p[h * SETS + j] - top) : 0.0;
                sum[h] += p[h * SETS + j];
            }
        }
    }
    if (args.n_head == 0) y[0] = uintBitsToFloat(touched); // never: but compilers keep the loads
    const bool whole = args.n_piece == 1;
    [[unroll]] for (uint h = 0; h < ROWS; h++) {
        if (h >= n_head) return;
        const uint to = whole ? row * args.y_stride + (first_head + h) * args.head_dim
                              : piece_address(row, first_head + h, gl_WorkGroupID.y) + 2;
        float total = sum_of(sum[h]);
        if (!whole && lane == 0) {
            y[to - 2] = largest[h];
            y[to - 1] = total;
        }
        if (whole) total = with_sink(first_head + h, largest[h], total);
        [[unroll]] for (uint i = 0; i < DIMS; i++) {
            const uint d = i * LANES + lane;
            if (!whole || d < args.head_dim) y[to + d] = whole ? acc[h * DIMS + i] / total : acc[h * DIMS + i];
        }
    }
}
