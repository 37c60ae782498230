/* Memory that runs out, as in test_fail.c: the bound as a function of T, its file and its choice. */
#include "support/refuse.h"
#include "support/starts.h"

#include <stdio.h>

#include "eval/times.h"

enum { N = 40 };
static double data[N * 2];
static const likelihood_data from = {.n = N, .dim = 2, .numbers = data, .digest = "of a test"};
static char prior_path[PATH], part_path[PATH];
static dfl_model *model;

static dfl_status make(times_study **out) {
    const char *const path = prior_path;
    const times_wish wish = {
        .spec = "points=4 prior_draws=1", .count = 6, .batch = 4, .priors = &path, .npriors = 1};
    return times_new(model, &from, &wish, out);
}

static dfl_status finish(times_study *s) {
    dfl_status status = DFL_OK;
    while (status == DFL_OK && !times_finished(s)) status = times_step(s);
    return status;
}

static dfl_status try_study(void) {
    times_study *s = NULL;
    times_choice c = {0};
    dfl_status status = make(&s);
    if (status == DFL_OK) status = finish(s);
    if (status == DFL_OK) status = times_choose(s, 3, &c);
    times_choice_free(&c);
    times_free(s);
    return status;
}

static dfl_status try_part(void) {
    times_study *s = NULL;
    dfl_status status = make(&s);
    if (status == DFL_OK) status = times_step(s);
    if (status == DFL_OK) status = times_save(s, part_path);
    if (status == DFL_OK) status = times_resume(s, part_path);
    times_free(s);
    return status;
}

static void test_memory(void **state) {
    (void)state;
    static const refuse_case cases[] = {{"study", try_study, 40}, {"part", try_part, 40}};
    for (size_t i = 0; i < LENGTH(cases); i++) assert_ok(cases[i].attempt());
    refuse_each(cases, LENGTH(cases));
}

static int prepare(void **state) {
    refuse_begin();
    if (folder_make(state) != 0) return -1;
    snprintf(prior_path, sizeof prior_path, "%s", gauss_prior());
    snprintf(part_path, sizeof part_path, "%s", in_folder("study.part"));
    for (size_t i = 0; i < N; i++) noise_normals(3, 7, 0, i, 0, 2, data + 2 * i);
    model = mixture_model();
    return 0;
}

static int tidy(void **state) {
    dfl_model_free(model);
    return folder_remove(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_memory)};
    return cmocka_run_group_tests(tests, prepare, tidy);
}
