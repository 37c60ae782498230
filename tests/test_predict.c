/* Predicted errors of plans: the recursion against executed plans, draw by draw; distances against
   plain linear algebra in two dimensions; converged plans; refusals; files of moments. */
#include "support/gather.h"
#include "support/hand.h"
#include "support/interpret.h"
#include "support/order.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval/forecast.h"
#include "eval/recursion.h"
#include "io/io.h"
#include "model/mixture.h"

/* ---- the recursion against the executor ------------------------------------------------------ */

enum { NUMBERS = 3, PROBES_MAX = 64 };

#define MEANS "[0.7, -0.3, 0.1]"
#define STDS  "[0.5, 0.25, 0.9]"
static const double means[NUMBERS] = {0.7, -0.3, 0.1}, stds[NUMBERS] = {0.5, 0.25, 0.9};

/* Sample 0 of a batch starts at 0 and draws 0; the C after it start at one unit in all numbers of a
   half, those behind at 0 with one half of one draw at 1. What they end at is the plan's affine map. */
typedef struct {
    const dfl_plan *plan;
    size_t halves, probes;
    double start[PROBES_MAX * 2 * NUMBERS];
    double end[PROBES_MAX * NUMBERS];
} probing;

static size_t noise_number(const dfl_plan *plan, uint32_t draw) {
    size_t number = 0;
    for (size_t i = 0; i < plan->code.nrows; i++)
        if (plan->code.rows[i].op == ROW_NOISE) {
            if (plan->code.rows[i].draw == draw) return number;
            number++;
        }
    return number;
}

static int probe_noise(void *user, int kind, uint32_t draw, uint64_t first, size_t count,
                       size_t dim, double *dst) {
    const probing *p = user;
    if (kind != DFL_DRAW_NOISE) return 1;
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < dim; k++) {
            const size_t at = 1 + p->halves * (1 + noise_number(p->plan, draw)) + k / NUMBERS;
            dst[i * dim + k] = first + i == at;
        }
    return 0;
}

static void probe(probing *p, dfl_model *model) {
    const size_t size = p->halves * NUMBERS;
    dfl_run *run;
    p->probes = 1 + p->halves * (1 + p->plan->draws);
    assert_true(p->probes <= PROBES_MAX);
    memset(p->start, 0, sizeof p->start);
    for (size_t j = 0; j < p->halves; j++)
        for (size_t k = 0; k < NUMBERS; k++) p->start[(1 + j) * size + j * NUMBERS + k] = 1;
    assert_ok(dfl_run_new(p->plan, model, "dtype=float64,batch=64", &run));
    dfl_run_noise(run, probe_noise, p);
    assert_ok(dfl_run_sample(run, 0, p->probes, NULL, p->start, p->end));
    dfl_run_free(run);
}

/* The plan's scale is the recursion's, not the probe's, whose starts are states. */
static double start_entry(const plan_input *in, const double *on_state, size_t j) {
    if (!in->scale.m) return in->scale.v[0] * on_state[j];
    double sum = 0;
    for (size_t i = 0; i < in->scale.m; i++) sum += on_state[i] * in->scale.v[i * in->scale.n + j];
    return sum;
}

static double apart(double a, double b) {
    return fabs(a - b) / fmax(1, fabs(b));
}

/* Largest difference in any number of mean, map of the start, and variance of the noise. */
static double compare(const dfl_plan *plan, dfl_model *model) {
    probing p = {.plan = plan, .halves = (size_t)plan->code.components};
    recursion *made;
    double worst = 0;
    probe(&p, model);
    assert_ok(recursion_new(plan, &made));
    for (size_t k = 0; k < NUMBERS; k++) {
        recursion_result r;
        double map[2] = {0}, noise = 0;
        recursion_run(made, stds[k] * stds[k], &r);
        assert_int_equal(r.components, 1);
        for (size_t i = 1; i < p.probes; i++) {
            const double one = p.end[i * NUMBERS + k] - p.end[k];
            if (i <= p.halves) map[i - 1] = one;
            if (i > p.halves) noise += one * one;
        }
        worst = fmax(worst, apart(means[k] * r.unit[0], p.end[k]));
        worst = fmax(worst, apart(r.noise[0][0], noise));
        for (size_t j = 0; j < p.halves; j++)
            worst = fmax(worst, apart(r.start[0][j], start_entry(&plan->code.inputs[0], map, j)));
    }
    recursion_free(made);
    return worst;
}

typedef struct {
    dfl_model *model;
    double worst;
    size_t plans, drawn, rough;
} agreement;

