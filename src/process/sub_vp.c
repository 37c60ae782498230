/* sub-VP: the mean of vp_linear with less noise, b = 1 - a^2.
 *
 *   a = exp(-L/2),  b = -expm1(-L),  rho = 2 sinh(L/2),  L as in vp_linear
 *   f = -beta/2,  g^2 = beta (1 - exp(-2L));  L = 2 asinh(rho/2)
 *
 * Song et al., arXiv 2011.13456, eq. (14). Known value: defaults, t = 1: b = 0.99995681425. */
#include "process/process.h"

#include <math.h>

static const opt_row options[] = {
    {"beta_min", OPT_REAL, "0.1", 0, 100, NULL, "beta at t = 0"},
    {"beta_max", OPT_REAL, "20", 0.001, 1000, NULL, "beta at t = 1"},
    {0},
};

static dfl_status init(process *p, const opts *o) {
    p->par[0] = opt_real(o, "beta_min");
    p->par[1] = opt_real(o, "beta_max") - p->par[0];
    p->t_lo = 1e-12;
    return DFL_OK;
}

static void at(const process *p, double t, scalar_at *out) {
    const double beta = p->par[0] + p->par[1] * t, L = t * (p->par[0] + p->par[1] * t / 2);
    out->a = exp(-L / 2);
    out->b = -expm1(-L);
    out->rho = 2 * sinh(L / 2);
    out->lambda = -log(out->rho);
    out->drift = -beta / 2;
    out->g2 = -beta * expm1(-2 * L);
    out->da = -beta / 2 * out->a;
    out->db = beta * out->a * out->a;
}

static double time_of_rho(const process *p, double rho) {
    const double L = 2 * asinh(rho / 2), b0 = p->par[0];
    return 2 * L / (b0 + sqrt(b0 * b0 + 2 * p->par[1] * L));
}

const process_row process_sub_vp = {
    .is = {"sub_vp", "the mean of vp_linear with less noise", "arXiv:2011.13456 eq. (14)", options},
    .components = 1,
    .reference_grid = "power:kappa=2",
    .reference_options = "",
    .reference_start = 1,
    .init = init,
    .at = at,
    .time_of_rho = time_of_rho,
};
