/* Euler's method on the probability-flow ODE, in one of two variables.
 *
 *   rho:  d(x/a)/drho = eps             x_s = (a_s/a_t) x + a_s (rho_s - rho_t) eps
 *   t:    dz/dt = F z - G G^T score/2   z_s = z + (s - t) (F z - G G^T score/2)
 *
 * rho is Karras et al., arXiv 2206.00364, in their sigma, what the field's programs call euler, and
 * equal to DDIM; t is Song et al., arXiv 2011.13456, eq. (13), taken literally, far worse at few
 * steps, and the only one in phase space. auto takes rho where there is one. Order 1, one
 * evaluation per step. */
#include "solver/variable.h"

static const opt_row options[] = {
    VARIABLE_OPTION,
    {0},
};

static solver_claims claims(const opts *o, const process *p) {
    return (solver_claims){.order = 1, .from = 80, .to = 640, .exact = variable_is_rho(o, p)};
}

static val step_in_t(rows *r, val z, double t, double h) {
    const rows_ode at = rows_ode_at(r, t);
    const term terms[] = {{z, blk_add(blk_real(1), blk_scale(h, at.on_z))},
                          {rows_predict(r, z, t), blk_scale(h, at.on_y)}};
    return rows_lin(r, terms, 2);
}

static val fill(const problem *pb, rows *r, val z) {
    const bool rho = variable_is_rho(pb->o, pb->process);
    rows_fail(r, variable_check(pb, "euler"));
    for (int n = 0; n < pb->steps && r->status == DFL_OK; n++) {
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
