/* Reverse communication: a program that owns the loop gets the bits that the library's own loop
   gives, and every way to leave the loop leaves the run usable. */
#include "support/hand.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/cases.h"

enum { COUNT = 23, FIRST = 5, BYTES = COUNT * DIM * sizeof(double) };

/* Says what the test mixture's card says, and cannot evaluate. */
static const char card_text[] =
    "{\"format\":\"driftless-model/1\",\"prediction_type\":\"epsilon\",\"process\":\"vp_linear\","
    "\"sample\":{\"shape\":[2]}}";

static dfl_model *card_only(void) {
    dfl_model *model = NULL;
    assert_ok(dfl_model_callback(card_text, NULL, NULL, &model));
    return model;
}

/* ---- what an observer is told, in order -------------------------------------------------------- */

typedef struct {
    char said[1 << 16];
    size_t n;
} diary;

static int note(void *user, size_t step, size_t steps, double t, uint64_t first, size_t count,
                const void *state) {
    diary *d = user;
    double line[6] = {(double)step, (double)steps, (double)first, (double)count, t};
    memcpy(&line[5], state, sizeof(double)); /* two float32 or one float64 */
    assert_true(d->n + sizeof line <= sizeof d->said);
    memcpy(d->said + d->n, line, sizeof line);
    d->n += sizeof line;
    return 0;
}

/* ---- the same bits ----------------------------------------------------------------------------- */

/* The loop of a program: `model` answers, whatever the run has been made for. */
static dfl_status drive(dfl_run *run, dfl_model *model, uint64_t first, size_t count,
                        const int64_t *labels, void *samples) {
    const dfl_request *request = NULL;
    dfl_status status = dfl_run_begin(run, first, count, labels, NULL, samples);
    if (status == DFL_OK) status = dfl_run_next(run, &request);
    while (status == DFL_OK && request) {
        status = dfl_model_answer(model, request);
        if (status == DFL_OK) status = dfl_run_next(run, &request);
    }
    return status;
}

static void compare(const dfl_plan *plan, dfl_model *model, dfl_model *mute, const char *options) {
    static double ours[COUNT * DIM], theirs[COUNT * DIM];
    static diary kept[2];
    memset(ours, 0, BYTES);
    memset(theirs, 0, BYTES);
    memset(kept, 0, sizeof kept);
    dfl_run *run = run_of(plan, model, options), *driven = run_of(plan, mute, options);
    dfl_run_observe(run, note, &kept[0]);
    dfl_run_observe(driven, note, &kept[1]);
    assert_ok(dfl_run_sample(run, FIRST, COUNT, NULL, NULL, ours));
    assert_ok(drive(driven, model, FIRST, COUNT, NULL, theirs));
    assert_memory_equal(ours, theirs, BYTES);
    assert_true(kept[0].n > 0 && kept[0].n == kept[1].n);
    assert_memory_equal(kept[0].said, kept[1].said, kept[0].n);
    assert_true(dfl_run_model_seconds(driven) == 0); /* the run's model stays out of it */
    dfl_run_free(run);
    dfl_run_free(driven);
}

/* Every solver of both spaces and every mixture kernel, on its process; in batches that are smaller
   than the run and do not divide it. */
