/* Tables of coefficients: what they become, how far they are off, and what is refused. */
#include "support/cases.h"
#include "support/folder.h"
#include "support/gather.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plan/table.h"

static plan_source source_of(const char *of, prediction predicts) {
    return (plan_source){
        .process = of, .form = {.predicts = predicts, .scale = 1}, .t_min = 1e-3, .t_max = 1};
}

/* The rows of a compiled plan as a table: LIN rows over the state and outputs, newest first. */
static void table_of(const dfl_plan *plan, const char *kind, char *out, size_t cap) {
    const program *code = &plan->code;
    double t = code->inputs[0].t;
    const term *terms = NULL;
    size_t n = 0,
           used = (size_t)snprintf(out, cap, "t_from,t_to,x,%s,%s_1,%s_2\n", kind, kind, kind);
    for (size_t i = 0; i < code->nrows; i++) {
        const row *r = &code->rows[i];
        if (r->op == ROW_LIN) {
            terms = code->terms + r->src;
            n = r->nsrc;
        }
        if (r->op != ROW_STEP) continue;
        used += (size_t)snprintf(out + used, cap - used, "%.17g,%.17g", t, r->t);
        for (size_t k = 0; k < n; k++)
            used += (size_t)snprintf(out + used, cap - used, ",%.17g", terms[k].c.v[0]);
        used += (size_t)snprintf(out + used, cap - used, "\n");
        t = r->t;
    }
    assert_true(used < cap);
}

static void assert_same_plan(const dfl_plan *a, const dfl_plan *b, double bound) {
    assert_int_equal(a->code.nrows, b->code.nrows);
    for (size_t i = 0; i < a->code.nrows; i++) {
        const row *x = &a->code.rows[i], *y = &b->code.rows[i];
        assert_true(x->op == y->op && x->dst == y->dst && x->nsrc == y->nsrc && x->t == y->t &&
                    x->tau == y->tau && x->at.a[0] == y->at.a[0] && x->at.b[0] == y->at.b[0]);
        for (size_t k = 0; k < x->nsrc; k++) {
            const term *p = &a->code.terms[x->src + k], *q = &b->code.terms[y->src + k];
            assert_int_equal(p->v, q->v);
            assert_true(fabs(p->c.v[0] - q->c.v[0]) <= bound * fabs(p->c.v[0]));
        }
    }
}

static dfl_plan *plan_of(const char *csv, const plan_source *to, table_check *check) {
    const char *path = in_folder("table.csv");
    plan_table t;
    dfl_plan *plan;
    write_bytes(path, csv);
    if (table_read(path, &t)) REFUTE("%s", dfl_last_message());
    if (table_plan(&t, to, "a test", check, &plan)) REFUTE("%s", dfl_last_message());
    table_free(&t);
    return plan;
}

/* A plan of ddim or deis written as a table comes back as it was. Kills: older outputs in another
   order, a label of another time. */
static void test_round_trip(void **state) {
    (void)state;
    static const char *const specs[] = {
        "solver=ddim steps=7", "solver=deis:order=2 steps=7",
        "solver=deis:kind=rhoab,order=2 steps=9 grid=logsnr t_start=0.9"};
    const plan_source to = source_of("vp_linear", PRED_EPSILON);
    for (size_t i = 0; i < LENGTH(specs); i++) {
        char csv[8000];
        dfl_plan *plan;
        table_check check;
        assert_ok(plan_compile(specs[i], &to, &plan));
        table_of(plan, "epsilon", csv, sizeof csv);
        dfl_plan *again = plan_of(csv, &to, &check);
        assert_same_plan(plan, again, 1e-12);
        assert_true(check.violation < 1e-12);
        assert_int_equal(again->nfe, plan->nfe);
        assert_null(again->warnings.data);
        assert_non_null(strstr(again->meta.fit, "a test: "));
        plan_free(again);
        plan_free(plan);
    }
}

/* Any table on any network: each kind of output, by the exact step where x_0 and n are constant, ends
   at its label when the network is fed constants. */
