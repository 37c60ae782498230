/* Memory that runs out: the n-th allocation fails, for every n, in everything that allocates. Each
   time the call must say so and leave nothing behind. Integration, tuning and files are in
   test_fail_more.c. */
#include "support/refuse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"

/* ---- what is tried --------------------------------------------------------------------------- */

static char mixture_path[64], mixture_where[80];
static dfl_model *model; /* opened once, outside the counting */

static dfl_status try_open(void) {
    dfl_model *opened = NULL;
    const dfl_status status = dfl_model_open(mixture_where, "threads=1", &opened);
    dfl_model_free(opened);
    return status;
}

static const char card[] =
    "{\"format\":\"driftless-model/1\",\"name\":\"n\",\"license\":\"l\",\"process\":{\"type\":"
    "\"vp_discrete\",\"trained_betas\":[0.1,0.2,0.3]},\"prediction_type\":\"epsilon\",\"sample\":"
    "{\"shape\":[2],\"range\":[-1,1]},\"classes\":{\"count\":2,\"null\":2,\"names\":[\"a\",\"b\"]},"
    "\"odd\":1}";

static int answer(void *user, const dfl_request *request) {
    (void)user, (void)request;
    return 0;
}

static dfl_status try_callback(void) {
    dfl_model *inner = NULL, *guided = NULL;
    char info[4000];
    dfl_status status = dfl_model_callback(card, answer, NULL, &inner);
    if (status == DFL_OK) status = dfl_model_guide(inner, 2, &guided);
    if (status == DFL_OK) status = dfl_model_info(guided, info, sizeof info, NULL);
    dfl_model_free(guided);
    return status;
}

static dfl_status plan_of(const char *spec) {
    dfl_plan *plan = NULL;
    char page[20000];
    dfl_status status = dfl_plan_new(model, spec, &plan);
    if (status == DFL_OK) status = dfl_plan_to_json(plan, page, sizeof page, NULL);
    if (status == DFL_OK) status = dfl_plan_to_text(plan, page, sizeof page, NULL);
    dfl_plan_free(plan);
    return status;
}

static dfl_status try_deis(void) {
    return plan_of("solver=deis:order=2 steps=4 process='vp_linear:beta_min=0.2' denoise=1");
}

static dfl_status try_ddim(void) {
    return plan_of("solver=ddim:eta=0.5 grid='list:times=[1,0.5,0.25,0.001]'");
}

static dfl_status try_table(void) {
    return plan_of("solver=heun nfe=6 process=vp_discrete:trained_betas=[0.1,0.2,0.3,0.4] "
                   "grid=uniform t_end=0.25");
}

static const char json[] =
    "{\"format\":\"driftless-plan/1\",\"components\":1,"
    "\"inputs\":[{\"id\":0,\"t\":1,\"at\":[0.6,0.8],\"scale\":1}],\"outputs\":[8],"
    "\"kernels\":[{\"pi\":[0.5,0.5],\"offsets\":\"data\",\"data\":[0.1,0.2,-0.1,-0.2],\"s\":1,"
    "\"sigma\":0.5,\"covariance\":\"full\"},{\"pi\":[0.25,0.75],\"offsets\":\"ortho\",\"table\":5,"
    "\"s\":0.1,\"sigma\":0,\"covariance\":\"rank1\"}],\"rows\":["
    "{\"op\":\"NOISE\",\"dst\":1,\"draw\":4},"
    "{\"op\":\"MIX\",\"dst\":2,\"src\":1,\"draw\":0,\"kernel\":0},"
    "{\"op\":\"MIX\",\"dst\":3,\"draw\":1,\"kernel\":1},"
    "{\"op\":\"LIN\",\"dst\":4,\"src\":[0,2,3],\"c\":[1,2,3]},"
    "{\"op\":\"LIMIT\",\"dst\":5,\"src\":4,\"quantile\":0.9,\"floor\":1},"
    "{\"op\":\"GIVEN\",\"dst\":6,\"name\":\"image\"},{\"op\":\"GIVEN\",\"dst\":7,\"name\":\"mask\"}"
    ","
    "{\"op\":\"SELECT\",\"dst\":8,\"src\":[5,6,7]},{\"op\":\"STEP\",\"src\":8,\"t\":0,\"at\":[1,0]}"
    "],"
    "\"counts\":{\"rows\":9},\"odd\":1,\"meta\":{\"solver\":\"a\",\"grid\":\"b\",\"process\":\"c\","
    "\"network\":\"d\",\"version\":\"e\"}}";

static dfl_status try_json(void) {
    dfl_plan *plan = NULL;
    char page[4000];
    dfl_status status = dfl_plan_from_json(json, sizeof json - 1, &plan);
    if (status == DFL_OK) status = dfl_plan_to_json(plan, page, sizeof page, NULL);
    dfl_plan_free(plan);
    return status;
}

static dfl_status sample(const dfl_plan *plan, const char *options, bool given) {
    static const float tensor[2] = {0.5f, 0.25f};
    float out[10];
    dfl_run *run = NULL;
    dfl_status status = dfl_run_new(plan, model, options, &run);
    if (status == DFL_OK && given) {
        dfl_run_given(run, "image", tensor);
        dfl_run_given(run, "mask", tensor);
    }
    if (status == DFL_OK) status = dfl_run_sample(run, 0, 5, NULL, NULL, out);
    dfl_run_free(run);
    return status;
}

