/* Starts below t = 1: the flow map and the mismatch against stored references, runs from auxiliary
   densities against the law they must reach, and everything that is to be refused. */
#include "support/gather.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "io/io.h"
#include "run/run.h"

enum { LAW_SAMPLES = 20000 };

static const char where[] = "mixture:" DFL_TEST_DATA "/mixture2d.json";

/* The mixture of that file, and a second one, of other classes and correlated. */
static const double weights[] = {0.5, 0.3, 0.2};
static const double means[] = {1.2, -0.4, -0.9, 0.8, 0.1, -1.5};
static const double covs[] = {0.0625, 0, 0, 0.16, 0.09, 0, 0, 0.04, 0.0225, 0, 0, 0.1225};
static const double mean_of_all[] = {0.35, -0.26};
static const double cov_of_all[] = {0.90525, -0.395, -0.395, 0.7709};

/* cmocka's compares floats. */
static void assert_near(double x, double y, double within) {
    if (!(fabs(x - y) <= within)) REFUTE("%.17g is not %.17g within %g", x, y, within);
}

/* ---- files ----------------------------------------------------------------------------------- */

typedef struct {
    const char *kind;
    size_t k, d;
    const double *weights, *means, *covs;
    const int64_t *labels;
    double state[2];
    const double *gate; /* one line, or NULL */
} prior_text;

static array reals(int rank, size_t n, size_t m, size_t l, const double *x) {
    return (array){ARRAY_F64, rank, {n, m, l}, (void *)x};
}

static const char *write_prior(const char *name, const prior_text *p) {
    static const char format[] = "driftless-prior/1";
    const char *const path = in_folder(name);
    named_array a[8] = {
        {"format", {ARRAY_U8, 1, {sizeof format - 1}, (void *)format}},
        {"kind", {ARRAY_U8, 1, {strlen(p->kind)}, (void *)p->kind}},
        {"state", reals(1, 2, 0, 0, p->state)},
        {"weights", reals(1, p->k, 0, 0, p->weights)},
        {"means", reals(2, p->k, p->d, 0, p->means)},
        {"covariances", reals(3, p->k, p->d, p->d, p->covs)},
    };
    int n = 6;
    if (p->labels) a[n++] = (named_array){"labels", {ARRAY_I64, 1, {p->k}, (void *)p->labels}};
    if (p->gate) a[n++] = (named_array){"gate", reals(2, 1, 4, 0, p->gate)};
    assert_ok(npz_write(path, a, n));
    return path;
}

static const char *exact_prior(void) {
    return write_prior("mixture.npz", &(prior_text){.kind = "full",
                                                    .k = 3,
                                                    .d = 2,
                                                    .weights = weights,
                                                    .means = means,
                                                    .covs = covs,
                                                    .state = {1, 0}});
}

static const char *gauss_prior(void) {
    static const double one[] = {1};
    return write_prior("gauss.npz", &(prior_text){.kind = "gauss",
                                                  .k = 1,
                                                  .d = 2,
                                                  .weights = one,
                                                  .means = mean_of_all,
                                                  .covs = cov_of_all,
                                                  .state = {1, 0}});
}

static const char *write_moments(const char *name, size_t d, const double *mu,
                                 const double *sigma) {
    const char *const path = in_folder(name);
    const named_array a[] = {{"mu", reals(1, d, 0, 0, mu)}, {"sigma", reals(2, d, d, 0, sigma)}};
    assert_ok(npz_write(path, a, 2));
    return path;
}

/* "seed=0,KEY='PATH'MORE" */
static const char *option(const char *key, const char *path, const char *more) {
    static char texts[4][PATH + 128];
    static int next;
    char *const t = texts[next++ % 4];
    snprintf(t, sizeof texts[0], "seed=0,dtype=float64,%s='%s'%s", key, path, more);
    return t;
}

/* ---- closed forms against references --------------------------------------------------------- */

static json_t *references(json_in *in) {
    json_t *root;
    assert_ok(json_read(DFL_TEST_DATA "/start-times.json", 1 << 20, &root, in));
    return root;
}

static scalar_at vp_at(double t) {
    process *p;
    assert_ok(process_new("vp_linear", &p));
    const scalar_at at = process_at(p, t);
    process_free(p);
    return at;
}

