/* Choosing kernels: with verdicts and times of our making, so that each case says what the device is like. */
#include "plan/autotune.h"
#include "plan/tune_cache.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vk_test.h"

enum { VARIANT_MAX = 64 };

/* What the variants of the operations are like here, by their index, and what was asked about them. */
static struct {
    gab_tune_verdict verdicts[VARIANT_MAX];
    double ms[VARIANT_MAX], again_ms[VARIANT_MAX]; /* again_ms: in a duel; 0: the same */
    double many_ms[VARIANT_MAX];                   /* of many columns; 0: the same */
    gab_status prepare;
    unsigned n_prove, n_time, n_duel;
} device;

static uint32_t index_of(const gab_kernel_set *set, const gab_workload *w) {
    return set->choice[w->operation];
}

static gab_status fake_prove(gab_vk *vk, const gab_kernel_set *set, const gab_workload *w,
                             const gab_workload_recorders *recorders, bool spills_allowed, gab_proof *proof) {
    (void)vk, (void)recorders;
    device.n_prove++;
    *proof = (gab_proof){.verdict = device.verdicts[index_of(set, w)], .error = 1e-7, .error_max = 1e-6};
    if (proof->verdict == GAB_VERDICT_SPILLS && spills_allowed) proof->verdict = GAB_VERDICT_RIGHT;
    if (proof->verdict != GAB_VERDICT_RIGHT) snprintf(proof->reason, sizeof proof->reason, "made so");
    return GAB_OK;
}

static gab_status fake_prepare(gab_vk *vk, const gab_workload *w, gab_timing_ground *ground) {
    (void)vk;
    *ground = (gab_timing_ground){.workload = *w, .n_row = w->n_row};
    return device.prepare;
}

static gab_status fake_time(gab_vk *vk, const gab_kernel_set *set, gab_timing_ground *ground, double best_ms,
                            double *ms) {
    (void)vk, (void)best_ms;
    device.n_time++;
    const uint32_t i = index_of(set, &ground->workload);
    *ms = ground->workload.operation >= GAB_OP_MATMUL && device.many_ms[i] > 0 ? device.many_ms[i] : device.ms[i];
    return GAB_OK;
}

static double again_ms(const gab_kernel_set *set, const gab_workload *w) {
    const uint32_t i = index_of(set, w);
    if (w->operation >= GAB_OP_MATMUL && device.many_ms[i] > 0) return device.many_ms[i];
    return device.again_ms[i] > 0 ? device.again_ms[i] : device.ms[i];
}

static gab_status fake_duel(gab_vk *vk, const gab_kernel_set *a, const gab_kernel_set *b, gab_timing_ground *ground,
                            double near_ms, double *a_ms, double *b_ms) {
    (void)vk, (void)near_ms;
    device.n_duel++;
    *a_ms = again_ms(a, &ground->workload);
    *b_ms = again_ms(b, &ground->workload);
    return GAB_OK;
}

static const gab_tune_functions fakes = {fake_prove, fake_prepare, fake_time, fake_duel};
static const gab_workload matvec = {
    .operation = GAB_OP_MATVEC + GAB_DTYPE_Q8_0, .n_row = 3072, .n_col = 768, .bytes = 1 << 24};

/* All right, the first of the table the fastest, all within a factor of 2. */
static void reset_device(void) {
    memset(&device, 0, sizeof device);
    for (int i = 0; i < VARIANT_MAX; i++) {
        device.verdicts[i] = GAB_VERDICT_RIGHT;
        device.ms[i] = 1 + i * (1.0 / VARIANT_MAX);
    }
}

/* The default device, an empty cache, and a set by rule. */
static gab_vk *open_default(gab_kernel_set *set) {
    gab_vk *vk = gab_test_vk_open(NULL);
    if (!vk->executes) SKIP("%s computes nothing", vk->info.name);
    CHECK_OK(gab_kernel_set_choose(vk, NULL, false, set));
    reset_device();
    gab_test_log_reset();
    return vk;
}

static gab_tune_options options_default(void) {
    return (gab_tune_options){.measure = true, .again = false, .functions = &fakes};
}

