/* html.c - a report, or a comparison, as one file that needs nothing else: no network, no script. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/compare.h"
#include "bench/svg.h"

static const char style[] =
    ":root{color-scheme:light dark;--bg:#fbfaf7;--fg:#22211f;--soft:#6d6a63;--line:#dcd8ce;--card:#fff;"
    "--c1:#2f6f8f;--c2:#b5651d;--c3:#6f8f3a;--bad:#b3261e;--good:#2d7a3e}\n"
    "@media(prefers-color-scheme:dark){:root{--bg:#191817;--fg:#ece8df;--soft:#a39e93;--line:#3b3834;--card:#232120;"
    "--c1:#6db4d6;--c2:#e59a55;--c3:#a9c76c;--bad:#ff8a80;--good:#8bd39a}}\n"
    "*{box-sizing:border-box;-webkit-print-color-adjust:exact;print-color-adjust:exact}body{margin:0 "
    "auto;padding:1.2rem;max-width:78rem;background:var(--bg);color:var(--fg);"
    "font:16px/1.5 system-ui,sans-serif}\n"
    "h1{font-size:1.5rem;margin:.2rem 0}h2{font-size:1.2rem;margin:2rem 0 .4rem;border-top:1px solid var(--line);"
    "padding-top:1rem}h3{font-size:1rem;margin:1.2rem 0 .3rem}p{margin:.3rem 0 .8rem}\n"
    ".soft,.key,small{color:var(--soft)}.key{font-size:.85rem}.verdict{font-size:1.1rem;max-width:46rem}\n"
    ".bad{color:var(--bad);font-weight:600}.good{color:var(--good)}\n"
    ".grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,22rem),1fr));gap:1rem;"
    "align-items:start}.wide{grid-column:1/-1}\n"
    ".stack>.card{margin-top:1rem}.card{background:var(--card);border:1px solid "
    "var(--line);border-radius:8px;padding:.8rem 1rem;min-width:0;"
    "break-inside:avoid}.card h3{margin-top:0}.stack svg{height:3rem}\n"
    "dl{display:grid;grid-template-columns:auto 1fr;gap:.1rem 1rem;margin:0}dt{color:var(--soft)}dd{margin:0;"
    "overflow-wrap:anywhere}\n"
    ".scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.9rem}th,td{padding:.25rem .5rem;"
    "text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}th:first-child,td:first-child{"
    "text-align:left}th{font-weight:500;color:var(--soft)}td small,th small{display:block}\n"
    "td.wrap{white-space:normal;min-width:9rem;overflow-wrap:anywhere}th.name{white-space:normal;min-width:6rem}\n"
    ".bar{display:inline-block;width:4.5rem;height:.6rem;background:var(--line);border-radius:3px;overflow:hidden;"
    "vertical-align:middle}.bar i{display:block;height:100%;background:var(--c1)}\n"
    "svg{width:100%;height:auto;display:block}svg text{font:12px system-ui,sans-serif;fill:var(--soft)}"
    ".mid{text-anchor:middle}.end{text-anchor:end}\n"
    "line.grid{stroke:var(--line);stroke-width:1}.roof{fill:none;stroke:var(--fg);stroke-width:1.6}"
    ".dashed{stroke-dasharray:5 4;stroke:var(--soft)}.curve{fill:none;stroke-width:2}.whisker{stroke:var(--fg)}\n"
    ".dot{fill-opacity:.75;stroke:var(--card)}circle.c1,rect.c1{fill:var(--c1)}circle.c2,rect.c2{fill:var(--c2)}"
    "circle.c3,rect.c3{fill:var(--c3)}polyline.c1{stroke:var(--c1)}polyline.c2{stroke:var(--c2)}\n"
    ".seg{stroke:var(--card);stroke-width:.5}.pale{fill-opacity:.35}rect.gap{fill:var(--line)}\n"
    ".key i{display:inline-block;width:.8em;height:.8em;border-radius:50%;margin:0 .3em 0 .6em}.key .c1{background:"
    "var(--c1)}.key .c2{background:var(--c2)}.key .c3{background:var(--c3)}.key .roofkey{height:2px;width:1.4em;"
    "border-radius:0;background:var(--soft);vertical-align:middle}\n"
    "@media(max-width:40rem){.bar{display:none}th,td{padding:.25rem .3rem}}\n"
    "@media print{:root{--bg:#fff;--card:#fff;--fg:#000;--soft:#444;--line:#bbb;--c1:#2f6f8f;--c2:#b5651d;--c3:#6f8f3a}"
    "html{font-size:11px}body{font-size:1rem;padding:0}.scroll{overflow:visible}h2{break-after:avoid}}\n";

static void open_page(bench_text *t, const char *title) {
    bench_text_add(t, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
                      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>");
    bench_text_add(t, "%s", title);
    bench_text_add(t, "</title>\n<style>\n%s</style></head><body>\n", style);
}

static void definition(bench_text *t, const char *term, const char *words) {
    if (!words[0]) return;
    bench_text_add(t, "<dt>%s</dt><dd>", term);
    bench_text_add(t, "%s", words);
    bench_text_add(t, "</dd>\n");
}

static bool executes(const cJSON *device) {
    const cJSON *d = bench_json_item(device, "device");
    return !bench_json_item(d, "executes") || bench_json_true(d, "executes");
}

/* ---- the device ---- */

