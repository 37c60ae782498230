/* Refinement of fitted plans: what the objectives gain, held-out starts, going on after an interruption,
   and what is refused. */
#include "support/gather.h"
#include "support/refining.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "io/io.h"

/* ---- what it gains ----------------------------------------------------------------------------- */

/* Five steps on a mixture, 4096 starts: the error of the last state on 1024 others falls to less
   than 0.6 of the step-by-step fit's, and with the times to less than 0.45; the plan that is
   written is the one that was measured. */
static void test_gain(void **state) {
    (void)state;
    static const struct {
        const char *more;
        double share;
    } cases[] = {{"", 0.6}, {" refine_times=1", 0.45}};
    dfl_model *model = mixture_of(THREE);
    for (size_t i = 0; i < LENGTH(cases); i++) {
        char spec[200];
        snprintf(spec, sizeof spec, "steps=5 samples=4096 held_out=1024 compare=none refine=10%s",
                 cases[i].more);
        fit *f = refined(model, spec, NULL);
        assert_true(f->own.rms < cases[i].share * f->round[0].rms);
        assert_true(fabs(f->own.rms / f->round[f->best].rms - 1) < 1e-9);
        for (size_t k = 1; k < f->rounds; k++)
            assert_true(f->round[k].objective < f->round[k - 1].objective);
        bool moved = false;
        assert_true(f->t[0] == 1 && f->t[5] == 0.001);
        for (size_t k = 1; k < 5; k++) {
            assert_true(f->t[k] < f->t[k - 1] && f->t[k] > 0.001);
            moved = moved || f->t[k] != f->teacher_t[f->at[k]];
        }
        assert_int_equal(moved, i == 1);
        fit_free(f);
    }
    dfl_model_free(model);
}

/* One step from noise to two narrow peaks: the least error is that of the mean of what a start may
   become, which has lost a fifth of the variance. Moments bring it back, and cost error. */
static void test_moments_restore_variance(void **state) {
    (void)state;
    static const char spec[] = "steps=1 samples=2000 held_out=2000 compare=none refine=20 ";
    char with[200];
    dfl_model *model = mixture_of(TWO_IN_ONE);
    fit *plain = refined(model, spec, NULL);
    snprintf(with, sizeof with, "%sobjective=moments weight=1000", spec);
    fit *whole = refined(model, with, NULL);
    const fit_round *blurred = &plain->round[plain->best], *kept = &whole->round[whole->best];
    assert_true(blurred->ratio < 0.85);
    assert_true(fabs(kept->ratio - 1) < 0.05);
    assert_true(kept->rms > blurred->rms && kept->rms < 1.5 * blurred->rms);
    fit_free(whole);
    fit_free(plain);
    dfl_model_free(model);
}

/* Features of the last states come nearer, whatever the states do. */
static void test_features(void **state) {
    (void)state;
    dfl_model *model = mixture_of(THREE);
    fit *f = refined(model,
                     "steps=4 samples=2000 held_out=1000 compare=none refine=6 objective=features "
                     "weight=100",
                     NULL);
    assert_true(f->round[f->best].held_out < 0.7 * f->round[0].held_out);
    text json = {0};
    assert_ok(fit_json(f, "x", &json));
    assert_non_null(strstr(json.data, "refined: objective features, weight 100, features of bent"));
    text_free(&json);
    fit_free(f);
    dfl_model_free(model);
}

/* Their Gaussian comes nearer to the teacher's in a few iterations: rows of samples, which punish what
   leaves the Gaussian as it is, take many. */
static void test_distance_of_features(void **state) {
    (void)state;
    static const char spec[] = "steps=3 samples=2000 held_out=1000 compare=none refine=3 "
                               "objective=feature_distance weight=100";
    dfl_model *model = mixture_of(THREE);
    fit *f = refined(model, spec, NULL);
    assert_true(f->round[f->best].held_out < 0.3 * f->round[0].held_out);
    fit_free(f);
    dfl_model_free(model);
}

