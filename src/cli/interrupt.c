#include "cli/interrupt.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { BYTE_SIGNAL = 's', BYTE_STOP = 'q' };

static volatile sig_atomic_t seen;
static volatile sig_atomic_t write_fd;

static void handle(int signal_number) {
    (void)signal_number;
    const char byte = BYTE_SIGNAL;
    int saved = errno;
    seen = 1;
    ssize_t ignored = write(write_fd, &byte, 1);
    (void)ignored;
    errno = saved;
}

static void *watch(void *arg) {
    cli_interrupt *interrupt = arg;
    for (;;) {
        char byte;
        ssize_t n = read(interrupt->pipe[0], &byte, 1);
        if (n < 0 && errno == EINTR) continue;
        if (n != 1 || byte == BYTE_STOP) return NULL;
        if (interrupt->session) gab_session_cancel(interrupt->session);
    }
}

static void start(cli_interrupt *interrupt, gab_session *session, int flags) {
    struct sigaction action = {.sa_handler = handle, .sa_flags = SA_RESTART | flags};
    *interrupt = (cli_interrupt){.session = session};
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGINT, NULL, &interrupt->previous) != 0 || interrupt->previous.sa_handler == SIG_IGN) return;
    if (pipe(interrupt->pipe) != 0) return;
    for (int i = 0; i < 2; i++) fcntl(interrupt->pipe[i], F_SETFD, FD_CLOEXEC);
    seen = 0;
    write_fd = interrupt->pipe[1];
    interrupt->started = gab_thread_start(&interrupt->thread, watch, interrupt);
    if (interrupt->started) {
        sigaction(SIGINT, &action, NULL);
    } else {
        close(interrupt->pipe[0]);
        close(interrupt->pipe[1]);
    }
}

void cli_interrupt_start(cli_interrupt *interrupt, gab_session *session) {
    start(interrupt, session, (int)SA_RESETHAND);
}

void cli_interrupt_start_lasting(cli_interrupt *interrupt, gab_session *session) {
    start(interrupt, session, 0);
}

void cli_interrupt_stop(cli_interrupt *interrupt) {
    if (!interrupt->started) return;
    const char byte = BYTE_STOP;
    sigaction(SIGINT, &interrupt->previous, NULL);
    while (write(interrupt->pipe[1], &byte, 1) < 0 && errno == EINTR) continue;
    gab_thread_join(interrupt->thread);
    close(interrupt->pipe[0]);
    close(interrupt->pipe[1]);
    interrupt->started = false;
}

bool cli_interrupt_seen(void) {
    return seen != 0;
}

bool cli_interrupt_take(void) {
    const bool was = seen != 0;
    seen = 0;
    return was;
}
