/* The analytic mixture: against the direct formula, against stored values of other programs, at the
   limits of no noise and no signal, in phase space, by class; and malformed files. */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "model/mixture.h"

enum { K = 3, D = 2 };
static const double weight[K] = {0.5, 0.3, 0.2};
static const double mean[K][D] = {{1.2, -0.4}, {-0.9, 0.8}, {0.1, -1.5}};
static const double spread[K][D] = {{0.25, 0.4}, {0.3, 0.2}, {0.15, 0.35}};

static dfl_model *open_public(void) {
    dfl_model *m;
    if (dfl_model_open("mixture:" DFL_TEST_DATA "/mixture2d.json", NULL, &m))
        REFUTE("%s", dfl_last_message());
    return m;
}

/* One evaluation of one sample in double; y has the output's size. */
static int ask(dfl_model *m, const marginal *at, const netgives *gives, int components,
               const double *u, int64_t label, double *y) {
    const size_t dim = dfl_model_dim(m);
    const dfl_request rq = {.count = 1,
                            .input_dim = dim * (size_t)components,
                            .output_dim = dim * (size_t)components,
                            .dtype = DFL_FLOAT64,
                            .input = u,
                            .output = y,
                            .t = 0.5,
                            .at = *at,
                            .gives = *gives,
                            .components = components,
                            .output_components = components,
                            .labels = label < 0 ? NULL : &label};
    return m->eval(m, &rq);
}

/* eps = b sum_k r_k (x - a m_k)/(a^2 s_k^2 + b^2), as it stands, over the components of a mask. */
static void direct_eps(double a, double b, const double *x, int mask, double *eps) {
    double r[K], sum = 0;
    for (int k = 0; k < K; k++) {
        r[k] = mask >> k & 1 ? weight[k] : 0;
        for (int d = 0; d < D; d++) {
            const double v = a * a * spread[k][d] * spread[k][d] + b * b;
            const double e = x[d] - a * mean[k][d];
            r[k] *= exp(-e * e / v / 2) / sqrt(v);
        }
        sum += r[k];
    }
    for (int d = 0; d < D; d++) {
        eps[d] = 0;
        for (int k = 0; k < K; k++)
            eps[d] += b * r[k] / sum * (x[d] - a * mean[k][d]) /
                      (a * a * spread[k][d] * spread[k][d] + b * b);
    }
}

static void test_direct(void **state) {
    (void)state;
    dfl_model *m = open_public();
    for (int i = 0; i < 40; i++) {
        const double b = (i % 8 + 1) / 8.5, a = sqrt(1 - b * b);
        const double x[D] = {sin(i * 1.3) * 1.5, cos(i * 0.7) * 1.5};
        double eps[D], y[D], clean[D];
        direct_eps(a, b, x, 7, eps);
        assert_int_equal(ask(m, &(marginal){{a}, {b}}, &(netgives){{0}, {1}}, 1, x, -1, y), 0);
        assert_int_equal(ask(m, &(marginal){{a}, {b}}, &(netgives){{1}, {0}}, 1, x, -1, clean), 0);
        for (int d = 0; d < D; d++) {
            assert_true(fabs(y[d] - eps[d]) < 1e-13);
            assert_true(fabs(a * clean[d] + b * y[d] - x[d]) < 1e-13); /* Tweedie */
        }
    }
    dfl_model_free(m);
}

/* Noise predictions stored with the state and the noise level they belong to. */
static void test_reference(void **state) {
    (void)state;
    dfl_model *m = open_public();
    json_t *root = json_load_file(DFL_TEST_DATA "/eps_reference.json", 0, NULL);
    const json_t *rows = json_object_get(root, "rows");
    assert_true(json_array_size(rows) >= 15);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        const double ab = json_number_value(json_object_get(row, "alpha_bar"));
        const marginal at = {{sqrt(ab)}, {sqrt(1 - ab)}};
        double x[D], y[D];
        for (size_t d = 0; d < D; d++)
            x[d] = json_number_value(json_array_get(json_object_get(row, "x"), d));
        assert_int_equal(ask(m, &at, &(netgives){{0}, {1}}, 1, x, -1, y), 0);
        for (size_t d = 0; d < D; d++) {
            const double eps = json_number_value(json_array_get(json_object_get(row, "eps"), d));
            assert_true(fabs(y[d] - eps) < 1e-11);
        }
    }
    json_decref(root);
    dfl_model_free(m);
}