static void test_predictions(void **state) {
    (void)state;
    static const struct {
        const char *kind;
        prediction predicts;
    } kinds[] = {{"epsilon", PRED_EPSILON},
                 {"sample", PRED_SAMPLE},
                 {"v_prediction", PRED_V},
                 {"score", PRED_SCORE},
                 {"flow_prediction", PRED_FLOW}};
    static const double t[] = {0.8, 0.5, 0.2};
    const plan_case linear = {.process = "vp_linear"};
    process *p = case_process(&linear);
    for (size_t i = 0; i < LENGTH(kinds); i++) {
        char csv[400];
        size_t used = (size_t)snprintf(csv, sizeof csv, "t_from,t_to,x,%s\n", kinds[i].kind);
        for (size_t k = 0; k < 2; k++) {
            const scalar_at at = process_at(p, t[k]), to = process_at(p, t[k + 1]);
            const double labels[][2] = {{0, 1}, {1, 0}, {-at.b, at.a}, {0, -1 / at.b}, {-1, 1}};
            const double *y = labels[i], det = at.a * y[1] - at.b * y[0];
            used += (size_t)snprintf(csv + used, sizeof csv - used, "%.17g,%.17g,%.17g,%.17g\n",
                                     t[k], t[k + 1], (to.a * y[1] - to.b * y[0]) / det,
                                     (at.a * to.b - at.b * to.a) / det);
        }
        for (size_t k = 0; k < LENGTH(kinds); k++) {
            const plan_source to = source_of("vp_linear", kinds[k].predicts);
            table_check check;
            dfl_plan *plan = plan_of(csv, &to, &check);
            assert_true(check.violation < 1e-13);
            double value[64] = {0};
            const double x0 = 0.7, n = -1.3;
            value[0] = process_at(p, t[0]).a * x0 + process_at(p, t[0]).b * n;
            for (size_t j = 0; j < plan->code.nrows; j++) {
                const row *r = &plan->code.rows[j];
                const term *terms = plan->code.terms + r->src;
                if (r->op == ROW_EVAL) value[r->dst] = r->gives.cx[0] * x0 + r->gives.cn[0] * n;
                if (r->op == ROW_LIN)
                    for (size_t s = 0; s < r->nsrc; s++)
                        value[r->dst] += terms[s].c.v[0] * value[terms[s].v];
                if (r->op != ROW_STEP) continue;
                const scalar_at at = process_at(p, r->t);
                assert_true(fabs(value[terms[0].v] - at.a * x0 - at.b * n) < 1e-12);
            }
            plan_free(plan);
        }
    }
    process_free(p);
}

/* The size of a violation is what was put in, and is told. */
static void test_violation(void **state) {
    (void)state;
    const plan_source to = source_of("flow", PRED_FLOW);
    table_check check;
    dfl_plan *plan =
        plan_of("# euler\n\nsigma_from, sigma_to ,x,flow_prediction,flow_prediction_1\r\n"
                "4,1,1,-0.3\n1,0.25,1,-0.29,\n",
                &to, &check);
    assert_true(fabs(check.violation - 0.01) < 1e-12);
    assert_int_equal(check.worst, 1);
    assert_non_null(
        strstr(plan->warnings.data, "step 2 takes a constant output off its label by 0.01"));
    assert_true(fabs(plan->code.inputs[0].t - 0.8) < 1e-15);
    plan_free(plan);
}

/* JSON says the same as CSV. */
static void test_json(void **state) {
    (void)state;
    const plan_source to = source_of("vp_discrete", PRED_EPSILON);
    table_check check[2];
    dfl_plan *a = plan_of("timestep_from,timestep_to,x,epsilon,epsilon_1\n"
                          "999,499,2,-1\n499,9,1.5,-0.75,0.125\n",
                          &to, &check[0]);
    dfl_plan *b = plan_of("{\"format\":\"driftless-table/1\",\"prediction_type\":\"epsilon\","
                          "\"times\":\"timestep\",\"source\":\"a paper\",\"steps\":["
                          "{\"from\":999,\"to\":499,\"x\":2,\"outputs\":[-1]},"
                          "{\"from\":499,\"to\":9,\"x\":1.5,\"outputs\":[-0.75,0.125]}]}",
                          &to, &check[1]);
    assert_same_plan(a, b, 0);
    assert_true(check[0].violation == check[1].violation && check[0].violation > 0.1);
    assert_true(a->code.inputs[0].t == 1);
    plan_free(a);
    plan_free(b);
}

