/* Heun's method on the probability-flow ODE: Euler's step, then the mean of both slopes.
 *
 *   rho:  x* = (a_s/a_t) x + d e_t,  x_s = (a_s/a_t) x + d (e_t + e_s)/2,   d = a_s (rho_s - rho_t)
 *   t:    x* = x + h k_t,            x_s = x + h (k_t + k_s)/2,    k = f x + g^2/(2 b) eps
 *   with e_s, k_s evaluated at x*.
 *
 * Karras et al., arXiv 2206.00364, algorithm 1, in their sigma = rho (also rhoRK-DEIS "2heun"). Two
 * evaluations per step; a step that lands on t = 0 is Euler's and costs one, as there. Order 2. */
#include "solver/solver.h"

enum { IN_RHO, IN_T };

static const opt_row options[] = {
    {"variable", OPT_CHOICE, "rho", 0, 0, "rho|t", "variable of the ODE: noise-to-signal or time"},
    {0},
};

static solver_claims claims(const opts *o) {
    return (solver_claims){
        .order = 2, .from = 80, .to = 320, .exact = opt_choice(o, "variable") == IN_RHO};
}

static int steps(const opts *o, int nfe, bool to_zero) {
    (void)o;
    return (nfe + (to_zero ? 1 : 0)) / 2;
}

static val step_in_rho(const scalar_at *at, const scalar_at *to, double s, val x, val e, rows *r) {
    const double psi = solver_psi(at, to), d = solver_gap(at, to);
    const val guess = rows_lin2(r, psi, x, d, e);
    if (to->b == 0) return guess;
    return rows_lin3(r, psi, x, d / 2, e, d / 2, rows_eps(r, guess, s));
}

static val step_in_t(const scalar_at *at, const scalar_at *to, double h, double s, val x, val e,
                     rows *r) {
    const double on_e = h * at->g2 / (2 * at->b);
    const val guess = rows_lin2(r, 1 + h * at->drift, x, on_e, e);
    if (to->b == 0) return guess;
    const term terms[] = {
        {x, blk_real(1 + h / 2 * at->drift)},
        {e, blk_real(on_e / 2)},
        {guess, blk_real(h / 2 * to->drift)},
        {rows_eps(r, guess, s), blk_real(h * to->g2 / (4 * to->b))},
    };
    return rows_lin(r, terms, 4);
}

static val fill(const problem *pb, rows *r, val x) {
    const bool in_t = opt_choice(pb->o, "variable") == IN_T;
    for (int n = 0; n < pb->steps; n++) {
        const double t = pb->t[n], s = pb->t[n + 1];
        const scalar_at at = process_at(pb->process, t), to = process_at(pb->process, s);
        const val e = rows_eps(r, x, t);
        x = in_t ? step_in_t(&at, &to, s - t, s, x, e, r) : step_in_rho(&at, &to, s, x, e, r);
        rows_step(r, x, s, to.b == 0 ? 1 : 2);
    }
    return x;
}

const solver_row solver_heun = {
    .is = {"heun", "Heun's method on the probability-flow ODE",
           "arXiv:2206.00364 algorithm 1 (deterministic)", options},
    .claims = claims,
    .steps = steps,
    .fill = fill,
};
