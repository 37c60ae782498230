/* Fitted plans: what they must be where the best is known, how they meet their teacher, and what is
   refused. */
#include "support/fits.h"
#include "support/gather.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/dense.h"
#include "study/stored.h"

/* ---- where the best is known ------------------------------------------------------------------- */

/* A teacher of the student's own form is recovered, coefficient by coefficient. Kills: predictions
   taken in another order, a target of another time, a ridge that does not vanish. */
static void test_recovers_teacher(void **state) {
    (void)state;
    dfl_model *model = three();
    dfl_plan *deis;
    assert_ok(dfl_plan_new(model, "solver=deis:order=2 steps=6", &deis));
    fit *f = fitted(model,
                    "steps=6 history=2 ridge=0 samples=200 held_out=20 teacher=deis:order=2 "
                    "teacher_nfe=6 compare=none",
                    NULL);
    size_t n = 0;
    for (size_t i = 0; i < deis->code.nrows; i++) {
        const row *r = &deis->code.rows[i];
        if (r->op != ROW_LIN) continue;
        assert_int_equal(f->step[n].terms, r->nsrc);
        assert_int_equal(f->step[n].rank, r->nsrc);
        for (size_t k = 0; k < r->nsrc; k++) {
            const double gap = f->step[n].c[k] - deis->code.terms[r->src + k].c.v[0];
            assert_true(fabs(gap) < 1e-8);
        }
        n++;
    }
    assert_int_equal(n, 6);
    assert_true(f->own.rms < 1e-11);
    assert_int_equal(f->plan->nfe, 6);
    fit_free(f);
    dfl_plan_free(deis);
    dfl_model_free(model);
}

/* One Gaussian: every solver multiplies each number by a number of its own, so that two unknowns
   meet any teacher in two dimensions, and one would do in the same spread everywhere: then one
   direction is open, and is reported. */
static void test_linear_score(void **state) {
    (void)state;
    static const char *const teachers[] = {"heun teacher_grid=karras teacher_nfe=39",
                                           "deis:order=3 teacher_nfe=40",
                                           "unipc:order=3 teacher_nfe=33"};
    dfl_model *two =
        mixture_with("\"weights\":[1],\"means\":[[0,0]],\"stds\":[[0.3,0.8]]", "\"t_min\":0.001");
    dfl_model *one =
        mixture_with("\"weights\":[1],\"means\":[[0,0]],\"stds\":[0.5]", "\"t_min\":0.001");
    for (size_t i = 0; i < LENGTH(teachers); i++) {
        char spec[200];
        snprintf(spec, sizeof spec,
                 "steps=4 history=0 ridge=0 samples=20 held_out=20 compare=none teacher=%s",
                 teachers[i]);
        fit *f = fitted(two, spec, NULL);
        assert_true(f->own.rms < 1e-10);
        for (size_t n = 0; n < 4; n++) assert_int_equal(f->step[n].rank, 2);
        fit_free(f);
        f = fitted(one, spec, NULL);
        assert_true(f->own.rms < 1e-10);
        for (size_t n = 0; n < 4; n++) assert_int_equal(f->step[n].rank, 1);
        text page = {0};
        fit_print(f, &page);
        assert_non_null(strstr(page.data, "step 1: the outputs leave 1 of 2 directions open"));
        text_free(&page);
        fit_free(f);
    }
    dfl_model_free(one);
    dfl_model_free(two);
}

/* ---- least squares ----------------------------------------------------------------------------- */

/* The streamed triangle against all rows at once, the ridge as further rows, to 1e-10. Two columns
   are nearly alike, as states and noise predictions are at the start. */
