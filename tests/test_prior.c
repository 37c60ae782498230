/* Priors: densities against closed forms, exact transport, draws, classes. Files are in
   test_prior_file.c, fitting in test_prior_fit.c. */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "prior/fit.h"
#include "support/priors.h"

enum { D = 5, K = 3, Q = 2, ROWS = 19 };

static void draw(size_t n, uint64_t key, double *out) {
    noise_normals(key, DFL_DRAW_START, 0, 0, 0, n, out); /* numbers without structure */
}

/* ---- closed forms ---------------------------------------------------------------------------- */

/* Mean and covariance of a component, written out, whatever the structure. */
static void dense_form(const prior *p, size_t k, double mean[D], double cov[D * D]) {
    const double *const s =
        p->cov ? p->cov + form_cov_of(p, k) * form_size(p, 'm') * form_size(p, 'm') : NULL;
    for (size_t i = 0; i < D; i++) {
        mean[i] = p->basis ? p->center[i] : p->mean[k * D + i];
        for (size_t l = 0; p->basis && l < Q; l++)
            mean[i] += p->basis[l * D + i] * p->mean[k * Q + l];
        for (size_t j = 0; j < D; j++) {
            double v = p->psi && i == j ? p->psi[k * D + i] : 0;
            for (size_t l = 0; p->factor && l < Q; l++)
                v += p->factor[(k * D + i) * Q + l] * p->factor[(k * D + j) * Q + l];
            if (s && !p->basis) v = s[i * D + j];
            for (size_t l = 0; p->basis && l < D; l++)
                for (size_t n = 0; n < D; n++) {
                    const double inner = l < Q && n < Q ? s[l * Q + n]
                                         : l == n       ? p->rest[l - Q]
                                                        : 0;
                    v += p->basis[l * D + i] * inner * p->basis[n * D + j];
                }
            cov[i * D + j] = v;
        }
    }
}

/* log N by Gauss elimination. */
static double log_normal(const double mean[D], const double cov[D * D], const double *x) {
    double a[D * D], r[D], sum = -D * log(2 * acos(-1));
    memcpy(a, cov, sizeof a);
    for (size_t i = 0; i < D; i++) r[i] = x[i] - mean[i];
    for (size_t i = 0; i < D; i++) {
        sum -= log(a[i * D + i]) + r[i] * r[i] / a[i * D + i];
        for (size_t j = i + 1; j < D; j++) {
            const double f = a[j * D + i] / a[i * D + i];
            for (size_t l = i; l < D; l++) a[j * D + l] -= f * a[i * D + l];
            r[j] -= f * r[i];
        }
    }
    return sum / 2;
}

static double log_mixture(const prior *p, double a, double b, const double *x) {
    double sum = 0, mean[D], cov[D * D];
    for (size_t k = 0; k < p->k; k++) {
        dense_form(p, k, mean, cov);
        for (size_t i = 0; i < D; i++) mean[i] *= a;
        for (size_t i = 0; i < D * D; i++) cov[i] = a * a * cov[i] + (i % (D + 1) ? 0 : b * b);
        sum += p->weight[k] * exp(log_normal(mean, cov, x));
    }
    return log(sum);
}

static void near(double have, double want, double bound, const char *what) {
    if (!(fabs(have - want) <= bound)) REFUTE("%s: %.17g, not %.17g", what, have, want);
}

static void test_density(void **state) {
    (void)state;
    double x[ROWS * D], logp[ROWS], logs[ROWS * K], alone;
    draw(ROWS * D, 7, x);
    for (int i = 0; i < KINDS; i++) {
        prior *const p = some_prior((kind)i, 0, D, Q);
        form_work w;
        assert_string_equal(prior_kind(p), kind_names[i]);
        assert_ok(prior_logp(p, x, ROWS, logp));
        assert_ok(form_work_new(p, &w));
        assert_ok(form_logs(p, true, ROWS, x, &w, logs));
        for (size_t r = 0; r < ROWS; r++) {
            near(logp[r], log_mixture(p, 1, 0, x + r * D), 1e-11, kind_names[i]);
            near(form_sum(p->k, logs + r * p->k, false), logp[r], 1e-11, "through BLAS");
            assert_ok(prior_logp(p, x + r * D, 1, &alone));
            assert_true(alone == logp[r]); /* to the bit, wherever it stands */
        }
        form_work_free(&w);
        prior_free(p);
    }
    prior *const p = some_prior(KIND_FULL, 0, D, Q);
    x[3] = NAN;
    refused(prior_logp(p, x, 1, logp), DFL_E_NONFINITE, "row 0");
    x[3] = 1e200; /* no overflow in the exponent of a sum */
    assert_ok(prior_logp(p, x, 1, logp));
    assert_true(logp[0] < -1e300);
    prior_free(p);
}

