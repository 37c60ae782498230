/* Classifier guidance: with the exact gradient of a mixture's classifier, guiding the model without a
   class at scale 1 is the model of the class (Bayes), whatever is predicted, of which process; any
   gradient shifts the score by scale times itself; order, labels, cost and refusals. */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/mixture.h"
#include "support/cases.h"

enum { DIM = 2, MANY = 6 };

static const char *const components =
    "\"format\": \"driftless-mixture/1\", \"weights\": [0.5, 0.3, 0.2], \"means\": [[1.2, -0.4], "
    "[-0.9, 0.8], [0.1, -1.5]], \"stds\": [[0.25, 0.4], [0.3, 0.2], [0.15, 0.35]]";

/* The mixture with classes 0, 1, 0 and the null class 2; members: more of its card. */
static dfl_model *labelled(const char *forward, const char *members) {
    text json = {0};
    dfl_model *m;
    text_add(&json,
             "{%s, \"labels\": [0, 1, 0], \"card\": {\"format\": \"driftless-model/1\", "
             "\"process\": \"%s\", \"sample\": {\"shape\": [2]}, \"classes\": {\"count\": 2, "
             "\"null\": 2}, %s}}",
             components, forward, members);
    assert_ok(mixture_parse("test", json.data, json.len, &m));
    text_free(&json);
    return m;
}

static dfl_model *guided(dfl_model *m, double free_scale, double scale) {
    assert_ok(dfl_model_guide(m, free_scale, &m));
    assert_ok(dfl_model_guide_classifier(m, scale, NULL, NULL, &m));
    return m;
}

/* ---- one evaluation -------------------------------------------------------------------------- */

static dfl_request request_at(const row *r, size_t count, const double *u, const int64_t *labels,
                              double *y) {
    return (dfl_request){.count = count,
                         .input_dim = DIM,
                         .output_dim = DIM,
                         .dtype = DFL_FLOAT64,
                         .input = u,
                         .output = y,
                         .t = r->t,
                         .tau = r->tau,
                         .at = r->at,
                         .gives = r->gives,
                         .components = 1,
                         .output_components = 1,
                         .labels = labels};
}

static void evaluate(dfl_model *m, const row *r, const double *u, double *y) {
    static const int64_t labels[MANY] = {0, 1, 0, 1, 2, 0};
    const dfl_request rq = request_at(r, MANY, u, labels, y);
    if (m->eval(m, &rq)) REFUTE("%s", dfl_last_message());
}

/* On a mixture y_null + w (y_class - y_null), from posterior means, is the same as the gradient's. */
static void compare_one(const process *p, const network *net, double t, double w) {
    const row r = eval_at(p, &net->form, t);
    double u[MANY * DIM], want[MANY * DIM], got[MANY * DIM], size = 1;
    for (int i = 0; i < MANY * DIM; i++)
        u[i] = r.at.a[0] * sin(2.1 * i + 1) + r.at.b[0] * cos(1.3 * i);
    dfl_model *a = labelled("vp_linear", "\"prediction_type\": \"epsilon\"");
    dfl_model *b = guided(labelled("vp_linear", "\"prediction_type\": \"epsilon\""), 0, w);
    assert_ok(dfl_model_guide(a, w, &a));
    evaluate(a, &r, u, want);
    evaluate(b, &r, u, got);
    for (int i = 0; i < MANY * DIM; i++) size = fmax(size, fabs(want[i]));
    for (int i = 0; i < MANY * DIM; i++)
        if (!(fabs(got[i] - want[i]) <= 1e-11 * size))
            REFUTE("%s, %s, t=%g, scale %g: %.17g, not %.17g", p->row->is.name, net->name, t, w,
                   got[i], want[i]);
    dfl_model_free(a);
    dfl_model_free(b);
}

static void bayes_at_every_label(void **state) {
    (void)state;
    spec_list processes = scalar_processes();
    for (size_t i = 0; i < processes.n; i++) {
        process *p;
        assert_ok(process_new(processes.spec[i], &p));
        const double end = case_end(p), start = case_start(p);
        for (size_t k = 0; k < nnetworks; k++) {
            compare_one(p, &networks[k], end, 1);
            compare_one(p, &networks[k], (end + start) / 2, 2.5);
            compare_one(p, &networks[k], start, -0.5);
        }
        process_free(p);
    }
    specs_free(&processes);
}

