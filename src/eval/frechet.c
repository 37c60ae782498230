/* The Frechet distance between Gaussians (D. C. Dowson, B. V. Landau, J. Multivariate Analysis 12,
 * 1982):
 *
 *   |m_a - m_b|^2 + tr A + tr B - 2 tr (A^1/2 B A^1/2)^1/2
 *
 * With roots A = R'R, B = S'S, the last trace is the sum of the singular values of R S': their
 * squares are the eigenvalues of R B R'. The values themselves come out within an epsilon of the
 * largest, where the roots of eigenvalues would come out within the root of an epsilon; that
 * matters for the many small ones of a covariance of features. R and S are from symmetric
 * eigenvalue problems, and have as many rows as the covariance has rank: a row of rounding noise,
 * 1e-8 of the largest, would add up as well. */
#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/dense.h"
#include "eval/moments.h"

#define TOLERANCE 1e-6 /* of a stranger's covariance, which may have been in single precision */

dfl_status gaussian_of(const moments *m, gaussian *out) {
    *out = (gaussian){.d = m->d, .n = m->n};
    if (m->n < 2)
        return fail(DFL_E_RANGE, "a covariance needs at least 2 samples, not %llu",
                    (unsigned long long)m->n);
    const size_t d = m->d;
    out->mean = mem_array(d, sizeof *out->mean);
    out->cov = mem_array(mem_product(d, d, 1), sizeof *out->cov);
    if (!out->mean || !out->cov) {
        gaussian_free(out);
        return fail_memory();
    }
    memcpy(out->mean, m->mean, d * sizeof *out->mean);
    for (size_t i = 0; i < d * d; i++) out->cov[i] = m->m2[i] / (double)(m->n - 1);
    return DFL_OK;
}

void gaussian_free(gaussian *g) {
    free(g->mean);
    free(g->cov);
    *g = (gaussian){0};
}

static dfl_status check_numbers(const gaussian *g) {
    const size_t d = g->d;
    if (d == 0 || d > INT_MAX)
        return fail(DFL_E_RANGE, "a Gaussian of %zu features: 1 to %d are possible", d, INT_MAX);
    if (g->n == 1) return fail(DFL_E_RANGE, "a covariance needs at least 2 samples, not 1");
    for (size_t i = 0; i < d; i++)
        if (!isfinite(g->mean[i]))
            return fail(DFL_E_NONFINITE, "mean of feature %zu is not finite", i);
    for (size_t i = 0; i < d * d; i++)
        if (!isfinite(g->cov[i]))
            return fail(DFL_E_NONFINITE, "covariance (%zu, %zu) is not finite", i / d, i % d);
    return DFL_OK;
}

dfl_status gaussian_check(gaussian *g) {
    TRY(check_numbers(g));
    const size_t d = g->d;
    double largest = 0;
    for (size_t i = 0; i < d; i++) {
        if (g->cov[i * d + i] < 0)
            return fail(DFL_E_FORMAT, "the variance of feature %zu is %g, below zero", i,
                        g->cov[i * d + i]);
        largest = fmax(largest, g->cov[i * d + i]);
    }
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j < i; j++) {
            const double low = g->cov[i * d + j], high = g->cov[j * d + i];
            if (fabs(low - high) > TOLERANCE * largest)
                return fail(DFL_E_FORMAT,
                            "the covariance is not symmetric: %g at (%zu, %zu), %g at (%zu, %zu)",
                            low, i, j, high, j, i);
            g->cov[i * d + j] = g->cov[j * d + i] = low / 2 + high / 2;
        }
    return DFL_OK;
}

/* How many of the ascending eigenvalues, from the last, are more than rounding, and possible for n
   samples. */
static dfl_status find_rank(const gaussian *g, const double *values, size_t *rank) {
    const size_t d = g->d;
    const double largest = fmax(fabs(values[0]), values[d - 1]);
    const double floor = (double)d * DBL_EPSILON * largest;
    if (values[0] < -fmax(TOLERANCE * largest, floor))
        return fail(
            DFL_E_RANGE,
            "a covariance has the eigenvalue %g, the largest being %g: that is not rounding",
            values[0], values[d - 1]);
    size_t found = 0;
    while (found < d && values[d - 1 - found] > floor) found++;
    *rank = g->n > 0 && g->n - 1 < found ? (size_t)(g->n - 1) : found;
    return DFL_OK;
}

