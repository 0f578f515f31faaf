// dequant_grouped.glsl - the types of src/tensor/block.h: a part is 32 weights in two groups of 16, of eight bytes of plane 0 each:
// byte j holds the low bits of weight j in its low and those of weight j + 8 in its high half. Weights come whole, scaled, so the
// scale of a part is 1. What one weight needs beside its low bits is in plane 1, in records of words:
//   RECORD_PARTS  parts a record
//   RECORD_D      1: it begins with a word of two f16
//   SCALE_BITS    for each part then, 0, 8 or 16
//   HIGH_BITS     words for each part after these, 0 to 2: the higher bits of its weights, where block.h says
// Also needs from the includer: weight_word(at), a word of the shard.
#if defined(WEIGHT_Q4_K)
#define RECORD_PARTS 8
#define RECORD_D 1
#define SCALE_BITS 16
#define HIGH_BITS 0
#define QUANT_ZERO 0
#elif defined(WEIGHT_Q5_K)
#define RECORD_PARTS 8
#define RECORD_D 1
#define SCALE_BITS 16
#define HIGH_BITS 1
#define QUANT_ZERO 0
#elif defined(WEIGHT_Q6_K)
#define RECORD_PARTS 8
#define RECORD_D 1
#define SCALE_BITS 16
#define HIGH_BITS 2
#define QUANT_ZERO 32
#define SCALE_A_GROUP // a byte for each
#elif defined(WEIGHT_Q2_K)
#define RECORD_PARTS 8
#define RECORD_D 1
#define SCALE_BITS 16
#define HIGH_BITS 0
#define QUANT_ZERO 0
#define SCALE_A_GROUP
#elif defined(WEIGHT_Q3_K)
#define RECORD_PARTS 8
#define RECORD_D 1
#define SCALE_BITS 16
#define HIGH_BITS 0
#define QUANT_ZERO 4
#define SCALE_A_GROUP
#elif defined(WEIGHT_Q4_1)
#define RECORD_PARTS 1
#define RECORD_D 1
#define SCALE_BITS 0
#define HIGH_BITS 0
#define QUANT_ZERO 0
#elif defined(WEIGHT_Q5_0)
#define RECORD_PARTS 2
#define RECORD_D 0
#define SCALE_BITS 16
#define HIGH_BITS 1
#define QUANT_ZERO 16
#elif defined(WEIGHT_Q5_1)
#define RECORD_PARTS 1
#define RECORD_D 1
#define SCALE_BITS 0
#define HIGH_BITS 1
#define QUANT_ZERO 0
#elif defined(WEIGHT_IQ4_NL)
#define RECORD_PARTS 2
#define RECORD_D 0
#define SCALE_BITS 16
#define HIGH_BITS 0
#define QUANT_TABLE uint[](0xbfad9881u, 0xf6eaddcfu, 0x26190d01u, 0x71594535u)
#elif defined(WEIGHT_IQ4_XS)
#define RECORD_PARTS 8
#define RECORD_D 1
#define SCALE_BITS 8
#define HIGH_BITS 0
#define QUANT_TABLE uint[](0xbfad9881u, 0xf6eaddcfu, 0x26190d01u, 0x71594535u)
#elif defined(WEIGHT_MXFP4)
#define RECORD_PARTS 4
#define RECORD_D 0
#define SCALE_BITS 8
#define HIGH_BITS 0
#define QUANT_TABLE uint[](0x03020100u, 0x0c080604u)
#endif
#if defined(QUANT_TABLE) || QUANT_ZERO > 0
#define NO_MINIMUM
#endif
#ifdef QUANT_TABLE
#define QUANT_ZERO 0
#endif
#define HIGH_AT (RECORD_D + RECORD_PARTS * SCALE_BITS / 32)
#define RECORD_WORDS (HIGH_AT + RECORD_PARTS * HIGH_BITS)

#define WEIGHT_QUADS 8
#define WEIGHT_TURNS 8
#define WEIGHT_GROUPED

struct weight_data {
    uvec4 low;
    uvec2 high; // of either group
    uint scale; // in the low bits
    uint d;
};

