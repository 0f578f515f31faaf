/*
 * sha.h - SHA-256 and SHA-1 (FIPS 180-4, sections 6.2 and 6.1), fed piece by piece: the checksums by which downloads
 * are known. SHA-1 only because git names its blobs so.
 */
#ifndef GAB_BASE_SHA_H
#define GAB_BASE_SHA_H

#include <stddef.h>
#include <stdint.h>

typedef enum gab_sha_kind { GAB_SHA_1, GAB_SHA_256 } gab_sha_kind;
enum { GAB_SHA_HEX_MAX = 65 }; /* digits with the final zero */

typedef struct gab_sha {
    gab_sha_kind kind;
    uint32_t state[8];
    uint64_t n_byte;
    uint8_t block[64]; /* the n_byte % 64 bytes not yet taken in */
} gab_sha;

void gab_sha_start(gab_sha *sha, gab_sha_kind kind);
void gab_sha_add(gab_sha *sha, const void *data, size_t n);
/* The hash in lower-case hexadecimal: 40 or 64 digits. Nothing may be added afterwards. */
void gab_sha_finish(gab_sha *sha, char hex[GAB_SHA_HEX_MAX]);

#endif
