/* What phase space refuses, what it warns about, and what a budget of evaluations buys. */
#include "support/tables.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "plan/plan.h"
#include "support/cases.h"

static dfl_status compile(const char *process_spec, const char *spec, dfl_plan **plan) {
    const plan_source source = {
        .process = process_spec, .form = networks[0].form, .t_min = 1e-3, .t_max = 1};
    return plan_compile(spec, &source, plan);
}

typedef struct {
    const char *process, *spec;
    dfl_status status;
    const char *word; /* in the message */
} refusal;

static const refusal refusals[] = {
    /* processes */
    {"psld:Gamma=-0.01", "", DFL_E_RANGE, "Gamma"},
    {"psld:nu=-1", "", DFL_E_RANGE, "nu"},
    {"psld:Gamma=4,nu=4", "", DFL_E_COMBINATION, "critical damping"},
    {"psld:Gamma=0,nu=0", "", DFL_E_COMBINATION, "critical damping"},
    {"cld:nu=0", "", DFL_E_COMBINATION, "critical damping"},
    {"psld:beta_0=-1", "", DFL_E_RANGE, "beta_0"},
    {"psld:beta_1=-1", "", DFL_E_RANGE, "beta_1"},
    {"psld:beta_0=0,beta_1=0", "", DFL_E_COMBINATION, "beta"},
    {"psld:kappa=-1", "", DFL_E_RANGE, "kappa"},
    {"psld:kappa=0,numerical_eps=0", "", DFL_E_COMBINATION, "numerical_eps"},
    {"psld:numerical_eps=-1", "", DFL_E_RANGE, "numerical_eps"},
    {"psld:Gamma=nan", "", DFL_E_RANGE, "Gamma"},
    {"psld:gamma=0.01", "", DFL_E_KEY, "Gamma"},
    /* times */
    {"psld", "solver=splitting:scheme=rvv t_end=0", DFL_E_COMBINATION, "t = 0"},
    {"psld", "solver=conjugate_splitting t_end=0", DFL_E_COMBINATION, "t = 0"},
    {"psld", "t_end=-0.1", DFL_E_RANGE, "t_end"},
    {"psld", "t_end=1", DFL_E_RANGE, "t"},
    {"psld", "grid=list:times=[1,0.5,0.5,0.1]", DFL_E_RANGE, "times"},
    {"psld", "grid=list:times=[0.1,0.5]", DFL_E_RANGE, "must be above"},
    {"psld", "grid=logsnr", DFL_E_COMBINATION, "logsnr"},
    /* budgets */
    {"psld", "solver=euler nfe=1 denoise=1", DFL_E_RANGE, "nfe"},
    {"psld", "solver=heun nfe=2 denoise=1", DFL_E_RANGE, "nfe"},
    {"psld", "solver=splitting:scheme=nvv nfe=3 denoise=1", DFL_E_RANGE, "nfe"},
    {"psld", "solver=splitting:scheme=nobab nfe=2", DFL_E_RANGE, "nfe"},
    {"psld", "solver=conjugate_splitting:scheme=cvv nfe=1", DFL_E_RANGE, "nfe"},
    {"psld", "steps=0", DFL_E_RANGE, "steps"},
    /* numbers of solvers */
    {"psld", "solver=conjugate:lambda=nan", DFL_E_RANGE, "lambda"},
    {"psld", "solver=conjugate:lambda=inf", DFL_E_RANGE, "lambda"},
    {"psld", "solver=conjugate:type=3", DFL_E_RANGE, "type"},
    {"psld", "solver=conjugate:matrix=[1,2,3]", DFL_E_COMBINATION, "four numbers"},
    {"psld", "solver=conjugate:matrix=[1,0,0,1],lambda=2", DFL_E_COMBINATION, "leave out"},
    {"psld", "solver=conjugate:matrix=[1,0,0,1],type=1", DFL_E_COMBINATION, "leave out"},
    {"psld", "solver=conjugate_splitting:lambda=inf", DFL_E_RANGE, "lambda"},
    {"psld", "solver=conjugate_splitting:scheme=coba,lambda_s=-1", DFL_E_RANGE, "lambda_s"},
    {"psld", "solver=splitting:scheme=roba,lambda_s=-0.5", DFL_E_RANGE, "lambda_s"},
    {"psld", "solver=splitting:scheme=rvv,lambda_s=3", DFL_E_COMBINATION, "draw noise"},
    {"psld", "solver=conjugate_splitting:scheme=cvv,lambda_s=0", DFL_E_COMBINATION, "draw noise"},
    {"psld", "solver=splitting:scheme=roba,lambda_s=nan", DFL_E_RANGE, "lambda_s"},
    {"psld", "solver=splitting:scheme=roab", DFL_E_RANGE, "roba"},
    /* steps beyond all numbers */
    {"psld:beta_0=1,beta_1=1000,Gamma=0,nu=100", "solver=conjugate:type=2,lambda=1 steps=2",
     DFL_E_NONFINITE, "milder"},
    {"psld:beta_0=1,beta_1=1000", "solver=conjugate_splitting:scheme=cse steps=2", DFL_E_NONFINITE,
     "milder"},
    /* solvers of the other space */
    {"psld", "solver=ddim", DFL_E_COMBINATION, "scalar"},
    {"cld", "solver=ddpm", DFL_E_COMBINATION, "scalar"},
    {"psld", "solver=euler:variable=rho", DFL_E_COMBINATION, "scalar"},
    {"psld", "solver=heun:variable=rho", DFL_E_COMBINATION, "scalar"},
    {"psld", "solver=heun:s_churn=10", DFL_E_COMBINATION, "s_churn"},
    {"vp_linear", "solver=splitting", DFL_E_COMBINATION, "phase space"},
    {"vp_linear", "solver=conjugate_splitting", DFL_E_COMBINATION, "phase space"},
    {"vp_linear", "solver=sscs", DFL_E_COMBINATION, "phase space"},
    {"vp_linear", "solver=conjugate:matrix=[1,0,0,1]", DFL_E_COMBINATION, "phase-space"},
};

