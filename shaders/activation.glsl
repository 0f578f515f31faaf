// activation.glsl - the functions between products. Some drivers' tanh overflows, and all lose small arguments: it is written out.
#ifndef GAB_ACTIVATION_GLSL
#define GAB_ACTIVATION_GLSL

// Below 1/4 the Taylor series, whose next term is below 1e-8 of the result.
float tanh_of(float x) {
    float a = min(abs(x), 15.0), s = x * x;
    float small = x * (1.0 + s * (-1.0 / 3.0 + s * (2.0 / 15.0 + s * (-17.0 / 315.0 + s * (62.0 / 2835.0)))));
    return a < 0.25 ? small : sign(x) * (1.0 - 2.0 / (exp(2.0 * a) + 1.0));
}

// GELU, tanh form (Hendrycks, Gimpel 2016).
float gelu(float v) {
    return 0.5 * v * (1.0 + tanh_of(0.7978845608028654 * (v + 0.044715 * v * v * v)));
}

// The same with the normal distribution itself; erf: Abramowitz, Stegun 7.1.26 has 1.5e-7 of absolute error, which a factor of v
// keeps below that of f32 sums.
float gelu_erf(float v) {
    float x = min(abs(v) * 0.7071067811865476, 9.0), t = 1.0 / (1.0 + 0.3275911 * x);
    float poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
    float upper = 0.5 * poly * exp(-x * x); // 1 - Phi(|v|)
    return v * (v < 0.0 ? upper : 1.0 - upper);
}

float silu(float v) {
    return v / (1.0 + exp(-max(v, -80.0)));
}

float softcap(float v, float limit) {
    return limit * tanh_of(v / limit);
}

float activated(uint activation, float v, float limit) {
    if (activation == GAB_ACTIVATION_GELU) return gelu(v);
    if (activation == GAB_ACTIVATION_SILU) return silu(v);
    if (activation == GAB_ACTIVATION_GELU_ERF) return gelu_erf(v);
    if (activation == GAB_ACTIVATION_SOFTCAP) return softcap(v, limit);
    return v;
}

// What a gate and what it gates become. CLAMPED: the gate at most 7, the other at least -7 too; x sigmoid(1.702 x) (up + 1).
float gated(uint activation, float gate, float up) {
    if (activation == GAB_ACTIVATION_CLAMPED)
        return silu(1.702 * min(gate, 7.0)) * (1.0 / 1.702) * (clamp(up, -7.0, 7.0) + 1.0);
    return activated(activation, gate, 1.0) * up;
}

#endif
