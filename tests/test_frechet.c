/* Moments of features against two passes, split and merged in every way; the Frechet distance
   against closed forms, where covariances are singular, too; and what both refuse. */
#include "check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/dense.h"
#include "eval/moments.h"

/* ---- data ------------------------------------------------------------------------------------ */

enum { N = 700, D = 9 };

/* Correlated features far from the origin. */
static void draw(size_t n, size_t d, uint64_t seed, float *x) {
    double z[64];
    for (size_t i = 0; i < n; i++) {
        noise_normals(seed, DFL_DRAW_TABLE, 0, i, 0, d + 1, z);
        for (size_t j = 0; j < d; j++)
            x[i * d + j] = (float)(300 + (double)j + z[j] * (1 + 0.3 * (double)j) + z[d]);
    }
}

static moments gathered(const float *x, size_t n, size_t d) {
    moments m;
    assert_ok(moments_new(d, &m));
    assert_ok(moments_add(&m, x, n));
    return m;
}

static void assert_same(const moments *a, const moments *b) {
    assert_true(a->n == b->n && a->d == b->d);
    assert_memory_equal(a->mean, b->mean, a->d * sizeof(double));
    assert_memory_equal(a->m2, b->m2, a->d * a->d * sizeof(double));
}

static double difference(const moments *a, const moments *b) {
    double worst = 0;
    for (size_t i = 0; i < a->d; i++) worst = fmax(worst, fabs(a->mean[i] / b->mean[i] - 1));
    for (size_t i = 0; i < a->d; i++)
        for (size_t j = 0; j < a->d; j++)
            worst = fmax(worst, fabs(a->m2[i * a->d + j] - b->m2[i * a->d + j]) /
                                    sqrt(b->m2[i * (a->d + 1)] * b->m2[j * (a->d + 1)]));
    return worst;
}

/* ---- moments --------------------------------------------------------------------------------- */

/* Two passes in long double. */
static void exact(const float *x, size_t n, moments *m) {
    m->n = n;
    for (size_t j = 0; j < D; j++) {
        long double sum = 0;
        for (size_t i = 0; i < n; i++) sum += x[i * D + j];
        m->mean[j] = (double)(sum / (long double)n);
    }
    for (size_t j = 0; j < D; j++)
        for (size_t k = 0; k < D; k++) {
            long double sum = 0;
            for (size_t i = 0; i < n; i++)
                sum += ((long double)x[i * D + j] - m->mean[j]) *
                       ((long double)x[i * D + k] - m->mean[k]);
            m->m2[j * D + k] = (double)sum;
        }
}

static void test_moments(void **state) {
    (void)state;
    static float x[N * D];
    draw(N, D, 1, x);
    moments m = gathered(x, N, D), right;
    assert_ok(moments_new(D, &right));
    exact(x, N, &right);
    assert_true(difference(&m, &right) < 1e-13);
    assert_ok(moments_check(&m));
    moments_clear(&m); /* and again, one sample at a time */
    for (size_t i = 0; i < N; i++) assert_ok(moments_add(&m, x + i * D, 1));
    assert_true(difference(&m, &right) < 1e-13);
    moments_free(&m);
    moments_free(&right);
}

/* Calls that end at multiples of a block, a state put away and taken up, rows by index: the same
   bits. */
static void test_interrupted(void **state) {
    (void)state;
    static float x[N * D];
    uint32_t index[N];
    draw(N, D, 2, x);
    moments whole = gathered(x, N, D), part = gathered(x, MOMENTS_BLOCK, D), kept;
    assert_ok(moments_new(D, &kept));
    kept.n = part.n;
    memcpy(kept.mean, part.mean, D * sizeof(double));
    memcpy(kept.m2, part.m2, D * D * sizeof(double));
    assert_ok(moments_add(&kept, x + MOMENTS_BLOCK * D, N - MOMENTS_BLOCK));
    assert_same(&kept, &whole);
    moments_clear(&part); /* from the 300th row on, cut at a multiple or not at all */
    moments_clear(&kept);
    assert_ok(moments_add(&part, x, 300));
    assert_ok(moments_add(&part, x + 300 * D, N - 300));
    assert_ok(moments_add(&kept, x, 300));
    assert_ok(moments_add(&kept, x + 300 * D, 2 * MOMENTS_BLOCK - 300));
    assert_ok(moments_add(&kept, x + 2 * MOMENTS_BLOCK * D, N - 2 * MOMENTS_BLOCK));
    assert_same(&kept, &part);
    const features f = {N, D, x};
    for (uint32_t i = 0; i < N; i++) index[i] = i;
    moments_clear(&part);
    assert_ok(moments_add_index(&part, &f, index, 2 * MOMENTS_BLOCK));
    assert_ok(moments_add_index(&part, &f, index + 2 * MOMENTS_BLOCK, N - 2 * MOMENTS_BLOCK));
    assert_same(&part, &whole);
    moments_free(&part);
    moments_free(&kept);
    moments_free(&whole);
}

