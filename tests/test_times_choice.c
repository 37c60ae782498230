/* What is made of the bound as a function of T: the choice, classes, refusals, going on. */
#include "support/curves.h"
#include "support/starts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/io.h"

/* ---- the choice ------------------------------------------------------------------------------ */

static void test_vertex(void **state) {
    (void)state;
    static const double x[3] = {-1, 0.5, 3};
    const double bent[3] = {4 * 1.44, 4 * 0.09, 4 * 7.84}, line[3] = {1, 2, 4.5};
    assert_near(times_vertex(x, bent), 0.2, 1e-12);
    assert_true(times_vertex(x, line) == x[1]);
}

/* Curves put together by hand: losses are 0, so totals are the mismatches. */
static void hand_made(times_study *s, const double *curve, double apart) {
    for (size_t i = 0; i < s->count; i++) {
        memset(s->loss + i * (s->m + 1), 0, (s->m + 1) * sizeof *s->loss);
        for (size_t j = 0; j < s->m; j++)
            s->plain[j * s->count + i] =
                curve[j] + 7 * (double)i + (i % 2 ? apart : -apart) * (double)j;
    }
}

/* Images differ by much, which pairing takes out, and by `apart` between neighbouring times. */
static void test_rule(void **state) {
    (void)state;
    enum { N = 100 };
    double *const x = points_of_mixture(N);
    const likelihood_data data = values_of(x, N, 2);
    times_study *s = study_of(mixture2d, &data, "times=[0.2,0.4,0.6,0.8,1]", NULL);
    static const struct {
        double curve[5], apart;
        size_t least, chosen, last;
        times_edge edge;
        bool flat;
    } cases[] = {
        {{9, 1, 0, 1, 2}, 0.001, 2, 2, 2, TIMES_INSIDE, false},
        {{9, 1, 0, 1, 2}, 12, 2, 1, 4, TIMES_INSIDE, true}, /* se is 1.2 a time */
        {{9, 1, 0, 1, 2}, 5, 2, 2, 2, TIMES_INSIDE, true},
        {{9, 0.01, 3, 0, 2}, 0.5, 3, 3, 3, TIMES_INSIDE, false}, /* a hill is not crossed */
        {{9, 6, 4, 2, 0}, 0.1, 4, 4, 4, TIMES_AT_LAST, true},
        {{0, 1, 2, 3, 4}, 0.1, 0, 0, 0, TIMES_AT_FIRST, false},
        {{0.4, 0.3, 0.2, 0.1, 0}, 9, 4, 0, 4, TIMES_AT_LAST, true},
    };
    for (size_t k = 0; k < LENGTH(cases); k++) {
        hand_made(s, cases[k].curve, cases[k].apart);
        times_choice c = choice_of(s, 200);
        const times_curve *curve = &c.curve[0];
        const double se = cases[k].apart * sqrt((double)N / (N - 1)) / 10;
        assert_int_equal(curve->least, cases[k].least);
        assert_int_equal(curve->chosen, cases[k].chosen);
        assert_int_equal(curve->within[0], cases[k].chosen);
        assert_int_equal(curve->within[1], cases[k].last);
        assert_true(curve->edge == cases[k].edge && curve->flat == cases[k].flat);
        for (size_t j = 0; j < 5; j++) {
            const double steps = fabs((double)j - (double)curve->least);
            assert_near(curve->point[j].above.mean,
                        cases[k].curve[j] - cases[k].curve[curve->least], 1e-9);
            assert_near(curve->point[j].above.error, se * steps, 1e-9);
        }
        assert_near(curve->gain.mean, cases[k].curve[4] - cases[k].curve[curve->chosen], 1e-9);
        assert_near(curve->gain.error, se * (double)(4 - curve->chosen), 1e-9);
        assert_near(curve->over_plain.mean,
                    cases[k].curve[curve->least] - cases[k].curve[curve->chosen], 1e-9);
        assert_true(curve->T > s->t[0] - 1e-12 && curve->T < s->t[4] + 1e-12);
        times_choice_free(&c);
    }
    times_choice none = choice_of(s, 0);
    assert_true(isnan(none.curve[0].error) && isnan(none.curve[0].low));
    times_choice_free(&none);
    times_free(s);
    free(x);
}

/* ---- classes --------------------------------------------------------------------------------- */

