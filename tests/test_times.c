/* The bound as a function of T: stored curves of a known mixture with and without an error of the
   score, the exact prior, the discrete bound, every process and prediction in closed form. */
#include "support/curves.h"
#include "support/starts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static json_t *stored_curves;

static int begin_curves(void **state) {
    json_error_t error;
    stored_curves = json_load_file(DFL_TEST_DATA "/bound-times.json", 0, &error);
    if (!stored_curves) REFUTE("%s", error.text);
    return begin_group(state);
}

static int end_curves(void **state) {
    json_decref(stored_curves);
    return end_group(state);
}

/* ---- stored curves --------------------------------------------------------------------------- */

/* Where the gap of a constant error and the mismatch together are least. The stored times are those
   of a grid of 0.01. Kills: a wrong weight of the loss, a wrong mismatch, a wrong vertex. */
static void test_least(void **state) {
    (void)state;
    enum { N = 20000 };
    double *const x = points_of_mixture(N);
    const likelihood_data data = values_of(x, N, 2);
    size_t i;
    json_t *entry;
    json_array_foreach(json_object_get(stored_curves, "least"), i, entry) {
        const double T = number_of(entry, "T");
        biased w;
        dfl_model *model = biased_model(&w, number_of(entry, "c2"));
        text spec = {0};
        text_add(&spec, "times=[");
        for (int k = -7; k <= 7; k++) text_add(&spec, "%s%.2f", k > -7 ? "," : "", T + 0.01 * k);
        text_add(&spec, "]");
        times_study *s = study_of(model, &data, spec.data, NULL);
        times_choice c = choice_of(s, 50);
        const times_curve *curve = &c.curve[0];
        print_message("c2 = %g: T = %.4f +- %.4f, stored %g\n", number_of(entry, "c2"), curve->T,
                      curve->error, T);
        assert_true(curve->edge == TIMES_INSIDE);
        assert_true(fabs(curve->T - T) < 0.01);
        assert_true(curve->error > 1e-5 && curve->error < 0.01);
        assert_true(curve->low <= curve->T + 2 * curve->error &&
                    curve->high >= curve->T - 2 * curve->error && curve->low < curve->high);
        times_choice_free(&c);
        times_free(s);
        text_free(&spec);
        dfl_model_free(model);
    }
    free(x);
}

/* Path and mismatch of the exact score: path is the stored integral, path + mismatch + H(p_{eps|0})
   the data's entropy and the stored divergence; with the error, path grows by the gap. */
static void test_curve(void **state) {
    (void)state;
    enum { N = 4000 };
    double *const x = points_of_mixture(N);
    const likelihood_data data = values_of(x, N, 2);
    biased none, some;
    dfl_model *models[2] = {biased_model(&none, 0), biased_model(&some, 0.1)};
    const double eps = number_of(stored_curves, "eps"), at_eps = 0.1 * eps + 9.95 * eps * eps;
    size_t i;
    json_t *entry;
    json_array_foreach(json_object_get(stored_curves, "rows"), i, entry) {
        const double T = number_of(entry, "T"), B = 0.1 * T + 9.95 * T * T;
        const double gap = 0.1 / 2 * (B - at_eps), kl = number_of(entry, "kl");
        char spec[64];
        snprintf(spec, sizeof spec, "t_end=%g t_start=%g points=120", eps, T);
        times_study *s = study_of(models[0], &data, spec, NULL);
        times_study *off = study_of(models[1], &data, spec, NULL);
        times_choice c = choice_of(s, 0), there = choice_of(off, 0);
        const times_point *p = &c.curve[0].point[s->m - 1];
        const double b = vp_at(eps).b, entropy = LOG_2PI + 1 + 2 * log(b);
        const double total = p->total.mean - c.decoder.mean + entropy;
        const double expected = number_of(stored_curves, "entropy_eps") + kl;
        print_message("T = %g: path %.4f (%.4f), bound %.4f (%.4f) +- %.4f, gap %.5f (%.5f)\n", T,
                      p->path.mean, number_of(entry, "path"), total, expected, p->total.error,
                      there.curve[0].point[s->m - 1].path.mean - p->path.mean, gap);
        assert_true(p->path.error < 0.05 && p->total.error < 0.05);
        assert_near(p->path.mean, number_of(entry, "path"), 4 * p->path.error);
        assert_near(total, expected, 4 * p->total.error);
        /* n, and with it most of the noise, is the same in both */
        const double close = 0.02 * gap + 8 * sqrt(0.1 * gap / N);
        assert_near(there.curve[0].point[s->m - 1].path.mean - p->path.mean, gap, close);
        times_choice_free(&c);
        times_choice_free(&there);
        times_free(s);
        times_free(off);
    }
    for (int k = 0; k < 2; k++) dfl_model_free(models[k]);
    free(x);
}

/* From the data's own law at T the bound of the exact score does not know T; from N(0, I) it does,
   by the divergence. */
