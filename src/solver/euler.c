/* Euler's method on the probability-flow ODE, in one of two variables.
 *
 *   rho:  d(x/a)/drho = eps             x_s = (a_s/a_t) x + a_s (rho_s - rho_t) eps
 *   t:    dx/dt = f x + g^2/(2 b) eps   x_s = x + (s - t) (f x + g^2/(2 b) eps)
 *
 * rho is Karras et al., arXiv 2206.00364, in their sigma, what the field's programs call euler, and
 * equal to DDIM; t is Song et al., arXiv 2011.13456, eq. (13), taken literally, and far worse at
 * few steps. Order 1, one evaluation per step. */
#include "solver/solver.h"

enum { IN_RHO, IN_T };

static const opt_row options[] = {
    {"variable", OPT_CHOICE, "rho", 0, 0, "rho|t", "variable of the ODE: noise-to-signal or time"},
    {0},
};

static solver_claims claims(const opts *o) {
    return (solver_claims){
        .order = 1, .from = 80, .to = 640, .exact = opt_choice(o, "variable") == IN_RHO};
}

static val fill(const problem *pb, rows *r, val x) {
    const bool in_t = opt_choice(pb->o, "variable") == IN_T;
    for (int n = 0; n < pb->steps; n++) {
        const scalar_at at = process_at(pb->process, pb->t[n]);
        const scalar_at to = process_at(pb->process, pb->t[n + 1]);
        const double h = pb->t[n + 1] - pb->t[n];
        const val eps = rows_eps(r, x, pb->t[n]);
        if (in_t)
            x = rows_lin2(r, 1 + h * at.drift, x, h * at.g2 / (2 * at.b), eps);
        else
            x = rows_lin2(r, solver_psi(&at, &to), x, solver_gap(&at, &to), eps);
        rows_step(r, x, pb->t[n + 1], 1);
    }
    return x;
}

const solver_row solver_euler = {
    .is = {"euler", "Euler's method on the probability-flow ODE", "arXiv:2206.00364 section 3",
           options},
    .claims = claims,
    .fill = fill,
};
