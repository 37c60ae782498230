/* The variational bound: stored terms, the decoder, bounds on known densities, choices of terms. */
#include "support/evidence.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const double log_2pi = 1.83787706640934548356;

/* ---- terms ----------------------------------------------------------------------------------- */

/* E |n - eps_hat(a x_0 + b n)|^2 by the trapezoid rule, which is exact here to all digits. */
static double mean_square(denoiser *net, const double *x, double t) {
    enum { SIDE = 57 };
    static double at_x[SIDE * SIDE][2], eps[SIDE * SIDE][2];
    static denoise_time at[SIDE * SIDE];
    static uint64_t sample[SIDE * SIDE];
    double sum = 0;
    assert_ok(denoise_at(net, t, &at[0]));
    for (size_t i = 0; i < SIDE * SIDE; i++) {
        const double n[2] = {((double)(i / SIDE) - 28) / 4, ((double)(i % SIDE) - 28) / 4};
        at[i] = at[0];
        sample[i] = i;
        for (int d = 0; d < 2; d++) at_x[i][d] = at[0].at.a * x[d] + at[0].at.b * n[d];
    }
    assert_ok(denoise(net, &(denoise_set){SIDE * SIDE, at, sample, NULL}, at_x[0], eps[0]));
    for (size_t i = 0; i < SIDE * SIDE; i++) {
        const double n[2] = {((double)(i / SIDE) - 28) / 4, ((double)(i % SIDE) - 28) / 4};
        const double weight = exp(-(n[0] * n[0] + n[1] * n[1]) / 2 - log_2pi) / 16;
        const double off[2] = {n[0] - eps[i][0], n[1] - eps[i][1]};
        sum += weight * (off[0] * off[0] + off[1] * off[1]);
    }
    return sum;
}

/* Every tenth transition of two grids and three points, both variances. Kills: be or q mistaken, a
   wrong factor, times off by one. */
static void test_stored_terms(void **state) {
    (void)state;
    denoiser net;
    double worst[2] = {0};
    size_t c, i;
    json_t *grid, *entry;
    assert_ok(denoiser_new(mixture2d, NULL, 57 * 57, false, &net));
    json_array_foreach(json_object_get(reference, "bound"), c, grid) {
        const int S = (int)number_of(grid, "S");
        const double T = number_of(grid, "T");
        json_array_foreach(json_object_get(grid, "rows"), i, entry) {
            double posterior[100], beta[100];
            numbers_of(json_object_get(entry, "transitions_posterior_var"), posterior, 100);
            numbers_of(json_object_get(entry, "transitions_beta_var"), beta, 100);
            for (int k = 0; k < S - 1; k += 13) {
                const int at = S - k, late = 5 * at < 2 * S;
                const double t = T * at / S, s = T * (at - 1) / S;
                const double square = mean_square(&net, x0 + 2 * i, t);
                const bound_term be = bound_term_of(net.process, s, t, 2, VARIANCE_BE);
                const bound_term vq = bound_term_of(net.process, s, t, 2, VARIANCE_VQ);
                worst[late] =
                    fmax(worst[late], fabs((be.constant + be.factor * square) / beta[k] - 1));
                worst[late] =
                    fmax(worst[late], fabs((vq.constant + vq.factor * square) / posterior[k] - 1));
            }
        }
    }
    /* near the data responsibilities switch within a node of the stored quadrature: on a grid twice
       as fine the trapezoid rule's values stay, the stored ones are off by this much */
    print_message("terms: relative %.1e, near the data %.1e\n", worst[0], worst[1]);
    assert_true(worst[0] < 1e-9 && worst[1] < 1e-6);
    denoiser_free(&net);
}

/* Where variance explodes a = 1 and b = sigma: be = sigma_t^2 - sigma_s^2. Kills: the terms of the
   states x, whose a shrinks, in place of x/a. */
