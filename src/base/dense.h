/* Dense matrices through LAPACK and BLAS. All are row-major and in double; a symmetric matrix is
   given and returned whole. This is the one place that includes their headers. */
#ifndef DFL_DENSE_H
#define DFL_DENSE_H

#include "base/base.h"

/* Eigenvalues of the symmetric a [n][n], ascending, into values [n]; where `vectors` is set, row k
   of a becomes the unit eigenvector of value k, else a is destroyed. E_NONFINITE if a has an entry
   that is not finite; E_NONFINITE also if the iteration does not converge. */
dfl_status dense_eigen(size_t n, double *a, bool vectors, double *values);

/* Singular values of a [m][n], descending, into values [min(m, n)]; a is destroyed. Failures as of
   dense_eigen(). */
dfl_status dense_singular(size_t m, size_t n, double *a, double *values);

/* a [n][n], symmetric and positive definite, becomes its lower Cholesky factor L with zeros above
   the diagonal, a = L L'. E_RANGE if it is not positive definite: the message names the pivot. */
dfl_status dense_cholesky(size_t n, double *a);

/* Rows of x [count][n] become L^-1 x, or with `transposed` L^-T x; L [n][n] lower. */
dfl_status dense_solve_lower(size_t n, const double *l, bool transposed, size_t count, double *x);

/* A product of matrices, c = alpha op(a) op(b) + beta c, op(a) [m][k], op(b) [k][n], c [m][n]. */
typedef struct {
    size_t m, n, k;
    bool transpose_a, transpose_b; /* then a is stored [k][m], b [n][k] */
    double alpha, beta;
} dense_product;
dfl_status dense_multiply(const dense_product *p, const double *a, const double *b, double *c);

/* s [n][n] += x' x for x [count][n]: whole, not one triangle. */
dfl_status dense_gram(size_t n, size_t count, const double *x, double *s);

/* The triangle r [n][n] of rows seen so far (zero at first) takes in count more, x [count][n]: r
   becomes the upper triangular R with R'R = r'r + x'x, its diagonal not negative. It is the Gram
   matrix's Cholesky factor, from a QR factorisation, so that no digits are lost to squares. */
dfl_status dense_triangle(size_t n, size_t count, const double *x, double *r);

/* a [m][n], m >= n, becomes Q with orthonormal columns, whatever a's rank, and l [n][n] is lower
   triangular, its diagonal of either sign: a = Q L', a'a = L L'. E_NONFINITE if a has an entry that
   is not finite. */
dfl_status dense_orthonormal(size_t m, size_t n, double *a, double *l);

/* x [n] of least length among those that make |a x - b| least, a [m][n], m >= n, as far as a is of
   full rank: *rank is the number of its directions that stand out by more than rcond of the
   largest. A complete orthogonal factorisation with pivoting; a and b [m] are destroyed. E_NONFINITE
   if a has an entry that is not finite. */
typedef struct {
    size_t m, n;
    double *a, *b;
    double rcond;
} dense_squares;
dfl_status dense_least_squares(const dense_squares *problem, double *x, size_t *rank);

#endif
