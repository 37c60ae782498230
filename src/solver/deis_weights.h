/* Weights of Adams-Bashforth steps in rho: integrals of Lagrange bases, exact to rounding. */
#ifndef DFL_DEIS_WEIGHTS_H
#define DFL_DEIS_WEIGHTS_H

#include "solver/solver.h"

enum { DEIS_ORDER_MAX = 5 };

typedef enum { DEIS_IN_T, DEIS_IN_RHO, DEIS_IN_LOG_RHO } deis_variable;

/* A factor of the integrand: value[i] at (i + shift) / slope in t, between them linear or, with
   `geometric`, its logarithm is. n = 0: the constant 1. */
typedef struct {
    const double *value; /* [n], positive */
    size_t n;
    double shift, slope;
    bool geometric;
} deis_factor;

typedef struct {
    const process *p;
    deis_variable variable;       /* in which the bases are polynomials */
    bool riemann;                 /* the released left sum of 10000 points in t, for comparison */
    deis_factor factor;           /* of the integrand */
    double t[DEIS_ORDER_MAX + 1]; /* nodes, newest first */
    val eps[DEIS_ORDER_MAX + 1];  /* the noise predicted there */
    int nodes;
} deis_basis;

double deis_factor_at(const deis_factor *f, double t);

/* int_{rho(t)}^{rho(s)} factor(t(rho)) l_j drho, j < nodes, s < t, exact to rounding, with what
   rho jumps by at t = 0 where s = 0; negative where l_j is positive. */
double deis_weight(const deis_basis *b, int j, double t, double s);

/* Step n begins, with eps predicted at its start: the nodes are the last order + 1 times, or as many
   as there are. */
void deis_begin(deis_basis *b, const problem *pb, int n, int order, val eps);

/* Step n, with the polynomial through eps/factor at the nodes. */
val deis_extrapolate(const deis_basis *b, const problem *pb, rows *r, val x, int n);

#endif
