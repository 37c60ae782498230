/* Fitted plans in phase space, whose coefficients are 2x2 blocks: their base, the best where it is
   known, every kind of network, and what is refused. tests/test_fit.c has what is of no space. */
#include "support/fits.h"
#include "support/gather.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/dense.h"
#include "process/phase.h"
#include "solver/noisefactor.h"

/* Every way a network of phase space may answer, and processes whose halves are of other sizes. */
static const struct {
    const char *card;
    size_t answers;
    const char *base;
    double factor; /* of the best classical solver's error at 10 evaluations */
} kinds[] = {
    {PHASE, 2, "deis:order=0,factor=flow", 2.5},
    {PHASE ",\"prediction_type\":\"score\"", 2, "deis:order=0,factor=flow", 2.5},
    {PHASE ",\"score_matching\":\"dsm\"", 2, "deis:order=0,factor=flow", 2.5},
    {"\"process\":\"psld\",\"state_components\":2,\"t_min\":0.001,\"prediction_type\":\"score\"", 2,
     "deis:order=0,factor=flow", 2.5},
    {"\"process\":\"psld:beta_0=4,beta_1=12,numerical_eps=0\",\"state_components\":2,\"t_min\":0."
     "001",
     2, "deis:order=0,factor=flow", 2.5},
    {"\"process\":\"psld:nu=0.5,Gamma=0.1,kappa=0.5\",\"state_components\":2,\"t_min\":0.01", 2,
     "deis:order=0,factor=flow", 2.5},
    {"\"process\":\"psld:factor=upper\",\"state_components\":2,\"t_min\":0.001", 2,
     "deis:order=0,factor=flow", 2.5},
    {"\"process\":\"cld\",\"state_components\":2,\"output_half\":\"m\",\"t_min\":0.001", 1,
     "deis:order=0", 2.5},
    {"\"process\":\"cld\",\"state_components\":2,\"output_half\":\"m\",\"t_min\":0.001,"
     "\"prediction_type\":\"score\"",
     1, "deis:order=0", 2.5},
    {"\"process\":\"psld:Gamma=4,nu=0,factor=upper\",\"state_components\":2,\"output_half\":\"x\","
     "\"t_min\":0.001",
     1, "deis:order=0", 1.8}, /* splitting needs one score a step there */
};

/* ---- base, log-SNR, flow ------------------------------------------------------------------------ */

/* The base is a solver's plan, coefficient by coefficient; predictions are noise, where the plan has
   the raw output. Kills: a transposed block, a factor of another time, the wrong half. */
static void test_base(void **state) {
    (void)state;
    for (size_t i = 0; i < LENGTH(kinds); i++) {
        dfl_model *model = mixture_with(THREE, kinds[i].card);
        dfl_plan *plan;
        fit *f;
        char spec[100];
        snprintf(spec, sizeof spec, "solver=%s steps=4", kinds[i].base);
        assert_ok(dfl_plan_new(model, spec, &plan));
        assert_ok(fit_new(model, "steps=4 history=2 teacher_nfe=4", NULL, &f));
        assert_true(f->answers == kinds[i].answers && f->components == 2);
        const rows r = {.process = f->process, .form = &model->card.form};
        size_t n = 0;
        for (size_t k = 0; k < plan->code.nrows && n < 4; k++) {
            const row *w = &plan->code.rows[k];
            if (w->op != ROW_LIN) continue;
            const term *terms = plan->code.terms + w->src;
            double base[FIT_NUMBERS];
            fit_base(f, f->t, n, base);
            const size_t columns = fit_columns(f, n), m = f->answers;
            blk on_e = {2, (uint8_t)m, {0}};
            for (size_t h = 0; h < 2; h++)
                memcpy(on_e.v + h * m, base + h * columns + 2, m * sizeof *base);
            const blk on_y = blk_mul(on_e, fit_noise_map(&r, f->t[n]));
            for (size_t h = 0; h < 4; h++) {
                const double z = terms[0].c.v[h], mine = base[h / 2 * columns + h % 2];
                assert_true(fabs(z - mine) < 1e-12 * (1 + fabs(z)));
            }
            for (size_t h = 0; h < 2 * m; h++) {
                const double gap = fabs(terms[1].c.v[h] - on_y.v[h]);
                if (!(gap < 1e-8 * (1 + fabs(on_y.v[h]))))
                    REFUTE("%s, step %zu, entry %zu: %g off", kinds[i].card, n, h, gap);
            }
            n++;
        }
        assert_int_equal(n, 4);
        fit_free(f);
        dfl_plan_free(plan);
        dfl_model_free(model);
    }
}