/* No noise: x_0 is known and the noise is not; no signal: the other way round. */
static void test_limits(void **state) {
    (void)state;
    dfl_model *m = open_public();
    const double x[D] = {1.1, -0.3};
    double y[D];
    for (double b = 1e-3; b > 1e-200; b *= 1e-20) {
        assert_int_equal(ask(m, &(marginal){{1}, {b}}, &(netgives){{1}, {0}}, 1, x, -1, y), 0);
        for (int d = 0; d < D; d++) assert_true(fabs(y[d] - x[d]) < 10 * b * b + 1e-15);
        assert_int_equal(ask(m, &(marginal){{1}, {b}}, &(netgives){{0}, {1}}, 1, x, -1, y), 0);
        for (int d = 0; d < D; d++) assert_true(isfinite(y[d]) && fabs(y[d]) < 40 * b);
    }
    assert_int_equal(ask(m, &(marginal){{1}, {0}}, &(netgives){{1}, {0}}, 1, x, -1, y), 0);
    assert_true(fabs(y[0] - x[0]) < 1e-15 && fabs(y[1] - x[1]) < 1e-15);
    for (double a = 1e-3; a > 1e-200; a *= 1e-20) {
        assert_int_equal(ask(m, &(marginal){{a}, {1}}, &(netgives){{0}, {1}}, 1, x, -1, y), 0);
        for (int d = 0; d < D; d++) assert_true(fabs(y[d] - x[d]) < 3 * a + 1e-15);
        assert_int_equal(ask(m, &(marginal){{a}, {1}}, &(netgives){{1}, {0}}, 1, x, -1, y), 0);
        assert_true(fabs(y[0] - (0.5 * 1.2 - 0.3 * 0.9 + 0.2 * 0.1)) < 3 * a + 1e-15);
    }
    assert_int_equal(ask(m, &(marginal){{0}, {0}}, &(netgives){{1}, {0}}, 1, x, -1, y),
                     DFL_E_RANGE);
    dfl_model_free(m);
}

/* Scaling the label and the state together (input scaling of preconditioned networks) changes
   nothing, and any linear prediction is that combination of the two. */
static void test_scaled_and_mixed(void **state) {
    (void)state;
    dfl_model *m = open_public();
    const double a = 0.6, b = 0.8, c = 3.7, x[D] = {0.4, -0.9}, u[D] = {0.4 * 3.7, -0.9 * 3.7};
    double clean[D], eps[D], y[D];
    ask(m, &(marginal){{a}, {b}}, &(netgives){{1}, {0}}, 1, x, -1, clean);
    ask(m, &(marginal){{a}, {b}}, &(netgives){{0}, {1}}, 1, x, -1, eps);
    ask(m, &(marginal){{c * a}, {c * b}}, &(netgives){{-b}, {a}}, 1, u, -1, y);
    for (int d = 0; d < D; d++) assert_true(fabs(y[d] - (a * eps[d] - b * clean[d])) < 1e-14);
    dfl_model_free(m);
}

/* Phase space by brute force: S and its inverse written out. */
static void direct_pair(const marginal *at, const double *u, double *clean, double *noise) {
    const double *a = at->a, *b = at->b;
    double r[K], sum = 0, ex[K][D], en[K][2 * D];
    for (int k = 0; k < K; k++) {
        r[k] = weight[k];
        for (int d = 0; d < D; d++) {
            const double ss = spread[k][d] * spread[k][d];
            const double p = ss * a[0] * a[0] + b[0] * b[0] + b[1] * b[1];
            const double q = ss * a[0] * a[1] + b[0] * b[2] + b[1] * b[3];
            const double s = ss * a[1] * a[1] + b[2] * b[2] + b[3] * b[3];
            const double det = p * s - q * q;
            const double e0 = u[d] - a[0] * mean[k][d], e1 = u[D + d] - a[1] * mean[k][d];
            const double g0 = (s * e0 - q * e1) / det, g1 = (p * e1 - q * e0) / det;
            r[k] *= exp(-(e0 * g0 + e1 * g1) / 2) / sqrt(det);
            ex[k][d] = mean[k][d] + ss * (a[0] * g0 + a[1] * g1);
            en[k][d] = b[0] * g0 + b[2] * g1;
            en[k][D + d] = b[1] * g0 + b[3] * g1;
        }
        sum += r[k];
    }
    memset(clean, 0, D * sizeof *clean);
    memset(noise, 0, 2 * D * sizeof *noise);
    for (int k = 0; k < K; k++) {
        for (int d = 0; d < D; d++) clean[d] += r[k] / sum * ex[k][d];
        for (int d = 0; d < 2 * D; d++) noise[d] += r[k] / sum * en[k][d];
    }
}

