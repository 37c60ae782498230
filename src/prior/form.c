/* The structures of a prior: memory, checks, and what densities are computed from.

   Low rank, S = W W' + Psi: with M = I + W' Psi^-1 W, z = G x and G = W' S^-1 = M^-1 W' Psi^-1 the
   quadratic form is sum (x - W z)^2/psi + |z|^2, and |S| = |M| prod psi. Woodbury's sum x^2/psi -
   x' Psi^-1 W z is the same number, but loses all its digits where psi is small beside W W'. */
#include "prior/form.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/dense.h"
#include "prior/flow.h"

const char *const kind_names[KINDS] = {"gauss", "diag", "full", "tied", "pcagmm", "ppca", "fa"};

enum {
    DENSE = 1 << KIND_GAUSS | 1 << KIND_FULL | 1 << KIND_TIED | 1 << KIND_PCAGMM,
    LOW = 1 << KIND_PPCA | 1 << KIND_FA,
    PCA = 1 << KIND_PCAGMM,
    EVERY = (1 << KINDS) - 1
};

const form_field form_fields[FORM_FIELDS] = {
    {"weights", offsetof(prior, weight), "k", EVERY},
    {"means", offsetof(prior, mean), "km", EVERY},
    {"covariances", offsetof(prior, cov), "smm", DENSE},
    {"factors", offsetof(prior, factor), "kdq", LOW},
    {"variances", offsetof(prior, psi), "kd", LOW | 1 << KIND_DIAG},
    {"basis", offsetof(prior, basis), "dd", PCA},
    {"center", offsetof(prior, center), "d", PCA},
    {"rest", offsetof(prior, rest), "r", PCA},
};

bool form_has(const prior *p, const form_field *f) {
    return f->kinds >> p->kind & 1;
}

double **form_place(prior *p, const form_field *f) {
    return (double **)(void *)((char *)p + f->offset);
}

static size_t matrices(const prior *p) {
    if (p->kind != KIND_TIED) return p->k;
    return p->classes > 0 ? (size_t)p->classes : 1;
}

size_t form_size(const prior *p, char letter) {
    switch (letter) {
    case 'k': return p->k;
    case 'q': return p->q;
    case 'r': return p->d - p->q;
    case 'm': return p->kind == KIND_PCAGMM ? p->q : p->d;
    case 's': return matrices(p);
    default: return p->d;
    }
}

size_t form_count(const prior *p, const form_field *f) {
    size_t count = 1;
    for (const char *s = f->shape; *s; s++) count = mem_product(count, form_size(p, *s), 1);
    return count;
}

size_t form_cov_of(const prior *p, size_t k) {
    if (p->kind != KIND_TIED) return k;
    return p->label[k] > 0 ? (size_t)p->label[k] : 0;
}

/* ---- making ---------------------------------------------------------------------------------- */

static dfl_status check_wish(const form_wish *w) {
    const bool low = LOW >> w->kind & 1 || w->kind == KIND_PCAGMM;
    if (w->d < 1 || w->d > PRIOR_DIM_MAX)
        return fail(DFL_E_RANGE, "a prior in %zu dimensions: 1 to %d are possible", w->d,
                    PRIOR_DIM_MAX);
    if (w->k < 1 || w->k > PRIOR_COMPONENTS_MAX)
        return fail(DFL_E_RANGE, "a prior of %zu components: 1 to %d are possible", w->k,
                    PRIOR_COMPONENTS_MAX);
    const size_t side = w->kind == KIND_PCAGMM || DENSE >> w->kind & 1 ? w->d : 1;
    if (side > DENSE_SIDE_MAX)
        return fail(DFL_E_RANGE,
                    "a prior of kind %s in %zu dimensions: at most %d; diag, ppca and fa take more",
                    kind_names[w->kind], w->d, DENSE_SIDE_MAX);
    if (low && w->d < 2)
        return fail(DFL_E_RANGE,
                    "a prior of kind %s has a rank below the dimensions, of which there must be 2; "
                    "gauss, diag, full and tied take 1",
                    kind_names[w->kind]);
    if (low && (w->q < 1 || w->q >= w->d))
        return fail(DFL_E_RANGE, "rank %zu in %zu dimensions: 1 to %zu is possible", w->q, w->d,
                    w->d - 1);
    return DFL_OK;
}

