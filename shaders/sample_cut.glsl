// sample_cut.glsl - radix selection: which keys are kept when the largest are to reach a count or a mass. Four digits
// of 8 bits; sums are integers, so that the order of the atomic additions does not matter. Contains barriers.
#ifndef GAB_SAMPLE_CUT_GLSL
#define GAB_SAMPLE_CUT_GLSL

struct Cut {
    uint key;   // keys above it are kept,
    uint n_tie; // and of those that equal it the first n_tie in the order of ids
};

shared uint bin_low[256], bin_high[256]; // 64-bit sums, by digit
shared uint bin_mass[256];               // at the last digit: the weight of every id in the bin
shared uvec2 coarse[16];                 // sums of 16 bins
shared uint found_key, found_tie;        // by invocation 0, for all

void bin_add(uint bin, uvec2 sum, uint mass) {
    if (sum == uvec2(0)) return;
    uint carry;
    uaddCarry(atomicAdd(bin_low[bin], sum.x), sum.x, carry);
    if (sum.y + carry != 0) atomicAdd(bin_high[bin], sum.y + carry);
    if (mass != 0) atomicMax(bin_mass[bin], mass);
}

// Sums the weights (masses, or 1 each) of the keys with this prefix by their digit at `shift`. Keys below `least`,
// which are known to be cut, are left out to save time.
void fill_bins(bool by_mass, uint least, uint prefix, uint shift) {
    for (uint i = lane; i < 256; i += LANES) bin_low[i] = bin_high[i] = bin_mass[i] = 0;
    barrier();
    // Neighbours often share a bin (the first digit holds little but the exponent): their sum is kept in registers.
    uint bin = 0, mass = 0;
    uvec2 sum = uvec2(0);
    for (uint i = lane; i < args.n_vocab; i += LANES) {
        uint key = key_of(i);
        if (key < least || key >> shift >> 8 != prefix) continue;
        uint digit = key >> shift & 255;
        if (digit != bin) {
            bin_add(bin, sum, mass);
            bin = digit;
            sum = uvec2(0);
        }
        uint weight = by_mass ? masses[masses_at + i] : 1;
        mass = shift == 0 ? weight : 0;
        sum = wide_add(sum, uvec2(weight, 0));
    }
    bin_add(bin, sum, mass);
    barrier();
    for (uint i = lane; i < 16; i += LANES) {
        sum = uvec2(0);
        for (uint j = 16 * i; j < 16 * i + 16; j++) sum = wide_add(sum, uvec2(bin_low[j], bin_high[j]));
        coarse[i] = sum;
    }
    barrier();
}

// The cut that keeps the fewest largest keys whose weights reach the target, which is at least 1 and within reach. Only
// invocation 0 needs the target.
Cut radix_cut(bool by_mass, uint least, uvec2 target) {
    uint key = 0;
    for (int shift = 24; shift >= 0; shift -= 8) {
        fill_bins(by_mass, least, key, uint(shift));
        if (lane == 0) {
            uint i = 15;
            for (; i > 0 && wide_less(coarse[i], target); i--) target = wide_subtract(target, coarse[i]);
            uint bin = 16 * i + 15;
            for (; bin > 16 * i; bin--) {
                uvec2 sum = uvec2(bin_low[bin], bin_high[bin]);
                if (!wide_less(sum, target)) break;
                target = wide_subtract(target, sum);
            }
            found_key = key << 8 | bin;
            if (shift == 0) found_tie = wide_divide_up(target, max(bin_mass[bin], 1));
        }
        barrier();
        key = found_key;
    }
    return Cut(key, found_tie);
}

#endif