static void test_same_bits(void **state) {
    (void)state;
    static const char *const phase[] = {"sscs",
                                        "splitting",
                                        "conjugate:type=2",
                                        "conjugate:type=1,lambda=1",
                                        "deis",
                                        "conjugate_splitting",
                                        "em",
                                        "heun"};
    static const char *const by_hand[] = {hand_nonlinear, hand_mix, hand_pair};
    static const char *const options[] = {"seed=3,batch=7", "seed=3,batch=7,dtype=float64"};
    dfl_model *model = test_mixture(), *mute = card_only();
    spec_list solvers = scalar_solvers(), processes = reference_processes(false);
    for (size_t i = 0; i < solvers.n; i++) {
        plan_case c = reference_case(processes.spec[i % processes.n], solvers.spec[i]);
        c.steps = 4;
        dfl_plan *plan = case_compile(&c);
        compare(plan, model, mute, options[i % 2]);
        dfl_plan_free(plan);
    }
    for (size_t i = 0; i < LENGTH(phase); i++) {
        char spec[SPEC_SIZE];
        snprintf(spec, sizeof spec, "process=%s steps=4 solver=%s", i % 2 ? "psld" : "cld",
                 phase[i]);
        dfl_plan *plan = plan_of(model, spec);
        assert_int_equal(dfl_plan_components(plan), 2);
        compare(plan, model, mute, options[i / 2 % 2]);
        dfl_plan_free(plan);
    }
    for (size_t i = 0; i < 2 * LENGTH(by_hand); i++) {
        dfl_plan *plan = plan_from(by_hand[i / 2]);
        compare(plan, model, mute, options[i % 2]);
        dfl_plan_free(plan);
    }
    specs_free(&solvers);
    specs_free(&processes);
    dfl_model_free(mute);
    dfl_model_free(model);
}

/* Two runs over one plan, a request of the one and then of the other. */
static void test_interleaved(void **state) {
    (void)state;
    dfl_model *model = test_mixture();
    dfl_plan *plan = plan_of(model, "solver=ddim_gmm:eta=1,K=2 steps=3");
    double apart[2][COUNT * DIM], together[2][COUNT * DIM];
    dfl_run *run[2];
    const dfl_request *request[2];
    for (int i = 0; i < 2; i++) {
        run[i] = run_of(plan, model, i ? "seed=8,dtype=float64" : "seed=2,dtype=float64,batch=4");
        assert_ok(dfl_run_sample(run[i], 0, COUNT, NULL, NULL, apart[i]));
        assert_ok(dfl_run_begin(run[i], 0, COUNT, NULL, NULL, together[i]));
        assert_ok(dfl_run_next(run[i], &request[i]));
    }
    while (request[0] || request[1])
        for (int i = 0; i < 2; i++) {
            if (!request[i]) continue;
            assert_ok(dfl_model_answer(model, request[i]));
            assert_ok(dfl_run_next(run[i], &request[i]));
        }
    assert_memory_equal(together, apart, sizeof apart);
    dfl_run_free(run[0]);
    dfl_run_free(run[1]);
    dfl_plan_free(plan);
    dfl_model_free(model);
}

/* ---- classes and guidance ---------------------------------------------------------------------- */

static const char class_card[] =
    "{\"format\":\"driftless-model/1\",\"prediction_type\":\"epsilon\",\"process\":\"vp_linear\","
    "\"sample\":{\"shape\":[2]},\"classes\":{\"count\":4,\"null\":4}}";

static void class_network(const dfl_request *rq, bool null, double *y) {
    const double *x = dfl_request_input(rq);
    for (size_t i = 0; i < dfl_request_count(rq); i++)
        for (size_t d = 0; d < DIM; d++) {
            const double mean = null ? 0.1 : (double)dfl_request_label(rq, i) - 1.5;
            y[i * DIM + d] = 0.8 * (x[i * DIM + d] - mean * dfl_request_a(rq)[0]);
        }
}

static int call_class_network(void *user, const dfl_request *rq) {
    (void)user;
    /* guidance asks for the null class of all samples first */
    class_network(rq, dfl_request_label(rq, 0) == 4, dfl_request_output(rq));
    return 0;
}

