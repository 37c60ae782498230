/* Euler's method on the probability-flow ODE, in one of two variables.
 *
 *   rho:  d(x/a)/drho = eps             x_s = (a_s/a_t) x + a_s (rho_s - rho_t) eps
 *   t:    dz/dt = F z - G G^T score/2   z_s = z + (s - t) (F z - G G^T score/2)
 *
 * rho is Karras et al., arXiv 2206.00364, in their sigma, what the field's programs call euler, and
 * equal to DDIM; t is Song et al., arXiv 2011.13456, eq. (13), taken literally, far worse at few
 * steps, and the only one in phase space. auto takes rho where there is one. Order 1, one
 * evaluation per step. */
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
    return (solver_claims){.order = 1, .from = 80, .to = 640, .exact = in_rho(o, p)};
}

static val step_in_t(rows *r, val z, double t, double h) {
    const rows_ode at = rows_ode_at(r, t);
    const term terms[] = {{z, blk_add(blk_real(1), blk_scale(h, at.on_z))},
                          {rows_predict(r, z, t), blk_scale(h, at.on_y)}};
    return rows_lin(r, terms, 2);
}

static val fill(const problem *pb, rows *r, val z) {
    const bool rho = in_rho(pb->o, pb->process);
    if (rho && r->out->components == 2) {
        rows_fail(r, fail(DFL_E_COMBINATION, "solver euler: variable=rho needs a scalar process"));
        return z;
    }
    for (int n = 0; n < pb->steps; n++) {
        const double t = pb->t[n], s = pb->t[n + 1];
        z = rho ? solver_first_order(pb, r, z, n, 1, 0) : step_in_t(r, z, t, s - t);
        rows_step(r, z, s, 1);
    }
    return z;
}

const solver_row solver_euler = {
    .is = {"euler", "Euler's method on the probability-flow ODE", "arXiv:2206.00364 section 3",
           options},
    .spaces = SOLVER_SCALAR | SOLVER_PHASE,
    .claims = claims,
    .fill = fill,
};
