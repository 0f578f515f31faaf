#include "text/special.h"
#include "text/characters.h"

#include <stdlib.h>
#include <string.h>

/* By text, a text before its continuations, equal ones by id. */
static int compare(const void *a, const void *b) {
    const gab_special *x = a, *y = b;
    int order = memcmp(x->text, y->text, x->n_byte < y->n_byte ? x->n_byte : y->n_byte);
    if (order != 0) return order;
    if (x->n_byte != y->n_byte) return x->n_byte < y->n_byte ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

void gab_special_set_sort(gab_special_set *set) {
    if (set->n) qsort(set->items, set->n, sizeof *set->items, compare);
    set->n_always = 0;
    memset(set->first, 0, sizeof set->first);
    for (size_t i = 0; i < set->n; i++) {
        set->first[(unsigned char)set->items[i].text[0] + 1]++;
        set->n_always += set->items[i].always;
    }
    for (int b = 0; b < 256; b++) set->first[b + 1] += set->first[b];
}

/* The first of items low..high whose byte at `depth` is at least `byte`. All of them are longer than that. */
static size_t lower_bound(const gab_special_set *set, size_t low, size_t high, size_t depth, unsigned byte) {
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if ((unsigned char)set->items[middle].text[depth] < byte) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static const gab_special *longest_at(const gab_special_set *set, bool all, const char *text, size_t n) {
    const gab_special *best = NULL;
    size_t low = set->first[(unsigned char)text[0]], high = set->first[(unsigned char)text[0] + 1];
    for (size_t depth = 1; low < high; depth++) {
        for (bool first = true; low < high && set->items[low].n_byte == depth; low++) {
            if (!first || (!all && !set->items[low].always)) continue;
            best = &set->items[low];
            first = false;
        }
        if (depth == n) break;
        unsigned byte = (unsigned char)text[depth];
        low = lower_bound(set, low, high, depth, byte);
        high = lower_bound(set, low, high, depth, byte + 1);
    }
    return best;
}

/* ---- what stands beside them ---- */

static bool is_space(uint32_t code) {
    return (code >= 9 && code <= 13) || code == ' ' || code == 0x85 || code == 0xA0 || code == 0x1680 ||
           (code >= 0x2000 && code <= 0x200A) || code == 0x2028 || code == 0x2029 || code == 0x202F || code == 0x205F ||
           code == 0x3000;
}

static bool is_word(const gab_special_set *set, const char *character, size_t n) {
    gab_pattern_work *work = gab_pattern_work_create(); /* such tokens are rare */
    size_t begin = 0, end = 0;
    bool found = work && gab_pattern_find(set->word, work, character, n, 0, &begin, &end) == GAB_OK && end > begin;
    gab_pattern_work_destroy(&work);
    return found;
}

static uint32_t code_before(const char *text, size_t at, size_t *n_byte) {
    size_t back = 1;
    while (back < 4 && back < at && ((unsigned char)text[at - back] & 0xC0) == 0x80) back++;
    uint32_t code = gab_character_read(text + at - back, back, n_byte);
    if (*n_byte == back) return code;
    *n_byte = 1; /* no character */
    return gab_character_read(text + at - 1, 1, n_byte);
}

static bool stands_alone(const gab_special_set *set, const gab_special *special, const char *text, size_t n,
                         size_t at) {
    size_t end = at + special->n_byte, length;
    if (!special->single_word) return true;
    if (at > 0 && code_before(text, at, &length) < 0x110000 && is_word(set, text + at - length, length)) return false;
    return end == n || gab_character_read(text + end, n - end, &length) >= 0x110000 ||
           !is_word(set, text + end, length);
}

const gab_special *gab_special_find(const gab_special_set *set, bool all, const char *text, size_t n, size_t from,
                                    size_t *at, size_t *end) {
    if ((all ? set->n : set->n_always) == 0) return NULL;
    for (*at = from; *at < n; ++*at) {
        const gab_special *found = longest_at(set, all, text + *at, n - *at);
        if (!found || !stands_alone(set, found, text, n, *at)) continue;
        size_t length;
        *end = *at + found->n_byte;
        if (found->left_strip)
            while (*at > from && is_space(code_before(text, *at, &length)) && length <= *at - from) *at -= length;
        if (found->right_strip)
            while (*end < n && is_space(gab_character_read(text + *end, n - *end, &length))) *end += length;
        return found;
    }
    return NULL;
}
