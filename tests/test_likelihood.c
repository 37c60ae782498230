/* Likelihoods by the probability flow: stored values of another implementation, log p itself, every
   process and prediction, dequantisation; then what belongs to files and refusals. */
#include "support/evidence.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double log_2pi = 1.83787706640934548356;

static const char *spec_of(const char *format, double T) {
    static char spec[256];
    snprintf(spec, sizeof spec, format, T);
    return spec;
}

/* Largest difference of one column from stored values, with a sign for densities. */
static double off(const char *spec, int which, double sign, const json_t *list) {
    const likelihood_data data = values_of(x0, 6, 2);
    double expected[6], got[6], worst = 0;
    assert_int_equal(numbers_of(list, expected, 6), 6);
    column(mixture2d, &data, spec, which, got);
    for (int i = 0; i < 6; i++) worst = fmax(worst, fabs(sign * got[i] - expected[i]));
    return worst;
}

/* ---- the flow -------------------------------------------------------------------------------- */

/* Kills: a wrong node or weight, a wrong drift, trace or sign. The stored ones start at t = 0. */
static void test_stored_steps(void **state) {
    (void)state;
    static const struct {
        const char *key, *spec;
    } cases[] = {{"rk4_50", "form=t t_end=1e-12 steps=50 t_start=%.17g"},
                 {"rk4_200", "form=t t_end=1e-12 steps=200 t_start=%.17g"},
                 {"heun_100", "form=t t_end=1e-12 solver=heun steps=100 t_start=%.17g"},
                 {"rk4_100_from_eps1e-5", "form=t t_end=1e-5 steps=100 t_start=%.17g"}};
    size_t i;
    json_t *entry;
    json_array_foreach(json_object_get(reference, "flow"), i, entry) {
        const double T = number_of(entry, "T");
        for (size_t k = 0; k < LENGTH(cases); k++) {
            const double worst =
                off(spec_of(cases[k].spec, T), ROW_PATH, -1, json_object_get(entry, cases[k].key));
            print_message("%s, T = %g: %.1e\n", cases[k].key, T, worst);
            assert_true(worst < 1e-9);
        }
        const char *exact = "form=t steps=400 prior=exact t_end=1e-12 t_start=%.17g";
        const char *plain = "form=t steps=400 t_end=1e-12 t_start=%.17g";
        assert_true(off(spec_of(exact, T), ROW_PRIOR, -1, json_object_get(entry, "logp_T_exact")) <
                    1e-7);
        assert_true(off(spec_of(plain, T), ROW_PRIOR, -1, json_object_get(entry, "logp_T_std")) <
                    1e-7);
    }
}

static void test_stored_sigma(void **state) {
    (void)state;
    size_t i;
    json_t *entry;
    json_array_foreach(json_object_get(reference, "sigma"), i, entry) {
        const char *spec =
            spec_of("steps=200 prior=exact t_end=1e-3 t_start=%.17g", number_of(entry, "T"));
        assert_true(off(spec, ROW_NATS, -1, json_object_get(entry, "loglik_exact_prior")) < 1e-9);
        assert_true(off(spec, ROW_NATS, -1, json_object_get(entry, "logp_at_eps")) < 2e-6);
    }
}

/* With the exact start density the adaptive flow gives log p at eps itself. */
static void test_log_p(void **state) {
    (void)state;
    const process *p = NULL;
    const likelihood_data data = values_of(x0, 6, 2);
    double got[6], worst = 0;
    process *own;
    assert_ok(process_new(mixture2d->card.process, &own));
    p = own;
    for (int k = 0; k < 3; k++) {
        static const char *const specs[] = {
            "solver=ode45 rtol=1e-12 atol=1e-12 prior=exact t_end=0.001",
            "solver=ode45 rtol=1e-12 atol=1e-12 prior=exact t_end=0.02 t_start=0.3",
            "solver=ode45 rtol=1e-12 atol=1e-12 prior=exact t_end=0.001 t_start=0.2"};
        static const double eps[] = {0.001, 0.02, 0.001};
        marginal at;
        process_marginal(p, eps[k], &at);
        column(mixture2d, &data, specs[k], ROW_NATS, got);
        for (int i = 0; i < 6; i++) {
            double logp;
            assert_ok(mixture_log_density(mixture_in(mixture2d), &at, x0 + 2 * i, -1, &logp));
            worst = fmax(worst, fabs(logp + got[i]));
        }
    }
    print_message("ode45 against log p: %.1e\n", worst);
    assert_true(worst < 2e-10);
    /* and at clean data nearly, stored from quadrature-free closed form */
    const char *close = "solver=ode45 rtol=1e-11 atol=1e-11 prior=exact t_end=1e-9";
    assert_true(off(close, ROW_NATS, -1, json_object_get(reference, "true_logp0")) < 1e-8);
    process_free(own);
}

