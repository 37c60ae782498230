/* Interruption by Ctrl-C or SIGTERM: the first signal ends the run in good order, the second
   kills the program at once. */
#ifndef CLI_STOP_H
#define CLI_STOP_H

#include <stdbool.h>

#include "driftless/driftless.h"

void stop_install(void);

/* What watchers return to the library after a signal. */
enum { WATCH_STOPPED = 1001 };

/* A signal has arrived. */
bool stop_requested(void);

/* The run a signal cancels; NULL before it is freed. */
void stop_target(dfl_run *run);

#endif
