/* The cache folder shared with other programs: names, places, what makes a model. No network. */
#define _XOPEN_SOURCE 700 /* kinds of files */
#include "base/hub.h"
#include "base/hub_pick.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test.h"

#define COMMIT "0123456789abcdef0123456789abcdef01234567"
#define HASH   "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

/* ---- names ------------------------------------------------------------------------------------------------------- */

GAB_TEST(names_taken_apart) {
    static const struct {
        const char *text, *repo, *revision, *what;
    } good[] = {
        {"org/name", "org/name", "main", ""},
        {"gpt2", "gpt2", "main", ""},
        {"org/name:Q4_K_M", "org/name", "main", "Q4_K_M"},
        {"org/name:sub/file name.gguf", "org/name", "main", "sub/file name.gguf"},
        {"org/name@v1.0:x.gguf", "org/name", "v1.0", "x.gguf"},
        {"org/name@refs/pr/1", "org/name", "refs/pr/1", ""},
        {"org/name:a@b", "org/name", "main", "a@b"},
        {"org/name:\302\240\303\251.gguf", "org/name", "main", "\302\240\303\251.gguf"},
        {"Org.x/Na_me-1.5b", "Org.x/Na_me-1.5b", "main", ""},
    };
    static const char *const bad[] = {"",
                                      "/",
                                      "/abs/path",
                                      "a/b/c",
                                      "./a",
                                      "../a",
                                      "org/",
                                      "/name",
                                      "org/..",
                                      "or g/x",
                                      "org/na!e",
                                      "org/name:",
                                      "org/name@",
                                      "org/name@x/../y",
                                      "org/name:../x",
                                      "org/name:/x",
                                      "org/name:a//b",
                                      "C:\\x",
                                      "~/model",
                                      "org/name@:",
                                      "org/name:a\302\233[31mb",
                                      "org/name:./x"};
    gab_hub_name name;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        if (!gab_hub_name_parse(good[i].text, &name)) FAIL("%s is not understood", good[i].text);
        if (strcmp(name.repo, good[i].repo) || strcmp(name.revision, good[i].revision) ||
            strcmp(name.what, good[i].what))
            FAIL("%s: '%s' '%s' '%s'", good[i].text, name.repo, name.revision, name.what);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (gab_hub_name_parse(bad[i], &name)) FAIL("'%s' is taken for a repository", bad[i]);
    char longest[GAB_HUB_NAME_MAX + 1];
    memset(longest, 'a', sizeof longest);
    longest[GAB_HUB_NAME_MAX] = 0;
    CHECK(!gab_hub_name_parse(longest, &name));
    longest[GAB_HUB_NAME_MAX - 1] = 0;
    CHECK(gab_hub_name_parse(longest, &name) && strcmp(name.repo, longest) == 0);
}

GAB_TEST(cache_from_environment) {
    char path[GAB_HUB_PATH_MAX];
    static const struct {
        const char *variable, *value, *cache, *token;
    } steps[] = {/* each goes before those in front of it */
                 {"HOME", "/h", "/h/.cache/huggingface/hub", "/h/.cache/huggingface/token"},
                 {"XDG_CACHE_HOME", "/x", "/x/huggingface/hub", "/x/huggingface/token"},
                 {"HF_HOME", "~/hf", "/h/hf/hub", "/h/hf/token"},
                 {"HUGGINGFACE_HUB_CACHE", "/old", "/old", "/h/hf/token"},
                 {"HF_HUB_CACHE", "/c", "/c", "/h/hf/token"},
                 {"HF_TOKEN_PATH", "/t", "/c", "/t"}};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) unsetenv(steps[i].variable);
    CHECK(!gab_hub_cache(path));
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        CHECK(setenv(steps[i].variable, steps[i].value, 1) == 0);
        CHECK(gab_hub_cache(path) && strcmp(path, steps[i].cache) == 0);
        CHECK(gab_hub_token_file(path) && strcmp(path, steps[i].token) == 0);
    }
    CHECK(gab_hub_repo_folder("org/name", path) && strcmp(path, "/c/models--org--name") == 0);
    CHECK(gab_hub_repo_folder("gpt2", path) && strcmp(path, "/c/models--gpt2") == 0);
}

/* ---- picking ----------------------------------------------------------------------------------------------------- */

enum { N_MAX = 16 };

