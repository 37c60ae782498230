/* Cards good and bad, what networks take and give, callbacks and guidance. */
#include "check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "model/model.h"

/* ---- cards ----------------------------------------------------------------------------------- */

static const char good_card[] =
    "{\"format\": \"driftless-model/1\", \"name\": \"m\", \"process\": {\"type\": \"vp_linear\", "
    "\"beta_min\": 0.1, \"beta_max\": 20.0}, \"prediction_type\": \"epsilon\", \"time_map\": "
    "{\"type\": \"linear\", \"scale\": 1000, \"offset\": -1, \"dtype\": \"int64\", \"rank\": 1}, "
    "\"preconditioning\": \"none\", \"t_min\": 0.001, \"t_max\": 1.0, \"sample\": {\"shape\": [1, "
    "2, "
    "3], \"range\": [-1.0, 1.0]}, \"classes\": {\"count\": 2, \"null\": 2, \"names\": [\"a\", "
    "\"b\"]}, \"moments\": {\"mean\": 0.5, \"std\": 0.25}, \"license\": \"CC0\", \"data\": \"d\", "
    "\"training\": \"t\"}";

/* The good card with one member replaced, or removed (json NULL). */
static char *changed(const char *key, const char *json) {
    json_t *root = json_loads(good_card, 0, NULL);
    if (json) {
        json_t *value = json_loads(json, JSON_DECODE_ANY, NULL);
        assert_non_null(value);
        json_object_set_new(root, key, value);
    } else {
        json_object_del(root, key);
    }
    char *out = json_dumps(root, 0);
    json_decref(root);
    assert_non_null(out);
    return out;
}

static void test_card_good(void **state) {
    (void)state;
    card c;
    assert_int_equal(card_parse("here", good_card, strlen(good_card), &c), DFL_OK);
    assert_string_equal(c.process, "vp_linear:beta_min=0.1,beta_max=20");
    assert_int_equal(c.form.predicts, PRED_EPSILON);
    assert_int_equal(c.form.time_dtype, NET_INT64);
    assert_true(c.form.scale == 1000 && c.form.offset == -1);
    assert_int_equal(card_dim(&c), 6);
    assert_int_equal(c.classes, 2);
    assert_int_equal(c.null_class, 2);
    assert_string_equal(c.class_names[1], "b");
    assert_true(c.has_moments && c.mean == 0.5 && c.std == 0.25);
    assert_int_equal(c.warnings.len, 0);
    card_free(&c);
    card_free(&c); /* twice does nothing */
}

static void test_card_round_trip(void **state) {
    (void)state;
    card c, again;
    text first = {0}, second = {0};
    assert_int_equal(card_parse("here", good_card, strlen(good_card), &c), DFL_OK);
    assert_int_equal(card_print(&c, &first), DFL_OK);
    assert_int_equal(card_parse("printed", first.data, first.len, &again), DFL_OK);
    assert_int_equal(card_print(&again, &second), DFL_OK);
    assert_string_equal(first.data, second.data);
    card_free(&c);
    card_free(&again);
    text_free(&first);
    text_free(&second);
}

/* With `json` for `key`, the process text, or the number of warning lines. */
static void test_card_variants(void **state) {
    (void)state;
    static const struct {
        const char *key, *json, *process, *warning;
    } rows[] = {
        {"process", "{\"type\": \"betas\", \"trained_betas\": [0.1, 0.25, 1]}",
         "betas:trained_betas=[0.1,0.25,1]", NULL},
        {"process", "{\"type\": \"x\", \"file\": \"a b.npy\", \"on\": true, \"n\": 3}",
         "x:file='a b.npy',on=1,n=3", NULL},
        {"process", "{\"type\": \"x\"}", "x", NULL},
        {"process", "\"vp_linear:beta_min=0.1\"", "vp_linear:beta_min=0.1", NULL},
        {"classes", "null", NULL, NULL},
        {"classes", NULL, NULL, NULL},
        {"time_map", NULL, NULL, NULL},
        {"t_min", NULL, NULL, NULL},
        {"licence", "\"CC0\"", NULL, "license"},
        {"sample", "{\"shape\": [4], \"rnage\": [0, 1]}", NULL, "range"},
        {"quite_unlike", "1", NULL, "quite_unlike"},
    };
    for (size_t i = 0; i < LENGTH(rows); i++) {
        card c;
        char *json = changed(rows[i].key, rows[i].json);
        if (card_parse("here", json, strlen(json), &c)) REFUTE("%s", dfl_last_message());
        if (rows[i].process) assert_string_equal(c.process, rows[i].process);
        assert_int_equal(c.warnings.len > 0, rows[i].warning != NULL);
        if (rows[i].warning) assert_non_null(strstr(c.warnings.data, rows[i].warning));
        card_free(&c);
        free(json);
    }
}