static void test_exploding(void **state) {
    (void)state;
    process *p;
    assert_ok(process_new("edm", &p));
    const double s = 0.02, t = 0.025, from = 80 * s, to = 80 * t;
    const double be = to * to - from * from, q = be * from * from / (to * to);
    const bound_term wide = bound_term_of(p, s, t, 6, VARIANCE_BE);
    const bound_term narrow = bound_term_of(p, s, t, 6, VARIANCE_VQ);
    assert_true(fabs(wide.constant - 3 * (q / be - 1 - log(q / be))) < 1e-13);
    assert_true(fabs(wide.factor - be / (2 * to * to)) < 1e-14);
    assert_true(fabs(wide.scaled - be / (2 * to * to * to * to)) < 1e-14);
    assert_true(narrow.constant == 0);
    assert_true(fabs(narrow.factor - be * be / (2 * q * to * to)) < 1e-14);
    process_free(p);
}

/* The prior's term in closed form, and by draws where there is none. */
static void test_stored_prior(void **state) {
    (void)state;
    const likelihood_data data = values_of(x0, 3, 2);
    size_t c, i;
    json_t *grid, *entry;
    json_array_foreach(json_object_get(reference, "bound"), c, grid) {
        char spec[120];
        double plain[3], exact[3];
        const double T = number_of(grid, "T");
        snprintf(spec, sizeof spec, "method=bound steps=4 t_start=%.17g", T);
        column(mixture2d, &data, spec, ROW_PRIOR, plain);
        snprintf(spec, sizeof spec, "method=bound steps=4 t_start=%.17g prior=exact draws=500", T);
        column(mixture2d, &data, spec, ROW_PRIOR, exact);
        json_array_foreach(json_object_get(grid, "rows"), i, entry) {
            assert_true(fabs(plain[i] - number_of(entry, "LT_std")) < 1e-9);
            assert_true(fabs(exact[i] - number_of(entry, "LT_exact")) < 0.02);
        }
    }
}

/* ---- decoder --------------------------------------------------------------------------------- */

static void test_levels(void **state) {
    (void)state;
    static const double range[2] = {-1, 1};
    size_t i;
    json_t *entry;
    json_array_foreach(json_object_get(reference, "levels"), i, entry) {
        const double got = decoder_log_level((int)number_of(entry, "y"), number_of(entry, "mean"),
                                             number_of(entry, "sd"), range);
        const double expected = number_of(entry, "logp_floor1e_12");
        assert_true(fabs(got - expected) < 1e-9 * fmax(1, fabs(expected)));
    }
    /* the levels share all there is; far tails keep their digits on both sides */
    static const double means[] = {-1.3, -1, -0.2, 0.003, 0.99, 2}, sds[] = {0.01, 0.1, 1};
    for (size_t k = 0; k < LENGTH(means); k++)
        for (size_t j = 0; j < LENGTH(sds); j++) {
            double sum = 0;
            for (int y = 0; y < 256; y++) {
                const double logp = decoder_log_level(y, means[k], sds[j], range);
                const double mirrored = decoder_log_level(255 - y, -means[k], sds[j], range);
                assert_true(fabs(logp - mirrored) < 1e-9 * fmax(1, fabs(logp)));
                sum += exp(logp);
            }
            assert_true(fabs(sum - 1) < 1e-9);
        }
    const double tail = decoder_log_level(128, 0.07, 0.01, range); /* the level is 0 to 2/255 */
    const double near = (0.07 - 2.0 / 255) / 0.01, far = 7;
    assert_true(fabs(tail - log((erfc(near / sqrt(2)) - erfc(far / sqrt(2))) / 2)) < 1e-9);
    assert_true(tail > log(1e-12));
    /* another range: the same levels, stretched */
    static const double wide[2] = {0, 10};
    assert_true(fabs(decoder_log_level(77, 5 + 5 * -0.4, 5 * 0.03, wide) -
                     decoder_log_level(77, -0.4, 0.03, range)) < 1e-9);
}

/* ---- bounds ---------------------------------------------------------------------------------- */

