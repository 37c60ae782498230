/* The executor: what a run computes must not depend on how it is cut, stored or typed, and every
   failure in the middle of one must come out as itself. Values are proved elsewhere, by reference
   trajectories and a second reader (tests/py). */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run/run.h"

#define LENGTH(a) (sizeof(a) / sizeof(a)[0])

enum { STARTS = 256, DIM = 2 };

static const char *const solvers[] = {
    "ddpm",         "ddpm:variance_type=fixed_large",
    "ddim",         "ddim:eta=1",
    "euler",        "euler:variable=t",
    "heun",         "heun:variable=t",
    "deis:order=0", "deis:order=1",
    "deis:order=2", "deis:order=3",
};

static const char *const processes[] = {
    "vp_linear",
    "vp_discrete",
    "vp_discrete:interpolation=alpha_bar_prepended,beta_schedule=scaled_linear",
};

/* ---- helpers ------------------------------------------------------------------------------------
 */

static void ok(dfl_status status) {
    if (status != DFL_OK) print_error("%s: %s\n", dfl_status_name(status), dfl_last_message());
    assert_int_equal(status, DFL_OK);
}

static void refused(dfl_status status, dfl_status expected, const char *part) {
    if (status != expected || !strstr(dfl_last_message(), part))
        print_error("%s: %s\n", dfl_status_name(status), dfl_last_message());
    assert_int_equal(status, expected);
    assert_non_null(strstr(dfl_last_message(), part));
}

static dfl_model *mixture(void) {
    dfl_model *model = NULL;
    ok(dfl_model_open("mixture:" DFL_TEST_DATA "/mixture2d.json", NULL, &model));
    return model;
}

static dfl_plan *plan_of(const dfl_model *model, const char *spec) {
    dfl_plan *plan = NULL;
    ok(dfl_plan_new(model, spec, &plan));
    return plan;
}

static dfl_plan *plan_from(const char *json) {
    dfl_plan *plan = NULL;
    ok(dfl_plan_from_json(json, strlen(json), &plan));
    return plan;
}

static dfl_run *run_of(const dfl_plan *plan, dfl_model *model, const char *options) {
    dfl_run *run = NULL;
    ok(dfl_run_new(plan, model, options, &run));
    return run;
}

/* Samples in one call, as numbers of the run's type. */
static void sample_all(const dfl_plan *plan, dfl_model *model, const char *options, void *out,
                       size_t count) {
    dfl_run *run = run_of(plan, model, options);
    ok(dfl_run_sample(run, 0, count, NULL, NULL, out));
    dfl_run_free(run);
}

/* ---- plans by hand ------------------------------------------------------------------------------
 */

#define HEAD1                                                                                      \
    "{\"format\":\"driftless-plan/1\",\"components\":1,\"inputs\":[{\"id\":0,\"t\":1,"             \
    "\"at\":[0.6,0.8],\"scale\":1.5}],"
#define AT2 "\"at\":[[0.6,0.1],[[0.8,0],[0.2,0.7]]]"
#define HEAD2                                                                                      \
    "{\"format\":\"driftless-plan/1\",\"components\":2,\"inputs\":[{\"id\":0,\"t\":1," AT2         \
    ",\"scale\":[[1,0],[0.5,2]]}],"

/* Every element-wise row that needs no tensor, and long-lived values. */
static const char nonlinear_plan[] = HEAD1
    "\"outputs\":[8],\"rows\":["
    "{\"op\":\"EVAL\",\"dst\":1,\"src\":0,\"t\":1,\"tau\":1,\"at\":[0.6,0.8],\"gives\":[0,1]},"
    "{\"op\":\"LIN\",\"dst\":2,\"src\":[0,1],\"c\":[1.6,-1.3]},"
    "{\"op\":\"CLIP\",\"dst\":3,\"src\":2,\"lo\":-0.7,\"hi\":0.9},"
    "{\"op\":\"LIMIT\",\"dst\":4,\"src\":2,\"quantile\":0.7,\"floor\":0.4},"
    "{\"op\":\"NOISE\",\"dst\":5,\"draw\":3},"
    "{\"op\":\"LIN\",\"dst\":6,\"src\":[3,4,5],\"c\":[1,0.5,0.1]},"
    "{\"op\":\"STEP\",\"src\":6,\"t\":0.7,\"at\":[0.9,0.1]},"
    "{\"op\":\"CLIP\",\"dst\":7,\"src\":1,\"lo\":0,\"hi\":1},"
    "{\"op\":\"SELECT\",\"dst\":8,\"src\":[6,0,7]},"
    "{\"op\":\"STEP\",\"src\":8,\"t\":0.5,\"at\":[0.9,0.1]}]}";