static gab_tune_report tune(gab_vk *vk, const gab_tune_options *options, gab_kernel_set *set) {
    gab_tune_report report = {0};
    device.n_prove = device.n_time = 0;
    CHECK_OK(gab_autotune(vk, options, &matvec, 1, set, &report));
    unsigned n_chosen = 0;
    for (size_t i = 0; i < report.n; i++) {
        const gab_tune_result *r = &report.results[i];
        if (r->chosen) CHECK(strcmp(r->variant, gab_variant_of(set, matvec.operation)->name) == 0);
        n_chosen += r->chosen;
    }
    CHECK(n_chosen == 1);
    return report;
}

/* Tunes, and forgets the report. */
static void choose(gab_vk *vk, const gab_tune_options *options, gab_kernel_set *set) {
    gab_tune_report report = tune(vk, options, set);
    free(report.results);
}

/* Another variant than the rule's that the device can run. */
static uint32_t other_than(const gab_vk *vk, const gab_kernel_set *set) {
    uint32_t n;
    const gab_variant *variants = gab_variants(matvec.operation, &n);
    for (uint32_t i = 0; i < n; i++)
        if (i != set->choice[matvec.operation] && gab_variant_usable(vk, &variants[i], false)) return i;
    SKIP("one variant alone");
}

/* ---- the choice ---- */

GAB_TEST(fastest_is_chosen) {
    gab_kernel_set set;
    gab_vk *vk = open_default(&set);
    const uint32_t first = set.choice[matvec.operation], other = other_than(vk, &set);
    const gab_tune_options options = options_default();
    device.ms[other] = 0.5;
    choose(vk, &options, &set);
    CHECK(set.choice[matvec.operation] == other);
    /* Between equals, and within noise, the rule's stays. */
    gab_tune_options again = options;
    again.again = true;
    set.choice[matvec.operation] = (uint8_t)first;
    for (int i = 0; i < VARIANT_MAX; i++) device.ms[i] = i == (int)first ? 1 : 0.99;
    choose(vk, &again, &set);
    CHECK(set.choice[matvec.operation] == first);
    CHECK(gab_test_log_count(GAB_LOG_WARNING) == 0);
    gab_test_vk_close(&vk);
}

/* A moment in which the machine was slow does not decide. */
GAB_TEST(close_ones_are_timed_again) {
    gab_kernel_set set;
    gab_vk *vk = open_default(&set);
    const uint32_t first = set.choice[matvec.operation], other = other_than(vk, &set);
    gab_tune_options options = options_default();
    options.again = true;
    for (int i = 0; i < VARIANT_MAX; i++) device.ms[i] = 10;
    device.ms[first] = 1;
    choose(vk, &options, &set); /* all others are far off */
    CHECK(set.choice[matvec.operation] == first && device.n_duel == 0);
    device.ms[other] = 1.5;
    choose(vk, &options, &set);
    CHECK(set.choice[matvec.operation] == first && device.n_duel == 1);
    device.again_ms[other] = 0.5;
    gab_tune_report report = tune(vk, &options, &set);
    CHECK(set.choice[matvec.operation] == other);
    for (size_t i = 0; i < report.n; i++)
        if (report.results[i].chosen) CHECK(report.results[i].verdict == GAB_VERDICT_RIGHT && report.results[i].ms < 1);
    free(report.results);
    device.verdicts[other] = GAB_VERDICT_WRONG; /* fast, but it must be right */
    set.choice[matvec.operation] = (uint8_t)first;
    choose(vk, &options, &set);
    CHECK(set.choice[matvec.operation] == first);
    gab_test_vk_close(&vk);
}

GAB_TEST(wrong_is_put_aside) {
    gab_kernel_set set;
    gab_vk *vk = open_default(&set);
    const uint32_t first = set.choice[matvec.operation];
    other_than(vk, &set);
    const char *name = gab_variant_of(&set, matvec.operation)->name;
    const gab_tune_options options = options_default();
    device.verdicts[first] = GAB_VERDICT_WRONG;
    device.ms[first] = 0.01;
    choose(vk, &options, &set);
    CHECK(set.choice[matvec.operation] != first);
    CHECK(gab_test_log_count(GAB_LOG_WARNING) == 1 && strstr(gab_test_log_last(GAB_LOG_WARNING), name) &&
          strstr(gab_test_log_last(GAB_LOG_WARNING), "wrong (made so)"));
    gab_test_vk_close(&vk);
}

