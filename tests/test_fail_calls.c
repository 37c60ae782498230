/* Callbacks that fail: the network, the observer and the noise source of runs, integrations, scans
   and statistics, at their first call, at their second, and so on to the last. Each time the code
   comes back, nothing more is called, and the next attempt on the same object is as good as new. */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DIM = 2, SAMPLES = 3, CODE = 77 };

/* Everything that is called, counted together. */
static struct { size_t calls, fail_at; /* from 1; 0: never */ } made;

static int call(void) {
    return ++made.calls == made.fail_at ? CODE : 0;
}

static int answer(void *user, const dfl_request *rq) {
    (void)user;
    const size_t n = dfl_request_count(rq) * DIM;
    for (size_t i = 0; i < n; i++) {
        if (dfl_request_dtype(rq) == DFL_FLOAT32)
            ((float *)dfl_request_output(rq))[i] = ((const float *)dfl_request_input(rq))[i] / 2;
        else
            ((double *)dfl_request_output(rq))[i] = ((const double *)dfl_request_input(rq))[i] / 2;
    }
    return call();
}

static int on_state(void *user, size_t step, size_t steps, double t, uint64_t first, size_t count,
                    const void *state) {
    (void)user, (void)step, (void)steps, (void)t, (void)first, (void)count, (void)state;
    return call();
}

static int on_advance(void *user, uint64_t sample, double t, double done, size_t nfe,
                      const double *state) {
    (void)user, (void)sample, (void)t, (void)done, (void)nfe, (void)state;
    return call();
}

static int on_noise(void *user, int kind, uint32_t draw, uint64_t first, size_t count, size_t dim,
                    double *dst) {
    (void)user;
    for (size_t i = 0; i < count * dim; i++)
        dst[i] = kind == DFL_DRAW_PICK ? 0.5 : (double)((first + i + draw) % 5) / 2 - 1;
    return call();
}

static int on_progress(void *user, size_t done, size_t total) {
    (void)user;
    assert_true(done <= total);
    return call();
}

static dfl_model *model;
static dfl_plan *plan;
static dfl_run *run;
static dfl_ode *ode;
static dfl_tuning *tuning;
static dfl_stats *stats;
static double drawn[SAMPLES * DIM];

static int set_up(void **state) {
    (void)state;
    static const char card[] =
        "{\"format\": \"driftless-model/1\", \"process\": \"vp_linear\", \"prediction_type\": "
        "\"epsilon\", \"sample\": {\"shape\": [2]}, \"t_min\": 0.1, \"t_max\": 0.9}";
    assert_ok(dfl_model_callback(card, answer, NULL, &model));
    assert_ok(dfl_plan_new(model, "solver=ddim_gmm:K=2 steps=2", &plan));
    assert_ok(dfl_run_new(plan, model, "batch=2,dtype=float64", &run));
    dfl_run_observe(run, on_state, NULL);
    dfl_run_noise(run, on_noise, NULL);
    assert_ok(dfl_ode_new(model, "solver=ode45:rtol=0.1,atol=0.1", "batch=2,dtype=float64", &ode));
    dfl_ode_observe(ode, on_advance, NULL);
    dfl_ode_noise(ode, on_noise, NULL);
    assert_ok(dfl_tuning_new(model,
                             "solver=conjugate:type=2 nfe=[2] samples=2 grid=uniform "
                             "scan=lambda=0:1:2 reference=ode45",
                             &tuning));
    assert_ok(dfl_stats_new(model, "solver=ddim nfe=4", "samples=2,batch=2", &stats));
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    dfl_stats_free(stats);
    dfl_tuning_free(tuning);
    dfl_ode_free(ode);
    dfl_run_free(run);
    dfl_plan_free(plan);
    dfl_model_free(model);
    return 0;
}

/* ---- attempts -------------------------------------------------------------------------------- */

static dfl_status try_run(void) {
    return dfl_run_sample(run, 1, SAMPLES, NULL, NULL, drawn);
}

static dfl_status try_ode(void) {
    return dfl_ode_sample(ode, 1, SAMPLES, NULL, NULL, drawn, NULL);
}

static dfl_status try_tuning(void) {
    return dfl_tuning_run(tuning, on_progress, NULL);
}

/* A batch that ended early does not count. */
static dfl_status try_stats(void) {
    assert_int_equal(dfl_stats_samples(stats), 0);
    return dfl_stats_batch(stats, on_progress, NULL);
}

/* Fails at every call in turn, then not at all, and leaves what the whole one drew. */
static void at_every_call(const char *name, dfl_status (*attempt)(void), size_t least) {
    double first[SAMPLES * DIM];
    size_t n = 1;
    for (;; n++) {
        made.calls = 0;
        made.fail_at = n;
        const dfl_status status = attempt();
        if (made.calls < n) break;
        if (status != CODE) REFUTE("%s, call %zu: status %d", name, n, status);
        assert_int_equal(made.calls, n);
    }
    print_message("%s: %zu calls\n", name, n - 1);
    assert_true(n > least);
    memcpy(first, drawn, sizeof first);
    if (attempt == try_stats) return;
    made.fail_at = 0;
    assert_ok(attempt());
    assert_memory_equal(first, drawn, sizeof first);
}

static void test_run(void **state) {
    (void)state;
    at_every_call("run", try_run, 20);
}

static void test_ode(void **state) {
    (void)state;
    at_every_call("integration", try_ode, 20);
}

/* A scan that was ended has no results to save. */
static void test_tuning(void **state) {
    (void)state;
    char page[10];
    made.calls = 0;
    made.fail_at = 1;
    assert_int_equal(try_tuning(), CODE);
    refused(dfl_tuning_to_text(tuning, page, sizeof page, NULL), DFL_E_ARG, "to its end");
    refused(dfl_tuning_save(tuning, "/nowhere/tuned.json"), DFL_E_ARG, "to its end");
    at_every_call("scan", try_tuning, 20);
}

static void test_stats(void **state) {
    (void)state;
    char path[] = "/tmp/driftless-calls-XXXXXX";
    const int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    refused(dfl_stats_save(stats, path), DFL_E_ARG, "no sample");
    at_every_call("statistics", try_stats, 7);
    assert_int_equal(dfl_stats_samples(stats), 2);
    assert_ok(dfl_stats_save(stats, path));
    assert_int_equal(unlink(path), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_run), cmocka_unit_test(test_ode),
                                       cmocka_unit_test(test_tuning), cmocka_unit_test(test_stats)};
    return cmocka_run_group_tests_name("fail_calls", tests, set_up, tear_down);
}
