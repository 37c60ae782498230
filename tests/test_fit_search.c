/* Times of fitted plans that are searched: the best path against all paths, local errors against
   least squares of all rows, and what is found against the usual grids. */
#include "support/fits.h"
#include "support/gather.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/dense.h"
#include "io/io.h"
#include "study/fit_search.h"

/* ---- paths -------------------------------------------------------------------------------------- */

enum { POINTS = 10, PLANES = 3 };

/* The path through the points whose bits are set, and its sum. */
static double sum_of(const fit_jumps *p, unsigned set, size_t *at) {
    size_t n = 0;
    double sum = 0;
    for (size_t i = 0; i < p->points; i++)
        if (set >> i & 1) at[n++] = i;
    for (size_t k = 0; k + 1 < n; k++)
        for (size_t plane = 0; plane < p->planes; plane++) {
            const size_t h = plane * p->points + (k > 0 ? at[k - 1] : 0);
            sum += p->weight[at[k + 1] * p->planes + plane] *
                   p->error[(h * p->points + at[k]) * p->points + at[k + 1]];
        }
    return sum;
}

/* Dynamic programming against all subsets of the candidates, for every number of steps. Kills: an
   older time that is forgotten, a weight of the wrong time, planes that change places. */
static void test_best_path(void **state) {
    (void)state;
    static double error[PLANES * POINTS * POINTS * POINTS], weight[PLANES * POINTS];
    for (size_t i = 0; i < LENGTH(error); i++) error[i] = noise_uniform(1, DFL_DRAW_START, 0, i);
    for (size_t i = 0; i < LENGTH(weight); i++)
        weight[i] = 0.5 + noise_uniform(1, DFL_DRAW_START, 1, i);
    for (size_t c = 0; c < 2 * (POINTS - 1); c++) {
        const fit_jumps p = {POINTS, 1 + c / 2, c % 2 ? PLANES : 1, error, weight};
        size_t at[POINTS], best[POINTS] = {0}, found[POINTS];
        double least = INFINITY, sum;
        for (unsigned set = 0; set < 1u << POINTS; set++) {
            const bool ends = (set & 1) && (set >> (POINTS - 1) & 1);
            if (!ends || (size_t)__builtin_popcount(set) != p.steps + 1) continue;
            const double one = sum_of(&p, set, at);
            if (!(one < least)) continue;
            least = one;
            memcpy(best, at, sizeof best);
        }
        assert_ok(fit_best_path(&p, found, &sum));
        assert_true(fabs(sum - least) < 1e-13);
        assert_memory_equal(found, best, (p.steps + 1) * sizeof *found);
    }
    const fit_jumps more = {POINTS, POINTS, 1, error, weight};
    size_t at[POINTS + 1];
    double sum;
    refused(fit_best_path(&more, at, &sum), DFL_E_RANGE, "10 steps between 10 times");
}

enum { M = 5, WIDE = 2 * (2 * M - 1), OF = 6, ROWS = 60 };

/* What is left of a column where it is put together of others, over all rows [ROWS][wide]. */
static void residual(const double *lines, size_t wide, size_t n, const size_t *of, size_t target,
                     double *left) {
    double a[ROWS * OF], b[ROWS], z[OF];
    size_t rank;
    for (size_t r = 0; r < ROWS; r++) {
        for (size_t k = 0; k < n; k++) a[r * n + k] = lines[r * wide + of[k]];
        b[r] = lines[r * wide + target];
    }
    const dense_squares p = {ROWS, n, a, b, 1e-10};
    assert_ok(dense_least_squares(&p, z, &rank));
    for (size_t r = 0; r < ROWS; r++) {
        left[r] = lines[r * wide + target];
        for (size_t k = 0; k < n; k++) left[r] -= z[k] * lines[r * wide + of[k]];
    }
}

