/* Metrics of features against sums over all pairs, hand-made sets and limits; what they refuse. */
#include "check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/metrics.h"
#include "eval/pairs.h"

/* ---- data ------------------------------------------------------------------------------------ */

/* Normal features, shifted by `shift` in every one; `whole`: rounded to integers, for ties. */
static features drawn(size_t n, size_t d, uint64_t seed, double shift, bool whole) {
    float *const x = mem_array(n * d, sizeof *x);
    double z[64];
    assert_non_null(x);
    for (size_t i = 0; i < n; i++) {
        noise_normals(seed, DFL_DRAW_TABLE, 0, i, 0, d, z);
        for (size_t j = 0; j < d; j++)
            x[i * d + j] = (float)(whole ? nearbyint(2 * z[j] + shift) : z[j] + shift);
    }
    return (features){n, d, x};
}

static void drop(features *f) {
    free((float *)f->x);
}

static double distance2(const features *a, size_t i, const features *b, size_t j) {
    double sum = 0;
    for (size_t k = 0; k < a->d; k++) {
        const double off = (double)a->x[i * a->d + k] - b->x[j * b->d + k];
        sum += off * off;
    }
    return sum;
}

static void assert_near(double found, double right, double within) {
    if (!(fabs(found - right) <= within)) REFUTE("%.17g instead of %.17g", found, right);
}

/* ---- kernels --------------------------------------------------------------------------------- */

typedef double kernel_fn(const features *a, size_t i, const features *b, size_t j, double sigma);

static double cubic(const features *a, size_t i, const features *b, size_t j, double sigma) {
    double sum = 0;
    (void)sigma;
    for (size_t k = 0; k < a->d; k++) sum += (double)a->x[i * a->d + k] * b->x[j * b->d + k];
    return pow(sum / (double)a->d + 1, 3);
}

static double bell(const features *a, size_t i, const features *b, size_t j, double sigma) {
    return exp(-distance2(a, i, b, j) / (2 * sigma * sigma));
}

static double all_pairs(const features *a, const features *b, kernel_fn *k, double sigma) {
    double aa = 0, bb = 0, ab = 0;
    const double m = (double)a->n, n = (double)b->n;
    for (size_t i = 0; i < a->n; i++) {
        for (size_t j = 0; j < a->n; j++)
            if (i != j) aa += k(a, i, a, j, sigma);
        for (size_t j = 0; j < b->n; j++) ab += k(a, i, b, j, sigma);
    }
    for (size_t i = 0; i < b->n; i++)
        for (size_t j = 0; j < b->n; j++)
            if (i != j) bb += k(b, i, b, j, sigma);
    return aa / (m * (m - 1)) + bb / (n * (n - 1)) - 2 * ab / (m * n);
}

/* 4/n times the variance of f over the rows of a. */
static double share(const features *a, const features *b, kernel_fn *k, double sigma) {
    const double n = (double)a->n;
    double sum = 0, squares = 0;
    for (size_t i = 0; i < a->n; i++) {
        double f = 0;
        for (size_t j = 0; j < a->n; j++)
            if (i != j) f += k(a, i, a, j, sigma) / (n - 1);
        for (size_t j = 0; j < b->n; j++) f -= k(a, i, b, j, sigma) / (double)b->n;
        sum += f;
        squares += f * f;
    }
    return 4 / n * (squares - sum * sum / n) / (n - 1);
}

