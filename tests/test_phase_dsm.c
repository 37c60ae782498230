/* Networks trained by denoising score matching: their epsilon is about the noise given x_0 and m_0,
   a smaller factor L, and score = -L^-T epsilon is the same function. */
#include "support/exact.h"
#include "support/order.h"
#include "support/tables.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/mixture.h"
#include "solver/solver.h"
#include "support/cases.h"

/* The well-conditioned starts of the stored orders. */
enum { SAMPLES = 4, NUMBERS = SAMPLES * EXACT_STATE, DRAWS = 128 };

static const char *const settings[] = {
    "psld", "psld:numerical_eps=0",    "psld:factor=upper",
    "cld",  "psld:Gamma=0.25,nu=4.25", "psld:beta_0=4,beta_1=12",
};

static double starts[NUMBERS], normals[DRAWS * NUMBERS];

/* States at the last time and, with denoise=1, after the last step. */
static exact_result run_case(const char *process_spec, const char *matching, const char *half,
                             const char *spec) {
    const exact_case c = {.process = process_spec,
                          .half = half,
                          .spec = spec,
                          .samples = SAMPLES,
                          .start = starts,
                          .noise = normals,
                          .matching = matching};
    exact_result r;
    exact_run(&c, &r);
    return r;
}

/* ---- what the network is told and gives ------------------------------------------------------ */

/* A state's label is that of the process, whatever the network; y = cn n with cn b^T = L^T, as
   b^-T n is minus the score. test_phase.c has L in 100 digits. */
static void test_rows(void **state) {
    (void)state;
    for (size_t i = 0; i < LENGTH(settings); i++)
        for (int half = NET_BOTH; half <= NET_M; half++) {
            plan_source source = {
                .process = settings[i], .form = networks[0].form, .t_min = 1e-5, .t_max = 1};
            source.form.matching = MATCH_DENOISING;
            source.form.half = (net_half)half;
            dfl_plan *plan;
            if (half == NET_X || (half == NET_M && strcmp(settings[i], "cld") != 0)) continue;
            assert_ok(plan_compile("solver=euler steps=20", &source, &plan));
            process *p = open_process(settings[i]);
            size_t evals = 0;
            for (size_t k = 0; k < plan->code.nrows; k++) {
                const row *r = &plan->code.rows[k];
                if (r->op != ROW_EVAL) continue;
                const blk b = factor_of(p, r->t), L = process_factor(p, r->t, MATCH_DENOISING);
                const double *cn = r->gives.cn, *at = r->at.b;
                for (int j = 0; j < 4; j++) assert_true(at[j] == b.v[j]);
                for (int j = 0; j < (half ? 2 : 4); j++) {
                    const int o = half ? half - 1 : j / 2, column = j % 2;
                    const double *line = cn + j / 2 * 2;
                    const double found = line[0] * b.v[2 * column] + line[1] * b.v[2 * column + 1];
                    const double right = L.v[2 * column + o]; /* of L^T */
                    assert_true(fabs(found - right) < 1e-13 * (fabs(right) + 1e-3));
                    assert_true(r->gives.cx[o] == 0);
                }
                evals++;
            }
            assert_int_equal(evals, 20);
            plan_free(plan);
            process_free(p);
        }
}

/* ---- solvers that use the score -------------------------------------------------------------- */

static const char *const by_score[] = {
    "euler",
    "heun",
    "em",
    "sscs",
    "sscs:second_half=official",
    "splitting:scheme=nse",
    "splitting:scheme=rse",
    "splitting:scheme=nvv",
    "splitting:scheme=rvv",
    "splitting:scheme=noba",
    "splitting:scheme=nbao",
    "splitting:scheme=nobab",
    "splitting:scheme=roba",
    "splitting:scheme=rbao",
    "splitting:scheme=robab,lambda_s=0.7",
    "conjugate:type=1,lambda=0,factor=flow",
    "conjugate:type=2,lambda=1,factor=flow",
    "deis:order=0,factor=flow",
    "deis:order=1,factor=flow",
    "deis:order=2,factor=flow",
    "deis:order=3,factor=flow",
};

static double size_of(const double *z) {
    double most = 0;
    for (int i = 0; i < NUMBERS; i++) most = fmax(most, fabs(z[i]));
    return 1 + most;
}

