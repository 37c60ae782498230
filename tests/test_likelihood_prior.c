/* Likelihoods with an auxiliary density at T: a mixture's own one from a file is the exact one, N(0, I) from
   a file is the standard one; classes, the time a prior was fitted at, states at T, what is refused. */
#include "support/evidence.h"
#include "support/starts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static likelihood *with_prior(dfl_model *model, const likelihood_data *data, const char *spec,
                              const char *file) {
    likelihood *l;
    char all[256];
    snprintf(all, sizeof all, "prior=file %s", spec);
    assert_ok(likelihood_new(model, data, &(likelihood_wish){.spec = all, .prior = file}, &l));
    while (l->done < l->count) assert_ok(likelihood_batch(l));
    return l;
}

static void column_with(dfl_model *model, const likelihood_data *data, const char *spec,
                        const char *file, int which, double *out) {
    likelihood *l = with_prior(model, data, spec, file);
    for (size_t i = 0; i < data->n; i++) out[i] = row_of(l, i, which);
    likelihood_free(l);
}

static double log_p(dfl_model *model, double t, const double *x, int64_t label) {
    marginal at;
    double out;
    process *p;
    assert_ok(process_new(model->card.process, &p));
    process_marginal(p, t, &at);
    assert_ok(mixture_log_density(mixture_in(model), &at, x, label, &out));
    process_free(p);
    return out;
}

/* ---- the flow -------------------------------------------------------------------------------- */

/* From any T the flow with the exact density there gives log p at eps, and so what it gives from t_max. Kills:
   a prior at another T, states in another scale. */
static void test_any_time(void **state) {
    (void)state;
    static const double times[] = {1, 0.6, 0.4, 0.2};
    const likelihood_data data = values_of(x0, 6, 2);
    const char *const file = exact_prior();
    for (size_t k = 0; k < LENGTH(times); k++) {
        char spec[160];
        double got[6], worst = 0;
        snprintf(spec, sizeof spec, "solver=ode45 rtol=1e-12 atol=1e-12 t_end=0.001 t_start=%g",
                 times[k]);
        column_with(mixture2d, &data, spec, file, ROW_NATS, got);
        for (int i = 0; i < 6; i++)
            worst = fmax(worst, fabs(got[i] + log_p(mixture2d, 0.001, x0 + 2 * i, -1)));
        print_message("T = %g, prior from a file: %.1e off log p\n", times[k], worst);
        assert_true(worst < 2e-10);
    }
}

/* log p_T of another implementation, at the states where its flow arrives: these and those. */
static void test_stored(void **state) {
    (void)state;
    const likelihood_data data = values_of(x0, 6, 2);
    const char *const file = exact_prior();
    size_t c;
    json_t *entry;
    json_array_foreach(json_object_get(reference, "flow"), c, entry) {
        char spec[160];
        double logp[6], x[12], worst = 0, apart = 0;
        likelihood *l;
        snprintf(spec, sizeof spec, "prior=file form=t steps=400 t_end=1e-12 t_start=%.17g",
                 number_of(entry, "T"));
        const likelihood_wish wish = {.spec = spec, .prior = file, .latents = true};
        assert_int_equal(numbers_of(json_object_get(entry, "logp_T_exact"), logp, 6), 6);
        assert_int_equal(numbers_of(json_object_get(entry, "x_T"), x, 12), 12);
        assert_ok(likelihood_new(mixture2d, &data, &wish, &l));
        while (l->done < l->count) assert_ok(likelihood_batch(l));
        for (size_t i = 0; i < 6; i++) worst = fmax(worst, fabs(row_of(l, i, ROW_PRIOR) + logp[i]));
        for (size_t i = 0; i < 12; i++) apart = fmax(apart, fabs(l->latents[i] - x[i]));
        print_message("T = %g: log p_T %.1e, x_T %.1e\n", l->T, worst, apart);
        assert_true(worst < 1e-7 && apart < 1e-7);
        likelihood_free(l);
    }
}

/* N(0, I/4) as model and as prior under every process: log p in closed form, in x/a where variance explodes.
   Kills: a and b of one scale with states of another. */
