/* From data to a prior: split, clusters, restarts, classes, and the gate. */
#ifndef DFL_PRIOR_FIT_H
#define DFL_PRIOR_FIT_H

#include "prior/em.h"

typedef struct {
    em_settings em; /* reg and floor are relative to the mean variance of the data */
    size_t iterations, restarts;
    double tolerance; /* of the mean log-likelihood; 0: 1e-6 up to 16 dimensions, else 1e-4 */
    uint64_t seed;
    double held_share;    /* of the rows, held out */
    double a, b;          /* the state that is fitted; (1, 0): clean data */
    bool add_noise;       /* the rows are clean and are to be brought to that state */
    const gate_row *gate; /* a and b of each are given */
    size_t ngate;
    em_watch watch;
    void *user;
} fit_wish;

typedef struct {
    size_t rows, held_out, iterations, removed, restart; /* the restart that was best */
    bool converged;                                      /* in every class */
    double loglik, held_loglik; /* mean log-density in the state that was fitted, nats */
} fit_report;

/* labels [n] or NULL: with them a density for each class. What was asked of the gate stands in the
   result (prior_gate); whether to use it is for the caller. */
dfl_status prior_fit(const fit_wish *wish, const rows *data, const int64_t *labels, prior **out,
                     fit_report *report);

/* Mean and standard error of log p(x) - log N(x; 0, I) over rows in p's state. */
dfl_status prior_gain(const prior *p, const rows *data, gate_row *row);

#endif