static void test_refusals(void **state) {
    (void)state;
    size_t wrong = 0;
    for (size_t i = 0; i < LENGTH(refusals); i++) {
        const refusal *r = &refusals[i];
        dfl_plan *plan;
        const dfl_status status = compile(r->process, r->spec, &plan);
        const char *said = status == DFL_OK ? "accepted" : dfl_last_message();
        if (status != r->status || !strstr(said, r->word)) {
            print_error("%s, '%s': %s: %s\n", r->process, r->spec, dfl_status_name(status), said);
            wrong++;
        }
        plan_free(plan);
    }
    assert_int_equal(wrong, 0);
}

/* t = 0 is no place for a score, but a fine place to end for what needs none there. */
static void test_end(void **state) {
    (void)state;
    static const char *const fine[] = {
        "euler", "heun", "em", "conjugate", "deis:order=2,factor=flow", "splitting:scheme=rse"};
    for (size_t i = 0; i < LENGTH(fine); i++) {
        char spec[96];
        dfl_plan *plan;
        snprintf(spec, sizeof spec, "solver=%s steps=5 t_end=0 denoise=1", fine[i]);
        assert_ok(compile("psld", spec, &plan));
        assert_int_equal(dfl_plan_steps(plan), 5); /* no last step: there is nothing left to do */
        plan_free(plan);
    }
}

/* Networks that have no meaning in phase space. */
static void test_networks(void **state) {
    (void)state;
    for (size_t i = 0; i < nnetworks; i++) {
        const netform *form = &networks[i].form;
        const plan_source source = {.process = "psld", .form = *form, .t_min = 1e-3, .t_max = 1};
        const bool fine = (form->predicts == PRED_EPSILON || form->predicts == PRED_SCORE) &&
                          form->precond == PRECOND_NONE && form->map == TIME_LINEAR;
        dfl_plan *plan;
        const dfl_status status = plan_compile("solver=euler steps=3", &source, &plan);
        assert_int_equal(status, fine ? DFL_OK : DFL_E_COMBINATION);
        if (!fine) assert_message_has("phase space");
        plan_free(plan);
    }
}