/* Sizes on both sides of a tile's, and unequal ones; far from the origin in one feature. */
static void test_mmd(void **state) {
    (void)state;
    static const struct {
        size_t m, n;
        float origin;
    } cases[] = {{2, 2, 0}, {5, 3, 0}, {256, 257, 0}, {300, 120, 0}, {280, 30, 1e5}};
    for (size_t s = 0; s < LENGTH(cases); s++) {
        features a = drawn(cases[s].m, 5, 1, 0, false), b = drawn(cases[s].n, 5, 2, 0.3, false);
        for (size_t i = 0; i < a.n; i++) ((float *)a.x)[5 * i] += cases[s].origin;
        for (size_t i = 0; i < b.n; i++) ((float *)b.x)[5 * i] += cases[s].origin;
        mmd_result r;
        assert_ok(mmd(&a, &b, &(mmd_options){.bandwidth = 1.7}, NULL, &r));
        assert_near(r.squared, all_pairs(&a, &b, bell, 1.7), 1e-14);
        const double error = sqrt(share(&a, &b, bell, 1.7) + share(&b, &a, bell, 1.7));
        assert_near(r.error, error, 1e-7 * (error + 1));
        assert_true(r.bandwidth == 1.7);
        drop(&a);
        drop(&b);
    }
}

/* Where all rows are in the draw, the median of all distances. */
static void test_bandwidth(void **state) {
    (void)state;
    enum { M = 40, K = 31, ALL = M + K };
    double all[ALL * (ALL - 1) / 2];
    size_t count = 0;
    features both = drawn(ALL, 3, 3, 0, false);
    const features a = {M, 3, both.x}, b = {K, 3, both.x + M * 3};
    for (size_t i = 0; i < ALL; i++)
        for (size_t j = 0; j < i; j++) all[count++] = sqrt(distance2(&both, i, &both, j));
    sort_reals(all, count);
    mmd_result r, again;
    assert_ok(mmd(&a, &b, &(mmd_options){0}, NULL, &r));
    assert_near(r.bandwidth, (all[count / 2] + all[(count - 1) / 2]) / 2, 1e-14);
    assert_near(r.squared, all_pairs(&a, &b, bell, r.bandwidth), 1e-14);
    features many = drawn(900, 3, 4, 0, false);
    assert_ok(mmd(&many, &a, &(mmd_options){.seed = 1}, NULL, &r));
    assert_ok(mmd(&many, &a, &(mmd_options){.seed = 2}, NULL, &again));
    assert_true(r.bandwidth != again.bandwidth && fabs(r.bandwidth / again.bandwidth - 1) < 0.02);
    drop(&both);
    drop(&many);
}

/* Reported errors against the spread over fresh data. `size`: of KID's subsets; 0: MMD. */
static double error_ratio(size_t n, size_t size, double shift) {
    enum { DRAWS = 120 };
    double sum = 0, squares = 0, reported = 0;
    for (uint64_t s = 0; s < DRAWS; s++) {
        features a = drawn(n, 3, 100 + 2 * s, 0, false);
        features b = drawn(n - n / 6, 3, 101 + 2 * s, shift, false);
        mmd_result m = {0};
        kid_result k = {0};
        if (size) assert_ok(kid(&a, &b, &(kid_options){50, size, s}, NULL, &k));
        if (!size) assert_ok(mmd(&a, &b, &(mmd_options){.bandwidth = 2}, NULL, &m));
        const double value = size ? k.mean : m.squared, error = size ? k.error : m.error;
        sum += value;
        squares += value * value;
        reported += error * error / DRAWS;
        drop(&a);
        drop(&b);
    }
    const double mean = sum / DRAWS;
    const double ratio = sqrt(reported / (squares / DRAWS - mean * mean));
    print_message("n=%zu, subsets of %zu, shift %g: reported error %.3g of the true one\n", n, size,
                  shift, ratio);
    return ratio;
}

/* Right where the sets differ (the spread is known within 7 %); where they do not, not too small, and
   at most as much too large as documented: sqrt 2, and sqrt(n/size) with subsets. */
static void test_errors(void **state) {
    (void)state;
    static const struct {
        size_t n, size;
        double shift, least, most;
    } cases[] = {{120, 0, 1, 0.85, 1.25},
                 {120, 0, 0, 1.15, 1.75},
                 {120, 100, 1, 0.8, 1.4},
                 {360, 30, 0.7, 0.8, 1.35},
                 {360, 30, 0, 1.0, 4.0}};
    for (size_t i = 0; i < LENGTH(cases); i++) {
        const double ratio = error_ratio(cases[i].n, cases[i].size, cases[i].shift);
        assert_true(ratio > cases[i].least && ratio < cases[i].most);
    }
}

