/* DDIM-GMM as a solver (tests/test_mix.c is about its kernels alone): the exact moments of its
   chains, what mode=exact refuses, its limits, its control, shared tables, the last step. Numbers
   of the authors' setting are in tests/py/test_reference_gmm.py.

   With a network that knows x_0, the excess of the covariance of x_s over b_s^2 obeys
     E_s = A^2 E_t + S - d d^T + sum_k pi_k C_k - sig^2 I,   m_s = A m_t + d,   d = sum pi_k
   delta_k, S the offsets' second moment and C_k the components' covariances as the executor makes
   them. */
#include "support/hand.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { D = 16, STEPS = 10 };

static const char grid[] = "process=vp_discrete grid=leading steps=10 t_end=0";

/* ---- a network that knows x_0 ---------------------------------------------------------------- */

static double known(size_t d) {
    return -1.5 + 3.0 * (double)d / (D - 1);
}

static int answer(void *user, const dfl_request *request) {
    (void)user;
    const double *x = dfl_request_input(request);
    double *y = dfl_request_output(request);
    const double a = dfl_request_a(request)[0], b = dfl_request_b(request)[0];
    for (size_t i = 0; i < dfl_request_count(request) * D; i++)
        y[i] = (x[i] - a * known(i % D)) / b;
    return 0;
}

static dfl_model *knowing(void) {
    dfl_model *model = NULL;
    assert_ok(dfl_model_callback("{\"format\":\"driftless-model/1\",\"process\":\"vp_discrete\","
                                 "\"prediction_type\":\"epsilon\",\"sample\":{\"shape\":[16]}}",
                                 answer, NULL, &model));
    return model;
}

static dfl_plan *gmm_plan(const dfl_model *model, const char *options) {
    char spec[512];
    snprintf(spec, sizeof spec, "solver=ddim_gmm:%s %s", options, grid);
    return plan_of(model, spec);
}

/* ---- the recursion --------------------------------------------------------------------------- */

typedef struct {
    double mean[D], excess[D][D];
    double trace; /* of what the last kernel added beyond sig^2 I */
} moments;

static dfl_status normals(void *user, uint32_t table, size_t n, double *dst) {
    (void)user;
    noise_normals(33, DFL_DRAW_TABLE, table, 0, 0, n, dst);
    return DFL_OK;
}

/* Adds kernel k's S - d d^T + sum pi C - sig^2 I to the moments; `scaled` multiplies its noise. */
static void add_kernel(const mix *m, int index, const mix_kernel *k, double scaled, moments *to) {
    double drift[D] = {0}, second[D][D] = {{0}}, delta[D], column[D], before = 0;
    for (int c = 0; c < k->K; c++) {
        double first = 0;
        for (int l = 0; l < c; l++) first += k->pi[l];
        const double u = first + k->pi[c] / 2;
        memset(delta, 0, sizeof delta);
        mix_apply(m, index, u, delta);
        for (int i = 0; i < D; i++) drift[i] += k->pi[c] * delta[i];
        for (int i = 0; i < D; i++)
            for (int j = 0; j < D; j++) second[i][j] += k->pi[c] * delta[i] * delta[j];
        for (int e = 0; e < D; e++) { /* columns of A_k; C_k = sum of their outer products */
            memset(column, 0, sizeof column);
            column[e] = scaled;
            mix_apply(m, index, u, column);
            for (int i = 0; i < D; i++) column[i] -= delta[i];
            for (int i = 0; i < D; i++)
                for (int j = 0; j < D; j++) second[i][j] += k->pi[c] * column[i] * column[j];
        }
    }
    for (int i = 0; i < D; i++) before -= second[i][i] - drift[i] * drift[i];
    to->trace = -before - D * k->sigma * k->sigma;
    for (int i = 0; i < D; i++) {
        to->mean[i] += drift[i];
        to->excess[i][i] -= k->sigma * k->sigma;
        for (int j = 0; j < D; j++) to->excess[i][j] += second[i][j] - drift[i] * drift[j];
    }
}

