/*
 * tree_layers.c - the source tree keeps its own rules: which folder may include which, one stem for an operation
 * everywhere, no tabs and no trailing spaces. Each case lists every violation before it fails.
 */
#include "test.h"

#include <dirent.h>
#include <sys/stat.h>

/* A folder of src/ includes itself and those before it. */
static const char *const layers[] = {"base",  "tensor", "vk",   "format", "text",   "kernels", "plan",
                                     "model", "run",    "dist", "bench",  "server", "cli"};
enum { N_LAYER = sizeof layers / sizeof layers[0] };

/* What cli/ may use beside gabbro.h, base/ and cli/: one header a file of the folder that it is the face of. */
static const char *const cli_faces[] = {"dist", "bench", "server"};
enum { N_CLI_FACE = sizeof cli_faces / sizeof cli_faces[0] };

static unsigned n_file, n_violation;

#define VIOLATION(...)                                                                                                 \
    do {                                                                                                               \
        n_violation++;                                                                                                 \
        fprintf(stderr, __VA_ARGS__);                                                                                  \
    } while (0)

static void check_none(void) {
    CHECK(n_file > 0);
    if (n_violation > 0) FAIL("%u violations, listed above", n_violation);
}

/* Calls visit for each line of the file, without its newline. `path` is relative to the tree. */
typedef void (*line_fn)(const char *path, unsigned line_number, const char *line);

static void each_line(const char *path, line_fn visit) {
    FILE *file = fopen(gab_test_source(path), "r");
    if (!file) FAIL("%s cannot be read", path);
    static char line[65536];
    for (unsigned i = 1; fgets(line, sizeof line, file); i++) {
        line[strcspn(line, "\n")] = 0;
        visit(path, i, line);
    }
    fclose(file);
    n_file++;
}

static bool has_ending(const char *name, const char *const *endings) {
    for (; *endings; endings++) {
        size_t n = strlen(name), n_ending = strlen(*endings);
        if (n > n_ending && strcmp(name + n - n_ending, *endings) == 0) return true;
    }
    return false;
}

/* Every file below the folder with one of the endings; hidden names are left out. */
static void each_file(const char *folder, const char *const *endings, void (*visit)(const char *path)) {
    DIR *dir = opendir(gab_test_source(folder));
    if (!dir) return;
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (entry->d_name[0] == '.') continue;
        char path[4096];
        struct stat info;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (stat(gab_test_source(path), &info) != 0) continue;
        if (S_ISDIR(info.st_mode))
            each_file(path, endings, visit);
        else if (has_ending(entry->d_name, endings))
            visit(path);
    }
    closedir(dir);
}

static bool exists(const char *folder, const char *name) {
    char path[4096];
    struct stat info;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return stat(gab_test_source(path), &info) == 0;
}

/* ---- includes
 * -------------------------------------------------------------------------------------------------------- */

static const char *const c_endings[] = {".c", ".h", NULL};

/* The place of "folder/..." in layers, or N_LAYER. */
static unsigned layer_of(const char *path) {
    for (unsigned i = 0; i < N_LAYER; i++) {
        size_t n = strlen(layers[i]);
        if (strncmp(path, layers[i], n) == 0 && path[n] == '/') return i;
    }
    return N_LAYER;
}

/* The name in #include "name", or NULL; valid until the next call. */
static const char *included(const char *line) {
    static char name[256];
    return sscanf(line, " # include \"%255[^\"]\"", name) == 1 ? name : NULL;
}

static void check_layer(const char *path, unsigned line_number, const char *line) {
    const char *name = included(line);
    if (!name) return;
    unsigned from = layer_of(path + strlen("src/")), to = layer_of(name);
    if (from == N_LAYER) VIOLATION("%s: in no folder of the layout\n", path);
    if (!strchr(name, '/')) {
        /* gabbro.h, what C and GLSL share, the generated list of shaders; a header of src/ is named with its folder */
        if (!exists("include", name) && !exists("shaders", name) && strcmp(name, "shader_list.h") != 0)
            VIOLATION("%s:%u: \"%s\" must be written with its folder\n", path, line_number, name);
    } else if (to == N_LAYER) {
        VIOLATION("%s:%u: \"%s\" is of no folder of the layout\n", path, line_number, name);
    } else if (to > from) {
        VIOLATION("%s:%u: %s/ must not include \"%s\"\n", path, line_number, layers[from], name);
    }
}

