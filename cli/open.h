/* Models as the command line asks for them. */
#ifndef CLI_OPEN_H
#define CLI_OPEN_H

#include "options.h"

/* The first operand, on as many threads as --threads says. */
dfl_status open_model(const args *a, dfl_model **out);

/* Puts --guidance, if it is given, around *model; on failure the model is gone and *model NULL. */
dfl_status guide_model(const args *a, dfl_model **model);

#endif
