/* What a run calls and is told: observers, networks, noise sources; and that every failure in the
   middle of one comes out as itself and leaves the run usable. */
#include "support/hand.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- observers ------------------------------------------------------------------------------- */

typedef struct {
    const dfl_plan *plan;
    size_t calls, next_step, batch, total;
    uint64_t next;
    double last[64];
    size_t fail_at; /* call number, from 1 */
    dfl_run *cancel;
} watcher;

static int watch(void *user, size_t step, size_t steps, double t, uint64_t first, size_t count,
                 const void *state) {
    watcher *w = user;
    const program *code = &w->plan->code;
    if (++w->calls == w->fail_at) {
        if (!w->cancel) return 7;
        dfl_run_cancel(w->cancel);
    }
    assert_int_equal(steps, w->plan->steps);
    assert_int_equal(step, w->next_step);
    assert_true(first == w->next);
    const size_t room = w->batch - (size_t)(first % w->batch), left = w->total - (size_t)first;
    assert_int_equal(count, room < left ? room : left);
    double expected = code->inputs[0].t;
    for (size_t i = 0, seen = 0; i < code->nrows; i++)
        if (code->rows[i].op == ROW_STEP && ++seen == step) expected = code->rows[i].t;
    assert_true(t == expected);
    memcpy(w->last + first * DIM, state, count * DIM * sizeof(double));
    w->next_step++;
    if (step == steps) {
        w->next += count;
        w->next_step = 0;
    }
    return 0;
}

static void test_observer(void **state) {
    (void)state;
    double samples[40];
    dfl_model *model = test_mixture();
    static const char *const specs[] = {"solver=heun steps=4", "solver=ddim steps=3 denoise=1"};
    for (size_t i = 0; i < LENGTH(specs); i++) {
        dfl_plan *plan = plan_of(model, specs[i]);
        watcher w = {.plan = plan, .batch = 7, .total = 20};
        dfl_run *run = run_of(plan, model, "batch=7,dtype=float64");
        dfl_run_observe(run, watch, &w);
        assert_ok(dfl_run_sample(run, 0, 20, NULL, NULL, samples));
        assert_int_equal(w.calls, 3 * (plan->steps + 1));
        assert_memory_equal(w.last, samples, sizeof samples);
        dfl_run_free(run);
        dfl_plan_free(plan);
    }
    dfl_model_free(model);
}

/* Cancelled from inside; the next call begins anew and is not disturbed. */
static void test_cancel(void **state) {
    (void)state;
    double clean[40], again[40];
    dfl_model *model = test_mixture();
    dfl_plan *plan = plan_of(model, "solver=deis steps=5");
    sample_all(plan, model, "dtype=float64", clean, 20);
    dfl_run *run = run_of(plan, model, "batch=7,dtype=float64");
    for (size_t call = 1; call <= 18; call++) {
        watcher w = {.plan = plan, .batch = 7, .total = 20, .fail_at = call, .cancel = run};
        dfl_run_observe(run, watch, &w);
        const dfl_status status = dfl_run_sample(run, 0, 20, NULL, NULL, again);
        if (call % 6 == 0) /* after a batch's last row: in the first row of the next, if any */
            assert_int_equal(status, call == 18 ? DFL_OK : DFL_E_STOPPED);
        else
            refused(status, DFL_E_STOPPED, "cancelled in step");
        assert_true(w.calls == call || w.calls == call + 1);
    }
    watcher w = {.plan = plan, .batch = 7, .total = 20};
    dfl_run_observe(run, watch, &w);
    dfl_run_cancel(run); /* before the run begins: no effect */
    assert_ok(dfl_run_sample(run, 0, 20, NULL, NULL, again));
    assert_memory_equal(clean, again, sizeof clean);
    dfl_run_free(run);
    dfl_plan_free(plan);
    dfl_model_free(model);
}

