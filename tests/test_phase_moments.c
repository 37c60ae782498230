/* Exact mean and covariance of the stochastic solvers of phase space, by the affine interpreter:
   for data of a Gaussian law the perfect network is affine, so nothing is drawn. */
#include "support/interpret.h"
#include "support/order.h"
#include "support/tables.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "process/phase.h"
#include "solver/solver.h"
#include "solver/symbol.h"
#include "support/cases.h"

/* numerical_eps would be part of the interpreter's marginals. */
static const char *const settings[] = {"psld:numerical_eps=0", "cld:numerical_eps=0",
                                       "psld:numerical_eps=0,Gamma=0.25,nu=4.25",
                                       "psld:numerical_eps=0,beta_0=4,beta_1=12"};

static const gauss_law law = {2, {0.7, -0.4}, {0.30, 0.11, 0.11, 0.52}};

static const char *const stochastic[] = {
    "em",
    "sscs",
    "sscs:second_half=official",
    "splitting:scheme=noba",
    "splitting:scheme=nbao",
    "splitting:scheme=nobab",
    "splitting:scheme=roba",
    "splitting:scheme=rbao",
    "splitting:scheme=robab",
    "conjugate_splitting:scheme=coba,type=1",
    "conjugate_splitting:scheme=coba,type=2",
};

static dfl_plan *compile(const char *process_spec, const char *solver, const char *grid,
                         int steps) {
    const plan_source source = {
        .process = process_spec, .form = networks[0].form, .t_min = 1e-3, .t_max = 1};
    char spec[160];
    dfl_plan *plan;
    snprintf(spec, sizeof spec, "solver=%s grid=%s steps=%d", solver, grid, steps);
    if (plan_compile(spec, &source, &plan) != DFL_OK)
        REFUTE("%s, %s: %s", process_spec, spec, dfl_last_message());
    return plan;
}

/* Distance of the output's mean and covariance from the exact law's at the last time. */
static double moment_error(const char *process_spec, const char *solver, const char *grid,
                           int steps) {
    dfl_plan *plan = compile(process_spec, solver, grid, steps);
    affine_result r;
    assert_true(affine_run(plan, &law, NULL, &r));
    const double error = affine_error(plan, &law, &r);
    affine_free(&r);
    plan_free(plan);
    return error;
}

/* First order everywhere, within 0.3 over the claimed range and at its last pair. */
static void test_order(void **state) {
    (void)state;
    double lowest = INFINITY, highest = 0;
    for (size_t p = 0; p < LENGTH(settings); p++)
        for (size_t i = 0; i < LENGTH(stochastic); i++) {
            process *at = open_process(settings[p]);
            const solver_claims claims = claims_of(stochastic[i], at);
            process_free(at);
            assert_true(claims.stochastic && claims.order == 1);
            ladder l = ladder_of(claims.from, claims.to);
            for (size_t k = 0; k < l.n; k++)
                l.error[k] = moment_error(settings[p], stochastic[i], "power:kappa=2", l.steps[k]);
            const double all = ladder_slope(&l), last = ladder_last(&l);
            if (!(fabs(all - 1) <= 0.3 && fabs(last - 1) <= 0.3))
                REFUTE("%s, %s: order %.2f, at last %.2f", settings[p], stochastic[i], all, last);
            lowest = fmin(lowest, fmin(all, last));
            highest = fmax(highest, fmax(all, last));
            if (p == 0)
                print_message("%s: moments at %d steps off by %.1e, order %.2f\n", stochastic[i],
                              l.steps[l.n - 1], l.error[l.n - 1], all);
        }
    print_message("orders between %.2f and %.2f\n", lowest, highest);
}

/* lambda_s = 1 is the reverse SDE; any other noise converges, too, but to another law. */
static void test_noise_strength(void **state) {
    (void)state;
    static const char *const schemes[] = {"splitting:scheme=roba", "splitting:scheme=nobab",
                                          "conjugate_splitting:scheme=coba"};
    for (size_t i = 0; i < LENGTH(schemes); i++) {
        char solver[80];
        double error[3][2];
        const double strength[] = {1, 0.5, 2};
        for (int k = 0; k < 3; k++)
            for (int fine = 0; fine < 2; fine++) {
                snprintf(solver, sizeof solver, "%s,lambda_s=%g", schemes[i], strength[k]);
                error[k][fine] = moment_error(settings[2], solver, "power:kappa=2", 100 << fine);
            }
        print_message("%s: moments off by %.1e at lambda_s = 1, %.1e at 0.5, %.1e at 2\n",
                      schemes[i], error[0][1], error[1][1], error[2][1]);
        assert_true(error[0][1] < 0.6 * error[0][0]);
        for (int k = 1; k < 3; k++)
            assert_true(error[k][1] > 0.7 * error[k][0] && error[k][1] > 2 * error[0][1]);
    }
}