static void test_processes(void **state) {
    (void)state;
    static const struct {
        const char *type, *more;
        bool unit;
    } cases[] = {{"epsilon", "", false},
                 {"epsilon", ",\"process\":\"ve\"", true},
                 {"sample", ",\"process\":\"edm\"", true},
                 {"epsilon", ",\"process\":\"sub_vp\"", false},
                 {"epsilon", ",\"process\":\"vp_cosine\"", false},
                 {"epsilon", ",\"process\":\"vp_discrete\"", false},
                 {"flow_prediction", ",\"process\":\"flow\"", false}};
    static const double one[] = {1}, zero[D] = {0};
    double x[3 * D], got[3], cov[D * D] = {0};
    for (int i = 0; i < 3 * D; i++) x[i] = 0.9 * sin(1.7 * i + 0.3);
    for (int i = 0; i < D; i++) cov[i * (D + 1)] = 0.25;
    const likelihood_data data = values_of(x, 3, D);
    const char *const file = write_prior("quarter.npz", &(prior_text){.kind = "gauss",
                                                                      .k = 1,
                                                                      .d = D,
                                                                      .weights = one,
                                                                      .means = zero,
                                                                      .covs = cov,
                                                                      .state = {1, 0}});
    for (size_t k = 0; k < LENGTH(cases); k++) {
        dfl_model *model = gaussian_that_predicts(cases[k].type, cases[k].more);
        process *p;
        double worst = 0;
        assert_ok(process_new(model->card.process, &p));
        const scalar_at at = process_at(p, 0.002);
        const double a = cases[k].unit ? 1 : at.a, b = cases[k].unit ? at.rho : at.b;
        const double v = a * a / 4 + b * b;
        column_with(model, &data, "solver=ode45 rtol=1e-11 atol=1e-11 t_end=0.002 t_start=0.5",
                    file, ROW_NATS, got);
        for (int i = 0; i < 3; i++) {
            double square = 0;
            for (int d = 0; d < D; d++) square += x[i * D + d] * x[i * D + d];
            worst = fmax(
                worst, fabs(got[i] - square / (2 * v) - D * (log(v) + 1.83787706640934548356) / 2));
        }
        print_message("%s%s: %.1e\n", cases[k].type, cases[k].more, worst);
        assert_true(worst < 1e-8);
        process_free(p);
        dfl_model_free(model);
    }
}

/* ---- the bound ------------------------------------------------------------------------------- */

static const char *normal_prior(void) {
    static const double one[] = {1}, zero[2] = {0}, unit[] = {1, 0, 0, 1};
    return write_prior("normal.npz", &(prior_text){.kind = "gauss",
                                                   .k = 1,
                                                   .d = 2,
                                                   .weights = one,
                                                   .means = zero,
                                                   .covs = unit,
                                                   .state = {1, 0}});
}

/* Of a variance preserving process N(0, I) is N(0, I) at every T. */
static void test_standard(void **state) {
    (void)state;
    const likelihood_data data = values_of(x0, 6, 2);
    const char *const file = normal_prior();
    double plain[6], own[6];
    column(mixture2d, &data, "t_start=0.4 steps=20", ROW_NATS, plain);
    column_with(mixture2d, &data, "t_start=0.4 steps=20", file, ROW_NATS, own);
    for (int i = 0; i < 6; i++) assert_near(own[i], plain[i], 1e-12);
    /* the bound averages over 64 draws what it has in closed form for the standard one */
    column(mixture2d, &data, "method=bound steps=3 t_start=0.4", ROW_PRIOR, plain);
    column_with(mixture2d, &data, "method=bound steps=3 t_start=0.4 draws=500", file, ROW_PRIOR,
                own);
    for (int i = 0; i < 6; i++) assert_near(own[i], plain[i], 0.03);
}

/* -H(p_{T|0}) - E log p_T(x_T): stored quadratures, and the exact density by the same draws. */
static void test_bound_prior(void **state) {
    (void)state;
    const likelihood_data data = values_of(x0, 3, 2);
    const char *const file = exact_prior();
    size_t c, i;
    json_t *grid, *entry;
    json_array_foreach(json_object_get(reference, "bound"), c, grid) {
        char spec[120];
        double exact[3], got[3];
        snprintf(spec, sizeof spec, "method=bound steps=4 draws=500 t_start=%.17g",
                 number_of(grid, "T"));
        column_with(mixture2d, &data, spec, file, ROW_PRIOR, got);
        snprintf(spec, sizeof spec, "method=bound steps=4 draws=500 t_start=%.17g prior=exact",
                 number_of(grid, "T"));
        column(mixture2d, &data, spec, ROW_PRIOR, exact);
        json_array_foreach(json_object_get(grid, "rows"), i, entry) {
            assert_near(got[i], exact[i], 1e-10);
            assert_near(got[i], number_of(entry, "LT_exact"), 0.02);
        }
    }
}

/* Over data of the model the bound with the exact score and density is -log p but for its steps, 0.01 nats at
   400 (the specification's figure); with plain noise the divergence is added. */
