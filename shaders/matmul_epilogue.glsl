// matmul_epilogue.glsl - what happens to a finished sum: bias, activation, residual, store. Bindings 4 and 5; in kernels that store
// pairs of rows (MATMUL_PAIRS) also 6 to 8: the keys and values of the cache, where KV_STORE has them go, and the table of ROPE.
// The last binding is the route, where there are experts.
#ifndef GAB_MATMUL_EPILOGUE_GLSL
#define GAB_MATMUL_EPILOGUE_GLSL

#include "activation.glsl"
#include "columns.glsl"

layout(std430, binding = 4) buffer Y {
    float y[];
};
layout(std430, binding = 5) readonly buffer Bias {
    float bias[];
};

// row: of the shard; col: activation row.
float matmul_finish(uint row, uint col, float sum) {
    uint out_row = args.y_first + row;
    if (args.has_bias != 0) sum += bias[expert * args.n_out + out_row];
    sum = activated(args.activation, sum, args.limit);
    if (args.residual != 0) sum += y[y_row(col) * args.y_stride + out_row];
    return sum;
}

void matmul_store(uint row, uint col, float sum) {
    y[y_row(col) * args.y_stride + args.y_first + row] = matmul_finish(row, col, sum);
}

#ifdef MATMUL_PAIRS
layout(constant_id = GAB_SPEC_HEAD_DIM) const uint HEAD_DIM = 64;
layout(constant_id = GAB_SPEC_KV_F16) const bool KV_F16 = true;
layout(constant_id = GAB_SPEC_KV_STORE) const bool KV_STORE = false;
layout(constant_id = GAB_SPEC_ROPE) const bool ROPE = false;
layout(constant_id = GAB_SPEC_GATED) const bool GATED = false;
#include "kv.glsl"
layout(std430, binding = 6) writeonly buffer Keys {
    uint keys[];
};
layout(std430, binding = 7) writeonly buffer Values {
    uint values[];
};
layout(std430, binding = 8) readonly buffer Rope {
    vec2 rope[];
};
#include "rope.glsl"

// What gates and what they gate become: one output of two rows.
void matmul_store_gated(uint row, uint col, float gate, float up) {
    uint out_row = args.y_first + row;
    if (args.has_bias != 0) {
        gate += bias[expert * args.n_out + out_row];
        up += bias[expert * args.n_out + out_row + 1];
    }
    y[y_row(col) * args.y_stride + out_row / 2] = gated(args.activation, gate, up);
}

// Rows `row` and `row` + 1, of which the second may be one past the last. KV_STORE: both are of one head; GATED: a gate first.
void matmul_store_pair(uint row, uint col, float sum, float next) {
    uint out_row = args.y_first + row;
    if (row >= args.n_row) return;
    if (GATED) {
        matmul_store_gated(row, col, sum, next);
        return;
    }
    bool is_query = !KV_STORE || out_row < args.k_offset;
    if (is_query && !ROPE) {
        matmul_store(row, col, sum);
        if (row + 1 < args.n_row) matmul_store(row + 1, col, next);
        return;
    }
    vec2 pair = vec2(matmul_finish(row, col, sum), matmul_finish(row + 1, col, next));
    bool is_value = out_row >= args.v_offset;
    uint at = out_row - (is_value ? args.v_offset : is_query ? 0 : args.k_offset), d = at % args.head_dim;
    uint position = step_now.rows[col].position;
    if (ROPE && !is_value && d / 2 < args.n_turn) pair = rope_turned(pair, position, d / 2, args.n_turn);
    if (is_query) {
        y[col * args.y_stride + out_row] = pair.x;
        y[col * args.y_stride + out_row + 1] = pair.y;
        return;
    }
    uint to = kv_address(step_now.rows[col].slot, position, at / args.head_dim, args.n_head_kv);
    to += KV_F16 ? d / 2 : d;
    uint low = KV_F16 ? kv_half_pair(pair) : kv_float(pair.x);
    if (is_value)
        values[to] = low;
    else
        keys[to] = low;
    if (KV_F16) return;
    if (is_value)
        values[to + 1] = kv_float(pair.y);
    else
        keys[to + 1] = kv_float(pair.y);
}
#endif

#endif
