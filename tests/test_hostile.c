/* Plans that are not what they should be: each is refused with the right code and a sentence about
   what is wrong, and nothing is read out of bounds. */
#include "support/hand.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- plans that are refused ------------------------------------------------------------------ */

/* `text` with the first `find` replaced; to be freed. */
static char *replaced(const char *json, const char *find, const char *by) {
    const char *const at = strstr(json, find);
    if (!at) print_error("'%s' does not occur\n", find);
    assert_non_null(at);
    text out = {0};
    text_add(&out, "%.*s%s%s", (int)(at - json), json, by, at + strlen(find));
    assert_false(out.failed);
    return out.data;
}

static void check_refused(const char *json, size_t length, dfl_status status, const char *part) {
    dfl_plan *plan = (dfl_plan *)&plan;
    const dfl_status found = dfl_plan_from_json(json, length, &plan);
    if (found != status || !strstr(dfl_last_message(), part))
        print_error("%s: %s\nwanted: %s\n%.600s\n", dfl_status_name(found), dfl_last_message(),
                    part, json);
    assert_int_equal(found, status);
    assert_null(plan);
    assert_non_null(strstr(dfl_last_message(), part));
}

static const struct {
    const char *json, *find, *by, *part;
    dfl_status status;
} hostile[] = {
    /* the top */
    {hand_simple, "plan/1", "plan/2", "reads driftless-plan/1", DFL_E_FORMAT},
    {hand_simple, "\"format\":\"driftless-plan/1\",", "", "\"format\"", DFL_E_KEY},
    {hand_simple, "\"driftless-plan/1\"", "1", "\"format\"", DFL_E_FORMAT},
    {hand_simple, "\"components\":1", "\"components\":0", "\"components\"", DFL_E_RANGE},
    {hand_simple, "\"components\":1", "\"components\":3", "\"components\"", DFL_E_RANGE},
    {hand_simple, "\"components\":1", "\"components\":1.5", "\"components\"", DFL_E_FORMAT},
    {hand_simple, "\"components\":1", "\"components\":\"1\"", "\"components\"", DFL_E_FORMAT},
    {hand_simple, "\"components\":1,", "", "\"components\"", DFL_E_KEY},
    {hand_simple, "\"components\":1", "\"components\":2", "\"at\"", DFL_E_FORMAT},
    {hand_simple, "\"outputs\":[3],", "", "\"outputs\"", DFL_E_KEY},
    {hand_simple, "\"outputs\":[3]", "\"outputs\":[]", "1 to 64", DFL_E_RANGE},
    {hand_simple, "\"outputs\":[3]", "\"outputs\":[4]", "value 4 is not written", DFL_E_FORMAT},
    {hand_simple, "\"outputs\":[3]", "\"outputs\":[-1]", "\"outputs\"", DFL_E_FORMAT},
    {hand_simple, "\"outputs\":[3]", "\"outputs\":[3.0]", "\"outputs\"", DFL_E_FORMAT},
    {hand_simple, "\"outputs\":[3]", "\"outputs\":3", "\"outputs\"", DFL_E_FORMAT},
    {hand_simple, "\"kernels\":[]", "\"kernels\":{}", "\"kernels\"", DFL_E_FORMAT},
    {hand_simple, "\"rows\":[{", "\"rows\":[7,{", "rows 0: an object", DFL_E_FORMAT},
    {hand_simple, "\"rows\":[", "\"rows\":[[", "not valid JSON", DFL_E_FORMAT},
    /* the start */
    {hand_simple, "\"id\":0", "\"id\":1", "numbered from 0", DFL_E_FORMAT},
    {hand_simple, "\"id\":0", "\"id\":-1", "\"id\"", DFL_E_RANGE},
    {hand_simple, "\"id\":0,", "", "\"id\"", DFL_E_KEY},
    {hand_simple, "\"t\":1,", "\"t\":-1,", "input 0", DFL_E_FORMAT},
    {hand_simple, "\"t\":1,", "\"t\":1e999,", "not valid JSON", DFL_E_FORMAT},
    {hand_simple, "\"t\":1,", "\"t\":NaN,", "not valid JSON", DFL_E_FORMAT},
    {hand_simple, "\"t\":1,", "\"t\":null,", "\"t\"", DFL_E_FORMAT},
    {hand_simple, "\"at\":[0.6,0.8]", "\"at\":[0.6]", "\"at\"", DFL_E_FORMAT},
    {hand_simple, "\"at\":[0.6,0.8]", "\"at\":[[0.6],0.8]", "\"at\"", DFL_E_FORMAT},
    {hand_simple, "\"at\":[0.6,0.8]", "\"at\":0.6", "\"at\"", DFL_E_FORMAT},
    {hand_simple, ",\"scale\":1", "", "\"scale\"", DFL_E_KEY},
    {hand_simple, "\"scale\":1", "\"scale\":[1]", "\"scale\"", DFL_E_FORMAT},
    {hand_simple, "\"scale\":1", "\"scale\":[[1,2]]", "input 0", DFL_E_FORMAT},
    {hand_simple, "\"scale\":1", "\"scale\":[[1,2],[3]]", "\"scale\"", DFL_E_FORMAT},
    {hand_pair, "[[1,0],[0.5,2]]", "[[1,0,0],[0.5,2,0]]", "\"scale\"", DFL_E_FORMAT},
    {hand_pair, "[[1,0],[0.5,2]]", "[[1],[0.5]]", "input 0", DFL_E_FORMAT},
    /* ops and destinations */
    {hand_simple, "\"op\":\"EVAL\"", "\"op\":\"eval\"", "unknown op \"eval\"", DFL_E_FORMAT},
    {hand_simple, "\"op\":\"EVAL\",", "", "\"op\"", DFL_E_KEY},
    {hand_simple, "\"op\":\"EVAL\"", "\"op\":0", "\"op\"", DFL_E_FORMAT},
    {hand_simple, "\"dst\":1,", "", "\"dst\"", DFL_E_KEY},
    {hand_simple, "\"dst\":1,", "\"dst\":2,", "the next is 1", DFL_E_FORMAT},
    {hand_simple, "\"dst\":1,", "\"dst\":0,", "the next is 1", DFL_E_FORMAT},
    {hand_simple, "\"dst\":1,", "\"dst\":-1,", "\"dst\"", DFL_E_RANGE},
    {hand_simple, "\"dst\":1,", "\"dst\":1.0,", "\"dst\"", DFL_E_FORMAT},
    {hand_simple, "\"dst\":1,", "\"dst\":99999999999,", "\"dst\"", DFL_E_RANGE},
    {hand_simple, "\"dst\":1,", "\"dst\":99999999999999999999,", "not valid JSON", DFL_E_FORMAT},
    {hand_simple, "\"dst\":1,", "\"dst\":1,\"dst\":1,", "uplicate", DFL_E_KEY},
    {hand_simple, "\"dst\":3", "\"dst\":4", "the next is 3", DFL_E_FORMAT},
    /* sources */
    {hand_simple, "\"src\":0,", "", "has 0 sources", DFL_E_FORMAT},
    {hand_simple, "\"src\":0,", "\"src\":[],", "has 0 sources", DFL_E_FORMAT},
    {hand_simple, "\"src\":0,", "\"src\":[0,0],", "has 2 sources", DFL_E_FORMAT},
    {hand_simple, "\"src\":0,", "\"src\":1,", "reads value 1", DFL_E_FORMAT},
    {hand_simple, "\"src\":0,", "\"src\":3,", "reads value 3", DFL_E_FORMAT},
    {hand_simple, "\"src\":0,", "\"src\":2000000,", "reads value 2000000", DFL_E_FORMAT},
    {hand_simple, "\"src\":0,", "\"src\":99999999999,", "\"src\"", DFL_E_FORMAT},
    {hand_simple, "\"src\":0,", "\"src\":-1,", "\"src\"", DFL_E_FORMAT},
    {hand_simple, "\"src\":0,", "\"src\":\"x\",", "\"src\"", DFL_E_FORMAT},
    {hand_simple, "\"src\":3,", "\"src\":4,", "reads value 4", DFL_E_FORMAT},
    {hand_simple, "\"src\":3,", "", "has 0 sources", DFL_E_FORMAT},
    {hand_simple, "{\"op\":\"EVAL\"",
     "{\"op\":\"STEP\",\"src\":3,\"t\":1,\"at\":[1,0]},{\"op\":\"EVAL\"", "reads value 3",
     DFL_E_FORMAT},
    {hand_simple, "[0,1,2]", "[0,1]", "2 sources but 3 coefficients", DFL_E_FORMAT},
    {hand_simple, "[0,1,2],\"c\":[1.5,-0.5,0.1]", "[],\"c\":[]", "has 0 sources", DFL_E_FORMAT},
    {hand_simple, "[0,1,2],\"c\":[1.5,-0.5,0.1]", "[0,1],\"c\":[1,1]",
     "value 2 is written and never", DFL_E_FORMAT},
    /* coefficients */
    {hand_simple, ",\"c\":[1.5,-0.5,0.1]", "", "\"c\"", DFL_E_KEY},
    {hand_simple, "[1.5,-0.5,0.1]", "[1.5,-0.5,\"0.1\"]", "\"c\"", DFL_E_FORMAT},
    {hand_simple, "[1.5,-0.5,0.1]", "[1.5,-0.5,null]", "\"c\"", DFL_E_FORMAT},
    {hand_simple, "[1.5,-0.5,0.1]", "[1.5,-0.5,1e999]", "not valid JSON", DFL_E_FORMAT},
    {hand_simple, "[1.5,-0.5,0.1]", "[1.5,-0.5,Infinity]", "not valid JSON", DFL_E_FORMAT},
    {hand_simple, "[1.5,-0.5,0.1]", "[1.5,-0.5,[]]", "a block has", DFL_E_FORMAT},
    {hand_simple, "[1.5,-0.5,0.1]", "[1.5,-0.5,[[1,2,3]]]", "a block has", DFL_E_FORMAT},
    {hand_simple, "[1.5,-0.5,0.1]", "[1.5,-0.5,[[1],[2],[3]]]", "a block has", DFL_E_FORMAT},
    {hand_simple, "[1.5,-0.5,0.1]", "[1.5,-0.5,[[1],[2,3]]]", "\"c\"", DFL_E_FORMAT},
    {hand_simple, "[1.5,-0.5,0.1]", "[1.5,-0.5,[[[1]]]]", "\"c\"", DFL_E_FORMAT},
    {hand_simple, "[1.5,-0.5,0.1]", "[1.5,-0.5,[[1,2]]]", "does not take", DFL_E_FORMAT},
    {hand_simple, "[1.5,-0.5,0.1]", "[[[1,0],[0,1]],1,1]", "does not take", DFL_E_FORMAT},
    {hand_pair, "[[0.3],[-0.4]]", "0.3", "does not take 1 components to 2", DFL_E_FORMAT},
    {hand_pair, "[[0.3],[-0.4]]", "[[0.3,1],[-0.4,1]]", "does not take", DFL_E_FORMAT},
    {hand_pair, "[[0.7,0.1]]", "[[0.7,0.1],[1,1]]", "does not take", DFL_E_FORMAT},
    {hand_pair, "\"dst\":5,\"src\":4", "\"dst\":5,\"src\":1", "as many components", DFL_E_FORMAT},
    /* evaluations and steps */
    {hand_simple, "\"tau\":999,", "", "\"tau\"", DFL_E_KEY},
    {hand_simple, "\"tau\":999", "\"tau\":\"999\"", "\"tau\"", DFL_E_FORMAT},
    {hand_simple, "\"t\":1,\"tau\"", "\"t\":-1,\"tau\"", "not negative", DFL_E_FORMAT},
    {hand_simple, ",\"gives\":[0,1]", "", "\"gives\"", DFL_E_KEY},
    {hand_simple, "\"gives\":[0,1]", "\"gives\":[0,[1]]", "\"gives\"", DFL_E_FORMAT},
    {hand_simple, "\"gives\":[0,1]", "\"gives\":[0,1,2]", "\"gives\"", DFL_E_FORMAT},
    {hand_simple, "\"gives\":[0,1]", "\"gives\":[[0,0],1]", "\"gives\"", DFL_E_FORMAT},
    {hand_simple, "\"gives\":[0,1]", "\"gives\":[[0,0,0],1]", "\"gives\"", DFL_E_FORMAT},
    {hand_simple, "\"t\":0.5,\"at\":[0.9,0.1]", "\"t\":0.5", "\"at\"", DFL_E_KEY},
    {hand_simple, "\"t\":0.5,", "", "\"t\"", DFL_E_KEY},
    {hand_simple, "\"t\":0.5", "\"t\":-0.5", "not negative", DFL_E_FORMAT},
    {hand_simple, "\"order\":2", "\"order\":-1", "\"order\"", DFL_E_RANGE},
    {hand_simple, "\"order\":2", "\"order\":1.5", "\"order\"", DFL_E_FORMAT},
    /* noise */
    {hand_simple, ",\"draw\":0", "", "\"draw\"", DFL_E_KEY},
    {hand_simple, "\"draw\":0", "\"draw\":-1", "\"draw\"", DFL_E_RANGE},
    {hand_simple, "\"draw\":0", "\"draw\":268435456", "\"draw\"", DFL_E_RANGE},
    {hand_simple, "\"draw\":0", "\"draw\":0.5", "\"draw\"", DFL_E_FORMAT},
    {hand_simple,
     "{\"op\":\"NOISE\",\"dst\":2,\"draw\":0},{\"op\":\"LIN\",\"dst\":3,\"src\":[0,1,2]",
     "{\"op\":\"NOISE\",\"dst\":2,\"draw\":0},{\"op\":\"NOISE\",\"dst\":3,\"draw\":0},{\"op\":"
     "\"LIN\","
     "\"dst\":4,\"src\":[0,1,3]",
     "value 2 is written and never", DFL_E_FORMAT},
    /* counts and meta */
    {hand_simple, "\"nfe\":1", "\"nfe\":2", "says nfe=2", DFL_E_FORMAT},
    {hand_simple, "\"rows\":4", "\"rows\":5", "says rows=5", DFL_E_FORMAT},
    {hand_simple, "\"picks\":0", "\"picks\":-1", "\"picks\"", DFL_E_RANGE},
    {hand_simple, "\"picks\":0", "\"picks\":\"0\"", "\"picks\"", DFL_E_FORMAT},
    {hand_simple, "\"counts\":{", "\"counts\":[],\"x\":{", "\"counts\"", DFL_E_FORMAT},
    {hand_simple, "\"by hand\"", "7", "\"solver\"", DFL_E_FORMAT},
    {hand_simple, "{\"solver\":\"by hand\"}", "\"x\"", "\"meta\"", DFL_E_FORMAT},
    /* kernels */
    {hand_all_ops, "\"pi\":[0.5,0.5],", "", "\"pi\"", DFL_E_KEY},
    {hand_all_ops, "\"pi\":[0.5,0.5]", "\"pi\":[0.5,0.4]", "sum 1", DFL_E_RANGE},
    {hand_all_ops, "\"pi\":[0.5,0.5]", "\"pi\":[1.5,-0.5]", "positive", DFL_E_RANGE},
    {hand_all_ops, "\"pi\":[0.5,0.5]", "\"pi\":[]", "\"pi\"", DFL_E_RANGE},
    {hand_all_ops, "\"pi\":[0.5,0.5]", "\"pi\":1", "\"pi\"", DFL_E_FORMAT},
    {hand_all_ops, "\"pi\":[0.5,0.5]", "\"pi\":[0.5,\"0.5\"]", "\"pi\"", DFL_E_FORMAT},
    {hand_all_ops, "\"pi\":[0.5,0.5]", "\"pi\":[0.2,0.3,0.5]", "K rows of equal length",
     DFL_E_FORMAT},
    {hand_all_ops, "\"offsets\":\"data\"", "\"offsets\":\"date\"", "rand_c", DFL_E_RANGE},
    {hand_all_ops, "\"offsets\":\"data\"", "\"offsets\":3", "\"offsets\"", DFL_E_FORMAT},
    {hand_all_ops, "\"offsets\":\"data\",", "", "\"offsets\"", DFL_E_KEY},
    {hand_all_ops, "\"offsets\":\"data\"", "\"offsets\":\"rand\"", "\"table\"", DFL_E_KEY},
    {hand_all_ops, ",\"data\":[0.1,0.2,-0.1,-0.2]", "", "\"data\"", DFL_E_KEY},
    {hand_all_ops, "[0.1,0.2,-0.1,-0.2]", "[0.1,0.2,-0.1]", "K rows of equal length", DFL_E_FORMAT},
    {hand_all_ops, "[0.1,0.2,-0.1,-0.2]", "[]", "\"data\"", DFL_E_RANGE},
    {hand_all_ops, "[0.1,0.2,-0.1,-0.2]", "[0.1,0.2,-0.1,1e999]", "not valid JSON", DFL_E_FORMAT},
    {hand_all_ops, "[0.1,0.2,-0.1,-0.2]", "[[0.1,0.2],[-0.1,-0.2]]", "\"data\"", DFL_E_FORMAT},
    {hand_all_ops, "\"table\":5", "\"table\":-5", "\"table\"", DFL_E_RANGE},
    {hand_all_ops, "\"s\":1,", "\"s\":-1,", "not negative", DFL_E_RANGE},
    {hand_all_ops, "\"sigma\":0.5", "\"sigma\":-0.5", "not negative", DFL_E_RANGE},
    {hand_all_ops, "\"sigma\":0.5,", "", "\"sigma\"", DFL_E_KEY},
    {hand_all_ops, "\"covariance\":\"full\"", "\"covariance\":\"all\"", "rank1", DFL_E_RANGE},
    {hand_all_ops, "\"kernel\":0", "\"kernel\":2", "there are 2", DFL_E_FORMAT},
    {hand_all_ops, "\"kernel\":0", "\"kernel\":-1", "\"kernel\"", DFL_E_RANGE},
    {hand_all_ops, "\"draw\":1,\"kernel\"", "\"draw\":0,\"kernel\"", "draw 0 stands in two MIX",
     DFL_E_FORMAT},
    {hand_all_ops, "\"kernel\":1}", "\"kernel\":0}", "needs a noise source", DFL_E_FORMAT},
    {hand_all_ops, "\"dst\":2,\"src\":1", "\"dst\":2,\"src\":0", "must come from a NOISE",
     DFL_E_FORMAT},
    {hand_all_ops, "\"src\":[0,2,3],\"c\":[1,[[2]],3]", "\"src\":[0,2,3,1],\"c\":[1,[[2]],3,1]",
     "used elsewhere", DFL_E_FORMAT},
    /* the other ops */
    {hand_all_ops, "\"lo\":-1", "\"lo\":1", "lo < hi", DFL_E_FORMAT},
    {hand_all_ops, "\"lo\":-1,", "", "\"lo\"", DFL_E_KEY},
    {hand_all_ops, "\"quantile\":0.9", "\"quantile\":0", "quantile", DFL_E_FORMAT},
    {hand_all_ops, "\"quantile\":0.9", "\"quantile\":1.1", "quantile", DFL_E_FORMAT},
    {hand_all_ops, "\"floor\":1", "\"floor\":0", "floor", DFL_E_FORMAT},
    {hand_all_ops, "\"name\":\"mask\"", "\"name\":5", "\"name\"", DFL_E_FORMAT},
    {hand_all_ops, ",\"name\":\"mask\"", "", "\"name\"", DFL_E_KEY},
    {hand_all_ops, "\"name\":\"mask\"", "\"name\":\"\\u0000\"", "not valid JSON", DFL_E_FORMAT},
    {hand_all_ops, "[5,6,8]", "[5,6]", "has 2 sources", DFL_E_FORMAT},
    {hand_all_ops, "[5,6,8]", "[5,6,9]", "reads value 9", DFL_E_FORMAT},
};

