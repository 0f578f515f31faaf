/*
 * chat.h - a conversation as tokens (gab_chat_render in gabbro.h): the template says where its parts stand, the
 * tokenizer how they are spelled. What is in a message never becomes a control token: where the text of a message
 * spells one, a guard is put in front before the template sees it.
 */
#ifndef GAB_TEXT_CHAT_H
#define GAB_TEXT_CHAT_H

#include "text/chat_template.h"
#include "text/tokenizer.h"

/* source: a chat template of n bytes in the file `name`; NULL: it has none, and a plain format is used. variables: as
 * of gab_chat_create. The tokenizer must live as long. Fails as gab_chat_template_create. */
gab_status gab_chat_make(const char *source, size_t n, const char *name, const char *variables,
                         const gab_tokenizer *tokenizer, const gab_log *log, gab_chat **chat);

#endif
