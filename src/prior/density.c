/* Densities of a prior at given points. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/dense.h"
#include "prior/flow.h"
#include "prior/form.h"

enum { LANES = 8, SMALL = 24 }; /* below this side BLAS is not worth the call */

dfl_status form_work_new(const prior *p, form_work *w) {
    const size_t d = p->d > p->q ? p->d : p->q;
    w->diff = mem_array(mem_product(FORM_ROWS, d, 1), sizeof(double));
    w->image = mem_array(mem_product(FORM_ROWS, d, 1), sizeof(double));
    w->y = mem_array(p->basis || p->factor ? mem_product(FORM_ROWS, d, 1) : 0, sizeof(double));
    w->common = mem_array(FORM_ROWS, sizeof(double));
    if (w->diff && w->image && w->y && w->common) return DFL_OK;
    form_work_free(w);
    return fail_memory();
}

void form_work_free(form_work *w) {
    free(w->diff);
    free(w->image);
    free(w->y);
    free(w->common);
    *w = (form_work){0};
}

/* ---- without BLAS: a row's bits depend on nothing but the row --------------------------------- */

/* Rows [n][m] of up to LANES rows stand side by side in t [m][LANES]. */
static void aside(size_t n, size_t m, const double *x, double *t) {
    for (size_t i = 0; i < m; i++)
        for (size_t r = 0; r < LANES; r++) t[i * LANES + r] = r < n ? x[r * m + i] : 0;
}

static void plain_solve(size_t m, const double *l, double *t) {
    for (size_t i = 0; i < m; i++) {
        double sum[LANES];
        memcpy(sum, t + i * LANES, sizeof sum);
        for (size_t j = 0; j < i; j++)
            for (size_t r = 0; r < LANES; r++) sum[r] -= l[i * m + j] * t[j * LANES + r];
        for (size_t r = 0; r < LANES; r++) t[i * LANES + r] = sum[r] / l[i * m + i];
    }
}

/* out [LANES][rows] = (g [rows][m] x)' */
static void plain_product(size_t rows, size_t m, const double *g, const double *t, double *out) {
    for (size_t i = 0; i < rows; i++) {
        double sum[LANES] = {0};
        for (size_t j = 0; j < m; j++)
            for (size_t r = 0; r < LANES; r++) sum[r] += g[i * m + j] * t[j * LANES + r];
        for (size_t r = 0; r < LANES; r++) out[r * rows + i] = sum[r];
    }
}

static dfl_status solve(bool fast, size_t m, const double *l, size_t n, double *x) {
    if (fast && m > SMALL) return dense_solve_lower(m, l, false, n, x);
    double *const t = mem_array(mem_product(m, LANES, 1), sizeof *t);
    if (!t) return fail_memory();
    for (size_t at = 0; at < n; at += LANES) {
        const size_t count = n - at < LANES ? n - at : LANES;
        aside(count, m, x + at * m, t);
        plain_solve(m, l, t);
        for (size_t r = 0; r < count; r++)
            for (size_t i = 0; i < m; i++) x[(at + r) * m + i] = t[i * LANES + r];
    }
    free(t);
    return DFL_OK;
}

/* out [n][rows] = x [n][m] g' */
static dfl_status product(bool fast, const size_t size[2], const double *g, size_t n,
                          const double *x, double *out) {
    const size_t rows = size[0], m = size[1];
    const dense_product by = {n, rows, m, false, true, 1, 0};
    if (fast && m > SMALL) return dense_multiply(&by, x, g, out);
    double *const t = mem_array(mem_product(m + rows, LANES, 1), sizeof *t);
    if (!t) return fail_memory();
    for (size_t at = 0; at < n; at += LANES) {
        const size_t count = n - at < LANES ? n - at : LANES;
        aside(count, m, x + at * m, t);
        plain_product(rows, m, g, t, t + m * LANES);
        memcpy(out + at * rows, t + m * LANES, count * rows * sizeof *out);
    }
    free(t);
    return DFL_OK;
}

/* ---- one component --------------------------------------------------------------------------- */

static double squares(size_t n, const double *x) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += x[i] * x[i];
    return sum;
}

static double weighed(size_t n, const double *x, const double *variance) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += x[i] * x[i] / variance[i];
    return sum;
}

/* x [n][stride], of which the first m count, less the mean, into diff [n][m]. */
static void subtract(const prior *p, size_t k, size_t n, const double *x, size_t stride,
                     double *diff) {
    const size_t m = form_size(p, 'm');
    const double *const mean = p->mean + k * m;
    for (size_t r = 0; r < n; r++)
        for (size_t i = 0; i < m; i++) diff[r * m + i] = x[r * stride + i] - mean[i];
}