static void test_observer_fails(void **state) {
    (void)state;
    double samples[40];
    dfl_model *model = test_mixture();
    dfl_plan *plan = plan_of(model, "solver=deis steps=5");
    dfl_run *run = run_of(plan, model, "batch=7,dtype=float64");
    for (size_t call = 1; call <= 18; call++) {
        watcher w = {.plan = plan, .batch = 7, .total = 20, .fail_at = call};
        dfl_run_observe(run, watch, &w);
        refused(dfl_run_sample(run, 0, 20, NULL, NULL, samples), 7, "the observer returned 7");
        assert_int_equal(w.calls, call);
    }
    dfl_run_free(run);
    dfl_plan_free(plan);
    dfl_model_free(model);
}

/* ---- the network ----------------------------------------------------------------------------- */

static const char net_card[] =
    "{\"format\":\"driftless-model/1\",\"name\":\"test\",\"process\":{\"type\":\"vp_linear\"},"
    "\"prediction_type\":\"epsilon\",\"time_map\":{\"type\":\"linear\",\"scale\":1000},"
    "\"sample\":{\"shape\":[2,3],\"range\":[-1,1]},\"classes\":{\"count\":4,\"null\":4}}";

typedef struct {
    size_t calls, fail_at, spoil_at;
    double spoiled;
    const int64_t *labels; /* expected; NULL: i mod 4 */
} network;

static int answer_request(void *user, const dfl_request *rq) {
    network *net = user;
    net->calls++;
    assert_int_equal(dfl_request_input_dim(rq), 6);
    assert_int_equal(dfl_request_output_dim(rq), 6);
    const double t = dfl_request_time(rq), a = dfl_request_a(rq)[0], b = dfl_request_b(rq)[0];
    assert_true(fabs(dfl_request_network_time(rq) - 1000 * t) < 1e-10);
    assert_true(fabs(a * a + b * b - 1) < 1e-15 && a > 0 && b > 0);
    const size_t count = dfl_request_count(rq);
    for (size_t i = 0; i < count; i++) {
        const uint64_t sample = dfl_request_sample(rq, i);
        const int64_t label = dfl_request_label(rq, i);
        assert_true(sample == dfl_request_sample(rq, 0) + i);
        assert_int_equal(label, net->labels ? net->labels[sample - 10] : (int64_t)(sample % 4));
    }
    const void *in = dfl_request_input(rq);
    void *out = dfl_request_output(rq);
    assert_true(in != out);
    for (size_t i = 0; i < count * 6; i++) {
        if (dfl_request_dtype(rq) == DFL_FLOAT32)
            ((float *)out)[i] = 0.5f * ((const float *)in)[i];
        else
            ((double *)out)[i] = 0.5 * ((const double *)in)[i];
    }
    if (net->calls == net->spoil_at) { /* the last number of the last sample */
        const size_t last = count * 6 - 1;
        if (dfl_request_dtype(rq) == DFL_FLOAT32)
            ((float *)out)[last] = (float)net->spoiled;
        else
            ((double *)out)[last] = net->spoiled;
    }
    return net->calls == net->fail_at ? 7 : 0;
}

/* Ten samples from index 10 in batches of 4 (10..11, 12..15, 16..19), four evaluations each. */
static void test_network_fails(void **state) {
    (void)state;
    double samples[60];
    network net = {0};
    dfl_model *model = NULL;
    assert_ok(dfl_model_callback(net_card, answer_request, &net, &model));
    dfl_plan *plan = plan_of(model, "solver=heun steps=2");
    static const char *const types[] = {"batch=4", "batch=4,dtype=float64"};
    for (size_t t = 0; t < 2; t++) {
        dfl_run *run = run_of(plan, model, types[t]);
        for (size_t n = 1; n <= 12; n++) {
            net = (network){.fail_at = n};
            assert_int_equal(dfl_run_sample(run, 10, 10, NULL, NULL, samples), 7);
            assert_int_equal(net.calls, n);
        }
        net = (network){0};
        assert_ok(dfl_run_sample(run, 10, 10, NULL, NULL, samples));
        assert_int_equal(net.calls, 12);
        assert_true(dfl_run_model_seconds(run) > 0);
        dfl_run_free(run);
    }
    dfl_plan_free(plan);
    dfl_model_free(model);
}

