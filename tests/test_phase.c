/* The phase-space process by itself: perturbation kernel, factors, prior, and the 2x2 exponential.
 */
#include "support/tables.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "process/phase.h"
#include "support/cases.h"

static double compare_cov(const json_t *expected, phase_cov found) {
    return fmax(relative(found.xx, table_real(expected, "xx")),
                fmax(relative(found.xm, table_real(expected, "xm")),
                     relative(found.mm, table_real(expected, "mm"))));
}

static double compare_factor(const json_t *expected, blk found) {
    assert_true(found.v[1] == 0);
    return fmax(relative(found.v[0], table_real(expected, "l11")),
                fmax(relative(found.v[2], table_real(expected, "l21")),
                     relative(found.v[3], table_real(expected, "l22"))));
}

/* ---- the kernel ------------------------------------------------------------------------------ */

static double kernel_row(const process *hsm, const process *dsm, const json_t *expected) {
    const double t = table_real(expected, "t"), B = phase_integral(hsm, t);
    const blk l = factor_of(hsm, t), back = blk_transpose(blk_inverse(l));
    double worst = relative(B, table_real(expected, "int_beta"));
    worst = fmax(worst,
                 relative_blk(phase_transition(hsm, B), table_matrix(expected, "mean_transition")));
    worst = fmax(worst,
                 compare_cov(json_object_get(expected, "cov_hsm_exact"), phase_covariance(hsm, t)));
    worst = fmax(worst,
                 compare_cov(json_object_get(expected, "cov_dsm_exact"), phase_covariance(dsm, t)));
    worst = fmax(worst, compare_factor(json_object_get(expected, "chol_lower_hsm_with_eps"), l));
    worst = fmax(worst, compare_factor(json_object_get(expected, "chol_lower_dsm_with_eps"),
                                       factor_of(dsm, t)));
    return fmax(worst, relative_blk(back, table_matrix(expected, "LinvT_lower_hsm_with_eps")));
}

/* The one stored kernel of VP diffusion. */
static double scalar_kernel(const json_t *list) {
    process *p = open_process("vp_linear:beta_min=0.1,beta_max=20");
    double worst = 0;
    for (size_t k = 0; k < json_array_size(list); k++) {
        const json_t *at = json_array_get(list, k);
        const scalar_at found = process_at(p, table_real(at, "t"));
        worst = fmax(worst, relative(found.a, table_real(at, "alpha")));
        worst = fmax(worst, relative(found.b, table_real(at, "sigma")));
    }
    process_free(p);
    return worst;
}

/* Every stored kernel: six settings at six times from 1e-5 to 1, given x_0 alone (m_0 drawn), and
   given both (kappa = 0). */
static void test_kernel(void **state) {
    (void)state;
    size_t done = 0;
    double worst = 0;
    json_t *file = tables_open();
    const json_t *entry;
    for (size_t i = 0; (entry = tables_entry(file, "kernel", i)); i++) {
        const json_t *list = json_object_get(entry, "rows");
        if (!json_object_get(json_object_get(entry, "process"), "Gamma")) {
            worst = fmax(worst, scalar_kernel(list));
            continue;
        }
        process *hsm = table_process(entry, -1), *dsm = table_process(entry, 0);
        for (size_t k = 0; k < json_array_size(list); k++, done++)
            worst = fmax(worst, kernel_row(hsm, dsm, json_array_get(list, k)));
        process_free(hsm);
        process_free(dsm);
    }
    json_decref(file);
    print_message("%zu kernel rows: largest relative deviation %.2g\n", done, worst);
    assert_true(done == 36 && worst < 1e-13);
}

/* ---- in 100 digits --------------------------------------------------------------------------- */

static double compare_list(const json_t *at, const char *key, const double *found, size_t n) {
    const json_t *list = json_object_get(at, key);
    double worst = 0;
    assert_int_equal(json_array_size(list), n);
    for (size_t i = 0; i < n; i++)
        worst = fmax(worst, relative(found[i], json_number_value(json_array_get(list, i))));
    return worst;
}

