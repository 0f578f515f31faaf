/*
 * chat_answer.h - one answer of the model to a conversation: the conversation becomes tokens, what the session holds of
 * them already stays there, the rest is computed, and the answer is printed as it is made.
 */
#ifndef GAB_CLI_CHAT_ANSWER_H
#define GAB_CLI_CHAT_ANSWER_H

#include "cli/chat_messages.h"
#include "cli/interrupt.h"
#include "cli/output.h"

typedef struct chat {
    const cli_options *options;
    cli_console *console;
    gab_engine *engine;
    gab_engine_info info;
    gab_chat *format;
    gab_session *session;
    gab_sampling sampling;
    cli_interrupt interrupt;
    cli_output output;
    bool interactive; /* a user is there: failures are said, and the conversation goes on */
    bool dim;         /* standard error is a terminal that can write quietly */
    chat_messages messages;
    bool asked;         /* the last message was added for the answer that is made */
    const char *before; /* the answer that it had, which comes back where there is no other; NULL: none */
} chat;

/* Answers the conversation, whose last message is the user's, and adds the answer to it. *cancelled: by Ctrl-C; what
 * there is of the answer counts. When this fails, or nothing is said, the conversation is as before the message was
 * asked, but for turns that --context-shift has dropped. */
gab_status chat_answer(chat *chat, bool *cancelled);

#endif
