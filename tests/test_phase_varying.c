/* Conjugate integrators where beta varies and the change of variables does not commute with itself:
   one step against the differential equations of A and Phi, integrated as they stand, and the order
   of whole trajectories. */
#include "support/exact.h"
#include "support/order.h"
#include "support/step.h"
#include "support/tables.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "solver/solver.h"
#include "support/cases.h"

/* ---- one step -------------------------------------------------------------------------------- */

enum { NUMBERS = 8, FINE = 12000 };

typedef struct {
    const process *p;
    score_matching matching;
    blk B;
    int own;          /* component that moves, 0 or 1; -1: both at once */
    double lambda, w; /* where one moves: of type 2 */
} conjugation;

static blk inverse_factor(const conjugation *c, double t) {
    return blk_transpose(blk_inverse(process_factor(c->p, t, c->matching)));
}

/* dA/dt = A (B - F), dPhi/dt = A (1/2) G G^T L^-T */
static void joint_slope(const conjugation *c, double t, const double *y, double *dy) {
    const blk A = blk_2x2(y[0], y[1], y[2], y[3]), G = process_noise(c->p, t);
    const blk C = blk_add(c->B, blk_scale(-1, process_drift(c->p, t)));
    const blk push = blk_scale(0.5, blk_mul(blk_mul(G, G), inverse_factor(c, t)));
    memcpy(dy, blk_mul(A, C).v, 4 * sizeof *dy);
    memcpy(dy + 4, blk_mul(A, push).v, 4 * sizeof *dy);
}

/* The own row alone, F's off-diagonal entry and B's as forcing: a, the integral on the other
   component, and on eps. */
static void single_slope(const conjugation *c, double t, const double *y, double *dy) {
    const blk F = process_drift(c->p, t), G = process_noise(c->p, t);
    const int own = c->own, diagonal = own ? 3 : 0, across = own ? 2 : 1;
    const double GG = G.v[diagonal] * G.v[diagonal];
    const blk back = inverse_factor(c, t);
    dy[0] = y[0] * (c->lambda - c->w * F.v[diagonal]);
    dy[1] = -y[0] * (c->lambda - F.v[across]);
    for (int j = 0; j < 2; j++) dy[2 + j] = y[0] * c->w * GG / 2 * back.v[2 * own + j];
    for (int j = 4; j < NUMBERS; j++) dy[j] = 0;
}

/* From t down to s, by Runge-Kutta's method in sqrt(t). */
static void integrate(const conjugation *c, double t, double s, double *y) {
    const double h = (sqrt(s) - sqrt(t)) / FINE;
    for (int i = 0; i < FINE; i++) {
        double k[4][NUMBERS], at[NUMBERS];
        for (int j = 0; j < 4; j++) {
            const double share = j == 0 ? 0 : j == 3 ? 1 : 0.5, r = sqrt(t) + (i + share) * h;
            for (int n = 0; n < NUMBERS; n++) at[n] = y[n] + (j ? share * h * k[j - 1][n] : 0);
            if (c->own < 0)
                joint_slope(c, r * r, at, k[j]);
            else
                single_slope(c, r * r, at, k[j]);
            for (int n = 0; n < NUMBERS; n++) k[j][n] *= 2 * r;
        }
        for (int n = 0; n < NUMBERS; n++)
            y[n] += h / 6 * (k[0][n] + 2 * k[1][n] + 2 * k[2][n] + k[3][n]);
    }
}

/* z_s = A_s^-1 ((1 - h B) z_t + (Phi_s - Phi_t) eps) with A_t = 1, Phi_t = 0. */
static one_step joint_step(const conjugation *c, double t, double s) {
    double y[NUMBERS] = {1, 0, 0, 1};
    integrate(c, t, s, y);
    const blk back = blk_inverse(blk_2x2(y[0], y[1], y[2], y[3]));
    const blk kept = blk_add(blk_2x2(1, 0, 0, 1), blk_scale(s - t, c->B));
    return (one_step){blk_mul(back, kept), blk_mul(back, blk_2x2(y[4], y[5], y[6], y[7]))};
}

