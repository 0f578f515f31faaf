// sinks.glsl - a score that each head has beside those of its keys, without a value: what takes part in the softmax alone (gpt-oss;
// after Xiao et al. 2023). The binding is SINKS_BINDING.
#ifndef GAB_SINKS_GLSL
#define GAB_SINKS_GLSL

#ifndef SINKS_BINDING
#define SINKS_BINDING 5
#endif
layout(constant_id = GAB_SPEC_SINKS) const bool SINKS = false;
layout(std430, binding = SINKS_BINDING) readonly buffer Sinks {
    float sinks[]; // [n_head]
};

// A sum of exponentials, relative to the largest score, with the head's sink. Where that is far above all scores the result is
// infinite, and what is divided by it 0.
float with_sink(uint head, float largest, float sum) {
    return SINKS ? sum + exp(sinks[head] - largest) : sum;
}

#endif
