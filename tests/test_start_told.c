/* What a run tells of its start, and starts that are refused. */
#include "support/starts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "run/run.h"
#include "study/ode.h"

/* ---- what is told ---------------------------------------------------------------------------- */

static double told(dfl_model *model, const char *spec, const char *options, const char *key,
                   char *law) {
    dfl_plan *plan;
    dfl_run *run;
    char json[2048];
    json_in in;
    json_t *root;
    assert_ok(dfl_plan_new(model, spec, &plan));
    if (dfl_run_new(plan, model, options, &run)) REFUTE("%s", dfl_last_message());
    assert_ok(dfl_run_start(run, json, sizeof json, NULL));
    assert_ok(json_open("start", json, strlen(json), &root, &in));
    const json_t *const value = json_object_get(root, key);
    const double x = json_is_number(value) ? json_number_value(value) : NAN;
    if (law) snprintf(law, 16, "%s", json_string_value(json_object_get(root, "law")));
    json_decref(root);
    dfl_run_free(run);
    dfl_plan_free(plan);
    return x;
}

static void test_told(void **state) {
    (void)state;
    static const char at[] = "steps=2 t_start=0.4";
    static const double line[] = {0.44219690927989863, 0.8969179970450505, -1, 2};
    dfl_model *const model = mixture_model();
    const char *const moments = write_moments("moments.npz", 2, mixture_mean, mixture_cov);
    char law[16], both[2 * PATH + 200];
    /* plain noise: the range alone gives an upper end, moments a lower one */
    assert_true(isnan(told(model, at, NULL, "kl_low", law)));
    assert_string_equal(law, "normal");
    assert_true(told(model, at, NULL, "kl_high", NULL) > 0.2);
    assert_near(told(model, at, option("data_moments", moments, ""), "kl_low", NULL),
                0.023346748632838293 - 0.000964922355747369, 1e-9);
    /* the Gaussian with the data's own moments is off by nothing; the map's image by little */
    snprintf(both, sizeof both, "prior='%s',data_moments='%s'", gauss_prior(), moments);
    assert_true(told(model, at, both, "kl_low", law) < 1e-12);
    assert_string_equal(law, "prior");
    const double map =
        told(model, at, option("prior", gauss_prior(), ",prior_map=flow"), "kl_low", law);
    assert_string_equal(law, "flow");
    assert_true(map > 1e-7 && map < 1e-4);
    /* a mixture's divergence is not known from moments, its distance has a lower end */
    snprintf(both, sizeof both, "prior='%s',data_moments='%s'", exact_prior(), moments);
    assert_true(isnan(told(model, at, both, "kl_low", NULL)));
    assert_true(told(model, at, both, "w2_low", NULL) < 1e-6);
    assert_true(told(model, at, both, "kl_plain", NULL) > 0.01);
    const prior_text gated = {.kind = "full",
                              .k = 3,
                              .d = 2,
                              .weights = mixture_weights,
                              .means = mixture_means,
                              .covs = mixture_covs,
                              .state = {1, 0},
                              .gate = line};
    const char *const file = write_prior("gated.npz", &gated);
    assert_near(told(model, at, option("prior", file, ""), "gate_gain", NULL), -1, 0);
    assert_true(
        isnan(told(model, "steps=2 t_start=0.3", option("prior", file, ""), "gate_gain", NULL)));
    dfl_model_free(model);
}

