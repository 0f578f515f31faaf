/*
 * pull.c - `gabbro pull`: which files of a repository make a model, and into the cache with them. The snapshot's ref is
 * written last, so that -m REPO goes on finding the old files until the new ones are whole.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/hub_pick.h"
#include "base/time.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/pull_fetch.h"

typedef struct pull {
    const cli_options *options;
    cli_console *console;
    pull_http http;
    gab_hub_name name;
    pull_list list;
    gab_hub_pick pick; /* files stand in the order of list.files */
    uint32_t choice;   /* what is taken: one of pick.choices, or GAB_HUB_NO_CHOICE: the file of index alone */
    size_t index;
    pull_fetch fetch;
    pull_file *files; /* those taken, small ones in front */
    size_t n_file;
} pull;

static gab_status out_of_memory(const pull *p) {
    return gab_fail(&p->console->log, GAB_ERROR_HOST_MEMORY, "out of host memory");
}

/* ---- what there is ----------------------------------------------------------------------------------------------- */

static gab_status take_name(pull *p) {
    const cli_options *options = p->options;
    if (!gab_hub_name_parse(options->repo, &p->name))
        return gab_fail(&p->console->log, GAB_ERROR_ARGUMENT,
                        "'%s' does not name a repository: ORG/NAME, ORG/NAME:FILE or ORG/NAME:TYPE", options->repo);
    if (!options->revision) return GAB_OK;
    if (strchr(options->repo, '@') || !gab_hub_revision_is_safe(options->revision))
        return gab_fail(&p->console->log, GAB_ERROR_ARGUMENT,
                        strchr(options->repo, '@') ? "'%s' names a revision already: leave --revision %s out"
                                                   : "%s: '%s' is not a revision: a branch, a tag or a commit",
                        options->repo, options->revision);
    snprintf(p->name.revision, sizeof p->name.revision, "%s", options->revision);
    return GAB_OK;
}

/* A revision that is not there: those that are. */
static gab_status no_revision(pull *p) {
    char url[PULL_URL_MAX], names[400] = "", *text = NULL;
    pull_answer answer;
    size_t n = 0;
    snprintf(url, sizeof url, "%s/api/models/%s/refs", p->http.endpoint, p->name.repo);
    GAB_TRY(pull_http_text(&p->http, url, p->name.repo, &answer, &text, &n));
    if (text) pull_refs_parse(text, n, names, sizeof names);
    free(text);
    return gab_fail(&p->console->log, GAB_ERROR_FILE, "%s has no revision '%s'%s%s", p->name.repo, p->name.revision,
                    names[0] ? "; it has " : "", names);
}

static gab_status fetch_list(pull *p) {
    char url[PULL_URL_MAX], page[PULL_URL_MAX], *text = NULL;
    pull_answer answer;
    size_t n = 0;
    snprintf(url, sizeof url, "%s/api/models/%s/revision/", p->http.endpoint, p->name.repo);
    snprintf(page, sizeof page, "%s/%s", p->http.endpoint, p->name.repo);
    if (!pull_url_add(url, p->name.revision, false) || strlen(url) + sizeof "?blobs=true" > sizeof url)
        return gab_fail(&p->console->log, GAB_ERROR_LIMIT, "the address of %s is too long", p->name.repo);
    memcpy(url + strlen(url), "?blobs=true", sizeof "?blobs=true");
    GAB_TRY(pull_http_text(&p->http, url, p->name.repo, &answer, &text, &n));
    if (!text && strcmp(answer.reply.code, "RevisionNotFound") == 0) return no_revision(p);
    if (!text) return pull_http_refused(&p->http, &answer, p->name.repo, page);
    gab_status status = pull_list_parse(text, n, url, &p->console->log, &p->list);
    free(text);
    if (status == GAB_OK && p->list.n_unsafe > 0)
        gab_log_print(&p->console->log, GAB_LOG_WARNING, "%s: %zu files left out, their names are not safe as paths",
                      p->name.repo, p->list.n_unsafe);
    return status;
}

static gab_status find_choices(pull *p) {
    size_t n = p->list.n_file;
    p->pick.files = calloc(n + 1, sizeof *p->pick.files);
    p->pick.choices = calloc(n + 1, sizeof *p->pick.choices);
    if (!p->pick.files || !p->pick.choices) return out_of_memory(p);
    p->pick.n_file = n;
    for (size_t i = 0; i < n; i++) p->pick.files[i].path = p->list.files[i].path;
    p->pick.n_choice = gab_hub_choices(p->pick.files, n, p->pick.choices);
    return GAB_OK;
}

