/* Messages: kept for gab_last_error, sent to the callback, and fit for a terminal whatever they quote. */
#include "base/error.h"

#include <string.h>

#include "test.h"

static void keep(void *user, gab_log_level level, const char *message) {
    CHECK(level == GAB_LOG_ERROR || level == GAB_LOG_WARNING);
    snprintf(user, GAB_MESSAGE_MAX, "%s", message);
}

GAB_TEST(failures_are_kept_and_sent) {
    char sent[GAB_MESSAGE_MAX] = "";
    const gab_log log = {.fn = keep, .user = sent};
    CHECK(gab_fail(&log, GAB_ERROR_FORMAT, "%s: %d", "file", 7) == GAB_ERROR_FORMAT);
    CHECK(strcmp(sent, "file: 7") == 0 && strcmp(gab_last_error(), sent) == 0);
    CHECK(gab_fail(NULL, GAB_ERROR_FILE, "alone") == GAB_ERROR_FILE && strcmp(gab_last_error(), "alone") == 0);
}

GAB_TEST(nothing_quoted_commands_the_terminal) {
    char sent[GAB_MESSAGE_MAX] = "";
    const gab_log log = {.fn = keep, .user = sent};
    gab_fail(&log, GAB_ERROR_FORMAT,
             "a\x1b]52;c\x07 b\x7f c\xC2\x9B"
             "2J\td\n\xC3\xA9");
    CHECK(strcmp(sent, "a?]52;c? b? c?2J\td\n\xC3\xA9") == 0 && strcmp(gab_last_error(), sent) == 0);
    gab_log_print(&log, GAB_LOG_WARNING, "%s", "\x1b[2J");
    CHECK(strcmp(sent, "?[2J") == 0);
}

GAB_TEST_MAIN()
