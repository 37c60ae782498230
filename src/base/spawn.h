/* Other programs, started without a shell: waited for, ended on request, and quoted when they fail. */
#ifndef DFL_SPAWN_H
#define DFL_SPAWN_H

#include "base/base.h"

typedef struct {
    const char *const *argv;  /* ends in NULL; argv[0] is looked for in PATH */
    int (*watch)(void *user); /* asked ten times a second; not 0 kills the program; may be NULL */
    void *user;
    char *said; /* receives the last line of its standard error */
    size_t cap;
} spawn_wish;

/* Input and standard output of the program are /dev/null. *code: its exit status, 128 + the number of
   the signal that ended it. E_IO if it cannot be started; what watch gave. */
dfl_status spawn_wait(const spawn_wish *wish, int *code);

#endif