/* Low rank: z = G diff into w->image [n][q], diff less W z. */
static dfl_status take_factors(const prior *p, size_t k, bool fast, size_t n, form_work *w) {
    const size_t d = p->d, q = p->q, in[2] = {q, d}, back[2] = {d, q};
    TRY(product(fast, in, p->root + k * q * d, n, w->diff, w->image));
    TRY(product(fast, back, p->factor + k * d * q, n, w->image, w->y));
    for (size_t i = 0; i < n * d; i++) w->diff[i] -= w->y[i];
    return DFL_OK;
}

static dfl_status component(const prior *p, size_t k, bool fast, size_t n, form_work *w,
                            double *logs) {
    const size_t m = form_size(p, 'm'), d = p->d, q = p->q;
    if (p->cov) TRY(solve(fast, m, p->root + form_cov_of(p, k) * m * m, n, w->diff));
    if (p->factor) TRY(take_factors(p, k, fast, n, w));
    for (size_t r = 0; r < n; r++) {
        double form = w->common[r];
        form += p->cov ? squares(m, w->diff + r * m) : weighed(d, w->diff + r * d, p->psi + k * d);
        if (p->factor) form += squares(q, w->image + r * q);
        logs[r * p->k + k] = p->log_scale[k] - form / 2;
    }
    return DFL_OK;
}

/* pcagmm: coordinates into w->y, the share of those that all components have in common. */
static dfl_status turn(const prior *p, bool fast, size_t n, const double *x, form_work *w) {
    const size_t size[2] = {p->d, p->d};
    for (size_t i = 0; i < n * p->d; i++) w->image[i] = x[i] - p->center[i % p->d];
    TRY(product(fast, size, p->basis, n, w->image, w->y));
    for (size_t r = 0; r < n; r++)
        w->common[r] = weighed(p->d - p->q, w->y + r * p->d + p->q, p->rest);
    return DFL_OK;
}

/* Logarithms of the components of one class, label -1: of all; the others' are those of 0. */
static dfl_status logs_of(const prior *p, int64_t label, bool fast, size_t n, const double *x,
                          form_work *w, double *logs) {
    for (size_t r = 0; r < n; r++) w->common[r] = 0;
    if (p->basis) TRY(turn(p, fast, n, x, w));
    for (size_t k = 0; k < p->k; k++) {
        if (label >= 0 && p->label[k] != label) {
            for (size_t r = 0; r < n; r++) logs[r * p->k + k] = -INFINITY;
            continue;
        }
        subtract(p, k, n, p->basis ? w->y : x, p->d, w->diff);
        TRY(component(p, k, fast, n, w, logs));
    }
    return DFL_OK;
}

dfl_status form_logs(const prior *p, bool fast, size_t n, const double *x, form_work *w,
                     double *logs) {
    return logs_of(p, -1, fast, n, x, w, logs);
}

double form_sum(size_t k, double *logs, bool share) {
    double most = logs[0], sum = 0;
    for (size_t i = 1; i < k; i++)
        if (logs[i] > most) most = logs[i];
    if (!isfinite(most)) return most;
    for (size_t i = 0; i < k; i++) sum += exp(logs[i] - most);
    const double total = most + log(sum);
    for (size_t i = 0; i < k && share; i++) logs[i] = exp(logs[i] - total);
    return total;
}

static dfl_status logp_of(const prior *p, int64_t label, bool fast, size_t n, const double *x,
                          double *logp) {
    form_work w = {0};
    if (p->flow) return flow_logp(p->flow, x, n, logp);
    double share;
    TRY(form_class_weight(p, label, &share));
    TRY(form_work_new(p, &w));
    double *const logs = mem_array(mem_product(FORM_ROWS, p->k, 1), sizeof *logs);
    dfl_status status = logs ? DFL_OK : fail_memory();
    for (size_t at = 0; at < n && status == DFL_OK; at += FORM_ROWS) {
        const size_t count = n - at < FORM_ROWS ? n - at : FORM_ROWS;
        status = logs_of(p, label, fast, count, x + at * p->d, &w, logs);
        for (size_t r = 0; r < count && status == DFL_OK; r++) {
            logp[at + r] = form_sum(p->k, logs + r * p->k, false) - log(share);
            if (isnan(logp[at + r]))
                status =
                    fail(DFL_E_NONFINITE, "row %zu has no log-density: it is not finite", at + r);
        }
    }
    free(logs);
    form_work_free(&w);
    return status;
}

dfl_status prior_logp(const prior *p, const double *x, size_t n, double *logp) {
    return logp_of(p, -1, false, n, x, logp);
}

dfl_status prior_logp_of(const prior *p, int64_t label, const double *x, size_t n, double *logp) {
    return logp_of(p, label, false, n, x, logp);
}

dfl_status prior_logp_block(const prior *p, const double *x, size_t n, double *logp) {
    return logp_of(p, -1, true, n, x, logp);
}