static void note(agreement *a, const dfl_plan *plan, const char *name) {
    const double off = compare(plan, a->model);
    label_defect d; /* for what the plan makes of rounding errors */
    assert_true(labels_run(plan, KNOWS_X0, &d));
    if (!(off <= fmax(1e-10, d.rounding))) REFUTE("%s: %g, rounding %g", name, off, d.rounding);
    a->plans++;
    a->drawn += plan->draws > 0;
    a->rough += off > 1e-10;
    if (off <= 1e-10) a->worst = fmax(a->worst, off);
}

/* The networks take turns. */
static void compare_case(const plan_case *c, void *user) {
    agreement *a = user;
    if (case_claims(c).mixes) return;
    const network *net = &networks[a->plans % nnetworks];
    plan_case with = *c;
    with.form = &net->form;
    dfl_plan *plan;
    if (case_try(&with, &plan) != DFL_OK) { /* not every network can go to t = 0 */
        assert_true(c->to_zero);
        return;
    }
    a->model->card.form = net->form;
    note(a, plan, case_name(&with));
    plan_free(plan);
}

static dfl_model *gaussian(const char *more) {
    dfl_model *model;
    text json = {0};
    text_add(&json,
             "{\"format\": \"driftless-mixture/1\", \"weights\": [1], \"means\": [" MEANS
             "], \"stds\": [" STDS "]%s}",
             more);
    assert_ok(mixture_parse("test", json.data, json.len, &model));
    text_free(&json);
    return model;
}

static void test_scalar(void **state) {
    (void)state;
    agreement a = {.model = gaussian("")};
    for_each_case(6, compare_case, &a); /* a ninth of them: all pairs */
    print_message("%zu plans (%zu with noise): recursion and executor differ by %.2g, but for %zu "
                  "that amplify rounding\n",
                  a.plans, a.drawn, a.worst, a.rough);
    assert_true(a.drawn > 100 && a.plans > 2 * a.drawn && a.rough < a.plans / 10);
    dfl_model_free(a.model);
}

static bool is_phase(const char *spec) {
    const plan_case c = {.solver = spec};
    return case_solver(&c)->spaces & SOLVER_PHASE;
}

static void test_phase(void **state) {
    (void)state;
    static const char *const processes[] = {
        "psld", "cld", "psld:numerical_eps=0,Gamma=0.25,nu=4.25", "psld:factor=upper"};
    static const char *const halves[] = {"both", "m", "both", "both"};
    spec_list solvers = specs_of(&solver_family, false);
    agreement a = {0};
    for (size_t p = 0; p < LENGTH(processes); p++) {
        char more[256];
        snprintf(more, sizeof more,
                 ", \"card\": {\"process\": \"%s\", \"state_components\": 2, \"prediction_type\": "
                 "\"epsilon\", \"t_min\": 1e-3, \"output_half\": \"%s\"}",
                 processes[p], halves[p]);
        a.model = gaussian(more);
        for (size_t i = 0; i < solvers.n; i++) {
            char spec[256];
            dfl_plan *plan;
            if (!is_phase(solvers.spec[i])) continue;
            snprintf(spec, sizeof spec, "solver=%s steps=4%s", solvers.spec[i],
                     i % 2 ? " denoise=1" : "");
            const dfl_status made = dfl_plan_new(a.model, spec, &plan);
            assert_true(made == DFL_OK || made == DFL_E_COMBINATION);
            if (made != DFL_OK) continue;
            note(&a, plan, spec);
            plan_free(plan);
        }
        dfl_model_free(a.model);
    }
    specs_free(&solvers);
    print_message("%zu plans (%zu with noise): recursion and executor differ by %.2g, but for %zu "
                  "that amplify rounding\n",
                  a.plans, a.drawn, a.worst, a.rough);
    assert_true(a.plans > 80 && a.drawn > 30 && a.rough == 0);
}

/* ---- mixture kernels ------------------------------------------------------------------------- */

static dfl_plan *compile(const char *solver, int steps) {
    const plan_case c = {.process = "vp_linear", .solver = solver, .steps = steps};
    return case_compile(&c);
}