/* The same samples to rounding, the last step's included. */
static void test_same(void **state) {
    (void)state;
    double worst = 0;
    for (size_t i = 0; i < LENGTH(settings); i++)
        for (size_t k = 0; k < LENGTH(by_score); k++) {
            char spec[128];
            snprintf(spec, sizeof spec, "solver=%s steps=50 denoise=1", by_score[k]);
            exact_result hsm = run_case(settings[i], "hsm", "both", spec);
            exact_result dsm = run_case(settings[i], "dsm", "both", spec);
            const double off = fmax(farthest(hsm.before, dsm.before, NUMBERS) / size_of(hsm.before),
                                    farthest(hsm.last, dsm.last, NUMBERS) / size_of(hsm.last));
            if (!(off < 1e-9)) REFUTE("%s, %s: %.3g apart", settings[i], by_score[k], off);
            worst = fmax(worst, off);
            exact_free(&hsm);
            exact_free(&dsm);
        }
    print_message("hsm and dsm are %.2g apart at most\n", worst);
}

/* CLD by the momentum half, nu = 0 with the upper factor by the position half. */
static void test_halves(void **state) {
    (void)state;
    static const char *const solvers[] = {"heun", "splitting:scheme=rvv", "deis:order=2",
                                          "conjugate:type=2,lambda=1",
                                          "conjugate_splitting:scheme=cse"};
    static const char *const with[][2] = {{"cld", "m"}, {"psld:Gamma=4,nu=0,factor=upper", "x"}};
    for (size_t i = 0; i < LENGTH(solvers); i++)
        for (size_t k = 0; k < LENGTH(with); k++) {
            char spec[96];
            snprintf(spec, sizeof spec, "solver=%s steps=40 denoise=1", solvers[i]);
            exact_result both = run_case(with[k][0], "dsm", "both", spec);
            exact_result half = run_case(with[k][0], "dsm", with[k][1], spec);
            assert_true(both.answered == 2 && half.answered == 1);
            assert_true(farthest(both.last, half.last, NUMBERS) < 1e-10 * size_of(both.last));
            exact_free(&both);
            exact_free(&half);
        }
}

/* ---- solvers that hold or extrapolate epsilon ------------------------------------------------ */

static const char *const by_epsilon[] = {
    "conjugate:type=1,lambda=0",
    "conjugate:type=2,lambda=1",
    "conjugate:matrix=[0.5,1,-1,2]",
    "conjugate_splitting:scheme=cse,type=2",
    "conjugate_splitting:scheme=cvv,type=1",
    "conjugate_splitting:scheme=cvv,type=2",
    "deis:order=0",
    "deis:order=1",
    "deis:order=2",
    "deis:order=3",
};

/* Other steps, because another epsilon is held, but the same limit with the claimed order. */
static void test_limit(void **state) {
    (void)state;
    exact_result end = run_case("psld:numerical_eps=0", "hsm", "both",
                                "solver=deis:order=3,factor=flow steps=2560");
    for (size_t i = 0; i < LENGTH(by_epsilon); i++) {
        process *p = open_process("psld");
        const solver_claims claims = claims_of(by_epsilon[i], p);
        ladder l = ladder_of(claims.from, claims.to);
        double apart_first = 0;
        for (size_t k = 0; k < l.n; k++) {
            char spec[96];
            snprintf(spec, sizeof spec, "solver=%s steps=%d", by_epsilon[i], l.steps[k]);
            exact_result dsm = run_case("psld:numerical_eps=0", "dsm", "both", spec);
            exact_result hsm = run_case("psld:numerical_eps=0", "hsm", "both", spec);
            l.error[k] = farthest(dsm.last, end.last, NUMBERS);
            if (k == 0) apart_first = farthest(dsm.last, hsm.last, NUMBERS);
            exact_free(&hsm);
            exact_free(&dsm);
        }
        const double all = ladder_slope(&l), last = ladder_last(&l);
        print_message(
            "%-38s %5d steps: error %.1e, order %.2f, at last %.2f; %.1e from hsm at %d\n",
            by_epsilon[i], l.steps[l.n - 1], l.error[l.n - 1], all, last, apart_first, l.steps[0]);
        if (!(fabs(all - claims.order) <= 0.3 && fabs(last - claims.order) <= 0.3))
            REFUTE("%s: order %.2f, at last %.2f", by_epsilon[i], all, last);
        assert_true(apart_first > 1e-6);
        process_free(p);
    }
    exact_free(&end);
}