static int constant(void *user, const dfl_request *rq) {
    assert_int_equal(dfl_request_output_dim(rq), dfl_request_input_dim(rq));
    double *g = dfl_request_output(rq);
    for (size_t i = 0; i < dfl_request_count(rq) * DIM; i++) g[i] = 0.25 * (double)(i % DIM) - 0.5;
    ++*(int *)user;
    return 0;
}

static int answers_zero(void *user, const dfl_request *rq) {
    (void)user;
    memset(dfl_request_output(rq), 0,
           sizeof(double) * dfl_request_count(rq) * dfl_request_output_dim(rq));
    return 0;
}

static const char plain_card[] =
    "{\"format\": \"driftless-model/1\", \"process\": \"vp_linear\", \"prediction_type\": "
    "\"epsilon\", \"sample\": {\"shape\": [2]}}";

/* Solved for x_0 and n, the output still adds up to u, and n is off by -scale b g. */
static void shifts_the_score(void **state) {
    (void)state;
    process *p;
    assert_ok(process_new("vp_linear", &p));
    for (size_t k = 0; k < nnetworks; k++) {
        const row r = eval_at(p, &networks[k].form, 0.4);
        const double a = r.at.a[0], b = r.at.b[0], cx = r.gives.cx[0], cn = r.gives.cn[0];
        const double det = a * cn - b * cx, w = 1.75, u[DIM] = {0.3, -0.8};
        double y[DIM];
        int calls = 0;
        dfl_model *m;
        assert_ok(dfl_model_callback(plain_card, answers_zero, NULL, &m));
        assert_ok(dfl_model_guide_classifier(m, w, constant, &calls, &m));
        assert_int_equal(dfl_model_calls(m), 2);
        const dfl_request rq = request_at(&r, 1, u, NULL, y);
        assert_int_equal(m->eval(m, &rq), 0);
        for (int d = 0; d < DIM; d++) {
            const double n0 = (a * 0 - cx * u[d]) / det, n = (a * y[d] - cx * u[d]) / det;
            const double g = 0.25 * d - 0.5;
            assert_true(fabs((n0 - n) - w * b * g) < 1e-12 * (1 + fabs(n)));
        }
        assert_int_equal(calls, 1);
        dfl_model_free(m);
    }
    process_free(p);
}

static void null_class_is_not_guided(void **state) {
    (void)state;
    const row r = {.op = ROW_EVAL, .t = 0.5, .at = {{0.6}, {0.8}}, .gives = {{0}, {1}}};
    const double u[MANY * DIM] = {0.5, -1, 0.5, -1, 0.5, -1, 0.5, -1, 0.5, -1, 0.5, -1};
    double plain[MANY * DIM], y[MANY * DIM];
    dfl_model *m = labelled("vp_linear", "\"prediction_type\": \"epsilon\"");
    evaluate(m, &r, u, plain);
    assert_ok(dfl_model_guide_classifier(m, 3, NULL, NULL, &m));
    evaluate(m, &r, u, y);
    for (int i = 0; i < MANY * DIM; i++) /* sample 4 has the null class */
        assert_true((y[i] == plain[i]) == (i / DIM == 4));
    dfl_model_free(m);
}

/* ---- whole runs ------------------------------------------------------------------------------ */

typedef struct {
    const char *process, *members, *spec;
} whole;

static void sample(dfl_model *m, const char *spec, double *out) {
    static const int64_t labels[MANY] = {0, 1, 0, 1, 1, 0};
    dfl_plan *plan;
    dfl_run *run;
    if (dfl_plan_new(m, spec, &plan)) REFUTE("%s: %s", spec, dfl_last_message());
    assert_ok(dfl_run_new(plan, m, "dtype=float64", &run));
    if (dfl_run_sample(run, 0, MANY, labels, NULL, out)) REFUTE("%s: %s", spec, dfl_last_message());
    dfl_run_free(run);
    dfl_plan_free(plan);
}