/* Along the plan's steps with a kernel; A = kept b_s/b_t from kept^2 b_s^2 + sig^2 = b_s^2. */
static void recursion(const dfl_plan *plan, double scaled, moments *out) {
    mix *m = NULL;
    assert_ok(mix_new(plan, D, normals, NULL, &m));
    memset(out, 0, sizeof *out);
    double b = plan->code.inputs[0].at.b[0];
    size_t kernel = 0;
    for (size_t i = 0; i < plan->code.nrows && kernel < plan->code.nkernels; i++) {
        const row *r = &plan->code.rows[i];
        if (r->op != ROW_STEP) continue;
        const mix_kernel *k = &plan->code.kernels[kernel];
        const double to = r->at.b[0], A = sqrt(to * to - k->sigma * k->sigma) / b;
        for (int d = 0; d < D; d++) {
            out->mean[d] *= A;
            for (int e = 0; e < D; e++) out->excess[d][e] *= A * A;
        }
        add_kernel(m, (int)kernel++, k, scaled, out);
        b = to;
    }
    mix_free(m);
}

typedef struct {
    double mean, diagonal, rest;
} size_of;

static size_of largest(const moments *m) {
    size_of s = {0, 0, 0};
    for (int i = 0; i < D; i++) {
        s.mean = fmax(s.mean, fabs(m->mean[i]));
        for (int j = 0; j < D; j++) {
            double *to = i == j ? &s.diagonal : &s.rest;
            *to = fmax(*to, fabs(m->excess[i][j]));
        }
    }
    return s;
}

/* Which moments match, variant by variant; a wrong kernel must not. */
static void test_recursion(void **state) {
    (void)state;
    static const struct {
        const char *options;
        double scaled; /* factor on the kernels' noise: 1 is right */
        bool mean, diagonal, rest;
    } cases[] = {
        {"eta=1,K=8,covariance=full", 1, true, true, true},
        {"eta=0.5,K=8,covariance=full,rho=0.7", 1, true, true, true},
        {"eta=0.5,K=16,covariance=full", 1, true, true, true},
        {"eta=1,K=8,covariance=rank1,rho=0.377", 1, true, true, true},
        {"eta=1,K=8,covariance=full,mode=exact", 1, true, true, true},
        {"eta=1,K=4,covariance=full,offsets=rand_c,rho=0.4", 1, true, true, true},
        {"eta=1,K=4,covariance=full,pi=[0.1,0.2,0.3,0.4],rho=0.5", 1, true, true, true},
        {"eta=1,K=4,pi=[0.1,0.2,0.3,0.4],rho=0.5,mode=exact", 1, true, true, true},
        {"eta=1,K=4,pi=[0.1,0.2,0.3,0.4],covariance=rank1,rho=0.47,mode=exact", 1, true, true,
         true},
        {"eta=1,K=8,offsets=rand_c,rho=0.353,mode=exact", 1, true, true, true},
        {"eta=1,K=8,offsets=rand_c,covariance=rank1,rho=0.125,mode=exact", 1, true, true, true},
        {"eta=1,K=8,s=0.0282,mode=exact", 1, true, true, true},
        {"eta=1,K=8,covariance=diag", 1, true, true, false},
        {"eta=0.5,K=8,covariance=diag,offsets=rand_c,rho=0.5", 1, true, true, false},
        {"eta=1,K=8,covariance=vub", 1, true, false, false},
        {"eta=1,K=8,covariance=diag,offsets=rand,rho=0.5", 1, false, false, false},
        {"eta=0,K=8,covariance=full,s=0.1", 1, true, false, false},
        {"eta=1,K=8,covariance=full", 1.01, true, false, false},
        {"eta=1,K=8,covariance=rank1,rho=1", 1, true, false, false},
        {"eta=1,K=8,covariance=full,rho=1.2", 1, true, false, false},
    };
    dfl_model *model = knowing();
    for (size_t i = 0; i < LENGTH(cases); i++) {
        dfl_plan *plan = gmm_plan(model, cases[i].options);
        moments m;
        recursion(plan, cases[i].scaled, &m);
        const size_of s = largest(&m);
        print_message("%-55s mean %.1e, variances %.1e, covariances %.1e\n", cases[i].options,
                      s.mean, s.diagonal, s.rest);
        assert_int_equal(plan->code.nkernels, STEPS - 1);
        const double exact = 1e-16, wrong = 1e-8; /* the last noisy step has b^2 = 1e-4 */
        assert_true(cases[i].mean ? s.mean < exact : s.mean > wrong);
        assert_true(cases[i].diagonal ? s.diagonal < exact : s.diagonal > wrong);
        assert_true(cases[i].rest ? s.rest < exact : s.rest > wrong);
        dfl_plan_free(plan);
    }
    dfl_model_free(model);
}

