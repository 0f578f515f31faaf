/*
 * gabbro pull against a small hub on this machine (pull_server.py) that has the faults real ones have: every case names
 * one by the path of its address. Needs python3; the cases without a server do not.
 */
#define _XOPEN_SOURCE   700 /* pseudo-terminals */
#define _DEFAULT_SOURCE     /* flock's headers, mount */
#include "cli.h"

#include <dirent.h>
#include <ftw.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <time.h>

#define COMMIT       "0123456789abcdef0123456789abcdef01234567"
#define OTHER_COMMIT "89abcdef0123456789abcdef0123456789abcdef"
#define Q4           "model-Q4_K_M.gguf"
#define Q4_HASH      "74bc87eb88ee424372a4ed99adaff03f52b6df82ee4d1a49993cfc21a36b88be"
#define GGUF         "hub/models--org--gguf/"
enum { Q4_BYTES = 300000, PATIENCE = 2000 /* times 20 ms, on a busy machine */ };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size); /* fuzz/fuzz_pull.c */

static char root[64]; /* a folder of the case's own, and where it works: log, hub/ (the cache), home/ */
static int port;

/* ---- the place --------------------------------------------------------------------------------------------------- */

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *walk) {
    (void)info, (void)type, (void)walk;
    return remove(path);
}