static double entry(const json_t *lines, size_t i, size_t j) {
    return json_number_value(json_array_get(json_array_get(lines, i), j));
}

/* RK4 of the flow agrees with these to 1e-14; a sign, a transpose or a missing a1 do not. */
static void test_flow_map(void **state) {
    (void)state;
    json_in in, map;
    json_t *const root = references(&in);
    assert_ok(json_get_object(&in, "flow_map", &map));
    const json_t *const from = json_object_get(map.object, "x_1");
    const json_t *const lines = json_object_get(map.object, "rows");
    const normal_law data = {mean_of_all, cov_of_all};
    const scalar_at one = vp_at(1);
    assert_int_equal(json_array_size(lines), 4);
    for (size_t r = 0; r < json_array_size(lines); r++) {
        const json_t *const line = json_array_get(lines, r);
        const scalar_at to = vp_at(json_number_value(json_object_get(line, "T")));
        const flow_ends ends = {one.a, one.b, to.a, to.b};
        double shift[2], matrix[4];
        assert_ok(start_flow_map(2, &data, &ends, shift, matrix));
        for (size_t i = 0; i < json_array_size(from); i++)
            for (size_t k = 0; k < 2; k++) {
                const double x = shift[k] + matrix[2 * k] * entry(from, i, 0) +
                                 matrix[2 * k + 1] * entry(from, i, 1);
                assert_near(x, entry(json_object_get(line, "x_T"), i, k), 1e-10);
            }
    }
    json_decref(root);
}

/* Quadrature of the true divergence = that of the moments' Gaussian + the Gaussian's to noise. */
static void test_mismatch_references(void **state) {
    (void)state;
    json_in in;
    json_t *const root = references(&in);
    const json_t *const lines = json_object_get(root, "mismatch");
    const double half = (cov_of_all[0] + cov_of_all[3]) / 2;
    const double root_of = hypot((cov_of_all[0] - cov_of_all[3]) / 2, cov_of_all[1]);
    const double lam[] = {half - root_of, half + root_of};
    const data_spread data = {.d = 2,
                              .mean_squares =
                                  mean_of_all[0] * mean_of_all[0] + mean_of_all[1] * mean_of_all[1],
                              .lam = lam};
    assert_true(json_array_size(lines) >= 7);
    for (size_t r = 0; r < json_array_size(lines); r++) {
        const json_t *const line = json_array_get(lines, r);
        const scalar_at at = vp_at(json_number_value(json_object_get(line, "T")));
        const mismatch m = mismatch_noise(&data, at.a, at.b, 1);
        const double truth = json_number_value(json_object_get(line, "kl_std"));
        const double rest = json_number_value(json_object_get(line, "kl_moment_gauss"));
        assert_near(m.kl_low + rest, truth, 1e-9);
        assert_near(m.kl_high, json_number_value(json_object_get(line, "kl_upper_conditional")),
                    1e-10);
        assert_near(m.w2_low, json_number_value(json_object_get(line, "w2_lower_gelbrich")), 1e-10);
        assert_near(m.w2_high, json_number_value(json_object_get(line, "w2_upper_coupling")),
                    1e-10);
    }
    json_decref(root);
}

/* Two dimensions have closed forms without eigenvalues; order and scale matter. */
static void test_mismatch_normals(void **state) {
    (void)state;
    static const double m[2][2] = {{0.3, -0.2}, {-0.5, 1}};
    static const double s[2][4] = {{1.2, 0.5, 0.5, 0.7}, {0.4, -0.1, -0.1, 2}};
    for (int i = 0; i < 2; i++) {
        const double *const p = s[i], *const q = s[1 - i];
        const double dp = p[0] * p[3] - p[1] * p[1], dq = q[0] * q[3] - q[1] * q[1];
        const double x = m[i][0] - m[1 - i][0], y = m[i][1] - m[1 - i][1];
        const double trace = (q[3] * p[0] - 2 * q[1] * p[1] + q[0] * p[3]) / dq;
        const double off = (q[3] * x * x - 2 * q[1] * x * y + q[0] * y * y) / dq;
        const double product = p[0] * q[0] + 2 * p[1] * q[1] + p[3] * q[3];
        const double roots = sqrt(product + 2 * sqrt(dp * dq));
        double kl, w2;
        const normal_law a = {m[i], p}, b = {m[1 - i], q};
        assert_ok(mismatch_normals(2, &a, &b, &kl, &w2));
        assert_near(kl, (trace - 2 - log(dp / dq) + off) / 2, 1e-12);
        assert_near(w2, sqrt(x * x + y * y + p[0] + p[3] + q[0] + q[3] - 2 * roots), 1e-12);
    }
}

