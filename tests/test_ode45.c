/* Adaptive integration: against stored solutions, its tolerance, and that what happens to a sample
   depends on nothing but the sample. */
#include "check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "model/mixture.h"

#define OK(call)                                                                                   \
    do {                                                                                           \
        if ((call) != DFL_OK) REFUTE("%s: %s", #call, dfl_last_message());                         \
    } while (0)

enum { DIM = 2, MANY = 13 };

static const char public2d[] = "\"format\": \"driftless-mixture/1\", \"weights\": [0.5, 0.3, 0.2], "
                               "\"means\": [[1.2, -0.4], [-0.9, 0.8], [0.1, -1.5]], "
                               "\"stds\": [[0.25, 0.4], [0.3, 0.2], [0.15, 0.35]]";

/* The mixture with a card of this process (option text or object) and prediction type. */
static dfl_model *mixture_of(const char *process, const char *predicts, const char *more) {
    text json = {0};
    dfl_model *m;
    text_add(&json,
             "{%s%s, \"card\": {\"format\": \"driftless-model/1\", \"process\": %s, "
             "\"prediction_type\": \"%s\", \"sample\": {\"shape\": [2]}, \"t_min\": 0.001, "
             "\"t_max\": 1.0}}",
             public2d, more, process, predicts);
    OK(mixture_parse("test", json.data, json.len, &m));
    text_free(&json);
    return m;
}

typedef struct {
    double x[MANY][DIM];
    size_t nfe[MANY];
} drawn;

static drawn draw(dfl_model *m, const char *spec, const char *options, size_t first, size_t count,
                  const double *start) {
    dfl_ode *ode;
    drawn out = {0};
    OK(dfl_ode_new(m, spec, options, &ode));
    OK(dfl_ode_sample(ode, first, count, NULL, start, out.x, out.nfe));
    dfl_ode_free(ode);
    return out;
}

/* ---- against stored solutions ---------------------------------------------------------------- */

static json_t *load(void) {
    json_error_t error;
    json_t *root = json_load_file(DFL_TEST_DATA "/ode45.json", 0, &error);
    if (!root) REFUTE("ode45.json: %s", error.text);
    return root;
}

static size_t numbers(const json_t *list, double *out) {
    size_t n = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *inner = json_array_get(list, i);
        for (size_t d = 0; d < json_array_size(inner); d++)
            out[n++] = json_number_value(json_array_get(inner, d));
    }
    return n;
}

static double farthest(const drawn *got, const json_t *wanted) {
    double there[64], most = 0;
    const size_t n = numbers(wanted, there);
    for (size_t i = 0; i < n; i++) most = fmax(most, fabs(got->x[i / DIM][i % DIM] - there[i]));
    return most;
}

static drawn solve(const json_t *one, double tolerance, bool land) {
    double start[64];
    char spec[160];
    char *process = json_dumps(json_object_get(one, "process"), 0);
    dfl_model *m = mixture_of(process, "epsilon", "");
    const size_t count = json_array_size(json_object_get(one, "start"));
    numbers(json_object_get(one, "start"), start);
    snprintf(spec, sizeof spec, "solver=ode45:rtol=%g,atol=%g t_end=%.17g denoise=%d", tolerance,
             tolerance, json_number_value(json_object_get(one, "t_end")), land);
    const drawn got = draw(m, spec, "dtype=float64", 0, count, start);
    dfl_model_free(m);
    free(process);
    return got;
}

static void meets_the_truth(void **state) {
    (void)state;
    json_t *root = load();
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(root, "cases"), i, one) {
        const char *source = json_string_value(json_object_get(one, "source"));
        const drawn got = solve(one, 1e-11, false);
        const double off = farthest(&got, json_object_get(one, "end"));
        if (!(off < 1e-9)) REFUTE("%s: off by %g", source, off);
        const json_t *landed = json_object_get(one, "landed");
        if (!landed) continue;
        const drawn low = solve(one, 1e-11, true);
        if (!(farthest(&low, landed) < 1e-9))
            REFUTE("%s: landing is off by %g", source, farthest(&low, landed));
        assert_int_equal(low.nfe[0], got.nfe[0]); /* the last slope is known already */
    }
    json_decref(root);
}

/* The authors' adaptive integration (SciPy's RK45, one step size for the batch): both are near the
   truth by about the same tolerance, states x at the last time and after the last step. */