static void test_not_finite(void **state) {
    (void)state;
    static const size_t last_sample[] = {11, 15, 19};
    const double spoils[] = {NAN, INFINITY, -INFINITY};
    double samples[60];
    network net = {0};
    dfl_model *model = NULL;
    assert_ok(dfl_model_callback(net_card, answer_request, &net, &model));
    dfl_plan *plan = plan_of(model, "solver=heun steps=2 t_end=0.5 grid=uniform");
    static const char *const types[] = {"batch=4", "batch=4,dtype=float64"};
    for (size_t t = 0; t < 2; t++) {
        dfl_run *run = run_of(plan, model, types[t]);
        for (size_t n = 1; n <= 12; n++) {
            char sentence[160];
            static const char *const at[] = {"1", "0.75", "0.75", "0.5"};
            const size_t call = (n - 1) % 4;
            net = (network){.spoil_at = n, .spoiled = spoils[n % 3]};
            snprintf(sentence, sizeof sentence,
                     "not finite in step %zu of 2, at t = %s (sample %zu)", 1 + call / 2, at[call],
                     last_sample[(n - 1) / 4]);
            refused(dfl_run_sample(run, 10, 10, NULL, NULL, samples), DFL_E_NONFINITE, sentence);
        }
        dfl_run_free(run);
    }
    dfl_plan_free(plan);
    dfl_model_free(model);
}

/* A state that overflows although no network is left to notice; and a NaN that clamping must not
   turn into a number. */
static void test_overflow(void **state) {
    (void)state;
    static const char *const plans[] = {
        HEAD1 "\"outputs\":[1],\"rows\":[{\"op\":\"LIN\",\"dst\":1,\"src\":[0],\"c\":[1e30]}]}",
        HEAD1 "\"outputs\":[3],\"rows\":[{\"op\":\"LIN\",\"dst\":1,\"src\":[0],\"c\":[1e30]},"
              "{\"op\":\"LIN\",\"dst\":2,\"src\":[1,1],\"c\":[1,-1]},"
              "{\"op\":\"CLIP\",\"dst\":3,\"src\":2,\"lo\":-1,\"hi\":1}]}",
        HEAD1 "\"outputs\":[3],\"rows\":[{\"op\":\"LIN\",\"dst\":1,\"src\":[0],\"c\":[1e30]},"
              "{\"op\":\"LIN\",\"dst\":2,\"src\":[1,1],\"c\":[1,-1]},"
              "{\"op\":\"LIMIT\",\"dst\":3,\"src\":2,\"quantile\":0.5,\"floor\":1}]}",
    };
    const float start[4] = {1, 1, 1e20f, 1};
    float samples[4];
    dfl_model *model = test_mixture();
    for (size_t i = 0; i < LENGTH(plans); i++) {
        dfl_plan *plan = plan_from(plans[i]);
        dfl_run *run = run_of(plan, model, NULL);
        refused(dfl_run_sample(run, 5, 2, NULL, start, samples), DFL_E_NONFINITE, "sample 6");
        dfl_run_free(run);
        dfl_plan_free(plan);
    }
    dfl_model_free(model);
}