/* Along the flow both halves of the score matter, also where one meets a zero coefficient. */
static void test_half(void **state) {
    (void)state;
    plan_source source = {.process = "cld", .form = networks[0].form, .t_min = 1e-3, .t_max = 1};
    source.form.half = NET_M;
    static const char *const solvers[] = {"deis:order=2", "conjugate:lambda=1"};
    for (size_t i = 0; i < LENGTH(solvers); i++) {
        char spec[96];
        dfl_plan *plan;
        snprintf(spec, sizeof spec, "solver=%s,factor=cholesky", solvers[i]);
        assert_ok(plan_compile(spec, &source, &plan));
        plan_free(plan);
        snprintf(spec, sizeof spec, "solver=%s,factor=flow", solvers[i]);
        assert_int_equal(plan_compile(spec, &source, &plan), DFL_E_COMBINATION);
        assert_message_has("both halves");
    }
}

/* One half is enough where the other half of the score meets no friction, and nowhere else. */
static void test_enough(void **state) {
    (void)state;
    static const struct {
        const char *process;
        net_half half;
        prediction predicts;
        bool enough;
    } cases[] = {
        {"psld", NET_M, PRED_EPSILON, false},
        {"psld", NET_X, PRED_EPSILON, false},
        {"psld", NET_M, PRED_SCORE, false},
        {"cld", NET_M, PRED_EPSILON, true},
        {"cld", NET_M, PRED_SCORE, true},
        {"cld", NET_X, PRED_EPSILON, false},
        {"cld:factor=upper", NET_M, PRED_EPSILON, false}, /* s_m needs eps_x */
        {"cld:factor=upper", NET_M, PRED_SCORE, true},
        {"psld:Gamma=4,nu=0,factor=upper", NET_X, PRED_EPSILON, true},
        {"psld:Gamma=4,nu=0", NET_X, PRED_EPSILON, false}, /* s_x needs eps_m */
        {"psld:Gamma=4,nu=0", NET_X, PRED_SCORE, true},
        {"psld:Gamma=4,nu=0,factor=upper", NET_M, PRED_EPSILON, false},
    };
    static const char *const solvers[] = {"euler", "splitting:scheme=rse", "deis", "em"};
    for (size_t i = 0; i < LENGTH(cases); i++)
        for (int matching = MATCH_HYBRID; matching <= MATCH_DENOISING; matching++)
            for (size_t k = 0; k < LENGTH(solvers); k++) {
                plan_source source = {.process = cases[i].process,
                                      .form = networks[0].form,
                                      .t_min = 1e-3,
                                      .t_max = 1};
                char spec[64];
                dfl_plan *plan;
                source.form.half = cases[i].half;
                source.form.predicts = cases[i].predicts;
                source.form.matching = (score_matching)matching;
                snprintf(spec, sizeof spec, "solver=%s steps=3", solvers[k]);
                const dfl_status status = plan_compile(spec, &source, &plan);
                if (cases[i].enough)
                    assert_ok(status);
                else
                    refused(status, DFL_E_COMBINATION, "half only");
                plan_free(plan);
            }
}

/* ---- warnings -------------------------------------------------------------------------------- */

typedef struct {
    const char *process, *spec;
    const char *word; /* NULL: no warning at all */
} warning;

static const warning warnings[] = {
    /* as most would use them */
    {"psld", "", NULL},
    {"cld", "", NULL},
    {"psld", "solver=deis:order=2,factor=flow nfe=10 denoise=1", NULL},
    {"psld", "solver=conjugate nfe=20 denoise=1", NULL},
    {"psld", "solver=conjugate:lambda=0 steps=3", NULL},
    {"psld", "solver=splitting steps=10", NULL},
    {"psld", "solver=conjugate_splitting nfe=100 denoise=1", NULL},
    {"psld", "solver=conjugate_splitting:scheme=coba nfe=50 grid=uniform", NULL},
    {"psld:beta_0=0.1,beta_1=20", "solver=conjugate:type=1 steps=20", NULL},
    {"vp_linear", "solver=conjugate:type=2,lambda=2", NULL},
    /* where exponents or factors grow */
    {"psld", "solver=conjugate:type=1,lambda=30 steps=10", "lambda h"},
    {"psld", "solver=conjugate:type=2,lambda=60 steps=100", "above 50"},
    {"psld", "solver=conjugate_splitting:scheme=cvv steps=4", "momentum"},
    {"psld", "solver=conjugate_splitting:scheme=coba nfe=10", "momentum"},
    {"psld:beta_0=0.1,beta_1=20", "solver=conjugate_splitting:scheme=cvv steps=8", "momentum"},
    {"psld:beta_0=20,beta_1=0.1", "solver=conjugate_splitting:scheme=cvv steps=8", "momentum"},
    {"psld:beta_0=20,beta_1=0.1", "solver=conjugate_splitting:scheme=cvv steps=20", NULL},
};

