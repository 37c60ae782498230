/* Every trajectory of the phase-space references, run by the executor in double with the noise
   replayed: the state at the last time of the grid and, in phase space, after the last step.

   The scalar references end in an Euler step of length t on the flow, where this library lands on
   the predicted x_0; so scalar processes are compared at the last time only. */
#include "support/exact.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "io/io.h"
#include "support/cases.h"

enum { FILE_MAX = 1 << 24 };

typedef struct {
    json_t *file;
    const json_t *cases;
    array pool;
} references;

typedef struct {
    size_t cases;
    double worst; /* deviation in units of its tolerance */
} tally;

static const double *in_pool(const references *all, const json_t *entry, const char *key,
                             size_t *count) {
    const json_t *place = json_object_get(entry, key);
    if (!place) return NULL;
    const json_int_t offset = json_integer_value(json_array_get(place, 0));
    *count = (size_t)json_integer_value(json_array_get(place, 1));
    return (const double *)all->pool.data + offset;
}

static const char *word(const json_t *entry, const char *key) {
    return json_string_value(json_object_get(entry, key));
}

static size_t number(const json_t *entry, const char *key) {
    return (size_t)json_integer_value(json_object_get(entry, key));
}

static char *spec_of(const references *all, const json_t *entry) {
    size_t n = 0;
    const double *t = in_pool(all, entry, "times", &n);
    text spec = {0};
    text_add(&spec, "solver=%s denoise=1 grid=list:times=[", word(entry, "solver"));
    for (size_t i = 0; i < n; i++) text_add(&spec, "%s%.17g", i ? "," : "", t[i]);
    text_add(&spec, "]");
    assert_false(spec.failed);
    return spec.data;
}

static double tolerance(const json_t *entry, size_t i) {
    return json_number_value(json_array_get(json_object_get(entry, "tolerance"), i));
}

/* Deviation in units of the tolerance, by this half of the network. */
static double deviation(const references *all, const json_t *entry, const char *half,
                        exact_result *kept) {
    char *spec = spec_of(all, entry);
    size_t size = 0, draws = 0;
    exact_case c = {.process = word(entry, "process"),
                    .half = half,
                    .spec = spec,
                    .samples = number(entry, "samples"),
                    .start = in_pool(all, entry, "start", &size),
                    .noise = in_pool(all, entry, "noise", &draws)};
    const double *z_eps = in_pool(all, entry, "z_eps", &size);
    const double *z_0 = in_pool(all, entry, "z_0", &size);
    exact_run(&c, kept);
    free(spec);
    assert_int_equal(kept->nfe, number(entry, "nfe"));
    double off = farthest(kept->before, z_eps, size) / tolerance(entry, 0);
    if (size == c.samples * EXACT_STATE)
        off = fmax(off, farthest(kept->last, z_0, size) / tolerance(entry, 1));
    return off;
}

/* Runs the cases that `wanted` picks and adds them up by method. */
static void replay_all(const references *all, bool (*wanted)(const json_t *), size_t least) {
    size_t i, done = 0;
    tally sum[2] = {{0, 0}, {0, 0}}; /* from formulas, official */
    const json_t *entry;
    json_array_foreach((json_t *)(size_t)all->cases, i, entry) {
        if (!wanted(entry)) continue;
        exact_result r;
        const double off = deviation(all, entry, "both", &r);
        exact_free(&r);
        if (!(off <= 1))
            REFUTE("%s, %s, %s grid, %zu evaluations: %.3g times its tolerance",
                   word(entry, "solver"), word(entry, "process"), word(entry, "grid"),
                   number(entry, "nfe"), off);
        tally *to = &sum[json_is_true(json_object_get(entry, "official"))];
        to->cases++;
        to->worst = fmax(to->worst, off);
        done++;
    }
    print_message("%zu cases from formulas, worst %.2g of the tolerance; %zu official, %.2g\n",
                  sum[0].cases, sum[0].worst, sum[1].cases, sum[1].worst);
    assert_true(done >= least);
}

static bool starts(const json_t *entry, const char *with) {
    return strncmp(word(entry, "solver"), with, strlen(with)) == 0;
}