static void meets_the_authors(void **state) {
    (void)state;
    json_error_t error;
    json_t *root = json_load_file(DFL_TEST_DATA "/psld-kernel.json", 0, &error), *one;
    size_t i, done = 0;
    json_array_foreach(json_object_get(root, "tables"), i, one) {
        if (strcmp(json_string_value(json_object_get(one, "method")), "bb_ode_RK45") != 0) continue;
        const json_t *p = json_object_get(one, "process");
        double start[64], there[64];
        char process[96];
        snprintf(process, sizeof process, "\"psld:Gamma=%.17g,nu=%.17g\"",
                 json_number_value(json_object_get(p, "Gamma")),
                 json_number_value(json_object_get(p, "nu")));
        dfl_model *m = mixture_of(process, "epsilon", "");
        const size_t count = numbers(json_object_get(one, "z_T"), start) / (2 * DIM);
        const double tolerance =
            json_number_value(json_object_get(json_object_get(one, "params"), "rtol"));
        const double near = 10 * json_number_value(json_object_get(one, "rms_err_vs_truth"));
        for (int land = 0; land < 2; land++) {
            char spec[96];
            snprintf(spec, sizeof spec, "solver=ode45:rtol=%g,atol=%g denoise=%d", tolerance,
                     tolerance, land);
            const drawn got = draw(m, spec, "dtype=float64", 0, count, start);
            numbers(json_object_get(one, land ? "z_0" : "z_eps"), there);
            for (size_t k = 0; k < count * DIM; k++) {
                const double off =
                    fabs(got.x[k / DIM][k % DIM] - there[k / DIM * 2 * DIM + k % DIM]);
                if (!(off < near)) REFUTE("rtol %g, sample %zu: %g off", tolerance, k / DIM, off);
            }
        }
        dfl_model_free(m);
        done++;
    }
    assert_int_equal(done, 6);
    json_decref(root);
}

static void error_falls_with_tolerance(void **state) {
    (void)state;
    json_t *root = load();
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(root, "cases"), i, one) {
        double before = INFINITY;
        size_t nfe_before = 0;
        for (double tolerance = 1e-3; tolerance > 1e-10; tolerance /= 100) {
            const drawn got = solve(one, tolerance, false);
            const double off = farthest(&got, json_object_get(one, "end"));
            if (!(off < before / 8) || !(off < 20 * tolerance))
                REFUTE("case %zu, tolerance %g: off by %g, before by %g", i, tolerance, off,
                       before);
            assert_true(got.nfe[0] > nfe_before);
            nfe_before = got.nfe[0];
            before = off;
        }
    }
    json_decref(root);
}

/* x_0 as a perfect network sees it at the end of the way. */
static void lands_on_clean_data(void **state) {
    (void)state;
    dfl_model *m = mixture_of("\"vp_linear\"", "v_prediction", "");
    const drawn end = draw(m, "t_end=0.05", "dtype=float64", 0, MANY, NULL);
    const drawn low = draw(m, "t_end=0.05 denoise=1", "dtype=float64", 0, MANY, NULL);
    const double L = 0.05 * (0.1 + 0.05 * 19.9 / 2); /* -log a^2 */
    double x0[MANY][DIM];
    const dfl_request rq = {.count = MANY,
                            .input_dim = DIM,
                            .output_dim = DIM,
                            .dtype = DFL_FLOAT64,
                            .input = end.x,
                            .output = x0,
                            .at = {{exp(-L / 2)}, {sqrt(-expm1(-L))}},
                            .gives = {{1}, {0}},
                            .components = 1,
                            .output_components = 1};
    assert_int_equal(m->eval(m, &rq), 0);
    for (size_t i = 0; i < MANY; i++) {
        for (int d = 0; d < DIM; d++) assert_true(fabs(x0[i][d] - low.x[i][d]) < 1e-12);
        assert_int_equal(end.nfe[i], low.nfe[i]);
    }
    dfl_model_free(m);
}

