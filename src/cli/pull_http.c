#include "cli/pull_http.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <curl/curl.h>

#include "base/file.h"
#include "cli/interrupt.h"

enum { HOP_MAX = 10, CONNECT_TIMEOUT_S = 30, STALL_S = 30, STALL_BYTES_S = 1024, RETRY_MS = 1000, PAUSE_MAX_S = 60 };
enum { WAIT_MAX_S = 300, TEXT_BYTES_MAX = 64 << 20 };

static const char default_endpoint[] = "https://huggingface.co";

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static bool is_web_url(const char *url) {
    return strncasecmp(url, "http://", 7) == 0 || strncasecmp(url, "https://", 8) == 0;
}

static gab_status take_endpoint(pull_http *http, const char *endpoint) {
    const gab_log *log = &http->console->log;
    const char *source = "--endpoint";
    if (!endpoint) {
        source = "HF_ENDPOINT";
        endpoint = getenv("HF_ENDPOINT");
    }
    if (!endpoint || !endpoint[0]) endpoint = default_endpoint;
    size_t n = strlen(endpoint);
    while (n > 0 && endpoint[n - 1] == '/') n--;
    if (!is_web_url(endpoint) || n >= sizeof http->endpoint)
        return gab_fail(log, GAB_ERROR_ARGUMENT, "%s: '%.200s' is not an address that begins with https:// or http://",
                        source, endpoint);
    snprintf(http->endpoint, sizeof http->endpoint, "%.*s", (int)n, endpoint);
    return GAB_OK;
}

/* $HF_TOKEN, or what the token file holds, where there is one. */
static gab_status take_token(pull_http *http) {
    char path[GAB_HUB_PATH_MAX];
    const char *source = "HF_TOKEN", *value = getenv(source);
    char *text = NULL;
    size_t n = 0;
    if ((!value || !value[0]) && gab_hub_token_file(path) &&
        gab_file_read_all(path, PULL_TOKEN_MAX, NULL, &text, &n) == GAB_OK) {
        source = path;
        value = text;
    }
    if (!value) value = "";
    while (isspace((unsigned char)*value)) value++;
    n = strlen(value);
    while (n > 0 && isspace((unsigned char)value[n - 1])) n--;
    bool ok = n < sizeof http->token;
    for (size_t i = 0; ok && i < n; i++) ok = isgraph((unsigned char)value[i]);
    if (ok) snprintf(http->token, sizeof http->token, "%.*s", (int)n, value);
    free(text);
    if (ok) return GAB_OK;
    return gab_fail(&http->console->log, GAB_ERROR_ARGUMENT, "%s does not hold a token: letters and digits like hf_...",
                    source);
}

gab_status pull_http_open(pull_http *http, const char *endpoint, cli_console *console) {
    *http = (pull_http){.console = console, .retry_ms = RETRY_MS, .stall_s = STALL_S};
    GAB_TRY(take_endpoint(http, endpoint));
    GAB_TRY(take_token(http));
    if (curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK) http->curl = curl_easy_init();
    return http->curl ? GAB_OK : gab_fail(&console->log, GAB_ERROR_HOST_MEMORY, "libcurl cannot start");
}

void pull_http_close(pull_http *http) {
    if (http->curl) curl_easy_cleanup(http->curl);
    if (http->curl) curl_global_cleanup();
    memset(http, 0, sizeof *http);
}

/* ---- URLs -------------------------------------------------------------------------------------------------------- */

bool pull_url_add(char url[PULL_URL_MAX], const char *text, bool keep_slash) {
    size_t used = strlen(url);
    for (; *text; text++) {
        bool plain = isalnum((unsigned char)*text) || strchr("-._~", *text) || (keep_slash && *text == '/');
        if (used + 4 > PULL_URL_MAX) return false;
        used += (size_t)snprintf(url + used, PULL_URL_MAX - used, plain ? "%c" : "%%%02X", (unsigned char)*text);
    }
    return true;
}

