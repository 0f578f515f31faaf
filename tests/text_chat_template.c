/*
 * Chat templates: small ones with what Jinja2 makes of them (oracle/make_templates.py has many more), errors and their
 * lines, limits, threads, three real ones.
 */
#include "test.h"

#include <dirent.h>

#include "base/file.h"
#include "base/threads.h"
#include "text/chat_template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size); /* fuzz/fuzz_chat_template.c */

static const char MESSAGES[] = "[{\"role\": \"system\", \"content\": \"Be terse.\"},"
                               " {\"role\": \"user\", \"content\": \"Hello \\\"W\\u00f6rld\\\" \"},"
                               " {\"role\": \"assistant\", \"content\": \"Hi.\"},"
                               " {\"role\": \"user\", \"content\": \"Bye\"}]";
static const char VARIABLES[] =
    "{\"n\": 3, \"x\": 2.5, \"s\": \"H\\u00e9llo\", \"l\": [3, 1, 2], \"d\": {\"b\": 1, \"a\": "
    "[true, null, 1e22]}, \"pad\": \" \\n a b\\t\", \"html\": \"<a href='x'>&\"}";

static gab_chat_input default_input(void) {
    static const struct tm now = {
        .tm_year = 126, .tm_mon = 2, .tm_mday = 7, .tm_hour = 9, .tm_min = 5, .tm_sec = 2, .tm_wday = 6, .tm_yday = 65};
    return (gab_chat_input){
        .messages = MESSAGES, .variables = VARIABLES, .bos_token = "<s>", .eos_token = "</s>", .now = &now};
}

/* To be freed; NULL when it fails. */
static char *render(const char *text, const gab_chat_input *input, gab_status *status) {
    gab_chat_template *chat_template = NULL;
    char *rendered = NULL;
    size_t n = 0;
    *status = gab_chat_template_create(text, strlen(text), "t", NULL, &chat_template);
    if (*status == GAB_OK) *status = gab_chat_template_render(chat_template, input, NULL, &rendered, &n);
    CHECK(!rendered || strlen(rendered) == n);
    gab_chat_template_destroy(&chat_template);
    return rendered;
}

static void check_with(const char *text, const gab_chat_input *input, const char *expected) {
    gab_status status;
    char *found = render(text, input, &status);
    if (!found) FAIL("%s: %s", text, gab_last_error());
    if (strcmp(found, expected) != 0) FAIL("%s: is '%s', not '%s'", text, found, expected);
    free(found);
}

static void check(const char *text, const char *expected) {
    const gab_chat_input input = default_input();
    check_with(text, &input, expected);
}

static void check_fails_with(const char *text, const gab_chat_input *input, gab_status expected, const char *sentence) {
    gab_status status;
    char *found = render(text, input, &status);
    if (found) FAIL("%s: is '%s', and should fail", text, found);
    if (status != expected || !strstr(gab_last_error(), sentence))
        FAIL("%s: %s (%s), not %s (%s)", text, gab_last_error(), gab_status_text(status), sentence,
             gab_status_text(expected));
}

static void check_fails(const char *text, gab_status expected, const char *sentence) {
    const gab_chat_input input = default_input();
    check_fails_with(text, &input, expected, sentence);
}

GAB_TEST(values_as_python_prints_them) {
    check("{{ n }} {{ x }} {{ 7 // -2 }} {{ -7 % 3 }} {{ 1 / 2 }} {{ 2 ** 10 }} {{ 1e16 }} {{ 0.0001 }}",
          "3 2.5 -4 2 0.5 1024 1e+16 0.0001");
    check("{{ none }} {{ true }} {{ d }} {{ (1,) }} {{ ['it\\'s', \"a\\nb\"] }}",
          "None True {'b': 1, 'a': [True, None, 1e+22]} (1,) [\"it's\", 'a\\nb']");
    check("{{ nope }}{{ nope ~ 'x' }}{{ nope is defined }}{{ tools is none }}", "xFalseTrue");
}

