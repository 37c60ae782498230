/* Single steps in phase space: the flow-following factor, the coefficients that plans hold against
   stored ones, methods that must coincide, and steps that must be exact. */
#include "support/step.h"
#include "support/tables.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "process/phase.h"
#include "solver/noisefactor.h"
#include "support/cases.h"

/* ---- the flow-following factor --------------------------------------------------------------- */

static blk flow_factor(const process *p, double t, double origin) {
    const rows r = {.process = p, .form = &networks[0].form};
    return blk_transpose(blk_inverse(noise_inverse(&r, FACTOR_FLOW, t, origin)));
}

/* R(1e-3) = L(1e-3) in the stored table, by an adaptive integrator there; R_t R_s^-1 needs no such
   choice. */
static void test_stored_factor(void **state) {
    (void)state;
    json_t *file = tables_open();
    const json_t *entry = tables_entry(file, "factor_R", 0), *list = json_object_get(entry, "rows");
    process *p = table_process(entry, -1);
    double worst = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *at = json_array_get(list, i);
        const double t = table_real(at, "t");
        worst = fmax(worst, apart(flow_factor(p, t, 1e-3), table_matrix(at, "R")));
        for (size_t k = 0; k < i; k++) {
            const json_t *other = json_array_get(list, k);
            const double s = table_real(other, "t");
            const blk found = blk_mul(flow_factor(p, t, s), blk_inverse(flow_factor(p, s, s)));
            const blk stored =
                blk_mul(table_matrix(at, "R"), blk_inverse(table_matrix(other, "R")));
            worst = fmax(worst, apart(found, stored));
        }
    }
    print_message("flow factor against the stored one: %.2g\n", worst);
    assert_true(json_array_size(list) == 5 && worst < 1e-11);
    process_free(p);
    json_decref(file);
}

static const char *const settings[] = {
    "psld",
    "cld",
    "psld:Gamma=0.25,nu=4.25",
    "psld:Gamma=4.5,nu=0.5",
    "psld:beta_0=0.1,beta_1=20",
    "cld:beta_0=4,beta_1=12,nu=3",
    "psld:Gamma=0.02,nu=2.02,kappa=1",
};

/* F + G G^T Sigma^-1 / 2: the flow of data that is one point, about its mean. */
static blk point_drift(const process *p, double t) {
    const phase_cov s = phase_covariance(p, t);
    const blk G = process_noise(p, t), inverse = blk_inverse(blk_2x2(s.xx, s.xm, s.xm, s.mm));
    return blk_add(process_drift(p, t), blk_scale(0.5, blk_mul(blk_mul(G, G), inverse)));
}

/* Its transition from t to s by Runge-Kutta's method in sqrt(t). */
static blk point_flow(const process *p, double t, double s) {
    enum { FINE = 20000 };
    const double h = (sqrt(s) - sqrt(t)) / FINE;
    blk z = blk_2x2(1, 0, 0, 1), k[4];
    for (int i = 0; i < FINE; i++) {
        const double r = sqrt(t) + i * h;
        for (int j = 0; j < 4; j++) {
            const double c = j == 0 ? 0 : j == 3 ? 1 : 0.5, at = r + c * h;
            const blk y = j == 0 ? z : blk_add(z, blk_scale(c * h, k[j - 1]));
            k[j] = blk_scale(2 * at, blk_mul(point_drift(p, at * at), y));
        }
        const blk inner = blk_scale(2, blk_add(k[1], k[2]));
        z = blk_add(z, blk_scale(h / 6, blk_add(blk_add(k[0], k[3]), inner)));
    }
    return z;
}

typedef struct {
    double off, cancels; /* deviation of the step; size of the terms that cancel in it */
} point_result;