/* What spills is taken only where nothing else is right. */
GAB_TEST(spilling_is_the_last_resort) {
    gab_kernel_set set;
    gab_vk *vk = open_default(&set);
    const uint32_t first = set.choice[matvec.operation];
    other_than(vk, &set);
    gab_tune_options options = options_default();
    options.again = true;
    device.verdicts[first] = GAB_VERDICT_SPILLS;
    device.ms[first] = 0.01;
    choose(vk, &options, &set);
    CHECK(set.choice[matvec.operation] != first);
    CHECK(gab_test_log_count(GAB_LOG_WARNING) == 0);
    for (uint32_t i = 0; i < VARIANT_MAX; i++)
        if (i != first) device.verdicts[i] = GAB_VERDICT_UNCOMPILABLE;
    set.choice[matvec.operation] = (uint8_t)first;
    choose(vk, &options, &set);
    CHECK(set.choice[matvec.operation] == first);
    gab_test_vk_close(&vk);
}

GAB_TEST(all_wrong) {
    gab_kernel_set set;
    gab_vk *vk = open_default(&set);
    const gab_tune_options options = options_default();
    gab_tune_report report = {0};
    for (int i = 0; i < VARIANT_MAX; i++) device.verdicts[i] = GAB_VERDICT_WRONG;
    CHECK(gab_autotune(vk, &options, &matvec, 1, &set, &report) == GAB_ERROR_UNSUPPORTED);
    CHECK(strstr(gab_last_error(), "matvec_q8_0") && strstr(gab_last_error(), "driver") &&
          strstr(gab_last_error(), vk->info.name));
    CHECK(gab_test_log_count(GAB_LOG_ERROR) == 1);
    free(report.results);
    gab_test_vk_close(&vk);
}

/* Without time left the first is proved all the same, and stays. */
GAB_TEST(out_of_time) {
    gab_kernel_set set;
    gab_vk *vk = open_default(&set);
    const uint32_t first = set.choice[matvec.operation], other = other_than(vk, &set);
    gab_tune_options options = options_default();
    options.budget_ms = 1e-9;
    device.ms[other] = 0.1;
    gab_tune_report report = tune(vk, &options, &set);
    CHECK(set.choice[matvec.operation] == first && device.n_prove == 1 && device.n_time == 0);
    CHECK(report.n > 1 && report.results[1].verdict == GAB_VERDICT_UNTESTED &&
          strcmp(report.results[1].reason, "out of time") == 0);
    CHECK(strstr(gab_test_log_last(GAB_LOG_INFO), "ran out of time"));
    CHECK(strstr(gab_test_log_last(GAB_LOG_INFO), "the next start goes on"));
    free(report.results);
    /* The next start measures it. */
    options.budget_ms = 0;
    choose(vk, &options, &set);
    CHECK(set.choice[matvec.operation] == other && device.n_time > 1);
    set.choice[matvec.operation] = (uint8_t)first;
    options.budget_ms = 1e-9;
    /* The first wrong: the next is looked for, whatever the time. */
    options.again = true;
    device.verdicts[first] = GAB_VERDICT_WRONG;
    choose(vk, &options, &set);
    CHECK(set.choice[matvec.operation] != first && device.n_prove == 2);
    gab_test_vk_close(&vk);
}

/* One variant speaks for a family that is far slower, on devices of either kind. */
GAB_TEST(hopeless_family_is_cut) {
    static const gab_device_kind kinds[] = {GAB_DEVICE_CPU, GAB_DEVICE_DISCRETE};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        gab_kernel_set set;
        gab_vk *vk = open_default(&set);
        gab_tune_options options = options_default();
        uint32_t n, n_other = 0, n_cut = 0;
        const gab_variant *variants = gab_variants(matvec.operation, &n);
        const bool lane = variants[set.choice[matvec.operation]].lane;
        options.again = true;
        vk->info.kind = kinds[k];
        for (uint32_t i = 0; i < n; i++) {
            if (variants[i].lane == lane) continue;
            n_other += gab_variant_usable(vk, &variants[i], false);
            device.ms[i] = 10;
        }
        CHECK(n_other > 2);
        gab_tune_report report = tune(vk, &options, &set);
        for (size_t i = 0; i < report.n; i++) n_cut += strstr(report.results[i].reason, "far slower") != NULL;
        CHECK(n_cut == n_other - 1);
        free(report.results);
        gab_test_vk_close(&vk);
    }
}

