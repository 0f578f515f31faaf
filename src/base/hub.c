#if !defined(_POSIX_C_SOURCE)
#define _POSIX_C_SOURCE 200809L
#endif
#include "base/hub.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/file.h"
#include "base/hub_pick.h"

/* ---- names ------------------------------------------------------------------------------------------------------- */

/* Whether n bytes are one part of a name: letters, digits, '.', '_', '-', and neither "." nor "..". */
static bool is_name_part(const char *text, size_t n) {
    if (n == 0 || (text[0] == '.' && (n == 1 || (n == 2 && text[1] == '.')))) return false;
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)text[i]) && !strchr("._-", text[i])) return false;
    return true;
}

static bool are_name_parts(const char *text, size_t n, size_t n_part_max) {
    for (size_t n_part = 1; n_part <= n_part_max; n_part++) {
        const char *slash = memchr(text, '/', n);
        size_t part = slash ? (size_t)(slash - text) : n;
        if (!is_name_part(text, part)) return false;
        if (!slash) return true;
        text += part + 1;
        n -= part + 1;
    }
    return false;
}

bool gab_hub_name_parse(const char *text, gab_hub_name *name) {
    size_t n_repo = strcspn(text, "@:");
    const char *at = text[n_repo] == '@' ? text + n_repo + 1 : "main";
    size_t n_revision = text[n_repo] == '@' ? strcspn(at, ":") : strlen(at);
    const char *colon = strchr(text, ':'), *what = colon ? colon + 1 : "";
    if (n_repo >= sizeof name->repo || n_revision >= sizeof name->revision || strlen(what) >= sizeof name->what)
        return false;
    if (!are_name_parts(text, n_repo, 2)) return false;
    snprintf(name->repo, sizeof name->repo, "%.*s", (int)n_repo, text);
    snprintf(name->revision, sizeof name->revision, "%.*s", (int)n_revision, at);
    snprintf(name->what, sizeof name->what, "%s", what);
    return gab_hub_revision_is_safe(name->revision) && (!colon || gab_hub_path_is_safe(what));
}

bool gab_hub_revision_is_safe(const char *revision) {
    return strlen(revision) < GAB_HUB_NAME_MAX && are_name_parts(revision, strlen(revision), 16);
}

bool gab_hub_path_is_safe(const char *path) {
    if (!path[0] || strlen(path) >= GAB_HUB_NAME_MAX) return false;
    for (const unsigned char *c = (const unsigned char *)path; *c; c++)
        if (*c < 0x20 || *c == 0x7f || *c == '\\' || (c[0] == 0xC2 && c[1] < 0xA0)) return false; /* C1, as UTF-8 */
    for (const char *part = path;;) {
        size_t n = strcspn(part, "/");
        if (n == 0 || (n == 1 && part[0] == '.') || (n == 2 && part[0] == '.' && part[1] == '.')) return false;
        if (!part[n]) return true;
        part += n + 1;
    }
}

bool gab_hub_commit_is_valid(const char *commit) {
    return strlen(commit) == GAB_HUB_COMMIT_DIGITS && strspn(commit, "0123456789abcdef") == GAB_HUB_COMMIT_DIGITS;
}

/* ---- folders ----------------------------------------------------------------------------------------------------- */

bool gab_hub_path(char path[GAB_HUB_PATH_MAX], const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(path, GAB_HUB_PATH_MAX, format, args);
    va_end(args);
    if (n >= 0 && n < GAB_HUB_PATH_MAX) return true;
    errno = ENAMETOOLONG;
    return false;
}

/* An environment variable that names a folder, with ~/ for the home folder; false when it is unset or empty. */
static bool folder_variable(const char *variable, char path[GAB_HUB_PATH_MAX]) {
    const char *value = getenv(variable), *home = getenv("HOME");
    if (!value || !value[0]) return false;
    if (value[0] == '~' && value[1] == '/' && home) return gab_hub_path(path, "%s%s", home, value + 1);
    return gab_hub_path(path, "%s", value);
}

