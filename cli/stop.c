/* The only global state of the program, because a signal handler has no argument. */
#include "stop.h"

#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>

static volatile sig_atomic_t stopped;
static dfl_run *_Atomic target;

static void on_signal(int number) {
    (void)number;
    /* Whoever asks a second time, by either signal, does not want to wait. */
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    stopped = 1;
    dfl_run *const run = atomic_load(&target);
    if (run) dfl_run_cancel(run);
}

void stop_install(void) {
    static const int numbers[] = {SIGINT, SIGTERM};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct sigaction action = {0}, old;
        action.sa_handler = on_signal;
        action.sa_flags = SA_RESTART;
        sigemptyset(&action.sa_mask);
        /* A shell that starts a background job with SIGINT ignored means it. */
        if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(numbers[i], &action, NULL);
    }
}

bool stop_requested(void) {
    return stopped != 0;
}

void stop_target(dfl_run *run) {
    atomic_store(&target, run);
}
