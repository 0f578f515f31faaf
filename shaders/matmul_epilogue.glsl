// matmul_epilogue.glsl - what happens to a finished sum: bias, activation, residual, store. Bindings 4 and 5; in kernels that store
// pairs of rows (MATMUL_PAIRS) also 6 and 7, the keys and values of the cache, where KV_STORE has them go.
#ifndef GAB_MATMUL_EPILOGUE_GLSL
#define GAB_MATMUL_EPILOGUE_GLSL

layout(std430, binding = 4) buffer Y {
    float y[];
};
layout(std430, binding = 5) readonly buffer Bias {
    float bias[];
};

// GELU, tanh form (Hendrycks, Gimpel 2016). tanh is clamped: some drivers overflow beyond.
float gelu(float v) {
    float t = 0.7978845608028654 * (v + 0.044715 * v * v * v);
    return 0.5 * v * (1.0 + tanh(clamp(t, -15.0, 15.0)));
}

// row: of the shard; col: activation row.
float matmul_finish(uint row, uint col, float sum) {
    uint out_row = args.y_first + row;
    if (args.has_bias != 0) sum += bias[out_row];
    if (args.activation == GAB_ACTIVATION_GELU) sum = gelu(sum);
    if (args.residual != 0) sum += y[col * args.y_stride + out_row];
    return sum;
}

void matmul_store(uint row, uint col, float sum) {
    y[col * args.y_stride + args.y_first + row] = matmul_finish(row, col, sum);
}

uint matmul_columns() {
    return args.of_outs != 0 ? step_now.n_out : step_now.n_row;
}

#ifdef MATMUL_PAIRS
layout(constant_id = GAB_SPEC_HEAD_DIM) const uint HEAD_DIM = 64;
layout(constant_id = GAB_SPEC_KV_F16) const bool KV_F16 = true;
layout(constant_id = GAB_SPEC_KV_STORE) const bool KV_STORE = false;
#include "kv.glsl"
layout(std430, binding = 6) writeonly buffer Keys {
    uint keys[];
};
layout(std430, binding = 7) writeonly buffer Values {
    uint values[];
};

// Rows `row` and `row` + 1, of which the second may be one past the last. KV_STORE: both are of one head.
void matmul_store_pair(uint row, uint col, float sum, float next) {
    uint out_row = args.y_first + row;
    if (row >= args.n_row) return;
    if (!KV_STORE || out_row < args.k_offset) {
        matmul_store(row, col, sum);
        if (row + 1 < args.n_row) matmul_store(row + 1, col, next);
        return;
    }
    vec2 pair = vec2(matmul_finish(row, col, sum), matmul_finish(row + 1, col, next));
    bool is_value = out_row >= args.v_offset;
    uint at = out_row - (is_value ? args.v_offset : args.k_offset), d = at % args.head_dim;
    uint to = kv_address(step_now.rows[col].slot, step_now.rows[col].position, at / args.head_dim, args.n_head_kv);
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