static void test_phase_space(void **state) {
    (void)state;
    dfl_model *m = open_public();
    static const marginal at[] = {{{0.7, -0.3}, {0.6, 0, 0.2, 0.5}},
                                  {{0.2, -0.1}, {0.9, 0, -0.1, 0.5}},
                                  {{0.9, 0.1}, {0.3, 0.1, 0.2, 0.4}}};
    const double u[2 * D] = {0.5, -0.8, 0.3, 0.1};
    double clean[D], noise[2 * D], y[2 * D];
    for (size_t i = 0; i < LENGTH(at); i++) {
        direct_pair(&at[i], u, clean, noise);
        assert_int_equal(ask(m, &at[i], &(netgives){{0}, {1, 0, 0, 1}}, 2, u, -1, y), 0);
        for (int d = 0; d < 2 * D; d++) assert_true(fabs(y[d] - noise[d]) < 1e-12);
        assert_int_equal(ask(m, &at[i], &(netgives){{1, 2}, {0, 0, 0, 1}}, 2, u, -1, y), 0);
        for (int d = 0; d < D; d++) {
            assert_true(fabs(y[d] - clean[d]) < 1e-12);
            assert_true(fabs(y[D + d] - 2 * clean[d] - noise[D + d]) < 1e-12);
        }
    }
    /* At the clean end x is known and the momentum is its noise alone. */
    const marginal clear = {{1, 0}, {1e-9, 0, 0, 0.1}};
    assert_int_equal(ask(m, &clear, &(netgives){{1, 0}, {0, 0, 0, 1}}, 2, u, -1, y), 0);
    for (int d = 0; d < D; d++) {
        assert_true(fabs(y[d] - u[d]) < 1e-14);
        assert_true(fabs(y[D + d] - u[D + d] / 0.1) < 1e-13);
    }
    dfl_model_free(m);
}

static void test_float32_and_one_output(void **state) {
    (void)state;
    dfl_model *m = open_public();
    const marginal at = {{0.7, -0.3}, {0.6, 0, 0.2, 0.5}};
    const double u[2 * D] = {0.5, -0.75, 0.25, 0.125};
    const float single[2 * D] = {0.5F, -0.75F, 0.25F, 0.125F};
    double y[2 * D];
    float out[D];
    dfl_request rq = {.count = 1,
                      .input_dim = 2 * D,
                      .output_dim = D,
                      .input = single,
                      .output = out,
                      .at = at,
                      .gives = {{0}, {0, 1}}, /* the momentum's noise only */
                      .components = 2,
                      .output_components = 1};
    assert_int_equal(ask(m, &at, &(netgives){{0}, {1, 0, 0, 1}}, 2, u, -1, y), 0);
    assert_int_equal(m->eval(m, &rq), 0);
    for (int d = 0; d < D; d++) assert_true(out[d] == (float)y[D + d]);
    rq.output_dim = 3;
    assert_int_equal(m->eval(m, &rq), DFL_E_COMBINATION);
    dfl_model_free(m);
}

/* ---- classes --------------------------------------------------------------------------------- */

#define PARTS                                                                                      \
    "\"weights\": [0.5, 0.3, 0.2], \"means\": [[1.2, -0.4], [-0.9, 0.8], [0.1, -1.5]], "           \
    "\"stds\": [[0.25, 0.4], [0.3, 0.2], [0.15, 0.35]]"

static dfl_status parse(const char *json, dfl_model **m) {
    return mixture_parse("here", json, strlen(json), m);
}