/* Guidance by the model, by dfl_model_answer, and by the program itself. */
static void test_guidance(void **state) {
    (void)state;
    int64_t labels[COUNT];
    double ours[COUNT * DIM], answered[COUNT * DIM], own[COUNT * DIM], null[COUNT * DIM];
    for (size_t i = 0; i < COUNT; i++) labels[i] = (int64_t)(i * i % 4);
    dfl_model *guided = NULL, *mute = NULL, *refused_model = NULL;
    assert_ok(dfl_model_callback(class_card, call_class_network, NULL, &guided));
    assert_ok(dfl_model_guide(guided, 1.75, &guided));
    assert_ok(dfl_model_callback(class_card, NULL, NULL, &mute));
    dfl_plan *plan = plan_of(guided, "solver=deis:order=2 steps=4");
    dfl_run *run = run_of(plan, guided, "batch=6,dtype=float64");
    dfl_run *driven = run_of(plan, mute, "batch=6,dtype=float64");
    assert_ok(dfl_run_sample(run, FIRST, COUNT, labels, NULL, ours));
    assert_ok(drive(driven, guided, FIRST, COUNT, labels, answered));

    const dfl_request *rq = NULL;
    assert_ok(dfl_run_begin(driven, FIRST, COUNT, labels, NULL, own));
    for (assert_ok(dfl_run_next(driven, &rq)); rq; assert_ok(dfl_run_next(driven, &rq))) {
        double *y = dfl_request_output(rq);
        for (size_t i = 0; i < dfl_request_count(rq); i++)
            assert_true(dfl_request_label(rq, i) == labels[dfl_request_sample(rq, i) - FIRST]);
        class_network(rq, true, null);
        class_network(rq, false, y);
        for (size_t i = 0; i < dfl_request_count(rq) * DIM; i++)
            y[i] = null[i] + 1.75 * (y[i] - null[i]);
    }
    assert_memory_equal(answered, ours, sizeof ours);
    assert_memory_equal(own, ours, sizeof ours);
    dfl_run_free(run);
    dfl_run_free(driven);
    dfl_plan_free(plan);
    dfl_model_free(guided);
    refused(dfl_model_guide(mute, 2, &refused_model), DFL_E_COMBINATION, "without a function");
}

/* ---- requests ---------------------------------------------------------------------------------- */

static void test_requests(void **state) {
    (void)state;
    dfl_model *mute = card_only();
    dfl_plan *plan = plan_of(mute, "solver=ddim steps=2");
    dfl_run *run = run_of(plan, mute, "batch=7");
    float samples[COUNT * DIM];
    const dfl_request *rq = NULL;
    uint64_t next = FIRST;
    size_t asked = 0;
    double t = 2;
    assert_ok(dfl_run_begin(run, FIRST, COUNT, NULL, NULL, samples));
    for (assert_ok(dfl_run_next(run, &rq)); rq; assert_ok(dfl_run_next(run, &rq))) {
        const size_t count = dfl_request_count(rq), end = FIRST + COUNT;
        const size_t room = 7 - (size_t)next % 7, left = end - (size_t)next;
        assert_int_equal(count, room < left ? room : left);
        assert_int_equal(dfl_request_input_dim(rq), DIM);
        assert_int_equal(dfl_request_output_dim(rq), DIM);
        assert_int_equal(dfl_request_dtype(rq), DFL_FLOAT32);
        assert_int_equal(dfl_request_label(rq, 0), -1);
        assert_true(dfl_request_sample(rq, count - 1) == next + count - 1);
        if (++asked % 2) t = 2;
        assert_true(dfl_request_time(rq) < t);
        t = dfl_request_time(rq);
        memset(dfl_request_output(rq), 0, count * DIM * sizeof(float));
        if (asked % 2 == 0) next += count;
    }
    assert_int_equal(asked, 2 * 4); /* samples 5-6, 7-13, 14-20, 21-27 */
    assert_true(next == FIRST + COUNT);
    assert_ok(dfl_run_begin(run, 0, 0, NULL, NULL, NULL)); /* nothing to do is no failure */
    assert_ok(dfl_run_next(run, &rq));
    assert_null(rq);
    dfl_run_free(run);
    dfl_plan_free(plan);
    dfl_model_free(mute);
}

/* ---- leaving the loop --------------------------------------------------------------------------- */

typedef struct {
    dfl_model *model, *mute;
    dfl_plan *plan;
    dfl_run *run;
    float good[COUNT * DIM], samples[COUNT * DIM];
} fixture;

