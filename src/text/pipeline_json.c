#include "text/pipeline_json.h"
#include "format/reader.h"
#include "text/families.h"

#include <stdio.h>
#include <string.h>

enum { SHOWN_MAX = 64 };

gab_status gab_json_copy_text(gab_vocabulary *v, gab_json string, gab_gguf_string *text) {
    char *copy = gab_arena_alloc(&v->arena, gab_json_string_max(string) + 1, 1);
    if (!copy) return gab_fail(v->log, GAB_ERROR_HOST_MEMORY, "%s: no memory for the vocabulary", v->file);
    *text = (gab_gguf_string){copy, gab_json_string(string, copy)};
    copy[text->n_byte] = 0;
    return GAB_OK;
}

gab_status gab_json_unsupported(const gab_vocabulary *v, const char *part, gab_json type, const char *supported) {
    char shown[SHOWN_MAX + 1] = "(none)";
    if (gab_json_is_string(type)) gab_reader_show_bytes(shown, sizeof shown, type + 1, gab_json_string_max(type));
    return gab_fail(v->log, GAB_ERROR_UNSUPPORTED, "%s: %s is of type '%s', which is not supported; supported are %s",
                    v->file, part, shown, supported);
}

/* Calls `one` for a value, or for each of a Sequence of them, which lie in `field`. */
typedef gab_status (*part_fn)(gab_vocabulary *v, gab_json value);
static gab_status each_part(gab_vocabulary *v, gab_json value, const char *field, part_fn one) {
    if (gab_json_is_null(value)) return GAB_OK;
    if (!gab_json_string_is(gab_json_get(value, "type"), "Sequence")) return one(v, value);
    gab_json_items items = gab_json_each(gab_json_get(value, field));
    while (gab_json_next(&items))
        GAB_TRY(each_part(v, items.value, field, one)); /* nested at most 64 deep: json_text.h */
    return GAB_OK;
}

static gab_status fail_value(const gab_vocabulary *v, const char *part, const char *wrong) {
    return gab_fail(v->log, GAB_ERROR_UNSUPPORTED, "%s: %s %s, which is not supported", v->file, part, wrong);
}

/* {"String": text} or {"Regex": text} */
static gab_status read_pattern(gab_vocabulary *v, const char *part, gab_json value, bool *is_text,
                               gab_gguf_string *text) {
    gab_json string = gab_json_get(value, "String"), regex = gab_json_get(value, "Regex");
    *is_text = gab_json_is_string(string);
    if (!*is_text && !gab_json_is_string(regex))
        return fail_value(v, part, "has a pattern that is neither String nor Regex");
    GAB_TRY(gab_json_copy_text(v, *is_text ? string : regex, text));
    if (text->n_byte == 0) return fail_value(v, part, "has an empty pattern");
    if (strlen(text->text) != text->n_byte) return fail_value(v, part, "has a pattern with U+0000");
    return GAB_OK;
}

/* ---- normalizer ---- */

static gab_status add_step(gab_vocabulary *v, bool spacer, gab_normalize_step step) {
    gab_normalize_step *steps = spacer ? v->spacer : v->normalizer;
    size_t *n = spacer ? &v->n_spacer : &v->n_normalizer;
    if (*n == GAB_VOCABULARY_STEP_MAX)
        return fail_value(v, spacer ? "pre_tokenizer" : "normalizer", "has more than 16 steps");
    steps[(*n)++] = step;
    return GAB_OK;
}

static gab_status read_normalizer(gab_vocabulary *v, gab_json value) {
    const gab_json type = gab_json_get(value, "type");
    gab_normalize_step step = {.from = {"", 0}, .to = {"", 0}};
    if (gab_json_string_is(type, "NFC")) {
        step.kind = GAB_NORMALIZE_NFC;
    } else if (gab_json_string_is(type, "Prepend") && gab_json_is_string(gab_json_get(value, "prepend"))) {
        step.kind = GAB_NORMALIZE_PREPEND;
        GAB_TRY(gab_json_copy_text(v, gab_json_get(value, "prepend"), &step.to));
    } else if (gab_json_string_is(type, "Replace") && gab_json_is_string(gab_json_get(value, "content"))) {
        bool is_text;
        GAB_TRY(read_pattern(v, "normalizer", gab_json_get(value, "pattern"), &is_text, &step.from));
        GAB_TRY(gab_json_copy_text(v, gab_json_get(value, "content"), &step.to));
        step.kind = is_text ? GAB_NORMALIZE_REPLACE : GAB_NORMALIZE_REPLACE_PATTERN;
        if (is_text && strcmp(step.from.text, " ") == 0 && strcmp(step.to.text, GAB_ESCAPED_SPACE) == 0)
            v->escaped_spaces = true;
    } else {
        return gab_json_unsupported(v, "normalizer", type, "Sequence, NFC, Prepend, Replace");
    }
    return add_step(v, false, step);
}