static const struct {
    const char *key, *json; /* json NULL: the key is missing */
    dfl_status status;
    const char *word; /* must be in the message */
} bad_cards[] = {
    {"format", NULL, DFL_E_KEY, "format"},
    {"format", "\"driftless-model/9\"", DFL_E_FORMAT, "driftless-model/1"},
    {"format", "1", DFL_E_FORMAT, "a text"},
    {"name", "3", DFL_E_FORMAT, "name"},
    {"process", NULL, DFL_E_KEY, "process"},
    {"process", "{}", DFL_E_KEY, "type"},
    {"process", "[1]", DFL_E_FORMAT, "process"},
    {"process", "\"\"", DFL_E_RANGE, "process"},
    {"process", "{\"type\": \"a b\"}", DFL_E_RANGE, "type"},
    {"process", "{\"type\": \"a\", \"b=\": 1}", DFL_E_KEY, "b="},
    {"process", "{\"type\": \"a\", \"b\": {}}", DFL_E_FORMAT, "\"b\""},
    {"process", "{\"type\": \"a\", \"b\": [\"x\"]}", DFL_E_FORMAT, "\"b\"[0]"},
    {"process", "{\"type\": \"a\", \"b\": \"'\\\"\"}", DFL_E_FORMAT, "quotes"},
    {"prediction_type", NULL, DFL_E_KEY, "epsilon|sample|v_prediction"},
    {"prediction_type", "\"noise\"", DFL_E_RANGE, "v_prediction"},
    {"prediction_type", "1", DFL_E_FORMAT, "v_prediction"},
    {"time_map", "{\"type\": \"cubic\"}", DFL_E_RANGE, "log_sigma"},
    {"time_map", "{\"scale\": 2}", DFL_E_KEY, "type"},
    {"time_map", "{\"type\": \"linear\", \"scale\": 0}", DFL_E_RANGE, "scale"},
    {"time_map", "{\"type\": \"linear\", \"dtype\": \"int8\"}", DFL_E_RANGE, "int64"},
    {"time_map", "{\"type\": \"linear\", \"rank\": 2}", DFL_E_RANGE, "rank"},
    {"time_map", "{\"type\": \"sigma\", \"dtype\": \"int64\"}", DFL_E_COMBINATION, "dtype"},
    {"time_map", "{\"type\": \"sigma\", \"scale\": 2}", DFL_E_COMBINATION, "scale"},
    {"preconditioning", "\"karras\"", DFL_E_RANGE, "edm"},
    {"preconditioning", "{\"type\": \"edm\"}", DFL_E_KEY, "sigma_data"},
    {"preconditioning", "{\"type\": \"edm\", \"sigma_data\": 0}", DFL_E_RANGE, "sigma_data"},
    {"preconditioning", "{\"type\": \"edm\", \"sigma_data\": 0.5}", DFL_E_COMBINATION, "sample"},
    {"t_min", "0", DFL_E_RANGE, "t_min"},
    {"t_min", "\"0\"", DFL_E_FORMAT, "t_min"},
    {"t_max", "1.5", DFL_E_RANGE, "t_max"},
    {"t_max", "0.001", DFL_E_COMBINATION, "t_min"},
    {"sample", NULL, DFL_E_KEY, "sample"},
    {"sample", "{}", DFL_E_KEY, "shape"},
    {"sample", "{\"shape\": []}", DFL_E_RANGE, "shape"},
    {"sample", "{\"shape\": [1, 0]}", DFL_E_RANGE, "shape"},
    {"sample", "{\"shape\": [1.5]}", DFL_E_FORMAT, "shape"},
    {"sample", "{\"shape\": [1, 1, 1, 1, 1, 1, 1, 1, 1]}", DFL_E_RANGE, "8"},
    {"sample", "{\"shape\": [1000000, 1000000]}", DFL_E_RANGE, "in all"},
    {"sample", "{\"shape\": [1], \"range\": [1, -1]}", DFL_E_RANGE, "range"},
    {"sample", "{\"shape\": [1], \"range\": [1]}", DFL_E_FORMAT, "range"},
    {"classes", "{\"count\": 0}", DFL_E_RANGE, "count"},
    {"classes", "{\"null\": 1}", DFL_E_KEY, "count"},
    {"classes", "{\"count\": 10, \"null\": 11}", DFL_E_RANGE, "null"},
    {"classes", "{\"count\": 10, \"null\": -1}", DFL_E_RANGE, "null"},
    {"classes", "{\"count\": 3, \"names\": [\"a\"]}", DFL_E_COMBINATION, "names"},
    {"classes", "{\"count\": 1, \"names\": [1]}", DFL_E_FORMAT, "names"},
    {"moments", "{\"mean\": 0, \"std\": -1}", DFL_E_RANGE, "std"},
    {"moments", "{\"mean\": 0}", DFL_E_KEY, "std"},
    {"network", "{\"file\": \"n.onnx\"}", DFL_E_COMBINATION, "network"},
};