dfl_status form_new(const form_wish *wish, prior **out) {
    *out = NULL;
    TRY(check_wish(wish));
    prior *const p = mem_array(1, sizeof *p);
    if (!p) return fail_memory();
    p->kind = wish->kind;
    p->d = wish->d;
    p->k = wish->k;
    p->q = (LOW | PCA) >> wish->kind & 1 ? wish->q : 0;
    p->classes = wish->classes;
    p->a = 1;
    dfl_status status = DFL_OK;
    for (int i = 0; i < FORM_FIELDS && status == DFL_OK; i++) {
        const form_field *const f = &form_fields[i];
        if (!form_has(p, f)) continue;
        const size_t count = form_count(p, f);
        if (count > PRIOR_BYTES_MAX / sizeof(double))
            status = fail(DFL_E_RANGE,
                          "a prior of kind %s with %zu components in %zu dimensions has more than "
                          "2 GiB of %s: take a smaller rank, fewer components or another kind",
                          kind_names[p->kind], p->k, p->d, f->name);
        else if (!(*form_place(p, f) = mem_array(count, sizeof(double))))
            status = fail_memory();
    }
    p->label = mem_array(p->k, sizeof *p->label);
    p->log_scale = mem_array(p->k, sizeof *p->log_scale);
    if (status == DFL_OK && !(p->label && p->log_scale)) status = fail_memory();
    if (status != DFL_OK) {
        prior_free(p);
        return status;
    }
    for (size_t k = 0; k < p->k; k++) p->label[k] = -1;
    *out = p;
    return DFL_OK;
}

void prior_free(prior *p) {
    if (!p) return;
    for (int i = 0; i < FORM_FIELDS; i++) free(*form_place(p, &form_fields[i]));
    free(p->label);
    free(p->root);
    free(p->log_scale);
    flow_release(p->flow);
    free(p);
}

/* What is not an array. */
static void copy_facts(const prior *from, prior *to) {
    to->a = from->a;
    to->b = from->b;
    to->rank = from->rank;
    memcpy(to->shape, from->shape, sizeof to->shape);
    memcpy(to->gate, from->gate, sizeof to->gate);
    to->ngate = from->ngate;
}

dfl_status form_copy(const prior *p, prior **out) {
    if (p->flow) return flow_copy(p, out);
    TRY(form_new(&(form_wish){p->kind, p->d, p->k, p->q, p->classes}, out));
    for (int i = 0; i < FORM_FIELDS; i++) {
        const form_field *const f = &form_fields[i];
        if (form_has(p, f))
            memcpy(*form_place(*out, f), *form_place((prior *)p, f),
                   form_count(p, f) * sizeof(double));
    }
    memcpy((*out)->label, p->label, p->k * sizeof *p->label);
    copy_facts(p, *out);
    return DFL_OK;
}

/* ---- checks and derived numbers -------------------------------------------------------------- */

static dfl_status check_finite(const prior *p) {
    for (int i = 0; i < FORM_FIELDS; i++) {
        const form_field *const f = &form_fields[i];
        if (!form_has(p, f)) continue;
        const double *const x = *form_place((prior *)p, f);
        const size_t count = form_count(p, f);
        for (size_t j = 0; j < count; j++)
            if (!isfinite(x[j]))
                return fail(DFL_E_NONFINITE, "%s of a prior: number %zu is not finite", f->name, j);
    }
    return DFL_OK;
}