/* What to write behind "REPO:" for a choice: its type, where no other has it, else its file. */
static const char *choice_name(const pull *p, size_t c) {
    const gab_hub_choice *choice = &p->pick.choices[c];
    bool alone = choice->type[0] != 0;
    for (size_t k = 0; k < p->pick.n_choice; k++)
        if (k != c && strcmp(p->pick.choices[k].type, choice->type) == 0) alone = false;
    return choice->folder ? "safetensors" : alone ? choice->type : p->pick.files[choice->first].path;
}

/* The names of the choices, else those of the files, as many as go into a message. */
static void name_all(const pull *p, char *text, size_t size) {
    size_t n = p->pick.n_choice ? p->pick.n_choice : p->pick.n_file, used = 0, i = 0;
    text[0] = 0;
    for (; i < n; i++) {
        const char *name = p->pick.n_choice ? choice_name(p, i) : p->pick.files[i].path;
        if (used + strlen(name) + 32 > size) break;
        used += (size_t)snprintf(text + used, size - used, "%s%s", i ? ", " : "", name);
    }
    if (i < n) snprintf(text + used, size - used, "%sand %zu more", i ? ", " : "", n - i);
}

static gab_status pick_files(pull *p) {
    static const char *const problems[] = {
        [GAB_HUB_NOTHING] = "has no such file or type",
        [GAB_HUB_SEVERAL] = "has several that this may mean: name one by its file",
        [GAB_HUB_INCOMPLETE] = "lacks parts of it",
    };
    char all[640];
    const char *what = p->name.what;
    gab_hub_pick_result result = gab_hub_pick_files(&p->pick, what, &p->index, &p->choice);
    if (result == GAB_HUB_PICKED) return GAB_OK;
    name_all(p, all, sizeof all);
    if (p->pick.n_choice == 0 && !what[0])
        return gab_fail(&p->console->log, GAB_ERROR_FILE,
                        "%s has no model that Gabbro knows: neither GGUF files nor config.json with *.safetensors. Its "
                        "files: %s",
                        p->name.repo, all);
    return gab_fail(&p->console->log, GAB_ERROR_FILE, "%s%s%s: the repository %s. There is: %s", p->name.repo,
                    what[0] ? ":" : "", what, problems[result], all);
}

/* ---- --list ------------------------------------------------------------------------------------------------------ */

static uint64_t choice_bytes(const pull *p, size_t c) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < p->pick.n_file; i++)
        if (p->pick.files[i].choice == c && p->list.files[i].size != PULL_UNKNOWN) bytes += p->list.files[i].size;
    return bytes;
}

static cJSON *repo_json(const pull *p) {
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "repo", p->name.repo);
    cJSON_AddStringToObject(object, "revision", p->name.revision);
    cJSON_AddStringToObject(object, "commit", p->list.commit);
    return object;
}

static gab_status list_json(const pull *p, cli_output *output, uint32_t picked) {
    cJSON *object = repo_json(p), *array = cJSON_AddArrayToObject(object, "choices");
    for (size_t c = 0; c < p->pick.n_choice; c++) {
        const gab_hub_choice *choice = &p->pick.choices[c];
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "name", choice_name(p, c));
        cJSON_AddStringToObject(item, "file", p->pick.files[choice->first].path);
        cJSON_AddNumberToObject(item, "files", (double)choice->n_file);
        cJSON_AddNumberToObject(item, "bytes", (double)choice_bytes(p, c));
        cJSON_AddBoolToObject(item, "complete", choice->n_shard == choice->n_shard_all);
        cJSON_AddBoolToObject(item, "picked", c == picked);
        cJSON_AddItemToArray(array, item);
    }
    return cli_output_json(output, object);
}

static gab_status list_table(const pull *p, cli_output *output, uint32_t picked) {
    char size[PULL_SIZE_TEXT];
    for (size_t c = 0; c < p->pick.n_choice; c++) {
        const gab_hub_choice *choice = &p->pick.choices[c];
        const char *type = choice->folder ? "safetensors" : choice->type[0] ? choice->type : "-";
        GAB_TRY(cli_output_print(output, "%c %-12s %9s  %s", c == picked ? '*' : ' ', type,
                                 pull_size_text(choice_bytes(p, c), size), p->pick.files[choice->first].path));
        if (choice->n_file > 1) GAB_TRY(cli_output_print(output, " (%zu files)", choice->n_file));
        GAB_TRY(cli_output_print(output, choice->n_shard == choice->n_shard_all ? "\n" : " incomplete\n"));
    }
    return GAB_OK;
}

