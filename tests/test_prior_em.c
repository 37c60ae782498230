/* The updates of a fit against iterations that were stored: EM, variational, low rank, k-means++.
   tests/gen/prior_cases.py and cut_times.py made the data. */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "prior/fit.h"

typedef struct {
    json_t *root;
    json_in in;
    double *x;
    size_t n, d;
} stored;

static stored load(const char *name, const char *data, size_t d) {
    stored s = {.d = d};
    char path[400];
    snprintf(path, sizeof path, "%s/%s", DFL_TEST_DATA, name);
    assert_ok(json_read(path, 1 << 20, &s.root, &s.in));
    size_t count;
    assert_ok(json_get_reals(&s.in, data, 4096, &s.x, &count));
    s.n = count / d;
    return s;
}

static void unload(stored *s) {
    free(s->x);
    json_decref(s->root);
}

static double far_off(const json_in *in, const char *key, const double *have, size_t n) {
    double *want, most = 0;
    size_t count;
    assert_ok(json_get_reals(in, key, 4096, &want, &count));
    assert_int_equal(count, n);
    for (size_t i = 0; i < n; i++)
        if (!(fabs(want[i] - have[i]) <= most)) most = fabs(want[i] - have[i]);
    free(want);
    return most;
}

static json_in item(const json_in *in, const char *key, size_t i) {
    const json_t *list;
    assert_ok(json_get_array(in, key, &list));
    return (json_in){.object = json_array_get(list, i), .where = "case"};
}

static kind kind_of(const char *word) {
    for (int i = 0; i < KINDS; i++)
        if (strcmp(kind_names[i], word) == 0) return (kind)i;
    return KIND_GAUSS;
}

/* Weights 1/K, means = the first K rows, covariances I. */
static void start_plainly(em *e, const double *x) {
    prior *const p = e->p;
    const size_t d = p->d;
    memcpy(p->mean, x, p->k * d * sizeof *x);
    for (size_t k = 0; k < p->k; k++) p->weight[k] = 1. / (double)p->k;
    for (size_t i = 0; p->psi && i < p->k * d; i++) p->psi[i] = 1;
    for (size_t i = 0; p->cov && i < form_size(p, 's') * d; i++)
        p->cov[i / d * d * d + i % d * (d + 1)] = 1;
    assert_ok(form_finish(p));
}

static void nearest_labels(const stored *s, size_t k, uint32_t *label) {
    for (size_t i = 0; i < s->n; i++) {
        double best = HUGE_VAL;
        for (size_t j = 0; j < k; j++) {
            double away = 0;
            for (size_t e = 0; e < s->d; e++)
                away += pow(s->x[i * s->d + e] - s->x[j * s->d + e], 2);
            if (away < best) label[i] = (uint32_t)j;
            if (away < best) best = away;
        }
    }
}

/* Covariances of all components, whole, whatever the structure. */
static double *covariances(const prior *p) {
    const size_t d = p->d;
    double *const c = calloc(p->k * d * d, sizeof *c);
    for (size_t k = 0; k < p->k; k++)
        for (size_t i = 0; i < d; i++)
            for (size_t j = 0; j < d; j++) {
                double v = i == j && p->psi ? p->psi[k * d + i] : 0;
                for (size_t l = 0; l < p->q; l++)
                    v += p->factor[(k * d + i) * p->q + l] * p->factor[(k * d + j) * p->q + l];
                if (p->cov) v = p->cov[(form_cov_of(p, k) * d + i) * d + j];
                c[(k * d + i) * d + j] = v;
            }
    return c;
}

/* ---- EM -------------------------------------------------------------------------------------- */

