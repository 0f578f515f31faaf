/*
 * gguf_table.h - what a gab_gguf is made of, for the files of this folder alone: gguf.c fills it from a file,
 * gguf_split.c joins several, gguf_stack.c what old files hold in pieces; gguf_table.c makes it key by key and looks
 * things up in it.
 */
#ifndef GAB_FORMAT_GGUF_TABLE_H
#define GAB_FORMAT_GGUF_TABLE_H

#include "base/arena.h"
#include "format/gguf.h"

typedef struct gab_gguf_value_type {
    const char *name;
    uint32_t bytes; /* of a scalar; of a string the least that one can take */
    bool is_integer, is_signed;
} gab_gguf_value_type;

enum { GAB_GGUF_N_VALUE_TYPE = GAB_GGUF_F64 + 1 };
extern const gab_gguf_value_type gab_gguf_value_types[GAB_GGUF_N_VALUE_TYPE];

typedef struct gab_gguf_array {
    gab_gguf_type type;
    uint64_t n;
    const void *items; /* gab_gguf_string, float, or int32_t of every integer type; NULL: of no use to a getter */
} gab_gguf_array;

typedef struct gab_gguf_key {
    const char *name; /* first: see gab_gguf_name */
    gab_gguf_type type;
    union {
        uint64_t bits; /* integers, widened with their sign; BOOL */
        double number; /* F32, F64 */
        gab_gguf_string string;
        gab_gguf_array array;
    } value;
} gab_gguf_key;

/* An entry of an index: points to a gab_gguf_key or gab_gguf_tensor, whose first member is its name. */
typedef const char *const *gab_gguf_name;

struct gab_gguf {
    char *path;
    gab_file **files; /* [n_file], of the weights */
    uint32_t n_file;
    gab_arena arena; /* everything else points into it */
    uint32_t version;
    uint64_t n_key, n_key_max, n_tensor, n_tensor_max;
    gab_gguf_key *keys;                      /* in file order */
    gab_gguf_tensor *tensors;                /* in file order */
    gab_gguf_name *key_index, *tensor_index; /* sorted by name; a hash would let a hostile file choose its collisions */
    bool out_of_memory;                      /* while it is made */
};

/* Whether an integer of the type, widened to 64 bits, is in low..high. */
bool gab_gguf_integer_fits(gab_gguf_type type, uint64_t bits, int64_t low, int64_t high);

/* Sorts pointers to n entries of `stride` bytes; *twice is a name that is there twice, or NULL. NULL: out of memory. */
gab_gguf_name *gab_gguf_index_make(gab_arena *arena, const void *entries, uint64_t n, size_t stride,
                                   const char **twice);

const gab_gguf_key *gab_gguf_key_find(const gab_gguf *gguf, const char *name);

/* Experts with a tensor each become one tensor a layer and kind. The tensors found before are no longer valid. */
gab_status gab_gguf_stack_experts(gab_gguf *gguf, const gab_log *log);

#endif
