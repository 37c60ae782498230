/* Dynamic thresholding (Saharia et al., arXiv 2205.11487): every solver that forms a predicted x_0
   limits it, and only it; every other solver refuses. Whole runs are compared with loops written
   here, which know nothing of plans; what the executor's LIMIT row computes is compared, too. */
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

/* ---- which solvers take it ------------------------------------------------------------------- */

static const char *const taking[] = {"dpm",
                                     "dpm:order=3,corrected=1",
                                     "dpm:method=singlestep,order=3",
                                     "dpm:solver_type=heun",
                                     "unipc:order=3",
                                     "unipc:order=1,solver_type=bh1",
                                     "sde_dpm",
                                     "scire:variant=v2",
                                     "scire:variant=v2,order=3",
                                     "scire:variant=v2,method=multistep,profile=main",
                                     "dpmpp_2m",
                                     "scire++"};
static const char *const refusing[] = {"deis",
                                       "deis:kind=rhoab",
                                       "deis:kind=lograb",
                                       "deis:kind=ipndm",
                                       "rhork",
                                       "scire",
                                       "scire:variant=ei",
                                       "scire:order=3,difference=fd,stage=consistent",
                                       "dpm:algorithm_type=dpmsolver",
                                       "unipc:predict_x0=0",
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
                                       "ddim_gmm:kernel=rfim,K=2",
                                       "lms",
                                       "euler_a"};

/* One LIMIT row for each evaluation of a solver that takes it. */
static void test_taking(void **state) {
    (void)state;
    dfl_model *model = callback_model();
    for (size_t i = 0; i < LENGTH(taking); i++)
        for (int denoise = 0; denoise <= 1; denoise++) {
            char spec[256];
            snprintf(spec, sizeof spec, "solver=%s steps=4 thresholding=1 denoise=%d", taking[i],
                     denoise);
            dfl_plan *plan = plan_of(model, spec);
            size_t limits = 0;
            for (size_t k = 0; k < plan->code.nrows; k++)
                limits += plan->code.rows[k].op == ROW_LIMIT;
            assert_int_equal(limits, dfl_plan_nfe(plan));
            dfl_plan_free(plan);
        }
    dfl_model_free(model);
}

/* Also where a last denoising would form an x_0: half of a sampler is not thresholded. */
static void test_refusing(void **state) {
    (void)state;
    dfl_model *model = callback_model();
    for (size_t i = 0; i < LENGTH(refusing); i++)
        for (int denoise = 0; denoise <= 1; denoise++) {
            char spec[256];
            dfl_plan *plan = NULL;
            snprintf(spec, sizeof spec, "solver=%s steps=4 thresholding=1 denoise=%d", refusing[i],
                     denoise);
            const dfl_status status = dfl_plan_new(model, spec, &plan);
            if (status == DFL_OK) print_error("%s is taken\n", spec);
            refused(status, DFL_E_COMBINATION, "thresholding is of predicted clean data");
            assert_null(plan);
        }
    dfl_model_free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loops),
        cmocka_unit_test(test_taking),
        cmocka_unit_test(test_refusing),
    };
    return cmocka_run_group_tests_name("thresholding", tests, NULL, NULL);
}