static void test_triangle_equals_dense(void **state) {
    (void)state;
    enum { M = 4, ROWS = 500 };
    static double all_rows[ROWS * (M + 1)], a[(ROWS + M) * M], b[ROWS + M];
    static const double ridges[] = {0, 1e-3, 10};
    const double base[M] = {1, -0.5, 0.25, 2};
    double basis[M * M] = {0}, triangle[(M + 1) * (M + 1)] = {0}, z[M];
    size_t rank;
    noise_normals(3, DFL_DRAW_START, 0, 0, 0, ROWS * (M + 1), all_rows);
    for (int i = 0; i < ROWS; i++)
        all_rows[i * (M + 1) + 1] = all_rows[i * (M + 1)] + 0.01 * all_rows[i * (M + 1) + 1];
    for (int j = 0; j < M; j++) basis[j * M + j] = 1;
    for (int i = 0; i < ROWS; i += 100)
        assert_ok(dense_triangle(M + 1, 100, all_rows + i * (M + 1), triangle));
    for (int i = 0; i < (M + 1) * (M + 1); i++) triangle[i] /= sqrt(ROWS);
    for (size_t k = 0; k < LENGTH(ridges); k++) {
        fit_step step;
        const double unit = 1;
        const fit_squares p = {M, 1, M, triangle, base, basis, &unit, ridges[k]};
        assert_ok(fit_solve(&p, &step));
        memset(a, 0, sizeof a);
        memset(b, 0, sizeof b);
        for (int i = 0; i < ROWS; i++) {
            b[i] = all_rows[i * (M + 1) + M];
            for (int j = 0; j < M; j++) {
                a[i * M + j] = all_rows[i * (M + 1) + j];
                b[i] -= a[i * M + j] * base[j];
            }
        }
        for (int j = 0; j < M; j++) a[(ROWS + j) * M + j] = sqrt(ridges[k] * ROWS);
        const dense_squares all = {ROWS + M, M, a, b, 1e-10};
        assert_ok(dense_least_squares(&all, z, &rank));
        double sum = 0;
        for (int j = 0; j < M; j++) assert_true(fabs(step.c[j] - base[j] - z[j]) < 1e-10);
        for (int i = 0; i < ROWS; i++) {
            double gap = all_rows[i * (M + 1) + M];
            for (int j = 0; j < M; j++) gap -= all_rows[i * (M + 1) + j] * step.c[j];
            sum += gap * gap;
        }
        assert_true(fabs(step.rms - sqrt(sum / ROWS)) < 1e-12);
        assert_int_equal(step.rank, M);
        if (ridges[k] == 10) /* it does pull */
            for (int j = 0; j < M; j++) assert_true(fabs(step.c[j] - base[j]) < 0.25);
    }
}

/* ---- the same every time ----------------------------------------------------------------------- */

static void test_same_bits(void **state) {
    (void)state;
    static const char *const batches[] = {"64", "1", "7"};
    dfl_model *model = three();
    fit *first = NULL;
    for (size_t i = 0; i < LENGTH(batches); i++) {
        char spec[200];
        snprintf(spec, sizeof spec, "steps=5 samples=100 held_out=30 compare=few batch=%s",
                 batches[i]);
        fit *f = fitted(model, spec, NULL);
        if (i == 0) {
            first = f;
            continue;
        }
        for (size_t n = 0; n < f->steps; n++)
            assert_memory_equal(&f->step[n], &first->step[n], sizeof f->step[n]);
        assert_true(f->own.rms == first->own.rms && f->own.median == first->own.median);
        assert_int_equal(f->nrivals, first->nrivals);
        for (size_t k = 0; k < f->nrivals; k++)
            assert_true(f->rivals[k].rms == first->rivals[k].rms);
        fit_free(f);
    }
    fit_free(first);
    dfl_model_free(model);
}

/* Blocks of the teacher are read back, by another student, too; a false one is refused; and they
   go when they are to be forgotten. */
static int stop_soon(void *user, size_t evaluations) {
    size_t *left = user;
    if (evaluations >= *left) return 77;
    *left -= evaluations;
    return 0;
}

