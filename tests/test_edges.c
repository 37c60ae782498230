/* Where processes and networks end: a start without any signal (a = 0, rho infinite), networks that
   cannot say there what a solver needs, networks that take integers only. What cannot work is
   refused with a sentence; what is not refused is right, weights at both ends to rounding. */
#include "support/cases.h"
#include "support/interpret.h"
#include "support/judge.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/mixture.h"
#include "run/run.h"

/* ---- from nothing but noise ------------------------------------------------------------------ */

/* Calls visit for each scalar process whose last time has no signal left. */
static size_t for_each_silent(void (*visit)(const char *spec, const process *p)) {
    size_t found = 0;
    spec_list processes = scalar_processes();
    for (size_t k = 0; k < processes.n; k++) {
        const plan_case c = {.process = processes.spec[k]};
        process *p = case_process(&c);
        if (process_at(p, p->t_hi).a == 0) {
            visit(processes.spec[k], p);
            found++;
        }
        process_free(p);
    }
    specs_free(&processes);
    return found;
}

typedef enum { ANSWERS, SILENT, UNDETERMINED } verdict;

/* What a network can say about x_0 at time t, from its label alone. */
static verdict verdict_at(const process *p, const netform *form, double t) {
    const row r = eval_at(p, form, t);
    const double cx = r.gives.cx[0], cn = r.gives.cn[0];
    if (!isfinite(r.tau) || !isfinite(cx) || !isfinite(cn)) return SILENT;
    return r.at.a[0] * cn - r.at.b[0] * cx == 0 ? UNDETERMINED : ANSWERS;
}

static void check_plan(const plan_case *c, const process *p, const dfl_plan *plan) {
    const char *wrong = evals_wrong(plan, p, c->form);
    if (wrong) REFUTE("%s: %s", case_name(c), wrong);
    label_defect d;
    if (!case_claims(c).exact) return;
    assert_true(labels_run(plan, KNOWS_X0, &d));
    if (!(d.over <= JUDGE_OVER))
        REFUTE("%s (network %s): label defect %g", case_name(c), case_network(c),
               fmax(d.eval, d.step));
}

static void check_start(const plan_case *c, const process *p) {
    static const char *const said[] = {[ANSWERS] = "no finite drift",
                                       [SILENT] = "cannot be evaluated",
                                       [UNDETERMINED] = "clean data"};
    const verdict v = verdict_at(p, c->form, p->t_hi);
    dfl_plan *plan;
    const dfl_status status = case_try(c, &plan);
    if (status == DFL_OK) {
        if (v != ANSWERS) REFUTE("%s (network %s): not refused", case_name(c), case_network(c));
        check_plan(c, p, plan);
        plan_free(plan);
        return;
    }
    const char *own = dfl_last_message(); /* the solver's own word, whatever the network */
    if (strstr(own, "start lower") || strstr(own, "infinite")) {
        assert_int_equal(status, DFL_E_COMBINATION);
        return;
    }
    if (v == ANSWERS && case_claims(c).exact)
        REFUTE("%s (network %s): %s", case_name(c), case_network(c), dfl_last_message());
    assert_int_equal(status, DFL_E_COMBINATION);
    assert_message_has(said[v]);
    assert_message_has("t=1");
}

static void visit_silent(const char *spec, const process *p) {
    spec_list solvers = scalar_solvers();
    size_t answers = 0;
    for (size_t k = 0; k < nnetworks; k++) {
        const plan_case later = {.process = spec, .form = &networks[k].form, .start = 0.98};
        answers += verdict_at(p, later.form, p->t_hi) == ANSWERS;
        for (size_t s = 0; s < solvers.n; s++) {
            plan_case c = later;
            c.solver = solvers.spec[s];
            c.grid = "uniform";
            c.steps = 5;
            c.denoise = true;
            dfl_plan *plan = case_compile(&c); /* a little later every network can do it */
            check_plan(&c, p, plan);
            plan_free(plan);
            c.start = p->t_hi;
            check_start(&c, p);
        }
    }
    assert_true(answers >= 3); /* sample, v and flow, at least */
    specs_free(&solvers);
}

static void test_silent_start(void **state) {
    (void)state;
    assert_true(for_each_silent(visit_silent) > 0);
}

/* ---- DEIS on rectified flow, from t = 1, written out ----------------------------------------- */

