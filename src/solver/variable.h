/* The variable that Euler's and Heun's methods step in: noise-to-signal rho, which scalar processes
 * have, or time. */
#ifndef DFL_VARIABLE_H
#define DFL_VARIABLE_H

#include "solver/solver.h"

#define VARIABLE_OPTION                                                                            \
    {                                                                                              \
        "variable", OPT_CHOICE, "auto", 0, 0, "auto|rho|t",                                        \
            "noise-to-signal or time; auto: rho if any"                                            \
    }

bool variable_is_rho(const opts *o, const process *p);

/* Refuses rho in phase space; the solver's name is for the message. */
dfl_status variable_check(const problem *pb, const char *solver);

#endif
