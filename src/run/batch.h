/*
 * batch.h - which rows of which sessions go into a step, and the mailbox they are written into.
 *
 * A step holds rows of any running sessions: one row of each that is being continued, and pieces of the prompts of
 * others. It may be formed while the step before is still running, from what that one will have done: where it draws a
 * session's next token, the row's token is GAB_TOKEN_SAMPLED, and the device finds it by itself.
 */
#ifndef GAB_RUN_BATCH_H
#define GAB_RUN_BATCH_H

#include "run/engine.h"

/* A session's part of a step. */
typedef struct gab_batch_part {
    gab_session *session;
    uint32_t turn;         /* the session's; when that has gone on, the part is dropped */
    uint32_t first, n_row; /* its positions */
    bool draws;            /* ends with its last token: a token is drawn */
    uint32_t out;          /* its output row */
} gab_batch_part;

typedef struct gab_batch {
    gab_batch_part parts[GAB_SLOT_MAX];
    uint32_t n_part, n_row, n_out, depth;
    bool logits; /* one part, whose rows' logits go to the host */
    gab_plan *plan;
    uint64_t value; /* of the timeline when it is done, once submitted */
} gab_batch;

/* The next step while none is queued or running, under the lock. after_logits: the last one was of logits, and gives
 * way to sessions that wait for tokens. No parts: nothing is to be done. Fails only when the device is lost; what is
 * wrong with a session alone ends its turn. */
gab_status gab_batch_form(gab_engine *engine, bool after_logits, gab_batch *batch);

/* The step behind the one that is running, under the lock: the next token of sessions that will still be going on.
 * False when there is no such step, or it should wait because the one after this can do more: take up a prompt,
 * answer logits, get a page or a plan that does not exist yet. */
bool gab_batch_form_ahead(gab_engine *engine, gab_batch *batch);

/* Writes the batch into the mailbox of a parity. Without the lock: no one else changes what it reads. */
void gab_batch_fill(gab_engine *engine, const gab_batch *batch, uint32_t parity);

#endif
