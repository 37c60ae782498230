/* Frechet distances to one reference, and resampling. */
#include "eval/yardstick.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/dense.h"

/* DRAW_RESAMPLE: a kind of random number that no plan draws. */
enum { PIECE = 256, WEIGHT_MAX = UINT16_MAX, DRAW_RESAMPLE = 8 };

/* ---- the distance ---------------------------------------------------------------------------- */

/* a becomes sum of sqrt(value_k) v_k v_k'; rounding may leave values a little below zero. */
static dfl_status symmetric_root(size_t d, const double *a, double *root) {
    double *v = mem_array(mem_product(d, d, 1), sizeof *v), *value = mem_array(d, sizeof *value);
    dfl_status status = DFL_OK;
    TRY_GOTO(v && value ? DFL_OK : fail_memory(), done);
    memcpy(v, a, d * d * sizeof *v);
    TRY_GOTO(dense_eigen(d, v, true, value), done);
    for (size_t k = 0; k < d; k++) {
        const double quarter = sqrt(sqrt(fmax(value[k], 0)));
        for (size_t i = 0; i < d; i++) v[k * d + i] *= quarter;
    }
    memset(root, 0, d * d * sizeof *root);
    status = dense_gram(d, d, v, root);
done:
    free(v);
    free(value);
    return status;
}

static double trace(size_t d, const double *a) {
    double sum = 0;
    for (size_t i = 0; i < d; i++) sum += a[i * d + i];
    return sum;
}

dfl_status yardstick_new(size_t d, const double *mean, const double *cov, yardstick *out) {
    *out = (yardstick){.d = d, .trace = trace(d, cov)};
    out->mean = mem_array(d, sizeof *out->mean);
    out->root = mem_array(mem_product(d, d, 1), sizeof *out->root);
    dfl_status status = out->mean && out->root ? DFL_OK : fail_memory();
    for (size_t i = 0; status == DFL_OK && i < d; i++) {
        out->mean[i] = mean[i];
        if (!isfinite(mean[i]))
            status = fail(DFL_E_NONFINITE, "the reference has a mean that is no finite number");
    }
    if (status == DFL_OK) status = symmetric_root(d, cov, out->root);
    if (status != DFL_OK) yardstick_free(out);
    return status;
}

void yardstick_free(yardstick *y) {
    free(y->mean);
    free(y->root);
    *y = (yardstick){0};
}

/* Sum of the square roots of the eigenvalues of R S R; m and t are scratch [d][d], v [d]. */
static dfl_status root_sum(const yardstick *y, const double *cov, double *m[2], double *v,
                           double *out) {
    const size_t d = y->d;
    const dense_product p = {.m = d, .n = d, .k = d, .alpha = 1};
    *out = 0;
    TRY(dense_multiply(&p, y->root, cov, m[0]));
    TRY(dense_multiply(&p, m[0], y->root, m[1]));
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j < i; j++) {
            const double both = (m[1][i * d + j] + m[1][j * d + i]) / 2;
            m[1][i * d + j] = m[1][j * d + i] = both;
        }
    TRY(dense_eigen(d, m[1], false, v));
    for (size_t i = 0; i < d; i++) *out += sqrt(fmax(v[i], 0));
    return DFL_OK;
}

dfl_status yardstick_distance(const yardstick *y, const double *mean, const double *cov,
                              double *out) {
    const size_t d = y->d, area = mem_product(d, d, 1);
    double *m[2] = {mem_array(area, sizeof(double)), mem_array(area, sizeof(double))};
    double *v = mem_array(d, sizeof *v), shift = 0, roots = 0;
    const dfl_status status = m[0] && m[1] && v ? root_sum(y, cov, m, v, &roots) : fail_memory();
    for (size_t i = 0; i < d; i++) shift += (mean[i] - y->mean[i]) * (mean[i] - y->mean[i]);
    *out = fmax(shift + trace(d, cov) + y->trace - 2 * roots, 0);
    free(m[0]);
    free(m[1]);
    free(v);
    TRY(status);
    return isfinite(*out) ? DFL_OK : fail(DFL_E_NONFINITE, "a Frechet distance is not finite");
}

/* ---- moments of weighted rows ---------------------------------------------------------------- */