/* The paper's bounds subtract s^2/K too much in every step: the trace after a VUB kernel. */
static void test_vub_trace(void **state) {
    (void)state;
    dfl_model *model = knowing();
    dfl_plan *plan = gmm_plan(model, "eta=1,K=8,covariance=vub,rho=0.9");
    mix *m = NULL;
    assert_ok(mix_new(plan, D, normals, NULL, &m));
    for (size_t i = 0; i < plan->code.nkernels; i++) {
        const mix_kernel *k = &plan->code.kernels[i];
        moments one = {0};
        add_kernel(m, (int)i, k, 1, &one);
        const double expected = -k->s * k->s / 8;
        assert_true(fabs(one.trace - expected) < 1e-12 * k->s * k->s);
    }
    mix_free(m);
    dfl_plan_free(plan);
    dfl_model_free(model);
}

/* ---- whole chains ---------------------------------------------------------------------------- */

typedef struct {
    double sum[D], product[D][D];
    size_t n;
} sums;

static int gather(void *user, size_t step, size_t steps, double t, uint64_t first, size_t count,
                  const void *states) {
    (void)steps, (void)t, (void)first;
    sums *s = user;
    const double *x = states;
    if (step != STEPS - 1) return 0; /* the last noisy level: the next step lands on x_0 */
    for (size_t i = 0; i < count; i++)
        for (int d = 0; d < D; d++) {
            s->sum[d] += x[i * D + (size_t)d];
            for (int e = 0; e <= d; e++)
                s->product[d][e] += (x[i * D + (size_t)d] - known((size_t)d)) *
                                    (x[i * D + (size_t)e] - known((size_t)e));
        }
    s->n += count;
    return 0;
}

/* Executed, not recursed: mean a x_0 and covariance b^2 I at the last noisy level, as estimated
   from samples; in standard errors. */
static void estimate(dfl_model *model, const char *options, double off[3]) {
    enum { MANY = 40000 };
    static double samples[MANY * D];
    sums s = {.n = 0};
    dfl_plan *plan = gmm_plan(model, options);
    dfl_run *run = run_of(plan, model, "dtype=float64,batch=1000,seed=4");
    dfl_run_observe(run, gather, &s);
    assert_ok(dfl_run_sample(run, 0, MANY, NULL, NULL, samples));
    assert_int_equal(s.n, MANY);
    const double b2 = 1e-4, a = sqrt(1 - b2), n = MANY;
    memset(off, 0, 3 * sizeof *off);
    for (int d = 0; d < D; d++) {
        const double x0 = known((size_t)d), mean = s.sum[d] / n;
        off[0] = fmax(off[0], fabs(mean - a * x0) / sqrt(b2 / n));
        for (int e = 0; e <= d; e++) {
            const double y0 = known((size_t)e), other = s.sum[e] / n;
            const double covariance = s.product[d][e] / n - (mean - x0) * (other - y0);
            const double error = fabs(covariance - (d == e ? b2 : 0)) / b2 * sqrt(n);
            if (d == e)
                off[1] = fmax(off[1], error / sqrt(2));
            else
                off[2] = fmax(off[2], error);
        }
    }
    dfl_run_free(run);
    dfl_plan_free(plan);
}

