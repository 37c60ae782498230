/* The inception score against its definition, its limits, taken up in parts, and what it refuses. */
#include "check.h"

#include <math.h>

#include "eval/metrics.h"

static void assert_near(double found, double right, double within) {
    if (!(fabs(found - right) <= within)) REFUTE("%.17g instead of %.17g", found, right);
}

static inception scored(size_t classes, size_t splits, const float *logits, size_t n) {
    inception s;
    assert_ok(inception_new(classes, splits, n, &s));
    assert_ok(inception_add(&s, 0, logits, n));
    return s;
}

static void test_inception_limits(void **state) {
    (void)state;
    enum { C = 5, SAMPLES = 50 };
    float flat[SAMPLES * C], sure[SAMPLES * C] = {0};
    for (int i = 0; i < SAMPLES * C; i++) flat[i] = -7;
    for (int i = 0; i < SAMPLES; i++) sure[i * C + i % C] = 1000;
    inception a = scored(C, 10, flat, SAMPLES), b = scored(C, 10, sure, SAMPLES);
    inception_result r;
    assert_ok(inception_score(&a, &r));
    assert_near(r.mean, 1, 1e-15);
    assert_near(r.std, 0, 1e-15);
    assert_ok(inception_score(&b, &r));
    assert_near(r.mean, C, 1e-14);
    assert_near(r.std, 0, 1e-14);
    for (int i = 0; i < SAMPLES * C; i++)
        sure[i] = i % C == 2 ? 1000 : 0; /* all are of one class */
    inception_free(&b);
    b = scored(C, 10, sure, SAMPLES);
    assert_ok(inception_score(&b, &r));
    assert_near(r.mean, 1, 1e-14);
    inception_free(&a);
    inception_free(&b);
}

/* Splits of 23 samples in 4: 0-4, 5-10, 11-16, 17-22, scored from the definition. */
static void test_inception(void **state) {
    (void)state;
    enum { C = 3, SAMPLES = 23, SPLITS = 4 };
    static const size_t ends[SPLITS + 1] = {0, 5, 11, 17, 23};
    float x[SAMPLES * C];
    double z[SAMPLES * C], p[SAMPLES][C], score[SPLITS], mean = 0, square = 0;
    noise_normals(13, DFL_DRAW_TABLE, 0, 0, 0, SAMPLES * C, z);
    for (int i = 0; i < SAMPLES * C; i++) x[i] = (float)(40 + z[i]);
    for (size_t i = 0; i < SAMPLES; i++) {
        double whole = 0;
        for (size_t c = 0; c < C; c++) whole += exp(x[i * C + c]);
        for (size_t c = 0; c < C; c++) p[i][c] = exp(x[i * C + c]) / whole;
    }
    for (size_t s = 0; s < SPLITS; s++) {
        const double n = (double)(ends[s + 1] - ends[s]);
        double q[C] = {0}, kl = 0;
        for (size_t i = ends[s]; i < ends[s + 1]; i++)
            for (size_t c = 0; c < C; c++) q[c] += p[i][c] / n;
        for (size_t i = ends[s]; i < ends[s + 1]; i++)
            for (size_t c = 0; c < C; c++) kl += p[i][c] * log(p[i][c] / q[c]) / n;
        score[s] = exp(kl);
        mean += score[s] / SPLITS;
    }
    for (size_t s = 0; s < SPLITS; s++) square += (score[s] - mean) * (score[s] - mean) / SPLITS;
    inception a = scored(C, SPLITS, x, SAMPLES), b, half;
    inception_result r, again;
    assert_ok(inception_score(&a, &r));
    assert_near(r.mean, mean, 1e-14);
    assert_near(r.std, sqrt(square), 1e-14);
    assert_ok(inception_new(C, SPLITS, SAMPLES, &b));
    assert_ok(inception_add(&b, 0, x, 7));
    assert_ok(inception_add(&b, 7, x + 7 * C, 16));
    assert_memory_equal(a.sum, b.sum, SPLITS * C * sizeof(double)); /* batches leave no trace */
    assert_memory_equal(a.entropy, b.entropy, SPLITS * sizeof(double));
    inception_free(&b);
    assert_ok(inception_new(C, SPLITS, SAMPLES, &b));
    assert_ok(inception_new(C, SPLITS, SAMPLES, &half));
    assert_ok(inception_add(&b, 0, x, 9));
    assert_ok(inception_add(&half, 9, x + 9 * C, 14));
    refused(inception_score(&b, &again), DFL_E_ARG, "split 1 has 4 samples instead of 6");
    assert_ok(inception_merge(&b, &half));
    assert_ok(inception_score(&b, &again));
    assert_near(again.mean, r.mean, 1e-14);
    inception_free(&a);
    inception_free(&b);
    inception_free(&half);
}

static void test_inception_refused(void **state) {
    (void)state;
    float logits[6] = {0, 1, 2, 3, 4, NAN};
    inception s, other;
    refused(inception_new(1, 1, 10, &s), DFL_E_RANGE, "1 classes");
    refused(inception_new(2, 0, 10, &s), DFL_E_RANGE, "0 splits");
    refused(inception_new(2, 10, 9, &s), DFL_E_RANGE, "10 splits of 9");
    refused(inception_new(2, 10, UINT64_MAX, &s), DFL_E_RANGE, "samples");
    assert_ok(inception_new(2, 2, 4, &s));
    refused(inception_add(&s, 1, logits, 3), DFL_E_NONFINITE, "logit 1 of sample 3");
    assert_true(s.count[0] == 0 && s.sum[0] == 0);
    refused(inception_add(&s, 3, logits, 2), DFL_E_RANGE, "3 to 5 of 4");
    refused(inception_add(&s, UINT64_MAX, logits, 2), DFL_E_RANGE, "of 4");
    assert_ok(inception_new(2, 2, 5, &other));
    refused(inception_merge(&s, &other), DFL_E_COMBINATION, "different");
    inception_free(&s);
    inception_free(&other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inception_limits),
        cmocka_unit_test(test_inception),
        cmocka_unit_test(test_inception_refused),
    };
    return cmocka_run_group_tests_name("inception", tests, NULL, NULL);
}