static void test_labels(void **state) {
    (void)state;
    static const int mask[] = {5, 2, 7}; /* classes 0 and 1, and the null class */
    const double a = 0.8, b = 0.6, x[D] = {0.2, -0.5};
    dfl_model *m;
    double eps[D], y[D];
    assert_int_equal(
        parse("{\"format\": \"driftless-mixture/1\", " PARTS ", \"labels\": [0, 1, 0]}", &m),
        DFL_OK);
    assert_int_equal(m->card.classes, 2);
    assert_int_equal(m->card.null_class, 2);
    for (int64_t label = 0; label < 3; label++) {
        direct_eps(a, b, x, mask[label], eps);
        assert_int_equal(ask(m, &(marginal){{a}, {b}}, &(netgives){{0}, {1}}, 1, x, label, y), 0);
        for (int d = 0; d < D; d++) assert_true(fabs(y[d] - eps[d]) < 1e-13);
    }
    assert_int_equal(ask(m, &(marginal){{a}, {b}}, &(netgives){{0}, {1}}, 1, x, 3, y), DFL_E_RANGE);
    dfl_model_free(m);
    m = open_public();
    assert_int_equal(ask(m, &(marginal){{a}, {b}}, &(netgives){{0}, {1}}, 1, x, 0, y),
                     DFL_E_COMBINATION);
    dfl_model_free(m);
}

static void test_card_of_mixture(void **state) {
    (void)state;
    dfl_model *m;
    assert_int_equal(
        parse("{\"format\": \"driftless-mixture/1\", " PARTS ", \"card\": {\"prediction_type\": "
              "\"v_prediction\", \"process\": {\"type\": \"edm\"}, \"t_min\": 0.01}, \"x\": 1}",
              &m),
        DFL_OK);
    assert_int_equal(m->card.form.predicts, PRED_V);
    assert_string_equal(m->card.process, "edm");
    assert_true(m->card.t_min == 0.01 && m->card.t_max == 1);
    assert_true(m->card.range[0] < -1.5 && m->card.range[1] > 1.2);
    assert_non_null(strstr(m->card.warnings.data, "\"x\""));
    dfl_model_free(m);
    m = open_public();
    assert_string_equal(m->card.process, "vp_linear:beta_min=0.1,beta_max=20");
    dfl_model_free(m);
}

/* Half a terabyte for the means, if the first were believed for the others. */
static void test_short_rows(void **state) {
    (void)state;
    enum { MANY = 1 << 16, NUMBERS = 1000000 };
    text json = {0};
    dfl_model *m;
    text_add(&json, "{\"format\": \"driftless-mixture/1\", \"weights\": [1");
    for (int k = 1; k < MANY; k++) text_add(&json, ",1");
    text_add(&json, "], \"means\": [[0");
    for (int d = 1; d < NUMBERS; d++) text_add(&json, ",0");
    text_add(&json, "]");
    for (int k = 1; k < MANY; k++) text_add(&json, ",0");
    text_add(&json, "], \"stds\": [1]}");
    refused(parse(json.data, &m), DFL_E_FORMAT, "means[1]: a row of 1000000 numbers");
    text_free(&json);
}

/* The answer at x = 0.4 and its log-density, of class `label`, from two components at 1 and -1. */
static void ask_weighed(const char *weights, int64_t label, double *y, double *log_density) {
    char json[300];
    dfl_model *m;
    const double a = 0.6, b = 0.8, x = 0.4;
    snprintf(json, sizeof json,
             "{\"format\": \"driftless-mixture/1\", \"weights\": %s, \"means\": [[1], [-1]], "
             "\"stds\": [0.5, 0.5], \"labels\": [0, 1]}",
             weights);
    assert_ok(parse(json, &m));
    assert_int_equal(ask(m, &(marginal){{a}, {b}}, &(netgives){{0}, {1}}, 1, &x, label, y), DFL_OK);
    assert_ok(mixture_log_density(mixture_in(m), &(marginal){{a}, {b}}, &x, label, log_density));
    dfl_model_free(m);
}

/* A weight counts by its share, whatever the sum is, and within its class by its share there. */
static void test_extreme_weights(void **state) {
    (void)state;
    static const struct {
        const char *weights, *same;
        int64_t label;
    } rows[] = {
        {"[1e308, 1e308]", "[1, 1]", -1},   {"[1e308, 5e307]", "[2, 1]", -1},
        {"[1e-200, 1e200]", "[1, 1]", 0},   {"[1e-200, 1e200]", "[1, 1]", 1},
        {"[5e-324, 5e-324]", "[1, 1]", -1}, {"[5e-324, 1.7e308]", "[1, 1]", 0},
    };
    for (size_t i = 0; i < LENGTH(rows); i++) {
        double y, log_density, y_same, log_same;
        ask_weighed(rows[i].weights, rows[i].label, &y, &log_density);
        ask_weighed(rows[i].same, rows[i].label, &y_same, &log_same);
        assert_true(fabs(y - y_same) <= 1e-12);
        assert_true(fabs(log_density - log_same) <= 1e-12);
    }
}

