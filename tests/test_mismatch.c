/* The flow map of a Gaussian and the distances of starts, against stored references and closed forms. */
#include "support/starts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "run/start.h"
#include "support/priors.h"

/* ---- closed forms against references --------------------------------------------------------- */

static json_t *references(json_in *in) {
    json_t *root;
    assert_ok(json_read(DFL_TEST_DATA "/start-times.json", 1 << 20, &root, in));
    return root;
}

static double entry(const json_t *lines, size_t i, size_t j) {
    return json_number_value(json_array_get(json_array_get(lines, i), j));
}

/* RK4 of the flow agrees with these to 1e-14; a sign, a transpose or a missing a1 do not. */
static void test_flow_map(void **state) {
    (void)state;
    json_in in, map;
    json_t *const root = references(&in);
    assert_ok(json_get_object(&in, "flow_map", &map));
    const json_t *const from = json_object_get(map.object, "x_1");
    const json_t *const lines = json_object_get(map.object, "rows");
    const normal_law data = {mixture_mean, mixture_cov};
    const scalar_at one = vp_at(1);
    assert_int_equal(json_array_size(lines), 4);
    for (size_t r = 0; r < json_array_size(lines); r++) {
        const json_t *const line = json_array_get(lines, r);
        const scalar_at to = vp_at(json_number_value(json_object_get(line, "T")));
        const flow_ends ends = {one.a, one.b, to.a, to.b};
        double shift[2], matrix[4];
        assert_ok(start_flow_map(2, &data, &ends, shift, matrix));
        for (size_t i = 0; i < json_array_size(from); i++)
            for (size_t k = 0; k < 2; k++) {
                const double x = shift[k] + matrix[2 * k] * entry(from, i, 0) +
                                 matrix[2 * k + 1] * entry(from, i, 1);
                assert_near(x, entry(json_object_get(line, "x_T"), i, k), 1e-10);
            }
    }
    json_decref(root);
}

/* Quadrature of the true divergence = that of the moments' Gaussian + the Gaussian's to noise. */
static void test_mismatch_references(void **state) {
    (void)state;
    json_in in;
    json_t *const root = references(&in);
    const json_t *const lines = json_object_get(root, "mismatch");
    const double half = (mixture_cov[0] + mixture_cov[3]) / 2;
    const double root_of = hypot((mixture_cov[0] - mixture_cov[3]) / 2, mixture_cov[1]);
    const double lam[] = {half - root_of, half + root_of};
    const data_spread data = {.d = 2,
                              .mean_squares = mixture_mean[0] * mixture_mean[0] +
                                              mixture_mean[1] * mixture_mean[1],
                              .lam = lam};
    assert_true(json_array_size(lines) >= 7);
    for (size_t r = 0; r < json_array_size(lines); r++) {
        const json_t *const line = json_array_get(lines, r);
        const scalar_at at = vp_at(json_number_value(json_object_get(line, "T")));
        const mismatch m = mismatch_noise(&data, at.a, at.b, 1);
        const double truth = json_number_value(json_object_get(line, "kl_std"));
        const double rest = json_number_value(json_object_get(line, "kl_moment_gauss"));
        assert_near(m.kl_low + rest, truth, 1e-9);
        assert_near(m.kl_high, json_number_value(json_object_get(line, "kl_upper_conditional")),
                    1e-10);
        assert_near(m.w2_low, json_number_value(json_object_get(line, "w2_lower_gelbrich")), 1e-10);
        assert_near(m.w2_high, json_number_value(json_object_get(line, "w2_upper_coupling")),
                    1e-10);
    }
    json_decref(root);
}

/* Two dimensions have closed forms without eigenvalues; order and scale matter. */
static void test_mismatch_normals(void **state) {
    (void)state;
    static const double m[2][2] = {{0.3, -0.2}, {-0.5, 1}};
    static const double s[2][4] = {{1.2, 0.5, 0.5, 0.7}, {0.4, -0.1, -0.1, 2}};
    for (int i = 0; i < 2; i++) {
        const double *const p = s[i], *const q = s[1 - i];
        const double dp = p[0] * p[3] - p[1] * p[1], dq = q[0] * q[3] - q[1] * q[1];
        const double x = m[i][0] - m[1 - i][0], y = m[i][1] - m[1 - i][1];
        const double trace = (q[3] * p[0] - 2 * q[1] * p[1] + q[0] * p[3]) / dq;
        const double off = (q[3] * x * x - 2 * q[1] * x * y + q[0] * y * y) / dq;
        const double product = p[0] * q[0] + 2 * p[1] * q[1] + p[3] * q[3];
        const double roots = sqrt(product + 2 * sqrt(dp * dq));
        double kl, w2;
        const normal_law a = {m[i], p}, b = {m[1 - i], q};
        assert_ok(mismatch_normals(2, &a, &b, &kl, &w2));
        assert_near(kl, (trace - 2 - log(dp / dq) + off) / 2, 1e-12);
        assert_near(w2, sqrt(x * x + y * y + p[0] + p[3] + q[0] + q[3] - 2 * roots), 1e-12);
    }
}

static void test_mismatch_sampled(void **state) {
    (void)state;
    json_in in;
    json_t *const root = references(&in);
    const json_t *const lines = json_object_get(root, "mismatch");
    prior *clean, *there;
    assert_ok(prior_read(exact_prior(), &clean));
    for (size_t r = 0; r < json_array_size(lines); r++) {
        const json_t *const line = json_array_get(lines, r);
        const scalar_at at = vp_at(json_number_value(json_object_get(line, "T")));
        double kl, error;
        assert_ok(prior_at(clean, at.a, at.b, &there));
        assert_ok(mismatch_sampled(there, 1, 20000, &kl, &error));
        assert_true(fabs(kl - json_number_value(json_object_get(line, "kl_std"))) < 4 * error);
        assert_true(error < 0.05 * kl); /* else the line above says nothing */
        prior_free(there);
    }
    prior_free(clean);
    json_decref(root);
}

/* In blocks, or one sample after the other: the same points, and so the same mean and error. */
static void test_mismatch_in_blocks(void **state) {
    (void)state;
    enum { WIDE = 33, N = 150 };
    static const double scale = 1.1;
    prior *const p = some_prior(KIND_FULL, 0, WIDE, 0);
    double sum = 0, squares = 0, kl, error;
    for (uint64_t i = 0; i < N; i++) {
        double x[WIDE], ratio;
        assert_ok(prior_draw(p, 0, i, x));
        assert_ok(prior_logp(p, x, 1, &ratio));
        for (size_t j = 0; j < WIDE; j++)
            ratio += x[j] * x[j] / (2 * scale * scale) + log(2 * acos(-1) * scale * scale) / 2;
        sum += ratio;
        squares += ratio * ratio;
    }
    const double mean = sum / N, spread = (squares - N * mean * mean) / (N - 1);
    assert_ok(mismatch_sampled(p, scale, N, &kl, &error));
    assert_true(mean > 0.1); /* else another estimator is taken */
    assert_near(kl, mean, 1e-12 * mean);
    assert_near(error, sqrt(spread / N), 1e-10 * error);
    prior_free(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flow_map),           cmocka_unit_test(test_mismatch_references),
        cmocka_unit_test(test_mismatch_normals),   cmocka_unit_test(test_mismatch_sampled),
        cmocka_unit_test(test_mismatch_in_blocks),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