/* Paths up to a NULL, and what is asked for; the paths taken, joined with spaces, or what is wrong. */
static const char *pick(const char *const *paths, const char *what) {
    static char taken[1024];
    static const char *const wrong[] = {"", "nothing", "several", "incomplete"};
    gab_hub_file files[N_MAX] = {{0}};
    gab_hub_choice choices[N_MAX];
    gab_hub_pick p = {.files = files, .choices = choices};
    size_t index, used = 0;
    uint32_t choice;
    for (; paths[p.n_file]; p.n_file++) files[p.n_file].path = paths[p.n_file];
    p.n_choice = gab_hub_choices(files, p.n_file, choices);
    gab_hub_pick_result result = gab_hub_pick_files(&p, what, &index, &choice);
    if (result != GAB_HUB_PICKED) return wrong[result];
    taken[0] = 0;
    for (size_t i = 0; i < p.n_file; i++)
        if (files[i].taken)
            used += (size_t)snprintf(taken + used, sizeof taken - used, "%s%s", used ? " " : "", files[i].path);
    CHECK(index < p.n_file && files[index].taken);
    return taken;
}

static void check_pick(const char *const *paths, const char *what, const char *expected) {
    const char *got = pick(paths, what);
    if (strcmp(got, expected) != 0) FAIL("'%s' picks '%s', not '%s'", what, got, expected);
}

GAB_TEST(picks_gguf_by_type) {
    static const char *const paths[] = {"README.md",   "m-F16.gguf",        "m.Q4_K_S.gguf",
                                        "m-q8_0.gguf", "m-Q4_K_M.gguf",     "mmproj-Q4_K_M.gguf",
                                        "config.json", "model.safetensors", NULL};
    check_pick(paths, "", "m-Q4_K_M.gguf");
    check_pick(paths + 4, "", "m-Q4_K_M.gguf");
    static const char *const some[] = {"m-F16.gguf", "m.Q4_K_S.gguf", "m-q8_0.gguf", NULL};
    check_pick(some, "", "m-q8_0.gguf");
    check_pick(paths, "q4_k_s", "m.Q4_K_S.gguf");
    check_pick(paths, "Q8_0", "m-q8_0.gguf");
    check_pick(paths, "Q4_K", "nothing");
    check_pick(paths, "Q4_0", "nothing");
    check_pick(paths, "f16", "m-F16.gguf");
    check_pick(paths, "m-F16.gguf", "m-F16.gguf");
    check_pick(paths, "mmproj-Q4_K_M.gguf", "mmproj-Q4_K_M.gguf");
    check_pick(paths, "README.md", "README.md");
    check_pick(paths, "safetensors", "config.json model.safetensors");
}

GAB_TEST(types_are_whole_words) {
    static const char *const paths[] = {"m-IQ4_XS.gguf", "m-UD-Q4_K_XL.gguf", "mq8_0x.gguf", "Q6_K/m.gguf", NULL};
    check_pick(paths, "IQ4_XS", "m-IQ4_XS.gguf");
    check_pick(paths, "Q4_K_XL", "m-UD-Q4_K_XL.gguf");
    check_pick(paths, "Q8_0", "nothing");
    check_pick(paths, "Q6_K", "Q6_K/m.gguf");
    check_pick(paths, "", "m-UD-Q4_K_XL.gguf");
}

GAB_TEST(picks_all_shards) {
    static const char *const paths[] = {"b-Q4_K_M-00002-of-00002.gguf", "b-Q4_K_M-00001-of-00002.gguf",
                                        "b-Q8_0-00001-of-00003.gguf",   "b-Q8_0-00003-of-00003.gguf",
                                        "b-Q6_K-00001-of-00001.gguf",   NULL};
    check_pick(paths, "", "b-Q4_K_M-00002-of-00002.gguf b-Q4_K_M-00001-of-00002.gguf");
    check_pick(paths, "b-Q4_K_M-00001-of-00002.gguf", "b-Q4_K_M-00002-of-00002.gguf b-Q4_K_M-00001-of-00002.gguf");
    check_pick(paths, "Q8_0", "incomplete");
    check_pick(paths, "Q6_K", "b-Q6_K-00001-of-00001.gguf");
}

