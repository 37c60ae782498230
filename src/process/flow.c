/* Rectified flow: straight lines from data to noise.
 *
 *   a = 1 - t,  b = t,  rho = t/(1 - t),  dx/dt = n - x_0
 *
 * Liu et al., arXiv 2209.03003; Lipman et al., arXiv 2210.02747, with time counted from data. At
 * t = 1 a = 0 and rho is infinite: solvers take their first step from there through x_0 and n. */
#include "process/process.h"

#include <math.h>

static dfl_status init(process *p, const opts *o) {
    (void)o;
    p->t_lo = 1e-12;
    return DFL_OK;
}

static void at(const process *p, double t, scalar_at *out) {
    (void)p;
    out->a = 1 - t;
    out->b = t;
    out->rho = t / (1 - t);
    out->lambda = log1p(-t) - log(t);
    out->da = -1;
    out->db = 1;
    out->drift = -1 / (1 - t);
    out->g2 = 2 * t / (1 - t);
}

static double time_of_rho(const process *p, double rho) {
    (void)p;
    return isinf(rho) ? 1 : rho / (1 + rho);
}

const process_row process_flow = {
    .is = {"flow", "rectified flow, x_t = (1 - t) x_0 + t n", "arXiv:2209.03003, 2210.02747",
           family_no_options},
    .components = 1,
    .reference_grid = "logsnr",
    .reference_options = "",
    .reference_start = 0.98,
    .init = init,
    .at = at,
    .time_of_rho = time_of_rho,
};
