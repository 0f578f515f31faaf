/*
 * setup.h - what several commands need before they can start: the model file, the text or tokens, the engine.
 */
#ifndef GAB_CLI_SETUP_H
#define GAB_CLI_SETUP_H

#include "cli/options.h"
#include "cli/output.h"

/* Sets options->engine.model_path where no -m was given: $GABBRO_MODEL, else the embedded model, as installed, beside
 * the program, or in the source tree. A name of a pulled repository becomes the path of its files in the cache. */
gab_status cli_model_find(cli_options *options, cli_console *console);

/* The text of -p, -f or standard input, malloc'ed, with a zero byte behind it. */
gab_status cli_text_read(const cli_options *options, cli_console *console, char **text, size_t *n_byte);

/* The ids of --tokens or of a text that lists them ("1,2,3", "1 2 3", "[1,2,3]"), each checked to be below n_vocab. To
 * be freed with gab_tokens_free. */
gab_status cli_tokens_parse(const char *list, uint32_t n_vocab, cli_console *console, int32_t **tokens,
                            size_t *n_token);

/* UNSUPPORTED for an engine without a tokenizer. */
gab_status cli_tokenizer_check(cli_console *console, const gab_tokenizer *tokenizer);

/* The tokens of a text with --no-bos and --no-special applied; an empty text becomes the start token, where there is
 * one. */
gab_status cli_text_encode(const cli_options *options, cli_console *console, const gab_tokenizer *tokenizer,
                           const char *text, size_t n_byte, int32_t **tokens, size_t *n_token);

gab_status cli_tokenizer_open(const cli_options *options, cli_console *console, gab_tokenizer **tokenizer);
/* Log and progress of the engine go to the console. */
void cli_engine_console(gab_engine_options *engine_options, cli_console *console);
gab_status cli_engine_open(const cli_options *options, cli_console *console, gab_engine **engine);

/* The sampler of an engine's sessions: as the options say; what they do not say as the model's makers recommend it,
 * else as the library does. */
gab_sampling cli_sampling(const cli_options *options, const gab_engine *engine);

/* Rows of logits to ask for at once, so that host memory stays bounded: a multiple of chunk where there is one. */
size_t cli_logit_rows(uint32_t n_vocab, uint32_t chunk);

#endif
