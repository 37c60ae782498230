/* Solver deis_sn: on a constant it is deis; whose statistics it takes, and from where; what it
   refuses; published ratios. */
#include "support/gather.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/io.h"
#include "model/mixture.h"
#include "study/stats.h"

static dfl_plan *plan_of(dfl_model *model, const char *format, const char *path) {
    char spec[256];
    dfl_plan *plan;
    snprintf(spec, sizeof spec, format, path);
    if (dfl_plan_new(model, spec, &plan)) REFUTE("%s: %s", spec, dfl_last_message());
    return plan;
}

/* The largest difference of coefficients of two plans of one shape, relative to the largest. */
static double difference(const dfl_plan *a, const dfl_plan *b) {
    double off = 0, size = 0;
    assert_int_equal(a->code.nterms, b->code.nterms);
    for (size_t i = 0; i < a->code.nterms; i++) {
        assert_int_equal(a->code.terms[i].v, b->code.terms[i].v);
        size = fmax(size, fabs(a->code.terms[i].c.v[0]));
        off = fmax(off, fabs(a->code.terms[i].c.v[0] - b->code.terms[i].c.v[0]));
    }
    return off / size;
}

static void write_ratios(const char *path, const char *digest, double scale, double slope) {
    text out = {0};
    text_add(&out,
             "{\"format\": \"driftless-score-statistics/1\", \"network_sha256\": \"%s\", "
             "\"mean_abs_eps\": [",
             digest);
    for (int k = 0; k < 100; k++)
        text_add(&out, "%s%.17g", k ? ", " : "", scale * (1 + slope * k / 100));
    text_add(&out, "]}");
    write_bytes(path, out.data);
    text_free(&out);
}

static void write_values(const char *path, const char *digest, const char *values) {
    text out = {0};
    text_add(&out,
             "{\"format\": \"driftless-score-statistics/1\", \"network_sha256\": \"%s\", "
             "\"mean_abs_eps\": %s}",
             digest, values);
    write_bytes(path, out.data);
    text_free(&out);
}

static void test_constant_is_deis(void **state) {
    (void)state;
    dfl_model *model = gaussian_that_predicts("epsilon", "");
    write_ratios(in_folder("flat.json"), model->identity, 0.8, 0);
    write_ratios(in_folder("steep.json"), model->identity, 0.8, 0.3);
    write_ratios(in_folder("twice.json"), model->identity, 1.6, 0.3);
    for (int order = 0; order <= 3; order++) {
        char format[160], deis[160];
        snprintf(format, sizeof format, "solver=deis_sn:stats=%%s,order=%d steps=8", order);
        snprintf(deis, sizeof deis, "solver=deis:order=%d steps=8", order);
        dfl_plan *a = plan_of(model, deis, ""), *b = plan_of(model, format, in_folder("flat.json"));
        dfl_plan *c = plan_of(model, format, in_folder("steep.json"));
        print_message("order %d: %.1e\n", order, difference(a, b));
        assert_true(difference(a, b) < 1e-12);
        assert_true(difference(a, c) > 1e-4);
        dfl_plan *d = plan_of(model, format, in_folder("twice.json"));
        assert_true(difference(c, d) < 1e-12); /* a factor of R is nothing */
        dfl_plan_free(a);
        dfl_plan_free(b);
        dfl_plan_free(c);
        dfl_plan_free(d);
    }
    dfl_model_free(model);
}

/* Two statistics a factor of 3 apart: halfway, the mean or the root of the product; three say the same
   where the middle one is that. */
static void test_interpolation(void **state) {
    (void)state;
    static const char *const files[] = {"[1,3]", "[1,2,3]", "[1,1.7320508075688772,3]"};
    dfl_model *model = gaussian_that_predicts("epsilon", "");
    dfl_plan *plans[3][2];
    for (int i = 0; i < 3; i++) {
        write_values(in_folder("few.json"), model->identity, files[i]);
        for (int k = 0; k < 2; k++)
            plans[i][k] = plan_of(model,
                                  k ? "solver=deis_sn:stats=%s,clip=0,interpolation=log steps=8"
                                    : "solver=deis_sn:stats=%s,clip=0 steps=8",
                                  in_folder("few.json"));
    }
    assert_true(difference(plans[0][0], plans[1][0]) < 1e-11);
    assert_true(difference(plans[0][1], plans[2][1]) < 1e-11);
    assert_true(difference(plans[0][0], plans[0][1]) > 1e-4);
    assert_true(difference(plans[0][1], plans[1][1]) > 1e-4);
    for (int i = 0; i < 6; i++) dfl_plan_free(plans[i / 2][i % 2]);
    dfl_model_free(model);
}

/* The last step lands on t = 0, between two kinks, or none: weights by mpmath, 30 digits, in sqrt(t)
   and in pieces that halve towards 0. */