/* Two operations at a processor's first use. */
static gab_tune_report tune_both(gab_vk *vk, gab_operation a, gab_operation b, bool again, gab_kernel_set *set) {
    gab_workload both[] = {matvec, matvec};
    gab_tune_options options = options_default();
    gab_tune_report report = {0};
    both[0].operation = a;
    both[1].operation = b;
    options.again = again;
    vk->info.kind = GAB_DEVICE_CPU;
    CHECK_OK(gab_kernel_set_choose(vk, NULL, false, set));
    CHECK_OK(gab_autotune(vk, &options, both, 2, set, &report));
    return report;
}

/* On a processor at first use: what is fastest for many columns is proved for few, and taken. */
GAB_TEST(few_columns_follow_many) {
    gab_kernel_set set;
    gab_vk *vk = open_default(&set);
    const gab_operation many = GAB_OP_MATMUL + GAB_DTYPE_Q8_0, few = GAB_OP_MATMUL_SMALL + GAB_DTYPE_Q8_0;
    uint32_t n;
    const gab_variant *variants = gab_variants(many, &n);
    const uint32_t first = set.choice[many];
    uint32_t other = 0;
    while (other < n && (other == first || variants[other].lane != variants[first].lane ||
                         !gab_variant_usable(vk, &variants[other], false)))
        other++;
    if (other == n) SKIP("one variant alone");
    device.ms[other] = 0.5;
    for (int again = 0; again < 2; again++) { /* "gabbro tune" measures both */
        unsigned n_timed = 0, n_untimed = 0;
        gab_tune_report report = tune_both(vk, many, few, again, &set);
        CHECK(set.choice[many] == other && set.choice[few] == other);
        for (size_t i = 0; i < report.n; i++) {
            const gab_tune_result *r = &report.results[i];
            const bool of_few = strncmp(r->operation, "matmul_small", 12) == 0;
            CHECK(!r->chosen || r->verdict == GAB_VERDICT_RIGHT);
            n_timed += of_few && r->ms > 0;
            n_untimed += of_few && r->chosen && strstr(r->reason, "not timed");
        }
        CHECK(again ? n_timed > 1 && n_untimed == 0 : n_timed == 0 && n_untimed == 1);
        free(report.results);
    }
    gab_test_vk_close(&vk);
}

/* On a processor at first use: two are timed before one is proved; where the faster one is wrong, the other is next. */
GAB_TEST(the_faster_is_proved_first) {
    gab_kernel_set set;
    gab_vk *vk = open_default(&set);
    const uint32_t first = set.choice[matvec.operation], other = other_than(vk, &set);
    uint32_t n;
    if (gab_variants(matvec.operation, &n)[other].lane != set.lane) SKIP("one variant alone of its family");
    gab_tune_options options = options_default();
    vk->info.kind = GAB_DEVICE_CPU;
    for (int i = 0; i < VARIANT_MAX; i++) device.ms[i] = i == (int)first ? 1 : 3;
    device.ms[other] = 0.5;
    gab_tune_report report = tune(vk, &options, &set);
    CHECK(set.choice[matvec.operation] == other && device.n_prove == 1);
    unsigned n_slower = 0;
    for (size_t i = 0; i < report.n; i++) n_slower += strstr(report.results[i].reason, "slower: not proved") != NULL;
    CHECK(n_slower >= 1 && report.results[0].chosen);
    free(report.results);

    char path[1024];
    CHECK(gab_test_cache_file("tuning-", path, sizeof path) && remove(path) == 0);
    CHECK_OK(gab_kernel_set_choose(vk, NULL, false, &set));
    device.verdicts[other] = GAB_VERDICT_WRONG;
    choose(vk, &options, &set);
    CHECK(set.choice[matvec.operation] == first && device.n_prove == 2);
    gab_test_vk_close(&vk);
}