/* N(0, I/4) under every process and prediction: log p in closed form, in x/a where variance explodes.
   Kills: conversions of predictions, scalings of VE, the prior's width. */
static void test_processes(void **state) {
    (void)state;
    static const struct {
        const char *type, *more;
        bool unit;
    } cases[] = {
        {"epsilon", "", false},
        {"v_prediction", "", false},
        {"sample", "", false},
        {"score", "", false},
        {"sample", ",\"preconditioning\":{\"type\":\"edm\",\"sigma_data\":0.5}", false},
        {"epsilon", ",\"process\":\"ve\"", true},
        {"sample", ",\"process\":\"edm\",\"preconditioning\":{\"type\":\"edm\",\"sigma_data\":0.5}",
         true},
        {"epsilon", ",\"process\":\"sub_vp\"", false},
        {"epsilon", ",\"process\":\"vp_cosine\"", false},
        {"epsilon", ",\"process\":\"vp_discrete\"", false},
        {"flow_prediction", ",\"process\":\"flow\"", false},
    };
    double x[3 * D], got[3];
    for (int i = 0; i < 3 * D; i++) x[i] = 0.9 * sin(1.7 * i + 0.3);
    const likelihood_data data = values_of(x, 3, D);
    for (size_t k = 0; k < LENGTH(cases); k++) {
        dfl_model *model = gaussian_that_predicts(cases[k].type, cases[k].more);
        process *p;
        assert_ok(process_new(model->card.process, &p));
        const double eps = 0.002;
        const scalar_at at = process_at(p, eps);
        const double a = cases[k].unit ? 1 : at.a, b = cases[k].unit ? at.rho : at.b;
        const double v = a * a / 4 + b * b;
        static const char *const specs[] = {
            "solver=ode45 rtol=1e-11 atol=1e-11 prior=exact t_end=0.002",
            "steps=300 prior=exact t_end=0.002", "solver=ode45 rtol=1e-11 atol=1e-11 t_end=0.002"};
        for (int s = 0; s < 3; s++) {
            double worst = 0;
            column(model, &data, specs[s], ROW_NATS, got);
            for (int i = 0; i < 3; i++) {
                double square = 0;
                for (int d = 0; d < D; d++) square += x[i * D + d] * x[i * D + d];
                const double logp = -square / (2 * v) - D * (log(v) + log_2pi) / 2;
                worst = fmax(worst, fabs(logp + got[i]));
            }
            print_message("%s%s, %s: %.1e\n", cases[k].type, cases[k].more, specs[s], worst);
            /* the standard start is off by the divergence at T, 1e-2 where `flow` stops at 0.999 */
            const double apart = strstr(cases[k].more, "\"flow\"") ? 1e-2 : 1e-3;
            assert_true(worst < (s == 0 ? 1e-8 : s == 1 ? 2e-5 : apart));
        }
        process_free(p);
        dfl_model_free(model);
    }
}

/* E[log p - log q] is the divergence of p_T from N(0, I), for the flow is a bijection. */
static void test_divergence(void **state) {
    (void)state;
    enum { N = 1500 };
    static const double mean[3][2] = {{1.2, -0.4}, {-0.9, 0.8}, {0.1, -1.5}};
    static const double spread[3][2] = {{0.25, 0.4}, {0.3, 0.2}, {0.15, 0.35}};
    double *x = mem_array(2 * N, sizeof *x), *exact = mem_array(2 * N, sizeof *exact);
    double *plain = exact + N, sum = 0, square = 0;
    for (int i = 0; i < N; i++) {
        const int k = i % 10 < 5 ? 0 : i % 10 < 8 ? 1 : 2;
        double z[2];
        noise_normals(5, DFL_DRAW_START, 0, (uint64_t)i, 0, 2, z);
        for (int d = 0; d < 2; d++) x[2 * i + d] = mean[k][d] + spread[k][d] * z[d];
    }
    const likelihood_data data = values_of(x, N, 2);
    column(mixture2d, &data, "t_start=0.2 steps=40 prior=exact", ROW_NATS, exact);
    column(mixture2d, &data, "t_start=0.2 steps=40", ROW_NATS, plain);
    for (int i = 0; i < N; i++) {
        sum += plain[i] - exact[i];
        square += (plain[i] - exact[i]) * (plain[i] - exact[i]);
    }
    const double error = sqrt((square / N - sum / N * (sum / N)) / N);
    print_message("divergence %.4f +- %.4f, by quadrature 0.2064\n", sum / N, error);
    assert_true(fabs(sum / N - 0.206404751906712) < 4 * error && error < 0.02);
    free(x);
    free(exact);
}

