#include "cli/setup.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hub.h"

/* Longest text read, a bound against /dev/zero and the like. */
static const size_t text_bytes_max = (size_t)1 << 30;
/* The embedded model writes children's stories. */
static const char story_opening[] = "Once upon a time";

/* ---- the model file ---------------------------------------------------------------------------------------------- */

/* share/gabbro/tales.gguf beside the folder of the program, for installations that were moved; "" when the system does
 * not say where the program is. */
static void find_beside_program(char *path, size_t size) {
    static const char tail[] = "/share/gabbro/tales.gguf";
    ssize_t n = readlink("/proc/self/exe", path, size - sizeof tail);
    path[n > 0 ? n : 0] = 0;
    for (int up = 0; up < 2; up++) { /* off with /bin/gabbro */
        char *slash = strrchr(path, '/');
        if (slash) *slash = 0;
    }
    if (path[0]) memcpy(path + strlen(path), tail, sizeof tail);
}

static bool has_file_ending(const char *name) {
    static const char *const endings[] = {".gguf", ".safetensors", ".bin", ".json"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t n = strlen(name), n_ending = strlen(endings[i]);
        if (n > n_ending && strcmp(name + n - n_ending, endings[i]) == 0) return true;
    }
    return false;
}

/* A path that is not there may name a repository in the cache: then that is the model. Paths of missing files stay as
 * they are, for the library to say so. */
static gab_status resolve_model(const char **model_path, cli_console *console) {
    static char found[GAB_HUB_PATH_MAX]; /* lives as long as the options that point to it */
    const char *named = *model_path, *colon = strchr(named, ':');
    gab_hub_name name;
    if (strncmp(named, "synth:", 6) == 0 || access(named, F_OK) == 0 || !gab_hub_name_parse(named, &name))
        return GAB_OK;
    gab_hub_found result = gab_hub_resolve(&name, found);
    if (result == GAB_HUB_FOUND) {
        *model_path = found;
        return GAB_OK;
    }
    if (!colon && has_file_ending(named)) return GAB_OK;
    if (result == GAB_HUB_NO_FILE)
        return gab_fail(
            &console->log, GAB_ERROR_FILE,
            "%s is not complete in the cache, or not one model: 'gabbro pull %s' downloads it, 'gabbro pull "
            "--list %s' shows what there is",
            named, named, name.repo);
    return gab_fail(&console->log, GAB_ERROR_FILE,
                    "there is no file %s, and no such repository in the cache: 'gabbro pull %s' downloads it", named,
                    named);
}

gab_status cli_model_find(cli_options *options, cli_console *console) {
    static char beside[4096]; /* lives as long as the options that point to it */
    if (options->engine.model_path) return resolve_model(&options->engine.model_path, console);
    const char *named = getenv("GABBRO_MODEL");
    if (named && named[0]) {
        options->engine.model_path = named;
        GAB_TRY(resolve_model(&options->engine.model_path, console));
        if (access(options->engine.model_path, R_OK) == 0 || strncmp(named, "synth:", 6) == 0) return GAB_OK;
        return gab_fail(&console->log, GAB_ERROR_FILE,
                        "GABBRO_MODEL names %s, which cannot be read: correct or unset it, or use -m FILE", named);
    }
    find_beside_program(beside, sizeof beside);
    const char *const places[] = {beside, GAB_MODEL_SOURCE, GAB_MODEL_INSTALLED};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        if (access(places[i], R_OK) != 0) continue;
        options->engine.model_path = places[i];
        return GAB_OK;
    }
    return gab_fail(&console->log, GAB_ERROR_FILE,
                    "the embedded model is not at %s, %s or %s: name a model with -m FILE or GABBRO_MODEL", places[0],
                    places[1], places[2]);
}

/* ---- text and tokens --------------------------------------------------------------------------------------------- */

static gab_status out_of_memory(cli_console *console) {
    return gab_fail(&console->log, GAB_ERROR_HOST_MEMORY, "out of host memory");
}

gab_status cli_text_read(const cli_options *options, cli_console *console, char **text, size_t *n_byte) {
    const char *given = options->prompt;
    if (!given && !options->file && isatty(STDIN_FILENO)) {
        given = story_opening;
        cli_console_say(console, "no prompt given (-p TEXT): the story begins \"%s\"", given);
    }
    if (!given)
        return gab_file_read_all(options->file ? options->file : "-", text_bytes_max, &console->log, text, n_byte);
    *n_byte = strlen(given);
    *text = malloc(*n_byte + 1);
    if (!*text) return out_of_memory(console);
    memcpy(*text, given, *n_byte + 1);
    return GAB_OK;
}

