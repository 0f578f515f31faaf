/*
 * words.h - numbers of 16 and 32 bits as files have them: little-endian, anywhere.
 */
#ifndef GAB_TENSOR_WORDS_H
#define GAB_TENSOR_WORDS_H

#include <stdint.h>

static inline uint16_t gab_load_u16(const unsigned char *p) {
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline void gab_store_u16(unsigned char *p, uint16_t value) {
    p[0] = (unsigned char)value;
    p[1] = (unsigned char)(value >> 8);
}

static inline void gab_store_u32(unsigned char *p, uint32_t value) {
    gab_store_u16(p, (uint16_t)value);
    gab_store_u16(p + 2, (uint16_t)(value >> 16));
}

#endif