static void add_conditions(const cJSON *device, bench_text *t) {
    static const struct {
        const char *name, *term, *unit;
    } all[] = {{"gpu_mhz", "GPU clock", "MHz"},
               {"gpu_c", "GPU temperature", "&deg;C"},
               {"cpu_mhz", "CPU clock", "MHz"},
               {"cpu_c", "CPU temperature", "&deg;C"},
               {"load", "load", ""}};
    const cJSON *before = bench_json_item(device, "before"), *after = bench_json_item(device, "after");
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (bench_json_item(before, all[i].name))
            bench_text_add(t, "<dt>%s</dt><dd>%.4g, at the end %.4g %s</dd>\n", all[i].term,
                           bench_json_number(before, all[i].name), bench_json_number(after, all[i].name), all[i].unit);
}

static void add_card(const cJSON *document, const cJSON *device, bench_text *t) {
    const cJSON *d = bench_json_item(device, "device"), *tool = bench_json_item(document, "tool"), *f;
    const cJSON *host = bench_json_item(document, "host");
    char words[320], size[32];
    bench_text features = {0};
    bench_text_add(t, "<div class=\"card\"><h3>The device</h3><dl>\n");
    definition(t, "kind", bench_json_text(d, "kind"));
    definition(t, "driver", bench_json_text(d, "driver"));
    definition(t, "Vulkan", bench_json_text(d, "vulkan"));
    definition(t, "memory", bench_size(bench_json_number(d, "memory_bytes"), size));
    cJSON_ArrayForEach(f, bench_json_item(d, "features"))
        bench_text_add(&features, "%s%s", features.n ? ", " : "", cJSON_IsString(f) ? f->valuestring : "");
    definition(t, "has", features.bytes ? features.bytes : "");
    free(bench_text_take(&features));
    definition(t, "host", bench_json_text(host, "cpu"));
    snprintf(words, sizeof words, "%s %s, %.12s", bench_json_text(tool, "name"), bench_json_text(tool, "version"),
             bench_json_text(tool, "sha256"));
    definition(t, "measured by", words);
    snprintf(words, sizeof words, "%s, up to %.0f runs each, %.0f s", bench_json_text(document, "created"),
             bench_json_number(document, "runs"), bench_json_number(device, "seconds"));
    definition(t, "on", words);
    add_conditions(device, t);
    bench_text_add(t, "</dl></div>\n");
}