/* W = [w w], w = (3, 4, 0), with little noise: variance 50 + s along w, s across it. 4 x - 3 y is exact
   for the points here, so that what remains is rounding of x beside the root of s. */
static void test_thin(void **state) {
    (void)state;
    static const double w[] = {3, 3, 4, 4, 0, 0};
    prior *p;
    assert_ok(form_new(&(form_wish){KIND_FA, 3, 1, 2, 0}, &p));
    p->weight[0] = 1;
    memcpy(p->factor, w, sizeof w);
    for (int e = 0; e <= 80; e += 10) {
        const double s = ldexp(1, -e), across = ldexp(1, -e / 2);
        for (int i = 0; i < 3; i++) p->psi[i] = s;
        assert_ok(form_finish(p));
        const double x[] = {3 + 4 * across, 4 - 2 * across, across};
        const double on = 3 * x[0] + 4 * x[1], off = 4 * x[0] - 3 * x[1];
        const double form = on * on / (25 * (50 + s)) + (off * off / 25 + x[2] * x[2]) / s;
        double logp, fast;
        assert_ok(prior_logp(p, x, 1, &logp));
        assert_ok(prior_logp_block(p, x, 1, &fast));
        near(logp, -(3 * log(2 * acos(-1)) + log(50 + s) + 2 * log(s) + form) / 2,
             1e-14 * (1 + 1 / across), "little noise");
        near(fast, logp, 1e-14 * (1 + 1 / across), "through BLAS");
    }
    prior_free(p);
}

/* Through BLAS, which is used from some size on, in more rows than one block. */
static void test_wide(void **state) {
    (void)state;
    enum { WIDE = 33, RANK = 27, MANY = FORM_ROWS + ROWS };
    static double x[MANY * WIDE], logp[MANY], alone;
    draw(MANY * WIDE, 7, x);
    for (int i = 0; i < KINDS; i++) {
        prior *const p = some_prior((kind)i, 0, WIDE, RANK);
        assert_ok(prior_logp_block(p, x, MANY, logp));
        for (size_t r = 0; r < MANY; r++) {
            assert_ok(prior_logp(p, x + r * WIDE, 1, &alone));
            near(logp[r], alone, 1e-11 * fabs(alone), kind_names[i]);
        }
        prior_free(p);
    }
    prior *const p = some_prior(KIND_FULL, 0, WIDE, RANK);
    x[FORM_ROWS * WIDE] = NAN;
    refused(prior_logp_block(p, x, MANY, logp), DFL_E_NONFINITE, "row 256");
    prior_free(p);
}

static void test_transport(void **state) {
    (void)state;
    double x[ROWS * D], logp[ROWS];
    draw(ROWS * D, 8, x);
    for (int i = 0; i < KINDS; i++) {
        prior *const p = some_prior((kind)i, 0, D, Q), *q, *again;
        double a, b;
        assert_ok(prior_at(p, 0.63, 0.777, &q));
        prior_state(q, &a, &b);
        assert_true(a == 0.63 && b == 0.777);
        assert_ok(prior_logp(q, x, ROWS, logp));
        for (size_t r = 0; r < ROWS; r++)
            near(logp[r], log_mixture(p, 0.63, 0.777, x + r * D), 1e-11, kind_names[i]);
        assert_ok(prior_at(q, 0.63, 0.777, &again)); /* there it's good */
        prior_free(again);
        refused(prior_at(q, 0.5, 0.8, &again), DFL_E_COMBINATION, "a=0.63");
        refused(prior_at(p, 0, 1, &again), DFL_E_RANGE, "a=0");
        refused(prior_at(p, 1, NAN, &again), DFL_E_RANGE, "b=");
        prior_free(p);
        prior_free(q);
    }
}

/* ---- the reference mixture ------------------------------------------------------------------- */

