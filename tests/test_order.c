/* Measured order: every deterministic solver on the analytic mixture, run by the executor in
   double, against a far finer integration of the same flow that shares no code with it. */
#include "support/cases.h"
#include "support/order.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run/run.h"

enum { STARTS = 8, DIM = 2, FINE = 40000 };

/* The mixture of the reference trajectories; tests/data/mixture2d.json holds the same numbers. */
static const double weight[3] = {0.5, 0.3, 0.2};
static const double mean[3][DIM] = {{1.2, -0.4}, {-0.9, 0.8}, {0.1, -1.5}};
static const double deviation[3][DIM] = {{0.25, 0.4}, {0.3, 0.2}, {0.15, 0.35}};

/* In v = x/a and u = log rho the flow is dv/du = rho eps, and with V = s^2 + rho^2
   rho eps = rho^2 sum_k r_k (v - m_k)/V: nothing of the process is left but its end points. */
static void slope(double u, const double *v, double *out) {
    const double rho2 = exp(2 * u);
    double share[3], top = -INFINITY, sum = 0, pull[3][DIM];
    for (int k = 0; k < 3; k++) {
        share[k] = log(weight[k]);
        for (int d = 0; d < DIM; d++) {
            const double V = deviation[k][d] * deviation[k][d] + rho2, e = v[d] - mean[k][d];
            share[k] -= (e * e / V + log(V)) / 2;
            pull[k][d] = rho2 * e / V;
        }
        top = fmax(top, share[k]);
    }
    for (int k = 0; k < 3; k++) sum += share[k] = exp(share[k] - top);
    for (int d = 0; d < DIM; d++) {
        out[d] = 0;
        for (int k = 0; k < 3; k++) out[d] += share[k] / sum * pull[k][d];
    }
}

static void add(const double *v, double h, const double *k, double *out) {
    for (int d = 0; d < DIM; d++) out[d] = v[d] + h * k[d];
}

/* Classical Runge-Kutta with FINE steps. */
static void true_flow(const process *p, double t, double s, const double *x, double *out) {
    const scalar_at at = process_at(p, t), to = process_at(p, s);
    const double first = log(at.rho), h = (log(to.rho) - first) / FINE;
    double v[DIM], k[4][DIM], w[DIM];
    for (int d = 0; d < DIM; d++) v[d] = x[d] / at.a;
    for (int i = 0; i < FINE; i++) {
        const double u = first + i * h;
        slope(u, v, k[0]);
        add(v, h / 2, k[0], w);
        slope(u + h / 2, w, k[1]);
        add(v, h / 2, k[1], w);
        slope(u + h / 2, w, k[2]);
        add(v, h, k[2], w);
        slope(u + h, w, k[3]);
        for (int d = 0; d < DIM; d++)
            v[d] += h / 6 * (k[0][d] + 2 * k[1][d] + 2 * k[2][d] + k[3][d]);
    }
    for (int d = 0; d < DIM; d++) out[d] = to.a * v[d];
}

typedef struct {
    dfl_model *mixture;
    double start[STARTS * DIM], truth[STARTS * DIM];
} problem2d;

static void set_truth(problem2d *b, const char *process_spec) {
    const plan_case c = reference_case(process_spec, NULL);
    process *p = case_process(&c);
    for (int i = 0; i < STARTS; i++)
        true_flow(p, c.start, case_end(p), b->start + i * DIM, b->truth + i * DIM);
    process_free(p);
}

static double rms_error(const problem2d *b, const plan_case *c) {
    dfl_plan *plan = case_compile(c);
    dfl_run *run;
    double out[STARTS * DIM], sum = 0;
    assert_ok(dfl_run_new(plan, b->mixture, "dtype=float64", &run));
    assert_ok(dfl_run_sample(run, 0, STARTS, NULL, b->start, out));
    for (int i = 0; i < STARTS * DIM; i++) {
        const double e = out[i] - b->truth[i];
        sum += e * e;
    }
    dfl_run_free(run);
    plan_free(plan);
    return sqrt(sum / (STARTS * DIM));
}

/* Least squares over the claimed range: within 0.3 of the claim on a process's reference options;
   elsewhere not below what is left of the claim in the limit. Where nothing has kinks, the last
   pair of step counts must not fall behind, either. Returns what is left above the least order. */
static double check_order(const problem2d *b, plan_case c, bool strict) {
    const solver_claims claims = case_claims(&c);
    ladder l = ladder_of(claims.from, claims.to);
    for (size_t i = 0; i < l.n; i++) {
        c.steps = l.steps[i];
        l.error[i] = rms_error(b, &c);
    }
    process *p = case_process(&c);
    const bool smooth = p->nknots == 0;
    process_free(p);
    const double slope_all = ladder_slope(&l), slope_last = ladder_last(&l);
    const double least = strict || claims.limit == 0 ? claims.order : claims.limit;
    const char *format = "%s: error %.2g, order %.2f, at last %.2f (claimed: %g)\n";
    if (strict)
        print_message(format, case_name(&c), l.error[l.n - 1], slope_all, slope_last, claims.order);
    if (!(slope_all >= least - 0.3))
        REFUTE(format, case_name(&c), l.error[l.n - 1], slope_all, slope_last, claims.order);
    if (strict && !claims.least) assert_true(slope_all <= claims.order + 0.3);
    if (strict && smooth && !claims.least) assert_true(slope_last >= claims.order - 0.3);
    return slope_all - least;
}

static void measure(const problem2d *b, bool strict) {
    double lowest = INFINITY;
    size_t cases = 0;
    spec_list solvers = scalar_solvers(), processes = reference_processes(!strict);
    for (size_t p = 0; p < processes.n; p++) {
        problem2d at = *b;
        set_truth(&at, processes.spec[p]);
        for (size_t s = 0; s < solvers.n; s++) {
            const plan_case c = reference_case(processes.spec[p], solvers.spec[s]);
            if (case_claims(&c).stochastic) continue;
            lowest = fmin(lowest, check_order(&at, c, strict));
            cases++;
        }
    }
    specs_free(&solvers);
    specs_free(&processes);
    print_message("%zu cases, order at least %.2f above what must be left\n", cases, lowest);
}

static void test_claimed_order(void **state) {
    measure(*state, true);
}

static void test_order_elsewhere(void **state) {
    measure(*state, false);
}

/* The independent integration reproduces a reference trajectory (deis.json, truth_000). */
static void test_truth(void **state) {
    problem2d b = *(const problem2d *)*state;
    set_truth(&b, "vp_linear");
    const double known[] = {1.1941805695029974, 0.3191133645953261, 0.0813751775652474,
                            -1.5542465404898107};
    for (size_t i = 0; i < LENGTH(known); i++) assert_true(fabs(b.truth[i] - known[i]) < 1e-10);
}

static int setup(void **state) {
    static problem2d b;
    *state = &b;
    for (int i = 0; i < STARTS * DIM; i++)
        b.start[i] = 1.3 * sin(1.7 * i + 0.3) + 0.4 * cos(0.61 * i);
    return dfl_model_open("mixture:" DFL_TEST_DATA "/mixture2d.json", NULL, &b.mixture);
}

static int teardown(void **state) {
    problem2d *b = *state;
    dfl_model_free(b->mixture);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_truth),
        cmocka_unit_test(test_claimed_order),
        cmocka_unit_test(test_order_elsewhere),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