#define KERNEL                                                                                     \
    "\"kernels\":[{\"pi\":[0.2,0.5,0.3],\"offsets\":\"rand_c\",\"table\":4,\"s\":0.4,\"sigma\":"   \
    "0.7,\"covariance\":\"full\"}],"

static const char mix_plan[] = HEAD1 KERNEL
    "\"outputs\":[4],\"rows\":["
    "{\"op\":\"EVAL\",\"dst\":1,\"src\":0,\"t\":1,\"tau\":1,\"at\":[0.6,0.8],\"gives\":[0,1]},"
    "{\"op\":\"NOISE\",\"dst\":2,\"draw\":0},"
    "{\"op\":\"MIX\",\"dst\":3,\"src\":2,\"draw\":0,\"kernel\":0},"
    "{\"op\":\"LIN\",\"dst\":4,\"src\":[0,1,3],\"c\":[1.2,-0.5,1]},"
    "{\"op\":\"STEP\",\"src\":4,\"t\":0.5,\"at\":[0.9,0.1]}]}";

/* Values of one and two components in turn, so that they share slots; blocks of every shape. */
static const char pair_plan[] =
    HEAD2 "\"outputs\":[8],\"rows\":["
          "{\"op\":\"EVAL\",\"dst\":1,\"src\":0,\"t\":1,\"tau\":1," AT2 ",\"gives\":[0,[[0,1]]]},"
          "{\"op\":\"LIN\",\"dst\":2,\"src\":[0,1],\"c\":[[[0.9,0.2],[-0.1,0.8]],[[0.3],[-0.4]]]},"
          "{\"op\":\"NOISE\",\"dst\":3,\"draw\":0},"
          "{\"op\":\"LIN\",\"dst\":4,\"src\":[2,3],\"c\":[1,[[0.3,0],[0.1,0.2]]]},"
          "{\"op\":\"STEP\",\"src\":4,\"t\":0.7," AT2 "},"
          "{\"op\":\"EVAL\",\"dst\":5,\"src\":4,\"t\":0.7,\"tau\":0.7," AT2
          ",\"gives\":[[0.5,0],[[1,0],[0.5,1]]]},"
          "{\"op\":\"LIN\",\"dst\":6,\"src\":[4,5,1],\"c\":[[[0.7,0.1]],[[-0.2,0.1]],0.25]},"
          "{\"op\":\"LIN\",\"dst\":7,\"src\":[6],\"c\":[[[1],[0.5]]]},"
          "{\"op\":\"LIN\",\"dst\":8,\"src\":[7,4],\"c\":[0.5,[[0.1,0],[0,0.2]]]},"
          "{\"op\":\"STEP\",\"src\":8,\"t\":0,\"at\":[[1,0],[[0,0],[0,0]]]}]}";

static const char *const hand_plans[] = {nonlinear_plan, mix_plan, pair_plan};

/* All plans of this file in turn: NULL at the end. */
static dfl_plan *next_plan(const dfl_model *model, size_t i) {
    const size_t compiled = LENGTH(solvers) * LENGTH(processes);
    char spec[256];
    if (i >= compiled)
        return i - compiled < LENGTH(hand_plans) ? plan_from(hand_plans[i - compiled]) : NULL;
    snprintf(spec, sizeof spec, "solver=%s process=%s steps=10 denoise=%d",
             solvers[i / LENGTH(processes)], processes[i % LENGTH(processes)], (int)(i % 2));
    return plan_of(model, spec);
}

/* ---- types --------------------------------------------------------------------------------------
 */

