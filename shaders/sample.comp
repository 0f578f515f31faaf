// sample.comp - draws a token from the logits of an output row; one group a row. What is computed: kernels/sample.h.
//
// Logits are compared by keys: their bits, mapped so that unsigned order is the order of the floats. What top-k and
// top-p keep is a cut: the ids with keys above one key, and the first few of those that equal it.
//
// LANES is large on CPU drivers too: llvmpipe leaves loops after 65535 turns, of all loops of an invocation together,
// and the whole chain takes about 12 turns for each LANES ids.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "args.h"

layout(constant_id = GAB_SPEC_LANES) const uint LANES = 256;
layout(local_size_x_id = GAB_SPEC_LANES) in;
layout(push_constant, std430) uniform Push {
    gab_sample_args args;
};
#include "step.glsl"
#include "random.glsl"
#include "sample_wide.glsl"
// coherent: written by one invocation of the group and read by another
layout(std430, binding = 1) coherent buffer Logits {
    uint logits[]; // [n_out][logits_stride] floats, as bits
};
layout(std430, binding = 2) coherent buffer Scratch {
    uint masses[]; // [n_out][scratch_stride]
};
layout(std430, binding = 3) buffer Sampled {
    uint sampled[]; // by slot
};
layout(std430, binding = 4) writeonly buffer Readback {
    uint readback[]; // by output row
};

const uint MASS_ONE = 1u << 30; // the mass of the likeliest id
const uint KEY_MINUS_INFINITY = ~0xff800000u, KEY_PLUS_INFINITY = 0xff800000u;

shared uint recent_ids[GAB_RECENT_MAX];
shared uint best_key, best_id;
shared uint found_part; // by invocation 0, for all
shared uvec2 part_above[LANES];   // by part of the ids: mass of the keys above the cut,
shared uint part_tie[LANES];      // how many equal it,
shared uint part_tie_mass[LANES]; // and the mass of each of these

uint lane, logits_at, masses_at;

void group_sync() {
    memoryBarrierBuffer();
    barrier();
}

