/*
 * hub_pick.h - which files of a repository make a model. A choice is one GGUF file, all shards of a split one, or the
 * safetensors with their configuration and tokenizer. The same rules serve a server's list and the cache's folders, so
 * that what was pulled by a name is found by it.
 */
#ifndef GAB_BASE_HUB_PICK_H
#define GAB_BASE_HUB_PICK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GAB_HUB_NO_CHOICE = UINT32_MAX, GAB_HUB_TYPE_MAX = 16 };

typedef struct gab_hub_file {
    const char *path; /* in the repository */
    uint32_t choice;  /* set by gab_hub_choices; GAB_HUB_NO_CHOICE: part of none */
    bool taken;       /* set by gab_hub_pick */
} gab_hub_file;

typedef struct gab_hub_choice {
    size_t first;                /* file: a GGUF's first shard, or the first of the safetensors */
    size_t n_file;               /* there are */
    size_t n_shard, n_shard_all; /* of the weights: there are, there should be */
    bool folder;                 /* safetensors: the model is the folder */
    char type[GAB_HUB_TYPE_MAX]; /* of a GGUF's weights, by its name, in upper case; "": not told */
} gab_hub_choice;

/* Marks the files and fills choices, which has room for n_file; returns how many there are. */
size_t gab_hub_choices(gab_hub_file *files, size_t n_file, gab_hub_choice *choices);

typedef enum gab_hub_pick_result {
    GAB_HUB_PICKED,     /* pick->files are marked as taken */
    GAB_HUB_NOTHING,    /* nothing matches */
    GAB_HUB_SEVERAL,    /* more than one matches */
    GAB_HUB_INCOMPLETE, /* it matches a choice that lacks shards */
} gab_hub_pick_result;

typedef struct gab_hub_pick {
    gab_hub_file *files;
    size_t n_file;
    gab_hub_choice *choices;
    size_t n_choice;
} gab_hub_pick;

/* Takes what `what` names: a path, the last part of one, a type ("q4_k_m", "safetensors"); "" takes the best: of GGUF
 * files the first type of gab_hub_type_order that there is, else the safetensors. *index is the file that stands for
 * it, and *choice its choice or GAB_HUB_NO_CHOICE. */
gab_hub_pick_result gab_hub_pick_files(gab_hub_pick *pick, const char *what, size_t *index, uint32_t *choice);

/* The types of weights as names spell them, the one to take first in front. */
extern const char *const gab_hub_type_order[];

#endif
