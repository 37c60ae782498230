/* From data to a prior: every structure, the gate, noised data, classes, restarts, refusals. */
#include "check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "prior/fit.h"

enum { N = 3000 };

/* Clusters along lines in d dimensions, in no order; their number as labels. */
static double *clusters(size_t n, size_t d, int64_t *label) {
    double *const x = calloc(n * d, sizeof *x), *const z = calloc(d + 2, sizeof *z);
    for (size_t i = 0; i < n; i++) {
        const size_t c = (size_t)(3 * noise_uniform(2, 1, 0, i));
        noise_normals(2, DFL_DRAW_START, 0, i, 0, d + 2, z);
        for (size_t j = 0; j < d; j++)
            x[i * d + j] = (j % 3 == c ? 0.8 : -0.3) + 0.1 * z[j] +
                           0.3 * z[d] * cos((double)(j * (c + 1))) +
                           0.2 * z[d + 1] * sin((double)j);
        if (label) label[i] = (int64_t)c;
    }
    free(z);
    return x;
}

static const gate_row gates[2] = {{0.8114, 0.5845, 0, 0}, {0.1619, 0.9868, 0, 0}};

static fit_wish wish_for(kind which) {
    return (fit_wish){
        .em = {.kind = which, .k = which == KIND_GAUSS ? 1 : 3, .q = 2, .reg = 1e-6, .floor = 1e-4},
        .iterations = 60,
        .restarts = 2,
        .seed = 1,
        .held_share = 0.1,
        .a = 1,
        .gate = gates,
        .ngate = 2};
}

static void test_kinds(void **state) {
    (void)state;
    const size_t d = 6;
    double *const x = clusters(N, d, NULL);
    const rows data = rows_memory(x, N, d);
    double held[KINDS];
    for (int i = 0; i < KINDS; i++) {
        const fit_wish wish = wish_for((kind)i);
        fit_report report;
        const gate_row *row;
        prior *p;
        assert_ok(prior_fit(&wish, &data, NULL, &p, &report));
        assert_int_equal(prior_gate(p, &row), 2);
        assert_true(gate_passed(&row[0]) && row[0].gain > row[1].gain);
        assert_int_equal(report.rows + report.held_out, N);
        assert_true(report.held_out > N / 12 && report.held_out < N / 8);
        assert_true(report.converged);
        held[i] = report.held_loglik;
        prior_free(p);
    }
    free(x);
    /* the clusters are of rank two with noise alike in all directions: structures that say so win */
    assert_true(held[KIND_FULL] > held[KIND_GAUSS] + 0.5);
    assert_true(held[KIND_FULL] > held[KIND_TIED] + 0.1 && held[KIND_TIED] > held[KIND_DIAG]);
    assert_true(fabs(held[KIND_PPCA] - held[KIND_FULL]) < 0.1);
    assert_true(fabs(held[KIND_FA] - held[KIND_FULL]) < 0.1);
    assert_true(held[KIND_PCAGMM] > held[KIND_GAUSS]);
}

/* Pure noise: no structure gains anything on what was held out, at any time. */
static void test_gate(void **state) {
    (void)state;
    enum { ROWS = 1200, D = 12 };
    double *const x = calloc(ROWS * D, sizeof *x);
    for (size_t i = 0; i < ROWS; i++) noise_normals(9, DFL_DRAW_START, 0, i, 0, D, x + i * D);
    const rows data = rows_memory(x, ROWS, D);
    for (int i = 0; i < KINDS; i++) {
        const fit_wish wish = wish_for((kind)i);
        fit_report report;
        const gate_row *row;
        prior *p;
        assert_ok(prior_fit(&wish, &data, NULL, &p, &report));
        for (size_t g = 0; g < prior_gate(p, &row); g++) {
            assert_false(gate_passed(&row[g]));
            assert_true(row[g].gain < 0.2 && row[g].error > 0);
        }
        /* as good as N(0, I) in the end, so nothing but the gate can tell */
        assert_true(row[1].gain > -1);
        prior_free(p);
    }
    free(x);
}