/* ---- pre-tokenizer ---- */

static gab_status read_behavior(const gab_vocabulary *v, gab_json value, gab_split_kind *kind) {
    static const char *const NAMES[] = {[GAB_SPLIT_ISOLATED] = "Isolated",
                                        [GAB_SPLIT_REMOVED] = "Removed",
                                        [GAB_SPLIT_PREVIOUS] = "MergedWithPrevious",
                                        [GAB_SPLIT_NEXT] = "MergedWithNext",
                                        [GAB_SPLIT_CONTIGUOUS] = "Contiguous"};
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        if (!gab_json_string_is(value, NAMES[i])) continue;
        *kind = (gab_split_kind)i;
        return GAB_OK;
    }
    return fail_value(v, "pre_tokenizer", "has an unknown behavior");
}

static gab_status add_split(gab_vocabulary *v, const char *pattern, gab_split_kind kind, bool invert) {
    if (v->n_split == GAB_VOCABULARY_STEP_MAX) return fail_value(v, "pre_tokenizer", "has more than 16 steps");
    /* behind ByteLevel text is spelled in its alphabet */
    v->splits[v->n_split++] = (gab_split_step){pattern, kind, invert, v->model == GAB_VOCABULARY_BYTES};
    return GAB_OK;
}

/* A text as a pattern that matches it alone. */
static gab_status quote(gab_vocabulary *v, gab_gguf_string *text) {
    char *quoted = gab_arena_alloc(&v->arena, 2 * (size_t)text->n_byte + 1, 1);
    size_t n = 0;
    if (!quoted) return gab_fail(v->log, GAB_ERROR_HOST_MEMORY, "%s: no memory for the vocabulary", v->file);
    for (size_t i = 0; i < text->n_byte; i++) {
        const char c = text->text[i];
        if ((c > 32 && c < '0') || (c > '9' && c < 'A') || (c > 'Z' && c < 'a') || (c > 'z' && c < 127))
            quoted[n++] = '\\';
        quoted[n++] = c;
    }
    *text = (gab_gguf_string){quoted, n};
    return GAB_OK;
}

static gab_status read_split(gab_vocabulary *v, gab_json value) {
    bool is_text;
    gab_gguf_string pattern = {"", 0};
    gab_split_kind kind = GAB_SPLIT_ISOLATED;
    GAB_TRY(read_pattern(v, "pre_tokenizer", gab_json_get(value, "pattern"), &is_text, &pattern));
    if (is_text) GAB_TRY(quote(v, &pattern));
    GAB_TRY(read_behavior(v, gab_json_get(value, "behavior"), &kind));
    return add_split(v, pattern.text, kind, gab_json_bool(gab_json_get(value, "invert"), false));
}

static gab_status read_digits(gab_vocabulary *v, gab_json value) {
    bool single = gab_json_bool(gab_json_get(value, "individual_digits"), false);
    return add_split(v, "\\p{N}", single ? GAB_SPLIT_ISOLATED : GAB_SPLIT_CONTIGUOUS, false);
}

static gab_status read_punctuation(gab_vocabulary *v, gab_json value) {
    gab_split_kind kind = GAB_SPLIT_ISOLATED;
    gab_json behavior = gab_json_get(value, "behavior");
    if (!gab_json_is_null(behavior)) GAB_TRY(read_behavior(v, behavior, &kind));
    return add_split(v, "[\\p{P}$+<=>^`|~]", kind, false);
}

