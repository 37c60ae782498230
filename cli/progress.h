/* A progress bar on stderr, for terminals only. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct {
    bool on, visible;
    double began, drawn;
    double done, total; /* in sample steps */
    size_t samples;
} progress;

/* Silent unless `wanted` and stderr is a terminal. */
void progress_start(progress *p, bool wanted, size_t samples, size_t steps);
void progress_add(progress *p, size_t sample_steps);
/* Erases the bar, for lines that are printed meanwhile; the next addition draws it again. */
void progress_hide(progress *p);
/* Erases it for good; fine twice. */
void progress_end(progress *p);

#endif
