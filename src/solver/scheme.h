/* Splitting schemes as words: what the plain and the conjugate splitting integrators share.
 *
 * The letters of a word are executed from left to right within a step from t to s:
 *   e, E   evaluate the network at the current state, at time t or at time s
 *   O      exact Ornstein-Uhlenbeck relaxation over the step (symbol_relax)
 *   else   a move of the solver's own: A, X move the position, all others the momentum
 * A word with an O is stochastic. */
#ifndef DFL_SCHEME_H
#define DFL_SCHEME_H

#include "process/phase.h"
#include "solver/solver.h"
#include "solver/symbol.h"

/* Where a scheme stands. */
typedef struct {
    const problem *pb;
    rows *r;
    const phase_par *par;
    double w;     /* share of the score's part: 1 on the probability-flow ODE, 2 on the SDE */
    double t, s;  /* ends of the step */
    double asked; /* time of the latest evaluation */
    val y;        /* its output; none if no move up to the next one needs it */
} scheme;

/* One of the solver's own letters. */
typedef void scheme_move(const scheme *at, symbol *z, char letter);

solver_claims scheme_claims(const char *word);
/* Steps that a budget pays for: evaluations that nothing needs are not made. */
int scheme_steps(const char *word, const phase_par *par, int nfe);
/* 1 or 2: see `w`. */
double scheme_share(const char *word);

/* All steps; the options must have lambda_s, the scale of O's position noise. */
val scheme_fill(const problem *pb, rows *r, val start, const char *word, scheme_move *move);

#endif
