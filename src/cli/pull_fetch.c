#if !defined(_POSIX_C_SOURCE)
#define _POSIX_C_SOURCE 200809L
#endif
#define _FILE_OFFSET_BITS 64
#include "cli/pull_fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "cli/interrupt.h"

const char *pull_state_text(pull_state state) {
    static const char *const text[] = {"wanted", "cached", "downloaded", "resumed"};
    return text[state];
}

/* ---- places in the cache ----------------------------------------------------------------------------------------- */

static const gab_log *log_of(const pull_fetch *fetch) {
    return &fetch->http->console->log;
}

static gab_status no_path(const pull_fetch *fetch) {
    return gab_fail(log_of(fetch), GAB_ERROR_LIMIT, "%s: the path is too long: set HF_HUB_CACHE to a shorter one",
                    fetch->folder);
}

static gab_status cannot_write(const pull_fetch *fetch, const char *path, int error) {
    return gab_fail(log_of(fetch), GAB_ERROR_FILE,
                    "cannot write %s: %s. HF_HUB_CACHE names another folder for the cache", path, strerror(error));
}

static gab_status interrupted(const pull_fetch *fetch) {
    return gab_fail(log_of(fetch), GAB_ERROR_CANCELLED, "interrupted: the same command goes on from here");
}

bool pull_is_cached(const pull_fetch *fetch, const pull_listed *listed) {
    char path[GAB_HUB_PATH_MAX];
    struct stat info;
    return listed->size != PULL_UNKNOWN &&
           gab_hub_path(path, "%s/snapshots/%s/%s", fetch->folder, fetch->commit, listed->path) &&
           stat(path, &info) == 0 && S_ISREG(info.st_mode) && (uint64_t)info.st_size == listed->size;
}

static uint64_t blob_size(const pull_fetch *fetch, const char *hash, const char *ending) {
    char path[GAB_HUB_PATH_MAX];
    struct stat info;
    if (!hash[0] || !gab_hub_path(path, "%s/blobs/%s%s", fetch->folder, hash, ending) || stat(path, &info) != 0)
        return PULL_UNKNOWN;
    return (uint64_t)info.st_size;
}

uint64_t pull_bytes_there(const pull_fetch *fetch, const pull_listed *listed) {
    uint64_t whole = blob_size(fetch, listed->hash, ""), part = blob_size(fetch, listed->hash, ".incomplete");
    if (whole != PULL_UNKNOWN && whole == listed->size) return whole;
    return part != PULL_UNKNOWN && part <= listed->size ? part : 0;
}

static bool free_bytes(const char *folder, uint64_t *bytes) {
    struct statvfs info;
    if (statvfs(folder, &info) != 0) return false;
    *bytes = (uint64_t)info.f_bavail * info.f_frsize;
    return true;
}

gab_status pull_check_space(const pull_fetch *fetch, uint64_t need, const char *what) {
    char path[GAB_HUB_PATH_MAX], need_text[PULL_SIZE_TEXT], free_text[PULL_SIZE_TEXT];
    uint64_t there;
    if (!gab_hub_path(path, "%s/blobs/", fetch->folder)) return no_path(fetch);
    if (!gab_hub_make_parents(path)) return cannot_write(fetch, path, errno);
    if (!free_bytes(path, &there) || need <= there) return GAB_OK;
    return gab_fail(log_of(fetch), GAB_ERROR_FILE,
                    "%s needs %s more, and %s has %s free: make room, or set HF_HUB_CACHE to a folder on another disk",
                    what, pull_size_text(need, need_text), fetch->folder, pull_size_text(there, free_text));
}

/* ---- the lock ---------------------------------------------------------------------------------------------------- */

/* Waits for the lock of an open file; false at Ctrl-C. */
static bool wait_for_lock(const pull_fetch *fetch, const pull_file *file, int fd) {
    const struct timespec pause = {.tv_nsec = 100000000};
    for (bool said = false; flock(fd, LOCK_EX | LOCK_NB) != 0; said = true) {
        if (errno != EWOULDBLOCK && errno != EINTR) return true; /* a file system without locks: go on without */
        if (!said)
            cli_console_say(fetch->http->console, "%s: another program is fetching it; waiting", file->listed.path);
        nanosleep(&pause, NULL);
        if (cli_interrupt_seen()) return false;
    }
    return true;
}