/* From one triangle the error of the jump from i to j that knows h, for each plane. */
static void check_jump(const fit_jumping *q, const double *lines, const double *error,
                       const size_t hij[3]) {
    const size_t s = q->components, a = q->answers, wide = fit_jump_columns(q);
    const size_t h = hij[0], i = hij[1], j = hij[2];
    size_t of[OF], n = 0, plane = 0;
    double left[2][ROWS];
    for (size_t k = 0; k < s; k++) of[n++] = s * i + k;
    for (size_t k = 0; k < a; k++) of[n++] = s * M + a * i + k;
    for (size_t k = 0; k < a && q->older && h < i; k++) of[n++] = s * M + a * h + k;
    for (size_t k = 0; k < s; k++) residual(lines, wide, n, of, s * j + k, left[k]);
    for (size_t x = 0; x < s; x++)
        for (size_t y = x; y < s; y++) {
            double truth = 0;
            for (size_t r = 0; r < ROWS; r++) truth += left[x][r] * left[y][r];
            const double found = error[((plane++ * M + h) * M + i) * M + j];
            assert_true(fabs(found - truth) < 1e-10);
        }
    assert_int_equal(plane, fit_jump_planes(q));
}

/* All jumps, with and without an older output, for states and outputs of one half and two; an output
   is its state, so that it brings no direction. */
static void test_jump_errors(void **state) {
    (void)state;
    static double lines[ROWS * WIDE], triangle[WIDE * WIDE], error[PLANES * M * M * M];
    static const size_t halves[][2] = {{1, 1}, {2, 2}, {2, 1}};
    for (size_t c = 0; c < 2 * LENGTH(halves); c++) {
        const fit_jumping q = {M, halves[c / 2][0], halves[c / 2][1], c % 2};
        const size_t wide = fit_jump_columns(&q);
        noise_normals(5, DFL_DRAW_START, 0, 0, 0, ROWS * wide, lines);
        for (size_t r = 0; r < ROWS; r++)
            lines[r * wide + q.components * M + q.answers * 2] =
                0.5 * lines[r * wide + q.components * 2];
        memset(triangle, 0, sizeof triangle);
        assert_ok(dense_triangle(wide, ROWS, lines, triangle));
        assert_ok(fit_jump_errors(&q, triangle, error));
        for (size_t i = 0; i + 1 < M; i++)
            for (size_t h = 0; h < i || (h == 0 && i == 0); h++)
                for (size_t j = i + 1; j < M; j++)
                    check_jump(&q, lines, error, (const size_t[]){h, i, j});
    }
}

/* ---- what is found ------------------------------------------------------------------------------ */

#define SIZES "samples=256 held_out=256 compare=none"

static double held_out_of(dfl_model *model, size_t steps, const char *grid) {
    char spec[300];
    snprintf(spec, sizeof spec, "steps=%zu " SIZES " grid=%s", steps, grid);
    fit *f = fitted(model, spec, NULL);
    const double rms = f->own.rms;
    fit_free(f);
    return rms;
}

/* Searched times are at most `part` as far from the teacher as the best of the grids. */
static void beats(dfl_model *model, size_t steps, const char *const *grids, size_t n, double part) {
    double best = INFINITY;
    for (size_t k = 0; k < n; k++) best = fmin(best, held_out_of(model, steps, grids[k]));
    const double found = held_out_of(model, steps, "search:starts=256");
    print_message("%zu steps: searched %.4g, best grid %.4g\n", steps, found, best);
    assert_true(found <= part * best);
}

/* On held-out starts, which decide nothing, searched times are nearer to the teacher than the best
   of the usual grids; with two steps uniform times are the best there are, to the teacher's step. */
static void test_beats_grids(void **state) {
    (void)state;
    static const char *const grids[] = {"uniform",       "power:kappa=1.5", "power:kappa=2",
                                        "power:kappa=3", "logsnr",          "karras"};
    static const size_t steps[] = {2, 3, 5, 8};
    dfl_model *model = three();
    for (size_t i = 0; i < LENGTH(steps); i++)
        beats(model, steps[i], grids, LENGTH(grids), steps[i] == 2 ? 1 : 0.8);
    dfl_model_free(model);
}