/* The gate's figure is what it says: exact for a known density and known rows. */
static void test_gain(void **state) {
    (void)state;
    const double x[] = {1, 3}; /* one dimension, N(1, 4) against N(0, 1) */
    prior *p;
    gate_row row;
    assert_ok(form_new(&(form_wish){KIND_DIAG, 1, 1, 0, 0}, &p));
    p->weight[0] = 1;
    p->mean[0] = 1;
    p->psi[0] = 4;
    assert_ok(form_finish(p));
    const rows data = rows_memory(x, 2, 1);
    assert_ok(prior_gain(p, &data, &row));
    const double first = -log(2) + 0.5, second = -log(2) - 0.5 + 4.5;
    assert_true(fabs(row.gain - (first + second) / 2) < 1e-14);
    assert_true(fabs(row.error - fabs(second - first) / 2) < 1e-14);
    prior_free(p);
}

/* Mean of the covariance's least eigenvalue is below b^2 where rows are few: never after the fit. */
static void test_noised(void **state) {
    (void)state;
    const size_t d = 6, n = 60;
    double *const x = clusters(n, d, NULL), probe[6], logp[2];
    const rows data = rows_memory(x, n, d);
    for (int i = 0; i < KINDS; i++) {
        fit_wish wish = wish_for((kind)i);
        fit_report report;
        prior *p;
        const gate_row *row;
        wish.em.k = 1;
        wish.a = 0.6;
        wish.b = 0.8;
        wish.add_noise = true;
        wish.held_share = 0.3;
        assert_ok(prior_fit(&wish, &data, NULL, &p, &report));
        assert_int_equal(prior_gate(p, &row), 1);
        assert_true(row->a == 0.6 && row->b == 0.8);
        /* no density of x_T is above that of N(m, b^2 I) at its mode */
        assert_ok(prior_moments(p, probe, NULL));
        assert_ok(prior_logp(p, probe, 1, logp));
        assert_true(logp[0] <= -3 * log(2 * acos(-1) * 0.64) + 1e-9);
        prior_free(p);
    }
    free(x);
}

static void test_fit_classes(void **state) {
    (void)state;
    const size_t d = 6;
    int64_t *const label = calloc(N, sizeof *label);
    double *const x = clusters(N, d, label);
    const rows data = rows_memory(x, N, d);
    for (int i = 0; i < KINDS; i++) {
        fit_wish wish = wish_for((kind)i);
        fit_report report;
        prior *p;
        double s[6];
        wish.em.k = 1;
        wish.restarts = 1;
        assert_ok(prior_fit(&wish, &data, label, &p, &report));
        assert_int_equal(prior_classes(p), 3);
        assert_int_equal(prior_components(p), 3);
        for (int64_t c = 0; c < 3; c++) {
            prior *one;
            assert_ok(prior_only(p, c, &one));
            assert_ok(prior_moments(one, s, NULL));
            for (size_t j = 0; j < d; j++)
                assert_true(fabs(s[j] - (j % 3 == (size_t)c ? 0.8 : -0.3)) < 0.05);
            prior_free(one);
        }
        prior_free(p);
    }
    label[0] = 3; /* a class of one row */
    const fit_wish wish = wish_for(KIND_DIAG);
    fit_report report;
    prior *p;
    assert_true(prior_fit(&wish, &data, label, &p, &report) == DFL_E_RANGE);
    assert_message_has("class 3");
    free(label);
    free(x);
}

