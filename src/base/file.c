#if !defined(_POSIX_C_SOURCE)
#define _POSIX_C_SOURCE 200809L
#endif
#define _FILE_OFFSET_BITS 64
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/time.h"

struct gab_file {
    int fd; /* -1: made */
    char *path;
    struct stat at_open;
    gab_file_content content; /* of one that is made */
};

gab_path gab_path_kind(const char *path) {
    struct stat info;
    if (stat(path, &info) != 0) return GAB_PATH_NONE;
    return S_ISDIR(info.st_mode) ? GAB_PATH_FOLDER : GAB_PATH_FILE;
}

bool gab_path_is_stream(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && !S_ISDIR(info.st_mode) && !S_ISREG(info.st_mode);
}

static gab_status file_new(const char *path, const gab_log *log, gab_file **file) {
    gab_file *f = calloc(1, sizeof *f);
    char *copy = malloc(strlen(path) + 1);
    if (!f || !copy) {
        free(f);
        free(copy);
        return gab_fail(log, GAB_ERROR_HOST_MEMORY, "out of host memory opening %s", path);
    }
    memcpy(copy, path, strlen(path) + 1);
    f->fd = -1;
    f->path = copy;
    *file = f;
    return GAB_OK;
}

gab_status gab_file_open_made(const char *name, const gab_file_content *content, const gab_log *log, gab_file **file) {
    gab_status status = file_new(name, log, file);
    if (status == GAB_OK)
        (*file)->content = *content;
    else
        content->destroy(content->user);
    return status;
}

gab_status gab_file_open(const char *path, const gab_log *log, gab_file **file) {
    gab_status status;
    gab_file *f = NULL;
    GAB_TRY(file_new(path, log, &f));
    f->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (f->fd < 0 || fstat(f->fd, &f->at_open) != 0) {
        status = gab_fail(log, GAB_ERROR_FILE, "cannot open %s: %s", path, strerror(errno));
        goto error;
    }
    if (!S_ISREG(f->at_open.st_mode)) {
        status = gab_fail(log, GAB_ERROR_FILE, "%s is not a regular file: name a model file (.gguf)", path);
        goto error;
    }
    *file = f;
    return GAB_OK;
error:
    gab_file_close(&f);
    return status;
}

void gab_file_close(gab_file **file) {
    if (!file || !*file) return;
    if ((*file)->fd >= 0) close((*file)->fd);
    if ((*file)->content.destroy) (*file)->content.destroy((*file)->content.user);
    free((*file)->path);
    free(*file);
    *file = NULL;
}

uint64_t gab_file_size(const gab_file *file) {
    return file->content.make ? file->content.size : (uint64_t)file->at_open.st_size;
}

const char *gab_file_path(const gab_file *file) {
    return file->path;
}

static gab_status ends_early(const gab_file *file, uint64_t offset, size_t n, const gab_log *log) {
    return gab_fail(log, GAB_ERROR_FILE,
                    "%s ends at byte %" PRIu64 ", %zu bytes early: download or copy the file again", file->path, offset,
                    n);
}

gab_status gab_file_read_at(const gab_file *file, uint64_t offset, void *data, size_t n, const gab_log *log) {
    char *out = data;
    if (offset > INT64_MAX || n > INT64_MAX - offset)
        return gab_fail(log, GAB_ERROR_FORMAT, "%s: offset %" PRIu64 " is beyond any file", file->path, offset);
    if (file->content.make) {
        if (offset + n > file->content.size) return ends_early(file, offset, n, log);
        file->content.make(file->content.user, offset, data, n);
        return GAB_OK;
    }
    while (n > 0) {
        ssize_t got = pread(file->fd, out, n > (1u << 30) ? (1u << 30) : n, (off_t)offset);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return gab_fail(log, GAB_ERROR_FILE, "cannot read %s: %s", file->path, strerror(errno));
        if (got == 0) return ends_early(file, offset, n, log);
        out += got;
        offset += (uint64_t)got;
        n -= (size_t)got;
    }
    return GAB_OK;
}

