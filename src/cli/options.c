#include "cli/options.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/time.h"

typedef enum option_type {
    OPTION_FLAG,   /* bool */
    OPTION_LEVEL,  /* uint32_t, counts */
    OPTION_TEXT,   /* const char * */
    OPTION_LIST,   /* cli_list, one more of its texts */
    OPTION_CHOICE, /* const char *, one of the words in `argument` */
    OPTION_INT,    /* int64_t within min..max */
    OPTION_U32,    /* uint32_t within min..max */
    OPTION_U64,    /* uint64_t */
    OPTION_FLOAT,  /* float within min..max */
} option_type;

typedef struct option_spec {
    const char *name;
    char letter; /* 0: none */
    option_type type;
    size_t offset; /* in cli_options */
    unsigned commands;
    const char *argument; /* what the help calls the value; for a choice the words themselves, "a|b" */
    const char *help; /* NULL: shown on the line of the option before it, where that one has words, else not at all */
    double min, max;
    bool testing; /* for tests and benchmarks: named in the last line of the help only */
} option_spec;

#define AT(field) offsetof(cli_options, field)
#define ANY_U32   0, UINT32_MAX

static const option_spec option_table[] = {
    {"model", 'm', OPTION_TEXT, AT(engine.model_path), CLI_MODEL, "FILE", "file, folder, pulled REPO, synth:PRESET"},
    {"repo", 0, OPTION_TEXT, AT(repo), CLI_PULL, "REPO[:FILE]", "what to download; REPO is ORG/NAME"},
    {"revision", 'r', OPTION_TEXT, AT(revision), CLI_PULL, "REV", "a branch, tag or commit; also REPO@REV (main)"},
    {"endpoint", 0, OPTION_TEXT, AT(endpoint), CLI_PULL, "URL", "the hub (HF_ENDPOINT or https://huggingface.co)"},
    {"list", 'l', OPTION_FLAG, AT(list), CLI_PULL, NULL, "show what there is to choose from, take nothing"},
    {"dry-run", 0, OPTION_FLAG, AT(dry_run), CLI_PULL, NULL, "show what would be downloaded, take nothing"},
    {"prompt", 'p', OPTION_TEXT, AT(prompt), CLI_TEXT & ~(unsigned)CLI_CHAT, "TEXT",
     "the text (default: read standard input)"},
    {"prompt", 'p', OPTION_TEXT, AT(prompt), CLI_CHAT, "TEXT", "the first message"},
    {"file", 'f', OPTION_TEXT, AT(file), CLI_TEXT & ~(unsigned)CLI_CHAT, "FILE",
     "read the text from FILE (-: standard input)"},
    {"file", 'f', OPTION_TEXT, AT(file), CLI_CHAT, "FILE", "messages and commands, one a line"},
    {"tokens", 't', OPTION_TEXT, AT(tokens), CLI_LOGITS | CLI_DETOKENIZE, "LIST", "token ids: 1,2,3"},
    {"output", 'o', OPTION_TEXT, AT(output), CLI_LOGITS, "FILE", "where to write (-: standard output); required"},
    {"system", 's', OPTION_TEXT, AT(system), CLI_CHAT, "TEXT", "what the model is told first"},
    {"predict", 'n', OPTION_INT, AT(n_predict), CLI_RUN, "N", "tokens to make, -1: until the end (256)", -1, INT32_MAX},
    {"predict", 'n', OPTION_INT, AT(n_predict), CLI_CHAT, "N", "longest answer, tokens (-1: until it ends)", -1,
     INT32_MAX},
    {"context", 'c', OPTION_U32, AT(engine.context), CLI_DEVICE, "N", "positions of the context (the model's own)", 1,
     INT32_MAX},
    {"device", 'd', OPTION_TEXT, AT(engine.device), CLI_DEVICE, "NAME", "device: index, part of its name, or UUID"},
    {"devices", 0, OPTION_TEXT, AT(devices), CLI_BENCH, "A,B", "several devices"},
    {"all-devices", 0, OPTION_FLAG, AT(all_devices), CLI_BENCH, NULL, NULL},
    {"quick", 0, OPTION_FLAG, AT(quick), CLI_BENCH, NULL, "models in one type and less time, or all there is"},
    {"full", 0, OPTION_FLAG, AT(full), CLI_BENCH, NULL, NULL},
    {"prompt-sizes", 0, OPTION_TEXT, AT(prompt_sizes), CLI_BENCH, "LIST", "tokens (128,512,2048)"},
    {"depths", 0, OPTION_TEXT, AT(depths), CLI_BENCH, "LIST", "tokens that text goes on behind (0,4096,16384)"},
    {"batch", 0, OPTION_TEXT, AT(batch), CLI_BENCH, "LIST", "texts at once (1,4,16)"},
    {"runs", 0, OPTION_U32, AT(runs), CLI_BENCH, "N", "of each, however long they take (5)", 1, 100},
    {"json", 0, OPTION_TEXT, AT(json_path), CLI_BENCH, "FILE", "write all of it as JSON (-: standard output)"},
    {"html", 0, OPTION_TEXT, AT(html_path), CLI_BENCH, "FILE", "write a report, or a comparison, to look at"},
    {"markdown", 0, OPTION_FLAG, AT(markdown), CLI_BENCH, NULL, "print tables for other programs"},
    {"csv", 0, OPTION_FLAG, AT(csv), CLI_BENCH, NULL, NULL},
    {"arguments", 0, OPTION_LIST, AT(arguments), CLI_BENCH, "compare FILE...", NULL},
    {"temp", 0, OPTION_FLOAT, AT(session.sampling.temperature), CLI_GENERATE, "X",
     "temperature, 0: always the likeliest token (0.8)", 0, 100},
    {"top-k", 0, OPTION_U32, AT(session.sampling.top_k), CLI_GENERATE, "N", "keep the N likeliest tokens, 0: all (40)",
     ANY_U32},
    {"top-p", 0, OPTION_FLOAT, AT(session.sampling.top_p), CLI_GENERATE, "X",
     "keep mass X (0.95), X of the best (0.05)", 0.000001, 1},
    {"min-p", 0, OPTION_FLOAT, AT(session.sampling.min_p), CLI_GENERATE, "X", NULL, 0, 1},
    {"repeat-penalty", 0, OPTION_FLOAT, AT(session.sampling.repeat_penalty), CLI_GENERATE, "X",
     "above 1: repeat itself less (1: off)", 0.01, 100},
    {"seed", 0, OPTION_U64, AT(session.sampling.seed), CLI_GENERATE, "N", "same seed, same text (drawn at random)"},
    {"kv", 0, OPTION_CHOICE, AT(kv), CLI_DEVICE, "f16|f32", "type of the KV cache (f16), of the weights"},
    {"quantize", 0, OPTION_TEXT, AT(engine.quantize), CLI_DEVICE, "TYPE", NULL},
    {"precision", 0, OPTION_CHOICE, AT(precision), CLI_DEVICE & ~(unsigned)CLI_INFO, "exact|fast",
     "exact: all products in 32 bits (fast)"},
    {"no-tune", 0, OPTION_FLAG, AT(no_tune), CLI_ENGINE | CLI_BENCH, NULL,
     "choose kernels without proving and timing any"},
    {"context-shift", 0, OPTION_FLAG, AT(session.context_shift), CLI_RUN, NULL,
     "context full: forget the oldest half, go on"},
    {"context-shift", 0, OPTION_FLAG, AT(session.context_shift), CLI_CHAT, NULL,
     "context full: forget the oldest turns, go on"},
    {"stop", 0, OPTION_LIST, AT(stop), CLI_RUN, "TEXT", "end before TEXT; go on where the model ends"},
    {"ignore-eos", 0, OPTION_FLAG, AT(session.ignore_end), CLI_RUN, NULL, NULL},
    {"stop", 0, OPTION_LIST, AT(stop), CLI_CHAT, "TEXT", "end before TEXT; tell the template X is Y"},
    {"template-set", 0, OPTION_LIST, AT(template_set), CLI_CHAT, "X=Y", NULL},
    {"no-echo", 0, OPTION_FLAG, AT(no_echo), CLI_RUN, NULL, "do not print the prompt"},
    {"no-bos", 0, OPTION_FLAG, AT(no_bos), CLI_TOKENIZE | CLI_LOGITS, NULL, "no start token in front"},
    {"no-special", 0, OPTION_FLAG, AT(no_special), CLI_TEXT & ~(unsigned)CLI_GENERATE, NULL,
     "<|endoftext|> and the like are plain text"},
    {"json", 0, OPTION_FLAG, AT(json), CLI_ALL & ~(unsigned)(CLI_LOGITS | CLI_DETOKENIZE | CLI_BENCH), NULL,
     "print the result as JSON"},
    {"quiet", 'q', OPTION_FLAG, AT(quiet), CLI_ALL, NULL, "say less, or more, on standard error"},
    {"verbose", 'v', OPTION_LEVEL, AT(verbose), CLI_ALL, NULL, NULL},
    {"help", 'h', OPTION_FLAG, AT(help), CLI_ALL, NULL, NULL},
    {"variant", 0, OPTION_TEXT, AT(engine.variant), CLI_DEVICE & ~(unsigned)CLI_INFO, "LIST", NULL, .testing = true},
    {"smoke", 0, OPTION_FLAG, AT(smoke), CLI_BENCH, NULL, NULL, .testing = true},
    {"shard-bytes", 0, OPTION_U64, AT(engine.shard_bytes_max), CLI_ENGINE, "N", NULL, .testing = true},
    {"staging", 0, OPTION_FLAG, AT(engine.staging), CLI_ENGINE, NULL, NULL, .testing = true},
    {"submit-budget-ms", 0, OPTION_U32, AT(engine.submit_budget_ms), CLI_ENGINE, "N", NULL, 1, 10000, .testing = true},
    {"retry-ms", 0, OPTION_U32, AT(retry_ms), CLI_PULL, "N", NULL, 1, 100000, .testing = true},
    {"stall-s", 0, OPTION_U32, AT(stall_s), CLI_PULL, "N", NULL, 1, 1000, .testing = true},
    {"chunk", 0, OPTION_U32, AT(chunk), CLI_LOGITS, "N", NULL, ANY_U32, .testing = true},
};
enum { N_OPTION = sizeof option_table / sizeof *option_table };

