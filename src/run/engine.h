/*
 * engine.h - what an engine and its sessions are made of. Shared by engine.c (making and unmaking), scheduler.c (the
 * thread that runs steps), batch.c (what goes into one) and session.c (the calls of users).
 *
 * One lock guards everything below but what is marked as the scheduler's own, which only its thread touches once the
 * engine is made. The scheduler gives the lock up while the device works.
 */
#ifndef GAB_RUN_ENGINE_H
#define GAB_RUN_ENGINE_H

#include "base/threads.h"
#include "model/model.h"
#include "plan/autotune.h"
#include "text/tokenizer.h"

enum { GAB_CONTEXT_MAX = 1 << 20 }; /* positions of a session, whatever the model would do */

typedef enum gab_session_state {
    GAB_SESSION_IDLE,
    GAB_SESSION_RUNNING, /* has tokens to compute */
} gab_session_state;

struct gab_session {
    gab_engine *engine;
    gab_session *next; /* of the engine's list */
    gab_session_options options;
    uint32_t slot; /* its page table and sampled token */
    gab_session_state state;
    bool cancelled;
    uint32_t turn;   /* goes up when one ends: what steps then hold of the old one is dropped */
    uint32_t n_step; /* steps, queued or running, that hold rows of it, dropped or not: it must not lose pages */
    uint32_t n_ahead, n_draw; /* of the turn, in these steps: tokens being computed, tokens being drawn */
    gab_cond changed;

    int32_t *tokens; /* [n_token] the history; capacity: the engine's context */
    uint32_t n_token;
    uint32_t n_computed; /* tokens whose keys and values are in the cache */
    uint32_t *pages;     /* [n_page] */
    uint32_t n_page;

    uint64_t n_predict; /* tokens still wanted */
    gab_event *events;  /* ring of those not yet taken */
    uint32_t n_event, first_event, event_capacity;
    gab_status status; /* what ended the last turn, if it failed */
    char message[GAB_MESSAGE_MAX];

    float *logits;         /* where a logits call wants them, else NULL */
    uint32_t logits_first; /* position of its first token */
    uint32_t logits_chunk; /* rows a step may hold; 0: any */

    gab_session_stats stats;
    uint64_t started_ns, first_token_ns;
};

struct gab_engine {
    gab_engine_options options;                 /* context as settled, no pointers but the log's once made */
    char *model_path, *device_choice, *variant; /* copies */
    gab_log log;
    gab_gguf *gguf;
    gab_tokenizer *tokenizer; /* NULL: token ids only */
    const int32_t *ends;      /* [n_end] tokens that end a text beside those that the tokenizer knows; the gguf's */
    uint64_t n_end;
    gab_engine_info info;

    /* the device and all on it: the scheduler's own, made again when the device is lost */
    gab_vk *vk;
    gab_model *model;
    gab_kv_cache kv;
    gab_plans plans;
    double submit_budget_ms;
    gab_kernel_set set; /* chosen once: a device opened again computes the same */
    bool set_chosen;
    bool narrow;     /* some of them have products narrower than f32 */
    uint32_t n_lost; /* losses of the device since a session had last computed all its tokens */

    gab_mutex lock;
    gab_cond wake; /* the scheduler: there is work */
    gab_thread thread;
    bool thread_started, quit;
    gab_session *sessions;
    uint32_t n_session, slots_used; /* bits */
};

gab_status gab_engine_options_check(const gab_engine_options *options, const gab_log *log);

/* Opens what a path names, its weights in the type that is asked for (NULL: as they are). */
gab_status gab_engine_open_file(const char *path, const char *quantize, const gab_log *log, gab_gguf **gguf);

/* The engine of the options, its model file open, no device yet. */
gab_status gab_engine_make(const gab_engine_options *options, gab_engine **engine);

/* True when a model ends its answer with this token. */
bool gab_engine_is_end(const gab_engine *engine, int32_t token);

/* Opens the device, and the model without its weights. */
gab_status gab_engine_open_model(gab_engine *engine);

/* The positions that were asked for, 0: the model's own within reason; ARGUMENT when the model has not so many. */
gab_status gab_context_wanted(uint32_t asked, const gab_model_config *config, const char *path, const gab_log *log,
                              uint32_t *context);

/* Settles engine->info.context by the memory of the device, or fails saying what would fit. */
gab_status gab_engine_choose_context(gab_engine *engine);

/* Settles engine->set, once, for that context: by name, by the tuning cache, by tuning, or by rule. again: tune what
 * the cache knows, too, and take the time it needs. report: what was seen of each candidate, to be freed; may be NULL.
 */
gab_status gab_engine_choose_kernels(gab_engine *engine, bool again, gab_tune_report *report);

/* Fills in what engine->info says of device, model and kernels. */
void gab_engine_describe(gab_engine *engine);

/* Opens the device and puts the model on it; closes it again. engine->vk is NULL before and after. The first time, a
 * device that is lost to a kernel being tried is opened again, without that kernel. */
gab_status gab_engine_open_first(gab_engine *engine);
gab_status gab_engine_open_device(gab_engine *engine);
void gab_engine_close_device(gab_engine *engine);

/* The scheduler's thread. */
void *gab_scheduler_run(void *engine);

/* ---- under the lock ---- */

/* Gives all pages of a session from its n-th on back. By the scheduler, or while no step holds rows of it. */
void gab_session_release_pages(gab_session *session, uint32_t n_keep);

/* Adds an event, dropped when memory is out (the turn then fails). */
void gab_session_push(gab_session *session, gab_event event);

/* Ends the turn: as asked for, or with a failure. What steps still hold of it is dropped when they are done. */
void gab_session_stop(gab_session *session);
void gab_session_end(gab_session *session, gab_stop stop, int32_t token);
void gab_session_fail(gab_session *session, gab_status status, const char *message);

#endif
