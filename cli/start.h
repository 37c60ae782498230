/* What is told of a start at a time T before work begins. */
#ifndef CLI_START_H
#define CLI_START_H

#include "options.h"
#include "run/start.h"

/* --prior, --prior-map and --data-moments, those given, as options: each after `before`. */
void start_options(const args *a, const char *before, text *out);

/* A line on how far the start is from the law of the data, and warnings, on standard error. */
dfl_status start_say(start_law *law);

#endif
