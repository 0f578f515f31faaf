/*
 * run_test.h - what tests of models, plans, engines and sessions share: small models, engines that must open, turns
 * that must end.
 *
 *     static void body(const char *device) {
 *         gab_engine *engine = gab_test_engine(device, gab_test_small_model());
 *         gab_session *session = gab_test_session(engine, 0, 0);
 *         gab_test_text text = gab_test_turn(session, tokens, n_token, 20);
 *         CHECK(text.stop == GAB_STOP_COUNT && text.n == 20);
 *         gab_session_destroy(&session);
 *         gab_engine_destroy(&engine);
 *     }
 *     GAB_TEST(twenty_tokens) { gab_test_each_engine_device(body); }
 */
#ifndef GAB_RUN_TEST_H
#define GAB_RUN_TEST_H

#include "gguf_build.h"
#include "run/engine.h"
#include "vk_test.h"

/* Runs a body on every device that computes, named by its index, under the validation layer. */
void gab_test_each_engine_device(void (*body)(const char *device));

/* ---- models ---- */

/* Random weights in f32, 300 tokens, 320 positions, width 64, 4 heads, 2 layers. Written once a process. */
const char *gab_test_small_model(void);

/* The model of the tree: real text, 4096 tokens, 512 positions, width 256, 6 layers. */
const char *gab_test_tales(void);

/* GPT-2's metadata and a vocabulary of letters ("A", "B", ...), without tensors; n_vocab up to 26. */
void gab_test_gpt2_header(gguf_build *build, uint32_t n_vocab, uint32_t n_ctx, uint32_t n_embd, uint32_t n_ff,
                          uint32_t n_head, uint32_t n_layer);

/* A copy of a file with the bytes of one number of the header changed; `which` counts those of the kind and entry. The
 * file lives until the next change. */
const char *gab_test_patched(gguf_build *build, gguf_build_kind kind, const char *entry, unsigned which,
                             uint64_t value);
/* The same with a name spelled otherwise, so that it is missing. */
const char *gab_test_renamed(gguf_build *build, const char *name);

/* ---- engines and sessions ---- */

gab_engine_options gab_test_engine_options(const char *device, const char *model);
gab_engine *gab_test_engine_with(const gab_engine_options *options);
gab_engine *gab_test_engine(const char *device, const char *model);

/* temperature 0: greedy; else no filter but the temperature. Goes on at end tokens. */
gab_session_options gab_test_session_options(float temperature, uint64_t seed);
gab_session *gab_test_session(gab_engine *engine, float temperature, uint64_t seed);

typedef struct gab_test_text {
    int32_t tokens[1024];
    size_t n;
    gab_stop stop;
    int32_t stop_token;
} gab_test_text;

/* Takes the events of the running turn to its end. */
gab_test_text gab_test_take(gab_session *session);
/* Feeds and takes. */
gab_test_text gab_test_turn(gab_session *session, const int32_t *tokens, size_t n_token, size_t n_predict);
/* The turn of a session of its own. */
gab_test_text gab_test_alone(gab_engine *engine, const gab_session_options *options, const int32_t *tokens,
                             size_t n_token, size_t n_predict);
void gab_test_same_text(const gab_test_text *got, const gab_test_text *expected, const char *what);

/* Repeatable token ids below n_vocab. */
void gab_test_tokens(uint64_t seed, uint32_t n_vocab, int32_t *tokens, size_t n);

/* The call must fail with a status, and its sentence must hold every part (a list ended by NULL). */
void gab_test_fails(gab_status status, gab_status expected, ...);

/* Relative L2 distance. */
double gab_test_distance(const float *a, const float *b, size_t n);

#endif
