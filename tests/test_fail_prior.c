/* Memory that runs out, as in test_fail.c: fitting priors, their files, densities and draws. */
#include "support/refuse.h"

#include <stdlib.h>
#include <unistd.h>

#include "prior/fit.h"
#include "prior/flow.h"
#include "run/mismatch.h"

enum { N = 60, D = 3 };
static double data[N * D];
static int64_t label[N];
static char path[] = "/tmp/test-fail-prior-XXXXXX";
static prior *ready[KINDS]; /* made outside the counting */

static const gate_row gate = {0.8, 0.6, 0, 0};

static dfl_status fit(kind which, bool dp, bool noise, const int64_t *labels, prior **out) {
    const rows from = rows_memory(data, N, D);
    const fit_wish wish = {.em = {.kind = which,
                                  .k = which == KIND_GAUSS ? 1 : 2,
                                  .q = 2,
                                  .dp = dp,
                                  .reg = 1e-3,
                                  .floor = 1e-3,
                                  .concentration = 0.5,
                                  .whole_side = which == KIND_PPCA ? 1 : 0},
                           .iterations = 1,
                           .restarts = 2,
                           .held_share = 0.3,
                           .seed = 1,
                           .a = noise ? 0.8 : 1,
                           .b = noise ? 0.6 : 0,
                           .add_noise = noise,
                           .gate = &gate,
                           .ngate = 1};
    fit_report report;
    return prior_fit(&wish, &from, labels, out, &report);
}

static dfl_status try_fits(void) {
    for (int i = 0; i < KINDS; i++) {
        prior *p = NULL;
        const dfl_status status = fit((kind)i, i == KIND_FULL, i == KIND_TIED, NULL, &p);
        prior_free(p);
        if (status != DFL_OK) return status;
    }
    return DFL_OK;
}

static dfl_status try_classes(void) {
    prior *p = NULL;
    const dfl_status status = fit(KIND_PCAGMM, false, false, label, &p);
    prior_free(p);
    return status;
}

static dfl_status use(const prior *p) {
    double x[D], mean[D], cov[D * D], logp, kl, error;
    dfl_status status = prior_draw(p, 1, 2, x);
    if (status == DFL_OK) status = prior_logp(p, x, 1, &logp);
    if (status == DFL_OK) status = prior_moments(p, mean, cov);
    if (status == DFL_OK) status = mismatch_sampled(p, 1, 2, &kl, &error);
    return status;
}

static dfl_status try_use(void) {
    for (int i = 0; i < KINDS; i++) {
        prior *there = NULL, *one = NULL;
        dfl_status status = prior_at(ready[i], 0.8, 0.6, &there);
        if (status == DFL_OK) status = use(there);
        if (status == DFL_OK) status = prior_only(ready[i], -1, &one);
        prior_free(there);
        prior_free(one);
        if (status != DFL_OK) return status;
    }
    return DFL_OK;
}

static dfl_status try_file(void) {
    prior *p = NULL;
    double a, b;
    dfl_status status = prior_write(ready[KIND_PCAGMM], path);
    if (status == DFL_OK) status = prior_read_state(path, &a, &b);
    if (status == DFL_OK) status = prior_read(path, &p);
    prior_free(p);
    return status;
}

static dfl_status try_flow_card(void) {
    flow_card c;
    const dfl_status status = flow_card_read(DFL_TEST_DATA "/flow", &c);
    if (status == DFL_OK) flow_card_free(&c);
    return status;
}

static int prepare(void **state) {
    (void)state;
    for (int i = 0; i < N; i++) {
        label[i] = i % 2;
        noise_normals(1, DFL_DRAW_START, 0, (uint64_t)i, 0, D, data + i * D);
        for (int j = 0; j < D; j++) data[i * D + j] = 0.3 * data[i * D + j] + (i % 2 ? 1 : -1);
    }
    const int fd = mkstemp(path);
    if (fd < 0) return 1;
    close(fd);
    for (int i = 0; i < KINDS; i++)
        if (fit((kind)i, false, false, NULL, &ready[i]) != DFL_OK) return 1;
    refuse_begin();
    return 0;
}

static int clean_up(void **state) {
    (void)state;
    for (int i = 0; i < KINDS; i++) prior_free(ready[i]);
    return unlink(path);
}

static void test_memory(void **state) {
    (void)state;
    static const refuse_case cases[] = {{"fits", try_fits, 100},
                                        {"classes", try_classes, 20},
                                        {"use", try_use, 40},
                                        {"file", try_file, 20},
                                        {"flow card", try_flow_card, 10}};
    refuse_each(cases, LENGTH(cases));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_memory)};
    return cmocka_run_group_tests_name("fail_prior", tests, prepare, clean_up);
}
