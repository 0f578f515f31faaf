/*
 * interrupt.h - Ctrl-C ends a session's turn, or work that asks for it, instead of the program. The signal handler only
 * writes to a pipe; a thread reads it and calls gab_session_cancel. A second Ctrl-C finds the default handler again and
 * ends the program.
 *
 * One at a time in a process, since signal handlers are global.
 */
#ifndef GAB_CLI_INTERRUPT_H
#define GAB_CLI_INTERRUPT_H

#include <signal.h>
#include <stdbool.h>

#include "base/threads.h"
#include "gabbro.h"

typedef struct cli_interrupt {
    bool started;
    int pipe[2];
    gab_thread thread;
    gab_session *session;
    struct sigaction previous;
} cli_interrupt;

/* session NULL: work without one, which asks cli_interrupt_seen. Does nothing when the signal is ignored (a program in
 * the background) or there is no pipe or thread: Ctrl-C then acts as ever. Start after the turn was fed, so that a
 * cancel never comes before its turn. */
void cli_interrupt_start(cli_interrupt *interrupt, gab_session *session);
/* The same for a session of many turns: no Ctrl-C ends the program; what one finds no turn to end is only seen. */
void cli_interrupt_start_lasting(cli_interrupt *interrupt, gab_session *session);
void cli_interrupt_stop(cli_interrupt *interrupt);
/* Whether Ctrl-C came since start. */
bool cli_interrupt_seen(void);
/* The same since start or the last take. */
bool cli_interrupt_take(void);

#endif
