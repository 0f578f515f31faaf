/*
 * jinja_text.h - what filters and methods do with strings, as Python does it. Parts of a markup string stay markup.
 */
#ifndef GAB_TEXT_JINJA_TEXT_H
#define GAB_TEXT_JINJA_TEXT_H

#include "text/jinja_value.h"

typedef enum gab_jinja_case {
    GAB_JINJA_TO_UPPER,
    GAB_JINJA_TO_LOWER,
    GAB_JINJA_CAPITALIZE,   /* the first character of all */
    GAB_JINJA_TITLE,        /* str.title(): the first letter of each run of letters */
    GAB_JINJA_TITLE_FILTER, /* the filter `title`: the first behind space, '-' or an opening bracket */
    GAB_JINJA_SWAP,
} gab_jinja_case;

/* A part of the string, which it refers to. */
gab_jinja_value gab_jinja_part(gab_jinja_run *run, const gab_jinja_string *string, size_t from, size_t end);
/* chars NULL: white space. */
gab_jinja_value gab_jinja_strip(gab_jinja_run *run, const gab_jinja_string *string, const gab_jinja_string *chars,
                                bool left, bool right);
gab_jinja_value gab_jinja_change_case(gab_jinja_run *run, const gab_jinja_string *string, gab_jinja_case how);
/* At most max cuts, -1: all. separator NULL: runs of white space. */
gab_jinja_value gab_jinja_split(gab_jinja_run *run, const gab_jinja_string *string, const gab_jinja_string *separator,
                                int64_t max);
gab_jinja_value gab_jinja_split_right(gab_jinja_run *run, const gab_jinja_string *string,
                                      const gab_jinja_string *separator, int64_t max);
gab_jinja_list *gab_jinja_split_lines(gab_jinja_run *run, const gab_jinja_string *string, bool keep_ends);
/* At most max times, -1: all. */
gab_jinja_value gab_jinja_replace(gab_jinja_run *run, const gab_jinja_string *string, const gab_jinja_string *from,
                                  const gab_jinja_string *to, int64_t max);
/* To `width` characters with `fill` (one character) on both sides, or one of them. */
gab_jinja_value gab_jinja_pad(gab_jinja_run *run, const gab_jinja_string *string, int64_t width,
                              const gab_jinja_string *fill, bool left, bool right);
gab_jinja_value gab_jinja_join(gab_jinja_run *run, const gab_jinja_string *separator, const gab_jinja_list *items);
/* The last place before byte `end` where the part is whole; SIZE_MAX: nowhere. */
size_t gab_jinja_find_last(gab_jinja_run *run, const gab_jinja_string *string, const gab_jinja_string *part,
                           size_t end);

#endif