static void test_chains(void **state) {
    (void)state;
    static const struct {
        const char *options;
        bool variances, covariances;
    } cases[] = {
        {"eta=1,K=8,covariance=full", true, true},
        {"eta=0.5,K=8,covariance=full", true, true},
        {"eta=1,K=8,covariance=rank1,rho=0.37", true, true},
        {"eta=1,K=8,covariance=diag", true, false},
        {"eta=1,K=8,covariance=vub", false, false},
    };
    dfl_model *model = knowing();
    for (size_t i = 0; i < LENGTH(cases); i++) {
        double off[3];
        estimate(model, cases[i].options, off);
        print_message("%-40s mean %.1f, variances %.1f, covariances %.1f\n", cases[i].options,
                      off[0], off[1], off[2]);
        assert_true(off[0] < 4.8);
        assert_true(cases[i].variances ? off[1] < 4.8 : off[1] > 20);
        assert_true(cases[i].covariances ? off[2] < 5 : off[2] > 20);
    }
    dfl_model_free(model);
}

/* ---- what is asked for ----------------------------------------------------------------------- */

static void test_refusals(void **state) {
    (void)state;
    static const struct {
        const char *options;
        dfl_status status;
        const char *part;
    } cases[] = {
        {"mode=exact,eta=0", DFL_E_COMBINATION, "needs eta above 0"},
        {"mode=exact,eta=1,s=0.0284", DFL_E_RANGE, "s=0.0284 is above 0.0282"},
        {"mode=exact,s=0.01,gmm_last=1", DFL_E_RANGE, "is above 0, where"},
        {"mode=exact,covariance=diag", DFL_E_COMBINATION, "covariance=full or rank1"},
        {"mode=exact,covariance=vub", DFL_E_COMBINATION, "covariance=full or rank1"},
        {"mode=exact,covariance=iso", DFL_E_COMBINATION, "covariance=full or rank1"},
        {"mode=exact,offsets=rand", DFL_E_COMBINATION, "offsets=ortho"},
        {"mode=exact,offsets=rand_c", DFL_E_RANGE, "rho=1 is above 0.35355"},
        {"mode=exact,offsets=rand_c,covariance=rank1", DFL_E_RANGE, "rho=1 is above 0.125,"},
        {"mode=exact,K=2,pi=[0.4,0.6]", DFL_E_RANGE, "rho=1 is above 0.8164965"},
        {"mode=exact,K=4,pi=[0.1,0.2,0.3,0.4],covariance=rank1", DFL_E_RANGE,
         "rho=1 is above 0.476731"},
        {"mode=exact,rho=1.01", DFL_E_RANGE, "is above 1, where a variance"},
        {"mode=exact,K=5,covariance=rank1,rho=0.51", DFL_E_RANGE, "is above 0.5, where"},
        {"mode=exact,K=5,covariance=rank1", DFL_E_RANGE, "is above 0.5, where"},
        {"s=1,rho=1", DFL_E_COMBINATION, "s and rho are both given"},
        {"K=2,pi=[0.4,0.5]", DFL_E_RANGE, "pi sums to 0.9"},
        {"K=2,pi=[0,1]", DFL_E_RANGE, "every pi must be above 0"},
        {"K=3,pi=[0.5,0.5]", DFL_E_COMBINATION, "pi has 2 entries, K is 3"},
        {"eta=1.5", DFL_E_RANGE, "eta"},
        {"K=0", DFL_E_RANGE, "K"},
        {"s=-1", DFL_E_RANGE, "s="},
    };
    dfl_model *model = knowing();
    for (size_t i = 0; i < LENGTH(cases); i++) {
        char spec[256];
        dfl_plan *plan = NULL;
        snprintf(spec, sizeof spec, "solver=ddim_gmm:%s %s", cases[i].options, grid);
        refused(dfl_plan_new(model, spec, &plan), cases[i].status, cases[i].part);
        assert_null(plan);
    }
    static const char *const fine[] = {"mode=exact,eta=1",
                                       "mode=exact,K=5,covariance=rank1,rho=0.5",
                                       "mode=exact,K=1,covariance=rank1", "eta=0,s=10"};
    for (size_t i = 0; i < LENGTH(fine); i++) dfl_plan_free(gmm_plan(model, fine[i]));
    dfl_plan *wide = gmm_plan(model, "K=17"); /* known only once the samples' size is */
    dfl_run *run = run_of(wide, model, "dtype=float64");
    double x[D];
    refused(dfl_run_sample(run, 0, 1, NULL, NULL, x), DFL_E_COMBINATION, "17 orthogonal offsets");
    dfl_run_free(run);
    dfl_plan_free(wide);
    dfl_model_free(model);
}

