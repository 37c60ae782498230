/* Refinement of fitted plans: the optimum where it is known, and derivatives. */
#include "support/refining.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval/moments.h"

/* ---- where the best is known ------------------------------------------------------------------- */

/* On one Gaussian some plan meets the teacher exactly; from coefficients that are off by some
   percent it is found again. Kills: a wrong sign of the step, a Jacobian of another step. */
static void test_linear_score(void **state) {
    (void)state;
    static const char *const specs[] = {"", " constraint=consistency", " refine_times=1"};
    dfl_model *model = mixture_of(GAUSSIAN);
    for (size_t i = 0; i < LENGTH(specs); i++) {
        char spec[200];
        snprintf(spec, sizeof spec,
                 "steps=4 history=2 samples=40 held_out=20 compare=none refine=30%s", specs[i]);
        fit *f = made(model, spec, NULL);
        assert_ok(fit_teach(f));
        assert_ok(fit_steps(f));
        for (size_t n = 0; n < 4; n++) /* labels stay where they are told apart */
            f->step[n].c[i == 1 ? 2 : 0] += 0.03;
        if (i == 1)
            for (size_t n = 2; n < 4; n++) f->step[n].c[1] -= 0.03;
        assert_ok(refine_run(f));
        assert_true(f->round[0].rms > 1e-2);
        assert_true(f->round[f->best].rms < 1e-7);
        assert_true(f->best > 0 && f->rounds > f->best);
        fit_free(f);
    }
    dfl_model_free(model);
}

/* In phase space two of the steps' predictions meet it; the state's coefficients are off. */
static void test_linear_score_in_phase_space(void **state) {
    (void)state;
    static const char *const specs[] = {"", " refine_times=1"};
    dfl_model *model = mixture_with(GAUSSIAN, PHASE);
    for (size_t i = 0; i < LENGTH(specs); i++) {
        char spec[200];
        snprintf(spec, sizeof spec,
                 "steps=4 history=3 samples=40 held_out=20 compare=none refine=30 ridge=0%s",
                 specs[i]);
        fit *f = made(model, spec, NULL);
        assert_ok(fit_teach(f));
        assert_ok(fit_steps(f));
        for (size_t n = 0; n < 4; n++)
            for (size_t h = 0; h < 2; h++) f->step[n].c[h * f->step[n].columns + h] += 0.01;
        assert_ok(refine_run(f));
        assert_true(f->round[0].rms > 1e-2);
        if (!(f->round[f->best].rms < 1e-6))
            REFUTE("%s: %g, iterate %zu", spec, f->round[f->best].rms, f->best);
        fit_free(f);
    }
    dfl_model_free(model);
}

/* ---- derivatives ------------------------------------------------------------------------------- */

static double objective_at(const refine_goal *g, const double *point, refine_pass *p) {
    refine_score score;
    assert_ok(refine_follow(g->f, point, p));
    assert_ok(refine_measure(g, p, &score));
    return score.objective;
}

/* (R'R)[i][j] of a triangle [n][n]. */
static double gram(const double *r, size_t n, size_t i, size_t j) {
    double sum = 0;
    for (size_t k = 0; k < n; k++) sum += r[k * n + i] * r[k * n + j];
    return sum;
}

/* For |r|^2, half the gradient is J'r: the last column of the triangle's Gram matrix; its corner is
   the objective. Kills: rows of a wrong scale, branches that begin at a wrong step, moments or
   features whose derivative is another's. */