GAB_TEST(strings) {
    check("{{ s[1] }}{{ s[::-1] }}{{ s|length }}{{ s|upper }}{{ s[1:3] }}{{ 'a' in s }}",
          "\u00e9oll\u00e9H5H\u00c9LLO\u00e9lFalse");
    check("[{{ pad|trim }}][{{ pad.rstrip() }}][{{ 'a,b'.split(',') }}][{{ 'x'.join(['1', '2']) }}]",
          "[a b][ \n a b][['a', 'b']][1x2]");
    check("{{ '%s=%03d' % ('a', 7) }} {{ '{}-{b:>3}'.format(1, b='x') }} {{ 'aXbX'.replace('X', '-', 1) }}",
          "a=007 1-  x a-bX");
    check("{{ html|e }} {{ (html|safe) + '<' }} {{ 'o-k word'|title }}",
          "&lt;a href=&#39;x&#39;&gt;&amp; <a href='x'>&&lt; O-K Word");
}

GAB_TEST(sequences) {
    check("{{ l|sort }} {{ l|sort(reverse=true)|first }} {{ l|join('-') }} {{ l|select('gt', 1)|list }} {{ l[-1] }}",
          "[1, 2, 3] 3 3-1-2 [3, 2] 2");
    check("{{ messages|selectattr('role', 'equalto', 'user')|map(attribute='content')|list|length }}", "2");
    check(
        "{{ d.items()|list }} {{ d|dictsort|map('first')|join }} {{ d.get('q', 0) }} {{ d['b'] }} {{ d.q is defined }}",
        "[('b', 1), ('a', [True, None, 1e+22])] ab 0 1 False");
}

GAB_TEST(json) {
    check("{{ d|tojson }}", "{\"b\": 1, \"a\": [true, null, 1e+22]}");
    check("{{ messages[1].content|tojson }} {{ html|tojson }} {{ s|tojson(ensure_ascii=true) }}",
          "\"Hello \\\"W\u00f6rld\\\" \" \"<a href='x'>&\" \"H\\u00e9llo\"");
    check("{{ {'a': [1, {}]}|tojson(indent=2) }}", "{\n  \"a\": [\n    1,\n    {}\n  ]\n}");
}

GAB_TEST(loops) {
    check("{% for i in l %}{{ loop.index }}{{ i }}{{ ',' if not loop.last }}{% endfor %}", "13,21,32");
    check("{% for i in l if i > 1 %}{{ loop.length }}{{ i }}{{ loop.previtem }}{% else %}no{% endfor %}", "23223");
    check("{% for i in [] %}x{% else %}no{% endfor %}{% for k, v in d.items() %}{{ k }}{% endfor %}", "noba");
    check("{% for i in range(9) %}{% if i is odd %}{% continue %}{% endif %}{% if i > 5 %}{% break %}{% endif %}{{ i "
          "}}{% endfor %}",
          "024");
}

GAB_TEST(scopes_and_macros) {
    check("{% set a = 1 %}{% for i in l %}{% set a = a + 1 %}{% endfor %}{{ a }}{% if 1 %}{% set a = 7 %}{% endif %}{{ "
          "a }}",
          "17");
    check("{% set ns = namespace(a=0) %}{% for i in l %}{% set ns.a = ns.a + i %}{% endfor %}{{ ns.a }}", "6");
    check("{% macro f(a, b=2) %}{{ a }}{{ b }}{% endmacro %}{{ f(1) }} {{ f(b=3, a=4) }} {{ f()|length }}", "12 43 1");
    check("{% set t %} x {% endset %}[{{ t }}]{% generation %}{{ n }}{% set g = 1 %}{% endgeneration %}{{ g is defined "
          "}}",
          "[ x ]3False");
}

GAB_TEST(white_space) {
    check("a\n{% if 1 %}\n  b\n  {% endif %}\nc\n", "a\n  b\nc");
    check("a  {%- if 1 -%}  b  {%- endif +%}\n\nc {{- n -}} d", "ab\n\nc3d");
    check("  {# c #}\nx {# d #} y\r\nz\n\n", "x  y\nz\n");
    check("{% raw %}{{ n }}{% endraw %} {%+ if 1 %}\n{% endif %}", "{{ n }} ");
}