static void test_exact_prior(void **state) {
    (void)state;
    enum { N = 4000 };
    double *const x = points_of_mixture(N);
    const likelihood_data data = values_of(x, N, 2);
    biased w;
    dfl_model *model = biased_model(&w, 0);
    times_study *s =
        study_of(model, &data, "times=[0.1,0.15,0.2,0.25,0.3,0.35,0.4,0.5,0.6,0.7,0.8,0.9,1]",
                 exact_prior());
    times_choice c = choice_of(s, 50);
    const times_curve *plain = &c.curve[0], *exact = &c.curve[1];
    for (size_t j = 0; j < s->m; j++) {
        const times_mean *above = &exact->point[j].above;
        /* the trapezoid rule over these few times: less than 0.005 */
        assert_true(above->mean >= 0 && above->mean <= 4 * above->error + 0.005);
        if (j != exact->least) assert_true(above->error < 0.02);
    }
    size_t i, j = 0;
    json_t *entry;
    json_array_foreach(json_object_get(stored_curves, "rows"), i, entry) {
        while (s->t[j] < number_of(entry, "T") - 1e-9) j++;
        double mean = 0, square = 0;
        for (size_t k = 0; k < N; k++) mean += s->gain[j * N + k] / N;
        for (size_t k = 0; k < N; k++) square += pow(s->gain[j * N + k] - mean, 2) / N;
        assert_near(mean, number_of(entry, "kl"), 4 * sqrt(square / N) + 1e-9);
        assert_near(plain->point[j].mismatch.mean - exact->point[j].mismatch.mean, mean, 1e-9);
    }
    assert_true(plain->chosen > exact->chosen);
    assert_true(isfinite(exact->over_plain.error));
    times_choice_free(&c);
    times_free(s);
    dfl_model_free(model);
    free(x);
}

/* The integral and L_0 are those that the discrete bound tends to. */
static void test_against_bound(void **state) {
    (void)state;
    enum { N = 300 };
    double *const x = points_of_mixture(N), *const nats = mem_array(N, sizeof *nats);
    const likelihood_data data = values_of(x, N, 2);
    column(mixture2d, &data, "method=bound grid=logsnr steps=1500 t_end=0.001", ROW_NATS, nats);
    double mean = 0;
    for (int i = 0; i < N; i++) mean += nats[i] / N;
    times_study *s = study_of(mixture2d, &data, "t_end=0.001 points=1500", NULL);
    times_choice c = choice_of(s, 0);
    const times_mean total = c.curve[0].point[s->m - 1].total;
    print_message("bound %.4f, this %.4f\n", mean, total.mean);
    assert_near(total.mean, mean, 0.05); /* the same data; noise of its own */
    assert_near(c.coarse.mean, 0, 4 * c.coarse.error + 1e-4);
    times_choice_free(&c);
    times_free(s);
    free(nats);
    free(x);
}

/* ---- processes and predictions --------------------------------------------------------------- */

/* N(0, I/4): E l = D v/(v + rho^2) with v = 1/4, whose integral over log rho is elementary. */
static void test_processes(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"epsilon", ""},
        {"v_prediction", ""},
        {"sample", ""},
        {"score", ""},
        {"sample", ",\"preconditioning\":{\"type\":\"edm\",\"sigma_data\":0.5}"},
        {"epsilon", ",\"process\":\"ve\""},
        {"sample",
         ",\"process\":\"edm\",\"preconditioning\":{\"type\":\"edm\",\"sigma_data\":0.5}"},
        {"epsilon", ",\"process\":\"sub_vp\""},
        {"epsilon", ",\"process\":\"vp_cosine\""},
        {"epsilon", ",\"process\":\"vp_discrete\""},
        {"flow_prediction", ",\"process\":\"flow\""}};
    enum { N = 200 };
    double x[N * D];
    for (size_t i = 0; i < N; i++) noise_normals(5, 7, 0, i, 0, D, x + i * D);
    for (size_t i = 0; i < N * D; i++) x[i] /= 2;
    const likelihood_data data = values_of(x, N, D);
    for (size_t k = 0; k < LENGTH(cases); k++) {
        dfl_model *model = gaussian_that_predicts(cases[k][0], cases[k][1]);
        times_study *s = study_of(model, &data, "t_end=0.02 points=60", NULL);
        times_choice c = choice_of(s, 0);
        const times_point *p = &c.curve[0].point[s->m - 1];
        const double v = 0.25, lo = exp(2 * s->depth[0]), hi = exp(2 * s->depth[s->m - 1]);
        const double path = D / 2.0 * (log(hi / (v + hi)) - log(lo / (v + lo)));
        const scalar_at at = process_at(s->net.process, s->t[s->m - 1]);
        const double scale = process_prior(s->net.process, s->t[s->m - 1]).v[0];
        double gap = 0;
        for (size_t i = 0; i < N * D; i++) {
            const double m = at.a * x[i] / scale, r = at.b * at.b / (scale * scale);
            gap += (m * m + r - 1 - log(r)) / 2 / N;
        }
        print_message("%s%s: path %.4f +- %.4f (%.4f)\n", cases[k][0], cases[k][1], p->path.mean,
                      p->path.error, path);
        assert_near(p->path.mean, path, 4.5 * p->path.error + 2e-3 * path);
        assert_true(p->path.error < 0.05 * path);
        assert_near(p->mismatch.mean, gap, 1e-9);
        for (size_t j = 1; j < s->m; j++) assert_true(s->t[j] > s->t[j - 1]);
        times_choice_free(&c);
        times_free(s);
        dfl_model_free(model);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_least),       cmocka_unit_test(test_curve),
        cmocka_unit_test(test_exact_prior), cmocka_unit_test(test_against_bound),
        cmocka_unit_test(test_processes),
    };
    return cmocka_run_group_tests(tests, begin_curves, end_curves);
}