static gab_status read_whitespace_split(gab_vocabulary *v, gab_json value) {
    (void)value;
    return add_split(v, "\\s", GAB_SPLIT_REMOVED, false);
}

static gab_status read_byte_level(gab_vocabulary *v, gab_json value) {
    if (v->model == GAB_VOCABULARY_BYTES) return fail_value(v, "pre_tokenizer", "has ByteLevel twice");
    if (gab_json_bool(gab_json_get(value, "add_prefix_space"), true)) {
        if (v->n_split > 0)
            return fail_value(v, "pre_tokenizer", "has ByteLevel with add_prefix_space behind another step");
        GAB_TRY(add_step(v, true, (gab_normalize_step){GAB_NORMALIZE_PREPEND_LACK, {"", 0}, {" ", 1}}));
    }
    if (gab_json_bool(gab_json_get(value, "use_regex"), true))
        GAB_TRY(add_split(v, gab_pattern_gpt2, GAB_SPLIT_ISOLATED, false));
    v->model = GAB_VOCABULARY_BYTES;
    return GAB_OK;
}

/* Escapes spaces, puts one in front, cuts before each. */
static gab_status read_metaspace(gab_vocabulary *v, gab_json value) {
    const gab_gguf_string escaped = {GAB_ESCAPED_SPACE, 3};
    gab_json replacement = gab_json_get(value, "replacement"), scheme = gab_json_get(value, "prepend_scheme");
    if (v->n_split > 0 || v->model == GAB_VOCABULARY_BYTES)
        return fail_value(v, "pre_tokenizer", "has Metaspace behind another step");
    if (!gab_json_string_is(replacement, GAB_ESCAPED_SPACE))
        return fail_value(v, "pre_tokenizer", "has Metaspace with another sign than U+2581");
    v->escaped_spaces = true;
    GAB_TRY(add_step(v, true, (gab_normalize_step){GAB_NORMALIZE_REPLACE, {" ", 1}, escaped}));
    bool never = gab_json_string_is(scheme, "never") ||
                 (gab_json_is_null(scheme) && !gab_json_bool(gab_json_get(value, "add_prefix_space"), true));
    if (!never)
        GAB_TRY(add_step(v, true,
                         (gab_normalize_step){gab_json_string_is(scheme, "first") ? GAB_NORMALIZE_PREPEND_FIRST
                                                                                  : GAB_NORMALIZE_PREPEND_LACK,
                                              {"", 0},
                                              escaped}));
    return gab_json_bool(gab_json_get(value, "split"), true) ? add_split(v, GAB_ESCAPED_SPACE, GAB_SPLIT_NEXT, false)
                                                             : GAB_OK;
}

static gab_status read_pre_tokenizer(gab_vocabulary *v, gab_json value) {
    static const struct {
        const char *type;
        part_fn read;
    } TYPES[] = {{"Split", read_split},         {"ByteLevel", read_byte_level},
                 {"Digits", read_digits},       {"Punctuation", read_punctuation},
                 {"Metaspace", read_metaspace}, {"WhitespaceSplit", read_whitespace_split}};
    const gab_json type = gab_json_get(value, "type");
    for (size_t i = 0; i < sizeof TYPES / sizeof *TYPES; i++)
        if (gab_json_string_is(type, TYPES[i].type)) return TYPES[i].read(v, value);
    return gab_json_unsupported(v, "pre_tokenizer", type,
                                "Sequence, Split, ByteLevel, Digits, Punctuation, Metaspace, WhitespaceSplit");
}

/* ---- decoder ---- */

