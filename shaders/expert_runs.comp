// expert_runs.comp - sorts the pairs of all rows by expert and cuts them into runs of at most GAB_RUN, so that products can go through
// an expert's weights once for many rows: counts, sums of counts, places. The order within an expert is as the invocations come by;
// nothing that is computed depends on it. One group.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "args.h"

layout(constant_id = GAB_SPEC_LANES) const uint LANES = 256;
layout(local_size_x_id = GAB_SPEC_LANES) in;
layout(push_constant, std430) uniform Push {
    gab_expert_args args;
};
#include "step.glsl"
layout(std430, binding = 1) buffer Route {
    gab_route route;
};

shared uint counts[GAB_EXPERT_MAX]; // of pairs; then the next place of each expert

void main() {
    uint n_pair = step_now.n_row * args.n_used, lane = gl_LocalInvocationID.x;
    for (uint e = lane; e < args.n_expert; e += LANES) counts[e] = 0;
    barrier();
    for (uint p = lane; p < n_pair; p += LANES) atomicAdd(counts[route.expert[p]], 1u);
    barrier();
    if (lane == 0) {
        uint first = 0, n_run = 0;
        for (uint e = 0; e < args.n_expert; e++) {
            uint count = counts[e];
            counts[e] = first;
            for (uint done = 0; done < count; done += GAB_RUN)
                route.runs[n_run++] = gab_route_run(e, first + done, min(count - done, GAB_RUN), 0);
            first += count;
        }
        route.n_run = n_run;
    }
    barrier();
    for (uint p = lane; p < n_pair; p += LANES) route.order[atomicAdd(counts[route.expert[p]], 1u)] = p;
}