static void check_layers(const char *path) {
    each_line(path, check_layer);
}

GAB_TEST(includes_point_upwards) {
    each_file("src", c_endings, check_layers);
    check_none();
}

static char face[256]; /* the one face header of the file being read */

static void check_cli(const char *path, unsigned line_number, const char *line) {
    const char *name = included(line);
    if (!name || strcmp(name, "gabbro.h") == 0 || strncmp(name, "base/", 5) == 0 || strncmp(name, "cli/", 4) == 0)
        return;
    for (unsigned i = 0; i < N_CLI_FACE; i++) {
        size_t n = strlen(cli_faces[i]);
        if (strncmp(name, cli_faces[i], n) != 0 || name[n] != '/') continue;
        if (face[0] == 0) {
            snprintf(face, sizeof face, "%s", name);
            return;
        }
        VIOLATION("%s:%u: \"%s\" beside \"%s\": a command uses one entry header\n", path, line_number, name, face);
        return;
    }
    VIOLATION("%s:%u: cli/ must not include \"%s\"\n", path, line_number, name);
}

static void check_cli_file(const char *path) {
    face[0] = 0;
    each_line(path, check_cli);
}

GAB_TEST(cli_uses_the_public_header) {
    each_file("src/cli", c_endings, check_cli_file);
    check_none();
}

/* ---- stems
 * ----------------------------------------------------------------------------------------------------------- */

/* A file of the whole stem, or of the stem without its last words: attention_prefill_group is a variant of attention.
 */
static bool exists_for_stem(const char *folder, const char *prefix, const char *stem) {
    char file[256];
    snprintf(file, sizeof file, "%s%s.c", prefix, stem);
    if (exists(folder, file)) return true;
    for (size_t n = strlen(stem); n > 0; n--) {
        if (stem[n] != '_') continue;
        snprintf(file, sizeof file, "%s%.*s.c", prefix, (int)n, stem);
        if (exists(folder, file)) return true;
    }
    return false;
}

static void check_stem(const char *path) {
    n_file++;
    char stem[128];
    const char *name = strrchr(path, '/') + 1;
    snprintf(stem, sizeof stem, "%.*s", (int)strcspn(name, "."), name);
    if (strncmp(stem, "probe", 5) == 0) return; /* no operation: it finds out whether a device executes */
    if (!exists_for_stem("src/kernels", "", stem)) VIOLATION("%s: no src/kernels/%s.c\n", path, stem);
    if (!exists_for_stem("tests", "kernel_", stem)) VIOLATION("%s: no tests/kernel_%s.c\n", path, stem);
}

GAB_TEST(an_operation_has_one_stem) {
    static const char *const endings[] = {".comp", NULL};
    each_file("shaders", endings, check_stem);
    check_none();
}

/* ---- white space
 * ----------------------------------------------------------------------------------------------------- */

static void check_space(const char *path, unsigned line_number, const char *line) {
    size_t n = strlen(line);
    if (strchr(line, '\t')) VIOLATION("%s:%u: a tab\n", path, line_number);
    if (n > 0 && (line[n - 1] == ' ' || line[n - 1] == '\r'))
        VIOLATION("%s:%u: a space at its end\n", path, line_number);
}

static void check_spaces(const char *path) {
    each_line(path, check_space);
}

GAB_TEST(no_tab_no_trailing_space) {
    static const char *const endings[] = {".c", ".h", ".comp", ".glsl", ".cmake", ".txt", ".py", NULL};
    static const char *const folders[] = {"src", "include", "shaders", "tests", "bench", "scripts", "third_party"};
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) each_file(folders[i], endings, check_spaces);
    check_none();
}

GAB_TEST_MAIN()