enum { STEPS = 6, ORDER = 3 };
#define MEAN      0.7
#define DEVIATION 0.5

/* Data N(MEAN, DEVIATION^2): the exact prediction of the noise at x = (1 - t) x_0 + t n. */
static double noise_at(double x, double t) {
    const double a = 1 - t, V = a * a * DEVIATION * DEVIATION + t * t;
    return t * (x - a * MEAN) / V;
}

static double lagrange(const double *node, int n, int j, double t) {
    double product = 1;
    for (int k = 0; k < n; k++)
        if (k != j) product *= (t - node[k]) / (node[j] - node[k]);
    return product;
}

/* int l_j(t) d rho from t to s, rho = t/(1 - t), by Simpson's rule in log rho. */
static double weight(const double *node, int n, int j, double t, double s) {
    const int points = 4000;
    const double from = log(t / (1 - t)), h = (log(s / (1 - s)) - from) / points;
    double sum = 0;
    for (int i = 0; i <= points; i++) {
        const double rho = exp(from + i * h), factor = i % points == 0 ? 1 : i % 2 ? 4 : 2;
        sum += factor * rho * lagrange(node, n, j, rho / (1 + rho));
    }
    return sum * h / 3;
}

static double deis_by_hand(double x) {
    double t[STEPS + 1], eps[STEPS];
    for (int i = 0; i <= STEPS; i++) t[i] = 1 + (double)i / STEPS * (1e-3 - 1);
    eps[0] = x; /* at t = 1 the state is the noise, and its data's mean is all there is to know */
    x = (1 - t[1]) * MEAN + t[1] * eps[0];
    for (int i = 1; i < STEPS; i++) {
        const int n = i < ORDER ? i + 1 : ORDER + 1;
        double node[ORDER + 1], sum = 0;
        eps[i] = noise_at(x, t[i]);
        for (int j = 0; j < n; j++) node[j] = t[i - j];
        for (int j = 0; j < n; j++) sum += weight(node, n, j, t[i], t[i + 1]) * eps[i - j];
        x = (1 - t[i + 1]) * (x / (1 - t[i]) + sum);
    }
    return x;
}

static void test_deis_on_flow(void **state) {
    (void)state;
    static const char one_gaussian[] =
        "{\"format\": \"driftless-mixture/1\", \"weights\": [1], \"means\": "
        "[[0.7]], \"stds\": [[0.5]]}";
    static const double start[] = {-2, -0.6, 0, 0.3, 1.7};
    dfl_model *model;
    assert_ok(mixture_parse("test", one_gaussian, strlen(one_gaussian), &model));
    for (size_t k = 0; k < nnetworks; k++) {
        const plan_case c = {.process = "flow",
                             .solver = "deis:order=3",
                             .grid = "uniform",
                             .form = &networks[k].form,
                             .steps = STEPS,
                             .start = 1};
        process *p = case_process(&c);
        const bool answers = verdict_at(p, c.form, 1) == ANSWERS;
        process_free(p);
        if (!answers) continue;
        dfl_plan *plan = case_compile(&c);
        dfl_run *run;
        double out[LENGTH(start)];
        model->card.form = networks[k].form;
        assert_ok(dfl_run_new(plan, model, "dtype=float64", &run));
        assert_ok(dfl_run_sample(run, 0, LENGTH(start), NULL, start, out));
        for (size_t i = 0; i < LENGTH(start); i++) {
            const double known = deis_by_hand(start[i]);
            if (!(fabs(out[i] - known) < 1e-10))
                REFUTE("network %s, from %g: %.15g, by hand %.15g", networks[k].name, start[i],
                       out[i], known);
        }
        dfl_run_free(run);
        plan_free(plan);
    }
    dfl_model_free(model);
}

/* ---- weights of steps from nearly no signal, and to clean data ------------------------------- */

typedef struct {
    const char *process, *solver, *times;
    double weight[2]; /* on the predictions, newest first, in the last step */
} end_case;

/* Weights by mpmath, 30 digits: after integration by parts the integrals of rho, in sqrt(t) and in
   pieces that halve towards both ends; those of kind=rhoab are of polynomials. */