static prior *public2d(void) {
    static const double w[] = {0.5, 0.3, 0.2}, m[] = {1.2, -0.4, -0.9, 0.8, 0.1, -1.5},
                        s[] = {0.25, 0.4, 0.3, 0.2, 0.15, 0.35};
    prior *p;
    assert_ok(form_new(&(form_wish){KIND_DIAG, 2, 3, 0, 0}, &p));
    memcpy(p->weight, w, sizeof w);
    memcpy(p->mean, m, sizeof m);
    for (size_t i = 0; i < 6; i++) p->psi[i] = s[i] * s[i];
    assert_ok(form_finish(p));
    return p;
}

/* One Gaussian with the moments of another prior. */
static prior *moment_gauss(const prior *p) {
    prior *g;
    assert_ok(form_new(&(form_wish){KIND_GAUSS, p->d, 1, 0, 0}, &g));
    g->weight[0] = 1;
    assert_ok(prior_moments(p, g->mean, g->cov));
    assert_ok(form_finish(g));
    return g;
}

typedef struct {
    double mean, m2, n;
} averaged;

static void count_in(averaged *s, double v) {
    const double off = v - s->mean;
    s->mean += off / ++s->n;
    s->m2 += off * (v - s->mean);
}

static void within(const averaged *s, double want, const char *what) {
    const double error = sqrt(s->m2 / (s->n - 1) / s->n);
    if (!(fabs(s->mean - want) < 4 * error))
        REFUTE("%s: %.8g +- %.3g, not %.8g", what, s->mean, error, want);
}

/* Entropy of p_T, KL to N(0, I) and to the Gaussian of its moments, as quadrature has them. The
   ratio's estimator expm1(r) - r, r = ln q/p, has less spread than -r once the two are close. */
static void mismatch_case(const prior *clean, const json_in *in) {
    enum { N = 4000 };
    double a, b, entropy, kl, kl_gauss, x[2], logp, logg;
    averaged h = {0}, d = {0}, g = {0};
    prior *p;
    assert_ok(json_get_real(in, "a", &a));
    assert_ok(json_get_real(in, "b", &b));
    assert_ok(json_get_real(in, "entropy", &entropy));
    assert_ok(json_get_real(in, "kl", &kl));
    assert_ok(json_get_real(in, "kl_gauss", &kl_gauss));
    assert_ok(prior_at(clean, a, b, &p));
    prior *const gauss = moment_gauss(p);
    for (uint64_t i = 0; i < N; i++) {
        assert_ok(prior_draw(p, 5, i, x));
        assert_ok(prior_logp(p, x, 1, &logp));
        assert_ok(prior_logp(gauss, x, 1, &logg));
        const double r = -log(2 * acos(-1)) - (x[0] * x[0] + x[1] * x[1]) / 2 - logp;
        count_in(&h, -logp);
        count_in(&d, kl > 0.1 ? -r : expm1(r) - r);
        count_in(&g, kl_gauss > 0.1 ? logp - logg : expm1(logg - logp) - (logg - logp));
    }
    within(&h, entropy, "entropy");
    within(&d, kl, "KL to N(0, I)");
    within(&g, kl_gauss, "KL to the Gaussian");
    prior_free(p);
    prior_free(gauss);
}

static void test_reference(void **state) {
    (void)state;
    char path[400];
    json_t *root;
    json_in in;
    const json_t *list;
    snprintf(path, sizeof path, "%s/prior-times.json", DFL_TEST_DATA);
    assert_ok(json_read(path, 1 << 20, &root, &in));
    assert_ok(json_get_array(&in, "mismatch", &list));
    assert_true(json_array_size(list) >= 5);
    prior *const p = public2d();
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_in one = {.object = json_array_get(list, i), .where = "mismatch"};
        mismatch_case(p, &one);
    }
    prior_free(p);
    json_decref(root);
}

/* ---- draws ----------------------------------------------------------------------------------- */