static void add_ceilings(const cJSON *device, bench_text *t) {
    const cJSON *c;
    char number[32];
    bench_text_add(t,
                   "<div class=\"card\"><h3>What it can do at most</h3><div class=\"scroll\"><table><tr><th>limit</th>"
                   "<th>median</th><th>spread</th></tr>\n");
    cJSON_ArrayForEach(c, bench_json_item(device, "ceilings")) {
        bench_text_add(t, "<tr><td class=\"wrap\">");
        bench_text_add(t, "%s", bench_json_text(c, "name"));
        bench_text_add(t, "</td><td>%s %s</td><td>%.1f%%</td></tr>\n",
                       bench_number(bench_json_number(c, "median"), number), bench_json_text(c, "unit"),
                       bench_json_number(c, "spread_percent"));
    }
    bench_text_add(t, "</table></div></div>\n");
}

/* ---- a model ---- */

static void add_bar(bench_text *t, double share, const char *class) {
    bench_text_add(t, "<span class=\"bar\"><i class=\"%s\" style=\"width:%.1f%%\"></i></span>", class,
                   100 * fmin(fmax(share, 0), 1));
}

static void add_figures(const cJSON *model, bench_text *t) {
    const cJSON *f;
    char number[32];
    bench_text_add(
        t, "<div class=\"card wide\"><h3>How fast</h3><div class=\"scroll\"><table><tr><th>what</th><th>median</th>"
           "<th>spread</th><th>of the limit</th></tr>\n");
    cJSON_ArrayForEach(f, bench_json_item(model, "figures")) {
        const double share = bench_json_number(f, "share_percent");
        bench_text_add(t, "<tr><td class=\"wrap\">");
        bench_text_add(t, "%s", bench_json_text(f, "name"));
        bench_text_add(t, "</td><td>%s %s</td><td>", bench_number(bench_json_number(f, "median"), number),
                       bench_json_text(f, "unit"));
        if (bench_json_number(f, "runs") > 1) bench_text_add(t, "%.1f%%", bench_json_number(f, "spread_percent"));
        bench_text_add(t, "</td><td>");
        if (share > 0) {
            add_bar(t, share / 100, "");
            bench_text_add(t, " %.0f%%<small>%s</small>", share, bench_json_text(f, "bound"));
        }
        bench_text_add(t, "</td></tr>\n");
    }
    bench_text_add(t, "</table></div></div>\n");
}

static void add_picture(bench_text *t, const char *title, bench_text *picture) {
    if (picture->n > 0) bench_text_add(t, "<div class=\"card\"><h3>%s</h3>\n%s</div>\n", title, picture->bytes);
    free(bench_text_take(picture));
}

static void add_kernels(const cJSON *anatomy, bench_text *t) {
    const cJSON *k;
    char a[32], b[32];
    const double step = bench_json_number(anatomy, "step_ms");
    bench_text_add(
        t, "<div class=\"scroll\"><table><tr><th>kernel</th><th>times</th><th>ms</th><th>share</th><th>GB/s</th>"
           "<th>GFLOP/s</th><th>of its roof</th><th>lost ms</th></tr>\n");
    cJSON_ArrayForEach(k, bench_json_item(anatomy, "kernels")) {
        const double ms = bench_json_number(k, "ms") * bench_json_number(k, "times");
        const double roof = bench_json_number(k, "roof_percent");
        bench_text_add(t, "<tr><td>");
        bench_text_add(t, "%s", bench_json_text(k, "kernel"));
        bench_text_add(t, "<small>%s</small></td><td>%.0f</td><td>%s</td><td>%.1f%%</td><td>%s</td>",
                       bench_json_text(k, "shape"), bench_json_number(k, "times"), bench_number(ms, a),
                       step > 0 ? 100 * ms / step : 0, bench_number(bench_json_number(k, "gb_s"), b));
        bench_text_add(t, "<td>%s</td><td>", bench_number(bench_json_number(k, "gflop_s"), a));
        add_bar(t, roof / 100, "");
        bench_text_add(t, " %.0f%%<small>%s</small></td><td>%s</td></tr>\n", roof, bench_json_text(k, "bound"),
                       bench_number(bench_json_number(k, "lost_ms"), b));
    }
    const double rest = step - bench_json_number(anatomy, "kernels_ms");
    bench_text_add(t,
                   "<tr><td>between the kernels<small>and the host</small></td><td></td><td>%s</td><td>%.1f%%</td>"
                   "<td></td><td></td><td></td><td></td></tr></table></div>\n",
                   bench_number(fmax(rest, 0), a), step > 0 ? 100 * fmax(rest, 0) / step : 0);
    if (rest < 0)
        bench_text_add(
            t, "<p class=\"bad\">The kernels alone took longer than the step: something has disturbed one of the "
               "two.</p>\n");
}

