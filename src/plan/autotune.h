/*
 * autotune.h - which variant of each operation a device uses: those that the cache knows; else each candidate is proved
 * (selftest.h), the right ones are timed (timing.h), the fastest is taken and kept in the cache (tune_cache.h). No
 * table of vendors or devices.
 *
 * The variant that the rule chose (gab_kernel_set_choose) comes first and is what stays when time runs out, until the
 * next start, which measures those operations that had little of it; the others of its family follow, then those of the
 * other family, unless its first is hopeless. The two fastest are timed again, in turns, for a machine is not always as
 * fast. A variant that is wrong, spills or does not compile is put aside, and that is said. Without measuring, variants
 * are chosen by rule, and those that spill by the driver's own word are put aside.
 */
#ifndef GAB_PLAN_AUTOTUNE_H
#define GAB_PLAN_AUTOTUNE_H

#include "plan/selftest.h"
#include "plan/timing.h"

/* What judges and times; tests put others in their place. */
typedef struct gab_tune_functions {
    gab_status (*prove)(gab_vk *vk, const gab_kernel_set *set, const gab_workload *workload,
                        const gab_workload_recorders *recorders, bool spills_allowed, gab_proof *proof);
    gab_status (*prepare)(gab_vk *vk, const gab_workload *workload, gab_timing_ground *ground);
    gab_status (*time)(gab_vk *vk, const gab_kernel_set *set, gab_timing_ground *ground, double best_ms, double *ms);
    gab_status (*duel)(gab_vk *vk, const gab_kernel_set *a, const gab_kernel_set *b, gab_timing_ground *ground,
                       double near_ms, double *a_ms, double *b_ms);
} gab_tune_functions;

typedef struct gab_tune_options {
    bool measure;       /* prove and time, where the device executes; else by rule and statistics */
    bool again;         /* measure also what the cache knows */
    bool exact;         /* only variants with f32 products */
    const char *forced; /* as for gab_kernel_set_choose: these operations are left as they are */
    double budget_ms;   /* no candidate is begun later than this, but for the first of each operation; 0: by the kind
                           of device */
    gab_progress_fn progress;
    void *progress_user;
    const gab_tune_functions *functions; /* NULL: the real ones */
} gab_tune_options;

/* Rows in the order of the workloads; realloc'ed. */
typedef struct gab_tune_report {
    gab_tune_result *results;
    size_t n;
} gab_tune_report;

/* Settles set->choice for the operations of the workloads; the set comes as gab_kernel_set_choose left it. Fails with
 * UNSUPPORTED when all variants of an operation are wrong; with DEVICE_LOST, of which no more than a warning is said:
 * the variant is noted in the cache, and a new attempt on a new device leaves it out. */
gab_status gab_autotune(gab_vk *vk, const gab_tune_options *options, const gab_workload *workloads, uint32_t n_workload,
                        gab_kernel_set *set, gab_tune_report *report);

#endif
