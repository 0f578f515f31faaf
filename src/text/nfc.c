#include "text/nfc.h"
#include "text/characters.h"
#include "text/nfc_table.h"

#include <stdlib.h>
#include <string.h>

/* Hangul syllables (Unicode Standard, chapter 3.12). */
enum { L_BASE = 0x1100, V_BASE = 0x1161, T_BASE = 0x11A7, S_BASE = 0xAC00, L_COUNT = 19, V_COUNT = 21, T_COUNT = 28 };
enum { S_COUNT = L_COUNT * V_COUNT * T_COUNT, FIRST_MARK = 0x300, DECOMPOSED_MAX = 4 };

#define COUNT(table) (sizeof(table) / sizeof *(table))

/* The last entry whose `a`, then `b`, is at most what is looked for; NULL: none. */
static const nfc_triple *last_at_most(const nfc_triple *table, size_t n, uint32_t a, uint32_t b) {
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (table[middle].a < a || (table[middle].a == a && table[middle].b <= b))
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 ? &table[low - 1] : NULL;
}

static unsigned class_of(uint32_t code) {
    const nfc_triple *found = code < FIRST_MARK ? NULL : last_at_most(CLASSES, COUNT(CLASSES), code, UINT32_MAX);
    return found && code <= found->b ? found->c : 0;
}

static bool in_range(uint32_t code, uint32_t first, uint32_t n) {
    return code >= first && code - first < n;
}

/* 0: they do not compose. */
static uint32_t compose(uint32_t first, uint32_t second) {
    if (in_range(first, L_BASE, L_COUNT) && in_range(second, V_BASE, V_COUNT))
        return S_BASE + ((first - L_BASE) * V_COUNT + (second - V_BASE)) * T_COUNT;
    if (in_range(first, S_BASE, S_COUNT) && (first - S_BASE) % T_COUNT == 0 &&
        in_range(second, T_BASE + 1, T_COUNT - 1))
        return first + (second - T_BASE);
    const nfc_triple *found = last_at_most(COMPOSITIONS, COUNT(COMPOSITIONS), first, second);
    return found && found->a == first && found->b == second ? found->c : 0;
}

static const nfc_triple *decomposition(uint32_t code) {
    const nfc_triple *found = last_at_most(DECOMPOSITIONS, COUNT(DECOMPOSITIONS), code, UINT32_MAX);
    return found && found->a == code ? found : NULL;
}

/* Stays as it is, and whatever stands before it ends there. */
static bool is_plain(uint32_t code) {
    if (code < FIRST_MARK || code >= 0x110000) return true;
    if (class_of(code) != 0 || in_range(code, V_BASE, V_COUNT) || in_range(code, T_BASE + 1, T_COUNT - 1)) return false;
    const nfc_triple *second = last_at_most(SECONDS, COUNT(SECONDS), code, UINT32_MAX);
    if (second && second->a == code) return false;
    const nfc_triple *parts = decomposition(code);
    return !parts || (parts->c != 0 && compose(parts->b, parts->c) == code);
}

bool gab_nfc_is_plain(const char *text, size_t n) {
    for (size_t i = 0, length; i < n; i += length) {
        length = 1;
        if ((unsigned char)text[i] < 0xCC) continue; /* below U+0300, or the rest of such a character */
        if (!is_plain(gab_character_read(text + i, n - i, &length))) return false;
    }
    return true;
}

/* ---- one character with its marks ---- */

typedef struct mark {
    uint32_t code, class;
    size_t at; /* a stable order for equal classes */
} mark;

typedef struct segment {
    mark *marks;
    size_t n, n_max;
} segment;

static bool append(segment *s, uint32_t code) {
    if (s->n == s->n_max) {
        size_t n_max = s->n_max ? 2 * s->n_max : 64;
        mark *grown = n_max > SIZE_MAX / 2 / sizeof *grown ? NULL : realloc(s->marks, n_max * sizeof *grown);
        if (!grown) return false;
        s->marks = grown;
        s->n_max = n_max;
    }
    s->marks[s->n] = (mark){code, class_of(code), s->n};
    s->n++;
    return true;
}

/* Appends a character taken apart as far as it goes. */
static bool append_decomposed(segment *s, uint32_t code) {
    if (in_range(code, S_BASE, S_COUNT)) {
        uint32_t index = code - S_BASE, t = index % T_COUNT;
        return append(s, L_BASE + index / (V_COUNT * T_COUNT)) &&
               append(s, V_BASE + index % (V_COUNT * T_COUNT) / T_COUNT) && (t == 0 || append(s, T_BASE + t));
    }
    uint32_t tail[DECOMPOSED_MAX];
    size_t n_tail = 0;
    for (const nfc_triple *parts; (parts = decomposition(code)) != NULL && n_tail < DECOMPOSED_MAX; code = parts->b)
        if (parts->c != 0) tail[n_tail++] = parts->c;
    bool good = append(s, code);
    while (good && n_tail > 0) good = append(s, tail[--n_tail]);
    return good;
}

static int compare_marks(const void *a, const void *b) {
    const mark *x = a, *y = b;
    if (x->class != y->class) return x->class < y->class ? -1 : 1;
    return x->at < y->at ? -1 : 1;
}

static void sort_marks(segment *s) {
    for (size_t from = 0, to; from < s->n; from = to) {
        to = from + 1;
        if (s->marks[from].class == 0) continue;
        while (to < s->n && s->marks[to].class != 0) to++;
        qsort(s->marks + from, to - from, sizeof *s->marks, compare_marks);
    }
}

/* Composes what composes with the last character of class 0, unless another mark of its class, or of none, lies
 * between. */
static void compose_marks(segment *s) {
    size_t n = 0, starter = SIZE_MAX;
    unsigned last_class = 0;
    for (size_t i = 0; i < s->n; i++) {
        const mark m = s->marks[i];
        bool adjacent = starter != SIZE_MAX && n == starter + 1;
        bool free_way = starter != SIZE_MAX && (adjacent || last_class < m.class);
        uint32_t whole = free_way ? compose(s->marks[starter].code, m.code) : 0;
        if (whole) {
            s->marks[starter].code = whole;
            continue;
        }
        if (m.class == 0) starter = n;
        last_class = m.class;
        s->marks[n++] = m;
    }
    s->n = n;
}

static size_t flush(segment *s, char *out) {
    size_t n = 0;
    if (s->n > 1) {
        sort_marks(s);
        compose_marks(s);
    }
    for (size_t i = 0; i < s->n; i++) n += gab_character_write(s->marks[i].code, out + n);
    s->n = 0;
    return n;
}

char *gab_nfc_make(const char *text, size_t n, size_t *n_out) {
    /* a character of 2 bytes can become one of 4 or two of 3 (U+0344, U+1D15E are the worst): Annex #15 gives the
     * factor 3 */
    char *out = n > SIZE_MAX / 3 - 1 ? NULL : malloc(3 * n + 1);
    segment s = {0};
    bool good = out != NULL;
    size_t written = 0;
    for (size_t i = 0, length; good && i < n; i += length) {
        uint32_t code = gab_character_read(text + i, n - i, &length);
        if (is_plain(code)) written += flush(&s, out + written);
        good = append_decomposed(&s, code);
    }
    if (good) written += flush(&s, out + written);
    free(s.marks);
    if (!good) {
        free(out);
        return NULL;
    }
    *n_out = written;
    return out;
}
