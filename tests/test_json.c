/* Plans as JSON: what is written reads back to the bit, and nothing that a stranger's file holds is
   accepted by mistake, read out of bounds or answered without a sentence. */
#include "check.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run/run.h"

#define LENGTH(a) (sizeof(a) / sizeof(a)[0])

static dfl_model *mixture(void) {
    dfl_model *model = NULL;
    assert_int_equal(dfl_model_open("mixture:" DFL_TEST_DATA "/mixture2d.json", NULL, &model), 0);
    return model;
}

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

/* ---- plans that are accepted --------------------------------------------------------------------
 */

static const char by_hand[] =
    "{\"format\":\"driftless-plan/1\",\"components\":1,"
    "\"inputs\":[{\"id\":0,\"t\":1,\"at\":[0.6,0.8],\"scale\":1}],"
    "\"outputs\":[3],\"kernels\":[],\"rows\":["
    "{\"op\":\"EVAL\",\"dst\":1,\"src\":0,\"t\":1,\"tau\":999,\"at\":[0.6,0.8],\"gives\":[0,1]},"
    "{\"op\":\"NOISE\",\"dst\":2,\"draw\":0},"
    "{\"op\":\"LIN\",\"dst\":3,\"src\":[0,1,2],\"c\":[1.5,-0.5,0.1]},"
    "{\"op\":\"STEP\",\"src\":3,\"t\":0.5,\"at\":[0.9,0.1],\"order\":2}],"
    "\"counts\":{\"rows\":4,\"values\":4,\"steps\":1,\"nfe\":1,\"draws\":1,\"picks\":0},"
    "\"meta\":{\"solver\":\"by hand\"}}";

/* Every other op, and kernels of both sorts. */
static const char all_ops[] =
    "{\"format\":\"driftless-plan/1\",\"components\":1,"
    "\"inputs\":[{\"id\":0,\"t\":1,\"at\":[0.6,0.8],\"scale\":[[2]]}],\"outputs\":[9],"
    "\"kernels\":[{\"pi\":[0.5,0.5],\"offsets\":\"data\",\"data\":[0.1,0.2,-0.1,-0.2],\"s\":1,"
    "\"sigma\":0.5,\"covariance\":\"full\"},{\"pi\":[0.25,0.75],\"offsets\":\"ortho\",\"table\":5,"
    "\"s\":0.1,\"sigma\":0,\"covariance\":\"rank1\"}],\"rows\":["
    "{\"op\":\"NOISE\",\"dst\":1,\"draw\":4},"
    "{\"op\":\"MIX\",\"dst\":2,\"src\":1,\"draw\":0,\"kernel\":0},"
    "{\"op\":\"MIX\",\"dst\":3,\"draw\":1,\"kernel\":1},"
    "{\"op\":\"LIN\",\"dst\":4,\"src\":[0,2,3],\"c\":[1,[[2]],3]},"
    "{\"op\":\"CLIP\",\"dst\":5,\"src\":4,\"lo\":-1,\"hi\":1},"
    "{\"op\":\"LIMIT\",\"dst\":6,\"src\":4,\"quantile\":0.9,\"floor\":1},"
    "{\"op\":\"GIVEN\",\"dst\":7,\"name\":\"a \\\"name\\\" \\u00e9\"},"
    "{\"op\":\"GIVEN\",\"dst\":8,\"name\":\"mask\"},"
    "{\"op\":\"SELECT\",\"dst\":9,\"src\":[5,6,8]},"
    "{\"op\":\"CLIP\",\"dst\":10,\"src\":7,\"lo\":-1,\"hi\":1},"
    "{\"op\":\"STEP\",\"src\":10,\"t\":0,\"at\":[1,0]}]}";

#define AT2 "\"at\":[[0.6,0.1],[[0.8,0],[0.2,0.7]]]"
static const char pair[] =
    "{\"format\":\"driftless-plan/1\",\"components\":2,\"inputs\":[{\"id\":0,\"t\":1," AT2
    ",\"scale\":[[1,0],[0.5,2]]}],\"outputs\":[4],\"rows\":["
    "{\"op\":\"EVAL\",\"dst\":1,\"src\":0,\"t\":1,\"tau\":1," AT2 ",\"gives\":[0,[[0,1]]]},"
    "{\"op\":\"LIN\",\"dst\":2,\"src\":[0,1],\"c\":[[[0.9,0.2],[-0.1,0.8]],[[0.3],[-0.4]]]},"
    "{\"op\":\"EVAL\",\"dst\":3,\"src\":2,\"t\":0.7,\"tau\":0.7," AT2
    ",\"gives\":[[0.5,0],[[1,0],[0.5,1]]]},"
    "{\"op\":\"LIN\",\"dst\":4,\"src\":[2,3],\"c\":[[[0.7,0.1]],[[-0.2,0.1]]]}]}";