static int make(void **state) {
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->model = test_mixture();
    f->mute = card_only();
    f->plan = plan_of(f->model, "solver=ddim:eta=1 steps=4");
    f->run = run_of(f->plan, f->mute, "batch=7");
    assert_ok(drive(f->run, f->model, 0, COUNT, NULL, f->good));
    *state = f;
    return 0;
}

static int unmake(void **state) {
    fixture *f = *state;
    dfl_run_free(f->run);
    dfl_plan_free(f->plan);
    dfl_model_free(f->mute);
    dfl_model_free(f->model);
    free(f);
    return 0;
}

/* Begins, and answers n requests; *rq is then the next one. */
static void advance(fixture *f, size_t n, const dfl_request **rq) {
    assert_ok(dfl_run_begin(f->run, 0, COUNT, NULL, NULL, f->samples));
    assert_ok(dfl_run_next(f->run, rq));
    for (size_t i = 0; i < n; i++) {
        assert_ok(dfl_model_answer(f->model, *rq));
        assert_ok(dfl_run_next(f->run, rq));
    }
}

/* Nothing is in progress, and the next run is as good as the first. */
static void assert_usable(fixture *f) {
    const dfl_request *rq = (const dfl_request *)f;
    refused(dfl_run_next(f->run, &rq), DFL_E_ARG, "nothing is in progress");
    assert_null(rq);
    memset(f->samples, 0, sizeof f->samples);
    assert_ok(drive(f->run, f->model, 0, COUNT, NULL, f->samples));
    assert_memory_equal(f->samples, f->good, sizeof f->good);
    refused(dfl_run_next(f->run, &rq), DFL_E_ARG, "nothing is in progress");
}

static void test_abandoned(void **state) {
    fixture *f = *state;
    const dfl_request *rq = NULL;
    for (size_t n = 0; n < 16; n++) {
        advance(f, n, &rq);
        assert_non_null(rq);
        assert_ok(drive(f->run, f->model, 0, COUNT, NULL, f->samples));
        assert_memory_equal(f->samples, f->good, sizeof f->good);
    }
    advance(f, 5, &rq); /* and then the run's own loop */
    dfl_run *run = run_of(f->plan, f->model, "batch=7");
    assert_ok(dfl_run_begin(run, 3, 9, NULL, NULL, f->samples));
    assert_ok(dfl_run_next(run, &rq));
    assert_ok(dfl_run_sample(run, 0, COUNT, NULL, NULL, f->samples));
    assert_memory_equal(f->samples, f->good, sizeof f->good);
    refused(dfl_run_next(run, &rq), DFL_E_ARG, "nothing is in progress");
    dfl_run_free(run); /* the fixture's is freed half-way */
}

static void test_bad_output(void **state) {
    fixture *f = *state;
    const dfl_request *rq = NULL;
    advance(f, 6, &rq);
    assert_ok(dfl_model_answer(f->model, rq));
    ((float *)dfl_request_output(rq))[3 * DIM] = NAN;
    refused(dfl_run_next(f->run, &rq), DFL_E_NONFINITE, "step 3 of 4");
    assert_message_has("sample 10");
    assert_null(rq);
    assert_memory_equal(f->samples, f->good, 7 * DIM * sizeof(float)); /* the first batch stays */
    assert_usable(f);
}

static void test_cancelled(void **state) {
    fixture *f = *state;
    const dfl_request *rq = NULL;
    advance(f, 2, &rq);
    assert_ok(dfl_model_answer(f->model, rq));
    dfl_run_cancel(f->run);
    refused(dfl_run_next(f->run, &rq), DFL_E_STOPPED, "step 3 of 4");
    assert_null(rq);
    assert_usable(f);
    assert_ok(dfl_run_begin(f->run, 0, COUNT, NULL, NULL, f->samples));
    dfl_run_cancel(f->run); /* before the first request */
    refused(dfl_run_next(f->run, &rq), DFL_E_STOPPED, "step 1 of 4");
    assert_usable(f);
}