/* Takes the blob's lock, as huggingface_hub does. It goes when *fd is closed, also when the program is killed. */
static gab_status take_lock(const pull_fetch *fetch, const pull_file *file, int *fd) {
    char path[GAB_HUB_PATH_MAX];
    const char *name = strrchr(fetch->folder, '/') + 1;
    if (!gab_hub_path(path, "%.*s.locks/%s/%s.lock", (int)(name - fetch->folder), fetch->folder, name,
                      file->listed.hash))
        return no_path(fetch);
    if (!gab_hub_make_parents(path)) return cannot_write(fetch, path, errno);
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (*fd < 0) return cannot_write(fetch, path, errno);
    if (wait_for_lock(fetch, file, *fd)) return GAB_OK;
    close(*fd);
    return interrupted(fetch);
}

/* ---- what the hub says of a file --------------------------------------------------------------------------------- */

static gab_status contradiction(const pull_fetch *fetch, const pull_file *file, const char *of, const char *first,
                                const char *second) {
    return gab_fail(
        log_of(fetch), GAB_ERROR_FORMAT,
        "%s: the hub contradicts itself about the %s of %s: %s, then %s. Try again later, or another --endpoint",
        fetch->repo, of, file->listed.path, first, second);
}

static gab_status size_contradiction(const pull_fetch *fetch, const pull_file *file, uint64_t first, uint64_t second) {
    char a[32], b[32];
    snprintf(a, sizeof a, "%llu bytes", (unsigned long long)first);
    snprintf(b, sizeof b, "%llu bytes", (unsigned long long)second);
    return contradiction(fetch, file, "size", a, b);
}

static gab_status refused(const pull_fetch *fetch, const pull_file *file, const pull_answer *answer) {
    char what[GAB_HUB_NAME_MAX * 2 + 2], page[PULL_ENDPOINT_MAX + GAB_HUB_NAME_MAX];
    snprintf(what, sizeof what, "%s:%s", fetch->repo, file->listed.path);
    snprintf(page, sizeof page, "%s/%s", fetch->http->endpoint, fetch->repo);
    return pull_http_refused(fetch->http, answer, what, page);
}

/* Asks for size and hash, and for the tag that belongs to the bytes at `url` itself. */
static gab_status ask(pull_fetch *fetch, pull_file *file, const char *url, char if_range[PULL_TEXT_MAX]) {
    const pull_request request = {.url = url, .head = true, .if_range = ""};
    pull_answer answer;
    char hash[GAB_SHA_HEX_MAX];
    pull_listed *listed = &file->listed;
    GAB_TRY(pull_http_request(fetch->http, &request, listed->path, &answer));
    const pull_reply *reply = &answer.reply;
    if (reply->status >= 400) return refused(fetch, file, &answer);
    if (pull_reply_hash(reply, hash)) {
        if (listed->hash[0] && strcmp(listed->hash, hash) != 0)
            return contradiction(fetch, file, "hash", listed->hash, hash);
        memcpy(listed->hash, hash, sizeof hash);
    }
    uint64_t size = reply->linked_size;
    if (size == PULL_UNKNOWN && reply->status == 200) size = reply->length;
    if (size != PULL_UNKNOWN && listed->size != PULL_UNKNOWN && listed->size != size)
        return size_contradiction(fetch, file, listed->size, size);
    if (size != PULL_UNKNOWN && listed->size == PULL_UNKNOWN) {
        listed->size = size;
        fetch->meter.total += size;
    }
    if (!listed->hash[0] || listed->size == PULL_UNKNOWN)
        return gab_fail(log_of(fetch), GAB_ERROR_FORMAT,
                        "%s tells no %s of %s, so that it could not be checked: is this the address of a hub?", url,
                        listed->hash[0] ? "size" : "SHA-256 or git hash", listed->path);
    snprintf(if_range, PULL_TEXT_MAX, "%s", reply->status == 200 && reply->etag[0] == '"' ? reply->etag : "");
    return GAB_OK;
}

/* ---- bytes ------------------------------------------------------------------------------------------------------- */

typedef struct incoming {
    pull_fetch *fetch;
    pull_file *file;
    int fd;
    uint64_t have;        /* bytes in the file, all of them hashed */
    uint64_t meter_start; /* what the files before have brought */
    gab_sha sha;
    char path[GAB_HUB_PATH_MAX];
} incoming;

/* Git hashes a blob with its length in front. */
static void start_hash(incoming *in) {
    char head[32];
    bool git = strlen(in->file->listed.hash) == 40;
    gab_sha_start(&in->sha, git ? GAB_SHA_1 : GAB_SHA_256);
    int n = snprintf(head, sizeof head, "blob %llu", (unsigned long long)in->file->listed.size);
    if (git) gab_sha_add(&in->sha, head, (size_t)n + 1);
}

