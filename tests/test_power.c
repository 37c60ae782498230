/* The checks of the other tests must be able to fail: coefficients off by 1e-4, times off by 0.1 %,
   outputs in each other's place. Each mutation is made, counted, and must be seen. */
#include "support/cases.h"
#include "support/interpret.h"
#include "support/judge.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    size_t made, seen;
} tally;

/* Plans of solvers that are exact by label, and the others, whose steps have to err smoothly. */
typedef struct {
    tally exact, smooth;
} tallies;

static void count(tally *t, bool seen) {
    t->made++;
    t->seen += seen;
}

static void report(const char *what, tally t, double least) {
    print_message("%s: %zu of %zu seen\n", what, t.seen, t.made);
    assert_true(t.made > 0);
    assert_true((double)t.seen >= least * (double)t.made);
}

/* Calls visit for plans of every solver that the judge finds nothing wrong with: exact ones on all
   processes (and all their variants with the first network), the others where and when their errors
   are smooth. */
static void for_each_good_plan(const netform *form,
                               void (*visit)(dfl_plan *, const plan_case *, tally *), tallies *t) {
    spec_list solvers = scalar_solvers();
    spec_list processes = reference_processes(form->predicts == PRED_EPSILON);
    for (size_t s = 0; s < solvers.n; s++)
        for (size_t p = 0; p < processes.n; p++) {
            plan_case c = reference_case(processes.spec[p], solvers.spec[s]);
            const solver_claims claims = case_claims(&c);
            process *of = case_process(&c);
            const bool kinks = of->nknots > 0;
            process_free(of);
            if (kinks && !claims.exact) continue;
            c.steps = claims.exact ? 10 : 320;
            c.form = form;
            dfl_plan *plan = case_compile(&c);
            const char *wrong = judge(plan, &claims);
            if (wrong) REFUTE("%s: %s", case_name(&c), wrong);
            visit(plan, &c, claims.exact ? &t->exact : &t->smooth);
            plan_free(plan);
        }
    specs_free(&solvers);
    specs_free(&processes);
}

/* ---- coefficients ---------------------------------------------------------------------------- */

static void mutate_coefficients(dfl_plan *plan, const plan_case *c, tally *t) {
    const solver_claims claims = case_claims(c);
    const size_t every = 1 + plan->code.nterms / 50;
    for (size_t i = 0; i < plan->code.nrows; i++) {
        const row *r = &plan->code.rows[i];
        for (size_t j = 0; r->op == ROW_LIN && j < r->nsrc; j++) {
            if ((r->src + j) % every) continue;
            double *coefficient = &plan->code.terms[r->src + j].c.v[0];
            const double right = *coefficient;
            *coefficient *= 1 + 1e-4;
            count(t, judge(plan, &claims) != NULL);
            *coefficient = right;
        }
    }
}

static void test_coefficients(void **state) {
    (void)state;
    for (size_t i = 0; i < nnetworks; i++) {
        if (networks[i].form.time_dtype != NET_FLOAT64) continue; /* the same rows again */
        tallies t = {0};
        for_each_good_plan(&networks[i].form, mutate_coefficients, &t);
        report(networks[i].name, t.exact, 0.99);
        report("    in steps that err smoothly", t.smooth, 0.96);
    }
}

/* ---- times ----------------------------------------------------------------------------------- */

/* A solver that asks at a wrong time: everything in the row agrees with it. */
static void shift_evals(dfl_plan *plan, const plan_case *c, tally *t) {
    const solver_claims claims = case_claims(c);
    const netform *form = c->form;
    process *p = case_process(c);
    for (size_t i = 0; i < plan->code.nrows; i++) {
        row *r = &plan->code.rows[i];
        if (r->op != ROW_EVAL || (plan->steps > 100 && i % 7)) continue;
        const row right = *r;
        const row early = eval_at(p, form, r->t * 0.999);
        r->t = early.t;
        r->tau = early.tau;
        r->at = early.at;
        r->gives = early.gives;
        count(t, judge(plan, &claims) != NULL);
        *r = right;
    }
    process_free(p);
}