static dfl_status check_weights(const prior *p) {
    double sum = 0;
    for (size_t k = 0; k < p->k; k++) {
        if (!(p->weight[k] > 0))
            return fail(DFL_E_RANGE, "weight %zu of a prior is %g: weights are above 0", k,
                        p->weight[k]);
        if (p->label[k] < (p->classes ? 0 : -1) || p->label[k] >= (p->classes ? p->classes : 0))
            return fail(DFL_E_RANGE,
                        "component %zu of a prior has label %lld: %lld classes are "
                        "promised",
                        k, (long long)p->label[k], (long long)p->classes);
        sum += p->weight[k];
    }
    if (fabs(sum - 1) <= 1e-6) return DFL_OK;
    return fail(DFL_E_RANGE, "the weights of a prior add up to %.9g, not to 1", sum);
}

static dfl_status check_variances(const char *name, size_t n, const double *v) {
    for (size_t i = 0; i < n; i++)
        if (!(v[i] > 0))
            return fail(DFL_E_RANGE, "%s of a prior: number %zu is %g: variances are above 0", name,
                        i, v[i]);
    return DFL_OK;
}

/* Rows of the basis have unit length and stand at right angles. */
static dfl_status check_basis(const prior *p) {
    const size_t d = p->d;
    double *const s = mem_array(mem_product(d, d, 1), sizeof *s);
    if (!s) return fail_memory();
    const dense_product by = {d, d, d, false, true, 1, 0};
    dfl_status status = dense_multiply(&by, p->basis, p->basis, s);
    for (size_t i = 0; i < d * d && status == DFL_OK; i++)
        if (!(fabs(s[i] - (i / d == i % d)) <= 1e-8))
            status = fail(DFL_E_RANGE,
                          "the basis of a prior is not orthonormal: rows %zu and %zu have product "
                          "%g",
                          i / d, i % d, s[i]);
    free(s);
    return status;
}

static dfl_status check_symmetric(size_t m, const double *s) {
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < i; j++) {
            const double scale = sqrt(fabs(s[i * m + i] * s[j * m + j])) + 1e-300;
            if (!(fabs(s[i * m + j] - s[j * m + i]) <= 1e-9 * scale))
                return fail(DFL_E_RANGE, "a covariance of a prior is not symmetric at (%zu, %zu)",
                            i, j);
        }
    return DFL_OK;
}

static double log_sum(size_t n, const double *v, size_t stride) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += log(v[i * stride]);
    return sum;
}

static dfl_status finish_dense(prior *p) {
    const size_t m = form_size(p, 'm'), s = matrices(p);
    double *const determinant = mem_array(s, sizeof *determinant);
    dfl_status status = determinant ? DFL_OK : fail_memory();
    memcpy(p->root, p->cov, s * m * m * sizeof *p->root);
    for (size_t i = 0; i < s && status == DFL_OK; i++) {
        double *const l = p->root + i * m * m;
        status = check_symmetric(m, l);
        if (status == DFL_OK) status = dense_cholesky(m, l);
        if (status != DFL_OK)
            fail_in(status, "covariance %zu of a prior", i);
        else
            determinant[i] = 2 * log_sum(m, l, m + 1);
    }
    for (size_t k = 0; k < p->k && status == DFL_OK; k++)
        p->log_scale[k] = -determinant[form_cov_of(p, k)] / 2;
    free(determinant);
    return status;
}

/* One component: G into g [q][d], log|M| as result. The rows Psi^-1/2 W and I are Q L', so M = L L' and
   G = L'^-1 Q' Psi^-1/2, without squares that would lose the I. Scratch: q (d + 2 q) numbers. */
static dfl_status finish_low(size_t d, size_t q, const double *w, const double *psi, double *g,
                             double *scratch, double *log_m) {
    double *const rows = scratch, *const l = rows + q * (d + q);
    for (size_t i = 0; i < d * q; i++) rows[i] = w[i] / sqrt(psi[i / q]);
    for (size_t i = 0; i < q * q; i++) rows[q * d + i] = i / q == i % q;
    TRY(dense_orthonormal(d + q, q, rows, l));
    TRY(dense_solve_lower(q, l, true, d, rows));
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j < q; j++) g[j * d + i] = rows[i * q + j] / sqrt(psi[i]);
    *log_m = 0;
    for (size_t j = 0; j < q; j++) *log_m += 2 * log(fabs(l[j * (q + 1)]));
    return DFL_OK;
}