/* Psi, both covariances and both triangles of each. */
static double exact_row(process *const p[2], const json_t *at) {
    const double t = table_real(at, "t");
    const blk psi = phase_transition(p[0], phase_integral(p[0], t));
    double worst = compare_list(at, "psi", psi.v, 4);
    for (int m = MATCH_HYBRID; m <= MATCH_DENOISING; m++) {
        const phase_cov s =
            m == MATCH_HYBRID ? phase_covariance(p[0], t) : phase_covariance_given_both(p[0], t);
        const double entries[] = {s.xx, s.xm, s.mm};
        const blk l = process_factor(p[0], t, (score_matching)m);
        const blk u = process_factor(p[1], t, (score_matching)m);
        const double lower[] = {l.v[0], l.v[2], l.v[3]}, upper[] = {u.v[3], u.v[1], u.v[0]};
        assert_true(l.v[1] == 0 && u.v[2] == 0);
        worst = fmax(worst, compare_list(at, m ? "dsm" : "hsm", entries, 3));
        worst = fmax(worst, compare_list(at, m ? "dsm_lower" : "hsm_lower", lower, 3));
        worst = fmax(worst, compare_list(at, m ? "dsm_upper" : "hsm_upper", upper, 3));
    }
    return worst;
}

/* Given x_0, and given x_0 and m_0, down to t = 1e-9: where Sigma given x_0 is all but of rank one,
   the last entry of its factor keeps its digits, too. */
static void test_exact_factors(void **state) {
    (void)state;
    json_error_t error;
    json_t *file = json_load_file(DFL_TEST_DATA "/phase-factors.json", 0, &error);
    const json_t *list = json_object_get(file, "settings"), *entry, *at;
    double worst = 0;
    size_t i, k, done = 0;
    json_array_foreach((json_t *)(size_t)list, i, entry) {
        process *p[2];
        for (int upper = 0; upper < 2; upper++) {
            char spec[256];
            snprintf(spec, sizeof spec,
                     "psld:beta_0=%.17g,beta_1=%.17g,Gamma=%.17g,nu=%.17g,kappa=%.17g,"
                     "numerical_eps=0,factor=%s",
                     table_real(entry, "beta_0"), table_real(entry, "beta_1"),
                     table_real(entry, "Gamma"), table_real(entry, "nu"),
                     table_real(entry, "kappa"), upper ? "upper" : "lower");
            p[upper] = open_process(spec);
        }
        json_array_foreach(json_object_get(entry, "rows"), k, at) {
            worst = fmax(worst, exact_row(p, at));
            done++;
        }
        process_free(p[0]);
        process_free(p[1]);
    }
    json_decref(file);
    print_message("%zu rows of covariances and factors: largest relative deviation %.2g\n", done,
                  worst);
    assert_true(done == 72 && worst < 1e-13);
}

static const char *const settings[] = {
    "psld",
    "cld",
    "psld:Gamma=0.25,nu=4.25",
    "psld:Gamma=3,nu=0",
    "psld:Gamma=4.5,nu=0.5",
    "psld:beta_0=0.1,beta_1=20",
    "psld:beta_0=0,beta_1=16,Gamma=0.02,nu=2.02,kappa=1",
    "psld:Gamma=0.01,nu=0.010001",
};

/* Psi diag(Gamma, M nu) Psi^T: what noise from an integral D ago has become. */
static void accumulate(double D, void *user, double *out) {
    const process *p = user;
    const blk psi = phase_transition(p, D);
    const blk c = blk_mul(blk_mul(psi, phase_noise1(p)), blk_transpose(psi));
    out[0] = c.v[0];
    out[1] = c.v[1];
    out[2] = c.v[3];
}

/* The covariance against its defining integral, whose terms are positive, so that quadrature keeps
   its relative accuracy at every t; in pieces where the integral of beta is long. */
static void test_covariance(void **state) {
    (void)state;
    double worst = 0;
    for (size_t i = 0; i < LENGTH(settings); i++) {
        process *p = open_process(settings[i]);
        const phase_par *par = phase_parameters(p);
        for (double t = 1e-9; t <= 1; t *= 10) {
            const double D = phase_integral(p, t), v = par->kappa * par->M;
            const blk psi = phase_transition(p, D);
            double sum[3] = {v * psi.v[1] * psi.v[1], v * psi.v[1] * psi.v[3],
                             v * psi.v[3] * psi.v[3]};
            for (int k = 0; k < 8; k++) {
                double part[3];
                quad_gauss_n(accumulate, p, D * k / 8, D * (k + 1) / 8, 32, 3, part);
                for (int j = 0; j < 3; j++) sum[j] += part[j];
            }
            const phase_cov s = phase_covariance(p, t);
            worst = fmax(worst, fmax(relative(s.xx, sum[0]), relative(s.mm, sum[2])));
            worst = fmax(worst, fabs(s.xm - sum[1]) / sqrt(sum[0] * sum[2]));
        }
        process_free(p);
    }
    print_message("covariance down to t = 1e-9: largest relative deviation %.2g\n", worst);
    assert_true(worst < 1e-13);
}