/* Each image meets the components of its own class, without a class all of them. */
static void test_classes(void **state) {
    (void)state;
    static const char json[] =
        "{\"format\":\"driftless-model/1\",\"sample\":{\"shape\":[2]},\"prediction_type\":"
        "\"epsilon\",\"process\":\"vp_linear\",\"t_min\":0.001,\"classes\":{\"count\":2,"
        "\"null\":2}}";
    static const double w[] = {0.25, 0.75}, m[] = {-3, -3, 3, 3}, v[] = {1, 0, 0, 1, 1, 0, 0, 1};
    static const int64_t classes[] = {0, 1};
    const prior_text wish = {.kind = "full",
                             .k = 2,
                             .d = 2,
                             .weights = w,
                             .means = m,
                             .covs = v,
                             .labels = classes,
                             .state = {1, 0}};
    double x[12] = {-3, -3, 3, 3, -3, -3, 3, 3, -3, -3, 3, 3};
    int64_t labels[6] = {0, 1, 1, 0, 2, 2};
    likelihood_data data = values_of(x, 6, 2);
    data.labels = labels;
    biased none = {mixture2d, {0, 0}};
    dfl_model *model;
    if (dfl_model_callback(json, biased_answer, &none, &model)) REFUTE("%s", dfl_last_message());
    times_study *s = study_of(model, &data, "times=[0.001,0.1,0.2] prior_draws=64",
                              write_prior("classes.npz", &wish));
    const double *const gain = s->gain; /* at t = 0.001 noise is nothing */
    const double plain = 9, own = 0;    /* |x|^2/2 each */
    assert_near(gain[0], plain - own, 0.1);
    assert_near(gain[1], plain - own, 0.1);
    assert_near(gain[2], plain - 36, 0.5); /* of the other class: |6, 6|^2/2 off */
    assert_near(gain[3], plain - 36, 0.5);
    assert_near(gain[4], plain - own + log(0.25), 0.1);
    assert_near(gain[5], plain - own + log(0.75), 0.1);
    times_free(s);
    dfl_model_free(model);
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void refuse_spec(dfl_model *model, const char *spec, dfl_status expected, const char *part) {
    double x[8 * D] = {0};
    times_study *s;
    const likelihood_data data = values_of(x, 4, card_dim(&model->card));
    refused(times_new(model, &data, &(times_wish){.spec = spec}, &s), expected, part);
    assert_null(s);
}

static void refuse_prior(const char *path, const char *part) {
    times_study *s;
    double x[8] = {0};
    const likelihood_data data = values_of(x, 4, 2);
    const times_wish wish = {.spec = "points=4", .priors = &path, .npriors = 1};
    refused(times_new(mixture2d, &data, &wish, &s), DFL_E_COMBINATION, part);
}

static void test_refusals(void **state) {
    (void)state;
    refuse_spec(mixture2d, "process=psld", DFL_E_COMBINATION, "phase space");
    refuse_spec(mixture2d, "times=[0.1,0.2]", DFL_E_RANGE, "2 times");
    refuse_spec(mixture2d, "times=[0.1,0.2,0.1]", DFL_E_ARG, "there twice");
    refuse_spec(mixture2d, "times=[0,0.2,0.3]", DFL_E_RANGE, "times");
    refuse_spec(mixture2d, "times=[0.1,0.2,0.3] points=5", DFL_E_COMBINATION, "whole grid");
    refuse_spec(mixture2d, "t_start=0.2 t_end=0.3", DFL_E_RANGE, "below t_start");
    refuse_spec(mixture2d, "nonsense=1", DFL_E_KEY, "nonsense");
    biased w;
    dfl_model *model = biased_model(&w, 0);
    refuse_spec(model, "times=[0.0005,0.2,0.3]", DFL_E_RANGE, "from 0.001");
    refuse_spec(model, "t_end=0.0005", DFL_E_RANGE, "from 0.001");
    dfl_model_free(model);
    model = gaussian_that_predicts("epsilon", ",\"t_max\":0.7");
    refuse_spec(model, "t_start=0.8", DFL_E_RANGE, "for times up to");
    refuse_spec(model, "times=[0.1,0.2,0.8]", DFL_E_RANGE, "for times up to");
    refuse_spec(model, "points=3 seed=-1", DFL_E_RANGE, "seed");
    dfl_model_free(model);
    /* images */
    double x[8] = {0};
    times_study *s;
    likelihood_data data = values_of(x, 4, 2);
    refused(times_new(mixture2d, &data, &(times_wish){.spec = "", .count = 1}, &s), DFL_E_RANGE,
            "standard error");
    refused(times_new(mixture2d, &data, &(times_wish){.spec = "", .count = 5}, &s), DFL_E_RANGE,
            "there are 4");
    refused(times_new(mixture2d, &data, &(times_wish){.spec = "", .first = 4}, &s), DFL_E_RANGE,
            "end at image 3");
    data = values_of(x, 2, 4);
    refused(times_new(mixture2d, &data, &(times_wish){.spec = ""}, &s), DFL_E_COMBINATION,
            "4 numbers");
    /* priors */
    static const double one[3] = {1}, mean[4] = {0},
                        cov[16] = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1};
    const prior_text wide = {.kind = "gauss",
                             .k = 1,
                             .d = 4,
                             .weights = one,
                             .means = mean,
                             .covs = cov,
                             .state = {1, 0}};
    const prior_text late = {.kind = "gauss",
                             .k = 1,
                             .d = 2,
                             .weights = one,
                             .means = mean,
                             .covs = mixture_covs,
                             .state = {0.8, 0.6}};
    refuse_prior(write_prior("wide.npz", &wide), "4 numbers");
    refuse_prior(write_prior("late.npz", &late), "fitted to clean data");
}