#define HEAD "t_from,t_to,x,epsilon,epsilon_1\n"
#define JSON "{\"format\":\"driftless-table/1\",\"prediction_type\":\"epsilon\","

static const struct {
    const char *data;
    dfl_status status;
    const char *part;
} refusals[] = {
    {"", DFL_E_FORMAT, "a table without steps"},
    {HEAD, DFL_E_FORMAT, "a table without steps"},
    {"1,0.5,1,1\n", DFL_E_FORMAT, "line 1: the columns must be t_from"},
    {"t_from,sigma_to,x,epsilon\n", DFL_E_FORMAT, "the columns must be"},
    {"t_from,t_to,y,epsilon\n", DFL_E_FORMAT, "the columns must be"},
    {"t_from,t_to,x\n", DFL_E_FORMAT, "the columns must be"},
    {"t_from,t_to,x,noise\n", DFL_E_FORMAT, "'noise' is no prediction type; choose from epsilon|"},
    {"t_from,t_to,x,\n", DFL_E_FORMAT, "'' is no prediction type"},
    {"t_from,t_to,x,epsilon,epsilon_2\n", DFL_E_FORMAT, "'epsilon_2' where epsilon_1"},
    {HEAD "1,0.5,1\n", DFL_E_FORMAT, "line 2: 3 cells; the header has 5 columns"},
    {HEAD "1,0.5,1,1,1,1\n", DFL_E_FORMAT, "6 cells"},
    {HEAD "1,0.5,one,1\n", DFL_E_FORMAT, "'one' is not a number"},
    {HEAD "1,0.5,nan,1\n", DFL_E_FORMAT, "'nan' is not a number"},
    {HEAD "1,0.5,1,1e999\n", DFL_E_FORMAT, "'1e999' is not a number"},
    {HEAD "1,0.5,,1\n", DFL_E_FORMAT, "'' is not a number"},
    {HEAD "1,0.5,1,\n", DFL_E_RANGE, "no step uses an output"},
    {HEAD "1,0.5,1,1,0.5\n", DFL_E_FORMAT, "step 1 uses the output 1 steps before"},
    {HEAD "1,0.5,1,1\n0.4,0.1,1,1\n", DFL_E_RANGE, "step 2 begins at 0.4"},
    {HEAD "0.5,1,1,1\n", DFL_E_RANGE, "times must fall, but step 1 goes from t = 0.5"},
    {HEAD "0.5,0.5,1,1\n", DFL_E_RANGE, "times must fall"},
    {HEAD "2,0.5,1,1\n", DFL_E_RANGE, "a step's time=2"},
    {HEAD "0.5,-1,1,1\n", DFL_E_RANGE, "a step's time"},
    {HEAD "1,0.5,0,0\n", DFL_E_RANGE, "step 1 has no coefficient but 0"},
    {HEAD "1,0.5,1,0\n", DFL_E_RANGE, "no step uses an output"},
    {"sigma_from,sigma_to,x,epsilon\n500,1,1,1\n", DFL_E_RANGE, "nowhere at sigma = 500"},
    {"sigma_from,sigma_to,x,epsilon\n1,-1,1,1\n", DFL_E_RANGE, "nowhere at sigma = -1"},
    {"{", DFL_E_FORMAT, "not valid JSON"},
    {"{\"format\":\"x\"}", DFL_E_FORMAT, "driftless-table/1"},
    {JSON "\"steps\":[]}", DFL_E_FORMAT, "a table without steps"},
    {JSON "\"steps\":{}}", DFL_E_FORMAT, "an array is needed"},
    {JSON "\"steps\":[1]}", DFL_E_FORMAT, "step 1: an object is needed"},
    {JSON "\"steps\":[{\"from\":1,\"to\":0.5,\"x\":1}]}", DFL_E_KEY, "step 1: key \"outputs\""},
    {JSON "\"steps\":[{\"from\":1,\"to\":0.5,\"x\":1,\"outputs\":[]}]}", DFL_E_RANGE, "outputs"},
    {JSON "\"times\":\"hours\",\"steps\":[]}", DFL_E_RANGE, "hours"},
};