/* One part of a URL, to be freed with curl_free; NULL when it has none. */
static char *url_part(const char *url, CURLUPart part) {
    CURLU *parsed = curl_url();
    char *text = NULL;
    if (parsed && curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK &&
        curl_url_get(parsed, part, &text, CURLU_DEFAULT_PORT) != CURLUE_OK)
        text = NULL;
    curl_url_cleanup(parsed);
    return text;
}

/* Same scheme, host and port: only there goes the token. */
static bool same_origin(const char *a, const char *b) {
    static const CURLUPart parts[] = {CURLUPART_SCHEME, CURLUPART_HOST, CURLUPART_PORT};
    bool same = true;
    for (size_t i = 0; same && i < sizeof parts / sizeof *parts; i++) {
        char *x = url_part(a, parts[i]), *y = url_part(b, parts[i]);
        same = x && y && strcasecmp(x, y) == 0;
        curl_free(x);
        curl_free(y);
    }
    return same;
}

/* Where a redirect leads, relative ones too; false when it is no web address or would leave encryption. */
static bool follow(char url[PULL_URL_MAX], const char *location) {
    CURLU *parsed = curl_url();
    char *text = NULL;
    bool secure = strncasecmp(url, "https://", 8) == 0;
    bool ok = parsed && curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK &&
              curl_url_set(parsed, CURLUPART_URL, location, 0) == CURLUE_OK &&
              curl_url_get(parsed, CURLUPART_URL, &text, 0) == CURLUE_OK && is_web_url(text) &&
              strlen(text) < PULL_URL_MAX && !(secure && strncasecmp(text, "https://", 8) != 0);
    if (ok) memcpy(url, text, strlen(text) + 1);
    curl_free(text);
    curl_url_cleanup(parsed);
    return ok;
}

/* ---- one request ------------------------------------------------------------------------------------------------- */

typedef struct transfer {
    const pull_request *request;
    pull_reply *reply;
    bool begun;
    bool failed; /* a callback has called gab_fail */
} transfer;

static bool is_success(const pull_reply *reply) {
    return reply->status >= 200 && reply->status < 300;
}

static size_t on_header(char *line, size_t size, size_t n, void *user) {
    const transfer *t = user;
    pull_reply_line(t->reply, line, size * n);
    return size * n;
}

static bool begin(transfer *t) {
    if (t->begun || !is_success(t->reply)) return true;
    t->begun = true;
    if (t->request->begin && !t->request->begin(t->request->user, t->reply)) t->failed = true;
    return !t->failed;
}

/* The bodies of redirects and refusals are passed over. */
static size_t on_data(char *data, size_t size, size_t n, void *user) {
    transfer *t = user;
    if (!begin(t)) return 0;
    if (is_success(t->reply) && t->request->data && !t->request->data(t->request->user, data, size * n)) {
        t->failed = true;
        return 0;
    }
    return size * n;
}

static int on_progress(void *user, curl_off_t total, curl_off_t now, curl_off_t up_total, curl_off_t up_now) {
    (void)user, (void)total, (void)now, (void)up_total, (void)up_now;
    return cli_interrupt_seen() ? 1 : 0;
}

static bool add_header(struct curl_slist **headers, const char *name, const char *value) {
    char line[PULL_TOKEN_MAX + 64];
    snprintf(line, sizeof line, "%s%s", name, value);
    struct curl_slist *longer = curl_slist_append(*headers, line);
    if (longer) *headers = longer;
    return longer != NULL;
}

/* Not where others on the way could read it. */
static bool is_private(const char *url) {
    static const char *const hosts[] = {"localhost", "127.0.0.1", "[::1]"};
    char *host = url_part(url, CURLUPART_HOST);
    bool safe = strncasecmp(url, "https://", 8) == 0;
    for (size_t i = 0; host && !safe && i < sizeof hosts / sizeof *hosts; i++) safe = strcasecmp(host, hosts[i]) == 0;
    curl_free(host);
    return safe;
}

