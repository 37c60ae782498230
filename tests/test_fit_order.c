/* Fitted plans under order conditions, and with weights that all steps share: what stays exact, where
   they begin, what is refused. */
#include "support/fits.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "study/fit_order.h"

/* Integral of (l - from)^k d exp(-l) from `from` to `to`, by Simpson's rule. */
static double integral(int k, double from, double to) {
    enum { N = 4000 };
    const double h = (to - from) / N;
    double sum = 0;
    for (int i = 0; i <= N; i++) {
        const double weight = i == 0 || i == N ? 1 : i % 2 ? 4 : 2;
        sum -= weight * pow(i * h, k) * exp(-(from + i * h));
    }
    return sum * h / 3;
}

/* A state along the flow of the noise (l - l_n)^k, zero at t_n, and what a prediction there is. */
static double state_at(const fit *f, size_t n, int k, double t) {
    const scalar_at at = process_at(f->process, t), from = process_at(f->process, f->t[n]);
    return at.a * integral(k, from.lambda, at.lambda);
}

static double answer_at(const fit *f, size_t n, int k, size_t of) {
    const scalar_at at = process_at(f->process, f->t[of]), from = process_at(f->process, f->t[n]);
    const double noise = pow(at.lambda - from.lambda, k);
    return f->clean[of] ? (state_at(f, n, k, f->t[of]) - at.b * noise) / at.a : noise;
}

/* How far steps are from the flow of such a noise, at most, in parts of the state's change. */
static double worst(const fit *f, int k) {
    double most = 0;
    for (size_t n = (size_t)k; n < f->steps; n++) {
        double x = 0, size = 0;
        for (size_t j = 1; j < f->step[n].terms; j++) {
            const double part = f->step[n].c[j] * answer_at(f, n, k, n + 1 - j);
            x += part;
            size += fabs(part);
        }
        most = fmax(most, fabs(x - state_at(f, n, k, f->t[n + 1])) / size);
    }
    return most;
}

static const char *const cards[] = {
    "\"t_min\":0.001",
    "\"t_min\":0.001,\"prediction_type\":\"v_prediction\"",
    "\"t_min\":0.002,\"t_max\":0.99,\"process\":\"flow\",\"prediction_type\":\"flow_prediction\"",
};

/* Noise that is a polynomial of the log-SNR is integrated exactly, of a degree below the order and of no
   higher one, after the fit and after a refinement that moves the times. Kills: conditions of another
   variable, an x_0 taken for a noise, conditions that do not move with the times. */
static void test_polynomials(void **state) {
    (void)state;
    for (size_t i = 0; i < LENGTH(cards); i++) {
        dfl_model *model = mixture_with(THREE, cards[i]);
        for (int order = 2; order <= 3; order++)
            for (int refined = 0; refined < 2; refined++) {
                char spec[300];
                snprintf(spec, sizeof spec,
                         "steps=5 samples=200 held_out=50 compare=none constraint=order%d%s", order,
                         refined ? " refine=2 refine_times=1" : "");
                fit *f = fitted(model, spec, NULL);
                for (int k = 1; k < order; k++)
                    if (worst(f, k) > 1e-9)
                        REFUTE("%s, %s: degree %d off by %g", cards[i], spec, k, worst(f, k));
                assert_true(worst(f, order) > 1e-4);
                fit_free(f);
            }
        dfl_model_free(model);
    }
}

/* With a ridge that allows nothing else the plan is log-rho Adams-Bashforth, whose times are among the
   teacher's here; fitted, it is better. */
static void test_base(void **state) {
    (void)state;
    static const char spec[] = "steps=8 samples=400 held_out=300 teacher_nfe=64 compare=all "
                               "constraint=order3 ridge=";
    dfl_model *model = three();
    char whole[200];
    snprintf(whole, sizeof whole, "%s1e6", spec);
    fit *f = fitted(model, whole, NULL);
    double rms = NAN;
    for (size_t k = 0; k < f->nrivals; k++)
        if (!f->rivals[k].grid && strcmp(f->rivals[k].solver, "deis:kind=lograb,order=2") == 0)
            rms = f->rivals[k].rms;
    if (!(fabs(f->own.rms / rms - 1) < 1e-4)) REFUTE("%g, not %g", f->own.rms, rms);
    snprintf(whole, sizeof whole, "%s1e-6", spec);
    fit *free_one = fitted(model, whole, NULL);
    assert_true(free_one->own.rms < 0.8 * rms);
    fit_free(free_one);
    fit_free(f);
    dfl_model_free(model);
}

/* ---- shared weights ---------------------------------------------------------------------------- */

/* iPNDM of order 1 has 3/2 and -1/2 in all steps but the first: it is found again, whatever times and
   steps are. Kills: weights that are not in units of a step's reach, sweeps that do not settle. */
static void test_shared_weights_are_recovered(void **state) {
    (void)state;
    dfl_model *model = three();
    fit *f =
        fitted(model,
               "steps=6 history=1 ridge=0 samples=200 held_out=50 constraint=consistency share=1 "
               "teacher=deis:kind=ipndm,order=1 teacher_nfe=6 compare=none",
               NULL);
    for (size_t n = 1; n < 6; n++)
        assert_true(fabs(f->step[n].c[2] / fit_reach(f, f->t, n) + 0.5) < 1e-7);
    assert_true(f->own.rms < 1e-8);
    fit_free(f);
    dfl_model_free(model);
}