static void test_card_bad(void **state) {
    (void)state;
    for (size_t i = 0; i < LENGTH(bad_cards); i++) {
        card c;
        char *json = changed(bad_cards[i].key, bad_cards[i].json);
        const dfl_status status = card_parse("here", json, strlen(json), &c);
        if (status != bad_cards[i].status || !strstr(dfl_last_message(), bad_cards[i].word))
            REFUTE("%s = %s: %d, %s", bad_cards[i].key,
                   bad_cards[i].json ? bad_cards[i].json : "(missing)", status, dfl_last_message());
        assert_null(c.process); /* nothing is left in a refused card */
        free(json);
    }
}

static void test_card_not_json(void **state) {
    (void)state;
    static const struct {
        const char *json;
        dfl_status status;
        const char *word;
    } rows[] = {
        {"", DFL_E_FORMAT, "line 1"},
        {"[1]", DFL_E_FORMAT, "an array"},
        {"{\"a\": 1,}", DFL_E_FORMAT, "column"},
        {"{\"a\": 1, \"a\": 2}", DFL_E_KEY, "duplicate"},
        {"{\"a\": NaN}", DFL_E_FORMAT, "NaN"},
        {"{\"a\": 1e999}", DFL_E_FORMAT, "overflow"},
        {"{\"a\": \"\\u0000\"}", DFL_E_FORMAT, "u0000"},
        {"{\"a\": \"\xff\"}", DFL_E_FORMAT, "decode"},
    };
    card c;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        const dfl_status status = card_parse("here", rows[i].json, strlen(rows[i].json), &c);
        if (status != rows[i].status || !strstr(dfl_last_message(), rows[i].word))
            REFUTE("%s: %d, %s", rows[i].json, status, dfl_last_message());
    }
    const size_t size = (size_t)2 << 20;
    char *large = malloc(size);
    memset(large, '[', size); /* neither the size nor the depth does harm */
    assert_int_equal(card_parse("here", large, size, &c), DFL_E_FORMAT);
    assert_int_equal(card_parse("here", large, 1 << 19, &c), DFL_E_FORMAT);
    free(large);
}

/* ---- what networks take and give ------------------------------------------------------------- */

/* For every form, x_0 and n come back from the scaled input u = c x and y = cx x_0 + cn n. */
static void test_netform_inverts(void **state) {
    (void)state;
    static const double marginals[][2] = {{0.9, 0.3}, {0.5, 0.8}, {0.0065717, 0.99998}, {1, 1e-3}};
    for (int form = PRED_EPSILON; form <= PRED_FLOW + 1; form++) {
        netform f = {.predicts = (prediction)form};
        if (form > PRED_FLOW)
            f = (netform){.predicts = PRED_SAMPLE, .precond = PRECOND_EDM, .sigma_data = 0.5};
        for (size_t i = 0; i < LENGTH(marginals); i++) {
            const double a = marginals[i][0], b = marginals[i][1], x0 = 0.7, n = -1.3;
            const double c = netform_input_scale(&f, a, b), u = c * (a * x0 + b * n);
            double cx, cn;
            netform_gives(&f, a, b, &cx, &cn);
            const double y = cx * x0 + cn * n, d = c * a * cn - c * b * cx;
            assert_true(fabs((cn * u - c * b * y) / d - x0) < 1e-12);
            assert_true(fabs((c * a * y - cx * u) / d - n) < 1e-12);
        }
    }
}

