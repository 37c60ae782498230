/* Plans are right by construction and by label: their structure, and pure arithmetic that needs no
   network. A third of all solver x process x grid of the registries at few steps; at more, a ninth,
   in which every pair of the three still occurs (for_each_case). */
#include "support/cases.h"
#include "support/interpret.h"
#include "support/judge.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- structure ------------------------------------------------------------------------------- */

static const term *source(const dfl_plan *plan, const row *r, size_t j) {
    return &plan->code.terms[r->src + j];
}

static void check_lin(const plan_case *c, const dfl_plan *plan, const row *r) {
    bool good = r->nsrc > 1 || !blk_is_one(source(plan, r, 0)->c);
    for (size_t i = 0; i < r->nsrc; i++) {
        good = good && !blk_is_zero(source(plan, r, i)->c) && blk_is_finite(source(plan, r, i)->c);
        for (size_t j = 0; j < i; j++)
            good = good && source(plan, r, i)->v != source(plan, r, j)->v;
    }
    if (!good) REFUTE("%s: a zero, a copy or a repeated source (value %d)", case_name(c), r->dst);
}

static void check_eval(const plan_case *c, const dfl_plan *plan, size_t i) {
    const row *all = plan->code.rows, *r = &all[i];
    const val src = source(plan, r, 0)->v;
    bool good = plan->slot[src] != plan->slot[r->dst];
    for (size_t k = 0; k < i; k++)
        if (all[k].op == ROW_EVAL)
            good = good && !(source(plan, &all[k], 0)->v == src && all[k].tau == r->tau);
    if (!good)
        REFUTE("%s: an evaluation in place, or twice the same (value %d)", case_name(c), r->dst);
}

/* Draw numbers count from 0, and every value but the output is read. */
static void check_values(const plan_case *c, const dfl_plan *plan) {
    const program *code = &plan->code;
    bool *read = calloc(code->nvalues, sizeof *read);
    assert_non_null(read);
    uint32_t noises = 0;
    bool good = true;
    for (size_t i = 0; i < code->nrows; i++) {
        const row *r = &code->rows[i];
        if (r->op == ROW_NOISE) good = good && r->draw == noises++;
        for (size_t j = 0; j < r->nsrc; j++)
            if (r->op != ROW_STEP || source(plan, r, j)->v != code->outputs[0])
                read[source(plan, r, j)->v] = true;
    }
    for (size_t v = 0; v < code->nvalues; v++)
        good = good && (read[v] || code->outputs[0] == (val)v);
    free(read);
    if (!good || code->noutputs != 1) REFUTE("%s: draws, or unused values", case_name(c));
}

/* STEPs fall to the end asked for; the counts agree with the rows; noise as claimed. */
static void check_counts(const plan_case *c, const dfl_plan *plan) {
    size_t steps = 0, nfe = 0;
    process *p = case_process(c);
    double t = plan->code.inputs[0].t;
    const bool own_start =
        strstr(c->grid, "leading") || strstr(c->grid, "linspace") || strstr(c->grid, "trailing");
    bool falls = own_start || t == case_start(p);
    for (size_t i = 0; i < plan->code.nrows; i++) {
        const row *r = &plan->code.rows[i];
        nfe += r->op == ROW_EVAL;
        if (r->op != ROW_STEP) continue;
        falls = falls && r->t < t;
        t = r->t;
        steps++;
    }
    falls = falls && t == (c->to_zero || c->denoise ? 0 : case_end(p));
    process_free(p);
    if (!falls) REFUTE("%s: the states' times", case_name(c));
    assert_int_equal(steps, c->steps + c->denoise);
    assert_int_equal(plan->steps, steps);
    assert_int_equal(plan->nfe, nfe);
    /* one draw for each step; where it lands on clean data, exact solvers go without */
    const solver_claims claims = case_claims(c);
    const size_t most = claims.stochastic ? (size_t)c->steps : 0;
    const size_t least = claims.stochastic ? most - c->to_zero : 0;
    const bool churned =
        strstr(c->solver, "churn") != NULL; /* not where sigma is largest already */
    assert_true(plan->draws <= most && plan->draws + churned >= least);
    if (claims.exact && !churned) assert_int_equal(plan->draws, least);
}

