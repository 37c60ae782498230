/* Runs that start below t = 1 against the law they must reach, the full run, and one another. */
#include "support/starts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run/run.h"

enum { LAW_SAMPLES = 20000 };

/* ---- runs ------------------------------------------------------------------------------------ */

static void draw_of(dfl_model *model, const char *spec, const char *options, size_t n,
                    const int64_t *labels, double *x) {
    dfl_plan *plan;
    dfl_run *run = NULL;
    if (dfl_plan_new(model, spec, &plan) || dfl_run_new(plan, model, options, &run) ||
        dfl_run_sample(run, 0, n, labels, NULL, x))
        REFUTE("%s %s: %s", spec, options, dfl_last_message());
    dfl_run_free(run);
    dfl_plan_free(plan);
}

static void draw(dfl_model *model, const char *spec, const char *options, size_t n, double *x) {
    draw_of(model, spec, options, n, NULL, x);
}

/* The largest distance of first and second moments from the data's, in units of what is allowed:
   five standard errors and what the steps leave. */
static double off_law(const double *x, size_t n, double left) {
    static const double second[] = {0.90525 + 0.35 * 0.35, -0.395 - 0.35 * 0.26,
                                    0.7709 + 0.26 * 0.26};
    double sum[5] = {0}, square[5] = {0}, worst = 0;
    for (size_t i = 0; i < n; i++) {
        const double u = x[2 * i], v = x[2 * i + 1], f[5] = {u, v, u * u, u * v, v * v};
        for (int k = 0; k < 5; k++) {
            sum[k] += f[k];
            square[k] += f[k] * f[k];
        }
    }
    for (int k = 0; k < 5; k++) {
        const double truth = k < 2 ? mixture_mean[k] : second[k - 2];
        const double m = sum[k] / (double)n;
        const double error = sqrt((square[k] / (double)n - m * m) / (double)n);
        worst = fmax(worst, fabs(m - truth) / (5 * error + left));
    }
    return worst;
}

/* From the exact prior at T all solvers reach the data's law; from noise there, none does. */
static void test_law(void **state) {
    (void)state;
    static const char *const solvers[] = {
        "ddpm",  "ddim",         "ddim:eta=1",   "euler",
        "heun",  "ddim_gmm:K=2", "deis:order=3", "rhork:tableau=3kutta",
        "scire", "dpm",          "sde_dpm",      "unipc",
        "em"};
    static const double times[] = {0.4, 0.2};
    dfl_model *const model = mixture_model();
    double *const x = mem_array(2 * LAW_SAMPLES, sizeof *x);
    char options[PATH], spec[PATH];
    snprintf(options, sizeof options, "%s", option("prior", exact_prior(), ",batch=1024"));
    for (size_t i = 0; i < LENGTH(solvers); i++) {
        const double t = times[i % 2];
        snprintf(spec, sizeof spec, "solver=%s steps=60 t_start=%g t_end=0.0005", solvers[i], t);
        draw(model, spec, options, LAW_SAMPLES, x);
        const double good = off_law(x, LAW_SAMPLES, 0.012);
        if (good > 1) print_error("%s from T = %g: %.3g of what is allowed\n", solvers[i], t, good);
        assert_true(good < 1);
    }
    draw(model, "steps=60 t_start=0.4 t_end=0.0005", "seed=0,dtype=float64", LAW_SAMPLES, x);
    assert_true(off_law(x, LAW_SAMPLES, 0.012) > 2);
    free(x);
    dfl_model_free(model);
}

/* Data that are one Gaussian: the map is the flow itself, so a truncated run gives the samples of the
   full one, seed by seed. */
static void test_one_seed_one_sample(void **state) {
    (void)state;
    static const char gaussian[] =
        "{\"format\":\"driftless-mixture/1\",\"weights\":[1],\"means\":[[0.5,-1]],"
        "\"stds\":[[0.3,1.2]]}";
    static const double one[] = {1}, mean[] = {0.5, -1}, cov[] = {0.09, 0, 0, 1.44};
    const prior_text wish = {.kind = "gauss",
                             .k = 1,
                             .d = 2,
                             .weights = one,
                             .means = mean,
                             .covs = cov,
                             .state = {1, 0}};
    /* one-step methods: others begin with steps of low order, which cost more at T than at 1 */
    static const char *const specs[][2] = {
        {"solver=rhork:tableau=4rk steps=100 t_end=0.001",
         "solver=rhork:tableau=4rk steps=60 t_start=0.3 t_end=0.001"},
        {"solver=rhork:tableau=3kutta steps=200 t_end=0.001",
         "solver=rhork:tableau=3kutta steps=100 t_start=0.5 t_end=0.001"},
        {"solver=rhork:tableau=3vdh steps=200 t_end=0.001",
         "solver=heun steps=400 t_start=0.3 t_end=0.001"}};
    write_bytes(in_folder("gaussian.json"), gaussian);
    char path[PATH + 8];
    double full[40], cut[40];
    dfl_model *model;
    snprintf(path, sizeof path, "mixture:%s", in_folder("gaussian.json"));
    assert_ok(dfl_model_open(path, NULL, &model));
    const char *const files[2] = {
        option("prior", write_prior("one.npz", &wish), ",prior_map=flow"),
        option("data_moments", write_moments("one-moments.npz", 2, mean, cov), ",prior_map=flow")};
    for (size_t i = 0; i < LENGTH(specs); i++) {
        draw(model, specs[i][0], "dtype=float64", 20, full);
        draw(model, specs[i][1], files[i % 2], 20, cut);
        for (int k = 0; k < 40; k++) assert_near(full[k], cut[k], 2e-5);
    }
    dfl_model_free(model);
}

