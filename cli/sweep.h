/* One call of "driftless sweep", from the first option to the report. */
#ifndef CLI_SWEEP_H
#define CLI_SWEEP_H

#include "cli.h"
#include "eval/sweep.h"
#include "progress.h"

typedef struct {
    const args *args;
    sweep *s;
    progress bar;
    text command, tail;  /* the command line; keys that all plans share */
    text features_given; /* the extractor's folder, or pixels */
    char *model_where, *features_where, *reference_where; /* absolute, for the capsules */
    int code; /* exit code of a failure now, or CODE_BY_STATUS */
} sweep_job;

/* For sweep.watch; user is a sweep_job. */
int sweep_watch(void *user, size_t done);

/* Absolute, where there is such a file or folder. */
dfl_status sweep_absolute(const char *path, char **out);

/* The programs of --peer, one at least. E_ARG. */
dfl_status sweep_add_peers(const args *a, sweep *s);

/* The extractor of a folder, or of "pixels", on --threads. */
dfl_status sweep_open_extractor(sweep_job *j, const char *where);

/* sweep_rerun.c: draws the cell of a capsule again and compares the number. */
dfl_status sweep_rerun(sweep_job *j, const char *path);

#endif