/* Half the log-SNR falls in every process, and comes back. */
static void test_lambda(void **state) {
    (void)state;
    static const char *const specs[] = {"psld", "psld:numerical_eps=0", "cld:numerical_eps=0",
                                        "psld:beta_0=4,beta_1=12", "psld:Gamma=4,nu=0.1"};
    for (size_t i = 0; i < LENGTH(specs); i++) {
        process *p;
        assert_ok(process_new(specs[i], &p));
        double before = INFINITY;
        for (double t = 1e-5; t <= 1; t *= 1.3) {
            const double lambda = fit_lambda(p, t);
            assert_true(lambda < before);
            assert_true(fabs(fit_time_of_lambda(p, lambda) / t - 1) < 1e-9);
            before = lambda;
        }
        assert_true(isinf(fit_lambda(p, 0)));
        process_free(p);
    }
}

/* dz/dt = F z + G G^T C^-1 z / 2, C the covariance of z where the data is N(0, v), in small steps. */
static void slope(const process *p, double v, double t, const double *z, double *to) {
    marginal m;
    process_marginal(p, t, &m);
    const phase_cov s = phase_covariance(p, t);
    const double xx = s.xx + v * m.a[0] * m.a[0], xm = s.xm + v * m.a[0] * m.a[1];
    const double mm = s.mm + v * m.a[1] * m.a[1], det = xx * mm - xm * xm;
    const blk F = process_drift(p, t), G = process_noise(p, t);
    const double score[] = {(mm * z[0] - xm * z[1]) / det, (xx * z[1] - xm * z[0]) / det};
    for (int h = 0; h < 2; h++)
        to[h] = F.v[2 * h] * z[0] + F.v[2 * h + 1] * z[1] + G.v[3 * h] * G.v[3 * h] / 2 * score[h];
}

static void test_flow(void **state) {
    (void)state;
    enum { STEPS = 4000 };
    static const double variances[] = {0, 0.3, 50};
    process *p;
    assert_ok(process_new("psld:beta_0=4,beta_1=12,Gamma=0.3,nu=4", &p));
    for (size_t i = 0; i < LENGTH(variances); i++) {
        const double v = variances[i], from = 0.8, to = 0.1, h = (to - from) / STEPS;
        const blk flow = noise_flow(p, v, from, to);
        for (int column = 0; column < 2; column++) {
            double z[2] = {column == 0, column == 1}, k[4][2], y[2];
            for (int n = 0; n < STEPS; n++) {
                const double t = from + n * h;
                slope(p, v, t, z, k[0]);
                for (int j = 0; j < 2; j++) y[j] = z[j] + h / 2 * k[0][j];
                slope(p, v, t + h / 2, y, k[1]);
                for (int j = 0; j < 2; j++) y[j] = z[j] + h / 2 * k[1][j];
                slope(p, v, t + h / 2, y, k[2]);
                for (int j = 0; j < 2; j++) y[j] = z[j] + h * k[2][j];
                slope(p, v, t + h, y, k[3]);
                for (int j = 0; j < 2; j++)
                    z[j] += h / 6 * (k[0][j] + 2 * k[1][j] + 2 * k[2][j] + k[3][j]);
            }
            for (int j = 0; j < 2; j++) assert_true(fabs(z[j] - flow.v[2 * j + column]) < 1e-8);
        }
    }
    process_free(p);
}

