/* conditions.h - what may disturb a measurement, as far as the system says it: clocks, temperatures, load. */
#ifndef GAB_BENCH_CONDITIONS_H
#define GAB_BENCH_CONDITIONS_H

#include <stdbool.h>

typedef struct bench_conditions {
    double cpu_mhz, gpu_mhz; /* of the fastest core and card; 0: not readable */
    double cpu_c, gpu_c;     /* of the warmest; 0: not readable */
    double load;             /* runnable threads, mean of the last minute */
    double cores;
    bool power_saving; /* a core's governor is powersave */
} bench_conditions;

void bench_conditions_read(bench_conditions *conditions);

#endif