gab_status cli_tokens_parse(const char *list, uint32_t n_vocab, cli_console *console, int32_t **tokens,
                            size_t *n_token) {
    static const char separators[] = " \t\r\n,[]";
    int32_t *ids = malloc((strlen(list) / 2 + 1) * sizeof *ids); /* an id takes two bytes but for the last */
    size_t n = 0;
    if (!ids) return out_of_memory(console);
    for (const char *at = list + strspn(list, separators); *at; at += strspn(at, separators)) {
        size_t length = strcspn(at, separators);
        bool digits = strspn(at, "0123456789") >= length;
        unsigned long id = digits && length < 11 ? strtoul(at, NULL, 10) : UINT32_MAX;
        if (id >= n_vocab) {
            free(ids);
            return gab_fail(&console->log, GAB_ERROR_ARGUMENT,
                            "token '%.*s' is not an id of this model: its vocabulary is 0 to %u",
                            (int)(length < 40 ? length : 40), at, n_vocab - 1);
        }
        ids[n++] = (int32_t)id;
        at += length;
    }
    *tokens = ids;
    *n_token = n;
    return GAB_OK;
}

gab_status cli_tokenizer_check(cli_console *console, const gab_tokenizer *tokenizer) {
    if (tokenizer) return GAB_OK;
    return gab_fail(
        &console->log, GAB_ERROR_UNSUPPORTED,
        "the model's kind of tokenizer is not supported: it can be given token ids (logits --tokens), not text");
}

gab_status cli_text_encode(const cli_options *options, cli_console *console, const gab_tokenizer *tokenizer,
                           const char *text, size_t n_byte, int32_t **tokens, size_t *n_token) {
    GAB_TRY(cli_tokenizer_check(console, tokenizer));
    GAB_TRY(gab_tokenizer_encode(tokenizer, text, n_byte, !options->no_bos, !options->no_special, tokens, n_token));
    if (*n_token > 0) return GAB_OK;
    gab_tokens_free(tokens);
    int32_t bos = gab_tokenizer_bos(tokenizer);
    if (bos < 0)
        return gab_fail(&console->log, GAB_ERROR_ARGUMENT,
                        "the text is empty and this model has no start token: give a text with -p TEXT");
    *tokens = malloc(sizeof **tokens);
    if (!*tokens) return out_of_memory(console);
    **tokens = bos;
    *n_token = 1;
    return GAB_OK;
}

/* ---- tokenizer and engine ---------------------------------------------------------------------------------------- */

gab_status cli_tokenizer_open(const cli_options *options, cli_console *console, gab_tokenizer **tokenizer) {
    return gab_tokenizer_open(options->engine.model_path, console->log.fn, console->log.user, tokenizer);
}

void cli_engine_console(gab_engine_options *engine_options, cli_console *console) {
    engine_options->log = console->log.fn;
    engine_options->log_user = console->log.user;
    engine_options->progress = gab_progress_report;
    engine_options->progress_user = &console->progress;
}

gab_status cli_engine_open(const cli_options *options, cli_console *console, gab_engine **engine) {
    gab_engine_options engine_options = options->engine;
    cli_engine_console(&engine_options, console);
    GAB_TRY(gab_engine_create(&engine_options, engine));
    gab_engine_info info;
    gab_engine_get_info(*engine, &info);
    if (!info.executes)
        cli_console_say(console, "%s computes nothing (a compile-only driver): the results mean nothing", info.device);
    return GAB_OK;
}

size_t cli_logit_rows(uint32_t n_vocab, uint32_t chunk) {
    const size_t bytes = (size_t)64 << 20;
    size_t rows = bytes / sizeof(float) / n_vocab, multiple = chunk ? chunk : 64;
    if (rows >= multiple) return rows / multiple * multiple;
    return chunk ? chunk : rows ? rows : 1;
}

gab_sampling cli_sampling(const cli_options *options, const gab_engine *engine) {
    const gab_sampling *asked = &options->session.sampling;
    gab_sampling s = gab_session_options_default().sampling;
    gab_engine_recommend_sampling(engine, &s);
    if (asked->temperature >= 0) s.temperature = asked->temperature;
    if (asked->top_k != UINT32_MAX) s.top_k = asked->top_k;
    if (asked->top_p >= 0) s.top_p = asked->top_p;
    if (asked->min_p >= 0) s.min_p = asked->min_p;
    if (asked->repeat_penalty >= 0) s.repeat_penalty = asked->repeat_penalty;
    s.seed = asked->seed;
    return s;
}