/* A plain text on every answer: what is checked are the bytes of the file. */
static struct curl_slist *make_headers(const pull_http *http, const pull_request *request, const char *url) {
    struct curl_slist *headers = NULL;
    bool home = same_origin(url, http->endpoint);
    bool ok = add_header(&headers, "Accept-Encoding: ", "identity");
    if (ok && home && http->token[0] && is_private(url))
        ok = add_header(&headers, "Authorization: Bearer ", http->token);
    if (ok && home && request->from > 0 && request->if_range[0])
        ok = add_header(&headers, "If-Range: ", request->if_range);
    if (ok) return headers;
    curl_slist_free_all(headers);
    return NULL;
}

static void set_up(pull_http *http, transfer *t, const char *url, struct curl_slist *headers) {
    char agent[64], range[32];
    CURL *curl = http->curl;
    snprintf(agent, sizeof agent, "gabbro/%s", gab_version());
    snprintf(range, sizeof range, "%llu-", (unsigned long long)t->request->from);
    curl_easy_reset(curl); /* keeps connections */
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, agent);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_NOBODY, t->request->head ? 1L : 0L);
    if (t->request->from > 0) curl_easy_setopt(curl, CURLOPT_RANGE, range);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIMEOUT_S);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, (long)STALL_BYTES_S);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)http->stall_s);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
}

/* Errors of the connection that another try does not mend; not being reached at all is one, once. */
static bool is_final(const pull_http *http, CURLcode code) {
    switch (code) {
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
    case CURLE_OUT_OF_MEMORY:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_TOO_MANY_REDIRECTS: return true;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT: return !http->reached;
    default: return false;
    }
}

static pull_outcome connection_failed(pull_http *http, const transfer *t, CURLcode code, const char *url,
                                      pull_answer *answer) {
    const gab_log *log = &http->console->log;
    char *host = url_part(url, CURLUPART_HOST);
    const char *name = host ? host : url;
    pull_outcome outcome = PULL_FAILED;
    if (t->failed) {
        outcome = PULL_FAILED;
    } else if (code == CURLE_ABORTED_BY_CALLBACK) {
        gab_fail(log, GAB_ERROR_CANCELLED, "interrupted: the same command goes on from here");
    } else if (is_final(http, code)) {
        gab_fail(log, GAB_ERROR_FILE, "cannot reach %.200s: %s", name, curl_easy_strerror(code));
    } else {
        if (code == CURLE_OPERATION_TIMEDOUT)
            snprintf(answer->why, sizeof answer->why, "%.200s sends nothing any more", name);
        else
            snprintf(answer->why, sizeof answer->why, "the connection to %.200s was cut (%s)", name,
                     curl_easy_strerror(code));
        outcome = PULL_AGAIN;
    }
    curl_free(host);
    return outcome;
}

/* What the answers before the last have told. */
static void inherit(pull_reply *reply, const pull_reply *before) {
    if (!reply->commit[0]) memcpy(reply->commit, before->commit, sizeof reply->commit);
    if (!reply->linked[0]) memcpy(reply->linked, before->linked, sizeof reply->linked);
    if (reply->linked_size == PULL_UNKNOWN) reply->linked_size = before->linked_size;
}

static bool is_redirect(const pull_reply *reply) {
    return reply->location[0] && (reply->status == 301 || reply->status == 302 || reply->status == 303 ||
                                  reply->status == 307 || reply->status == 308);
}

static pull_outcome judge(pull_http *http, const char *url, pull_answer *answer) {
    long status = answer->reply.status;
    curl_off_t wait = 0;
    if (is_success(&answer->reply)) return PULL_DONE;
    if (status != 408 && status != 429 && status < 500) return PULL_REFUSED;
    char *host = url_part(url, CURLUPART_HOST);
    if (curl_easy_getinfo(http->curl, CURLINFO_RETRY_AFTER, &wait) != CURLE_OK || wait < 0) wait = 0;
    answer->wait_s = wait < 86400 ? (uint32_t)wait : 86400;
    snprintf(answer->why, sizeof answer->why, "%.200s answers with status %ld%s", host ? host : url, status,
             status == 429 ? " (too many requests)" : " (it has trouble)");
    curl_free(host);
    return PULL_AGAIN;
}