/* P S P' + Q Q' of a LIN row z <- P z + Q xi, for the first row of a plan that has both. */
static blk relaxed(const dfl_plan *plan, blk S) {
    val noise = -1;
    for (size_t i = 0; i < plan->code.nrows; i++) {
        const row *r = &plan->code.rows[i];
        const term *sources = &plan->code.terms[r->src];
        if (r->op == ROW_NOISE) noise = r->dst;
        if (r->op != ROW_LIN || noise < 0 || r->nsrc != 2) continue;
        const bool second = sources[1].v == noise;
        assert_true(second || sources[0].v == noise);
        const blk P = sources[!second].c, Q = sources[second].c;
        return blk_add(blk_mul(blk_mul(P, S), blk_transpose(P)), blk_mul(Q, blk_transpose(Q)));
    }
    REFUTE("no row with noise");
    return S;
}

/* The Ornstein-Uhlenbeck sub-steps leave the stationary law N(0, diag(1, M)) alone: the ones of the
   splitting schemes, component by component, and the critically damped one of SSCS. */
static void test_stationary(void **state) {
    (void)state;
    static const char *const first[] = {"splitting:scheme=roba", "splitting:scheme=nobab",
                                        "conjugate_splitting:scheme=coba", "sscs",
                                        "sscs:second_half=official"};
    double worst = 0;
    for (size_t p = 0; p < LENGTH(settings); p++)
        for (size_t i = 0; i < LENGTH(first); i++)
            for (int steps = 1; steps <= 100; steps *= 10) {
                process *at = open_process(settings[p]);
                const blk S = blk_2x2(1, 0, 0, phase_parameters(at)->M);
                dfl_plan *plan = compile(settings[p], first[i], "uniform", steps);
                worst = fmax(worst, apart(relaxed(plan, S), S));
                plan_free(plan);
                process_free(at);
            }
    print_message("stationary law after one relaxation: off by %.2g\n", worst);
    assert_true(worst < 1e-14);
}

/* lambda_s scales the position's noise alone. */
static void test_relaxed_position(void **state) {
    (void)state;
    dfl_plan *plan = compile(settings[2], "splitting:scheme=roba,lambda_s=0.5", "uniform", 10);
    const double D = 8 * 0.0999, gone = 0.25 * D; /* Gamma D, a step of 0.0999 */
    const blk S = relaxed(plan, blk_2x2(1, 0, 0, 0.25));
    assert_true(fabs(S.v[0] - (exp(-gone) - expm1(-gone / 2))) < 1e-14);
    assert_true(fabs(S.v[3] - 0.25) < 1e-14 && S.v[1] == 0 && S.v[2] == 0);
    plan_free(plan);
}

/* Where one friction is missing, a sub-step needs no score and costs no evaluation. */
static void test_no_friction(void **state) {
    (void)state;
    static const struct {
        const char *process, *solver;
        size_t nfe;
    } cases[] = {
        {"cld", "splitting:scheme=nse", 10},
        {"cld", "splitting:scheme=nvv", 20},
        {"cld", "splitting:scheme=rvv", 20},
        {"cld", "splitting:scheme=nobab", 20},
        {"psld", "splitting:scheme=nse", 20},
        {"psld", "splitting:scheme=nvv", 30},
        {"psld:Gamma=4,nu=0", "splitting:scheme=nvv", 10},
        {"psld:Gamma=4,nu=0", "splitting:scheme=rse", 10},
        {"psld:Gamma=4,nu=0", "conjugate_splitting:scheme=cvv", 10},
        {"cld", "conjugate_splitting:scheme=cvv", 20},
    };
    for (size_t i = 0; i < LENGTH(cases); i++) {
        dfl_plan *plan = compile(cases[i].process, cases[i].solver, "power:kappa=2", 10);
        if (dfl_plan_nfe(plan) != cases[i].nfe)
            REFUTE("%s, %s: %zu evaluations", cases[i].process, cases[i].solver,
                   dfl_plan_nfe(plan));
        plan_free(plan);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),       cmocka_unit_test(test_noise_strength),
        cmocka_unit_test(test_stationary),  cmocka_unit_test(test_relaxed_position),
        cmocka_unit_test(test_no_friction),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
