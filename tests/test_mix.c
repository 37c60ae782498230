/* Mixture kernels: their offsets, the law they draw from, and what is refused. Numbers are proved
   by stored vectors (tests/py/test_reference.py); here are the properties, each with a control that
   must fail, so that the test is known to see something. */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run/run.h"

enum { K = 8, D = 16, MANY = 100000 };

/* ---- kernels by hand ------------------------------------------------------------------------- */

static dfl_status normals(void *user, uint32_t table, size_t n, double *dst) {
    (void)user;
    noise_normals(21, DFL_DRAW_TABLE, table, 0, 0, n, dst);
    return DFL_OK;
}

static void kernel_json(text *json, const char *law, const char *covariance, double s, double sigma,
                        int components) {
    text_add(json, "{\"offsets\":\"%s\",\"table\":3,\"covariance\":\"%s\",\"s\":%.17g,", law,
             covariance, s);
    text_add(json, "\"sigma\":%.17g,\"pi\":[", sigma);
    for (int k = 0; k < components; k++)
        text_add(json, "%s%.17g", k ? "," : "", 1 / (double)components);
    text_add(json, "]}");
}

static void plan_json(text *json, const char *kernels) {
    text_add(
        json,
        "{\"format\":\"driftless-plan/1\",\"components\":1,\"inputs\":[{\"id\":0,\"t\":1,\"at\""
        ":[0,1],\"scale\":1}],\"outputs\":[3],\"kernels\":[%s],\"rows\":[{\"op\":\"NOISE\","
        "\"dst\":1,\"draw\":0},{\"op\":\"MIX\",\"dst\":2,\"src\":1,\"draw\":0,\"kernel\":0},"
        "{\"op\":\"LIN\",\"dst\":3,\"src\":[0,2],\"c\":[0,1]}]}",
        kernels);
}

static dfl_plan *plan_with(const char *kernels) {
    text json = {0};
    dfl_plan *plan = NULL;
    plan_json(&json, kernels);
    const dfl_status status = dfl_plan_from_json(json.data, json.len, &plan);
    if (status != DFL_OK) print_error("%s\n", dfl_last_message());
    assert_int_equal(status, DFL_OK);
    text_free(&json);
    return plan;
}

/* Uniform priors, law and covariance by name; *plan owns the kernel. */
static mix *make(const char *law, const char *covariance, double s, double sigma, int components,
                 size_t dim, dfl_plan **plan) {
    text json = {0};
    mix *m = NULL;
    kernel_json(&json, law, covariance, s, sigma, components);
    *plan = plan_with(json.data);
    text_free(&json);
    assert_int_equal(mix_new(*plan, dim, normals, NULL, &m), DFL_OK);
    return m;
}

static void drop(mix *m, dfl_plan *plan) {
    mix_free(m);
    dfl_plan_free(plan);
}