/* The preconditioned network of Karras et al., written out as in their table 1. */
static void test_netform_edm(void **state) {
    (void)state;
    const netform f = {.predicts = PRED_SAMPLE, .precond = PRECOND_EDM, .sigma_data = 0.5};
    const double a = 0.6, b = 0.9, x0 = 0.4, n = -0.8, rho = b / a, sd = f.sigma_data;
    const double skip = sd * sd / (rho * rho + sd * sd), out = rho * sd / hypot(rho, sd);
    double cx, cn;
    netform_gives(&f, a, b, &cx, &cn);
    assert_true(fabs(skip * (x0 + rho * n) + out * (cx * x0 + cn * n) - x0) < 1e-15);
    assert_true(fabs(netform_input_scale(&f, a, b) * a - 1 / hypot(rho, sd)) < 1e-15);
    netform_gives(&f, 1, 0, &cx, &cn); /* clean: F = -n, finite */
    assert_true(cx == 0 && cn == -1);
}

static void test_netform_time(void **state) {
    (void)state;
    netform f = {.map = TIME_LINEAR, .scale = 1000, .offset = -1};
    assert_true(netform_time(&f, 0.5, 0.6, 0.8) == 499);
    f.map = TIME_SIGMA;
    assert_true(fabs(netform_time(&f, 0.5, 0.6, 0.9) - 1.5) < 1e-15);
    f.map = TIME_LOG_SIGMA;
    assert_true(fabs(netform_time(&f, 0.5, 0.6, 0.9) - log(1.5) / 4) < 1e-15);
}

/* ---- callbacks and guidance ------------------------------------------------------------------ */

typedef struct {
    int calls, answer;
} probe;

/* y = x + tau + label + sample index; checks what the accessors say on the way. */
static int add_all(void *user, const dfl_request *rq) {
    probe *const p = user;
    const size_t d = dfl_request_input_dim(rq);
    const float *x = dfl_request_input(rq);
    float *y = dfl_request_output(rq);
    p->calls++;
    if (dfl_request_dtype(rq) != DFL_FLOAT32 || dfl_request_output_dim(rq) != d) return 99;
    if (dfl_request_a(rq)[0] != 0.6 || dfl_request_b(rq)[0] != 0.8) return 98;
    if (dfl_request_time(rq) != 0.5) return 97;
    for (size_t i = 0; i < dfl_request_count(rq); i++)
        for (size_t j = 0; j < d; j++)
            y[i * d + j] = x[i * d + j] + (float)dfl_request_network_time(rq) +
                           (float)dfl_request_label(rq, i) + (float)dfl_request_sample(rq, i);
    return p->answer;
}

enum { N = 3, D = 6 };

static dfl_request make_request(const float *x, float *y, const int64_t *labels) {
    return (dfl_request){.count = N,
                         .input_dim = D,
                         .output_dim = D,
                         .input = x,
                         .output = y,
                         .t = 0.5,
                         .tau = 10,
                         .at = {{0.6}, {0.8}},
                         .components = 1,
                         .output_components = 1,
                         .first = 100,
                         .labels = labels};
}

static void test_callback(void **state) {
    (void)state;
    probe p = {0, 0};
    dfl_model *m;
    const float x[N * D] = {1};
    float y[N * D];
    const int64_t labels[N] = {0, 1, 2};
    assert_int_equal(dfl_model_callback(good_card, add_all, &p, &m), DFL_OK);
    assert_int_equal(dfl_model_dim(m), D);
    assert_int_equal(dfl_model_calls(m), 1);
    dfl_request rq = make_request(x, y, labels);
    assert_int_equal(m->eval(m, &rq), 0);
    assert_true(y[0] == 111 && y[1] == 110 && y[2 * D] == 114);
    rq.labels = NULL;
    assert_int_equal(m->eval(m, &rq), 0);
    assert_true(y[1] == 109);
    p.answer = 42; /* codes of the caller's own come through unchanged */
    assert_int_equal(m->eval(m, &rq), 42);
    p.answer = -77;
    assert_int_equal(m->eval(m, &rq), -77);
    dfl_model_free(m);
    assert_int_equal(dfl_model_callback(NULL, add_all, &p, &m), DFL_E_ARG);
    assert_null(m);
    assert_int_equal(dfl_model_callback(good_card, NULL, NULL, &m), DFL_OK); /* a card alone */
    assert_int_equal(m->eval(m, &rq), DFL_E_COMBINATION);
    dfl_model_free(m);
    assert_int_equal(dfl_model_callback("{}", add_all, &p, &m), DFL_E_KEY);
    assert_null(m);
    dfl_model_free(NULL);
}