static void test_clean_end(void **state) {
    (void)state;
    static const struct {
        const char *values;
        double weight[2];
    } cases[] = {{"[1,3]", {-3.6653053731904056, 0.56217217313271689}},
                 {"[1,2,1.5]", {-3.6653053731904056, 1.1243443462654338}}};
    dfl_model *model = gaussian_that_predicts("epsilon", "");
    for (size_t i = 0; i < LENGTH(cases); i++) {
        write_values(in_folder("few.json"), model->identity, cases[i].values);
        dfl_plan *plan = plan_of(model,
                                 "solver=deis_sn:stats=%s,clip=0,order=1 grid=uniform steps=2 "
                                 "t_end=0",
                                 in_folder("few.json"));
        const row *last = NULL;
        for (size_t k = 0; k < plan->code.nrows; k++)
            if (plan->code.rows[k].op == ROW_LIN) last = &plan->code.rows[k];
        for (size_t j = 0; j < 2; j++) {
            const double found = plan->code.terms[last->src + 1 + j].c.v[0];
            if (!(fabs(found / cases[i].weight[j] - 1) < 1e-14))
                REFUTE("%s: %.17g, not %.17g", cases[i].values, found, cases[i].weight[j]);
        }
        dfl_plan_free(plan);
    }
    dfl_model_free(model);
}

/* A plan that says the same when its statistics are gone. */
static void test_gathered(void **state) {
    (void)state;
    dfl_model *model = gaussian_that_predicts("epsilon", "");
    dfl_model *other = gaussian_that_predicts("score", "");
    char path[PATH];
    snprintf(path, PATH, "%s/gathered.json", the_folder());
    gather(model, "nfe=50", "samples=8", path);
    dfl_plan *plan = plan_of(model, "solver=deis_sn:stats=%s steps=6", path), *again;
    char spec[200], *json;
    size_t n;
    snprintf(spec, sizeof spec, "solver=deis_sn:stats=%s steps=6", path);
    assert_int_equal(dfl_plan_new(other, spec, &again), DFL_E_COMBINATION);
    assert_message_has("another network");
    dfl_plan_free(plan_of(other, "solver=deis_sn:stats=%s,force=1 steps=6", path));
    assert_int_equal(unlink(path), 0);
    assert_ok(dfl_plan_to_json(plan, NULL, 0, &n));
    json = mem_array(n + 1, 1);
    assert_ok(dfl_plan_to_json(plan, json, n + 1, NULL));
    assert_ok(dfl_plan_from_json(json, n, &again));
    assert_true(difference(plan, again) == 0);
    free(json);
    dfl_plan_free(plan);
    dfl_plan_free(again);
    dfl_model_free(model);
    dfl_model_free(other);
}

/* Guidance changes what answers, not whose statistics they are. */
static void test_guidance(void **state) {
    (void)state;
    static const char classes[] = "{\"format\":\"driftless-mixture/1\",\"weights\":[1,1],"
                                  "\"means\":[[1,0],[0,1]],\"stds\":[0.5,0.2],\"labels\":[0,1],"
                                  "\"card\":{\"classes\":{\"count\":2,\"null\":2}}}";
    dfl_model *model;
    assert_ok(mixture_parse("classes", classes, sizeof classes - 1, &model));
    gather(model, "nfe=20", "samples=4", in_folder("plain.json"));
    assert_ok(dfl_model_guide(model, 2, &model));
    gather(model, "nfe=20", "samples=4,first=4", in_folder("guided.json"));
    const char *both[2] = {in_folder("plain.json"), in_folder("guided.json")};
    assert_int_equal(dfl_stats_merge(both, 2, in_folder("no.json")), DFL_E_COMBINATION);
    assert_message_has("guidance differs");
    dfl_plan_free(plan_of(model, "solver=deis_sn:stats=%s steps=4", in_folder("plain.json")));
    dfl_model_free(model);
}

static void test_folder(void **state) {
    (void)state;
    dfl_model *model = gaussian_that_predicts("epsilon", "");
    dfl_plan *plan;
    assert_int_equal(dfl_plan_new(model, "solver=deis_sn", &plan), DFL_E_KEY);
    model->card.folder = text_copy(the_folder());
    assert_int_equal(dfl_plan_new(model, "solver=deis_sn", &plan), DFL_E_IO);
    assert_message_has("score_statistics.json");
    gather(model, "nfe=50", "samples=8", in_folder("score_statistics.json"));
    dfl_plan *a = plan_of(model, "solver=deis_sn%s steps=6", "");
    dfl_plan *b =
        plan_of(model, "solver=deis_sn:stats=%s steps=6", in_folder("score_statistics.json"));
    assert_true(difference(a, b) == 0);
    dfl_plan_free(a);
    dfl_plan_free(b);
    assert_int_equal(unlink(in_folder("score_statistics.json")), 0);
    dfl_model_free(model);
}

#define HEAD(digest)                                                                               \
    "{\"format\":\"driftless-score-statistics/1\",\"network_sha256\":\"" digest "\","

