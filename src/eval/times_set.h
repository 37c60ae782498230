/* Between the files of times. */
#ifndef DFL_TIMES_SET_H
#define DFL_TIMES_SET_H

#include "eval/times.h"

/* Reads the settings, makes the times and reads the priors; model, data, count and batch are there. */
dfl_status times_configure(times_study *s, const times_wish *wish);

/* The gains of one prior at time j, into column [count]. */
dfl_status times_column(times_study *s, const times_prior *p, size_t j, double *column);

#endif