static one_step single_step(conjugation c, int own, double t, double s) {
    double y[NUMBERS] = {1};
    c.own = own;
    integrate(&c, t, s, y);
    const double e = 1 / y[0], Euler = (t - s) * c.lambda;
    const double kept = e * (1 - Euler), taken = e * (y[1] - Euler), x = e * y[2], m = e * y[3];
    if (own == 0) return (one_step){blk_2x2(kept, taken, 0, 1), blk_2x2(x, m, 0, 0)};
    return (one_step){blk_2x2(1, 0, taken, kept), blk_2x2(0, 0, x, m)};
}

static const char *const settings[] = {
    "psld:beta_0=0.1,beta_1=20",
    "psld:beta_0=12,beta_1=4,Gamma=0.25,nu=4.25",
    "cld:beta_0=4,beta_1=12,nu=3",
    "psld:beta_0=0,beta_1=16,Gamma=4.5,nu=0.5",
    "psld", /* the closed form is tried by the same equations */
};

static const double spans[][2] = {{1, 0.7}, {0.3, 0.02}, {0.01, 0.001}};

static double differ(one_step found, one_step right) {
    return fmax(apart(found.on_z, right.on_z), apart(found.on_y, right.on_y));
}

static void test_joint(void **state) {
    (void)state;
    static const double Bs[][4] = {
        {1, 0, 0, 1}, {1, 1, 1, 1}, {13, 13, 13, 13}, {0.5, 1, -1, 2}, {-3, 0, 0, 4}};
    double worst = 0;
    for (size_t i = 0; i < LENGTH(settings); i++)
        for (size_t k = 0; k < LENGTH(Bs); k++)
            for (size_t j = 0; j < LENGTH(spans); j++)
                for (int m = MATCH_HYBRID; m <= MATCH_DENOISING; m++) {
                    char solver[128];
                    const double *B = Bs[k], t = spans[j][0], s = spans[j][1];
                    process *p = open_process(settings[i]);
                    const conjugation c = {.p = p,
                                           .matching = (score_matching)m,
                                           .B = blk_2x2(B[0], B[1], B[2], B[3]),
                                           .own = -1};
                    snprintf(solver, sizeof solver, "conjugate:matrix=[%g,%g,%g,%g]", B[0], B[1],
                             B[2], B[3]);
                    const double off = differ(step_of(settings[i], c.matching, solver, t, s),
                                              joint_step(&c, t, s));
                    if (!(off < 1e-11)) REFUTE("%s, %s: off by %.3g", settings[i], solver, off);
                    worst = fmax(worst, off);
                    process_free(p);
                }
    print_message("joint steps off by %.2g at most\n", worst);
}

static void test_single(void **state) {
    (void)state;
    static const char *const schemes[] = {"cse", "coba"};
    double worst = 0;
    for (size_t i = 0; i < LENGTH(settings); i++)
        for (int w = 1; w <= 2; w++)
            for (size_t j = 0; j < LENGTH(spans); j++)
                for (int m = MATCH_HYBRID; m <= MATCH_DENOISING; m++) {
                    char solver[128];
                    const double t = spans[j][0], s = spans[j][1];
                    process *p = open_process(settings[i]);
                    const conjugation c = {
                        .p = p, .matching = (score_matching)m, .lambda = 1.5, .w = w};
                    const one_step kick = single_step(c, 1, t, s), move = single_step(c, 0, t, s);
                    const one_step right = {blk_mul(move.on_z, kick.on_z),
                                            blk_add(blk_mul(move.on_z, kick.on_y), move.on_y)};
                    snprintf(solver, sizeof solver,
                             "conjugate_splitting:scheme=%s,type=2,lambda=1.5", schemes[w - 1]);
                    const double off =
                        differ(step_of(settings[i], c.matching, solver, t, s), right);
                    if (!(off < 1e-11)) REFUTE("%s, %s: off by %.3g", settings[i], solver, off);
                    worst = fmax(worst, off);
                    process_free(p);
                }
    print_message("component by component off by %.2g at most\n", worst);
}