/* ---- where the best is known -------------------------------------------------------------------- */

/* A network whose halves tell different things, as a trained one's do; an exact one's both tell x_0
   alone. */
static int bent(void *user, const dfl_request *rq) {
    const size_t dim = rq->input_dim / 2;
    const double *z = rq->input;
    double *y = rq->output;
    (void)user;
    for (size_t i = 0; i < rq->count; i++)
        for (size_t d = 0; d < dim; d++) {
            const double x = z[i * 2 * dim + d], m = z[i * 2 * dim + dim + d];
            y[i * 2 * dim + d] = sin(x + 0.7 * m) + rq->t * m;
            y[i * 2 * dim + dim + d] = cos(2 * x) * m - rq->t * x * x / 4;
        }
    return 0;
}

static dfl_model *bent_model(void) {
    dfl_model *model;
    assert_ok(dfl_model_callback(
        "{\"format\":\"driftless-model/1\",\"process\":\"psld:beta_0=2,beta_1=2\","
        "\"state_components\":2,\"prediction_type\":\"epsilon\",\"t_min\":0.1,"
        "\"sample\":{\"shape\":[3]}}",
        bent, NULL, &model));
    return model;
}

/* A teacher of the student's own form is recovered, coefficient by coefficient. Kills: halves that
   change places, older predictions in another order. */
static void test_recovers_teacher(void **state) {
    (void)state;
    dfl_model *model = bent_model();
    dfl_plan *deis;
    assert_ok(dfl_plan_new(model, "solver=deis:order=2,factor=flow steps=6", &deis));
    fit *f = fitted(model,
                    "steps=6 history=2 ridge=0 samples=200 held_out=20 "
                    "teacher=deis:order=2,factor=flow teacher_nfe=6 compare=none",
                    NULL);
    size_t n = 0;
    for (size_t i = 0; i < deis->code.nrows && n < 6; i++) {
        const row *r = &deis->code.rows[i];
        if (r->op != ROW_LIN) continue;
        const fit_step *s = &f->step[n++];
        assert_true(s->terms == r->nsrc && s->rank == 2 * r->nsrc && s->free == s->rank);
        for (size_t k = 0; k < r->nsrc; k++)
            for (size_t h = 0; h < 4; h++) {
                const double mine = s->c[h / 2 * s->columns + 2 * k + h % 2];
                assert_true(fabs(mine - deis->code.terms[r->src + k].c.v[h]) < 1e-8);
            }
    }
    assert_int_equal(n, 6);
    assert_true(f->own.rms < 1e-11);
    assert_int_equal(f->plan->nfe, 6);
    fit_free(f);
    dfl_plan_free(deis);
    dfl_model_free(model);
}

/* One Gaussian: every solver takes each number's pair (x, m) by a matrix of its own. One spread: the
   state alone meets any teacher, and what the network answers is a multiple of it, so two of four
   directions are open. Two spreads: the predictions of two steps meet it. */
