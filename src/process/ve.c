/* Variance exploding processes, x/a = x_0 + sigma n with sigma = rho.
 *
 *   ve    sigma(t) = sigma_min (sigma_max/sigma_min)^t     Song et al., arXiv 2011.13456, eq. (9)
 *   edm   sigma(t) = sigma_max t                           Karras et al., arXiv 2206.00364
 *
 * The network sees x_0 + sigma n. States are kept in x = (x_0 + sigma n)/sqrt(1 + sigma^2), so that
 * slots hold values of order one and float32 suffices: a = 1/sqrt(1 + sigma^2), b = sigma a. Start
 * states and observers therefore see x, which at the end, sigma of 1e-2 and less, is x_0 to 5e-5.
 * ve leaves sigma_min at t = 0; t = 0 itself is clean data, by definition. */
#include "process/process.h"

#include <math.h>

static const opt_row ve_options[] = {
    {"sigma_min", OPT_REAL, "0.01", 1e-6, 1, NULL, "sigma at t = 0"},
    {"sigma_max", OPT_REAL, "50", 1, 1e5, NULL, "sigma at t = 1"},
    {0},
};

static const opt_row edm_options[] = {
    {"sigma_max", OPT_REAL, "80", 1, 1e5, NULL, "sigma at t = 1"},
    {0},
};

static dfl_status ve_init(process *p, const opts *o) {
    p->par[0] = opt_real(o, "sigma_min");
    p->par[1] = log(opt_real(o, "sigma_max") / p->par[0]);
    p->t_lo = 1e-12;
    p->rho_lo = p->par[0];
    if (p->par[1] > 0) return DFL_OK;
    return fail(DFL_E_COMBINATION, "process ve: sigma_max=%g must be above sigma_min=%g",
                opt_real(o, "sigma_max"), p->par[0]);
}

static void ve_at(const process *p, double t, scalar_at *out) {
    const double sigma = p->par[0] * exp(p->par[1] * t);
    process_from_rho(sigma, p->par[1] * sigma, out);
}

static double ve_time(const process *p, double rho) {
    return fmax(0, log(rho / p->par[0]) / p->par[1]);
}

static dfl_status edm_init(process *p, const opts *o) {
    p->par[0] = opt_real(o, "sigma_max");
    p->t_lo = 1e-12;
    return DFL_OK;
}

static void edm_at(const process *p, double t, scalar_at *out) {
    process_from_rho(p->par[0] * t, p->par[0], out);
}

static double edm_time(const process *p, double rho) {
    return rho / p->par[0];
}

/* x/a starts as sigma n, the data drowned in it. */
static blk prior(const process *p, double t) {
    return blk_real(process_at(p, t).b);
}

const process_row process_ve = {
    .is = {"ve", "variance exploding, sigma geometric in time", "arXiv:2011.13456 eq. (9)",
           ve_options},
    .components = 1,
    .unit_signal = true,
    .reference_grid = "uniform",
    .reference_options = "",
    .reference_start = 0.9,
    .init = ve_init,
    .at = ve_at,
    .time_of_rho = ve_time,
    .prior = prior,
};

const process_row process_edm = {
    .is = {"edm", "variance exploding, sigma linear in time", "arXiv:2206.00364", edm_options},
    .components = 1,
    .unit_signal = true,
    .reference_grid = "karras:rho=7",
    .reference_options = "",
    .reference_start = 0.25,
    .init = edm_init,
    .at = edm_at,
    .time_of_rho = edm_time,
    .prior = prior,
};