/* Directions found pass by pass agree with the covariance summed up whole. */
static void test_along(void **state) {
    (void)state;
    enum { WIDE = 1040 }; /* above the size that is summed up whole */
    const size_t n = 300;
    double *const x = clusters(n, WIDE, NULL), *const some = calloc(n * 40, sizeof *some);
    for (size_t i = 0; i < n; i++) memcpy(some + i * 40, x + i * WIDE, 40 * sizeof *some);
    uint32_t *const label = calloc(n, sizeof *label);
    for (int i = KIND_PPCA; i <= KIND_FA; i++) {
        const rows data = rows_memory(some, n, 40);
        const em_settings set = {.kind = (kind)i, .k = 1, .q = 3, .floor = 1e-6};
        em_settings narrow = set;
        narrow.whole_side = 1;
        double whole, along;
        em *a, *b;
        assert_ok(em_new(&set, &data, &a));
        assert_ok(em_new(&narrow, &data, &b));
        assert_int_equal(a->sums, SUM_WHOLE);
        assert_int_equal(b->sums, SUM_ALONG);
        assert_ok(em_start(a, label));
        assert_ok(em_start(b, label));
        for (int s = 0; s < 40; s++) {
            assert_ok(em_step(a, &whole));
            assert_ok(em_step(b, &along));
        }
        assert_true(fabs(whole - along) < 1e-6);
        em_free(a);
        em_free(b);
    }
    const rows data = rows_memory(x, n, WIDE);
    const em_settings set = {.kind = KIND_PPCA, .k = 2, .q = 3, .floor = 1e-6};
    em *e;
    double before, after;
    for (size_t i = 0; i < n; i++) label[i] = (uint32_t)(i % 2);
    assert_ok(em_new(&set, &data, &e));
    assert_int_equal(e->sums, SUM_ALONG);
    assert_ok(em_start(e, label));
    assert_ok(em_step(e, &before));
    for (int s = 0; s < 5; s++) assert_ok(em_step(e, &after));
    assert_true(after > before);
    em_free(e);
    free(x);
    free(some);
    free(label);
}

static double trace_of(const prior *p, size_t k) {
    double trace = 0;
    for (size_t j = 0; j < p->d; j++) {
        trace += p->cov ? p->cov[(k * p->d + j) * p->d + j] : p->psi[k * p->d + j];
        for (size_t l = 0; p->factor && l < p->q; l++)
            trace += pow(p->factor[(k * p->d + j) * p->q + l], 2);
    }
    return trace;
}

/* Component 2 is component 1 now: mean and trace of the covariance are those of its rows. */
static void moved_whole(const em *e, const double *x, const uint32_t *label) {
    const size_t d = e->data->d, n = e->data->n;
    double trace = 0, count = 0;
    for (size_t r = 0; r < n; r++) count += label[r] == 2;
    for (size_t j = 0; j < d; j++) {
        double mean = 0;
        for (size_t r = 0; r < n; r++)
            if (label[r] == 2) mean += x[r * d + j] / count;
        for (size_t r = 0; r < n; r++)
            if (label[r] == 2) trace += pow(x[r * d + j] - mean, 2) / count;
        assert_true(fabs(e->p->mean[d + j] - mean) < 1e-12);
    }
    if (!e->p->factor) trace += (double)d * e->set.reg;
    if (e->set.kind != KIND_TIED) assert_true(fabs(trace_of(e->p, 1) - trace) < 1e-10);
}

/* A component with fewer rows than its covariance needs goes; its rows find another one. */
static void test_removed(void **state) {
    (void)state;
    const size_t d = 4, n = 120;
    double *const x = clusters(n, d, NULL), value;
    uint32_t *const label = calloc(n, sizeof *label);
    const rows data = rows_memory(x, n, d);
    for (int i = KIND_DIAG; i < KINDS; i++) {
        if (i == KIND_PCAGMM) continue;
        const em_settings set = {.kind = (kind)i, .k = 3, .q = 2, .reg = 1e-4, .floor = 1e-4};
        const size_t few = i == KIND_FULL ? d : i == KIND_DIAG || i == KIND_TIED ? 1 : 3;
        em *e;
        for (size_t r = 0; r < n; r++) label[r] = r < few ? 1 : r % 2 ? 0 : 2;
        assert_ok(em_new(&set, &data, &e));
        assert_ok(em_start(e, label));
        assert_int_equal(prior_components(e->p), 2);
        assert_int_equal(e->removed, 1);
        assert_true(fabs(e->p->weight[0] + e->p->weight[1] - 1) < 1e-14);
        moved_whole(e, x, label);
        assert_ok(em_step(e, &value));
        em_free(e);
        for (size_t r = 0; r < n; r++) label[r] = r < few + 1 ? 1 : r % 2 ? 0 : 2;
        assert_ok(em_new(&set, &data, &e));
        assert_ok(em_start(e, label)); /* one row more is enough */
        assert_int_equal(prior_components(e->p), 3);
        em_free(e);
    }
    free(label);
    free(x);
}

