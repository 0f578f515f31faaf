/*
 * hash.h - a quick hash of bytes, to tell whether something has changed: checksums of our own cache files, names of
 * sets of kernels. Not for what an adversary writes. FNV-1a of 64 bits (Fowler, Noll, Vo).
 */
#ifndef GAB_BASE_HASH_H
#define GAB_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#define GAB_HASH_START UINT64_C(0xcbf29ce484222325)

/* Takes n more bytes into a hash that began as GAB_HASH_START. */
static inline uint64_t gab_hash_bytes(uint64_t hash, const void *data, size_t n) {
    for (const unsigned char *p = data, *end = p + n; p < end; p++) hash = (hash ^ *p) * UINT64_C(0x100000001b3);
    return hash;
}

#endif