static void test_mismatch_sampled(void **state) {
    (void)state;
    json_in in;
    json_t *const root = references(&in);
    const json_t *const lines = json_object_get(root, "mismatch");
    prior *clean, *there;
    assert_ok(prior_read(exact_prior(), &clean));
    for (size_t r = 0; r < json_array_size(lines); r++) {
        const json_t *const line = json_array_get(lines, r);
        const scalar_at at = vp_at(json_number_value(json_object_get(line, "T")));
        double kl, error;
        assert_ok(prior_at(clean, at.a, at.b, &there));
        assert_ok(mismatch_sampled(there, 1, 20000, &kl, &error));
        assert_true(fabs(kl - json_number_value(json_object_get(line, "kl_std"))) < 4 * error);
        assert_true(error < 0.05 * kl); /* else the line above says nothing */
        prior_free(there);
    }
    prior_free(clean);
    json_decref(root);
}

/* ---- runs ------------------------------------------------------------------------------------ */

static dfl_model *the_model(void) {
    dfl_model *model;
    assert_ok(dfl_model_open(where, NULL, &model));
    return model;
}

static void draw(dfl_model *model, const char *spec, const char *options, size_t n, double *x) {
    dfl_plan *plan;
    dfl_run *run;
    if (dfl_plan_new(model, spec, &plan) || dfl_run_new(plan, model, options, &run) ||
        dfl_run_sample(run, 0, n, NULL, NULL, x))
        REFUTE("%s %s: %s", spec, options, dfl_last_message());
    dfl_run_free(run);
    dfl_plan_free(plan);
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
        const double truth = k < 2 ? mean_of_all[k] : second[k - 2];
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
    dfl_model *const model = the_model();
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
    dfl_model *const model = the_model();
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
    dfl_model *const model = the_model();
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
    dfl_model *const model = the_model();
    const char *const moments = write_moments("moments.npz", 2, mean_of_all, cov_of_all);
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
                              .weights = weights,
                              .means = means,
                              .covs = covs,
                              .state = {1, 0},
                              .gate = line};
    const char *const file = write_prior("gated.npz", &gated);
    assert_near(told(model, at, option("prior", file, ""), "gate_gain", NULL), -1, 0);
    assert_true(
        isnan(told(model, "steps=2 t_start=0.3", option("prior", file, ""), "gate_gain", NULL)));
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
    dfl_model *const model = the_model();
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
                     .means = mean_of_all,
                     .covs = cov_of_all,
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
    refuse(model, at, option("data_moments", write_moments("m.npz", 2, mean_of_all, skew), ""),
           DFL_E_RANGE, "not symmetric");
    refuse(model, at, option("data_moments", write_moments("m.npz", 2, nan_mean, cov_of_all), ""),
           DFL_E_RANGE, "cannot be");
    refuse(model, at, option("data_moments", write_moments("m.npz", 3, three, eye), ""),
           DFL_E_COMBINATION, "mu needs 2 numbers");
    refuse(model, at,
           option("data_moments", write_moments("m.npz", 2, mean_of_all, low), ",prior_map=flow"),
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
            option("data_moments", write_moments("moments.npz", 2, mean_of_all, cov_of_all), "");
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
        cmocka_unit_test(test_flow_map),
        cmocka_unit_test(test_mismatch_references),
        cmocka_unit_test(test_mismatch_normals),
        cmocka_unit_test(test_mismatch_sampled),
        cmocka_unit_test(test_law),
        cmocka_unit_test(test_one_seed_one_sample),
        cmocka_unit_test(test_tail),
        cmocka_unit_test(test_start_states),
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_told),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_refusals_of_models),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