uint high_word(uint record, uint in_record, uint group) {
#if HIGH_BITS == 2
    return weight_word(record + HIGH_AT + 2u * in_record + group);
#elif HIGH_BITS == 1
    return weight_word(record + HIGH_AT + in_record) >> 4u * group;
#else
    return 0u;
#endif
}

// What the groups of a part share, of the part in_record of a record.
weight_data record_data(uint record, uint in_record) {
    weight_data w = weight_data(uvec4(0u), uvec2(0u), 0u, 0u);
#if RECORD_D
    w.d = weight_word(record);
#endif
#if SCALE_BITS
    w.scale = weight_word(record + RECORD_D + in_record * SCALE_BITS / 32u) >> in_record * SCALE_BITS % 32u;
#endif
    return w;
}

// All but the low bits of part p of a row whose plane 1 begins at word `at`.
weight_data weight_rest(uint at, uint p) {
    uint in_record = p % RECORD_PARTS, record = at + p / RECORD_PARTS * RECORD_WORDS;
    weight_data w = record_data(record, in_record);
    w.high = uvec2(high_word(record, in_record, 0u), high_word(record, in_record, 1u));
    return w;
}

// The same for one group of it, which then is the first.
weight_data weight_rest_of_group(uint at, uint group) {
    uint p = group / 2u, in_record = p % RECORD_PARTS, record = at + p / RECORD_PARTS * RECORD_WORDS;
    weight_data w = record_data(record, in_record);
#ifdef SCALE_A_GROUP
    w.scale >>= 8u * (group % 2u);
#endif
    w.high.x = high_word(record, in_record, group % 2u);
    return w;
}

// What the quants of a group are multiplied by, and what is added.
vec2 group_scale(weight_data w, uint group) {
#if defined(WEIGHT_Q4_K) || defined(WEIGHT_Q5_K)
    vec2 d = unpack_scales(w.d);
    return vec2(d.x * float(w.scale & 255u), -(d.y * float(w.scale >> 8 & 255u)));
#elif defined(WEIGHT_Q6_K)
    return vec2(unpack_scales(w.d).x * float(int(w.scale << 24u - 8u * group) >> 24), 0.0);
#elif defined(WEIGHT_Q2_K)
    vec2 d = unpack_scales(w.d);
    uint scale = w.scale >> 8u * group;
    return vec2(d.x * float(scale & 15u), -(d.y * float(scale >> 4 & 15u)));
#elif defined(WEIGHT_Q3_K)
    return vec2(unpack_scales(w.d).x * (float(w.scale >> 8u * group & 255u) - 32.0), 0.0);
#elif defined(WEIGHT_Q4_1) || defined(WEIGHT_Q5_1)
    return unpack_scales(w.d);
#elif defined(WEIGHT_IQ4_XS)
    return vec2(unpack_scales(w.d).x * (float(w.scale & 255u) - 32.0), 0.0);
#elif defined(WEIGHT_MXFP4) // 2^(exponent - 128); the two least are subnormal: in products the least counts as 0
    uint exponent = w.scale & 255u;
#ifdef WEIGHT_EXACT
    return vec2(uintBitsToFloat(exponent < 2u ? 0x200000u << exponent : exponent - 1u << 23), 0.0);
#else
    return vec2(0.5 * uintBitsToFloat(exponent << 23), 0.0);
#endif
#else
    return vec2(unpack_scales(w.scale).x, 0.0);
#endif
}

vec4 scaled(vec4 quants, vec2 scale) {
#if defined(WEIGHT_EXACT) // rounded as the reference is
    precise vec4 product = scale.x * quants;
#ifndef NO_MINIMUM
    precise vec4 sum = product + scale.y;
    return sum;
#else
    return product;
#endif
#elif defined(NO_MINIMUM)
    return scale.x * quants;
#else
    return fma(vec4(scale.x), quants, vec4(scale.y));
#endif
}

#ifdef WEIGHT_MXFP4
// Four bytes in a word; the fourth bit of a quant is the sign.
int table_value(uint quant) {
    const uint table[2] = QUANT_TABLE;
    int size = int(((quant & 4u) == 0u ? table[0] : table[1]) >> 8u * (quant & 3u) & 255u);
    return (quant & 8u) == 0u ? size : -size;
}
#elif defined(QUANT_TABLE)
// Four signed bytes in a word.
int table_value(uint quant) {
    const uint table[4] = QUANT_TABLE;
    uint low = (quant & 4u) == 0u ? table[0] : table[1], high = (quant & 4u) == 0u ? table[2] : table[3];
    return int(((quant & 8u) == 0u ? low : high) << (24u - 8u * (quant & 3u))) >> 24;
}
#endif

