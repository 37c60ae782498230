#include "solver/noisefactor.h"

#include <math.h>

/* Of z where the data is N(0, variance); 0: given x_0. */
static phase_cov covariance_of(const process *p, double variance, double t) {
    phase_cov s = phase_covariance(p, t);
    if (variance == 0) return s;
    marginal m;
    process_marginal(p, t, &m);
    const double x = m.a[0], y = m.a[1];
    s.det += variance * (x * x * s.mm - 2 * x * y * s.xm + y * y * s.xx);
    s.xx += variance * x * x;
    s.xm += variance * x * y;
    s.mm += variance * y * y;
    return s;
}

static blk factor_of(const process *p, double variance, double t) {
    return phase_factor(covariance_of(p, variance, t), false);
}

static blk factor_without_eps(const process *p, double t) {
    return factor_of(p, 0, t);
}

/* ---- integrals in sqrt(t) -------------------------------------------------------------------- */

typedef struct {
    void (*f)(double t, void *user, double *out);
    void *user;
    int m;
} root_integrand;

static void in_root(double root, void *user, double *out) {
    const root_integrand *g = user;
    g->f(root * root, g->user, out);
    for (int k = 0; k < g->m; k++) out[k] *= 2 * root;
}

void noise_integrate(void (*f)(double t, void *user, double *out), void *user, double lo, double hi,
                     int m, double *sum) {
    enum { POINTS = 32, FEW = 8, VALUES = 16 };
    root_integrand g = {f, user, m};
    const double least = lo > 0 ? lo : 1e-20 * hi;
    const double growth = log(hi / least) / log(16.0);
    const int points = hi < 1.02 * lo ? FEW : POINTS;
    const int pieces = growth > 1 ? (int)ceil(growth) : 1;
    for (int k = 0; k < m; k++) sum[k] = 0;
    for (int i = lo > 0 ? 0 : -1; i < pieces; i++) {
        const double from = i < 0    ? 0
                            : i == 0 ? least
                                     : least * pow(hi / least, (double)i / pieces);
        const double to = i == pieces - 1 ? hi : least * pow(hi / least, (double)(i + 1) / pieces);
        double part[VALUES];
        quad_gauss_n(in_root, &g, sqrt(from), sqrt(to), points, m, part);
        for (int k = 0; k < m; k++) sum[k] += part[k];
    }
}

/* ---- factors --------------------------------------------------------------------------------- */

typedef struct {
    const process *p;
    double variance;
} turn;

static void turning(double t, void *user, double *out) {
    const turn *w = user;
    const phase_par *par = phase_parameters(w->p);
    const blk l = factor_of(w->p, w->variance, t);
    const double l11 = l.v[0], l21 = l.v[2], l22 = l.v[3];
    out[0] =
        -phase_beta(w->p, t) / 2 * (l22 / l11) * (par->Minv - par->Gamma * l21 / (l11 * l22 * l22));
}

static double angle_of(const process *p, double variance, double from, double to) {
    turn w = {p, variance};
    double angle = 0;
    if (from == to) return 0;
    noise_integrate(turning, &w, fmin(from, to), fmax(from, to), 1, &angle);
    return from < to ? angle : -angle;
}

double noise_angle(const process *p, double from, double to) {
    return angle_of(p, 0, from, to);
}

static blk rotation(double angle) {
    return blk_2x2(cos(angle), -sin(angle), sin(angle), cos(angle));
}

blk noise_inverse(const rows *r, noise_factor factor, double t, double origin) {
    if (factor == FACTOR_CHOLESKY) return blk_transpose(blk_inverse(rows_factor(r, t)));
    const blk l = factor_without_eps(r->process, t);
    return blk_mul(blk_transpose(blk_inverse(l)), rotation(noise_angle(r->process, origin, t)));
}

blk noise_along_flow(const process *p, double t, double origin) {
    return blk_mul(factor_without_eps(p, t), rotation(noise_angle(p, origin, t)));
}

blk noise_flow(const process *p, double variance, double from, double to) {
    const blk turned =
        blk_mul(factor_of(p, variance, to), rotation(angle_of(p, variance, from, to)));
    return blk_mul(turned, blk_inverse(factor_of(p, variance, from)));
}

blk noise_from_output(const rows *r, noise_factor factor, double t) {
    if (factor == FACTOR_CHOLESKY) return rows_eps_map(r, t);
    const blk l = factor_without_eps(r->process, t);
    return blk_scale(-1, blk_mul(blk_transpose(l), rows_score_map(r, t)));
}

void noise_check(rows *r, noise_factor factor) {
    if (factor == FACTOR_CHOLESKY) return;
    if (r->out->components == 1)
        rows_fail(r, fail(DFL_E_COMBINATION, "factor=flow is for phase-space processes"));
    else if (r->form->half != NET_BOTH)
        rows_fail(r,
                  fail(DFL_E_COMBINATION,
                       "factor=flow needs a network that predicts both halves, x and m; this one "
                       "predicts one: take factor=cholesky"));
}