static int by_size(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Measured: largest rms 4.1e-7, largest median 1.1e-7; no start here lies so near a boundary between
   two basins that rounding decides. */
static void test_float32(void **state) {
    (void)state;
    static float single[STARTS * DIM];
    static double exact[STARTS * DIM], off[STARTS];
    dfl_model *model = mixture();
    double worst_rms = 0, worst_median = 0;
    dfl_plan *plan;
    for (size_t i = 0; (plan = next_plan(model, i)); i++) {
        double sum = 0;
        sample_all(plan, model, "seed=5", single, STARTS);
        sample_all(plan, model, "seed=5,dtype=float64", exact, STARTS);
        for (size_t s = 0; s < STARTS; s++) {
            off[s] = 0;
            for (size_t d = 0; d < DIM; d++) {
                const double e = (double)single[s * DIM + d] - exact[s * DIM + d];
                sum += e * e / (STARTS * DIM);
                off[s] = fmax(off[s], fabs(e));
            }
        }
        qsort(off, STARTS, sizeof *off, by_size);
        worst_rms = fmax(worst_rms, sqrt(sum));
        worst_median = fmax(worst_median, off[STARTS / 2]);
        if (sqrt(sum) > 1e-5) print_error("plan %zu: rms %.2g\n", i, sqrt(sum));
        assert_true(sqrt(sum) <= 1e-5);
        dfl_plan_free(plan);
    }
    print_message("float32 against float64: largest rms %.2g, largest median %.2g\n", worst_rms,
                  worst_median);
    dfl_model_free(model);
}

/* ---- batches and slots --------------------------------------------------------------------------
 */

static void test_batches(void **state) {
    (void)state;
    static const char *const types[] = {"float32", "float64"};
    static const struct {
        int batch;
        size_t piece;
    } cuts[] = {{1, 100}, {7, 100}, {64, 100}, {64, 33}, {7, 1}, {100, 41}};
    enum { COUNT = 100 };
    static double all[COUNT * DIM], cut[COUNT * DIM];
    const uint64_t first = ((uint64_t)3 << 32) - 50; /* across a 32-bit boundary */
    dfl_model *model = mixture();
    dfl_plan *plan;
    for (size_t i = 0; (plan = next_plan(model, i)); i += i < 30 ? 4 : 1) {
        for (size_t t = 0; t < 2; t++) {
            char options[80];
            const size_t size = t ? sizeof(double) : sizeof(float);
            snprintf(options, sizeof options, "seed=9,dtype=%s,batch=256", types[t]);
            dfl_run *run = run_of(plan, model, options);
            ok(dfl_run_sample(run, first, COUNT, NULL, NULL, all));
            dfl_run_free(run);
            for (size_t c = 0; c < LENGTH(cuts); c++) {
                snprintf(options, sizeof options, "seed=9,dtype=%s,batch=%d", types[t],
                         cuts[c].batch);
                run = run_of(plan, model, options);
                for (size_t done = 0; done < COUNT; done += cuts[c].piece) {
                    const size_t n = COUNT - done < cuts[c].piece ? COUNT - done : cuts[c].piece;
                    ok(dfl_run_sample(run, first + done, n, NULL, NULL,
                                      (char *)cut + done * DIM * size));
                }
                dfl_run_free(run);
                assert_memory_equal(cut, all, COUNT * DIM * size);
            }
        }
        dfl_plan_free(plan);
    }
    dfl_model_free(model);
}

/* Sharing memory between values, in place and between widths, must not change a bit. */
static void test_slots(void **state) {
    (void)state;
    enum { COUNT = 40 };
    static double shared[COUNT * DIM], apart[COUNT * DIM];
    dfl_model *model = mixture();
    dfl_plan *plan;
    for (size_t i = 0; (plan = next_plan(model, i)); i++) {
        const char *const types[] = {"seed=1,batch=16", "seed=1,batch=16,dtype=float64"};
        assert_true(plan->nslots <= 7);
        assert_int_equal(dfl_plan_slots(plan), plan->nslots);
        for (size_t t = 0; t < 2; t++) {
            const size_t nslots = plan->nslots;
            int *const slots = plan->slot, *own = mem_array(plan->code.nvalues, sizeof *own);
            sample_all(plan, model, types[t], shared, COUNT);
            for (size_t v = 0; v < plan->code.nvalues; v++) own[v] = (int)v;
            plan->slot = own;
            plan->nslots = plan->code.nvalues;
            sample_all(plan, model, types[t], apart, COUNT);
            plan->slot = slots;
            plan->nslots = nslots;
            free(own);
            assert_memory_equal(shared, apart, COUNT * DIM * (t ? 8 : 4));
        }
        dfl_plan_free(plan);
    }
    dfl_model_free(model);
}

/* The families' memory, as rows.md counts it. */
static void test_slot_counts(void **state) {
    (void)state;
    static const struct {
        const char *spec;
        size_t slots;
    } cases[] = {{"solver=ddim", 2},         {"solver=euler", 2},        {"solver=deis:order=1", 3},
                 {"solver=deis:order=2", 4}, {"solver=deis:order=3", 5}, {"solver=heun", 4},
                 {"solver=ddim:eta=1", 3},   {"solver=ddpm", 3}};
    dfl_model *model = mixture();
    for (size_t i = 0; i < LENGTH(cases); i++) {
        dfl_plan *plan = plan_of(model, cases[i].spec);
        assert_int_equal(dfl_plan_slots(plan), cases[i].slots);
        dfl_plan_free(plan);
    }
    dfl_model_free(model);
}

/* ---- long rows ----------------------------------------------------------------------------------
 */

/* 64 sources: the state and 63 draws of noise, each with a number or a block. */
static dfl_plan *long_plan(int components, size_t sources) {
    text json = {0};
    text_add(&json, "%s\"outputs\":[%zu],\"rows\":[", components == 1 ? HEAD1 : HEAD2, sources);
    for (size_t i = 1; i < sources; i++)
        text_add(&json, "{\"op\":\"NOISE\",\"dst\":%zu,\"draw\":%zu},", i, i - 1);
    text_add(&json, "{\"op\":\"LIN\",\"dst\":%zu,\"src\":[0", sources);
    for (size_t i = 1; i < sources; i++) text_add(&json, ",%zu", i);
    text_add(&json, "],\"c\":[");
    for (size_t i = 0; i < sources; i++) {
        const double c = 0.01 * (double)(i + 1);
        if (components == 1)
            text_add(&json, "%s%.17g", i ? "," : "", c);
        else
            text_add(&json, "%s[[%.17g,-0.5],[0.25,%.17g]]", i ? "," : "", c, 1 - c);
    }
    text_add(&json, "]}]}");
    dfl_plan *plan = NULL;
    const dfl_status status = dfl_plan_from_json(json.data, json.len, &plan);
    text_free(&json);
    if (sources > PLAN_SOURCES_MAX)
        refused(status, DFL_E_RANGE, "up to 64 are allowed");
    else
        ok(status);
    return plan;
}

static void test_long_rows(void **state) {
    (void)state;
    enum { COUNT = 3 };
    double found[COUNT * DIM], start[COUNT * DIM * 2], z[2 * DIM];
    dfl_model *model = mixture();
    for (size_t i = 0; i < LENGTH(start); i++) start[i] = 0.3 * (double)i - 1;
    for (int components = 1; components <= 2; components++) {
        const size_t width = (size_t)components * DIM;
        dfl_plan *plan = long_plan(components, PLAN_SOURCES_MAX);
        dfl_run *run = run_of(plan, model, "seed=4,dtype=float64");
        ok(dfl_run_sample(run, 0, COUNT, NULL, start, found));
        for (size_t s = 0; s < COUNT; s++)
            for (size_t d = 0; d < DIM; d++) {
                double sum = 0;
                for (size_t j = 0; j < PLAN_SOURCES_MAX; j++) {
                    if (j == 0)
                        memcpy(z, start + s * width, width * sizeof *z);
                    else
                        noise_normals(4, DFL_DRAW_NOISE, (uint32_t)j - 1, s, 0, width, z);
                    sum += 0.01 * (double)(j + 1) * z[d];
                    if (components == 2) sum += -0.5 * z[DIM + d];
                }
                assert_true(found[s * DIM + d] == sum); /* left to right, so to the bit */
            }
        dfl_run_free(run);
        dfl_plan_free(plan);
    }
    assert_null(long_plan(1, PLAN_SOURCES_MAX + 1));
    dfl_model_free(model);
}

/* ---- start states -------------------------------------------------------------------------------
 */

static const char copy1[] =
    HEAD1 "\"outputs\":[1],\"rows\":[{\"op\":\"LIN\",\"dst\":1,\"src\":[0],\"c\":[2]}]}";
static const char copy2[] =
    HEAD2 "\"outputs\":[1],\"rows\":[{\"op\":\"LIN\",\"dst\":1,\"src\":[0],\"c\":[[[2,1]]]}]}";

/* Drawn starts are scaled as the input says; given ones are taken as they are. */
static void test_start_scale(void **state) {
    (void)state;
    double z[4], found[DIM];
    const double given[4] = {1, 2, 3, 4};
    dfl_model *model = mixture();
    for (int components = 1; components <= 2; components++) {
        dfl_plan *plan = plan_from(components == 1 ? copy1 : copy2);
        dfl_run *run = run_of(plan, model, "seed=3,dtype=float64");
        noise_normals(3, DFL_DRAW_START, 0, 11, 0, (size_t)components * DIM, z);
        ok(dfl_run_sample(run, 11, 1, NULL, NULL, found));
        for (size_t d = 0; d < DIM; d++) {
            const double x = components == 1 ? 1.5 * z[d] : z[d];
            const double m = components == 1 ? 0 : 0.5 * z[d] + 2 * z[DIM + d];
            assert_true(fabs(found[d] - (2 * x + m)) < 1e-14);
        }
        ok(dfl_run_sample(run, 11, 1, NULL, given, found));
        for (size_t d = 0; d < DIM; d++)
            assert_true(found[d] == 2 * given[d] + (components == 1 ? 0 : given[DIM + d]));
        dfl_run_free(run);
        dfl_plan_free(plan);
    }
    dfl_model_free(model);
}

/* ---- observers ----------------------------------------------------------------------------------
 */

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
    dfl_model *model = mixture();
    static const char *const specs[] = {"solver=heun steps=4", "solver=ddim steps=3 denoise=1"};
    for (size_t i = 0; i < LENGTH(specs); i++) {
        dfl_plan *plan = plan_of(model, specs[i]);
        watcher w = {.plan = plan, .batch = 7, .total = 20};
        dfl_run *run = run_of(plan, model, "batch=7,dtype=float64");
        dfl_run_observe(run, watch, &w);
        ok(dfl_run_sample(run, 0, 20, NULL, NULL, samples));
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
    dfl_model *model = mixture();
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
    ok(dfl_run_sample(run, 0, 20, NULL, NULL, again));
    assert_memory_equal(clean, again, sizeof clean);
    dfl_run_free(run);
    dfl_plan_free(plan);
    dfl_model_free(model);
}

static void test_observer_fails(void **state) {
    (void)state;
    double samples[40];
    dfl_model *model = mixture();
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

/* ---- the network --------------------------------------------------------------------------------
 */

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
    ok(dfl_model_callback(net_card, answer_request, &net, &model));
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
        ok(dfl_run_sample(run, 10, 10, NULL, NULL, samples));
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
    ok(dfl_model_callback(net_card, answer_request, &net, &model));
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

/* A state that overflows although no network is left to notice. */
static void test_overflow(void **state) {
    (void)state;
    static const char json[] =
        HEAD1 "\"outputs\":[1],\"rows\":[{\"op\":\"LIN\",\"dst\":1,\"src\":[0],\"c\":[1e30]}]}";
    const float start[4] = {1, 1, 1e20f, 1};
    float samples[4];
    dfl_model *model = mixture();
    dfl_plan *plan = plan_from(json);
    dfl_run *run = run_of(plan, model, NULL);
    refused(dfl_run_sample(run, 5, 2, NULL, start, samples), DFL_E_NONFINITE, "sample 6");
    dfl_run_free(run);
    dfl_plan_free(plan);
    dfl_model_free(model);
}

static void test_labels(void **state) {
    (void)state;
    static const int64_t good[10] = {0, 3, 4, 1, 1, 2, 4, 0, 3, 2};
    int64_t bad[10];
    double samples[60];
    network net = {.labels = good};
    dfl_model *model = NULL, *plain = mixture();
    ok(dfl_model_callback(net_card, answer_request, &net, &model));
    dfl_plan *plan = plan_of(model, "solver=ddim steps=2");
    dfl_run *run = run_of(plan, model, "batch=4");
    ok(dfl_run_sample(run, 10, 10, good, NULL, samples));
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

/* ---- noise from outside -------------------------------------------------------------------------
 */

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
    dfl_model *model = mixture();
    for (int k = 0; k < 3; k++) {
        dfl_plan *plan = k == 0 ? plan_of(model, "solver=ddim:eta=1 steps=3")
                                : plan_from(k == 1 ? mix_plan : pair_plan);
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
            ok(dfl_run_sample(run, 0, 6, NULL, NULL, replayed));
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
    dfl_model *model = mixture();
    dfl_plan *plan = plan_from(mix_plan);
    dfl_run *run = run_of(plan, model, NULL);
    source s = {0};
    dfl_run_noise(run, draw, &s);
    for (size_t i = 0; i < LENGTH(wrong); i++) {
        s.pick = wrong[i];
        refused(dfl_run_sample(run, 0, 2, NULL, NULL, samples), DFL_E_RANGE, "[0, 1)");
    }
    s.pick = 1 - 0x1p-53;
    ok(dfl_run_sample(run, 0, 2, NULL, NULL, samples));
    dfl_run_free(run);
    dfl_plan_free(plan);
    dfl_model_free(model);
}

/* ---- tensors from outside, and refusals ---------------------------------------------------------
 */

static const char given_plan[] = HEAD1 "\"outputs\":[3],\"rows\":["
                                       "{\"op\":\"GIVEN\",\"dst\":1,\"name\":\"image\"},{\"op\":"
                                       "\"GIVEN\",\"dst\":2,\"name\":\"mask\"},"
                                       "{\"op\":\"SELECT\",\"dst\":3,\"src\":[1,0,2]}]}";

static void test_given(void **state) {
    (void)state;
    const float image[2] = {5, 6}, mask[2] = {1, 0.25f}, start[4] = {1, 2, 3, 4};
    const float expected[4] = {5, 3, 5, 4.5f};
    float found[4];
    dfl_model *model = mixture();
    dfl_plan *plan = plan_from(given_plan);
    dfl_run *run = run_of(plan, model, "batch=1");
    refused(dfl_run_sample(run, 0, 2, NULL, start, found), DFL_E_ARG, "\"image\"");
    ok(dfl_run_given(run, "image", image));
    refused(dfl_run_sample(run, 0, 2, NULL, start, found), DFL_E_ARG, "\"mask\"");
    ok(dfl_run_given(run, "mask", mask));
    refused(dfl_run_given(run, "Mask", mask), DFL_E_KEY, "\"Mask\"");
    ok(dfl_run_sample(run, 0, 2, NULL, start, found));
    assert_memory_equal(found, expected, sizeof found);
    dfl_run_free(run);
    dfl_plan_free(plan);
    dfl_model_free(model);
}

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
    dfl_model *model = mixture();
    dfl_plan *plan = plan_of(model, "steps=1");
    dfl_run *run = NULL;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        refused(dfl_run_new(plan, model, cases[i].options, &run), cases[i].status, cases[i].part);
        assert_null(run);
    }
    ok(dfl_run_new(plan, model, "seed=18446744073709551615", &run));
    float sample[2];
    refused(dfl_run_sample(run, UINT64_MAX, 1, NULL, NULL, sample), DFL_E_RANGE, "2^64 - 1");
    ok(dfl_run_sample(run, UINT64_MAX - 1, 1, NULL, NULL, sample));
    ok(dfl_run_sample(run, 0, 0, NULL, NULL, NULL));
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
    dfl_model *eps = mixture(), *v = NULL;
    dfl_run *run = NULL;
    ok(dfl_model_callback(flow, answer_request, &net, &v));
    dfl_plan *plan = plan_of(v, "steps=2");
    refused(dfl_run_new(plan, eps, NULL, &run), DFL_E_COMBINATION, "another prediction type");
    ok(dfl_run_new(plan, v, NULL, &run));
    dfl_run_free(run);
    dfl_plan_free(plan);
    dfl_model_free(v);
    dfl_model_free(eps);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_float32),        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_slots),          cmocka_unit_test(test_slot_counts),
        cmocka_unit_test(test_long_rows),      cmocka_unit_test(test_start_scale),
        cmocka_unit_test(test_observer),       cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_observer_fails), cmocka_unit_test(test_network_fails),
        cmocka_unit_test(test_not_finite),     cmocka_unit_test(test_overflow),
        cmocka_unit_test(test_labels),         cmocka_unit_test(test_noise_source),
        cmocka_unit_test(test_picks),          cmocka_unit_test(test_given),
        cmocka_unit_test(test_run_options),    cmocka_unit_test(test_wrong_model),
    };
    return cmocka_run_group_tests_name("exec", tests, NULL, NULL);
}