static void takes_every_prediction(void **state) {
    (void)state;
    static const char *const kinds[] = {"epsilon", "sample", "v_prediction", "score",
                                        "flow_prediction"};
    static const char spec[] = "solver=ode45:rtol=1e-10,atol=1e-10";
    for (int pair = 0; pair < 2; pair++) {
        drawn first = {0};
        for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
            if (pair && strcmp(kinds[k], "epsilon") != 0 && strcmp(kinds[k], "score") != 0)
                continue;
            dfl_model *m = mixture_of(pair ? "\"psld\"" : "\"vp_linear\"", kinds[k], "");
            const drawn got = draw(m, spec, "dtype=float64", 0, MANY, NULL);
            dfl_model_free(m);
            if (k == 0) first = got;
            for (size_t i = 0; i < MANY; i++)
                for (int d = 0; d < DIM; d++)
                    if (!(fabs(got.x[i][d] - first.x[i][d]) < 1e-8))
                        REFUTE("%s: sample %zu is off", kinds[k], i);
        }
    }
}

/* ---- independence ---------------------------------------------------------------------------- */

static void does_not_see_its_neighbours(void **state) {
    (void)state;
    static const char *const processes[] = {"\"vp_linear\"", "\"psld\"", "\"cld\""};
    static const char *const batches[] = {"1", "3", "5", "64"};
    for (size_t p = 0; p < 3; p++) {
        dfl_model *m = mixture_of(processes[p], "epsilon", "");
        const drawn whole = draw(m, "", "dtype=float64,seed=7", 0, MANY, NULL);
        assert_true(whole.nfe[0] != whole.nfe[1] || whole.nfe[1] != whole.nfe[2] || p > 0);
        for (size_t b = 0; b < 4; b++) {
            char options[64];
            snprintf(options, sizeof options, "dtype=float64,seed=7,batch=%s", batches[b]);
            const drawn part = draw(m, "", options, 4, MANY - 4, NULL);
            assert_memory_equal(part.x, whole.x[4], (MANY - 4) * sizeof whole.x[0]);
            assert_memory_equal(part.nfe, &whole.nfe[4], (MANY - 4) * sizeof whole.nfe[0]);
        }
        dfl_model_free(m);
    }
}

static int keep_start(void *user, size_t step, size_t steps, double t, uint64_t first, size_t count,
                      const void *values) {
    (void)steps, (void)t, (void)first;
    if (step == 0) memcpy(user, values, count * 2 * DIM * sizeof(double));
    return 0;
}

/* One seed, one start state, for plans and for adaptive steps. */
static void starts_where_runs_start(void **state) {
    (void)state;
    dfl_model *m = mixture_of("\"psld\"", "epsilon", "");
    double start[MANY][2 * DIM], ignored[MANY][DIM];
    dfl_plan *plan;
    dfl_run *run;
    OK(dfl_plan_new(m, "solver=euler steps=1", &plan));
    OK(dfl_run_new(plan, m, "seed=5,dtype=float64", &run));
    dfl_run_observe(run, keep_start, start);
    OK(dfl_run_sample(run, 2, MANY, NULL, NULL, ignored));
    const drawn by_seed = draw(m, "", "seed=5,dtype=float64", 2, MANY, NULL);
    const drawn given = draw(m, "", "seed=6,dtype=float64", 2, MANY, &start[0][0]);
    assert_memory_equal(&by_seed, &given, sizeof given);
    dfl_run_free(run);
    dfl_plan_free(plan);
    dfl_model_free(m);
}

static void float32_is_close(void **state) {
    (void)state;
    dfl_model *m = mixture_of("\"vp_linear\"", "epsilon", "");
    dfl_ode *ode;
    float x[MANY][DIM];
    const drawn exact = draw(m, "", "dtype=float64", 0, MANY, NULL);
    OK(dfl_ode_new(m, "", "dtype=float32", &ode));
    OK(dfl_ode_sample(ode, 0, MANY, NULL, NULL, x, NULL));
    for (size_t i = 0; i < MANY; i++)
        for (int d = 0; d < DIM; d++) assert_true(fabs((double)x[i][d] - exact.x[i][d]) < 1e-3);
    dfl_ode_free(ode);
    dfl_model_free(m);
}

/* ---- what the model is asked ----------------------------------------------------------------- */

typedef struct {
    dfl_model *inner;
    size_t samples, requests, mixed, apart; /* apart: requests with times that differ */
    uint64_t poison;                        /* answers this sample with NaN */
} witness;

