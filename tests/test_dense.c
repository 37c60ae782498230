/* Dense algebra: the calls of LAPACK and BLAS mean what base/dense.h says, rows and triangles included. */
#include "check.h"

#include <math.h>
#include <string.h>

#include "base/base.h"
#include "base/dense.h"

enum { N = 5, ROWS = 7 };

/* Numbers without structure, the same every time. */
static void draw(size_t n, uint64_t key, double *out) {
    noise_normals(key, DFL_DRAW_START, 0, 0, 0, n, out);
}

static void gram(double s[N * N]) {
    double x[ROWS * N];
    draw(ROWS * N, 1, x);
    memset(s, 0, N * N * sizeof *s);
    assert_ok(dense_gram(N, ROWS, x, s));
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            double sum = 0;
            for (int r = 0; r < ROWS; r++) sum += x[r * N + i] * x[r * N + j];
            assert_true(fabs(s[i * N + j] - sum) < 1e-13);
        }
    double twice[N * N];
    memcpy(twice, s, sizeof twice);
    assert_ok(dense_gram(N, ROWS, x, twice)); /* adds */
    for (int i = 0; i < N * N; i++) assert_true(fabs(twice[i] - 2 * s[i]) < 1e-12);
}

static void test_gram(void **state) {
    (void)state;
    double s[N * N];
    gram(s);
}

static void test_eigen(void **state) {
    (void)state;
    double s[N * N], v[N * N], values[N], alone[N];
    gram(s);
    memcpy(v, s, sizeof v);
    assert_ok(dense_eigen(N, v, true, values));
    for (int k = 0; k < N; k++) {
        double length = 0;
        if (k) assert_true(values[k - 1] <= values[k]);
        for (int i = 0; i < N; i++) {
            double image = 0; /* of the k-th row */
            for (int j = 0; j < N; j++) image += s[i * N + j] * v[k * N + j];
            assert_true(fabs(image - values[k] * v[k * N + i]) < 1e-12);
            length += v[k * N + i] * v[k * N + i];
        }
        assert_true(fabs(length - 1) < 1e-13);
    }
    memcpy(v, s, sizeof v);
    assert_ok(dense_eigen(N, v, false, alone));
    for (int k = 0; k < N; k++) assert_true(fabs(alone[k] - values[k]) < 1e-12);
    s[3] = NAN;
    refused(dense_eigen(N, s, true, values), DFL_E_NONFINITE, "(0, 3)");
    refused(dense_eigen(0, s, true, values), DFL_E_RANGE, "side 0");
}

/* Their squares are the eigenvalues of both products with the transpose; either shape. */
static void test_singular(void **state) {
    (void)state;
    enum { M = 3 };
    double x[M * N], turned[M * N], s[N * N] = {0}, values[M], others[M], squares[N];
    draw(M * N, 6, x);
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++) turned[j * M + i] = x[i * N + j];
    assert_ok(dense_gram(N, M, x, s));
    assert_ok(dense_eigen(N, s, false, squares));
    assert_ok(dense_singular(M, N, x, values));
    assert_ok(dense_singular(N, M, turned, others));
    for (int k = 0; k < M; k++) {
        assert_true(fabs(values[k] * values[k] - squares[N - 1 - k]) < 1e-12);
        assert_true(fabs(values[k] - others[k]) < 1e-13 && values[k] >= 0);
    }
    x[N + 1] = INFINITY;
    refused(dense_singular(M, N, x, values), DFL_E_NONFINITE, "(1, 1)");
    refused(dense_singular(M, 0, x, values), DFL_E_RANGE, "side 0");
}

static void test_cholesky(void **state) {
    (void)state;
    double s[N * N], l[N * N], x[2 * N], y[2 * N];
    gram(s);
    memcpy(l, s, sizeof l);
    assert_ok(dense_cholesky(N, l));
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            double sum = 0;
            for (int k = 0; k < N; k++) sum += l[i * N + k] * l[j * N + k];
            assert_true(fabs(sum - s[i * N + j]) < 1e-12);
            if (j > i) assert_true(l[i * N + j] == 0);
        }
    draw(2 * N, 2, x);
    for (int transposed = 0; transposed < 2; transposed++) {
        memcpy(y, x, sizeof y);
        assert_ok(dense_solve_lower(N, l, transposed, 2, y));
        for (int r = 0; r < 2; r++)
            for (int i = 0; i < N; i++) {
                double sum = 0;
                for (int k = 0; k < N; k++)
                    sum += (transposed ? l[k * N + i] : l[i * N + k]) * y[r * N + k];
                assert_true(fabs(sum - x[r * N + i]) < 1e-12);
            }
    }
    s[0] = -1;
    refused(dense_cholesky(N, s), DFL_E_RANGE, "pivot 1");
}

static void test_multiply(void **state) {
    (void)state;
    enum { M = 2, C = 3, K = 4 };
    double a[M * K], b[K * C], c[M * C], before[M * C];
    draw(M * K, 3, a);
    draw(K * C, 4, b);
    draw(M * C, 5, before);
    for (int form = 0; form < 4; form++) {
        const bool ta = form & 1, tb = form & 2;
        const dense_product p = {M, C, K, ta, tb, 0.5, -2};
        memcpy(c, before, sizeof c);
        assert_ok(dense_multiply(&p, a, b, c));
        for (int i = 0; i < M; i++)
            for (int j = 0; j < C; j++) {
                double sum = -2 * before[i * C + j];
                for (int k = 0; k < K; k++)
                    sum += 0.5 * (ta ? a[k * M + i] : a[i * K + k]) *
                           (tb ? b[j * K + k] : b[k * C + j]);
                assert_true(fabs(c[i * C + j] - sum) < 1e-13);
            }
    }
}

