/* Between the files of likelihoods. */
#ifndef DFL_LIKELIHOOD_SET_H
#define DFL_LIKELIHOOD_SET_H

#include "eval/likelihood.h"

/* Reads the settings and makes the method; model, data and batch are there. */
dfl_status likelihood_configure(likelihood *l, const likelihood_wish *wish);

#endif