static int answer(void *user, const dfl_request *rq) {
    witness *w = user;
    const size_t n = dfl_request_count(rq);
    bool apart = false;
    w->samples += n;
    w->requests++;
    w->mixed += (size_t)dfl_request_is_mixed(rq);
    for (size_t i = 0; i < n; i++) {
        apart = apart || dfl_request_time_of(rq, i) != dfl_request_time_of(rq, 0);
        if (!dfl_request_is_mixed(rq))
            assert_true(dfl_request_time_of(rq, i) == dfl_request_time(rq) &&
                        dfl_request_a_of(rq, i) == dfl_request_a(rq) &&
                        dfl_request_b_of(rq, i) == dfl_request_b(rq) &&
                        dfl_request_network_time_of(rq, i) == dfl_request_network_time(rq) &&
                        dfl_request_sample(rq, i) == dfl_request_sample(rq, 0) + i);
    }
    w->apart += apart;
    const int code = w->inner->eval(w->inner, rq);
    for (size_t i = 0; i < n && code == 0; i++)
        if (dfl_request_sample(rq, i) == w->poison && dfl_request_time_of(rq, i) < 0.5)
            ((double *)dfl_request_output(rq))[i * DIM] = NAN;
    return code;
}

static dfl_model *watched(witness *w) {
    static const char json[] = "{\"format\": \"driftless-model/1\", \"process\": \"vp_linear\", "
                               "\"prediction_type\": \"epsilon\", \"sample\": {\"shape\": [2]}, "
                               "\"t_min\": 0.001, \"t_max\": 1.0}";
    dfl_model *m;
    *w = (witness){.inner = mixture_of("\"vp_linear\"", "epsilon", ""), .poison = UINT64_MAX};
    OK(dfl_model_callback(json, answer, w, &m));
    return m;
}

static void counts_are_honest(void **state) {
    (void)state;
    for (int mixed = 0; mixed < 2; mixed++) {
        witness w;
        dfl_model *m = watched(&w);
        size_t sum = 0;
        OK(dfl_model_mixed_times(m, mixed));
        const drawn got = draw(m, "", "dtype=float64", 0, MANY, NULL);
        const drawn direct = draw(w.inner, "", "dtype=float64", 0, MANY, NULL);
        for (size_t i = 0; i < MANY; i++) sum += got.nfe[i];
        assert_int_equal(w.samples, sum);
        assert_memory_equal(&got, &direct, sizeof got);
        assert_int_equal(w.apart > 0, mixed);
        assert_int_equal(w.mixed, mixed ? w.requests : 0);
        assert_true(mixed ? w.requests < sum / 5 : w.requests > sum / 2);
        dfl_model_free(m);
        dfl_model_free(w.inner);
    }
    dfl_model *m = mixture_of("\"vp_linear\"", "epsilon", "");
    assert_int_equal(dfl_model_mixed_times(m, 1), DFL_E_COMBINATION);
    dfl_model_free(m);
}