static void em_case(const stored *s, const json_in *in) {
    const char *word;
    double *want;
    size_t steps;
    assert_ok(json_get_text(in, "kind", &word));
    assert_ok(json_get_reals(in, "loglik", 100, &want, &steps));
    const rows data = rows_memory(s->x, s->n, s->d);
    em *e;
    assert_ok(em_new(&(em_settings){.kind = kind_of(word), .k = 3, .reg = 1e-6}, &data, &e));
    start_plainly(e, s->x);
    /* one more value than iterations: the last one is of the end */
    const bool final = json_object_get(in->object, "reg") == NULL;
    for (size_t i = 0; i + final < steps; i++) {
        double value;
        assert_ok(em_step(e, &value));
        if (!(fabs(value - want[i]) < 1e-12))
            REFUTE("%s, step %zu: %.17g, not %.17g", word, i, value, want[i]);
    }
    double last;
    assert_ok(em_score(e, &data, &last));
    if (final) assert_true(fabs(last - want[steps - 1]) < 1e-12);
    assert_true(far_off(in, "weights", e->p->weight, 3) < 1e-12);
    assert_true(far_off(in, "means", e->p->mean, 3 * s->d) < 1e-12);
    double *const c = covariances(e->p);
    const double *const have = e->p->kind == KIND_DIAG && !final ? e->p->psi : c;
    const size_t n = e->p->kind == KIND_TIED ? s->d * s->d : have == c ? 3 * s->d * s->d : 3 * s->d;
    assert_true(far_off(in, "covariances", have, n) < 1e-12);
    free(c);
    free(want);
    em_free(e);
}

static void test_em(void **state) {
    (void)state;
    stored s = load("prior-cases.json", "x", 3), t = load("prior-times.json", "x", 2);
    for (size_t i = 0; i < 3; i++) {
        const json_in in = item(&s.in, "em", i);
        em_case(&s, &in);
    }
    for (size_t i = 0; i < 2; i++) {
        const json_in in = item(&t.in, "em", i);
        em_case(&t, &in);
    }
    unload(&s);
    unload(&t);
}

/* ---- Dirichlet process ----------------------------------------------------------------------- */

/* scikit-learn's bound leaves out numbers that do not change; the reference's is whole. */
static void dp_case(const stored *s, bool whole) {
    json_in in;
    double gamma, *want, off = 0;
    long long k;
    size_t steps;
    assert_ok(json_get_object(&s->in, "dp", &in));
    assert_ok(json_get_int(&in, "components", 2, 10, &k));
    assert_ok(json_get_real(&in, "concentration", &gamma));
    assert_ok(json_get_reals(&in, "bounds", 100, &want, &steps));
    const rows data = rows_memory(s->x, s->n, s->d);
    uint32_t label[100];
    nearest_labels(s, (size_t)k, label);
    const em_settings set = {
        .kind = KIND_FULL, .k = (size_t)k, .dp = true, .reg = 1e-6, .concentration = gamma};
    em *e;
    assert_ok(em_new(&set, &data, &e));
    assert_ok(em_start(e, label));
    double before = -HUGE_VAL;
    for (size_t i = 0; i < steps; i++) {
        double value;
        assert_ok(em_step(e, &value));
        if (i == 0 && !whole) off = value - want[0];
        if (!(fabs(value - off - want[i]) < 1e-9))
            REFUTE("dp, step %zu: %.17g, not %.17g", i, value - off, want[i]);
        assert_true(value > before - 1e-6); /* falls by no more than regularisation explains */
        before = value;
    }
    double weights[10], sum = 0;
    for (long long i = 0; i < k; i++) sum += weights[i] = e->p->weight[i];
    assert_true(fabs(sum - 1) < 1e-14);
    assert_true(far_off(&in, "weights", weights, (size_t)k) < 1e-10);
    assert_true(far_off(&in, "means", e->p->mean, (size_t)k * s->d) < 1e-10);
    assert_true(far_off(&in, "covariances", e->p->cov, (size_t)k * s->d * s->d) < 1e-10);
    assert_ok(dp_close(e));
    assert_true(e->p->k >= 3);
    for (size_t i = 0; i < e->p->k; i++) assert_true(e->p->weight[i] >= 1e-4);
    free(want);
    em_free(e);
}

