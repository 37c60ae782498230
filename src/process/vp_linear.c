/* Variance preserving, beta(t) = beta_min + (beta_max - beta_min) t, continuous in t.
 *
 *   L(t) = -log a^2 = beta_min t + (beta_max - beta_min) t^2 / 2
 *   a = exp(-L/2),  b = sqrt(-expm1(-L)),  rho = sqrt(expm1(L))
 *   t(rho): L = log1p(rho^2),  t = 2 L / (beta_min + sqrt(beta_min^2 + 2 (beta_max - beta_min) L))
 *
 * Song et al., arXiv 2011.13456, eq. (11) and appendix C; the inverse is the root without
 * cancellation. Known value: rho(1) = 152.16697028394648 for the default betas. */
#include "process/process.h"

#include <math.h>

static const opt_row options[] = {
    {"beta_min", OPT_REAL, "0.1", 0, 100, NULL, "beta at t = 0"},
    {"beta_max", OPT_REAL, "20", 0, 1000, NULL, "beta at t = 1"},
    {0},
};

static dfl_status init(process *p, const opts *o) {
    p->par[0] = opt_real(o, "beta_min");
    p->par[1] = opt_real(o, "beta_max") - p->par[0];
    if (opt_real(o, "beta_max") <= 0)
        return fail(DFL_E_RANGE, "process vp_linear: beta_max=0 adds no noise; it must be above 0");
    p->t_lo = 1e-12;
    return DFL_OK;
}

static void at(const process *p, double t, scalar_at *out) {
    const double beta = p->par[0] + p->par[1] * t;
    process_from_log(t * (p->par[0] + p->par[1] * t / 2), beta, out);
}

static double time_of_rho(const process *p, double rho) {
    const double L = log1p(rho * rho), b0 = p->par[0];
    return 2 * L / (b0 + sqrt(b0 * b0 + 2 * p->par[1] * L));
}

const process_row process_vp_linear = {
    .is = {"vp_linear", "variance preserving, beta linear in continuous time",
           "arXiv:2011.13456 eq. (11)", options},
    .components = 1,
    .reference_grid = "power:kappa=2",
    .reference_options = "",
    .reference_start = 1,
    .init = init,
    .at = at,
    .time_of_rho = time_of_rho,
};