/* The meter costs as much as a thousand log-densities: only who asks pays. */
static void test_measured_when_asked(void **state) {
    (void)state;
    dfl_model *const model = mixture_model();
    const char *const options = option("prior", exact_prior(), "");
    double x[2];
    size_t nfe;
    char json[2][2048];
    dfl_plan *plan;
    dfl_run *run;
    dfl_ode *ode;
    assert_ok(dfl_plan_new(model, "steps=2 t_start=0.4", &plan));
    assert_ok(dfl_run_new(plan, model, options, &run));
    assert_ok(dfl_run_sample(run, 0, 1, NULL, NULL, x));
    assert_false(run->start->measured);
    assert_ok(dfl_run_start(run, json[0], sizeof json[0], NULL));
    assert_true(run->start->measured && run->start->plain > 0);
    assert_ok(dfl_ode_new(model, "t_start=0.4 t_end=0.01", options, &ode));
    assert_ok(dfl_ode_sample(ode, 0, 1, NULL, NULL, x, &nfe));
    assert_false(ode->start->measured);
    for (int again = 0; again < 2; again++) {
        assert_ok(dfl_ode_start(ode, json[1], sizeof json[1], NULL));
        assert_string_equal(json[0], json[1]);
    }
    dfl_ode_free(ode);
    dfl_run_free(run);
    dfl_plan_free(plan);
    dfl_model_free(model);
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void refuse(dfl_model *model, const char *spec, const char *options, dfl_status expected,
                   const char *part) {
    dfl_plan *plan;
    dfl_run *run;
    assert_ok(dfl_plan_new(model, spec, &plan));
    refused(dfl_run_new(plan, model, options, &run), expected, part);
    assert_null(run);
    dfl_plan_free(plan);
}

static void test_refusals(void **state) {
    (void)state;
    static const char at[] = "steps=2 t_start=0.4";
    static const double one[] = {1}, three[] = {0, 0, 0}, eye[] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    static const double skew[] = {1, 0.5, -0.5, 1}, low[] = {1, 2, 2, 1}, nan_mean[] = {NAN, 0};
    dfl_model *const model = mixture_model();
    prior_text p = {.kind = "gauss",
                    .k = 1,
                    .d = 3,
                    .weights = one,
                    .means = three,
                    .covs = eye,
                    .state = {1, 0}};
    refuse(model, at, option("prior", write_prior("p.npz", &p), ""), DFL_E_COMBINATION,
           "a density of 3 numbers; a sample of this model has 2");
    p = (prior_text){.kind = "gauss",
                     .k = 1,
                     .d = 2,
                     .weights = one,
                     .means = mixture_mean,
                     .covs = mixture_cov,
                     .state = {0.8113952356434114, 0.5844978798722651}};
    const char *const fitted = option("prior", write_prior("fitted.npz", &p), "");
    refuse(model, at, fitted, DFL_E_COMBINATION, "fitted at");
    assert_near(told(model, "steps=2 t_start=0.2", fitted, "t", NULL), 0.2, 0);
    refuse(model, "steps=2 t_start=0.2 process=sub_vp", fitted, DFL_E_COMBINATION, "fitted at");
    refuse(model, "steps=2 t_start=0.2",
           option("prior", in_folder("fitted.npz"), ",prior_map=flow"), DFL_E_COMBINATION,
           "clean data");
    refuse(model, at, option("prior", exact_prior(), ",prior_map=flow"), DFL_E_COMBINATION,
           "this prior has 3 components");
    refuse(model, at, "prior_map=flow", DFL_E_COMBINATION, "mean and covariance");
    refuse(model, at, "prior='/nowhere/p.npz'", DFL_E_IO, "nowhere");
    refuse(model, at, "prior_map=teleport", DFL_E_RANGE, "draw");
    refuse(model, "solver=sscs process=psld steps=2", option("prior", gauss_prior(), ""),
           DFL_E_COMBINATION, "phase space");
    refuse(model, at, option("data_moments", write_moments("m.npz", 2, mixture_mean, skew), ""),
           DFL_E_RANGE, "not symmetric");
    refuse(model, at, option("data_moments", write_moments("m.npz", 2, nan_mean, mixture_cov), ""),
           DFL_E_RANGE, "cannot be");
    refuse(model, at, option("data_moments", write_moments("m.npz", 3, three, eye), ""),
           DFL_E_COMBINATION, "mu needs 2 numbers");
    refuse(model, at,
           option("data_moments", write_moments("m.npz", 2, mixture_mean, low), ",prior_map=flow"),
           DFL_E_RANGE, "negative eigenvalue");
    dfl_model_free(model);
}

static void test_refusals_of_models(void **state) {
    (void)state;
    static const char format[] =
        "{\"format\":\"driftless-model/"
        "1\",\"sample\":{\"shape\":[2]},\"moments\":{\"mean\":%s,\"std\":%s},"
        "\"prediction_type\":\"epsilon\","
        "\"process\":{\"type\":\"vp_linear\"},\"t_max\":%s}";
    static const struct {
        const char *mean, *std, *t_max, *part;
    } cards[] = {{"0.05", "0.9", "1", NULL},
                 {"0.05", "1.9", "1", "scale them as the model's"},
                 {"0.05", "0.45", "1", "scale them as the model's"},
                 {"1.2", "0.9", "1", "scale them as the model's"}};
    for (size_t i = 0; i < LENGTH(cards); i++) {
        char json[400];
        dfl_model *model;
        snprintf(json, sizeof json, format, cards[i].mean, cards[i].std, cards[i].t_max);
        if (dfl_model_callback(json, NULL, NULL, &model)) REFUTE("%s", dfl_last_message());
        const char *const options = option("prior", exact_prior(), "");
        const char *const moments =
            option("data_moments", write_moments("moments.npz", 2, mixture_mean, mixture_cov), "");
        if (cards[i].part) {
            refuse(model, "steps=2 t_start=0.4", options, DFL_E_COMBINATION, cards[i].part);
            refuse(model, "steps=2 t_start=0.4", moments, DFL_E_COMBINATION, cards[i].part);
        } else {
            assert_near(told(model, "steps=2 t_start=0.4", options, "t", NULL), 0.4, 0);
        }
        dfl_model_free(model);
    }
    char json[400];
    dfl_model *model;
    dfl_plan *plan;
    dfl_ode *ode;
    snprintf(json, sizeof json, format, "0", "1", "0.5");
    assert_ok(dfl_model_callback(json, NULL, NULL, &model));
    refused(dfl_plan_new(model, "steps=2 t_start=0.6", &plan), DFL_E_RANGE,
            "trained up to t = 0.5");
    refused(dfl_ode_new(model, "t_start=0.6", NULL, &ode), DFL_E_RANGE, "trained up to t = 0.5");
    dfl_model_free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_told),
        cmocka_unit_test(test_measured_when_asked),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_refusals_of_models),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
