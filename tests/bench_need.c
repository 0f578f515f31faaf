/* What `gabbro bench` expects a model to need, before it is loaded. */
#include "bench/need.h"

#include <math.h>

#include "test.h"

static const bench_plan plan = {.prompts = {{128}, 1}, .depths = {{0, 16384}, 2}, .batch = {{1}, 1}};

static bench_need need_of(const char *path, double bytes, uint64_t binding_bytes) {
    const gab_engine_options options = gab_engine_options_default();
    const bench_room room = {bytes, binding_bytes};
    bench_need need;
    CHECK_OK(bench_need_of(&options, path, &plan, &room, &need));
    return need;
}

static void check_about(double value, double expected) {
    if (fabs(value / expected - 1) > 0.01) FAIL("%g, expected about %g", value, expected);
}

/* 47 G weights, of which a token takes 13 G (Jiang et al. 2024): the row of the embedding aside. */
GAB_TEST(of_a_mixture_the_chosen_experts_take_time) {
    const bench_need need = need_of("synth:mixtral-8x7b:q8_0", 1e12, 1u << 30);
    check_about(need.weight_bytes, 46.7e9 * 34 / 32);
    check_about(need.token_weights, 12.88e9 - 32000 * 4096.0);
    check_about(need.token_bytes, need.token_weights * 34 / 32);
    CHECK(need.context == bench_plan_context(&plan) && need.bytes > need.weight_bytes);
}

GAB_TEST(a_tied_head_is_read_and_an_embedding_is_not) {
    check_about(need_of("synth:llama-1b:f16", 1e12, 1u << 30).token_weights, 1.2358e9);
    check_about(need_of("synth:llama-8b:f16", 1e12, 1u << 30).token_weights, 8.0303e9 - 128256 * 4096.0);
}

GAB_TEST(context_is_what_there_is_room_for) {
    const bench_need whole = need_of("synth:llama-8b:q4_k", 1e12, 1u << 30);
    CHECK(need_of("synth:llama-8b:q4_k", whole.bytes, 1u << 30).context == whole.context);
    const bench_need less = need_of("synth:llama-8b:q4_k", whole.bytes - 1e9, 1u << 30);
    CHECK(less.context < whole.context && less.context >= 4096 && less.bytes <= whole.bytes - 1e9);
    CHECK(need_of("synth:llama-8b:q4_k", 1e12, 16u << 20).context <= (16u << 20) / (8 * 128 * 2)); /* keys in f16 */
    CHECK(need_of("synth:llama-8b:q4_k", 1, 1).context >= 512); /* then it does not fit, and says so itself */
    CHECK(need_of("synth:gpt2-124m:q4_k", 1e12, 1u << 30).context == 1024);
}

GAB_TEST_MAIN()