dfl_status gaussian_root_of(const gaussian *g, gaussian_root *out) {
    *out = (gaussian_root){.d = g->d};
    TRY(check_numbers(g));
    const size_t d = g->d;
    dfl_status status = DFL_OK;
    double *const values = mem_array(d, sizeof *values);
    out->mean = mem_array(d, sizeof *out->mean);
    out->root = mem_array(mem_product(d, d, 1), sizeof *out->root);
    if (!values || !out->mean || !out->root) {
        status = fail_memory();
        goto done;
    }
    memcpy(out->mean, g->mean, d * sizeof *out->mean);
    memcpy(out->root, g->cov, d * d * sizeof *out->root);
    for (size_t i = 0; i < d; i++) out->trace += g->cov[i * d + i];
    TRY_GOTO(dense_eigen(d, out->root, true, values), done);
    TRY_GOTO(find_rank(g, values, &out->rank), done);
    for (size_t k = 0; k < out->rank; k++) {
        const double scale = sqrt(values[d - out->rank + k]);
        const double *const from = out->root + (d - out->rank + k) * d;
        for (size_t j = 0; j < d; j++) out->root[k * d + j] = scale * from[j];
    }
done:
    free(values);
    if (status != DFL_OK) gaussian_root_free(out);
    return status;
}

void gaussian_root_free(gaussian_root *r) {
    free(r->mean);
    free(r->root);
    *r = (gaussian_root){0};
}

/* Sum of the singular values of R S'. */
static dfl_status add_overlap(const gaussian_root *a, const gaussian_root *b, double *overlap) {
    const size_t ra = a->rank, rb = b->rank, small = ra < rb ? ra : rb;
    *overlap = 0;
    if (small == 0) return DFL_OK;
    double *const both = mem_array(mem_product(ra, rb, 1), sizeof *both);
    double *const values = mem_array(small, sizeof *values);
    dfl_status status = both && values ? DFL_OK : fail_memory();
    const dense_product p = {.m = ra, .n = rb, .k = a->d, .transpose_b = true, .alpha = 1};
    if (status == DFL_OK) status = dense_multiply(&p, a->root, b->root, both);
    if (status == DFL_OK) status = dense_singular(ra, rb, both, values);
    for (size_t i = small; i-- > 0 && status == DFL_OK;) *overlap += values[i];
    free(both);
    free(values);
    return status;
}

dfl_status frechet_roots(const gaussian_root *a, const gaussian_root *b, double *out) {
    TRY(features_check_widths(a->d, b->d));
    double overlap, apart = 0;
    TRY(add_overlap(a, b, &overlap));
    for (size_t j = 0; j < a->d; j++)
        apart += (a->mean[j] - b->mean[j]) * (a->mean[j] - b->mean[j]);
    const double distance = apart + (a->trace + b->trace - 2 * overlap);
    if (!isfinite(distance))
        return fail(DFL_E_NONFINITE, "the Frechet distance is too large for a number");
    *out = fmax(0, distance);
    return DFL_OK;
}

dfl_status frechet_gaussian(const gaussian *a, const gaussian *b, double *out) {
    TRY(features_check_widths(a->d, b->d));
    gaussian_root ra = {0}, rb = {0};
    dfl_status status = gaussian_root_of(a, &ra);
    if (status == DFL_OK) status = gaussian_root_of(b, &rb);
    if (status == DFL_OK) status = frechet_roots(&ra, &rb, out);
    gaussian_root_free(&ra);
    gaussian_root_free(&rb);
    return status;
}

dfl_status frechet(const moments *a, const moments *b, double *out) {
    TRY(features_check_widths(a->d, b->d));
    gaussian ga = {0}, gb = {0};
    dfl_status status = gaussian_of(a, &ga);
    if (status == DFL_OK) status = gaussian_of(b, &gb);
    if (status == DFL_OK) status = frechet_gaussian(&ga, &gb, out);
    gaussian_free(&ga);
    gaussian_free(&gb);
    return status;
}
