#include "cli/line_edit.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>
#include <wchar.h>

#include <histedit.h>

#include "base/file.h"
#include "base/progress.h"
#include "cli/interrupt.h"

enum { HISTORY_MAX = 1000, HISTORY_BYTES_MAX = 1 << 20, N_SIGNAL = 5, N_SIGNAL_OF_SCREEN = 2 /* the first ones */ };

struct line_edit {
    EditLine *el;
    History *history;
    char prompt[8];
    char file[4096]; /* of the history; "": none */
    mbstate_t partial;
    bool interrupted;
    struct sigaction previous[N_SIGNAL];
};

static const int signals[N_SIGNAL] = {SIGCONT, SIGWINCH, SIGTERM, SIGHUP, SIGQUIT};
static volatile sig_atomic_t screen_changed;
static struct termios settings_before; /* of the terminal */
static volatile sig_atomic_t settings_known;

static void note_change(int signal_number) {
    (void)signal_number;
    screen_changed = 1;
}

/* Who ends the program gets back a terminal that shows what is typed. */
static void end_by_signal(int signal_number) {
    if (settings_known) tcsetattr(STDIN_FILENO, TCSANOW, &settings_before);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static line_edit *of(EditLine *el) {
    void *data = NULL;
    el_get(el, EL_CLIENTDATA, &data);
    return data;
}

static char *prompt_of(EditLine *el) {
    return of(el)->prompt;
}

/* A byte; 0: the end; -1: Ctrl-C. */
static int read_byte(line_edit *edit, char *byte) {
    for (;;) {
        struct pollfd wait = {.fd = STDIN_FILENO, .events = POLLIN};
        if (cli_interrupt_seen()) {
            edit->interrupted = true;
            return -1;
        }
        if (screen_changed) { /* stopped and gone on, or of another size */
            screen_changed = 0;
            el_set(edit->el, EL_PREP_TERM, 1);
            el_resize(edit->el);
            el_set(edit->el, EL_REFRESH, NULL);
        }
        if (poll(&wait, 1, -1) < 0) {
            if (errno == EINTR) continue;
            return 0;
        }
        ssize_t n = read(STDIN_FILENO, byte, 1);
        if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        return n == 1;
    }
}

/* libedit's own does not come back at Ctrl-C. */
static int read_character(EditLine *el, wchar_t *character) {
    line_edit *edit = of(el);
    for (;;) {
        char byte;
        int n = read_byte(edit, &byte);
        if (n <= 0) return n;
        size_t used = mbrtowc(character, &byte, 1, &edit->partial);
        if (used == (size_t)-2) continue;
        if (used == (size_t)-1) memset(&edit->partial, 0, sizeof edit->partial);
        if (used != (size_t)-1) return 1;
    }
}

static void open_history(line_edit *edit) {
    HistEvent event;
    static const char name[] = "/chat_history";
    if (!gab_state_folder(edit->file, sizeof edit->file - sizeof name)) {
        edit->file[0] = 0;
        return;
    }
    memcpy(edit->file + strlen(edit->file), name, sizeof name);
    struct stat info = {.st_size = 0};
    int fd = open(edit->file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600); /* before libedit makes it for everyone */
    if (fd >= 0) {
        fstat(fd, &info);
        close(fd);
    }
    const bool read = history(edit->history, &event, H_LOAD, edit->file) >= 0;
    if (!read || info.st_size > HISTORY_BYTES_MAX) /* empty, damaged or grown: as many as are kept */
        history(edit->history, &event, H_SAVE, edit->file);
}

line_edit *line_edit_create(void) {
    HistEvent event;
    if (!gab_terminal_obeys(STDIN_FILENO)) return NULL;
    if (!setlocale(LC_CTYPE, "") || MB_CUR_MAX == 1) setlocale(LC_CTYPE, "C.UTF-8");
    line_edit *edit = calloc(1, sizeof *edit);
    if (!edit) return NULL;
    settings_known = tcgetattr(STDIN_FILENO, &settings_before) == 0;
    edit->el = el_init("gabbro", stdin, stderr, stderr);
    edit->history = edit->el ? history_init() : NULL;
    if (!edit->history) {
        line_edit_destroy(&edit);
        return NULL;
    }
    history(edit->history, &event, H_SETSIZE, HISTORY_MAX);
    history(edit->history, &event, H_SETUNIQUE, 1);
    open_history(edit);
    el_set(edit->el, EL_CLIENTDATA, edit);
    el_set(edit->el, EL_PROMPT, prompt_of);
    el_set(edit->el, EL_EDITOR, "emacs");
    el_set(edit->el, EL_HIST, history, edit->history);
    el_set(edit->el, EL_GETCFN, read_character);
    el_source(edit->el, NULL); /* ~/.editrc */
    for (int i = 0; i < N_SIGNAL; i++) {
        const struct sigaction action = {.sa_handler = i < N_SIGNAL_OF_SCREEN ? note_change : end_by_signal,
                                         .sa_flags = SA_RESTART};
        sigaction(signals[i], &action, &edit->previous[i]);
    }
    return edit;
}

void line_edit_destroy(line_edit **pedit) {
    line_edit *edit = *pedit;
    if (!edit) return;
    for (int i = 0; i < N_SIGNAL && edit->history; i++) sigaction(signals[i], &edit->previous[i], NULL);
    if (edit->el) el_end(edit->el);
    if (edit->history) history_end(edit->history);
    free(edit);
    *pedit = NULL;
}

/* The newest entry as a file of libedit's has it, behind the line that begins one: goes to the end of the history's,
 * behind what other conversations have added meanwhile. */
static void append_newest(line_edit *edit) {
    enum { NEWEST = 0 };
    HistEvent event;
    char text[4096];
    FILE *one = tmpfile(), *all = fopen(edit->file, "ab");
    if (one && all && history(edit->history, &event, H_NSAVE_FP, (size_t)NEWEST, one) >= 0) {
        rewind(one);
        if (fgets(text, sizeof text, one))
            for (size_t n; (n = fread(text, 1, sizeof text, one)) > 0;) fwrite(text, 1, n, all);
    }
    if (one) fclose(one);
    if (all) fclose(all);
}

/* At once, so that a lost terminal loses nothing. */
static void remember(line_edit *edit, const char *line) {
    HistEvent event;
    if (line[strspn(line, " \t\r\n")] == 0) return;
    if (history(edit->history, &event, H_ENTER, line) > 0 && edit->file[0]) append_newest(edit);
}

line_result line_edit_read(line_edit *edit, const char *prompt, const char **line, size_t *n) {
    int length = 0;
    snprintf(edit->prompt, sizeof edit->prompt, "%s", prompt);
    edit->interrupted = false;
    el_set(edit->el, EL_PREP_TERM, 1); /* libedit does so after the prompt: a Ctrl-D typed between is lost */
    *line = el_gets(edit->el, &length);
    if (edit->interrupted) {
        const LineInfo *info = el_line(edit->el);
        cli_interrupt_take();
        fputc('\n', stderr);
        return info->lastchar > info->buffer ? LINE_INTERRUPTED : LINE_INTERRUPTED_EMPTY;
    }
    if (!*line || length <= 0) {
        fputc('\n', stderr);
        return LINE_END;
    }
    remember(edit, *line);
    *n = (size_t)length;
    if ((*line)[*n - 1] == '\n') --*n;
    return LINE_READ;
}