static void test_linear_score(void **state) {
    (void)state;
    static const char *const teachers[] = {
        "heun teacher_nfe=78 teacher_grid=power:kappa=3", "deis:order=3,factor=flow teacher_nfe=40",
        "splitting:scheme=rvv teacher_nfe=80", "conjugate:type=2,lambda=2 teacher_nfe=60"};
    dfl_model *one = mixture_with("\"weights\":[1],\"means\":[[0,0]],\"stds\":[0.5]", PHASE);
    dfl_model *two = mixture_with("\"weights\":[1],\"means\":[[0,0]],\"stds\":[[0.3,0.8]]", PHASE);
    for (size_t i = 0; i < LENGTH(teachers); i++) {
        char spec[200];
        text page = {0};
        snprintf(spec, sizeof spec,
                 "steps=4 history=0 ridge=0 samples=20 held_out=20 compare=none teacher=%s",
                 teachers[i]);
        fit *f = fitted(one, spec, NULL);
        assert_true(f->own.rms < 1e-10);
        for (size_t n = 0; n < 4; n++) assert_true(f->step[n].rank == 2 && f->step[n].free == 4);
        fit_print(f, &page);
        assert_non_null(strstr(page.data, "step 1: the outputs leave 2 of 4 directions open; there "
                                          "the plan keeps to deis:order=0,factor=flow"));
        text_free(&page);
        fit_free(f);
        snprintf(spec, sizeof spec,
                 "steps=4 history=3 ridge=0 samples=20 held_out=20 compare=none teacher=%s",
                 teachers[i]);
        f = fitted(two, spec, NULL);
        if (!(f->own.rms < 1e-9)) REFUTE("%s: %g", teachers[i], f->own.rms);
        fit_free(f);
    }
    dfl_model_free(one);
    dfl_model_free(two);
}

/* ---- least squares ------------------------------------------------------------------------------ */

/* Two targets of their own units against all rows at once, the ridge as further rows. */
static void test_triangle_equals_dense(void **state) {
    (void)state;
    enum { M = 4, T = 2, WIDE = M + T, ROWS = 500 };
    static double all_rows[ROWS * WIDE], a[(ROWS + M) * M], b[ROWS + M];
    static const double ridges[] = {0, 1e-3, 10}, unit[T] = {1, 0.25};
    double base[T * M], basis[M * M] = {0}, triangle[WIDE * WIDE] = {0}, z[M];
    size_t rank;
    noise_normals(3, DFL_DRAW_START, 0, 0, 0, ROWS * WIDE, all_rows);
    noise_normals(4, DFL_DRAW_START, 0, 0, 0, T * M, base);
    for (int i = 0; i < ROWS; i++)
        all_rows[i * WIDE + 1] = all_rows[i * WIDE] + 0.01 * all_rows[i * WIDE + 1];
    for (int j = 0; j < M; j++) basis[j * M + j] = j == 1 ? 4 : 1;
    for (int i = 0; i < ROWS; i += 100)
        assert_ok(dense_triangle(WIDE, 100, all_rows + i * WIDE, triangle));
    for (int i = 0; i < WIDE * WIDE; i++) triangle[i] /= sqrt(ROWS);
    for (size_t k = 0; k < LENGTH(ridges); k++) {
        fit_step step;
        const fit_squares p = {M, T, M, triangle, base, basis, unit, ridges[k]};
        double sum = 0;
        assert_ok(fit_solve(&p, &step));
        assert_true(step.rank == M && step.columns == M);
        for (int t = 0; t < T; t++) {
            memset(a, 0, sizeof a);
            memset(b, 0, sizeof b);
            for (int i = 0; i < ROWS; i++) {
                b[i] = all_rows[i * WIDE + M + t] / unit[t];
                for (int j = 0; j < M; j++) {
                    a[i * M + j] = all_rows[i * WIDE + j] * basis[j * M + j];
                    b[i] -= all_rows[i * WIDE + j] * base[t * M + j] / unit[t];
                }
            }
            for (int j = 0; j < M; j++) a[(ROWS + j) * M + j] = sqrt(ridges[k] * ROWS);
            const dense_squares all = {ROWS + M, M, a, b, 1e-10};
            assert_ok(dense_least_squares(&all, z, &rank));
            for (int j = 0; j < M; j++) {
                const double c = base[t * M + j] + unit[t] * basis[j * M + j] * z[j];
                assert_true(fabs(step.c[t * M + j] - c) < 1e-10);
            }
            for (int i = 0; i < ROWS; i++) {
                double gap = all_rows[i * WIDE + M + t];
                for (int j = 0; j < M; j++) gap -= all_rows[i * WIDE + j] * step.c[t * M + j];
                sum += gap * gap / (unit[t] * unit[t]);
            }
        }
        assert_true(fabs(step.rms - sqrt(sum / (T * ROWS))) < 1e-12);
    }
}

