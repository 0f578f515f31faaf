#include "base/hub_pick.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Four bits by K-quants lose little and run fastest; Q8_0 is what most small repositories have; then what lies between,
 * what is smaller, and what is larger. */
const char *const gab_hub_type_order[] = {
    "Q4_K_M", "Q8_0",    "Q4_K_S", "Q4_K_L",  "Q4_K_XL", "Q4_K",   "Q5_K_M", "Q5_K_S", "Q5_K_L",  "Q5_K_XL",
    "Q5_K",   "Q6_K",    "Q6_K_L", "Q6_K_XL", "MXFP4",   "IQ4_NL", "IQ4_XS", "Q4_0",   "Q4_1",    "Q5_0",
    "Q5_1",   "Q8_K_XL", "Q3_K_L", "Q3_K_M",  "Q3_K_XL", "Q3_K_S", "Q3_K",   "Q2_K_L", "Q2_K_XL", "Q2_K",
    "Q2_K_S", "BF16",    "F16",    "FP16",    "F32",     "FP32",   NULL};

/* Files beside the weights that a model folder is made of. */
static const char *const folder_files[] = {"config.json",
                                           "generation_config.json",
                                           "tokenizer.json",
                                           "tokenizer_config.json",
                                           "tokenizer.model",
                                           "special_tokens_map.json",
                                           "added_tokens.json",
                                           "vocab.json",
                                           "vocab.txt",
                                           "merges.txt",
                                           "chat_template.jinja",
                                           "chat_template.json",
                                           "model.safetensors.index.json",
                                           NULL};

