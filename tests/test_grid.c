/* Grids: ends, formulas, order, integer times, refusals. */
#include "support/cases.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* ---- every grid ------------------------------------------------------------------------------ */

/* Grids of indices choose their start; fine steps of a table's own process to 0 would need times
   below its first, and grids in sigma have no way from nothing but noise. */
static bool may_refuse(const process *p, const grid_row *grid, double start, double end) {
    const char *said = dfl_last_message();
    if (strstr(said, "knows times")) return p->nknots ? end == 0 : grid->index && p->t_hi < 1;
    return grid->in_sigma && !isfinite(process_at(p, start).rho) && strstr(said, "infinite");
}

static void check_grid(const process *p, size_t g, double start, double end, int steps) {
    const grid_row *grid = (const grid_row *)grid_family.rows[g];
    char spec[8192];
    double *t;
    int n;
    grid_spec(&grid->is, start, end, steps, spec, sizeof spec);
    const grid_wish w = wish(spec, grid->index ? NAN : start, end, steps);
    if (grid_new(p, &w, &t, &n) != DFL_OK) {
        if (!may_refuse(p, grid, start, end))
            REFUTE("%.60s on %s: %s", spec, p->row->is.name, dfl_last_message());
        return;
    }
    assert_int_equal(n, steps);
    assert_true((grid->index || t[0] == start) && t[n] == end);
    for (int i = 1; i <= n; i++)
        if (!(t[i] < t[i - 1])) REFUTE("%.60s: time %d of %d does not fall", spec, i, n);
    free(t);
}

static void test_all(void **state) {
    (void)state;
    static const int steps[] = {1, 2, 3, 10, 100};
    spec_list processes = scalar_processes();
    for (size_t k = 0; k < processes.n; k++) {
        const plan_case c = {.process = processes.spec[k]};
        process *p = case_process(&c);
        for (size_t g = 0; g < grid_family.n; g++)
            for (size_t i = 0; i < LENGTH(steps); i++) {
                const grid_row *grid = (const grid_row *)grid_family.rows[g];
                if (grid->reaches_zero) check_grid(p, g, p->t_hi, 0, steps[i]);
                if (grid->index) continue; /* they start where they like, which may be below */
                check_grid(p, g, p->t_hi, case_end(p), steps[i]);
                check_grid(p, g, 0.6, 0.1, steps[i]);
            }
        process_free(p);
    }
    specs_free(&processes);
}

/* ---- formulas -------------------------------------------------------------------------------- */

static double by_power(double w, double kappa, double start, double end) {
    return pow(pow(start, 1 / kappa) * (1 - w) + pow(end, 1 / kappa) * w, kappa);
}

