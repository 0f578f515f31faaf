/*
 * pull_parse.h - what a server answers, taken apart and checked: header lines, and the JSON list of a repository's
 * files (https://huggingface.co/docs/hub/api). Nothing of it is trusted: a file's path is safe to be made into one
 * here, hashes are digits, sizes are whole numbers.
 */
#ifndef GAB_CLI_PULL_PARSE_H
#define GAB_CLI_PULL_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/hub.h"
#include "base/sha.h"

#define PULL_UNKNOWN UINT64_MAX /* a size that was not told */

enum { PULL_TEXT_MAX = 256, PULL_URL_MAX = 8192 };

/* The headers of one answer that matter here. Texts are "" and sizes PULL_UNKNOWN where it has none; what is too long
 * is left out. */
typedef struct pull_reply {
    long status;                 /* of HTTP; 0: no answer yet */
    char etag[PULL_TEXT_MAX];    /* as it came, in its quotes: for If-Range */
    char linked[PULL_TEXT_MAX];  /* X-Linked-ETag without quotes: the content's SHA-256 */
    char commit[PULL_TEXT_MAX];  /* X-Repo-Commit */
    char code[PULL_TEXT_MAX];    /* X-Error-Code: GatedRepo, RepoNotFound, RevisionNotFound, EntryNotFound */
    char message[PULL_TEXT_MAX]; /* X-Error-Message */
    char location[PULL_URL_MAX];
    uint64_t length, linked_size;      /* Content-Length, X-Linked-Size */
    uint64_t range_first, range_total; /* Content-Range */
} pull_reply;

/* Takes one header line, with its line end; a status line starts the reply anew. */
void pull_reply_line(pull_reply *reply, const char *line, size_t n);

/* The content's hash as the reply tells it: X-Linked-ETag, else ETag, when that is 40 or 64 hexadecimal digits, weak or
 * not. False when it tells none. */
bool pull_reply_hash(const pull_reply *reply, char hash[GAB_SHA_HEX_MAX]);
/* Whether a text is a SHA-1 (40) or a SHA-256 (64) in hexadecimal digits. */
bool pull_is_hash(const char *text);

typedef struct pull_listed {
    const char *path;
    uint64_t size;
    char hash[GAB_SHA_HEX_MAX]; /* "" where the list has none */
} pull_listed;

/* A repository at a commit. Strings belong to the arena. */
typedef struct pull_list {
    gab_arena arena;
    char commit[GAB_HUB_COMMIT_DIGITS + 1];
    pull_listed *files;      /* n_file */
    size_t n_file, n_unsafe; /* n_unsafe: files left out, whose names are not safe */
} pull_list;

/* The answer of api/models/REPO/revision/REVISION?blobs=true. On success to be freed with pull_list_free. `url` is for
 * the messages. */
gab_status pull_list_parse(const char *json, size_t n, const char *url, const gab_log *log, pull_list *list);
void pull_list_free(pull_list *list);

/* The names of branches and tags in the answer of api/models/REPO/refs, with ", " between them; "" when there are none.
 */
void pull_refs_parse(const char *json, size_t n, char *names, size_t size);

#endif
