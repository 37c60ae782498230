/* Traces of likelihoods: stored Hutchinson estimates, their mean over all probes, the probes. */
#include "support/evidence.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* A seed with which sample 0 gets this probe, signs alike. */
static uint64_t seed_of(probe_kind kind, const double *wanted) {
    probes p = {kind, 2, 1, 0};
    double v[2];
    for (;; p.seed++) {
        probe_fill(&p, 0, 0, 0, v);
        if (v[0] == wanted[0] && v[1] == wanted[1]) return p.seed;
    }
}

static double path_of(size_t point, const char *trace, uint64_t seed, double T, const char *more) {
    const likelihood_data data = values_of(x0 + 2 * point, 1, 2);
    char spec[256];
    double path;
    snprintf(spec, sizeof spec, "form=t t_end=1e-12 steps=200 t_start=%.17g trace=%s seed=%llu %s",
             T, trace, (unsigned long long)seed, more);
    column(mixture2d, &data, spec, ROW_PATH, &path);
    return -path;
}

/* Kills: probes that change between stages, a factor in the differences, Hadamard's rows. */
static void test_stored_probes(void **state) {
    (void)state;
    const json_t *all = json_object_get(reference, "probes");
    double probe[12];
    size_t i;
    json_t *entry;
    numbers_of(json_object_get(all, "rademacher"), probe, 12);
    json_array_foreach(json_object_get(all, "rows"), i, entry) {
        const double T = number_of(entry, "T");
        double one[6], central[6], exact[6], each[12];
        numbers_of(json_object_get(entry, "rademacher"), one, 6);
        numbers_of(json_object_get(entry, "rademacher_fd_central_h0.01"), central, 6);
        numbers_of(json_object_get(entry, "exact_trace_rk4_200"), exact, 6);
        numbers_of(json_object_get(entry, "hadamard_each"), each, 12);
        for (size_t k = 0; k < 6; k++) {
            const uint64_t seed = seed_of(PROBE_RADEMACHER, probe + 2 * k);
            assert_true(fabs(path_of(k, "rademacher", seed, T, "") - one[k]) < 1e-9);
            assert_true(fabs(path_of(k, "exact", 0, T, "") - exact[k]) < 1e-9);
            /* the stored differences have h = 0.01, ours 0.01 b: nearer to the derivative */
            const double ours = path_of(k, "rademacher", seed, T, "derivative=central");
            assert_true(fabs(ours - one[k]) <= fabs(central[k] - one[k]) + 1e-9);
            assert_true(ours != one[k] && fabs(ours - one[k]) < 1e-3);
            const uint64_t plus = seed_of(PROBE_HADAMARD, (double[]){1, 1});
            const uint64_t minus = seed_of(PROBE_HADAMARD, (double[]){1, -1});
            assert_true(fabs(path_of(k, "hadamard", plus, T, "") - each[k]) < 1e-9);
            assert_true(fabs(path_of(k, "hadamard", minus, T, "") - each[6 + k]) < 1e-9);
            assert_true(fabs(path_of(k, "hadamard", 3, T, "probes=2") - exact[k]) < 1e-9);
        }
    }
}

/* v'Jv of one vector at a fixed place. */
static double quadratic(denoiser *net, const double *v) {
    static const double x[4] = {0.3, -0.2, 0.5, 0.1};
    const uint64_t sample = 0;
    double eps[4], jv[4], sum = 0;
    denoise_time at;
    assert_ok(denoise_at(net, 0.3, &at));
    assert_ok(denoise_along(net, &(denoise_set){1, &at, &sample, NULL}, x, v, eps, jv));
    for (int d = 0; d < 4; d++) sum += v[d] * jv[d];
    return sum;
}

/* The mean over all sign vectors, and over a Hadamard basis, is the trace; a mean over fewer is not.
   Kills: a probe without random signs, an incomplete Hadamard set. */
static void test_unbiased(void **state) {
    (void)state;
    dfl_model *model = mixture4d();
    for (int central = 0; central < 2; central++) {
        denoiser net;
        double trace = 0, signs = 0, rows_of_h = 0, first = 0, drawn = 0;
        assert_ok(denoiser_new(model, NULL, 4, central, &net));
        for (size_t k = 0; k < 4; k++) {
            double unit[4], h[4];
            probe_fill(&(probes){PROBE_EXACT, 4, 4, 0}, 0, 0, k, unit);
            probe_fill(&(probes){PROBE_HADAMARD, 4, 4, 9}, 7, 2, k, h);
            trace += quadratic(&net, unit);
            rows_of_h += quadratic(&net, h) / 4;
            if (k == 0) first = quadratic(&net, h);
        }
        for (int mask = 0; mask < 16; mask++) {
            const double v[4] = {mask & 1 ? 1 : -1, mask & 2 ? 1 : -1, mask & 4 ? 1 : -1,
                                 mask & 8 ? 1 : -1};
            signs += quadratic(&net, v) / 16;
        }
        enum { DRAWS = 4000 };
        for (uint64_t i = 0; i < DRAWS; i++) {
            double v[4];
            probe_fill(&(probes){PROBE_GAUSSIAN, 4, 1, 1}, i, 0, 0, v);
            drawn += quadratic(&net, v) / DRAWS;
        }
        const double within = central ? 1e-3 : 1e-13; /* differences: O(h^2), other per probe */
        assert_true(fabs(signs - trace) < within);
        assert_true(fabs(rows_of_h - trace) < within);
        assert_true(fabs(first - trace) > 1e-2);
        assert_true(fabs(drawn - trace) < 0.1 * fabs(trace));
        denoiser_free(&net);
    }
    dfl_model_free(model);
}

/* Sums of all Rademacher draws of a seed: signs are fair, and differ by sample, draw and probe. */
static void test_probes(void **state) {
    (void)state;
    const probes p = {PROBE_RADEMACHER, 100, 3, 4};
    double a[100], b[100], sum = 0;
    probe_fill(&p, 5, 0, 1, a);
    for (int i = 0; i < 100; i++) {
        assert_true(a[i] == 1 || a[i] == -1);
        sum += a[i];
    }
    assert_true(fabs(sum) < 40);
    probe_fill(&p, 5, 0, 1, b);
    assert_memory_equal(a, b, sizeof a);
    static const size_t others[][3] = {{6, 0, 1}, {5, 1, 1}, {5, 0, 2}};
    for (size_t k = 0; k < 3; k++) {
        probe_fill(&p, others[k][0], others[k][1], others[k][2], b);
        assert_memory_not_equal(a, b, sizeof a);
    }
    assert_int_equal(probe_most(4), 4);
    assert_int_equal(probe_most(5), 8);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_stored_probes),
                                       cmocka_unit_test(test_unbiased),
                                       cmocka_unit_test(test_probes)};
    return cmocka_run_group_tests(tests, begin_group, end_group);
}