static gab_status print_list(pull *p) {
    cli_output output = {0};
    char all[640];
    size_t index;
    uint32_t picked;
    if (p->pick.n_choice == 0) {
        name_all(p, all, sizeof all);
        cli_console_say(p->console, "%s has no model that Gabbro knows; its files: %s", p->name.repo, all);
    }
    if (gab_hub_pick_files(&p->pick, p->name.what, &index, &picked) != GAB_HUB_PICKED) picked = GAB_HUB_NO_CHOICE;
    gab_status status = cli_output_open(&output, "-", &p->console->log);
    if (status == GAB_OK) status = p->options->json ? list_json(p, &output, picked) : list_table(p, &output, picked);
    status = cli_output_close(&output, status);
    if (status == GAB_OK && picked != GAB_HUB_NO_CHOICE && !p->options->json)
        cli_console_say(p->console, "* is what 'gabbro pull %s' takes", p->options->repo);
    return status;
}

/* ---- downloading ------------------------------------------------------------------------------------------------- */

static bool is_weights(const char *path) {
    const char *dot = strrchr(path, '.');
    return dot && (strcmp(dot, ".gguf") == 0 || strcmp(dot, ".safetensors") == 0);
}

static gab_status collect(pull *p) {
    p->files = calloc(p->pick.n_file + 1, sizeof *p->files);
    if (!p->files) return out_of_memory(p);
    for (int weights = 0; weights < 2; weights++)
        for (size_t i = 0; i < p->pick.n_file; i++)
            if (p->pick.files[i].taken && is_weights(p->pick.files[i].path) == weights)
                p->files[p->n_file++] = (pull_file){.listed = p->list.files[i]};
    p->fetch.http = &p->http;
    p->fetch.repo = p->name.repo;
    p->fetch.commit = p->list.commit;
    p->fetch.meter.progress = &p->console->progress;
    if (gab_hub_repo_folder(p->name.repo, p->fetch.folder)) return GAB_OK;
    return gab_fail(&p->console->log, GAB_ERROR_FILE, "there is no cache folder: set HF_HUB_CACHE or HOME");
}

/* Sums up what is to come, as far as the list tells. */
static uint64_t count_bytes(pull *p) {
    uint64_t need = 0;
    p->fetch.meter.total = 0;
    for (size_t i = 0; i < p->n_file; i++) {
        pull_file *file = &p->files[i];
        if (pull_is_cached(&p->fetch, &file->listed)) file->state = PULL_CACHED;
        if (file->listed.size == PULL_UNKNOWN) continue;
        p->fetch.meter.total += file->listed.size;
        if (file->state == PULL_WANTED) need += file->listed.size - pull_bytes_there(&p->fetch, &file->listed);
    }
    return need;
}

static gab_status fetch_one(pull *p, size_t i) {
    pull_file *file = &p->files[i];
    pull_meter *meter = &p->fetch.meter;
    char size[PULL_SIZE_TEXT];
    if (p->n_file > 1)
        snprintf(meter->stage, sizeof meter->stage, "%zu of %zu", i + 1, p->n_file);
    else
        snprintf(meter->stage, sizeof meter->stage, "downloading");
    GAB_TRY(pull_fetch_file(&p->fetch, file));
    cli_console_say(p->console, "%-10s %9s  %s", pull_state_text(file->state), pull_size_text(file->listed.size, size),
                    file->listed.path);
    return GAB_OK;
}

static gab_status fetch_all(pull *p) {
    cli_interrupt interrupt;
    gab_status status = GAB_OK;
    GAB_TRY(pull_check_space(&p->fetch, count_bytes(p), p->options->repo));
    cli_interrupt_start(&interrupt, NULL);
    for (size_t i = 0; status == GAB_OK && i < p->n_file; i++) status = fetch_one(p, i);
    cli_interrupt_stop(&interrupt);
    if (status != GAB_OK || gab_hub_ref_write(p->fetch.folder, p->name.revision, p->list.commit)) return status;
    return gab_fail(&p->console->log, GAB_ERROR_FILE, "cannot write %s/refs/%s: %s", p->fetch.folder, p->name.revision,
                    strerror(errno));
}

/* ---- results ----------------------------------------------------------------------------------------------------- */

