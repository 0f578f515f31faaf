/*
 * fuzz_pull.c - libFuzzer harness of what gabbro pull reads from a server: the first byte chooses between header lines,
 * the JSON list of files, the list of revisions, and names as users type them. Aborts when a path that is not safe gets
 * through, or a pick is not what it says. tests/cli_pull.c replays the corpus through it without libFuzzer.
 *
 *     build/fuzz_pull tests/fuzz/corpus_pull -max_len=4096
 */
#include "base/hub_pick.h"
#include "cli/pull_parse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

static void check_path(const char *path) {
    PROMISE(path[0] && path[0] != '/' && strlen(path) < GAB_HUB_NAME_MAX && !strchr(path, '\\'));
    for (const char *part = path; part; part = strchr(part, '/')) {
        if (*part == '/') part++;
        PROMISE(*part && *part != '/' && strncmp(part, "../", 3) != 0 && strcmp(part, "..") != 0);
    }
}

/* ---- headers ---- */

static void read_headers(const char *text, size_t n) {
    pull_reply reply = {0};
    char hash[GAB_SHA_HEX_MAX];
    while (n > 0) {
        const char *end = memchr(text, '\n', n);
        size_t line = end ? (size_t)(end - text) + 1 : n;
        pull_reply_line(&reply, text, line);
        text += line;
        n -= line;
    }
    PROMISE(reply.status >= 0 && reply.status < 1000);
    PROMISE(strlen(reply.etag) < sizeof reply.etag && strlen(reply.location) < sizeof reply.location);
    PROMISE(!strpbrk(reply.etag, "\r\n") && !strpbrk(reply.location, "\r\n"));
    PROMISE(reply.range_first == PULL_UNKNOWN || reply.range_total == PULL_UNKNOWN ||
            reply.range_first <= reply.range_total);
    if (pull_reply_hash(&reply, hash)) PROMISE(pull_is_hash(hash));
}

/* ---- lists ---- */

static void pick(const pull_list *list, const char *what) {
    size_t n = list->n_file, index = 0, n_taken = 0;
    uint32_t choice;
    gab_hub_file *files = calloc(n + 1, sizeof *files);
    gab_hub_choice *choices = calloc(n + 1, sizeof *choices);
    PROMISE(files && choices);
    for (size_t i = 0; i < n; i++) files[i].path = list->files[i].path;
    gab_hub_pick p = {.files = files, .n_file = n, .choices = choices, .n_choice = gab_hub_choices(files, n, choices)};
    PROMISE(p.n_choice <= n);
    for (size_t c = 0; c < p.n_choice; c++) PROMISE(choices[c].first < n && choices[c].n_file > 0);
    if (gab_hub_pick_files(&p, what, &index, &choice) == GAB_HUB_PICKED) {
        for (size_t i = 0; i < n; i++) n_taken += files[i].taken;
        PROMISE(index < n && n_taken > 0 && files[index].taken);
        PROMISE(choice == GAB_HUB_NO_CHOICE || (choice < p.n_choice && n_taken == choices[choice].n_file));
    }
    free(files);
    free(choices);
}

static void read_list(const char *text, size_t n) {
    pull_list list;
    if (pull_list_parse(text, n, "fuzz", NULL, &list) != GAB_OK) return;
    PROMISE(gab_hub_commit_is_valid(list.commit));
    for (size_t i = 0; i < list.n_file; i++) {
        check_path(list.files[i].path);
        PROMISE(list.files[i].size == PULL_UNKNOWN || list.files[i].size < UINT64_C(1) << 53);
        PROMISE(!list.files[i].hash[0] || pull_is_hash(list.files[i].hash));
    }
    pick(&list, "");
    pick(&list, "Q8_0");
    if (list.n_file > 0) pick(&list, list.files[list.n_file - 1].path);
    pull_list_free(&list);
}

/* ---- names ---- */

static void read_name(const char *text, size_t n) {
    gab_hub_name name;
    char *copy = malloc(n + 1), folder[GAB_HUB_PATH_MAX];
    PROMISE(copy);
    memcpy(copy, text, n);
    copy[n] = 0;
    if (gab_hub_name_parse(copy, &name)) {
        check_path(name.repo);
        check_path(name.revision);
        if (name.what[0]) check_path(name.what);
        if (gab_hub_repo_folder(name.repo, folder)) PROMISE(!strchr(strstr(folder, "models--"), '/'));
    }
    free(copy);
}

static void read_refs(const char *text, size_t n) {
    char names[64];
    pull_refs_parse(text, n, names, sizeof names);
    PROMISE(strlen(names) < sizeof names);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static void (*const readers[])(const char *, size_t) = {read_headers, read_list, read_refs, read_name};
    if (size > 0) readers[data[0] % 4]((const char *)data + 1, size - 1);
    return 0;
}
