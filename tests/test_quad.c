/* Quadrature: the stored rules against their definition, and integrals. */
#include "check.h"

#include <math.h>

#include "base/base.h"

static const int rules[] = {8, 16, 32, 48};

/* Root i of the Legendre polynomial of degree n, from the left, and its weight. */
static long double root(int n, int i, long double *weight) {
    const long double pi = 3.141592653589793238462643383279502884L;
    long double x = -cosl(pi * (i + 0.75L) / (n + 0.5L)), slope = 0;
    for (int iteration = 0; iteration < 10; iteration++) {
        long double p0 = 1, p1 = x;
        for (int k = 2; k <= n; k++) {
            const long double p2 = ((2 * k - 1) * x * p1 - (k - 1) * p0) / k;
            p0 = p1;
            p1 = p2;
        }
        slope = n * (x * p1 - p0) / (x * x - 1);
        x -= p1 / slope;
    }
    *weight = 2 / ((1 - x * x) * slope * slope);
    return x;
}

typedef struct {
    long double near;
    int hits;
    double node;
} peak;

/* 1 at the node that is looked for, so that the integral is its weight. */
static double at_node(double x, void *user) {
    peak *const p = user;
    if (fabsl(x - p->near) > 1e-3L) return 0;
    p->node = x;
    p->hits++;
    return 1;
}

/* Half a unit in the last place of each: they are the nearest doubles, or within long double's own
   rounding of a tie. */
static void test_rules(void **state) {
    (void)state;
    for (size_t r = 0; r < LENGTH(rules); r++)
        for (int i = 0; i < rules[r]; i++) {
            long double weight = 0;
            peak p = {.near = root(rules[r], i, &weight)};
            const double measured = quad_gauss(at_node, &p, -1, 1, rules[r]);
            assert_int_equal(p.hits, 1);
            assert_true(fabsl(p.node - p.near) < 0.6e-16L);
            assert_true(fabsl(measured - weight) < 3e-17L);
        }
}

static double power(double x, void *user) {
    return pow(x, *(const int *)user);
}

static void powers(double x, void *user, double *out) {
    for (int k = 0; k < *(const int *)user; k++) out[k] = pow(x, k);
}

/* Exact up to degree 2 n - 1, on any interval, and for many values at once. */
static void test_degree(void **state) {
    (void)state;
    for (size_t r = 0; r < LENGTH(rules); r++)
        for (int degree = 0; degree < 2 * rules[r]; degree++) {
            const double whole = (pow(1.5, degree + 1) - pow(-0.5, degree + 1)) / (degree + 1);
            assert_true(fabs(quad_gauss(power, &degree, -0.5, 1.5, rules[r]) / whole - 1) < 1e-14);
            if (degree == 0 || degree > 16) continue;
            double sum[16];
            quad_gauss_n(powers, &degree, -0.5, 1.5, rules[r], degree, sum);
            for (int k = 0; k < degree; k++)
                assert_true(fabs(sum[k] - quad_gauss(power, &k, -0.5, 1.5, rules[r])) < 1e-14);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rules), cmocka_unit_test(test_degree)};
    return cmocka_run_group_tests_name("quad", tests, NULL, NULL);
}