/* An output that no step uses is not asked for: its cell is empty, or 0. */
static void test_unused(void **state) {
    (void)state;
    static const char *const tables[] = {HEAD "1,0.5,1,1\n0.5,0.1,1,,0.5\n",
                                         HEAD "1,0.5,1,1\n0.5,0.1,1,0,0.5\n"};
    const plan_source to = source_of("vp_linear", PRED_EPSILON);
    for (size_t i = 0; i < LENGTH(tables); i++) {
        plan_table t = {0};
        dfl_plan *plan = NULL;
        table_check check;
        write_bytes(in_folder("unused.csv"), tables[i]);
        assert_ok(table_read(in_folder("unused.csv"), &t));
        assert_ok(table_plan(&t, &to, "x", &check, &plan));
        assert_int_equal(plan->nfe, 1);
        assert_int_equal(plan->steps, 2);
        plan_free(plan);
        table_free(&t);
    }
}

static void test_refusals(void **state) {
    (void)state;
    const plan_source to = source_of("vp_linear", PRED_EPSILON);
    const char *path = in_folder("bad.csv");
    for (size_t i = 0; i < LENGTH(refusals); i++) {
        plan_table t = {0};
        dfl_plan *plan = NULL;
        table_check check;
        write_bytes(path, refusals[i].data);
        dfl_status status = table_read(path, &t);
        if (status == DFL_OK) status = table_plan(&t, &to, "x", &check, &plan);
        if (status != refusals[i].status || !strstr(dfl_last_message(), refusals[i].part))
            REFUTE("case %zu: status %d, %s", i, status, dfl_last_message());
        assert_null(plan);
        table_free(&t);
    }
    const plan_source phase = source_of("psld", PRED_EPSILON);
    plan_table t;
    dfl_plan *plan;
    table_check check;
    write_bytes(path, HEAD "1,0.5,1,1\n");
    assert_ok(table_read(path, &t));
    refused(table_plan(&t, &phase, "x", &check, &plan), DFL_E_COMBINATION, "scalar processes");
    plan_source low = to;
    low.t_max = 0.9;
    refused(table_plan(&t, &low, "x", &check, &plan), DFL_E_RANGE, "trained up to t = 0.9");
    table_free(&t);
    refused(table_read("/nowhere/at/all", &t), DFL_E_IO, "/nowhere/at/all");
}

/* Caps: columns and steps. */
static void test_caps(void **state) {
    (void)state;
    text csv = {0};
    plan_table t;
    const char *path = in_folder("long.csv");
    text_add(&csv, "t_from,t_to,x,epsilon");
    for (int k = 1; k <= TABLE_OUTPUTS_MAX; k++) text_add(&csv, ",epsilon_%d", k);
    write_bytes(path, csv.data);
    refused(table_read(path, &t), DFL_E_RANGE, "more than 35 columns");
    text_free(&csv);
    text_add(&csv, HEAD);
    for (int k = 0; k <= TABLE_STEPS_MAX; k++) text_add(&csv, "1,0,1,1\n");
    write_bytes(path, csv.data);
    refused(table_read(path, &t), DFL_E_RANGE, "more than 10000 steps");
    text_free(&csv);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_predictions),
        cmocka_unit_test(test_violation),  cmocka_unit_test(test_json),
        cmocka_unit_test(test_unused),     cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_caps),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
