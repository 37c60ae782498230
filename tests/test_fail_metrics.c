/* Memory that runs out, as in test_fail.c: moments and metrics of features. */
#include "support/refuse.h"

#include <stdlib.h>

#include "eval/metrics.h"

enum { N = 40, D = 5 };
static float x[2 * N * D];
static const features a = {N, D, x}, b = {N, D, x + N *D};

static dfl_status gather(const features *f, moments *out) {
    dfl_status status = moments_new(f->d, out);
    if (status == DFL_OK) status = moments_add(out, f->x, f->n);
    return status;
}

static dfl_status try_moments(void) {
    static const uint32_t index[] = {3, 3, 1};
    moments m = {0}, other = {0};
    dfl_status status = gather(&a, &m);
    if (status == DFL_OK) status = moments_add_index(&m, &a, index, 3);
    if (status == DFL_OK) status = gather(&b, &other);
    if (status == DFL_OK) status = moments_merge(&m, &other);
    moments_free(&m);
    moments_free(&other);
    return status;
}

static dfl_status try_frechet(void) {
    double found;
    moments m = {0}, other = {0};
    dfl_status status = gather(&a, &m);
    if (status == DFL_OK) status = gather(&b, &other);
    if (status == DFL_OK) status = frechet(&m, &other, &found);
    moments_free(&m);
    moments_free(&other);
    return status;
}

static dfl_status try_kid(void) {
    kid_result r;
    return kid(&a, &b, &(kid_options){3, 20, 0}, NULL, &r);
}

static dfl_status try_mmd(void) {
    mmd_result r;
    return mmd(&a, &b, &(mmd_options){0}, NULL, &r);
}

static dfl_status try_prdc(void) {
    prdc_result r;
    return prdc(&a, &b, &(prdc_options){0}, NULL, &r);
}

static dfl_status try_sliced(void) {
    sliced_result r;
    return sliced_wasserstein(&a, &b, &(sliced_options){20, 0}, NULL, &r);
}

static dfl_status try_inception(void) {
    inception s = {0};
    inception_result r;
    dfl_status status = inception_new(D, 4, N, &s);
    if (status == DFL_OK) status = inception_add(&s, 0, x, N);
    if (status == DFL_OK) status = inception_score(&s, &r);
    inception_free(&s);
    return status;
}

static const refuse_case attempts[] = {
    {"moments", try_moments, 10},
    {"Frechet distance", try_frechet, 18},
    {"KID", try_kid, 12},
    {"MMD", try_mmd, 18},
    {"precision", try_prdc, 10},
    {"sliced", try_sliced, 6},
    {"inception", try_inception, 3},
};

static void test_memory(void **state) {
    (void)state;
    refuse_each(attempts, LENGTH(attempts));
}

static int prepare(void **state) {
    (void)state;
    double z[2 * N * D];
    refuse_begin();
    noise_normals(1, DFL_DRAW_TABLE, 0, 0, 0, LENGTH(z), z);
    for (size_t i = 0; i < LENGTH(z); i++) x[i] = (float)z[i];
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_memory)};
    return cmocka_run_group_tests_name("fail_metrics", tests, prepare, NULL);
}