/* ---- errors ------------------------------------------------------------------------------------------------------ */

GAB_PRINTF(2, 3) static bool usage_error(const cli_command *command, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fputs("gabbro: error: ", stderr);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\n'gabbro %s --help' shows the options.\n", command->name);
    return false;
}

/* Levenshtein distance; words longer than the row are not near to anything. */
static size_t edit_distance(const char *a, const char *b) {
    size_t row[64], n = strlen(b);
    if (n >= sizeof row / sizeof *row) return SIZE_MAX;
    for (size_t j = 0; j <= n; j++) row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[n];
}

const char *cli_nearest(const char *word, const char *const *candidates, size_t n) {
    const char *nearest = NULL;
    size_t least = (strlen(word) + 1) / 2; /* farther than this is another word */
    for (size_t i = 0; i < n; i++) {
        size_t distance = edit_distance(word, candidates[i]);
        if (distance > least || (nearest && distance == least)) continue;
        least = distance;
        nearest = candidates[i];
    }
    return nearest;
}

static bool unknown_option(const cli_command *command, const char *dashes, const char *name) {
    const char *candidates[N_OPTION];
    size_t n = 0;
    for (size_t i = 0; i < N_OPTION; i++)
        if (option_table[i].commands & command->bit) candidates[n++] = option_table[i].name;
    const char *nearest = dashes[1] ? cli_nearest(name, candidates, n) : NULL;
    if (nearest)
        return usage_error(command, "'gabbro %s' has no option %s%s; did you mean --%s?", command->name, dashes, name,
                           nearest);
    return usage_error(command, "'gabbro %s' has no option %s%s", command->name, dashes, name);
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

static bool is_choice(const char *choices, const char *value) {
    size_t n = strcspn(value, "|");
    if (n == 0 || value[n]) return false;
    for (const char *word = choices; word; word = strchr(word, '|')) {
        if (*word == '|') word++;
        if (strncmp(word, value, n) == 0 && (word[n] == '|' || word[n] == 0)) return true;
    }
    return false;
}

/* Whole strings of decimal digits only: no spaces, no '+', no hexadecimal, no infinity. */
static bool parse_u64(const char *text, uint64_t *value) {
    if (!*text || strspn(text, "0123456789") != strlen(text)) return false;
    errno = 0;
    *value = strtoull(text, NULL, 10);
    return errno == 0;
}

static bool parse_integer(const char *text, double min, double max, int64_t *value) {
    bool negative = *text == '-';
    uint64_t magnitude;
    if (!parse_u64(text + negative, &magnitude) || magnitude > INT64_MAX) return false;
    *value = negative ? -(int64_t)magnitude : (int64_t)magnitude;
    return (double)*value >= min && (double)*value <= max;
}

static bool parse_float(const char *text, double min, double max, float *value) {
    if (!*text || strspn(text, "0123456789.eE+-") != strlen(text)) return false;
    char *end;
    double parsed = strtod(text, &end);
    *value = (float)parsed;
    return *end == 0 && isfinite(parsed) && parsed >= min && parsed <= max;
}

static bool append(const cli_command *command, const char *shown, const char *text, cli_list *list) {
    if (!*text) return usage_error(command, "%s: the text is empty", shown);
    if (list->n == CLI_LIST_MAX) return usage_error(command, "%s: given more than %d times", shown, CLI_LIST_MAX);
    list->items[list->n++] = text;
    return true;
}

/* Stores a value; text is NULL for options that take none. `shown` is the option as the user wrote it. */
static bool store(const cli_command *command, const option_spec *option, const char *shown, const char *text,
                  cli_options *options) {
    void *place = (char *)options + option->offset;
    int64_t integer;
    switch (option->type) {
    case OPTION_FLAG: *(bool *)place = true; return true;
    case OPTION_LEVEL: ++*(uint32_t *)place; return true;
    case OPTION_TEXT: *(const char **)place = text; return true;
    case OPTION_LIST: return append(command, shown, text, place);
    case OPTION_CHOICE:
        *(const char **)place = text;
        if (is_choice(option->argument, text)) return true;
        return usage_error(command, "%s: '%s' is not one of %s", shown, text, option->argument);
    case OPTION_U64:
        if (parse_u64(text, place)) return true;
        return usage_error(command, "%s: '%s' is not a whole number from 0 to %" PRIu64, shown, text, UINT64_MAX);
    case OPTION_INT:
    case OPTION_U32:
        if (!parse_integer(text, option->min, option->max, &integer))
            return usage_error(command, "%s: '%s' is not a whole number from %.0f to %.0f", shown, text, option->min,
                               option->max);
        if (option->type == OPTION_INT)
            *(int64_t *)place = integer;
        else
            *(uint32_t *)place = (uint32_t)integer;
        return true;
    case OPTION_FLOAT:
        if (parse_float(text, option->min, option->max, place)) return true;
        return usage_error(command, "%s: '%s' is not a number from %g to %g", shown, text, option->min, option->max);
    }
    return false;
}

/* ---- parsing ----------------------------------------------------------------------------------------------------- */

typedef struct parser {
    const cli_command *command;
    int argc, next; /* next: index of the argument to read */
    char **argv;
    cli_options *options;
} parser;

static const option_spec *find_option(const cli_command *command, const char *name, size_t n, char letter) {
    for (size_t i = 0; i < N_OPTION; i++) {
        const option_spec *o = &option_table[i];
        if (!(o->commands & command->bit)) continue;
        if (letter ? o->letter == letter : strlen(o->name) == n && memcmp(o->name, name, n) == 0) return o;
    }
    return NULL;
}

static bool takes_value(const option_spec *option) {
    return option->type != OPTION_FLAG && option->type != OPTION_LEVEL;
}

/* attached: the value behind '=' or directly behind the letter, NULL when there is none. */
static bool take_value(parser *p, const option_spec *option, const char *shown, const char *attached) {
    if (!attached) {
        if (p->next >= p->argc) return usage_error(p->command, "%s needs a value: %s", shown, option->argument);
        attached = p->argv[p->next++];
    }
    return store(p->command, option, shown, attached, p->options);
}

static bool parse_long(parser *p, const char *argument) {
    const char *name = argument + 2, *equals = strchr(name, '=');
    size_t n = equals ? (size_t)(equals - name) : strlen(name);
    char shown[64];
    snprintf(shown, sizeof shown, "--%.*s", (int)n, name);
    const option_spec *option = find_option(p->command, name, n, 0);
    if (!option) return unknown_option(p->command, "--", shown + 2);
    if (takes_value(option)) return take_value(p, option, shown, equals ? equals + 1 : NULL);
    if (equals) return usage_error(p->command, "%s takes no value", shown);
    return store(p->command, option, shown, NULL, p->options);
}

/* "-n5", "-n 5", and flags in a row: "-qv". */
static bool parse_short(parser *p, const char *argument) {
    for (const char *letter = argument + 1; *letter; letter++) {
        const char shown[3] = {'-', *letter, 0};
        const option_spec *option = find_option(p->command, NULL, 0, *letter);
        if (!option) return unknown_option(p->command, "-", shown + 1);
        if (takes_value(option)) return take_value(p, option, shown, letter[1] ? letter + 1 : NULL);
        if (!store(p->command, option, shown, NULL, p->options)) return false;
    }
    return true;
}

static bool parse_plain(parser *p, const char *argument) {
    const char *name = p->command->argument;
    const option_spec *option = name ? find_option(p->command, name, strlen(name), 0) : NULL;
    if (!option) return usage_error(p->command, "'gabbro %s' takes no argument '%s'", p->command->name, argument);
    if (option->type == OPTION_LIST) return store(p->command, option, name, argument, p->options);
    const char **place = (const char **)((char *)p->options + option->offset);
    if (*place) return usage_error(p->command, "argument '%s' is one too many: quote a text that has spaces", argument);
    *place = argument;
    return true;
}

/* What no single option can tell. */
static bool check(const cli_command *command, const cli_options *options) {
    int n_source = !!options->prompt + !!options->file + !!options->tokens;
    if (n_source > 1) return usage_error(command, "give one of --prompt, --file and --tokens, not several");
    if (command->bit == CLI_LOGITS && !options->output)
        return usage_error(command, "give -o FILE: where to write the logits (-o -: standard output)");
    if (command->bit == CLI_PULL && !options->repo)
        return usage_error(command, "name a repository: gabbro pull ORG/NAME");
    if (options->quick && options->full) return usage_error(command, "give one of --quick and --full, not both");
    if (!!options->devices + options->all_devices + (command->bit == CLI_BENCH && options->engine.device) > 1)
        return usage_error(command, "give one of --device, --devices and --all-devices, not several");
    if (options->arguments.n > 0 && strcmp(options->arguments.items[0], "compare") != 0)
        return usage_error(command, "'gabbro bench' takes no argument '%s'; files come behind 'compare'",
                           options->arguments.items[0]);
    if (options->arguments.n == 1)
        return usage_error(command, "compare needs files: gabbro bench compare A.json B.json");
    if (options->output && strcmp(options->output, "-") == 0 && isatty(STDOUT_FILENO))
        return usage_error(command, "logits are not for a terminal: give -o FILE, or redirect standard output");
    bool needs_source = command->bit & (CLI_TEXT | CLI_DETOKENIZE);
    if (command->bit == CLI_CHAT) needs_source = false;
    if (command->bit == CLI_RUN && !options->engine.model_path) needs_source = false; /* it has an opening of its own */
    if (needs_source && n_source == 0 && isatty(STDIN_FILENO)) {
        if (command->bit == CLI_DETOKENIZE)
            return usage_error(command, "no tokens: give --tokens 1,2,3 or pipe them in");
        return usage_error(command, "no text: give -p TEXT, -f FILE, or pipe it in");
    }
    return true;
}

/* Short enough to type again. */
static uint32_t random_seed(void) {
    uint32_t seed = 0;
    FILE *f = fopen("/dev/urandom", "rb");
    if (!f || fread(&seed, sizeof seed, 1, f) != 1) seed = (uint32_t)gab_time_ns();
    if (f) fclose(f);
    return seed;
}

bool cli_options_parse(const cli_command *command, int argc, char **argv, cli_options *options) {
    *options = (cli_options){.engine = gab_engine_options_default(),
                             .session = gab_session_options_default(),
                             .n_predict = command->bit == CLI_CHAT ? -1 : 256};
    if (command->bit & CLI_GENERATE) /* -1: not asked for (cli_sampling) */
        options->session.sampling = (gab_sampling){-1, UINT32_MAX, -1, -1, -1, random_seed()};
    options->engine.n_session = 1;
    parser p = {.command = command, .argc = argc, .argv = argv, .options = options};
    bool only_plain = false;
    while (p.next < argc && !options->help) {
        const char *argument = argv[p.next++];
        bool ok = true;
        if (only_plain || argument[0] != '-' || argument[1] == 0)
            ok = parse_plain(&p, argument);
        else if (strcmp(argument, "--") == 0)
            only_plain = true;
        else
            ok = argument[1] == '-' ? parse_long(&p, argument) : parse_short(&p, argument);
        if (!ok) return false;
    }
    if (options->help) return true;
    if (options->kv) options->engine.kv = strcmp(options->kv, "f32") == 0 ? GAB_KV_F32 : GAB_KV_F16;
    if (options->precision)
        options->engine.precision = strcmp(options->precision, "exact") == 0 ? GAB_PRECISION_EXACT : GAB_PRECISION_FAST;
    if (options->no_tune) options->engine.tune = false;
    return check(command, options);
}

/* ---- help -------------------------------------------------------------------------------------------------------- */

static int print_label(const option_spec *option) {
    int n = option->letter ? printf("-%c, --%s", option->letter, option->name) : printf("--%s", option->name);
    return option->argument ? n + printf(" %s", option->argument) : n;
}

static void print_usage(const cli_command *command) {
    const char *name = command->argument;
    const option_spec *plain = name ? find_option(command, name, strlen(name), 0) : NULL;
    printf("Usage: gabbro %s [options]", command->name);
    if (plain) printf(" [%s]", plain->argument);
    printf("\n%s\n\n", command->summary);
}

/* The last lines: names only, broken where the screen ends. */
static void print_testing_options(const cli_command *command) {
    const int screen_width = 80;
    int column = 0;
    for (size_t i = 0; i < N_OPTION; i++) {
        const option_spec *option = &option_table[i];
        if (!(option->commands & command->bit) || !option->testing) continue;
        int n = (int)strlen(option->name) + (option->argument ? (int)strlen(option->argument) + 1 : 0) + 4;
        if (column == 0)
            column = printf("Tests: ");
        else if (column + n + 1 > screen_width) /* 1: the comma that may follow */
            column = printf(",\n       ") - 2;
        else
            column += printf(", ");
        column += print_label(option);
    }
    if (column) putchar('\n');
}

void cli_options_help(const cli_command *command) {
    const int help_column = 30;
    print_usage(command);
    for (size_t i = 0; i < N_OPTION; i++) {
        const option_spec *option = &option_table[i];
        if (!(option->commands & command->bit) || option->testing || !option->help) continue;
        int n = printf("  ") + print_label(option);
        if (i + 1 < N_OPTION && !option[1].help && !option[1].testing) n += printf(", ") + print_label(&option[1]);
        printf("%*s%s\n", n < help_column ? help_column - n : 2, "", option->help);
    }
    if (command->notes) printf("\n%s", command->notes);
    print_testing_options(command);
}