static void test_formulas(void **state) {
    (void)state;
    static const struct {
        const char *spec;
        double kappa; /* 0: log-SNR */
    } cases[] = {{"uniform", 1},       {"power", 2},       {"power:kappa=1", 1},
                 {"power:kappa=3", 3}, {"logsnr", 0},      {"power:kappa=0.5", 0.5},
                 {"power:kappa=7", 7}, {"exponential", 0}, {"time_quadratic", 2},
                 {"time_uniform", 1}};
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

/* ---- grids in sigma -------------------------------------------------------------------------- */

static double *times_of(const process *p, const char *spec, double end, int steps) {
    const grid_wish w = wish(spec, NAN, end, steps);
    double *t;
    int n;
    assert_ok(grid_new(p, &w, &t, &n));
    assert_int_equal(n, steps);
    return t;
}

/* Karras et al., eq. (5), written out: sigma from sigma_max to sigma_min; then 0. */
static void test_karras(void **state) {
    (void)state;
    spec_list processes = reference_processes(false);
    for (size_t k = 0; k < processes.n; k++) {
        const plan_case c = {.process = processes.spec[k]};
        process *p = case_process(&c);
        grid_wish w = wish("karras:rho=5", 0.9, 1e-3, 8);
        double *t, *to_zero;
        int n;
        assert_ok(grid_new(p, &w, &t, &n));
        w.end = 0;
        w.steps = 9;
        assert_ok(grid_new(p, &w, &to_zero, &n));
        const double max = pow(process_at(p, 0.9).rho, 0.2),
                     min = pow(process_at(p, 1e-3).rho, 0.2);
        for (int i = 0; i <= 8; i++) {
            const double sigma = pow(max + i / 8.0 * (min - max), 5);
            assert_true(fabs(process_at(p, t[i]).rho / sigma - 1) < 1e-11);
            assert_true(t[i] == to_zero[i]);
        }
        assert_true(to_zero[9] == 0);
        free(t);
        free(to_zero);
        process_free(p);
    }
    specs_free(&processes);
}

/* Published example times of the grid, k = 3.1. */
static void test_nsr(void **state) {
    (void)state;
    static const struct {
        const char *spec;
        double end, known[3];
    } cases[] = {
        {"nsr", 1e-3, {0.7691790440653601, 0.4431740389680847, 0.08791389426767084}},
        {"nsr:k=3.1", 1e-4, {0.7296761405644403, 0.32501344480063515, 0.0349544743684223}},
    };
    process *p = linear();
    for (size_t k = 0; k < LENGTH(cases); k++) {
        double *t = times_of(p, cases[k].spec, cases[k].end, 4);
        for (int i = 0; i < 3; i++) assert_true(fabs(t[i + 1] / cases[k].known[i] - 1) < 1e-12);
        free(t);
    }
    double *t = times_of(p, "nsr:k=0", 1e-3, 7), *u = times_of(p, "logsnr", 1e-3, 7);
    for (int i = 0; i <= 7; i++) assert_true(fabs(t[i] / u[i] - 1) < 1e-12);
    free(t);
    free(u);
    process_free(p);
}

/* ---- grids of indices ------------------------------------------------------------------------ */

/* The lists of diffusers' schedulers for N = 1000, as stored with the reference trajectories.
   Multistep schedulers there count one step more in leading and linspace, whose last index they
   leave out; the rest are the same lists. */
static void test_indices(void **state) {
    (void)state;
    static const struct {
        const char *spec;
        int steps, count, index[12];
    } cases[] = {
        {"trailing", 6, 6, {999, 832, 666, 499, 332, 166}},
        {"trailing", 12, 12, {999, 916, 832, 749, 666, 582, 499, 416, 332, 249, 166, 82}},
        {"linspace", 7, 6, {999, 832, 666, 500, 333, 166}},
        {"linspace", 13, 12, {999, 916, 832, 749, 666, 583, 500, 416, 333, 250, 166, 83}},
        {"linspace", 1, 1, {0}},
        {"leading", 7, 6, {852, 710, 568, 426, 284, 142}},
        {"leading", 13, 12, {912, 836, 760, 684, 608, 532, 456, 380, 304, 228, 152, 76}},
        {"leading", 5, 5, {800, 600, 400, 200, 0}},
        {"leading:steps_offset=1", 5, 5, {801, 601, 401, 201, 1}},
        {"leading:num_train_timesteps=100", 4, 4, {75, 50, 25, 0}},
        {"leading:endpoint=0", 6, 6, {852, 710, 568, 426, 284, 142}},
        {"linspace:endpoint=0", 6, 6, {999, 832, 666, 500, 333, 166}},
        {"linspace:endpoint=0", 1, 1, {999}},
        {"ddim_uniform", 5, 5, {801, 601, 401, 201, 1}},
        {"normal", 4, 4, {999, 666, 333, 0}},
        {"sgm_uniform", 3, 3, {999, 666, 333}},
    };
    const plan_case c = {.process = "vp_discrete"};
    process *p = case_process(&c);
    for (size_t k = 0; k < LENGTH(cases); k++) {
        const double N = strstr(cases[k].spec, "=100") ? 100 : 1000;
        double *t = times_of(p, cases[k].spec, NAN, cases[k].steps);
        for (int i = 0; i < cases[k].count; i++)
            if (t[i] != (cases[k].index[i] + 1) / N)
                REFUTE("%s, %d steps: time %d is index %g, not %d", cases[k].spec, cases[k].steps,
                       i, t[i] * N - 1, cases[k].index[i]);
        assert_true(t[cases[k].steps] == 0);
        free(t);
    }
    process_free(p);
}

/* ---- grids from files ------------------------------------------------------------------------ */

static char path[] = "/tmp/driftless-grid-XXXXXX";

static void write_file(const char *content, size_t repeat) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (size_t i = 0; i < repeat; i++) assert_true(fputs(content, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void test_file(void **state) {
    (void)state;
    static const struct {
        const char *content;
        size_t repeat;
        dfl_status status;
        const char *message;
    } cases[] = {
        {"0.9 0.5,0.25\n\n0.01\r\n", 1, DFL_OK, ""},
        {"0.9, 0.5\t0.25 ,0.01", 1, DFL_OK, ""},
        {"0.9 half 0.1", 1, DFL_E_FORMAT, "'half' is not a number"},
        {"0.9 nan 0.1", 1, DFL_E_FORMAT, "'nan' is not a number"},
        {"0.9", 1, DFL_E_KEY, "two times"},
        {"", 1, DFL_E_KEY, "two times"},
        {"0.9 0.5 0.5 0.1", 1, DFL_E_RANGE, "0.5 follows 0.5"},
        {"2 0.5", 1, DFL_E_RANGE, "t_start=2"},
        {"1 ", 100002, DFL_E_RANGE, "more than 100001 times"},
        {"0.123456789012345678901234567890123456789 ", 120000, DFL_E_FORMAT, "4194304"},
    };
    process *p = linear();
    const int made = mkstemp(path);
    assert_true(made >= 0);
    close(made);
    char spec[96];
    snprintf(spec, sizeof spec, "file:path=%s", path);
    for (size_t k = 0; k < LENGTH(cases); k++) {
        write_file(cases[k].content, cases[k].repeat);
        const grid_wish w = wish(spec, NAN, NAN, 0);
        double *t;
        int n;
        const dfl_status status = grid_new(p, &w, &t, &n);
        if (status != cases[k].status)
            REFUTE("case %zu: status %d (%s)", k, status, dfl_last_message());
        if (status != DFL_OK) {
            assert_message_has(cases[k].message);
            continue;
        }
        assert_true(n == 3 && t[0] == 0.9 && t[1] == 0.5 && t[2] == 0.25 && t[3] == 0.01);
        free(t);
    }
    remove(path);
    const grid_wish w = wish(spec, NAN, NAN, 0);
    double *t;
    int n;
    assert_int_equal(grid_new(p, &w, &t, &n), DFL_E_IO);
    assert_message_has(path);
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

/* ---- networks with integer times ------------------------------------------------------------- */

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
    static const char *const specs[] = {
        "uniform", "power", "logsnr", "karras", "nsr", "list:times=[1,0.6543,0.3333,0.0123,0.001]"};
    for (size_t k = 0; k < LENGTH(specs); k++) {
        const grid_wish w = by_index(specs[k], 1e-3, k == LENGTH(specs) - 1 ? 0 : 8);
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
    static const char *const specs[] = {"uniform", "power",  "power:kappa=3",
                                        "logsnr",  "karras", "nsr"};
    for (size_t k = 0; k < LENGTH(specs); k++) {
        grid_wish w = by_index(specs[k], 1e-3, 100000); /* found without trying each number */
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

/* ---- refusals -------------------------------------------------------------------------------- */

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
        {"nsr", 1, 0, 3, DFL_E_COMBINATION, "t_end=0"},
        {"nsr:k=-1", 1, 0.1, 3, DFL_E_RANGE, "k=-1"},
        {"karras:rho=0", 1, 0.1, 3, DFL_E_RANGE, "rho=0"},
        {"karras", 1e-4, 0, 3, DFL_E_COMBINATION, "t_min=0.001"},
        {"leading", 1, NAN, 3, DFL_E_COMBINATION, "leave t_start out"},
        {"leading", NAN, NAN, 1001, DFL_E_RANGE, "number of steps is 1000"},
        {"leading:steps_offset=900", NAN, NAN, 5, DFL_E_RANGE, "t_start=1.701"},
        {"linspace", NAN, NAN, 1001, DFL_E_RANGE, "number of steps is 1000"},
        {"trailing", NAN, NAN, 1001, DFL_E_RANGE, "number of steps is 1000"},
        {"trailing:num_train_timesteps=1", NAN, NAN, 1, DFL_E_RANGE, "num_train_timesteps=1"},
        {"file", NAN, NAN, 0, DFL_E_KEY, "path is missing"},
        {"list", NAN, NAN, 0, DFL_E_KEY, "times"},
        {"list:times=[1]", NAN, NAN, 0, DFL_E_KEY, "two times"},
        {"list:times=[1,0.5,0.5,0.1]", NAN, NAN, 0, DFL_E_RANGE, "0.5 follows 0.5"},
        {"list:times=[1,0.3,0.5,0.1]", NAN, NAN, 0, DFL_E_RANGE, "0.5 follows 0.3"},
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

/* From nothing but noise no grid can count in sigma; the others can. */
static void test_infinite_sigma(void **state) {
    (void)state;
    size_t refused = 0;
    spec_list processes = scalar_processes();
    for (size_t k = 0; k < processes.n; k++) {
        const plan_case c = {.process = processes.spec[k]};
        process *p = case_process(&c);
        for (size_t g = 0; g < grid_family.n && !isfinite(process_at(p, p->t_hi).rho); g++) {
            const grid_row *grid = (const grid_row *)grid_family.rows[g];
            const grid_wish w = wish(grid->is.name, NAN, NAN, 5);
            double *t;
            int n;
            if (!grid->time) continue;
            const dfl_status status = grid_new(p, &w, &t, &n);
            assert_int_equal(status, grid->in_sigma ? DFL_E_COMBINATION : DFL_OK);
            if (grid->in_sigma) assert_message_has("sigma is infinite at t_start=1;");
            refused += grid->in_sigma;
            free(t);
        }
        process_free(p);
    }
    specs_free(&processes);
    assert_true(refused >= 3);
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
    assert_message_has("t_start=0.5004");
    assert_message_has("nearest is 0.5");
    process_free(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all),           cmocka_unit_test(test_formulas),
        cmocka_unit_test(test_known_times),   cmocka_unit_test(test_karras),
        cmocka_unit_test(test_nsr),           cmocka_unit_test(test_indices),
        cmocka_unit_test(test_file),          cmocka_unit_test(test_infinite_sigma),
        cmocka_unit_test(test_list),          cmocka_unit_test(test_integers),
        cmocka_unit_test(test_largest_steps), cmocka_unit_test(test_integer_start),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