gab_status gab_file_check_unchanged(const gab_file *file, const gab_log *log) {
    struct stat now;
    if (file->content.make) return GAB_OK;
    if (stat(file->path, &now) != 0)
        return gab_fail(log, GAB_ERROR_FILE, "%s is gone: %s", file->path, strerror(errno));
    const struct stat *then = &file->at_open;
    if (now.st_size != then->st_size || now.st_ino != then->st_ino || now.st_mtime != then->st_mtime)
        return gab_fail(log, GAB_ERROR_FILE, "%s has changed since it was loaded: start again", file->path);
    return GAB_OK;
}

gab_status gab_file_read_all(const char *path, size_t max, const gab_log *log, char **data, size_t *n) {
    bool is_stdin = strcmp(path, "-") == 0;
    FILE *f = is_stdin ? stdin : fopen(path, "rb");
    if (!f) return gab_fail(log, GAB_ERROR_FILE, "cannot open %s: %s", path, strerror(errno));
    gab_status status = GAB_OK;
    size_t used = 0, size = 4096;
    char *buffer = malloc(size);
    while (buffer) {
        used += fread(buffer + used, 1, size - 1 - used, f);
        if (used < size - 1 || size - 1 > max) break;
        size *= 2;
        char *larger = realloc(buffer, size);
        if (!larger) free(buffer);
        buffer = larger;
    }
    if (!buffer)
        status = gab_fail(log, GAB_ERROR_HOST_MEMORY, "out of host memory reading %s", path);
    else if (ferror(f))
        status = gab_fail(log, GAB_ERROR_FILE, "cannot read %s: %s", path, strerror(errno));
    else if (used > max)
        status = gab_fail(log, GAB_ERROR_LIMIT, "%s is larger than %zu bytes", path, max);
    if (!is_stdin) fclose(f);
    if (status != GAB_OK) {
        free(buffer);
        return status;
    }
    buffer[used] = 0;
    *data = buffer;
    *n = used;
    return GAB_OK;
}

FILE *gab_file_create_beside(const char *path, char *temporary, size_t size) {
    const int length = snprintf(temporary, size, "%s.%ld-%" PRIx64 ".tmp", path, (long)getpid(), gab_time_ns());
    if (length < 0 || (size_t)length >= size) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    const int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "wb");
    if (fd >= 0 && !file) {
        close(fd);
        remove(temporary);
    }
    return file;
}

bool gab_file_write_all(const char *path, const void *data, size_t n) {
    char temporary[4096];
    struct stat there;
    if (stat(path, &there) == 0 && !S_ISREG(there.st_mode)) { /* a device or pipe is not to be replaced */
        errno = S_ISDIR(there.st_mode) ? EISDIR : EPERM;
        return false;
    }
    FILE *f = gab_file_create_beside(path, temporary, sizeof temporary);
    if (!f) return false;
    bool ok = fwrite(data, 1, n, f) == n;
    ok = fclose(f) == 0 && ok;
    ok = ok && rename(temporary, path) == 0;
    if (!ok) {
        int saved = errno;
        remove(temporary);
        errno = saved;
    }
    return ok;
}

int gab_folder_lock(const char *path) {
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return -1;
    while (flock(fd, LOCK_EX) != 0)
        if (errno != EINTR) {
            close(fd);
            return -1;
        }
    return fd;
}

void gab_folder_unlock(int lock) {
    if (lock >= 0) close(lock);
}

static bool make_folder(const char *path, mode_t mode) {
    return mkdir(path, mode) == 0 || errno == EEXIST;
}

/* $variable, or ~/ and the parts of `standard`, with /gabbro below it. */
static bool user_folder(const char *variable, const char *standard, mode_t mode, char *path, size_t size) {
    const char *xdg = getenv(variable), *home = getenv("HOME");
    const bool named = xdg && xdg[0] == '/';
    errno = ENOENT;
    if (!named && !(home && home[0] == '/')) return false;
    int n = snprintf(path, size, "%s%s/gabbro", named ? xdg : home, named ? "" : standard);
    if (n < 0 || (size_t)n >= size) return false;
    for (char *slash = strchr(path + (named ? 1 : strlen(home)), '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        bool made = make_folder(path, mode);
        *slash = '/';
        if (!made) return false;
    }
    return make_folder(path, mode);
}

bool gab_cache_folder(char *path, size_t size) {
    return user_folder("XDG_CACHE_HOME", "/.cache", 0777, path, size);
}

bool gab_state_folder(char *path, size_t size) {
    return user_folder("XDG_STATE_HOME", "/.local/state", 0700, path, size);
}