static dfl_plan *plans[2]; /* made outside the counting */

static dfl_status try_run(void) {
    const dfl_status status = sample(plans[0], "seed=3,batch=2", false);
    return status == DFL_OK ? sample(plans[1], "seed=3,dtype=float32", true) : status;
}

/* The mixture opened anew and guided in both ways. */
static dfl_status try_classifier(void) {
    float out[10];
    dfl_model *guided = NULL;
    dfl_run *run = NULL;
    dfl_status status = dfl_model_open(mixture_where, NULL, &guided);
    if (status == DFL_OK) status = dfl_model_guide(guided, 2, &guided);
    if (status == DFL_OK) status = dfl_model_guide_classifier(guided, 1.5, NULL, NULL, &guided);
    if (status == DFL_OK) status = dfl_run_new(plans[0], guided, NULL, &run);
    if (status == DFL_OK) status = dfl_run_sample(run, 0, 5, NULL, NULL, out);
    dfl_run_free(run);
    dfl_model_free(guided);
    return status;
}

static char stats_path[80], merged_path[80];

/* Gathers, writes, takes up and adds. */
static dfl_status try_stats(void) {
    dfl_stats *first = NULL, *second = NULL;
    const char *const paths[] = {stats_path};
    unlink(stats_path);
    unlink(merged_path);
    dfl_status status = dfl_stats_new(model, "nfe=4 t_end=0.1", "samples=3,bins=6", &first);
    if (status == DFL_OK) status = dfl_stats_batch(first, NULL, NULL);
    if (status == DFL_OK) status = dfl_stats_save(first, stats_path);
    if (status == DFL_OK)
        status = dfl_stats_new(model, "nfe=4 t_end=0.1", "samples=3,bins=6", &second);
    if (status == DFL_OK) status = dfl_stats_resume(second, stats_path);
    if (status == DFL_OK) status = dfl_stats_merge(paths, 1, merged_path);
    dfl_stats_free(first);
    dfl_stats_free(second);
    return status;
}

static dfl_status try_deis_sn(void) {
    char spec[120];
    snprintf(spec, sizeof spec, "solver=deis_sn:stats='%s' steps=3", stats_path);
    return plan_of(spec);
}

static dfl_status try_describe(void) {
    static const char *const families[] = {"solvers", "grids", "processes", "adaptive"};
    dfl_status status = DFL_OK;
    for (size_t i = 0; i < LENGTH(families) && status == DFL_OK; i++) {
        char page[20000];
        status = dfl_describe(families[i], page, sizeof page, NULL);
    }
    return status;
}

static const refuse_case attempts[] = {
    {"open a mixture", try_open, 40},
    {"callback, guidance", try_callback, 40},
    {"plan: deis", try_deis, 20},
    {"plan: ddim on a list", try_ddim, 20},
    {"plan: heun on a table", try_table, 20},
    {"plan from JSON", try_json, 60},
    {"runs", try_run, 15},
    {"guided by a classifier", try_classifier, 50},
    {"statistics", try_stats, 100},
    {"plan: deis_sn", try_deis_sn, 40},
    {"describe", try_describe, 3},
};

static void test_memory(void **state) {
    (void)state;
    refuse_each(attempts, LENGTH(attempts));
}

/* ---- what stands ready ----------------------------------------------------------------------- */

static const char mixture[] =
    "{\"format\":\"driftless-mixture/1\",\"weights\":[1,2,1],\"means\":[[0,1],[1,0],[1,1]],"
    "\"stds\":[[0.5,0.5],0.25,1],\"labels\":[0,1,1],\"odd\":0,\"card\":{\"name\":\"m\","
    "\"data\":\"d\",\"odd\":1}}";

static int prepare(void **state) {
    (void)state;
    refuse_begin();
    snprintf(mixture_path, sizeof mixture_path, "/tmp/driftless-fail-XXXXXX");
    const int file = mkstemp(mixture_path);
    if (file < 0) return -1;
    const bool written = write(file, mixture, sizeof mixture - 1) == (ssize_t)sizeof mixture - 1;
    close(file);
    snprintf(mixture_where, sizeof mixture_where, "mixture:%s", mixture_path);
    snprintf(stats_path, sizeof stats_path, "%s.stats", mixture_path);
    snprintf(merged_path, sizeof merged_path, "%s.merged", mixture_path);
    const bool ready = written && dfl_model_open(mixture_where, NULL, &model) == DFL_OK &&
                       dfl_plan_new(model, "solver=ddim:eta=1 steps=2", &plans[0]) == DFL_OK &&
                       dfl_plan_from_json(json, sizeof json - 1, &plans[1]) == DFL_OK;
    if (!ready) print_error("%s\n", dfl_last_message());
    return ready ? 0 : -1;
}

static int clean_up(void **state) {
    (void)state;
    dfl_plan_free(plans[0]);
    dfl_plan_free(plans[1]);
    dfl_model_free(model);
    return unlink(stats_path) | unlink(merged_path) | unlink(mixture_path);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_memory)};
    return cmocka_run_group_tests_name("fail", tests, prepare, clean_up);
}