GAB_TEST(picks_safetensors) {
    static const char *const paths[] = {"config.json",
                                        "model-00001-of-00002.safetensors",
                                        "model-00002-of-00002.safetensors",
                                        "model.safetensors.index.json",
                                        "tokenizer.json",
                                        "consolidated.safetensors",
                                        "README.md",
                                        "onnx/model.safetensors",
                                        "pytorch_model.bin",
                                        NULL};
    check_pick(paths, "",
               "config.json model-00001-of-00002.safetensors model-00002-of-00002.safetensors "
               "model.safetensors.index.json tokenizer.json");
    check_pick(paths, "config.json", "config.json");
    check_pick(paths, "consolidated.safetensors", "consolidated.safetensors");
    check_pick(paths + 1, "", "nothing"); /* no config.json */
    static const char *const torn[] = {"config.json", "model-00001-of-00002.safetensors", NULL};
    check_pick(torn, "", "incomplete");
    static const char *const other[] = {"config.json", "weights.safetensors", NULL};
    check_pick(other, "", "config.json weights.safetensors");
}

GAB_TEST(ambiguous_and_untyped) {
    static const char *const twins[] = {"a-Q4_K_M.gguf", "b-Q4_K_M.gguf", "x/c.gguf", "y/c.gguf", NULL};
    check_pick(twins, "", "several");
    check_pick(twins, "Q4_K_M", "several");
    check_pick(twins, "c.gguf", "several");
    check_pick(twins, "y/c.gguf", "y/c.gguf");
    check_pick(twins + 2, "", "several");
    check_pick(twins + 3, "", "y/c.gguf");
    check_pick(twins + 4, "", "nothing");
}

/* ---- the folder -------------------------------------------------------------------------------------------------- */

static char root[64];

static void remove_root(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    if (system(command) != 0) fprintf(stderr, "cannot remove %s\n", root);
}

/* An empty cache of its own; returns the folder of org/name in it. */
static const char *new_cache(void) {
    static char folder[GAB_HUB_PATH_MAX];
    snprintf(root, sizeof root, "/tmp/gabbro-hub-XXXXXX");
    CHECK(mkdtemp(root) && atexit(remove_root) == 0 && setenv("HF_HUB_CACHE", root, 1) == 0);
    CHECK(gab_hub_repo_folder("org/name", folder));
    return folder;
}

static void write_in(const char *folder, const char *name, const char *text) {
    char path[GAB_HUB_PATH_MAX];
    CHECK(gab_hub_path(path, "%s/%s", folder, name) && gab_hub_make_parents(path));
    gab_test_file_write(path, text, strlen(text));
}

static void check_text(const char *folder, const char *name, const char *expected) {
    char path[GAB_HUB_PATH_MAX];
    size_t n;
    CHECK(gab_hub_path(path, "%s/%s", folder, name));
    char *text = gab_test_file_read(path, &n);
    if (strcmp(text, expected) != 0) FAIL("%s holds '%s', not '%s'", name, text, expected);
    free(text);
}

static mode_t kind_of(const char *folder, const char *name) {
    char path[GAB_HUB_PATH_MAX];
    struct stat info;
    CHECK(gab_hub_path(path, "%s/%s", folder, name));
    return lstat(path, &info) == 0 ? info.st_mode & S_IFMT : 0;
}

/* Each way to place a blob; the next is taken where a file system lacks one. */
GAB_TEST(places_blobs) {
    static const struct {
        unsigned ways;
        mode_t kind;
        bool blob_stays;
    } cases[] = {
        {GAB_HUB_ANY, S_IFLNK, true}, {GAB_HUB_HARDLINK | GAB_HUB_MOVE, S_IFREG, true}, {GAB_HUB_MOVE, S_IFREG, false}};
    const char *folder = new_cache();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_in(folder, "blobs/" HASH, "weights");
        CHECK(gab_hub_place(folder, HASH, COMMIT, "sub/deep/file.gguf", cases[i].ways));
        CHECK(kind_of(folder, "snapshots/" COMMIT "/sub/deep/file.gguf") == cases[i].kind);
        check_text(folder, "snapshots/" COMMIT "/sub/deep/file.gguf", "weights");
        CHECK((kind_of(folder, "blobs/" HASH) != 0) == cases[i].blob_stays);
    }
    char target[256], path[GAB_HUB_PATH_MAX];
    write_in(folder, "blobs/" HASH, "weights");
    CHECK(gab_hub_place(folder, HASH, COMMIT, "sub/file.gguf", GAB_HUB_SYMLINK));
    CHECK(gab_hub_path(path, "%s/snapshots/" COMMIT "/sub/file.gguf", folder));
    ssize_t n = readlink(path, target, sizeof target - 1);
    CHECK(n > 0);
    target[n] = 0;
    CHECK(strcmp(target, "../../../blobs/" HASH) == 0);
}

