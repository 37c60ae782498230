/* Flow priors: the card, and what a prior made of one says and does. Where the runtime is missing the
   tests that need it are skipped, counted. */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "prior/flow.h"

static const char folder[] = DFL_TEST_DATA "/flow";
static const double log_2pi = 1.8378770664093454836;

/* ---- the card -------------------------------------------------------------------------------- */

#define DIGEST_A "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define NETWORK(name)                                                                              \
    "\"" name "\": {\"file\": \"" name ".onnx\", \"sha256\": \"" DIGEST_A                          \
    "\", \"input\": \"in\", \"output\": \"out\"}"
#define CARD(sample, state, gate)                                                                  \
    "{\"format\": \"driftless-flow-prior/1\", \"name\": \"n\", \"sample\": " sample                \
    ", \"state\": " state ", " NETWORK("sampler") ", " NETWORK("density") ", \"gate\": " gate "}"
#define SAMPLE "{\"shape\": [3, 4], \"range\": [-1, 1]}"
#define STATE  "{\"t\": 0.25, \"a\": 0.8, \"b\": 0.6}"
#define GATE   "{\"gain\": 3.5, \"error\": 0.25}"

static dfl_status parse(const char *json, flow_card *c) {
    return flow_card_parse("prior.json", json, strlen(json), c);
}

static void test_card(void **state) {
    (void)state;
    flow_card c;
    assert_ok(parse(CARD(SAMPLE, STATE, GATE), &c));
    assert_string_equal(c.name, "n");
    assert_int_equal(c.rank, 2);
    assert_int_equal(c.d, 12);
    assert_true(c.has_range && c.range[0] == -1 && c.range[1] == 1);
    assert_true(c.t == 0.25 && c.a == 0.8 && c.b == 0.6);
    assert_string_equal(c.sampler.file, "sampler.onnx");
    assert_string_equal(c.density.file, "density.onnx");
    assert_string_equal(c.density.sha256, DIGEST_A);
    assert_string_equal(c.density.output, "out");
    assert_true(c.gate.gain == 3.5 && c.gate.error == 0.25 && c.gate.a == 0.8 && c.gate.b == 0.6);
    flow_card_free(&c);
    assert_ok(parse(CARD("{\"shape\": [2]}", STATE, GATE), &c));
    assert_false(c.has_range);
    flow_card_free(&c);
}

static void test_card_refused(void **state) {
    (void)state;
    static const struct {
        const char *json;
        dfl_status status;
        const char *part;
    } cases[] = {
        {"", DFL_E_FORMAT, "prior.json"},
        {"{}", DFL_E_KEY, "format"},
        {CARD("{}", STATE, GATE), DFL_E_KEY, "shape"},
        {CARD("{\"shape\": 3}", STATE, GATE), DFL_E_FORMAT, "shape"},
        {CARD("{\"shape\": []}", STATE, GATE), DFL_E_RANGE, "0 dimensions"},
        {CARD("{\"shape\": [-1]}", STATE, GATE), DFL_E_RANGE, "whole numbers from 1"},
        {CARD("{\"shape\": [600, 600]}", STATE, GATE), DFL_E_RANGE, "360000 numbers in all"},
        {CARD("{\"shape\": [2], \"range\": [2, 2]}", STATE, GATE), DFL_E_RANGE, "smaller one"},
        {CARD(SAMPLE, "{\"t\": 0, \"a\": 1, \"b\": 1}", GATE), DFL_E_RANGE, "\"t\" is 0"},
        {CARD(SAMPLE, "{\"t\": 0.5, \"a\": 0, \"b\": 1}", GATE), DFL_E_RANGE, "above 0"},
        {CARD(SAMPLE, "{\"t\": 0.5, \"a\": 1, \"b\": 0}", GATE), DFL_E_RANGE, "above 0"},
        {CARD(SAMPLE, "{\"t\": 0.5, \"a\": 1}", GATE), DFL_E_KEY, "\"b\""},
        {CARD(SAMPLE, STATE, "{\"gain\": 1}"), DFL_E_KEY, "\"error\""},
        {CARD(SAMPLE, STATE, "{\"gain\": 1, \"error\": -2}"), DFL_E_RANGE, "not below 0"},
    };
    for (size_t i = 0; i < LENGTH(cases); i++) {
        flow_card c;
        refused(parse(cases[i].json, &c), cases[i].status, cases[i].part);
    }
}

