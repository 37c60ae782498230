/* Memory that runs out, as in test_fail.c: likelihoods, what they go on from, and the time of a prior. */
#include "support/refuse.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "eval/likelihood.h"
#include "io/io.h"

static char folder[64], part[128], fitted[128];
static dfl_model *model; /* made outside the counting */
static double x[] = {0.3, -0.4, 0.1, 1.2, -0.9, 0.8};
static const likelihood_data data = {.n = 3, .dim = 2, .numbers = x, .digest = "of a test"};

/* Half of it, kept, and taken up again. */
static dfl_status halves(const likelihood_wish *wish) {
    likelihood *first = NULL, *second = NULL;
    dfl_status status = likelihood_new(model, &data, wish, &first);
    if (status == DFL_OK) status = likelihood_batch(first);
    if (status == DFL_OK) status = likelihood_save(first, part);
    if (status == DFL_OK) status = likelihood_new(model, &data, wish, &second);
    if (status == DFL_OK) status = likelihood_resume(second, part);
    if (status == DFL_OK) status = likelihood_batch(second);
    likelihood_free(first);
    likelihood_free(second);
    return status;
}

static dfl_status try_flow(void) {
    return halves(&(likelihood_wish){.spec = "t_start=0.4 steps=2", .batch = 2, .latents = true});
}

static dfl_status try_bound(void) {
    return halves(
        &(likelihood_wish){.spec = "method=bound t_start=0.4 steps=3 prior=exact", .batch = 2});
}

static dfl_status try_time(void) {
    bool there;
    double t;
    return start_time_of_prior(fitted, "vp_linear", &there, &t);
}

static int prepare(void **state) {
    (void)state;
    process *p;
    refuse_begin();
    snprintf(folder, sizeof folder, "/tmp/driftless-test-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(part, sizeof part, "%s/part.npz", folder);
    snprintf(fitted, sizeof fitted, "%s/fitted.npz", folder);
    assert_ok(process_new("vp_linear", &p));
    const scalar_at at = process_at(p, 0.3);
    process_free(p);
    double pair[] = {at.a, at.b};
    assert_ok(npz_write(fitted, &(named_array){"state", {ARRAY_F64, 1, {2}, pair}}, 1));
    assert_ok(dfl_model_open("mixture:" DFL_TEST_DATA "/mixture2d.json", NULL, &model));
    return 0;
}

static int clean_up(void **state) {
    (void)state;
    dfl_model_free(model);
    unlink(part);
    unlink(fitted);
    return rmdir(folder);
}

static void test_memory(void **state) {
    (void)state;
    static const refuse_case cases[] = {
        {"flow", try_flow, 40}, {"bound", try_bound, 40}, {"time of a prior", try_time, 3}};
    for (size_t i = 0; i < LENGTH(cases); i++) assert_ok(cases[i].attempt());
    refuse_each(cases, LENGTH(cases));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_memory)};
    return cmocka_run_group_tests_name("fail_likelihood", tests, prepare, clean_up);
}
