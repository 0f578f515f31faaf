// expert_route.comp - the n_used experts of each row whose logits are largest, ties to the lower index, and their weights: softmax over
// these, or over all (Shazeer et al. 2017). Infinities and not-a-numbers have their place in the order too, so that every row gets
// its experts. Grid: rows, folded.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "args.h"

layout(constant_id = GAB_SPEC_LANES) const uint LANES = 64;
layout(local_size_x_id = GAB_SPEC_LANES) in;
layout(push_constant, std430) uniform Push {
    gab_expert_args args;
};
#include "step.glsl"
#include "reduce.glsl"
layout(std430, binding = 1) readonly buffer Logits {
    float logits[];
};
layout(std430, binding = 2) buffer Route {
    gab_route route;
};

shared uint keys[GAB_EXPERT_MAX]; // logits as integers in the same order
shared uint chosen[GAB_USED_MAX];

void main() {
    uint row = folded_group(), from = row * args.x_stride, lane = gl_LocalInvocationID.x;
    if (row >= step_now.n_row) return;
    for (uint e = lane; e < args.n_expert; e += LANES) {
        uint bits = floatBitsToUint(logits[from + e]);
        keys[e] = bits >> 31 != 0 ? ~bits + 1 : bits | 0x80000000u; // both zeros are the same
    }
    barrier();
    // An expert's place is the number of those before it.
    for (uint e = lane; e < args.n_expert; e += LANES) {
        uint key = keys[e], place = 0;
        for (uint i = 0; i < args.n_expert; i++) place += keys[i] > key || (keys[i] == key && i < e) ? 1 : 0;
        if (place < args.n_used) chosen[place] = e;
    }
    barrier();
    float largest = logits[from + chosen[0]], sum = 0.0;
    if (args.normalize != 0) {
        for (uint j = 0; j < args.n_used; j++) sum += exp(logits[from + chosen[j]] - largest);
    } else {
        for (uint e = lane; e < args.n_expert; e += LANES) sum += exp(logits[from + e] - largest);
        sum = group_sum(sum);
    }
    for (uint j = lane; j < args.n_used; j += LANES) {
        uint pair = row * args.n_used + j;
        route.expert[pair] = chosen[j];
        route.weight[pair] = args.factor * exp(logits[from + chosen[j]] - largest) / sum;
    }
}
