/* The executor: what a run computes must not depend on how it is cut, stored or typed. Values are
   proved elsewhere, by reference trajectories and a second reader (tests/py). */
#include "support/hand.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/cases.h"

enum { STARTS = 256 };

static const char *const hand_plans[] = {hand_nonlinear, hand_mix, hand_pair};

static spec_list solvers, processes;

static int list_cases(void **state) {
    (void)state;
    solvers = scalar_solvers();
    processes = reference_processes(true);
    return 0;
}

static int free_cases(void **state) {
    (void)state;
    specs_free(&solvers);
    specs_free(&processes);
    return 0;
}

/* Every solver on every process, then the plans by hand, one after the other; NULL at the end. */
static dfl_plan *next_plan(size_t i, char name[SPEC_SIZE * 2]) {
    const size_t compiled = solvers.n * processes.n;
    if (i >= compiled) {
        snprintf(name, SPEC_SIZE * 2, "by hand %zu", i - compiled);
        return i - compiled < LENGTH(hand_plans) ? plan_from(hand_plans[i - compiled]) : NULL;
    }
    plan_case c = reference_case(processes.spec[i % processes.n], solvers.spec[i / processes.n]);
    c.steps = 10;
    c.denoise = i % 2;
    snprintf(name, SPEC_SIZE * 2, "%s on %s", c.solver, c.process);
    return case_compile(&c);
}

/* ---- types ----------------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Measured: largest rms 4.7e-7, largest median 1e-7; no start here lies so near a boundary
   between two basins that rounding decides. */
static void test_float32(void **state) {
    (void)state;
    static float single[STARTS * DIM];
    static double exact[STARTS * DIM], off[STARTS];
    dfl_model *model = test_mixture();
    double worst_rms = 0, worst_median = 0;
    dfl_plan *plan;
    char name[SPEC_SIZE * 2];
    for (size_t i = 0; (plan = next_plan(i, name)); i++) {
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
        if (sqrt(sum) > 1e-5)
            print_error("%s: rms %.2g, median %.2g\n", name, sqrt(sum), off[STARTS / 2]);
        /* a start at a basin boundary carries the sum: then the median must be ten times better */
        assert_true(sqrt(sum) <= 1e-5 || off[STARTS / 2] <= 1e-6);
        dfl_plan_free(plan);
    }
    print_message("float32 against float64: largest rms %.2g, largest median %.2g\n", worst_rms,
                  worst_median);
    dfl_model_free(model);
}

