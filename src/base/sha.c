#include "base/sha.h"

#include <string.h>

static uint32_t rotate_left(uint32_t x, unsigned n) {
    return x << n | x >> (32 - n);
}

static uint32_t rotate_right(uint32_t x, unsigned n) {
    return x >> n | x << (32 - n);
}

static uint32_t load_big_endian(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* ---- SHA-1: FIPS 180-4, 6.1.2 ------------------------------------------------------------------------------------ */

static const uint32_t initial_1[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};

static void block_1(uint32_t *state, const uint8_t *block) {
    static const uint32_t constants[4] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
    uint32_t w[80];
    for (int t = 0; t < 16; t++) w[t] = load_big_endian(block + (size_t)4 * t);
    for (int t = 16; t < 80; t++) w[t] = rotate_left(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    for (int t = 0; t < 80; t++) {
        uint32_t f = t < 20 ? (b & c) ^ (~b & d) : t >= 40 && t < 60 ? (b & c) ^ (b & d) ^ (c & d) : b ^ c ^ d;
        uint32_t next = rotate_left(a, 5) + f + e + constants[t / 20] + w[t];
        e = d;
        d = c;
        c = rotate_left(b, 30);
        b = a;
        a = next;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
}

/* ---- SHA-256: FIPS 180-4, 6.2.2 ---------------------------------------------------------------------------------- */

static const uint32_t initial_256[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

/* FIPS 180-4, 4.2.2: the first 32 bits of the fractions of the cube roots of the first 64 primes. */
static const uint32_t constants_256[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

/* A round, whose T1 and T2 go into h and d: the next round then calls them a and e, so that nothing is moved. */
static inline void round_256(uint32_t a, uint32_t b, uint32_t c, uint32_t *d, uint32_t e, uint32_t f, uint32_t g,
                             uint32_t *h, uint32_t kw) {
    uint32_t t1 = *h + (rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25)) + ((e & f) ^ (~e & g)) + kw;
    uint32_t t2 = (rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
    *d += t1;
    *h = t1 + t2;
}

static void block_256(uint32_t *state, const uint8_t *block) {
    const uint32_t *k = constants_256;
    uint32_t w[64];
    for (int t = 0; t < 16; t++) w[t] = load_big_endian(block + (size_t)4 * t);
    for (int t = 16; t < 64; t++) {
        uint32_t x = w[t - 15], y = w[t - 2];
        w[t] = (rotate_right(y, 17) ^ rotate_right(y, 19) ^ y >> 10) + w[t - 7] +
               (rotate_right(x, 7) ^ rotate_right(x, 18) ^ x >> 3) + w[t - 16];
    }
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    for (int t = 0; t < 64; t += 8) {
        round_256(a, b, c, &d, e, f, g, &h, k[t] + w[t]);
        round_256(h, a, b, &c, d, e, f, &g, k[t + 1] + w[t + 1]);
        round_256(g, h, a, &b, c, d, e, &f, k[t + 2] + w[t + 2]);
        round_256(f, g, h, &a, b, c, d, &e, k[t + 3] + w[t + 3]);
        round_256(e, f, g, &h, a, b, c, &d, k[t + 4] + w[t + 4]);
        round_256(d, e, f, &g, h, a, b, &c, k[t + 5] + w[t + 5]);
        round_256(c, d, e, &f, g, h, a, &b, k[t + 6] + w[t + 6]);
        round_256(b, c, d, &e, f, g, h, &a, k[t + 7] + w[t + 7]);
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
    state[5] += f;
    state[6] += g;
    state[7] += h;
}

/* ---- both -------------------------------------------------------------------------------------------------------- */

static void take_block(gab_sha *sha, const uint8_t *block) {
    if (sha->kind == GAB_SHA_1)
        block_1(sha->state, block);
    else
        block_256(sha->state, block);
}

void gab_sha_start(gab_sha *sha, gab_sha_kind kind) {
    *sha = (gab_sha){.kind = kind};
    if (kind == GAB_SHA_1)
        memcpy(sha->state, initial_1, sizeof initial_1);
    else
        memcpy(sha->state, initial_256, sizeof initial_256);
}

void gab_sha_add(gab_sha *sha, const void *data, size_t n) {
    const uint8_t *bytes = data;
    size_t used = sha->n_byte % sizeof sha->block;
    sha->n_byte += n;
    if (used + n < sizeof sha->block) {
        if (n) memcpy(sha->block + used, bytes, n);
        return;
    }
    if (used) {
        size_t fill = sizeof sha->block - used;
        memcpy(sha->block + used, bytes, fill);
        take_block(sha, sha->block);
        bytes += fill;
        n -= fill;
    }
    for (; n >= sizeof sha->block; n -= sizeof sha->block, bytes += sizeof sha->block) take_block(sha, bytes);
    memcpy(sha->block, bytes, n);
}

void gab_sha_finish(gab_sha *sha, char hex[GAB_SHA_HEX_MAX]) {
    static const char digits[] = "0123456789abcdef";
    static const uint8_t padding[64] = {0x80};
    uint64_t n_bit = sha->n_byte * 8;
    uint8_t length[8];
    for (int i = 0; i < 8; i++) length[i] = (uint8_t)(n_bit >> (56 - 8 * i));
    gab_sha_add(sha, padding, 1 + (119 - sha->n_byte % 64) % 64); /* to 56 of a block: 5.1.1 */
    gab_sha_add(sha, length, sizeof length);
    size_t n_digit = sha->kind == GAB_SHA_1 ? 40 : 64;
    for (size_t i = 0; i < n_digit; i++) hex[i] = digits[sha->state[i / 8] >> (28 - 4 * (i % 8)) & 15];
    hex[n_digit] = 0;
}