static void test_info(void **state) {
    (void)state;
    probe p = {0, 0};
    dfl_model *m;
    size_t need;
    char buf[2000], small[8];
    assert_int_equal(dfl_model_callback(good_card, add_all, &p, &m), DFL_OK);
    assert_int_equal(dfl_model_guide(m, 2.5, &m), DFL_OK);
    assert_int_equal(dfl_model_info(m, buf, sizeof buf, &need), DFL_OK);
    assert_int_equal(strlen(buf), need);
    json_t *root = json_loads(buf, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(root);
    assert_int_equal(json_integer_value(json_object_get(root, "calls")), 2);
    json_t *runtime = json_object_get(root, "runtime");
    assert_string_equal(json_string_value(json_object_get(runtime, "kind")), "callback");
    assert_true(json_real_value(json_object_get(runtime, "guidance")) == 2.5);
    json_decref(root);
    dfl_model_info(m, small, sizeof small, &need); /* cut, but terminated */
    assert_true(strlen(small) < sizeof small);
    dfl_model_free(m);
}

static void test_guidance(void **state) {
    (void)state;
    static const double scales[] = {0, 1, 2.5, -1};
    const float x[N * D] = {0};
    const int64_t labels[N] = {0, 1, 2};
    for (size_t i = 0; i < LENGTH(scales); i++) {
        probe p = {0, 0};
        dfl_model *m;
        float y[N * D];
        const double w = scales[i];
        assert_int_equal(dfl_model_callback(good_card, add_all, &p, &m), DFL_OK);
        assert_int_equal(dfl_model_guide(m, w, &m), DFL_OK);
        const dfl_request rq = make_request(x, y, labels);
        assert_int_equal(m->eval(m, &rq), 0);
        assert_int_equal(p.calls, w == 0 || w == 1 ? 1 : 2);
        assert_int_equal(dfl_model_calls(m), p.calls);
        for (int s = 0; s < N; s++) /* null class 2, so y = 2 + w (label - 2) + ... */
            assert_true(fabs(y[s * D] - (110 + s + 2 + w * (s - 2))) < 1e-5);
        p.answer = 7;
        assert_int_equal(m->eval(m, &rq), 7);
        dfl_model_free(m);
    }
}

static void test_guidance_refused(void **state) {
    (void)state;
    probe p = {0, 0};
    dfl_model *m;
    char *json = changed("classes", "{\"count\": 2}");
    assert_int_equal(dfl_model_callback(json, add_all, &p, &m), DFL_OK);
    assert_int_equal(dfl_model_guide(m, 2, &m), DFL_E_COMBINATION); /* m is freed all the same */
    assert_null(m);
    assert_non_null(strstr(dfl_last_message(), "null"));
    free(json);
    assert_int_equal(dfl_model_callback(good_card, add_all, &p, &m), DFL_OK);
    assert_int_equal(dfl_model_guide(m, NAN, &m), DFL_E_RANGE);
    assert_int_equal(dfl_model_guide(NULL, 1, &m), DFL_E_ARG);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_card_good),     cmocka_unit_test(test_card_round_trip),
        cmocka_unit_test(test_card_variants), cmocka_unit_test(test_card_bad),
        cmocka_unit_test(test_card_not_json), cmocka_unit_test(test_netform_inverts),
        cmocka_unit_test(test_netform_edm),   cmocka_unit_test(test_netform_time),
        cmocka_unit_test(test_callback),      cmocka_unit_test(test_info),
        cmocka_unit_test(test_guidance),      cmocka_unit_test(test_guidance_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