static void add_anatomy(const cJSON *anatomy, bench_text *t) {
    const cJSON *k;
    char number[32];
    bench_text_add(t, "<div class=\"card\"><h3>Where the time goes: ");
    bench_text_add(t, "%s", bench_json_text(anatomy, "name"));
    bench_text_add(t, ", %s ms</h3>\n", bench_number(bench_json_number(anatomy, "step_ms"), number));
    bench_svg_anatomy(anatomy, t);
    bench_text_add(
        t, "<p class=\"key\"><i class=\"c1\"></i>products <i class=\"c2\"></i>attention <i class=\"c3\"></i>the "
           "rest; full colour: what the roof allows</p>\n");
    bench_text_add(t, "<p>");
    for (uint32_t i = 0; i < 3 && (k = bench_loser(anatomy, i)); i++) {
        bench_text_add(t, i ? ", " : "The most is lost by ");
        bench_text_add(t, "%s", bench_json_text(k, "kernel"));
        bench_text_add(t, " %s (%s ms)", bench_json_text(k, "shape"),
                       bench_number(bench_json_number(k, "lost_ms"), number));
    }
    bench_text_add(t, "</p>\n");
    add_kernels(anatomy, t);
    bench_text_add(t, "</div>\n");
}

static void add_model(const cJSON *device, const cJSON *model, bench_text *t) {
    const cJSON *a;
    const bool wrong = bench_json_item(model, "right") && !bench_json_true(model, "right");
    bench_text picture = {0}, integrity = {0};
    char size[32];
    bench_text_add(t, "<h2>");
    bench_text_add(t, "%s", bench_json_text(model, "label"));
    bench_text_add(t, "</h2>\n<p class=\"soft\">");
    bench_text_add(t, "%s", bench_json_text(model, "name"));
    bench_text_add(t, ", %s of weights, variants %s</p>\n<p class=\"%s\">",
                   bench_size(bench_json_number(model, "weight_bytes"), size), bench_json_text(model, "variants"),
                   wrong ? "bad" : "good");
    bench_say_integrity(model, executes(device), &integrity);
    bench_text_add(t, "%s", integrity.bytes ? integrity.bytes : "");
    free(bench_text_take(&integrity));
    bench_text_add(t, "</p>\n<div class=\"grid\">\n");
    if (bench_json_item(model, "figures")) add_figures(model, t);
    bench_svg_roofline(device, model, &picture);
    add_picture(t, "Roofline", &picture);
    bench_svg_depths(model, &picture);
    add_picture(t, "Text by depth", &picture);
    bench_text_add(t, "</div>\n<div class=\"stack\">\n");
    cJSON_ArrayForEach(a, bench_json_item(model, "anatomy")) add_anatomy(a, t);
    bench_text_add(t, "</div>\n");
}