/* Likewise in phase space, where late times matter more than any usual grid has it. */
static void test_beats_grids_in_phase_space(void **state) {
    (void)state;
    static const char *const grids[] = {"uniform", "power:kappa=1.5", "power:kappa=2",
                                        "power:kappa=3"};
    static const size_t steps[] = {3, 5, 8};
    dfl_model *model = mixture_with(THREE, PHASE);
    for (size_t i = 0; i < LENGTH(steps); i++) beats(model, steps[i], grids, LENGTH(grids), 0.7);
    dfl_model_free(model);
}

/* The times are the student's: in the plan, in its grid, and in what is told of it; they can be given
   again, and then make the same plan. */
static void test_found_times(void **state) {
    (void)state;
    dfl_model *model = three();
    fit *f = fitted(model,
                    "steps=4 samples=60 held_out=20 compare=few grid=search:candidates=20,"
                    "starts=40,validation=50,rounds=3",
                    NULL);
    char spec[300];
    text page = {0}, json = {0};
    assert_int_equal(f->search->points, 21);
    for (size_t k = 0; k <= 4; k++) assert_true(f->t[k] == f->teacher_t[f->at[k]]);
    fit_print(f, &page);
    assert_non_null(
        strstr(page.data, "times searched among 20 of the teacher's by 50 starts from 80"));
    assert_non_null(strstr(page.data, "searched"));
    assert_ok(fit_json(f, "x", &json));
    assert_non_null(strstr(json.data, "\"grid\":\"list:times=[1,"));
    snprintf(spec, sizeof spec, "steps=4 samples=60 held_out=20 compare=none grid=%s", f->grid);
    fit *again = fitted(model, spec, NULL);
    assert_memory_equal(again->step, f->step, 4 * sizeof *f->step);
    assert_true(again->own.rms == f->own.rms);
    for (size_t k = 0; k < f->nrivals; k++) /* rivals run on the found times, too */
        if (!f->rivals[k].grid) assert_true(isfinite(f->rivals[k].rms));
    fit_free(again);
    fit_free(f);
    text_free(&page);
    text_free(&json);
    dfl_model_free(model);
}

/* One step: nothing to choose; as many steps as candidates: likewise. */
static void test_no_choice(void **state) {
    (void)state;
    static const char *const specs[] = {
        "steps=1 samples=40 held_out=20 compare=none grid=",
        "steps=6 samples=40 held_out=20 compare=none teacher_nfe=6 grid="};
    dfl_model *model = three();
    for (size_t i = 0; i < LENGTH(specs); i++) {
        char spec[200];
        snprintf(spec, sizeof spec, "%ssearch:validation=10", specs[i]);
        fit *found = fitted(model, spec, NULL);
        snprintf(spec, sizeof spec, "%spower:kappa=2", specs[i]);
        fit *given = fitted(model, spec, NULL);
        assert_true(found->own.rms == given->own.rms);
        fit_free(found);
        fit_free(given);
    }
    dfl_model_free(model);
}

#define EDM                                                                                        \
    "\"t_min\":0.01,\"process\":\"edm:sigma_max=20\",\"prediction_type\":\"sample\","              \
    "\"preconditioning\":{\"type\":\"edm\",\"sigma_data\":1}"

/* Processes without signal or noise at the ends, and outputs that tell x_0 at first. */
static void test_kinds(void **state) {
    (void)state;
    static const char *const cards[] = {
        "\"t_min\":0.002,\"process\":\"flow\",\"prediction_type\":\"flow_prediction\"", EDM,
        "\"t_min\":0.001,\"prediction_type\":\"v_prediction\""};
    for (size_t i = 0; i < LENGTH(cards); i++) {
        dfl_model *model = mixture_with(THREE, cards[i]);
        fit *found = fitted(model,
                            "steps=4 " SIZES " teacher=ddim teacher_nfe=100 "
                            "teacher_grid=uniform grid=search",
                            NULL);
        fit *given = fitted(model,
                            "steps=4 " SIZES " teacher=ddim teacher_nfe=100 "
                            "teacher_grid=uniform grid=power:kappa=2",
                            NULL);
        assert_true(found->own.rms < 0.95 * given->own.rms);
        fit_free(found);
        fit_free(given);
        dfl_model_free(model);
    }
}