/* What -m would take: the file, or the folder of the snapshot. */
static gab_status model_path(const pull *p, char path[GAB_HUB_PATH_MAX]) {
    bool folder = p->choice != GAB_HUB_NO_CHOICE && p->pick.choices[p->choice].folder;
    if (gab_hub_path(path, "%s/snapshots/%s%s%s", p->fetch.folder, p->list.commit, folder ? "" : "/",
                     folder ? "" : p->pick.files[p->index].path))
        return GAB_OK;
    return gab_fail(&p->console->log, GAB_ERROR_LIMIT,
                    "the cache's path is too long: set HF_HUB_CACHE to a shorter one");
}

static gab_status result_json(const pull *p, cli_output *output, const char *path, double seconds) {
    cJSON *object = repo_json(p);
    cJSON_AddStringToObject(object, "path", path);
    cJSON *array = cJSON_AddArrayToObject(object, "files");
    for (size_t i = 0; i < p->n_file; i++) {
        const pull_file *file = &p->files[i];
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "file", file->listed.path);
        if (file->listed.size != PULL_UNKNOWN) cJSON_AddNumberToObject(item, "bytes", (double)file->listed.size);
        cJSON_AddStringToObject(item, "hash", file->listed.hash);
        cJSON_AddStringToObject(item, "state", pull_state_text(file->state));
        cJSON_AddNumberToObject(item, "received", (double)file->received);
        cJSON_AddItemToArray(array, item);
    }
    cli_json_number(object, "seconds", seconds);
    return cli_output_json(output, object);
}

static gab_status print_dry_run(const pull *p, cli_output *output, uint64_t need) {
    char size[PULL_SIZE_TEXT];
    for (size_t i = 0; i < p->n_file; i++) {
        const pull_listed *listed = &p->files[i].listed;
        GAB_TRY(cli_output_print(output, "%-7s %9s  %s\n", pull_state_text(p->files[i].state),
                                 listed->size == PULL_UNKNOWN ? "?" : pull_size_text(listed->size, size),
                                 listed->path));
    }
    cli_console_say(p->console, "%s to download to %s", pull_size_text(need, size), p->fetch.folder);
    return GAB_OK;
}

static gab_status print_result(const pull *p, uint64_t need, double seconds) {
    char path[GAB_HUB_PATH_MAX];
    cli_output output = {0};
    GAB_TRY(model_path(p, path));
    gab_status status = cli_output_open(&output, "-", &p->console->log);
    if (status == GAB_OK && p->options->json)
        status = result_json(p, &output, path, seconds);
    else if (status == GAB_OK && p->options->dry_run)
        status = print_dry_run(p, &output, need);
    else if (status == GAB_OK)
        status = cli_output_print(&output, "%s\n", path);
    return cli_output_close(&output, status);
}

/* HF_HUB_OFFLINE: the same words as elsewhere that mean yes. */
static bool is_offline(void) {
    static const char *const yes[] = {"1", "on", "yes", "true"};
    const char *value = getenv("HF_HUB_OFFLINE");
    for (size_t i = 0; value && i < sizeof yes / sizeof *yes; i++)
        if (strcasecmp(value, yes[i]) == 0) return true;
    return false;
}

static gab_status run(pull *p) {
    uint64_t start_ns = gab_time_ns(), need = 0;
    if (is_offline())
        return gab_fail(&p->console->log, GAB_ERROR_ARGUMENT,
                        "HF_HUB_OFFLINE forbids to download: unset it. What is in the cache is found by -m %s",
                        p->options->repo);
    GAB_TRY(take_name(p));
    GAB_TRY(pull_http_open(&p->http, p->options->endpoint, p->console));
    if (p->options->retry_ms) p->http.retry_ms = p->options->retry_ms;
    if (p->options->stall_s) p->http.stall_s = p->options->stall_s;
    GAB_TRY(fetch_list(p));
    GAB_TRY(find_choices(p));
    if (p->options->list) return print_list(p);
    GAB_TRY(pick_files(p));
    GAB_TRY(collect(p));
    if (p->options->dry_run)
        need = count_bytes(p);
    else
        GAB_TRY(fetch_all(p));
    return print_result(p, need, gab_time_ms_since(start_ns) / 1000);
}

gab_status cli_pull(const cli_options *options, cli_console *console) {
    pull p = {.options = options, .console = console};
    gab_status status = run(&p);
    pull_http_close(&p.http);
    pull_list_free(&p.list);
    free(p.pick.files);
    free(p.pick.choices);
    free(p.files);
    return status;
}