static const end_case end_cases[] = {
    {"flow", "conjugate:lambda=1", "[0.9999,0.75]", {-3206.3064527893632}},
    {"flow", "conjugate:lambda=-3", "[0.999999,0.5]", {-111569.5827842569}},
    {"flow", "conjugate:lambda=1", "[0.9,0.75,0]", {-5.2256929197901394}},
    {"vp_cosine", "conjugate:lambda=3", "[0.99,0.5]", {-178.30047470379805}},
    {"vp_linear", "conjugate:lambda=1", "[1,0.5,0]", {-4.7774796315812626}},
    {"ve:sigma_min=1", "conjugate:lambda=-2", "[1,0.5,0]", {-4.2762808185187085}},
    {"flow", "deis:order=1", "[0.9995,0.95,0]", {-60.327924718262326, 41.327924718262344}},
    {"flow", "deis:order=1", "[0.9995,0.999,0]", {-12816.510557962949, 11817.51055796295}},
    {"vp_cosine", "deis:order=1", "[0.99,0.98,0]", {-254.61022002038212, 222.53746794108937}},
    {"vp_linear:beta_min=1e-5",
     "deis:order=1",
     "[0.5,0.25,0]",
     {-1.3608474248649088, 0.42904806651316348}},
    {"ve:sigma_min=1", "deis:order=1", "[1,0.5,0]", {-10.174867458974675, 3.1037996471091997}},
    {"ve:sigma_min=1",
     "deis:order=1,kind=rhoab",
     "[1,0.5,0]",
     {-7.6534256466804291, 0.58235783481495383}},
};

/* The coefficients after the first of the row that writes the last state. */
static const term *last_weights(const dfl_plan *plan, size_t *n) {
    const program *code = &plan->code;
    val end = -1;
    for (size_t i = code->nrows; i-- > 0;) {
        const row *r = &code->rows[i];
        if (r->op == ROW_STEP && end < 0) end = code->terms[r->src].v;
        if (r->op != ROW_LIN || r->dst != end) continue;
        *n = r->nsrc - 1;
        return code->terms + r->src + 1;
    }
    return NULL;
}

static void test_end_weights(void **state) {
    (void)state;
    for (size_t i = 0; i < LENGTH(end_cases); i++) {
        const end_case *c = &end_cases[i];
        const plan_source from = {
            .process = c->process, .form = networks[0].form, .t_min = 1e-3, .t_max = 1};
        char spec[SPEC_SIZE];
        dfl_plan *plan;
        size_t n = 0;
        snprintf(spec, sizeof spec, "solver=%s grid=list:times=%s", c->solver, c->times);
        assert_ok(plan_compile(spec, &from, &plan));
        const term *found = last_weights(plan, &n);
        assert_int_equal(n, c->weight[1] == 0 ? 1 : 2);
        for (size_t k = 0; k < n; k++)
            if (!(fabs(found[k].c.v[0] / c->weight[k] - 1) < 1e-14))
                REFUTE("%s, %s: %.17g, not %.17g", c->process, spec, found[k].c.v[0], c->weight[k]);
        plan_free(plan);
    }
}

/* ---- networks with integer times ------------------------------------------------------------- */

/* Every solver and grid on a table's indices: evaluations at integers, or a refusal that says why
   not (a stage or an end between them). */
static void visit_integer(const plan_case *c, void *user) {
    static const netform by_index = {.scale = 1000, .offset = -1, .time_dtype = NET_INT64};
    size_t *made = user;
    plan_case with = *c;
    with.form = &by_index;
    dfl_plan *plan;
    if (strcmp(c->process, "vp_discrete:beta_schedule=linear,interpolation=log_alpha") != 0) return;
    made[0]++;
    if (case_try(&with, &plan) != DFL_OK) {
        if (!strstr(dfl_last_message(), "integer"))
            REFUTE("%s: %s", case_name(c), dfl_last_message());
        return;
    }
    made[1]++;
    for (size_t i = 0; i < plan->code.nrows; i++) {
        const row *r = &plan->code.rows[i];
        if (r->op == ROW_EVAL) assert_true(r->tau == nearbyint(r->tau));
    }
    plan_free(plan);
}

static void test_integers(void **state) {
    (void)state;
    size_t made[2] = {0};
    for_each_case(5, visit_integer, made);
    assert_true(made[1] > made[0] / 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_silent_start),
        cmocka_unit_test(test_deis_on_flow),
        cmocka_unit_test(test_end_weights),
        cmocka_unit_test(test_integers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
