/*
 * chat_messages.h - the messages of a conversation, and the JSON that /save writes and /load reads: an array of objects
 * with role and content, or an object with such an array as "messages".
 */
#ifndef GAB_CLI_CHAT_MESSAGES_H
#define GAB_CLI_CHAT_MESSAGES_H

#include "base/error.h"

/* A system prompt is the first one or none; content and role (one of three literals) are never NULL. */
typedef struct chat_messages {
    gab_chat_message *items;
    size_t n, size;
} chat_messages;

void chat_messages_free(chat_messages *messages);

/* Copies n bytes of content; false when memory is out. */
bool chat_messages_add(chat_messages *messages, const char *role, const char *content, size_t n);

/* Sets, changes or, with "", takes away the system prompt. */
bool chat_messages_set_system(chat_messages *messages, const char *content);
/* NULL: none. */
const char *chat_messages_system(const chat_messages *messages);

bool chat_messages_last_is(const chat_messages *messages, const char *role);
void chat_messages_drop_last(chat_messages *messages);
/* Takes away the oldest message of a user and all up to the next one's; false when there is no next one. */
bool chat_messages_drop_oldest(chat_messages *messages);

/* file: named in errors. messages is empty before, and filled on GAB_OK only. */
gab_status chat_messages_parse(const char *text, size_t n, const char *file, const gab_log *log,
                               chat_messages *messages);
gab_status chat_messages_load(const char *path, const gab_log *log, chat_messages *messages);
/* Replaces the file whole. */
gab_status chat_messages_save(const char *path, const gab_log *log, const chat_messages *messages);

#endif
