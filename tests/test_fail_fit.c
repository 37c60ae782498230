/* Memory that runs out, as in test_fail.c: fitting of plans, with and without the teacher kept, and
   the choice among stored plans and tuned values. */
#include "support/refuse.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/dense.h"
#include "plan/table.h"
#include "study/fit.h"
#include "study/stored.h"

static char folder[64], work[80], table[80], times[80];
static dfl_model *model; /* opened once, outside the counting */

static dfl_status feature(void *user, uint64_t first, size_t count, const double *x, float *out) {
    (void)user, (void)first;
    for (size_t i = 0; i < count; i++) out[i] = (float)x[2 * i];
    return DFL_OK;
}

static dfl_status fit_with(const char *spec, const char *kept, bool forget) {
    fit *f = NULL;
    text json = {0}, page = {0};
    fit_cost cost;
    dfl_status status = fit_new(model, spec, kept, &f);
    if (status == DFL_OK && fit_sees(f))
        f->features = (fit_features){.width = 1, .name = "x", .digest = "x", .run = feature};
    if (status == DFL_OK) status = fit_costs(f, &cost);
    if (status == DFL_OK) status = fit_run(f, NULL, NULL);
    if (status == DFL_OK) status = fit_json(f, "a command", &json);
    if (status == DFL_OK) fit_print(f, &page);
    if (status == DFL_OK && page.failed) status = fail_memory();
    if (status == DFL_OK && forget) status = fit_forget(f);
    text_free(&json);
    text_free(&page);
    fit_free(f);
    return status;
}

#define SMALL "steps=2 samples=2 held_out=1 teacher=ddim teacher_nfe=2 "

static dfl_status try_fit(void) {
    return fit_with(SMALL "compare=none", NULL, false);
}

static dfl_status try_compare(void) {
    return fit_with("steps=1 samples=2 held_out=1 teacher_nfe=1 compare=few", NULL, false);
}

static dfl_status try_kept(void) {
    return fit_with(SMALL "compare=none constraint=consistency", work, true);
}

static dfl_status try_share(void) {
    return fit_with(SMALL "compare=none constraint=order2 share=1", NULL, false);
}

static dfl_status try_read_back(void) {
    return fit_with(SMALL "compare=none seed=3", folder, false);
}

static dfl_status try_search(void) {
    return fit_with("steps=2 samples=2 held_out=1 teacher=ddim teacher_nfe=3 compare=none "
                    "grid=search:validation=1,rounds=1",
                    work, true);
}

static dfl_status try_phase(void) {
    return fit_with("steps=2 samples=2 held_out=1 teacher=euler teacher_nfe=3 compare=none "
                    "process=psld t_end=0.1 refine=1 grid=search:validation=1,rounds=1",
                    NULL, false);
}

static dfl_status try_table(void) {
    const plan_source to = {.process = "vp_linear", .form = {.scale = 1}, .t_max = 1};
    plan_table t;
    dfl_plan *plan = NULL;
    table_check check;
    TRY(table_read(table, &t));
    const dfl_status status = table_plan(&t, &to, "a table", &check, &plan);
    dfl_plan_free(plan);
    table_free(&t);
    return status;
}

static dfl_status try_times(void) {
    dfl_plan *plan = NULL;
    char spec[160];
    snprintf(spec, sizeof spec, "solver=ddim grid=file:path=%s", times);
    const dfl_status status = dfl_plan_new(model, spec, &plan);
    dfl_plan_free(plan);
    return status;
}

static dfl_status try_refine(void) {
    return fit_with(SMALL "compare=none refine=2 objective=moments refine_times=1", NULL, false);
}

static dfl_status try_refine_features(void) {
    return fit_with(SMALL "compare=none refine=1 objective=feature_distance", work, true);
}

static dfl_status try_stored(void) {
    stored_choice c;
    const dfl_status status = stored_choose(model, 3, NULL, &c);
    stored_free(&c);
    return status;
}

static dfl_status try_dense(void) {
    double x[6] = {1, 2, 3, 4, 5, 7}, r[4] = {0}, b[3] = {1, 1, 2}, z[2];
    size_t rank;
    const dense_squares p = {3, 2, x, b, 1e-10};
    TRY(dense_triangle(2, 3, x, r));
    TRY(dense_orthonormal(3, 2, x, r));
    return dense_least_squares(&p, z, &rank);
}

static const refuse_case attempts[] = {
    {"a fit", try_fit, 60},
    {"a fit, compared", try_compare, 200},
    {"a fit, kept", try_kept, 60},
    {"a fit, read back", try_read_back, 60},
    {"solver auto", try_stored, 20},
    {"least squares", try_dense, 4},
    {"a search", try_search, 100},
    {"a fit in phase space", try_phase, 150},
    {"a table", try_table, 20},
    {"sigmas", try_times, 20},
    {"a refinement", try_refine, 90},
    {"of features, kept", try_refine_features, 90},
    {"shared weights", try_share, 60},
};

static void test_memory(void **state) {
    (void)state;
    refuse_each(attempts, LENGTH(attempts));
}

static int prepare(void **state) {
    (void)state;
    refuse_begin();
    snprintf(folder, sizeof folder, "/tmp/driftless-fail-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(work, sizeof work, "%s/work", folder);
    snprintf(table, sizeof table, "%s/table", folder);
    snprintf(times, sizeof times, "%s/times", folder);
    static const char steps[] = "{\"format\":\"driftless-table/1\",\"prediction_type\":"
                                "\"v_prediction\",\"source\":\"here\",\"steps\":[{\"from\":"
                                "0.9,\"to\":0.5,\"x\":1,\"outputs\":[0.5]}]}";
    static const char sigmas[] = "{\"sigmas\":[5,1,0.1]}";
    if (file_save(table, steps, sizeof steps - 1) || file_save(times, sigmas, sizeof sigmas - 1))
        return -1;
    if (dfl_model_open("mixture:" DFL_TEST_DATA "/mixture2d.json", NULL, &model)) return -1;
    return try_read_back() == DFL_OK ? 0 : -1;
}

static int clean_up(void **state) {
    (void)state;
    fit *f = NULL;
    remove(table);
    remove(times);
    if (fit_new(model, SMALL "compare=none seed=3", folder, &f) != DFL_OK) return -1;
    if (fit_forget(f) != DFL_OK)
        return -1; /* takes the folder along, if nothing else was left in it */
    fit_free(f);
    dfl_model_free(model);
    return access(folder, F_OK) == 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_memory)};
    return cmocka_run_group_tests_name("fail_fit", tests, prepare, clean_up);
}
