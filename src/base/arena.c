#include "base/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 64 * 1024 };

struct gab_arena_block {
    gab_arena_block *next;
    size_t used, size;
    alignas(max_align_t) unsigned char data[];
};

void *gab_arena_alloc(gab_arena *arena, size_t count, size_t size) {
    const size_t align = alignof(max_align_t);
    if (size && count > (SIZE_MAX - sizeof(gab_arena_block) - align) / size) return NULL;
    size_t need = (count * size + align - 1) / align * align;
    gab_arena_block *block = arena->head;
    if (!block || block->size - block->used < need) {
        size_t data = need > BLOCK_BYTES ? need : BLOCK_BYTES;
        block = calloc(1, sizeof *block + data);
        if (!block) return NULL;
        block->size = data;
        block->next = arena->head;
        arena->head = block;
    }
    void *result = block->data + block->used;
    block->used += need;
    return result;
}

char *gab_arena_copy_text(gab_arena *arena, const char *text, size_t n) {
    if (n == SIZE_MAX) return NULL;
    char *copy = gab_arena_alloc(arena, n + 1, 1);
    if (copy && n) memcpy(copy, text, n);
    return copy;
}

void gab_arena_free(gab_arena *arena) {
    while (arena->head) {
        gab_arena_block *next = arena->head->next;
        free(arena->head);
        arena->head = next;
    }
}