static bool is_scalar(const json_t *entry) {
    return strncmp(word(entry, "process"), "vp", 2) == 0;
}

static bool is_conjugate(const json_t *entry) {
    return !is_scalar(entry) && starts(entry, "conjugate:");
}

static bool is_splitting(const json_t *entry) {
    return starts(entry, "splitting");
}

static bool is_conjugate_splitting(const json_t *entry) {
    return starts(entry, "conjugate_splitting");
}

static bool is_baseline(const json_t *entry) {
    return !is_scalar(entry) && !is_conjugate(entry) && !is_splitting(entry) &&
           !is_conjugate_splitting(entry);
}

static void test_baselines(void **state) {
    replay_all(*state, is_baseline, 52);
}

static void test_conjugate(void **state) {
    replay_all(*state, is_conjugate, 80);
}

static void test_splitting(void **state) {
    replay_all(*state, is_splitting, 124);
}

static void test_conjugate_splitting(void **state) {
    replay_all(*state, is_conjugate_splitting, 152);
}

static void test_scalar(void **state) {
    replay_all(*state, is_scalar, 78);
}

/* CLD's x half never diffuses: a network that answers the m half alone gives the same states. */
static void test_momentum_network(void **state) {
    const references *all = *state;
    double worst = 0;
    size_t i, done = 0;
    const json_t *entry;
    json_array_foreach((json_t *)(size_t)all->cases, i, entry) {
        if (!strstr(word(entry, "process"), "Gamma=0.0,")) continue;
        exact_result both, half;
        size_t size = 0;
        in_pool(all, entry, "z_eps", &size);
        deviation(all, entry, "both", &both);
        assert_true(deviation(all, entry, "m", &half) <= 1);
        assert_true(both.answered == 2 && half.answered == 1);
        worst = fmax(worst, farthest(both.before, half.before, size) / tolerance(entry, 0));
        worst = fmax(worst, farthest(both.last, half.last, size) / tolerance(entry, 1));
        exact_free(&both);
        exact_free(&half);
        done++;
    }
    print_message("%zu CLD cases by the momentum half alone: %.2g of the tolerance\n", done, worst);
    assert_true(done >= 100 && worst <= 0.05);
}

/* nu = 0 with the upper factor is the mirror image: the position half is enough. */
static void test_position_network(void **state) {
    const references *all = *state;
    size_t size = 0;
    static const char *const specs[] = {"solver=deis:order=2 steps=40 denoise=1",
                                        "solver=conjugate:lambda=1 steps=20 denoise=1",
                                        "solver=splitting:scheme=rvv steps=20 denoise=1",
                                        "solver=conjugate_splitting:scheme=cse steps=20 denoise=1",
                                        "solver=heun steps=40 denoise=1"};
    for (size_t i = 0; i < LENGTH(specs); i++) {
        exact_case c = {.process = "psld:Gamma=4,nu=0,factor=upper",
                        .half = "both",
                        .spec = specs[i],
                        .samples = 4,
                        .start = in_pool(all, json_array_get(all->cases, 0), "start", &size)};
        exact_result both, half;
        exact_run(&c, &both);
        c.half = "x";
        exact_run(&c, &half);
        assert_true(both.answered == 2 && half.answered == 1);
        assert_true(farthest(both.last, half.last, size) < 1e-12);
        exact_free(&both);
        exact_free(&half);
    }
}

static int setup(void **state) {
    static references all;
    *state = &all;
    const char *const names[] = {"pool"};
    json_error_t error;
    all.file = json_load_file(DFL_TEST_DATA "/psld-cases.json", JSON_REJECT_DUPLICATES, &error);
    all.cases = json_object_get(all.file, "cases");
    if (!all.cases) return -1;
    return npz_read(DFL_TEST_DATA "/psld-cases.npz", names, 1, false, FILE_MAX, &all.pool);
}

static int teardown(void **state) {
    references *all = *state;
    json_decref(all->file);
    array_free(&all->pool);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_baselines),        cmocka_unit_test(test_conjugate),
        cmocka_unit_test(test_splitting),        cmocka_unit_test(test_conjugate_splitting),
        cmocka_unit_test(test_scalar),           cmocka_unit_test(test_momentum_network),
        cmocka_unit_test(test_position_network),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
