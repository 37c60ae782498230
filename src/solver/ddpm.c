/* DDPM: ancestral sampling between any two times t > s.
 *
 *   x_s = mu + sig z,  mu = a_s x0 + (a_t b_s^2 / (a_s b_t^2)) (x - a_t x0)
 *   with q = rho_s / rho_t:   small  sig^2 = b_s^2 (1 - q^2)
 *                             large  sig^2 = b_t^2 (1 - q^2), the forward step's own variance,
 *                                    which for VP is 1 - (a_t / a_s)^2
 *
 * Ho, Jain, Abbeel, arXiv 2006.11239, eq. (7) and section 3.2 (fixed_small, fixed_large). "large"
 * overshoots the marginal's variance by design, so its labels are not exact. No noise is drawn on a
 * last step to clean data. One evaluation per step. The mean is a_s x0 + q b_s eps. */
#include "solver/solver.h"

#include <math.h>

enum { SMALL, LARGE };

static const opt_row options[] = {
    {"variance_type", OPT_CHOICE, "fixed_small", 0, 0, "fixed_small|fixed_large",
     "variance of the reverse step"},
    {0},
};

static solver_claims claims(const opts *o, const process *p) {
    (void)p;
    const bool small = opt_choice(o, "variance_type") == SMALL;
    return (solver_claims){
        .order = 1, .from = small ? 40 : 80, .to = 640, .stochastic = true, .exact = small};
}

static val fill(const problem *pb, rows *r, val x) {
    const bool large = opt_choice(pb->o, "variance_type") == LARGE;
    for (int n = 0; n < pb->steps; n++) {
        const scalar_at at = process_at(pb->process, pb->t[n]);
        const scalar_at to = process_at(pb->process, pb->t[n + 1]);
        const double q = to.rho / at.rho;
        const double sigma = to.b == 0 ? 0 : (large ? at.b : to.b) * sqrt((1 - q) * (1 + q));
        x = solver_first_order(pb, r, x, n, q, sigma);
        rows_step(r, x, pb->t[n + 1], 1);
    }
    return x;
}

const solver_row solver_ddpm = {
    .is = {"ddpm", "ancestral sampling with a fixed variance", "arXiv:2006.11239 eq. (7)", options},
    .spaces = SOLVER_SCALAR,
    .claims = claims,
    .fill = fill,
};