static void test_truth(void **state) {
    (void)state;
    enum { N = 600 };
    static double x[2 * N], got[N], plain[N];
    double sum = 0, square = 0, apart = 0;
    for (int i = 0; i < N; i++) {
        const int k = i % 10 < 5 ? 0 : i % 10 < 8 ? 1 : 2;
        noise_normals(7, DFL_DRAW_START, 0, (uint64_t)i, 0, 2, x + 2 * i);
        for (int d = 0; d < 2; d++)
            x[2 * i + d] =
                mixture_means[2 * k + d] + sqrt(mixture_covs[4 * k + 3 * d]) * x[2 * i + d];
    }
    const likelihood_data data = values_of(x, N, 2);
    const char *const spec = "method=bound steps=400 t_start=0.4 draws=2";
    column_with(mixture2d, &data, spec, exact_prior(), ROW_NATS, got);
    column(mixture2d, &data, spec, ROW_NATS, plain);
    for (int i = 0; i < N; i++) {
        const double off = got[i] + log_p(mixture2d, 0, x + 2 * i, -1);
        sum += off;
        square += off * off;
        apart += plain[i] - got[i];
    }
    const double error = sqrt((square / N - sum / N * (sum / N)) / N);
    print_message("bound + log p %.4f +- %.4f; plain noise %.4f above\n", sum / N, error,
                  apart / N);
    assert_true(sum / N > -4 * error && sum / N < 0.05 + 4 * error && error < 0.2);
    assert_near(apart / N, 0.0233, 0.015); /* KL(p_T || N(0, I)) by quadrature */
}

/* ---- classes, times -------------------------------------------------------------------------- */

/* Classes have components of their own, in model and prior; the null class has all. */
static void test_classes(void **state) {
    (void)state;
    static const int64_t of[] = {0, 1, 1};
    static int64_t labels[6] = {0, 1, 2, 1, 0, 2};
    dfl_model *model;
    char where[PATH + 16];
    double got[6], terms[6], exact[6];
    write_bytes(
        in_folder("classes.json"),
        "{\"format\":\"driftless-mixture/1\",\"weights\":[0.5,0.3,0.2],\"means\":[[1.2,-0.4],"
        "[-0.9,0.8],[0.1,-1.5]],\"stds\":[[0.25,0.4],[0.3,0.2],[0.15,0.35]],\"labels\":[0,1,1],"
        "\"card\":{\"process\":\"vp_linear\",\"classes\":{\"count\":2,\"null\":2}}}");
    snprintf(where, sizeof where, "mixture:%s", in_folder("classes.json"));
    assert_ok(dfl_model_open(where, NULL, &model));
    const char *const file = write_prior("classes.npz", &(prior_text){.kind = "full",
                                                                      .k = 3,
                                                                      .d = 2,
                                                                      .weights = mixture_weights,
                                                                      .means = mixture_means,
                                                                      .covs = mixture_covs,
                                                                      .labels = of,
                                                                      .state = {1, 0}});
    likelihood_data data = values_of(x0, 6, 2);
    data.labels = labels;
    column_with(model, &data, "solver=ode45 rtol=1e-11 atol=1e-11 t_start=0.3 t_end=0.01", file,
                ROW_NATS, got);
    for (int i = 0; i < 6; i++)
        assert_near(-got[i], log_p(model, 0.01, x0 + 2 * i, labels[i] == 2 ? -1 : labels[i]), 1e-8);
    column_with(model, &data, "method=bound steps=3 t_start=0.3", file, ROW_PRIOR, terms);
    column(model, &data, "method=bound steps=3 t_start=0.3 prior=exact", ROW_PRIOR, exact);
    for (int i = 0; i < 6; i++) assert_near(terms[i], exact[i], 1e-10);
    dfl_model_free(model);
}

static const char *prior_of(const char *name, double a, double b) {
    static const double one[] = {1};
    return write_prior(name, &(prior_text){.kind = "gauss",
                                           .k = 1,
                                           .d = 2,
                                           .weights = one,
                                           .means = mixture_mean,
                                           .covs = mixture_cov,
                                           .state = {a, b}});
}

/* Without t_start T is that of the file, if it has one. */
static void test_time_of_file(void **state) {
    (void)state;
    const likelihood_data data = values_of(x0, 6, 2);
    const scalar_at at = vp_at(0.3);
    const char *const file = prior_of("fitted.npz", at.a, at.b);
    likelihood *l = with_prior(mixture2d, &data, "steps=3", file);
    assert_true(l->t_of_prior && l->T == 0.3);
    likelihood_free(l);
    l = with_prior(mixture2d, &data, "method=bound steps=3", file);
    assert_true(l->t_of_prior && l->T == 0.3);
    likelihood_free(l);
    l = with_prior(mixture2d, &data, "steps=3 t_start=0.3", file);
    assert_true(!l->t_of_prior && l->T == 0.3);
    likelihood_free(l);
    l = with_prior(mixture2d, &data, "steps=3", gauss_prior());
    assert_true(!l->t_of_prior && l->T == 1);
    likelihood_free(l);
    const likelihood_wish other = {.spec = "prior=file t_start=0.2", .prior = file};
    refused(likelihood_new(mixture2d, &data, &other, &l), DFL_E_COMBINATION, "good there only");
    const likelihood_wish none = {.spec = "prior=file process=sub_vp", .prior = file};
    refused(likelihood_new(mixture2d, &data, &none, &l), DFL_E_COMBINATION, "does not pass");
}

