#include "test.h"

#include <dirent.h>
#include <math.h>
#include <sys/stat.h>

gab_test_case *gab_test_first;

__attribute__((weak)) void gab_test_finish(void) {}

static void run_case(const gab_test_case *test) {
    test->fn();
    gab_test_finish();
    printf("ok: %s\n", test->name);
}

int gab_test_run(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc > 1 && strcmp(argv[1], "--list") == 0) {
        for (gab_test_case *t = gab_test_first; t; t = t->next) puts(t->name);
        return 0;
    }
    bool found = argc < 2;
    for (gab_test_case *t = gab_test_first; t; t = t->next) {
        if (argc > 1 && strcmp(argv[1], t->name) != 0) continue;
        found = true;
        run_case(t);
    }
    if (!found) {
        fprintf(stderr, "no test case '%s' (--list names them)\n", argv[1]);
        return 2;
    }
    return 0;
}

static const char *join(const char *folder, const char *name) {
    static char paths[4][2 * 4096];
    static unsigned turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

const char *gab_test_source(const char *name) {
    return join(GAB_TEST_SOURCE_DIR, name);
}

const char *gab_test_models(void) {
    static char folder[4096];
    struct stat info;
    const char *env = getenv("GABBRO_TEST_MODELS");
    snprintf(folder, sizeof folder, "%s", env ? env : gab_test_source("../shared/models"));
    return stat(folder, &info) == 0 && S_ISDIR(info.st_mode) ? folder : NULL;
}

const char *gab_test_model(const char *name) {
    const char *folder = gab_test_models();
    if (!folder) SKIP("no folder of real models (set GABBRO_TEST_MODELS)");
    return join(folder, name);
}

/* splitmix64 (Steele, Lea, Flood 2014) */
int gab_test_corpus(const char *name, int (*harness)(const uint8_t *data, size_t size)) {
    char folder[1024];
    int n_file = 0;
    snprintf(folder, sizeof folder, "%s/%s", gab_test_source("tests/fuzz"), name);
    DIR *dir = opendir(folder);
    if (!dir) FAIL("%s cannot be read", folder);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char path[2048];
        size_t n;
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        char *data = gab_test_file_read(path, &n);
        uint8_t *exact = malloc(n ? n : 1); /* for the sanitizer to see reads beyond it */
        CHECK(exact);
        memcpy(exact, data, n);
        harness(exact, n);
        free(exact);
        free(data);
        n_file++;
    }
    closedir(dir);
    return n_file;
}

uint32_t gab_test_random_u32(gab_test_random *random) {
    uint64_t z = random->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ (z >> 31)) >> 32);
}

float gab_test_random_normal(gab_test_random *random) {
    double u = (gab_test_random_u32(random) + 0.5) / 4294967296.0, v = gab_test_random_u32(random) / 4294967296.0;
    return (float)(sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v));
}

char *gab_test_file_read(const char *path, size_t *n_byte) {
    FILE *f = fopen(path, "rb");
    CHECK(f && fseek(f, 0, SEEK_END) == 0);
    *n_byte = (size_t)ftell(f);
    rewind(f);
    char *data = malloc(*n_byte + 1);
    CHECK(data && fread(data, 1, *n_byte, f) == *n_byte);
    fclose(f);
    data[*n_byte] = 0;
    return data;
}

void gab_test_file_write(const char *path, const void *data, size_t n_byte) {
    FILE *f = fopen(path, "wb");
    CHECK(f && fwrite(data, 1, n_byte, f) == n_byte && fclose(f) == 0);
}