/* ---- batches and slots ----------------------------------------------------------------------- */

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
    dfl_model *model = test_mixture();
    dfl_plan *plan;
    char name[SPEC_SIZE * 2];
    for (size_t i = 0; (plan = next_plan(i, name)); i += i + 7 < solvers.n * processes.n ? 7 : 1) {
        for (size_t t = 0; t < 2; t++) {
            char options[80];
            const size_t size = t ? sizeof(double) : sizeof(float);
            snprintf(options, sizeof options, "seed=9,dtype=%s,batch=256", types[t]);
            dfl_run *run = run_of(plan, model, options);
            assert_ok(dfl_run_sample(run, first, COUNT, NULL, NULL, all));
            dfl_run_free(run);
            for (size_t c = 0; c < LENGTH(cuts); c++) {
                snprintf(options, sizeof options, "seed=9,dtype=%s,batch=%d", types[t],
                         cuts[c].batch);
                run = run_of(plan, model, options);
                for (size_t done = 0; done < COUNT; done += cuts[c].piece) {
                    const size_t n = COUNT - done < cuts[c].piece ? COUNT - done : cuts[c].piece;
                    assert_ok(dfl_run_sample(run, first + done, n, NULL, NULL,
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
    dfl_model *model = test_mixture();
    dfl_plan *plan;
    char name[SPEC_SIZE * 2];
    for (size_t i = 0; (plan = next_plan(i, name)); i++) {
        const char *const types[] = {"seed=1,batch=16", "seed=1,batch=16,dtype=float64"};
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
    dfl_model *model = test_mixture();
    for (size_t i = 0; i < LENGTH(cases); i++) {
        dfl_plan *plan = plan_of(model, cases[i].spec);
        assert_int_equal(dfl_plan_slots(plan), cases[i].slots);
        dfl_plan_free(plan);
    }
    dfl_model_free(model);
}

/* ---- long rows ------------------------------------------------------------------------------- */

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
        assert_ok(status);
    return plan;
}

static void test_long_rows(void **state) {
    (void)state;
    enum { COUNT = 3 };
    double found[COUNT * DIM], start[COUNT * DIM * 2], z[2 * DIM];
    dfl_model *model = test_mixture();
    for (size_t i = 0; i < LENGTH(start); i++) start[i] = 0.3 * (double)i - 1;
    for (int components = 1; components <= 2; components++) {
        const size_t width = (size_t)components * DIM;
        dfl_plan *plan = long_plan(components, PLAN_SOURCES_MAX);
        dfl_run *run = run_of(plan, model, "seed=4,dtype=float64");
        assert_ok(dfl_run_sample(run, 0, COUNT, NULL, start, found));
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

/* ---- start states ---------------------------------------------------------------------------- */

static const char copy1[] =
    HEAD1 "\"outputs\":[1],\"rows\":[{\"op\":\"LIN\",\"dst\":1,\"src\":[0],\"c\":[2]}]}";
static const char copy2[] =
    HEAD2 "\"outputs\":[1],\"rows\":[{\"op\":\"LIN\",\"dst\":1,\"src\":[0],\"c\":[[[2,1]]]}]}";

/* Drawn starts are scaled as the input says; given ones are taken as they are. */
static void test_start_scale(void **state) {
    (void)state;
    double z[4], found[DIM];
    const double given[4] = {1, 2, 3, 4};
    dfl_model *model = test_mixture();
    for (int components = 1; components <= 2; components++) {
        dfl_plan *plan = plan_from(components == 1 ? copy1 : copy2);
        dfl_run *run = run_of(plan, model, "seed=3,dtype=float64");
        noise_normals(3, DFL_DRAW_START, 0, 11, 0, (size_t)components * DIM, z);
        assert_ok(dfl_run_sample(run, 11, 1, NULL, NULL, found));
        for (size_t d = 0; d < DIM; d++) {
            const double x = components == 1 ? 1.5 * z[d] : z[d];
            const double m = components == 1 ? 0 : 0.5 * z[d] + 2 * z[DIM + d];
            assert_true(fabs(found[d] - (2 * x + m)) < 1e-14);
        }
        assert_ok(dfl_run_sample(run, 11, 1, NULL, given, found));
        for (size_t d = 0; d < DIM; d++)
            assert_true(found[d] == 2 * given[d] + (components == 1 ? 0 : given[DIM + d]));
        dfl_run_free(run);
        dfl_plan_free(plan);
    }
    dfl_model_free(model);
}

/* ---- tensors from outside -------------------------------------------------------------------- */

static const char given_plan[] = HEAD1 "\"outputs\":[3],\"rows\":["
                                       "{\"op\":\"GIVEN\",\"dst\":1,\"name\":\"image\"},{\"op\":"
                                       "\"GIVEN\",\"dst\":2,\"name\":\"mask\"},"
                                       "{\"op\":\"SELECT\",\"dst\":3,\"src\":[1,0,2]}]}";

static void test_given(void **state) {
    (void)state;
    const float image[2] = {5, 6}, mask[2] = {1, 0.25f}, start[4] = {1, 2, 3, 4};
    const float expected[4] = {5, 3, 5, 4.5f};
    float found[4];
    dfl_model *model = test_mixture();
    dfl_plan *plan = plan_from(given_plan);
    dfl_run *run = run_of(plan, model, "batch=1");
    refused(dfl_run_sample(run, 0, 2, NULL, start, found), DFL_E_ARG, "\"image\"");
    assert_ok(dfl_run_given(run, "image", image));
    refused(dfl_run_sample(run, 0, 2, NULL, start, found), DFL_E_ARG, "\"mask\"");
    assert_ok(dfl_run_given(run, "mask", mask));
    refused(dfl_run_given(run, "Mask", mask), DFL_E_KEY, "\"Mask\"");
    assert_ok(dfl_run_sample(run, 0, 2, NULL, start, found));
    assert_memory_equal(found, expected, sizeof found);
    dfl_run_free(run);
    dfl_plan_free(plan);
    dfl_model_free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_float32),   cmocka_unit_test(test_batches),
        cmocka_unit_test(test_slots),     cmocka_unit_test(test_slot_counts),
        cmocka_unit_test(test_long_rows), cmocka_unit_test(test_start_scale),
        cmocka_unit_test(test_given),
    };
    return cmocka_run_group_tests_name("exec", tests, list_cases, free_cases);
}
