/* Distances of start densities from the law at T. */
#include "run/mismatch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/dense.h"

double mismatch_number(double m2, double v, double scale) {
    const double s2 = scale * scale, r = v / s2;
    return (r - 1 - log(r) + m2 / s2) / 2;
}

mismatch mismatch_noise(const data_spread *data, double a, double b, double scale) {
    const double d = (double)data->d, m2 = a * a * data->mean_squares;
    double trace = 0, kl = mismatch_number(m2, scale * scale, scale), roots = 0;
    for (size_t i = 0; i < data->d; i++) {
        const double lam = data->lam ? data->lam[i] : data->var, v = a * a * lam + b * b;
        const double off = sqrt(v) - scale;
        trace += lam;
        kl += mismatch_number(0, v, scale);
        roots += off * off;
    }
    const double signal = m2 + a * a * trace;
    return (mismatch){.kl_low = kl,
                      .kl_high = mismatch_number(signal, scale * scale, scale) +
                                 d * mismatch_number(0, b * b, scale),
                      .w2_low = sqrt(m2 + roots),
                      .w2_high = sqrt(signal + d * (b - scale) * (b - scale))};
}

/* ---- two Gaussians --------------------------------------------------------------------------- */

/* c = op(l) s op(l)' for a lower factor, op(l) = l' here. t: scratch. */
static dfl_status between(size_t d, const double *l, const double *s, double *t, double *c) {
    const dense_product left = {d, d, d, true, false, 1, 0}, right = {d, d, d, false, false, 1, 0};
    TRY(dense_multiply(&left, l, s, t));
    return dense_multiply(&right, t, l, c);
}

/* Rows of t become L^-1 of what they were, then t is turned over: twice makes L^-1 S L^-T. */
static dfl_status whiten(size_t d, const double *l, double *t) {
    for (int twice = 0; twice < 2; twice++) {
        TRY(dense_solve_lower(d, l, false, d, t));
        for (size_t i = 0; i < d; i++)
            for (size_t j = 0; j < i; j++) {
                const double swap = t[i * d + j];
                t[i * d + j] = t[j * d + i];
                t[j * d + i] = swap;
            }
    }
    return DFL_OK;
}

typedef struct {
    double *l, *t, *c, *values, *off;
} room;

/* With q's covariance L L': the eigenvalues of L^-1 P L^-T give the divergence, those of L' P L are
   those of Q^(1/2) P Q^(1/2), whose roots the distance needs. */
static dfl_status measure(size_t d, const normal_law *p, const normal_law *q, room *r,
                          double result[2]) {
    double kl = 0, w2 = 0;
    memcpy(r->l, q->cov, d * d * sizeof *r->l);
    TRY(dense_cholesky(d, r->l));
    memcpy(r->t, p->cov, d * d * sizeof *r->t);
    TRY(whiten(d, r->l, r->t));
    TRY(dense_eigen(d, r->t, false, r->values));
    for (size_t i = 0; i < d; i++) {
        if (!(r->values[i] > 0))
            return fail(DFL_E_RANGE, "a covariance is not positive definite (eigenvalue %g)",
                        r->values[i]);
        kl += mismatch_number(0, r->values[i], 1);
        r->off[i] = p->mean[i] - q->mean[i];
        w2 += r->off[i] * r->off[i] + p->cov[i * d + i] + q->cov[i * d + i];
    }
    TRY(dense_solve_lower(d, r->l, false, 1, r->off));
    for (size_t i = 0; i < d; i++) kl += r->off[i] * r->off[i] / 2;
    TRY(between(d, r->l, p->cov, r->t, r->c));
    TRY(dense_eigen(d, r->c, false, r->values));
    for (size_t i = 0; i < d; i++) w2 -= 2 * sqrt(fmax(r->values[i], 0));
    result[0] = fmax(kl, 0);
    result[1] = sqrt(fmax(w2, 0));
    return DFL_OK;
}

dfl_status mismatch_normals(size_t d, const normal_law *p, const normal_law *q, double *kl,
                            double *w2) {
    const size_t square = mem_product(d, d, 1);
    room r = {mem_array(square, sizeof(double)), mem_array(square, sizeof(double)),
              mem_array(square, sizeof(double)), mem_array(d, sizeof(double)),
              mem_array(d, sizeof(double))};
    double result[2] = {NAN, NAN};
    dfl_status status = DFL_OK;
    if (!r.l || !r.t || !r.c || !r.values || !r.off) status = fail_memory();
    if (status == DFL_OK) status = measure(d, p, q, &r, result);
    *kl = result[0];
    *w2 = result[1];
    free(r.l);
    free(r.t);
    free(r.c);
    free(r.values);
    free(r.off);
    return status;
}

/* ---- by sampling ----------------------------------------------------------------------------- */

enum { BLOCK = 64 }; /* samples at once */

/* log p(x) - log N(x; 0, scale^2 I) at samples first, ..., first + n - 1 of p: x [n][d] is room. */
static dfl_status log_ratios(const prior *p, double scale, uint64_t first, size_t n, double *x,
                             double *ratio) {
    const size_t d = prior_dim(p);
    const double two_pi = 2 * acos(-1.0);
    for (size_t i = 0; i < n; i++) TRY(prior_draw(p, 0, first + i, x + i * d));
    TRY(prior_logp_block(p, x, n, ratio));
    for (size_t i = 0; i < n; i++) {
        double square = 0;
        for (size_t j = i * d; j < (i + 1) * d; j++) square += x[j] * x[j];
        ratio[i] += square / (2 * scale * scale) + (double)d * log(two_pi * scale * scale) / 2;
    }
    return DFL_OK;
}

typedef struct {
    double mean, m2;
} running;

static void add(running *r, size_t n, double x) {
    const double off = x - r->mean;
    r->mean += off / (double)n;
    r->m2 += off * (x - r->mean);
}

/* Two estimators of E log(p/q): the plain mean, and with r = log(q/p) the mean of exp(r) - 1 - r,
   whose errors fall with the divergence itself but which has no variance where q is far. */
dfl_status mismatch_sampled(const prior *p, double scale, size_t n, double *kl, double *error) {
    running plain = {0, 0}, guarded = {0, 0};
    double *const x = mem_array(mem_product(BLOCK, prior_dim(p), 1), sizeof *x), ratio[BLOCK] = {0};
    dfl_status status = x && n > 1 ? DFL_OK : fail_memory();
    for (size_t at = 0; at < n && status == DFL_OK; at += BLOCK) {
        const size_t count = n - at < BLOCK ? n - at : BLOCK;
        status = log_ratios(p, scale, at, count, x, ratio);
        for (size_t i = 0; i < count && status == DFL_OK; i++) {
            add(&plain, at + i + 1, ratio[i]);
            add(&guarded, at + i + 1, expm1(-ratio[i]) + ratio[i]);
        }
    }
    const running *const best = plain.mean < 0.1 ? &guarded : &plain;
    *kl = best->mean;
    *error = n > 1 ? sqrt(best->m2 / (double)(n - 1) / (double)n) : NAN;
    free(x);
    return status;
}
