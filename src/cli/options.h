/*
 * options.h - the command line. One table (options.c) lists every option of every command with its type, range and
 * place in cli_options; parsing, the help pages and the suggestions for misspelt names are all made from it.
 */
#ifndef GAB_CLI_OPTIONS_H
#define GAB_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gabbro.h"

/* Exit statuses of the program. */
enum { CLI_EXIT_OK = 0, CLI_EXIT_FAILURE = 1, CLI_EXIT_USAGE = 2, CLI_EXIT_INTERRUPTED = 130 /* as shells count */ };

/* Commands, as bits: an option says which ones have it. */
enum {
    CLI_RUN = 1,
    CLI_DEVICES = 2,
    CLI_TOKENIZE = 4,
    CLI_DETOKENIZE = 8,
    CLI_LOGITS = 16,
    CLI_PERPLEXITY = 32,
    CLI_TUNE = 64,
    CLI_PULL = 128,
    CLI_INFO = 256,
    CLI_CHAT = 512,
    CLI_BENCH = 1024,
    CLI_GENERATE = CLI_RUN | CLI_CHAT,                         /* those that make text */
    CLI_ENGINE = CLI_GENERATE | CLI_LOGITS | CLI_PERPLEXITY,   /* those that run a model */
    CLI_DEVICE = CLI_ENGINE | CLI_TUNE | CLI_INFO | CLI_BENCH, /* those that use one without running a model, too */
    CLI_MODEL = CLI_DEVICE | CLI_TOKENIZE | CLI_DETOKENIZE,    /* those that read a model file */
    CLI_TEXT = CLI_GENERATE | CLI_TOKENIZE | CLI_LOGITS | CLI_PERPLEXITY, /* those that read a text */
    CLI_ALL = CLI_MODEL | CLI_DEVICES | CLI_PULL,
};

/* The texts of an option that may be given several times. */
enum { CLI_LIST_MAX = 16 };
typedef struct cli_list {
    const char *items[CLI_LIST_MAX];
    uint32_t n;
} cli_list;

/* What the command line said. Strings belong to argv. */
typedef struct cli_options {
    gab_engine_options engine; /* model_path NULL: the embedded model */
    gab_session_options session;
    const char *prompt, *file;  /* the text, or where to read it; at most one of these and tokens is given */
    const char *tokens;         /* token ids, not yet parsed */
    const char *output;         /* "-": standard output */
    const char *system;         /* of a conversation; NULL: none */
    const char *kv, *precision; /* one of their choices; NULL: the library's default */
    const char *repo;           /* what to pull, ORG/NAME[:FILE] */
    const char *endpoint, *revision;
    uint32_t retry_ms, stall_s; /* 0: as built */
    cli_list stop;              /* texts before which the output ends */
    cli_list template_set;      /* NAME=VALUE, for the chat template */
    int64_t n_predict;          /* -1: until the end */
    uint32_t chunk;             /* rows a step, 0: the engine's choice */
    uint32_t verbose;           /* how often -v was given */
    cli_list arguments;         /* of bench: compare and files */
    const char *devices, *prompt_sizes, *depths, *batch, *json_path, *html_path; /* of bench */
    uint32_t runs;
    bool all_devices, quick, full, markdown, csv, smoke;
    bool json, quiet, no_echo, no_bos, no_special, no_tune, list, dry_run, help;
} cli_options;

/* A command, as main lists them. */
struct cli_console;
typedef struct cli_command {
    unsigned bit; /* CLI_RUN, ... */
    const char *name, *summary;
    const char *argument; /* the option that an argument without an option name stands for; NULL: there is none */
    gab_status (*run)(const cli_options *options, struct cli_console *console);
    const char *notes; /* below the options in its help; NULL: none */
} cli_command;

/* Parses the arguments behind the command's name. On bad usage says what is wrong on stderr and returns false. The seed
 * is drawn at random when none is given. With --help, options->help is set and nothing behind it is looked at. */
bool cli_options_parse(const cli_command *command, int argc, char **argv, cli_options *options);

/* The help page of a command; fits a screen of 80 by 24. */
void cli_options_help(const cli_command *command);

/* The candidate nearest to a misspelt word by edit distance, NULL when none is near. */
const char *cli_nearest(const char *word, const char *const *candidates, size_t n);

#endif