/* ---- dequantisation, draws ------------------------------------------------------------------- */

/* A wide, flat density: -log2 p a dimension is the same wherever in a level u falls, and what is
   added makes it log2 256 minus nothing: a uniform density over the levels has 8 bits. Kills: either
   offset, a scale of 256 for 255. */
static void test_offsets(void **state) {
    (void)state;
    dfl_model *model = mixture4d();
    uint8_t bytes[8] = {0, 255, 128, 3, 77, 200, 255, 0};
    const likelihood_data data = {.n = 2, .dim = 4, .bytes = bytes, .digest = "levels"};
    static const struct {
        const char *spec;
        double width, low; /* of a level; of level 0 */
    } cases[] = {{"scaling=255", 2.0 / 255, -1 - 1.0 / 255}, {"scaling=256", 2.0 / 256, -1}};
    for (size_t k = 0; k < LENGTH(cases); k++) {
        likelihood *l;
        assert_ok(likelihood_new(model, &data, &(likelihood_wish){.spec = cases[k].spec}, &l));
        assert_true(fabs(l->scale - cases[k].width) < 1e-15);
        assert_true(fabs(l->offset - cases[k].low) < 1e-15);
        /* a uniform density over all levels: log p = -D log(256 width) */
        assert_true(fabs(log2(256 * cases[k].width) + l->added_bits - 8) < 1e-12);
        assert_ok(likelihood_batch(l));
        const double bits = row_of(l, 1, ROW_NATS) / (4 * log(2));
        assert_true(fabs(row_of(l, 1, ROW_BPD) - bits - l->added_bits) < 1e-12);
        for (int i = 0; i < 8; i++) {
            const double u = (l->values[i] - cases[k].low) / cases[k].width - bytes[i];
            assert_true(u >= -1e-12 && u < 1 + 1e-12);
        }
        likelihood_free(l);
    }
    dfl_model_free(model);
}

/* log p is averaged over draws; every draw has its own u. */
static void test_draws(void **state) {
    (void)state;
    dfl_model *model = mixture4d();
    uint8_t bytes[4] = {10, 200, 128, 3};
    const likelihood_data data = {.n = 1, .dim = 4, .bytes = bytes, .digest = "levels"};
    double one, four;
    column(model, &data, "steps=10 draws=1", ROW_NATS, &one);
    likelihood *l = compute(model, &data, "steps=10 draws=4");
    four = row_of(l, 0, ROW_NATS);
    assert_true(one != four && fabs(one - four) < 0.5);
    assert_true(row_of(l, 0, ROW_NFE) == 4 * 4 * 10 * 4 && likelihood_nfe(l) == 640);
    likelihood_free(l);
    dfl_model_free(model);
}

/* ---- batches, files -------------------------------------------------------------------------- */

static likelihood *of_batch(const likelihood_data *data, const char *spec, size_t first,
                            size_t count, size_t batch) {
    likelihood *l;
    const likelihood_wish wish = {.spec = spec, .first = first, .count = count, .batch = batch};
    assert_ok(likelihood_new(mixture2d, data, &wish, &l));
    return l;
}

