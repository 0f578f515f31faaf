/*
 * arena.h - many small allocations with one lifetime. Not thread safe.
 */
#ifndef GAB_BASE_ARENA_H
#define GAB_BASE_ARENA_H

#include <stddef.h>

typedef struct gab_arena_block gab_arena_block;

/* Zero-initialize; free with gab_arena_free, which leaves it empty and usable. */
typedef struct gab_arena {
    gab_arena_block *head;
} gab_arena;

/* count * size zeroed bytes, aligned for any type; NULL when memory is out or the product overflows. */
void *gab_arena_alloc(gab_arena *arena, size_t count, size_t size);
/* A zero-terminated copy of n bytes. */
char *gab_arena_copy_text(gab_arena *arena, const char *text, size_t n);
void gab_arena_free(gab_arena *arena);

#endif
