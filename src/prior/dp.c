/* A truncated Dirichlet-process mixture of Gaussians by variational Bayes (Blei and Jordan 2006,
   Bayesian Analysis 1(1); the updates as in Bishop 2006, section 10.2, with sticks for weights):
   v_k ~ Beta(1, gamma), pi_k = v_k prod_{j<k} (1 - v_j); precision ~ Wishart(W0, nu0), mean given
   it ~ N(m0, (kappa0 precision)^-1). kappa0 = 1, m0 the data mean, nu0 = d; W0^-1 is the data's
   covariance as in scikit-learn, or, where that makes small components d times too narrow,
   nu0 x tail x covariance.

   The state of the fit is the prior with means m_k and covariances W_k^-1 / nu_k; the expected
   log-density differs from its log-density by a number for each component (dp_tilt). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/dense.h"
#include "prior/em.h"

struct em_dp {
    double nu0, *w0, log_w0;            /* W0^-1 [d][d], ln|W0| */
    double *a, *b, *kappa, *nu, *log_w; /* [k] each; ln|W_k| */
};

static const double kappa0 = 1;

double dp_digamma(double x) {
    double below = 0;
    for (; x < 10; x++) below -= 1 / x;
    const double y = 1 / (x * x);
    /* B_2n / (2n x^2n), n = 1 .. 7 */
    const double series =
        y * (1. / 12 -
             y * (1. / 120 -
                  y * (1. / 252 - y * (1. / 240 - y * (1. / 132 - y * (691. / 32760 - y / 12))))));
    return below + log(x) - 0.5 / x - series;
}

static double log_gamma(double x) {
    int sign;
    return lgamma_r(x, &sign);
}

static double log_beta(double a, double b) {
    return log_gamma(a) + log_gamma(b) - log_gamma(a + b);
}

dfl_status dp_new(em *e) {
    const size_t d = e->data->d, k = e->set.k;
    em_dp *const dp = e->dp = mem_array(1, sizeof *dp);
    if (!dp) return fail_memory();
    dp->nu0 = (double)d;
    dp->w0 = mem_array(mem_product(d, d, 1), sizeof(double));
    dp->a = mem_array(mem_product(k, 5, 1), sizeof(double));
    double *const l = mem_array(mem_product(d, d, 1), sizeof *l);
    dfl_status status = dp->w0 && dp->a && l ? DFL_OK : fail_memory();
    if (status == DFL_OK) {
        dp->b = dp->a + k;
        dp->kappa = dp->b + k;
        dp->nu = dp->kappa + k;
        dp->log_w = dp->nu + k;
        status = rows_moments(e->data, e->start, dp->w0);
    }
    const double scale = e->set.tail > 0 ? dp->nu0 * e->set.tail : 1;
    for (size_t i = 0; i < d * d && status == DFL_OK; i++) {
        dp->w0[i] *= scale;
        if (e->set.tail > 0 && i % (d + 1) == 0) dp->w0[i] += dp->nu0 * e->set.reg;
        l[i] = dp->w0[i];
    }
    if (status == DFL_OK) status = dense_cholesky(d, l);
    for (size_t i = 0; i < d && status == DFL_OK; i++) dp->log_w0 -= 2 * log(l[i * (d + 1)]);
    free(l);
    return status;
}

void dp_free(em_dp *dp) {
    if (!dp) return;
    free(dp->w0);
    free(dp->a);
    free(dp);
}

/* ---- maximisation ---------------------------------------------------------------------------- */

/* Stands in the prior's mean and covariance afterwards: m_k and W_k^-1 / nu_k. */
static void update_component(em *e, size_t k) {
    em_dp *const dp = e->dp;
    const size_t d = e->data->d;
    const double n = e->count[k], kappa = kappa0 + n, nu = dp->nu0 + n;
    double *const mean = e->p->mean + k * d, *const cov = e->p->cov + k * d * d;
    double *const delta = e->first + k * d, *const second = e->second + k * d * d;
    for (size_t i = 0; i < d; i++) delta[i] /= n;
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j < d; j++) {
            const double spread =
                second[i * d + j] - n * delta[i] * delta[j] + (i == j ? n * e->set.reg : 0);
            const double off =
                (mean[i] + delta[i] - e->start[i]) * (mean[j] + delta[j] - e->start[j]);
            cov[i * d + j] = (dp->w0[i * d + j] + spread + kappa0 * n / kappa * off) / nu;
        }
    for (size_t i = 0; i < d; i++)
        mean[i] = (kappa0 * e->start[i] + n * (mean[i] + delta[i])) / kappa;
    dp->kappa[k] = kappa;
    dp->nu[k] = nu;
}

