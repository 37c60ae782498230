/* Rows of numbers, and their first two moments. */
#include "prior/rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/dense.h"

enum { BLOCK = 256, EXACT_MAX = 1024, NOISE_KIND = 5 };

dfl_status rows_get(const rows *r, size_t first, size_t count, double *x) {
    for (size_t i = 0; i < count; i++) TRY(r->get(r, first + i, x + i * r->d));
    return DFL_OK;
}

static dfl_status get_memory(const rows *r, size_t i, double *x) {
    memcpy(x, r->values + i * r->d, r->d * sizeof *x);
    return DFL_OK;
}

rows rows_memory(const double *values, size_t n, size_t d) {
    return (rows){.n = n, .d = d, .get = get_memory, .values = values};
}

static dfl_status get_subset(const rows *r, size_t i, double *x) {
    return r->from->get(r->from, r->index[i], x);
}

rows rows_subset(const rows *from, const size_t *index, size_t n) {
    return (rows){.n = n, .d = from->d, .get = get_subset, .from = from, .index = index};
}

static dfl_status get_noised(const rows *r, size_t i, double *x) {
    enum { PIECE = 64 };
    double z[PIECE];
    TRY(r->from->get(r->from, i, x));
    for (size_t at = 0; at < r->d; at += PIECE) {
        const size_t n = r->d - at < PIECE ? r->d - at : PIECE;
        noise_normals(r->seed, NOISE_KIND, r->pass, i, at, n, z);
        for (size_t j = 0; j < n; j++) x[at + j] = r->a * x[at + j] + r->b * z[j];
    }
    return DFL_OK;
}

rows rows_noised(const rows *from, double a, double b, uint64_t seed) {
    return (rows){
        .n = from->n, .d = from->d, .get = get_noised, .from = from, .a = a, .b = b, .seed = seed};
}

/* ---- moments --------------------------------------------------------------------------------- */

static dfl_status mean_of(const rows *r, double *x, double *mean) {
    for (size_t j = 0; j < r->d; j++) mean[j] = 0;
    for (size_t i = 0; i < r->n; i++) {
        TRY(r->get(r, i, x));
        for (size_t j = 0; j < r->d; j++) mean[j] += x[j];
    }
    for (size_t j = 0; j < r->d; j++) mean[j] /= (double)r->n;
    return DFL_OK;
}

static dfl_status centred(const rows *r, size_t first, size_t count, const double *mean,
                          double *x) {
    TRY(rows_get(r, first, count, x));
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < r->d; j++) x[i * r->d + j] -= mean[j];
    return DFL_OK;
}

dfl_status rows_moments(const rows *r, double *mean, double *cov) {
    const size_t d = r->d;
    double *const x = mem_array(mem_product(BLOCK, d, 1), sizeof *x);
    if (!x) return fail_memory();
    dfl_status status = mean_of(r, x, mean);
    if (cov) memset(cov, 0, d * d * sizeof *cov);
    for (size_t at = 0; cov && at < r->n && status == DFL_OK; at += BLOCK) {
        const size_t n = r->n - at < BLOCK ? r->n - at : BLOCK;
        status = centred(r, at, n, mean, x);
        if (status == DFL_OK) status = dense_gram(d, n, x, cov);
    }
    for (size_t i = 0; cov && i < d * d; i++) cov[i] /= r->n > 1 ? (double)(r->n - 1) : 1;
    free(x);
    return status;
}

/* ---- leading eigenvectors -------------------------------------------------------------------- */

static dfl_status leading_exact(const rows *r, size_t q, double *mean, double *vectors) {
    const size_t d = r->d;
    double *const cov = mem_array(mem_product(d, d, 1), sizeof *cov);
    double *const values = mem_array(d, sizeof *values);
    dfl_status status = cov && values ? DFL_OK : fail_memory();
    if (status == DFL_OK) status = rows_moments(r, mean, cov);
    if (status == DFL_OK) status = dense_eigen(d, cov, true, values);
    for (size_t j = 0; j < q && status == DFL_OK; j++)
        memcpy(vectors + j * d, cov + (d - 1 - j) * d, d * sizeof *cov);
    free(cov);
    free(values);
    return status;
}

/* v [p][d] becomes (C v')' by one pass over the rows. */
static dfl_status apply_cov(const rows *r, size_t p, const double *mean, double *v, double *x) {
    const size_t d = r->d;
    double *const y = mem_array(mem_product(BLOCK, p, 1), sizeof *y);
    double *const sum = mem_array(mem_product(p, d, 1), sizeof *sum);
    dfl_status status = y && sum ? DFL_OK : fail_memory();
    for (size_t at = 0; at < r->n && status == DFL_OK; at += BLOCK) {
        const size_t n = r->n - at < BLOCK ? r->n - at : BLOCK;
        const dense_product down = {n, p, d, false, true, 1, 0}, up = {p, d, n, true, false, 1, 1};
        status = centred(r, at, n, mean, x);
        if (status == DFL_OK) status = dense_multiply(&down, x, v, y);
        if (status == DFL_OK) status = dense_multiply(&up, y, x, sum);
    }
    if (status == DFL_OK) memcpy(v, sum, p * d * sizeof *v);
    free(y);
    free(sum);
    return status;
}

/* Rows at right angles and of unit length, by Gram-Schmidt, twice. */
void rows_orthonormal(size_t p, size_t d, double *v) {
    for (size_t i = 0; i < p; i++) {
        double *const row = v + i * d;
        for (int again = 0; again < 2; again++) {
            double length = 0;
            for (size_t j = 0; j < i; j++) {
                double s = 0;
                for (size_t e = 0; e < d; e++) s += row[e] * v[j * d + e];
                for (size_t e = 0; e < d; e++) row[e] -= s * v[j * d + e];
            }
            for (size_t e = 0; e < d; e++) length += row[e] * row[e];
            length = sqrt(length);
            for (size_t e = 0; e < d && length > 0; e++) row[e] /= length;
        }
    }
}

/* The rows of v span the leading directions well enough for seeding; they aren't turned further. */
static dfl_status leading_iterated(const rows *r, size_t q, double *mean, double *vectors) {
    enum { PASSES = 3 };
    double *const x = mem_array(mem_product(BLOCK, r->d, 1), sizeof *x);
    if (!x) return fail_memory();
    dfl_status status = rows_moments(r, mean, NULL);
    noise_normals(1, NOISE_KIND, 0, 0, 0, q * r->d, vectors);
    for (int i = 0; i < PASSES && status == DFL_OK; i++) {
        rows_orthonormal(q, r->d, vectors);
        status = apply_cov(r, q, mean, vectors, x);
    }
    rows_orthonormal(q, r->d, vectors);
    free(x);
    return status;
}

dfl_status rows_leading(const rows *r, size_t q, double *mean, double *vectors) {
    return r->d <= EXACT_MAX ? leading_exact(r, q, mean, vectors)
                             : leading_iterated(r, q, mean, vectors);
}
