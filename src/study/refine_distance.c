/* The Frechet distance between Gaussians of features as a sum of squares, with its derivative.
   With features f of mean m and covariance A over the samples, the teacher's of mean n and
   covariance B = R'R, the shortest way that brings the one to the other is

     f -> n + M (f - m),    M = R' G^-1/2 R,  G = R A R'

   (I. Olkin, F. Pukelsheim, Linear Algebra Appl. 48, 1982), so that the distance is |m - n|^2 +
   |(I - M) A^1/2|^2. Where G is singular, for features that do not vary, nothing reaches part
   of B, and that is added. A change dA of the covariance is brought about by the way f -> f + L
   (f - m), A L + L A = dA, the shortest again; so the rows are those of m - n and of (I - M)
   A^1/2, and of dm and L A^1/2. Their product is half the gradient, (I - M) dA being of trace 2
   tr (I - M) A L; and their squares leave out what moves samples and not their Gaussian, which
   rows of single samples would punish. All in the basis of A's eigenvectors. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/dense.h"
#include "study/refine.h"

/* What is more than rounding of eigenvalues, the last the largest. */
static double floor_of(size_t n, const double *values) {
    return (double)n * DBL_EPSILON * fmax(values[n - 1], 0);
}

static void scale_rows(size_t n, double power, const double *values, double *a) {
    const double floor = floor_of(n, values);
    for (size_t k = 0; k < n; k++) {
        const double scale = values[k] > floor ? pow(values[k], power) : 0;
        for (size_t j = 0; j < n; j++) a[k * n + j] *= scale;
    }
}

static double squares(const double *a, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += a[i] * a[i];
    return sum;
}

/* Mean [width] and covariance over count [width][width] of x [count][width]. */
static dfl_status gaussian_of(const float *x, size_t count, size_t width, double *mean,
                              double *cov) {
    double *const centred = mem_array(mem_product(count, width, 1), sizeof *centred);
    if (!centred) return fail_memory();
    memset(mean, 0, width * sizeof *mean);
    memset(cov, 0, width * width * sizeof *cov);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < width; k++) mean[k] += (double)x[i * width + k] / (double)count;
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < width; k++)
            centred[i * width + k] = ((double)x[i * width + k] - mean[k]) / sqrt((double)count);
    const dfl_status status = dense_gram(width, count, centred, cov);
    free(centred);
    return status;
}

/* (I - M) A^1/2 into to->gap, of the teacher's root `r`, [n][n], which is destroyed as `a` and `b` are. */
static dfl_status fill_gap(double *r, double *a, double *b, double *values, feature_distance *to) {
    const size_t n = to->width;
    const dense_product forth = {.m = n, .n = n, .k = n, .alpha = 1};
    const dense_product across = {.m = n, .n = n, .k = n, .transpose_b = true, .alpha = 1};
    const double whole = squares(r, n * n);
    TRY(dense_multiply(&across, r, to->vectors, a)); /* R in the basis of A */
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) r[i * n + j] = a[i * n + j] * sqrt(fmax(0, to->values[j]));
    TRY(dense_multiply(&across, r, r, b)); /* G */
    TRY(dense_eigen(n, b, true, values));
    TRY(dense_multiply(&forth, b, a, r));
    scale_rows(n, 0, values, r); /* r'r is what is reached of B */
    to->left = fmax(0, whole - squares(r, n * n));
    scale_rows(n, -0.25, values, r);
    memset(to->gap, 0, n * n * sizeof *to->gap);
    TRY(dense_gram(n, n, r, to->gap)); /* M */
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            to->gap[i * n + j] =
                ((i == j ? 1 : 0) - to->gap[i * n + j]) * sqrt(fmax(0, to->values[j]));
    return DFL_OK;
}

dfl_status feature_distance_new(size_t count, size_t width, const float *made, const float *truth,
                                feature_distance *out) {
    const size_t square = mem_product(width, width, 1);
    double *const scratch = mem_array(mem_product(square, 3, 1), sizeof *scratch);
    double *const other = mem_array(mem_product(width, 2, 1), sizeof *other);
    *out = (feature_distance){.count = count, .width = width};
    out->mean = mem_array(mem_product(width, 3, 1), sizeof *out->mean);
    out->vectors = mem_array(mem_product(square, 2, 1), sizeof *out->vectors);
    dfl_status status = scratch && other && out->mean && out->vectors ? DFL_OK : fail_memory();
    if (status != DFL_OK) goto done;
    double *const r = scratch, *const a = r + square, *const b = a + square;
    double *const values = other + width;
    out->values = out->mean + width;
    out->apart = out->values + width;
    out->gap = out->vectors + square;
    TRY_GOTO(gaussian_of(made, count, width, out->mean, out->vectors), done);
    TRY_GOTO(dense_eigen(width, out->vectors, true, out->values), done);
    TRY_GOTO(gaussian_of(truth, count, width, other, r), done);
    TRY_GOTO(dense_eigen(width, r, true, values), done);
    scale_rows(width, 0.5, values, r);
    for (size_t k = 0; k < width; k++) out->apart[k] = out->mean[k] - other[k];
    TRY_GOTO(fill_gap(r, a, b, values, out), done);
    out->distance = squares(out->apart, width) + squares(out->gap, square) + out->left;
done:
    free(scratch);
    free(other);
    if (status != DFL_OK) feature_distance_free(out);
    return status;
}

void feature_distance_free(feature_distance *d) {
    free(d->mean);
    free(d->vectors);
    *d = (feature_distance){0};
}

void feature_distance_change(const feature_distance *d, const float *made, const double *slope,
                             double *mean, double *cross) {
    const size_t width = d->width;
    for (size_t i = 0; i < width; i++) {
        const double from = ((double)made[i] - d->mean[i]) / (double)d->count;
        mean[i] += slope[i] / (double)d->count;
        for (size_t k = 0; k < width; k++) cross[i * width + k] += from * slope[k];
    }
}

dfl_status feature_distance_way(const feature_distance *d, double *cross) {
    const size_t n = d->width;
    const double floor = floor_of(n, d->values);
    const dense_product forth = {.m = n, .n = n, .k = n, .alpha = 1};
    const dense_product across = {.m = n, .n = n, .k = n, .transpose_b = true, .alpha = 1};
    double *const moved = mem_array(mem_product(n, n, 1), sizeof *moved);
    if (!moved) return fail_memory();
    dfl_status status = dense_multiply(&forth, d->vectors, cross, moved);
    if (status == DFL_OK) status = dense_multiply(&across, moved, d->vectors, cross);
    memcpy(moved, cross, n * n * sizeof *moved);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            const double sum = d->values[i] + d->values[j];
            const double way = sum > floor ? (moved[i * n + j] + moved[j * n + i]) / sum : 0;
            cross[i * n + j] = way * sqrt(fmax(0, d->values[j]));
        }
    free(moved);
    return status;
}