static const char *const texts[] = {by_hand, all_ops, pair};

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
    dfl_model *model = mixture();
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
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "de_DE", "fr_FR.UTF-8"};
    for (size_t i = 0; i < LENGTH(names); i++) {
        if (!setlocale(LC_NUMERIC, names[i])) continue;
        check_all_round_trips();
        setlocale(LC_NUMERIC, "C");
        return;
    }
    skip();
}

/* A plan that was read samples the same bits as the one that was written. */
static void test_same_samples(void **state) {
    (void)state;
    float first[40], second[40];
    dfl_model *model = mixture();
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
        "\"c\":[2],\"tua\":1}],\"count\":{}}";
    dfl_plan *plan = NULL;
    assert_int_equal(dfl_plan_from_json(json, strlen(json), &plan), DFL_OK);
    const char *const lines[] = {"inputs 0: unknown key \"x\"", "rows 0: unknown key \"tua\"",
                                 "\"count\" is ignored (did you mean \"counts\"?)"};
    for (size_t i = 0; i < LENGTH(lines); i++)
        assert_non_null(strstr(plan->warnings.data, lines[i]));
    dfl_plan_free(plan);
}

/* ---- plans that are refused ---------------------------------------------------------------------
 */

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
    {by_hand, "plan/1", "plan/2", "reads driftless-plan/1", DFL_E_FORMAT},
    {by_hand, "\"format\":\"driftless-plan/1\",", "", "\"format\"", DFL_E_KEY},
    {by_hand, "\"driftless-plan/1\"", "1", "\"format\"", DFL_E_FORMAT},
    {by_hand, "\"components\":1", "\"components\":0", "\"components\"", DFL_E_RANGE},
    {by_hand, "\"components\":1", "\"components\":3", "\"components\"", DFL_E_RANGE},
    {by_hand, "\"components\":1", "\"components\":1.5", "\"components\"", DFL_E_FORMAT},
    {by_hand, "\"components\":1", "\"components\":\"1\"", "\"components\"", DFL_E_FORMAT},
    {by_hand, "\"components\":1,", "", "\"components\"", DFL_E_KEY},
    {by_hand, "\"components\":1", "\"components\":2", "\"at\"", DFL_E_FORMAT},
    {by_hand, "\"outputs\":[3],", "", "\"outputs\"", DFL_E_KEY},
    {by_hand, "\"outputs\":[3]", "\"outputs\":[]", "1 to 64", DFL_E_RANGE},
    {by_hand, "\"outputs\":[3]", "\"outputs\":[4]", "value 4 is not written", DFL_E_FORMAT},
    {by_hand, "\"outputs\":[3]", "\"outputs\":[-1]", "\"outputs\"", DFL_E_FORMAT},
    {by_hand, "\"outputs\":[3]", "\"outputs\":[3.0]", "\"outputs\"", DFL_E_FORMAT},
    {by_hand, "\"outputs\":[3]", "\"outputs\":3", "\"outputs\"", DFL_E_FORMAT},
    {by_hand, "\"kernels\":[]", "\"kernels\":{}", "\"kernels\"", DFL_E_FORMAT},
    {by_hand, "\"rows\":[{", "\"rows\":[7,{", "rows 0: an object", DFL_E_FORMAT},
    {by_hand, "\"rows\":[", "\"rows\":[[", "not valid JSON", DFL_E_FORMAT},
    /* the start */
    {by_hand, "\"id\":0", "\"id\":1", "numbered from 0", DFL_E_FORMAT},
    {by_hand, "\"id\":0", "\"id\":-1", "\"id\"", DFL_E_RANGE},
    {by_hand, "\"id\":0,", "", "\"id\"", DFL_E_KEY},
    {by_hand, "\"t\":1,", "\"t\":-1,", "input 0", DFL_E_FORMAT},
    {by_hand, "\"t\":1,", "\"t\":1e999,", "not valid JSON", DFL_E_FORMAT},
    {by_hand, "\"t\":1,", "\"t\":NaN,", "not valid JSON", DFL_E_FORMAT},
    {by_hand, "\"t\":1,", "\"t\":null,", "\"t\"", DFL_E_FORMAT},
    {by_hand, "\"at\":[0.6,0.8]", "\"at\":[0.6]", "\"at\"", DFL_E_FORMAT},
    {by_hand, "\"at\":[0.6,0.8]", "\"at\":[[0.6],0.8]", "\"at\"", DFL_E_FORMAT},
    {by_hand, "\"at\":[0.6,0.8]", "\"at\":0.6", "\"at\"", DFL_E_FORMAT},
    {by_hand, ",\"scale\":1", "", "\"scale\"", DFL_E_FORMAT},
    {by_hand, "\"scale\":1", "\"scale\":[1]", "\"scale\"", DFL_E_FORMAT},
    {by_hand, "\"scale\":1", "\"scale\":[[1,2]]", "input 0", DFL_E_FORMAT},
    {by_hand, "\"scale\":1", "\"scale\":[[1,2],[3]]", "\"scale\"", DFL_E_FORMAT},
    {pair, "[[1,0],[0.5,2]]", "[[1,0,0],[0.5,2,0]]", "\"scale\"", DFL_E_FORMAT},
    {pair, "[[1,0],[0.5,2]]", "[[1],[0.5]]", "input 0", DFL_E_FORMAT},
    /* ops and destinations */
    {by_hand, "\"op\":\"EVAL\"", "\"op\":\"eval\"", "unknown op \"eval\"", DFL_E_FORMAT},
    {by_hand, "\"op\":\"EVAL\",", "", "\"op\"", DFL_E_KEY},
    {by_hand, "\"op\":\"EVAL\"", "\"op\":0", "\"op\"", DFL_E_FORMAT},
    {by_hand, "\"dst\":1,", "", "\"dst\"", DFL_E_KEY},
    {by_hand, "\"dst\":1,", "\"dst\":2,", "the next is 1", DFL_E_FORMAT},
    {by_hand, "\"dst\":1,", "\"dst\":0,", "the next is 1", DFL_E_FORMAT},
    {by_hand, "\"dst\":1,", "\"dst\":-1,", "\"dst\"", DFL_E_RANGE},
    {by_hand, "\"dst\":1,", "\"dst\":1.0,", "\"dst\"", DFL_E_FORMAT},
    {by_hand, "\"dst\":1,", "\"dst\":99999999999,", "\"dst\"", DFL_E_RANGE},
    {by_hand, "\"dst\":1,", "\"dst\":99999999999999999999,", "not valid JSON", DFL_E_FORMAT},
    {by_hand, "\"dst\":1,", "\"dst\":1,\"dst\":1,", "uplicate", DFL_E_KEY},
    {by_hand, "\"dst\":3", "\"dst\":4", "the next is 3", DFL_E_FORMAT},
    /* sources */
    {by_hand, "\"src\":0,", "", "has 0 sources", DFL_E_FORMAT},
    {by_hand, "\"src\":0,", "\"src\":[],", "has 0 sources", DFL_E_FORMAT},
    {by_hand, "\"src\":0,", "\"src\":[0,0],", "has 2 sources", DFL_E_FORMAT},
    {by_hand, "\"src\":0,", "\"src\":1,", "reads value 1", DFL_E_FORMAT},
    {by_hand, "\"src\":0,", "\"src\":3,", "reads value 3", DFL_E_FORMAT},
    {by_hand, "\"src\":0,", "\"src\":2000000,", "reads value 2000000", DFL_E_FORMAT},
    {by_hand, "\"src\":0,", "\"src\":99999999999,", "\"src\"", DFL_E_FORMAT},
    {by_hand, "\"src\":0,", "\"src\":-1,", "\"src\"", DFL_E_FORMAT},
    {by_hand, "\"src\":0,", "\"src\":\"x\",", "\"src\"", DFL_E_FORMAT},
    {by_hand, "\"src\":3,", "\"src\":4,", "reads value 4", DFL_E_FORMAT},
    {by_hand, "\"src\":3,", "", "has 0 sources", DFL_E_FORMAT},
    {by_hand, "{\"op\":\"EVAL\"",
     "{\"op\":\"STEP\",\"src\":3,\"t\":1,\"at\":[1,0]},{\"op\":\"EVAL\"", "reads value 3",
     DFL_E_FORMAT},
    {by_hand, "[0,1,2]", "[0,1]", "2 sources but 3 coefficients", DFL_E_FORMAT},
    {by_hand, "[0,1,2],\"c\":[1.5,-0.5,0.1]", "[],\"c\":[]", "has 0 sources", DFL_E_FORMAT},
    {by_hand, "[0,1,2],\"c\":[1.5,-0.5,0.1]", "[0,1],\"c\":[1,1]", "value 2 is written and never",
     DFL_E_FORMAT},
    /* coefficients */
    {by_hand, ",\"c\":[1.5,-0.5,0.1]", "", "\"c\"", DFL_E_KEY},
    {by_hand, "[1.5,-0.5,0.1]", "[1.5,-0.5,\"0.1\"]", "\"c\"", DFL_E_FORMAT},
    {by_hand, "[1.5,-0.5,0.1]", "[1.5,-0.5,null]", "\"c\"", DFL_E_FORMAT},
    {by_hand, "[1.5,-0.5,0.1]", "[1.5,-0.5,1e999]", "not valid JSON", DFL_E_FORMAT},
    {by_hand, "[1.5,-0.5,0.1]", "[1.5,-0.5,Infinity]", "not valid JSON", DFL_E_FORMAT},
    {by_hand, "[1.5,-0.5,0.1]", "[1.5,-0.5,[]]", "a block has", DFL_E_FORMAT},
    {by_hand, "[1.5,-0.5,0.1]", "[1.5,-0.5,[[1,2,3]]]", "a block has", DFL_E_FORMAT},
    {by_hand, "[1.5,-0.5,0.1]", "[1.5,-0.5,[[1],[2],[3]]]", "a block has", DFL_E_FORMAT},
    {by_hand, "[1.5,-0.5,0.1]", "[1.5,-0.5,[[1],[2,3]]]", "\"c\"", DFL_E_FORMAT},
    {by_hand, "[1.5,-0.5,0.1]", "[1.5,-0.5,[[[1]]]]", "\"c\"", DFL_E_FORMAT},
    {by_hand, "[1.5,-0.5,0.1]", "[1.5,-0.5,[[1,2]]]", "does not take", DFL_E_FORMAT},
    {by_hand, "[1.5,-0.5,0.1]", "[[[1,0],[0,1]],1,1]", "does not take", DFL_E_FORMAT},
    {pair, "[[0.3],[-0.4]]", "0.3", "does not take 1 components to 2", DFL_E_FORMAT},
    {pair, "[[0.3],[-0.4]]", "[[0.3,1],[-0.4,1]]", "does not take", DFL_E_FORMAT},
    {pair, "[[0.7,0.1]]", "[[0.7,0.1],[1,1]]", "does not take", DFL_E_FORMAT},
    {pair, "\"dst\":3,\"src\":2", "\"dst\":3,\"src\":1", "as many components", DFL_E_FORMAT},
    /* evaluations and steps */
    {by_hand, "\"tau\":999,", "", "\"tau\"", DFL_E_KEY},
    {by_hand, "\"tau\":999", "\"tau\":\"999\"", "\"tau\"", DFL_E_FORMAT},
    {by_hand, "\"t\":1,\"tau\"", "\"t\":-1,\"tau\"", "not negative", DFL_E_FORMAT},
    {by_hand, ",\"gives\":[0,1]", "", "\"gives\"", DFL_E_KEY},
    {by_hand, "\"gives\":[0,1]", "\"gives\":[0,[1]]", "\"gives\"", DFL_E_FORMAT},
    {by_hand, "\"gives\":[0,1]", "\"gives\":[0,1,2]", "\"gives\"", DFL_E_FORMAT},
    {by_hand, "\"gives\":[0,1]", "\"gives\":[[0,0],1]", "\"gives\"", DFL_E_FORMAT},
    {by_hand, "\"gives\":[0,1]", "\"gives\":[[0,0,0],1]", "\"gives\"", DFL_E_FORMAT},
    {by_hand, "\"t\":0.5,\"at\":[0.9,0.1]", "\"t\":0.5", "\"at\"", DFL_E_KEY},
    {by_hand, "\"t\":0.5,", "", "\"t\"", DFL_E_KEY},
    {by_hand, "\"t\":0.5", "\"t\":-0.5", "not negative", DFL_E_FORMAT},
    {by_hand, "\"order\":2", "\"order\":-1", "\"order\"", DFL_E_RANGE},
    {by_hand, "\"order\":2", "\"order\":1.5", "\"order\"", DFL_E_FORMAT},
    /* noise */
    {by_hand, ",\"draw\":0", "", "\"draw\"", DFL_E_KEY},
    {by_hand, "\"draw\":0", "\"draw\":-1", "\"draw\"", DFL_E_RANGE},
    {by_hand, "\"draw\":0", "\"draw\":268435456", "\"draw\"", DFL_E_RANGE},
    {by_hand, "\"draw\":0", "\"draw\":0.5", "\"draw\"", DFL_E_FORMAT},
    {by_hand, "{\"op\":\"NOISE\",\"dst\":2,\"draw\":0},{\"op\":\"LIN\",\"dst\":3,\"src\":[0,1,2]",
     "{\"op\":\"NOISE\",\"dst\":2,\"draw\":0},{\"op\":\"NOISE\",\"dst\":3,\"draw\":0},{\"op\":"
     "\"LIN\","
     "\"dst\":4,\"src\":[0,1,3]",
     "value 2 is written and never", DFL_E_FORMAT},
    /* counts and meta */
    {by_hand, "\"nfe\":1", "\"nfe\":2", "says nfe=2", DFL_E_FORMAT},
    {by_hand, "\"rows\":4", "\"rows\":5", "says rows=5", DFL_E_FORMAT},
    {by_hand, "\"picks\":0", "\"picks\":-1", "\"picks\"", DFL_E_RANGE},
    {by_hand, "\"picks\":0", "\"picks\":\"0\"", "\"picks\"", DFL_E_FORMAT},
    {by_hand, "\"counts\":{", "\"counts\":[],\"x\":{", "\"counts\"", DFL_E_FORMAT},
    {by_hand, "\"by hand\"", "7", "\"solver\"", DFL_E_FORMAT},
    {by_hand, "{\"solver\":\"by hand\"}", "\"x\"", "\"meta\"", DFL_E_FORMAT},
    /* kernels */
    {all_ops, "\"pi\":[0.5,0.5],", "", "\"pi\"", DFL_E_KEY},
    {all_ops, "\"pi\":[0.5,0.5]", "\"pi\":[0.5,0.4]", "sum 1", DFL_E_RANGE},
    {all_ops, "\"pi\":[0.5,0.5]", "\"pi\":[1.5,-0.5]", "positive", DFL_E_RANGE},
    {all_ops, "\"pi\":[0.5,0.5]", "\"pi\":[]", "\"pi\"", DFL_E_RANGE},
    {all_ops, "\"pi\":[0.5,0.5]", "\"pi\":1", "\"pi\"", DFL_E_FORMAT},
    {all_ops, "\"pi\":[0.5,0.5]", "\"pi\":[0.5,\"0.5\"]", "\"pi\"", DFL_E_FORMAT},
    {all_ops, "\"pi\":[0.5,0.5]", "\"pi\":[0.2,0.3,0.5]", "K rows of equal length", DFL_E_FORMAT},
    {all_ops, "\"offsets\":\"data\"", "\"offsets\":\"date\"", "rand_c", DFL_E_RANGE},
    {all_ops, "\"offsets\":\"data\"", "\"offsets\":3", "\"offsets\"", DFL_E_FORMAT},
    {all_ops, "\"offsets\":\"data\",", "", "\"offsets\"", DFL_E_KEY},
    {all_ops, "\"offsets\":\"data\"", "\"offsets\":\"rand\"", "\"table\"", DFL_E_KEY},
    {all_ops, ",\"data\":[0.1,0.2,-0.1,-0.2]", "", "\"data\"", DFL_E_KEY},
    {all_ops, "[0.1,0.2,-0.1,-0.2]", "[0.1,0.2,-0.1]", "K rows of equal length", DFL_E_FORMAT},
    {all_ops, "[0.1,0.2,-0.1,-0.2]", "[]", "\"data\"", DFL_E_RANGE},
    {all_ops, "[0.1,0.2,-0.1,-0.2]", "[0.1,0.2,-0.1,1e999]", "not valid JSON", DFL_E_FORMAT},
    {all_ops, "[0.1,0.2,-0.1,-0.2]", "[[0.1,0.2],[-0.1,-0.2]]", "\"data\"", DFL_E_FORMAT},
    {all_ops, "\"table\":5", "\"table\":-5", "\"table\"", DFL_E_RANGE},
    {all_ops, "\"s\":1,", "\"s\":-1,", "not negative", DFL_E_RANGE},
    {all_ops, "\"sigma\":0.5", "\"sigma\":-0.5", "not negative", DFL_E_RANGE},
    {all_ops, "\"sigma\":0.5,", "", "\"sigma\"", DFL_E_KEY},
    {all_ops, "\"covariance\":\"full\"", "\"covariance\":\"all\"", "rank1", DFL_E_RANGE},
    {all_ops, "\"kernel\":0", "\"kernel\":2", "there are 2", DFL_E_FORMAT},
    {all_ops, "\"kernel\":0", "\"kernel\":-1", "\"kernel\"", DFL_E_RANGE},
    {all_ops, "\"draw\":1,\"kernel\"", "\"draw\":0,\"kernel\"", "draw 0 stands in two MIX",
     DFL_E_FORMAT},
    {all_ops, "\"kernel\":1}", "\"kernel\":0}", "needs a noise source", DFL_E_FORMAT},
    {all_ops, "\"dst\":2,\"src\":1", "\"dst\":2,\"src\":0", "must come from a NOISE", DFL_E_FORMAT},
    {all_ops, "\"src\":[0,2,3],\"c\":[1,[[2]],3]", "\"src\":[0,2,3,1],\"c\":[1,[[2]],3,1]",
     "used elsewhere", DFL_E_FORMAT},
    /* the other ops */
    {all_ops, "\"lo\":-1", "\"lo\":1", "lo < hi", DFL_E_FORMAT},
    {all_ops, "\"lo\":-1,", "", "\"lo\"", DFL_E_KEY},
    {all_ops, "\"quantile\":0.9", "\"quantile\":0", "quantile", DFL_E_FORMAT},
    {all_ops, "\"quantile\":0.9", "\"quantile\":1.1", "quantile", DFL_E_FORMAT},
    {all_ops, "\"floor\":1", "\"floor\":0", "floor", DFL_E_FORMAT},
    {all_ops, "\"name\":\"mask\"", "\"name\":5", "\"name\"", DFL_E_FORMAT},
    {all_ops, ",\"name\":\"mask\"", "", "\"name\"", DFL_E_KEY},
    {all_ops, "\"name\":\"mask\"", "\"name\":\"\\u0000\"", "not valid JSON", DFL_E_FORMAT},
    {all_ops, "[5,6,8]", "[5,6]", "has 2 sources", DFL_E_FORMAT},
    {all_ops, "[5,6,8]", "[5,6,9]", "reads value 9", DFL_E_FORMAT},
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
        replaced(by_hand, "{\"op\":\"LIN\",\"dst\":3,\"src\":[0,1,2],\"c\":[1.5,-0.5,0.1]}",
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
    check_refused(by_hand, ((size_t)1 << 28) + 1, DFL_E_RANGE, "bytes of JSON");
    dfl_plan *plan = NULL;
    assert_int_equal(dfl_plan_from_json(NULL, 0, &plan), DFL_E_ARG);
    assert_int_equal(dfl_plan_from_json("{}", 2, NULL), DFL_E_ARG);
    for (int kind = 0; kind < 2; kind++) { /* 200000 levels deep */
        text deep = {0};
        text_add(&deep, "{\"format\":\"driftless-plan/1\",\"rows\":");
        for (int i = 0; i < 200000; i++) text_add(&deep, kind ? "{\"a\":" : "[");
        check_refused(deep.data, deep.len, DFL_E_FORMAT, "not valid JSON");
        text_free(&deep);
    }
}

/* ---- sizes --------------------------------------------------------------------------------------
 */

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

/* ---- damage -------------------------------------------------------------------------------------
 */

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
            check_refused(part, cut, DFL_E_FORMAT, "not valid JSON");
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),   cmocka_unit_test(test_locale),
        cmocka_unit_test(test_same_samples), cmocka_unit_test(test_unknown_fields),
        cmocka_unit_test(test_hostile),      cmocka_unit_test(test_not_json),
        cmocka_unit_test(test_sizes),        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_damaged),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