static void test_malformed(void **state) {
    (void)state;
    static const struct {
        const char *json;
        dfl_status status;
    } cases[] = {
        {"", DFL_E_FORMAT},
        {"[1]", DFL_E_FORMAT},
        {"{\"format\":\"driftless-score-statistics/2\",\"mean_abs_eps\":[1,1]}", DFL_E_FORMAT},
        {"{\"network_sha256\":\"\",\"mean_abs_eps\":[1,1]}", DFL_E_KEY},
        {HEAD("") "\"mean_abs_eps\":1}", DFL_E_FORMAT},
        {HEAD("") "\"mean_abs_eps\":[]}", DFL_E_RANGE},
        {HEAD("") "\"mean_abs_eps\":[0.8]}", DFL_E_RANGE},
        {HEAD("") "\"mean_abs_eps\":[0.8,0]}", DFL_E_RANGE},
        {HEAD("") "\"mean_abs_eps\":[0.8,-1]}", DFL_E_RANGE},
        {HEAD("") "\"mean_abs_eps\":[0.8,\"x\"]}", DFL_E_FORMAT},
        {HEAD("") "\"mean_abs_eps\":[0.8,1e999]}", DFL_E_FORMAT},
        {HEAD("") "\"samples\":1}", DFL_E_KEY},
    };
    dfl_model *model = gaussian_that_predicts("epsilon", "");
    dfl_stats *stats = begin(model, "nfe=4", "samples=4");
    dfl_plan *plan;
    char spec[200];
    snprintf(spec, sizeof spec, "solver=deis_sn:force=1,stats=%s", in_folder("bad.json"));
    for (size_t i = 0; i < LENGTH(cases); i++) {
        write_bytes(in_folder("bad.json"), cases[i].json);
        const dfl_status status = dfl_plan_new(model, spec, &plan);
        if (status != cases[i].status)
            REFUTE("%s: %s (%s)", cases[i].json, dfl_status_name(status), dfl_last_message());
        assert_null(plan);
        assert_int_not_equal(dfl_stats_resume(stats, in_folder("bad.json")), DFL_OK);
    }
    write_bytes(in_folder("bad.json"), HEAD("") "\"mean_abs_eps\":[0.8,0.8]}");
    assert_int_equal(dfl_plan_new(model, spec, &plan), DFL_OK);
    dfl_plan_free(plan);
    dfl_stats_free(stats);
    dfl_model_free(model);
}

/* ---- published ratios ------------------------------------------------------------------------ */

static void test_import(void **state) {
    (void)state;
    float ratio[1000];
    for (int k = 0; k < 1000; k++) ratio[k] = 0.8F - 0.3F * expf((float)-k / 20);
    const named_array arrays[] = {{"toy_ratio_by_t", {ARRAY_F32, 1, {1000}, ratio}},
                                  {"flat_ratio_by_t", {ARRAY_F32, 2, {10, 100}, ratio}}};
    assert_ok(npz_write(in_folder("ratios.npz"), arrays, 2));
    assert_int_equal(stats_import(in_folder("ratios.npz"), "none", in_folder("i.json")),
                     DFL_E_FORMAT);
    assert_int_equal(stats_import(in_folder("ratios.npz"), "flat", in_folder("i.json")),
                     DFL_E_FORMAT);
    assert_ok(stats_import(in_folder("ratios.npz"), "toy", in_folder("i.json")));
    dfl_model *model = gaussian_that_predicts("epsilon", "");
    dfl_plan *plan;
    char spec[200];
    snprintf(spec, sizeof spec, "solver=deis_sn:stats=%s steps=6", in_folder("i.json"));
    assert_int_equal(dfl_plan_new(model, spec, &plan), DFL_E_COMBINATION);
    assert_message_has("names no network");
    plan = plan_of(model, "solver=deis_sn:force=1,stats=%s steps=6", in_folder("i.json"));
    dfl_plan *other =
        plan_of(model, "solver=deis_sn:force=1,clip=0,stats=%s steps=6", in_folder("i.json"));
    dfl_plan *same =
        plan_of(model, "solver=deis_sn:force=1,clip=5,stats=%s steps=6", in_folder("i.json"));
    assert_true(difference(plan, other) > 0);
    assert_true(difference(plan, same) == 0);
    const char *both[2] = {in_folder("i.json"), in_folder("i.json")};
    assert_int_equal(dfl_stats_merge(both, 2, in_folder("no.json")), DFL_E_FORMAT);
    dfl_plan_free(plan);
    dfl_plan_free(other);
    dfl_plan_free(same);
    dfl_model_free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_constant_is_deis), cmocka_unit_test(test_clean_end),
        cmocka_unit_test(test_interpolation),    cmocka_unit_test(test_gathered),
        cmocka_unit_test(test_guidance),         cmocka_unit_test(test_folder),
        cmocka_unit_test(test_malformed),        cmocka_unit_test(test_import),
    };
    return cmocka_run_group_tests_name("deis_sn", tests, folder_make, folder_remove);
}