static void take(incoming *in, const void *data, size_t n) {
    gab_sha_add(&in->sha, data, n);
    in->have += n;
    pull_meter_show(&in->fetch->meter, in->meter_start + in->have);
}

static gab_status start_over(incoming *in) {
    in->have = 0;
    start_hash(in);
    return ftruncate(in->fd, 0) == 0 ? GAB_OK : cannot_write(in->fetch, in->path, errno);
}

/* Hashes what an earlier try has left. */
static gab_status take_rest(incoming *in) {
    enum { PIECE = 1 << 20 };
    struct stat info;
    if (fstat(in->fd, &info) != 0) return cannot_write(in->fetch, in->path, errno);
    if ((uint64_t)info.st_size > in->file->listed.size) return start_over(in);
    start_hash(in);
    char *piece = malloc(PIECE);
    if (!piece) return gab_fail(log_of(in->fetch), GAB_ERROR_HOST_MEMORY, "out of host memory");
    gab_status status = GAB_OK;
    while (status == GAB_OK && in->have < (uint64_t)info.st_size) {
        ssize_t n = pread(in->fd, piece, PIECE, (off_t)in->have);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0)
            status = gab_fail(log_of(in->fetch), GAB_ERROR_FILE, "cannot read %s: %s", in->path,
                              n ? strerror(errno) : "it shrinks");
        else if (cli_interrupt_seen())
            status = interrupted(in->fetch);
        else
            take(in, piece, (size_t)n);
    }
    free(piece);
    pull_meter_reset(&in->fetch->meter); /* the disk's speed says nothing about the network's */
    return status;
}

/* Does the answer belong to what was asked? A server that cannot give a part gives all: then all starts again. */
static bool on_begin(void *user, const pull_reply *reply) {
    incoming *in = user;
    const pull_file *file = in->file;
    uint64_t size = file->listed.size, told = reply->length;
    if (reply->status == 206 && reply->range_first != in->have) {
        gab_fail(log_of(in->fetch), GAB_ERROR_FORMAT, "%s: the server sends other bytes than those from %llu on",
                 file->listed.path, (unsigned long long)in->have);
        return false;
    }
    if (reply->status == 206) {
        if (told != PULL_UNKNOWN) told += in->have;
        if (reply->range_total != PULL_UNKNOWN) told = reply->range_total;
    } else if (in->have > 0) {
        cli_console_say(in->fetch->http->console, "%s: the server cannot go on in the middle: from the start again",
                        file->listed.path);
        if (start_over(in) != GAB_OK) return false;
    }
    return told == PULL_UNKNOWN || told == size || size_contradiction(in->fetch, file, size, told) == GAB_OK;
}

static gab_status write_failed(const incoming *in, int error) {
    char need[PULL_SIZE_TEXT], there[PULL_SIZE_TEXT];
    uint64_t bytes;
    if ((error != ENOSPC && error != EDQUOT && error != EFBIG) || !free_bytes(in->fetch->folder, &bytes))
        return cannot_write(in->fetch, in->path, error);
    return gab_fail(
        log_of(in->fetch), GAB_ERROR_FILE,
        "cannot write %s: %s. %s needs %s more, and %s are free: make room and give the same command, or set "
        "HF_HUB_CACHE to a folder on another disk",
        in->path, strerror(error), in->file->listed.path, pull_size_text(in->file->listed.size - in->have, need),
        pull_size_text(bytes, there));
}

static bool on_data(void *user, const void *data, size_t n) {
    incoming *in = user;
    const char *bytes = data;
    uint64_t size = in->file->listed.size;
    if (n > size - in->have) return size_contradiction(in->fetch, in->file, size, in->have + n) == GAB_OK;
    in->file->received += n;
    while (n > 0) {
        ssize_t written = pwrite(in->fd, bytes, n, (off_t)in->have);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return write_failed(in, errno) == GAB_OK;
        take(in, bytes, (size_t)written);
        bytes += written;
        n -= (size_t)written;
    }
    return true;
}

/* Requests until all bytes are there. */
static gab_status receive(incoming *in, const char *url, const char *if_range) {
    const pull_listed *listed = &in->file->listed;
    uint64_t furthest = in->have;
    bool whole = false; /* 416 was answered: all was asked for */
    for (uint32_t n_try = 0; in->have < listed->size;) {
        const pull_request request = {
            .url = url, .from = in->have, .if_range = if_range, .begin = on_begin, .data = on_data, .user = in};
        pull_answer answer;
        pull_outcome outcome = pull_http_once(in->fetch->http, &request, &answer);
        if (in->have > furthest) {
            furthest = in->have;
            n_try = 0;
        }
        if (outcome == PULL_FAILED) return GAB_ERROR_FILE;
        if (outcome == PULL_REFUSED) {
            if (answer.reply.status != 416 || whole) return refused(in->fetch, in->file, &answer);
            whole = true;
            GAB_TRY(start_over(in));
            continue;
        }
        if (in->have == listed->size) break;
        if (outcome == PULL_DONE)
            snprintf(answer.why, sizeof answer.why, "it ends early, at byte %llu of %llu", (unsigned long long)in->have,
                     (unsigned long long)listed->size);
        GAB_TRY(pull_http_pause(in->fetch->http, ++n_try, &answer, listed->path));
    }
    return GAB_OK;
}

