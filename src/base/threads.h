/*
 * threads.h - threads, locks, and a parallel loop. C11 threads are missing on some systems; this is all we use of POSIX
 * ones.
 */
#ifndef GAB_BASE_THREADS_H
#define GAB_BASE_THREADS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

typedef pthread_t gab_thread;
typedef pthread_mutex_t gab_mutex;
typedef pthread_cond_t gab_cond;

bool gab_thread_start(gab_thread *thread, void *(*fn)(void *), void *arg);
void gab_thread_join(gab_thread thread);
unsigned gab_cpu_count(void);

/* Calls fn(user, i) for i in 0..n-1 on up to n_thread threads (the caller is one of them; 0 means one per core). Ends
 * early when fn returns false; the result is whether all returned true. Indices are taken in rising order. */
bool gab_parallel_for(size_t n, unsigned n_thread, bool (*fn)(void *user, size_t i), void *user);

#endif
