// matmul_epilogue.glsl - what happens to a finished sum: bias, activation, residual, store. Bindings 4 and 5.
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
void matmul_store(uint row, uint col, float sum) {
    uint out_row = args.y_first + row;
    uint at = col * args.y_stride + out_row;
    if (args.has_bias != 0) sum += bias[out_row];
    if (args.activation == GAB_ACTIVATION_GELU) sum = gelu(sum);
    if (args.residual != 0) sum += y[at];
    y[at] = sum;
}

uint matmul_columns() {
    return args.of_outs != 0 ? step_now.n_out : step_now.n_row;
}

#endif