static void test_warnings(void **state) {
    (void)state;
    size_t wrong = 0;
    for (size_t i = 0; i < LENGTH(warnings); i++) {
        const warning *w = &warnings[i];
        dfl_plan *plan;
        char said[1024];
        assert_ok(compile(w->process, w->spec, &plan));
        assert_ok(dfl_plan_warnings(plan, said, sizeof said, NULL));
        const bool right = w->word ? strstr(said, w->word) != NULL : said[0] == 0;
        if (!right) print_error("%s, '%s': '%s'\n", w->process, w->spec, said);
        wrong += !right;
        plan_free(plan);
    }
    assert_int_equal(wrong, 0);
}

/* ---- budgets --------------------------------------------------------------------------------- */

typedef struct {
    const char *solver;
    int calls; /* per step */
    const char *process;
} cost;

static const cost costs[] = {
    {"euler", 1, "psld"},
    {"heun", 2, "psld"},
    {"em", 1, "psld"},
    {"sscs", 1, "psld"},
    {"sscs:second_half=official", 1, "psld"},
    {"conjugate", 1, "psld"},
    {"conjugate:type=1,factor=flow", 1, "psld"},
    {"deis:order=3", 1, "psld"},
    {"deis:order=2,factor=flow", 1, "psld"},
    {"splitting:scheme=rse", 1, "psld"},
    {"splitting:scheme=roba", 1, "psld"},
    {"splitting:scheme=rbao", 1, "psld"},
    {"splitting:scheme=nse", 2, "psld"},
    {"splitting:scheme=rvv", 2, "psld"},
    {"splitting:scheme=noba", 2, "psld"},
    {"splitting:scheme=nbao", 2, "psld"},
    {"splitting:scheme=robab", 2, "psld"},
    {"splitting:scheme=nvv", 3, "psld"},
    {"splitting:scheme=nobab", 3, "psld"},
    {"conjugate_splitting:scheme=cse", 1, "psld"},
    {"conjugate_splitting:scheme=coba", 1, "psld"},
    {"conjugate_splitting:scheme=cvv", 2, "psld"},
    /* what has no friction needs no score */
    {"splitting:scheme=nse", 1, "cld"},
    {"splitting:scheme=nvv", 2, "cld"},
    {"splitting:scheme=nvv", 1, "psld:Gamma=4,nu=0"},
};

/* floor((N - 1)/c) steps with the last one on, floor(N/c) without; the plan never costs more. */
static void test_budgets(void **state) {
    (void)state;
    static const int budgets[] = {4, 5, 6, 7, 10, 11, 20, 50};
    for (size_t i = 0; i < LENGTH(costs); i++)
        for (size_t k = 0; k < LENGTH(budgets); k++)
            for (int denoise = 0; denoise < 2; denoise++) {
                const int N = budgets[k], c = costs[i].calls, steps = (N - denoise) / c;
                char spec[128];
                dfl_plan *plan;
                snprintf(spec, sizeof spec, "solver=%s nfe=%d denoise=%d", costs[i].solver, N,
                         denoise);
                assert_ok(compile(costs[i].process, spec, &plan));
                const size_t nfe = dfl_plan_nfe(plan);
                if (nfe != (size_t)(steps * c + denoise) || nfe > (size_t)N ||
                    dfl_plan_steps(plan) != (size_t)(steps + denoise))
                    REFUTE("%s: %zu evaluations in %zu steps", spec, nfe, dfl_plan_steps(plan));
                plan_free(plan);
            }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_end),
        cmocka_unit_test(test_networks), cmocka_unit_test(test_half),
        cmocka_unit_test(test_enough),   cmocka_unit_test(test_warnings),
        cmocka_unit_test(test_budgets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