static const char guided_card[] =
    "{\"format\":\"driftless-model/1\",\"sample\":{\"shape\":[2]},\"prediction_type\":\"epsilon\","
    "\"process\":\"vp_linear\",\"t_min\":0.001,\"classes\":{\"count\":2,\"null\":2}}";

static void test_guided(void **state) {
    (void)state;
    biased none = {mixture2d, {0, 0}};
    dfl_model *model;
    assert_ok(dfl_model_callback(guided_card, biased_answer, &none, &model));
    assert_ok(dfl_model_guide(model, 2, &model));
    refuse_spec(model, "points=4", DFL_E_COMBINATION, "guided");
    dfl_model_free(model);
}

/* Integer times: the grid has those of the table that are nearest, each once. */
static void test_whole_times(void **state) {
    (void)state;
    static const char json[] =
        "{\"format\":\"driftless-model/1\",\"sample\":{\"shape\":[2]},\"prediction_type\":"
        "\"epsilon\",\"process\":\"vp_discrete\",\"time_map\":{\"type\":\"linear\",\"scale\":1000,"
        "\"offset\":-1,\"dtype\":\"int64\"},\"t_min\":0.001}";
    double *const x = points_of_mixture(4);
    const likelihood_data data = values_of(x, 4, 2);
    biased none = {mixture2d, {0, 0}};
    dfl_model *model;
    assert_ok(dfl_model_callback(json, biased_answer, &none, &model));
    times_study *s = study_of(model, &data, "points=200", NULL);
    assert_in_range(s->m, 100, 199);
    for (size_t j = 0; j < s->m; j++) {
        assert_near(1000 * s->t[j], nearbyint(1000 * s->t[j]), 1e-9);
        if (j) assert_true(s->t[j] > s->t[j - 1]);
    }
    times_free(s);
    refuse_spec(model, "times=[0.1,0.2005,0.3]", DFL_E_COMBINATION, "integer times");
    dfl_model_free(model);
    free(x);
}

/* ---- going on -------------------------------------------------------------------------------- */

static times_study *fresh(const likelihood_data *data, const char *spec, size_t batch) {
    times_study *s;
    static char where[PATH];
    const char *const path = where;
    snprintf(where, sizeof where, "%s", gauss_prior());
    const times_wish wish = {
        .spec = spec, .count = 20, .first = 3, .batch = batch, .priors = &path, .npriors = 1};
    assert_ok(times_new(mixture2d, data, &wish, &s));
    return s;
}

static void assert_same_study(const times_study *a, const times_study *b) {
    assert_true(times_finished(a) && times_finished(b) && a->m == b->m && a->count == b->count);
    assert_memory_equal(a->loss, b->loss, a->count * (a->m + 1) * sizeof *a->loss);
    assert_memory_equal(a->gain, b->gain, a->count * a->m * sizeof *a->gain);
}