/* ---- the same every time ------------------------------------------------------------------------ */

static void test_same_bits(void **state) {
    (void)state;
    static const char *const batches[] = {"64", "1", "7"};
    static const char *const how[] = {"", " grid=search:starts=40,validation=20,rounds=1",
                                      " refine=2 refine_times=1"};
    dfl_model *model = mixture_with(THREE, PHASE);
    for (size_t k = 0; k < LENGTH(how); k++) {
        text first = {0};
        for (size_t i = 0; i < LENGTH(batches); i++) {
            char spec[200];
            text json = {0};
            snprintf(spec, sizeof spec,
                     "steps=4 samples=60 held_out=30 compare=few teacher_nfe=30 batch=%s%s",
                     batches[i], how[k]);
            fit *f = fitted(model, spec, NULL);
            assert_ok(fit_json(f, "x", i == 0 ? &first : &json));
            if (i > 0) assert_string_equal(json.data, first.data);
            text_free(&json);
            fit_free(f);
        }
        text_free(&first);
    }
    dfl_model_free(model);
}

/* ---- every kind of network ---------------------------------------------------------------------- */

/* Nearer to the teacher, on starts it was not fitted to, than every classical solver of the same
   evaluations, by a factor. And the plan is one for its network: it runs as it was measured. */
static void test_kinds(void **state) {
    (void)state;
    static const size_t budgets[] = {5, 10};
    for (size_t i = 0; i < LENGTH(kinds); i++) {
        dfl_model *model = mixture_with(THREE, kinds[i].card);
        for (size_t k = 0; k < LENGTH(budgets); k++) {
            char spec[200];
            snprintf(spec, sizeof spec, "steps=%zu samples=400 held_out=64 compare=all%s",
                     budgets[k],
                     kinds[i].answers == 1 ? " teacher=splitting:scheme=rvv teacher_nfe=120" : "");
            fit *f = fitted(model, spec, NULL);
            assert_true(f->nrivals > (kinds[i].answers == 2 ? 30 : 24) &&
                        isfinite(f->rivals[0].rms));
            for (size_t j = 0; j < f->nrivals; j++) assert_true(f->rivals[j].nfe <= budgets[k]);
            const double factor = k == 0 ? 1.8 : kinds[i].factor;
            if (!(factor * f->own.rms < f->rivals[0].rms))
                REFUTE("%s at %zu: %g, and %s %g", kinds[i].card, budgets[k], f->own.rms,
                       f->rivals[0].solver, f->rivals[0].rms);
            assert_int_equal(f->plan->nfe, budgets[k]);
            fit_free(f);
        }
        dfl_model_free(model);
    }
}

/* A plan may end at t = 0, where the covariance of z is singular. */
static void test_lands(void **state) {
    (void)state;
    static const char *const specs[] = {"", " constraint=consistency",
                                        " grid=search:starts=100,validation=60,rounds=2",
                                        " refine=1 refine_times=1"};
    for (size_t i = 0; i < 2; i++) {
        dfl_model *model = mixture_with(THREE, i == 0 ? PHASE : kinds[5].card);
        for (size_t k = 0; k < LENGTH(specs); k++) {
            char spec[200];
            snprintf(spec, sizeof spec, "steps=5 t_end=0 samples=300 held_out=100%s", specs[k]);
            fit *f = fitted(model, spec, NULL);
            assert_true(f->t[5] == 0 && f->own.rms < 0.7 * f->rivals[0].rms);
            fit_free(f);
        }
        dfl_model_free(model);
    }
}

/* With constraint=consistency a plan fitted to one law stays exact where the network knows x_0: run on
   a law of one point, it ends where deis:order=0,factor=flow does, which is exact there, as far as
   numerical_eps lets it. */