static double weight_of(const weighted *w, size_t i) {
    return w->weight ? w->weight[i] : 1;
}

/* Adds sqrt(weight) times the differences to `centre`, row by row, to the gram matrix, and the
   weighted differences to `shift`. */
static dfl_status add_rows(const weighted *w, const double *centre, double *shift, double *cov) {
    const size_t d = w->d;
    double *piece = mem_array(mem_product(PIECE, d, 1), sizeof *piece);
    dfl_status status = piece ? DFL_OK : fail_memory();
    size_t held = 0;
    for (size_t i = 0; status == DFL_OK && i < w->n; i++) {
        const double by = weight_of(w, i), root = sqrt(by);
        if (by > 0) {
            for (size_t k = 0; k < d; k++) {
                const double off = (double)w->x[i * d + k] - centre[k];
                piece[held * d + k] = root * off;
                shift[k] += by * off;
            }
            held++;
        }
        if (held == PIECE || (held > 0 && i + 1 == w->n)) {
            status = dense_gram(d, held, piece, cov);
            held = 0;
        }
    }
    free(piece);
    return status;
}

dfl_status weighted_moments(const weighted *w, double *mean, double *cov) {
    const size_t d = w->d;
    double total = 0, *centre = mem_array(d, sizeof *centre);
    if (!centre) return fail_memory();
    for (size_t i = 0; i < w->n; i++) {
        total += weight_of(w, i);
        for (size_t k = 0; k < d; k++) centre[k] += (double)w->x[i * d + k] / (double)w->n;
    }
    memset(mean, 0, d * sizeof *mean);
    memset(cov, 0, d * d * sizeof *cov);
    dfl_status status = total >= 2 ? DFL_OK : fail(DFL_E_RANGE, "a covariance needs two pictures");
    if (status == DFL_OK) status = add_rows(w, centre, mean, cov);
    for (size_t k = 0; k < d; k++) mean[k] /= total;
    for (size_t k = 0; status == DFL_OK && k < d; k++)
        for (size_t l = 0; l < d; l++)
            cov[k * d + l] = (cov[k * d + l] - total * mean[k] * mean[l]) / (total - 1);
    for (size_t k = 0; k < d; k++) mean[k] += centre[k];
    free(centre);
    return status;
}

dfl_status yardstick_measure(const yardstick *y, const weighted *w, double *out) {
    double *mean = mem_array(w->d, sizeof *mean);
    double *cov = mem_array(mem_product(w->d, w->d, 1), sizeof *cov);
    dfl_status status = mean && cov ? weighted_moments(w, mean, cov) : fail_memory();
    if (status == DFL_OK) status = yardstick_distance(y, mean, cov, out);
    free(mean);
    free(cov);
    return status;
}

/* ---- resampling ------------------------------------------------------------------------------ */

void resample(uint64_t seed, uint32_t replicate, size_t n, uint16_t *weight) {
    memset(weight, 0, n * sizeof *weight);
    for (size_t i = 0; i < n; i++) {
        const double u = noise_uniform(seed, DRAW_RESAMPLE, replicate, i);
        size_t at = (size_t)(u * (double)n);
        if (at >= n) at = n - 1;
        if (weight[at] < WEIGHT_MAX) weight[at]++;
    }
}

static int rising(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Linear between neighbours, as NumPy's default. */
static double quantile(const double *sorted, size_t n, double q) {
    const double at = q * (double)(n - 1);
    const size_t i = (size_t)at;
    if (i + 1 >= n) return sorted[n - 1];
    return sorted[i] + (at - (double)i) * (sorted[i + 1] - sorted[i]);
}

spread spread_of(double estimate, double *replicates, size_t n) {
    double mean = 0, sum = 0;
    for (size_t i = 0; i < n; i++) mean += replicates[i] / (double)n;
    for (size_t i = 0; i < n; i++) sum += (replicates[i] - mean) * (replicates[i] - mean);
    qsort(replicates, n, sizeof *replicates, rising);
    const double move = estimate - mean;
    return (spread){sqrt(sum / (double)(n - 1)), quantile(replicates, n, 0.025) + move,
                    quantile(replicates, n, 0.975) + move};
}