static void test_labels(void **state) {
    (void)state;
    static const int64_t good[10] = {0, 3, 4, 1, 1, 2, 4, 0, 3, 2};
    int64_t bad[10];
    double samples[60];
    network net = {.labels = good};
    dfl_model *model = NULL, *plain = test_mixture();
    assert_ok(dfl_model_callback(net_card, answer_request, &net, &model));
    dfl_plan *plan = plan_of(model, "solver=ddim steps=2");
    dfl_run *run = run_of(plan, model, "batch=4");
    assert_ok(dfl_run_sample(run, 10, 10, good, NULL, samples));
    assert_int_equal(net.calls, 6);
    for (int64_t wrong = -1; wrong <= 5; wrong += 6) {
        memcpy(bad, good, sizeof bad);
        bad[9] = wrong;
        refused(dfl_run_sample(run, 10, 10, bad, NULL, samples), DFL_E_RANGE, "classes 0 to 3");
    }
    dfl_run_free(run);
    run = run_of(plan, plain, "batch=4");
    refused(dfl_run_sample(run, 10, 10, good, NULL, samples), DFL_E_COMBINATION, "no classes");
    dfl_run_free(run);
    dfl_plan_free(plan);
    dfl_model_free(model);
    dfl_model_free(plain);
}

/* ---- noise from outside ---------------------------------------------------------------------- */

typedef struct {
    size_t calls, fail_at, spoil_at;
    double pick; /* given for every PICK, if not 0 */
} source;

static int draw(void *user, int kind, uint32_t number, uint64_t first, size_t count, size_t dim,
                double *dst) {
    source *s = user;
    s->calls++;
    for (size_t i = 0; i < count; i++) {
        if (kind == DFL_DRAW_PICK)
            dst[i] = noise_uniform(8, kind, number, first + i);
        else
            noise_normals(8, kind, number, first + i, 0, dim, dst + i * dim);
    }
    if (kind == DFL_DRAW_PICK && s->pick != 0) dst[0] = s->pick;
    if (s->calls == s->spoil_at) dst[0] = NAN;
    return s->calls == s->fail_at ? 7 : 0;
}

/* The built-in numbers handed in from outside give the built-in samples; each call may fail. */
static void test_noise_source(void **state) {
    (void)state;
    double built_in[12], replayed[12];
    dfl_model *model = test_mixture();
    for (int k = 0; k < 3; k++) {
        dfl_plan *plan = k == 0 ? plan_of(model, "solver=ddim:eta=1 steps=3")
                                : plan_from(k == 1 ? hand_mix : hand_pair);
        source s = {0};
        sample_all(plan, model, "seed=8,dtype=float64", built_in, 6);
        bool more = true;
        for (size_t n = 1; more; n++) {
            dfl_run *run = run_of(plan, model, "seed=1,dtype=float64");
            dfl_run_noise(run, draw, &s);
            s = (source){.fail_at = n};
            const dfl_status failed = dfl_run_sample(run, 0, 6, NULL, NULL, replayed);
            more = failed != DFL_OK;
            if (!more) {
                assert_memory_equal(built_in, replayed, sizeof built_in);
                dfl_run_free(run);
                continue;
            }
            refused(failed, 7, "the noise source returned 7");
            s = (source){.spoil_at = n};
            dfl_run_noise(run, draw, &s); /* forgets the tables, so that they are drawn again */
            refused(dfl_run_sample(run, 0, 6, NULL, NULL, replayed), DFL_E_NONFINITE,
                    "the noise source gave a number that is not finite");
            s = (source){0};
            dfl_run_noise(run, draw, &s);
            assert_ok(dfl_run_sample(run, 0, 6, NULL, NULL, replayed));
            assert_memory_equal(built_in, replayed, sizeof built_in);
            dfl_run_free(run);
        }
        assert_true(s.calls >= 12);
        dfl_plan_free(plan);
    }
    dfl_model_free(model);
}