/* Beyond the range of e^u the state is at rest: N(0, 1) and N(0, M). */
static void test_long_integrals(void **state) {
    (void)state;
    static const char *const specs[] = {
        "psld:beta_0=345,beta_1=345", "psld:beta_0=354,beta_1=354", "psld:beta_0=1000,beta_1=1000",
        "cld:beta_0=1000,beta_1=1000", "psld:Gamma=100,nu=99,beta_0=1000,beta_1=1000"};
    for (size_t i = 0; i < LENGTH(specs); i++) {
        process *p = open_process(specs[i]);
        const double M = phase_parameters(p)->M;
        for (double t = 0.999; t <= 1; t += 0.001) {
            const phase_cov s = phase_covariance(p, t);
            assert_true(fabs(s.xx - 1) < 1e-12 && fabs(s.mm / M - 1) < 1e-12);
            assert_true(fabs(s.xm) < 1e-12 && fabs(s.det / M - 1) < 1e-12);
        }
        process_free(p);
    }
    process *p;
    refused(process_new("psld:Gamma=2,nu=2", &p), DFL_E_COMBINATION, "needs them to differ");
    refused(process_new("psld:Gamma=0,nu=1e-170", &p), DFL_E_COMBINATION, "needs them to differ");
}

/* Psi = exp(F1 D), composes, and its reverse undoes it; L L^T is Sigma + numerical_eps for both
   triangles; the prior is where the kernel ends. */
static void test_factors(void **state) {
    (void)state;
    for (size_t i = 0; i < LENGTH(settings); i++) {
        process *p = open_process(settings[i]);
        const phase_par *par = phase_parameters(p);
        char upper[128];
        snprintf(upper, sizeof upper, "%s%cfactor=upper", settings[i],
                 strchr(settings[i], ':') ? ',' : ':');
        process *u = open_process(upper);
        assert_true(par->M * par->Minv == 1 || relative(par->M * par->Minv, 1) < 1e-15);
        for (double t = 1e-9; t <= 1; t *= 10) {
            const double D = phase_integral(p, t);
            const blk psi = phase_transition(p, D), l = factor_of(p, t), r = factor_of(u, t);
            const phase_cov s = phase_covariance(p, t);
            const blk sigma =
                blk_2x2(s.xx + par->numerical_eps, s.xm, s.xm, s.mm + par->numerical_eps);
            assert_true(apart(blk_exp(blk_scale(D, phase_drift1(p))), psi) < 1e-14);
            assert_true(apart(blk_mul(phase_transition(p, D / 3), phase_transition(p, D * 2 / 3)),
                              psi) < 1e-14);
            assert_true(apart(blk_mul(psi, phase_transition(p, -D)), blk_2x2(1, 0, 0, 1)) < 1e-9);
            assert_true(l.v[1] == 0 && r.v[2] == 0 && l.v[0] > 0 && l.v[3] > 0 && r.v[0] > 0);
            assert_true(relative_blk(blk_mul(l, blk_transpose(l)), sigma) < 1e-14);
            assert_true(relative_blk(blk_mul(r, blk_transpose(r)), sigma) < 1e-14);
        }
        const blk start = process_prior(p, 1);
        assert_true(start.v[0] == 1 && start.v[1] == 0 && start.v[2] == 0);
        assert_true(relative(start.v[3] * start.v[3], par->M) < 1e-15);
        process_free(u);
        process_free(p);
    }
    process *p = open_process("psld:beta_0=30,beta_1=30");
    const phase_cov far = phase_covariance(p, 1);
    assert_true(fabs(far.xx - 1) < 1e-10 && fabs(far.mm - 0.25) < 1e-10 && fabs(far.xm) < 1e-10);
    process_free(p);
}