/* ---- files, refusals ------------------------------------------------------------------------- */

static likelihood *begun(const likelihood_data *data, const char *file, bool latents,
                         size_t batch) {
    likelihood *l;
    const likelihood_wish wish = {.spec = "prior=file t_start=0.4 steps=6",
                                  .batch = batch,
                                  .prior = file,
                                  .latents = latents};
    assert_ok(likelihood_new(mixture2d, data, &wish, &l));
    return l;
}

/* States at T go on with the rest; another prior, or a run without states, does not. */
static void test_resume(void **state) {
    (void)state;
    const likelihood_data data = values_of(x0, 6, 2);
    const char *const part_file = in_folder("part.npz");
    likelihood *whole = begun(&data, exact_prior(), true, 6),
               *part = begun(&data, exact_prior(), true, 4);
    assert_ok(likelihood_batch(whole));
    assert_ok(likelihood_batch(part));
    assert_ok(likelihood_save(part, part_file));
    likelihood_free(part);
    part = begun(&data, exact_prior(), true, 1);
    assert_ok(likelihood_resume(part, part_file));
    assert_int_equal(part->done, 4);
    while (part->done < 6) assert_ok(likelihood_batch(part));
    assert_memory_equal(part->rows, whole->rows, 6 * whole->width * sizeof(double));
    assert_memory_equal(part->latents, whole->latents, 12 * sizeof(double));
    likelihood_free(part);
    likelihood_free(whole);
    part = begun(&data, exact_prior(), false, 0);
    refused(likelihood_resume(part, part_file), DFL_E_COMBINATION, "other settings");
    likelihood_free(part);
    part = begun(&data, gauss_prior(), true, 0);
    refused(likelihood_resume(part, part_file), DFL_E_COMBINATION, "other settings");
    likelihood_free(part);
}

static void test_refusals(void **state) {
    (void)state;
    static const double one[] = {1}, three[9] = {0.3, 0, 0, 0, 0.3, 0, 0, 0, 0.3};
    static const int64_t label[] = {0};
    const char *const wide = write_prior("wide.npz", &(prior_text){.kind = "gauss",
                                                                   .k = 1,
                                                                   .d = 3,
                                                                   .weights = one,
                                                                   .means = three,
                                                                   .covs = three,
                                                                   .state = {1, 0}});
    const char *const labelled = write_prior("labelled.npz", &(prior_text){.kind = "gauss",
                                                                           .k = 1,
                                                                           .d = 2,
                                                                           .weights = one,
                                                                           .means = mixture_mean,
                                                                           .covs = mixture_cov,
                                                                           .labels = label,
                                                                           .state = {1, 0}});
    write_bytes(in_folder("no.npz"), "PK");
    const char *const exact = exact_prior(), *const bad = prior_of("bad.npz", 0.5, -1);
    const struct {
        const char *spec, *file, *says;
        dfl_status code;
        bool latents;
    } cases[] = {
        {"prior=file", wide, "a density of 3 numbers", DFL_E_COMBINATION, false},
        {"prior=file", labelled, "for 1 classes, but the model has 0", DFL_E_COMBINATION, false},
        {"prior=file", in_folder("none.npz"), "none.npz", DFL_E_IO, false},
        {"prior=file", in_folder("no.npz"), "no.npz", DFL_E_FORMAT, false},
        {"prior=file", bad, "a is above 0, b not below", DFL_E_FORMAT, false},
        {"prior=file", NULL, "file of a prior", DFL_E_COMBINATION, false},
        {"prior=standard", exact, "file of a prior", DFL_E_COMBINATION, false},
        {"method=bound", NULL, "method=flow", DFL_E_COMBINATION, true},
        {"draws=2", NULL, "latents are those of one", DFL_E_COMBINATION, true},
    };
    const likelihood_data data = values_of(x0, 6, 2);
    likelihood *l;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        const likelihood_wish wish = {
            .spec = cases[i].spec, .prior = cases[i].file, .latents = cases[i].latents};
        refused(likelihood_new(mixture2d, &data, &wish, &l), cases[i].code, cases[i].says);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_time),    cmocka_unit_test(test_stored),
        cmocka_unit_test(test_processes),   cmocka_unit_test(test_standard),
        cmocka_unit_test(test_bound_prior), cmocka_unit_test(test_truth),
        cmocka_unit_test(test_classes),     cmocka_unit_test(test_time_of_file),
        cmocka_unit_test(test_resume),      cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, begin_group, end_group);
}