/* The damping that a step needs grows with the objective, and is found whatever its scale. */
static void test_any_weight(void **state) {
    (void)state;
    static const char *const weights[] = {"1e2", "1e6", "1e8"};
    dfl_model *model = mixture_of(THREE);
    for (size_t i = 0; i < LENGTH(weights); i++) {
        char spec[200];
        snprintf(spec, sizeof spec,
                 "steps=2 samples=2000 held_out=1000 compare=none refine=4 refine_times=1 "
                 "objective=feature_distance weight=%s",
                 weights[i]);
        fit *f = refined(model, spec, NULL);
        assert_true(f->round[f->best].held_out < 0.1 * f->round[0].held_out);
        fit_free(f);
    }
    dfl_model_free(model);
}

/* Few starts are learnt by heart. Whatever happens, what is taken is no worse on other starts than
   what was there before, and if that is nothing, the plan is the fitted one to the bit, and says so. */
static void test_held_out_decides(void **state) {
    (void)state;
    dfl_model *model = mixture_of(THREE);
    size_t unrefined = 0;
    for (int seed = 0; seed < 8; seed++) {
        char spec[200];
        snprintf(spec, sizeof spec, "steps=5 samples=12 held_out=40 compare=none seed=%d", seed);
        fit *plain = refined(model, spec, NULL);
        strcat(spec, " refine=5");
        fit *f = refined(model, spec, NULL);
        assert_true(fabs(f->round[0].rms / plain->own.rms - 1) < 1e-9);
        assert_true(f->round[f->best].held_out <= f->round[0].held_out);
        assert_true(f->own.rms <= plain->own.rms);
        text page = {0};
        fit_print(f, &page);
        assert_int_equal(strstr(page.data, "gains nothing") != NULL, f->best == 0);
        text_free(&page);
        if (f->best == 0) {
            unrefined++;
            assert_memory_equal(f->step, plain->step, 5 * sizeof *f->step);
            assert_memory_equal(f->t, plain->t, 6 * sizeof *f->t);
        }
        fit_free(f);
        fit_free(plain);
    }
    assert_true(unrefined > 0 && unrefined < 8); /* else half of this was not tested */
    dfl_model_free(model);
}

/* ---- the same every time ----------------------------------------------------------------------- */

static void assert_same(const fit *a, const fit *b) {
    assert_int_equal(a->rounds, b->rounds);
    assert_int_equal(a->best, b->best);
    assert_memory_equal(a->round, b->round, a->rounds * sizeof *a->round);
    assert_memory_equal(a->t, b->t, (a->steps + 1) * sizeof *a->t);
    for (size_t n = 0; n < a->steps; n++)
        assert_memory_equal(a->step[n].c, b->step[n].c, sizeof a->step[n].c);
    assert_true(a->own.rms == b->own.rms);
}

static void test_same_bits(void **state) {
    (void)state;
    static const char *const objectives[] = {"rms refine_times=1", "moments", "features",
                                             "feature_distance"};
    static const int batches[] = {64, 1, 7};
    dfl_model *model = mixture_of(THREE);
    for (size_t k = 0; k < LENGTH(objectives); k++) {
        fit *f[3];
        for (size_t i = 0; i < 3; i++) {
            char spec[200];
            snprintf(spec, sizeof spec,
                     "steps=4 samples=100 held_out=30 compare=none refine=3 batch=%d objective=%s",
                     batches[i], objectives[k]);
            f[i] = refined(model, spec, NULL);
            assert_same(f[i], f[0]);
        }
        for (size_t i = 0; i < 3; i++) fit_free(f[i]);
    }
    dfl_model_free(model);
}

static int stop_soon(void *user, size_t evaluations) {
    size_t *left = user;
    if (evaluations >= *left) return 77;
    *left -= evaluations;
    return 0;
}

/* The file of iterates in a folder. */
static void find_refined(const char *folder, char path[300]) {
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    *path = 0;
    for (const struct dirent *e; (e = readdir(dir));)
        if (strncmp(e->d_name, "refined-", 8) == 0)
            snprintf(path, 300, "%s/%.100s", folder, e->d_name);
    closedir(dir);
    assert_true(*path != 0);
}

/* Stopped again and again, and asked for more iterations later, it comes to the same; a file that is
   damaged is not taken, and all goes away in the end. */