pull_outcome pull_http_once(pull_http *http, const pull_request *request, pull_answer *answer) {
    const gab_log *log = &http->console->log;
    char url[PULL_URL_MAX];
    memset(answer, 0, sizeof *answer);
    snprintf(url, sizeof url, "%s", request->url);
    for (int hop = 0; hop < HOP_MAX; hop++) {
        pull_reply before = answer->reply;
        transfer t = {.request = request, .reply = &answer->reply};
        struct curl_slist *headers = make_headers(http, request, url);
        if (!headers) {
            gab_fail(log, GAB_ERROR_HOST_MEMORY, "out of host memory");
            return PULL_FAILED;
        }
        set_up(http, &t, url, headers);
        CURLcode code = curl_easy_perform(http->curl);
        curl_slist_free_all(headers);
        if (code == CURLE_OK && !begin(&t)) return PULL_FAILED; /* an answer without a body */
        if (code != CURLE_OK) return connection_failed(http, &t, code, url, answer);
        http->reached = true;
        if (hop > 0) inherit(&answer->reply, &before);
        if (!is_redirect(&answer->reply)) return judge(http, url, answer);
        if (request->head && answer->reply.linked[0]) return PULL_DONE;
        if (!follow(url, answer->reply.location)) {
            gab_fail(log, GAB_ERROR_FORMAT, "%s leads to '%.200s', which is not a safe address", request->url,
                     answer->reply.location);
            return PULL_FAILED;
        }
    }
    gab_fail(log, GAB_ERROR_FORMAT, "%s leads from one address to the next, more than %d times", request->url, HOP_MAX);
    return PULL_FAILED;
}

/* ---- tries ------------------------------------------------------------------------------------------------------- */

/* Sleeps; false when Ctrl-C ended it. */
static bool sleep_ms(uint64_t ms) {
    const struct timespec step = {.tv_nsec = 20000000};
    for (uint64_t slept = 0; slept < ms && !cli_interrupt_seen(); slept += 20) nanosleep(&step, NULL);
    return !cli_interrupt_seen();
}

gab_status pull_http_pause(pull_http *http, uint32_t n_try, const pull_answer *answer, const char *what) {
    const gab_log *log = &http->console->log;
    uint64_t ms = (uint64_t)http->retry_ms << (n_try < 16 ? n_try - 1 : 15);
    if (ms > PAUSE_MAX_S * 1000) ms = PAUSE_MAX_S * 1000;
    if (answer->wait_s > 0) ms = (uint64_t)answer->wait_s * 1000;
    if (answer->wait_s > WAIT_MAX_S)
        return gab_fail(log, GAB_ERROR_LIMIT, "%s: %s and asks for a pause of %u minutes: try again then", what,
                        answer->why, answer->wait_s / 60);
    if (n_try >= PULL_TRY_MAX)
        return gab_fail(log, GAB_ERROR_FILE, "%s: %s, %d times in a row: the same command goes on later", what,
                        answer->why, PULL_TRY_MAX);
    cli_console_say(http->console, "%s: %s; next try in %.1f s", what, answer->why, (double)ms / 1000);
    if (sleep_ms(ms)) return GAB_OK;
    return gab_fail(log, GAB_ERROR_CANCELLED, "interrupted: the same command goes on from here");
}

gab_status pull_http_request(pull_http *http, const pull_request *request, const char *what, pull_answer *answer) {
    for (uint32_t n_try = 1;; n_try++) {
        switch (pull_http_once(http, request, answer)) {
        case PULL_DONE:
        case PULL_REFUSED: return GAB_OK;
        case PULL_FAILED: return GAB_ERROR_FILE;
        case PULL_AGAIN: GAB_TRY(pull_http_pause(http, n_try, answer, what));
        }
    }
}