static void check_gradient(dfl_model *model, const char *spec) {
    fit *f = made(model, spec, NULL);
    refine_goal g;
    refine_pass now, probe;
    static refine_direction d[64];
    double triangle[64 * 64], point[260], moved[260];
    size_t n;
    assert_ok(fit_teach(f));
    assert_ok(fit_steps(f));
    assert_true(refine_directions_max(f) < 64 && refine_size(f) <= 260);
    assert_ok(refine_goal_new(f, &g));
    assert_true(g.h == 1e-6);
    assert_ok(refine_pass_new(f, 0, f->samples, &now));
    assert_ok(refine_pass_new(f, 0, f->samples, &probe));
    assert_ok(refine_begin(f, &now));
    assert_ok(refine_begin(f, &probe));
    refine_read(f, point);
    const double at = objective_at(&g, point, &now);
    assert_ok(refine_directions(f, point, &now, d, &n));
    if (f->features.run) g.h = 1e-4; /* features are float32 */
    assert_ok(refine_jacobian(&g, point, &now, d, n, triangle));
    assert_true(fabs(gram(triangle, n + 1, n, n) / at - 1) < 1e-6);
    double largest = 0, worst = 0;
    for (size_t k = 0; k < n; k++) {
        const double h = 1e-4, back = -h;
        assert_true(refine_move(f, point, d + k, 1, &h, moved));
        const double up = objective_at(&g, moved, &probe);
        assert_true(refine_move(f, point, d + k, 1, &back, moved));
        const double slope = (up - objective_at(&g, moved, &probe)) / (2 * h);
        largest = fmax(largest, fabs(slope));
        worst = fmax(worst, fabs(slope - 2 * gram(triangle, n + 1, k, n)));
    }
    assert_true(largest > 1e-3);
    if (worst > (f->features.run ? 3e-2 : 1e-3) * largest)
        REFUTE("%s: gradient off by %g of %g", spec, worst, largest);
    refine_pass_free(&now);
    refine_pass_free(&probe);
    refine_goal_free(&g);
    fit_free(f);
}

static void test_gradient(void **state) {
    (void)state;
    static const char *const specs[] = {
        "objective=rms",
        "objective=rms refine_times=1",
        "objective=rms refine_times=1 constraint=consistency",
        "objective=rms refine_times=1 constraint=order2",
        "objective=rms share=1 history=1 constraint=consistency",
        "objective=moments share=1 refine_times=1 constraint=order2",
        "objective=moments weight=30",
        "objective=moments refine_times=1 history=1",
        "objective=features weight=3",
        "objective=feature_distance weight=3 refine_times=1",
    };
    dfl_model *const models[] = {mixture_of(THREE), mixture_with(THREE, PHASE)};
    for (size_t m = 0; m < LENGTH(models); m++) {
        for (size_t i = 0; i < LENGTH(specs); i++) {
            char spec[200];
            const bool scalar = strstr(specs[i], "order2") || strstr(specs[i], "share");
            if (m == 1 && scalar) continue; /* not for phase space */
            snprintf(spec, sizeof spec,
                     "steps=4 samples=60 held_out=1 refine=1 batch=13 ridge=1e-2 %s", specs[i]);
            check_gradient(models[m], spec);
        }
        dfl_model_free(models[m]);
    }
}

/* J'J itself against central differences of the last states. And a direction moves the state
   that follows by what it promises: 1, root mean square. */
static void test_jacobian(void **state) {
    (void)state;
    dfl_model *model = mixture_of(THREE);
    fit *f = made(model, "steps=4 samples=60 held_out=1 refine=1 refine_times=1", NULL);
    refine_goal g;
    refine_pass now, probe;
    refine_direction d[32];
    double triangle[33 * 33], point[100], moved[100];
    size_t n;
    assert_ok(fit_teach(f));
    assert_ok(fit_steps(f));
    assert_ok(refine_goal_new(f, &g));
    assert_ok(refine_pass_new(f, 0, f->samples, &now));
    assert_ok(refine_pass_new(f, 0, f->samples, &probe));
    assert_ok(refine_begin(f, &now));
    assert_ok(refine_begin(f, &probe));
    refine_read(f, point);
    assert_ok(refine_follow(f, point, &now));
    assert_ok(refine_directions(f, point, &now, d, &n));
    assert_int_equal(n, 2 + 3 + 4 + 5 + 3);
    assert_ok(refine_jacobian(&g, point, &now, d, n, triangle));
    const size_t size = f->samples * f->dim;
    double *const slopes = mem_array(n * size, sizeof *slopes);
    for (size_t k = 0; k < n; k++) {
        const double h = 1e-4, back = -h;
        refine_move(f, point, d + k, 1, &h, moved);
        assert_ok(refine_follow(f, moved, &probe));
        double next = 0;
        for (size_t i = (d[k].step + 1) * size; i < (d[k].step + 2) * size; i++)
            next += (probe.x[i] - now.x[i]) * (probe.x[i] - now.x[i]) / (h * h * (double)size);
        if (!d[k].time) assert_true(fabs(sqrt(next) - 1) < 1e-6);
        for (size_t i = 0; i < size; i++) slopes[k * size + i] = probe.x[f->steps * size + i];
        refine_move(f, point, d + k, 1, &back, moved);
        assert_ok(refine_follow(f, moved, &probe));
        for (size_t i = 0; i < size; i++)
            slopes[k * size + i] = (slopes[k * size + i] - probe.x[f->steps * size + i]) / (2 * h);
    }
    for (size_t k = 0; k < n; k++)
        for (size_t j = 0; j <= k; j++) {
            double sum = 0;
            for (size_t i = 0; i < size; i++)
                sum += slopes[k * size + i] * slopes[j * size + i] / (double)size;
            const double scale = sqrt(gram(triangle, n + 1, k, k) * gram(triangle, n + 1, j, j));
            assert_true(fabs(gram(triangle, n + 1, k, j) - sum) < 1e-3 * scale);
        }
    free(slopes);
    refine_pass_free(&now);
    refine_pass_free(&probe);
    refine_goal_free(&g);
    fit_free(f);
    dfl_model_free(model);
}

