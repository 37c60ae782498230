/* LAPACK's work arrays are ours, so that a lack of memory is a status. LAPACK stores by columns: a
   symmetric matrix is the same either way, and our lower triangle is its upper one. */
#include "base/dense.h"

#include <cblas.h>
#include <lapacke.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static dfl_status check_size(size_t n) {
    if (n == 0 || n > INT_MAX)
        return fail(DFL_E_RANGE, "a matrix has side %zu: 1 to %d are possible", n, INT_MAX);
    return DFL_OK;
}

static dfl_status check_finite(size_t m, size_t n, const double *a) {
    for (size_t i = 0; i < m * n; i++)
        if (!isfinite(a[i]))
            return fail(DFL_E_NONFINITE, "entry (%zu, %zu) of a matrix is not finite", i / n,
                        i % n);
    return DFL_OK;
}

dfl_status dense_eigen(size_t n, double *a, bool vectors, double *values) {
    TRY(check_size(n));
    TRY(check_finite(n, n, a));
    const char job = vectors ? 'V' : 'N';
    const lapack_int side = (lapack_int)n;
    double length;
    lapack_int integers;
    lapack_int info = LAPACKE_dsyevd_work(LAPACK_COL_MAJOR, job, 'L', side, a, side, values,
                                          &length, -1, &integers, -1);
    if (info != 0 || length > INT_MAX)
        return fail(DFL_E_RANGE, "a matrix of side %zu is too large for its eigenvalues", n);
    double *const work = mem_array((size_t)length, sizeof *work);
    lapack_int *const iwork = mem_array((size_t)integers, sizeof *iwork);
    dfl_status status = work && iwork ? DFL_OK : fail_memory();
    if (status == DFL_OK) {
        info = LAPACKE_dsyevd_work(LAPACK_COL_MAJOR, job, 'L', side, a, side, values, work,
                                   (lapack_int)length, iwork, integers);
        if (info != 0)
            status =
                fail(DFL_E_NONFINITE, "the eigenvalues of a matrix of side %zu were not found", n);
    }
    free(work);
    free(iwork);
    return status;
}

dfl_status dense_singular(size_t m, size_t n, double *a, double *values) {
    TRY(check_size(m));
    TRY(check_size(n));
    TRY(check_finite(m, n, a));
    const lapack_int rows = (lapack_int)n, columns = (lapack_int)m; /* of a' */
    double length, none;
    lapack_int *const iwork = mem_array(8 * (m < n ? m : n), sizeof *iwork);
    if (!iwork) return fail_memory();
    lapack_int info = LAPACKE_dgesdd_work(LAPACK_COL_MAJOR, 'N', rows, columns, a, rows, values,
                                          &none, 1, &none, 1, &length, -1, iwork);
    dfl_status status = DFL_OK;
    if (info != 0 || length > INT_MAX)
        status =
            fail(DFL_E_RANGE, "a matrix of %zu by %zu is too large for its singular values", m, n);
    double *const work = status == DFL_OK ? mem_array((size_t)length, sizeof *work) : NULL;
    if (status == DFL_OK && !work) status = fail_memory();
    if (status == DFL_OK) {
        info = LAPACKE_dgesdd_work(LAPACK_COL_MAJOR, 'N', rows, columns, a, rows, values, &none, 1,
                                   &none, 1, work, (lapack_int)length, iwork);
        if (info != 0)
            status = fail(DFL_E_NONFINITE,
                          "the singular values of a matrix of %zu by %zu were not found", m, n);
    }
    free(work);
    free(iwork);
    return status;
}

dfl_status dense_cholesky(size_t n, double *a) {
    TRY(check_size(n));
    TRY(check_finite(n, n, a));
    const lapack_int side = (lapack_int)n;
    const lapack_int info = LAPACKE_dpotrf_work(LAPACK_COL_MAJOR, 'U', side, a, side);
    if (info != 0)
        return fail(DFL_E_RANGE, "a matrix of side %zu is not positive definite (pivot %d)", n,
                    (int)info);
    for (size_t i = 0; i < n; i++)
        for (size_t j = i + 1; j < n; j++) a[i * n + j] = 0;
    return DFL_OK;
}

dfl_status dense_solve_lower(size_t n, const double *l, bool transposed, size_t count, double *x) {
    TRY(check_size(n));
    if (count > INT_MAX) return fail(DFL_E_RANGE, "%zu rows are more than %d", count, INT_MAX);
    /* Rows from the left: y = L^-1 x is y' = x' L^-T. */
    cblas_dtrsm(CblasRowMajor, CblasRight, CblasLower, transposed ? CblasNoTrans : CblasTrans,
                CblasNonUnit, (int)count, (int)n, 1, l, (int)n, x, (int)n);
    return DFL_OK;
}

dfl_status dense_multiply(const dense_product *p, const double *a, const double *b, double *c) {
    TRY(check_size(p->m));
    TRY(check_size(p->n));
    TRY(check_size(p->k));
    cblas_dgemm(CblasRowMajor, p->transpose_a ? CblasTrans : CblasNoTrans,
                p->transpose_b ? CblasTrans : CblasNoTrans, (int)p->m, (int)p->n, (int)p->k,
                p->alpha, a, (int)(p->transpose_a ? p->m : p->k), b,
                (int)(p->transpose_b ? p->k : p->n), p->beta, c, (int)p->n);
    return DFL_OK;
}

dfl_status dense_gram(size_t n, size_t count, const double *x, double *s) {
    TRY(check_size(n));
    TRY(check_size(count));
    cblas_dsyrk(CblasRowMajor, CblasLower, CblasTrans, (int)n, (int)count, 1, x, (int)n, 1, s,
                (int)n);
    for (size_t i = 0; i < n; i++)
        for (size_t j = i + 1; j < n; j++) s[i * n + j] = s[j * n + i];
    return DFL_OK;
}