/* ---- small answers ----------------------------------------------------------------------------------------------- */

typedef struct text_sink {
    char *text;
    size_t n, size;
    const char *url;
    const gab_log *log;
} text_sink;

static bool text_begin(void *user, const pull_reply *reply) {
    text_sink *sink = user;
    (void)reply;
    sink->n = 0; /* of a try before */
    return true;
}

static bool text_data(void *user, const void *data, size_t n) {
    text_sink *sink = user;
    if (n > TEXT_BYTES_MAX - sink->n) {
        gab_fail(sink->log, GAB_ERROR_LIMIT, "%s answers with more than %d MB", sink->url, TEXT_BYTES_MAX >> 20);
        return false;
    }
    if (sink->n + n + 1 > sink->size) {
        size_t size = 2 * (sink->n + n + 1);
        char *larger = realloc(sink->text, size);
        if (!larger) {
            gab_fail(sink->log, GAB_ERROR_HOST_MEMORY, "out of host memory");
            return false;
        }
        sink->text = larger;
        sink->size = size;
    }
    memcpy(sink->text + sink->n, data, n);
    sink->n += n;
    return true;
}

gab_status pull_http_text(pull_http *http, const char *url, const char *what, pull_answer *answer, char **text,
                          size_t *n) {
    text_sink sink = {.url = url, .log = &http->console->log};
    pull_request request = {.url = url, .if_range = "", .begin = text_begin, .data = text_data, .user = &sink};
    gab_status status = pull_http_request(http, &request, what, answer);
    if (status == GAB_OK && is_success(&answer->reply) && !text_data(&sink, "", 0)) status = GAB_ERROR_HOST_MEMORY;
    if (status != GAB_OK || !is_success(&answer->reply)) {
        free(sink.text);
        sink.text = NULL;
    }
    if (sink.text) sink.text[sink.n] = 0;
    *text = sink.text;
    *n = sink.n;
    return status;
}

/* ---- refusals ---------------------------------------------------------------------------------------------------- */

gab_status pull_http_refused(pull_http *http, const pull_answer *answer, const char *what, const char *page) {
    const gab_log *log = &http->console->log;
    const pull_reply *reply = &answer->reply;
    bool gated = strcmp(reply->code, "GatedRepo") == 0, token = http->token[0] != 0;
    if (reply->status == 401 && !gated && token)
        return gab_fail(log, GAB_ERROR_FILE,
                        "%s: the token is not accepted, or there is no such repository (status 401). Set HF_TOKEN to a "
                        "valid one, of %s/settings/tokens",
                        what, http->endpoint);
    if ((reply->status == 401 || reply->status == 403) && !token)
        return gab_fail(log, GAB_ERROR_FILE,
                        "%s: not without a token (status %ld)%s: accept its license at %s, make a token at "
                        "%s/settings/tokens, and set HF_TOKEN to it",
                        what, reply->status,
                        gated ? "" : ". Either there is no such repository, or it is private or licensed", page,
                        http->endpoint);
    if (reply->status == 401 || reply->status == 403)
        return gab_fail(
            log, GAB_ERROR_FILE,
            "%s: your token may not read it (status %ld)%s%s. Accept its license at %s, or set HF_TOKEN to a "
            "token that may",
            what, reply->status, reply->message[0] ? ": " : "", reply->message, page);
    if (reply->status == 404)
        return gab_fail(log, GAB_ERROR_FILE, "%s: there is nothing of that name at %s (status 404): see %s", what,
                        http->endpoint, page);
    return gab_fail(log, GAB_ERROR_FILE, "%s: %s answers with status %ld%s%s", what, http->endpoint, reply->status,
                    reply->message[0] ? ": " : "", reply->message);
}