static void test_dp(void **state) {
    (void)state;
    stored s = load("prior-cases.json", "x", 3), t = load("prior-times.json", "x", 2);
    dp_case(&s, false);
    dp_case(&t, true);
    unload(&s);
    unload(&t);
    /* psi(1) = -gamma, psi(1/2) = -gamma - 2 ln 2, psi(10) = H_9 - gamma */
    const double euler = 0.57721566490153286061;
    assert_true(fabs(dp_digamma(1) + euler) < 1e-14);
    assert_true(fabs(dp_digamma(0.5) + euler + 2 * log(2)) < 1e-14);
    assert_true(fabs(dp_digamma(10) + euler - 7129. / 2520) < 1e-14);
}

/* ---- low rank -------------------------------------------------------------------------------- */

/* `along`: C is not summed up but applied to directions, here to as many as there are dimensions. */
static void low_case(const stored *s, const json_in *in, bool along) {
    const char *word;
    long long k, q;
    double floor_, *want;
    size_t steps;
    assert_ok(json_get_text(in, "kind", &word));
    assert_ok(json_get_int(in, "components", 1, 9, &k));
    assert_ok(json_get_int(in, "rank", 1, 9, &q));
    assert_ok(json_get_real(in, "floor", &floor_));
    assert_ok(json_get_reals(in, "loglik", 100, &want, &steps));
    const rows data = rows_memory(s->x, s->n, s->d);
    uint32_t label[200];
    nearest_labels(s, (size_t)k, label);
    const em_settings set = {.kind = kind_of(word),
                             .k = (size_t)k,
                             .q = (size_t)q,
                             .floor = floor_,
                             .whole_side = along};
    const double bound = along ? 1e-6 : 1e-10;
    em *e;
    assert_ok(em_new(&set, &data, &e));
    assert_int_equal(e->sums, along ? SUM_ALONG : SUM_WHOLE);
    assert_ok(em_start(e, label));
    const bool final = json_object_get(in->object, "labels") == NULL;
    for (size_t i = 0; i + final < steps; i++) {
        double value;
        assert_ok(em_step(e, &value));
        if (!(fabs(value - want[i]) < bound))
            REFUTE("%s, step %zu: %.17g, not %.17g", word, i, value, want[i]);
    }
    assert_true(far_off(in, "weights", e->p->weight, (size_t)k) < 10 * bound);
    assert_true(far_off(in, "means", e->p->mean, (size_t)k * s->d) < 10 * bound);
    double *const c = covariances(e->p);
    assert_true(far_off(in, "covariances", c, (size_t)k * s->d * s->d) < 10 * bound);
    free(c);
    free(want);
    em_free(e);
}

static void test_low(void **state) {
    (void)state;
    stored s = load("prior-cases.json", "y", 5), t = load("prior-times.json", "y", 4);
    for (size_t i = 0; i < 4; i++) {
        json_in in = item(&s.in, "low", i / 2);
        low_case(&s, &in, i % 2);
        in = item(&t.in, "low", i / 2);
        low_case(&t, &in, i % 2);
    }
    unload(&s);
    unload(&t);
}

/* ---- k-means++ ------------------------------------------------------------------------------- */

static void test_plus_plus(void **state) {
    (void)state;
    stored t = load("prior-times.json", "x", 2);
    double *u, *want;
    size_t k, count, index[3];
    assert_ok(json_get_reals(&t.in, "uniforms", 3, &u, &k));
    assert_ok(json_get_reals(&t.in, "indices", 3, &want, &count));
    assert_ok(seed_plus_plus(t.n, t.d, t.x, k, u, index));
    for (size_t i = 0; i < k; i++) assert_int_equal(index[i], (size_t)want[i]);
    free(u);
    free(want);
    unload(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_em),
        cmocka_unit_test(test_dp),
        cmocka_unit_test(test_low),
        cmocka_unit_test(test_plus_plus),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