static gab_status read_decoder(gab_vocabulary *v, gab_json value) {
    const gab_json type = gab_json_get(value, "type"), scheme = gab_json_get(value, "prepend_scheme");
    static const char *const NOTHING_TO_DO[] = {"ByteLevel", "ByteFallback", "Fuse"};
    for (size_t i = 0; i < sizeof NOTHING_TO_DO / sizeof *NOTHING_TO_DO; i++)
        if (gab_json_string_is(type, NOTHING_TO_DO[i])) return GAB_OK;
    if (gab_json_string_is(type, "Metaspace")) {
        v->escaped_spaces = true;
        v->strip_space = !gab_json_string_is(scheme, "never") &&
                         !(gab_json_is_null(scheme) && !gab_json_bool(gab_json_get(value, "add_prefix_space"), true));
        return GAB_OK;
    }
    int32_t n = 0;
    if (gab_json_string_is(type, "Strip") && gab_json_string_is(gab_json_get(value, "content"), " ") &&
        gab_json_index(gab_json_get(value, "start"), &n) && n <= 1) {
        v->strip_space = n == 1;
        return GAB_OK;
    }
    if (gab_json_string_is(type, "Replace")) {
        bool is_text;
        gab_gguf_string from = {"", 0};
        GAB_TRY(read_pattern(v, "decoder", gab_json_get(value, "pattern"), &is_text, &from));
        if (!is_text || strcmp(from.text, GAB_ESCAPED_SPACE) != 0 ||
            !gab_json_string_is(gab_json_get(value, "content"), " "))
            return fail_value(v, "decoder", "has a Replace of something else than U+2581 by a space");
        v->escaped_spaces = true;
        return GAB_OK;
    }
    return gab_json_unsupported(
        v, "decoder", type,
        "Sequence, ByteLevel, ByteFallback, Fuse, Metaspace, Replace of U+2581 by a space, Strip of one "
        "space in front");
}

gab_status gab_pipeline_read_text(gab_vocabulary *v, gab_json root) {
    v->model = GAB_VOCABULARY_CHARACTERS;
    GAB_TRY(each_part(v, gab_json_get(root, "normalizer"), "normalizers", read_normalizer));
    GAB_TRY(each_part(v, gab_json_get(root, "pre_tokenizer"), "pretokenizers", read_pre_tokenizer));
    return each_part(v, gab_json_get(root, "decoder"), "decoders", read_decoder);
}

/* ---- post-processor ---- */

static gab_status add_frame(gab_vocabulary *v, int32_t id, bool front) {
    int32_t *frame = front ? v->prefix : v->suffix;
    size_t *n = front ? &v->n_prefix : &v->n_suffix;
    if (id < 0 || (uint32_t)id >= v->n_token) return fail_value(v, "post_processor", "names a token that is none");
    if (*n == GAB_VOCABULARY_FRAME_MAX) return fail_value(v, "post_processor", "puts more than 8 tokens around a text");
    frame[(*n)++] = id;
    return GAB_OK;
}

static gab_status read_template(gab_vocabulary *v, gab_json value) {
    bool front = true;
    gab_json_items items = gab_json_each(gab_json_get(value, "single"));
    while (gab_json_next(&items)) {
        gab_json special = gab_json_get(items.value, "SpecialToken"), name = gab_json_get(special, "id");
        if (!special) {
            front = false; /* the text */
            continue;
        }
        GAB_TRY(add_frame(v, gab_vocabulary_find(v, name), front));
    }
    return GAB_OK;
}

/* ["<s>", 1], of BERT's and RoBERTa's */
static gab_status read_pair(gab_vocabulary *v, gab_json pair, bool front) {
    gab_json_items items = gab_json_each(pair);
    int32_t id = -1;
    gab_json_next(&items);
    if (gab_json_next(&items)) gab_json_index(items.value, &id);
    return add_frame(v, id, front);
}

static gab_status read_post_processor(gab_vocabulary *v, gab_json value) {
    const gab_json type = gab_json_get(value, "type");
    if (gab_json_string_is(type, "ByteLevel")) return GAB_OK; /* offsets */
    if (gab_json_string_is(type, "TemplateProcessing")) return read_template(v, value);
    if (gab_json_string_is(type, "RobertaProcessing") || gab_json_string_is(type, "BertProcessing")) {
        GAB_TRY(read_pair(v, gab_json_get(value, "cls"), true));
        return read_pair(v, gab_json_get(value, "sep"), false);
    }
    return gab_json_unsupported(v, "post_processor", type,
                                "Sequence, ByteLevel, TemplateProcessing, RobertaProcessing, BertProcessing");
}

gab_status gab_pipeline_read_frame(gab_vocabulary *v, gab_json root) {
    return each_part(v, gab_json_get(root, "post_processor"), "processors", read_post_processor);
}