/* ---- the same every time ------------------------------------------------------------------------ */

static const char small[] = "steps=4 samples=60 held_out=20 teacher_nfe=20 compare=none "
                            "grid=search:starts=30,validation=25";

static void test_same_bits(void **state) {
    (void)state;
    static const char *const batches[] = {"64", "1", "7"};
    dfl_model *model = three();
    fit *first = NULL;
    for (size_t i = 0; i < LENGTH(batches); i++) {
        char spec[200];
        snprintf(spec, sizeof spec, "%s batch=%s", small, batches[i]);
        fit *f = fitted(model, spec, NULL);
        if (i == 0) {
            first = f;
            continue;
        }
        assert_memory_equal(f->at, first->at, 5 * sizeof *f->at);
        assert_memory_equal(f->step, first->step, 4 * sizeof *f->step);
        assert_true(f->own.rms == first->own.rms);
        assert_int_equal(f->search->nknown, first->search->nknown);
        assert_memory_equal(f->search->known_rms, first->search->known_rms,
                            first->search->nknown * sizeof(double));
        fit_free(f);
    }
    fit_free(first);
    dfl_model_free(model);
}

typedef struct {
    size_t made, limit;
} meter;

static int count(void *user, size_t evaluations) {
    meter *m = user;
    m->made += evaluations;
    return m->made > m->limit ? 77 : 0;
}

/* Stopped at many places, and gone on with: the same times, no trial made twice, and within the cost
   that was told. */
static void test_goes_on(void **state) {
    (void)state;
    dfl_model *model = three();
    const char *work = in_folder("search");
    fit *whole = fitted(model, small, NULL), *f = NULL;
    meter all = {0, SIZE_MAX};
    fit_cost cost;
    assert_ok(fit_new(model, small, work, &f));
    assert_ok(fit_costs(f, &cost));
    assert_int_equal(cost.teacher, (60 + 20 + 25) * 20);
    int status = 77;
    for (int tries = 0; tries < 100 && status == 77; tries++) {
        meter some = {0, 2500};
        status = (int)fit_run(f, count, &some);
        all.made += some.made;
    }
    assert_int_equal(status, 0);
    assert_true(all.made <= cost.teacher + cost.search + cost.student + 20 * 2500);
    assert_memory_equal(f->at, whole->at, 5 * sizeof *f->at);
    assert_memory_equal(f->step, whole->step, 4 * sizeof *f->step);
    meter again = {0, SIZE_MAX};
    assert_ok(fit_run(f, count, &again)); /* all is known: the fit and its measure alone */
    assert_int_equal(again.made, cost.student);
    fit_free(f);
    assert_ok(fit_new(model, small, NULL, &f));
    meter fresh = {0, SIZE_MAX};
    assert_ok(fit_run(f, count, &fresh));
    assert_true(fresh.made <= cost.teacher + cost.search + cost.student);
    fit_free(f);
    assert_ok(fit_new(model, small, work, &f));
    assert_ok(fit_forget(f));
    assert_int_equal(access(work, F_OK), -1);
    fit_free(f);
    fit_free(whole);
    dfl_model_free(model);
}

static void spoil(const char *work, const char *kind, const char *digest, const char *ending,
                  const char *data) {
    char path[200];
    snprintf(path, sizeof path, "%s/%s-%.16s%s", work, kind, digest, ending);
    assert_int_equal(access(path, F_OK), 0);
    assert_ok(file_save(path, data, strlen(data)));
}