/* Few columns of a type that no product of many has: the rule's is proved, and no other tried. */
GAB_TEST(few_columns_alone_are_proved_only) {
    gab_kernel_set set;
    gab_vk *vk = open_default(&set);
    const gab_operation few = GAB_OP_MATMUL_SMALL + GAB_DTYPE_Q8_0;
    const uint32_t rule = set.choice[few];
    gab_tune_report report = tune_both(vk, matvec.operation, few, false, &set);
    CHECK(set.choice[few] == rule);
    for (size_t i = 0; i < report.n; i++)
        if (strncmp(report.results[i].operation, "matmul_small", 12) == 0)
            CHECK(!(report.results[i].ms > 0) && report.results[i].reason[0] &&
                  report.results[i].chosen == (report.results[i].verdict == GAB_VERDICT_RIGHT));
    free(report.results);
    gab_test_vk_close(&vk);
}

/* Many columns that take as long as one after the other: then stand-ins and a family that was far slower are tried. */
GAB_TEST(disappointing_products_try_all) {
    gab_kernel_set set;
    gab_vk *vk = open_default(&set);
    const gab_operation all = GAB_OP_MATMUL + GAB_DTYPE_Q8_0;
    uint32_t n;
    const gab_variant *one = gab_variants(matvec.operation, &n);
    const bool lane = one[set.choice[matvec.operation]].lane;
    for (uint32_t i = 0; i < n; i++)
        if (one[i].lane != lane) device.ms[i] = 10;
    const gab_variant *many = gab_variants(all, &n);
    uint32_t other = n;
    for (uint32_t i = 0; i < n; i++) {
        device.many_ms[i] = 130; /* as 128 of one column */
        if (many[i].lane != lane && other == n && gab_variant_usable(vk, &many[i], false)) other = i;
    }
    CHECK(other < n);
    device.many_ms[other] = 20;
    gab_tune_report report = tune_both(vk, matvec.operation, all, false, &set);
    CHECK(set.choice[all] == other);
    unsigned n_stand_in = 0;
    for (size_t i = 0; i < report.n; i++)
        for (uint32_t k = 0; k < n; k++)
            n_stand_in += many[k].stand_in && strncmp(report.results[i].operation, "matmul", 6) == 0 &&
                          strcmp(report.results[i].variant, many[k].name) == 0 && report.results[i].ms > 0;
    CHECK(n_stand_in == 1);
    free(report.results);
    gab_test_vk_close(&vk);
}

GAB_TEST(nothing_is_run_without_measuring) {
    gab_kernel_set set;
    gab_vk *vk = open_default(&set);
    const uint32_t first = set.choice[matvec.operation];
    gab_tune_options options = options_default();
    options.measure = false;
    vk->has_pipeline_statistics = false;
    choose(vk, &options, &set);
    CHECK(device.n_prove == 0 && device.n_time == 0 && set.choice[matvec.operation] == first);
    /* Nor where nothing is computed. */
    options.measure = true;
    vk->executes = false;
    choose(vk, &options, &set);
    CHECK(device.n_prove == 0 && device.n_time == 0 && set.choice[matvec.operation] == first);
    gab_test_vk_close(&vk);
}

/* By rule, but not what spills by the driver's word, unless all of the family does. */
GAB_TEST(statistics_refine_the_rule) {
    gab_kernel_set set;
    gab_vk *vk = open_default(&set);
    const gab_kernel_set by_rule = set;
    const uint32_t first = set.choice[matvec.operation];
    const gab_pipeline *pipeline = NULL;
    gab_pipeline_key keys[GAB_WORKLOAD_KEYS_MAX];
    gab_tune_options options = options_default();
    uint32_t n, n_family = 0;
    const gab_variant *variants = gab_variants(matvec.operation, &n);
    for (uint32_t i = 0; i < n; i++) {
        gab_proof proof;
        if (!gab_variant_usable(vk, &variants[i], false)) continue;
        n_family += variants[i].lane == variants[first].lane;
        set.choice[matvec.operation] = (uint8_t)i;
        CHECK_OK(gab_selftest_compile(vk, &set, &matvec, &proof));
    }
    set = by_rule;
    CHECK(gab_workload_keys(vk, &set, &matvec, keys) == 4); /* 1, 2, 4, 8 columns */
    CHECK_OK(gab_pipeline_get(vk->pipelines, &keys[2], &pipeline));
    options.measure = false;
    gab_test_spill(vk, pipeline->pipeline);
    choose(vk, &options, &set);
    CHECK((set.choice[matvec.operation] == first) == (n_family == 1));
    CHECK(variants[set.choice[matvec.operation]].lane == variants[first].lane);
    CHECK(strstr(gab_test_log_last(GAB_LOG_INFO), "is put aside") &&
          strstr(gab_test_log_last(GAB_LOG_INFO), variants[first].name));
    gab_test_spill(vk, VK_NULL_HANDLE);
    set = by_rule;
    choose(vk, &options, &set);
    CHECK(set.choice[matvec.operation] == first && gab_test_log_count(GAB_LOG_WARNING) == 0);
    gab_test_spill_end(vk);
    gab_test_vk_close(&vk);
}

