/* Between the files of likelihoods. */
#ifndef DFL_LIKELIHOOD_SET_H
#define DFL_LIKELIHOOD_SET_H

#include "eval/likelihood.h"

/* The model goes with the data, and images first ... first + count - 1 are there. */
dfl_status likelihood_check(const dfl_model *model, const likelihood_data *data, size_t first,
                            size_t count);

/* Values [n][dim] of images from number `from` on, levels put over the range (no dequantisation). */
void likelihood_values(const likelihood_data *data, const double range[2], size_t from, size_t n,
                       double *x);

/* The network takes integer times. */
bool likelihood_whole_times(const card *c);

/* Reads the settings and makes the method; model, data and batch are there. */
dfl_status likelihood_configure(likelihood *l, const likelihood_wish *wish);

#endif