static void test_goes_on(void **state) {
    (void)state;
    static const char spec[] = "steps=4 samples=400 held_out=400 compare=none teacher_nfe=20 "
                               "objective=moments refine_times=1 ";
    char with[300];
    dfl_model *model = mixture_of(THREE);
    const char *work = in_folder("work");
    snprintf(with, sizeof with, "%srefine=2", spec);
    fit_cost cost, less;
    fit *f = refined(model, with, work);
    fit_free(f);
    snprintf(with, sizeof with, "%srefine=6", spec);
    fit *whole = refined(model, with, NULL);
    f = made(model, with, work);
    assert_ok(fit_costs(whole, &cost));
    assert_ok(fit_costs(f, &less));
    assert_true(less.refine < cost.refine && less.teacher == 0);
    int stops = 0;
    for (dfl_status status = 77; status == 77; stops++) {
        size_t left = 19000;
        status = fit_run(f, stop_soon, &left);
        assert_true(status == 77 || status == DFL_OK);
        assert_true(stops < 20);
    }
    assert_true(stops > 2);
    assert_same(f, whole);
    assert_ok(fit_run(f, NULL, NULL)); /* once more, from what is kept */
    assert_same(f, whole);
    char path[300];
    const double junk[3] = {1, NAN, 2};
    find_refined(work, path);
    const size_t shape[] = {1, 3};
    npy_writer *w;
    assert_ok(npy_create(path, ARRAY_F64, 2, shape, &w));
    assert_ok(npy_append(w, junk, 1));
    assert_ok(npy_commit(w));
    assert_ok(fit_run(f, NULL, NULL));
    assert_same(f, whole);
    write_bytes(path, "junk");
    assert_ok(fit_run(f, NULL, NULL));
    assert_same(f, whole);
    assert_ok(fit_forget(f));
    assert_int_equal(access(work, F_OK), -1);
    fit_free(f);
    fit_free(whole);
    dfl_model_free(model);
}

/* Iterates with shared weights take nothing from those without, in one folder. */
static void test_shared_beside_others(void **state) {
    (void)state;
    static const char spec[] = "steps=4 samples=100 held_out=40 compare=none teacher_nfe=8 "
                               "constraint=consistency history=1 refine=2";
    char with[200], path[300];
    array before = {0}, after = {0};
    dfl_model *model = mixture_of(THREE);
    const char *work = in_folder("shared");
    snprintf(with, sizeof with, "%s share=1", spec);
    fit *plain = refined(model, spec, work);
    find_refined(work, path);
    assert_ok(npy_read(path, 1 << 20, &before));
    fit *shared = refined(model, with, work);
    assert_ok(npy_read(path, 1 << 20, &after));
    assert_int_equal(after.shape[0], before.shape[0]);
    assert_memory_equal(after.data, before.data,
                        before.shape[0] * before.shape[1] * sizeof(double));
    assert_ok(fit_forget(shared));
    assert_ok(fit_forget(plain));
    array_free(&before);
    array_free(&after);
    fit_free(shared);
    fit_free(plain);
    dfl_model_free(model);
}

/* What ended because nothing was gained any more ends there again. */
static void test_settles(void **state) {
    (void)state;
    static const char spec[] = "steps=1 samples=400 held_out=400 compare=none refine=20 "
                               "objective=moments weight=1000";
    dfl_model *model = mixture_of(TWO_IN_ONE);
    const char *work = in_folder("settled");
    fit *f = refined(model, spec, work), *again = refined(model, spec, work);
    assert_true(f->rounds < 10 && f->best + 1 == f->rounds);
    assert_same(again, f);
    assert_ok(fit_forget(f));
    fit_free(again);
    fit_free(f);
    dfl_model_free(model);
}

/* ---- odd inputs -------------------------------------------------------------------------------- */

static int silent(void *user, const dfl_request *rq) {
    (void)user;
    memset(dfl_request_output(rq), 0, rq->count * rq->output_dim * sizeof(double));
    return 0;
}

/* Noise of standard normal data, in float32. */
static int coarse(void *user, const dfl_request *rq) {
    (void)user;
    const double *x = dfl_request_input(rq);
    double *y = dfl_request_output(rq);
    for (size_t i = 0; i < rq->count * rq->input_dim; i++)
        y[i] = (double)tanhf((float)x[i] * (float)*dfl_request_b(rq));
    return 0;
}

