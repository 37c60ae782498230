/* Grids: ends, formulas, order, integer times, refusals. */
#include "support/cases.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static process *linear(void) {
    const plan_case c = {.process = "vp_linear"};
    return case_process(&c);
}

static grid_wish wish(const char *spec, double start, double end, int steps) {
    return (grid_wish){.spec = spec,
                       .start = start,
                       .end = end,
                       .model_start = 1,
                       .model_end = 1e-3,
                       .steps = steps,
                       .default_steps = 10};
}

/* ---- every grid
 * ------------------------------------------------------------------------------------- */

static void check_grid(const process *p, size_t g, double start, double end, int steps) {
    char spec[8192];
    double *t;
    int n;
    grid_spec(grid_family.rows[g], start, end, steps, spec, sizeof spec);
    const grid_wish w = wish(spec, start, end, steps);
    const dfl_status status = grid_new(p, &w, &t, &n);
    /* a table's own times end above 0: fine steps to 0 would need others */
    if (status == DFL_E_RANGE && end == 0 && strstr(dfl_last_message(), "knows times")) return;
    if (status != DFL_OK) REFUTE("%.60s: %s", spec, dfl_last_message());
    assert_int_equal(n, steps);
    assert_true(t[0] == start && t[n] == end);
    for (int i = 1; i <= n; i++)
        if (!(t[i] < t[i - 1])) REFUTE("%.60s: time %d of %d does not fall", spec, i, n);
    free(t);
}

static void test_all(void **state) {
    (void)state;
    static const int steps[] = {1, 2, 3, 10, 100};
    spec_list processes = specs_of(&process_family, false);
    for (size_t k = 0; k < processes.n; k++) {
        const plan_case c = {.process = processes.spec[k]};
        process *p = case_process(&c);
        for (size_t g = 0; g < grid_family.n; g++)
            for (size_t i = 0; i < LENGTH(steps); i++) {
                check_grid(p, g, 1, case_end(p), steps[i]);
                check_grid(p, g, 0.6, 0.1, steps[i]);
                if (((const grid_row *)grid_family.rows[g])->reaches_zero)
                    check_grid(p, g, 1, 0, steps[i]);
            }
        process_free(p);
    }
    specs_free(&processes);
}

/* ---- formulas
 * --------------------------------------------------------------------------------------- */

static double by_power(double w, double kappa, double start, double end) {
    return pow(pow(start, 1 / kappa) * (1 - w) + pow(end, 1 / kappa) * w, kappa);
}

static void test_formulas(void **state) {
    (void)state;
    static const struct {
        const char *spec;
        double kappa; /* 0: log-SNR */
    } cases[] = {{"uniform", 1},       {"power", 2},  {"power:kappa=1", 1},
                 {"power:kappa=3", 3}, {"logsnr", 0}, {"power:kappa=0.5", 0.5},
                 {"power:kappa=7", 7}};
    process *p = linear();
    const double first = process_at(p, 1).lambda, last = process_at(p, 1e-3).lambda;
    for (size_t k = 0; k < LENGTH(cases); k++) {
        const grid_wish w = wish(cases[k].spec, NAN, NAN, 12);
        double *t;
        int n;
        assert_ok(grid_new(p, &w, &t, &n));
        for (int i = 0; i <= n; i++) {
            const double part = i / 12.0;
            if (cases[k].kappa > 0)
                assert_true(fabs(t[i] / by_power(part, cases[k].kappa, 1, 1e-3) - 1) < 1e-12);
            else
                assert_true(fabs(process_at(p, t[i]).lambda - first - part * (last - first)) <
                            1e-12);
        }
        free(t);
    }
    process_free(p);
}

/* The quadratic grid of the reference coefficients. */
static void test_known_times(void **state) {
    (void)state;
    process *p = linear();
    const grid_wish w = wish("power:kappa=2", 1, 1e-3, 0);
    double *t;
    int n;
    assert_ok(grid_new(p, &w, &t, &n));
    assert_int_equal(n, 10);
    const double known[] = {1, 0.8157020997883032, 0.6501592885125388, 0.5033715661727071,
                            0.3753389327688082};
    for (size_t i = 0; i < LENGTH(known); i++) assert_true(fabs(t[i] - known[i]) < 1e-15);
    assert_true(fabs(t[9] - 0.016502099788303092) < 1e-15);
    free(t);
    process_free(p);
}

static void test_list(void **state) {
    (void)state;
    process *p = linear();
    grid_wish w = wish("list:times=[0.9,0.5,0.25,0.01]", NAN, NAN, 0);
    double *t;
    int n;
    assert_ok(grid_new(p, &w, &t, &n));
    assert_int_equal(n, 3);
    assert_true(t[0] == 0.9 && t[1] == 0.5 && t[2] == 0.25 && t[3] == 0.01);
    free(t);
    w.steps = 3;
    w.start = 0.9;
    w.end = 0.01;
    assert_ok(grid_new(p, &w, &t, &n));
    free(t);
    process_free(p);
}

/* ---- networks with integer times
 * -------------------------------------------------------------------- */

static grid_wish by_index(const char *spec, double end, int steps) {
    grid_wish w = wish(spec, 1, end, steps);
    w.unit = 1.0 / 1000;
    w.origin = 1.0 / 1000; /* index i is t = (i + 1)/1000 */
    return w;
}

