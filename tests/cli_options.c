/* The command line itself: what is understood, what is refused and in which words. Needs neither model nor device. */
#include "cli.h"

static const char *const command_names[] = {"run",        "devices", "tokenize", "detokenize", "logits",
                                            "perplexity", "tune",    "pull",     "chat"};
enum { N_COMMAND = sizeof command_names / sizeof *command_names };

static void check_fits_screen(const char *text) {
    int lines = 0;
    for (const char *at = text; *at; lines++) {
        size_t n = strcspn(at, "\n");
        if (n > 80) FAIL("%zu columns: %.*s", n, (int)n, at);
        at += n + (at[n] == '\n');
    }
    if (lines < 3 || lines > 23) FAIL("%d lines: %s", lines, text); /* the shell's prompt takes the 24th */
}

GAB_TEST(help_fits_screen) {
    cli_result result = CLI("--help");
    CHECK_EXIT(result, 0);
    check_fits_screen(result.out);
    for (int i = 0; i < N_COMMAND; i++) CHECK_SAYS(result.out, command_names[i]);
    CHECK(result.n_err == 0);
    cli_result_free(&result);
}

GAB_TEST(help_of_commands_fits_screen) {
    for (int i = 0; i < N_COMMAND; i++) {
        cli_result result = CLI(command_names[i], "--help");
        CHECK_EXIT(result, 0);
        check_fits_screen(result.out);
        CHECK_SAYS(result.out, command_names[i]);
        CHECK_SAYS(result.out, "--verbose");
        CHECK(result.n_err == 0);
        cli_result_free(&result);
    }
}

GAB_TEST(help_names_options) {
    static const char *const run[] = {
        "--model",         "--prompt",         "--file",    "--predict", "--context",
        "--device",        "--stop",           "--temp",    "--top-k",   "--top-p",
        "--min-p",         "--repeat-penalty", "--seed",    "--kv",      "--precision",
        "--context-shift", "--ignore-eos",     "--no-echo", "--json",    "--quiet",
        "--variant",       "--shard-bytes",    "--staging", "--no-tune", "--submit-budget-ms"};
    cli_result result = CLI("run", "-h");
    CHECK_EXIT(result, 0);
    for (size_t i = 0; i < sizeof run / sizeof *run; i++) CHECK_SAYS(result.out, run[i]);
    cli_result_free(&result);
}

GAB_TEST(version) {
    cli_result result = CLI("--version");
    CHECK_EXIT(result, 0);
    CHECK_SAYS(result.out, "gabbro 0.");
    cli_result_free(&result);
}

GAB_TEST(no_command) {
    cli_result result = CLI(NULL);
    CHECK_EXIT(result, 2);
    CHECK(result.n_out == 0);
    CHECK_SAYS(result.err, "Usage:");
    cli_result_free(&result);
}