static void test_draws(void **state) {
    (void)state;
    enum { N = 6000 };
    static double x[N * D];
    double mean[D], cov[D * D], again[D];
    for (int i = 0; i < KINDS; i++) {
        prior *const p = some_prior((kind)i, 0, D, Q);
        assert_ok(prior_moments(p, mean, cov));
        for (uint64_t r = 0; r < N; r++) assert_ok(prior_draw(p, 11, r, x + r * D));
        for (size_t j = 0; j < D; j++) {
            averaged s = {0};
            for (size_t r = 0; r < N; r++) count_in(&s, x[r * D + j]);
            within(&s, mean[j], kind_names[i]);
            for (size_t l = 0; l < D; l++) {
                averaged c = {0};
                for (size_t r = 0; r < N; r++)
                    count_in(&c, (x[r * D + j] - mean[j]) * (x[r * D + l] - mean[l]));
                within(&c, cov[j * D + l], kind_names[i]);
            }
        }
        assert_ok(prior_draw(p, 11, 77, again));
        assert_memory_equal(again, x + 77 * D, sizeof again);
        assert_ok(prior_draw(p, 12, 77, again));
        assert_memory_not_equal(again, x + 77 * D, sizeof again);
        prior_free(p);
    }
}

/* The standard normal density is the usual start, bit for bit. */
static void test_standard(void **state) {
    (void)state;
    double z[D], x[D];
    for (int i = 0; i < 2; i++) {
        prior *p;
        assert_ok(form_new(&(form_wish){i ? KIND_DIAG : KIND_GAUSS, D, 1, 0, 0}, &p));
        p->weight[0] = 1;
        for (size_t j = 0; j < D; j++) (i ? p->psi : p->cov)[i ? j : j * (D + 1)] = 1;
        assert_ok(form_finish(p));
        assert_ok(prior_draw(p, 3, 9, x));
        noise_normals(3, DFL_DRAW_START, 0, 9, 0, D, z);
        assert_memory_equal(x, z, sizeof x);
        prior_free(p);
    }
}

/* A class's density is that of its components; all classes together are the whole. */
static void test_classes(void **state) {
    (void)state;
    double x[ROWS * D], one[ROWS], two[ROWS], whole[ROWS], out[ROWS], from[D], of[D];
    draw(ROWS * D, 8, x);
    for (int i = 1; i < KINDS; i++) {
        prior *const p = some_prior((kind)i, 2, D, Q), *first, *second, *all;
        assert_int_equal(prior_classes(p), 2);
        assert_ok(prior_only(p, 0, &first));
        assert_ok(prior_only(p, 1, &second));
        assert_ok(prior_only(p, -1, &all));
        assert_int_equal(first->k, 2); /* components 0 and 2, of weights 1/6 and 3/6 */
        assert_ok(prior_logp(first, x, ROWS, one));
        assert_ok(prior_logp(second, x, ROWS, two));
        assert_ok(prior_logp(all, x, ROWS, whole));
        for (size_t r = 0; r < ROWS; r++)
            near(log(4. / 6 * exp(one[r]) + 2. / 6 * exp(two[r])), whole[r], 1e-12, kind_names[i]);
        for (int64_t c = -1; c < 2; c++) {
            const double *const same = c < 0 ? whole : c ? two : one;
            assert_ok(prior_logp_of(p, c, x, ROWS, out));
            for (size_t r = 0; r < ROWS; r++) near(out[r], same[r], 1e-12, kind_names[i]);
        }
        refused(prior_logp_of(p, 2, x, ROWS, out), DFL_E_RANGE, "0 to 1");
        for (uint64_t s = 0; s < 40; s++) {
            assert_ok(prior_draw_of(p, 0, 1, s, from));
            assert_ok(prior_draw(first, 1, s, of));
            for (size_t j = 0; j < D; j++) near(from[j], of[j], 1e-14, "draw of a class");
        }
        prior_free(all);
        refused(prior_only(p, 2, &all), DFL_E_RANGE, "0 to 1");
        refused(prior_draw_of(p, -2, 1, 0, from), DFL_E_RANGE, "label -2");
        prior_free(p);
        prior_free(first);
        prior_free(second);
    }
    prior *const plain = some_prior(KIND_DIAG, 0, D, Q), *none;
    refused(prior_only(plain, 0, &none), DFL_E_RANGE, "no classes");
    prior_free(plain);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_density),   cmocka_unit_test(test_thin),
        cmocka_unit_test(test_wide),      cmocka_unit_test(test_transport),
        cmocka_unit_test(test_reference), cmocka_unit_test(test_draws),
        cmocka_unit_test(test_standard),  cmocka_unit_test(test_classes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