/* HF_HOME or its default, with a name behind it. */
static bool in_home(const char *name, char path[GAB_HUB_PATH_MAX]) {
    char folder[GAB_HUB_PATH_MAX];
    if (folder_variable("HF_HOME", folder)) return gab_hub_path(path, "%s/%s", folder, name);
    if (folder_variable("XDG_CACHE_HOME", folder)) return gab_hub_path(path, "%s/huggingface/%s", folder, name);
    return folder_variable("HOME", folder) && gab_hub_path(path, "%s/.cache/huggingface/%s", folder, name);
}

bool gab_hub_cache(char path[GAB_HUB_PATH_MAX]) {
    return folder_variable("HF_HUB_CACHE", path) || folder_variable("HUGGINGFACE_HUB_CACHE", path) ||
           in_home("hub", path);
}

bool gab_hub_token_file(char path[GAB_HUB_PATH_MAX]) {
    return folder_variable("HF_TOKEN_PATH", path) || in_home("token", path);
}

bool gab_hub_repo_folder(const char *repo, char path[GAB_HUB_PATH_MAX]) {
    char cache[GAB_HUB_PATH_MAX];
    const char *slash = strchr(repo, '/');
    if (!gab_hub_cache(cache)) return false;
    if (!slash) return gab_hub_path(path, "%s/models--%s", cache, repo);
    return gab_hub_path(path, "%s/models--%.*s--%s", cache, (int)(slash - repo), repo, slash + 1);
}

bool gab_hub_make_parents(const char *path) {
    char folder[GAB_HUB_PATH_MAX];
    struct stat info;
    if (!gab_hub_path(folder, "%s", path)) return false;
    for (char *slash = strchr(folder + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        /* asked first: mkdir of a folder that exists may fail otherwise, as on a read-only file system */
        if (stat(folder, &info) != 0 && mkdir(folder, 0777) != 0 && errno != EEXIST) return false;
        *slash = '/';
    }
    return true;
}

bool gab_hub_ref_write(const char *repo_folder, const char *revision, const char *commit) {
    char path[GAB_HUB_PATH_MAX];
    if (strcmp(revision, commit) == 0) return true;
    return gab_hub_path(path, "%s/refs/%s", repo_folder, revision) && gab_hub_make_parents(path) &&
           gab_file_write_all(path, commit, strlen(commit));
}

bool gab_hub_place(const char *repo_folder, const char *hash, const char *commit, const char *file, unsigned ways) {
    char blob[GAB_HUB_PATH_MAX], target[GAB_HUB_PATH_MAX], snapshot[GAB_HUB_PATH_MAX], up[GAB_HUB_NAME_MAX * 2] = "";
    for (const char *c = strchr(file, '/'); c; c = strchr(c + 1, '/')) memcpy(up + strlen(up), "../", sizeof "../");
    if (!gab_hub_path(blob, "%s/blobs/%s", repo_folder, hash) || !gab_hub_path(target, "%s../../blobs/%s", up, hash) ||
        !gab_hub_path(snapshot, "%s/snapshots/%s/%s", repo_folder, commit, file) || !gab_hub_make_parents(snapshot))
        return false;
    if (unlink(snapshot) != 0 && errno != ENOENT) return false;
    if ((ways & GAB_HUB_SYMLINK) && symlink(target, snapshot) == 0) return true;
    if ((ways & GAB_HUB_HARDLINK) && link(blob, snapshot) == 0) return true;
    return (ways & GAB_HUB_MOVE) && rename(blob, snapshot) == 0;
}

/* ---- finding what is there --------------------------------------------------------------------------------------- */

typedef struct listing {
    gab_arena arena; /* of the paths */
    gab_hub_file *files;
    size_t n, size;
} listing;

static bool add_file(listing *list, const char *path) {
    if (list->n == list->size) {
        size_t size = list->size ? 2 * list->size : 64;
        gab_hub_file *larger = realloc(list->files, size * sizeof *larger);
        if (!larger) return false;
        list->files = larger;
        list->size = size;
    }
    const char *copy = gab_arena_copy_text(&list->arena, path, strlen(path));
    if (!copy) return false;
    list->files[list->n++] = (gab_hub_file){.path = copy};
    return true;
}

/* The files below a folder, by their paths in it; a link to a blob that is gone is none. */
static bool list_folder(listing *list, const char *root, const char *below, int depth) {
    char path[GAB_HUB_PATH_MAX], name[GAB_HUB_PATH_MAX];
    struct stat info;
    bool ok = gab_hub_path(path, "%s/%s", root, below);
    DIR *dir = ok ? opendir(path) : NULL;
    if (!dir) return ok;
    for (struct dirent *entry; ok && (entry = readdir(dir));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        if (!gab_hub_path(name, "%s%s%s", below, below[0] ? "/" : "", entry->d_name) ||
            !gab_hub_path(path, "%s/%s", root, name) || stat(path, &info) != 0)
            continue;
        if (S_ISREG(info.st_mode))
            ok = add_file(list, name);
        else if (S_ISDIR(info.st_mode) && depth > 0)
            ok = list_folder(list, root, name, depth - 1);
    }
    closedir(dir);
    return ok;
}

/* Of a folder the one entry that is a commit; false when there is none, or more than one. */
static bool only_commit(const char *folder, char commit[GAB_HUB_NAME_MAX]) {
    DIR *dir = opendir(folder);
    size_t n = 0;
    if (!dir) return false;
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (!gab_hub_commit_is_valid(entry->d_name)) continue;
        snprintf(commit, GAB_HUB_NAME_MAX, "%s", entry->d_name);
        n++;
    }
    closedir(dir);
    return n == 1;
}