static void test_teacher_is_kept(void **state) {
    (void)state;
    static const char spec[] = "steps=5 samples=70 held_out=30 teacher_nfe=20 compare=none";
    dfl_model *model = three();
    const char *work = in_folder("work");
    size_t left = 70 * 20;
    fit_cost cost;
    fit *f, *plain = fitted(model, spec, NULL);
    assert_ok(fit_new(model, spec, work, &f));
    assert_ok(fit_costs(f, &cost));
    assert_int_equal(cost.teacher, 100 * 20);
    assert_int_equal(cost.student, 100 * 5);
    assert_int_equal(cost.compare, 0);
    assert_int_equal(fit_run(f, stop_soon, &left), 77); /* in the second block */
    assert_ok(fit_costs(f, &cost));
    assert_int_equal(cost.teacher, 36 * 20);
    assert_ok(fit_run(f, NULL, NULL));
    assert_memory_equal(f->step, plain->step, 5 * sizeof *f->step);
    assert_ok(fit_costs(f, &cost));
    assert_int_equal(cost.teacher, 0);
    fit *other;
    assert_ok(fit_new(model, "steps=3 samples=70 held_out=30 teacher_nfe=20", work, &other));
    assert_ok(fit_costs(other, &cost));
    assert_int_equal(cost.teacher, 0);
    fit_free(other);
    assert_ok(fit_new(model, "steps=3 samples=70 held_out=30 teacher_nfe=20 seed=2", work, &other));
    assert_ok(fit_costs(other, &cost));
    assert_int_equal(cost.teacher, 100 * 20);
    fit_free(other);
    assert_ok(fit_forget(f));
    assert_int_equal(access(work, F_OK), -1);
    fit_free(f);
    fit_free(plain);
    dfl_model_free(model);
}

/* The file of a folder whose name ends so. */
static void find_file(const char *folder, const char *ending, char path[200]) {
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    *path = 0;
    for (const struct dirent *e; (e = readdir(dir));) {
        const size_t n = strlen(e->d_name), m = strlen(ending);
        if (n > m && strcmp(e->d_name + n - m, ending) == 0)
            snprintf(path, 200, "%s/%.100s", folder, e->d_name);
    }
    closedir(dir);
    assert_true(*path != 0);
}

/* Another size under the right name. */
static void test_false_block(void **state) {
    (void)state;
    dfl_model *model = three();
    const char *work = in_folder("false");
    char path[2][200];
    fit *f = fitted(model, "steps=2 samples=10 held_out=6 teacher_nfe=4 compare=none", work);
    fit *less = fitted(model, "steps=2 samples=10 held_out=5 teacher_nfe=4 compare=none", work);
    find_file(work, "-0-15.npy", path[0]);
    find_file(work, "-0-16.npy", path[1]);
    assert_int_equal(rename(path[0], path[1]), 0);
    refused(fit_run(f, NULL, NULL), DFL_E_FORMAT, "delete it");
    assert_ok(fit_forget(f));
    fit_free(less);
    fit_free(f);
    dfl_model_free(model);
}

/* ---- constraint, processes, prediction types ---------------------------------------------------- */

static const struct {
    const char *card;
    bool clean; /* the first output is taken as x_0 */
} kinds[] = {
    {"\"t_min\":0.001", false},
    {"\"t_min\":0.001,\"prediction_type\":\"v_prediction\"", true},
    {"\"t_min\":0.001,\"prediction_type\":\"score\"", false},
    {"\"t_min\":0.001,\"prediction_type\":\"sample\"", true},
    {"\"t_min\":0.002,\"process\":\"flow\",\"prediction_type\":\"flow_prediction\"", true},
    {"\"t_min\":0.01,\"process\":\"edm:sigma_max=20\",\"prediction_type\":\"sample\","
     "\"preconditioning\":{\"type\":\"edm\",\"sigma_data\":1}",
     true},
};

/* Under consistency a scheme stays exact where the network knows x_0: from labels (a, b) of the
   state and (1, 0) or (0, 1) of the predictions the next label comes out. */
static void check_labels(const fit *f, double bound) {
    for (size_t n = 0; n < f->steps; n++) {
        const scalar_at at = process_at(f->process, f->t[n]);
        const scalar_at to = process_at(f->process, f->t[n + 1]);
        double a = f->step[n].c[0] * at.a, b = f->step[n].c[0] * at.b;
        for (size_t k = 1; k < f->step[n].terms; k++)
            *(f->clean[n + 1 - k] ? &a : &b) += f->step[n].c[k];
        assert_true(fabs(a - to.a) < bound && fabs(b - to.b) < bound);
    }
}

static const char teacher_of_kinds[] = "teacher=deis:kind=rhoab,order=2 teacher_nfe=60 ";

/* Kills: a basis with a wrong sign, or one that forgets that x_0 and noise differ. The plan beats
   ddim of the same grid; the free one is the better of the two on the fitting starts' last step or
   not far behind. */
