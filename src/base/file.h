/*
 * file.h - files by positioned reads, and the folders of the user.
 */
#ifndef GAB_BASE_FILE_H
#define GAB_BASE_FILE_H

#include <stdio.h>

#include "base/error.h"

/* What a path names; links are followed. */
typedef enum gab_path { GAB_PATH_NONE, GAB_PATH_FILE, GAB_PATH_FOLDER } gab_path;
gab_path gab_path_kind(const char *path);
/* Is it there, but neither a folder nor a file that lies on a disk? Reading it may wait for ever. */
bool gab_path_is_stream(const char *path);

/* A file open for reading. Reads may come from several threads at once. */
typedef struct gab_file gab_file;

gab_status gab_file_open(const char *path, const gab_log *log, gab_file **file);

/* A file that lies nowhere: `make` writes its bytes offset..offset+n-1, all below size, to `bytes`. It is called from
 * any thread and gives the same bytes each time. The content goes with the file, also when this fails. */
typedef struct gab_file_content {
    void (*make)(const void *user, uint64_t offset, void *bytes, size_t n);
    void (*destroy)(void *user);
    void *user;
    uint64_t size; /* at most INT64_MAX */
} gab_file_content;
gab_status gab_file_open_made(const char *name, const gab_file_content *content, const gab_log *log, gab_file **file);

void gab_file_close(gab_file **file);
uint64_t gab_file_size(const gab_file *file); /* at open */
const char *gab_file_path(const gab_file *file);

/* Exactly n bytes at offset, else an error naming the file (it shrank, or cannot be read). */
gab_status gab_file_read_at(const gab_file *file, uint64_t offset, void *data, size_t n, const gab_log *log);

/* Fails when size, modification time or inode differ from those at open: the weights would not be the same. */
gab_status gab_file_check_unchanged(const gab_file *file, const gab_log *log);

/* A whole small file (at most max bytes) into malloc'ed memory, with a zero byte behind it. "-" is standard input. */
gab_status gab_file_read_all(const char *path, size_t max, const gab_log *log, char **data, size_t *n);

/* A new file for what is to become `path` when it is complete, in the same folder, where others may write, too: never
 * one that somebody has put there. Its name goes to `temporary`. NULL: errno says why. */
FILE *gab_file_create_beside(const char *path, char *temporary, size_t size);

/* Writes a file whole: to a temporary one beside it, then renamed. Returns false, with errno set, when it cannot. */
bool gab_file_write_all(const char *path, const void *data, size_t n);

/* Holds off whoever else would lock the folder, in this process or another, until gab_folder_unlock is given the
 * result; -1: it cannot be locked, which is to be gone on with. */
int gab_folder_lock(const char *path);
void gab_folder_unlock(int lock);

/* The program's cache folder ($XDG_CACHE_HOME/gabbro or ~/.cache/gabbro), made if missing; false when there is none. */
bool gab_cache_folder(char *path, size_t size);
/* The same for what a user would miss: $XDG_STATE_HOME/gabbro or ~/.local/state/gabbro. */
bool gab_state_folder(char *path, size_t size);

#endif
