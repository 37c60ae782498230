/* What a search for times keeps, for fit_search.c and fit_kept.c. */
#ifndef DFL_FIT_SEARCH_H
#define DFL_FIT_SEARCH_H

#include "study/fit.h"

/* A student on trial: its times among the candidates, and its states and predictions there, so that
   another one that begins the same need not make them. */
typedef struct {
    size_t *at; /* [steps + 1] */
    double *x;  /* [steps + 1][count][state] */
    double *e;  /* [steps][count][answer] */
    bool made;  /* x and e are there */
    double rms; /* at the end, on the starts that decide */
} walk;

typedef struct fit_search {
    opts o;
    size_t points;                    /* candidates, the first time included */
    size_t *own;                      /* [points] which states of the teacher */
    double *t;                        /* [points] */
    size_t starts, validation, count; /* count: both */
    double *states;                   /* [points][fit.starts][state] of the teacher */
    walk best, trial;
    char local_name[DIGEST_HEX], trials_name[DIGEST_HEX];
    size_t nknown, at_cap, rms_cap;
    size_t *known_at;  /* [nknown][steps + 1] */
    double *known_rms; /* [nknown] */
} fit_search;

/* ---- fit_kept.c ------------------------------------------------------------------------------ */

/* Fills in local_name and trials_name: what local errors and a trial's error depend on. */
dfl_status search_names(const fit *f);

/* Of the teacher's states and outputs at the candidates, as fit_jump_errors reads it: the triangle,
   zero before; from so many starts. */
fit_jumping search_jumping(const fit *f);
dfl_status search_local(const fit *f, double *triangle);
size_t search_local_count(const fit_search *s);

/* Trials, and their file. */
bool search_knows(const fit_search *s, size_t steps, const size_t *at, double *rms);
dfl_status search_remember(fit_search *s, size_t steps, const size_t *at, double rms);
dfl_status search_save(const fit *f);
dfl_status search_load(fit *f);

#endif