static void test_false_files(void **state) {
    (void)state;
    static const char *const trials[] = {"0 3 5 9 20",         "0 3 5 9 19 0.1", "0 3 5 9 20 -1",
                                         "0 5 5 9 20 0.1",     "1 3 5 9 20 0.1", "0 3 5 9 20 0.1 2",
                                         "0 3 5 9 21 0.1",     "0 3 5 9 20 nan", "\1",
                                         "0 3 5 9 99999 0.125"};
    dfl_model *model = three();
    const char *work = in_folder("spoilt");
    fit *f = fitted(model, small, work);
    for (size_t i = 0; i < LENGTH(trials); i++) {
        spoil(work, "search", f->search->trials_name, ".txt", trials[i]);
        refused(fit_run(f, NULL, NULL), DFL_E_FORMAT, "delete it, and they are made anew");
    }
    spoil(work, "search", f->search->trials_name, ".txt", "");
    spoil(work, "local", f->search->local_name, ".npy", "x");
    assert_int_equal(fit_run(f, NULL, NULL), DFL_E_FORMAT);
    const double one[] = {1};
    const size_t shape[] = {1, 1};
    char path[200];
    npy_writer *w;
    snprintf(path, sizeof path, "%s/local-%.16s.npy", work, f->search->local_name);
    assert_ok(npy_create(path, ARRAY_F64, 2, shape, &w));
    assert_ok(npy_append(w, one, 1));
    assert_ok(npy_commit(w));
    refused(fit_run(f, NULL, NULL), DFL_E_FORMAT, "does not hold the local errors");
    assert_ok(fit_forget(f));
    fit_free(f);
    dfl_model_free(model);
}

/* ---- refusals ----------------------------------------------------------------------------------- */

static void test_refusals(void **state) {
    (void)state;
    static const fits_refusal cases[] = {
        {"steps=5 grid=search:candidates=4", DFL_E_RANGE,
         "4 candidate times are too few for 5 steps"},
        {"steps=200 teacher_nfe=300 grid=search", DFL_E_RANGE,
         "128 candidate times are too few for 200 steps"},
        {"steps=5 teacher_nfe=4 grid=search", DFL_E_RANGE, "steps=5 is more than the 4 steps"},
        {"steps=3 grid=search:candidates=0", DFL_E_RANGE, "candidates=0"},
        {"steps=3 grid=search:validation=0", DFL_E_RANGE, "validation=0"},
        {"steps=3 grid=search:rounds=-1", DFL_E_RANGE, "rounds=-1"},
        {"steps=3 grid=search:nonsense=1", DFL_E_KEY, "nonsense"},
        {"steps=3 grid=searching", DFL_E_KEY, "searching"},
        {"steps=2 grid=search teacher_nfe=3 teacher_grid=list:times=[1,0.5,0.5,0.001]", DFL_E_RANGE,
         "0.5"},
    };
    dfl_model *model = three();
    fits_refused(model, cases, LENGTH(cases));
    dfl_model_free(model);
}

/* Candidates are thinned evenly in log-SNR, the ends kept. */
static void test_candidates(void **state) {
    (void)state;
    dfl_model *model = three();
    fit *f;
    double gap[2] = {INFINITY, 0};
    assert_ok(fit_new(model, "steps=2 teacher_nfe=200 grid=search:candidates=10", NULL, &f));
    assert_int_equal(f->search->points, 11);
    assert_int_equal(f->search->own[0], 0);
    assert_int_equal(f->search->own[10], 200);
    for (size_t i = 0; i < 10; i++) {
        const double one = process_at(f->process, f->search->t[i + 1]).lambda -
                           process_at(f->process, f->search->t[i]).lambda;
        gap[0] = fmin(gap[0], one);
        gap[1] = fmax(gap[1], one);
    }
    assert_true(gap[0] > 0.5 && gap[1] < 1.6); /* 10.1 in all */
    fit_free(f);
    dfl_model_free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_best_path),   cmocka_unit_test(test_jump_errors),
        cmocka_unit_test(test_beats_grids), cmocka_unit_test(test_beats_grids_in_phase_space),
        cmocka_unit_test(test_found_times), cmocka_unit_test(test_no_choice),
        cmocka_unit_test(test_kinds),       cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_goes_on),     cmocka_unit_test(test_false_files),
        cmocka_unit_test(test_refusals),    cmocka_unit_test(test_candidates),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
