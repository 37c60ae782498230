/* From a specification to a plan: budgets, end points, integer networks, refusals, the table. */
#include "support/cases.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static plan_source source(const char *process_spec) {
    return (plan_source){
        .process = process_spec, .form = networks[0].form, .t_min = 1e-3, .t_max = 1};
}

static dfl_plan *compile(const char *spec, const plan_source *from) {
    dfl_plan *plan;
    if (plan_compile(spec, from, &plan) != DFL_OK) REFUTE("%s: %s", spec, dfl_last_message());
    return plan;
}

/* Time of the last STEP. */
static double end_of(const dfl_plan *plan) {
    double t = NAN;
    for (size_t i = 0; i < plan->code.nrows; i++)
        if (plan->code.rows[i].op == ROW_STEP) t = plan->code.rows[i].t;
    return t;
}

/* ---- budgets --------------------------------------------------------------------------------- */

static size_t nfe_of(const char *solver, int steps, const char *rest) {
    text spec = {0};
    text_add(&spec, "solver=%s steps=%d%s", solver, steps, rest);
    const plan_source from = source("vp_linear");
    dfl_plan *plan;
    const dfl_status status = plan_compile(spec.data, &from, &plan);
    const bool short_history = (status == DFL_E_RANGE && strstr(dfl_last_message(), "at least")) ||
                               (status == DFL_E_COMBINATION && strstr(rest, "t_end=0"));
    if (status != DFL_OK && !short_history) REFUTE("%s: %s", spec.data, dfl_last_message());
    text_free(&spec);
    if (short_history) return SIZE_MAX; /* as many steps as that are not for sale */
    const size_t nfe = plan->nfe;
    assert_int_equal(dfl_plan_nfe(plan), nfe);
    plan_free(plan);
    return nfe;
}

/* A budget is never exceeded, and one more step would exceed it. */
static void check_budget(const char *solver, int nfe, const char *rest) {
    text spec = {0};
    text_add(&spec, "solver=%s nfe=%d%s", solver, nfe, rest);
    const plan_source from = source("vp_linear");
    dfl_plan *plan;
    const dfl_status status = plan_compile(spec.data, &from, &plan);
    const bool short_history =
        status == DFL_E_RANGE && nfe <= 3 && strstr(dfl_last_message(), "at least");
    const bool released = status == DFL_E_RANGE && nfe <= 3 && strstr(solver, "profile=") &&
                          strstr(dfl_last_message(), "for so small a budget");
    const bool no_limit = status == DFL_E_COMBINATION && strstr(rest, "t_end=0");
    if (short_history || released || no_limit) { /* refused for another reason than the budget */
        text_free(&spec);
        return;
    }
    if (status == DFL_E_RANGE) {
        assert_message_has("too small a budget");
        assert_true(nfe_of(solver, 1, rest) > (size_t)nfe);
    } else {
        if (status != DFL_OK) REFUTE("%s: %s", spec.data, dfl_last_message());
        const bool denoise = strstr(rest, "denoise=1") != NULL && !strstr(rest, "t_end=0");
        const int steps = (int)plan->steps - denoise;
        const bool spent = plan->nfe == (size_t)nfe;
        if (!spent && (plan->nfe > (size_t)nfe || nfe_of(solver, steps + 1, rest) <= (size_t)nfe))
            REFUTE("%s: %zu evaluations in %d steps", spec.data, plan->nfe, steps);
        plan_free(plan);
    }
    text_free(&spec);
}

static void test_budgets(void **state) {
    (void)state;
    spec_list solvers = scalar_solvers();
    for (size_t s = 0; s < solvers.n; s++)
        for (int nfe = 1; nfe <= 12; nfe++) {
            check_budget(solvers.spec[s], nfe, "");
            check_budget(solvers.spec[s], nfe, " denoise=1");
            check_budget(solvers.spec[s], nfe, " t_end=0");
        }
    specs_free(&solvers);
}

/* ---- ends ------------------------------------------------------------------------------------ */

