/* Grids of other programs, against their definitions. */
#include "support/cases.h"

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exponential),
        cmocka_unit_test(test_real_indices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
