/* What is made of a prior: its image at a noise level, the density of a class, samples, moments. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/dense.h"
#include "prior/flow.h"
#include "prior/form.h"

/* Ends the making of *out, which goes if it cannot be finished. */
static dfl_status finished(dfl_status status, prior **out) {
    if (status == DFL_OK) status = form_finish(*out);
    if (status == DFL_OK) return DFL_OK;
    prior_free(*out);
    *out = NULL;
    return status;
}

/* ---- another state --------------------------------------------------------------------------- */

static void scale(size_t n, double by, double *x) {
    for (size_t i = 0; i < n; i++) x[i] *= by;
}

/* a^2 v + b^2 */
static void noise_up(size_t n, double a, double b, double *v) {
    for (size_t i = 0; i < n; i++) v[i] = a * a * v[i] + b * b;
}

static bool same(double x, double y) {
    return fabs(x - y) <= 1e-6 * (fabs(x) + fabs(y));
}

static void transport(prior *p, double a, double b) {
    const size_t m = form_size(p, 'm'), s = form_size(p, 's');
    /* pcagmm: means are in coordinates about the centre, which both shrink */
    scale(p->k * m, a, p->mean);
    if (p->center) scale(p->d, a, p->center);
    if (p->cov) scale(s * m * m, a * a, p->cov);
    for (size_t i = 0; p->cov && i < s * m; i++) p->cov[i / m * m * m + i % m * (m + 1)] += b * b;
    if (p->factor) scale(p->k * p->d * p->q, a, p->factor);
    if (p->psi) noise_up(p->k * p->d, a, b, p->psi);
    if (p->rest) noise_up(p->d - p->q, a, b, p->rest);
}

dfl_status prior_at(const prior *clean, double a, double b, prior **out) {
    *out = NULL;
    if (!(isfinite(a) && isfinite(b) && a > 0 && b >= 0))
        return fail(DFL_E_RANGE, "no prior at a=%g, b=%g: a is above 0, b not below", a, b);
    const bool fitted_there = same(clean->a, a) && same(clean->b, b);
    if (!fitted_there && !(clean->a == 1 && clean->b == 0))
        return fail(DFL_E_COMBINATION,
                    "this prior was fitted at a=%.6g, b=%.6g and is good there only, not at "
                    "a=%.6g, b=%.6g: %s",
                    clean->a, clean->b, a, b,
                    clean->flow ? "train one for that time and process" : "fit one on clean data");
    TRY(form_copy(clean, out));
    if (!fitted_there) {
        transport(*out, a, b);
        (*out)->a = a;
        (*out)->b = b;
    }
    return finished(DFL_OK, out);
}

/* ---- one class ------------------------------------------------------------------------------- */

static dfl_status check_label(const prior *p, int64_t label) {
    if (label == -1 || (label >= 0 && label < p->classes)) return DFL_OK;
    if (p->classes == 0)
        return fail(DFL_E_RANGE, "label %lld: this prior has no classes, only -1 is allowed",
                    (long long)label);
    return fail(DFL_E_RANGE, "label %lld: this prior has classes 0 to %lld, and -1 for all",
                (long long)label, (long long)p->classes - 1);
}

dfl_status form_class_weight(const prior *p, int64_t label, double *out) {
    TRY(check_label(p, label));
    *out = label < 0;
    for (size_t k = 0; k < p->k && label >= 0; k++)
        if (p->label[k] == label) *out += p->weight[k];
    if (*out > 0) return DFL_OK;
    return fail(DFL_E_RANGE, "label %lld: no component of this prior has it", (long long)label);
}

static void copy_component(const prior *from, size_t k, prior *to, size_t j) {
    const size_t m = form_size(from, 'm'), d = from->d, q = from->q;
    to->weight[j] = from->weight[k];
    memcpy(to->mean + j * m, from->mean + k * m, m * sizeof(double));
    if (from->cov) {
        const size_t s = to->kind == KIND_TIED ? 0 : j;
        memcpy(to->cov + s * m * m, from->cov + form_cov_of(from, k) * m * m,
               m * m * sizeof(double));
    }
    if (from->factor)
        memcpy(to->factor + j * d * q, from->factor + k * d * q, d * q * sizeof(double));
    if (from->psi) memcpy(to->psi + j * d, from->psi + k * d, d * sizeof(double));
}