static void test_kid(void **state) {
    (void)state;
    features a = drawn(300, 6, 5, 0, false), b = drawn(300, 6, 6, 0.4, false);
    kid_result r, again;
    assert_ok(kid(&a, &b, &(kid_options){0}, NULL, &r));
    assert_near(r.mean, all_pairs(&a, &b, cubic, 0), 1e-12);
    assert_true(r.subsets == 1 && r.subset_size == 300 && r.std == 0 && r.error > 0);
    const kid_options o = {.subsets = 400, .subset_size = 60, .seed = 3};
    const double whole = r.mean;
    assert_ok(kid(&a, &b, &o, NULL, &r));
    assert_true(r.subsets == 400 && r.subset_size == 60 && r.std > 0);
    assert_near(r.subset_error, r.std / 20, 1e-15);
    assert_near(r.error, r.std / sqrt(0.8 * 5), 1e-15);
    assert_near(r.mean, whole, 4 * r.subset_error);
    assert_true(fabs(r.mean - whole) > 1e-6); /* subsets, and not all rows */
    assert_ok(kid(&a, &b, &o, NULL, &again));
    assert_memory_equal(&r, &again, sizeof r);
    assert_ok(kid(&a, &b, &(kid_options){400, 60, 4}, NULL, &again));
    assert_true(again.mean != r.mean);
    const features some = {100, 6, a.x};
    assert_ok(kid(&some, &b, &(kid_options){.subsets = 7}, NULL, &r));
    assert_true(r.subset_size == 100 && r.subsets == 7 && r.std > 0 && r.error > r.subset_error);
    drop(&a);
    drop(&b);
}

/* Every subset without repetition, every number as often. */
static void test_subsets(void **state) {
    (void)state;
    enum { K = 12, SIZE = 5, DRAWS = 6000 };
    uint32_t *const order = identity_order(K);
    int hits[K] = {0};
    for (uint32_t s = 0; s < DRAWS; s++) {
        uint32_t seen = 0;
        draw_subset(7, METRIC_DRAW_SUBSET, s, SIZE, K, order);
        for (int i = 0; i < K; i++) seen |= 1U << order[i];
        for (int i = 0; i < SIZE; i++) hits[order[i]]++;
        assert_int_equal(seen, (1U << K) - 1);
    }
    for (int i = 0; i < K; i++) /* 38 is one standard deviation */
        assert_true(abs(hits[i] - DRAWS * SIZE / K) < 150);
    free(order);
}

/* ---- neighbours ------------------------------------------------------------------------------ */

static double reach(const features *f, size_t row, size_t k) {
    double *const all = mem_array(f->n, sizeof *all);
    size_t count = 0;
    for (size_t j = 0; j < f->n; j++)
        if (j != row) all[count++] = distance2(f, row, f, j);
    sort_reals(all, count);
    const double found = all[k - 1];
    free(all);
    return found;
}

static prdc_result by_hand(const features *real, const features *made, size_t k1, size_t k2) {
    prdc_result r = {0};
    for (size_t i = 0; i < real->n; i++) {
        const double far = reach(real, i, k2);
        bool covered = false;
        for (size_t j = 0; j < made->n; j++) {
            const bool in = distance2(real, i, made, j) < far;
            covered |= in;
            r.density += in;
        }
        r.coverage += covered;
    }
    for (int side = 0; side < 2; side++) {
        const features *from = side ? made : real, *to = side ? real : made;
        bool *const inside = mem_array(to->n, sizeof *inside);
        double count = 0;
        for (size_t i = 0; i < from->n; i++) {
            const double near = reach(from, i, k1);
            for (size_t j = 0; j < to->n; j++) inside[j] |= distance2(from, i, to, j) <= near;
        }
        for (size_t j = 0; j < to->n; j++) count += inside[j];
        *(side ? &r.recall : &r.precision) = count / (double)to->n;
        free(inside);
    }
    r.density /= (double)(k2 * made->n);
    r.coverage /= (double)real->n;
    return r;
}