GAB_TEST(forced_is_left_alone) {
    gab_kernel_set set;
    gab_vk *vk = open_default(&set);
    const uint32_t other = other_than(vk, &set);
    uint32_t n;
    char forced[128];
    snprintf(forced, sizeof forced, "matvec=%s", gab_variants(matvec.operation, &n)[other].name);
    CHECK_OK(gab_kernel_set_choose(vk, forced, false, &set));
    gab_tune_options options = options_default();
    options.forced = forced;
    choose(vk, &options, &set);
    CHECK(device.n_prove == 0 && set.choice[matvec.operation] == other);
    CHECK(gab_variant_is_forced(forced, matvec.operation) && !gab_variant_is_forced(forced, GAB_OP_MATMUL));
    CHECK(gab_variant_is_forced("matmul=x,lane", GAB_OP_ATTENTION_DECODE) && !gab_variant_is_forced(NULL, 0));
    gab_test_vk_close(&vk);
}

/* Memory too short for timing is no reason to fail. */
GAB_TEST(no_memory_to_time) {
    gab_kernel_set set;
    gab_vk *vk = open_default(&set);
    const uint32_t first = set.choice[matvec.operation];
    const gab_tune_options options = options_default();
    device.prepare = GAB_ERROR_DEVICE_MEMORY;
    choose(vk, &options, &set);
    CHECK(set.choice[matvec.operation] == first && device.n_time == 0);
    gab_test_vk_close(&vk);
}

static unsigned n_progress;
static void on_progress(void *user, const char *stage, uint64_t done, uint64_t total) {
    CHECK(user == &n_progress && strcmp(stage, "tuning kernels (first use on this device)") == 0 && done <= total);
    n_progress++;
}

GAB_TEST(progress) {
    gab_kernel_set set;
    gab_vk *vk = open_default(&set);
    gab_tune_options options = options_default();
    options.progress = on_progress;
    options.progress_user = &n_progress;
    choose(vk, &options, &set);
    const unsigned n = n_progress;
    CHECK(n >= 2);
    choose(vk, &options, &set); /* from the cache */
    CHECK(n_progress == n);
    gab_test_vk_close(&vk);
}

/* ---- the cache ---- */

GAB_TEST(cache_round_trip) {
    gab_kernel_set set, by_rule;
    char path[1024];
    size_t n;
    gab_vk *vk = open_default(&by_rule);
    const uint32_t other = other_than(vk, &by_rule);
    gab_tune_options options = options_default();
    device.ms[other] = 0.5;
    set = by_rule;
    CHECK(!gab_test_cache_file("tuning-", path, sizeof path));
    choose(vk, &options, &set);
    CHECK(device.n_prove > 0 && gab_test_cache_file("tuning-", path, sizeof path));
    char *text = gab_test_file_read(path, &n);
    CHECK(strncmp(text, "gabbro tuning 1\n", 16) == 0 && strstr(text, "use matvec_q8_0 fast 4096x1024 : "));
    free(text);
    /* Known: nothing is run, whatever would be measured now. */
    device.ms[other] = 100;
    set = by_rule;
    choose(vk, &options, &set);
    CHECK(device.n_prove == 0 && device.n_time == 0 && set.choice[matvec.operation] == other);
    /* Exact products are another matter. */
    options.exact = true;
    set = by_rule;
    choose(vk, &options, &set);
    CHECK(device.n_prove > 0);
    options.exact = false;
    set = by_rule;
    choose(vk, &options, &set);
    CHECK(device.n_prove == 0 && set.choice[matvec.operation] == other);
    /* Measured again on demand. */
    options.again = true;
    set = by_rule;
    choose(vk, &options, &set);
    CHECK(device.n_prove > 0 && set.choice[matvec.operation] == by_rule.choice[matvec.operation]);
    options.again = false;
    set = by_rule;
    choose(vk, &options, &set);
    CHECK(device.n_prove == 0 && set.choice[matvec.operation] == by_rule.choice[matvec.operation]);
    CHECK(gab_test_log_count(GAB_LOG_WARNING) == 0);
    gab_test_vk_close(&vk);
}

