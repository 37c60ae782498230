/* What the tests of the executor and of plan files share: calls that must succeed or be refused
   with a sentence, and plans written by hand. */
#ifndef DFL_HAND_H
#define DFL_HAND_H

#include "check.h"
#include "run/run.h"

/* Of the test mixture. */
enum { DIM = 2 };

/* The two-dimensional test mixture, a plan for it, a plan from JSON, a run: each must be had. */
dfl_model *test_mixture(void);
dfl_plan *plan_of(const dfl_model *model, const char *spec);
dfl_plan *plan_from(const char *json);
dfl_run *run_of(const dfl_plan *plan, dfl_model *model, const char *options);

/* Samples from 0 in one call, as numbers of the run's type. */
void sample_all(const dfl_plan *plan, dfl_model *model, const char *options, void *out,
                size_t count);

/* Heads of plans, up to "outputs": one component with scale 1.5, and two components. */
#define HEAD1                                                                                      \
    "{\"format\":\"driftless-plan/1\",\"components\":1,\"inputs\":[{\"id\":0,\"t\":1,"             \
    "\"at\":[0.6,0.8],\"scale\":1.5}],"
#define AT2 "\"at\":[[0.6,0.1],[[0.8,0],[0.2,0.7]]]"
#define HEAD2                                                                                      \
    "{\"format\":\"driftless-plan/1\",\"components\":2,\"inputs\":[{\"id\":0,\"t\":1," AT2         \
    ",\"scale\":[[1,0],[0.5,2]]}],"

extern const char hand_simple[];    /* EVAL, NOISE, LIN, STEP, counts and meta */
extern const char hand_all_ops[];   /* every other op, kernels of both sorts; needs GIVEN tensors */
extern const char hand_nonlinear[]; /* CLIP, LIMIT, SELECT, and long-lived values */
extern const char hand_mix[];       /* a mixture kernel with a table */
extern const char hand_pair[];      /* two components, blocks of every shape */

#endif
