/* LAPACK's work arrays are ours, so that a lack of memory is a status. LAPACK stores by columns: a
   symmetric matrix is the same either way, and our lower triangle is its upper one. */
#include "base/dense.h"

#include <cblas.h>
#include <lapacke.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>

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