static void check_structure(const plan_case *c, void *user) {
    (void)user;
    dfl_plan *plan = case_compile(c);
    for (size_t i = 0; i < plan->code.nrows; i++) {
        if (plan->code.rows[i].op == ROW_LIN) check_lin(c, plan, &plan->code.rows[i]);
        if (plan->code.rows[i].op == ROW_EVAL) check_eval(c, plan, i);
    }
    check_values(c, plan);
    check_counts(c, plan);
    plan_free(plan);
}

static void test_structure(void **state) {
    (void)state;
    for_each_case(1, check_structure, NULL);
    for_each_case(5, check_structure, NULL);
}

/* One line per solver: state buffers and evaluations of 10 steps with a network for epsilon. */
static void test_slots(void **state) {
    (void)state;
    static const struct {
        const char *solver;
        size_t slots, nfe;
    } cases[] = {
        {"ddpm", 3, 10},         {"ddpm:variance_type=fixed_large", 3, 10},
        {"ddim", 2, 10},         {"ddim:eta=0.5", 3, 10},
        {"euler", 2, 10},        {"euler:variable=t", 2, 10},
        {"heun", 4, 20},         {"heun:variable=t", 4, 20},
        {"deis:order=0", 2, 10}, {"deis:order=1", 3, 10},
        {"deis:order=2", 4, 10}, {"deis:order=3", 5, 10},
        {"em", 3, 10},           {"conjugate", 2, 10},
        {"ddim_gmm:K=2", 2, 10}, {"rhork:tableau=4rk", 6, 40},
        {"scire", 4, 20},        {"scire:method=multistep,profile=main", 3, 10},
        {"dpm", 3, 10},          {"dpm:order=3", 4, 10},
        {"sde_dpm", 4, 10},      {"unipc", 5, 10},
    };
    for (size_t i = 0; i < LENGTH(cases); i++) {
        const plan_case c = {.process = "vp_linear", .solver = cases[i].solver, .steps = 10};
        dfl_plan *plan = case_compile(&c);
        if (plan->nslots != cases[i].slots || plan->nfe != cases[i].nfe)
            REFUTE("%s: %zu slots and %zu evaluations, not %zu and %zu", case_name(&c),
                   plan->nslots, plan->nfe, cases[i].slots, cases[i].nfe);
        plan_free(plan);
    }
    for (size_t f = 0; f < solver_family.n; f++) {
        const solver_row *solver = (const solver_row *)solver_family.rows[f];
        const bool needs_file = solver->variants && !solver->variants[0];
        bool found = needs_file || !(solver->spaces & SOLVER_SCALAR);
        for (size_t i = 0; i < LENGTH(cases); i++) {
            const size_t length = strcspn(cases[i].solver, ":");
            found = found || (strlen(solver_family.rows[f]->name) == length &&
                              strncmp(solver_family.rows[f]->name, cases[i].solver, length) == 0);
        }
        if (!found) REFUTE("solver %s has no line here", solver_family.rows[f]->name);
    }
}

/* ---- labels ---------------------------------------------------------------------------------- */

/* Above this few labels are off: those of plans that amplify rounding by themselves (rough), as one
   step from nearly pure noise to data does, a start with hardly any signal left, and extrapolation
   over steps that are too long: a tenth of them. The running bound of rounding holds for them as
   for all others. */
#define DEFECT 4e-13

typedef struct {
    double worst, over;
    char where[512];
    size_t plans, rough;
} survey;

typedef struct {
    survey of[2]; /* by oracle */
} surveys;

static void look(const plan_case *c, const dfl_plan *plan, oracle knows, survey *s) {
    label_defect d;
    assert_true(labels_run(plan, knows, &d));
    const double worst = fmax(d.eval, d.step);
    const bool rough = worst > DEFECT;
    s->plans++;
    s->rough += rough;
    s->over = fmax(s->over, d.over);
    if (!(d.over <= JUDGE_OVER))
        REFUTE("%s (network %s): label defect %g is %g of its rounding", case_name(c),
               case_network(c), worst, d.over);
    if (rough || worst <= s->worst) return;
    s->worst = worst;
    snprintf(s->where, sizeof s->where, "%s", case_name(c));
}

