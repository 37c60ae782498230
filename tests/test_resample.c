/* What a bootstrap is made of: rows that are drawn alike for all, the distance of such rows, the spread of
   replicates. And other programs, as a sweep starts them. */
#include "check.h"

#include <math.h>
#include <string.h>

#include "base/spawn.h"
#include "eval/resample.h"

static void near(double found, double expected, double within) {
    if (!(fabs(found - expected) <= within)) REFUTE("%.17g is not %.17g", found, expected);
}

/* ---- resampling ------------------------------------------------------------------------------ */

static void test_resample(void **state) {
    (void)state;
    enum { N = 4000 };
    static uint32_t a[N], b[N];
    static unsigned seen[N];
    size_t different = 0;
    resample(3, 7, N, a);
    resample(3, 7, N, b);
    assert_memory_equal(a, b, sizeof a);
    resample(3, 8, N, b);
    assert_memory_not_equal(a, b, sizeof a);
    resample(4, 7, N, b);
    assert_memory_not_equal(a, b, sizeof a);
    for (size_t i = 0; i < N; i++) {
        assert_true(a[i] < N);
        different += seen[a[i]]++ == 0;
    }
    /* 1 - (1 - 1/N)^N of the rows are drawn at all; the standard deviation is 0.31 sqrt(N) */
    assert_true(fabs((double)different - N * (1 - exp(-1))) < 6 * 0.31 * sqrt(N));
}

static void test_spread(void **state) {
    (void)state;
    double x[41];
    for (int i = 0; i < 41; i++) x[i] = 20 - (i * 17 % 41); /* -20..20, shuffled */
    const spread s = spread_of(100, x, 41);
    near(s.error, sqrt(2 * (20 * 21 * 41 / 6) / 40.0), 1e-12);
    near(s.low, 81, 1e-12); /* NumPy's quantile 0.025 of -20..20 is -19 */
    near(s.high, 119, 1e-12);
    for (int i = 0; i < 41; i++) x[i] = 1000 + i; /* a bias of the replicates is taken out */
    near(spread_of(100, x, 41).low, 81, 1e-12);
}

static void real_root(const float *x, size_t n, size_t d, gaussian_root *out) {
    moments m;
    gaussian g;
    assert_ok(moments_new(d, &m));
    assert_ok(moments_add(&m, x, n));
    assert_ok(gaussian_of(&m, &g));
    assert_ok(gaussian_root_of(&g, out));
    moments_free(&m);
    gaussian_free(&g);
}

static void test_distance(void **state) {
    (void)state;
    static const float real[] = {1, 3}, made[] = {0, 2, 7, 9};
    static const uint32_t first[] = {0, 1, 0, 1};
    gaussian_root root;
    double d = 0;
    real_root(real, 2, 1, &root);
    const features two = {2, 1, made}, four = {4, 1, made};
    assert_ok(distance_to(&root, &two, NULL, &d));
    near(d, 1, 1e-12); /* means 1 and 2, variance 2 both */
    /* rows 0, 1, 0, 1: mean 1, variance 4/3; (sqrt 2 - sqrt 4/3)^2 + 1 */
    assert_ok(distance_to(&root, &four, first, &d));
    near(d, pow(sqrt(2) - sqrt(4.0 / 3), 2) + 1, 1e-12);
    gaussian_root_free(&root);
}

/* ---- other programs -------------------------------------------------------------------------- */

static int stop_at_once(void *user) {
    (void)user;
    return 77;
}

static void test_spawn(void **state) {
    (void)state;
    char said[100];
    int code = -1;
    const char *const fine[] = {"true", NULL}, *const bad[] = {"ls", "/nowhere/to be found", NULL};
    const char *const none[] = {"/nowhere/program", NULL}, *const slow[] = {"sleep", "60", NULL};
    assert_ok(spawn_wait(&(spawn_wish){fine, NULL, NULL, said, sizeof said}, &code));
    assert_int_equal(code, 0);
    assert_ok(spawn_wait(&(spawn_wish){bad, NULL, NULL, said, sizeof said}, &code));
    assert_int_not_equal(code, 0);
    assert_non_null(strstr(said, "/nowhere/to be found"));
    refused(spawn_wait(&(spawn_wish){none, NULL, NULL, said, sizeof said}, &code), DFL_E_IO,
            "cannot be started");
    const double began = seconds_now();
    refused(spawn_wait(&(spawn_wish){slow, stop_at_once, NULL, said, sizeof said}, &code), 77,
            "sleep");
    assert_true(seconds_now() - began < 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resample),
        cmocka_unit_test(test_spread),
        cmocka_unit_test(test_distance),
        cmocka_unit_test(test_spawn),
    };
    return cmocka_run_group_tests_name("resample", tests, NULL, NULL);
}
