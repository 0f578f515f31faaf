/* table.c - documents for terminals, Markdown and spreadsheets. */
#include <stdio.h>
#include <string.h>

#include "bench/report.h"

enum { BAR_CELLS = 16 };

/* A bar of `share` (0 to 1) of the cells, to an eighth of one. */
static void bar(bench_text *t, double share, bool colour) {
    static const char *const parts[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    const int eighths = share <= 0 ? 0 : share >= 1 ? 8 * BAR_CELLS : (int)(share * 8 * BAR_CELLS + 0.5);
    if (colour) bench_text_add(t, "\033[36m");
    for (int i = 0; i < eighths / 8; i++) bench_text_add(t, "█");
    bench_text_add(t, "%s", parts[eighths % 8]);
    if (colour) bench_text_add(t, "\033[0m");
}

static void heading(bench_text *t, const char *words, bool colour) {
    bench_text_add(t, colour ? "\n\033[1m%s\033[0m\n" : "\n%s\n", words);
}

/* Of ceilings that are rates: against the largest of the same unit. */
static double largest_like(const cJSON *ceilings, const cJSON *one) {
    const cJSON *c;
    double most = 0;
    cJSON_ArrayForEach(c, ceilings) if (strcmp(bench_json_text(c, "unit"), bench_json_text(one, "unit")) == 0 &&
                                        bench_json_number(c, "median") > most) most = bench_json_number(c, "median");
    return most;
}

static void print_ceilings(const cJSON *device, bench_text *t, bool colour) {
    const cJSON *c, *ceilings = bench_json_item(device, "ceilings");
    char number[32];
    heading(t, "What it can do at most", colour);
    cJSON_ArrayForEach(c, ceilings) {
        const double most = largest_like(ceilings, c), value = bench_json_number(c, "median");
        bench_text_add(t, "  %-22s %9s %-9s +-%4.1f%%  ", bench_json_text(c, "name"), bench_number(value, number),
                       bench_json_text(c, "unit"), bench_json_number(c, "spread_percent") / 2);
        if (strcmp(bench_json_text(c, "unit"), "us") != 0) bar(t, most > 0 ? value / most : 0, colour);
        bench_text_add(t, "\n");
    }
}

static void print_figures(const cJSON *model, bench_text *t, bool colour) {
    const cJSON *f;
    char number[32];
    cJSON_ArrayForEach(f, bench_json_item(model, "figures")) {
        const double share = bench_json_number(f, "share_percent");
        bench_text_add(t, "  %-30s %9s %-9s", bench_json_text(f, "name"),
                       bench_number(bench_json_number(f, "median"), number), bench_json_text(f, "unit"));
        if (bench_json_number(f, "runs") > 1)
            bench_text_add(t, " +-%4.1f%%", bench_json_number(f, "spread_percent") / 2);
        if (share > 0) {
            bench_text_add(t, "  %3.0f%% of %-10s ", share, bench_json_text(f, "bound"));
            bar(t, share / 100, colour);
        }
        bench_text_add(t, "\n");
    }
}

static void print_anatomy(const cJSON *anatomy, bench_text *t, bool colour) {
    const cJSON *k;
    const double step = bench_json_number(anatomy, "step_ms"), kernels = bench_json_number(anatomy, "kernels_ms");
    char number[32], words[128];
    bench_text_add(t, "\n");
    snprintf(words, sizeof words, "  Where the time goes: %s, %s ms", bench_json_text(anatomy, "name"),
             bench_number(step, number));
    bench_text_add(t, "%s\n", words);
    bench_text_add(t, "  %-25s %-26s %5s %9s %6s %8s %8s %6s\n", "kernel", "shape", "times", "ms", "", "GB/s",
                   "GFLOP/s", "roof");
    cJSON_ArrayForEach(k, bench_json_item(anatomy, "kernels")) {
        const double ms = bench_json_number(k, "ms") * bench_json_number(k, "times");
        bench_text_add(t, "  %-25s %-26s %5.0f %9s %5.1f%%", bench_json_text(k, "kernel"), bench_json_text(k, "shape"),
                       bench_json_number(k, "times"), bench_number(ms, number), step > 0 ? 100 * ms / step : 0);
        bench_text_add(t, " %8s", bench_number(bench_json_number(k, "gb_s"), number));
        bench_text_add(t, " %8s %5.0f%% ", bench_number(bench_json_number(k, "gflop_s"), number),
                       bench_json_number(k, "roof_percent"));
        bar(t, step > 0 ? ms / step : 0, colour);
        bench_text_add(t, "\n");
    }
    if (step < kernels)
        bench_text_add(t, "  (the kernels alone took %s ms: something has disturbed one of the two)\n",
                       bench_number(kernels, number));
    else
        bench_text_add(t, "  %-58s %9s %5.1f%%\n", "between the kernels, and the host",
                       bench_number(step - kernels, number), step > 0 ? 100 * (step - kernels) / step : 0);
    for (uint32_t i = 0; i < 3 && (k = bench_loser(anatomy, i)); i++)
        bench_text_add(t, "%s%s %s (%s ms)", i ? ", " : "  The most is lost by ", bench_json_text(k, "kernel"),
                       bench_json_text(k, "shape"), bench_number(bench_json_number(k, "lost_ms"), number));
    bench_text_add(t, "\n");
}

static void print_model(const cJSON *model, bool executes, bench_text *t, bool colour) {
    const cJSON *a;
    char size[32], words[256];
    snprintf(words, sizeof words, "%s: %s, %s of weights", bench_json_text(model, "label"),
             bench_json_text(model, "name"), bench_size(bench_json_number(model, "weight_bytes"), size));
    heading(t, words, colour);
    bench_text_add(t, "  ");
    bench_say_integrity(model, executes, t);
    bench_text_add(t, "\n");
    print_figures(model, t, colour);
    cJSON_ArrayForEach(a, bench_json_item(model, "anatomy")) print_anatomy(a, t, colour);
}

static void print_device(const cJSON *device, bench_text *t, bool colour) {
    const cJSON *d = bench_json_item(device, "device"), *one;
    char size[32], words[640];
    const bool executes = !d || !bench_json_item(d, "executes") || bench_json_true(d, "executes");
    snprintf(words, sizeof words, "%s: %s, %s, Vulkan %s, %s", bench_json_text(d, "name"), bench_json_text(d, "kind"),
             bench_json_text(d, "driver"), bench_json_text(d, "vulkan"),
             bench_size(bench_json_number(d, "memory_bytes"), size));
    heading(t, words, colour);
    if (!executes) heading(t, "RESULTS INVALID: this device computes nothing", colour);
    print_ceilings(device, t, colour);
    cJSON_ArrayForEach(one, bench_json_item(device, "models")) print_model(one, executes, t, colour);
    if (cJSON_GetArraySize(bench_json_item(device, "skipped")) > 0) heading(t, "Left out", colour);
    cJSON_ArrayForEach(one, bench_json_item(device, "skipped"))
        bench_text_add(t, "  %s: %s\n", bench_json_text(one, "what"), bench_json_text(one, "why"));
    heading(t, "In short", colour);
    bench_text_add(t, "  ");
    bench_say_verdict(device, t);
    bench_text_add(t, "\n  Measured in %.0f s.\n", bench_json_number(device, "seconds"));
}

char *bench_render_table(const cJSON *document, bool colour) {
    bench_text t = {0};
    const cJSON *device;
    const cJSON *failed = bench_json_item(document, "failed");
    cJSON_ArrayForEach(device, bench_json_item(document, "devices")) print_device(device, &t, colour);
    if (cJSON_GetArraySize(failed) > 0) heading(&t, "Not measured", colour);
    cJSON_ArrayForEach(device, failed)
        bench_text_add(&t, "  %s: %s\n", bench_json_text(device, "device"), bench_json_text(device, "why"));
    return bench_text_take(&t);
}

/* ---- Markdown and CSV: a row a figure ---- */

typedef void (*row_fn)(bench_text *t, const cJSON *device, const char *model, const cJSON *figure);

static void each_row(const cJSON *document, bench_text *t, row_fn row) {
    const cJSON *device, *model, *f;
    cJSON_ArrayForEach(device, bench_json_item(document, "devices")) {
        cJSON_ArrayForEach(f, bench_json_item(device, "ceilings")) row(t, device, "", f);
        cJSON_ArrayForEach(model, bench_json_item(device, "models"))
            cJSON_ArrayForEach(f, bench_json_item(model, "figures")) row(t, device, bench_json_text(model, "label"), f);
    }
}

/* A device that computes nothing says so in every row. */
static const char *validity(const cJSON *device) {
    const cJSON *d = bench_json_item(device, "device");
    return bench_json_item(d, "executes") && !bench_json_true(d, "executes") ? "invalid" : "";
}

static void markdown_row(bench_text *t, const cJSON *device, const char *model, const cJSON *f) {
    char number[32];
    const double share = bench_json_number(f, "share_percent");
    bench_text_add(t, "| %s%s%s | %s | %s | %s %s | %.1f%% |",
                   bench_json_text(bench_json_item(device, "device"), "name"), validity(device)[0] ? ", " : "",
                   validity(device), model, bench_json_text(f, "name"),
                   bench_number(bench_json_number(f, "median"), number), bench_json_text(f, "unit"),
                   bench_json_number(f, "spread_percent"));
    bench_text_add(t, share > 0 ? " %.0f%% of %s |\n" : " |\n", share, bench_json_text(f, "bound"));
}

char *bench_render_markdown(const cJSON *document) {
    bench_text t = {0};
    const cJSON *one;
    bench_text_add(&t, "| device | model | figure | median | spread | of the limit |\n|---|---|---|---:|---:|---|\n");
    each_row(document, &t, markdown_row);
    cJSON_ArrayForEach(one, bench_json_item(document, "failed"))
        bench_text_add(&t, "\nNot measured: %s: %s\n", bench_json_text(one, "device"), bench_json_text(one, "why"));
    return bench_text_take(&t);
}

/* RFC 4180: quotes doubled, always quoted. */
static void csv_text(bench_text *t, const char *words, const char *end) {
    bench_text_add(t, "\"");
    for (; *words; words++) bench_text_add(t, *words == '"' ? "\"\"" : "%c", *words);
    bench_text_add(t, "\"%s", end);
}

static void csv_row(bench_text *t, const cJSON *device, const char *model, const cJSON *f) {
    const cJSON *d = bench_json_item(device, "device");
    csv_text(t, bench_json_text(d, "name"), ",");
    csv_text(t, bench_json_text(d, "driver"), ",");
    csv_text(t, model, ",");
    csv_text(t, bench_json_text(f, "name"), ",");
    csv_text(t, bench_json_text(f, "unit"), ",");
    bench_text_add(t, "%.6g,%.6g,%.6g,%.4g,%s\n", bench_json_number(f, "median"), bench_json_number(f, "least"),
                   bench_json_number(f, "most"), bench_json_number(f, "share_percent"), validity(device));
}

char *bench_render_csv(const cJSON *document) {
    bench_text t = {0};
    const cJSON *one;
    bench_text_add(&t, "device,driver,model,figure,unit,median,least,most,share_percent,validity\n");
    each_row(document, &t, csv_row);
    cJSON_ArrayForEach(one, bench_json_item(document, "failed")) {
        csv_text(&t, bench_json_text(one, "device"), ",,,,,,,,,");
        csv_text(&t, bench_json_text(one, "why"), "\n");
    }
    return bench_text_take(&t);
}