/* Repeated rows count repeatedly. */
static void test_index(void **state) {
    (void)state;
    static float x[N * D], y[N * D];
    uint32_t index[N];
    draw(N, D, 3, x);
    for (uint32_t i = 0; i < N; i++) {
        index[i] = i * i % 97;
        memcpy(y + i * D, x + index[i] * D, D * sizeof *x);
    }
    const features f = {N, D, x};
    moments right = gathered(y, N, D), m;
    assert_ok(moments_new(D, &m));
    assert_ok(moments_add_index(&m, &f, index, N));
    assert_same(&m, &right);
    index[5] = N;
    refused(moments_add_index(&m, &f, index, N), DFL_E_RANGE, "700 of 700");
    assert_same(&m, &right);
    moments_free(&m);
    moments_free(&right);
}

static void test_merge(void **state) {
    (void)state;
    static float x[N * D];
    const size_t cuts[] = {0, 1, 77, 300, 300, 699, N};
    draw(N, D, 4, x);
    moments whole = gathered(x, N, D), merged, empty;
    assert_ok(moments_new(D, &merged));
    assert_ok(moments_new(D, &empty));
    for (size_t i = 0; i + 1 < LENGTH(cuts); i++) {
        moments part = gathered(x + cuts[i] * D, cuts[i + 1] - cuts[i], D);
        assert_ok(moments_merge(&merged, &part));
        if (i == 0) assert_same(&merged, &part);
        moments_free(&part);
    }
    assert_int_equal(merged.n, N);
    assert_true(difference(&merged, &whole) < 1e-13);
    assert_ok(moments_check(&merged)); /* symmetric bit by bit */
    assert_ok(moments_merge(&empty, &whole));
    assert_same(&empty, &whole);
    moments none;
    assert_ok(moments_new(D, &none));
    assert_ok(moments_merge(&whole, &none));
    assert_same(&whole, &empty);
    moments_free(&none);
    moments_free(&whole);
    moments_free(&merged);
    moments_free(&empty);
}

static void test_moments_refused(void **state) {
    (void)state;
    static float x[3 * D];
    draw(3, D, 5, x);
    moments m = gathered(x, 2, D), right = gathered(x, 2, D), narrow;
    x[2 * D + 4] = NAN;
    refused(moments_add(&m, x, 3), DFL_E_NONFINITE, "feature 4 of sample 4");
    assert_same(&m, &right);
    assert_ok(moments_new(D - 1, &narrow));
    refused(moments_merge(&m, &narrow), DFL_E_COMBINATION, "9 features");
    refused(moments_add_index(&narrow, &(features){3, D, x}, NULL, 0), DFL_E_COMBINATION, "8 feat");
    assert_same(&m, &right);
    m.m2[1] = nextafter(m.m2[1], INFINITY);
    refused(moments_check(&m), DFL_E_FORMAT, "not symmetric at (1, 0)");
    m.m2[D] = m.m2[1];
    assert_ok(moments_check(&m));
    m.m2[D + 1] = -1;
    refused(moments_check(&m), DFL_E_FORMAT, "(1, 1) is below zero");
    m.m2[2] = NAN;
    m.m2[D + 1] = 1;
    m.m2[2 * D] = INFINITY;
    refused(moments_check(&m), DFL_E_NONFINITE, "m2 (2, 0)");
    m.mean[0] = NAN;
    refused(moments_check(&m), DFL_E_NONFINITE, "mean of feature 0");
    right.n = UINT64_MAX / 2;
    refused(moments_merge(&right, &m), DFL_E_RANGE, "can count");
    refused(moments_add(&right, x, 1), DFL_E_RANGE, "can count");
    moments_free(&m);
    moments_free(&right);
    moments_free(&narrow);
    refused(moments_new(0, &m), DFL_E_RANGE, "0 features");
    refused(moments_new(SIZE_MAX, &m), DFL_E_RANGE, "features");
    refused(moments_new((size_t)INT32_MAX, &m), DFL_E_MEMORY, "memory");
}

/* ---- the Frechet distance -------------------------------------------------------------------- */

static double zero_mean[64];

static double between(size_t d, double *a, double *b) {
    const gaussian ga = {d, 0, zero_mean, a}, gb = {d, 0, zero_mean, b};
    double found, back;
    assert_ok(frechet_gaussian(&ga, &gb, &found));
    assert_ok(frechet_gaussian(&gb, &ga, &back));
    assert_true(fabs(found - back) <= 1e-13 * (found + a[0] + b[0]));
    return found;
}