// In integers only, so that no driver's handling of NaN and denormals matters.
uint key_of(uint id) {
    uint bits = logits[logits_at + id];
    if ((bits & 0x7fffffffu) > 0x7f800000u) bits = 0xff800000u; // NaN: minus infinity
    if (bits == 0x80000000u) bits = 0;                          // -0 equals 0
    return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

float key_value(uint key) {
    return uintBitsToFloat((key & 0x80000000u) != 0 ? key & 0x7fffffffu : ~key);
}

void penalize(uint row) {
    const float penalty = step_now.outs[row].repeat_penalty;
    const uint n = min(step_now.outs[row].n_recent, GAB_RECENT_MAX);
    if (n == 0 || penalty == 1.0) return;
    for (uint i = lane; i < n; i += LANES) {
        uint id = step_now.outs[row].recent[i];
        recent_ids[i] = id == GAB_TOKEN_SAMPLED ? sampled[step_now.outs[row].slot] : id;
    }
    barrier();
    for (uint i = lane; i < n; i += LANES) {
        uint id = recent_ids[i];
        bool first = id < args.n_vocab;
        for (uint j = 0; j < i && first; j++) first = recent_ids[j] != id;
        if (!first) continue;
        float value = uintBitsToFloat(logits[logits_at + id]);
        logits[logits_at + id] = floatBitsToUint(value > 0.0 ? value / penalty : value * penalty);
    }
    group_sync();
}

// The largest key and the lowest id that has it, into best_key and best_id.
void find_best() {
    if (lane == 0) {
        best_key = 0;
        best_id = 0xffffffffu;
    }
    barrier();
    uint key = 0, id = 0xffffffffu;
    for (uint i = lane; i < args.n_vocab; i += LANES) {
        uint k = key_of(i);
        id = k > key ? i : id;
        key = max(key, k);
    }
    atomicMax(best_key, key);
    barrier();
    if (key == best_key) atomicMin(best_id, id);
    barrier();
}

void compute_masses(float temperature) {
    const uint largest_key = best_key;
    const float largest = key_value(largest_key);
    for (uint i = lane; i < args.n_vocab; i += LANES) {
        uint key = key_of(i), mass = 0;
        float x = (key_value(key) - largest) / temperature;
        if (x > -22.0) mass = uint(min(exp(x), 1.0) * float(MASS_ONE) + 0.5); // below, less than half a unit
        // not left to x: drivers need not keep infinities
        if (key == KEY_MINUS_INFINITY || largest_key == KEY_PLUS_INFINITY) mass = 0;
        masses[masses_at + i] = key == largest_key ? MASS_ONE : mass;
    }
    group_sync();
}

#include "sample_cut.glsl"

// Divides ids from..to into LANES parts of `size` and sums the masses of each; masses below `least` count as nothing.
void sum_parts(uint from, uint to, uint size, uint key, uint least) {
    uvec2 above = uvec2(0);
    uint n_tie = 0, tie_mass = 0;
    const uint end = min(from + (lane + 1) * size, to);
    for (uint i = from + lane * size; i < end; i++) {
        uint k = key_of(i);
        if (k < key) continue;
        uint mass = masses[masses_at + i];
        if (mass < least) continue;
        if (k > key) {
            above = wide_add(above, uvec2(mass, 0));
        } else {
            n_tie++;
            tie_mass = mass;
        }
    }
    part_above[lane] = above;
    part_tie[lane] = n_tie;
    part_tie_mass[lane] = tie_mass;
    barrier();
}

// The mass of a part of which n_tie ties are kept at most; takes its ties off n_tie.
uvec2 part_mass(uint part, inout uint n_tie) {
    uint n = min(part_tie[part], n_tie);
    n_tie -= n;
    return wide_add(part_above[part], wide_product(n, part_tie_mass[part]));
}

uvec2 parts_total(uint n_tie) {
    uvec2 total = uvec2(0);
    for (uint i = 0; i < LANES; i++) total = wide_add(total, part_mass(i, n_tie));
    return total;
}

uint part_size(uint n) {
    return (n + LANES - 1) / LANES;
}

Cut top_p_cut(Cut cut, float p) {
    uvec2 target = uvec2(0);
    sum_parts(0, args.n_vocab, part_size(args.n_vocab), cut.key, 0);
    if (lane == 0) {
        uint rest;
        target = wide_scale(parts_total(cut.n_tie), uint(max(p, 0.0) * 4294967296.0), rest);
        if (rest != 0 || target == uvec2(0)) target = wide_add(target, uvec2(1, 0));
    }
    return radix_cut(true, cut.key, target);
}

// Walks to the id at `random` / 2^32 of the kept mass: into one of LANES parts, then into a part of that, to one id.
uint draw(Cut cut, uint least, uint random) {
    uint from = 0, to = args.n_vocab, n_tie = cut.n_tie, rest;
    uvec2 target; // n_tie and target: of invocation 0 only
    for (bool first = true; from + 1 < to; first = false) {
        uint size = part_size(to - from);
        sum_parts(from, to, size, cut.key, least);
        if (lane == 0) {
            if (first) target = wide_scale(parts_total(n_tie), random, rest);
            uint i = 0;
            for (; i < LANES - 1; i++) {
                uint n_left = n_tie;
                uvec2 mass = part_mass(i, n_left);
                if (wide_less(target, mass)) break;
                target = wide_subtract(target, mass);
                n_tie = n_left;
            }
            found_part = i;
        }
        barrier();
        from += found_part * size;
        to = min(from + size, to);
    }
    return from;
}

uint sample_filtered(uint row) {
    const uint top_k = step_now.outs[row].top_k;
    const float top_p = step_now.outs[row].top_p, min_p = step_now.outs[row].min_p;
    Cut cut = Cut(0, 0); // no key is as low
    compute_masses(step_now.outs[row].temperature);
    if (top_k > 0 && top_k < args.n_vocab) cut = radix_cut(false, 0, uvec2(top_k, 0));
    if (top_p < 1.0) cut = top_p_cut(cut, top_p);
    uint least = min_p > 0.0 ? uint(ceil(min(min_p, 1.0) * float(MASS_ONE))) : 0;
    uvec2 seed = uvec2(step_now.outs[row].seed_low, step_now.outs[row].seed_high);
    return draw(cut, least, philox(seed, uvec4(step_now.outs[row].position, 0, 0, 0)).x);
}

void main() {
    const uint row = gl_WorkGroupID.x;
    if (row >= step_now.n_out) return;
    lane = gl_LocalInvocationID.x;
    logits_at = row * args.logits_stride;
    masses_at = row * args.scratch_stride;
    penalize(row);
    find_best();
    uint token = best_id;
    if (step_now.outs[row].temperature > 0.0 && step_now.outs[row].top_k != 1) token = sample_filtered(row);
    if (lane != 0) return;
    sampled[step_now.outs[row].slot] = token;
    readback[row] = token;
}
