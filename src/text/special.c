#include "text/special.h"

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

const gab_special *gab_special_find(const gab_special_set *set, bool all, const char *text, size_t n, size_t from,
                                    size_t *at) {
    if ((all ? set->n : set->n_always) == 0) return NULL;
    for (*at = from; *at < n; ++*at) {
        const gab_special *found = longest_at(set, all, text + *at, n - *at);
        if (found) return found;
    }
    return NULL;
}
