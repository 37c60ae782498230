/* Plans as JSON: what is written reads back to the bit, and a damaged text is never answered by a
   crash. test_hostile.c holds what is refused, and why. */
#include "support/hand.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

static char *json_of(const dfl_plan *plan) {
    size_t need = 0, again = 0;
    assert_int_equal(dfl_plan_to_json(plan, NULL, 0, &need), DFL_OK);
    char *text_out = mem_array(need + 1, 1);
    assert_non_null(text_out);
    assert_int_equal(dfl_plan_to_json(plan, text_out, need + 1, &again), DFL_OK);
    assert_int_equal(again, need);
    assert_int_equal(strlen(text_out), need);
    return text_out;
}

/* ---- plans that are accepted ----------------------------------------------------------------- */

static const char *const texts[] = {hand_simple, hand_all_ops, hand_pair};

static void check_round_trip(const dfl_plan *plan) {
    char *const first = json_of(plan);
    dfl_plan *back = NULL;
    const dfl_status status = dfl_plan_from_json(first, strlen(first), &back);
    if (status != DFL_OK) print_error("%s\n%s\n", dfl_last_message(), first);
    assert_int_equal(status, DFL_OK);
    assert_int_equal(back->warnings.len, 0);
    char *const second = json_of(back);
    assert_string_equal(first, second);
    assert_int_equal(dfl_plan_nfe(plan), dfl_plan_nfe(back));
    assert_int_equal(dfl_plan_steps(plan), dfl_plan_steps(back));
    assert_int_equal(dfl_plan_draws(plan), dfl_plan_draws(back));
    assert_int_equal(dfl_plan_slots(plan), dfl_plan_slots(back));
    assert_int_equal(dfl_plan_components(plan), dfl_plan_components(back));
    /* the blocks too: every coefficient and shape */
    assert_int_equal(plan->code.nterms, back->code.nterms);
    for (size_t i = 0; i < plan->code.nterms; i++) {
        const term *a = &plan->code.terms[i], *b = &back->code.terms[i];
        assert_true(a->v == b->v && a->c.m == b->c.m && a->c.n == b->c.n);
        assert_memory_equal(a->c.v, b->c.v, sizeof a->c.v);
    }
    free(first);
    free(second);
    dfl_plan_free(back);
}

static void check_all_round_trips(void) {
    static const char *const solvers[] = {"ddpm", "ddim:eta=0.3", "euler:variable=t",
                                          "heun", "deis:order=0", "deis:order=3"};
    static const char *const ends[] = {"", "t_end=0 denoise=1", "process=vp_discrete steps=37",
                                       "grid=logsnr t_end=1e-5"};
    dfl_model *model = test_mixture();
    for (size_t i = 0; i < LENGTH(solvers) * LENGTH(ends); i++) {
        char spec[200];
        dfl_plan *plan = NULL;
        snprintf(spec, sizeof spec, "solver=%s %s", solvers[i / LENGTH(ends)],
                 ends[i % LENGTH(ends)]);
        assert_int_equal(dfl_plan_new(model, spec, &plan), DFL_OK);
        check_round_trip(plan);
        dfl_plan_free(plan);
    }
    for (size_t i = 0; i < LENGTH(texts); i++) {
        dfl_plan *plan = NULL;
        const dfl_status status = dfl_plan_from_json(texts[i], strlen(texts[i]), &plan);
        if (status != DFL_OK) print_error("%s\n", dfl_last_message());
        assert_int_equal(status, DFL_OK);
        check_round_trip(plan);
        dfl_plan_free(plan);
    }
    dfl_model_free(model);
}

static void test_round_trip(void **state) {
    (void)state;
    check_all_round_trips();
}

static void test_locale(void **state) {
    (void)state;
    comma_locale();
    check_all_round_trips();
    setlocale(LC_NUMERIC, "C");
}

/* A plan that was read samples the same bits as the one that was written. */
static void test_same_samples(void **state) {
    (void)state;
    float first[40], second[40];
    dfl_model *model = test_mixture();
    dfl_plan *plan[2] = {NULL, NULL};
    assert_int_equal(dfl_plan_new(model, "solver=ddim:eta=0.7 steps=7", &plan[0]), DFL_OK);
    char *const json = json_of(plan[0]);
    assert_int_equal(dfl_plan_from_json(json, strlen(json), &plan[1]), DFL_OK);
    for (int i = 0; i < 2; i++) {
        dfl_run *run = NULL;
        assert_int_equal(dfl_run_new(plan[i], model, NULL, &run), DFL_OK);
        assert_int_equal(dfl_run_sample(run, 0, 20, NULL, NULL, i ? second : first), DFL_OK);
        dfl_run_free(run);
        dfl_plan_free(plan[i]);
    }
    assert_memory_equal(first, second, sizeof first);
    free(json);
    dfl_model_free(model);
}