static void add_device(const cJSON *document, const cJSON *device, bench_text *t) {
    const cJSON *d = bench_json_item(device, "device"), *one;
    bench_text verdict = {0}, picture = {0};
    bench_text_add(t, "<h1>");
    bench_text_add(t, "%s", bench_json_text(d, "name"));
    bench_text_add(t, "</h1>\n<p class=\"verdict%s\">", executes(device) ? "" : " bad");
    bench_say_verdict(device, &verdict);
    bench_text_add(t, "%s", verdict.bytes ? verdict.bytes : "");
    free(bench_text_take(&verdict));
    bench_text_add(t, "</p>\n<div class=\"grid\">\n");
    add_card(document, device, t);
    bench_svg_caches(device, &picture);
    add_picture(t, "Bandwidth by size", &picture);
    add_ceilings(device, t);
    bench_text_add(t, "</div>\n");
    cJSON_ArrayForEach(one, bench_json_item(device, "models")) add_model(device, one, t);
    if (cJSON_GetArraySize(bench_json_item(device, "skipped")) == 0) return;
    bench_text_add(t, "<h2>Left out</h2>\n<ul>\n");
    cJSON_ArrayForEach(one, bench_json_item(device, "skipped")) {
        bench_text_add(t, "<li>");
        bench_text_add(t, "%s", bench_json_text(one, "what"));
        bench_text_add(t, ": ");
        bench_text_add(t, "%s", bench_json_text(one, "why"));
        bench_text_add(t, "</li>\n");
    }
    bench_text_add(t, "</ul>\n");
}

/* ---- the comparison ---- */

static void add_cell(const bench_row *row, uint32_t column, double most, bench_text *t) {
    char number[32];
    double percent;
    bool beyond;
    const double value = bench_json_number(row->cells[column], "median");
    if (!row->cells[column]) {
        bench_text_add(t, "<td class=\"soft\">&ndash;</td>");
        return;
    }
    bench_text_add(t, "<td>%s<br>", bench_number(value, number));
    add_bar(t, most > 0 ? value / most : 0, "");
    if (bench_cell_change(row, column, &percent, &beyond)) {
        const bool large = fabs(percent) >= 1000;
        snprintf(number, sizeof number, large ? "x%.1f" : "%+.0f%%", large ? 1 + percent / 100 : percent);
        bench_text_add(t, "<small class=\"%s\">%s%s</small>",
                       !beyond       ? "soft"
                       : percent > 0 ? "good"
                                     : "bad",
                       number, beyond ? "" : ", noise");
    }
    bench_text_add(t, "</td>");
}

static void add_rows(const bench_comparison *c, bench_text *t) {
    const char *model = NULL;
    for (uint32_t i = 0; i < c->n_row; i++) {
        const bench_row *row = &c->rows[i];
        double most = 0;
        if (!model || strcmp(model, row->model) != 0) {
            bench_text_add(t, "%s<h2>", model ? "</table></div>\n" : "");
            bench_text_add(t, "%s", row->model[0] ? row->model : "What they can do at most");
            bench_text_add(t, "</h2>\n<div class=\"scroll\"><table><tr><th></th>");
            for (uint32_t k = 0; k < c->n_column; k++)
                bench_text_add(t, "<th class=\"name\">%c<small>%s</small></th>", c->columns[k].letter,
                               bench_json_text(bench_json_item(c->columns[k].device, "device"), "name"));
            bench_text_add(t, "</tr>\n");
        }
        model = row->model;
        for (uint32_t k = 0; k < c->n_column; k++) most = fmax(most, bench_json_number(row->cells[k], "median"));
        bench_text_add(t, "<tr><td class=\"wrap\">");
        bench_text_add(t, "%s", row->name);
        bench_text_add(t, "<small>%s%s</small></td>", row->unit, row->lower ? ", less is better" : "");
        for (uint32_t k = 0; k < c->n_column; k++) add_cell(row, k, most, t);
        bench_text_add(t, "</tr>\n");
    }
    if (model) bench_text_add(t, "</table></div>\n");
}