static void test_kinds(void **state) {
    (void)state;
    for (size_t i = 0; i < LENGTH(kinds); i++) {
        dfl_model *model = mixture_with(THREE, kinds[i].card);
        const bool flow = strstr(kinds[i].card, "flow") != NULL;
        for (int bound = 0; bound < 2; bound++) {
            char spec[300];
            snprintf(spec, sizeof spec,
                     "steps=6 samples=300 held_out=100 %s%s compare=few constraint=%s",
                     flow ? "teacher=ddim teacher_nfe=120 grid=uniform teacher_grid=uniform"
                          : teacher_of_kinds,
                     strstr(kinds[i].card, "edm") ? " grid=karras teacher_grid=karras" : "",
                     bound ? "consistency" : "none");
            fit *f = fitted(model, spec, NULL);
            assert_int_equal(f->clean[0], kinds[i].clean);
            assert_false(f->clean[5]);
            if (bound) check_labels(f, 1e-12);
            double ddim = INFINITY;
            for (size_t k = 0; k < f->nrivals; k++)
                if (!f->rivals[k].grid && strcmp(f->rivals[k].solver, "ddim") == 0)
                    ddim = f->rivals[k].rms;
            if (flow) /* ddim's usual grid is the student's here */
                for (size_t k = 0; k < f->nrivals; k++)
                    if (strcmp(f->rivals[k].solver, "ddim") == 0) ddim = f->rivals[k].rms;
            assert_true(isfinite(ddim) && f->own.rms < ddim / 2);
            fit_free(f);
        }
        dfl_model_free(model);
    }
}

/* ---- what it makes ------------------------------------------------------------------------------ */

/* The plan read back is the plan, tells where it comes from, and is for its network alone. */
static void test_provenance(void **state) {
    (void)state;
    bool other;
    char hex[DIGEST_HEX];
    dfl_model *model = three();
    fit *f = fitted(model, "steps=3 samples=50 held_out=40 teacher_nfe=12 compare=few", NULL);
    text json = {0}, again = {0};
    dfl_plan *plan;
    assert_ok(fit_json(f, "driftless fit \"x\"", &json));
    assert_ok(dfl_plan_from_json(json.data, json.len, &plan));
    plan_write(plan, &again);
    assert_string_equal(json.data, again.data);
    assert_int_equal(dfl_plan_nfe(plan), 3);
    assert_ok(model_digest(model, hex));
    assert_string_equal(plan->meta.model, hex);
    assert_string_equal(plan->meta.identity, hex);
    assert_string_equal(plan->meta.command, "driftless fit \"x\"");
    assert_non_null(strstr(plan->meta.teacher, "deis:kind=tab,order=3"));
    assert_non_null(strstr(plan->meta.teacher, "12 evaluations"));
    assert_non_null(
        strstr(plan->meta.fit, "50 starts from 0 of seed 1000; history 3, ridge 1e-06"));
    assert_non_null(strstr(plan->meta.held_out, "40 starts from 50: rms "));
    assert_non_null(strstr(plan->meta.held_out, "best of the classical ones measured: "));
    double rms;
    assert_true(text_to_real(plan->meta.held_out_rms, &rms) && rms == f->own.rms);
    assert_ok(stored_check(plan, model, &other));
    assert_false(other);
    dfl_model *stranger =
        mixture_with("\"weights\":[1],\"means\":[[0,0]],\"stds\":[0.5]", "\"t_min\":0.001");
    refused(stored_check(plan, stranger, &other), DFL_E_COMBINATION, "fitted to another network");
    dfl_model_free(stranger);
    dfl_plan_free(plan);
    text_free(&json);
    text_free(&again);
    fit_free(f);
    dfl_model_free(model);
}

/* Rivals: sorted, those that a budget is too small for are told and not run. */
static void test_rivals(void **state) {
    (void)state;
    dfl_model *model = three();
    fit *f = fitted(model, "steps=1 samples=50 held_out=20 compare=all", NULL);
    size_t refusals = 0;
    for (size_t k = 0; k < f->nrivals; k++) {
        const fit_rival *r = &f->rivals[k];
        refusals += *r->why != 0;
        assert_true(*r->why ? r->nfe == 0 : r->nfe == 1);
        if (k > 0 && !*r->why)
            assert_true(!*f->rivals[k - 1].why && f->rivals[k - 1].rms <= r->rms);
    }
    assert_true(f->nrivals > 40 && refusals > 0 && refusals < f->nrivals / 2);
    fit_free(f);
    dfl_model_free(model);
}