/* Mean and standard error of the bound of one point, over draws that are images of their own. */
static void spread(const double *x, const char *spec, int which, double *mean, double *error) {
    enum { N = 1500 };
    double *many = mem_array(2 * N, sizeof *many);
    for (int i = 0; i < 2 * N; i++) many[i] = x[i % 2];
    const likelihood_data data = values_of(many, N, 2);
    likelihood *l = compute(mixture2d, &data, spec);
    likelihood_mean(l, which, mean, error);
    likelihood_free(l);
    free(many);
}

/* With exact score and prior the bound lies above -log p, by little with v = be and by more with the
   posterior's; the sum of terms is the stored one. */
static void test_bound_holds(void **state) {
    (void)state;
    const json_t *grid = json_array_get(json_object_get(reference, "bound"), 0);
    const json_t *entry = json_array_get(json_object_get(grid, "rows"), 0);
    const double nll = number_of(entry, "nll_true");
    double be, vq, path, error;
    spread(x0, "method=bound steps=40 t_start=0.4", ROW_PATH, &path, &error);
    print_message("path %.4f +- %.4f, stored %.4f\n", path, error,
                  number_of(entry, "sum_beta_var"));
    assert_true(fabs(path - number_of(entry, "sum_beta_var")) < 4 * error && error < 0.06);
    spread(x0, "method=bound steps=200 t_start=0.4 prior=exact", ROW_NATS, &be, &error);
    spread(x0, "method=bound steps=200 t_start=0.4 prior=exact variance=vq", ROW_NATS, &vq, &error);
    print_message("-log p %.4f, bounds %.4f and %.4f +- %.4f\n", nll, be, vq, error);
    assert_true(be > nll - 4 * error && be < nll + 0.1 + 4 * error);
    assert_true(vq > be + 0.5);
}

/* An unbiased choice of terms, and every one of them can be chosen. */
static void test_choice(void **state) {
    (void)state;
    double all, some, error, other;
    spread(x0, "method=bound steps=30 t_start=0.4", ROW_PATH, &all, &error);
    spread(x0, "method=bound steps=30 t_start=0.4 terms=5 seed=1", ROW_PATH, &some, &other);
    print_message("29 terms %.3f +- %.3f, 5 of them %.3f +- %.3f\n", all, error, some, other);
    assert_true(fabs(all - some) < 4 * hypot(error, other) && other < 0.3);
    double nfe;
    spread(x0, "method=bound steps=30 t_start=0.4 terms=5", ROW_NFE, &nfe, &other);
    assert_true(nfe == 6);
}

/* Terms of a row add up to it: decoder, then transitions in rising time. */
static void test_rows(void **state) {
    (void)state;
    const likelihood_data data = values_of(x0, 6, 2);
    likelihood *l = compute(mixture2d, &data, "method=bound steps=12 t_start=0.5");
    assert_int_equal(l->width, ROW_NUMBERS + 12);
    for (size_t i = 0; i < 6; i++) {
        double path = 0;
        for (int k = 1; k < 12; k++) path += row_of(l, i, ROW_NUMBERS + k);
        assert_true(fabs(path - row_of(l, i, ROW_PATH)) < 1e-12);
        assert_true(row_of(l, i, ROW_NUMBERS) == row_of(l, i, ROW_DECODER));
        const double sum =
            row_of(l, i, ROW_PRIOR) + row_of(l, i, ROW_PATH) + row_of(l, i, ROW_DECODER);
        assert_true(fabs(sum - row_of(l, i, ROW_NATS)) < 1e-12);
        assert_true(fabs(sum / (2 * log(2)) - row_of(l, i, ROW_BPD)) < 1e-12);
    }
    likelihood_free(l);
}

static dfl_model *wide_mixture(const char *kind, const char *range) {
    dfl_model *m;
    char json[600], where[PATH + 16];
    snprintf(json, sizeof json,
             "{\"format\":\"driftless-mixture/1\",\"weights\":[0.4,0.6],"
             "\"means\":[[0.5,0.2,-0.5,0.3],[-0.4,0.1,0.3,-0.5]],"
             "\"stds\":[0.15,0.2],\"card\":{\"process\":\"%s\",\"sample\":{\"shape\":[4],"
             "\"range\":%s}}}",
             kind, range);
    write_bytes(in_folder("wide.json"), json);
    snprintf(where, sizeof where, "mixture:%s", in_folder("wide.json"));
    assert_ok(dfl_model_open(where, NULL, &m));
    return m;
}