/* Data that is one point mu: eps = L^T Sigma^-1 (z - a mu), affine in z. */
static point_result point_error(const char *spec, const char *solver, double t, double s) {
    process *p = open_process(spec);
    const one_step step = step_of(spec, MATCH_HYBRID, solver, t, s);
    const phase_cov c = phase_covariance(p, t);
    const blk inverse = blk_inverse(blk_2x2(c.xx, c.xm, c.xm, c.mm));
    const blk eps = blk_mul(blk_transpose(factor_of(p, t)), inverse);
    const blk map = blk_add(step.on_z, blk_mul(step.on_y, eps)), right = point_flow(p, t, s);
    /* The deviation from the mean follows the map, the mean itself the drift. */
    const blk mean = phase_transition(p, phase_integral(p, s) - phase_integral(p, t));
    point_result result = {apart(step.on_z, mean), 1};
    for (int i = 0; i < 4; i++) {
        result.off = fmax(result.off, fabs(map.v[i] - right.v[i]));
        result.cancels = fmax(result.cancels, fabs(step.on_z.v[i]));
    }
    process_free(p);
    return result;
}

/* With the flow-following factor one step is exact for data that is one point, from wherever to
   wherever, up to the rounding of terms that grow like exp((Gamma + nu)/4 int beta) and cancel;
   with Cholesky's it is far off. */
static void test_one_point(void **state) {
    (void)state;
    static const char *const exact[] = {"deis:order=0,factor=flow",
                                        "conjugate:type=1,lambda=0,factor=flow"};
    double medium = 0, all = 0, in_units = 0, other = INFINITY;
    for (size_t i = 0; i < LENGTH(settings); i++)
        for (size_t k = 0; k < LENGTH(exact); k++) {
            const point_result whole = point_error(settings[i], exact[k], 1, 1e-3);
            medium = fmax(medium, point_error(settings[i], exact[k], 0.3, 0.02).off);
            all = fmax(all, whole.off);
            in_units = fmax(in_units, whole.off / whole.cancels);
            other = fmin(other, point_error(settings[i], "deis:order=0", 1, 1e-3).off);
        }
    print_message("one step on one point: 0.3 to 0.02 %.2g; 1 to 0.001 %.2g, or %.2g of what "
                  "cancels; cholesky %.2g at best\n",
                  medium, all, in_units, other);
    assert_true(medium < 1e-12 && all < 1e-8 && in_units < 1e-13 && other > 0.01);
}

/* ---- stored coefficients of one step --------------------------------------------------------- */

static void process_text(const json_t *entry, char *spec, size_t cap) {
    const json_t *p = json_object_get(entry, "process");
    snprintf(spec, cap, "psld:beta_0=%.17g,beta_1=%.17g,Gamma=%.17g,nu=%.17g",
             table_real(p, "beta_min"), table_real(p, "beta_max"), table_real(p, "Gamma"),
             table_real(p, "nu"));
}

/* The sub-step of one component (0: x, 1: m) out of its stored numbers. */
static one_step stored_substep(const json_t *c, int own, double lambda, double h) {
    const double e = table_real(c, "e"), r = table_real(c, "r");
    const double kept = e * (1 - h * lambda), taken = table_real(c, "g") - h * lambda * e * r;
    const double kx = table_real(c, "kx"), km = table_real(c, "km");
    if (own == 0) return (one_step){blk_2x2(kept, taken, 0, 1), blk_2x2(kx, km, 0, 0)};
    return (one_step){blk_2x2(1, 0, taken, kept), blk_2x2(0, 0, kx, km)};
}

/* First m, then x, with the same prediction. */
static double component_error(const json_t *row_of, const char *spec, const char *scheme, int w,
                              int type) {
    const double t = table_real(row_of, "t_hi"), s = table_real(row_of, "t_lo");
    const double lambda = table_real(row_of, "lam");
    const json_t *all = json_object_get(row_of, "components");
    const one_step m =
        stored_substep(json_object_get(all, w == 1 ? "m_w1" : "m_w2"), 1, lambda, t - s);
    const one_step x =
        stored_substep(json_object_get(all, w == 1 ? "x_w1" : "x_w2"), 0, lambda, t - s);
    char solver[96];
    snprintf(solver, sizeof solver, "conjugate_splitting:scheme=%s,type=%d,lambda=%.17g", scheme,
             type, lambda);
    const one_step found = step_of(spec, MATCH_HYBRID, solver, t, s);
    const blk on_y = blk_add(blk_mul(x.on_z, m.on_y), x.on_y);
    return fmax(apart(found.on_z, blk_mul(x.on_z, m.on_z)), apart(found.on_y, on_y));
}

/* 32 steps: two processes, four spans, types 1 and 2; jointly (K1, K2) and component by component
   with the ODE's and the SDE's weights. */
