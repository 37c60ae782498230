/* What is told of a start at a time T before work begins. */
#ifndef CLI_START_H
#define CLI_START_H

#include "model/model.h"
#include "options.h"
#include "run/start.h"

/* Rows of the option table. */
/* clang-format off */
#define START_ROWS                                                                                 \
    {0, "prior", NULL, "PATH", "noise",                                                            \
     "density that starts come from, for --t-start below 1 (or where it was fitted): a file, or "  \
     "the folder of a flow",                                                                       \
     ARG_FILE, 0, 0},                                                                              \
    {0, "prior-map", NULL, "draw|flow", "draw",                                                    \
     "draw from it, or map noise by the flow of one Gaussian (or one a class)", ARG_CHOICE, 0, 0}, \
    {0, "data-moments", NULL, "FILE", NULL,                                                        \
     "mean mu and covariance sigma of the data, .npz: to measure the start, or to map by",         \
     ARG_FILE, 0, 0}
/* clang-format on */

/* --prior, --prior-map and --data-moments, those given, as options: each after `before`. */
void start_options(const args *a, const char *before, text *out);

/* The first of them that is given, or NULL. */
const char *start_given(const args *a);

/* E_ARG: a map of nothing. */
dfl_status start_refuse(const args *a);

/* What tells these starts from others: digests, and the map. */
dfl_status start_name(const args *a, text *out);

/* The time that --prior was fitted at, into the specification, where no other was asked for; and a line
   about it on standard error unless --quiet. */
dfl_status start_time(const args *a, const dfl_model *model, text *spec);

/* What sample says of a start below t = 1, for other commands: of a plan on a model, unless --quiet. */
dfl_status start_tell_plan(const args *a, dfl_model *m, const dfl_plan *plan);

/* A line on how far the start is from the law of the data, and warnings, on standard error. */
dfl_status start_say(start_law *law);

#endif