/* Each wrong line: exit status 2, nothing on stdout, one line that names what is wrong, one that says where to look. */
GAB_TEST(usage_errors) {
    static const struct {
        const char *arguments[6], *says;
    } cases[] = {
        {{"rum"}, "no command 'rum'; did you mean 'run'?"},
        {{"--hepl"}, "no option '--hepl'"},
        {{"run", "--tmep", "1"}, "no option --tmep; did you mean --temp?"},
        {{"run", "--contextshift"}, "did you mean --context-shift?"},
        {{"run", "--xyzzy-plugh-frobnicate"}, "no option --xyzzy-plugh-frobnicate"},
        {{"run", "-x"}, "no option -x"},
        {{"run", "-qx"}, "no option -x"},
        {{"run", "--chunk", "1"}, "no option --chunk"},
        {{"devices", "--temp", "1"}, "'gabbro devices' has no option --temp"},
        {{"devices", "now"}, "takes no argument 'now'"},
        {{"run", "-n", "abc"}, "-n: 'abc' is not a whole number from -1 to"},
        {{"run", "-n5x"}, "-n: '5x'"},
        {{"run", "-n", ""}, "-n: ''"},
        {{"run", "-n", " 5"}, "-n: ' 5'"},
        {{"run", "-n", "-2"}, "-n: '-2'"},
        {{"run", "-n", "-"}, "-n: '-'"},
        {{"run", "--predict=1.5"}, "--predict: '1.5'"},
        {{"run", "-n", "99999999999999999999"}, "-n: '99999999999999999999'"},
        {{"run", "-c", "0"}, "-c: '0' is not a whole number from 1"},
        {{"run", "--top-k", "-1"}, "--top-k: '-1' is not a whole number from 0 to 4294967295"},
        {{"run", "--top-k", "4294967296"}, "--top-k: '4294967296'"},
        {{"run", "--top-k", "0x10"}, "--top-k: '0x10'"},
        {{"run", "--temp", "warm"}, "--temp: 'warm' is not a number from 0 to 100"},
        {{"run", "--temp", "-0.5"}, "--temp: '-0.5'"},
        {{"run", "--temp", "nan"}, "--temp: 'nan'"},
        {{"run", "--temp", "1e"}, "--temp: '1e'"},
        {{"run", "--temp="}, "--temp: ''"},
        {{"run", "--top-p", "1.1"}, "--top-p: '1.1' is not a number from 1e-06 to 1"},
        {{"run", "--top-p", "0"}, "--top-p: '0'"},
        {{"run", "--min-p", "inf"}, "--min-p: 'inf'"},
        {{"run", "--repeat-penalty", "0"}, "--repeat-penalty: '0'"},
        {{"run", "--seed", "-1"}, "--seed: '-1'"},
        {{"run", "--seed", "18446744073709551616"}, "--seed: '18446744073709551616'"},
        {{"run", "--kv", "f8"}, "--kv: 'f8' is not one of f16|f32"},
        {{"run", "--kv", "f16|f32"}, "--kv: 'f16|f32'"},
        {{"run", "--precision", ""}, "--precision: '' is not one of exact|fast"},
        {{"run", "--stop", ""}, "--stop: the text is empty"},
        {{"run", "--json=yes"}, "--json takes no value"},
        {{"run", "--device"}, "--device needs a value"},
        {{"run", "-p"}, "-p needs a value"},
        {{"run", "Once", "upon"}, "'upon' is one too many"},
        {{"run", "-p", "a", "-f", "b"}, "not several"},
        {{"logits", "-p", "a", "-o", "x", "--tokens=1"}, "not several"},
        {{"logits", "-p", "a"}, "give -o FILE"},
        {{"run", "--no-tune=1"}, "--no-tune takes no value"},
        {{"tune", "--no-tune"}, "'gabbro tune' has no option --no-tune"},
        {{"tune", "-p", "a"}, "no option -p"},
        {{"tune", "--kv", "q8"}, "--kv: 'q8' is not one of f16|f32"},
        {{"tune", "a.gguf", "b.gguf"}, "'b.gguf' is one too many"},
        {{"tokenize", "--no-tune"}, "no option --no-tune"},
        {{"pull"}, "name a repository: gabbro pull ORG/NAME"},
        {{"pull", "a/b", "c/d"}, "'c/d' is one too many"},
        {{"pull", "--model", "a/b"}, "no option --model"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cli_result result = cli_call((cli_streams){0}, cases[i].arguments);
        if (result.exit_status != 2) FAIL("case %zu (%s): exit status %d", i, cases[i].says, result.exit_status);
        CHECK(result.n_out == 0);
        CHECK_SAYS(result.err, "gabbro: error: ");
        CHECK_SAYS(result.err, cases[i].says);
        CHECK_SAYS(result.err, "--help'");
        cli_result_free(&result);
    }
}

GAB_TEST(help_on_full_disk) {
    if (access("/dev/full", W_OK) != 0) SKIP("no /dev/full");
    cli_result result = CLI_WITH({.out_path = "/dev/full"}, "run", "--help");
    CHECK_EXIT(result, 1);
    CHECK_SAYS(result.err, "cannot write standard output: No space left");
    cli_result_free(&result);
}

GAB_TEST_MAIN()