/* Clipping that clips nothing changes nothing; kills a wrong factor of |x_0 - x0_hat|^2. */
static void test_clip(void **state) {
    (void)state;
    static const char *const processes[] = {"vp_linear", "ve", "flow"};
    double x[8] = {0.4, 0.3, -0.5, 0.1, -0.3, 0, 0.2, -0.6}, plain[2], clipped[2];
    const likelihood_data data = values_of(x, 2, 4);
    for (size_t k = 0; k < LENGTH(processes); k++) {
        dfl_model *model = wide_mixture(processes[k], "[-1e6,1e6]");
        column(model, &data, "method=bound steps=20", ROW_NATS, plain);
        column(model, &data, "method=bound steps=20 clip_denoised=1", ROW_NATS, clipped);
        for (int i = 0; i < 2; i++) assert_true(fabs(plain[i] / clipped[i] - 1) < 1e-6);
        dfl_model_free(model);
        model = wide_mixture(processes[k], "[-0.1,0.1]");
        column(model, &data, "method=bound steps=20 clip_denoised=1", ROW_NATS, clipped);
        assert_true(fabs(plain[0] / clipped[0] - 1) > 1e-3);
        dfl_model_free(model);
    }
}

/* Levels of a smooth density: P(y) is nearly p times a level's width, also where variance explodes. */
static void test_discrete_data(void **state) {
    (void)state;
    static const char *const processes[][2] = {
        {"vp_linear", "uniform"},      {"vp_discrete", "uniform"},
        {"vp_cosine", "uniform"},      {"ve", "uniform"},
        {"edm", "logsnr t_end=2e-4"},  {"sub_vp", "logsnr t_end=0.02"},
        {"flow", "logsnr t_end=0.008"}};
    enum { N = 60 };
    static uint8_t bytes[4 * N];
    static double centre[4 * N];
    for (int i = 0; i < 4 * N; i++) {
        const uint8_t y[4] = {185, 150, 70, 160};
        bytes[i] = (uint8_t)(y[i % 4] + i % 5);
        centre[i] = -1 + 2.0 / 255 * bytes[i];
    }
    const likelihood_data data = {.n = N, .dim = 4, .bytes = bytes, .digest = "levels"};
    for (size_t k = 0; k < LENGTH(processes); k++) {
        dfl_model *model = wide_mixture(processes[k][0], "[-1,1]");
        double exact = 0, mean, error;
        for (size_t i = 0; i < N; i++) {
            double logp;
            assert_ok(mixture_log_density(mixture_in(model), &(marginal){{1}, {0}}, centre + 4 * i,
                                          -1, &logp));
            exact -= (logp / log(2) + 4 * log2(2.0 / 255)) / 4 / N;
        }
        char spec[100];
        snprintf(spec, sizeof spec, "method=bound steps=300 draws=4 grid=%s", processes[k][1]);
        likelihood *l = compute(model, &data, spec);
        likelihood_mean(l, ROW_BPD, &mean, &error);
        print_message("%s: bound %.4f +- %.4f, P %.4f bits/dim\n", processes[k][0], mean, error,
                      exact);
        assert_true(mean > exact - 4 * error && error < 0.05);
        assert_true(mean < exact + 0.35);
        likelihood_free(l);
        dfl_model_free(model);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stored_terms),  cmocka_unit_test(test_stored_prior),
        cmocka_unit_test(test_exploding),     cmocka_unit_test(test_levels),
        cmocka_unit_test(test_bound_holds),   cmocka_unit_test(test_choice),
        cmocka_unit_test(test_rows),          cmocka_unit_test(test_clip),
        cmocka_unit_test(test_discrete_data),
    };
    return cmocka_run_group_tests(tests, begin_group, end_group);
}