static void test_hostile(void **state) {
    (void)state;
    for (size_t i = 0; i < LENGTH(hostile); i++) {
        char *json = replaced(hostile[i].json, hostile[i].find, hostile[i].by);
        check_refused(json, strlen(json), hostile[i].status, hostile[i].part);
        free(json);
    }
    /* two rows with one key, both used */
    char *json =
        replaced(hand_simple, "{\"op\":\"LIN\",\"dst\":3,\"src\":[0,1,2],\"c\":[1.5,-0.5,0.1]}",
                 "{\"op\":\"NOISE\",\"dst\":3,\"draw\":0},{\"op\":\"LIN\",\"dst\":4,\"src\":"
                 "[0,1,2,3],\"c\":[1,1,1,1]}");
    check_refused(json, strlen(json), DFL_E_FORMAT, "value 4 is written and never used");
    char *used = replaced(json, "\"outputs\":[3]", "\"outputs\":[4]");
    check_refused(used, strlen(used), DFL_E_FORMAT, "draw 0 stands in two NOISE rows");
    free(used);
    free(json);
}

static void test_not_json(void **state) {
    (void)state;
    static const struct {
        const char *json, *part;
    } cases[] = {{"", "not valid JSON"},        {"null", "not valid JSON"},
                 {"[]", "one JSON object"},     {"7", "not valid JSON"},
                 {"{", "not valid JSON"},       {"{}x", "not valid JSON"},
                 {"\xff\xfe", "not valid JSON"}};
    for (size_t i = 0; i < LENGTH(cases); i++)
        check_refused(cases[i].json, strlen(cases[i].json), DFL_E_FORMAT, cases[i].part);
    check_refused("{}", 2, DFL_E_KEY, "\"format\"");
    check_refused("{\"a\":1}\0junk", 12, DFL_E_FORMAT, "not valid JSON");
    check_refused(hand_simple, ((size_t)1 << 28) + 1, DFL_E_RANGE, "bytes of JSON");
    dfl_plan *plan = (dfl_plan *)&plan; /* whatever was there before */
    assert_int_equal(dfl_plan_from_json(NULL, 0, &plan), DFL_E_ARG);
    assert_null(plan);
    assert_int_equal(dfl_run_start(NULL, NULL, 0, NULL), DFL_E_ARG);
    assert_int_equal(dfl_ode_start(NULL, NULL, 0, NULL), DFL_E_ARG);
    assert_int_equal(dfl_plan_from_json("{}", 2, NULL), DFL_E_ARG);
    for (int kind = 0; kind < 2; kind++) { /* 200000 levels deep */
        text deep = {0};
        text_add(&deep, "{\"format\":\"driftless-plan/1\",\"rows\":");
        for (int i = 0; i < 200000; i++) text_add(&deep, kind ? "{\"a\":" : "[");
        check_refused(deep.data, deep.len, DFL_E_FORMAT, "not valid JSON");
        text_free(&deep);
    }
}