GAB_TEST(dates) {
    check("{{ strftime_now('%Y-%m-%d') }} {{ strftime_now('%d %b %Y, %A %-I %p') }}",
          "2026-03-07 07 Mar 2026, Saturday 9 AM");
    gab_chat_input input = default_input();
    input.now = NULL; /* the clock's */
    check_with("{{ strftime_now('%Y')|int > 2020 }}", &input, "True");
}

GAB_TEST(errors_say_where) {
    check_fails("a\n\n{% if %}", GAB_ERROR_FORMAT,
                "t: chat template, line 3: found the end of the tag, expected an expression");
    check_fails("{{ 'x", GAB_ERROR_FORMAT, "line 1: a string does not end");
    check_fails("\n{{ nope.x }}", GAB_ERROR_FORMAT, "line 2: 'nope' is undefined");
    check_fails("{{ messages[0].nope.x }}", GAB_ERROR_FORMAT, "'dict' has no attribute 'nope'");
    check_fails("{{ 1 + 'a' }}", GAB_ERROR_FORMAT, "'+' does not work on int and str");
    check_fails("{{ n|nope }}", GAB_ERROR_UNSUPPORTED, "there is no filter 'nope'");
    check_fails("{% include 'x' %}", GAB_ERROR_UNSUPPORTED, "{% include %}");
    check_fails("\n\n{{ raise_exception('Only ' ~ n ~ ' roles.') }}", GAB_ERROR_ARGUMENT, "line 3: Only 3 roles.");
    check("{% if false %}{{ n|nope }}{{ nope.x.y }}{% endif %}", "");
}

GAB_TEST(inputs_are_checked) {
    gab_chat_input input = default_input();
    input.messages = "[{]";
    check_fails_with("{{ n }}", &input, GAB_ERROR_ARGUMENT, "t: chat template: messages: no valid JSON at byte 2");
    input.messages = "{}";
    check_fails_with("{{ n }}", &input, GAB_ERROR_ARGUMENT, "messages: not a JSON array");
    input.messages = "[1, 2] 3";
    check_fails_with("{{ n }}", &input, GAB_ERROR_ARGUMENT, "something follows");
    input.messages = "[10000000000000000000]";
    check_fails_with("{{ n }}", &input, GAB_ERROR_ARGUMENT, "more than 64 bits");
    input.messages = NULL;
    input.tools = "[1.0, 1, -0.5e1, \"\\ud83d\\ude00\\u0000|\"]";
    check_with("{{ tools[:3] }}{{ tools[3]|length }}{{ messages is none }}{{ bos_token }}", &input,
               "[1.0, 1, -5.0]3True<s>");
    input.variables = "{\"bos_token\": \"mine\"}";
    check_with("{{ bos_token }}{{ eos_token }}{{ add_generation_prompt }}", &input, "mine</s>False");
}

GAB_TEST(lists_change_unless_immutable) {
    gab_chat_input input = default_input();
    const char *text = "{% set _ = l.append(4) %}{{ l }}{{ l.pop(0) }}";
    check_with(text, &input, "[3, 1, 2, 4]3");
    input.immutable = true;
    check_fails_with(text, &input, GAB_ERROR_FORMAT, "'append' would change a list");
    check_with("{{ l.append is defined }}", &input, "False");
}