dfl_status prior_only(const prior *p, int64_t label, prior **out) {
    static const char *const shared[] = {"basis", "center", "rest"};
    *out = NULL;
    double sum;
    TRY(form_class_weight(p, label, &sum));
    if (label < 0) return finished(form_copy(p, out), out);
    size_t n = 0, j = 0;
    for (size_t k = 0; k < p->k; k++) n += p->label[k] == label;
    TRY(form_new(&(form_wish){p->kind, p->d, n, p->q, 0}, out));
    (*out)->a = p->a;
    (*out)->b = p->b;
    (*out)->rank = p->rank;
    memcpy((*out)->shape, p->shape, sizeof p->shape);
    for (size_t k = 0; k < p->k; k++)
        if (p->label[k] == label) copy_component(p, k, *out, j++);
    for (int i = 0; i < FORM_FIELDS && p->basis; i++)
        for (size_t s = 0; s < sizeof shared / sizeof *shared; s++)
            if (strcmp(form_fields[i].name, shared[s]) == 0)
                memcpy(*form_place(*out, &form_fields[i]), *form_place((prior *)p, &form_fields[i]),
                       form_count(p, &form_fields[i]) * sizeof(double));
    for (j = 0; j < n; j++) (*out)->weight[j] /= sum;
    return finished(DFL_OK, out);
}

/* ---- samples --------------------------------------------------------------------------------- */

enum { DRAW_COMPONENT = 4 }; /* a kind of random number that no run asks for */

/* The component by inverse cumulative weights, of a class's alone. */
static size_t pick(const prior *p, int64_t label, double u) {
    double total = 0, sum = 0;
    size_t last = 0;
    for (size_t k = 0; k < p->k; k++)
        if (label < 0 || p->label[k] == label) total += p->weight[k];
    for (size_t k = 0; k < p->k; k++) {
        if (label >= 0 && p->label[k] != label) continue;
        last = k;
        sum += p->weight[k];
        if (u * total < sum) return k;
    }
    return last;
}

/* L z in place, from the last row upwards. */
static void times_root(size_t m, const double *l, double *z) {
    for (size_t i = m; i-- > 0;) {
        double sum = 0;
        for (size_t j = 0; j <= i; j++) sum += l[i * m + j] * z[j];
        z[i] = sum;
    }
}

static void draw_low(const prior *p, size_t k, const double *z, double *x) {
    const size_t d = p->d, q = p->q;
    for (size_t i = 0; i < d; i++) {
        double sum = p->mean[k * d + i] + sqrt(p->psi[k * d + i]) * z[i];
        for (size_t j = 0; j < q; j++) sum += p->factor[(k * d + i) * q + j] * z[d + j];
        x[i] = sum;
    }
}

static void draw_turned(const prior *p, size_t k, double *z, double *x) {
    const size_t d = p->d, q = p->q;
    times_root(q, p->root + k * q * q, z);
    for (size_t i = 0; i < d; i++)
        z[i] = i < q ? z[i] + p->mean[k * q + i] : z[i] * sqrt(p->rest[i - q]);
    memcpy(x, p->center, d * sizeof *x);
    for (size_t i = 0; i < d; i++) /* x = c + U' y */
        for (size_t e = 0; e < d; e++) x[e] += p->basis[i * d + e] * z[i];
}

dfl_status prior_draw_of(const prior *p, int64_t label, uint64_t seed, uint64_t sample, double *x) {
    TRY(check_label(p, label));
    if (p->flow) return flow_draw(p->flow, seed, sample, x);
    const size_t d = p->d, numbers = d + (p->factor ? p->q : 0);
    double *const z = mem_array(numbers, sizeof *z);
    if (!z) return fail_memory();
    const size_t k = pick(p, label, noise_uniform(seed, DRAW_COMPONENT, 0, sample));
    noise_normals(seed, DFL_DRAW_START, 0, sample, 0, numbers, z);
    if (p->basis) {
        draw_turned(p, k, z, x);
    } else if (p->factor) {
        draw_low(p, k, z, x);
    } else {
        if (p->cov) times_root(d, p->root + form_cov_of(p, k) * d * d, z);
        for (size_t i = 0; i < d; i++)
            x[i] = p->mean[k * d + i] + z[i] * (p->cov ? 1 : sqrt(p->psi[k * d + i]));
    }
    free(z);
    return DFL_OK;
}

