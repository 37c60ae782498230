/* Variance preserving, alpha_bar a squared cosine of time.
 *
 *   c(t) = cos(u), u = (pi/2) (t + s)/(1 + s), u0 = u(0);  a = c(t)/c(0), or c(t) if not normalised
 *   L(t) = -log a^2,   dL/dt = pi/(1 + s) tan(u)
 *   t(rho): cos(u) = c(0) exp(-L/2), L = log1p(rho^2)
 *
 * Nichol and Dhariwal, arXiv 2102.09672, eq. (17). Normalised as in DPM-Solver (arXiv 2206.00927);
 * DEIS's code leaves the division by c(0) out, so that some noise (rho = 0.0124) is left at t = 0.
 * a(1) = 0, so times end at t_limit. With d = u - u0, log(c(t)/c(0)) = log1p(-2 sin^2(d/2) -
 * tan(u0) sin d), which does not cancel at small t; the inverse takes one Newton step on it.
 * Known value: normalised, t = 0.5: alpha_bar = 0.493843590440638. */
#include "process/process.h"

#include <math.h>

static const opt_row options[] = {
    {"s", OPT_REAL, "0.008", 1e-6, 1, NULL, "offset of the cosine"},
    {"normalised", OPT_BOOL, "1", 0, 0, NULL, "divide by the value at t = 0"},
    {"t_limit", OPT_REAL, "0.9946", 0.5, 0.9999, NULL, "largest time"},
    {0},
};

static const double half_pi = 1.57079632679489661923;

static dfl_status init(process *p, const opts *o) {
    const double s = opt_real(o, "s");
    p->par[0] = half_pi / (1 + s);     /* du/dt */
    p->par[1] = half_pi * s / (1 + s); /* u0 */
    p->mode = opt_bool(o, "normalised");
    p->t_lo = 1e-12;
    p->t_hi = opt_real(o, "t_limit");
    p->rho_lo = p->mode ? 0 : tan(p->par[1]);
    return DFL_OK;
}

/* -log (c(t)/c(0))^2 at angle d behind u0. */
static double log_fall(double d, double u0) {
    const double half = sin(d / 2);
    return -2 * log1p(-2 * half * half - tan(u0) * sin(d));
}

static double floor_of(const process *p) {
    return p->mode ? 0 : -2 * log(cos(p->par[1]));
}

static void at(const process *p, double t, scalar_at *out) {
    const double d = p->par[0] * t, u0 = p->par[1];
    process_from_log(floor_of(p) + log_fall(d, u0), 2 * p->par[0] * tan(u0 + d), out);
}

static double time_of_rho(const process *p, double rho) {
    const double L = log1p(rho * rho) - floor_of(p), u0 = p->par[1];
    double d = acos(fmin(1, cos(u0) * exp(-L / 2))) - u0;
    d += (L - log_fall(d, u0)) / (2 * tan(u0 + d));
    return fmax(0, d / p->par[0]);
}

const process_row process_vp_cosine = {
    .is = {"vp_cosine", "variance preserving, squared cosine in continuous time",
           "arXiv:2102.09672 eq. (17)", options},
    .components = 1,
    .reference_grid = "logsnr",
    .reference_options = "",
    .reference_start = 0.98,
    .init = init,
    .at = at,
    .time_of_rho = time_of_rho,
};
