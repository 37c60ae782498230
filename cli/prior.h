/* What the files of "driftless prior" share. */
#ifndef CLI_PRIOR_H
#define CLI_PRIOR_H

#include "cli.h"
#include "prior/prior.h"

/* a and b of the process of --process at a time. */
dfl_status prior_time(const args *a, double t, double *pa, double *pb);

/* "driftless prior fit" and "from-samples". */
int run_prior_fit(const args *a, bool as_samples);

/* Adds the table of the gate. */
void add_gate(const prior *p, text *out);

#endif
