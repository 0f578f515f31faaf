/*
 * pull_http.h - requests to a hub with libcurl: redirects followed one by one so that the user's token stays with the
 * hub, stalls bounded, what is worth another try tried again after growing pauses. Not thread safe.
 */
#ifndef GAB_CLI_PULL_HTTP_H
#define GAB_CLI_PULL_HTTP_H

#include "cli/output.h"
#include "cli/pull_parse.h"

enum { PULL_TOKEN_MAX = 1024, PULL_ENDPOINT_MAX = 1024 };

typedef struct pull_http {
    void *curl;
    cli_console *console;
    char endpoint[PULL_ENDPOINT_MAX]; /* without '/' at its end */
    char token[PULL_TOKEN_MAX];       /* "": none */
    uint32_t retry_ms;                /* the first pause */
    uint32_t stall_s;                 /* how long less than a kilobyte a second is borne */
    bool reached;                     /* the hub has answered once */
} pull_http;

/* endpoint NULL: $HF_ENDPOINT, else huggingface.co. The token is $HF_TOKEN or that of the token file. */
gab_status pull_http_open(pull_http *http, const char *endpoint, cli_console *console);
void pull_http_close(pull_http *http);

/* One request. `begin` is called once for an answer of status 2xx, before its body; `data` for each piece of the body.
 * Both return false after gab_fail, which ends the request; NULL: not called. */
typedef struct pull_request {
    const char *url;
    bool head;            /* only the headers; ends at the answer that has X-Linked-ETag */
    uint64_t from;        /* ask for the bytes from here on; 0: all */
    const char *if_range; /* an entity tag, for answers of the hub itself; "": none */
    bool (*begin)(void *user, const pull_reply *reply);
    bool (*data)(void *user, const void *data, size_t n);
    void *user;
} pull_request;

typedef enum pull_outcome {
    PULL_DONE,    /* an answer of status 2xx came to its end */
    PULL_REFUSED, /* another status, see reply: final */
    PULL_AGAIN,   /* worth another try after a pause: `why` says what happened */
    PULL_FAILED,  /* gab_fail has said why */
} pull_outcome;

typedef struct pull_answer {
    pull_reply reply; /* the last; with commit, linked ETag and size of the ones before where it has none */
    uint32_t wait_s;  /* Retry-After, 0: not told */
    char why[GAB_MESSAGE_MAX / 2];
} pull_answer;

pull_outcome pull_http_once(pull_http *http, const pull_request *request, pull_answer *answer);

enum { PULL_TRY_MAX = 5 }; /* tries in a row that bring nothing */
/* Waits before try number `n_try` (1: the second); fails when that was the last, when Retry-After asks for too much, or
 * at Ctrl-C. what: for the message. */
gab_status pull_http_pause(pull_http *http, uint32_t n_try, const pull_answer *answer, const char *what);

/* pull_http_once until it is done, refused or given up: GAB_OK for the first two. */
gab_status pull_http_request(pull_http *http, const pull_request *request, const char *what, pull_answer *answer);

/* A small answer whole, malloc'ed, with a zero byte behind it; NULL when it was refused. */
gab_status pull_http_text(pull_http *http, const char *url, const char *what, pull_answer *answer, char **text,
                          size_t *n);

/* Fails with what a refusal means for the user. what: a repository, or a file of one; page: where its license is. */
gab_status pull_http_refused(pull_http *http, const pull_answer *answer, const char *what, const char *page);

/* Appends text to a URL, percent-encoded but for '/' where keep_slash; false when it does not fit. */
bool pull_url_add(char url[PULL_URL_MAX], const char *text, bool keep_slash);

#endif
