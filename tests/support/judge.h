/* What the label tests demand of a plan, as one answer, so that it can be tried on wrong plans. */
#ifndef DFL_TEST_JUDGE_H
#define DFL_TEST_JUDGE_H

#include "plan/plan.h"
#include "solver/solver.h"

/* In units of the running bound of rounding (label_defect.over). */
#define JUDGE_OVER 4

/* NULL, or what is wrong with the labels of a plan whose solver makes these claims. Solvers that
   are exact: the labels from beginning to end, and each step by itself. Others: the defects of
   single steps form a smooth sequence; that shows from some hundred steps on a process without
   kinks. */
const char *judge(const dfl_plan *plan, const solver_claims *claims);

#endif
