/* Solvers: front ends that write plans. One family is one file and one row in solver.def.
   A solver sees the process, the grid's times and the row builder; it never sees sample data, a
   network, or memory. What it claims here is what the tests measure. */
#ifndef DFL_SOLVER_H
#define DFL_SOLVER_H

#include "base/family.h"
#include "process/process.h"
#include "solver/rows.h"

/* What a solver with given options promises; every test reads it. */
typedef struct {
    double order; /* global order on the process's reference grid: of the trajectory, or of
                     mean and covariance for a stochastic solver */
    double limit; /* order left in the limit of many steps, if it is lower; else 0 */
    int from, to; /* range of steps over which that order shows */
    bool mixes;   /* draws from mixture kernels */
    bool least;   /* the order is a lower bound: over the range more shows, by a changing amount */
    bool stochastic; /* draws noise */
    bool exact;      /* exact wherever the network knows x_0: labels hold at every STEP */
} solver_claims;

typedef struct {
    const process *process;
    const double *t; /* [steps + 1], falling */
    int steps;
    const opts *o;
    const char *grid;   /* the grid's option text, for solvers that refine it (grid_between) */
    const char *digest; /* sha256 of the network; NULL: not known */
    const char *folder, *network; /* paths of the model's folder and network; NULL: none */
    size_t dim;                   /* numbers of a sample; 0: not known */
    int nfe; /* the budget the steps were made from, without a final denoising; 0: none */
} problem;

enum { SOLVER_SCALAR = 1, SOLVER_PHASE = 2 }; /* spaces a solver works in */

typedef struct {
    family_row is;
    unsigned spaces; /* SOLVER_SCALAR | SOLVER_PHASE */
    solver_claims (*claims)(const opts *o, const process *p);
    /* Steps that a budget of evaluations pays for (0: it is too small), given whether the last step
       lands on t = 0. NULL: one evaluation per step. */
    int (*steps)(const opts *o, const process *p, int nfe, bool to_zero);
    /* Options that stand for all of them in tests and tables, as texts, ended by NULL: for solvers
       not all of whose options go together, or that need a file. NULL: every combination. */
    const char *const *variants;
    const char *checks; /* an option that changes no row but refuses, or lets pass; NULL: none */
    /* Writes one step after the other from state x; returns the last state. */
    val (*fill)(const problem *pb, rows *r, val x);
} solver_row;

extern const family solver_family; /* its rows are solver_rows */

/* In time. */
double solver_longest_step(const problem *pb);

/* Exact first-order step x(t) -> x(s) along constant noise n: x' = (a_s/a_t) x + d n, with
   d = b_s - (a_s/a_t) b_t = a_s (rho_s - rho_t), computed without cancellation. */
double solver_psi(const scalar_at *from, const scalar_at *to);
double solver_gap(const scalar_at *from, const scalar_at *to);

/* What of b_s n is kept where eta of it is drawn afresh, sqrt(1 - eta^2 (1 - q^2)) with q = rho_s/rho_t,
   computed without cancellation. */
double solver_kept(double eta, double q);

/* Step n of a first-order solver on a scalar process, from one evaluation:
   x_s = a_s x_0 + kept b_s n + sigma z, written in x and the raw output. kept in [0, 1]. Works from
   a_t = 0, too, where the network's output determines x_0 (flow, v, sample). The second form takes
   the output y of an evaluation already made at x. */
val solver_first_order(const problem *pb, rows *r, val x, int n, double kept, double sigma);
val solver_first_order_from(const problem *pb, rows *r, val x, val y, int n, double kept,
                            double sigma);

#endif