static void compare_run(const whole *w) {
    double want[MANY * DIM], got[MANY * DIM], other[MANY * DIM], apart = 0;
    dfl_model *m = labelled(w->process, w->members);
    sample(m, w->spec, want);
    dfl_model_free(m);
    m = guided(labelled(w->process, w->members), 0, 1);
    assert_int_equal(dfl_model_calls(m), 2);
    sample(m, w->spec, got);
    dfl_model_free(m);
    m = guided(labelled(w->process, w->members), 0, 1.01); /* the comparison sees one percent */
    sample(m, w->spec, other);
    dfl_model_free(m);
    for (int i = 0; i < MANY * DIM; i++) {
        if (!(fabs(got[i] - want[i]) < 1e-8 * (1 + fabs(want[i]))))
            REFUTE("%s, %s, %s: %.17g, not %.17g", w->process, w->members, w->spec, got[i],
                   want[i]);
        apart = fmax(apart, fabs(other[i] - want[i]));
    }
    if (!(apart > 1e-5)) REFUTE("%s, %s: no power", w->process, w->spec);
}

static void bayes_in_runs(void **state) {
    (void)state;
    static const char *const predictions[] = {
        "\"prediction_type\": \"epsilon\"",
        "\"prediction_type\": \"sample\"",
        "\"prediction_type\": \"v_prediction\"",
        "\"prediction_type\": \"score\"",
        "\"prediction_type\": \"flow_prediction\"",
        ("\"prediction_type\": \"sample\", \"preconditioning\": {\"type\": \"edm\", "
         "\"sigma_data\": 0.5}")};
    static const char *const solvers[] = {"deis:order=3", "ddim:eta=1", "ddim_gmm:K=2",
                                          "scire",        "dpm",        "unipc"};
    spec_list processes = reference_processes(false);
    size_t turn = 0;
    for (size_t i = 0; i < processes.n; i++) {
        process *p;
        assert_ok(process_new(processes.spec[i], &p));
        for (size_t k = 0; k < LENGTH(predictions); k++, turn++) {
            char spec[SPEC_SIZE];
            snprintf(spec, sizeof spec, "solver=%s grid=%s t_start=%.17g t_end=%.17g steps=7",
                     solvers[turn % LENGTH(solvers)], p->row->reference_grid,
                     p->row->reference_start, case_end(p));
            compare_run(&(whole){processes.spec[i], predictions[k], spec});
        }
        process_free(p);
    }
    specs_free(&processes);
}

static void bayes_in_phase_space(void **state) {
    (void)state;
#define PHASE "\"prediction_type\": \"epsilon\", \"state_components\": 2"
    static const whole cases[] = {
        {"psld", PHASE, "solver=em steps=20"},
        {"psld", PHASE, "solver=deis:order=2 steps=8"},
        {"psld:Gamma=0.5,nu=4.5", PHASE, "solver=sscs steps=20"},
        {"psld", "\"prediction_type\": \"score\", \"state_components\": 2",
         "solver=deis:order=1 steps=8"},
        {"cld", PHASE ", \"output_half\": \"m\"", "solver=em steps=20"},
        {"cld", PHASE ", \"output_half\": \"m\"", "solver=deis:order=2 steps=8"},
    };
    for (size_t i = 0; i < LENGTH(cases); i++) compare_run(&cases[i]);
}

/* Every sample at its own time. */
static void bayes_with_adaptive_steps(void **state) {
    (void)state;
    static const int64_t labels[MANY] = {0, 1, 0, 1, 1, 0};
    double x[2][MANY * DIM];
    size_t nfe[2][MANY];
    for (int k = 0; k < 2; k++) {
        dfl_ode *ode;
        dfl_model *m = labelled("vp_linear", "\"prediction_type\": \"v_prediction\"");
        if (k == 1) m = guided(m, 0, 1);
        assert_ok(dfl_ode_new(m, "solver=ode45", "dtype=float64", &ode));
        assert_ok(dfl_ode_sample(ode, 0, MANY, labels, NULL, x[k], nfe[k]));
        dfl_ode_free(ode);
        dfl_model_free(m);
    }
    for (int i = 0; i < MANY * DIM; i++) assert_true(fabs(x[0][i] - x[1][i]) < 1e-9);
    assert_memory_equal(nfe[0], nfe[1], sizeof nfe[0]);
}

/* ---- order, cost, refusals ------------------------------------------------------------------- */