/* ---- the analytic mixture and cards ---------------------------------------------------------- */

static const char public2d[] = "\"format\": \"driftless-mixture/1\", \"weights\": [0.5, 0.3, 0.2], "
                               "\"means\": [[1.2, -0.4], [-0.9, 0.8], [0.1, -1.5]], "
                               "\"stds\": [[0.25, 0.4], [0.3, 0.2], [0.15, 0.35]]";

static dfl_model *mixture_of(const char *process_spec, const char *predicts, const char *matching) {
    char json[640];
    dfl_model *m;
    snprintf(json, sizeof json,
             "{%s, \"card\": {\"process\": \"%s\", \"state_components\": 2, "
             "\"prediction_type\": \"%s\", \"score_matching\": \"%s\"}}",
             public2d, process_spec, predicts, matching);
    assert_ok(mixture_parse("test", json, strlen(json), &m));
    return m;
}

static void draw(dfl_model *m, const char *spec, double *x) {
    dfl_plan *plan;
    dfl_run *run;
    assert_ok(dfl_plan_new(m, spec, &plan));
    assert_ok(dfl_run_new(plan, m, "dtype=float64", &run));
    assert_ok(dfl_run_sample(run, 0, 8, NULL, NULL, x));
    dfl_run_free(run);
    dfl_plan_free(plan);
}

static void integrate(dfl_model *m, double *x) {
    dfl_ode *ode;
    assert_ok(
        dfl_ode_new(m, "solver=ode45:rtol=1e-10,atol=1e-10 denoise=1", "dtype=float64", &ode));
    assert_ok(dfl_ode_sample(ode, 0, 8, NULL, NULL, x, NULL));
    dfl_ode_free(ode);
}

/* The mixture answers for any card: by epsilon of either kind and by the score the same samples come
   out, also from adaptive steps. (Its own law includes numerical_eps, the replica's above not.) */
static void test_mixture(void **state) {
    (void)state;
    static const char *const kinds[][2] = {
        {"epsilon", "hsm"}, {"epsilon", "dsm"}, {"score", "hsm"}, {"score", "dsm"}};
    for (size_t i = 0; i < LENGTH(settings); i++) {
        double first[2][16], x[2][16];
        for (size_t k = 0; k < LENGTH(kinds); k++) {
            dfl_model *m = mixture_of(settings[i], kinds[k][0], kinds[k][1]);
            draw(m, "solver=heun steps=60 denoise=1", x[0]);
            integrate(m, x[1]);
            if (k == 0) memcpy(first, x, sizeof x);
            if (!(farthest(x[0], first[0], 16) < 1e-10 && farthest(x[1], first[1], 16) < 1e-7))
                REFUTE("%s by %s, %s: %.3g and %.3g off", settings[i], kinds[k][0], kinds[k][1],
                       farthest(x[0], first[0], 16), farthest(x[1], first[1], 16));
            dfl_model_free(m);
        }
    }
}

/* A plan made for one kind of network does not run on another, as far as a plan can tell: what a
   network trained given both says depends on the process. */
static void test_pairs(void **state) {
    (void)state;
    dfl_model *hsm = mixture_of("psld", "epsilon", "hsm");
    dfl_model *dsm = mixture_of("psld", "epsilon", "dsm");
    dfl_model *score = mixture_of("psld", "score", "hsm");
    dfl_model *const models[] = {hsm, dsm, score};
    for (int made = 0; made < 3; made++)
        for (int used = 0; used < 3; used++) {
            dfl_plan *plan;
            dfl_run *run;
            assert_ok(dfl_plan_new(models[made], "solver=deis steps=5", &plan));
            const dfl_status status = dfl_run_new(plan, models[used], NULL, &run);
            if (made == used || used == 1)
                assert_ok(status);
            else
                refused(status, DFL_E_COMBINATION, "another prediction type");
            dfl_run_free(run);
            dfl_plan_free(plan);
        }
    for (int i = 0; i < 3; i++) dfl_model_free(models[i]);
}