static void assert_prdc(const features *real, const features *made, prdc_options o) {
    prdc_result r;
    assert_ok(prdc(real, made, &o, NULL, &r));
    const prdc_result right =
        by_hand(real, made, o.k_precision ? o.k_precision : 3, o.k_density ? o.k_density : 5);
    assert_near(r.precision, right.precision, 1e-14);
    assert_near(r.recall, right.recall, 1e-14);
    assert_near(r.density, right.density, 1e-12);
    assert_near(r.coverage, right.coverage, 1e-14);
    assert_true(r.precision > 0.05 && r.precision < 1 && r.recall > 0.05 && r.recall < 1);
    assert_true(r.coverage > 0.05 && r.coverage < 1 && r.density > 0.02);
}

/* Plain numbers, and integers: full of points that are equal, and of points on a ball's edge; far
   from the origin, where products alone would lose them. */
static void test_prdc(void **state) {
    (void)state;
    features a = drawn(400, 4, 8, 0, false), b = drawn(270, 4, 9, 0.8, false);
    assert_prdc(&a, &b, (prdc_options){0});
    assert_prdc(&b, &a, (prdc_options){0});
    assert_prdc(&a, &b, (prdc_options){5, 2});
    for (size_t i = 0; i < 120; i++) /* points of both sets: each stands on an edge of balls */
        memcpy((float *)b.x + 4 * i, a.x + 8 * i, 4 * sizeof *a.x);
    assert_prdc(&a, &b, (prdc_options){0});
    drop(&a);
    drop(&b);
    for (double origin = 0; origin < 2e4; origin += 1e4) {
        a = drawn(300, 3, 10, origin, true), b = drawn(290, 3, 11, origin + 2, true);
        assert_prdc(&a, &b, (prdc_options){0});
        assert_prdc(&a, &b, (prdc_options){1, 1});
        drop(&a);
        drop(&b);
    }
}

/* On a line: real 0 1 2 10, generated 1 3 3 30, with k = 1: real balls [-1, 1], [0, 2], [1, 3],
   [2, 18]; generated [-1, 3], [3, 3] twice, [3, 57]. */
static void test_line(void **state) {
    (void)state;
    static const float x[] = {0, 1, 2, 10}, y[] = {1, 3, 3, 30};
    const features real = {4, 1, x}, made = {4, 1, y};
    prdc_result r;
    assert_ok(prdc(&real, &made, &(prdc_options){1, 1}, NULL, &r));
    assert_near(r.precision, 0.75, 0);  /* 1, and both 3 */
    assert_near(r.recall, 1, 0);        /* 0, 1, 2 in the first, 10 in the last */
    assert_near(r.density, 3.0 / 4, 0); /* open: 1 in [0, 2]; both 3 in [2, 18] */
    assert_near(r.coverage, 0.5, 0);
}

/* ---- sliced Wasserstein ---------------------------------------------------------------------- */

static double on_line(size_t m, const float *x, size_t n, const float *y) {
    sliced_result r;
    assert_ok(sliced_wasserstein(&(features){m, 1, x}, &(features){n, 1, y},
                                 &(sliced_options){.directions = 5}, NULL, &r));
    assert_true(r.error < 1e-12); /* each direction sees the same */
    return r.distance;
}