static void remove_root(void) {
    nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* A folder to work in, and nothing of the user's own settings. */
static void set_place(void) {
    static const char *const unset[] = {
        "HF_TOKEN",       "HF_TOKEN_PATH", "HF_ENDPOINT",    "HF_HOME",     "HUGGINGFACE_HUB_CACHE",
        "HF_HUB_OFFLINE", "http_proxy",    "HTTP_PROXY",     "https_proxy", "HTTPS_PROXY",
        "all_proxy",      "ALL_PROXY",     "XDG_CACHE_HOME", "GABBRO_MODEL"};
    char path[128];
    for (size_t i = 0; i < sizeof unset / sizeof *unset; i++) unsetenv(unset[i]);
    snprintf(root, sizeof root, "/tmp/gabbro-pull-XXXXXX");
    CHECK(mkdtemp(root) && atexit(remove_root) == 0 && chdir(root) == 0);
    snprintf(path, sizeof path, "%s/hub", root);
    CHECK(setenv("HF_HUB_CACHE", path, 1) == 0);
    snprintf(path, sizeof path, "%s/home", root);
    CHECK(setenv("HOME", path, 1) == 0 && mkdir(path, 0777) == 0);
}

/* Runs the server until this program ends: its standard input closes then. */
static void start_server(void) {
    int in[2], out[2];
    char line[32] = "";
    cli_program();
    set_place();
    CHECK(pipe(in) == 0 && pipe(out) == 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        if (dup2(in[0], 0) < 0 || dup2(out[1], 1) < 0) _exit(126);
        for (int fd = 3; fd < 64; fd++) close(fd);
        execlp("python3", "python3", gab_test_source("tests/pull_server.py"), "log",
               gab_test_source("models/tales.gguf"), (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    CHECK(fcntl(in[1], F_SETFD, FD_CLOEXEC) == 0);
    FILE *f = fdopen(out[0], "r");
    if (!f || !fgets(line, sizeof line, f)) SKIP("no python3 to run the server");
    port = atoi(line);
    CHECK(port > 0);
    cli_result result = CLI("pull", "org/name", "--endpoint", "ftp://nowhere");
    if (strstr(result.err, "GAB_PULL")) SKIP("built without GAB_PULL");
    cli_result_free(&result);
}

static const char *endpoint(const char *fault) {
    static char urls[4][128];
    static int turn;
    char *url = urls[turn++ % 4];
    snprintf(url, sizeof urls[0], "http://127.0.0.1:%d/%s", port, fault);
    return url;
}

#define PULL(fault, ...) CLI("pull", "--retry-ms", "10", "--stall-s", "1", "--endpoint", endpoint(fault), __VA_ARGS__)

static void check_pulls(const char *fault, const char *repo) {
    cli_result result = PULL(fault, repo);
    CHECK_EXIT(result, 0);
    cli_result_free(&result);
}

static void check_fails(const char *fault, const char *repo, const char *says) {
    cli_result result = PULL(fault, repo);
    if (result.exit_status != 1) FAIL("%s: exit status %d: %s", fault, result.exit_status, result.err);
    CHECK(result.n_out == 0);
    CHECK_SAYS(result.err, "gabbro: error: ");
    CHECK_SAYS(result.err, says);
    cli_result_free(&result);
}

static bool exists(const char *path) {
    struct stat info;
    return lstat(path, &info) == 0;
}

static uint64_t size_of(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 ? (uint64_t)info.st_size : UINT64_MAX;
}

static void check_pulled(void) {
    CHECK(size_of(GGUF "blobs/" Q4_HASH) == Q4_BYTES);
    CHECK(size_of(GGUF "snapshots/" COMMIT "/" Q4) == Q4_BYTES);
    CHECK(!exists(GGUF "blobs/" Q4_HASH ".incomplete"));
}

static void check_nothing_pulled(void) {
    CHECK(!exists(GGUF "blobs/" Q4_HASH) && !exists(GGUF "snapshots/" COMMIT "/" Q4) && !exists(GGUF "refs/main"));
}

/* ---- the server's log -------------------------------------------------------------------------------------------- */

typedef struct log_sum {
    unsigned n;     /* lines */
    uint64_t bytes; /* of files, sent */
} log_sum;

/* Of the lines that hold both words. */
static log_sum sum_log(const char *word, const char *other) {
    static char line[4096];
    log_sum sum = {0};
    FILE *f = fopen("log", "r");
    CHECK(f);
    while (fgets(line, sizeof line, f)) {
        const char *sent = strstr(line, "sent=");
        if (!sent || !strstr(line, word) || !strstr(line, other)) continue;
        sum.n++;
        sum.bytes += strtoull(sent + 5, NULL, 10);
    }
    fclose(f);
    return sum;
}

static void sleep_ms(long ms) {
    const struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

/* The server writes its log when a request is over, which may be after the program has what it wants. */
static void check_log(const char *word, const char *other, unsigned n) {
    for (int i = 0; i < PATIENCE && sum_log(word, other).n < n; i++) sleep_ms(20);
    unsigned found = sum_log(word, other).n;
    if (found != n) FAIL("%u requests with '%s' and '%s', not %u", found, word, other, n);
}

static void check_sent(const char *word, uint64_t bytes) {
    for (int i = 0; i < PATIENCE && sum_log(word, "GET").bytes < bytes; i++) sleep_ms(20);
    uint64_t found = sum_log(word, "GET").bytes;
    if (found != bytes)
        FAIL("%llu bytes of %s sent, not %llu", (unsigned long long)found, word, (unsigned long long)bytes);
}

static void forget_log(void) {
    CHECK(truncate("log", 0) == 0);
}

/* ---- what there is ----------------------------------------------------------------------------------------------- */

GAB_TEST(lists_choices) {
    start_server();
    cli_result result = PULL("plain", "--list", "org/gguf");
    CHECK_EXIT(result, 0);
    CHECK_SAYS(result.out, "* Q4_K_M          300 kB  model-Q4_K_M.gguf\n");
    CHECK_SAYS(result.out, "  Q5_K_M         5.00 kB  big-Q5_K_M-00001-of-00002.gguf (2 files)\n");
    CHECK_SAYS(result.out, "torn-Q6_K-00001-of-00003.gguf incomplete\n");
    CHECK(!strstr(result.out, "mmproj"));
    cli_result_free(&result);
    cJSON *json = cli_json(PULL("plain", "--list", "--json", "org/gguf:q8_0"));
    CHECK(strcmp(cli_json_text_of(json, "commit"), COMMIT) == 0);
    const cJSON *choices = cJSON_GetObjectItem(json, "choices"), *choice;
    CHECK(cJSON_GetArraySize(choices) == 6);
    cJSON_ArrayForEach(choice, choices) {
        bool picked = cJSON_IsTrue(cJSON_GetObjectItem(choice, "picked"));
        CHECK(picked == (strcmp(cli_json_text_of(choice, "name"), "Q8_0") == 0));
        if (picked) CHECK(cli_json_number_of(choice, "bytes") == 4000);
    }
    cJSON_Delete(json);
    CHECK(!exists("hub"));
}

GAB_TEST(dry_run_takes_nothing) {
    start_server();
    cli_result result = PULL("plain", "--dry-run", "org/folder");
    CHECK_EXIT(result, 0);
    CHECK_SAYS(result.out, "wanted    50.0 kB  model-00001-of-00002.safetensors\n");
    CHECK(!strstr(result.out, "consolidated") && !strstr(result.out, ".bin") && !strstr(result.out, "onnx"));
    CHECK_SAYS(result.err, "99.0 kB to download");
    cli_result_free(&result);
    CHECK(!exists("hub"));
    check_log("resolve", "", 0);
}

GAB_TEST(what_is_not_there) {
    start_server();
    check_fails("plain", "org/gguf:Q9_9",
                "org/gguf:Q9_9: the repository has no such file or type. There is: F16, Q8_0, "
                "Q4_K_M, Q5_K_M, Q6_K, Q3_K_S");
    check_fails("plain", "org/gguf:Q6_K", "lacks parts of it");
    check_fails("plain", "org/twins",
                "several that this may mean: name one by its file. There is: a-Q4_K_M.gguf, "
                "b-Q4_K_M.gguf");
    check_fails("plain", "org/pickles",
                "neither GGUF files nor config.json with *.safetensors. Its files: config.json, "
                "pytorch_model.bin");
    check_fails("plain", "org/none", "org/none: there is nothing of that name");
    check_fails("plain", "org/gguf@nix", "org/gguf has no revision 'nix'; it has main, dev, v1.0");
    check_fails("not_json", "org/gguf", "does not answer with JSON");
    check_fails("no_commit", "org/gguf", "'sha' is not a commit");
    check_fails("no_hash", "org/gguf", "tells no SHA-256 or git hash of " Q4);
    check_nothing_pulled();
}

GAB_TEST(bad_names_and_addresses) {
    static const struct {
        const char *repo, *endpoint, *says;
    } cases[] = {{"a/b/c", "http://x", "'a/b/c' does not name a repository"},
                 {"../b", "http://x", "'../b' does not name a repository"},
                 {"a/b:../c", "http://x", "does not name a repository"},
                 {"a/b", "ftp://x", "--endpoint: 'ftp://x' is not an address"},
                 {"a/b", "huggingface.co", "is not an address that begins with https://"},
                 {"a/b", "http://127.0.0.1:9", "cannot reach 127.0.0.1"}};
    cli_program();
    set_place();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cli_result result = CLI("pull", cases[i].repo, "--endpoint", cases[i].endpoint);
        CHECK_EXIT(result, i < sizeof cases / sizeof *cases - 1 ? 2 : 1);
        if (strstr(result.err, "GAB_PULL")) SKIP("built without GAB_PULL");
        CHECK_SAYS(result.err, cases[i].says);
        cli_result_free(&result);
    }
    CHECK(setenv("HF_HUB_OFFLINE", "1", 1) == 0);
    cli_result result = CLI("pull", "a/b");
    CHECK_EXIT(result, 2);
    CHECK_SAYS(result.err, "HF_HUB_OFFLINE");
    cli_result_free(&result);
}

/* ---- the cache --------------------------------------------------------------------------------------------------- */

static char tree[8192]; /* what lies below hub/: a line an entry, links with their targets */

static int add_entry(const char *path, const struct stat *info, int type, struct FTW *walk) {
    char target[256] = "";
    (void)walk;
    if (type == FTW_D) return 0;
    if (S_ISLNK(info->st_mode)) {
        memcpy(target, " -> ", 4);
        CHECK(readlink(path, target + 4, sizeof target - 5) > 0);
    }
    size_t n = strlen(tree);
    CHECK((size_t)snprintf(tree + n, sizeof tree - n, "%s%s\n", path, target) < sizeof tree - n);
    return 0;
}

/* The layout as https://huggingface.co/docs/hub/local-cache tells it, entry by entry. */
GAB_TEST(layout_of_the_shared_cache) {
    static const char *const expected[] = {
        "hub/.locks/models--org--folder/9eddb62b076f586b2186445e7872e5a05f0dfe06.lock\n",
        "hub/models--org--folder/blobs/9eddb62b076f586b2186445e7872e5a05f0dfe06\n",
        "hub/models--org--folder/blobs/37e4041a9ee1aa492d3a4d1e4636e55a723148b03cac518964a3453d11a7a3f5\n",
        "hub/models--org--folder/refs/main\n",
        "hub/models--org--folder/snapshots/" COMMIT
        "/config.json -> ../../blobs/9eddb62b076f586b2186445e7872e5a05f0dfe06\n",
        "hub/models--org--folder/snapshots/" COMMIT "/model-00001-of-00002.safetensors -> "
        "../../blobs/37e4041a9ee1aa492d3a4d1e4636e55a723148b03cac518964a3453d11a7a3f5\n",
        "hub/models--org--folder/snapshots/" COMMIT
        "/added_tokens.json -> ../../blobs/e69de29bb2d1d6434b8b29ae775ad8c2e48c5391\n",
    };
    size_t n, n_line = 0;
    start_server();
    cli_result result = PULL("plain", "org/folder");
    CHECK_EXIT(result, 0);
    char path[256];
    snprintf(path, sizeof path, "%s/hub/models--org--folder/snapshots/" COMMIT "\n", root);
    CHECK(strcmp(result.out, path) == 0); /* the folder is the model */
    cli_result_free(&result);
    CHECK(nftw("hub", add_entry, 16, FTW_PHYS) == 0);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) CHECK_SAYS(tree, expected[i]);
    for (const char *c = tree; *c; c++) n_line += *c == '\n';
    CHECK(n_line == 3 * 7 + 1); /* a lock, a blob and a link for each of the seven files, and the ref */
    char *ref = gab_test_file_read("hub/models--org--folder/refs/main", &n);
    CHECK(strcmp(ref, COMMIT) == 0); /* without a line end */
    free(ref);
    forget_log();
    check_pulls("plain", "org/folder"); /* all there: only the list is asked for */
    check_log("", "", 1);
}

GAB_TEST(subfolders_shards_revisions) {
    start_server();
    check_pulls("plain", "org/gguf:Q3_K_S");
    char target[256] = "";
    CHECK(readlink(GGUF "snapshots/" COMMIT "/sub/deep/model-Q3_K_S.gguf", target, sizeof target - 1) > 0);
    CHECK(strncmp(target, "../../../../blobs/", 18) == 0);
    check_pulls("plain", "org/gguf:q5_k_m");
    CHECK(exists(GGUF "snapshots/" COMMIT "/big-Q5_K_M-00001-of-00002.gguf"));
    CHECK(exists(GGUF "snapshots/" COMMIT "/big-Q5_K_M-00002-of-00002.gguf"));
    check_pulls("plain", "org/gguf:README.md");
    forget_log();
    check_pulls("plain", "org/gguf@v1.0:Q3_K_S"); /* the same content: no byte of it comes again */
    CHECK(exists(GGUF "refs/v1.0") && exists(GGUF "snapshots/" OTHER_COMMIT "/sub/deep/model-Q3_K_S.gguf"));
    check_sent("Q3_K_S", 0);
    cli_result result = PULL("plain", "-r", "refs/pr/1", "org/gguf:Q3_K_S");
    CHECK_EXIT(result, 0);
    cli_result_free(&result);
    CHECK(exists(GGUF "refs/refs/pr/1"));
    check_pulls("plain", "org/old"); /* renamed: the hub leads on */
    CHECK(exists("hub/models--org--old/snapshots/" COMMIT "/" Q4));
    check_pulls("plain", "gpt"); /* an old name without an organization */
    CHECK(exists("hub/models--gpt/refs/main"));
}

/* What a server lists may not lead out of the cache. */
GAB_TEST(unsafe_names_are_left_out) {
    start_server();
    cli_result result = PULL("plain", "org/evil");
    CHECK_EXIT(result, 0);
    CHECK_SAYS(result.err, "2 files left out");
    CHECK_SAYS(result.out, "good-F16.gguf");
    CHECK(!exists("evil-Q4_K_M.gguf") && !exists("/tmp/evil-Q8_0.gguf"));
    cli_result_free(&result);
}

GAB_TEST(unwritable_cache) {
    start_server();
    gab_test_file_write("file", "x", 1);
    CHECK(setenv("HF_HUB_CACHE", "file/hub", 1) == 0);
    check_fails("plain", "org/gguf",
                "cannot write file/hub/models--org--gguf/blobs/: Not a directory. HF_HUB_CACHE names");
    CHECK(mkdir("locked", 0500) == 0 && setenv("HF_HUB_CACHE", "locked/hub", 1) == 0);
    if (geteuid() != 0) check_fails("plain", "org/gguf", "Permission denied"); /* root may write anywhere */
}

/* ---- -m REPO ----------------------------------------------------------------------------------------------------- */

static void check_tokenizes(const char *model) {
    cli_result result = CLI("tokenize", "-m", model, "-p", "Once upon");
    CHECK_EXIT(result, 0);
    CHECK(strcmp(result.out, "47 1320 600\n") == 0);
    cli_result_free(&result);
}

GAB_TEST(model_by_its_repository) {
    start_server();
    check_pulls("plain", "org/tales");
    forget_log();
    check_tokenizes("org/tales");
    check_tokenizes("org/tales:tales.gguf");
    check_tokenizes("org/tales@" COMMIT);
    CHECK(setenv("GABBRO_MODEL", "org/tales", 1) == 0);
    cli_result result = CLI("tokenize", "-p", "Once upon");
    CHECK_EXIT(result, 0);
    cli_result_free(&result);
    check_log("", "", 0); /* no network */
    CHECK(mkdir("org", 0777) == 0);
    gab_test_file_write("org/tales", "no model", 8); /* a file of that name goes first */
    result = CLI("tokenize", "-m", "org/tales", "-p", "Once upon");
    CHECK_EXIT(result, 1);
    CHECK_SAYS(result.err, "org/tales: ");
    cli_result_free(&result);
}

GAB_TEST(model_not_in_the_cache) {
    static const struct {
        const char *model, *says;
    } cases[] = {{"org/name", "no such repository in the cache: 'gabbro pull org/name' downloads it"},
                 {"org/name:Q8_0", "'gabbro pull org/name:Q8_0' downloads it"},
                 {"name", "there is no file name, and no such repository in the cache: 'gabbro pull name'"},
                 {"org/name.gguf", "cannot open org/name.gguf"},
                 {"missing.gguf", "cannot open missing.gguf"},
                 {"./org/name", "cannot open ./org/name"},
                 {"org/part", "org/part is not complete in the cache"}};
    cli_program();
    set_place();
    CHECK(mkdir("hub", 0777) == 0 && mkdir("hub/models--org--part", 0777) == 0);
    CHECK(mkdir("hub/models--org--part/snapshots", 0777) == 0);
    CHECK(mkdir("hub/models--org--part/snapshots/" COMMIT, 0777) == 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cli_result result = CLI("tokenize", "-m", cases[i].model, "-p", "x");
        CHECK_EXIT(result, 1);
        CHECK_SAYS(result.err, cases[i].says);
        cli_result_free(&result);
    }
}

/* ---- cuts and resuming ------------------------------------------------------------------------------------------- */

/* Cut after each 100000 bytes: each byte is sent once, each request asks for the rest of the same version. */
GAB_TEST(resumes_after_cuts) {
    start_server();
    check_pulls("cut", "org/gguf");
    check_pulled();
    check_sent(Q4, Q4_BYTES);
    check_log("GET", Q4 " range=- if-range=- ", 1);
    check_log("GET", Q4 " range=bytes=100000- if-range=\"" Q4_HASH "\"", 1);
    check_log("GET", Q4 " range=bytes=200000- if-range=\"" Q4_HASH "\"", 1);
}

/* The other host's tag is not the hub's: no If-Range there. */
GAB_TEST(resumes_behind_a_redirect) {
    start_server();
    check_pulls("cut_once", "org/gguf");
    check_pulled();
    check_sent(Q4, Q4_BYTES);
    check_log("GET localhost", "range=bytes=100000- if-range=- ", 1);
    forget_log();
    remove(GGUF "blobs/" Q4_HASH);
    check_pulls("rest_503", "org/gguf"); /* trouble in the middle of it */
    check_pulled();
    check_sent(Q4, Q4_BYTES);
}

GAB_TEST(server_without_ranges) {
    start_server();
    cli_result result = PULL("norange", "org/gguf");
    CHECK_EXIT(result, 0);
    CHECK_SAYS(result.err, "cannot go on in the middle");
    cli_result_free(&result);
    check_pulled();
    check_sent(Q4, 100000 + Q4_BYTES);
}

GAB_TEST(range_not_satisfiable) {
    start_server();
    check_pulls("no_416", "org/gguf");
    check_pulled();
    check_sent(Q4, 100000 + Q4_BYTES);
    check_log("416", "range=bytes=100000-", 1);
}

GAB_TEST(other_range_than_asked) {
    start_server();
    check_fails("wrong_range", "org/gguf", "the server sends other bytes than those from 100000 on");
    check_nothing_pulled();
}

static void write_rest(const char *data, size_t n) {
    CHECK(mkdir("hub", 0777) == 0 || errno == EEXIST);
    CHECK(mkdir("hub/models--org--gguf", 0777) == 0 || errno == EEXIST);
    CHECK(mkdir(GGUF "blobs", 0777) == 0 || errno == EEXIST);
    gab_test_file_write(GGUF "blobs/" Q4_HASH ".incomplete", data, n);
}

/* What lies there from before is hashed too; whatever it is, the end is right. */
GAB_TEST(what_lies_there) {
    size_t n;
    start_server();
    check_pulls("direct", "org/gguf");
    char *data = gab_test_file_read(GGUF "blobs/" Q4_HASH, &n), *longer = calloc(1, n + 1);
    static const struct {
        size_t n; /* bytes there */
        bool damaged;
        uint64_t sent;
    } cases[] = {{123456, false, Q4_BYTES - 123456},
                 {Q4_BYTES, false, 0},
                 {1000, true, Q4_BYTES - 1000 + Q4_BYTES},
                 {Q4_BYTES, true, Q4_BYTES},
                 {Q4_BYTES + 1, true, Q4_BYTES}};
    CHECK(longer);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        remove(GGUF "blobs/" Q4_HASH);
        forget_log();
        write_rest(cases[i].damaged ? longer : data, cases[i].n);
        cJSON *json = cli_json(PULL("direct", "--json", "org/gguf"));
        const cJSON *file = cJSON_GetArrayItem(cJSON_GetObjectItem(json, "files"), 0);
        CHECK(strcmp(cli_json_text_of(file, "state"), cases[i].sent < Q4_BYTES ? "resumed" : "downloaded") == 0);
        CHECK(cli_json_number_of(file, "received") == (double)cases[i].sent);
        CHECK(strcmp(cli_json_text_of(file, "hash"), Q4_HASH) == 0);
        cJSON_Delete(json);
        check_pulled();
        check_sent(Q4, cases[i].sent);
    }
    free(data);
    free(longer);
}

/* A pull under way: of the slow server, which takes two seconds, or of one that stops after 100000 bytes. */
static pid_t start_pull(const char *fault, FILE *err) {
    static const char *arguments[] = {"pull", "--retry-ms", "10", "--endpoint", NULL, "org/gguf", NULL};
    arguments[4] = endpoint(fault);
    int null = open("/dev/null", O_RDWR);
    CHECK(null >= 0);
    pid_t pid = cli_start(arguments, null, null, fileno(err));
    close(null);
    return pid;
}

static void wait_for_bytes(uint64_t n_byte) {
    for (int i = 0; i < PATIENCE; i++) {
        uint64_t n = size_of(GGUF "blobs/" Q4_HASH ".incomplete");
        if (n != UINT64_MAX && n >= n_byte) return;
        sleep_ms(20);
    }
    FAIL("nothing comes");
}

/* By Ctrl-C, which says so, and by SIGKILL, which cannot. */
GAB_TEST(interrupted_goes_on_later) {
    static const int signals[] = {SIGINT, SIGKILL};
    start_server();
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        size_t n;
        FILE *err = tmpfile();
        CHECK(err);
        pid_t pid = start_pull("stall", err);
        wait_for_bytes(100000);
        CHECK(kill(pid, signals[i]) == 0);
        CHECK(cli_wait(pid) == (signals[i] == SIGINT ? 1 : 128 + SIGKILL));
        char *text = cli_read_all(err, &n);
        if (signals[i] == SIGINT) CHECK_SAYS(text, "interrupted: the same command goes on from here");
        free(text);
        check_nothing_pulled();
        CHECK(size_of(GGUF "blobs/" Q4_HASH ".incomplete") == 100000);
        forget_log();
        check_pulls("direct", "org/gguf");
        check_pulled();
        check_log("/direct/", "range=bytes=100000-", 1);
        check_sent("/direct/", Q4_BYTES - 100000);
        CHECK(remove(GGUF "blobs/" Q4_HASH) == 0 && remove(GGUF "refs/main") == 0);
        CHECK(remove(GGUF "snapshots/" COMMIT "/" Q4) == 0);
    }
}

GAB_TEST(stalls_are_cut_short) {
    start_server();
    time_t start = time(NULL);
    cli_result result = PULL("stall_once", "org/gguf");
    CHECK_EXIT(result, 0);
    CHECK_SAYS(result.err, "127.0.0.1 sends nothing any more");
    CHECK(time(NULL) - start < 60); /* the server would keep still for 120 s */
    cli_result_free(&result);
    check_pulled();
}

GAB_TEST(gives_up_on_dead_connections) {
    start_server();
    check_fails("drop", "org/gguf", "5 times in a row");
    check_log("/drop/api", "", 5);
}

/* ---- lies and damage --------------------------------------------------------------------------------------------- */

GAB_TEST(lies_about_sizes) {
    static const char *const says = "the hub contradicts itself about the size of " Q4 ": ";
    start_server();
    check_fails("lie_list", "org/gguf", says);
    check_fails("lie_list", "org/gguf", "300001 bytes, then 300000 bytes");
    check_fails("lie_length", "org/gguf", "300000 bytes, then 301000 bytes");
    check_fails("more", "org/gguf", says);
    check_fails("lie_hash", "org/gguf", "the hub contradicts itself about the hash of " Q4);
    check_nothing_pulled();
    CHECK(!exists(GGUF "blobs/" Q4_HASH ".incomplete") || size_of(GGUF "blobs/" Q4_HASH ".incomplete") <= Q4_BYTES);
}

/* Without a length the end comes as if all were there. */
GAB_TEST(ends_early_without_saying_so) {
    start_server();
    cli_result result = PULL("short", "org/gguf");
    CHECK_EXIT(result, 0);
    CHECK_SAYS(result.err, "it ends early, at byte 100000 of 300000");
    cli_result_free(&result);
    check_pulled();
    check_sent(Q4, Q4_BYTES);
}

GAB_TEST(damaged_bytes) {
    start_server();
    check_fails("corrupt", "org/gguf",
                Q4 ": damaged: its SHA-256 is b5ec0153f2bec52d4aedd9f9ba238548cc604db8fa031da3cc2c2d738e014a54");
    check_fails("corrupt", "org/gguf", "should be " Q4_HASH);
    check_nothing_pulled();
    CHECK(!exists(GGUF "blobs/" Q4_HASH ".incomplete")); /* nothing to build on */
    cli_result result = PULL("corrupt_once", "org/gguf");
    CHECK_EXIT(result, 0);
    CHECK_SAYS(result.err, "what came is damaged");
    cli_result_free(&result);
    check_pulled();
}

/* A list without sizes and hashes: the files' own headers tell them. */
GAB_TEST(bare_list) {
    start_server();
    check_pulls("no_blobs", "org/gguf");
    check_pulled();
    check_pulls("etag_only", "org/folder");
    CHECK(size_of("hub/models--org--folder/snapshots/" COMMIT "/model-00002-of-00002.safetensors") == 40000);
}

/* ---- refusals and tokens ----------------------------------------------------------------------------------------- */

GAB_TEST(refusals) {
    start_server();
    check_fails("s401", "org/gguf", "not without a token (status 401)");
    check_fails("s401", "org/gguf", "/s401/org/gguf, make a token at");
    check_fails("s401", "org/gguf", "set HF_TOKEN to it");
    check_fails("s403", "org/gguf", "(status 403)");
    check_fails("s404", "org/gguf", "there is nothing of that name at");
    check_fails("gated", "org/gguf", "org/gguf:" Q4 ": not without a token (status 401): accept its license at");
    CHECK(setenv("HF_TOKEN", "bad", 1) == 0);
    check_fails("s401", "org/gguf", "the token is not accepted");
    check_fails("denied", "org/gguf",
                "your token may not read it (status 403): Access to model is restricted.. Accept its "
                "license at");
    CHECK(setenv("HF_TOKEN", "bad\r\nX-Evil: 1", 1) == 0);
    cli_result result = PULL("plain", "org/gguf");
    CHECK_EXIT(result, 2);
    CHECK_SAYS(result.err, "HF_TOKEN does not hold a token");
    cli_result_free(&result);
    check_nothing_pulled();
}

/* The hub gets the token, another host never. */
GAB_TEST(token_stays_with_the_hub) {
    start_server();
    CHECK(setenv("HF_TOKEN", " good\n", 1) == 0);
    check_pulls("gated_token", "org/gguf");
    check_pulled();
    check_log(" 127.0.0.1:", "auth=good", 3); /* the list, the question, the redirect */
    check_log(" localhost:", "auth=-", 1);
    check_log(" localhost:", "auth=good", 0);
}

GAB_TEST(token_from_its_file) {
    start_server();
    CHECK(setenv("HF_HOME", "home", 1) == 0);
    gab_test_file_write("home/token", "good\n", 5);
    check_pulls("gated_token", "org/gguf");
    check_log(" localhost:", "auth=good", 0);
}

GAB_TEST(endless_and_unsafe_redirects) {
    start_server();
    check_fails("loop", "org/gguf", "leads from one address to the next, more than 10 times");
    check_fails("file_url", "org/gguf", "leads to 'file:///etc/passwd', which is not a safe address");
    check_nothing_pulled();
}

GAB_TEST(tries_again_when_told) {
    start_server();
    check_pulls("s500_once", "org/gguf:F16");
    check_pulls("s503_once", "org/small:F16");
    check_log(" 503 ", "", 2);
    time_t start = time(NULL);
    cli_result result = PULL("s429", "org/gguf"); /* Retry-After: 1, for the list and for the file */
    CHECK_EXIT(result, 0);
    CHECK_SAYS(result.err, "status 429 (too many requests); next try in 1.0 s");
    CHECK(time(NULL) - start >= 2);
    cli_result_free(&result);
    check_pulled();
    check_fails("s429_long", "org/gguf", "asks for a pause of 120 minutes");
    check_log("s429_long", "", 1);
    check_fails("s500", "org/gguf", "status 500 (it has trouble), 5 times in a row");
    check_log("/s500/", "", 5);
}

/* ---- two at once, full disks, progress --------------------------------------------------------------------------- */

GAB_TEST(two_at_once) {
    start_server();
    FILE *err = tmpfile();
    CHECK(err);
    pid_t first = start_pull("slow", err), second = start_pull("slow", err);
    CHECK(cli_wait(first) == 0 && cli_wait(second) == 0);
    fclose(err);
    check_pulled();
    check_sent(Q4, Q4_BYTES); /* once */
}

/* The lock is the one that huggingface_hub takes. */
GAB_TEST(waits_for_the_lock) {
    size_t n;
    start_server();
    FILE *err = tmpfile();
    CHECK(err && mkdir("hub", 0777) == 0 && mkdir("hub/.locks", 0777) == 0);
    CHECK(mkdir("hub/.locks/models--org--gguf", 0777) == 0);
    int lock = open("hub/.locks/models--org--gguf/" Q4_HASH ".lock", O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    CHECK(lock >= 0 && flock(lock, LOCK_EX) == 0);
    pid_t pid = start_pull("direct", err);
    check_log("HEAD", Q4, 1);
    sleep_ms(500);
    check_log("GET", Q4, 0); /* nothing of the file while another has the lock */
    CHECK(close(lock) == 0);
    CHECK(cli_wait(pid) == 0);
    char *text = cli_read_all(err, &n);
    CHECK_SAYS(text, Q4 ": another program is fetching it; waiting");
    free(text);
    check_pulled();
}

GAB_TEST(file_may_not_grow) {
    struct rlimit before, limit;
    start_server();
    CHECK(getrlimit(RLIMIT_FSIZE, &before) == 0);
    limit = before;
    limit.rlim_cur = 150000;
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    check_fails("direct", "org/gguf", ": File too large. " Q4 " needs 150 kB more, and ");
    CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
    check_nothing_pulled();
    CHECK(size_of(GGUF "blobs/" Q4_HASH ".incomplete") == 150000);
    check_pulls("direct", "org/gguf"); /* and goes on with room */
    check_pulled();
}

static void unmount(void) {
    umount("hub");
}

GAB_TEST(disk_too_small) {
    start_server();
    CHECK(mkdir("hub", 0777) == 0);
    if (mount("none", "hub", "tmpfs", 0, "size=204800") != 0) SKIP("may not mount a small disk: %s", strerror(errno));
    CHECK(atexit(unmount) == 0);
    check_fails("plain", "org/gguf", "org/gguf needs 300 kB more, and ");
    check_fails("plain", "org/gguf", "has 205 kB free: make room, or set HF_HUB_CACHE");
    check_log("resolve", "", 0);                                  /* said before the first byte */
    check_fails("no_blobs", "org/gguf", Q4 " needs 300 kB more"); /* where the list tells no sizes: before the file */
    check_pulls("plain", "org/gguf:Q8_0");
    CHECK(size_of(GGUF "snapshots/" COMMIT "/model-Q8_0.gguf") == 4000);
}

static int open_terminal(char *name, size_t size) {
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0) return -1;
    snprintf(name, size, "%s", ptsname(master));
    return master;
}

/* On a terminal a line with bytes, speed and time left; elsewhere nothing of it. */
GAB_TEST(progress_on_a_terminal) {
    char name[128], text[16384];
    size_t n = 0;
    ssize_t got;
    start_server();
    int master = open_terminal(name, sizeof name), slave = master < 0 ? -1 : open(name, O_RDWR | O_NOCTTY);
    if (slave < 0) SKIP("no pseudo-terminals");
    CHECK(setenv("TERM", "xterm", 1) == 0);
    FILE *err = fdopen(slave, "w");
    CHECK(err);
    pid_t pid = start_pull("slow", err);
    fclose(err);
    while (n < sizeof text - 1 && (got = read(master, text + n, sizeof text - 1 - n)) > 0) n += (size_t)got;
    text[n] = 0;
    CHECK(cli_wait(pid) == 0);
    CHECK_SAYS(text, "\rdownloading [");
    CHECK_SAYS(text, " kB of 300 kB ");
    CHECK_SAYS(text, " kB/s 0:0");
    CHECK(remove(GGUF "blobs/" Q4_HASH) == 0);
    FILE *file = tmpfile();
    CHECK(file);
    CHECK(cli_wait(start_pull("slow", file)) == 0);
    char *plain = cli_read_all(file, &n);
    CHECK(!strchr(plain, '\r') && !strchr(plain, '[') && strstr(plain, "downloaded"));
    free(plain);
    close(master);
}

/* ---- the parsers ------------------------------------------------------------------------------------------------- */

GAB_TEST(fuzz_corpus) {
    char path[512];
    unsigned n_file = 0;
    DIR *dir = opendir(gab_test_source("tests/fuzz/corpus_pull"));
    CHECK(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        size_t n;
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%.200s", gab_test_source("tests/fuzz/corpus_pull"), entry->d_name);
        char *data = gab_test_file_read(path, &n);
        CHECK(LLVMFuzzerTestOneInput((const uint8_t *)data, n) == 0);
        for (size_t cut = 0; cut < n; cut += 1 + n / 50) LLVMFuzzerTestOneInput((const uint8_t *)data, cut);
        free(data);
        n_file++;
    }
    closedir(dir);
    CHECK(n_file >= 3);
}

GAB_TEST_MAIN()