/* A row whose fields disagree. */
static void tear_evals(dfl_plan *plan, const plan_case *c, tally *t) {
    process *p = case_process(c);
    assert_null(evals_wrong(plan, p, c->form));
    for (size_t i = 0; i < plan->code.nrows && plan->steps < 100; i++) {
        row *r = &plan->code.rows[i];
        if (r->op != ROW_EVAL) continue;
        double *const fields[] = {&r->t, &r->tau, &r->at.a[0], &r->at.b[0], &r->gives.cn[0]};
        for (size_t f = 0; f < LENGTH(fields); f++) {
            const double right = *fields[f];
            *fields[f] *= 0.999;
            count(t, evals_wrong(plan, p, c->form) != NULL);
            *fields[f] = right;
        }
    }
    process_free(p);
}

static void test_times(void **state) {
    (void)state;
    tallies shifted = {0}, torn = {0};
    for_each_good_plan(&networks[0].form, shift_evals, &shifted);
    for_each_good_plan(&networks[0].form, tear_evals, &torn);
    report("evaluations 0.1 % early", shifted.exact, 0.99);
    report("    in steps that err smoothly", shifted.smooth, 0.96);
    report("fields of an evaluation that disagree", torn.exact, 1);
}

/* ---- outputs in each other's place ----------------------------------------------------------- */

static const gauss_law law = {.dim = 2, .mean = {0.8, -0.5}, .cov = {0.3, 0, 0, 0.1}};

static double moments_error(const dfl_plan *plan) {
    affine_result r;
    assert_true(affine_run(plan, &law, NULL, &r));
    const double error = affine_error(plan, &law, &r);
    affine_free(&r);
    return error;
}

enum { BEGIN = 5 };

/* Some step, behind the low-order start, errs far more than both of its neighbours. */
static bool step_stands_out(const dfl_plan *plan) {
    double *error = calloc(plan->steps, sizeof *error);
    assert_non_null(error);
    assert_true(affine_local(plan, &law, error));
    bool found = false;
    for (size_t i = BEGIN; i + 1 < plan->steps; i++)
        found = found || error[i] > 3 * fmax(error[i - 1], error[i + 1]);
    free(error);
    return found;
}

static bool is_output(const dfl_plan *plan, val v) {
    for (size_t i = 0; i < plan->code.nrows; i++)
        if (plan->code.rows[i].dst == v) return plan->code.rows[i].op == ROW_EVAL;
    return false;
}

/* Labels can't see this, because all outputs have the same label; the affine interpreter can,
   behind the first steps: there the state is nearly pure noise, and the outputs are equal. */
static void swap_outputs(dfl_plan *plan, tally *t) {
    const double right = moments_error(plan);
    assert_false(step_stands_out(plan));
    size_t step = 0;
    for (size_t i = 0; i < plan->code.nrows; i++) {
        const row *r = &plan->code.rows[i];
        term *terms = plan->code.terms + r->src;
        step += r->op == ROW_STEP;
        for (size_t j = 1; step >= BEGIN && r->op == ROW_LIN && j < r->nsrc; j++) {
            const val one = terms[j - 1].v, other = terms[j].v;
            const double c0 = terms[j - 1].c.v[0], c1 = terms[j].c.v[0];
            const bool equal = fabs(c0 - c1) < 0.1 * fabs(c0); /* Heun's: little to see */
            if (equal || !is_output(plan, one) || !is_output(plan, other)) continue;
            terms[j - 1].v = other;
            terms[j].v = one;
            count(t, moments_error(plan) > 1.5 * right || step_stands_out(plan));
            terms[j - 1].v = one;
            terms[j].v = other;
        }
    }
}

static void test_swaps(void **state) {
    (void)state;
    tally t = {0};
    spec_list solvers = scalar_solvers();
    for (size_t s = 0; s < solvers.n; s++) {
        plan_case c = reference_case("vp_linear", solvers.spec[s]);
        if (case_claims(&c).order < 2 || case_claims(&c).stochastic) continue;
        c.steps = 40;
        dfl_plan *plan = case_compile(&c);
        swap_outputs(plan, &t);
        plan_free(plan);
    }
    specs_free(&solvers);
    report("two outputs swapped", t, 0.9);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_coefficients),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_swaps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
