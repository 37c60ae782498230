/* Plans of one step with one evaluation in phase space, as two blocks; and what such a step should
   be by plain Runge-Kutta integration. */
#ifndef DFL_TEST_STEP_H
#define DFL_TEST_STEP_H

#include "check.h"

#include "process/phase.h"

/* z_s = on_z z_t + on_y y, y the output of an epsilon network. */
typedef struct {
    blk on_z, on_y;
} one_step;

/* From t to s; process and solver as option text. Fails the test if there is no such plan. */
one_step step_of(const char *process, score_matching matching, const char *solver, double t,
                 double s);

#endif