GAB_TEST(limits) {
    gab_chat_input input = default_input();
    input.limits = (gab_chat_limits){.steps = 100000, .bytes = 1 << 20, .depth = 100};
    static const char *const endless[] = {
        "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}",
        "{% set ns = namespace(s='ab') %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
        "{% macro f(a) %}{{ f(a) }}{% endmacro %}{{ f(1) }}",
        "{{ 'x' * 99999999 }}",
        "{{ '%9999s' % 1 * 999 }}",
        "{% set a = [] %}{% set _ = a.append(a) %}{{ a }}",
        "{{ 'x'.center(1000000000) }}",
        "{{ range(100001) }}",
        "{{ 2 ** 64 }}",
    };
    for (size_t i = 0; i < sizeof endless / sizeof *endless; i++)
        check_fails_with(endless[i], &input, GAB_ERROR_LIMIT, "chat template, line 1");
    char deep[4000] = "{{ ";
    for (int i = 0; i < 450; i++) strcat(deep, "not ");
    check_fails_with(deep, &input, GAB_ERROR_LIMIT, "nested more than");
    for (int i = 3; i < 1803; i++) deep[i] = '[';
    gab_chat_input nested = default_input();
    nested.messages = deep + 3;
    check_fails_with("", &nested, GAB_ERROR_LIMIT, "nested more than");
}

GAB_TEST(deep_but_allowed) {
    char text[8000] = "{{ 0";
    for (int i = 0; i < 350; i++) strcat(text, " + 1");
    strcat(text, " }}");
    check(text, "350");
}

static bool render_again(void *user, size_t i) {
    const gab_chat_template *chat_template = user;
    gab_chat_input input = default_input();
    char variables[64], expected[64], *text;
    size_t n;
    snprintf(variables, sizeof variables, "{\"n\": %zu}", i);
    snprintf(expected, sizeof expected, "4 %zu", i * i);
    input.variables = variables;
    if (gab_chat_template_render(chat_template, &input, NULL, &text, &n) != GAB_OK) return false;
    bool same = strcmp(text, expected) == 0;
    free(text);
    return same;
}

GAB_TEST(shared_by_threads) {
    static const char text[] = "{% macro f(a) %}{{ a * n }}{% endmacro %}{{ messages|length }} {{ f(n) }}";
    gab_chat_template *chat_template;
    CHECK_OK(gab_chat_template_create(text, strlen(text), "t", NULL, &chat_template));
    CHECK(gab_parallel_for(200, 4, render_again, chat_template));
    gab_chat_template_destroy(&chat_template);
}

GAB_TEST(real_templates) {
    static const struct {
        const char *file, *messages, *expected;
    } cases[] = {
        {"google-gemma-2-2b-it.jinja", "[{\"role\": \"user\", \"content\": \" Hi \"}]",
         "<s><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n"},
        {"microsoft-Phi-3.5-mini-instruct.jinja", MESSAGES,
         "<|system|>\nBe terse.<|end|>\n<|user|>\nHello \"W\u00f6rld\" "
         "<|end|>\n<|assistant|>\nHi.<|end|>\n<|user|>\nBye<|end|>\n"
         "<|assistant|>\n"},
        {"Qwen-Qwen3-0.6B.jinja", MESSAGES,
         "<|im_start|>system\nBe terse.<|im_end|>\n<|im_start|>user\nHello \"W\u00f6rld\" "
         "<|im_end|>\n<|im_start|>assistant\n"
         "Hi.<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[4096];
        size_t n;
        snprintf(path, sizeof path, "chat-templates/%s", cases[i].file);
        char *text = gab_test_file_read(gab_test_model(path), &n);
        gab_chat_input input = default_input();
        input.messages = cases[i].messages;
        input.add_generation_prompt = true;
        input.immutable = true;
        check_with(text, &input, cases[i].expected);
        free(text);
    }
}

GAB_TEST(fuzz_corpus) {
    const char *folder = gab_test_source("tests/fuzz/corpus_chat_template");
    DIR *dir = opendir(folder);
    int n_file = 0;
    CHECK(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char path[4096], *data;
        size_t n;
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        CHECK_OK(gab_file_read_all(path, 1 << 20, NULL, &data, &n));
        LLVMFuzzerTestOneInput((const uint8_t *)data, n);
        free(data);
        n_file++;
    }
    closedir(dir);
    CHECK(n_file >= 20);
}

GAB_TEST_MAIN()