/* What is cut in paper mode is said, once; what is not, is not. */
static void test_warnings(void **state) {
    (void)state;
    static const struct {
        const char *options, *part; /* NULL: no warning */
    } cases[] = {
        {"eta=1", NULL},
        {"eta=1,K=8,covariance=vub", NULL},
        {"eta=1,s=0.0282,covariance=vub", NULL},
        {"eta=1,s=0.0284,covariance=vub", "in 1 of 10 steps"},
        {"eta=1,s=1,covariance=diag", "in 2 of 10 steps"},
        {"eta=1,rho=1.01", "in 9 of 10 steps"},
        {"eta=1,covariance=rank1,rho=0.378", "in 9 of 10 steps"},
        {"eta=1,covariance=rank1,rho=0.377", NULL},
        {"eta=1,K=2,pi=[0.4,0.6]", "in 9 of 10 steps"},
        {"eta=1,K=2,pi=[0.4,0.6],rho=0.8", NULL},
        {"eta=1,K=2,offsets=rand,rho=0.708", "in 9 of 10 steps"},
        {"eta=1,K=2,offsets=rand,rho=0.707", NULL},
        {"eta=1,K=2,offsets=rand,covariance=rank1,rho=0.708", "in 9 of 10 steps"},
        {"eta=1,K=2,offsets=rand,covariance=rank1,rho=0.707", NULL},
        {"eta=1,K=4,pi=[0.1,0.2,0.3,0.4],offsets=rand,covariance=rank1,rho=0.5", NULL},
        {"eta=1,K=8,offsets=rand,covariance=diag", "in 9 of 10 steps"},
        {"eta=1,K=8,offsets=rand_c,covariance=diag,rho=0.354", "in 9 of 10 steps"},
        {"eta=1,K=8,offsets=rand_c,covariance=diag,rho=0.353", NULL},
        {"eta=1,K=8,offsets=rand,covariance=vub", NULL},
        {"eta=0,s=1", "at eta=0"},
        {"eta=0", NULL},
        {"eta=1,s=1,covariance=iso", NULL},
        {"eta=1,s=1,K=1", "s=1 changes nothing here"},
    };
    dfl_model *model = knowing();
    for (size_t i = 0; i < LENGTH(cases); i++) {
        char lines[512] = "";
        dfl_plan *plan = gmm_plan(model, cases[i].options);
        assert_ok(dfl_plan_warnings(plan, lines, sizeof lines, NULL));
        const bool right = cases[i].part ? strstr(lines, cases[i].part) != NULL : !*lines;
        if (!right) print_error("%s: '%s'\n", cases[i].options, lines);
        assert_true(right);
        dfl_plan_free(plan);
    }
    dfl_model_free(model);
}

/* A single component, and s = 0, are DDIM of the same eta; kernel=rfim with eta = 0 is DDIM(0). */
static void test_limits(void **state) {
    (void)state;
    static const struct {
        const char *gmm, *ddim;
    } cases[] = {
        {"ddim_gmm:eta=0.5,K=1", "ddim:eta=0.5"},
        {"ddim_gmm:eta=1,K=1,covariance=vub", "ddim:eta=1"},
        {"ddim_gmm:eta=0,K=1", "ddim"},
        {"ddim_gmm:eta=0.7,K=8,s=0", "ddim:eta=0.7"},
        {"ddim_gmm:eta=0.7,K=8,s=0,covariance=vub,offsets=rand", "ddim:eta=0.7"},
        {"ddim_gmm:eta=0.7,K=8,rho=0,covariance=iso", "ddim:eta=0.7"},
        {"ddim_gmm:eta=0,K=8", "ddim"},
        {"rfim:eta=0", "ddim"},
        {"ddim_gmm:eta=1,K=1", "ddpm"},
    };
    enum { COUNT = 20 };
    dfl_model *model = test_mixture();
    for (size_t i = 0; i < LENGTH(cases); i++) {
        double found[2][COUNT * DIM];
        for (int k = 0; k < 2; k++) {
            char spec[256];
            snprintf(spec, sizeof spec, "solver=%s steps=7 t_end=0",
                     k ? cases[i].ddim : cases[i].gmm);
            dfl_plan *plan = plan_of(model, spec);
            sample_all(plan, model, "dtype=float64,seed=2", found[k], COUNT);
            dfl_plan_free(plan);
        }
        for (int k = 0; k < COUNT * DIM; k++) assert_true(fabs(found[0][k] - found[1][k]) < 1e-12);
    }
    dfl_model_free(model);
}