/* Another driver, or another card, is tuned anew, without a warning. */
GAB_TEST(cache_of_another_driver) {
    gab_kernel_set set;
    gab_vk *vk = open_default(&set);
    const gab_tune_options options = options_default();
    choose(vk, &options, &set);
    vk->properties.driverVersion++;
    choose(vk, &options, &set);
    CHECK(device.n_prove > 0);
    choose(vk, &options, &set);
    CHECK(device.n_prove == 0);
    vk->info.uuid[0] = vk->info.uuid[0] == '0' ? '1' : '0';
    choose(vk, &options, &set);
    CHECK(device.n_prove > 0 && gab_test_log_count(GAB_LOG_WARNING) == 0);
    gab_test_vk_close(&vk);
}

static void expect_one_warning(gab_vk *vk, gab_kernel_set *set, const char *path, const char *what) {
    const gab_tune_options options = options_default();
    gab_test_log_reset();
    choose(vk, &options, set);
    if (device.n_prove == 0) FAIL("%s: believed", what);
    if (gab_test_log_count(GAB_LOG_WARNING) != 1) FAIL("%s: %u warnings", what, gab_test_log_count(GAB_LOG_WARNING));
    CHECK(strstr(gab_test_log_last(GAB_LOG_WARNING), path));
}

/* Neither of two processes that tune at once loses what the other has found. */
GAB_TEST(cache_of_two_at_once) {
    gab_kernel_set set;
    gab_vk *vk = open_default(&set);
    gab_tune_cache one, other, after;
    char name[64];
    gab_tune_cache_open(vk, 1, &one);
    gab_tune_cache_add(&one, "a", false, "1x1", "old", 1, NULL);
    gab_tune_cache_add(&one, "b", false, "1x1", "kept", 1, NULL);
    gab_tune_cache_add_bad(&one, "b", false, "1x1", "lethal");
    gab_tune_cache_write(&one);
    gab_tune_cache_close(&one);
    gab_tune_cache_open(vk, 1, &one);
    gab_tune_cache_open(vk, 1, &other);
    gab_tune_cache_add(&one, "a", false, "1x1", "new", 1, NULL);
    gab_tune_cache_add(&other, "c", true, "1x1", "theirs", 1, NULL);
    gab_tune_cache_add(&other, "c", true, "1x1", "slow", 2, "right");
    gab_tune_cache_write(&one);
    gab_tune_cache_write(&other);
    gab_tune_cache_open(vk, 1, &after);
    CHECK(gab_tune_cache_find(&after, "a", false, "1x1", name, sizeof name) && strcmp(name, "new") == 0);
    CHECK(gab_tune_cache_find(&after, "b", false, "1x1", name, sizeof name) && strcmp(name, "kept") == 0);
    CHECK(gab_tune_cache_find(&after, "c", true, "1x1", name, sizeof name) && strcmp(name, "theirs") == 0);
    CHECK(gab_tune_cache_is_bad(&after, "b", false, "1x1", "lethal"));
    CHECK(!strstr(after.text, "old") && strstr(after.text, "slow"));
    CHECK(gab_test_log_count(GAB_LOG_WARNING) == 0);
    gab_tune_cache_close(&one);
    gab_tune_cache_close(&other);
    gab_tune_cache_close(&after);
    gab_test_vk_close(&vk);
}

GAB_TEST(cache_damaged) {
    gab_kernel_set set;
    char path[1024];
    size_t n;
    gab_vk *vk = open_default(&set);
    const gab_tune_options options = options_default();
    choose(vk, &options, &set);
    CHECK(gab_test_cache_file("tuning-", path, sizeof path));
    char *text = gab_test_file_read(path, &n);
    for (size_t at = 0; at < n; at += 13) {
        char what[32];
        snprintf(what, sizeof what, "byte %zu", at);
        text[at] ^= 4;
        gab_test_file_write(path, text, n);
        text[at] ^= 4;
        expect_one_warning(vk, &set, path, what);
        gab_test_log_reset();
        choose(vk, &options, &set);
        CHECK(device.n_prove == 0 && gab_test_log_count(GAB_LOG_WARNING) == 0); /* made good */
    }
    static const size_t lengths[] = {0, 1, 16, 40};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        gab_test_file_write(path, text, lengths[i]);
        expect_one_warning(vk, &set, path, "cut");
    }
    gab_test_file_write(path, text, n - 1);
    expect_one_warning(vk, &set, path, "one byte short");
    text[n / 2] = 0;
    gab_test_file_write(path, text, n);
    expect_one_warning(vk, &set, path, "zero byte");
    free(text);
    gab_test_vk_close(&vk);
}

