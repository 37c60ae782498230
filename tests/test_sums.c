/* The fused sum against one written plainly: the same bits for any number of sources, types, gaps
   between samples, blocks, and with the result in place of any of its sources. */
#include "check.h"

#include <stdlib.h>
#include <string.h>

#include "run/run.h"

enum { MOST = 19, COUNT = 3, DIM = 1037, GAP = 5, STRIDE = 2 * DIM + GAP };

static double number(size_t k, size_t i) {
    return (double)((k * 7919 + i * 104729) % 2003) / 701.0 - 1.3;
}

static void *filled(int type, size_t k) {
    void *x = malloc(COUNT * STRIDE * vec_size(type));
    assert_non_null(x);
    for (size_t i = 0; i < COUNT * STRIDE; i++)
        vec_from_double(type, (char *)x + i * vec_size(type), &(double){number(k, i)}, 1);
    return x;
}

static double at(int type, const void *x, size_t i) {
    double value;
    vec_to_double(type, &value, (const char *)x + i * vec_size(type), 1);
    return value;
}

static double entry(const blk *c, int to, int from) {
    return c->m ? c->v[to * c->n + from] : to == from ? c->v[0] : 0;
}

/* What the job says for one number, sources in their order. */
static double plain(const lin_job *job, size_t sample, int half, size_t i) {
    double sum = 0;
    for (size_t j = 0; j < job->n; j++)
        for (int k = 0; k < job->from[j]; k++) {
            const double c = entry(&job->terms[j].c, half, k);
            if (c != 0)
                sum +=
                    c * at(job->type, job->src[j], sample * job->stride + (size_t)k * job->dim + i);
        }
    return sum;
}

static bool agrees(const lin_job *job, const void *wanted, size_t i) {
    const size_t size = vec_size(job->type);
    return memcmp((const char *)job->dst + i * size, (const char *)wanted + i * size, size) == 0;
}

static void compare(lin_job *job, size_t in_place) {
    void *wanted = filled(job->type, 90), *dst = filled(job->type, 90);
    for (size_t s = 0; s < job->count; s++)
        for (int half = 0; half < job->components; half++)
            for (size_t i = 0; i < job->dim; i++) {
                const size_t place = s * job->stride + (size_t)half * job->dim + i;
                const double sum = plain(job, s, half, i);
                vec_from_double(job->type, (char *)wanted + place * vec_size(job->type), &sum, 1);
            }
    job->dst = in_place < job->n ? (void *)(uintptr_t)job->src[in_place] : dst;
    lin_run(job);
    for (size_t s = 0; s < job->count; s++)
        for (size_t i = 0; i < (size_t)job->components * job->dim; i++)
            if (!agrees(job, wanted, s * job->stride + i))
                REFUTE("type %d, %zu sources, %d components, in place %zu: sample %zu, number %zu",
                       job->type, job->n, job->components, in_place, s, i);
    free(wanted);
    free(dst);
}

static void try_sum(int type, size_t n, int components, size_t stride, size_t in_place) {
    term terms[MOST];
    lin_job job = {.type = type,
                   .count = COUNT,
                   .stride = stride,
                   .dim = DIM,
                   .n = n,
                   .components = components,
                   .terms = terms};
    for (size_t j = 0; j < n; j++) {
        const double c = number(j, 3 * j + 1);
        job.src[j] = filled(type, j);
        job.from[j] = (uint8_t)components;
        terms[j] =
            (term){.c = components == 1 || j % 3 == 2 ? blk_real(c)
                                                      : blk_2x2(c, 0.5 - c, j % 2 ? c : 0, 1)};
    }
    compare(&job, in_place);
    for (size_t j = 0; j < n; j++) free((void *)(uintptr_t)job.src[j]);
}

static void has_the_bits_of_a_plain_sum(void **state) {
    (void)state;
    const int types[] = {DFL_FLOAT32, DFL_FLOAT64};
    for (size_t k = 0; k < LENGTH(types); k++)
        for (size_t n = 1; n <= MOST; n++) {
            try_sum(types[k], n, 1, DIM, n);     /* one stretch */
            try_sum(types[k], n, 1, STRIDE, n);  /* samples apart */
            try_sum(types[k], n, 2, STRIDE, n);  /* blocks */
            try_sum(types[k], n, 1, DIM, n / 2); /* in place */
            try_sum(types[k], n, 2, STRIDE, 0);
        }
}

static void nothing_summed_is_zero(void **state) {
    (void)state;
    float dst[4] = {1, 2, 3, 4};
    const term none = {.c = blk_real(0)};
    const lin_job job = {.type = DFL_FLOAT32,
                         .count = 2,
                         .stride = 2,
                         .dim = 2,
                         .dst = dst,
                         .components = 1,
                         .n = 1,
                         .src = {dst},
                         .from = {1},
                         .terms = &none};
    lin_run(&job);
    for (size_t i = 0; i < LENGTH(dst); i++) assert_true(dst[i] == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_the_bits_of_a_plain_sum),
        cmocka_unit_test(nothing_summed_is_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