static void test_resume(void **state) {
    (void)state;
    static const char *const specs[] = {"steps=8 trace=rademacher", "solver=ode45 trace=gaussian",
                                        "method=bound steps=20", "method=bound steps=20 terms=4"};
    const likelihood_data data = values_of(x0, 6, 2);
    for (size_t k = 0; k < LENGTH(specs); k++) {
        likelihood *whole = compute(mixture2d, &data, specs[k]);
        likelihood *part = of_batch(&data, specs[k], 0, 0, 2);
        assert_ok(likelihood_batch(part));
        assert_ok(likelihood_save(part, in_folder("part.npz")));
        likelihood_free(part);
        part = of_batch(&data, specs[k], 0, 0, 3);
        assert_ok(likelihood_resume(part, in_folder("part.npz")));
        assert_int_equal(part->done, 2);
        while (part->done < part->count) assert_ok(likelihood_batch(part));
        assert_memory_equal(part->rows, whole->rows, 6 * whole->width * sizeof(double));
        likelihood *later = of_batch(&data, specs[k], 4, 2, 1); /* images keep their numbers */
        while (later->done < 2) assert_ok(likelihood_batch(later));
        assert_memory_equal(later->rows, whole->rows + 4 * whole->width,
                            2 * whole->width * sizeof(double));
        likelihood_free(later);
        likelihood_free(part);
        likelihood_free(whole);
    }
    likelihood *other = of_batch(&data, "method=bound steps=20 terms=5", 0, 0, 3);
    refused(likelihood_resume(other, in_folder("part.npz")), DFL_E_COMBINATION, "other settings");
    likelihood_free(other);
    likelihood *same = of_batch(&data, specs[3], 0, 0, 3);
    const double was = mixture2d->card.range[1];
    mixture2d->card.range[1] += 1; /* the card was corrected */
    refused(likelihood_resume(same, in_folder("part.npz")), DFL_E_COMBINATION, "another model");
    mixture2d->card.range[1] = was;
    assert_ok(likelihood_resume(same, in_folder("part.npz")));
    likelihood_free(same);
}

static int stop_third(void *user, size_t evaluations) {
    int *calls = user;
    assert_true(evaluations == 6);
    return ++*calls == 3 ? 77 : 0;
}