/* Kernels of matched moments are noise; the interpreter of the tests takes their true moments. */
static void test_kernels(void **state) {
    (void)state;
    static const char *const solvers[] = {"ddim_gmm:eta=0.7,K=3",
                                          "ddim_gmm:eta=1,K=2,covariance=rank1,rho=0.9",
                                          "ddim_gmm:eta=1,K=3,offsets=rand_c,rho=0.5",
                                          "ddim_gmm:eta=0.5,K=1,offsets=rand,covariance=diag"};
    gauss_law law = {.dim = NUMBERS};
    for (size_t k = 0; k < NUMBERS; k++) {
        law.mean[k] = means[k];
        law.cov[k * NUMBERS + k] = stds[k] * stds[k];
    }
    for (size_t i = 0; i < LENGTH(solvers); i++) {
        dfl_plan *plan = compile(solvers[i], 5);
        affine_start start = {.mean = {0}};
        affine_result moments;
        recursion *made;
        for (size_t k = 0; k < NUMBERS; k++)
            start.factor[k * NUMBERS + k] = plan->code.inputs[0].scale.v[0];
        assert_int_equal(plan->picks > 0, !strstr(solvers[i], "K=1"));
        assert_true(affine_run(plan, &law, &start, &moments));
        assert_ok(recursion_new(plan, &made));
        for (size_t k = 0; k < NUMBERS; k++) {
            recursion_result r;
            recursion_run(made, stds[k] * stds[k], &r);
            const double variance = r.noise[0][0] + r.start[0][0] * r.start[0][0];
            assert_true(fabs(variance - moments.cov[k * NUMBERS + k]) < 1e-12);
            assert_true(fabs(r.unit[0] * means[k] - moments.mean[k]) < 1e-12);
        }
        recursion_free(made);
        affine_free(&moments);
        plan_free(plan);
    }
}

/* ---- distances ------------------------------------------------------------------------------- */

static const gauss_law law2 = {.dim = 2, .mean = {0.8, -0.5}, .cov = {0.3, 0.12, 0.12, 0.1}};

static array reals(int rank, const size_t *shape, const double *data) {
    array a = {.type = ARRAY_F64, .rank = rank};
    memcpy(a.shape, shape, (size_t)rank * sizeof *shape);
    a.data = malloc(array_count(&a) * sizeof(double));
    assert_non_null(a.data);
    memcpy(a.data, data, array_count(&a) * sizeof(double));
    return a;
}

/* Writes two arrays under these names, and frees them. */
static const char *write_pair(const char *mean, array m, const char *spread, array s) {
    const named_array arrays[] = {{mean, m}, {spread, s}};
    const char *path = in_folder("moments.npz");
    assert_ok(npz_write(path, arrays, 2));
    array_free(&m);
    array_free(&s);
    return path;
}

static spectrum read_law(const gauss_law *law) {
    const size_t shape[] = {law->dim, law->dim};
    spectrum s;
    assert_ok(spectrum_read(
        write_pair("mean", reals(1, shape, law->mean), "cov", reals(2, shape, law->cov)), &s));
    return s;
}

/* |difference of means|^2 + tr(A + B - 2 sqrt(AB)), tr sqrt(M) = sqrt(tr M + 2 sqrt(det M)). */
static double wasserstein2(const double *m, const double *a, const double *n, const double *b) {
    const double trace = a[0] * b[0] + a[1] * b[2] + a[2] * b[1] + a[3] * b[3];
    const double det = (a[0] * a[3] - a[1] * a[2]) * (b[0] * b[3] - b[1] * b[2]);
    const double dx = m[0] - n[0], dy = m[1] - n[1];
    return dx * dx + dy * dy + a[0] + a[3] + b[0] + b[3] - 2 * sqrt(trace + 2 * sqrt(det));
}

static void test_distances(void **state) {
    (void)state;
    static const char *const solvers[] = {"ddim", "deis:order=2", "ddim:eta=1", "em",
                                          "unipc:order=2"};
    spectrum s = read_law(&law2);
    for (size_t i = 0; i < LENGTH(solvers); i++) {
        dfl_plan *plan = compile(solvers[i], 6);
        const double scale = plan->code.inputs[0].scale.v[0];
        const affine_start start = {.factor = {scale, 0, 0, scale}};
        const marginal *at = &plan->code.rows[plan->code.nrows - 1].at;
        affine_result r;
        forecast f;
        double mean[2], cov[4];
        assert_true(affine_run(plan, &law2, &start, &r));
        law_marginal(&law2, at, 1, mean, cov);
        assert_ok(forecast_plan(plan, &s, &f));
        const double w2 = wasserstein2(r.mean, r.cov, mean, cov);
        const double off = hypot(r.mean[0] - mean[0], r.mean[1] - mean[1]);
        assert_true(fabs(2 * f.data * f.data - w2) < 1e-10);
        assert_true(fabs(sqrt(2) * f.mean - off) < 1e-10 && f.mean > 1e-6);
        assert_true(f.data > 1e-2 && fabs(hypot(f.mean, f.spread) - f.data) < 1e-14);
        assert_int_equal(f.has_flow, plan->draws == 0);
        affine_free(&r);
        plan_free(plan);
    }
    spectrum_free(&s);
}