static double dot(const double *a, const double *b, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/* Component k's offset: what the kernel makes of noise that is zero. */
static void offset(const mix *m, int k, int components, double *out, size_t dim) {
    memset(out, 0, dim * sizeof *out);
    mix_apply(m, 0, (k + 0.5) / components, out);
}

/* ---- offsets --------------------------------------------------------------------------------- */

/* Sum of pi_k delta_k is zero for rand_c and ortho; ortho is a regular simplex; rand has unit
   length, and a mean that is not zero, as published. */
static void test_offsets(void **state) {
    (void)state;
    static const char *const laws[] = {"rand", "rand_c", "ortho"};
    const double s = 0.7;
    for (size_t law = 0; law < LENGTH(laws); law++) {
        dfl_plan *plan;
        mix *m = make(laws[law], "diag", s, 1, K, D, &plan);
        static double delta[K][D];
        double mean[D] = {0}, spread = 0;
        for (int k = 0; k < K; k++) {
            offset(m, k, K, delta[k], D);
            for (size_t i = 0; i < D; i++) mean[i] += delta[k][i] / K;
            spread += dot(delta[k], delta[k], D) / K;
        }
        const double drift = sqrt(dot(mean, mean, D)) / s;
        if (law == 0)
            assert_true(drift > 0.005 && drift < 0.5);
        else
            assert_true(drift < 1e-14);
        assert_true(fabs(spread / (s * s) - (law == 2 ? 1 - 1.0 / K : 1)) < 1e-13);
        for (int k = 0; k < K && law == 2; k++)
            for (int l = 0; l < K; l++)
                assert_true(fabs(dot(delta[k], delta[l], D) - s * s * ((k == l) - 1.0 / K)) <
                            1e-14);
        drop(m, plan);
    }
}

/* Two kernels share a table exactly if they name the same one. */
static void test_tables(void **state) {
    (void)state;
    static const char two[] =
        "{\"pi\":[0.5,0.5],\"offsets\":\"rand_c\",\"table\":1,\"s\":1,\"sigma\":0,\"covariance\":"
        "\"diag\"},{\"pi\":[0.5,0.5],\"offsets\":\"rand_c\",\"table\":%d,\"s\":2,\"sigma\":0,"
        "\"covariance\":\"diag\"}";
    for (int table = 1; table <= 2; table++) {
        char kernels[400];
        double first[D], second[D], none[D] = {0};
        snprintf(kernels, sizeof kernels, two, table);
        dfl_plan *plan = plan_with(kernels);
        mix *m = NULL;
        assert_int_equal(mix_new(plan, D, normals, NULL, &m), DFL_OK);
        memcpy(first, none, sizeof none);
        memcpy(second, none, sizeof none);
        mix_apply(m, 0, 0.2, first);
        mix_apply(m, 1, 0.2, second);
        double off = 0;
        for (size_t i = 0; i < D; i++) off = fmax(off, fabs(second[i] - 2 * first[i]));
        assert_true(table == 1 ? off == 0 : off > 0.01);
        drop(m, plan);
    }
}

/* ---- picks ----------------------------------------------------------------------------------- */

/* Through a run: how often each component comes up, and that neighbours in a batch, and the two
   picks of one sample, are independent. Offsets 0, 10, 20, ... tell the components apart. */
static void test_picks(void **state) {
    (void)state;
    enum { C = 5, N = 20000 };
    static const double pi[C] = {0.1, 0.25, 0.05, 0.4, 0.2};
    static float samples[2 * N];
    static double count[C], pairs[C][C];
    dfl_model *model = NULL;
    dfl_run *run = NULL;
    dfl_plan *plan = plan_with(
        "{\"pi\":[0.1,0.25,0.05,0.4,0.2],\"offsets\":\"data\",\"data\":[0,0,10,0,20,0,30,0,40,0],"
        "\"s\":1,\"sigma\":0.5,\"covariance\":\"vub\"}");
    assert_int_equal(dfl_model_open("mixture:" DFL_TEST_DATA "/mixture2d.json", NULL, &model), 0);
    assert_int_equal(dfl_run_new(plan, model, "seed=6,batch=512", &run), 0);
    assert_int_equal(dfl_run_sample(run, 0, N, NULL, NULL, samples), 0);
    int before = -1;
    for (size_t i = 0; i < N; i++) {
        const int pick = (int)lrintf(samples[2 * i] / 10);
        assert_in_range(pick, 0, C - 1);
        count[pick]++;
        if (before >= 0) pairs[before][pick]++;
        before = pick;
    }
    double square = 0, square_of_pairs = 0;
    for (int k = 0; k < C; k++) {
        square += (count[k] - N * pi[k]) * (count[k] - N * pi[k]) / (N * pi[k]);
        for (int l = 0; l < C; l++) {
            const double expected = (N - 1) * pi[k] * pi[l];
            square_of_pairs += (pairs[k][l] - expected) * (pairs[k][l] - expected) / expected;
        }
    }
    print_message("picks: chi-square %.1f of 4, pairs %.1f of 24\n", square, square_of_pairs);
    assert_true(square < 33.4 && square_of_pairs < 74.2); /* 1e-6 quantiles */
    dfl_run_free(run);
    dfl_plan_free(plan);
    dfl_model_free(model);
}

/* The smallest k with u < pi_1 + ... + pi_k, to the last bit before 1. */
static void test_pick_edges(void **state) {
    (void)state;
    static const struct {
        double u;
        int pick;
    } cases[] = {{0, 0},     {0x1.fffffffffffffp-4, 0}, {0.125, 1}, {0.249, 1}, {0.5, 4},
                 {0.875, 7}, {1 - 0x1p-53, K - 1}};
    dfl_plan *plan;
    mix *m = make("ortho", "diag", 1, 0, K, D, &plan);
    for (size_t i = 0; i < LENGTH(cases); i++) {
        double found[D] = {0}, expected[D];
        mix_apply(m, 0, cases[i].u, found);
        offset(m, cases[i].pick, K, expected, D);
        assert_memory_equal(found, expected, sizeof found);
    }
    drop(m, plan);
}

/* ---- moments --------------------------------------------------------------------------------- */

/* MANY draws of kernel 0 at seed `seed`. */
static double *draws(const mix *m, uint64_t seed) {
    double *x = mem_array((size_t)MANY * D, sizeof *x);
    assert_non_null(x);
    for (uint64_t i = 0; i < MANY; i++) {
        noise_normals(seed, DFL_DRAW_NOISE, 0, i, 0, D, x + i * D);
        mix_apply(m, 0, noise_uniform(seed, DFL_DRAW_PICK, 0, i), x + i * D);
    }
    return x;
}

/* Largest deviation of mean, variances and covariances from 0 and sigma^2 I, in standard errors. */
static void deviations(const double *x, double sigma, double off[3]) {
    const double n = MANY, variance = sigma * sigma;
    off[0] = off[1] = off[2] = 0;
    for (size_t a = 0; a < D; a++) {
        double mean = 0;
        for (size_t i = 0; i < MANY; i++) mean += x[i * D + a] / n;
        off[0] = fmax(off[0], fabs(mean) / (sigma / sqrt(n)));
        for (size_t b = 0; b <= a; b++) {
            double sum = 0;
            for (size_t i = 0; i < MANY; i++) sum += x[i * D + a] * x[i * D + b] / n;
            if (a == b)
                off[1] = fmax(off[1], fabs(sum - variance) / (variance * sqrt(2 / n)));
            else
                off[2] = fmax(off[2], fabs(sum) / (variance / sqrt(n)));
        }
    }
}

/* One draw of full and rank1 has mean 0 and covariance sigma^2 I; diag and vub must not pass. */
static void test_moments(void **state) {
    (void)state;
    const double sigma = 0.6, edge = sqrt(K) * sigma; /* the largest legal s of ortho and full */
    const struct {
        const char *law, *covariance;
        double s;
        bool variances, covariances;
    } cases[] = {
        {"ortho", "full", edge, true, true},         {"ortho", "full", edge / 2, true, true},
        {"ortho", "rank1", 0.9 * sigma, true, true}, {"rand_c", "full", sigma, true, true},
        {"ortho", "diag", edge, true, false},        {"ortho", "vub", edge, false, false},
        {"rand_c", "full", 4 * sigma, false, false}, /* too large: cut, and so not exact */
    };
    for (size_t i = 0; i < LENGTH(cases); i++) {
        dfl_plan *plan;
        double off[3];
        mix *m = make(cases[i].law, cases[i].covariance, cases[i].s, sigma, K, D, &plan);
        double *x = draws(m, 31 + i);
        deviations(x, sigma, off);
        print_message("%-6s %-5s s=%.2f sigma: mean %.1f, variances %.1f, covariances %.1f\n",
                      cases[i].law, cases[i].covariance, cases[i].s / sigma, off[0], off[1],
                      off[2]);
        assert_true(off[0] < 4.8);
        assert_true(cases[i].variances ? off[1] < 4.8 : off[1] > 20);
        assert_true(cases[i].covariances ? off[2] < 5 : off[2] > 20);
        free(x);
        drop(m, plan);
    }
}

/* Skewness along delta_1 of the exact kernel, (s / sqrt(K) sigma)^3 (K - 2) / sqrt(K - 1): 2.268
   at the largest s, an eighth of that at half of it. Gaussian noise of the same mean and covariance
   has none. */
static void test_skewness(void **state) {
    (void)state;
    const double sigma = 0.6;
    const struct { double rho, skewness; } cases[] = {{1, 2.268}, {0.5, 0.2835}, {0, 0}};
    for (size_t i = 0; i < LENGTH(cases); i++) {
        dfl_plan *plan, *probe_plan;
        double u[D], third = 0, second = 0;
        mix *m = make("ortho", "full", cases[i].rho * sqrt(K) * sigma, sigma, K, D, &plan);
        mix *probe = make("ortho", "full", 1, sigma, K, D, &probe_plan);
        offset(probe, 0, K, u, D);
        const double length = sqrt(dot(u, u, D));
        double *x = draws(m, 90);
        for (size_t j = 0; j < MANY; j++) {
            const double along = dot(u, x + j * D, D) / length;
            second += along * along / MANY;
            third += along * along * along / MANY;
        }
        const double skewness = third / pow(second, 1.5);
        print_message("skewness %.4f, expected %.4f\n", skewness, cases[i].skewness);
        assert_true(fabs(skewness - cases[i].skewness) < 0.06);
        free(x);
        drop(m, plan);
        drop(probe, probe_plan);
    }
}

/* ---- limits ---------------------------------------------------------------------------------- */

/* s = 0, and a single component, are plain noise of size sigma. */
static void test_plain(void **state) {
    (void)state;
    static const char *const covariances[] = {"diag", "vub", "full", "rank1"};
    static const char *const laws[] = {"rand", "rand_c", "ortho"};
    for (size_t c = 0; c < LENGTH(covariances); c++)
        for (size_t l = 0; l < LENGTH(laws); l++)
            for (int single = 0; single <= 1; single++) {
                dfl_plan *plan;
                double z[D], x[D];
                mix *m =
                    make(laws[l], covariances[c], single ? 0.3 : 0, 0.8, single ? 1 : K, D, &plan);
                noise_normals(1, DFL_DRAW_NOISE, 0, 0, 0, D, z);
                memcpy(x, z, sizeof x);
                mix_apply(m, 0, 0.7, x);
                for (size_t i = 0; i < D; i++) assert_true(fabs(x[i] - 0.8 * z[i]) < 1e-15);
                drop(m, plan);
            }
}

static dfl_status same_row(void *user, uint32_t table, size_t n, double *dst) {
    (void)user, (void)table;
    for (size_t i = 0; i < n; i++) dst[i] = (double)(i % D) + 1; /* rows that are all equal */
    return DFL_OK;
}

static dfl_status failing(void *user, uint32_t table, size_t n, double *dst) {
    (void)user, (void)table, (void)n, (void)dst;
    return fail(7, "no table");
}

static void test_refusals(void **state) {
    (void)state;
    static const struct {
        const char *law;
        size_t dim;
        dfl_status (*normals)(void *, uint32_t, size_t, double *);
        dfl_status status;
        const char *part;
    } cases[] = {
        {"ortho", K - 1, normals, DFL_E_COMBINATION, "do not fit in 7 dimensions"},
        {"ortho", D, same_row, DFL_E_COMBINATION, "linearly dependent"},
        {"rand", D, same_row, DFL_E_COMBINATION, "have no length"},
        {"rand_c", D, same_row, DFL_E_COMBINATION, "have no length"},
        {"rand", D, failing, 7, "no table"},
    };
    for (size_t i = 0; i < LENGTH(cases); i++) {
        dfl_plan *plan;
        mix *m = make(cases[i].law, "full", 1, 1, K, D, &plan);
        mix_free(m);
        const dfl_status status = mix_new(plan, cases[i].dim, cases[i].normals, NULL, &m);
        if (status != cases[i].status || !strstr(dfl_last_message(), cases[i].part))
            print_error("case %zu: %d, %s\n", i, status, dfl_last_message());
        assert_int_equal(status, cases[i].status);
        assert_non_null(strstr(dfl_last_message(), cases[i].part));
        assert_null(m);
        dfl_plan_free(plan);
    }
    mix *m = NULL;
    dfl_plan *plan = plan_with("{\"pi\":[0.5,0.5],\"offsets\":\"data\",\"data\":[1,2,3,-1,-2,-3],"
                               "\"s\":1,\"sigma\":1,\"covariance\":\"full\"}");
    assert_int_equal(mix_new(plan, 2, normals, NULL, &m), DFL_E_COMBINATION);
    assert_non_null(strstr(dfl_last_message(), "3 numbers each, the samples 2"));
    dfl_plan_free(plan);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_offsets), cmocka_unit_test(test_tables),
        cmocka_unit_test(test_picks),   cmocka_unit_test(test_pick_edges),
        cmocka_unit_test(test_moments), cmocka_unit_test(test_skewness),
        cmocka_unit_test(test_plain),   cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests_name("mix", tests, NULL, NULL);
}