static void test_consistency(void **state) {
    (void)state;
    enum { COUNT = 20, DIM = 2 };
    for (size_t i = 0; i < LENGTH(kinds); i++) {
        dfl_model *model = mixture_with(THREE, kinds[i].card), *point;
        if (kinds[i].answers == 1) {
            fit *f;
            refused(fit_new(model, "steps=3 constraint=consistency", NULL, &f), DFL_E_COMBINATION,
                    "predicts both halves");
            dfl_model_free(model);
            continue;
        }
        double mine[COUNT * DIM], exact[COUNT * DIM];
        dfl_plan *plan;
        dfl_run *run;
        fit *f = fitted(model, "steps=5 samples=200 held_out=50 constraint=consistency", NULL);
        for (size_t n = 0; n < 5; n++) assert_int_equal(f->step[n].free, 2 * f->step[n].terms - 3);
        /* An exact network's halves tell one x_0: nothing is left of the one direction of a first step. */
        if (strstr(kinds[i].card, "numerical_eps=0")) assert_int_equal(f->step[0].rank, 0);
        assert_true(f->own.rms < 0.7 * f->rivals[0].rms);
        point =
            mixture_with("\"weights\":[1],\"means\":[[0.7,-1.1]],\"stds\":[1e-9]", kinds[i].card);
        assert_ok(dfl_plan_new(point, "solver=deis:order=0,factor=flow steps=8", &plan));
        const dfl_plan *const plans[] = {f->plan, plan};
        double *const to[] = {mine, exact};
        for (size_t k = 0; k < 2; k++) {
            assert_ok(dfl_run_new(plans[k], point, "dtype=float64", &run));
            assert_ok(dfl_run_sample(run, 0, COUNT, NULL, NULL, to[k]));
            dfl_run_free(run);
        }
        double most = 0;
        for (size_t k = 0; k < COUNT * DIM; k++) most = fmax(most, fabs(mine[k] - exact[k]));
        const bool widened = !strstr(kinds[i].card, "numerical_eps=0");
        if (!(most < (widened ? 1e-3 : 1e-9))) REFUTE("%s: %g off", kinds[i].card, most);
        dfl_plan_free(plan);
        fit_free(f);
        dfl_model_free(point);
        dfl_model_free(model);
    }
}

/* ---- refusals ----------------------------------------------------------------------------------- */

static void test_refusals(void **state) {
    (void)state;
    static const fits_refusal cases[] = {
        {"steps=3 samples=1", DFL_E_RANGE, "samples=1"},
        {"steps=3 grid=list:times=[1,0.5,0.5,0.1]", DFL_E_RANGE, "0.5"},
        {"steps=9 teacher_nfe=8", DFL_E_RANGE, "steps=9 is more than the 8 steps of the teacher"},
        {"steps=3 teacher=em", DFL_E_COMBINATION, "draws noise"},
        {"steps=3 teacher=splitting:scheme=roba", DFL_E_COMBINATION, "draws noise"},
        {"steps=3 teacher=unipc", DFL_E_COMBINATION, "scalar processes only"},
        {"steps=3 grid=logsnr", DFL_E_COMBINATION, "logsnr"},
        {"steps=3 data_moments=none.npz", DFL_E_IO, "none.npz"},
    };
    static const fits_refusal of_half[] = {
        {"steps=3 teacher=deis:order=3,factor=flow", DFL_E_COMBINATION, "both halves"},
    };
    dfl_model *model = mixture_with(THREE, PHASE), *half = mixture_with(THREE, kinds[7].card);
    fits_refused(model, cases, LENGTH(cases));
    fits_refused(half, of_half, LENGTH(of_half));
    dfl_model_free(model);
    dfl_model_free(half);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_base),         cmocka_unit_test(test_lambda),
        cmocka_unit_test(test_flow),         cmocka_unit_test(test_recovers_teacher),
        cmocka_unit_test(test_linear_score), cmocka_unit_test(test_triangle_equals_dense),
        cmocka_unit_test(test_same_bits),    cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_lands),        cmocka_unit_test(test_consistency),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
