/*
 * fuzz_chat.c - libFuzzer harness of the conversations that /load reads. Aborts when one gets through that is not what
 * the list of messages promises, or does not survive being taken apart. tests/cli_chat.c replays the corpus through it
 * without libFuzzer.
 *
 *     build/fuzz_chat tests/fuzz/corpus_chat -max_len=4096
 */
#include "cli/chat_messages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    chat_messages messages = {0};
    if (chat_messages_parse((const char *)data, size, "fuzz", NULL, &messages) != GAB_OK) {
        PROMISE(messages.n == 0 && !messages.items);
        return 0;
    }
    for (size_t i = 0; i < messages.n; i++) {
        const gab_chat_message *m = &messages.items[i];
        PROMISE(m->content && (i == 0 || strcmp(m->role, "system") != 0));
        PROMISE(!strcmp(m->role, "system") || !strcmp(m->role, "user") || !strcmp(m->role, "assistant"));
    }
    const size_t n = messages.n;
    PROMISE(chat_messages_set_system(&messages, "s") && strcmp(chat_messages_system(&messages), "s") == 0);
    PROMISE(messages.n <= n + 1);
    while (chat_messages_drop_oldest(&messages)) PROMISE(chat_messages_system(&messages));
    PROMISE(chat_messages_set_system(&messages, "") && !chat_messages_system(&messages));
    while (messages.n > 0) chat_messages_drop_last(&messages);
    chat_messages_free(&messages);
    return 0;
}