/* ---- the distance of features ------------------------------------------------------------------ */

enum { COUNT = 40, WIDTH = 6 };

/* Features that depend on each other, the last the same for all if `flat`. */
static void draw_features(uint64_t seed, bool flat, float *out) {
    for (size_t i = 0; i < COUNT; i++) {
        double z[WIDTH];
        noise_normals(seed, 0, 0, i, 0, WIDTH, z);
        for (size_t k = 0; k < WIDTH; k++)
            out[i * WIDTH + k] =
                (float)(0.3 * (double)seed + z[k] + 0.5 * z[(k + 1) % WIDTH] * (double)(seed + k));
        if (flat) out[i * WIDTH + WIDTH - 1] = 2;
    }
}

/* Mean and covariance over all of them, without Bessel's correction. */
static void gaussian_over(const float *x, double *mean, double *cov) {
    for (size_t k = 0; k < WIDTH; k++) {
        mean[k] = 0;
        for (size_t i = 0; i < COUNT; i++) mean[k] += (double)x[i * WIDTH + k] / COUNT;
    }
    for (size_t k = 0; k < WIDTH; k++)
        for (size_t l = 0; l < WIDTH; l++) {
            double *const sum = cov + k * WIDTH + l;
            *sum = 0;
            for (size_t i = 0; i < COUNT; i++)
                *sum += ((double)x[i * WIDTH + k] - mean[k]) *
                        ((double)x[i * WIDTH + l] - mean[l]) / COUNT;
        }
}

/* It is the Frechet distance as metrics have it, whichever side has a feature that does not vary. Kills: a missing part of what cannot be reached. */
static void test_feature_distance(void **state) {
    (void)state;
    for (int flat = 0; flat < 4; flat++) {
        float made[COUNT * WIDTH], truth[COUNT * WIDTH];
        double mean[2][WIDTH], cov[2][WIDTH * WIDTH], expected;
        draw_features(1, flat & 1, made);
        draw_features(2, flat & 2, truth);
        gaussian_over(made, mean[0], cov[0]);
        gaussian_over(truth, mean[1], cov[1]);
        const gaussian a = {.d = WIDTH, .mean = mean[0], .cov = cov[0]};
        const gaussian b = {.d = WIDTH, .mean = mean[1], .cov = cov[1]};
        assert_ok(frechet_gaussian(&a, &b, &expected));
        feature_distance d;
        assert_ok(feature_distance_new(COUNT, WIDTH, made, truth, &d));
        if (!(fabs(d.distance / expected - 1) < 1e-9))
            REFUTE("flat %d: %.17g, not %.17g", flat, d.distance, expected);
        assert_int_equal(flat == 1, d.left > 1e-6);
        feature_distance_free(&d);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_linear_score),     cmocka_unit_test(test_linear_score_in_phase_space),
        cmocka_unit_test(test_gradient),         cmocka_unit_test(test_jacobian),
        cmocka_unit_test(test_feature_distance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
