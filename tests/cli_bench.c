/* `gabbro bench`: its JSON against docs/bench-schema.json, its renderings, comparisons, refusals. */
#include "cli.h"

#include <math.h>

#include "vk_test.h"

/* ---- JSON Schema, as far as ours goes: type, const, enum, required, properties, additionalProperties, items, $ref to
 * $defs, minimum ---- */

static const cJSON *schema;

static bool has_type(const cJSON *item, const char *type) {
    if (strcmp(type, "object") == 0) return cJSON_IsObject(item);
    if (strcmp(type, "array") == 0) return cJSON_IsArray(item);
    if (strcmp(type, "string") == 0) return cJSON_IsString(item);
    if (strcmp(type, "boolean") == 0) return cJSON_IsBool(item);
    if (strcmp(type, "null") == 0) return cJSON_IsNull(item);
    if (strcmp(type, "integer") == 0) return cJSON_IsNumber(item) && fmod(item->valuedouble, 1) == 0;
    return strcmp(type, "number") == 0 && cJSON_IsNumber(item);
}

static const cJSON *of(const cJSON *object, const char *name) {
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

/* Where it is wrong, into `problem`; "" where it is right. */
static void validate(const cJSON *rule, const cJSON *item, const char *path, char problem[256]) {
    const cJSON *part, *ref = of(rule, "$ref"), *type = of(rule, "type"), *words = of(rule, "enum");
    char inner[200];
    if (problem[0]) return;
    if (ref) rule = of(of(schema, "$defs"), strrchr(ref->valuestring, '/') + 1), type = of(rule, "type");
    bool good = !type || (cJSON_IsString(type) && has_type(item, type->valuestring));
    if (cJSON_IsArray(type)) cJSON_ArrayForEach(part, type) good = good || has_type(item, part->valuestring);
    if (!good) snprintf(problem, 256, "%s: another type", path);
    if (of(rule, "const") && !cJSON_Compare(of(rule, "const"), item, true)) snprintf(problem, 256, "%s: const", path);
    bool listed = !words;
    cJSON_ArrayForEach(part, words) listed = listed || cJSON_Compare(part, item, true);
    if (!listed) snprintf(problem, 256, "%s: not in enum", path);
    cJSON_ArrayForEach(part, of(rule, "required")) if (!of(item, part->valuestring))
        snprintf(problem, 256, "%s: no %s", path, part->valuestring);
    if (cJSON_IsObject(item)) cJSON_ArrayForEach(part, item) {
            const cJSON *property = of(of(rule, "properties"), part->string);
            snprintf(inner, sizeof inner, "%.150s.%.40s", path, part->string);
            if (!property)
                snprintf(problem, 256, "%s: unknown", inner);
            else
                validate(property, part, inner, problem);
        }
    if (cJSON_IsArray(item) && of(rule, "items"))
        cJSON_ArrayForEach(part, item) validate(of(rule, "items"), part, path, problem);
}

static cJSON *read_json(const char *path) {
    size_t n;
    char *text = gab_test_file_read(path, &n);
    cJSON *json = cJSON_Parse(text);
    if (!json) FAIL("%s is not JSON", path);
    free(text);
    return json;
}

#define SMOKE "bench", "--smoke", "--quick", "--prompt-sizes", "8", "--depths", "0,64", "--batch", "2", "--runs", "1"

GAB_TEST(json_is_of_the_schema) {
    char problem[256] = "";
    cli_need_device();
    cJSON *rules = read_json(gab_test_source("docs/bench-schema.json"));
    schema = rules;
    cJSON *json = cli_json(CLI(SMOKE, "-m", gab_test_source("models/tales.gguf"), "--json", "-"));
    validate(rules, json, "", problem);
    if (problem[0]) FAIL("%s", problem);
    const cJSON *device = cJSON_GetArrayItem(of(json, "devices"), 0),
                *model = cJSON_GetArrayItem(of(device, "models"), 0);
    CHECK(cJSON_IsTrue(of(model, "right")) == cJSON_IsTrue(of(of(device, "device"), "executes")));
    CHECK(cJSON_GetArraySize(of(model, "figures")) >= 7 && cJSON_GetArraySize(of(model, "anatomy")) == 2);
    CHECK(strlen(cli_json_text_of(model, "sha256")) == 64 &&
          strlen(cli_json_text_of(of(json, "tool"), "sha256")) == 64);
    /* the schema is no rubber stamp */
    cJSON_AddStringToObject(json, "surplus", "");
    validate(rules, json, "", problem);
    CHECK_SAYS(problem, "surplus");
    cJSON_Delete(json);
    cJSON_Delete(rules);
}

/* Without a model: the first synthetic one, and why the others are left out. A device that fails is in the results. */
GAB_TEST(synthetic_models_and_failed_devices) {
    char problem[256] = "";
    cli_result devices = CLI("devices");
    if (GAB_TEST_ASAN || !strstr(devices.out, "llvmpipe"))
        SKIP("a model of real size takes minutes under the sanitizer, and on processor drivers other than lavapipe");
    cli_result_free(&devices);
    schema = read_json(gab_test_source("docs/bench-schema.json"));
    cli_result result = CLI("bench", "--smoke", "--quick", "--prompt-sizes", "8", "--depths", "0", "--batch", "1",
                            "--runs", "1", "--devices", "llvmpipe,no such device", "--json", "-");
    CHECK_EXIT(result, 1);
    CHECK_SAYS(result.err, "1 of the devices could not be measured");
    cJSON *json = cJSON_Parse(result.out);
    CHECK(json);
    validate(schema, json, "", problem);
    if (problem[0]) FAIL("%s", problem);
    const cJSON *device = cJSON_GetArrayItem(of(json, "devices"), 0), *models = of(device, "models");
    const cJSON *failed = cJSON_GetArrayItem(of(json, "failed"), 0);
    CHECK(cJSON_GetArraySize(models) == 1 && cJSON_GetArraySize(of(device, "skipped")) >= 3);
    CHECK(strcmp(cli_json_text_of(cJSON_GetArrayItem(models, 0), "label"), "small Q8_0") == 0);
    CHECK(strcmp(cli_json_text_of(failed, "device"), "no such device") == 0);
    CHECK_SAYS(cli_json_text_of(failed, "why"), "no such device");
    cli_result_free(&result);
    cJSON_Delete(json);
    cJSON_Delete((cJSON *)(uintptr_t)schema);
}

GAB_TEST(renderings) {
    cli_need_device();
    const char *html = cli_temporary();
    char path[64];
    snprintf(path, sizeof path, "%s", html);
    cli_result result = CLI(SMOKE, "-m", gab_test_source("models/tales.gguf"), "--html", path);
    CHECK_EXIT(result, 0);
    CHECK_SAYS(result.out, "What it can do at most");
    CHECK_SAYS(result.out, "every kernel right");
    CHECK_SAYS(result.out, "Where the time goes");
    CHECK_SAYS(result.out, "In short");
    CHECK_SAYS(result.out, "Measured in ");
    cli_result_free(&result);
    size_t n;
    char *page = gab_test_file_read(path, &n);
    CHECK(strstr(page, "<svg") && strstr(page, "roofline") && strstr(page, "</html>") && strstr(page, "@media print"));
    CHECK(!strstr(page, "http://") && !strstr(page, "https://") && !strstr(page, "<script"));
    free(page);
    remove(path);
}

/* ---- comparisons: no device ---- */

static void write_document(const char *path, const char *name, double rate) {
    char text[1024];
    snprintf(
        text, sizeof text,
        "{\"schema\":\"gabbro-bench\",\"version\":1,\"tool\":{\"name\":\"gabbro\",\"version\":\"1\"},\"devices\":[{"
        "\"device\":{\"name\":\"%s\",\"driver\":\"d\"},\"models\":[{\"label\":\"m\",\"figures\":[{\"id\":\"decode.0\","
        "\"kind\":\"decode\",\"name\":\"text\",\"unit\":\"tokens<b>/s\",\"median\":%g,\"spread_percent\":2}]}]}],"
        "\"failed\":[{\"device\":\"Third<b>\",\"why\":\"it is lost\"}]}",
        name, rate);
    gab_test_file_write(path, text, strlen(text));
}

GAB_TEST(comparison) {
    static const char llama[] =
        "[{\"build_commit\":\"abc\",\"gpu_info\":\"<Card>\",\"model_type\":\"x 1B Q8_0\",\"n_prompt\":0,\"n_gen\":24,"
        "\"n_depth\":0,\"avg_ts\":20,\"samples_ts\":[19,20,21]}]";
    char a[64], b[64], c[64], html[64];
    snprintf(a, sizeof a, "%s", cli_temporary());
    snprintf(b, sizeof b, "%s", cli_temporary());
    snprintf(c, sizeof c, "%s", cli_temporary());
    snprintf(html, sizeof html, "%s", cli_temporary());
    write_document(a, "One\\u001b[31m", 10);
    write_document(b, "Two", 10.2);
    gab_test_file_write(c, llama, strlen(llama));
    cli_result result = CLI("bench", "compare", a, b, c, "--html", html);
    CHECK_EXIT(result, 0);
    CHECK_SAYS(result.out, "A  One?[31m; d; gabbro 1; m");
    CHECK_SAYS(result.out, "C  <Card>; ; llama-bench abc");
    CHECK_SAYS(result.out, "not measured: Third<b>: it is lost");
    CHECK_SAYS(result.out, "+2% =");   /* within the noise */
    CHECK_SAYS(result.out, "+100% ^"); /* beyond it */
    cli_result_free(&result);
    size_t n;
    char *page = gab_test_file_read(html, &n);
    CHECK(!strstr(page, "tokens<b>") && strstr(page, "tokens&lt;b&gt;/s"));
    CHECK(strstr(page, "Third&lt;b&gt;</b>: it is lost"));
    CHECK(strstr(page, "&lt;Card&gt;") && strstr(page, "+100%") && strstr(page, ", noise"));
    free(page);
    remove(a), remove(b), remove(c), remove(html);
}

static void compare(const char *document, const char *more, int exit_status, const char *says) {
    char a[64], b[64];
    snprintf(a, sizeof a, "%s", cli_temporary());
    snprintf(b, sizeof b, "%s", cli_temporary());
    write_document(a, "One", 10);
    gab_test_file_write(b, document, strlen(document));
    cli_result result = CLI("bench", "compare", a, b, more);
    CHECK_EXIT(result, exit_status);
    CHECK_SAYS(exit_status ? result.err : result.out, says);
    CHECK(!strstr(result.out, "123456"));
    cli_result_free(&result);
    remove(a), remove(b);
}

GAB_TEST(comparison_of_odd_documents) {
    /* no figure of a device that computes nothing stands beside others */
    compare(
        "{\"schema\":\"gabbro-bench\",\"version\":1,\"devices\":[{\"device\":{\"name\":\"Idle\",\"executes\":false},"
        "\"models\":[{\"label\":\"m\",\"figures\":[{\"id\":\"decode.0\",\"name\":\"text\",\"unit\":\"tokens/s\","
        "\"median\":123456}]}]}]}",
        NULL, 0, "results invalid: this device computes nothing");
    compare("[{\"model_type\":\"x\",\"n_prompt\":512,\"n_gen\":0,\"n_depth\":0,\"avg_ts\":300},"
            "{\"model_type\":\"x\",\"n_prompt\":512,\"n_gen\":0,\"n_depth\":4096,\"avg_ts\":70}]",
            NULL, 0, "prompt of 512 tokens at depth 4096");
    compare("[{\"model_type\":\"x\",\"n_prompt\":0,\"n_gen\":24,\"n_depth\":0,\"avg_ts\":20},"
            "{\"model_type\":\"x\",\"n_prompt\":0,\"n_gen\":24,\"n_depth\":0,\"avg_ts\":30}]",
            NULL, 0, "x (2)"); /* with other settings */
    compare("{}", NULL, 1, "is no result of");
    compare("{\"schema\":\"gabbro-bench\"}", NULL, 1, "version is 0");
    compare("[]", "--csv", 2, "no --json, --markdown or --csv");
}

GAB_TEST(usage) {
    static const struct {
        const char *arguments[3], *says;
    } cases[] = {{{"A.json", NULL, NULL}, "behind 'compare'"},
                 {{"compare", NULL, NULL}, "compare needs files"},
                 {{"--quick", "--full", NULL}, "one of --quick and --full"},
                 {{"--runs", "0", NULL}, "from 1 to 100"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cli_result result = CLI("bench", cases[i].arguments[0], cases[i].arguments[1], cases[i].arguments[2]);
        CHECK_EXIT(result, 2);
        CHECK_SAYS(result.err, cases[i].says);
        cli_result_free(&result);
    }
    cli_result result = CLI("bench", "--depths", "5,x");
    CHECK_EXIT(result, 2);
    CHECK_SAYS(result.err, "--depths: '5,x' is not a list");
    cli_result_free(&result);
}

/* ---- a wrong kernel: no figure, and a failure ---- */

GAB_TEST(wrong_kernels_give_no_figures) {
    char spoil[64];
    gab_test_calls_start();
    snprintf(spoil, sizeof spoil, "%zu:0", gab_shaders[GAB_SHADER_LAYERNORM].bytes);
    CHECK(setenv("GABBRO_TEST_SPOIL", spoil, 1) == 0);
    cli_result result = CLI(SMOKE, "-m", gab_test_source("models/tales.gguf"));
    if (result.exit_status == 0 && strstr(result.out, "computes nothing")) SKIP("the device computes nothing");
    CHECK_EXIT(result, 1);
    CHECK_SAYS(result.err, "wrong numbers");
    CHECK_SAYS(result.out, "layernorm");
    CHECK_SAYS(result.out, "WRONG");
    CHECK_SAYS(result.out, "no figure is shown");
    CHECK(!strstr(result.out, "tokens/s"));
    cli_result_free(&result);
}

/* What is wrong is said before anything is measured. */
GAB_TEST(wrong_calls_measure_nothing) {
    static const struct {
        const char *options[6], *said;
    } rows[] = {{{"-m", "/nonexistent.gguf"}, "cannot open /nonexistent.gguf"},
                {{"-m", "synth:foo"}, "known preset"},
                {{"--json", "/nonexistent/x.json"}, "cannot write /nonexistent/x.json"},
                {{"--html", "/nonexistent/x.html"}, "cannot write /nonexistent/x.html"},
                {{"--markdown", "--csv"}, "one alone can go to standard output"},
                {{"--json", "-", "--html", "-"}, "one alone can go to standard output"},
                {{"--devices", "0,,1"}, "a name in '0,,1' is empty"},
                {{"-d", "0", "--devices", "0"}, "not several"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *const *o = rows[i].options;
        cli_result result = CLI("bench", o[0], o[1], o[2], o[3]);
        CHECK(result.exit_status == 1 || result.exit_status == 2);
        CHECK_SAYS(result.err, rows[i].said);
        CHECK(result.out[0] == 0);
        cli_result_free(&result);
    }
}

GAB_TEST_MAIN()
