/*
 * pipeline_json.h - what a tokenizer.json says about text: its normalizer, pre-tokenizer, decoder and post-processor.
 */
#ifndef GAB_TEXT_PIPELINE_JSON_H
#define GAB_TEXT_PIPELINE_JSON_H

#include "format/json_text.h"
#include "text/vocabulary.h"

/* Normalizer, pre-tokenizer, decoder: into normalizer, spacer, splits, model (bytes or characters), escaped_spaces and
 * strip_space. Fails with UNSUPPORTED, naming what there is, for what is not known here. */
gab_status gab_pipeline_read_text(gab_vocabulary *v, gab_json root);

/* Post-processor: prefix and suffix. After the tokens have been read. */
gab_status gab_pipeline_read_frame(gab_vocabulary *v, gab_json root);

/* The string, copied into the vocabulary's arena. */
gab_status gab_json_copy_text(gab_vocabulary *v, gab_json string, gab_gguf_string *text);

/* "FILE: PART is of type 'X', which is not supported; supported are ..." */
gab_status gab_json_unsupported(const gab_vocabulary *v, const char *part, gab_json type, const char *supported);

/* The id of the token of that text; -1: none, or no string. */
int32_t gab_vocabulary_find(const gab_vocabulary *v, gab_json text);

#endif