static void test_unknown_fields(void **state) {
    (void)state;
    static const char json[] =
        "{\"format\":\"driftless-plan/1\",\"components\":1,\"inputs\":[{\"id\":0,\"t\":1,\"at\":"
        "[0,1],\"scale\":1,\"x\":0}],\"outputs\":[1],\"rows\":[{\"op\":\"LIN\",\"dst\":1,\"src\":["
        "0],"
        "\"c\":[2],\"tua\":1}],\"count\":{},\"a\\nb\":0}";
    dfl_plan *plan = NULL;
    assert_int_equal(dfl_plan_from_json(json, strlen(json), &plan), DFL_OK);
    const char *const lines[] = {"inputs 0: unknown key \"x\"", "rows 0: unknown key \"tua\"",
                                 "unknown key \"a\\u000ab\" is ignored\n",
                                 "\"count\" is ignored (did you mean \"counts\"?)"};
    for (size_t i = 0; i < LENGTH(lines); i++)
        assert_non_null(strstr(plan->warnings.data, lines[i]));
    dfl_plan_free(plan);
}

/* ---- damage ---------------------------------------------------------------------------------- */

/* Cut off anywhere, it is not JSON any more. */
static void test_truncated(void **state) {
    (void)state;
    for (size_t i = 0; i < LENGTH(texts); i++) {
        const size_t length = strlen(texts[i]);
        for (size_t k = 0; k < 50; k++) {
            const size_t cut = length * k / 50;
            char *part = mem_array(cut, 1); /* exactly as long, so that reading on is seen */
            assert_non_null(part);
            memcpy(part, texts[i], cut);
            dfl_plan *plan = NULL;
            refused(dfl_plan_from_json(part, cut, &plan), DFL_E_FORMAT, "not valid JSON");
            assert_null(plan);
            free(part);
        }
    }
}

/* One byte replaced, for every byte: refused with a sentence, or a plan that can be written. */
static void test_damaged(void **state) {
    (void)state;
    static const char bytes[] = "0129-.eE\"[]{},:nx \\\x01\xc3";
    size_t refusals = 0, plans = 0;
    for (size_t i = 0; i < LENGTH(texts); i++) {
        const size_t length = strlen(texts[i]);
        char *json = mem_array(length, 1);
        assert_non_null(json);
        for (size_t at = 0; at < length; at++) {
            memcpy(json, texts[i], length);
            json[at] = bytes[(at * 7 + i) % (sizeof bytes - 1)];
            dfl_plan *plan = NULL;
            const dfl_status status = dfl_plan_from_json(json, length, &plan);
            if (status == DFL_OK) {
                plans++;
                free(json_of(plan));
            } else {
                refusals++;
                assert_null(plan);
                assert_true(status == DFL_E_FORMAT || status == DFL_E_KEY ||
                            status == DFL_E_RANGE || status == DFL_E_NONFINITE);
                assert_true(strlen(dfl_last_message()) > 10);
            }
            dfl_plan_free(plan);
        }
        free(json);
    }
    print_message("one byte changed: %zu refused, %zu still plans\n", refusals, plans);
    assert_true(plans > 20 && refusals > 1000);
}

/* ---- pieces ---------------------------------------------------------------------------------- */

/* Whole numbers of 64 bits: as text, and as the numbers that older files have. */
static void test_u64(void **state) {
    (void)state;
    static const char json[] = "{\"a\":\"18446744073709551615\",\"b\":9007199254740993,\"c\":-1,"
                               "\"d\":\"1e3\",\"e\":1.0,\"f\":\"18446744073709551616\"}";
    json_in in;
    json_t *root;
    uint64_t n;
    assert_ok(json_open("x", json, sizeof json - 1, &root, &in));
    assert_ok(json_get_u64(&in, "a", UINT64_MAX, &n));
    assert_true(n == UINT64_MAX);
    assert_ok(json_get_u64(&in, "b", UINT64_MAX, &n));
    assert_true(n == 9007199254740993); /* 2^53 + 1, which no double holds */
    refused(json_get_u64(&in, "a", 7, &n), DFL_E_RANGE, "0 to 7");
    for (const char *key = "c\0d\0e\0f\0"; *key; key += 2)
        refused(json_get_u64(&in, key, UINT64_MAX, &n), DFL_E_FORMAT, "text of digits");
    refused(json_get_u64(&in, "g", UINT64_MAX, &n), DFL_E_KEY, "missing");
    json_decref(root);
}

/* 17 digits, so that every double survives; and what JSON cannot hold is a failure, not a gap. */
static void test_writing(void **state) {
    (void)state;
    text out = {0};
    json_t *list = json_array();
    assert_int_equal(json_array_append_new(list, json_real(0.1 + 0.2)), 0);
    json_add(&out, list, 0);
    assert_false(out.failed);
    assert_string_equal(out.data, "[0.30000000000000004]");
    json_add(&out, NULL, 0);
    assert_true(out.failed);
    text_free(&out);
    json_decref(list);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),   cmocka_unit_test(test_locale),
        cmocka_unit_test(test_same_samples), cmocka_unit_test(test_unknown_fields),
        cmocka_unit_test(test_truncated),    cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_u64),          cmocka_unit_test(test_writing),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
