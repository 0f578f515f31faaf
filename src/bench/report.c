#include "bench/report.h"

#include <math.h>
#include <string.h>

const cJSON *bench_figure_of(const cJSON *model, const char *id) {
    const cJSON *f;
    cJSON_ArrayForEach(f, bench_json_item(model, "figures")) if (strcmp(bench_json_text(f, "id"), id) == 0) return f;
    return NULL;
}

const cJSON *bench_loser(const cJSON *anatomy, uint32_t n) {
    const cJSON *k, *kernels = bench_json_item(anatomy, "kernels"), *found = NULL;
    double below = INFINITY;
    for (uint32_t i = 0; i <= n; i++) {
        found = NULL;
        cJSON_ArrayForEach(k, kernels) {
            const double lost = bench_json_number(k, "lost_ms");
            if (lost < below && lost > (found ? bench_json_number(found, "lost_ms") : 0)) found = k;
        }
        if (!found) return NULL;
        below = bench_json_number(found, "lost_ms");
    }
    return found;
}

void bench_say_integrity(const cJSON *model, bool executes, bench_text *t) {
    const cJSON *v, *list = bench_json_item(model, "integrity");
    uint32_t n_right = 0, n_wrong = 0, n_unchecked = 0;
    if (!executes) {
        bench_text_add(t, "results invalid: this device computes nothing");
        return;
    }
    cJSON_ArrayForEach(v, list) {
        const char *verdict = bench_json_text(v, "verdict");
        n_right += strcmp(verdict, "right") == 0;
        n_unchecked += strcmp(verdict, "unchecked") == 0;
        if (strcmp(verdict, "wrong") != 0) continue;
        bench_text_add(t, "%s%s %s is WRONG: %s", n_wrong ? "; " : "", bench_json_text(v, "kernel"),
                       bench_json_text(v, "shape"), bench_json_text(v, "reason"));
        n_wrong++;
    }
    if (n_wrong > 0)
        bench_text_add(t, "; no figure is shown");
    else if (n_right > 0)
        bench_text_add(t, "every kernel right at its real shape, and a whole layer: %u checks", n_right);
    else
        bench_text_add(t, "not checked");
    if (n_unchecked > 0) bench_text_add(t, "; %u not checked", n_unchecked);
}

static bool is_single(const cJSON *f) {
    return cJSON_IsNumber(bench_json_item(f, "runs")) && bench_json_number(f, "runs") < 2;
}

double bench_noise_percent(const cJSON *a, const cJSON *b) {
    const double x = bench_json_number(a, "spread_percent"), y = bench_json_number(b, "spread_percent");
    const bool single = is_single(a) || is_single(b);
    return fmax(sqrt(x * x + y * y), single ? 20 : 3);
}

/* ---- the verdict ---- */

static const char *pace(double tokens_s) {
    return tokens_s >= 50   ? "far faster than anyone reads"
           : tokens_s >= 15 ? "faster than one reads"
           : tokens_s >= 5  ? "about as fast as one reads"
                            : "slower than one reads";
}

static void say_speed(const cJSON *model, bool at_length, bench_text *t) {
    char a[32], b[32];
    const cJSON *f, *prompt = NULL, *text = NULL, *deep = NULL;
    cJSON_ArrayForEach(f, bench_json_item(model, "figures")) {
        const char *kind = bench_json_text(f, "kind");
        if (strcmp(kind, "prefill") == 0) prompt = f;
        if (strcmp(kind, "decode") != 0) continue;
        if (!text) text = f;
        deep = f;
    }
    if (!text) return;
    const double rate = bench_json_number(text, "median");
    bench_text_add(t, "%s writes %s tokens/s, %s", bench_json_text(model, "label"), bench_number(rate, a), pace(rate));
    if (!at_length) {
        bench_text_add(t, ". ");
        return;
    }
    if (deep && deep != text)
        bench_text_add(t, ", %s at depth %.0f", bench_number(bench_json_number(deep, "median"), a),
                       bench_json_number(deep, "depth"));
    if (prompt) {
        const double prompt_rate = bench_json_number(prompt, "median");
        bench_text_add(t, "; a prompt of 1000 tokens takes %s s",
                       bench_number(prompt_rate > 0 ? 1000 / prompt_rate : 0, b));
    }
    bench_text_add(t, ". ");
    if (bench_json_number(text, "share_percent") > 0)
        bench_text_add(t, "That is %.0f%% of what its %s allows. ", bench_json_number(text, "share_percent"),
                       strcmp(bench_json_text(text, "bound"), "memory") == 0 ? "memory" : "arithmetic");
}

static void say_loser(const cJSON *model, bench_text *t) {
    const cJSON *anatomy = cJSON_GetArrayItem(bench_json_item(model, "anatomy"), 0), *k = bench_loser(anatomy, 0);
    const double step = bench_json_number(anatomy, "step_ms"), kernels = bench_json_number(anatomy, "kernels_ms");
    if (!k || step <= 0) return;
    const double lost = bench_json_number(k, "lost_ms"), rest = step - kernels;
    if (rest > lost)
        bench_text_add(t, "Most is lost between the kernels: %.0f%% of a token's time. ", 100 * rest / step);
    else
        bench_text_add(t, "Most is lost in %s%s (%s), which runs at %.0f%% of its roof. ",
                       strncmp(bench_json_text(k, "kernel"), "mat", 3) == 0 ? "the product " : "",
                       bench_json_text(k, "kernel"), bench_json_text(k, "shape"), bench_json_number(k, "roof_percent"));
}

void bench_say_verdict(const cJSON *device, bench_text *t) {
    const cJSON *model, *note;
    const bool executes = bench_json_item(bench_json_item(device, "device"), "executes") == NULL ||
                          bench_json_true(bench_json_item(device, "device"), "executes");
    bool first = true;
    if (!executes) {
        bench_text_add(t, "Results invalid: this device computes nothing. ");
        return;
    }
    cJSON_ArrayForEach(model, bench_json_item(device, "models")) {
        if (bench_json_item(model, "right") && !bench_json_true(model, "right")) {
            bench_text_add(t, "%s is computed wrongly here: do not use it. ", bench_json_text(model, "label"));
            continue;
        }
        say_speed(model, first, t);
        if (first) say_loser(model, t);
        first = false;
    }
    cJSON_ArrayForEach(note, bench_json_item(device, "notes"))
        bench_text_add(t, "Beware: %s. ", cJSON_IsString(note) ? note->valuestring : "");
}