/* Taken up after any step, and in other batches, the same bits come out. */
static void test_going_on(void **state) {
    (void)state;
    double *const x = points_of_mixture(30);
    const likelihood_data data = values_of(x, 30, 2);
    times_study *whole = fresh(&data, "points=5", 7);
    char part[PATH];
    snprintf(part, sizeof part, "%s", in_folder("study.part"));
    while (!times_finished(whole)) assert_ok(times_step(whole));
    for (int stop = 0; stop < 12; stop++) {
        times_study *s = fresh(&data, "points=5", 3);
        for (int k = 0; k < stop; k++) assert_ok(times_step(s));
        assert_ok(times_save(s, part));
        times_free(s);
        s = fresh(&data, "points=5", 4);
        assert_ok(times_resume(s, part));
        while (!times_finished(s)) assert_ok(times_step(s));
        assert_ok(times_step(s)); /* nothing is left */
        assert_same_study(whole, s);
        times_free(s);
    }
    times_study *other = fresh(&data, "points=5 seed=1", 7);
    refused(times_resume(other, part), DFL_E_COMBINATION, "or settings");
    times_free(other);
    other = fresh(&data, "points=5", 7);
    const double was = mixture2d->card.range[1];
    mixture2d->card.range[1] += 1; /* the card was corrected */
    refused(times_resume(other, part), DFL_E_COMBINATION, "another model");
    mixture2d->card.range[1] = was;
    times_free(other);
    times_free(whole);
    free(x);
}

/* An image's numbers do not know where the study began. Kills: an offset forgotten. */
static void test_first(void **state) {
    (void)state;
    double *const x = points_of_mixture(23);
    const likelihood_data data = values_of(x, 23, 2);
    times_study *late = fresh(&data, "points=5", 7);
    while (!times_finished(late)) assert_ok(times_step(late));
    times_study *all = study_of(mixture2d, &data, "points=5", gauss_prior());
    for (size_t i = 0; i < 20; i++) {
        for (size_t j = 0; j < 6; j++)
            assert_true(late->loss[i * 6 + j] == all->loss[(i + 3) * 6 + j]);
        for (size_t k = 0; k < 2; k++)
            for (size_t j = 0; j < 5; j++)
                assert_true(times_mismatch(late, k, j, i) == times_mismatch(all, k, j, i + 3));
    }
    times_free(all);
    times_free(late);
    free(x);
}

static void test_bad_parts(void **state) {
    (void)state;
    double *const x = points_of_mixture(30), nothing[400] = {0};
    const likelihood_data data = values_of(x, 30, 2);
    times_study *s = fresh(&data, "points=5", 7);
    char part[PATH];
    snprintf(part, sizeof part, "%s", in_folder("bad.part"));
    assert_ok(times_save(s, part));
    array own;
    static const char *const name[] = {"settings"};
    assert_ok(npz_read(part, name, 1, false, 1 << 20, &own));
    named_array a[3] = {{"settings", own},
                        {"loss", {ARRAY_F64, 2, {2, 6}, nothing}},
                        {"gain", {ARRAY_F64, 2, {0, 20}, nothing}}};
    static const struct {
        size_t loss[2], gain[2];
        const char *says;
    } cases[] = {{{2, 7}, {0, 20}, "\"loss\""},
                 {{21, 6}, {0, 20}, "\"loss\""},
                 {{2, 6}, {0, 19}, "\"gain\""},
                 {{2, 6}, {6, 20}, "\"gain\""}};
    for (size_t k = 0; k < LENGTH(cases); k++) {
        memcpy(a[1].value.shape, cases[k].loss, sizeof cases[k].loss);
        memcpy(a[2].value.shape, cases[k].gain, sizeof cases[k].gain);
        assert_ok(npz_write(part, a, 3));
        refused(times_resume(s, part), DFL_E_FORMAT, cases[k].says);
    }
    nothing[3] = NAN;
    a[1].value.shape[0] = 2;
    a[2].value.shape[0] = 0;
    assert_ok(npz_write(part, a, 3));
    refused(times_resume(s, part), DFL_E_FORMAT, "not finite");
    nothing[3] = 0;
    /* gains without all losses: an image's loss would never be asked for again, but it is */
    a[2].value.shape[0] = 5;
    assert_ok(npz_write(part, a, 3));
    assert_ok(times_resume(s, part));
    assert_false(times_finished(s));
    write_bytes(part, "PK");
    refused(times_resume(s, part), DFL_E_FORMAT, "");
    array_free(&own);
    times_free(s);
    free(x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vertex),    cmocka_unit_test(test_rule),
        cmocka_unit_test(test_classes),   cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_guided),    cmocka_unit_test(test_whole_times),
        cmocka_unit_test(test_going_on),  cmocka_unit_test(test_first),
        cmocka_unit_test(test_bad_parts),
    };
    return cmocka_run_group_tests(tests, begin_group, end_group);
}
