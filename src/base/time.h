/* time.h - the monotonic clock. */
#ifndef GAB_BASE_TIME_H
#define GAB_BASE_TIME_H

#include <stdint.h>

uint64_t gab_time_ns(void); /* nanoseconds from an arbitrary start, never going back */

static inline double gab_time_ms_since(uint64_t start_ns) {
    return (double)(gab_time_ns() - start_ns) * 1e-6;
}

#endif
