/* The hashes, by the example vectors of NIST (FIPS 180-4's test values) and against themselves in other pieces. */
#include "base/sha.h"

#include "test.h"

static const char *hash(gab_sha_kind kind, const void *data, size_t n, size_t piece) {
    static char hex[GAB_SHA_HEX_MAX];
    gab_sha sha;
    gab_sha_start(&sha, kind);
    for (size_t at = 0; at < n; at += piece)
        gab_sha_add(&sha, (const char *)data + at, n - at < piece ? n - at : piece);
    gab_sha_finish(&sha, hex);
    return hex;
}

GAB_TEST(known_answers) {
    static const struct {
        const char *text, *sha1, *sha256;
    } known[] = {
        {"", "da39a3ee5e6b4b0d3255bfef95601890afd80709",
         "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "a9993e364706816aba3e25717850c26c9cd0d89d",
         "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "84983e441c3bd26ebaae4aa1f95129e5e54670f1",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        CHECK(strcmp(hash(GAB_SHA_1, known[i].text, strlen(known[i].text), 64), known[i].sha1) == 0);
        CHECK(strcmp(hash(GAB_SHA_256, known[i].text, strlen(known[i].text), 64), known[i].sha256) == 0);
    }
}

GAB_TEST(a_million_letters) {
    enum { N = 1000000 };
    char *text = malloc(N);
    CHECK(text);
    memset(text, 'a', N);
    CHECK(strcmp(hash(GAB_SHA_1, text, N, 1000), "34aa973cd4c4daa4f61eeb2bdbad27316534016f") == 0);
    CHECK(strcmp(hash(GAB_SHA_256, text, N, 4096),
                 "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0") == 0);
    free(text);
}

/* Every length around the block and around the padding, in pieces of every size. */
GAB_TEST(pieces_do_not_matter) {
    char text[200], whole[GAB_SHA_HEX_MAX];
    for (size_t i = 0; i < sizeof text; i++) text[i] = (char)(i * 37);
    for (int kind = GAB_SHA_1; kind <= GAB_SHA_256; kind++)
        for (size_t n = 0; n <= sizeof text; n++) {
            snprintf(whole, sizeof whole, "%s", hash((gab_sha_kind)kind, text, n, sizeof text));
            for (size_t piece = 1; piece < 130; piece += 7)
                CHECK(strcmp(hash((gab_sha_kind)kind, text, n, piece), whole) == 0);
        }
}

GAB_TEST_MAIN()