static void guidance_and_classes(void **state) {
    (void)state;
    static const char more[] = ", \"labels\": [0, 1, 1]";
    static const char *const scales[] = {"1", "2.5"};
    drawn got[2];
    const drawn plain = {0};
    for (int g = 0; g < 2; g++) {
        dfl_model *m = mixture_of("\"vp_linear\"", "epsilon", more), *guided;
        drawn one = draw(m, "", "dtype=float64", 0, MANY, NULL);
        if (m->card.null_class < 0) { /* guidance needs one */
            dfl_model_free(m);
            return;
        }
        OK(dfl_model_guide(m, atof(scales[g]), &guided));
        got[g] = draw(guided, "", "dtype=float64", 0, MANY, NULL);
        if (g == 0) assert_memory_equal(&one, &got[0], sizeof one);
        dfl_model_free(guided);
    }
    assert_memory_not_equal(&got[0], &got[1], sizeof plain);
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void expect_new(dfl_model *m, const char *spec, dfl_status status, const char *words) {
    dfl_ode *ode;
    const dfl_status got = dfl_ode_new(m, spec, NULL, &ode);
    if (got != status || !strstr(dfl_last_message(), words) || ode)
        REFUTE("'%s': %d, %s", spec, got, dfl_last_message());
}

static void refuses(void **state) {
    (void)state;
    dfl_model *m = mixture_of("\"vp_linear\"", "epsilon", "");
    dfl_ode *ode;
    double x[MANY][DIM];
    expect_new(m, "steps=10", DFL_E_KEY, "steps");
    expect_new(m, "solver=heun", DFL_E_KEY, "heun");
    expect_new(m, "solver=ode45:rtol=0", DFL_E_RANGE, "rtol");
    expect_new(m, "t_end=0", DFL_E_RANGE, "t_end");
    expect_new(m, "t_start=0.2 t_end=0.3", DFL_E_RANGE, "t_start");
    OK(dfl_ode_new(m, "solver=ode45:max_nfe=20", "dtype=float64", &ode));
    assert_int_equal(dfl_ode_sample(ode, 0, MANY, NULL, NULL, x, NULL), DFL_E_RANGE);
    assert_non_null(strstr(dfl_last_message(), "max_nfe=20"));
    const int64_t labels[MANY] = {0};
    assert_int_equal(dfl_ode_sample(ode, 0, MANY, labels, NULL, x, NULL), DFL_E_COMBINATION);
    assert_int_equal(dfl_ode_sample(ode, UINT64_MAX, MANY, NULL, NULL, x, NULL), DFL_E_RANGE);
    dfl_ode_free(ode);
    dfl_model_free(m);
}

static void names_what_is_not_finite(void **state) {
    (void)state;
    witness w;
    dfl_model *m = watched(&w);
    dfl_ode *ode;
    double x[MANY][DIM];
    w.poison = 103;
    OK(dfl_ode_new(m, "", "dtype=float64", &ode));
    assert_int_equal(dfl_ode_sample(ode, 100, MANY, NULL, NULL, x, NULL), DFL_E_NONFINITE);
    assert_non_null(strstr(dfl_last_message(), "sample 103"));
    assert_non_null(strstr(dfl_last_message(), "t = 0.4"));
    dfl_ode_free(ode);
    dfl_model_free(m);
    dfl_model_free(w.inner);
}

typedef struct {
    dfl_ode *ode;
    double done[MANY];
    size_t arrived, steps, cancel_at, fail_at;
} progress;

static int follow(void *user, uint64_t sample, double t, double done, size_t nfe,
                  const double *values) {
    progress *p = user;
    assert_true(done > p->done[sample] && done <= 1 && t < 1 && nfe >= 8);
    assert_true(isfinite(values[0]) && isfinite(values[1]));
    assert_int_equal(done == 1, t == 0.001);
    p->done[sample] = done;
    p->arrived += done == 1;
    p->steps++;
    if (p->steps == p->cancel_at) dfl_ode_cancel(p->ode);
    return p->steps == p->fail_at ? 77 : 0;
}

static void can_be_followed_and_stopped(void **state) {
    (void)state;
    dfl_model *m = mixture_of("\"vp_linear\"", "epsilon", "");
    progress p = {0};
    double x[MANY][DIM];
    OK(dfl_ode_new(m, "", "dtype=float64,batch=4", &p.ode));
    dfl_ode_observe(p.ode, follow, &p);
    OK(dfl_ode_sample(p.ode, 0, MANY, NULL, NULL, x, NULL));
    assert_int_equal(p.arrived, MANY);
    p = (progress){.ode = p.ode, .cancel_at = 3};
    assert_int_equal(dfl_ode_sample(p.ode, 0, MANY, NULL, NULL, x, NULL), DFL_E_STOPPED);
    p = (progress){.ode = p.ode, .fail_at = 4};
    assert_int_equal(dfl_ode_sample(p.ode, 0, MANY, NULL, NULL, x, NULL), 77);
    dfl_ode_free(p.ode);
    dfl_model_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(meets_the_truth),
        cmocka_unit_test(meets_the_authors),
        cmocka_unit_test(error_falls_with_tolerance),
        cmocka_unit_test(lands_on_clean_data),
        cmocka_unit_test(takes_every_prediction),
        cmocka_unit_test(does_not_see_its_neighbours),
        cmocka_unit_test(starts_where_runs_start),
        cmocka_unit_test(float32_is_close),
        cmocka_unit_test(counts_are_honest),
        cmocka_unit_test(guidance_and_classes),
        cmocka_unit_test(refuses),
        cmocka_unit_test(names_what_is_not_finite),
        cmocka_unit_test(can_be_followed_and_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
