// attention_decode_group.comp - one row of up to ROWS query heads that share a head of keys and values, over one piece of the
// sequence; the form for GPUs. An invocation has one 16-byte part of the keys' dimensions and every WIDTH-th key, so that a group
// reads its pages from one end to the other; COLS loads are under way at once. Scores of the whole piece first, then one softmax,
// then the values: barriers are few and a piece's sums have a fixed order. Grid: head blocks, pieces, rows.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "args.h"

layout(constant_id = GAB_SPEC_LANES) const uint LANES = 64;
layout(constant_id = GAB_SPEC_ROWS) const uint ROWS = 1; // query heads
layout(constant_id = GAB_SPEC_COLS) const uint COLS = 8; // loads under way
layout(constant_id = GAB_SPEC_HEAD_DIM) const uint HEAD_DIM = 64;
layout(constant_id = GAB_SPEC_KV_F16) const bool KV_F16 = true;
layout(local_size_x_id = GAB_SPEC_LANES) in;
layout(push_constant, std430) uniform Push {
    gab_attention_args args;
};
#include "step.glsl"
#include "attention.glsl"

const uint WIDTH = LANES / KV_VECTORS; // keys side by side
const uint QUADS = KV_PART / 4;        // of a part
const uint PAGES = GAB_PIECE / GAB_PAGE;
const uint SHARES = 16; // of the keys, for reductions; ROWS * SHARES <= LANES
const uint WORK = LANES * (ROWS * COLS > KV_PART ? ROWS * COLS : KV_PART);
shared float score[ROWS * GAB_PIECE]; // then probability
shared float work[WORK];              // partial sums
shared float top[ROWS * SHARES];      // largest score of a share of the keys
shared float total[ROWS * SHARES];    // sum of its probabilities

uint bases[PAGES]; // of the piece's pages, in vectors

uint key_address(uint key, uint part) {
    uint base = bases[0];
    [[unroll]] for (uint i = 1; i < PAGES; i++) base = key / GAB_PAGE == i ? bases[i] : base;
    return base + key % GAB_PAGE * KV_VECTORS + part;
}

float dimension(uint from, uint d) {
    return d < args.head_dim ? q[from + d] : 0.0;
}

float largest_of(uint h) {
    float largest = top[h * SHARES];
    [[unroll]] for (uint i = 1; i < SHARES; i++) largest = max(largest, top[h * SHARES + i]);
    return largest;
}

