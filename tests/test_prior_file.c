/* The file of a prior: written and read back, and every lie it can tell refused. */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "support/priors.h"

enum { D = 5, K = 3, Q = 2 };

/* ---- the file -------------------------------------------------------------------------------- */

static const char file[] = "test_prior.npz";

static void test_file(void **state) {
    (void)state;
    for (int i = 0; i < KINDS; i++) {
        prior *const p = some_prior((kind)i, i % 2 ? 2 : 0, D, Q), *q;
        const gate_row *row;
        const size_t *shape;
        p->a = 0.5;
        p->b = 0.25;
        p->ngate = 2;
        p->gate[0] = (gate_row){0.8, 0.6, 12, 1};
        p->gate[1] = (gate_row){0.6, 0.8, 1.9, 1};
        prior_set_shape(p, 3, (const size_t[]){1, 5, 1});
        assert_ok(prior_write(p, file));
        assert_ok(prior_read(file, &q));
        assert_int_equal(prior_gate(q, &row), 2);
        assert_true(gate_passed(&row[0]) && !gate_passed(&row[1]));
        assert_int_equal(prior_shape(q, &shape), 3);
        assert_int_equal(shape[1], 5);
        assert_true(q->a == p->a && q->b == p->b);
        assert_int_equal(prior_classes(q), prior_classes(p));
        assert_int_equal(prior_rank(q), prior_rank(p));
        for (int f = 0; f < FORM_FIELDS; f++) {
            if (!form_has(p, &form_fields[f])) continue;
            assert_memory_equal(*form_place(q, &form_fields[f]), *form_place(p, &form_fields[f]),
                                form_count(p, &form_fields[f]) * sizeof(double));
        }
        prior_free(p);
        prior_free(q);
    }
    remove(file);
}

/* Changes one thing in what is written, and hopes that reading says so. */
static void spoilt(kind which, void (*change)(prior *p), dfl_status status, const char *part) {
    prior *const p = some_prior(which, 0, D, Q), *q;
    change(p);
    assert_ok(prior_write(p, file));
    refused(prior_read(file, &q), status, part);
    assert_null(q);
    prior_free(p);
}

static void weight_off(prior *p) {
    p->weight[0] += 0.01;
}
static void weight_negative(prior *p) {
    p->weight[0] = -p->weight[0];
}
static void not_finite(prior *p) {
    p->mean[1] = NAN;
}
static void not_definite(prior *p) {
    p->cov[0] = -1;
}
static void not_symmetric(prior *p) {
    p->cov[1] += 0.5;
}
static void no_variance(prior *p) {
    p->psi[2] = 0;
}
static void no_rest(prior *p) {
    p->rest[1] = -1e-9;
}
static void skew(prior *p) {
    p->basis[0] += 0.01;
}
static void bad_state(prior *p) {
    p->a = 0;
}
static void bad_shape(prior *p) {
    prior_set_shape(p, 2, (const size_t[]){2, 2});
}
static void bad_gate(prior *p) {
    p->ngate = 1;
    p->gate[0] = (gate_row){1, 0, NAN, 1};
}
static void one_fewer(prior *p) {
    p->k--;
    p->weight[1] += p->weight[2];
}

static void test_spoilt(void **state) {
    (void)state;
    spoilt(KIND_DIAG, weight_off, DFL_E_RANGE, "add up to");
    spoilt(KIND_DIAG, weight_negative, DFL_E_RANGE, "weight 0");
    spoilt(KIND_PPCA, not_finite, DFL_E_NONFINITE, "means");
    spoilt(KIND_FULL, not_definite, DFL_E_RANGE, "not positive definite");
    spoilt(KIND_TIED, not_symmetric, DFL_E_RANGE, "not symmetric");
    spoilt(KIND_DIAG, no_variance, DFL_E_RANGE, "above 0");
    spoilt(KIND_FA, no_variance, DFL_E_RANGE, "above 0");
    spoilt(KIND_PCAGMM, no_rest, DFL_E_RANGE, "rest");
    spoilt(KIND_PCAGMM, skew, DFL_E_RANGE, "orthonormal");
    spoilt(KIND_GAUSS, bad_state, DFL_E_RANGE, "a=0");
    spoilt(KIND_GAUSS, bad_shape, DFL_E_FORMAT, "'shape'");
    spoilt(KIND_GAUSS, bad_gate, DFL_E_FORMAT, "'gate'");
    prior *const p = some_prior(KIND_FULL, 0, D, Q), *q; /* fewer is fine where all arrays agree */
    one_fewer(p);
    assert_ok(prior_write(p, file));
    assert_ok(prior_read(file, &q));
    assert_int_equal(prior_components(q), K - 1);
    prior_free(p);
    prior_free(q);
    remove(file);
}