/* Classes that are one Gaussian each: the same by class, with a prior that knows the classes. The null
   class has the map of the Gaussian with the moments of all data. */
static void test_one_seed_one_sample_by_class(void **state) {
    (void)state;
    static const char gaussians[] =
        "{\"format\":\"driftless-mixture/1\",\"weights\":[0.25,0.75],\"means\":[[0.5,-1],[-2,1]],"
        "\"stds\":[[0.3,1.2],[0.8,0.1]],\"labels\":[0,1]}";
    static const double weights[] = {0.25, 0.75}, means[] = {0.5, -1, -2, 1},
                        covs[] = {0.09, 0, 0, 1.44, 0.64, 0, 0, 0.01}, all_mean[] = {-1.375, 0.5},
                        all_cov[] = {1.674375, -0.9375, -0.9375, 1.1175};
    static const int64_t labels[] = {0, 1}, classes[] = {1, 0, 0, 1, 1, 1}, null[] = {2, 2, 2};
    const prior_text wish = {.kind = "gauss",
                             .k = 2,
                             .d = 2,
                             .weights = weights,
                             .means = means,
                             .covs = covs,
                             .labels = labels,
                             .state = {1, 0}};
    static const char cut[] = "solver=rhork:tableau=4rk steps=60 t_start=0.3 t_end=0.001";
    const char *const by_class =
        option("prior", write_prior("by-class.npz", &wish), ",prior_map=flow");
    char path[PATH + 8];
    double whole[12], part[12];
    dfl_model *model;
    write_bytes(in_folder("gaussians.json"), gaussians);
    snprintf(path, sizeof path, "mixture:%s", in_folder("gaussians.json"));
    assert_ok(dfl_model_open(path, NULL, &model));
    draw_of(model, "solver=rhork:tableau=4rk steps=100 t_end=0.001", "dtype=float64", 6, classes,
            whole);
    draw_of(model, cut, by_class, 6, classes, part);
    for (int k = 0; k < 12; k++) assert_near(whole[k], part[k], 2e-5);
    draw_of(model, cut, by_class, 3, null, part);
    draw_of(
        model, cut,
        option("data_moments", write_moments("all.npz", 2, all_mean, all_cov), ",prior_map=flow"),
        3, null, whole);
    for (int k = 0; k < 6; k++) assert_near(whole[k], part[k], 1e-9);
    dfl_model_free(model);
}

typedef struct {
    size_t step, n;
    double state[64];
} watched;

static int watch(void *user, size_t step, size_t steps, double t, uint64_t first, size_t count,
                 const void *numbers) {
    watched *const w = user;
    (void)steps, (void)t;
    if (step == w->step) memcpy(w->state + first * w->n, numbers, count * w->n * sizeof *w->state);
    return 0;
}

/* From the state that a full run has at T, the plan that starts at T is its tail. */
static void test_tail(void **state) {
    (void)state;
    static const char *const solvers[] = {"ddim", "euler", "heun", "rhork:tableau=3kutta",
                                          "rhork:tableau=4rk"};
    dfl_model *const model = mixture_model();
    for (size_t i = 0; i < LENGTH(solvers); i++) {
        watched w = {.step = 3, .n = 2};
        double full[64], tail[64];
        char spec[PATH];
        dfl_plan *plan;
        dfl_run *run;
        snprintf(spec, sizeof spec, "solver=%s grid=list:times=[1,0.8,0.6,0.4,0.2,0.1,0.01]",
                 solvers[i]);
        if (dfl_plan_new(model, spec, &plan)) REFUTE("%s", dfl_last_message());
        assert_ok(dfl_run_new(plan, model, "dtype=float64", &run));
        dfl_run_observe(run, watch, &w);
        assert_ok(dfl_run_sample(run, 0, 32, NULL, NULL, full));
        dfl_run_free(run);
        dfl_plan_free(plan);
        snprintf(spec, sizeof spec, "solver=%s grid=list:times=[0.4,0.2,0.1,0.01]", solvers[i]);
        assert_ok(dfl_plan_new(model, spec, &plan));
        assert_ok(dfl_run_new(plan, model, "dtype=float64", &run));
        assert_ok(dfl_run_sample(run, 0, 32, NULL, w.state, tail));
        for (int k = 0; k < 64; k++) assert_near(tail[k], full[k], 1e-13);
        dfl_run_free(run);
        dfl_plan_free(plan);
    }
    dfl_model_free(model);
}