/* What an observer returns ends the batch, and nothing has changed. */
static void test_watch(void **state) {
    (void)state;
    const likelihood_data data = values_of(x0, 6, 2);
    likelihood *l = of_batch(&data, "steps=4 derivative=central", 0, 0, 0);
    int calls = 0;
    l->net.watch = stop_third;
    l->net.user = &calls;
    assert_int_equal(likelihood_batch(l), 77);
    assert_int_equal(l->done, 0);
    l->net.watch = NULL;
    assert_ok(likelihood_batch(l));
    assert_int_equal(l->done, 6);
    likelihood_free(l);
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void test_refusals(void **state) {
    (void)state;
    static const struct {
        const char *spec, *says;
        dfl_status code;
    } cases[] = {
        {"t_start=1.5", "t_start", DFL_E_RANGE},
        {"t_start=0", "signal and noise", DFL_E_RANGE},
        {"t_end=0", "made for times from", DFL_E_RANGE},
        {"t_start=0.2 t_end=0.3", "must be below", DFL_E_RANGE},
        {"process=psld", "phase space", DFL_E_COMBINATION},
        {"probes=3 trace=exact", "exact trace takes 2", DFL_E_COMBINATION},
        {"probes=3 trace=hadamard", "hadamard has 2", DFL_E_RANGE},
        {"solver=ode45 steps=5", "fixed steps", DFL_E_COMBINATION},
        {"solver=ode45 form=t", "fixed steps", DFL_E_COMBINATION},
        {"rtol=1e-3", "solver=ode45", DFL_E_COMBINATION},
        {"variance=vq", "belongs to method \"bound\"", DFL_E_COMBINATION},
        {"method=bound trace=exact", "belongs to method \"flow\"", DFL_E_COMBINATION},
        {"method=bound steps=4 terms=4", "3 terms between them", DFL_E_RANGE},
        {"method=bound t_start=1.5", "t_start", DFL_E_RANGE},
        {"fd_step=2", "fd_step", DFL_E_RANGE},
        {"method=both", "method", DFL_E_RANGE},
    };
    const likelihood_data data = values_of(x0, 6, 2), wide = values_of(x0, 4, 3);
    likelihood *l;
    for (size_t i = 0; i < LENGTH(cases); i++)
        refused(likelihood_new(mixture2d, &data, &(likelihood_wish){.spec = cases[i].spec}, &l),
                cases[i].code, cases[i].says);
    refused(likelihood_new(mixture2d, &wide, &(likelihood_wish){.spec = ""}, &l), DFL_E_COMBINATION,
            "the data have 3 numbers");
    refused(likelihood_new(mixture2d, &data, &(likelihood_wish){.spec = "", .first = 6}, &l),
            DFL_E_RANGE, "end at image 5");
    refused(likelihood_new(mixture2d, &data, &(likelihood_wish){.spec = "", .first = 4, .count = 3},
                           &l),
            DFL_E_RANGE, "there are 2");
}

/* A network that takes whole times has no flow, but a bound. */
static void test_whole_times(void **state) {
    (void)state;
    dfl_model *whole;
    likelihood *l;
    char where[PATH + 16];
    write_bytes(in_folder("whole.json"),
                "{\"format\":\"driftless-mixture/1\",\"weights\":[1],\"means\":[[0.1,0.2]],"
                "\"stds\":[0.5],\"card\":{\"process\":\"vp_discrete\",\"time_map\":{\"type\":"
                "\"linear\",\"scale\":1000,\"offset\":-1,\"dtype\":\"int64\"}}}");
    snprintf(where, sizeof where, "mixture:%s", in_folder("whole.json"));
    assert_ok(dfl_model_open(where, NULL, &whole));
    const likelihood_data data = values_of(x0, 6, 2);
    refused(likelihood_new(whole, &data, &(likelihood_wish){.spec = ""}, &l), DFL_E_COMBINATION,
            "method=bound is for such networks");
    l = compute(whole, &data, "method=bound steps=7");
    assert_int_equal(l->bound.S, 7);
    for (int i = 0; i < 7; i++) {
        const double index = l->times[i] * 1000;
        assert_true(fabs(index - nearbyint(index)) < 1e-9 && index > 0.5);
    }
    assert_true(l->times[6] == 1);
    likelihood_free(l);
    l = compute(whole, &data, "method=bound"); /* all of the table */
    assert_int_equal(l->bound.S, 1000);
    likelihood_free(l);
    dfl_model_free(whole);
}

/* A function that answers NaN, and one without a density of its own. */
static int answer_nan(void *user, const dfl_request *rq) {
    (void)user;
    double *out = dfl_request_output(rq);
    for (size_t i = 0; i < 2 * dfl_request_count(rq); i++) out[i] = NAN;
    return 0;
}

static void test_failures(void **state) {
    (void)state;
    static const char card_text[] =
        "{\"format\":\"driftless-model/1\",\"process\":\"vp_linear\",\"prediction_type\":"
        "\"epsilon\",\"sample\":{\"shape\":[2]},\"t_min\":0.01,\"t_max\":0.9}";
    const likelihood_data data = values_of(x0, 6, 2);
    dfl_model *model;
    likelihood *l;
    assert_ok(dfl_model_callback(card_text, answer_nan, NULL, &model));
    refused(likelihood_new(model, &data, &(likelihood_wish){.spec = "prior=exact"}, &l),
            DFL_E_COMBINATION, "only an analytic mixture");
    refused(likelihood_new(model, &data, &(likelihood_wish){.spec = "t_start=0.95"}, &l),
            DFL_E_RANGE, "made for times up to 0.9");
    refused(likelihood_new(model, &data, &(likelihood_wish){.spec = "t_end=0.001"}, &l),
            DFL_E_RANGE, "made for times from 0.01");
    assert_ok(likelihood_new(model, &data, &(likelihood_wish){.spec = ""}, &l));
    assert_true(l->eps == 0.01 && l->T == 0.9);
    refused(likelihood_batch(l), DFL_E_NONFINITE, "not finite");
    assert_int_equal(l->done, 0);
    likelihood_free(l);
    dfl_model_free(model);
    assert_ok(likelihood_new(mixture2d, &data,
                             &(likelihood_wish){.spec = "solver=ode45 max_nfe=20 rtol=1e-9"}, &l));
    refused(likelihood_batch(l), DFL_E_RANGE, "max_nfe=20");
    likelihood_free(l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stored_steps), cmocka_unit_test(test_stored_sigma),
        cmocka_unit_test(test_log_p),        cmocka_unit_test(test_processes),
        cmocka_unit_test(test_divergence),   cmocka_unit_test(test_offsets),
        cmocka_unit_test(test_draws),        cmocka_unit_test(test_resume),
        cmocka_unit_test(test_watch),        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_whole_times),  cmocka_unit_test(test_failures),
    };
    return cmocka_run_group_tests(tests, begin_group, end_group);
}
