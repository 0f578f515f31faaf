/*
 * pattern.h - a regular expression over well-formed UTF-8, by PCRE2.
 *
 * The syntax is that of the patterns in the tokenizer.json files of models (Oniguruma's and Rust's), as far as PCRE2
 * reads it alike. \s and \S are Unicode's White_Space there, which is not PCRE2's: it has U+180E besides, which has not
 * been a space since Unicode 6.3.
 */
#ifndef GAB_TEXT_PATTERN_H
#define GAB_TEXT_PATTERN_H

#include "base/error.h"

/* Longest pattern, bytes. */
#define GAB_PATTERN_MAX 16384

/* Immutable, safe to share between threads. */
typedef struct gab_pattern gab_pattern;

/* Memory for searching, to be used by one thread at a time, with any pattern. */
typedef struct gab_pattern_work gab_pattern_work;

/* `file` is named in errors. `jit` false forces PCRE2's interpreter, which is also the fallback where no code may be
 * generated. Fails with UNSUPPORTED when PCRE2 does not read the pattern. */
gab_status gab_pattern_create(const char *text, size_t n, bool jit, const char *file, const gab_log *log,
                              gab_pattern **pattern);
void gab_pattern_destroy(gab_pattern **pattern);

gab_pattern_work *gab_pattern_work_create(void); /* NULL: no memory */
void gab_pattern_work_destroy(gab_pattern_work **work);

/* The first match at or after `start` that is not empty; *begin = *end = n when there is none. Fails when PCRE2 gives
 * up: with HOST_MEMORY, or with LIMIT for a pattern that tries too much. */
gab_status gab_pattern_find(const gab_pattern *pattern, gab_pattern_work *work, const char *text, size_t n,
                            size_t start, size_t *begin, size_t *end);

#endif