static void test_ends(void **state) {
    (void)state;
    static const struct {
        const char *spec;
        double start, end;
        size_t steps, nfe;
    } cases[] = {
        {"", 1, 1e-3, 10, 10},
        {"steps=4", 1, 1e-3, 4, 4},
        {"nfe=7", 1, 1e-3, 7, 7},
        {"solver=heun nfe=7", 1, 1e-3, 3, 6},
        {"solver=heun nfe=7 t_end=0", 1, 0, 4, 7},
        {"solver=heun nfe=7 denoise=1", 1, 0, 4, 7},
        {"t_start=0.5", 0.5, 1e-3, 10, 10},
        {"t_end=0.25 grid=uniform", 1, 0.25, 10, 10},
        {"t_end=0", 1, 0, 10, 10},
        {"denoise=1", 1, 0, 11, 11},
        {"nfe=10 denoise=1", 1, 0, 10, 10},
        {"denoise=1 t_end=0", 1, 0, 10, 10},
        {"nfe=5 denoise=1 t_end=0", 1, 0, 5, 5},
        {"solver=heun nfe=9 process=vp_discrete grid=trailing", 1, 0, 5, 9},
        {"nfe=5 denoise=1 process=vp_discrete grid=trailing", 1, 0, 5, 5},
        {"solver=heun nfe=9 grid=list:times=[1,0.8,0.5,0.3,0.1,0]", 1, 0, 5, 9},
        {"grid=list:times=[0.9,0.5,0.1]", 0.9, 0.1, 2, 2},
        {"grid=list:times=[0.9,0.5,0.1] steps=2", 0.9, 0.1, 2, 2},
        {"process=vp_discrete:num_train_timesteps=500 t_end=0.5", 1, 0.5, 10, 10},
    };
    const plan_source from = source("vp_linear");
    for (size_t i = 0; i < LENGTH(cases); i++) {
        dfl_plan *plan = compile(cases[i].spec, &from);
        const bool good = plan->code.inputs[0].t == cases[i].start &&
                          end_of(plan) == cases[i].end && plan->steps == cases[i].steps &&
                          plan->nfe == cases[i].nfe;
        if (!good)
            REFUTE("'%s': from %g to %g in %zu steps, %zu evaluations", cases[i].spec,
                   plan->code.inputs[0].t, end_of(plan), plan->steps, plan->nfe);
        plan_free(plan);
    }
}

/* The last row that writes a value. */
static const row *last_write(const dfl_plan *plan) {
    const row *last = NULL;
    for (size_t i = 0; i < plan->code.nrows; i++)
        if (plan->code.rows[i].op != ROW_STEP) last = &plan->code.rows[i];
    return last;
}

/* The step to t = 0 of every first-order member is x_0 as predicted: x/a - (b/a) eps. */
static void test_clean_end(void **state) {
    (void)state;
    const plan_source from = source("vp_linear");
    static const char *const solvers[] = {"ddim", "ddim:eta=1",   "ddpm",        "euler",
                                          "heun", "deis:order=0", "deis:order=3"};
    process *p;
    assert_ok(process_new("vp_linear", &p));
    for (size_t i = 0; i < LENGTH(solvers); i++) {
        text spec = {0};
        text_add(&spec, "solver=%s steps=1 t_end=0", solvers[i]);
        dfl_plan *plan = compile(spec.data, &from);
        const row *r = last_write(plan);
        const term *terms = plan->code.terms + r->src;
        const scalar_at at = process_at(p, 1);
        assert_int_equal(r->op, ROW_LIN);
        assert_int_equal(r->nsrc, 2);
        assert_true(fabs(terms[0].c.v[0] * at.a - 1) < 1e-14);
        assert_true(fabs(terms[1].c.v[0] / at.rho + 1) < 1e-13);
        assert_int_equal(plan->draws, 0);
        plan_free(plan);
        text_free(&spec);
    }
    process_free(p);
}

/* ---- networks with integer times ------------------------------------------------------------- */

static plan_source by_index(void) {
    plan_source from = source("vp_discrete");
    from.form.scale = 1000;
    from.form.offset = -1;
    from.form.time_dtype = NET_INT64;
    return from;
}

static void test_integer_times(void **state) {
    (void)state;
    const plan_source from = by_index();
    dfl_plan *plan = compile("steps=20", &from);
    double before = 1000;
    for (size_t i = 0; i < plan->code.nrows; i++) {
        const row *r = &plan->code.rows[i];
        if (r->op != ROW_EVAL) continue;
        assert_true(r->tau == nearbyint(r->tau) && r->tau < before && r->tau >= 0);
        assert_true(fabs(r->t - (r->tau + 1) / 1000) < 1e-12);
        before = r->tau;
    }
    assert_true(plan->code.rows[0].tau == 999);
    plan_free(plan);
}