/* ---- sizes ----------------------------------------------------------------------------------- */

/* A plan with n times `item`, where # stands for the number of the item, from 1. */
static void check_too_many(const char *before, size_t n, const char *item, const char *after,
                           dfl_status status, const char *part) {
    text json = {0};
    text_add(&json, "%s", before);
    for (size_t i = 0; i < n; i++) {
        if (i) text_add(&json, ",");
        for (const char *c = item; *c; c++) {
            if (*c == '#')
                text_add(&json, "%zu", i + 1);
            else
                text_add(&json, "%c", *c);
        }
    }
    text_add(&json, "%s", after);
    assert_false(json.failed);
    check_refused(json.data, json.len, status, part);
    text_free(&json);
}

#define TOP   "{\"format\":\"driftless-plan/1\",\"components\":1,"
#define START "\"inputs\":[{\"id\":0,\"t\":1,\"at\":[0,1],\"scale\":1}],"

static void test_sizes(void **state) {
    (void)state;
    check_too_many(TOP "\"inputs\":[", 65, "{\"id\":#,\"t\":1,\"at\":[0,1],\"scale\":1}",
                   "],\"outputs\":[0],\"rows\":[]}", DFL_E_RANGE, "up to 64");
    check_too_many(TOP START "\"outputs\":[", 100000, "0",
                   "],\"rows\":[{\"op\":\"STEP\",\"src\":0,"
                   "\"t\":1,\"at\":[0,1]}]}",
                   DFL_E_RANGE, "64");
    check_too_many(TOP START "\"outputs\":[0],\"kernels\":[", 4097, "{}", "],\"rows\":[]}",
                   DFL_E_RANGE, "up to 4096");
    check_too_many(TOP START
                   "\"outputs\":[0],\"kernels\":[{\"offsets\":\"rand\",\"table\":0,\"s\":1,"
                   "\"sigma\":1,\"covariance\":\"diag\",\"pi\":[",
                   4097, "0.0001", "]}],\"rows\":[]}", DFL_E_RANGE, "\"pi\"");
    check_too_many(TOP START
                   "\"outputs\":[1],\"rows\":[{\"op\":\"LIN\",\"dst\":1,\"c\":[1],\"src\":[",
                   100000, "0", "]}]}", DFL_E_RANGE, "up to 64");
    check_too_many(TOP START
                   "\"outputs\":[1],\"rows\":[{\"op\":\"LIN\",\"dst\":1,\"src\":[0],\"c\":[",
                   100000, "1", "]}]}", DFL_E_FORMAT, "100000 coefficients");
    check_too_many(TOP START "\"outputs\":[1],\"rows\":[", 66,
                   "{\"op\":\"GIVEN\",\"dst\":#,\"name\":"
                   "\"a#\"}",
                   "]}", DFL_E_RANGE, "more than 64 names");
    check_too_many(TOP START "\"outputs\":[0],\"rows\":[", 0, "", "]}", DFL_E_RANGE, "0 rows");
    /* more than 1024 values alive at once */
    text json = {0};
    text_add(&json, TOP START "\"outputs\":[0");
    for (int i = 0; i < 20; i++) text_add(&json, ",%d", 1101 + i);
    text_add(&json, "],\"rows\":[");
    for (int i = 1; i <= 1100; i++)
        text_add(&json, "{\"op\":\"NOISE\",\"dst\":%d,\"draw\":%d},", i, i);
    for (int i = 0; i < 20; i++) {
        text_add(&json, "%s{\"op\":\"LIN\",\"dst\":%d,\"src\":[", i ? "," : "", 1101 + i);
        for (int k = 0; k < 55; k++) text_add(&json, "%s%d", k ? "," : "", 1 + 55 * i + k);
        text_add(&json, "],\"c\":[1");
        for (int k = 1; k < 55; k++) text_add(&json, ",1");
        text_add(&json, "]}");
    }
    text_add(&json, "]}");
    check_refused(json.data, json.len, DFL_E_RANGE, "alive at once");
    text_free(&json);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_not_json),
        cmocka_unit_test(test_sizes),
    };
    return cmocka_run_group_tests_name("hostile", tests, NULL, NULL);
}