GAB_TEST(cache_cannot_be_written) {
    gab_kernel_set set;
    char folder[600], path[1024];
    gab_vk *vk = open_default(&set);
    const gab_tune_options options = options_default();
    /* A folder in the place of the file. */
    choose(vk, &options, &set);
    CHECK(gab_test_cache_file("tuning-", path, sizeof path) && remove(path) == 0 && mkdir(path, 0777) == 0);
    expect_one_warning(vk, &set, path, "folder");
    CHECK(rmdir(path) == 0);
    /* A file in the place of the folder: as good as one that may not be written, which stops even root. */
    snprintf(folder, sizeof folder, "%s/gabbro", gab_test_cache_home());
    DIR *dir = opendir(folder);
    CHECK(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (entry->d_name[0] != '.') CHECK(remove(path) == 0);
    }
    closedir(dir);
    CHECK(rmdir(folder) == 0);
    gab_test_file_write(folder, "x", 1);
    expect_one_warning(vk, &set, "", "file for a folder");
    CHECK(remove(folder) == 0);
    gab_test_vk_close(&vk);
}

/* ---- the real thing ---- */

/* Proved and timed, on a shape with odd ends; the second time out of the cache. kind: what the device is taken for. */
static void for_real(gab_device_kind kind) {
    gab_kernel_set set;
    gab_vk *vk = open_default(&set);
    vk->info.kind = kind;
    const gab_workload workloads[] = {
        {.operation = GAB_OP_MATVEC + GAB_DTYPE_Q8_0, .n_row = 1001, .n_col = 96, .bytes = 1 << 20},
        {.operation = GAB_OP_ATTENTION_DECODE, .n_head = 3, .n_head_kv = 1, .head_dim = 40, .depth = 77},
    };
    const gab_tune_options options = {.measure = true, .budget_ms = 120e3};
    gab_tune_report report = {0};
    CHECK_OK(gab_autotune(vk, &options, workloads, 2, &set, &report));
    unsigned n_chosen = 0;
    for (size_t i = 0; i < report.n; i++) {
        const gab_tune_result *r = &report.results[i];
        printf("%s %s %s %s: %s, error %.1e, %.4f ms, %.2f GB/s, %.1f GFLOP/s %s\n", r->chosen ? "*" : " ",
               r->operation, r->shape, r->variant, gab_tune_verdict_text(r->verdict), r->error, r->ms, r->gb_s,
               r->gflop_s, r->reason);
        CHECK(r->verdict == GAB_VERDICT_RIGHT || r->verdict == GAB_VERDICT_UNTESTED);
        n_chosen += r->chosen;
        if (!r->chosen) continue;
        CHECK(r->verdict == GAB_VERDICT_RIGHT && r->error <= r->error_max);
        CHECK((r->ms > 0 && r->gb_s > 0) ||
              (kind == GAB_DEVICE_CPU && strstr(r->reason, "not timed: there is no other")));
    }
    CHECK(n_chosen == 2);
    free(report.results);
    report = (gab_tune_report){0};
    gab_kernel_set again = set;
    CHECK_OK(gab_autotune(vk, &options, workloads, 2, &again, &report));
    CHECK(report.n == 2 && report.results[0].ms == 0 && memcmp(&again, &set, sizeof set) == 0);
    free(report.results);
    gab_test_vk_close(&vk);
}

GAB_TEST(for_real_as_a_processor) {
    for_real(GAB_DEVICE_CPU);
}

/* All are proved, compiled ahead, and timed by timestamps. */
GAB_TEST(for_real_as_a_gpu) {
    for_real(GAB_DEVICE_DISCRETE);
}

GAB_TEST_MAIN()