static void test_stored_coefficients(void **state) {
    (void)state;
    json_t *file = tables_open();
    const json_t *list = json_object_get(tables_entry(file, "coefficients", 0), "rows");
    double joint = 0, single = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *at = json_array_get(list, i);
        const int type =
            strcmp(json_string_value(json_object_get(at, "B_type")), "II") == 0 ? 2 : 1;
        char spec[160], solver[96];
        process_text(at, spec, sizeof spec);
        snprintf(solver, sizeof solver, "conjugate:type=%d,lambda=%.17g", type,
                 table_real(at, "lam"));
        const one_step found =
            step_of(spec, MATCH_HYBRID, solver, table_real(at, "t_hi"), table_real(at, "t_lo"));
        joint = fmax(joint, apart(found.on_z, table_matrix(at, "K1")));
        joint = fmax(joint, apart(found.on_y, table_matrix(at, "K2")));
        single = fmax(single, component_error(at, spec, "cse", 1, type));
        single = fmax(single, component_error(at, spec, "coba", 2, type));
    }
    print_message("one-step coefficients: joint %.2g, by component %.2g\n", joint, single);
    assert_true(json_array_size(list) == 32 && joint < 1e-13 && single < 1e-13);
    json_decref(file);
}

/* ---- methods that coincide ------------------------------------------------------------------- */

static void assert_same(const char *spec, const char *one, const char *other, double t, double s) {
    const one_step a = step_of(spec, MATCH_HYBRID, one, t, s),
                   b = step_of(spec, MATCH_HYBRID, other, t, s);
    const double off = fmax(apart(a.on_z, b.on_z), apart(a.on_y, b.on_y));
    if (!(off < 1e-13)) REFUTE("%s: %s and %s differ by %.3g", spec, one, other, off);
}

static void test_coincidences(void **state) {
    (void)state;
    for (size_t i = 0; i < LENGTH(settings); i++) {
        const char *spec = settings[i];
        assert_same(spec, "conjugate:type=1,lambda=0", "deis:order=0", 0.6, 0.5);
        assert_same(spec, "conjugate:type=1,lambda=0,factor=flow", "deis:order=0,factor=flow", 0.1,
                    0.001);
        assert_same(spec, "conjugate:type=1,lambda=1.5", "conjugate:matrix=[1.5,0,0,1.5]", 1, 0.7);
    }
    assert_same("psld", "conjugate:type=2,lambda=3", "conjugate:matrix=[3,3,3,3]", 0.2, 0.1);
    /* a short step is an Euler step, whatever B */
    const one_step euler = step_of("psld", MATCH_HYBRID, "euler", 0.5, 0.499999);
    const one_step any =
        step_of("psld", MATCH_HYBRID, "conjugate:matrix=[3,-1,2,5]", 0.5, 0.499999);
    assert_true(apart(any.on_z, euler.on_z) < 1e-9 && apart(any.on_y, euler.on_y) < 1e-9);
}

/* ---- to clean data --------------------------------------------------------------------------- */

/* on_y by mpmath, 30 digits, in sqrt(t) and in pieces that halve towards 0. */
static void test_end_weights(void **state) {
    (void)state;
    static const struct {
        const char *process;
        double on_y[4];
    } cases[] = {
        {"psld",
         {0.538969511721963183, 342.34036273817118, -0.438161382186398764, -227.935044827193758}},
        {"psld:kappa=0,numerical_eps=1e-12",
         {0.537367952604443187, 342.426884361802725, -0.438571883608083654, -228.082754643417992}},
        {"cld", {0, 336.205807133964002, 0, -224.367120839644911}},
    };
    for (size_t i = 0; i < LENGTH(cases); i++) {
        const double *y = cases[i].on_y;
        const one_step found = step_of(cases[i].process, MATCH_HYBRID, "deis:order=0", 0.5, 0);
        const double off = apart(found.on_y, blk_2x2(y[0], y[1], y[2], y[3]));
        if (!(off < 1e-14)) REFUTE("%s: %.3g off", cases[i].process, off);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stored_factor),       cmocka_unit_test(test_one_point),
        cmocka_unit_test(test_stored_coefficients), cmocka_unit_test(test_coincidences),
        cmocka_unit_test(test_end_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