static void assert_near(double found, double right, double scale, double within) {
    if (!(fabs(found - right) <= within * scale)) REFUTE("%.17g instead of %.17g", found, right);
}

static void test_scalar(void **state) {
    (void)state;
    double mean[2] = {1.5, -2}, var[2] = {9, 0.25}, found;
    const gaussian a = {1, 0, &mean[0], &var[0]}, b = {1, 0, &mean[1], &var[1]};
    assert_ok(frechet_gaussian(&a, &b, &found));
    assert_near(found, 3.5 * 3.5 + 2.5 * 2.5, 1, 1e-14);
}

/* cov = Q diag(values) Q', Q orthonormal. */
static void turned(size_t d, const double *q, const double *values, double *cov) {
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j < d; j++) {
            cov[i * d + j] = 0;
            for (size_t k = 0; k < d; k++)
                cov[i * d + j] += q[k * d + i] * values[k] * q[k * d + j];
        }
}

static void orthonormal(size_t d, double *q) {
    double values[64], x[64 * 64];
    noise_normals(1, DFL_DRAW_TABLE, 0, 0, 0, d * d, x);
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j < d; j++) q[i * d + j] = x[i * d + j] + x[j * d + i];
    assert_ok(dense_eigen(d, q, true, values));
}

/* Covariances that commute: sum (sqrt a - sqrt b)^2. Once with variances of ten orders of magnitude,
   where roots of eigenvalues of the product would be off by 1e-8; once with zeros. */
static void test_commuting(void **state) {
    (void)state;
    enum { S = 32 };
    static double q[S * S], a[S * S], b[S * S];
    orthonormal(S, q);
    for (int form = 0; form < 4; form++) {
        double va[S], vb[S], right = 0, scale = 0;
        for (size_t k = 0; k < S; k++) {
            va[k] = form == 1 ? pow(10, -(double)k / 3) : 1 + (double)(k * k % 7);
            vb[k] = form == 1 ? va[k] * 1.21 : 1 + (double)(k * 5 % 11);
            if (form == 2 && k % 2) va[k] = 0;
            if (form == 2 && k % 3) vb[k] = 0;
            if (form == 3) va[k] = k < S / 2 ? 3 : 0;
            if (form == 3) vb[k] = k < S / 2 ? 0 : 5;
            right += (sqrt(va[k]) - sqrt(vb[k])) * (sqrt(va[k]) - sqrt(vb[k]));
            scale += va[k] + vb[k];
        }
        turned(S, q, va, a);
        turned(S, q, vb, b);
        assert_near(between(S, a, b), right, scale, 1e-14 * S);
        assert_near(between(S, a, a), 0, scale, 1e-14 * S);
        assert_true(between(S, a, a) >= 0);
    }
}

/* In two dimensions tr sqrt(AB) = sqrt(tr AB + 2 sqrt(det A det B)). */
static void test_plane(void **state) {
    (void)state;
    double a[4] = {2, 0.7, 0.7, 1}, b[4] = {1, -0.9, -0.9, 3};
    const double product = 2 * 1 + 2 * 0.7 * -0.9 + 1 * 3;
    const double dets = (2 * 1 - 0.49) * (3 - 0.81);
    assert_near(between(2, a, b), 3 + 4 - 2 * sqrt(product + 2 * sqrt(dets)), 1, 1e-14);
    b[0] = 9, b[1] = b[2] = 3, b[3] = 1; /* of rank one, v = (3, 1): sqrt(v'Av) */
    assert_near(between(2, a, b), 3 + 10 - 2 * sqrt(18 + 4.2 + 1), 1, 1e-14);
    memset(b, 0, sizeof b);
    assert_near(between(2, a, b), 3, 1, 1e-15);
    assert_near(between(2, b, b), 0, 1, 0);
}

/* Two samples on each side, in many dimensions: both covariances are vv', v = (x - y)/sqrt 2. */
static void test_few_samples(void **state) {
    (void)state;
    enum { S = 60 };
    static float x[4 * S];
    draw(4, S, 7, x);
    moments a = gathered(x, 2, S), b = gathered(x + 2 * S, 2, S);
    double vv = 0, ww = 0, vw = 0, apart = 0, found;
    for (size_t j = 0; j < S; j++) {
        const double p = x[j], q = x[S + j], r = x[2 * S + j], s = x[3 * S + j];
        vv += (p - q) * (p - q) / 2;
        ww += (r - s) * (r - s) / 2;
        vw += (p - q) * (r - s) / 2;
        apart += (p + q - r - s) * (p + q - r - s) / 4;
    }
    assert_ok(frechet(&a, &b, &found));
    assert_near(found, apart + vv + ww - 2 * fabs(vw), apart + vv + ww, 1e-13);
    assert_ok(frechet(&a, &a, &found));
    assert_near(found, 0, vv, 1e-13);
    moments_free(&a);
    moments_free(&b);
}