/* The rows under the triangle are few at a time, so that BLAS sums them in one thread: the result
   depends on nothing but the rows and their order. */
enum { ROWS_AT_ONCE = 128 };

/* a: by columns, [n][n + count], the triangle on top of the rows. */
static dfl_status factor(size_t n, size_t count, double *a, double *tau, double *work) {
    const lapack_int side = (lapack_int)n, high = (lapack_int)(n + count);
    const lapack_int info = LAPACKE_dgeqr2_work(LAPACK_COL_MAJOR, high, side, a, high, tau, work);
    return info == 0 ? DFL_OK : fail(DFL_E_INTERNAL, "dgeqr2 answers %d", (int)info);
}

static dfl_status take_rows(size_t n, size_t count, const double *x, double *r, double *a) {
    const size_t high = n + count;
    double *const tau = a + n * (n + ROWS_AT_ONCE), *const work = tau + n;
    for (size_t j = 0; j < n; j++) {
        for (size_t i = 0; i < n; i++) a[j * high + i] = r[i * n + j];
        for (size_t i = 0; i < count; i++) a[j * high + n + i] = x[i * n + j];
    }
    TRY(factor(n, count, a, tau, work));
    for (size_t i = 0; i < n; i++) {
        const double sign = a[i * high + i] < 0 ? -1 : 1;
        for (size_t j = 0; j < n; j++) r[i * n + j] = j < i ? 0 : sign * a[j * high + i];
    }
    return DFL_OK;
}

dfl_status dense_triangle(size_t n, size_t count, const double *x, double *r) {
    TRY(check_size(n));
    if (count > INT_MAX - n) return fail(DFL_E_RANGE, "%zu rows are more than %d", count, INT_MAX);
    TRY(check_finite(count, n, x));
    double *const a = mem_array(mem_product(n, n + ROWS_AT_ONCE + 2, 1), sizeof *a);
    dfl_status status = a ? DFL_OK : fail_memory();
    for (size_t i = 0; i < count && status == DFL_OK; i += ROWS_AT_ONCE) {
        const size_t left = count - i;
        status = take_rows(n, left < ROWS_AT_ONCE ? left : ROWS_AT_ONCE, x + i * n, r, a);
    }
    free(a);
    return status;
}

/* Our rows are LAPACK's columns: a' = L Q there, with a's memory as it is. */
dfl_status dense_orthonormal(size_t m, size_t n, double *a, double *l) {
    TRY(check_size(m));
    TRY(check_size(n));
    if (m < n) return fail(DFL_E_RANGE, "%zu rows are fewer than %zu columns", m, n);
    TRY(check_finite(m, n, a));
    const lapack_int high = (lapack_int)n, wide = (lapack_int)m;
    double one = 0, two = 0;
    LAPACKE_dgelqf_work(LAPACK_COL_MAJOR, high, wide, a, high, NULL, &one, -1);
    LAPACKE_dorglq_work(LAPACK_COL_MAJOR, high, wide, high, a, high, NULL, &two, -1);
    const size_t length = (size_t)(one > two ? one : two);
    double *const tau = mem_array(n + length, sizeof *tau);
    if (!tau) return fail_memory();
    double *const work = tau + n;
    lapack_int info =
        LAPACKE_dgelqf_work(LAPACK_COL_MAJOR, high, wide, a, high, tau, work, (lapack_int)length);
    for (size_t i = 0; i < n * n; i++) l[i] = i % n > i / n ? 0 : a[i % n * n + i / n];
    if (info == 0)
        info = LAPACKE_dorglq_work(LAPACK_COL_MAJOR, high, wide, high, a, high, tau, work,
                                   (lapack_int)length);
    free(tau);
    return info == 0 ? DFL_OK : fail(DFL_E_INTERNAL, "dgelqf or dorglq answers %d", (int)info);
}

static void to_columns(const dense_squares *p, double *a) {
    for (size_t i = 0; i < p->m; i++)
        for (size_t j = 0; j < p->n; j++) a[j * p->m + i] = p->a[i * p->n + j];
}

dfl_status dense_least_squares(const dense_squares *p, double *x, size_t *rank) {
    TRY(check_size(p->m));
    TRY(check_size(p->n));
    if (p->m < p->n)
        return fail(DFL_E_RANGE, "%zu equations are fewer than %zu unknowns", p->m, p->n);
    TRY(check_finite(p->m, p->n, p->a));
    TRY(check_finite(p->m, 1, p->b));
    const lapack_int m = (lapack_int)p->m, n = (lapack_int)p->n;
    lapack_int found = 0;
    double length = 0;
    lapack_int info = LAPACKE_dgelsy_work(LAPACK_COL_MAJOR, m, n, 1, NULL, m, NULL, m, NULL,
                                          p->rcond, &found, &length, -1);
    double *const a = mem_array(mem_product(p->m, p->n, 1), sizeof *a);
    double *const work = mem_array(info == 0 ? (size_t)length : 0, sizeof *work);
    lapack_int *const pivots = mem_array(p->n, sizeof *pivots);
    dfl_status status = a && work && pivots ? DFL_OK : fail_memory();
    if (status == DFL_OK) {
        to_columns(p, a);
        info = LAPACKE_dgelsy_work(LAPACK_COL_MAJOR, m, n, 1, a, m, p->b, m, pivots, p->rcond,
                                   &found, work, (lapack_int)length);
        if (info != 0) status = fail(DFL_E_INTERNAL, "dgelsy answers %d", (int)info);
    }
    if (status == DFL_OK) memcpy(x, p->b, p->n * sizeof *x);
    *rank = (size_t)found;
    free(a);
    free(work);
    free(pivots);
    return status;
}