static void test_integers(void **state) {
    (void)state;
    const plan_case c = {.process = "vp_discrete"};
    process *p = case_process(&c);
    static const char *const specs[] = {"uniform", "power", "logsnr",
                                        "list:times=[1,0.6543,0.3333,0.0123,0.001]"};
    for (size_t k = 0; k < LENGTH(specs); k++) {
        const grid_wish w = by_index(specs[k], 1e-3, k == 3 ? 0 : 8);
        double *t;
        int n;
        assert_ok(grid_new(p, &w, &t, &n));
        for (int i = 0; i <= n; i++) {
            const double index = t[i] * 1000 - 1;
            assert_true(fabs(index - nearbyint(index)) < 1e-9);
        }
        assert_true(t[0] == 1 && t[n] == 1e-3);
        free(t);
    }
    process_free(p);
}

/* The number that a refusal names is usable, and one more is not. */
static void test_largest_steps(void **state) {
    (void)state;
    const plan_case c = {.process = "vp_discrete"};
    process *p = case_process(&c);
    static const char *const specs[] = {"uniform", "power", "power:kappa=3", "logsnr"};
    for (size_t k = 0; k < LENGTH(specs); k++) {
        grid_wish w = by_index(specs[k], 1e-3, 1000);
        double *t;
        int n;
        assert_int_equal(grid_new(p, &w, &t, &n), DFL_E_RANGE);
        assert_null(t);
        const char *said = strstr(dfl_last_message(), "number of steps is ");
        assert_non_null(said);
        const int usable = atoi(said + strlen("number of steps is "));
        assert_true(usable >= 1 && usable < 1000);
        w.steps = usable;
        assert_ok(grid_new(p, &w, &t, &n));
        free(t);
        w.steps = usable + 1;
        assert_int_equal(grid_new(p, &w, &t, &n), DFL_E_RANGE);
    }
    process_free(p);
}

/* ---- refusals
 * --------------------------------------------------------------------------------------- */

static void test_refusals(void **state) {
    (void)state;
    static const struct {
        const char *spec;
        double start, end;
        int steps;
        dfl_status status;
        const char *message;
    } cases[] = {
        {"unifrom", 1, 0.1, 3, DFL_E_KEY, "did you mean 'uniform'"},
        {"uniform:kappa=2", 1, 0.1, 3, DFL_E_KEY, "kappa"},
        {"power:kappa=0", 1, 0.1, 3, DFL_E_RANGE, "kappa=0"},
        {"power:kappa=-2", 1, 0.1, 3, DFL_E_RANGE, "kappa=-2"},
        {"uniform", 0.1, 0.5, 3, DFL_E_RANGE, "t_start=0.1"},
        {"uniform", 0.5, 0.5, 3, DFL_E_RANGE, "t_end=0.5"},
        {"uniform", 1.5, 0.5, 3, DFL_E_RANGE, "t_start=1.5"},
        {"uniform", 1, -0.5, 3, DFL_E_RANGE, "t_end=-0.5"},
        {"uniform", 1, 1e-13, 3, DFL_E_RANGE, "t_end="},
        {"logsnr", 1, 0, 3, DFL_E_COMBINATION, "t_end=0"},
        {"list", NAN, NAN, 0, DFL_E_KEY, "times"},
        {"list:times=[1]", NAN, NAN, 0, DFL_E_KEY, "two numbers"},
        {"list:times=[1,0.5,0.5,0.1]", NAN, NAN, 0, DFL_E_RANGE, "0.5 follows 0.5"},
        {"list:times=[1,0.3,0.5,0.1]", NAN, NAN, 0, DFL_E_RANGE, "0.5 follows 0.29999999999999999"},
        {"list:times=[0.1,0.5,1]", NAN, NAN, 0, DFL_E_RANGE, "t_start=0.1"},
        {"list:times=[2,0.5,0.1]", NAN, NAN, 0, DFL_E_RANGE, "t_start=2"},
        {"list:times=[1,-0.5,0.1]", NAN, NAN, 0, DFL_E_RANGE, "-0.5"},
        {"list:times=[1,0.5,0.1]", NAN, NAN, 5, DFL_E_COMBINATION, "steps=5"},
        {"list:times=[1,0.5,0.1]", 0.9, NAN, 0, DFL_E_COMBINATION, "t_start"},
        {"list:times=[1,0.5,0.1]", NAN, 0.2, 0, DFL_E_COMBINATION, "t_end"},
    };
    process *p = linear();
    for (size_t i = 0; i < LENGTH(cases); i++) {
        const grid_wish w = wish(cases[i].spec, cases[i].start, cases[i].end, cases[i].steps);
        double *t;
        int n;
        const dfl_status status = grid_new(p, &w, &t, &n);
        if (status != cases[i].status)
            REFUTE("%s (case %zu): status %d (%s)", cases[i].spec, i, status, dfl_last_message());
        assert_null(t);
        assert_message_has(cases[i].message);
    }
    process_free(p);
}

/* A start between the times of an integer network names the nearest one. */
static void test_integer_start(void **state) {
    (void)state;
    const plan_case c = {.process = "vp_discrete"};
    process *p = case_process(&c);
    grid_wish w = by_index("uniform", 1e-3, 4);
    w.start = 0.5004;
    double *t;
    int n;
    assert_int_equal(grid_new(p, &w, &t, &n), DFL_E_RANGE);
    assert_message_has("t_start=0.50039999999999996");
    assert_message_has("nearest is 0.5");
    process_free(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all),           cmocka_unit_test(test_formulas),
        cmocka_unit_test(test_known_times),   cmocka_unit_test(test_list),
        cmocka_unit_test(test_integers),      cmocka_unit_test(test_largest_steps),
        cmocka_unit_test(test_integer_start), cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
