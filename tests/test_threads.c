/* Many runs at once over shared plans, each with a model of its own: the bits of one run after the
   other. scripts/test also builds this test, and only this one, with the thread sanitizer. */
#include "support/hand.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 6, ROUNDS = 3, COUNT = 20, TEXT = 1 << 16 };

/* Noise, mixture kernels with a table, thresholding and phase space; NULL: the plan by hand. */
static const char *const specs[] = {
    "solver=deis:order=3 steps=5",      "solver=ddim_gmm:eta=1,K=2 steps=4",
    "solver=dpm:order=2 steps=4",       "solver=em steps=6",
    "process=psld solver=sscs steps=4", NULL};
enum { PLANS = LENGTH(specs) };

typedef struct {
    pthread_t thread;
    pthread_barrier_t *together;
    const dfl_plan *const *plans;
    int number;
    dfl_status status[PLANS];
    float samples[PLANS][COUNT * DIM];
    char json[TEXT], refusal[200];
    bool own_message;
} worker;

static dfl_plan *plan_number(const dfl_model *model, size_t i) {
    return specs[i] ? plan_of(model, specs[i]) : plan_from(hand_mix);
}

static dfl_status sample_plan(const worker *w, dfl_model *model, size_t i, float *samples) {
    char options[40];
    dfl_run *run = NULL;
    snprintf(options, sizeof options, "seed=%d,batch=8", w->number);
    dfl_status status = dfl_run_new(w->plans[i], model, options, &run);
    const dfl_request *request = NULL;
    if (status == DFL_OK && w->number % 2) { /* half of them own their loops */
        status = dfl_run_begin(run, 0, COUNT, NULL, NULL, samples);
        if (status == DFL_OK) status = dfl_run_next(run, &request);
        while (status == DFL_OK && request) {
            status = dfl_model_answer(model, request);
            if (status == DFL_OK) status = dfl_run_next(run, &request);
        }
    } else if (status == DFL_OK) {
        status = dfl_run_sample(run, 0, COUNT, NULL, NULL, samples);
    }
    dfl_run_free(run);
    return status;
}

/* cmocka's assertions belong to the main thread: what goes wrong here is kept. */
static void *work(void *user) {
    worker *w = user;
    dfl_model *model = NULL;
    dfl_status opened = dfl_model_open("mixture:" DFL_TEST_DATA "/mixture2d.json", NULL, &model);
    for (size_t i = 0; i < PLANS; i++) w->status[i] = opened;
    pthread_barrier_wait(w->together);
    for (int round = 0; opened == DFL_OK && round < ROUNDS; round++)
        for (size_t k = 0; k < PLANS; k++) {
            const size_t i = (k + (size_t)w->number) % PLANS; /* not all at the same one */
            w->status[i] = sample_plan(w, model, i, w->samples[i]);
        }
    dfl_plan *wrong = NULL;
    snprintf(w->refusal, sizeof w->refusal, "solver=deis:order=%d", w->number + 10);
    w->own_message = dfl_plan_new(model, w->refusal, &wrong) == DFL_E_RANGE &&
                     strstr(dfl_last_message(), w->refusal + strlen("solver=deis:"));
    if (dfl_plan_to_json(w->plans[0], w->json, TEXT, NULL) != DFL_OK) *w->json = 0;
    dfl_describe("solvers", NULL, 0, &(size_t){0});
    dfl_model_free(model);
    return NULL;
}

static void test_shared_plans(void **state) {
    (void)state;
    static worker workers[THREADS];
    static char json[TEXT];
    dfl_model *model = test_mixture();
    dfl_plan *plans[PLANS];
    pthread_barrier_t together;
    assert_int_equal(pthread_barrier_init(&together, NULL, THREADS), 0);
    for (size_t i = 0; i < PLANS; i++) plans[i] = plan_number(model, i);
    assert_ok(dfl_plan_to_json(plans[0], json, TEXT, NULL));
    for (int n = 0; n < THREADS; n++) {
        workers[n].number = n;
        workers[n].plans = (const dfl_plan *const *)plans;
        workers[n].together = &together;
        assert_int_equal(pthread_create(&workers[n].thread, NULL, work, &workers[n]), 0);
    }
    for (int n = 0; n < THREADS; n++) assert_int_equal(pthread_join(workers[n].thread, NULL), 0);
    for (int n = 0; n < THREADS; n++) {
        for (size_t i = 0; i < PLANS; i++) {
            float alone[COUNT * DIM];
            assert_int_equal(workers[n].status[i], DFL_OK);
            assert_ok(sample_plan(&workers[n], model, i, alone));
            assert_memory_equal(workers[n].samples[i], alone, sizeof alone);
        }
        assert_true(workers[n].own_message);
        assert_string_equal(workers[n].json, json);
    }
    for (size_t i = 0; i < PLANS; i++) dfl_plan_free(plans[i]);
    pthread_barrier_destroy(&together);
    dfl_model_free(model);
}

/* ---- cancelling from another thread -------------------------------------------------------------- */

typedef struct {
    dfl_run *run;
    atomic_int begun;
} canceller;

static void *cancel_it(void *user) {
    canceller *c = user;
    while (!atomic_load(&c->begun)) {
    }
    dfl_run_cancel(c->run);
    return NULL;
}

static int say_begun(void *user, size_t step, size_t steps, double t, uint64_t first, size_t count,
                     const void *state) {
    (void)step, (void)steps, (void)t, (void)first, (void)count, (void)state;
    atomic_store((atomic_int *)user, 1);
    return 0;
}

static void test_cancel(void **state) {
    (void)state;
    enum { MANY = 1 << 20 };
    float *samples = calloc(MANY, DIM * sizeof *samples);
    assert_non_null(samples);
    dfl_model *model = test_mixture();
    dfl_plan *plan = plan_of(model, "solver=euler steps=1000");
    dfl_run *run = run_of(plan, model, "batch=16");
    canceller c = {.run = run};
    pthread_t other;
    dfl_run_observe(run, say_begun, &c.begun);
    assert_int_equal(pthread_create(&other, NULL, cancel_it, &c), 0);
    refused(dfl_run_sample(run, 0, MANY, NULL, NULL, samples), DFL_E_STOPPED, "cancelled");
    assert_int_equal(pthread_join(other, NULL), 0);
    dfl_run_observe(run, NULL, NULL);
    assert_ok(dfl_run_sample(run, 0, 4, NULL, NULL, samples));
    dfl_run_free(run);
    dfl_plan_free(plan);
    dfl_model_free(model);
    free(samples);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shared_plans),
        cmocka_unit_test(test_cancel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
