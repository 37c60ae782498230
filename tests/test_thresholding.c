/* Dynamic thresholding (Saharia et al., arXiv 2205.11487): every prediction of x_0 is limited, and
   one of noise becomes that which goes with the limited x_0. Whole runs are compared with loops
   written here, which know nothing of plans; what the executor's LIMIT row computes is compared,
   too. */
#include "support/hand.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS = 6, COUNT = 5 };

static const double ratio = 0.6, least = 0.4; /* both branches of max() occur */

static int by_size(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* clamp(x, -s, s)/s with s = max(floor, the ratio-quantile of |x|), between order statistics. */
static void limit(double *x) {
    double sorted[DIM];
    for (size_t d = 0; d < DIM; d++) sorted[d] = fabs(x[d]);
    qsort(sorted, DIM, sizeof(double), by_size);
    const double position = ratio * (DIM - 1);
    const size_t at = (size_t)position;
    const double above = at + 1 < DIM ? sorted[at + 1] - sorted[at] : 0;
    const double s = fmax(least, sorted[at] + (position - (double)at) * above);
    for (size_t d = 0; d < DIM; d++) x[d] = fmin(fmax(x[d], -s), s) / s;
}

/* ---- the network and the schedule, by hand --------------------------------------------------- */

static void level(double t, double *a, double *b) {
    const double L = 0.1 * t + (20 - 0.1) * t * t / 2;
    *a = exp(-L / 2);
    *b = sqrt(-expm1(-L));
}

/* What the callback says of every state, so that the loops need no mixture: tanh keeps it away from
   linear, t makes it a function of time. */
static void epsilon(const double *x, double t, double *out) {
    for (size_t d = 0; d < DIM; d++) out[d] = 0.8 * tanh(x[d] + (double)d) + 0.1 * t * x[d];
}

static int answer(void *user, const dfl_request *request) {
    (void)user;
    const double *x = dfl_request_input(request);
    double *y = dfl_request_output(request);
    for (size_t i = 0; i < dfl_request_count(request); i++)
        epsilon(x + i * DIM, dfl_request_time(request), y + i * DIM);
    return 0;
}

static dfl_model *callback_model(void) {
    dfl_model *model = NULL;
    assert_ok(dfl_model_callback("{\"format\":\"driftless-model/1\",\"process\":\"vp_linear\","
                                 "\"prediction_type\":\"epsilon\",\"sample\":{\"shape\":[2]}}",
                                 answer, NULL, &model));
    return model;
}

/* Limited prediction of x_0 at (x, t). */
static void clean(const double *x, double t, double *out) {
    double a, b;
    level(t, &a, &b);
    epsilon(x, t, out);
    for (size_t d = 0; d < DIM; d++) out[d] = (x[d] - b * out[d]) / a;
    limit(out);
}

static double time_of(int i) {
    const double first = 1, last = sqrt(1e-3), root = first + (last - first) * i / STEPS;
    return i == 0 ? 1 : i == STEPS ? 1e-3 : root * root;
}

typedef struct {
    double ratio, C, z; /* x' = ratio x + C ((e^z - 1) m0 + ...), data form */
} step;

static double half_log_snr(double t) {
    double a, b;
    level(t, &a, &b);
    return log(a / b);
}

static step between(double t, double s) {
    double a, b, to_a, to_b;
    level(t, &a, &b);
    level(s, &to_a, &to_b);
    return (step){to_b / b, -to_a, half_log_snr(t) - half_log_snr(s)};
}

/* ---- solvers, by hand ------------------------------------------------------------------------ */

/* DPM-Solver++ 2M, midpoint; lower order at the end, as below 10 steps. */
static void dpm_2m(double *x) {
    double m[2][DIM] = {{0}};
    for (int j = 1; j <= STEPS; j++) {
        const step e = between(time_of(j - 1), time_of(j));
        const bool second = j > 1 && j < STEPS;
        memcpy(m[1], m[0], sizeof m[0]);
        clean(x, time_of(j - 1), m[0]);
        const double r =
            second ? (half_log_snr(time_of(j - 1)) - half_log_snr(time_of(j - 2))) / -e.z : 1;
        for (size_t d = 0; d < DIM; d++) {
            const double bend = second ? (m[0][d] - m[1][d]) / (2 * r) : 0;
            x[d] = e.ratio * x[d] + e.C * expm1(e.z) * (m[0][d] + bend);
        }
    }
}

/* SciRE V2, order 2, constant phi: y = x/b, w = a/b. */
static void scire_v2(double *x) {
    for (int j = 0; j < STEPS; j++) {
        const double t = time_of(j), s = time_of(j + 1);
        double a, b, to_a, to_b, mid_a, mid_b, m0[DIM], m1[DIM], x1[DIM];
        level(t, &a, &b);
        level(s, &to_a, &to_b);
        const double h = to_a / to_b - a / b, w = a / b + h / 2;
        const double L = log1p(1 / (w * w));
        const double middle = 2 * L / (0.1 + sqrt(0.1 * 0.1 + 2 * (20 - 0.1) * L));
        level(middle, &mid_a, &mid_b);
        clean(x, t, m0);
        for (size_t d = 0; d < DIM; d++) x1[d] = mid_b * (x[d] / b + h / 2 * m0[d]);
        clean(x1, middle, m1);
        for (size_t d = 0; d < DIM; d++)
            x[d] = to_b * (x[d] / b + h * m0[d] + h * 1.5 * (m1[d] - m0[d]));
    }
}

/* UniPC of order 1 in data form, bh2: predictor, and a corrector in all steps but the last. */
static void unipc_1(double *x) {
    double m0[DIM], mt[DIM], xp[DIM];
    clean(x, 1, m0);
    for (int j = 1; j <= STEPS; j++) {
        const step e = between(time_of(j - 1), time_of(j));
        const double B = expm1(e.z);
        for (size_t d = 0; d < DIM; d++) xp[d] = e.ratio * x[d] + e.C * B * m0[d];
        if (j < STEPS) {
            clean(xp, time_of(j), mt);
            for (size_t d = 0; d < DIM; d++) x[d] = xp[d] + e.C * B * (mt[d] - m0[d]) / 2;
            memcpy(m0, mt, sizeof m0);
        } else
            memcpy(x, xp, sizeof xp);
    }
}

/* The random numbers of a stochastic run, known to both sides. */
static double normal(uint32_t draw, uint64_t sample, size_t d) {
    return sin(1.3 * (draw + 1) + 2.1 * (double)sample + 0.7 * (double)d);
}

static int normals(void *user, int kind, uint32_t draw, uint64_t first, size_t count, size_t dim,
                   double *out) {
    (void)user, (void)kind;
    for (size_t i = 0; i < count; i++)
        for (size_t d = 0; d < dim; d++) out[i * dim + d] = normal(draw, first + i, d);
    return 0;
}

static uint64_t sample_now;

/* SDE-DPM-Solver++ of order 1. */
static void sde_1(double *x) {
    for (int j = 0; j < STEPS; j++) {
        double a, b, to_a, to_b, m[DIM];
        level(time_of(j), &a, &b);
        level(time_of(j + 1), &to_a, &to_b);
        const double q = (to_b / to_a) / (b / a), share = (1 - q) * (1 + q);
        clean(x, time_of(j), m);
        for (size_t d = 0; d < DIM; d++)
            x[d] = to_b / b * q * x[d] + to_a * share * m[d] +
                   to_b * sqrt(share) * normal((uint32_t)j, sample_now, d);
    }
}

/* The noise that goes with the limited x_0. */
static void noise(const double *x, double t, double *out) {
    double a, b;
    level(t, &a, &b);
    clean(x, t, out);
    for (size_t d = 0; d < DIM; d++) out[d] = (x[d] - a * out[d]) / b;
}

/* Adams-Bashforth in rho, of order 2 after a first step of order 1. */
static void rhoab_1(double *x) {
    double e[2][DIM] = {{0}}, before = 0;
    for (int j = 0; j < STEPS; j++) {
        double a, b, to_a, to_b;
        level(time_of(j), &a, &b);
        level(time_of(j + 1), &to_a, &to_b);
        const double h = to_b / to_a - b / a, bend = j ? h / (2 * before) : 0;
        memcpy(e[1], e[0], sizeof e[0]);
        noise(x, time_of(j), e[0]);
        for (size_t d = 0; d < DIM; d++)
            x[d] = to_a * (x[d] / a + h * (e[0][d] + bend * (e[0][d] - e[1][d])));
        before = h;
    }
}

/* Euler-Maruyama on the reverse SDE. */
static void em(double *x) {
    for (int j = 0; j < STEPS; j++) {
        const double t = time_of(j), h = t - time_of(j + 1), beta = 0.1 + (20 - 0.1) * t;
        double a, b, e[DIM];
        level(t, &a, &b);
        noise(x, t, e);
        for (size_t d = 0; d < DIM; d++)
            x[d] += h * (beta / 2 * x[d] - beta / b * e[d]) +
                    sqrt(h * beta) * normal((uint32_t)j, sample_now, d);
    }
}

static void denoised(double *x) {
    double out[DIM];
    clean(x, 1e-3, out);
    memcpy(x, out, sizeof out);
}

static const struct {
    const char *spec;
    void (*loop)(double *);
    bool denoise;
} loops[] = {
    {"solver=dpm:order=2", dpm_2m, false},
    {"solver=dpm:order=2", dpm_2m, true},
    {"solver=scire:variant=v2,order=2,method=singlestep_fixed", scire_v2, false},
    {"solver=unipc:order=1", unipc_1, false},
    {"solver=sde_dpm:order=1", sde_1, false},
    {"solver=deis:kind=rhoab,order=1", rhoab_1, false},
    {"solver=deis:kind=rhoab,order=1", rhoab_1, true},
    {"solver=em", em, false},
};

static double off_loop(dfl_model *model, size_t i, const char *thresholding) {
    char spec[256];
    double start[COUNT * DIM], found[COUNT * DIM], worst = 0;
    snprintf(spec, sizeof spec, "%s steps=%d denoise=%d %s", loops[i].spec, STEPS, loops[i].denoise,
             thresholding);
    for (size_t k = 0; k < COUNT * DIM; k++) start[k] = 2 * sin(1.7 * (double)k + 0.3);
    dfl_plan *plan = plan_of(model, spec);
    dfl_run *run = run_of(plan, model, "dtype=float64,batch=2");
    dfl_run_noise(run, normals, NULL);
    assert_ok(dfl_run_sample(run, 0, COUNT, NULL, start, found));
    for (size_t k = 0; k < COUNT; k++) {
        double *x = start + k * DIM;
        sample_now = k;
        loops[i].loop(x);
        if (loops[i].denoise) denoised(x);
        for (size_t d = 0; d < DIM; d++) worst = fmax(worst, fabs(x[d] - found[k * DIM + d]));
    }
    dfl_run_free(run);
    dfl_plan_free(plan);
    return worst;
}

/* With the loops' ratio and floor the results agree to rounding; with others they do not. */
static void test_loops(void **state) {
    (void)state;
    dfl_model *model = callback_model();
    char mine[128];
    snprintf(mine, sizeof mine,
             "thresholding=1 dynamic_thresholding_ratio=%.17g sample_max_value=%.17g", ratio,
             least);
    for (size_t i = 0; i < LENGTH(loops); i++) {
        const double worst = off_loop(model, i, mine);
        const double without = off_loop(model, i, "");
        const double other = off_loop(
            model, i, "thresholding=1 dynamic_thresholding_ratio=0.61 sample_max_value=0.4");
        print_message("%s%s: off by %.1e; without thresholding %.2g, with another ratio %.2g\n",
                      loops[i].spec, loops[i].denoise ? " denoised" : "", worst, without, other);
        assert_true(worst < 1e-11);
        assert_true(without > 1e-3 && other > 1e-4);
    }
    dfl_model_free(model);
}

/* ---- every solver, every prediction ---------------------------------------------------------- */

static const char *const solvers[] = {"dpm",
                                      "dpm:order=3,corrected=1",
                                      "dpm:method=singlestep,order=3",
                                      "dpm:solver_type=heun",
                                      "dpm:algorithm_type=dpmsolver",
                                      "unipc:order=3",
                                      "unipc:order=1,solver_type=bh1",
                                      "unipc:predict_x0=0",
                                      "sde_dpm",
                                      "scire",
                                      "scire:variant=ei",
                                      "scire:order=3,difference=fd,stage=consistent",
                                      "scire:variant=v2",
                                      "scire:variant=v2,order=3",
                                      "scire:variant=v2,method=multistep,profile=main",
                                      "deis",
                                      "deis:kind=rhoab",
                                      "deis:kind=lograb",
                                      "deis:kind=ipndm",
                                      "rhork",
                                      "ddim",
                                      "ddim:eta=1",
                                      "ddpm",
                                      "euler",
                                      "euler:variable=t",
                                      "heun",
                                      "heun:variable=t",
                                      "heun:s_churn=5",
                                      "em",
                                      "ddim_gmm:K=2",
                                      "ddim_gmm:kernel=rfim,K=2"};

/* One LIMIT row for each evaluation, and results that differ. */
static void test_solvers(void **state) {
    (void)state;
    dfl_model *model = callback_model();
    for (size_t i = 0; i < LENGTH(solvers); i++)
        for (int denoise = 0; denoise <= 1; denoise++) {
            char spec[256];
            double with[COUNT * DIM], without[COUNT * DIM];
            snprintf(spec, sizeof spec, "solver=%s steps=4 denoise=%d", solvers[i], denoise);
            dfl_plan *plain = plan_of(model, spec);
            snprintf(spec, sizeof spec, "solver=%s steps=4 thresholding=1 denoise=%d", solvers[i],
                     denoise);
            dfl_plan *plan = plan_of(model, spec);
            size_t limits = 0;
            for (size_t k = 0; k < plan->code.nrows; k++)
                limits += plan->code.rows[k].op == ROW_LIMIT;
            assert_int_equal(limits, dfl_plan_nfe(plan));
            assert_int_equal(dfl_plan_nfe(plain), dfl_plan_nfe(plan));
            sample_all(plain, model, "dtype=float64,seed=3", without, COUNT);
            sample_all(plan, model, "dtype=float64,seed=3", with, COUNT);
            double apart = 0;
            for (size_t k = 0; k < COUNT * DIM; k++) {
                assert_true(isfinite(with[k]));
                apart = fmax(apart, fabs(with[k] - without[k]));
                if (denoise) assert_true(fabs(with[k]) <= 1);
            }
            assert_true(apart > 1e-3);
            dfl_plan_free(plain);
            dfl_plan_free(plan);
        }
    dfl_model_free(model);
}

/* First-order steps along noise and along clean data are one method, also with what is thresholded,
   whatever the network predicts. */
static void test_predictions(void **state) {
    (void)state;
    static const char *const networks[][2] = {
        {"vp_linear", "epsilon"},    {"vp_linear", "sample"}, {"vp_linear", "v_prediction"},
        {"vp_linear", "score"},      {"edm", "sample"},       {"ve", "epsilon"},
        {"flow", "flow_prediction"},
    };
    static const char *const same[] = {"ddim",
                                       "euler",
                                       "deis:order=0",
                                       "scire:order=1",
                                       "dpm:order=1,algorithm_type=dpmsolver",
                                       "rhork:tableau=1euler"};
    for (size_t i = 0; i < LENGTH(networks); i++) {
        char json[256], spec[256];
        dfl_model *model = NULL;
        snprintf(json, sizeof json,
                 "{\"format\":\"driftless-model/1\",\"process\":\"%s\",\"prediction_type\":\"%s\","
                 "\"sample\":{\"shape\":[2]}}",
                 networks[i][0], networks[i][1]);
        assert_ok(dfl_model_callback(json, answer, NULL, &model));
        const char *ends = "steps=5 t_start=0.9 t_end=0.01 thresholding=1 "
                           "dynamic_thresholding_ratio=0.6 sample_max_value=0.4";
        double first[COUNT * DIM], other[COUNT * DIM];
        snprintf(spec, sizeof spec, "solver=dpm:order=1 %s", ends);
        dfl_plan *plan = plan_of(model, spec);
        sample_all(plan, model, "dtype=float64", first, COUNT);
        dfl_plan_free(plan);
        for (size_t k = 0; k < LENGTH(same); k++) {
            snprintf(spec, sizeof spec, "solver=%s %s", same[k], ends);
            plan = plan_of(model, spec);
            sample_all(plan, model, "dtype=float64", other, COUNT);
            dfl_plan_free(plan);
            for (size_t d = 0; d < COUNT * DIM; d++) {
                if (!(fabs(first[d] - other[d]) < 1e-10))
                    print_error("%s %s, %s\n", networks[i][0], networks[i][1], same[k]);
                assert_true(fabs(first[d] - other[d]) < 1e-10);
            }
        }
        dfl_model_free(model);
    }
}

/* There is no such x_0 in phase space. */
static void test_phase_space(void **state) {
    (void)state;
    dfl_model *model = NULL;
    dfl_plan *plan = NULL;
    assert_ok(dfl_model_callback("{\"format\":\"driftless-model/1\",\"process\":\"psld\","
                                 "\"prediction_type\":\"score\",\"sample\":{\"shape\":[2]}}",
                                 answer, NULL, &model));
    static const char *const specs[] = {"solver=em", "solver=deis", "solver=sscs denoise=1"};
    for (size_t i = 0; i < LENGTH(specs); i++) {
        char spec[128];
        snprintf(spec, sizeof spec, "%s steps=4 thresholding=1", specs[i]);
        refused(dfl_plan_new(model, spec, &plan), DFL_E_COMBINATION, "phase space do not form");
        assert_null(plan);
    }
    dfl_model_free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loops),
        cmocka_unit_test(test_solvers),
        cmocka_unit_test(test_predictions),
        cmocka_unit_test(test_phase_space),
    };
    return cmocka_run_group_tests_name("thresholding", tests, NULL, NULL);
}