/* ---- refusals ---------------------------------------------------------------------------------- */

static int silent(void *user, const dfl_request *rq) {
    (void)user;
    memset(dfl_request_output(rq), 0, rq->count * rq->output_dim * sizeof(double));
    return 0;
}

/* A network that says nothing leaves every direction but the state's open. */
static void test_zero_outputs(void **state) {
    (void)state;
    dfl_model *model;
    assert_ok(dfl_model_callback("{\"format\":\"driftless-model/1\",\"process\":\"vp_linear\","
                                 "\"prediction_type\":\"epsilon\",\"t_min\":0.001,"
                                 "\"sample\":{\"shape\":[3]}}",
                                 silent, NULL, &model));
    fit *f = fitted(model, "steps=3 samples=8 held_out=8 teacher_nfe=9 ridge=0", NULL);
    for (size_t n = 0; n < 3; n++) {
        assert_int_equal(f->step[n].rank, 1);
        assert_true(f->step[n].rms < 1e-9);
        for (size_t k = 2; k < f->step[n].terms; k++) assert_true(f->step[n].c[k] == 0);
    }
    fit_free(f);
    dfl_model_free(model);
}

static void test_refusals(void **state) {
    (void)state;
    static const fits_refusal cases[] = {
        {"samples=8", DFL_E_KEY, "a fit needs steps=N"},
        {"steps=3 samples=1", DFL_E_RANGE, "samples=1"},
        {"steps=3 held_out=0", DFL_E_RANGE, "held_out=0"},
        {"steps=0", DFL_E_RANGE, "steps=0"},
        {"steps=3 history=13", DFL_E_RANGE, "history=13"},
        {"steps=3 ridge=-1", DFL_E_RANGE, "ridge=-1"},
        {"steps=3 ridge=nan", DFL_E_RANGE, "ridge=nan"},
        {"steps=9 teacher_nfe=8", DFL_E_RANGE, "steps=9 is more than the 8 steps of the teacher"},
        {"steps=3 grid=list:times=[1,0.5,0.5,0.1]", DFL_E_RANGE, "0.5"},
        {"steps=3 teacher=ddpm", DFL_E_COMBINATION, "draws noise"},
        {"steps=3 teacher=ddim_gmm:K=2", DFL_E_COMBINATION, "draws noise"},
        {"steps=3 teacher=nobody", DFL_E_KEY, "nobody"},
        {"steps=3 t_start=0.1 t_end=0.5", DFL_E_RANGE, "0.5"},
        {"steps=3 nonsense=1", DFL_E_KEY, "nonsense"},
    };
    dfl_model *model = three();
    fits_refused(model, cases, LENGTH(cases));
    dfl_model_free(model);
}

/* Student times that the teacher has too few of are moved apart; the ends are exact. */
static void test_times(void **state) {
    (void)state;
    dfl_model *model = three();
    fit *f;
    assert_ok(fit_new(model, "steps=8 teacher_nfe=9 grid=logsnr", NULL, &f));
    assert_true(f->t[0] == 1 && f->t[8] == 0.001 && f->at[0] == 0 && f->at[8] == 9);
    for (size_t k = 1; k <= 8; k++) {
        assert_true(f->at[k] > f->at[k - 1]);
        assert_true(f->t[k] == f->teacher_t[f->at[k]]);
    }
    fit_free(f);
    assert_ok(fit_new(model, "steps=5 teacher_nfe=60", NULL, &f));
    for (size_t k = 0; k <= 5; k++) assert_int_equal(f->at[k], 12 * k); /* the same grid */
    fit_free(f);
    dfl_model_free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recovers_teacher),
        cmocka_unit_test(test_linear_score),
        cmocka_unit_test(test_triangle_equals_dense),
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_teacher_is_kept),
        cmocka_unit_test(test_false_block),
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_provenance),
        cmocka_unit_test(test_rivals),
        cmocka_unit_test(test_zero_outputs),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_times),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