/* With both, the gradient's scale is not multiplied by the other one. */
static void both_guidances_add(void **state) {
    (void)state;
    const row r = {.op = ROW_EVAL, .t = 0.5, .at = {{0.6}, {0.8}}, .gives = {{0}, {1}}};
    double u[MANY * DIM], y[4][MANY * DIM];
    for (int i = 0; i < MANY * DIM; i++) u[i] = sin(i * 1.7);
    static const double scales[4][2] = {{0, 0}, {3, 0}, {0, 2}, {3, 2}};
    static const int calls[4] = {1, 2, 2, 3};
    for (int k = 0; k < 4; k++) {
        dfl_model *m = guided(labelled("vp_linear", "\"prediction_type\": \"epsilon\""),
                              scales[k][0], scales[k][1]);
        assert_int_equal(dfl_model_calls(m), calls[k]);
        evaluate(m, &r, u, y[k]);
        dfl_model_free(m);
    }
    for (int i = 0; i < MANY * DIM; i++)
        assert_true(fabs(y[3][i] - (y[1][i] + y[2][i] - y[0][i])) < 1e-13);
}

static void digests_tell_models_apart(void **state) {
    (void)state;
    static const double scales[][2] = {{1, 0}, {0, 0}, {2, 0}, {1, 2}, {2, 1}, {2, 2}};
    char hex[LENGTH(scales)][DIGEST_HEX];
    for (size_t i = 0; i < LENGTH(scales); i++) {
        dfl_model *m = guided(labelled("vp_linear", "\"prediction_type\": \"epsilon\""),
                              scales[i][0], scales[i][1]);
        assert_ok(model_identify(m, hex[i]));
        dfl_model_free(m);
        for (size_t k = 0; k < i; k++) assert_string_not_equal(hex[i], hex[k]);
    }
}

static void refuses(void **state) {
    (void)state;
    const char *const epsilon = "\"prediction_type\": \"epsilon\"";
    dfl_model *m;
    refused(dfl_model_guide_classifier(NULL, 1, NULL, NULL, &m), DFL_E_ARG, "inner");
    refused(dfl_model_guide_classifier(labelled("vp_linear", epsilon), 1, NULL, NULL, NULL),
            DFL_E_ARG, "out");
    refused(dfl_model_guide_classifier(labelled("vp_linear", epsilon), NAN, NULL, NULL, &m),
            DFL_E_RANGE, "finite");
    assert_null(m);
    refused(
        dfl_model_guide_classifier(guided(labelled("vp_linear", epsilon), 1, 1), 1, NULL, NULL, &m),
        DFL_E_COMBINATION, "already");
    refused(dfl_model_guide(guided(labelled("vp_linear", epsilon), 1, 1), 2, &m), DFL_E_COMBINATION,
            "inside");
    assert_ok(dfl_model_open("mixture:" DFL_TEST_DATA "/mixture2d.json", NULL, &m));
    refused(dfl_model_guide_classifier(m, 1, NULL, NULL, &m), DFL_E_COMBINATION, "labels");
    assert_ok(dfl_model_callback(plain_card, answers_zero, NULL, &m));
    refused(dfl_model_guide_classifier(m, 1, NULL, NULL, &m), DFL_E_COMBINATION, "function");
}

/* At a flow's t = 1 the limit of the gradient over a is finite, but the gradient is 0. */
static void refuses_where_no_signal_is_left(void **state) {
    (void)state;
    dfl_model *m = guided(labelled("flow", "\"prediction_type\": \"flow_prediction\""), 0, 1);
    dfl_plan *plan;
    dfl_run *run;
    double x[DIM];
    assert_ok(dfl_plan_new(m, "solver=euler steps=3 t_start=1 grid=uniform", &plan));
    assert_ok(dfl_run_new(plan, m, "dtype=float64", &run));
    refused(dfl_run_sample(run, 0, 1, NULL, NULL, x), DFL_E_COMBINATION, "t_start");
    dfl_run_free(run);
    dfl_plan_free(plan);
    dfl_model_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bayes_at_every_label),
        cmocka_unit_test(shifts_the_score),
        cmocka_unit_test(null_class_is_not_guided),
        cmocka_unit_test(bayes_in_runs),
        cmocka_unit_test(bayes_in_phase_space),
        cmocka_unit_test(bayes_with_adaptive_steps),
        cmocka_unit_test(both_guidances_add),
        cmocka_unit_test(digests_tell_models_apart),
        cmocka_unit_test(refuses),
        cmocka_unit_test(refuses_where_no_signal_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