/* The first states of a run are the prior's own draws, whatever the batch and where a run begins. */
static void test_start_states(void **state) {
    (void)state;
    dfl_model *const model = mixture_model();
    const scalar_at at = vp_at(0.4);
    prior *clean, *there;
    const char *const path = exact_prior();
    dfl_plan *plan;
    dfl_ode *ode;
    double all[80], part[80];
    size_t nfe[40];
    assert_ok(prior_read(path, &clean));
    assert_ok(prior_at(clean, at.a, at.b, &there));
    draw(model, "steps=1 t_start=0.4", option("prior", path, ",batch=7"), 40, all);
    assert_ok(dfl_plan_new(model, "steps=1 t_start=0.4", &plan));
    for (size_t first = 0; first < 40; first += 13) {
        watched w = {.step = 0, .n = 2};
        dfl_run *run;
        const size_t n = first + 13 < 40 ? 13 : 40 - first;
        assert_ok(dfl_run_new(plan, model, option("prior", path, ",batch=64"), &run));
        assert_ok(dfl_run_sample(run, first, n, NULL, NULL, part));
        assert_memory_equal(part, all + 2 * first, n * 2 * sizeof *all);
        dfl_run_observe(run, watch, &w);
        assert_ok(dfl_run_sample(run, 0, 13, NULL, NULL, part));
        for (uint64_t i = 0; i < 13; i++) {
            double x[2];
            assert_ok(prior_draw(there, 0, i, x));
            assert_memory_equal(x, w.state + 2 * i, sizeof x);
        }
        dfl_run_free(run);
    }
    /* the adaptive solver begins there, too: a tight one and a fine plan end together */
    assert_ok(dfl_ode_new(model, "solver=ode45:rtol=1e-9,atol=1e-9 t_start=0.4 t_end=0.01",
                          option("prior", path, ",batch=5"), &ode));
    assert_ok(dfl_ode_sample(ode, 0, 40, NULL, NULL, part, nfe));
    draw(model, "solver=deis:order=3 steps=300 t_start=0.4 t_end=0.01", option("prior", path, ""),
         40, all);
    for (int k = 0; k < 80; k++) assert_near(all[k], part[k], 1e-4);
    dfl_ode_free(ode);
    dfl_plan_free(plan);
    prior_free(there);
    prior_free(clean);
    dfl_model_free(model);
}

/* Two classes far apart: a label picks its own components, the null class takes from all. */
static void test_labels(void **state) {
    (void)state;
    static const char json[] =
        "{\"format\":\"driftless-model/"
        "1\",\"sample\":{\"shape\":[2]},\"prediction_type\":\"epsilon\",\"process\":{\"type\":"
        "\"vp_linear\"},\"classes\":{\"count\":2,\"null\":2}}";
    static const double w[] = {0.25, 0.5, 0.25}, m[] = {-9, -9, 9, 9, -8, -9},
                        s[] = {1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1};
    static const int64_t labels[] = {0, 1, 0}, asked[] = {0, 1, 0, 1, 1, 0, 2, 2, 2, 2, 2, 2};
    const prior_text wish = {.kind = "full",
                             .k = 3,
                             .d = 2,
                             .weights = w,
                             .means = m,
                             .covs = s,
                             .labels = labels,
                             .state = {1, 0}};
    dfl_model *model;
    dfl_plan *plan;
    dfl_run *run;
    watched seen = {.step = 0, .n = 2};
    double out[24];
    const dfl_request *request;
    if (dfl_model_callback(json, NULL, NULL, &model)) REFUTE("%s", dfl_last_message());
    assert_ok(dfl_plan_new(model, "steps=1 t_start=0.2", &plan));
    if (dfl_run_new(plan, model, option("prior", write_prior("classes.npz", &wish), ""), &run))
        REFUTE("%s", dfl_last_message());
    dfl_run *refused;
    assert_int_equal(dfl_run_new(plan, model,
                                 option("prior", in_folder("classes.npz"), ",prior_map=flow"),
                                 &refused),
                     DFL_E_COMBINATION);
    assert_non_null(strstr(dfl_last_message(), "one Gaussian a class, and this prior has 3"));
    dfl_run_observe(run, watch, &seen);
    assert_ok(dfl_run_begin(run, 0, 12, asked, NULL, out));
    assert_ok(dfl_run_next(run, &request));
    int high = 0;
    for (int i = 0; i < 6; i++) assert_true((seen.state[2 * i] > 0) == (asked[i] == 1));
    for (int i = 6; i < 12; i++) high += seen.state[2 * i] > 0;
    assert_in_range(high, 1, 5);
    dfl_run_free(run);
    dfl_plan_free(plan);
    dfl_model_free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_law),    cmocka_unit_test(test_one_seed_one_sample),
        cmocka_unit_test(test_tail),   cmocka_unit_test(test_start_states),
        cmocka_unit_test(test_labels), cmocka_unit_test(test_one_seed_one_sample_by_class),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
