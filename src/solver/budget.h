/* How singlestep solvers of order p spend a budget of evaluations (DPM-Solver, arXiv 2206.00927,
   section 3.4; SciRE-Solver's "agile" is the same). */
#ifndef DFL_BUDGET_H
#define DFL_BUDGET_H

#include "solver/solver.h"

/* Outer steps with an order each. */
typedef struct {
    int n;
    int *order; /* [n] */
    double *t;  /* [n + 1] */
} outer_steps;

/* All evaluations of a budget spent: as many steps of order p as fit, the rest in lower orders; in
   fixed mode floor(budget / p) steps of order p. Without a budget pb->steps steps of order p on the
   grid as it is. With last_first one evaluation of the budget is kept for a last step of order 1,
   and without a budget the last step is of order 1. free with outer_free, also on failure. */
dfl_status outer_new(const problem *pb, int p, bool fixed, bool last_first, outer_steps *out);
void outer_free(outer_steps *o);

/* What solver_row.steps answers for such solvers. */
int outer_grid_steps(int nfe, int p, bool fixed, bool last_first);

#endif