static dfl_model *callback(dfl_denoise_fn fn) {
    dfl_model *model;
    assert_ok(dfl_model_callback("{\"format\":\"driftless-model/1\",\"process\":\"vp_linear\","
                                 "\"prediction_type\":\"epsilon\",\"t_min\":0.001,"
                                 "\"sample\":{\"shape\":[3]}}",
                                 fn, NULL, &model));
    return model;
}

/* A network that says nothing leaves one direction a step; one that calculates in float32 gets
   longer differences, and is refined all the same; one held-out start has no variance. */
static void test_odd_networks(void **state) {
    (void)state;
    dfl_model *nothing = callback(silent), *rough = callback(coarse);
    fit *f = refined(nothing,
                     "steps=3 samples=8 held_out=1 teacher_nfe=9 refine=3 compare=none "
                     "refine_times=1",
                     NULL);
    assert_true(f->round[f->best].rms < 1e-9);
    assert_true(f->round[0].ratio < 0);
    text page = {0};
    fit_print(f, &page);
    assert_null(strstr(page.data, "nan"));
    text_free(&page);
    fit_free(f);
    f = refined(rough, "steps=3 samples=200 held_out=200 refine=5 history=0 compare=none", NULL);
    refine_goal g;
    assert_ok(refine_goal_new(f, &g));
    assert_true(g.h == 1e-3);
    refine_goal_free(&g);
    assert_true(f->best > 0);
    fit_free(f);
    dfl_model_free(rough);
    dfl_model_free(nothing);
}

static void test_none_asked(void **state) {
    (void)state;
    dfl_model *model = mixture_of(THREE);
    fit_cost cost;
    fit *f = refined(model, "steps=3 samples=20 held_out=5 compare=none refine=0", NULL);
    assert_ok(fit_costs(f, &cost));
    assert_true(f->rounds == 0 && cost.refine == 0);
    text page = {0};
    fit_print(f, &page);
    assert_null(strstr(page.data, "refine"));
    text_free(&page);
    fit_free(f);
    dfl_model_free(model);
}

static dfl_status constant(void *user, uint64_t first, size_t count, const double *x, float *out) {
    (void)user, (void)first, (void)x;
    memset(out, 0, count * sizeof *out);
    return DFL_OK;
}

static void test_refusals(void **state) {
    (void)state;
    static const fits_refusal cases[] = {
        {"steps=3 samples=1 refine=2", DFL_E_RANGE, "samples=1"},
        {"steps=3 refine=-1", DFL_E_RANGE, "refine=-1"},
        {"steps=3 objective=moments", DFL_E_COMBINATION, "objective is for refinement"},
        {"steps=3 objective=rms", DFL_E_COMBINATION, "give refine=N"},
        {"steps=3 weight=2", DFL_E_COMBINATION, "weight is for refinement"},
        {"steps=3 refine_times=1", DFL_E_COMBINATION, "refine_times is for refinement"},
        {"steps=3 refine=2 weight=2", DFL_E_COMBINATION, "weight goes with"},
        {"steps=3 refine=2 objective=moments weight=nan", DFL_E_RANGE, "weight=nan"},
        {"steps=3 refine=2 objective=blur", DFL_E_RANGE, "blur"},
        {"steps=1 refine=2 refine_times=1", DFL_E_RANGE, "no time between its ends"},
        {"steps=50 refine=2 history=12", DFL_E_RANGE, "are too many to refine, at most 512"},
    };
    dfl_model *model = mixture_of(THREE);
    fits_refused(model, cases, LENGTH(cases));
    fit *f = made(model, "steps=2 samples=8 held_out=4 refine=1 objective=features", NULL);
    f->features.run = NULL;
    refused(fit_run(f, NULL, NULL), DFL_E_ARG, "needs a feature network");
    f->features = (fit_features){.width = 1, .name = "c", .digest = "c", .run = constant};
    refused(fit_run(f, NULL, NULL), DFL_E_COMBINATION, "all alike");
    fit_free(f);
    dfl_model_free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gain),
        cmocka_unit_test(test_moments_restore_variance),
        cmocka_unit_test(test_distance_of_features),
        cmocka_unit_test(test_any_weight),
        cmocka_unit_test(test_features),
        cmocka_unit_test(test_held_out_decides),
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_goes_on),
        cmocka_unit_test(test_shared_beside_others),
        cmocka_unit_test(test_settles),
        cmocka_unit_test(test_odd_networks),
        cmocka_unit_test(test_none_asked),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
