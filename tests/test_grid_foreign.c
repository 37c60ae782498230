/* Grids of other programs, against their definitions. */
#include "support/cases.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

static double *times_of(const process *p, const char *spec, double end, int steps) {
    const grid_wish w = {.spec = spec,
                         .start = NAN,
                         .end = end,
                         .model_start = 1,
                         .model_end = 1e-3,
                         .steps = steps,
                         .default_steps = 10};
    double *t;
    int n;
    assert_ok(grid_new(p, &w, &t, &n));
    assert_int_equal(n, steps);
    return t;
}

/* k-diffusion's exponential: log sigma linear from sigma_max to sigma_min, then 0. */
static void test_exponential(void **state) {
    (void)state;
    static const char *const processes[] = {"ve", "edm", "vp_linear"};
    for (size_t k = 0; k < LENGTH(processes); k++) {
        const plan_case c = {.process = processes[k]};
        process *p = case_process(&c);
        double *t = times_of(p, "exponential", 0, 6);
        const double max = log(process_at(p, 1).rho), min = log(process_at(p, 1e-3).rho);
        for (int i = 0; i < 6; i++)
            assert_true(fabs(log(process_at(p, t[i]).rho) - max - i / 5.0 * (min - max)) < 1e-11);
        assert_true(t[6] == 0);
        free(t);
        process_free(p);
    }
}

/* Values of SciPy 1.17, and what is known in closed form: b = 1, a = 1, the arcsine distribution, and both
   orders of the parameters. */
static void test_quantiles(void **state) {
    (void)state;
    static const double p[] = {1e-6, 0.1, 0.5, 0.9};
    static const struct {
        double a, b, known[4];
    } cases[] = {
        {0.6, 0.6, {1.8558824624053043e-10, 0.039584405588780847, 0.5, 0.96041559441121915}},
        {0.05,
         20,
         {2.9930833200152e-122, 2.99308332001524e-22, 2.8544281635185e-08, 0.00390060294713}},
        {20, 0.05, {0.64084157310512857, 0.9960993970528611, 0.99999997145571839, 1}},
        {20, 20, {0.17007587820183878, 0.39910202790369009, 0.5, 0.60089797209630991}},
        {2,
         3,
         {0.00040835946020425731, 0.14255931671003072, 0.38572756813238951, 0.67953941627818171}},
        {0.3,
         4,
         {1.9049653209186645e-21, 8.843870482363649e-05, 0.019778314565049332, 0.2143738140841478}},
    };
    for (size_t k = 0; k < LENGTH(cases); k++)
        for (size_t i = 0; i < LENGTH(p); i++) {
            const double q = beta_quantile(p[i], cases[k].a, cases[k].b);
            assert_true(fabs(q / cases[k].known[i] - 1) < 1e-11);
        }
    for (double part = 0; part <= 1; part += 1.0 / 64) {
        const double arcsine = sin(acos(-1) * part / 2);
        assert_true(fabs(beta_quantile(part, 0.5, 0.5) - arcsine * arcsine) < 1e-14);
        assert_true(fabs(beta_quantile(part, 3, 1) - cbrt(part)) < 1e-14);
        assert_true(fabs(beta_quantile(part, 1, 3) - (1 - cbrt(1 - part))) < 1e-14);
        assert_true(fabs(beta_quantile(part, 2, 7) - (1 - beta_quantile(1 - part, 7, 2))) < 1e-14);
    }
}

/* sigma at the quantiles of the arcsine distribution; its arc tangent evenly spaced; then 0. */
static void test_beta_and_kl_optimal(void **state) {
    (void)state;
    static const char *const processes[] = {"ve", "edm", "vp_linear"};
    for (size_t k = 0; k < LENGTH(processes); k++) {
        const plan_case c = {.process = processes[k]};
        process *p = case_process(&c);
        double *const spread = times_of(p, "beta:alpha=0.5,beta=0.5", 0, 6);
        double *const even = times_of(p, "kl_optimal:sigma_data=0.5", 0, 6);
        const double max = process_at(p, 1).rho, min = process_at(p, 1e-3).rho;
        for (int i = 0; i < 6; i++) {
            const double part = cos(acos(-1) * i / 10);
            const double sigma = min + part * part * (max - min);
            const double angle = atan(2 * max) + i / 5.0 * (atan(2 * min) - atan(2 * max));
            assert_true(fabs(process_at(p, spread[i]).rho / sigma - 1) < 1e-10);
            assert_true(fabs(process_at(p, even[i]).rho / (0.5 * tan(angle)) - 1) < 1e-10);
        }
        assert_true(spread[6] == 0 && even[6] == 0);
        free(spread);
        free(even);
        process_free(p);
    }
}

/* Between indices: linspace without rounding, and flow_match by its definition, twice shifted. */
static void test_real_indices(void **state) {
    (void)state;
    const plan_case c = {.process = "flow"};
    process *p = case_process(&c);
    double *t = times_of(p, "linspace:rounded=0", NAN, 8);
    for (int i = 0; i < 8; i++) assert_true(fabs(t[i] - (1 + 999 * (7 - i) / 7.0) / 1000) < 1e-13);
    free(t);
    t = times_of(p, "flow_match:shift=3", NAN, 5);
    const double least = 3 * 1e-3 / (1 + 2e-3);
    for (int i = 0; i < 5; i++) {
        const double u = 1 + i / 4.0 * (least - 1);
        assert_true(fabs(t[i] - 3 * u / (1 + 2 * u)) < 1e-13);
    }
    assert_true(t[0] == 1 && t[5] == 0);
    free(t);
    process_free(p);
}

/* Either end of a process is one of its times, whatever rounding makes of its sigma; a little beyond it
   there is none. */
static void test_end_sigmas(void **state) {
    (void)state;
    static const char *const processes[] = {"ve",        "edm",         "vp_linear", "sub_vp",
                                            "vp_cosine", "vp_discrete", "flow"};
    for (size_t k = 0; k < LENGTH(processes); k++) {
        process *p;
        assert_ok(process_new(processes[k], &p));
        const grid_unit unit = {.quantity = GRID_SIGMA};
        const double ends[] = {p->t_lo, p->t_hi};
        for (size_t i = 0; i < LENGTH(ends); i++) {
            const double rho = process_at(p, ends[i]).rho, way = i ? 1 : -1;
            double t;
            if (!isfinite(rho)) continue;
            for (int ulps = 0; ulps < 5; ulps++) {
                assert_ok(grid_time(p, &unit, rho * (1 + way * ulps * DBL_EPSILON), &t));
                assert_ok(process_check_time(p, "t", t));
            }
            refused(grid_time(p, &unit, rho * (1 + way * 1e-5), &t), DFL_E_RANGE, "is nowhere at");
        }
        process_free(p);
    }
    process *p;
    double t;
    assert_ok(process_new("ve", &p));
    assert_ok(grid_time(p, &(grid_unit){.quantity = GRID_SIGMA}, 0.01, &t));
    assert_true(t == p->t_lo);
    process_free(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exponential),         cmocka_unit_test(test_quantiles),
        cmocka_unit_test(test_beta_and_kl_optimal), cmocka_unit_test(test_real_indices),
        cmocka_unit_test(test_end_sigmas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
