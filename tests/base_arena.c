/*
 * base_arena.c - the arena, and the parallel loop.
 */
#include "base/arena.h"

#include "base/threads.h"
#include "test.h"

#include <stdalign.h>
#include <stdatomic.h>

GAB_TEST(alloc_is_zeroed_and_aligned) {
    gab_arena arena = {0};
    unsigned char *items[500];
    for (int i = 0; i < 500; i++) {
        size_t n = (size_t)(i * 37 % 1000);
        items[i] = gab_arena_alloc(&arena, n, 1);
        CHECK(items[i] && (uintptr_t)items[i] % alignof(max_align_t) == 0);
        for (size_t j = 0; j < n; j++) CHECK(items[i][j] == 0);
        memset(items[i], i, n);
    }
    for (int i = 0; i < 500; i++) /* none overlaps another */
        for (size_t j = 0; j < (size_t)(i * 37 % 1000); j++) CHECK(items[i][j] == (unsigned char)i);
    gab_arena_free(&arena);
    CHECK(!arena.head);
    gab_arena_free(&arena);
}

GAB_TEST(alloc_larger_than_a_block) {
    gab_arena arena = {0};
    char *large = gab_arena_alloc(&arena, 3, 100000), *small = gab_arena_alloc(&arena, 1, 8);
    CHECK(large && small);
    memset(large, 1, 300000);
    for (int i = 0; i < 8; i++) CHECK(small[i] == 0);
    gab_arena_free(&arena);
}

GAB_TEST(alloc_refuses_overflow) {
    gab_arena arena = {0};
    CHECK(!gab_arena_alloc(&arena, SIZE_MAX, 1));
    CHECK(!gab_arena_alloc(&arena, SIZE_MAX / 2 + 2, 2));
    CHECK(!gab_arena_alloc(&arena, 2, SIZE_MAX));
    CHECK(!gab_arena_copy_text(&arena, "", SIZE_MAX));
    CHECK(gab_arena_alloc(&arena, 0, 8) && gab_arena_alloc(&arena, 8, 0));
    gab_arena_free(&arena);
}

GAB_TEST(copy_text) {
    gab_arena arena = {0};
    char *copy = gab_arena_copy_text(&arena, "basalt", 3), *empty = gab_arena_copy_text(&arena, NULL, 0);
    CHECK(copy && strcmp(copy, "bas") == 0 && empty && empty[0] == 0);
    gab_arena_free(&arena);
}

typedef struct loop {
    atomic_int count[1000];
    size_t fail_at;
} loop;

static bool visit(void *user, size_t i) {
    loop *l = user;
    atomic_fetch_add(&l->count[i], 1);
    return i != l->fail_at;
}

GAB_TEST(parallel_for_visits_each_once) {
    static const unsigned n_thread[] = {0, 1, 2, 7, 64, 1000};
    for (size_t t = 0; t < sizeof n_thread / sizeof *n_thread; t++)
        for (size_t n = 0; n <= 1000; n = n * 3 + 1) {
            static loop l;
            memset(&l, 0, sizeof l);
            l.fail_at = SIZE_MAX;
            CHECK(gab_parallel_for(n, n_thread[t], visit, &l));
            for (size_t i = 0; i < 1000; i++) CHECK(atomic_load(&l.count[i]) == (i < n));
        }
}

GAB_TEST(parallel_for_ends_early) {
    static loop l;
    l.fail_at = 10;
    CHECK(!gab_parallel_for(1000, 1, visit, &l));
    for (size_t i = 0; i < 1000; i++) CHECK(atomic_load(&l.count[i]) == (i <= 10));
    CHECK(!gab_parallel_for(1000, 4, visit, &l));
}

GAB_TEST_MAIN()
