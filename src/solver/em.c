/* Euler-Maruyama on the reverse SDE, from t down to s, h = t - s.
 *
 *   z_s = z + h (-F z + G G^T score) + sqrt(h) G xi
 *       = z + h (F z - 2 v) + sqrt(h) G xi,   v = F z - G G^T score/2 the ODE's slope, all at t
 *
 * Song et al., arXiv 2011.13456, section 4; on PSLD, Pandey and Mandt, arXiv 2303.01748. One
 * evaluation and one draw per step. Weak order 1. */
#include "solver/solver.h"

#include <math.h>

static solver_claims claims(const opts *o, const process *p) {
    (void)o, (void)p;
    return (solver_claims){.order = 1, .from = 80, .to = 320, .stochastic = true};
}

static val fill(const problem *pb, rows *r, val z) {
    for (int n = 0; n < pb->steps; n++) {
        const double t = pb->t[n], s = pb->t[n + 1], h = t - s;
        const rows_ode ode = rows_ode_at(r, t);
        const blk F = process_drift(pb->process, t);
        const blk G = process_noise(pb->process, t);
        const term terms[] = {
            {z, blk_add(blk_add(blk_real(1), blk_scale(h, F)), blk_scale(-2 * h, ode.on_z))},
            {rows_predict(r, z, t), blk_scale(-2 * h, ode.on_y)},
            {rows_noise(r), blk_scale(sqrt(h), G)}};
        z = rows_lin(r, terms, 3);
        rows_step(r, z, s, 1);
    }
    return z;
}

const solver_row solver_em = {
    .is = {"em", "Euler-Maruyama on the reverse SDE", "arXiv:2011.13456 section 4",
           family_no_options},
    .spaces = SOLVER_SCALAR | SOLVER_PHASE,
    .claims = claims,
    .fill = fill,
};
