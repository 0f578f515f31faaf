#include "bench/svg.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { WIDTH = 480, HEIGHT = 300, LEFT = 56, RIGHT = 14, TOP = 14, BOTTOM = 40 };

/* An axis from low to high. */
typedef struct axis {
    double low, high;
    bool log;
    double from, to; /* in the picture */
} axis;

static double at(const axis *a, double value) {
    const double low = a->log ? log10(a->low) : a->low, high = a->log ? log10(a->high) : a->high;
    double share = high > low ? ((a->log ? log10(value) : value) - low) / (high - low) : 0.5;
    share = share < 0 ? 0 : share > 1 ? 1 : share;
    return a->from + share * (a->to - a->from);
}

static void open_svg(bench_text *t, const char *what, int height) {
    bench_text_add(t, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", WIDTH, height);
    bench_text_add(t, "%s", what);
    bench_text_add(t, "\">\n");
}

static void label(bench_text *t, double x, double y, const char *class, const char *words) {
    bench_text_add(t, "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\">", x, y, class);
    bench_text_add(t, "%s", words);
    bench_text_add(t, "</text>\n");
}

static void grid_line(bench_text *t, double x1, double y1, double x2, double y2, const char *class) {
    bench_text_add(t, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" class=\"%s\"/>\n", x1, y1, x2, y2, class);
}

/* 1200 -> "1.2k" */
static const char *tick(double value, char out[32]) {
    char number[24];
    const char *const unit = value >= 1e6 ? "M" : value >= 1e3 ? "k" : "";
    const double scaled = value >= 1e6 ? value / 1e6 : value >= 1e3 ? value / 1e3 : value;
    snprintf(number, sizeof number,
             scaled >= 10 || scaled == floor(scaled) ? "%.0f"
             : scaled >= 0.1                         ? "%.1f"
                                                     : "%.2g",
             scaled);
    snprintf(out, 32, "%.24s%s", number, unit);
    return out;
}

/* Lines and numbers of an axis: decades of a logarithmic one, else about five round steps. */
static void draw_axis(bench_text *t, const axis *a, bool upright, const char *name) {
    char words[32];
    double step = a->log ? 10 : pow(10, floor(log10((a->high - a->low) / 4)));
    if (!a->log) step *= (a->high - a->low) / step > 10 ? 5 : (a->high - a->low) / step > 5 ? 2 : 1;
    double value = a->log ? pow(10, ceil(log10(a->low) - 1e-9)) : ceil(a->low / step) * step;
    for (int i = 0; i < 20 && value <= a->high * 1.0001; i++) {
        const double place = at(a, value);
        if (upright) {
            grid_line(t, LEFT, place, WIDTH - RIGHT, place, "grid");
            label(t, LEFT - 6, place + 4, "tick end", tick(value, words));
        } else {
            grid_line(t, place, TOP, place, HEIGHT - BOTTOM, "grid");
            label(t, place, HEIGHT - BOTTOM + 16, "tick mid", tick(value, words));
        }
        value = a->log ? value * step : value + step;
    }
    if (upright)
        bench_text_add(t, "<text transform=\"translate(12 %d) rotate(-90)\" class=\"tick mid\">%s</text>\n",
                       (HEIGHT - BOTTOM + TOP) / 2, name);
    else
        label(t, (LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 6, "tick mid", name);
}

static axis across(double low, double high, bool log) {
    return (axis){low, high, log, LEFT, WIDTH - RIGHT};
}

static axis upright(double low, double high, bool log) {
    return (axis){low, high, log, HEIGHT - BOTTOM, TOP};
}

/* ---- the roofline ---- */

static double ceiling_of(const cJSON *device, const char *kind) {
    const cJSON *c;
    double value = 0;
    cJSON_ArrayForEach(c, bench_json_item(device, "ceilings")) if (strcmp(bench_json_text(c, "kind"), kind) == 0)
        value = fmax(value, bench_json_number(c, "median"));
    return value;
}

static const char *class_of(const char *kernel) {
    return strncmp(kernel, "mat", 3) == 0 ? "c1" : strncmp(kernel, "attention", 9) == 0 ? "c2" : "c3";
}

static void draw_point(bench_text *t, const axis *x, const axis *y, const cJSON *anatomy, const cJSON *k) {
    char a[32], b[32];
    const double bytes = bench_json_number(k, "bytes"), rate = bench_json_number(k, "gflop_s");
    const double ms = bench_json_number(k, "ms") * bench_json_number(k, "times");
    const double step = bench_json_number(anatomy, "step_ms"), share = step > 0 ? ms / step : 0;
    if (bytes <= 0 || rate <= 0) return;
    bench_text_add(t, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" class=\"dot %s\"><title>",
                   at(x, bench_json_number(k, "operations") / bytes), at(y, rate), 3 + 9 * sqrt(share < 1 ? share : 1),
                   class_of(bench_json_text(k, "kernel")));
    bench_text_add(t, "%s", bench_json_text(k, "kernel"));
    bench_text_add(t, " %s, %s: %s GFLOP/s, %s GB/s, %.0f%% of its roof, %.0f%% of the time</title></circle>\n",
                   bench_json_text(k, "shape"), bench_json_text(anatomy, "name"), bench_number(rate, a),
                   bench_number(bench_json_number(k, "gb_s"), b), bench_json_number(k, "roof_percent"), 100 * share);
}

void bench_svg_roofline(const cJSON *device, const cJSON *model, bench_text *t) {
    static const struct {
        const char *kind, *name;
    } roofs[] = {{"f32 multiply-add", "f32"},
                 {"f16 multiply-add", "f16"},
                 {"8-bit dot product", "8-bit dot"},
                 {"f16 matrix product", "matrix"}};
    const double read = ceiling_of(device, "read");
    double most = 0, least = 1e30;
    const cJSON *anatomy, *k;
    for (size_t i = 0; i < 4; i++) most = fmax(most, ceiling_of(device, roofs[i].kind));
    cJSON_ArrayForEach(anatomy, bench_json_item(model, "anatomy"))
        cJSON_ArrayForEach(k, bench_json_item(anatomy, "kernels")) if (bench_json_number(k, "gflop_s") > 0) least =
            fmin(least, bench_json_number(k, "gflop_s"));
    if (read <= 0 || most <= 0 || least > 1e29) return;
    const axis x = across(0.1, 1000, true), y = upright(fmin(least, most / 100) / 2, most * 2, true);
    open_svg(t, "roofline: every kernel below what the device allows", HEIGHT);
    draw_axis(t, &x, false, "operations a byte");
    draw_axis(t, &y, true, "GFLOP/s");
    bench_text_add(t, "<polyline class=\"roof\" points=\"");
    for (int i = -20; i <= 60; i++) {
        const double intensity = pow(10, i / 20.0), rate = fmin(intensity * read, ceiling_of(device, roofs[0].kind));
        if (rate >= y.low) bench_text_add(t, "%.1f,%.1f ", at(&x, intensity), at(&y, rate));
    }
    bench_text_add(t, "\"/>\n");
    double label_x = WIDTH - RIGHT - 4, label_y = 0;
    for (size_t i = 0; i < 4; i++) {
        const double rate = ceiling_of(device, roofs[i].kind), py = at(&y, rate);
        if (rate <= 0) continue;
        if (i > 0) grid_line(t, at(&x, rate / read), py, WIDTH - RIGHT, py, "roof dashed");
        label_x = fabs(py - label_y) < 12 ? label_x - 70 : WIDTH - RIGHT - 4; /* beside the one that it would cover */
        label_y = py;
        label(t, label_x, py - 5, "tick end", roofs[i].name);
    }
    cJSON_ArrayForEach(anatomy, bench_json_item(model, "anatomy"))
        cJSON_ArrayForEach(k, bench_json_item(anatomy, "kernels")) draw_point(t, &x, &y, anatomy, k);
    bench_text_add(t, "</svg>\n<p class=\"key\"><i class=\"c1\"></i>products <i class=\"c2\"></i>attention "
                      "<i class=\"c3\"></i>the rest; size: share of the time; line: memory, then arithmetic</p>\n");
}

/* ---- curves ---- */

/* Points of items whose `field` is `value`, from `x_name` and their medians. */
static void draw_curve(bench_text *t, const axis *x, const axis *y, const cJSON *items, const char *field,
                       const char *value, const char *x_name, const char *class) {
    const cJSON *i;
    bench_text_add(t, "<polyline class=\"curve %s\" points=\"", class);
    cJSON_ArrayForEach(i, items) if (strcmp(bench_json_text(i, field), value) == 0)
        bench_text_add(t, "%.1f,%.1f ", at(x, bench_json_number(i, x_name)), at(y, bench_json_number(i, "median")));
    bench_text_add(t, "\"/>\n");
    cJSON_ArrayForEach(i, items) {
        char number[32];
        if (strcmp(bench_json_text(i, field), value) != 0) continue;
        const double px = at(x, bench_json_number(i, x_name)), py = at(y, bench_json_number(i, "median"));
        grid_line(t, px, at(y, bench_json_number(i, "least")), px, at(y, bench_json_number(i, "most")), "whisker");
        bench_text_add(t, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\" class=\"dot %s\"><title>%s %s</title></circle>\n",
                       px, py, class, bench_number(bench_json_number(i, "median"), number), bench_json_text(i, "unit"));
    }
}

static double most_of(const cJSON *items, const char *field, const char *value, const char *name) {
    const cJSON *i;
    double most = 0;
    cJSON_ArrayForEach(i, items) if (strcmp(bench_json_text(i, field), value) == 0) most =
        fmax(most, bench_json_number(i, name));
    return most;
}

void bench_svg_caches(const cJSON *device, bench_text *t) {
    const cJSON *ceilings = bench_json_item(device, "ceilings");
    const double most = fmax(most_of(ceilings, "kind", "read", "most"), most_of(ceilings, "kind", "copy", "most"));
    const double largest = most_of(ceilings, "kind", "read", "bytes") / 1024;
    if (most <= 0 || largest <= 64) return;
    axis x = across(64.0 * 1024, largest * 1024, true);
    const axis y = upright(0, most * 1.05, false);
    open_svg(t, "bandwidth by size", HEIGHT);
    draw_axis(t, &y, true, "GB/s");
    for (int i = 0; x.low * pow(16, i) <= x.high; i++) {
        const double bytes = x.low * pow(16, i);
        char size[32];
        grid_line(t, at(&x, bytes), TOP, at(&x, bytes), HEIGHT - BOTTOM, "grid");
        label(t, at(&x, bytes), HEIGHT - BOTTOM + 16, "tick mid", bench_size(bytes, size));
    }
    label(t, (LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 6, "tick mid", "bytes, again and again");
    draw_curve(t, &x, &y, ceilings, "kind", "read", "bytes", "c1");
    draw_curve(t, &x, &y, ceilings, "kind", "copy", "bytes", "c2");
    bench_text_add(t, "</svg>\n<p class=\"key\"><i class=\"c1\"></i>read <i class=\"c2\"></i>copy</p>\n");
}

void bench_svg_depths(const cJSON *model, bench_text *t) {
    const cJSON *f, *figures = bench_json_item(model, "figures");
    const double most = most_of(figures, "kind", "decode", "most"), depth = most_of(figures, "kind", "decode", "depth");
    double ceiling = 0;
    if (most <= 0 || depth <= 0) return;
    cJSON_ArrayForEach(f, figures) if (strcmp(bench_json_text(f, "kind"), "decode") == 0) ceiling =
        fmax(ceiling, bench_json_number(f, "ceiling"));
    const axis x = across(0, depth * 1.03, false), y = upright(0, fmax(most, fmin(ceiling, 3 * most)) * 1.08, false);
    open_svg(t, "tokens a second by depth", HEIGHT);
    draw_axis(t, &x, false, "tokens that the text goes on behind");
    draw_axis(t, &y, true, "tokens/s");
    bench_text_add(t, "<polyline class=\"roof dashed\" points=\"");
    cJSON_ArrayForEach(f, figures) if (strcmp(bench_json_text(f, "kind"), "decode") == 0)
        bench_text_add(t, "%.1f,%.1f ", at(&x, bench_json_number(f, "depth")), at(&y, bench_json_number(f, "ceiling")));
    bench_text_add(t, "\"/>\n");
    draw_curve(t, &x, &y, figures, "kind", "decode", "depth", "c1");
    bench_text_add(t, "</svg>\n<p class=\"key\"><i class=\"c1\"></i>measured <i class=\"roofkey\"></i>what the device "
                      "allows</p>\n");
}

/* ---- the anatomy ---- */

void bench_svg_anatomy(const cJSON *anatomy, bench_text *t) {
    enum { BAR = 26, BAR_HEIGHT = 34 };
    const cJSON *k;
    const double step = bench_json_number(anatomy, "step_ms"), kernels = bench_json_number(anatomy, "kernels_ms");
    const double all = fmax(step, kernels), scale = all > 0 ? WIDTH / all : 0;
    double x = 0;
    bench_text_add(
        t,
        "<svg viewBox=\"0 0 %d %d\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"a step's time, by "
        "kernel\">\n",
        WIDTH, BAR_HEIGHT);
    cJSON_ArrayForEach(k, bench_json_item(anatomy, "kernels")) {
        const double width = bench_json_number(k, "ms") * bench_json_number(k, "times") * scale;
        const double roof = fmin(bench_json_number(k, "roof_percent"), 100) / 100;
        const char *class = class_of(bench_json_text(k, "kernel"));
        bench_text_add(t, "<g><title>");
        bench_text_add(t, "%s", bench_json_text(k, "kernel"));
        bench_text_add(t, " %s: %.0f%% of the time, at %.0f%% of its roof</title>", bench_json_text(k, "shape"),
                       all > 0 ? 100 * width / WIDTH : 0, 100 * roof);
        bench_text_add(t, "<rect x=\"%.2f\" y=\"4\" width=\"%.2f\" height=\"%d\" class=\"seg pale %s\"/>", x, width,
                       BAR, class);
        bench_text_add(t, "<rect x=\"%.2f\" y=\"4\" width=\"%.2f\" height=\"%d\" class=\"seg %s\"/></g>\n", x,
                       width * roof, BAR, class);
        x += width;
    }
    if (x < WIDTH)
        bench_text_add(t,
                       "<rect x=\"%.2f\" y=\"4\" width=\"%.2f\" height=\"%d\" class=\"seg gap\"><title>between the "
                       "kernels</title></rect>\n",
                       x, WIDTH - x, BAR);
    bench_text_add(t, "</svg>\n");
}