/* The number of samples bounds the rank: without it, rounding of an eigenvalue that is zero counts. */
static void test_rank(void **state) {
    (void)state;
    static float x[5 * D];
    draw(5, D, 8, x);
    moments m = gathered(x, 5, D);
    gaussian g;
    gaussian_root root;
    assert_ok(gaussian_of(&m, &g));
    assert_ok(gaussian_root_of(&g, &root));
    assert_int_equal(root.rank, 4);
    for (size_t i = 0; i < D; i++)
        for (size_t j = 0; j < D; j++) {
            double sum = 0;
            for (size_t k = 0; k < root.rank; k++)
                sum += root.root[k * D + i] * root.root[k * D + j];
            assert_near(sum, m.m2[i * D + j] / 4, root.trace, 1e-14);
        }
    const double little = 1e-9 * root.trace;
    gaussian_root_free(&root);
    for (size_t i = 0; i < D; i++) g.cov[i * (D + 1)] += little;
    assert_ok(gaussian_root_of(&g, &root));
    assert_int_equal(root.rank, 4);
    gaussian_root_free(&root);
    g.n = 0;
    assert_ok(gaussian_root_of(&g, &root));
    assert_int_equal(root.rank, D);
    gaussian_root_free(&root);
    gaussian_free(&g);
    moments_free(&m);
}

static void test_frechet_refused(void **state) {
    (void)state;
    static float x[2 * D];
    double found, mean[2] = {0, 0}, cov[4] = {1, 0.5, 0.5, 1};
    draw(2, D, 9, x);
    moments one = gathered(x, 1, D), two = gathered(x, 2, D), narrow = gathered(x, 2, 3);
    refused(frechet(&two, &one, &found), DFL_E_RANGE, "at least 2 samples, not 1");
    refused(frechet(&one, &two, &found), DFL_E_RANGE, "at least 2 samples, not 1");
    refused(frechet(&two, &narrow, &found), DFL_E_COMBINATION, "9 features a sample");
    two.mean[3] = INFINITY;
    refused(frechet(&two, &two, &found), DFL_E_NONFINITE, "mean of feature 3");
    two.mean[3] = 0;
    two.m2[5] = NAN;
    refused(frechet(&two, &two, &found), DFL_E_NONFINITE, "covariance (0, 5)");
    moments_free(&one);
    moments_free(&two);
    moments_free(&narrow);
    gaussian g = {2, 0, mean, cov};
    assert_ok(gaussian_check(&g));
    cov[1] += 1e-7;
    assert_ok(gaussian_check(&g));
    assert_true(cov[1] == cov[2] && cov[1] > 0.5);
    cov[1] += 1e-5;
    refused(gaussian_check(&g), DFL_E_FORMAT, "not symmetric: 0.5 at (1, 0), 0.50001 at (0, 1)");
    cov[1] = cov[2] = 1.0000005; /* an eigenvalue of -5e-7, as single precision may leave */
    assert_ok(gaussian_check(&g));
    assert_ok(frechet_gaussian(&g, &g, &found));
    assert_near(found, 0, 4, 1e-6);
    cov[1] = cov[2] = 1.5;
    assert_ok(gaussian_check(&g));
    refused(frechet_gaussian(&g, &g, &found), DFL_E_RANGE, "eigenvalue -0.5");
    cov[3] = -1e-9;
    refused(gaussian_check(&g), DFL_E_FORMAT, "variance of feature 1");
    cov[3] = NAN;
    refused(gaussian_check(&g), DFL_E_NONFINITE, "covariance (1, 1)");
    mean[1] = INFINITY;
    refused(gaussian_check(&g), DFL_E_NONFINITE, "mean of feature 1");
    mean[1] = 0;
    cov[3] = 4;
    g.n = 1;
    refused(gaussian_check(&g), DFL_E_RANGE, "not 1");
    g.d = 0;
    refused(gaussian_check(&g), DFL_E_RANGE, "0 features");
    double huge[2] = {1e200, -1e200}, var = 1;
    refused(frechet_gaussian(&(gaussian){1, 0, &huge[0], &var}, &(gaussian){1, 0, &huge[1], &var},
                             &found),
            DFL_E_NONFINITE, "too large");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_moments),         cmocka_unit_test(test_interrupted),
        cmocka_unit_test(test_index),           cmocka_unit_test(test_merge),
        cmocka_unit_test(test_moments_refused), cmocka_unit_test(test_scalar),
        cmocka_unit_test(test_commuting),       cmocka_unit_test(test_plane),
        cmocka_unit_test(test_few_samples),     cmocka_unit_test(test_rank),
        cmocka_unit_test(test_frechet_refused),
    };
    return cmocka_run_group_tests_name("frechet", tests, NULL, NULL);
}