static dfl_status finish_factors(prior *p) {
    const size_t d = p->d, q = p->q;
    double *const scratch = mem_array(mem_product(q, d + 2 * q, 1), sizeof *scratch);
    dfl_status status = scratch ? DFL_OK : fail_memory();
    for (size_t k = 0; k < p->k && status == DFL_OK; k++) {
        double log_m = 0;
        status = finish_low(d, q, p->factor + k * d * q, p->psi + k * d, p->root + k * q * d,
                            scratch, &log_m);
        if (status != DFL_OK) fail_in(status, "factors of component %zu of a prior", k);
        p->log_scale[k] = -log_m / 2;
    }
    free(scratch);
    return status;
}

static dfl_status derive(prior *p) {
    const bool low = LOW >> p->kind & 1, dense = DENSE >> p->kind & 1;
    const size_t m = form_size(p, 'm');
    if (!p->root) {
        const size_t count = low     ? mem_product(p->k, p->q, p->d)
                             : dense ? mem_product(matrices(p), m, m)
                                     : 0;
        p->root = mem_array(count, sizeof *p->root);
        if (!p->root) return fail_memory();
    }
    for (size_t k = 0; k < p->k; k++) p->log_scale[k] = 0;
    if (p->psi) TRY(check_variances("variances", p->k * p->d, p->psi));
    if (p->rest) TRY(check_variances("rest", p->d - p->q, p->rest));
    if (dense) TRY(finish_dense(p));
    return low ? finish_factors(p) : DFL_OK;
}

dfl_status form_finish(prior *p) {
    if (!(isfinite(p->a) && isfinite(p->b) && p->a > 0 && p->b >= 0))
        return fail(DFL_E_RANGE, "a prior has state a=%g, b=%g: a is above 0, b not below", p->a,
                    p->b);
    if (p->flow) return DFL_OK;
    TRY(check_finite(p));
    TRY(check_weights(p));
    TRY(derive(p));
    const double rest = p->rest ? log_sum(p->d - p->q, p->rest, 1) : 0;
    for (size_t k = 0; k < p->k; k++) {
        const double own = p->psi ? log_sum(p->d, p->psi + k * p->d, 1) : 0;
        p->log_scale[k] += log(p->weight[k]) - (own + rest + (double)p->d * LOG_2PI) / 2;
    }
    return DFL_OK;
}

dfl_status form_check_basis(const prior *p) {
    return p->basis ? check_basis(p) : DFL_OK;
}

/* ---- accessors ------------------------------------------------------------------------------- */

size_t prior_dim(const prior *p) {
    return p->d;
}

size_t prior_components(const prior *p) {
    return p->k;
}

size_t prior_rank(const prior *p) {
    return p->q;
}

const char *prior_kind(const prior *p) {
    return p->flow ? "flow" : kind_names[p->kind];
}

const double *prior_range(const prior *p) {
    const flow_card *const c = p->flow ? flow_card_of(p->flow) : NULL;
    return c && c->has_range ? c->range : NULL;
}

int prior_shape(const prior *p, const size_t **shape) {
    *shape = p->shape;
    return p->rank;
}

void prior_set_shape(prior *p, int rank, const size_t *shape) {
    p->rank = rank;
    memcpy(p->shape, shape, (size_t)rank * sizeof *shape);
}

void prior_state(const prior *p, double *a, double *b) {
    *a = p->a;
    *b = p->b;
}

int64_t prior_classes(const prior *p) {
    return p->classes;
}

size_t prior_gate(const prior *p, const gate_row **rows) {
    *rows = p->gate;
    return p->ngate;
}

bool gate_passed(const gate_row *row) {
    return row->gain > 2 * row->error;
}