/* Of the probability flow's own end from the same starts: what a fine plan comes to. */
static void test_flow(void **state) {
    (void)state;
    static const char *const solvers[] = {
        "ddim",        "heun", "deis:order=1",  "deis:order=2",         "deis:kind=rhoab,order=2",
        "dpm:order=2", "dpm",  "unipc:order=2", "rhork:tableau=3kutta", "euler:variable=t"};
    static const char *const processes[] = {"vp_linear", "sub_vp", "flow", "edm"};
    spectrum s = read_law(&law2);
    for (size_t p = 0; p < LENGTH(processes); p++)
        for (size_t i = 0; i < LENGTH(solvers); i++) {
            plan_case c = reference_case(processes[p], solvers[i]);
            ladder l = ladder_of(40, 160);
            forecast f = {0};
            for (size_t k = 0; k < l.n; k++) {
                c.steps = l.steps[k];
                dfl_plan *plan = case_compile(&c);
                assert_ok(forecast_plan(plan, &s, &f));
                l.error[k] = f.flow;
                plan_free(plan);
            }
            const double slope = ladder_slope(&l), order = case_claims(&c).order;
            if (!(slope > order - 0.3 && l.error[l.n - 1] < 0.02))
                REFUTE("%s: flow %.3g, order %.2f, %.0f expected", case_name(&c), l.error[l.n - 1],
                       slope, order);
        }
    spectrum_free(&s);
}