/* Same seed, same bits; another seed, another fit. */
static void test_determined(void **state) {
    (void)state;
    const size_t d = 4;
    double *const x = clusters(600, d, NULL);
    const rows data = rows_memory(x, 600, d);
    fit_wish wish = wish_for(KIND_FULL);
    fit_report report;
    prior *a, *b, *c;
    assert_ok(prior_fit(&wish, &data, NULL, &a, &report));
    assert_ok(prior_fit(&wish, &data, NULL, &b, &report));
    wish.seed = 2;
    assert_ok(prior_fit(&wish, &data, NULL, &c, &report));
    assert_memory_equal(a->cov, b->cov, 3 * d * d * sizeof(double));
    assert_memory_not_equal(a->mean, c->mean, 3 * d * sizeof(double));
    prior_free(a);
    prior_free(b);
    prior_free(c);
    free(x);
}

/* The best of several starts by held-out data: never worse than the first, at times better. */
static void test_restarts(void **state) {
    (void)state;
    const size_t d = 4;
    double *const x = clusters(400, d, NULL);
    const rows data = rows_memory(x, 400, d);
    int better = 0;
    for (uint64_t seed = 0; seed < 6; seed++) {
        fit_wish wish = wish_for(KIND_DIAG);
        fit_report one, four;
        prior *p;
        wish.em.k = 6;
        wish.seed = seed;
        wish.restarts = 1;
        assert_ok(prior_fit(&wish, &data, NULL, &p, &one));
        prior_free(p);
        wish.restarts = 4;
        assert_ok(prior_fit(&wish, &data, NULL, &p, &four));
        prior_free(p);
        assert_true(four.held_loglik >= one.held_loglik);
        assert_true((four.restart > 0) == (four.held_loglik > one.held_loglik));
        better += four.restart > 0;
    }
    assert_true(better > 0);
    free(x);
}

static int stop_after(void *user, size_t n) {
    size_t *const left = user;
    *left -= *left < n ? *left : n;
    return *left == 0 ? 77 : 0;
}

static void refuses(fit_wish wish, const rows *data, dfl_status status, const char *part) {
    fit_report report;
    prior *p;
    refused(prior_fit(&wish, data, NULL, &p, &report), status, part);
    assert_null(p);
}

static void test_refusals(void **state) {
    (void)state;
    double *const x = clusters(100, 60, NULL);
    const rows data = rows_memory(x, 100, 60), few = rows_memory(x, 4, 2);
    fit_wish wish = wish_for(KIND_FULL);
    refuses(wish, &data, DFL_E_RANGE, "at least 120");
    wish.em.kind = KIND_GAUSS;
    wish.em.k = 1;
    refuses(wish, &data, DFL_E_RANGE, "at least 120");
    wish.em.shrink = 0.1;
    fit_report report;
    prior *p;
    assert_ok(prior_fit(&wish, &data, NULL, &p, &report)); /* shrinking makes it possible */
    prior_free(p);
    wish = wish_for(KIND_DIAG);
    wish.em.k = 60;
    refuses(wish, &data, DFL_E_RANGE, "at most half");
    wish = wish_for(KIND_PPCA);
    wish.em.q = 60;
    refuses(wish, &data, DFL_E_RANGE, "rank 60");
    refuses(wish_for(KIND_DIAG), &few, DFL_E_RANGE, "held out");
    const rows vast = {.n = 20, .d = (size_t)1 << 40, .get = data.get};
    refuses(wish, &vast, DFL_E_RANGE, "at most 262144");
    const double flat[40] = {0};
    const rows same = rows_memory(flat, 20, 2);
    wish = wish_for(KIND_DIAG);
    wish.held_share = 0.4;
    refuses(wish, &same, DFL_E_RANGE, "all rows of the data are the same");
    size_t left = 300;
    wish = wish_for(KIND_DIAG);
    wish.watch = stop_after;
    wish.user = &left;
    assert_int_equal(prior_fit(&wish, &data, NULL, &p, &report), 77);
    assert_null(p);
    free(x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),       cmocka_unit_test(test_gate),
        cmocka_unit_test(test_gain),        cmocka_unit_test(test_noised),
        cmocka_unit_test(test_fit_classes), cmocka_unit_test(test_along),
        cmocka_unit_test(test_removed),     cmocka_unit_test(test_restarts),
        cmocka_unit_test(test_determined),  cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
