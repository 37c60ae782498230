/* Heun's method on the probability-flow ODE: Euler's step, then the mean of both slopes.
 *
 *   rho:  x* = (a_s/a_t) x + d e_t,  x_s = (a_s/a_t) x + d (e_t + e_s)/2,   d = a_s (rho_s - rho_t)
 *   t:    z* = z + h k_t,            z_s = z + h (k_t + k_s)/2,    k = F z - G G^T score/2
 *   with e_s, k_s evaluated at x*, z*.
 *
 * Karras et al., arXiv 2206.00364, algorithm 1, in their sigma = rho (also rhoRK-DEIS "2heun"). Two
 * evaluations per step; a step that lands on t = 0 is Euler's and costs one, as there. In phase
 * space only t; auto takes rho where there is one. Order 2. */
#include "solver/solver.h"

enum { AUTO, IN_RHO, IN_T };

static const opt_row options[] = {
    {"variable", OPT_CHOICE, "auto", 0, 0, "auto|rho|t",
     "noise-to-signal or time; auto: rho if any"},
    {0},
};

static bool in_rho(const opts *o, const process *p) {
    const int variable = opt_choice(o, "variable");
    return variable == IN_RHO || (variable == AUTO && p->row->components == 1);
}

static solver_claims claims(const opts *o, const process *p) {
    return (solver_claims){.order = 2, .from = 80, .to = 320, .exact = in_rho(o, p)};
}

static int steps(const opts *o, int nfe, bool to_zero) {
    (void)o;
    return (nfe + (to_zero ? 1 : 0)) / 2;
}

static val step_in_rho(const problem *pb, rows *r, val x, double t, double s) {
    const scalar_at at = process_at(pb->process, t), to = process_at(pb->process, s);
    const double psi = solver_psi(&at, &to), d = solver_gap(&at, &to);
    const val e = rows_eps(r, x, t), guess = rows_lin2(r, psi, x, d, e);
    if (s == 0) return guess;
    return rows_lin3(r, psi, x, d / 2, e, d / 2, rows_eps(r, guess, s));
}

static val step_in_t(rows *r, val z, double t, double s) {
    const double h = s - t;
    const rows_ode at = rows_ode_at(r, t);
    const term slope[] = {{z, blk_add(blk_real(1), blk_scale(h, at.on_z))},
                          {rows_predict(r, z, t), blk_scale(h, at.on_y)}};
    const val guess = rows_lin(r, slope, 2);
    if (s == 0) return guess;
    const rows_ode to = rows_ode_at(r, s);
    const term both[] = {{z, blk_add(blk_real(1), blk_scale(h / 2, at.on_z))},
                         {slope[1].v, blk_scale(h / 2, at.on_y)},
                         {guess, blk_scale(h / 2, to.on_z)},
                         {rows_predict(r, guess, s), blk_scale(h / 2, to.on_y)}};
    return rows_lin(r, both, 4);
}

static val fill(const problem *pb, rows *r, val z) {
    const bool rho = in_rho(pb->o, pb->process);
    if (rho && r->out->components == 2) {
        rows_fail(r, fail(DFL_E_COMBINATION, "solver heun: variable=rho needs a scalar process"));
        return z;
    }
    for (int n = 0; n < pb->steps; n++) {
        const double t = pb->t[n], s = pb->t[n + 1];
        const bool infinite =
            rho && process_at(pb->process, t).a == 0; /* rho: first step of flows */
        z = rho && !infinite ? step_in_rho(pb, r, z, t, s) : step_in_t(r, z, t, s);
        rows_step(r, z, s, s == 0 ? 1 : 2);
    }
    return z;
}

const solver_row solver_heun = {
    .is = {"heun", "Heun's method on the probability-flow ODE",
           "arXiv:2206.00364 algorithm 1 (deterministic)", options},
    .spaces = SOLVER_SCALAR | SOLVER_PHASE,
    .claims = claims,
    .steps = steps,
    .fill = fill,
};