static int fail_late(void *user, size_t step, size_t steps, double t, uint64_t first, size_t count,
                     const void *state) {
    (void)user, (void)steps, (void)t, (void)count, (void)state;
    return step == 2 && first == 7 ? 41 : 0;
}

static int refuse_noise(void *user, int kind, uint32_t draw, uint64_t first, size_t count,
                        size_t dim, double *dst) {
    (void)user, (void)first;
    for (size_t i = 0; i < count * dim; i++) dst[i] = 0;
    return kind == DFL_DRAW_NOISE && draw == 1 ? 42 : 0;
}

static int change_noise(void *user, size_t step, size_t steps, double t, uint64_t first,
                        size_t count, const void *state) {
    (void)step, (void)steps, (void)t, (void)first, (void)count, (void)state;
    dfl_run_noise(user, NULL, NULL);
    return 0;
}

static void test_noise_changed(void **state) {
    fixture *f = *state;
    dfl_plan *plan = plan_from(hand_mix);
    dfl_run *run = run_of(plan, f->model, NULL);
    dfl_run_observe(run, change_noise, run);
    refused(dfl_run_sample(run, 0, 2, NULL, NULL, f->samples), DFL_E_ARG, "noise source");
    dfl_run_free(run);
    dfl_plan_free(plan);
}

static void test_callbacks_fail(void **state) {
    fixture *f = *state;
    const dfl_request *rq = NULL;
    dfl_run_observe(f->run, fail_late, NULL);
    refused(drive(f->run, f->model, 0, COUNT, NULL, f->samples), 41, "observer");
    dfl_run_observe(f->run, NULL, NULL);
    assert_usable(f);
    dfl_run_noise(f->run, refuse_noise, NULL);
    refused(drive(f->run, f->model, 0, COUNT, NULL, f->samples), 42, "noise source");
    dfl_run_noise(f->run, NULL, NULL);
    assert_usable(f);
    advance(f, 1, &rq); /* another noise source half-way: its numbers would not fit the start */
    dfl_run_noise(f->run, NULL, NULL);
    assert_usable(f);
}

static void test_arguments(void **state) {
    fixture *f = *state;
    const dfl_request *rq = NULL;
    const int64_t labels[COUNT] = {0};
    refused(dfl_run_begin(NULL, 0, 1, NULL, NULL, f->samples), DFL_E_ARG, "run is NULL");
    refused(dfl_run_begin(f->run, UINT64_MAX, 1, NULL, NULL, f->samples), DFL_E_RANGE, "2^64");
    refused(dfl_run_next(f->run, NULL), DFL_E_ARG, "request is NULL");
    refused(dfl_run_next(NULL, &rq), DFL_E_ARG, "run is NULL");
    refused(dfl_model_answer(NULL, rq), DFL_E_ARG, "model is NULL");
    refused(dfl_model_answer(f->model, NULL), DFL_E_ARG, "request is NULL");
    advance(f, 3, &rq); /* a refused beginning ends what was in progress */
    refused(dfl_run_begin(f->run, 0, COUNT, NULL, NULL, NULL), DFL_E_ARG, "samples is NULL");
    refused(dfl_run_next(f->run, &rq), DFL_E_ARG, "nothing is in progress");
    refused(dfl_run_begin(f->run, 0, COUNT, labels, NULL, f->samples), DFL_E_COMBINATION,
            "no classes");
    assert_usable(f);
}

/* ---- models in other hands ---------------------------------------------------------------------- */

/* A card without a function is refused where it would have to evaluate. */
static void test_card_only(void **state) {
    fixture *f = *state;
    dfl_ode *ode = NULL;
    size_t nfe[2];
    refused(dfl_run_sample(f->run, 0, 2, NULL, NULL, f->samples), DFL_E_COMBINATION,
            "without a function");
    assert_usable(f);
    assert_ok(dfl_ode_new(f->mute, "t_end=0.01", NULL, &ode));
    refused(dfl_ode_sample(ode, 0, 2, NULL, NULL, f->samples, nfe), DFL_E_COMBINATION,
            "without a function");
    dfl_ode_free(ode);
}