/* Fetches until the hash is right: once more from the start when it is not, since what lay there may be to blame. */
static gab_status receive_checked(incoming *in, const char *url, const char *if_range) {
    const pull_listed *listed = &in->file->listed;
    char hash[GAB_SHA_HEX_MAX];
    for (bool again = false;; again = true) {
        GAB_TRY(receive(in, url, if_range));
        gab_sha_finish(&in->sha, hash);
        if (strcmp(hash, listed->hash) == 0) return GAB_OK;
        GAB_TRY(start_over(in));
        if (again) break;
        cli_console_say(in->fetch->http->console, "%s: what came is damaged (its hash is wrong): from the start again",
                        listed->path);
    }
    unlink(in->path);
    return gab_fail(log_of(in->fetch), GAB_ERROR_FORMAT,
                    "%s: damaged: its %s is %s, and should be %s. Try again later, or another --endpoint", listed->path,
                    strlen(hash) == 40 ? "git hash" : "SHA-256", hash, listed->hash);
}

static gab_status fetch_blob(incoming *in, const char *url, const char *if_range) {
    char blob[GAB_HUB_PATH_MAX];
    pull_fetch *fetch = in->fetch;
    const pull_listed *listed = &in->file->listed;
    GAB_TRY(pull_check_space(fetch, listed->size - pull_bytes_there(fetch, listed), listed->path));
    if (!gab_hub_path(in->path, "%s/blobs/%s.incomplete", fetch->folder, listed->hash) ||
        !gab_hub_path(blob, "%s/blobs/%s", fetch->folder, listed->hash))
        return no_path(fetch);
    in->fd = open(in->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (in->fd < 0) return cannot_write(fetch, in->path, errno);
    gab_status status = take_rest(in);
    if (status == GAB_OK) status = receive_checked(in, url, if_range);
    if (status == GAB_OK && fsync(in->fd) != 0) status = write_failed(in, errno);
    if (close(in->fd) != 0 && status == GAB_OK) status = write_failed(in, errno);
    if (status == GAB_OK && rename(in->path, blob) != 0) status = cannot_write(fetch, blob, errno);
    in->file->state = in->file->received < listed->size ? PULL_RESUMED : PULL_FETCHED;
    return status;
}

/* With the lock held: the program that had it before may have brought the file. */
static gab_status fetch_locked(pull_fetch *fetch, pull_file *file, const char *url, const char *if_range) {
    incoming in = {.fetch = fetch, .file = file, .fd = -1, .meter_start = fetch->meter.done};
    const pull_listed *listed = &file->listed;
    file->state = PULL_CACHED;
    if (pull_is_cached(fetch, listed)) return GAB_OK;
    if (blob_size(fetch, listed->hash, "") != listed->size) GAB_TRY(fetch_blob(&in, url, if_range));
    if (gab_hub_place(fetch->folder, listed->hash, fetch->commit, listed->path, GAB_HUB_ANY)) return GAB_OK;
    return cannot_write(fetch, listed->path, errno);
}

gab_status pull_fetch_file(pull_fetch *fetch, pull_file *file) {
    char url[PULL_URL_MAX], if_range[PULL_TEXT_MAX];
    uint64_t before = fetch->meter.done;
    int lock = -1;
    if (pull_is_cached(fetch, &file->listed)) {
        file->state = PULL_CACHED;
        fetch->meter.done = before + file->listed.size;
        return GAB_OK;
    }
    snprintf(url, sizeof url, "%s/%s/resolve/%s/", fetch->http->endpoint, fetch->repo, fetch->commit);
    if (!pull_url_add(url, file->listed.path, true)) return no_path(fetch);
    GAB_TRY(ask(fetch, file, url, if_range));
    GAB_TRY(take_lock(fetch, file, &lock));
    gab_status status = fetch_locked(fetch, file, url, if_range);
    close(lock);
    if (status == GAB_OK) fetch->meter.done = before + file->listed.size;
    return status;
}
