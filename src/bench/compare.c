#include "bench/compare.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- rows and columns ---- */

static bool executes(const cJSON *device) {
    const cJSON *d = bench_json_item(device, "device");
    return !bench_json_item(d, "executes") || bench_json_true(d, "executes");
}

/* Where each has one model they are compared whatever they are called, for programs name models differently: what all
 * are called then. NULL: there are more. */
static const char *one_model_each(const bench_comparison *c) {
    const char *label = NULL;
    for (uint32_t i = 0; i < c->n_column; i++) {
        const cJSON *models = bench_json_item(c->columns[i].device, "models");
        const char *own = bench_json_text(cJSON_GetArrayItem(models, 0), "label");
        if (cJSON_GetArraySize(models) != 1) return NULL;
        label = !label || strcmp(label, own) == 0 ? own : "the model";
    }
    return label;
}

static const char *key_of(const cJSON *item) {
    const char *id = bench_json_text(item, "id");
    return id[0] ? id : bench_json_text(item, "name");
}

static bool put(bench_comparison *c, uint32_t column, const char *model, const cJSON *item) {
    for (uint32_t i = 0; i < c->n_row; i++) {
        bench_row *row = &c->rows[i];
        const cJSON *any = NULL;
        for (uint32_t k = 0; k < c->n_column && !any; k++) any = row->cells[k];
        if (strcmp(row->model, model) != 0 || strcmp(key_of(any), key_of(item)) != 0) continue;
        row->cells[column] = item;
        return true;
    }
    bench_row *rows = realloc(c->rows, (c->n_row + 1) * sizeof *rows);
    if (!rows) return false;
    c->rows = rows;
    bench_row *row = &rows[c->n_row++];
    *row = (bench_row){.model = model, .name = bench_json_text(item, "name"), .unit = bench_json_text(item, "unit")};
    row->lower = strcmp(row->unit, "ms") == 0 || strcmp(row->unit, "us") == 0;
    row->cells[column] = item;
    return true;
}

bool bench_comparison_make(cJSON *const *documents, uint32_t n, bench_comparison *c) {
    const cJSON *device, *model, *item;
    bool ok = true;
    *c = (bench_comparison){0};
    for (uint32_t i = 0; i < n; i++) cJSON_ArrayForEach(device, bench_json_item(documents[i], "devices")) {
            if (c->n_column == BENCH_COLUMN_MAX) break;
            c->columns[c->n_column] = (bench_column){documents[i], device, NULL, (char)('A' + c->n_column)};
            c->n_column++;
        }
    const char *one = one_model_each(c);
    for (uint32_t i = 0; one && i < c->n_column; i++)
        c->columns[i].model =
            bench_json_text(cJSON_GetArrayItem(bench_json_item(c->columns[i].device, "models"), 0), "label");
    for (uint32_t i = 0; i < c->n_column; i++)
        if (executes(c->columns[i].device))
            cJSON_ArrayForEach(item, bench_json_item(c->columns[i].device, "ceilings")) ok = ok && put(c, i, "", item);
    for (uint32_t i = 0; i < c->n_column; i++)
        if (executes(c->columns[i].device))
            cJSON_ArrayForEach(model, bench_json_item(c->columns[i].device, "models"))
                cJSON_ArrayForEach(item, bench_json_item(model, "figures")) ok =
                    ok && put(c, i, one ? one : bench_json_text(model, "label"), item);
    return ok;
}

void bench_comparison_free(bench_comparison *c) {
    free(c->rows);
    *c = (bench_comparison){0};
}

bool bench_cell_change(const bench_row *row, uint32_t column, double *percent, bool *beyond_noise) {
    const cJSON *a = row->cells[0], *b = row->cells[column];
    const double x = bench_json_number(a, "median"), y = bench_json_number(b, "median");
    if (column == 0 || !a || !b || x <= 0 || y <= 0) return false;
    *percent = 100 * ((row->lower ? x / y : y / x) - 1);
    *beyond_noise = fabs(*percent) > bench_noise_percent(a, b);
    return true;
}

/* ---- for a terminal ---- */

static void print_legend(const bench_comparison *c, bench_text *t) {
    for (uint32_t i = 0; i < c->n_column; i++) {
        const cJSON *d = bench_json_item(c->columns[i].device, "device");
        const cJSON *tool = bench_json_item(c->columns[i].document, "tool");
        bench_text_add(t, "%c  %s; %s; %s %s%s%s%s\n", c->columns[i].letter, bench_json_text(d, "name"),
                       bench_json_text(d, "driver"), bench_json_text(tool, "name"), bench_json_text(tool, "version"),
                       c->columns[i].model ? "; " : "", c->columns[i].model ? c->columns[i].model : "",
                       executes(c->columns[i].device) ? "" : "; results invalid: this device computes nothing");
    }
}

static void print_cell(const bench_row *row, uint32_t column, bench_text *t) {
    char number[32], words[32] = "";
    double percent;
    bool beyond;
    if (!row->cells[column]) {
        bench_text_add(t, "%20s", "-");
        return;
    }
    if (bench_cell_change(row, column, &percent, &beyond))
        snprintf(words, sizeof words, fabs(percent) < 1000 ? "%+.0f%%%s" : "x%.1f%s",
                 fabs(percent) < 1000 ? percent : 1 + percent / 100, beyond ? percent > 0 ? " ^" : " v" : " =");
    bench_text_add(t, "%10s %9s", bench_number(bench_json_number(row->cells[column], "median"), number), words);
}

char *bench_render_compare(cJSON *const *documents, uint32_t n) {
    bench_comparison c;
    bench_text t = {0};
    const cJSON *failed;
    const char *model = NULL;
    if (!bench_comparison_make(documents, n, &c)) {
        bench_comparison_free(&c);
        return NULL;
    }
    print_legend(&c, &t);
    for (uint32_t i = 0; i < c.n_row; i++) {
        const bench_row *row = &c.rows[i];
        if (!model || strcmp(model, row->model) != 0) {
            bench_text_add(&t, "\n%-40s", row->model[0] ? row->model : "what it can do at most");
            for (uint32_t k = 0; k < c.n_column; k++) bench_text_add(&t, "%10c%10s", c.columns[k].letter, "");
            bench_text_add(&t, "\n");
        }
        model = row->model;
        bench_text_add(&t, "  %-28s %-9s", row->name, row->unit);
        for (uint32_t k = 0; k < c.n_column; k++) print_cell(row, k, &t);
        bench_text_add(&t, "\n");
    }
    for (uint32_t i = 0; i < n; i++)
        cJSON_ArrayForEach(failed, bench_json_item(documents[i], "failed")) bench_text_add(
            &t, "\nnot measured: %s: %s\n", bench_json_text(failed, "device"), bench_json_text(failed, "why"));
    bench_text_add(&t, "\n^ better, v worse than A by more than the spread of the runs (3%% at least, 20%% of a single "
                       "one); = within it\n");
    bench_comparison_free(&c);
    return bench_text_take(&t);
}