static void check_resolves(const char *text, gab_hub_found expected, const char *ending) {
    gab_hub_name name;
    char path[GAB_HUB_PATH_MAX] = "";
    CHECK(gab_hub_name_parse(text, &name));
    gab_hub_found found = gab_hub_resolve(&name, path);
    if (found != expected) FAIL("%s: %d, not %d", text, found, expected);
    if (found != GAB_HUB_FOUND) return;
    size_t n = strlen(path), n_ending = strlen(ending);
    if (n < n_ending || strcmp(path + n - n_ending, ending) != 0) FAIL("%s is %s, not .../%s", text, path, ending);
}

GAB_TEST(resolves) {
    const char *folder = new_cache();
    check_resolves("org/name", GAB_HUB_ABSENT, NULL);
    write_in(folder, "snapshots/" COMMIT "/a-Q8_0.gguf", "x");
    check_resolves("org/name", GAB_HUB_FOUND, COMMIT "/a-Q8_0.gguf"); /* the only snapshot, without refs/main */
    CHECK(gab_hub_ref_write(folder, "refs/pr/1", COMMIT));
    check_text(folder, "refs/refs/pr/1", COMMIT);
    check_resolves("org/name@refs/pr/1", GAB_HUB_FOUND, COMMIT "/a-Q8_0.gguf");
    check_resolves("org/name@" COMMIT, GAB_HUB_FOUND, COMMIT "/a-Q8_0.gguf");
    check_resolves("org/name@v2", GAB_HUB_ABSENT, NULL);
    write_in(folder, "snapshots/1123456789abcdef0123456789abcdef01234567/b-F16.gguf", "x");
    check_resolves("org/name", GAB_HUB_ABSENT, NULL); /* which? */
    CHECK(gab_hub_ref_write(folder, "main", COMMIT));
    check_resolves("org/name", GAB_HUB_FOUND, COMMIT "/a-Q8_0.gguf");
    write_in(folder, "snapshots/" COMMIT "/q/a-Q4_K_M.gguf", "x");
    check_resolves("org/name", GAB_HUB_FOUND, "/q/a-Q4_K_M.gguf");
    check_resolves("org/name:Q8_0", GAB_HUB_FOUND, "/a-Q8_0.gguf");
    check_resolves("org/name:a-Q8_0.gguf", GAB_HUB_FOUND, "/a-Q8_0.gguf");
    check_resolves("org/name:F16", GAB_HUB_NO_FILE, NULL);
    check_resolves("org/other", GAB_HUB_ABSENT, NULL);
    CHECK(gab_hub_ref_write(folder, COMMIT, COMMIT) && kind_of(folder, "refs/" COMMIT) == 0);
}

GAB_TEST(resolves_folders) {
    const char *folder = new_cache();
    write_in(folder, "refs/main", COMMIT "\n"); /* some programs end the line */
    write_in(folder, "snapshots/" COMMIT "/config.json", "{}");
    check_resolves("org/name", GAB_HUB_NO_FILE, NULL);
    write_in(folder, "snapshots/" COMMIT "/model-00001-of-00002.safetensors", "x");
    check_resolves("org/name", GAB_HUB_NO_FILE, NULL);
    write_in(folder, "snapshots/" COMMIT "/model-00002-of-00002.safetensors", "x");
    check_resolves("org/name", GAB_HUB_FOUND, "snapshots/" COMMIT);
    char path[GAB_HUB_PATH_MAX];
    CHECK(gab_hub_path(path, "%s/snapshots/" COMMIT "/model-00002-of-00002.safetensors", folder));
    CHECK(unlink(path) == 0 && symlink("../../blobs/gone", path) == 0); /* a link to nothing is no file */
    check_resolves("org/name", GAB_HUB_NO_FILE, NULL);
    write_in(folder, "refs/main", "../../../etc");
    check_resolves("org/name", GAB_HUB_ABSENT, NULL);
}

GAB_TEST_MAIN()