/* R'R is the Gram matrix, however the rows come, and bit for bit so in one call or in blocks. */
static void test_triangle(void **state) {
    (void)state;
    enum { MANY = 300 };
    static double x[MANY * N];
    double s[N * N] = {0}, r[N * N] = {0}, parts[N * N] = {0};
    draw(MANY * N, 6, x);
    assert_ok(dense_gram(N, MANY, x, s));
    assert_ok(dense_triangle(N, MANY, x, r));
    for (int i = 0; i < N; i++) {
        assert_true(r[i * N + i] > 0);
        for (int j = 0; j < N; j++) {
            double sum = 0;
            for (int k = 0; k < N; k++) sum += r[k * N + i] * r[k * N + j];
            assert_true(fabs(sum - s[i * N + j]) < 1e-11);
            if (j < i) assert_true(r[i * N + j] == 0);
        }
    }
    for (size_t i = 0; i < MANY; i += 50) assert_ok(dense_triangle(N, 50, x + i * N, parts));
    for (int i = 0; i < N * N; i++) assert_true(fabs(parts[i] - r[i]) < 1e-12);
    assert_ok(dense_triangle(N, 0, x, r)); /* nothing more */
    x[7] = INFINITY;
    refused(dense_triangle(N, MANY, x, r), DFL_E_NONFINITE, "(1, 2)");
    refused(dense_triangle(0, MANY, x, r), DFL_E_RANGE, "side 0");
}

/* Q L' is the matrix and Q'Q the identity, also where a column repeats another one. */
static void test_orthonormal(void **state) {
    (void)state;
    enum { HIGH = 40 };
    double x[HIGH * N], q[HIGH * N], l[N * N], s[N * N] = {0};
    draw(HIGH * N, 6, x);
    for (int i = 0; i < HIGH; i++) x[i * N + 2] = x[i * N];
    memcpy(q, x, sizeof q);
    assert_ok(dense_orthonormal(HIGH, N, q, l));
    assert_ok(dense_gram(N, HIGH, q, s));
    for (int i = 0; i < N * N; i++) {
        assert_true(fabs(s[i] - (i / N == i % N)) < 1e-13);
        if (i % N > i / N) assert_true(l[i] == 0);
    }
    const dense_product back = {HIGH, N, N, false, true, -1, 1};
    assert_ok(dense_multiply(&back, q, l, x));
    for (int i = 0; i < HIGH * N; i++) assert_true(fabs(x[i]) < 1e-13);
    refused(dense_orthonormal(N - 1, N, q, l), DFL_E_RANGE, "fewer than");
    q[N + 1] = NAN;
    refused(dense_orthonormal(HIGH, N, q, l), DFL_E_NONFINITE, "(1, 1)");
}

/* The residual is normal to the columns; columns that repeat others share what one alone would get,
   which is what least length means. */
static void test_least_squares(void **state) {
    (void)state;
    enum { COLUMNS = 3 };
    double a[ROWS * COLUMNS], b[ROWS], kept[2][ROWS * COLUMNS], x[COLUMNS];
    size_t rank;
    draw(ROWS * COLUMNS, 7, a);
    draw(ROWS, 8, b);
    memcpy(kept[0], a, sizeof a);
    memcpy(kept[1], b, sizeof b);
    const dense_squares p = {ROWS, COLUMNS, a, b, 1e-10};
    assert_ok(dense_least_squares(&p, x, &rank));
    assert_int_equal(rank, COLUMNS);
    for (int j = 0; j < COLUMNS; j++) {
        double sum = 0;
        for (int i = 0; i < ROWS; i++) {
            double gap = kept[1][i];
            for (int k = 0; k < COLUMNS; k++) gap -= kept[0][i * COLUMNS + k] * x[k];
            sum += gap * kept[0][i * COLUMNS + j];
        }
        assert_true(fabs(sum) < 1e-13);
    }
    for (int i = 0; i < ROWS; i++) {
        a[i * COLUMNS] = a[i * COLUMNS + 2] = kept[0][i * COLUMNS];
        a[i * COLUMNS + 1] = kept[0][i * COLUMNS + 1];
        b[i] = 4 * a[i * COLUMNS] - a[i * COLUMNS + 1];
    }
    assert_ok(dense_least_squares(&p, x, &rank));
    assert_int_equal(rank, 2);
    assert_true(fabs(x[0] - 2) < 1e-13 && fabs(x[2] - 2) < 1e-13 && fabs(x[1] + 1) < 1e-13);
    memset(a, 0, sizeof a);
    assert_ok(dense_least_squares(&p, x, &rank));
    assert_true(rank == 0 && x[0] == 0 && x[1] == 0 && x[2] == 0);
    a[4] = NAN;
    refused(dense_least_squares(&p, x, &rank), DFL_E_NONFINITE, "(1, 1)");
    const dense_squares wide = {2, COLUMNS, a, b, 1e-10};
    refused(dense_least_squares(&wide, x, &rank), DFL_E_RANGE, "2 equations are fewer than 3");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gram),        cmocka_unit_test(test_eigen),
        cmocka_unit_test(test_singular),    cmocka_unit_test(test_cholesky),
        cmocka_unit_test(test_multiply),    cmocka_unit_test(test_triangle),
        cmocka_unit_test(test_orthonormal), cmocka_unit_test(test_least_squares),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