static void test_sliced_line(void **state) {
    (void)state;
    static const float x[] = {3, 0, 1}, y[] = {2, -1}, same[] = {3, 1, 0, 0, 1, 3};
    /* quantiles 0 1 3 against -1 2: thirds and halves make 1/3, 1/6, 1/6, 1/3 */
    assert_near(on_line(3, x, 2, y), sqrt((1 * 2 + 4 * 1 + 1 * 1 + 1 * 2) / 6.0), 1e-15);
    assert_near(on_line(2, y, 3, x), sqrt(9 / 6.0), 1e-15);
    assert_near(on_line(3, x, 6, same), 0, 0);
    assert_near(on_line(1, x, 1, y), 1, 0);
}

/* Of a set and its shift by s: the mean over directions of (direction . s)^2. */
static void test_sliced_shift(void **state) {
    (void)state;
    enum { M = 300, WIDTH = 7, L = 500 };
    features a = drawn(M, WIDTH, 12, 0, true), b = drawn(M, WIDTH, 12, 3, true);
    const sliced_options o = {.directions = L, .seed = 9};
    sliced_result r, again;
    assert_ok(sliced_wasserstein(&a, &b, &o, NULL, &r));
    double mean = 0, fourth = 0, z[WIDTH];
    for (uint64_t l = 0; l < L; l++) {
        double norm = 0, along = 0;
        noise_normals(9, METRIC_DRAW_DIRECTION, 0, l, 0, WIDTH, z);
        for (int k = 0; k < WIDTH; k++) norm += z[k] * z[k], along += 3 * z[k];
        mean += along * along / norm / L;
        fourth += pow(along * along / norm, 2) / L;
    }
    assert_near(r.distance, sqrt(mean), 1e-12);
    assert_near(r.error, sqrt((fourth - mean * mean) / (L - 1)) / (2 * sqrt(mean)), 1e-12);
    assert_near(r.distance, 3, 4 * r.error); /* E (direction . s)^2 = |s|^2/d */
    assert_ok(sliced_wasserstein(&b, &a, &o, NULL, &again));
    assert_true(again.distance == r.distance);
    assert_ok(sliced_wasserstein(&b, &a, &(sliced_options){.directions = L}, NULL, &again));
    assert_true(again.distance != r.distance);
    drop(&a);
    drop(&b);
}

/* ---- refusals and watching ------------------------------------------------------------------- */

static void test_refused(void **state) {
    (void)state;
    static float x[20];
    const features six = {6, 2, x}, five = {5, 2, x}, one = {1, 2, x}, wide = {4, 3, x};
    kid_result k;
    mmd_result m;
    prdc_result p;
    sliced_result s;
    for (int i = 0; i < 20; i++) x[i] = (float)(i * i);
    refused(kid(&six, &wide, &(kid_options){0}, NULL, &k), DFL_E_COMBINATION, "2 features");
    refused(kid(&six, &one, &(kid_options){0}, NULL, &k), DFL_E_RANGE, "second set: 1 samples");
    refused(kid(&six, &five, &(kid_options){.subset_size = 6}, NULL, &k), DFL_E_RANGE, "2 to 5");
    refused(kid(&six, &five, &(kid_options){.subset_size = 1}, NULL, &k), DFL_E_RANGE, "of 1;");
    refused(kid(&six, &five, &(kid_options){.subsets = 1000001}, NULL, &k), DFL_E_RANGE, "at most");
    refused(mmd(&six, &wide, &(mmd_options){0}, NULL, &m), DFL_E_COMBINATION, "2 features");
    refused(mmd(&one, &six, &(mmd_options){0}, NULL, &m), DFL_E_RANGE, "first set: 1 samples");
    refused(mmd(&six, &five, &(mmd_options){.bandwidth = -1}, NULL, &m), DFL_E_RANGE, "above 0");
    refused(mmd(&six, &five, &(mmd_options){.bandwidth = NAN}, NULL, &m), DFL_E_RANGE, "above 0");
    refused(mmd(&six, &five, &(mmd_options){.bandwidth = 1e-160}, NULL, &m), DFL_E_RANGE, "out of");
    refused(prdc(&six, &wide, &(prdc_options){0}, NULL, &p), DFL_E_COMBINATION, "2 features");
    refused(prdc(&six, &five, &(prdc_options){0}, NULL, &p), DFL_E_RANGE, "5 samples; 6 to");
    refused(prdc(&six, &six, &(prdc_options){65, 1}, NULL, &p), DFL_E_RANGE, "at most 64");
    refused(sliced_wasserstein(&six, &wide, &(sliced_options){0}, NULL, &s), DFL_E_COMBINATION,
            "2");
    refused(sliced_wasserstein(&six, &(features){0, 2, x}, &(sliced_options){0}, NULL, &s),
            DFL_E_RANGE, "0 samples");
    refused(sliced_wasserstein(&six, &six, &(sliced_options){.directions = 1000001}, NULL, &s),
            DFL_E_RANGE, "at most");
    refused(features_check(&(features){1, 0, x}, "these", 1), DFL_E_RANGE, "these: 0 features");
    x[9] = INFINITY;
    refused(kid(&five, &six, &(kid_options){0}, NULL, &k), DFL_E_NONFINITE,
            "feature 1 of sample 4");
    refused(mmd(&five, &six, &(mmd_options){0}, NULL, &m), DFL_E_NONFINITE, "first set: feature 1");
    refused(prdc(&six, &six, &(prdc_options){0}, NULL, &p), DFL_E_NONFINITE, "feature 1");
    refused(sliced_wasserstein(&six, &six, &(sliced_options){0}, NULL, &s), DFL_E_NONFINITE, "1");
    memset(x, 0, sizeof x);
    refused(mmd(&six, &five, &(mmd_options){0}, NULL, &m), DFL_E_RANGE,
            "is zero: most of them are alike");
}

