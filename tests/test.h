/*
 * test.h - a test file is a list of named cases, each run by CTest in its own process:
 *
 *     GAB_TEST(rows_of_one) { CHECK(f(1) == 1); }
 *     GAB_TEST_MAIN()
 *
 * `program NAME` runs one case, `program` all, `program --list` names them. CHECK survives NDEBUG. A case skips itself
 * with SKIP("why"), which CTest counts as skipped (exit status 77).
 */
#ifndef GAB_TEST_H
#define GAB_TEST_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct gab_test_case {
    const char *name;
    void (*fn)(void);
    struct gab_test_case *next;
} gab_test_case;

extern gab_test_case *gab_test_first; /* in the reverse order of definition */
int gab_test_run(int argc, char **argv);
void gab_test_finish(void); /* called after each case: fails it when validation messages were seen */

#define GAB_TEST(case_name)                                                                                            \
    static void test_##case_name(void);                                                                                \
    __attribute__((constructor)) static void register_##case_name(void) {                                              \
        static gab_test_case entry = {#case_name, test_##case_name, NULL};                                             \
        entry.next = gab_test_first;                                                                                   \
        gab_test_first = &entry;                                                                                       \
    }                                                                                                                  \
    static void test_##case_name(void)

#define GAB_TEST_MAIN()                                                                                                \
    int main(int argc, char **argv) {                                                                                  \
        return gab_test_run(argc, argv);                                                                               \
    }

#define FAIL(...)                                                                                                      \
    do {                                                                                                               \
        fprintf(stderr, "%s:%d: ", __FILE__, __LINE__);                                                                \
        fprintf(stderr, __VA_ARGS__);                                                                                  \
        fputc('\n', stderr);                                                                                           \
        exit(1);                                                                                                       \
    } while (0)
#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) FAIL("CHECK(%s) failed", #condition);                                                        \
    } while (0)
/* A gab_status call that must succeed. */
#define CHECK_OK(call)                                                                                                 \
    do {                                                                                                               \
        gab_status check_status = (call);                                                                              \
        if (check_status != GAB_OK) FAIL("%s: %s (%s)", #call, gab_status_text(check_status), gab_last_error());       \
    } while (0)
#define SKIP(...)                                                                                                      \
    do {                                                                                                               \
        printf("skipped: ");                                                                                           \
        printf(__VA_ARGS__);                                                                                           \
        putchar('\n');                                                                                                 \
        exit(77);                                                                                                      \
    } while (0)

/* Built with AddressSanitizer: its memory is much larger, and lavapipe, which allocates in every group, much slower. */
#if defined(__SANITIZE_ADDRESS__)
#define GAB_TEST_ASAN true
#elif defined(__has_feature)
#define GAB_TEST_ASAN __has_feature(address_sanitizer)
#else
#define GAB_TEST_ASAN false
#endif

/* The folder of real weights and texts ($GABBRO_TEST_MODELS, else shared/models beside the tree); NULL when it is not
 * there. */
const char *gab_test_models(void);
/* folder/name into a static buffer (four alternate); skips the case when the models folder is missing. */
const char *gab_test_model(const char *name);
/* A file of the source tree. */
const char *gab_test_source(const char *name);

/* All of a file, with a 0 behind it, to be freed; and writing one. */
char *gab_test_file_read(const char *path, size_t *n_byte);
void gab_test_file_write(const char *path, const void *data, size_t n_byte);

/* Gives each file of a fuzzer's corpus, a folder in tests/fuzz, to its harness, in memory of exactly its size; how
 * many. */
int gab_test_corpus(const char *name, int (*harness)(const uint8_t *data, size_t size));

/* Repeatable random numbers. */
typedef struct gab_test_random {
    uint64_t state;
} gab_test_random;
uint32_t gab_test_random_u32(gab_test_random *random);
float gab_test_random_normal(gab_test_random *random); /* mean 0, deviation 1 */

#endif
