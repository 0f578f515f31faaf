/*
 * main.c - the program `gabbro`: finds the command, has its options parsed, runs it, and turns the result into an exit
 * status: 0 done, 1 failed, 2 not understood.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/setup.h"

static const cli_command commands[] = {
    {CLI_RUN, "run", "Continues a text with a language model.", "prompt", cli_run},
    {CLI_CHAT, "chat", "Talks with a language model; /help shows its commands.", "prompt", cli_chat},
    {CLI_DEVICES, "devices", "Lists the Vulkan devices.", NULL, cli_devices},
    {CLI_TOKENIZE, "tokenize", "Shows the token ids of a text.", "prompt", cli_tokenize},
    {CLI_DETOKENIZE, "detokenize", "Shows the text of token ids, also as tokenize prints them.", "tokens",
     cli_detokenize},
    {CLI_LOGITS, "logits", "Writes logits: n_vocab little-endian float32 a token.", "prompt", cli_logits},
    {CLI_PERPLEXITY, "perplexity", "Measures how well a model predicts a text; lower is better.", "file",
     cli_perplexity},
    {CLI_INFO, "info", "Shows what a model file is, and what it would need.", "model", cli_info},
    {CLI_TUNE, "tune", "Chooses the kernels for a model on a device by proof and timing.", "model", cli_tune},
    {CLI_BENCH, "bench", "Measures devices, and compares what was measured.", "arguments", cli_bench,
     "Without -m: synthetic models that fit the device and the time (gpt2-124m,\n"
     "llama-1b, llama-8b, mixtral-8x7b in Q4_K, Q8_0 and F16).\n"
     "'compare' takes files of --json, and llama-bench's of -o json.\n"},
    {CLI_PULL, "pull", "Downloads a model from Hugging Face; -m REPO then finds it.", "repo", cli_pull,
     "REPO alone takes the best GGUF file by its type (Q4_K_M first, then Q8_0), or\n"
     "config.json, the tokenizer and *.safetensors. REPO:Q8_0 takes that type,\n"
     "REPO:FILE a file. Everything goes to the cache that other programs share:\n"
     "HF_HUB_CACHE, HF_HOME/hub or ~/.cache/huggingface/hub. HF_TOKEN (or the token\n"
     "file there) opens private and licensed ones. A download that was cut goes on.\n"},
};
#if !GAB_PULL
gab_status cli_pull(const cli_options *options, cli_console *console) {
    return gab_fail(&console->log, GAB_ERROR_UNSUPPORTED,
                    "this build cannot download %s: it was made without libcurl (CMake option GAB_PULL)",
                    options->repo);
}
#endif

enum { N_COMMAND = sizeof commands / sizeof *commands };

static void print_help(FILE *out) {
    fprintf(out, "gabbro %s runs GPT-family language models on any Vulkan device.\n\n", gab_version());
    fputs("Usage: gabbro COMMAND [options]\n\n", out);
    for (size_t i = 0; i < N_COMMAND; i++) fprintf(out, "  %-12s%s\n", commands[i].name, commands[i].summary);
    fputs("\n'gabbro COMMAND --help' shows its options, 'gabbro --version' the version.\n"
          "First try: gabbro run -p \"Once upon a time\"\n"
          "Random weights, to measure a device without a download: -m synth:PRESET\n"
          "(-m synth:help lists the presets).\n",
          out);
}

static const cli_command *find_command(const char *name) {
    const char *names[N_COMMAND];
    for (size_t i = 0; i < N_COMMAND; i++) {
        if (strcmp(commands[i].name, name) == 0) return &commands[i];
        names[i] = commands[i].name;
    }
    const char *nearest = cli_nearest(name, names, N_COMMAND);
    fprintf(stderr, "gabbro: error: there is no %s '%s'", name[0] == '-' ? "option" : "command", name);
    if (nearest) fprintf(stderr, "; did you mean '%s'?", nearest);
    fputs("\n'gabbro --help' lists the commands.\n", stderr);
    return NULL;
}

/* A closed standard stream gives its number to the next file opened, which would then be written or read in its place.
 */
static void hold_standard_streams(void) {
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0) (void)!open("/dev/null", fd == STDERR_FILENO ? O_WRONLY : O_RDONLY);
}

/* What was printed with plain stdio has arrived. */
static int finish_stdout(int exit_status) {
    if (fflush(stdout) == 0 && !ferror(stdout)) return exit_status;
    perror("gabbro: error: cannot write standard output");
    return CLI_EXIT_FAILURE;
}

static int run_command(const cli_command *command, cli_options *options) {
    cli_console console;
    gab_status status = GAB_OK;
    cli_console_init(&console, options);
    if (command->bit & CLI_MODEL && command->bit != CLI_BENCH) status = cli_model_find(options, &console);
    if (status == GAB_OK) status = command->run(options, &console);
    const bool interrupted = status == GAB_ERROR_CANCELLED && !atomic_load(&console.error_said);
    if (status != GAB_OK && !interrupted && !atomic_load(&console.error_said)) {
        const char *detail = gab_last_error();
        fprintf(stderr, "gabbro: error: %s\n", detail[0] ? detail : gab_status_text(status));
    }
    cli_console_free(&console);
    if (interrupted) return CLI_EXIT_INTERRUPTED;
    return status == GAB_OK ? CLI_EXIT_OK : status == GAB_ERROR_ARGUMENT ? CLI_EXIT_USAGE : CLI_EXIT_FAILURE;
}

int main(int argc, char **argv) {
    hold_standard_streams();
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is a failed write, which says so */
    signal(SIGXFSZ, SIG_IGN); /* and so is a file that may not grow */
    if (argc < 2) {
        print_help(stderr);
        return CLI_EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        print_help(stdout);
        return finish_stdout(CLI_EXIT_OK);
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("gabbro %s\n", gab_version());
        return finish_stdout(CLI_EXIT_OK);
    }
    const cli_command *command = find_command(argv[1]);
    cli_options options;
    if (!command || !cli_options_parse(command, argc - 2, argv + 2, &options)) return CLI_EXIT_USAGE;
    if (options.help) {
        cli_options_help(command);
        return finish_stdout(CLI_EXIT_OK);
    }
    return run_command(command, &options);
}