static const char *last_part(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool ends_with(const char *text, const char *ending) {
    size_t n = strlen(text), n_ending = strlen(ending);
    return n >= n_ending && strcasecmp(text + n - n_ending, ending) == 0;
}

static bool contains(const char *text, const char *word) {
    for (size_t n = strlen(word); *text; text++)
        if (strncasecmp(text, word, n) == 0) return true;
    return false;
}

/* ---- GGUF -------------------------------------------------------------------------------------------------------- */

/* Weights that run by themselves: no projector of images, no importance matrix. */
static bool is_gguf_model(const char *path) {
    return ends_with(path, ".gguf") && !contains(last_part(path), "mmproj") && !contains(last_part(path), "imatrix");
}

static size_t five_digits(const char *text) {
    size_t value = 0;
    for (int i = 0; i < 5; i++) value = 10 * value + (size_t)(text[i] - '0');
    return value;
}

/* "NAME-00001-of-00003" and an ending: the length of NAME; else 0. */
static size_t split_prefix(const char *path, const char *ending, size_t *shard, size_t *n_shard) {
    static const char form[] = "-00000-of-00000";
    size_t n = strlen(path), n_form = sizeof form - 1, n_ending = strlen(ending);
    if (n <= n_form + n_ending || !ends_with(path, ending)) return 0;
    const char *tail = path + n - n_ending - n_form;
    for (size_t i = 0; i < n_form; i++)
        if (form[i] == '0' ? !isdigit((unsigned char)tail[i]) : tail[i] != form[i]) return 0;
    *shard = five_digits(tail + strlen("-"));
    *n_shard = five_digits(tail + strlen("-00000-of-"));
    return *shard >= 1 && *shard <= *n_shard ? n - n_ending - n_form : 0;
}

/* Whether the word stands in the text by itself: no letter or digit before it, none and no '_' behind. */
static bool has_word(const char *text, const char *word) {
    size_t n = strlen(word);
    for (const char *at = text; *at; at++) {
        if (strncasecmp(at, word, n) != 0) continue;
        if (at > text && isalnum((unsigned char)at[-1])) continue;
        if (!isalnum((unsigned char)at[n]) && at[n] != '_') return true;
    }
    return false;
}

static const char *type_in_name(const char *path) {
    for (const char *const *type = gab_hub_type_order; *type; type++)
        if (has_word(last_part(path), *type)) return *type;
    for (const char *const *type = gab_hub_type_order; *type; type++) /* "Q8_0/model.gguf" */
        if (has_word(path, *type)) return *type;
    return "";
}

static size_t add_gguf(gab_hub_file *files, size_t i, gab_hub_choice *choices, size_t n_choice) {
    size_t shard = 1, n_shard = 1, n_prefix = split_prefix(files[i].path, ".gguf", &shard, &n_shard), c = n_choice;
    for (size_t k = 0; n_prefix && k < n_choice; k++) {
        const char *first = files[choices[k].first].path;
        size_t of, n_of;
        if (choices[k].folder || choices[k].n_shard_all != n_shard) continue;
        if (split_prefix(first, ".gguf", &of, &n_of) == n_prefix && strncmp(first, files[i].path, n_prefix) == 0) c = k;
    }
    if (c == n_choice) {
        choices[c] = (gab_hub_choice){.first = i, .n_shard_all = n_shard};
        snprintf(choices[c].type, sizeof choices[c].type, "%s", type_in_name(files[i].path));
        n_choice++;
    }
    if (shard == 1) choices[c].first = i;
    choices[c].n_file++;
    choices[c].n_shard++;
    files[i].choice = (uint32_t)c;
    return n_choice;
}

/* ---- safetensors ------------------------------------------------------------------------------------------------- */

static bool is_top_safetensors(const char *path) {
    return !strchr(path, '/') && ends_with(path, ".safetensors");
}

static bool is_folder_file(const char *path) {
    for (const char *const *name = folder_files; *name; name++)
        if (strcmp(path, *name) == 0) return true;
    return false;
}

/* Some repositories hold the same weights twice: then those named model* are meant. */
static bool is_folder_weight(const char *path, bool only_model) {
    return is_top_safetensors(path) && (!only_model || strncmp(path, "model", 5) == 0);
}

static size_t add_folder(gab_hub_file *files, size_t n_file, gab_hub_choice *choices, size_t n_choice) {
    gab_hub_choice folder = {.folder = true, .first = n_file};
    bool config = false, model = false;
    for (size_t i = 0; i < n_file; i++) {
        if (strcmp(files[i].path, "config.json") == 0) config = true;
        if (is_folder_weight(files[i].path, true)) model = true;
    }
    for (size_t i = 0; i < n_file; i++) {
        if (!is_folder_weight(files[i].path, model)) continue;
        size_t shard, n_shard;
        if (folder.first == n_file) folder.first = i;
        if (split_prefix(files[i].path, ".safetensors", &shard, &n_shard)) folder.n_shard_all = n_shard;
        folder.n_shard++;
    }
    if (!config || folder.n_shard == 0) return n_choice;
    if (folder.n_shard_all < folder.n_shard) folder.n_shard_all = folder.n_shard;
    for (size_t i = 0; i < n_file; i++) {
        if (!is_folder_weight(files[i].path, model) && !is_folder_file(files[i].path)) continue;
        files[i].choice = (uint32_t)n_choice;
        folder.n_file++;
    }
    choices[n_choice] = folder;
    return n_choice + 1;
}

size_t gab_hub_choices(gab_hub_file *files, size_t n_file, gab_hub_choice *choices) {
    size_t n_choice = 0;
    for (size_t i = 0; i < n_file; i++) {
        files[i].choice = GAB_HUB_NO_CHOICE;
        files[i].taken = false;
        if (is_gguf_model(files[i].path)) n_choice = add_gguf(files, i, choices, n_choice);
    }
    return add_folder(files, n_file, choices, n_choice);
}

/* ---- picking ----------------------------------------------------------------------------------------------------- */

static bool choice_is(const gab_hub_pick *pick, size_t c, const char *type) {
    const gab_hub_choice *choice = &pick->choices[c];
    if (choice->folder) return strcasecmp(type, "safetensors") == 0;
    return strcasecmp(choice->type, type) == 0;
}

/* The choices of a type: their number, and the last of them. */
static size_t count_type(const gab_hub_pick *pick, const char *type, uint32_t *choice) {
    size_t n = 0;
    for (size_t c = 0; c < pick->n_choice; c++) {
        if (!choice_is(pick, c, type)) continue;
        *choice = (uint32_t)c;
        n++;
    }
    return n;
}

static size_t count_best(const gab_hub_pick *pick, uint32_t *choice) {
    size_t n;
    for (const char *const *type = gab_hub_type_order; *type; type++)
        if ((n = count_type(pick, *type, choice)) > 0) return n;
    n = count_type(pick, "", choice); /* GGUF files that do not tell */
    return n > 0 ? n : count_type(pick, "safetensors", choice);
}

/* The files whose path, or last part of it, is the name: their number, and the last of them. */
static size_t count_named(const gab_hub_pick *pick, const char *name, size_t *index) {
    size_t n = 0;
    for (size_t i = 0; i < pick->n_file; i++) {
        if (strcmp(pick->files[i].path, name) == 0) {
            *index = i;
            return 1;
        }
        if (strcmp(last_part(pick->files[i].path), name) != 0) continue;
        *index = i;
        n++;
    }
    return n;
}

gab_hub_pick_result gab_hub_pick_files(gab_hub_pick *pick, const char *what, size_t *index, uint32_t *choice) {
    size_t n = what[0] ? count_named(pick, what, index) : 0;
    *choice = GAB_HUB_NO_CHOICE;
    if (n > 1) return GAB_HUB_SEVERAL;
    if (n == 1) {
        uint32_t c = pick->files[*index].choice;
        pick->files[*index].taken = true;
        if (c == GAB_HUB_NO_CHOICE || pick->choices[c].folder) return GAB_HUB_PICKED; /* this one file */
        *choice = c;
    } else {
        n = what[0] ? count_type(pick, what, choice) : count_best(pick, choice);
        if (n != 1) return n ? GAB_HUB_SEVERAL : GAB_HUB_NOTHING;
    }
    const gab_hub_choice *picked = &pick->choices[*choice];
    *index = picked->first;
    if (picked->n_shard != picked->n_shard_all) return GAB_HUB_INCOMPLETE;
    for (size_t i = 0; i < pick->n_file; i++)
        if (pick->files[i].choice == *choice) pick->files[i].taken = true;
    return GAB_HUB_PICKED;
}