/* t = 0 is clean data and m_0 ~ N(0, kappa M), with numerical_eps or without. */
static void test_clean(void **state) {
    (void)state;
    const double eps[] = {1e-9, 0};
    for (int i = 0; i < 2; i++) {
        marginal m;
        process *p = open_process(i ? "psld:numerical_eps=0" : "psld");
        process_marginal(p, 0, &m);
        assert_true(m.a[0] == 1 && m.a[1] == 0 && m.b[1] == 0 && m.b[2] == 0);
        assert_true(relative(m.b[0], sqrt(eps[i])) < 1e-15);
        assert_true(relative(m.b[3], sqrt(0.01 + eps[i])) < 1e-15);
        process_free(p);
    }
}

/* ---- the 2x2 exponential around critical damping --------------------------------------------- */

/* By Taylor's series of X / 2^k, squared k times, in extended precision. */
static blk slow_exp(blk x) {
    enum { HALVINGS = 12, TERMS = 24 };
    long double a[4], sum[4] = {1, 0, 0, 1}, power[4] = {1, 0, 0, 1}, next[4];
    for (int i = 0; i < 4; i++) a[i] = ldexpl((long double)x.v[i], -HALVINGS);
    for (int n = 1; n <= TERMS; n++) {
        for (int i = 0; i < 4; i++)
            next[i] = (power[i & 2] * a[i & 1] + power[(i & 2) + 1] * a[2 + (i & 1)]) / n;
        for (int i = 0; i < 4; i++) sum[i] += power[i] = next[i];
    }
    for (int n = 0; n < HALVINGS; n++) {
        for (int i = 0; i < 4; i++)
            next[i] = sum[i & 2] * sum[i & 1] + sum[(i & 2) + 1] * sum[2 + (i & 1)];
        memcpy(sum, next, sizeof sum);
    }
    return blk_2x2((double)sum[0], (double)sum[1], (double)sum[2], (double)sum[3]);
}

static double exp_error(blk x) {
    const blk right = slow_exp(x), found = blk_exp(x);
    double worst = 0, size = 0;
    for (int i = 0; i < 4; i++) {
        worst = fmax(worst, fabs(found.v[i] - right.v[i]));
        size = fmax(size, fabs(right.v[i]));
    }
    return worst / size;
}

/* Critically damped (q = 0), a little to either side, at the seams of the series, and far away. */
static void test_exp(void **state) {
    (void)state;
    const double q[] = {0,    1e-17, 1e-12, 1e-8, 9.999e-5, 1e-4,       1.0001e-4,
                        1e-3, 0.1,   1,     9,    30,       M_PI * M_PI};
    double worst = 0;
    for (size_t i = 0; i < LENGTH(q); i++)
        for (int sign = -1; sign <= 1; sign += 2)
            for (double a = -1.5; a < 2; a += 0.75) {
                const double off = (sign * q[i] - a * a) / 0.8;
                worst = fmax(worst, exp_error(blk_2x2(a - 0.4, 0.8, off, -a - 0.4)));
            }
    /* B - F of conjugate integrators: type 1 stays critical, type 2 turns from growth (lambda < 0)
       to oscillation (0 < lambda < 12) and back */
    const double lambda[] = {-5, -1e-6, 0, 1e-9, 1e-6, 0.5, 6, 11.999999, 12, 12.000001, 13, 60};
    process *p = open_process("psld");
    for (size_t i = 0; i < LENGTH(lambda); i++)
        for (double h = 1e-4; h < 0.5; h *= 3)
            for (int ones = 0; ones < 2; ones++) {
                const double l = lambda[i], other = ones ? l : 0;
                const blk B = blk_2x2(l, other, other, l);
                const blk C = blk_add(B, blk_scale(-1, process_drift(p, 0.3)));
                worst = fmax(worst, exp_error(blk_scale(h, C)));
            }
    process_free(p);
    print_message("2x2 exponential: largest deviation %.2g\n", worst);
    assert_true(worst < 3e-14);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kernel),
        cmocka_unit_test(test_exact_factors),
        cmocka_unit_test(test_covariance),
        cmocka_unit_test(test_factors),
        cmocka_unit_test(test_long_integrals),
        cmocka_unit_test(test_clean),
        cmocka_unit_test(test_exp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