// Four bytes' higher bits, from bit `from` of each on, at their places.
uint high_bits(uint high, uint from) {
#if HIGH_BITS == 2
    const uint mask = 0x30303030u;
#else
    const uint mask = 0x10101010u;
#endif
    return (from < 4u ? high << 4u - from : high >> from - 4u) & mask;
}

// The four quants of a quad of a group, in bytes.
uint quant_bytes(weight_data w, uint group, uint quad) {
    uint bytes = w.low[2u * group + (quad & 1u)] >> (quad / 2u * 4u) & 0x0f0f0f0fu;
#if HIGH_BITS > 0
    bytes |= high_bits(w.high[group], HIGH_BITS * quad);
#endif
    return bytes;
}

// What they stand for, QUANT_ZERO more.
vec4 quant_numbers(uint bytes) {
    uvec4 quants = uvec4(bytes, bytes >> 8, bytes >> 16, bytes >> 24) & 255u;
#ifdef QUANT_TABLE
    return vec4(table_value(quants.x), table_value(quants.y), table_value(quants.z), table_value(quants.w));
#else
    return vec4(quants); // bytes convert in one instruction
#endif
}

vec4 weight_quad(weight_data w, uint i) {
    uint group = i / 4u;
    return scaled(quant_numbers(quant_bytes(w, group, i % 4u)) - float(QUANT_ZERO), group_scale(w, group));
}

// For integer products: the numbers of a group as signed bytes.
uvec4 weight_bytes(weight_data w, uint group) {
    uvec4 all;
    for (uint q = 0u; q < 4u; q++) {
        uint bytes = quant_bytes(w, group, q);
#ifdef QUANT_TABLE
        uvec4 quants = uvec4(bytes, bytes >> 8, bytes >> 16, bytes >> 24) & 255u;
        ivec4 numbers = ivec4(table_value(quants.x), table_value(quants.y), table_value(quants.z), table_value(quants.w));
        all[q] = signed_bytes(numbers);
#else
        all[q] = bytes_less(bytes, QUANT_ZERO);
#endif
    }
    return all;
}

uint weight_quad_at(uint i) {
    return 4u * i;
}

#define WEIGHT_STEPS 2
void weight_step(inout weight_data w) {
    w.low.xy = w.low.zw;
    w.high.x = w.high.y;
#ifdef SCALE_A_GROUP
    w.scale >>= 8;
#endif
}

float weight_scale(uint row, uint part_index) {
    return 1.0;
}

// ---- for kernels in which a lane has one word of a part's four: two quads, the quants of a quad in turns 0, 2, 4, 6 or 1, 3, 5, 7 ----

struct weight_lane {
    uint high; // of the word's first quad on
    vec2 scale; // and what is added to each weight
};

weight_lane weight_lane_of(weight_data w, uint word_index) {
    uint group = word_index / 2u;
    vec2 scale = group_scale(w, group);
    if (QUANT_ZERO > 0) scale.y = -float(QUANT_ZERO) * scale.x;
    return weight_lane((group == 0u ? w.high.x : w.high.y) >> HIGH_BITS * (word_index & 1u), scale);
}

// The quant stays in its byte, where the scale is that much smaller: no shift, and the product is exact either way.
float word_weight(weight_lane lane, uint word, uint turn) {
    uint bytes = word >> 4u * (turn & 1u) & 0x0f0f0f0fu, shift = turn / 2u * 8u;
#if HIGH_BITS > 0
    bytes |= high_bits(lane.high, HIGH_BITS * 2u * (turn & 1u));
#endif
#ifdef QUANT_TABLE
    return lane.scale.x * float(table_value(bytes >> shift & 255u));
#else
    return fma(lane.scale.x * (1.0 / float(1u << shift)), float(int(bytes & 255u << shift)), lane.scale.y);
#endif
}

uint word_weight_at(uint i, uint turn) {
    return i / 2u * 16u + i % 2u * 4u + turn / 2u + (turn & 1u) * 8u;
}