static void test_bad_files(void **state) {
    (void)state;
    static const struct {
        const char *json;
        dfl_status status;
        const char *word;
    } rows[] = {
        {"{}", DFL_E_KEY, "format"},
        {"{\"format\": \"driftless-model/1\"}", DFL_E_FORMAT, "driftless-mixture/1"},
        {"{\"weights\": []}", DFL_E_RANGE, "weights"},
        {"{\"weights\": [0.5, 0]}", DFL_E_RANGE, "weights"},
        {"{\"weights\": [1]}", DFL_E_KEY, "means"},
        {"{\"weights\": [1], \"means\": [1]}", DFL_E_FORMAT, "means"},
        {"{\"weights\": [1], \"means\": [[1], [2]]}", DFL_E_COMBINATION, "means"},
        {"{\"weights\": [1, 1], \"means\": [[1], [2, 3]]}", DFL_E_FORMAT, "means[1]"},
        {"{\"weights\": [1], \"means\": [[\"a\"]]}", DFL_E_FORMAT, "means[0]"},
        {"{\"weights\": [1], \"means\": [[1]], \"stds\": [0]}", DFL_E_RANGE, "stds"},
        {"{\"weights\": [1], \"means\": [[1]], \"stds\": [[1, 2]]}", DFL_E_FORMAT, "stds"},
        {"{\"weights\": [1], \"means\": [[1e20, 1e20]], \"stds\": [1]}", DFL_E_RANGE, "are lost"},
        {"{\"weights\": [1], \"means\": [[1]], \"stds\": [1], \"labels\": [1]}", DFL_E_RANGE,
         "labels"},
        {"{\"weights\": [1], \"means\": [[1]], \"stds\": [1], \"labels\": []}", DFL_E_COMBINATION,
         "labels"},
        {"{\"weights\": [1, 1], \"means\": [[1], [1]], \"stds\": [1, 1], \"labels\": [1, 1]}",
         DFL_E_COMBINATION, "class 0"},
        {"{\"weights\": [1], \"means\": [[1]], \"stds\": [1], \"card\": 1}", DFL_E_FORMAT, "card"},
        {"{\"weights\": [1], \"means\": [[1]], \"stds\": [1], \"card\": {\"sample\": {\"shape\": "
         "[2]}}}",
         DFL_E_COMBINATION, "sample"},
        {"{\"weights\": [1], \"means\": [[1]], \"stds\": [1], \"card\": {\"classes\": {\"count\": "
         "2}}}",
         DFL_E_COMBINATION, "labels"},
        {"{\"weights\": [1], \"means\": [[1]], \"stds\": [1], \"card\": {\"t_max\": 2}}",
         DFL_E_RANGE, "t_max"},
    };
    for (size_t i = 0; i < LENGTH(rows); i++) {
        dfl_model *m;
        json_t *root = json_loads(rows[i].json, 0, NULL);
        if (i > 1) json_object_set_new(root, "format", json_string("driftless-mixture/1"));
        char *json = json_dumps(root, 0);
        const dfl_status status = parse(json, &m);
        if (status != rows[i].status || !strstr(dfl_last_message(), rows[i].word))
            REFUTE("%s: %d, %s", rows[i].json, status, dfl_last_message());
        assert_null(m);
        free(json);
        json_decref(root);
    }
    dfl_model *m;
    assert_int_equal(dfl_model_open("mixture:/nonexistent.json", NULL, &m), DFL_E_IO);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_direct),      cmocka_unit_test(test_reference),
        cmocka_unit_test(test_limits),      cmocka_unit_test(test_scaled_and_mixed),
        cmocka_unit_test(test_phase_space), cmocka_unit_test(test_float32_and_one_output),
        cmocka_unit_test(test_labels),      cmocka_unit_test(test_card_of_mixture),
        cmocka_unit_test(test_bad_files),   cmocka_unit_test(test_extreme_weights),
        cmocka_unit_test(test_short_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