/* One class more is one more law to average over; one number stands for all. */
static void test_classes(void **state) {
    (void)state;
    const double values[] = {0.04, 0.5, 0.2, 0.3}, mean[] = {0.1, -0.9, 0.4, 0};
    const size_t one[] = {2}, two[] = {2, 2};
    dfl_plan *plan = compile("ddim", 5);
    forecast f[3];
    for (size_t k = 0; k < 3; k++) {
        spectrum s;
        const size_t at = k == 2 ? 0 : 2 * k;
        const int rank = k == 2 ? 2 : 1;
        assert_ok(
            spectrum_read(write_pair("projected_mean", reals(rank, k == 2 ? two : one, mean + at),
                                     "eigenvalues", reals(rank, k == 2 ? two : one, values + at)),
                          &s));
        assert_int_equal(s.classes, k == 2 ? 2 : 1);
        assert_int_equal(s.dim, 2);
        assert_ok(forecast_plan(plan, &s, &f[k]));
        spectrum_free(&s);
    }
    const double square = (f[0].flow * f[0].flow + f[1].flow * f[1].flow) / 2;
    assert_true(fabs(f[2].flow * f[2].flow - square) < 1e-14 && f[0].flow != f[1].flow);
    spectrum numbers, same;
    assert_ok(spectrum_of_numbers(0.3, 0.5, &numbers));
    assert_ok(spectrum_read(write_pair("mu", reals(1, one, (const double[]){0.3, 0.3}), "sigma",
                                       reals(2, two, (const double[]){0.25, 0, 0, 0.25})),
                            &same));
    assert_ok(forecast_plan(plan, &numbers, &f[0]));
    assert_ok(forecast_plan(plan, &same, &f[1]));
    assert_true(fabs(f[0].data - f[1].data) < 1e-14 && f[0].data > 0.01);
    assert_true(fabs(f[0].mean - f[1].mean) < 1e-14);
    spectrum_free(&numbers);
    spectrum_free(&same);
    plan_free(plan);
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void refuse_plan(dfl_plan *plan, dfl_status expected, const char *part) {
    spectrum s;
    forecast f;
    assert_ok(spectrum_of_numbers(0, 0.5, &s));
    refused(forecast_plan(plan, &s, &f), expected, part);
    spectrum_free(&s);
    plan_free(plan);
}

static void test_refused_plans(void **state) {
    (void)state;
    refuse_plan(plan_from(hand_nonlinear), DFL_E_COMBINATION, "row 2 (CLIP) is not linear");
    refuse_plan(plan_from(hand_all_ops), DFL_E_COMBINATION, "whose mean is not known");
    refuse_plan(compile("ddim_gmm:eta=1,covariance=diag", 4), DFL_E_COMBINATION,
                "differs from direction to direction");
    refuse_plan(compile("ddim_gmm:eta=1,covariance=rank1", 4), DFL_E_COMBINATION, "too long");
    refuse_plan(compile("ddim_gmm:eta=1,offsets=rand", 4), DFL_E_COMBINATION, "mean is not known");
    dfl_model *model = test_mixture();
    refuse_plan(plan_of(model, "solver=dpm:order=2 steps=3 thresholding=1"), DFL_E_COMBINATION,
                "(LIMIT) is not linear");
    dfl_model_free(model);
    refuse_plan(plan_from(HEAD1 "\"outputs\":[1],\"rows\":[{\"op\":\"LIN\",\"dst\":1,\"src\":[0],"
                                "\"c\":[2]}]}"),
                DFL_E_COMBINATION, "no STEP row");
    refuse_plan(plan_from(HEAD1 "\"outputs\":[0,1],\"rows\":[{\"op\":\"LIN\",\"dst\":1,\"src\":[0],"
                                "\"c\":[2]},{\"op\":\"STEP\",\"src\":1,\"t\":0,\"at\":[1,0]}]}"),
                DFL_E_COMBINATION, "1 inputs and 2 outputs");
    refuse_plan(plan_from(HEAD1
                          "\"outputs\":[2],\"rows\":[{\"op\":\"LIN\",\"dst\":1,\"src\":[0],"
                          "\"c\":[1e200]},{\"op\":\"LIN\",\"dst\":2,\"src\":[1],\"c\":[1e200]},"
                          "{\"op\":\"STEP\",\"src\":2,\"t\":0,\"at\":[1,0]}]}"),
                DFL_E_NONFINITE, "run over");
}

static void refuse_file(const char *path, dfl_status expected, const char *part) {
    spectrum s;
    refused(spectrum_read(path, &s), expected, part);
    assert_null(s.variance);
}

static void test_refused_files(void **state) {
    (void)state;
    const size_t d[] = {2, 2}, three[] = {3, 3}, none[] = {0, 0};
    const double good[] = {1, 0.5, 0.5, 1}, uneven[] = {1, 0.5, 0.4, 1}, negative[] = {1, 2, 2, 1};
    const double odd[] = {1, NAN, NAN, 1}, nine[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    refuse_file("no-such.npz", DFL_E_IO, "no-such.npz");
    refuse_file(write_pair("mean", reals(1, d, good), "sigma", reals(2, d, good)), DFL_E_KEY,
                "no moments");
    refuse_file(write_pair("mean", reals(1, d, good), "cov", reals(2, three, nine)), DFL_E_FORMAT,
                "\"cov\" [d][d]");
    refuse_file(write_pair("mean", reals(2, d, good), "cov", reals(2, d, good)), DFL_E_FORMAT,
                "[classes][d]");
    refuse_file(write_pair("projected_mean", reals(1, d, good), "eigenvalues", reals(2, d, good)),
                DFL_E_FORMAT, "[classes][d]");
    refuse_file(write_pair("mean", reals(1, none, good), "cov", reals(2, none, good)), DFL_E_FORMAT,
                "\"mean\"");
    refuse_file(write_pair("mean", reals(1, d, odd), "cov", reals(2, d, good)), DFL_E_NONFINITE,
                "\"mean\"");
    refuse_file(write_pair("mean", reals(1, d, good), "cov", reals(2, d, odd)), DFL_E_NONFINITE,
                "\"cov\"");
    refuse_file(write_pair("mean", reals(1, d, good), "cov", reals(2, d, uneven)), DFL_E_FORMAT,
                "not symmetric");
    refuse_file(write_pair("mean", reals(1, d, good), "cov", reals(2, d, negative)), DFL_E_RANGE,
                "eigenvalue -1 is negative");
    array bytes = {.type = ARRAY_U8, .rank = 1, .shape = {2}, .data = calloc(2, 1)};
    refuse_file(write_pair("mean", bytes, "cov", reals(2, d, good)), DFL_E_FORMAT, "float32");
    spectrum s;
    refused(spectrum_of_numbers(0, -1, &s), DFL_E_RANGE, "std=-1");
    refused(spectrum_of_numbers(NAN, 1, &s), DFL_E_RANGE, "mean=nan");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scalar),        cmocka_unit_test(test_phase),
        cmocka_unit_test(test_kernels),       cmocka_unit_test(test_distances),
        cmocka_unit_test(test_flow),          cmocka_unit_test(test_classes),
        cmocka_unit_test(test_refused_plans), cmocka_unit_test(test_refused_files),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
