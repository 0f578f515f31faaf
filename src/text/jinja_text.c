#include "text/jinja_text.h"

#include <string.h>

#include "text/jinja_unicode.h"

typedef gab_jinja_value value;

value gab_jinja_part(gab_jinja_run *run, const gab_jinja_string *string, size_t from, size_t end) {
    gab_jinja_string *part = gab_jinja_string_make(run, string->text + from, end - from);
    part->markup = string->markup;
    return gab_jinja_of_string(part);
}

/* ---- strip ---- */

static bool is_stripped(uint32_t code, const gab_jinja_string *chars) {
    if (!chars) return gab_jinja_is(code, GAB_JINJA_SPACE);
    for (size_t i = 0, length; i < chars->n; i += length)
        if (gab_jinja_decode(chars->text + i, chars->n - i, &length) == code) return true;
    return false;
}

value gab_jinja_strip(gab_jinja_run *run, const gab_jinja_string *string, const gab_jinja_string *chars, bool left,
                      bool right) {
    size_t from = 0, end = string->n, length;
    for (; left && from < end; from += length) {
        gab_jinja_step(run, chars ? 1 + chars->n / 16 : 0);
        if (!is_stripped(gab_jinja_decode(string->text + from, end - from, &length), chars)) break;
    }
    while (right && end > from) {
        size_t before = gab_jinja_back(string->text, end);
        gab_jinja_step(run, chars ? 1 + chars->n / 16 : 0);
        if (before < from || !is_stripped(gab_jinja_decode(string->text + before, end - before, &length), chars)) break;
        end = before;
    }
    gab_jinja_step(run, (string->n - (end - from)) / 64);
    return gab_jinja_part(run, string, from, end);
}

/* ---- case ---- */

static void put_case(gab_jinja_buffer *out, const char *text, size_t length, uint32_t code, bool upper) {
    char changed[4];
    uint32_t to = upper ? gab_jinja_upper(code) : gab_jinja_lower(code);
    if (code == 0xDF && upper) /* sharp s */
        gab_jinja_put_text(out, "SS");
    else if (to == code)
        gab_jinja_put(out, text, length);
    else
        gab_jinja_put(out, changed, gab_jinja_encode(to, changed));
}

value gab_jinja_change_case(gab_jinja_run *run, const gab_jinja_string *string, gab_jinja_case how) {
    gab_jinja_buffer out = {.run = run};
    bool begins = true; /* a word, or the whole */
    for (size_t i = 0, length; i < string->n; i += length) {
        uint32_t code = gab_jinja_decode(string->text + i, string->n - i, &length);
        bool upper = how == GAB_JINJA_TO_UPPER || (how != GAB_JINJA_TO_LOWER && begins);
        if (how == GAB_JINJA_SWAP) upper = gab_jinja_is(code, GAB_JINJA_LOWER);
        put_case(&out, string->text + i, length, code, upper);
        if (how == GAB_JINJA_TITLE)
            begins = !gab_jinja_is(code, GAB_JINJA_UPPER) && !gab_jinja_is(code, GAB_JINJA_LOWER);
        else
            begins = how == GAB_JINJA_TITLE_FILTER &&
                     (gab_jinja_is(code, GAB_JINJA_SPACE) || (code && code < 0x80 && strchr("-({[<", (int)code)));
    }
    gab_jinja_step(run, string->n / 16);
    gab_jinja_string *changed = gab_jinja_string_make(run, out.n ? out.text : "", out.n);
    changed->markup = string->markup;
    return gab_jinja_of_string(changed);
}

/* ---- split ---- */

static value split_space(gab_jinja_run *run, const gab_jinja_string *string, int64_t max) {
    gab_jinja_list *list = gab_jinja_list_make(run, 0);
    value rest = gab_jinja_strip(run, string, NULL, true, false);
    while (rest.string->n) {
        const gab_jinja_string *text = rest.string;
        size_t end = 0, length;
        if (max == 0) { /* all that is left, but for the space at its end */
            gab_jinja_list_push(run, list, gab_jinja_strip(run, text, NULL, false, true));
            break;
        }
        for (; end < text->n; end += length)
            if (gab_jinja_is(gab_jinja_decode(text->text + end, text->n - end, &length), GAB_JINJA_SPACE)) break;
        gab_jinja_list_push(run, list, gab_jinja_part(run, text, 0, end));
        rest = gab_jinja_strip(run, gab_jinja_part(run, text, end, text->n).string, NULL, true, false);
        max -= max > 0;
    }
    return gab_jinja_of_list(GAB_JINJA_LIST, list);
}

static void check_separator(gab_jinja_run *run, const gab_jinja_string *separator) {
    if (separator->n == 0) gab_jinja_fail(run, GAB_ERROR_FORMAT, "the separator is empty");
}

value gab_jinja_split(gab_jinja_run *run, const gab_jinja_string *string, const gab_jinja_string *separator,
                      int64_t max) {
    if (!separator) return split_space(run, string, max);
    check_separator(run, separator);
    gab_jinja_list *list = gab_jinja_list_make(run, 0);
    gab_jinja_string rest = *string;
    for (size_t at; max != 0 && (at = gab_jinja_find(run, &rest, separator, 0)) != SIZE_MAX; max -= max > 0) {
        gab_jinja_list_push(run, list, gab_jinja_part(run, &rest, 0, at));
        rest.text += at + separator->n;
        rest.n -= at + separator->n;
    }
    gab_jinja_list_push(run, list, gab_jinja_part(run, &rest, 0, rest.n));
    return gab_jinja_of_list(GAB_JINJA_LIST, list);
}

