/* SDE-DPM-Solver++, orders 1 and 2M: data prediction on the reverse SDE, exact in its linear part.
 *
 *   x_s = (b_s/b_t) e^-h x + a_s (1 - e^-2h) (m0 + D/2) + b_s sqrt(1 - e^-2h) z
 *   D = (m0 - m1)/r0 (order 2; 0 for 1), h = lambda_s - lambda_t, r0 = h_previous/h
 *   m0, m1: x_0 as predicted now and a step before
 *
 * Lu et al., arXiv 2211.01095, appendix; "sde-dpmsolver++" of diffusers, midpoint form. A step that
 * lands on t = 0 is the prediction itself. One evaluation per step; of mean and covariance,
 * order 1 and 2. Order 1 is DDIM with eta = 1. */
#include "solver/solver.h"

#include <math.h>

static const opt_row options[] = {
    {"order", OPT_INT, "2", 1, 2, NULL, "1, or 2 with the previous prediction"},
    {0},
};

static solver_claims claims(const opts *o, const process *p) {
    (void)p;
    const double order = (double)opt_int(o, "order");
    return (solver_claims){
        .order = order, .from = 40, .to = 320, .stochastic = true, .exact = true};
}

static val fill(const problem *pb, rows *r, val x) {
    const bool second = opt_int(pb->o, "order") == 2;
    double previous = 0; /* step in lambda */
    val m1 = 0;
    for (int n = 0; n < pb->steps; n++) {
        const scalar_at at = process_at(pb->process, pb->t[n]);
        const scalar_at to = process_at(pb->process, pb->t[n + 1]);
        const double q = to.rho / at.rho, h = -log(q), share = (1 - q) * (1 + q);
        const val m0 = rows_x0(r, x, pb->t[n]);
        const bool bend = second && n > 0 && to.b > 0;
        const double half = bend ? to.a * share * h / (2 * previous) : 0;
        term terms[] = {{x, blk_real(to.b / at.b * q)},
                        {m0, blk_real(to.a * share + half)},
                        {m1, blk_real(-half)},
                        {0, blk_real(to.b * sqrt(share))}};
        if (to.b > 0) terms[3].v = rows_noise(r);
        x = rows_lin(r, terms, 4);
        rows_step(r, x, pb->t[n + 1], bend ? 2 : 1);
        previous = h;
        m1 = m0;
    }
    return x;
}

const solver_row solver_sde_dpm = {
    .is = {"sde_dpm", "SDE-DPM-Solver++, data prediction", "arXiv:2211.01095", options},
    .spaces = SOLVER_SCALAR,
    .claims = claims,
    .fill = fill,
};
