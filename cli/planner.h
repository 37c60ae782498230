/* Plans from the options of "plan": a model's card, a process alone, or an analytic mixture. No network
   is loaded. */
#ifndef CLI_PLANNER_H
#define CLI_PLANNER_H

#include "model/model.h"
#include "options.h"

typedef struct {
    dfl_model *model; /* what plans are compiled for */
    struct dfl_model bare;
    dfl_model *opened; /* NULL: model is `bare`, a card alone */
} planner;

/* *code is the exit code that a failure at that point means. Free with planner_close, also on failure. */
dfl_status planner_open(const args *a, planner *out, int *code);
void planner_close(planner *p);

/* A plan from the text of a specification, in which "auto" stands for tuned values. */
dfl_status planner_plan(const args *a, const planner *p, const char *words, dfl_plan **out);

#endif