/* Type 2 by its names, and the limit of a beta that varies less and less. */
static void test_limits(void **state) {
    (void)state;
    const one_step named = step_of(settings[0], MATCH_HYBRID, "conjugate:type=2,lambda=3", 1, 0.7);
    assert_true(differ(named, step_of(settings[0], MATCH_HYBRID, "conjugate:matrix=[3,3,3,3]", 1,
                                      0.7)) == 0);
    static const char *const solvers[] = {"conjugate:type=2,lambda=3",
                                          "conjugate_splitting:scheme=cse,lambda=3"};
    for (size_t i = 0; i < LENGTH(solvers); i++) {
        const one_step still = step_of("psld", MATCH_HYBRID, solvers[i], 1, 0.7);
        double before = INFINITY;
        for (double change = 1e-2; change > 1e-8; change /= 10) {
            char spec[64];
            snprintf(spec, sizeof spec, "psld:beta_1=%.17g", 8 + change);
            const double off = differ(step_of(spec, MATCH_HYBRID, solvers[i], 1, 0.7), still);
            assert_true(off < 2 * change && off < before / 8);
            before = off;
        }
    }
}

/* ---- whole trajectories ---------------------------------------------------------------------- */

static const double starts[] = {0.8, -0.3, 0.2, 0.5, -1.1, 0.4, -0.6, 0.1};

static void run(const char *process_spec, const char *solver, int steps, double *z) {
    char spec[128];
    snprintf(spec, sizeof spec, "solver=%s grid=power:kappa=2 steps=%d", solver, steps);
    const exact_case c = {
        .process = process_spec, .half = "both", .spec = spec, .samples = 2, .start = starts};
    exact_result r;
    exact_run(&c, &r);
    memcpy(z, r.last, sizeof starts);
    exact_free(&r);
}

/* The claimed order, against the end of the flow by our multistep method. */
static void test_order(void **state) {
    (void)state;
    static const char *const solvers[] = {"conjugate:type=2,lambda=1",
                                          "conjugate:matrix=[0.5,1,-1,2]",
                                          "conjugate:type=2,lambda=1,factor=flow",
                                          "conjugate_splitting:scheme=cse,type=2",
                                          "conjugate_splitting:scheme=cvv,type=1",
                                          "conjugate_splitting:scheme=cvv,type=2"};
    static const char *const processes[] = {"psld:numerical_eps=0,beta_0=4,beta_1=12",
                                            "cld:numerical_eps=0,beta_0=0.1,beta_1=20"};
    for (size_t p = 0; p < LENGTH(processes); p++) {
        double truth[LENGTH(starts)], z[LENGTH(starts)];
        process *at = open_process(processes[p]);
        run(processes[p], "deis:order=2,factor=flow", 5120, truth);
        for (size_t i = 0; i < LENGTH(solvers); i++) {
            const solver_claims claims = claims_of(solvers[i], at);
            ladder l = ladder_of(claims.from, claims.to);
            for (size_t k = 0; k < l.n; k++) {
                run(processes[p], solvers[i], l.steps[k], z);
                l.error[k] = farthest(z, truth, LENGTH(starts));
            }
            const double all = ladder_slope(&l), last = ladder_last(&l);
            print_message("%s, %s: error %.1e, order %.2f, at last %.2f\n", processes[p],
                          solvers[i], l.error[l.n - 1], all, last);
            if (!(fabs(all - claims.order) <= 0.3 && fabs(last - claims.order) <= 0.3))
                REFUTE("order %.2f, at last %.2f", all, last);
        }
        process_free(at);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_joint),
        cmocka_unit_test(test_single),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
