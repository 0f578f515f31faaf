/*
 * hub.h - the cache folder of Hugging Face repositories on this machine, which other programs read and write too; no
 * network here. Its layout is that of https://huggingface.co/docs/hub/local-cache:
 *
 *     CACHE/models--ORG--NAME/blobs/HASH                        contents, named by SHA-256 or by git's SHA-1
 *     CACHE/models--ORG--NAME/blobs/HASH.incomplete             what has come of one so far
 *     CACHE/models--ORG--NAME/snapshots/COMMIT/PATH             a link to ../../blobs/HASH
 *     CACHE/models--ORG--NAME/refs/REVISION                     the COMMIT that a branch or tag stood for
 *     CACHE/.locks/models--ORG--NAME/HASH.lock                  held (flock) by the one program that fetches a blob
 */
#ifndef GAB_BASE_HUB_H
#define GAB_BASE_HUB_H

#include <stdbool.h>

#include "base/error.h"

enum {
    GAB_HUB_PATH_MAX = 4096, /* bytes of a path with the final zero */
    GAB_HUB_NAME_MAX = 512,  /* of a name, a revision, a file in a repository */
    GAB_HUB_COMMIT_DIGITS = 40,
};

/* "ORG/NAME[@REVISION][:WHAT]" taken apart; the ORG is missing in some old names. */
typedef struct gab_hub_name {
    char repo[GAB_HUB_NAME_MAX];
    char revision[GAB_HUB_NAME_MAX]; /* "main" where none is given */
    char what[GAB_HUB_NAME_MAX];     /* a file or a type of weights, "" where none is given */
} gab_hub_name;

/* False for a text that cannot name a repository: then it is the path of a file. */
bool gab_hub_name_parse(const char *text, gab_hub_name *name);
/* A branch, a tag or a commit: letters, digits, "._-/", no part that is "." or "..". */
bool gab_hub_revision_is_safe(const char *revision);
/* A relative path that stays in its folder: neither empty nor too long, no part that is empty, "." or "..", no control
 * characters, no backslash. What a server lists is checked by this before it becomes a path here. */
bool gab_hub_path_is_safe(const char *path);
bool gab_hub_commit_is_valid(const char *commit); /* 40 hexadecimal digits, in lower case */

/* The cache folder: HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME/hub, XDG_CACHE_HOME/huggingface/hub or
 * ~/.cache/huggingface/hub. It need not exist. False when none can be told or the path is too long. */
bool gab_hub_cache(char path[GAB_HUB_PATH_MAX]);
/* The file with the user's token: HF_TOKEN_PATH, else token in HF_HOME or its default. */
bool gab_hub_token_file(char path[GAB_HUB_PATH_MAX]);
/* The folder of a repository in the cache. */
bool gab_hub_repo_folder(const char *repo, char path[GAB_HUB_PATH_MAX]);

/* snprintf for paths: false when it does not fit. */
bool gab_hub_path(char path[GAB_HUB_PATH_MAX], const char *format, ...) GAB_PRINTF(2, 3);
/* Makes the folders in front of the last '/' of a path; false, with errno set, when one cannot be made. */
bool gab_hub_make_parents(const char *path);

/* Writes refs/REVISION, unless the revision is a commit; false with errno set. */
bool gab_hub_ref_write(const char *repo_folder, const char *revision, const char *commit);

/* The ways to let a snapshot show a blob, tried in this order: not every file system has links. A moved blob leaves
 * none behind. */
enum { GAB_HUB_SYMLINK = 1, GAB_HUB_HARDLINK = 2, GAB_HUB_MOVE = 4, GAB_HUB_ANY = 7 };
/* Shows blobs/HASH as snapshots/COMMIT/FILE, replacing what is there; false with errno set. */
bool gab_hub_place(const char *repo_folder, const char *hash, const char *commit, const char *file, unsigned ways);

/* What a name stands for in the cache. */
typedef enum gab_hub_found {
    GAB_HUB_FOUND,   /* path: a file, or the folder of a snapshot with safetensors */
    GAB_HUB_ABSENT,  /* no such repository or revision here */
    GAB_HUB_NO_FILE, /* the repository is here, but not this file, or not all of it */
} gab_hub_found;
gab_hub_found gab_hub_resolve(const gab_hub_name *name, char path[GAB_HUB_PATH_MAX]);

#endif