static void test_cards(void **state) {
    (void)state;
    static const struct {
        const char *keys;
        dfl_status status;
        const char *word; /* in the message, or in the card as it is printed */
    } cards[] = {
        {"\"state_components\": 2, \"score_matching\": \"dsm\"", DFL_OK,
         "\"score_matching\": \"dsm\""},
        {"\"state_components\": 2, \"score_matching\": \"hsm\"", DFL_OK,
         "\"score_matching\": \"hsm\""},
        {"\"state_components\": 2", DFL_OK, "\"score_matching\": \"hsm\""},
        {"\"score_matching\": \"dsm\"", DFL_E_COMBINATION, "\"score_matching\" is for networks"},
        {"\"score_matching\": \"hsm\"", DFL_OK, "\"prediction_type\""},
        {"\"state_components\": 2, \"score_matching\": \"ism\"", DFL_E_RANGE, "hsm"},
        {"\"state_components\": 2, \"score_matching\": 1", DFL_E_FORMAT, "score_matching"},
    };
    for (size_t i = 0; i < LENGTH(cards); i++) {
        char json[512], info[2048];
        dfl_model *m;
        snprintf(json, sizeof json, "{%s, \"card\": {\"process\": \"%s\", %s}}", public2d,
                 strstr(cards[i].keys, "state") ? "psld" : "vp_linear", cards[i].keys);
        const dfl_status status = mixture_parse("test", json, strlen(json), &m);
        if (cards[i].status != DFL_OK) {
            refused(status, cards[i].status, cards[i].word);
            continue;
        }
        assert_ok(status);
        assert_ok(dfl_model_info(m, info, sizeof info, NULL));
        if (!strstr(info, cards[i].word)) REFUTE("%s is not in %s", cards[i].word, info);
        dfl_model_free(m);
    }
}

/* No score at t = 0, given both, either; but an integral down to it has its limit. */
static void test_end(void **state) {
    (void)state;
    dfl_model *m = mixture_of("psld:numerical_eps=0", "epsilon", "dsm");
    static const char *const fine[] = {"deis:order=1", "conjugate:type=2,lambda=1",
                                       "conjugate_splitting:scheme=cse", "euler"};
    for (size_t i = 0; i < LENGTH(fine); i++) {
        char spec[96];
        double x[16], close[16];
        snprintf(spec, sizeof spec, "solver=%s grid=list:times=[1,0.5,0.2,0.1,0.03,0.01,0]",
                 fine[i]);
        draw(m, spec, x);
        snprintf(spec, sizeof spec, "solver=%s grid=list:times=[1,0.5,0.2,0.1,0.03,0.01,1e-9]",
                 fine[i]);
        draw(m, spec, close);
        assert_true(farthest(x, close, 16) < 1e-3 * (1 + fabs(x[0])));
    }
    dfl_plan *plan;
    refused(dfl_plan_new(m, "solver=splitting:scheme=rvv t_end=0", &plan), DFL_E_COMBINATION,
            "t = 0");
    refused(dfl_plan_new(m, "solver=conjugate_splitting:scheme=cvv t_end=0", &plan),
            DFL_E_COMBINATION, "t = 0");
    dfl_model_free(m);
}

static int setup(void **state) {
    (void)state;
    json_t *file = tables_open();
    const json_t *list = json_object_get(tables_entry(file, "order", 0), "z_T");
    if (json_array_size(list) != SAMPLES) return -1;
    for (size_t i = 0; i < NUMBERS; i++)
        starts[i] = json_number_value(
            json_array_get(json_array_get(list, i / EXACT_STATE), i % EXACT_STATE));
    json_decref(file);
    for (uint32_t i = 0; i < DRAWS; i++)
        noise_normals(1, DFL_DRAW_NOISE, i, 0, 0, NUMBERS, normals + i * NUMBERS);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),  cmocka_unit_test(test_same),    cmocka_unit_test(test_halves),
        cmocka_unit_test(test_limit), cmocka_unit_test(test_mixture), cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_cards), cmocka_unit_test(test_end),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