static void survey_case(const plan_case *c, void *user) {
    surveys *s = user;
    const solver_claims claims = case_claims(c);
    if (!claims.exact) return;
    dfl_plan *plan = case_compile(c);
    look(c, plan, KNOWS_X0, &s->of[KNOWS_X0]);
    if (!claims.stochastic) look(c, plan, KNOWS_N, &s->of[KNOWS_N]);
    plan_free(plan);
}

static void report(const char *what, const surveys *all) {
    static const char *const names[] = {"x_0 known", "n known"};
    for (int i = 0; i < 2; i++) {
        const survey *s = &all->of[i];
        print_message("%s, %s: %zu plans (%zu rough), worst label defect %.2g (%s); at most %.2g "
                      "of the rounding bound\n",
                      what, names[i], s->plans, s->rough, s->worst, s->where, s->over);
        assert_true(s->plans > 5 * s->rough);
    }
}

static void test_labels(void **state) {
    (void)state;
    static surveys s;
    for_each_case(1, survey_case, &s);
    for_each_case(4, survey_case, &s);
    for_each_case(20, survey_case, &s);
    report("all grids", &s);
}

static void survey_network(const plan_case *c, void *user) {
    if (!strstr(c->grid, "power")) return;
    for (size_t i = 0; i < nnetworks; i++) {
        plan_case with = *c;
        with.form = &networks[i].form;
        with.denoise = !c->to_zero;
        dfl_plan *plan;
        if (c->to_zero && case_try(&with, &plan) == DFL_E_COMBINATION)
            continue; /* stages close to t = 0 are not for every network */
        if (c->to_zero) plan_free(plan);
        plan = case_compile(&with);
        process *p = case_process(c);
        const char *wrong = evals_wrong(plan, p, &networks[i].form);
        if (wrong) REFUTE("%s, network %s: %s", case_name(&with), networks[i].name, wrong);
        for (size_t k = 0; k < plan->code.nrows; k++)
            if (plan->code.rows[k].op == ROW_LIN) check_lin(&with, plan, &plan->code.rows[k]);
        process_free(p);
        plan_free(plan);
        survey_case(&with, user);
    }
}

/* Every prediction type, time map and preconditioning: the converted output is what a solver asked
   for, whatever the network predicts. */
static void test_networks(void **state) {
    (void)state;
    static surveys s;
    for_each_case(5, survey_network, &s);
    report("all networks", &s);
}

/* The judge of test_power, on plans that nobody has touched: steps that are exact one by one, or,
   by design not exact, err smoothly and less the smaller they are. */
static void check_steps(plan_case c) {
    const solver_claims claims = case_claims(&c);
    process *p = case_process(&c);
    const bool kinks = p->nknots > 0;
    process_free(p);
    double rough[2];
    for (int i = 0; i < 2; i++) {
        c.steps = claims.exact ? 20 : 160 << i;
        dfl_plan *plan = case_compile(&c);
        const char *wrong = kinks && !claims.exact ? NULL : judge(plan, &claims);
        if (wrong && (claims.exact || i)) REFUTE("%s: %s", case_name(&c), wrong);
        label_defect d;
        assert_true(labels_run(plan, KNOWS_X0, &d));
        rough[i] = d.step;
        plan_free(plan);
    }
    if (claims.exact) return;
    if (rough[1] < 1e-12) return; /* exact on this process, as Euler in t on flow */
    const double rate = log2(rough[0] / rough[1]);
    if (!kinks)
        print_message("%s: label defect %.2g, falling by order %.2f\n", case_name(&c), rough[1],
                      rate);
    assert_true(rate > 0.8);
}

static void test_steps(void **state) {
    (void)state;
    spec_list solvers = scalar_solvers(), processes = reference_processes(true);
    for (size_t p = 0; p < processes.n; p++)
        for (size_t s = 0; s < solvers.n; s++)
            check_steps(reference_case(processes.spec[p], solvers.spec[s]));
    specs_free(&solvers);
    specs_free(&processes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_structure), cmocka_unit_test(test_slots),
        cmocka_unit_test(test_labels),    cmocka_unit_test(test_networks),
        cmocka_unit_test(test_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