/* What the steps with a full history weigh older predictions by beyond the base, those of the last in
   w: how far they are apart at most. */
static double apart(const fit *f, int order, double *w) {
    const size_t fixed = (size_t)order + 1, most = f->step[f->steps - 1].columns - fixed;
    double worst = 0;
    for (size_t n = f->steps; n-- > 0;) {
        const fit_step *const s = &f->step[n];
        double base[FIT_NUMBERS];
        fit_base(f, f->t, n, base);
        if (s->columns < fixed + most) continue;
        for (size_t j = 0; j < most; j++) {
            const double mine = (s->c[fixed + j] - base[fixed + j]) / fit_reach(f, f->t, n);
            if (n + 1 == f->steps) w[j] = mine;
            worst = fmax(worst, fabs(mine - w[j]));
        }
    }
    return worst;
}

/* All steps with a full history have the same weights beyond the base; the same bits whatever the
   batch; and the plan's record says so. */
static void test_shared_weights(void **state) {
    (void)state;
    dfl_model *model = mixture_with(THREE, cards[1]);
    for (int order = 1; order <= 3; order++) {
        fit *f[2];
        for (int i = 0; i < 2; i++) {
            char spec[200];
            snprintf(spec, sizeof spec,
                     "steps=7 samples=100 held_out=50 share=1 compare=none batch=%d constraint=%s",
                     i ? 7 : 64,
                     order == 1   ? "consistency"
                     : order == 2 ? "order2"
                                  : "order3");
            f[i] = fitted(model, spec, NULL);
        }
        const size_t fixed = (size_t)order + 1;
        double w[FIT_COLUMNS];
        for (size_t n = 0; n < 7; n++) {
            const fit_step *const s = &f[0]->step[n];
            assert_int_equal(s->free, s->columns > fixed ? s->columns - fixed : 0);
            assert_memory_equal(s->c, f[1]->step[n].c, sizeof s->c);
        }
        assert_true(apart(f[0], order, w) < 1e-12);
        assert_true(fabs(w[0]) > 1e-3);
        text json = {0};
        assert_ok(fit_json(f[0], "x", &json));
        assert_non_null(strstr(json.data, ", shared over steps"));
        text_free(&json);
        for (int i = 0; i < 2; i++) fit_free(f[i]);
    }
    dfl_model_free(model);
}

/* A refinement keeps them the same, whether times move or not, and is nearer to the teacher: with 20
   steps sweeps end at weights that lead astray. Kills: directions of a step alone, times that move what
   a step's reach is without the weights. */
static void test_shared_weights_are_refined(void **state) {
    (void)state;
    static const char *const times[] = {"", " refine_times=1"};
    dfl_model *model = three();
    for (int order = 1; order <= 2; order++)
        for (size_t i = 0; i < LENGTH(times); i++) {
            char spec[200];
            snprintf(spec, sizeof spec,
                     "steps=20 samples=1000 held_out=500 share=1 compare=none refine=5 grid=logsnr "
                     "constraint=%s%s",
                     order == 1 ? "consistency" : "order2", times[i]);
            fit *f = fitted(model, spec, NULL);
            double w[FIT_COLUMNS];
            assert_true(apart(f, order, w) < 1e-9);
            const fit_round *const before = &f->round[0], *const best = &f->round[f->best];
            assert_true(f->best > 0 && fabs(w[0]) > 1e-3 && f->own.rms < before->rms);
            assert_true(best->objective < (order == 1 ? 0.2 : 0.9) * before->objective);
            fit_free(f);
        }
    dfl_model_free(model);
}

/* ---- refusals ---------------------------------------------------------------------------------- */

static void test_refusals(void **state) {
    (void)state;
    static const fits_refusal cases[] = {
        {"steps=4 constraint=order2 history=0", DFL_E_RANGE, "order2 needs history=1 or more"},
        {"steps=4 constraint=order3 history=1", DFL_E_RANGE, "order3 needs history=2 or more"},
        {"steps=4 share=1", DFL_E_COMBINATION, "share needs constraint=consistency"},
        {"steps=4 share=1 constraint=order2 grid=search", DFL_E_COMBINATION, "without grid=search"},
    };
    static const fits_refusal no_signal[] = {
        {"steps=4 constraint=order2 teacher=ddim", DFL_E_RANGE, "at t = 1 there is no signal"}};
    static const fits_refusal in_phase[] = {
        {"steps=4 constraint=order2", DFL_E_COMBINATION, "is not for phase space"},
        {"steps=4 constraint=consistency share=1", DFL_E_COMBINATION,
         "share is not for phase space"}};
    dfl_model *models[] = {
        three(),
        mixture_with(THREE, "\"process\":\"flow\",\"prediction_type\":\"flow_prediction\""),
        mixture_with(THREE, PHASE)};
    fits_refused(models[0], cases, LENGTH(cases));
    fits_refused(models[1], no_signal, 1);
    fits_refused(models[2], in_phase, 2);
    for (size_t i = 0; i < 3; i++) dfl_model_free(models[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_polynomials),
        cmocka_unit_test(test_base),
        cmocka_unit_test(test_shared_weights_are_recovered),
        cmocka_unit_test(test_shared_weights),
        cmocka_unit_test(test_shared_weights_are_refined),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