dfl_status dp_maximise(em *e) {
    em_dp *const dp = e->dp;
    double after = 0, stick = 1, sum = 0;
    for (size_t k = e->p->k; k-- > 0;) {
        dp->a[k] = 1 + e->count[k];
        dp->b[k] = e->set.concentration + after;
        after += e->count[k];
        update_component(e, k);
    }
    for (size_t k = 0; k < e->p->k; k++) {
        const double v = dp->a[k] / (dp->a[k] + dp->b[k]);
        e->p->weight[k] = v * stick;
        if (!(e->p->weight[k] > 1e-300)) e->p->weight[k] = 1e-300;
        stick *= 1 - v;
        sum += e->p->weight[k];
    }
    for (size_t k = 0; k < e->p->k; k++) e->p->weight[k] /= sum;
    return DFL_OK;
}

/* sum_{j < d} psi((nu - j)/2) */
static double digamma_sum(size_t d, double nu) {
    double sum = 0;
    for (size_t j = 0; j < d; j++) sum += dp_digamma((nu - (double)j) / 2);
    return sum;
}

/* E ln pi_k + (E ln|Lambda_k| - ln|Lambda_k| - d/kappa_k)/2 in place of ln w_k, where |Lambda_k| is
   that of the covariance W_k^-1 / nu_k. */
void dp_tilt(em *e) {
    em_dp *const dp = e->dp;
    const double d = (double)e->data->d, log_2 = 0.69314718055994530942;
    double before = 0;
    for (size_t k = 0; k < e->p->k; k++) {
        const double all = dp_digamma(dp->a[k] + dp->b[k]);
        const double log_pi = dp_digamma(dp->a[k]) - all + before;
        const double widen = digamma_sum(e->data->d, dp->nu[k]) + d * log_2 - d * log(dp->nu[k]);
        /* log_scale = ln w - ln|cov|/2 - (d/2) ln 2 pi */
        const double log_cov = -2 * (e->p->log_scale[k] - log(e->p->weight[k])) - d * LOG_2PI;
        dp->log_w[k] = -(log_cov + d * log(dp->nu[k]));
        e->p->log_scale[k] += log_pi - log(e->p->weight[k]) + (widen - d / dp->kappa[k]) / 2;
        before += dp_digamma(dp->b[k]) - all;
    }
}

/* ln B(W, nu), the Wishart density's normalisation */
static double log_wishart(size_t side, double log_w, double nu) {
    const double d = (double)side;
    double sum = -nu / 2 * log_w - nu * d / 2 * 0.69314718055994530942 -
                 d * (d - 1) / 4 * 1.1447298858494001741;
    for (size_t j = 0; j < side; j++) sum -= log_gamma((nu - (double)j) / 2);
    return sum;
}

double dp_bound(const em *e) {
    const em_dp *const dp = e->dp;
    const size_t d = e->data->d;
    double bound = e->entropy - (double)e->data->n * (double)d / 2 * LOG_2PI;
    for (size_t k = 0; k < e->p->k; k++)
        bound += log_wishart(d, dp->log_w0, dp->nu0) - log_wishart(d, dp->log_w[k], dp->nu[k]) +
                 (double)d / 2 * log(kappa0 / dp->kappa[k]) + log_beta(dp->a[k], dp->b[k]) -
                 log_beta(1, e->set.concentration);
    return bound;
}

/* The expected log-density is not normalised: what is used from here on is the plain mixture. */
dfl_status dp_close(em *e) {
    const double light = 1e-4;
    for (size_t k = e->p->k; k-- > 0 && e->p->k > 1;)
        if (e->p->weight[k] < light) form_remove(e->p, k);
    return form_finish(e->p);
}
