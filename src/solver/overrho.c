#include "solver/overrho.h"

#include <math.h>

typedef struct {
    const process *p;
    rho_integrand *f;
    const void *user;
} integrand;

static double in_rho(double rho, void *user) {
    const integrand *g = user;
    return g->f(process_time_of_rho(g->p, rho), rho, g->user);
}

static double in_log_rho(double u, void *user) { /* drho = rho du */
    const double rho = exp(u);
    return rho * in_rho(rho, user);
}

/* Over [lo, hi], lo > 0: rho may span decades, and t has its singularities on rho's imaginary axis,
   at +-i and, where beta starts small, next to 0. In log rho they are pi/2 away: pieces of length up
   to 2. Short pieces, such as a table's segments, need few points. */
static double over_decades(integrand *g, double lo, double hi, int points) {
    const double u = log(lo), length = log(hi) - u;
    const int pieces = length > 2 ? (int)ceil(length / 2) : 1;
    if (length < 0.05) points = 8;
    double sum = 0;
    for (int i = 0; i < pieces; i++)
        sum += quad_gauss(in_log_rho, g, u + length * i / pieces, u + length * (i + 1) / pieces,
                          points);
    return sum;
}

/* Decades have no end at 0: the last piece is in rho, where the time is 0, or so small that f does
   not change any more. On the first segment of a table t is smooth in rho^2 all the way. */
double rho_integrate(const process *p, rho_integrand *f, const void *user, double lo, double hi,
                     int points) {
    integrand g = {p, f, user};
    if (isinf(hi)) return hi;
    if (lo > 0) return over_decades(&g, lo, hi, points);
    const double low = p->nknots ? fmin(hi, 1) : fmax(p->rho_lo, 1e-8 * hi);
    const double sum = quad_gauss(in_rho, &g, 0, low, points);
    return hi > low ? sum + over_decades(&g, low, hi, points) : sum;
}
