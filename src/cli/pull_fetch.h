/*
 * pull_fetch.h - brings one file of a repository into the cache: the rest of what lies there from an earlier try,
 * hashed as it comes, checked, and only then given its name. Between two programs the blob's lock decides.
 */
#ifndef GAB_CLI_PULL_FETCH_H
#define GAB_CLI_PULL_FETCH_H

#include "cli/pull_http.h"
#include "cli/pull_meter.h"

typedef enum pull_state {
    PULL_WANTED,  /* not yet */
    PULL_CACHED,  /* was there */
    PULL_FETCHED, /* has come whole */
    PULL_RESUMED, /* a part was there */
} pull_state;
const char *pull_state_text(pull_state state);

typedef struct pull_file {
    pull_listed listed; /* size and hash are filled in where the list has none */
    pull_state state;
    uint64_t received; /* bytes that came over the network */
} pull_file;

typedef struct pull_fetch {
    pull_http *http;
    const char *repo, *commit;
    char folder[GAB_HUB_PATH_MAX]; /* of the repository in the cache */
    pull_meter meter;
} pull_fetch;

/* Whether the file is in the snapshot already, in full length. */
bool pull_is_cached(const pull_fetch *fetch, const pull_listed *listed);
/* How much of it lies there from an earlier try. */
uint64_t pull_bytes_there(const pull_fetch *fetch, const pull_listed *listed);
/* Fails when the cache's file system has less than `need` bytes, or its folder cannot be made. */
gab_status pull_check_space(const pull_fetch *fetch, uint64_t need, const char *what);

gab_status pull_fetch_file(pull_fetch *fetch, pull_file *file);

#endif