typedef struct {
    size_t calls, stop_at, done, total;
} watched;

static int look(void *user, size_t done, size_t total) {
    watched *const w = user;
    assert_true(w->calls ? done > w->done && done < total : done == 0);
    w->done = done;
    w->total = total;
    return ++w->calls == w->stop_at ? 42 : 0;
}

/* Every metric says how far it is, and ends with the watcher's code. */
static int work_of(int which, const metric_watch *watch) {
    features a = drawn(600, 2, 14, 0, false), b = drawn(300, 2, 15, 0, false);
    kid_result k;
    mmd_result m;
    prdc_result p;
    sliced_result s;
    int status = 0;
    if (which == 0) status = kid(&a, &b, &(kid_options){5, 30, 0}, watch, &k);
    if (which == 1) status = mmd(&a, &b, &(mmd_options){0}, watch, &m);
    if (which == 2) status = prdc(&a, &b, &(prdc_options){0}, watch, &p);
    if (which == 3) status = sliced_wasserstein(&a, &b, &(sliced_options){70, 0}, watch, &s);
    drop(&a);
    drop(&b);
    return status;
}

static void test_watched(void **state) {
    (void)state;
    static const size_t calls[] = {5, 8, 8, 5};
    for (int which = 0; which < 4; which++) {
        watched w = {0}, stopped = {.stop_at = 3};
        assert_ok(work_of(which, &(metric_watch){look, &w}));
        assert_int_equal(w.calls, calls[which]);
        assert_int_equal(work_of(which, &(metric_watch){look, &stopped}), 42);
        assert_int_equal(stopped.calls, 3);
        assert_ok(work_of(which, &(metric_watch){0}));
        assert_int_equal(w.total, which == 3 ? 70 : calls[which]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mmd),          cmocka_unit_test(test_bandwidth),
        cmocka_unit_test(test_errors),       cmocka_unit_test(test_kid),
        cmocka_unit_test(test_subsets),      cmocka_unit_test(test_prdc),
        cmocka_unit_test(test_line),         cmocka_unit_test(test_sliced_line),
        cmocka_unit_test(test_sliced_shift), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_watched),
    };
    return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