void main() {
    const uint lane = gl_LocalInvocationID.x, row = gl_WorkGroupID.z;
    if (row >= step_now.n_row) return;
    const uint position = step_now.rows[row].position, first = gl_WorkGroupID.y * GAB_PIECE;
    if (first > position) return;
    if (first + GAB_PIECE <= first_key(position)) return;
    const uint n_key = min(GAB_PIECE, position + 1 - first);
    const uint skip = max(first_key(position), first) - first; // keys of the piece that the row does not see
    const uint begin = skip / (WIDTH * COLS) * (WIDTH * COLS);
    const uint heads = args.n_head / args.n_head_kv, blocks = (heads + ROWS - 1) / ROWS;
    const uint kv_head = gl_WorkGroupID.x / blocks, first_of = gl_WorkGroupID.x % blocks * ROWS;
    const uint n_head = min(ROWS, heads - first_of), first_head = kv_head * heads + first_of;
    [[unroll]] for (uint i = 0; i < PAGES; i++) // pages beyond the sequence are not looked up
        bases[i] = kv_address(step_now.rows[row].slot, first + min(i * GAB_PAGE, n_key - 1) / GAB_PAGE * GAB_PAGE, kv_head,
                              args.n_head_kv) / 4;
    // Invocations beyond the last whole key repeat its work and are left out where sums are formed.
    const uint part = lane % KV_VECTORS, column = min(lane / KV_VECTORS, WIDTH - 1);

    vec4 query[ROWS * QUADS];
    [[unroll]] for (uint h = 0; h < ROWS; h++) {
        const uint from = row * args.x_stride + (first_head + min(h, n_head - 1)) * args.head_dim;
        [[unroll]] for (uint i = 0; i < QUADS; i++) {
            const uint d = part * KV_PART + 4 * i;
            query[h * QUADS + i] = args.scale * vec4(dimension(from, d), dimension(from, d + 1), dimension(from, d + 2),
                                                     dimension(from, d + 3));
        }
    }
    for (uint k = begin; k < n_key; k += WIDTH * COLS) {
        uvec4 v[COLS];
        [[unroll]] for (uint c = 0; c < COLS; c++) v[c] = keys[key_address(min(k + c * WIDTH + column, n_key - 1), part)];
        [[unroll]] for (uint c = 0; c < COLS; c++)
            [[unroll]] for (uint h = 0; h < ROWS; h++) {
                float sum = 0.0;
                [[unroll]] for (uint i = 0; i < QUADS; i++) sum += dot(kv_quad(v[c], i), query[h * QUADS + i]);
                work[(h * COLS + c) * LANES + lane] = sum;
            }
        barrier();
        for (uint i = lane; i < ROWS * COLS * WIDTH; i += LANES) {
            const uint h = i / (COLS * WIDTH), c = i / WIDTH % COLS, w = i % WIDTH, from = (h * COLS + c) * LANES + w * KV_VECTORS;
            float sum = work[from];
            for (uint j = 1; j < KV_VECTORS; j++) sum += work[from + j];
            uint key = k + c * WIDTH + w;
            if (key < n_key) score[h * GAB_PIECE + key] = key >= skip ? limited(sum) : LOWEST;
        }
        barrier();
    }

    const uint of_head = lane / SHARES * GAB_PIECE, share = lane % SHARES;
    if (lane < ROWS * SHARES) {
        float largest = LOWEST;
        for (uint k = begin + share; k < n_key; k += SHARES) largest = max(largest, score[of_head + k]);
        top[lane] = largest;
    }
    barrier();
    for (uint h = 0; h < ROWS; h++) {
        const float largest = largest_of(h);
        for (uint k = begin + lane; k < n_key; k += LANES) score[h * GAB_PIECE + k] = exp(score[h * GAB_PIECE + k] - largest);
    }
    barrier();
    if (lane < ROWS * SHARES) {
        float sum = 0.0;
        for (uint k = begin + share; k < n_key; k += SHARES) sum += score[of_head + k];
        total[lane] = sum;
    }

    vec4 acc[ROWS * QUADS];
    [[unroll]] for (uint i = 0; i < ROWS * QUADS; i++) acc[i] = vec4(0.0);
    for (uint k = begin; k < n_key; k += WIDTH * COLS) {
        uvec4 v[COLS];
        [[unroll]] for (uint c = 0; c < COLS; c++) v[c] = values[key_address(min(k + c * WIDTH + column, n_key - 1), part)];
        [[unroll]] for (uint c = 0; c < COLS; c++) {
            const uint key = k + c * WIDTH + column;
            [[unroll]] for (uint h = 0; h < ROWS; h++) {
                float p = key < n_key ? score[h * GAB_PIECE + key] : 0.0;
                [[unroll]] for (uint i = 0; i < QUADS; i++) acc[h * QUADS + i] = fma(vec4(p), kv_quad(v[c], i), acc[h * QUADS + i]);
            }
        }
    }
    const bool whole = args.n_piece == 1;
    for (uint h = 0; h < n_head; h++) {
        [[unroll]] for (uint r = 0; r < ROWS; r++) // not acc[h]: an array with an index known at run time lies in memory
            if (r == h)
                [[unroll]] for (uint i = 0; i < QUADS; i++)
                    [[unroll]] for (uint j = 0; j < 4; j++) work[lane * KV_PART + 4 * i + j] = acc[r * QUADS + i][j];
        barrier();
        float sum = total[h * SHARES];
        [[unroll]] for (uint i = 1; i < SHARES; i++) sum += total[h * SHARES + i];
        const uint to = whole ? row * args.y_stride + (first_head + h) * args.head_dim
                              : piece_address(row, first_head + h, gl_WorkGroupID.y) + 2;
        if (!whole && lane == 0) {
            y[to - 2] = largest_of(h);
            y[to - 1] = sum;
        }
        if (whole) sum = with_sink(first_head + h, largest_of(h), sum);
        for (uint d = lane; d < HEAD_DIM; d += LANES) {
            float value = 0.0;
            for (uint w = 0; w < WIDTH; w++) value += work[w * HEAD_DIM + d];
            if (!whole || d < args.head_dim) y[to + d] = whole ? value / sum : value;
        }
        barrier();
    }
}