typedef struct {
    const char *kind, *field;
    array_type type;
    size_t shape[3];
    int rank;
    const char *part;
} misfit;

/* The arrays of a diag prior, one of them replaced. */
static void test_misfits(void **state) {
    (void)state;
    static const misfit cases[] = {
        {"diag", "weights", ARRAY_F64, {2}, 1, "shape that the other"},
        {"diag", "variances", ARRAY_F64, {3, 4}, 2, "'variances' does not have the shape"},
        {"diag", "means", ARRAY_F64, {15}, 1, "too few dimensions"},
        {"diag", "means", ARRAY_I64, {3, 5}, 2, "float32 or float64"},
        {"diag", "factors", ARRAY_F64, {3, 5, 2}, 3, "has no array 'factors'"},
        {"fa", "unused", ARRAY_F64, {1}, 1, "no array 'factors'"},
        {"full", "unused", ARRAY_F64, {1}, 1, "no array 'covariances'"},
        {"other", "unused", ARRAY_F64, {1}, 1, "kind \"other\""},
        {"diag", "format", ARRAY_U8, {3}, 1, "is not driftless-prior/1"},
        {"diag", "format", ARRAY_F64, {3}, 1, "is not a word"},
        {"diag", "state", ARRAY_F64, {3}, 1, "'state'"},
        {"diag", "labels", ARRAY_I64, {4}, 1, "'labels'"},
        {"diag", "weights", ARRAY_F64, {0}, 1, "0 components"},
    };
    static double zeros[100];
    for (size_t i = 0; i < LENGTH(cases); i++) {
        const misfit *const c = &cases[i];
        prior *const p = some_prior(KIND_DIAG, 0, D, Q), *q;
        double clean[2] = {1, 0};
        named_array a[8] = {
            {"format", {ARRAY_U8, 1, {17}, "driftless-prior/1"}},
            {"kind", {ARRAY_U8, 1, {strlen(c->kind)}, (void *)c->kind}},
            {"state", {ARRAY_F64, 1, {2}, clean}},
            {"weights", {ARRAY_F64, 1, {K}, p->weight}},
            {"means", {ARRAY_F64, 2, {K, D}, p->mean}},
            {"variances", {ARRAY_F64, 2, {K, D}, p->psi}},
        };
        int at = 0;
        while (at < 6 && strcmp(a[at].name, c->field) != 0) at++;
        a[at] = (named_array){c->field, {.type = c->type, .rank = c->rank, .data = zeros}};
        memcpy(a[at].value.shape, c->shape, sizeof c->shape);
        assert_ok(npz_write(file, a, at < 6 ? 6 : 7));
        assert_true(prior_read(file, &q) == DFL_E_FORMAT);
        assert_message_has(c->part);
        assert_message_has(file);
        prior_free(p);
    }
    prior *q;
    refused(prior_read("nowhere.npz", &q), DFL_E_IO, "nowhere.npz");
    refused(form_new(&(form_wish){KIND_FULL, 5000, 1, 0, 0}, &q), DFL_E_RANGE, "at most 4096");
    refused(form_new(&(form_wish){KIND_PPCA, 5, 1, 5, 0}, &q), DFL_E_RANGE, "rank 5");
    refused(form_new(&(form_wish){KIND_PCAGMM, 1, 1, 0, 0}, &q), DFL_E_RANGE, "there must be 2");
    refused(form_new(&(form_wish){KIND_FULL, 4096, 4096, 0, 0}, &q), DFL_E_RANGE, "2 GiB");
    remove(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_spoilt),
        cmocka_unit_test(test_misfits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