size_t gab_jinja_find_last(gab_jinja_run *run, const gab_jinja_string *string, const gab_jinja_string *part,
                           size_t end) {
    if (part->n > end) return SIZE_MAX;
    gab_jinja_step(run, end / 64);
    for (size_t at = end - part->n + 1; at-- > 0;) {
        if (part->n && string->text[at] != part->text[0]) continue;
        gab_jinja_step(run, 1 + part->n / 64);
        if (memcmp(string->text + at, part->text, part->n) == 0) return at;
    }
    return SIZE_MAX;
}

static void reverse(gab_jinja_list *list) {
    for (size_t i = 0, k = list->n; i + 1 < k; i++) {
        value item = list->items[i];
        list->items[i] = list->items[--k];
        list->items[k] = item;
    }
}

value gab_jinja_split_right(gab_jinja_run *run, const gab_jinja_string *string, const gab_jinja_string *separator,
                            int64_t max) {
    if (!separator && max < 0) return split_space(run, string, max);
    if (!separator) gab_jinja_fail(run, GAB_ERROR_UNSUPPORTED, "rsplit at white space with a number is not supported");
    check_separator(run, separator);
    gab_jinja_list *list = gab_jinja_list_make(run, 0);
    size_t end = string->n;
    for (size_t at; max != 0 && (at = gab_jinja_find_last(run, string, separator, end)) != SIZE_MAX; max -= max > 0) {
        gab_jinja_list_push(run, list, gab_jinja_part(run, string, at + separator->n, end));
        end = at;
    }
    gab_jinja_list_push(run, list, gab_jinja_part(run, string, 0, end));
    reverse(list);
    return gab_jinja_of_list(GAB_JINJA_LIST, list);
}

gab_jinja_list *gab_jinja_split_lines(gab_jinja_run *run, const gab_jinja_string *string, bool keep_ends) {
    gab_jinja_list *list = gab_jinja_list_make(run, 0);
    size_t from = 0;
    for (size_t i = 0, length; i < string->n; i += length) {
        uint32_t code = gab_jinja_decode(string->text + i, string->n - i, &length);
        if (!gab_jinja_is(code, GAB_JINJA_LINE)) continue;
        if (code == '\r' && i + 1 < string->n && string->text[i + 1] == '\n') length = 2;
        gab_jinja_list_push(run, list, gab_jinja_part(run, string, from, keep_ends ? i + length : i));
        from = i + length;
    }
    gab_jinja_step(run, string->n / 16);
    if (from < string->n) gab_jinja_list_push(run, list, gab_jinja_part(run, string, from, string->n));
    return list;
}

/* ---- join, replace, pad ---- */

value gab_jinja_join(gab_jinja_run *run, const gab_jinja_string *separator, const gab_jinja_list *items) {
    gab_jinja_buffer out = {.run = run};
    for (size_t i = 0; i < items->n; i++) {
        if (i) gab_jinja_put(&out, separator->text, separator->n);
        gab_jinja_print(&out, items->items[i]);
    }
    return gab_jinja_buffer_value(&out);
}

value gab_jinja_replace(gab_jinja_run *run, const gab_jinja_string *string, const gab_jinja_string *from,
                        const gab_jinja_string *to, int64_t max) {
    gab_jinja_buffer out = {.run = run};
    size_t at = 0;
    while (max != 0 && at <= string->n) {
        size_t hit = gab_jinja_find(run, string, from, at), length = 1;
        if (hit == SIZE_MAX) break;
        gab_jinja_put(&out, string->text + at, hit - at);
        gab_jinja_put(&out, to->text, to->n);
        at = hit + from->n;
        max -= max > 0;
        if (from->n) continue;
        if (at == string->n) return gab_jinja_buffer_value(&out);
        gab_jinja_decode(string->text + at, string->n - at, &length); /* "" is found before each character */
        gab_jinja_put(&out, string->text + at, length);
        at += length;
    }
    gab_jinja_put(&out, string->text + at, string->n - at);
    return gab_jinja_buffer_value(&out);
}

static void put_times(gab_jinja_buffer *out, const gab_jinja_string *fill, int64_t times) {
    for (int64_t i = 0; i < times; i++) gab_jinja_put(out, fill->text, fill->n);
}

value gab_jinja_pad(gab_jinja_run *run, const gab_jinja_string *string, int64_t width, const gab_jinja_string *fill,
                    bool left, bool right) {
    static const gab_jinja_string space = {.n = 1, .text = " "};
    gab_jinja_buffer out = {.run = run};
    gab_jinja_step(run, string->n / 64);
    int64_t n = (int64_t)gab_jinja_count(string->text, string->n), missing = width > n ? width - n : 0;
    if (!fill) fill = &space;
    if (gab_jinja_count(fill->text, fill->n) != 1)
        gab_jinja_fail(run, GAB_ERROR_FORMAT, "what a string is filled with must be one character");
    int64_t before = left && right ? missing / 2 + (missing & width & 1) : left ? missing : 0; /* as str.center */
    gab_jinja_step(run, (size_t)missing);
    put_times(&out, fill, before);
    gab_jinja_put(&out, string->text, string->n);
    put_times(&out, fill, missing - before);
    return gab_jinja_buffer_value(&out);
}