/* Too many steps for the integers: the number that is named works, one more does not. */
static void test_largest_steps(void **state) {
    (void)state;
    const plan_source from = by_index();
    dfl_plan *plan;
    assert_int_equal(plan_compile("steps=400", &from, &plan), DFL_E_RANGE);
    assert_null(plan);
    const char *said = strstr(dfl_last_message(), "number of steps is ");
    assert_non_null(said);
    const int usable = atoi(said + strlen("number of steps is "));
    char spec[64];
    snprintf(spec, sizeof spec, "steps=%d", usable);
    plan_free(compile(spec, &from));
    snprintf(spec, sizeof spec, "steps=%d", usable + 1);
    assert_int_equal(plan_compile(spec, &from, &plan), DFL_E_RANGE);
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void test_refusals(void **state) {
    (void)state;
    static const struct {
        const char *spec;
        dfl_status status;
        const char *message;
    } cases[] = {
        {"sovler=ddim", DFL_E_KEY, "did you mean 'solver'"},
        {"solver=dies", DFL_E_KEY, "did you mean 'deis'"},
        {"solver=deis:ordr=3", DFL_E_KEY, "did you mean 'order'"},
        {"solver=deis:order=9", DFL_E_RANGE, "order=9"},
        {"solver=deis:order=-1", DFL_E_RANGE, "order=-1"},
        {"solver=ddim:eta=1.5", DFL_E_RANGE, "eta=1.5"},
        {"solver=ddim:eta=nan", DFL_E_RANGE, "nan"},
        {"solver=", DFL_E_KEY, "solver"},
        {"solver=ddim solver=deis", DFL_E_KEY, "solver"},
        {"steps=0", DFL_E_RANGE, "steps=0"},
        {"steps=-3", DFL_E_RANGE, "steps=-3"},
        {"steps=1000001", DFL_E_RANGE, "steps=1000001"},
        {"steps=ten", DFL_E_RANGE, "ten"},
        {"nfe=0", DFL_E_RANGE, "nfe=0"},
        {"steps=3 nfe=3", DFL_E_COMBINATION, "choose one"},
        {"solver=heun nfe=1", DFL_E_RANGE, "nfe=1 is too small"},
        {"nfe=1 denoise=1", DFL_E_RANGE, "nfe=1 is too small"},
        {"t_start=2", DFL_E_RANGE, "t_start=2"},
        {"t_end=-1", DFL_E_RANGE, "t_end=-1"},
        {"t_start=0.1 t_end=0.2", DFL_E_RANGE, "t_start=0.1"},
        {"t_end=0 grid=logsnr", DFL_E_COMBINATION, "t_end=0"},
        {"t_end=1e-14", DFL_E_RANGE, "t_end="},
        {"grid=power:kappa=0", DFL_E_RANGE, "kappa=0"},
        {"process=vp_lin", DFL_E_KEY, "vp_lin"},
        {"process=vp_discrete t_end=0.0005", DFL_E_RANGE, "t_end=0.0005"},
        {"denoise=maybe", DFL_E_RANGE, "maybe"},
        {"grid=list:times=[1,0.5,0.5,0.1]", DFL_E_RANGE, "0.5 follows 0.5"},
        {"grid=list:times=[1,0.5,0.1] steps=7", DFL_E_COMBINATION, "steps=7"},
        {"grid=list:times=[1,0.5,0.1] t_end=0.1", DFL_OK, ""},
        {"solver=scire process=ve:sigma_min=1 t_end=0", DFL_E_COMBINATION, "a stage at rho=0.5"},
        {"solver=scire:order=3 process=vp_cosine:normalised=0 grid=list:times=[0.9,0.001,0]",
         DFL_E_COMBINATION, "a stage at rho=0.0"},
        {"solver=scire:profile=sd,m=3 grid=exponential steps=2 t_end=0", DFL_E_COMBINATION,
         "a stage at rho=0;"},
        {"solver=scire:order=1 process=ve t_end=0", DFL_OK, ""},
        {"solver=heun:variable=t,s_churn=10", DFL_E_COMBINATION, "s_churn"},
        {"solver=deis:kind=ipndm process=flow", DFL_E_COMBINATION, "clean data"},
        {"solver=deis:kind=ipndm,quadrature=riemann", DFL_E_COMBINATION, "constant weights"},
        {"solver=deis:factor=flow", DFL_E_COMBINATION, "factor=flow is for phase-space"},
        {"solver=conjugate:factor=flow", DFL_E_COMBINATION, "factor=flow is for phase-space"},
        {"solver=scire:order=3 t_end=0", DFL_OK, ""},
    };
    const plan_source from = source("vp_linear");
    for (size_t i = 0; i < LENGTH(cases); i++) {
        dfl_plan *plan;
        const dfl_status status = plan_compile(cases[i].spec, &from, &plan);
        if (status != cases[i].status)
            REFUTE("'%s': status %d (%s)", cases[i].spec, status, dfl_last_message());
        assert_true((plan != NULL) == (status == DFL_OK));
        if (status != DFL_OK) assert_message_has(cases[i].message);
        plan_free(plan);
    }
}

/* However the first time comes about, the network was trained there. */
static void test_untrained(void **state) {
    (void)state;
    static const char *const specs[] = {"t_start=0.5", "grid=list:times=[0.5,0.1]",
                                        "process=vp_discrete grid=trailing steps=4"};
    plan_source from = source("vp_linear");
    from.t_max = 0.3;
    for (size_t i = 0; i < LENGTH(specs); i++) {
        dfl_plan *plan;
        assert_int_equal(plan_compile(specs[i], &from, &plan), DFL_E_RANGE);
        assert_message_has("trained up to t = 0.3 ");
        assert_null(plan);
    }
}

/* What a network cannot answer is refused, not turned into an infinity. */
static void test_undetermined(void **state) {
    (void)state;
    plan_source from = by_index();
    dfl_plan *plan;
    assert_int_equal(plan_compile("grid=list:times=[1,0.5,0.001] t_start=1", &from, &plan), DFL_OK);
    plan_free(plan);
    from.form.scale = 999; /* times of the table are no integers for this one */
    from.form.offset = 0;
    assert_int_equal(plan_compile("grid=uniform steps=3 t_start=1 t_end=0.001", &from, &plan),
                     DFL_OK);
    plan_free(plan);
    assert_int_equal(plan_compile("solver=heun grid=uniform steps=3 t_end=0.001", &from, &plan),
                     DFL_E_COMBINATION);
    assert_message_has("integer times");
}

/* ---- pruning --------------------------------------------------------------------------------- */

/* Adds a row that writes a new value; returns the value. */
static val add(program *p, row_op op, size_t n, const term *sources) {
    row r = {.op = op, .nsrc = n};
    if (op == ROW_EVAL) r.gives.cn[0] = 1;
    if (op == ROW_EVAL || op == ROW_STEP) r.t = r.tau = r.at.a[0] = r.at.b[0] = 0.5;
    if (op == ROW_STEP)
        r.dst = -1;
    else
        assert_ok(program_add_value(p, 1, &r.dst));
    assert_ok(program_add_row(p, &r, sources));
    return r.dst;
}

/* Rows that only unused rows need go, too; values that a STEP or the output reads stay. */
static void test_prune(void **state) {
    (void)state;
    program code = {.components = 1};
    const plan_input start = {
        .id = 0, .t = 1, .at = {.a = {0.5}, .b = {0.5}}, .scale = blk_real(1)};
    const blk c = blk_real(0.25);
    val x;
    assert_ok(program_add_value(&code, 1, &x));
    assert_ok(program_add_input(&code, &start));
    const val y = add(&code, ROW_EVAL, 1, (const term[]){{x, blk_real(1)}});
    const val unused = add(&code, ROW_LIN, 2, (const term[]){{x, c}, {y, c}});
    const val state_1 = add(&code, ROW_LIN, 2, (const term[]){{x, c}, {y, blk_real(2)}});
    add(&code, ROW_STEP, 1, (const term[]){{state_1, blk_real(1)}});
    add(&code, ROW_LIN, 2, (const term[]){{unused, c}, {state_1, c}});
    const val last = add(&code, ROW_LIN, 2, (const term[]){{y, c}, {state_1, blk_real(3)}});
    assert_ok(program_add_output(&code, last));
    for (int again = 0; again < 2; again++) { /* the second time there is nothing left to do */
        assert_ok(program_prune(&code));
        static const row_op left[] = {ROW_EVAL, ROW_LIN, ROW_STEP, ROW_LIN};
        assert_int_equal(code.nrows, LENGTH(left));
        for (size_t i = 0; i < LENGTH(left); i++) assert_int_equal(code.rows[i].op, left[i]);
        assert_int_equal(code.nvalues, 4);
        assert_int_equal(code.outputs[0], 3);
    }
    const term *terms = code.terms + code.rows[3].src;
    assert_true(terms[0].v == 1 && terms[1].v == 2 && terms[1].c.v[0] == 3);
    assert_true(code.terms[code.rows[2].src].v == 2);
    dfl_plan *plan;
    assert_ok(plan_finish(&code, &plan));
    plan_free(plan);
}

/* ---- the table ------------------------------------------------------------------------------- */

static void test_text(void **state) {
    (void)state;
    const plan_source from = source("vp_linear");
    dfl_plan *plan = compile("solver=deis:order=1 grid=uniform steps=2 t_end=0.5", &from);
    size_t need;
    assert_ok(dfl_plan_to_text(plan, NULL, 0, &need));
    char *out = malloc(need + 1);
    assert_non_null(out);
    assert_ok(dfl_plan_to_text(plan, out, need + 1, NULL));
    static const char *const parts[] = {
        "solver   deis:kind=tab,order=1",
        "grid     uniform",
        "process  vp_linear:beta_min=0.1,beta_max=20",
        "2 steps, 2 network evaluations, 0 draws of noise, 3 slots",
        "step             t      lambda  order  evaluations",
        "0             1    -5.02498",
        "1          0.75",
        "v1 = EVAL v0 at t = 1, network time 1",
        "v4 = ",
    };
    for (size_t i = 0; i < LENGTH(parts); i++)
        if (!strstr(out, parts[i])) REFUTE("'%s' is not in\n%s", parts[i], out);
    free(out);
    plan_free(plan);
}

/* ---- options that change nothing ------------------------------------------------------------- */

typedef struct {
    const char *process, *spec;
    const char *warning; /* NULL: none */
} idle_case;

static const idle_case idle_cases[] = {
    {"vp_linear", "solver=dpm:stages=even", "solver dpm: stages=even changes nothing here\n"},
    {"vp_linear", "solver=dpm:stages=even,method=singlestep", NULL},
    {"vp_linear", "solver=dpm:stages=grid", NULL}, /* as it is anyway */
    {"vp_linear", "solver=dpm:corrected=1,stages=even",
     "solver dpm: corrected=1 changes nothing here\nsolver dpm: stages=even changes nothing "
     "here\n"},
    {"vp_linear", "solver=heun:s_noise=1.1", "solver heun: s_noise=1.1 changes nothing here\n"},
    {"vp_linear", "solver=heun:s_noise=1.1,s_churn=10", NULL},
    {"vp_linear", "solver=heun:s_churn=10,s_min=1e6",
     "solver heun: s_churn=10 changes nothing here\n"},
    /* not by the times of as many steps, because it buys fewer */
    {"vp_linear", "solver=dpm:method=singlestep nfe=5", NULL},
    {"vp_linear", "solver=ddim_gmm:mode=exact", NULL}, /* refuses, or lets pass */
    {"vp_linear", "solver=ddim_gmm:pi=[0.5,0.5],K=2", "solver ddim_gmm: pi changes nothing here\n"},
    {"vp_linear", "solver=conjugate:type=1", "solver conjugate: type=1 changes nothing here\n"},
    {"psld", "solver=conjugate:type=1", NULL},
    {"psld", "solver=conjugate:type=1,lambda=0", "solver conjugate: type=1 changes nothing here\n"},
    {"psld", "solver=conjugate:matrix=[1,1,1,1]",
     "solver conjugate: matrix changes nothing here\n"},
};

static void test_idle(void **state) {
    (void)state;
    for (size_t i = 0; i < LENGTH(idle_cases); i++) {
        const idle_case *const c = &idle_cases[i];
        const plan_source from = source(c->process);
        dfl_plan *const plan = compile(c->spec, &from);
        const char *const said = plan->warnings.data ? plan->warnings.data : "";
        if (strcmp(said, c->warning ? c->warning : "") != 0)
            REFUTE("%s, %s: \"%s\"", c->process, c->spec, said);
        plan_free(plan);
    }
}

/* Nobody typed what another name stands for. */
static void test_idle_aliases(void **state) {
    (void)state;
    const plan_source from = source("vp_linear");
    for (size_t i = 0; i < solver_family.naliases; i++) {
        text spec = {0};
        text_add(&spec, "solver=%s nfe=12", solver_family.aliases[i].name);
        dfl_plan *const plan = compile(spec.data, &from);
        if (plan->warnings.len) REFUTE("%s: %s", spec.data, plan->warnings.data);
        plan_free(plan);
        text_free(&spec);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_budgets),       cmocka_unit_test(test_ends),
        cmocka_unit_test(test_clean_end),     cmocka_unit_test(test_integer_times),
        cmocka_unit_test(test_largest_steps), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_untrained),     cmocka_unit_test(test_undetermined),
        cmocka_unit_test(test_prune),         cmocka_unit_test(test_text),
        cmocka_unit_test(test_idle),          cmocka_unit_test(test_idle_aliases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