static const row *noise_use(const dfl_plan *plan, size_t *term_at) {
    const program *code = &plan->code;
    for (size_t i = 0; i < code->nrows; i++)
        for (size_t j = 0; code->rows[i].op == ROW_LIN && j < code->rows[i].nsrc; j++)
            for (size_t k = 0; k < i; k++)
                if (code->rows[k].op == ROW_NOISE &&
                    code->rows[k].dst == code->terms[code->rows[i].src + j].v) {
                    *term_at = code->rows[i].src + j;
                    return &code->rows[i];
                }
    return NULL;
}

/* iso: one Gaussian of variance sig^2 + s^2 (1 - 1/K)/D, here in the first step. */
static void test_iso(void **state) {
    (void)state;
    dfl_model *model = knowing();
    for (int eta = 0; eta <= 1; eta++) {
        char options[128];
        snprintf(options, sizeof options, "eta=%d,K=8,s=0.7,covariance=iso", eta);
        dfl_plan *plan = gmm_plan(model, options);
        const double b = plan->code.inputs[0].at.b[0], a = plan->code.inputs[0].at.a[0];
        marginal to = {{0}, {0}};
        for (size_t i = 0; i < plan->code.nrows && to.a[0] == 0; i++)
            if (plan->code.rows[i].op == ROW_STEP) to = plan->code.rows[i].at;
        const double q = to.b[0] / to.a[0] / (b / a), sigma = eta * to.b[0] * sqrt(1 - q * q);
        const double expected = sqrt(sigma * sigma + 0.7 * 0.7 * (1 - 1.0 / 8) / D);
        size_t at = 0;
        assert_non_null(noise_use(plan, &at));
        assert_true(fabs(plan->code.terms[at].c.v[0] / expected - 1) < 1e-13);
        assert_int_equal(plan->code.nkernels, 0);
        dfl_plan_free(plan);
    }
    dfl_model_free(model);
}

/* shared=1: one table for all steps, else one for each; gmm_last adds a kernel to the last step,
   which at t = 0 has no noise and is K points. */
static void test_tables_and_last(void **state) {
    (void)state;
    dfl_model *model = knowing();
    for (int shared = 0; shared <= 1; shared++)
        for (int last = 0; last <= 1; last++) {
            char options[128];
            snprintf(options, sizeof options, "eta=1,K=4,s=0.3,shared=%d,gmm_last=%d", shared,
                     last);
            dfl_plan *plan = gmm_plan(model, options);
            const program *code = &plan->code;
            assert_int_equal(code->nkernels, STEPS - 1 + last);
            assert_int_equal(plan->picks, STEPS - 1 + last);
            assert_int_equal(plan->draws, STEPS - 1);
            for (size_t i = 0; i < code->nkernels; i++)
                assert_int_equal(code->kernels[i].table, shared ? 0 : i);
            if (last) assert_true(code->kernels[STEPS - 1].sigma == 0);
            enum { COUNT = 200 };
            double x[COUNT * D];
            sample_all(plan, model, "dtype=float64", x, COUNT);
            size_t different = 0;
            for (size_t i = 0; i < COUNT; i++) {
                size_t j = 0;
                while (j < i && fabs(x[i * D] - x[j * D]) > 1e-9) j++;
                different += j == i;
            }
            assert_int_equal(different, last ? 4 : 1); /* the network knows x_0 */
            dfl_plan_free(plan);
        }
    dfl_model_free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recursion), cmocka_unit_test(test_vub_trace),
        cmocka_unit_test(test_chains),    cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_warnings),  cmocka_unit_test(test_limits),
        cmocka_unit_test(test_iso),       cmocka_unit_test(test_tables_and_last),
    };
    return cmocka_run_group_tests_name("gmm", tests, NULL, NULL);
}