/* Component numbers in place of uniforms would run and give nonsense. */
static void test_picks(void **state) {
    (void)state;
    static const double wrong[] = {1, 2, -1e-9, 1 + 1e-9};
    float samples[4];
    dfl_model *model = test_mixture();
    dfl_plan *plan = plan_from(hand_mix);
    dfl_run *run = run_of(plan, model, NULL);
    source s = {0};
    dfl_run_noise(run, draw, &s);
    for (size_t i = 0; i < LENGTH(wrong); i++) {
        s.pick = wrong[i];
        refused(dfl_run_sample(run, 0, 2, NULL, NULL, samples), DFL_E_RANGE, "[0, 1)");
    }
    s.pick = 1 - 0x1p-53;
    assert_ok(dfl_run_sample(run, 0, 2, NULL, NULL, samples));
    dfl_run_free(run);
    dfl_plan_free(plan);
    dfl_model_free(model);
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void test_run_options(void **state) {
    (void)state;
    static const struct {
        const char *options, *part;
        dfl_status status;
    } cases[] = {
        {"seed=-1", "seed", DFL_E_RANGE},
        {"seed=18446744073709551616", "2^64 - 1", DFL_E_RANGE},
        {"seed=", "seed", DFL_E_KEY},
        {"batch=0", "batch", DFL_E_RANGE},
        {"batch=1048577", "batch", DFL_E_RANGE},
        {"dtype=float16", "float32", DFL_E_RANGE},
        {"batches=3", "batch", DFL_E_KEY},
        {"batch=3,batch=3", "batch", DFL_E_KEY},
    };
    dfl_model *model = test_mixture();
    dfl_plan *plan = plan_of(model, "steps=1");
    dfl_run *run = NULL;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        refused(dfl_run_new(plan, model, cases[i].options, &run), cases[i].status, cases[i].part);
        assert_null(run);
    }
    assert_ok(dfl_run_new(plan, model, "seed=18446744073709551615", &run));
    float sample[2];
    refused(dfl_run_sample(run, UINT64_MAX, 1, NULL, NULL, sample), DFL_E_RANGE, "2^64 - 1");
    assert_ok(dfl_run_sample(run, UINT64_MAX - 1, 1, NULL, NULL, sample));
    assert_ok(dfl_run_sample(run, 0, 0, NULL, NULL, NULL));
    dfl_run_free(run);
    assert_int_equal(dfl_run_new(NULL, model, NULL, &run), DFL_E_ARG);
    assert_int_equal(dfl_run_new(plan, NULL, NULL, &run), DFL_E_ARG);
    assert_int_equal(dfl_run_sample(NULL, 0, 0, NULL, NULL, NULL), DFL_E_ARG);
    dfl_run_free(NULL);
    dfl_plan_free(plan);
    dfl_model_free(model);
}

/* A plan for another kind of network is refused before anything is evaluated. */
static void test_wrong_model(void **state) {
    (void)state;
    static const char flow[] =
        "{\"format\":\"driftless-model/1\",\"process\":{\"type\":\"vp_linear\"},"
        "\"prediction_type\":\"v_prediction\",\"sample\":{\"shape\":[2],\"range\":[-1,1]}}";
    network net = {0};
    dfl_model *eps = test_mixture(), *v = NULL;
    dfl_run *run = NULL;
    assert_ok(dfl_model_callback(flow, answer_request, &net, &v));
    dfl_plan *plan = plan_of(v, "steps=2");
    refused(dfl_run_new(plan, eps, NULL, &run), DFL_E_COMBINATION, "another prediction type");
    assert_ok(dfl_run_new(plan, v, NULL, &run));
    dfl_run_free(run);
    dfl_plan_free(plan);
    dfl_model_free(v);
    dfl_model_free(eps);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_observer),       cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_observer_fails), cmocka_unit_test(test_network_fails),
        cmocka_unit_test(test_not_finite),     cmocka_unit_test(test_overflow),
        cmocka_unit_test(test_labels),         cmocka_unit_test(test_noise_source),
        cmocka_unit_test(test_picks),          cmocka_unit_test(test_run_options),
        cmocka_unit_test(test_wrong_model),
    };
    return cmocka_run_group_tests_name("calls", tests, NULL, NULL);
}