/* The commit that a revision stands for here. Without refs/main, a repository of one snapshot means that one. */
static bool find_commit(const char *repo_folder, const char *revision, char commit[GAB_HUB_NAME_MAX]) {
    char path[GAB_HUB_PATH_MAX], *text = NULL;
    size_t n = 0;
    if (gab_hub_commit_is_valid(revision)) {
        snprintf(commit, GAB_HUB_NAME_MAX, "%s", revision);
        return true;
    }
    if (!gab_hub_path(path, "%s/refs/%s", repo_folder, revision)) return false;
    if (gab_file_read_all(path, GAB_HUB_NAME_MAX - 1, NULL, &text, &n) == GAB_OK) {
        snprintf(commit, GAB_HUB_NAME_MAX, "%.*s", (int)strcspn(text, " \r\n"), text);
        free(text);
        return gab_hub_commit_is_valid(commit);
    }
    return strcmp(revision, "main") == 0 && gab_hub_path(path, "%s/snapshots", repo_folder) &&
           only_commit(path, commit);
}

gab_hub_found gab_hub_resolve(const gab_hub_name *name, char path[GAB_HUB_PATH_MAX]) {
    char folder[GAB_HUB_PATH_MAX], root[GAB_HUB_PATH_MAX], commit[GAB_HUB_NAME_MAX];
    struct stat info;
    if (!gab_hub_repo_folder(name->repo, folder) || !find_commit(folder, name->revision, commit) ||
        !gab_hub_path(root, "%s/snapshots/%s", folder, commit) || stat(root, &info) != 0)
        return GAB_HUB_ABSENT;
    listing list = {0};
    gab_hub_found found = GAB_HUB_NO_FILE;
    size_t index = 0;
    uint32_t choice;
    if (list_folder(&list, root, "", 8) && list.n > 0) {
        gab_hub_choice *choices = malloc(list.n * sizeof *choices);
        gab_hub_pick pick = {.files = list.files, .n_file = list.n, .choices = choices};
        if (choices) pick.n_choice = gab_hub_choices(list.files, list.n, choices);
        if (choices && gab_hub_pick_files(&pick, name->what, &index, &choice) == GAB_HUB_PICKED) {
            bool is_folder = choice != GAB_HUB_NO_CHOICE && choices[choice].folder;
            bool fits =
                is_folder ? gab_hub_path(path, "%s", root) : gab_hub_path(path, "%s/%s", root, list.files[index].path);
            if (fits) found = GAB_HUB_FOUND;
        }
        free(choices);
    }
    free(list.files);
    gab_arena_free(&list.arena);
    return found;
}
