/* DDIM(eta): the first-order step along the predicted noise, part of which is drawn afresh.
 *
 *   x_s = a_s x0 + sqrt(b_s^2 - sig^2) eps + sig z
 *   sig = eta b_s sqrt(1 - (a_t b_s / (a_s b_t))^2)    = eta b_s sqrt(1 - (rho_s / rho_t)^2)
 *
 * Song, Meng, Ermon, arXiv 2010.02502, eq. (12) and (16), written for any process in rho = b/a.
 * eta = 0 is deterministic, order 1 (and equal to DEIS of order 0); eta = 1 is ancestral sampling
 * with the small variance. One evaluation per step. No noise is drawn where b_s = 0.
 * Known value: vp_linear, 10 steps, power:kappa=2, t_end 1e-3, first sample of the two-dimensional
 * test mixture: (1.1312901474768924, 0.2405803963412560). */
#include "solver/solver.h"

#include <math.h>

static const opt_row options[] = {
    {"eta", OPT_REAL, "0", 0, 1, NULL, "part of the noise drawn afresh; 1 is ancestral"},
    {0},
};

static solver_claims claims(const opts *o, const process *p) {
    (void)p;
    const bool stochastic = opt_real(o, "eta") > 0;
    return (solver_claims){
        .order = 1, .from = 40, .to = 320, .stochastic = stochastic, .exact = true};
}

/* With q = rho_s / rho_t: neither root cancels. */
static val fill(const problem *pb, rows *r, val x) {
    const double eta = opt_real(pb->o, "eta");
    for (int n = 0; n < pb->steps; n++) {
        const scalar_at to = process_at(pb->process, pb->t[n + 1]);
        const double q = to.rho / process_at(pb->process, pb->t[n]).rho;
        const double fresh = eta * sqrt((1 - q) * (1 + q));
        x = solver_first_order(pb, r, x, n, solver_kept(eta, q), fresh * to.b);
        rows_step(r, x, pb->t[n + 1], 1);
    }
    return x;
}

const solver_row solver_ddim = {
    .is = {"ddim", "first order, deterministic or partly stochastic", "arXiv:2010.02502 eq. (12)",
           options},
    .spaces = SOLVER_SCALAR,
    .claims = claims,
    .fill = fill,
};