static void test_other_models(void **state) {
    fixture *f = *state;
    const dfl_request *rq = NULL;
    dfl_model *wide = NULL, *classes = NULL;
    assert_ok(
        dfl_model_callback("{\"format\":\"driftless-model/1\",\"prediction_type\":"
                           "\"epsilon\",\"process\":\"vp_linear\",\"sample\":{\"shape\":[3]}}",
                           call_class_network, NULL, &wide));
    assert_ok(dfl_model_callback(class_card, call_class_network, NULL, &classes));
    advance(f, 0, &rq);
    refused(dfl_model_answer(wide, rq), DFL_E_COMBINATION, "2 numbers per sample");
    refused(dfl_model_answer(classes, rq), DFL_E_COMBINATION, "no labels");
    assert_ok(dfl_model_answer(f->model, rq)); /* a refusal costs nothing */
    assert_ok(dfl_run_next(f->run, &rq));
    dfl_plan *plan = plan_of(classes, "steps=2");
    dfl_run *run = run_of(plan, classes, NULL);
    assert_ok(dfl_run_begin(run, 0, 2, NULL, NULL, f->samples));
    assert_ok(dfl_run_next(run, &rq));
    refused(dfl_model_answer(f->model, rq), DFL_E_COMBINATION, "no classes");
    dfl_run_free(run);
    dfl_plan_free(plan);
    dfl_model_free(classes);
    dfl_model_free(wide);
}

static int delegate(void *user, const dfl_request *rq) {
    return dfl_model_answer(user, rq);
}

/* A callback around another model, under adaptive steps, too: mixed times pass only if both say
   that they take them. */
static void test_delegate(void **state) {
    fixture *f = *state;
    dfl_model *outer = NULL;
    double direct[4 * DIM], through[4 * DIM];
    assert_ok(dfl_model_callback(card_text, delegate, f->model, &outer));
    for (int mixed = 0; mixed < 2; mixed++) {
        dfl_model *const models[] = {f->model, outer};
        assert_ok(dfl_model_mixed_times(outer, mixed));
        for (int i = 0; i < 2; i++) {
            dfl_ode *ode = NULL;
            assert_ok(dfl_ode_new(models[i], "t_end=0.01", "dtype=float64", &ode));
            assert_ok(dfl_ode_sample(ode, 0, 4, NULL, NULL, i ? through : direct, NULL));
            dfl_ode_free(ode);
        }
        assert_memory_equal(direct, through, sizeof direct);
    }
    dfl_model *inner = NULL, *middle = NULL;
    assert_ok(dfl_model_callback(card_text, delegate, f->model, &inner));
    assert_ok(dfl_model_callback(card_text, delegate, inner, &middle));
    assert_ok(dfl_model_mixed_times(middle, 1));
    dfl_ode *ode = NULL;
    assert_ok(dfl_ode_new(middle, "t_end=0.01", "dtype=float64", &ode));
    refused(dfl_ode_sample(ode, 0, 4, NULL, NULL, through, NULL), DFL_E_COMBINATION,
            "one time for all");
    dfl_ode_free(ode);
    dfl_model_free(middle);
    dfl_model_free(inner);
    dfl_model_free(outer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_interleaved),
        cmocka_unit_test(test_guidance),
        cmocka_unit_test(test_requests),
        cmocka_unit_test_setup_teardown(test_abandoned, make, unmake),
        cmocka_unit_test_setup_teardown(test_bad_output, make, unmake),
        cmocka_unit_test_setup_teardown(test_cancelled, make, unmake),
        cmocka_unit_test_setup_teardown(test_callbacks_fail, make, unmake),
        cmocka_unit_test_setup_teardown(test_noise_changed, make, unmake),
        cmocka_unit_test_setup_teardown(test_arguments, make, unmake),
        cmocka_unit_test_setup_teardown(test_card_only, make, unmake),
        cmocka_unit_test_setup_teardown(test_other_models, make, unmake),
        cmocka_unit_test_setup_teardown(test_delegate, make, unmake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
