/*
 * reader.h - walks the header of a binary file from front to back, through a window of positioned reads.
 *
 * Two duties: every count is held against the bytes left in the file before anything is allocated for it, so that
 * memory stays within a small multiple of the file's size whatever the numbers say; and every failure goes through
 * gab_reader_fail, which puts the file, the entry and the field in front of what is wrong. Numbers are little-endian.
 */
#ifndef GAB_FORMAT_READER_H
#define GAB_FORMAT_READER_H

#include "base/arena.h"
#include "base/file.h"

enum { GAB_READER_WINDOW_BYTES = 64 * 1024 };

/* Large: allocate it. Zero-initialize and set file, log, arena, size. */
typedef struct gab_reader {
    const gab_file *file;
    const gab_log *log;
    gab_arena *arena;   /* of what is read */
    uint64_t pos, size; /* in the file; pos <= size */
    char entry[96];     /* "tensor 'wte': ", for messages; "" outside any entry */
    bool in_array;      /* messages name the element, too */
    uint64_t element;
    uint64_t window_start, window_n; /* what of the file is in the window */
    unsigned char window[GAB_READER_WINDOW_BYTES];
} gab_reader;

/* Says which entry comes next: by number while its name is not known (NULL), then by name. */
void gab_reader_enter(gab_reader *r, const char *kind, uint64_t number, const char *name);

/* "FILE: ENTRY: FIELD problem" as GAB_ERROR_FORMAT. */
gab_status gab_reader_fail(const gab_reader *r, const char *field, const char *format, ...) GAB_PRINTF(3, 4);
#ifdef __clang_analyzer__ /* it cannot see that the result is never GAB_OK */
#define gab_reader_fail(r, field, ...) ((void)gab_reader_fail(r, field, __VA_ARGS__), GAB_ERROR_FORMAT)
#endif
gab_status gab_reader_out_of_memory(const gab_reader *r);

/* Zeroed memory from the arena, NULL when there is none. Check the count first. */
void *gab_reader_alloc(gab_reader *r, uint64_t count, size_t size);

/* The next n bytes. */
gab_status gab_reader_take(gab_reader *r, const char *field, void *data, uint64_t n);
/* The next number of 1 to 8 bytes. */
gab_status gab_reader_number(gab_reader *r, const char *field, uint32_t bytes, uint64_t *value);
gab_status gab_reader_u32(gab_reader *r, const char *field, uint32_t *value);
/* A 64-bit count of things that take at least `least` bytes each in the rest of the file. */
gab_status gab_reader_count(gab_reader *r, const char *field, uint32_t least, uint64_t *n);
/* The next n bytes as text, zero-terminated; n has been checked. */
gab_status gab_reader_text(gab_reader *r, const char *field, uint64_t n, const char **text);

/* Copies text for a message: at most size - 1 bytes, all that is not printable ASCII as '?'. */
void gab_reader_show(char *out, size_t size, const char *text);
/* The same for n bytes without a zero behind them. */
void gab_reader_show_bytes(char *out, size_t size, const char *bytes, size_t n);

#endif