dfl_status prior_draw(const prior *p, uint64_t seed, uint64_t sample, double *x) {
    return prior_draw_of(p, -1, seed, sample, x);
}

/* ---- moments --------------------------------------------------------------------------------- */

/* cov [m][m] += w (S_k + (m_k - mean)(m_k - mean)') */
static dfl_status add_spread(const prior *p, size_t k, const double *mean, double *cov) {
    const size_t m = form_size(p, 'm'), d = p->d, q = p->q;
    const double w = p->weight[k], *const own = p->mean + k * m;
    const double *const s = p->cov ? p->cov + form_cov_of(p, k) * m * m : NULL;
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < m; j++)
            cov[i * m + j] +=
                w * ((own[i] - mean[i]) * (own[j] - mean[j]) + (s ? s[i * m + j] : 0));
    if (p->psi)
        for (size_t i = 0; i < d; i++) cov[i * d + i] += w * p->psi[k * d + i];
    if (!p->factor) return DFL_OK;
    const dense_product by = {d, d, q, false, true, w, 1};
    return dense_multiply(&by, p->factor + k * d * q, p->factor + k * d * q, cov);
}

static void mean_of(const prior *p, double *mean) {
    const size_t m = form_size(p, 'm');
    for (size_t i = 0; i < m; i++) mean[i] = 0;
    for (size_t k = 0; k < p->k; k++)
        for (size_t i = 0; i < m; i++) mean[i] += p->weight[k] * p->mean[k * m + i];
}

/* x += U' y for y [q] */
static void turn_back(const prior *p, const double *y, double *x) {
    memcpy(x, p->center, p->d * sizeof *x);
    for (size_t i = 0; i < p->q; i++)
        for (size_t e = 0; e < p->d; e++) x[e] += p->basis[i * p->d + e] * y[i];
}

/* cov [d][d] = U' blockdiag(s [q][q], rest) U */
static dfl_status turn_cov(const prior *p, const double *s, double *cov) {
    const size_t d = p->d, q = p->q;
    double *const t = mem_array(mem_product(d, d, 1), sizeof *t);
    if (!t) return fail_memory();
    const dense_product lead = {q, d, q, false, false, 1, 0}, whole = {d, d, d, true, false, 1, 0};
    dfl_status status = dense_multiply(&lead, s, p->basis, t);
    for (size_t i = q; i < d; i++)
        for (size_t e = 0; e < d; e++) t[i * d + e] = p->rest[i - q] * p->basis[i * d + e];
    if (status == DFL_OK) status = dense_multiply(&whole, p->basis, t, cov);
    free(t);
    return status;
}

dfl_status prior_moments(const prior *p, double *mean, double *cov) {
    if (p->flow)
        return fail(DFL_E_COMBINATION, "mean and covariance of a flow are known in no closed form");
    const size_t m = form_size(p, 'm');
    double *const own = mem_array(m, sizeof *own);
    double *const s = mem_array(cov ? mem_product(m, m, 1) : 0, sizeof *s);
    dfl_status status = own && s ? DFL_OK : fail_memory();
    if (status == DFL_OK) mean_of(p, own);
    for (size_t k = 0; cov && k < p->k && status == DFL_OK; k++) status = add_spread(p, k, own, s);
    if (status == DFL_OK && mean) {
        if (p->basis)
            turn_back(p, own, mean);
        else
            memcpy(mean, own, m * sizeof *mean);
    }
    if (status == DFL_OK && cov) {
        if (p->basis)
            status = turn_cov(p, s, cov);
        else
            memcpy(cov, s, m * m * sizeof *cov);
    }
    free(own);
    free(s);
    return status;
}
