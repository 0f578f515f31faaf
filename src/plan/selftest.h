/*
 * selftest.h - does a variant compute what it should on this device? It is compiled, its statistics are looked at, and
 * it is run on small inputs of ugly shapes, with outliers among the activations, against the CPU reference in double
 * precision. No variant is trusted for its name: drivers have bugs, and they differ by version.
 */
#ifndef GAB_PLAN_SELFTEST_H
#define GAB_PLAN_SELFTEST_H

#include "plan/workload.h"

typedef struct gab_proof {
    gab_tune_verdict verdict;
    double error;     /* largest relative L2 error seen; where a case may have more than error_max, in proportion */
    double error_max; /* that the variant may have */
    char reason[192]; /* why it is not right; "" */
} gab_proof;

/* Judges the variant that the set has chosen for the workload's operation. RIGHT, WRONG, UNCOMPILABLE, or SPILLS, which
 * is said without running it unless spills are allowed. Fails only when the device or the host can do no more (lost,
 * out of memory). A driver's complaints about the variant are not errors of the log. */
gab_status gab_selftest(gab_vk *vk, const gab_kernel_set *set, const gab_workload *workload,
                        const gab_workload_recorders *recorders, bool spills_allowed, gab_proof *proof);

/* The first half: compiles, and looks at the statistics. verdict UNTESTED: nothing speaks against it. */
gab_status gab_selftest_compile(gab_vk *vk, const gab_kernel_set *set, const gab_workload *workload, gab_proof *proof);

/* While variants are tried, errors that are no news to the user go to the log as debugging messages. */
typedef struct gab_quiet_log {
    gab_log log; /* the device's own */
} gab_quiet_log;
void gab_quiet_begin(gab_vk *vk, gab_quiet_log *quiet);
void gab_quiet_end(gab_vk *vk, const gab_quiet_log *quiet);

/* Repeatable numbers, uniform, of mean 0 and deviation 1. */
float gab_selftest_number(uint64_t *state);

#endif
