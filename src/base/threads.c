#if !defined(_POSIX_C_SOURCE)
#define _POSIX_C_SOURCE 200809L
#endif
#include "base/threads.h"

#include <stdatomic.h>
#include <unistd.h>

enum { THREAD_MAX = 64 };

bool gab_thread_start(gab_thread *thread, void *(*fn)(void *), void *arg) {
    return pthread_create(thread, NULL, fn, arg) == 0;
}

void gab_thread_join(gab_thread thread) {
    pthread_join(thread, NULL);
}

unsigned gab_cpu_count(void) {
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > THREAD_MAX ? THREAD_MAX : (unsigned)n;
}

typedef struct parallel_loop {
    atomic_size_t next;
    atomic_bool failed;
    size_t n;
    bool (*fn)(void *, size_t);
    void *user;
} parallel_loop;

static void *parallel_worker(void *arg) {
    parallel_loop *loop = arg;
    while (!atomic_load(&loop->failed)) {
        size_t i = atomic_fetch_add(&loop->next, 1);
        if (i >= loop->n) break;
        if (!loop->fn(loop->user, i)) atomic_store(&loop->failed, true);
    }
    return NULL;
}

bool gab_parallel_for(size_t n, unsigned n_thread, bool (*fn)(void *user, size_t i), void *user) {
    parallel_loop loop = {.n = n, .fn = fn, .user = user};
    gab_thread threads[THREAD_MAX];
    unsigned started = 0;
    if (n_thread == 0 || n_thread > THREAD_MAX) n_thread = gab_cpu_count();
    if (n_thread > n) n_thread = (unsigned)n;
    for (; started + 1 < n_thread; started++)
        if (!gab_thread_start(&threads[started], parallel_worker, &loop)) break;
    parallel_worker(&loop);
    for (unsigned i = 0; i < started; i++) gab_thread_join(threads[i]);
    return !atomic_load(&loop.failed);
}