/* ---- the prior ------------------------------------------------------------------------------- */

static prior *open_or_skip(void) {
    prior *p;
    const dfl_status status = prior_read(folder, &p);
    if (status == DFL_E_RUNTIME) {
        print_message("skipped: %s\n", dfl_last_message());
        skip();
    }
    assert_ok(status);
    return p;
}

static void test_facts(void **state) {
    (void)state;
    double t;
    assert_ok(prior_own_time(folder, &t));
    assert_true(t == 0.3);
    assert_ok(prior_own_time("p.npz", &t));
    assert_true(isnan(t));
    prior *const p = open_or_skip();
    const size_t *shape;
    const gate_row *gate;
    double a, b;
    assert_int_equal(prior_dim(p), 2);
    assert_int_equal(prior_components(p), 0);
    assert_int_equal(prior_classes(p), 0);
    assert_string_equal(prior_kind(p), "flow");
    assert_int_equal(prior_shape(p, &shape), 1);
    assert_int_equal(shape[0], 2);
    assert_null(prior_range(p));
    prior_state(p, &a, &b);
    assert_true(fabs(a * a + b * b - 1) < 1e-12);
    assert_int_equal(prior_gate(p, &gate), 1);
    assert_true(gate_passed(gate) && gate->a == a && gate->b == b);
    refused(prior_moments(p, &a, NULL), DFL_E_COMBINATION, "closed form");
    prior_free(p);
}

/* Copies go on when what they were made from is gone, and give the same bits. */
static void test_copies(void **state) {
    (void)state;
    prior *const p = open_or_skip(), *there, *one, *no;
    double a, b, x[2], y[2], first, again;
    prior_state(p, &a, &b);
    refused(prior_at(p, a, b + 0.01, &no), DFL_E_COMBINATION, "good there only");
    refused(prior_only(p, 0, &no), DFL_E_RANGE, "no classes");
    refused(prior_draw_of(p, 0, 1, 1, x), DFL_E_RANGE, "no classes");
    assert_ok(prior_at(p, a, b, &there));
    assert_ok(prior_only(there, -1, &one));
    assert_ok(prior_draw(p, 7, 11, x));
    assert_ok(prior_logp(p, x, 1, &first));
    prior_free(p);
    prior_free(there);
    assert_ok(prior_draw(one, 7, 12, y));
    assert_true(x[0] != y[0]);
    assert_ok(prior_draw(one, 7, 11, y));
    assert_memory_equal(x, y, sizeof x);
    assert_ok(prior_logp(one, y, 1, &again));
    assert_true(first == again);
    prior_free(one);
}

/* E over nu of N(x; 0, I)/nu(x) is 1: sampler and density belong to each other. */
static void test_sampler_and_density(void **state) {
    (void)state;
    enum { N = 4000 };
    prior *const p = open_or_skip();
    double mean = 0, square = 0;
    for (uint64_t i = 0; i < N; i++) {
        double x[2], logp;
        assert_ok(prior_draw(p, 1, i, x));
        assert_ok(prior_logp(p, x, 1, &logp));
        const double ratio = exp(-(x[0] * x[0] + x[1] * x[1]) / 2 - log_2pi - logp);
        mean += ratio / N;
        square += ratio * ratio / N;
    }
    const double error = sqrt((square - mean * mean) / N);
    assert_true(error < 0.02);
    assert_true(fabs(mean - 1) < 4 * error);
    prior_free(p);
}

static void test_far_states(void **state) {
    (void)state;
    prior *const p = open_or_skip();
    const double far[2] = {1e30, 0};
    double logp;
    refused(prior_logp(p, far, 1, &logp), DFL_E_NONFINITE, "not finite");
    prior_free(p);
}

int main(void) {
    setenv("TBB_ENABLE_SANITIZERS", "1", 0); /* see test_network.c */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_card),       cmocka_unit_test(test_card_refused),
        cmocka_unit_test(test_facts),      cmocka_unit_test(test_copies),
        cmocka_unit_test(test_far_states), cmocka_unit_test(test_sampler_and_density)};
    return cmocka_run_group_tests_name("flow", tests, NULL, NULL);
}