static void add_comparison(const bench_comparison *c, bench_text *t) {
    bench_text_add(t, "<h1>Devices side by side</h1>\n<div class=\"grid\">\n");
    for (uint32_t i = 0; i < c->n_column; i++) {
        const cJSON *device = c->columns[i].device, *d = bench_json_item(device, "device");
        const cJSON *tool = bench_json_item(c->columns[i].document, "tool");
        bench_text verdict = {0};
        bench_text_add(t, "<div class=\"card\"><h3>%c &nbsp;", c->columns[i].letter);
        bench_text_add(t, "%s", bench_json_text(d, "name"));
        bench_text_add(t, "</h3><p class=\"soft\">");
        if (c->columns[i].model) bench_text_add(t, "%s; ", c->columns[i].model);
        bench_text_add(t, "%s", bench_json_text(d, "driver"));
        bench_text_add(t, "; %s %s, %s</p><p class=\"%s\">", bench_json_text(tool, "name"),
                       bench_json_text(tool, "version"), bench_json_text(c->columns[i].document, "created"),
                       executes(device) ? "" : "bad");
        bench_say_verdict(device, &verdict);
        bench_text_add(t, "%s", verdict.bytes ? verdict.bytes : "");
        free(bench_text_take(&verdict));
        bench_text_add(t, "</p></div>\n");
    }
    bench_text_add(t, "</div>\n");
    add_rows(c, t);
    bench_text_add(t, "<p class=\"soft\">Coloured: better or worse than A by more than the spread of the runs, 3%% at "
                      "least, 20%% of a single one. Bars: beside the largest of the row.</p>\n");
}

static void add_failed(const cJSON *document, bench_text *t) {
    const cJSON *one, *failed = bench_json_item(document, "failed");
    if (cJSON_GetArraySize(failed) > 0) bench_text_add(t, "<h2>Not measured</h2>\n");
    cJSON_ArrayForEach(one, failed)
        bench_text_add(t, "<p><b>%s</b>: %s</p>\n", bench_json_text(one, "device"), bench_json_text(one, "why"));
}

/* Documents come from anywhere: every text in them is spelled out here, once, so that nothing below need think of it.
 */
static bool escape_texts(cJSON *item) {
    for (; item; item = item->next) {
        if (!escape_texts(item->child)) return false;
        if (!cJSON_IsString(item) || !item->valuestring[0]) continue;
        bench_text t = {0};
        bench_text_escaped(&t, item->valuestring);
        char *escaped = bench_text_take(&t);
        const bool set = escaped && cJSON_SetValuestring(item, escaped);
        free(escaped);
        if (!set) return false;
    }
    return true;
}

static void render(cJSON *const *documents, uint32_t n, bench_text *t) {
    bench_comparison c;
    const cJSON *device;
    open_page(t, n == 1 ? "gabbro bench" : "gabbro bench: comparison");
    if (n > 1 || cJSON_GetArraySize(bench_json_item(documents[0], "devices")) > 1) {
        if (!bench_comparison_make(documents, n, &c)) t->failed = true;
        add_comparison(&c, t);
        bench_comparison_free(&c);
    }
    if (n == 1)
        cJSON_ArrayForEach(device, bench_json_item(documents[0], "devices")) add_device(documents[0], device, t);
    for (uint32_t i = 0; i < n; i++) add_failed(documents[i], t);
    bench_text_add(t, "</body></html>\n");
}

char *bench_render_html(cJSON *const *documents, uint32_t n) {
    cJSON *escaped[BENCH_DOCUMENT_MAX] = {NULL};
    bench_text t = {0};
    for (uint32_t i = 0; i < n && !t.failed; i++) {
        escaped[i] = cJSON_Duplicate(documents[i], true);
        t.failed = !escaped[i] || !escape_texts(escaped[i]->child);
    }
    if (!t.failed) render(escaped, n, &t);
    for (uint32_t i = 0; i < n; i++) cJSON_Delete(escaped[i]);
    return bench_text_take(&t);
}
