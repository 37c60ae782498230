/* Maximisation for covariances W W' + Psi of rank q and a diagonal.

   Probabilistic principal components (Tipping and Bishop 1999): of the weighted covariance C the q
   largest eigenpairs (l, u) are kept, s2 = (trace C - sum l)/(d - q), W = U (L - s2)^(1/2), Psi =
   s2 I. Up to a size C is summed up whole. Beyond, a pass gives B = C V only, for directions V of
   the pass before, and C is replaced by Nystrom's B (V'B)^-1 B', which is exact once V spans the
   leading eigenvectors; the next V is B, made orthonormal.

   Factor analysers (Ghahramani and Hinton 1996): beta = W'S^-1, W <- C beta' (I - beta W +
   beta C beta')^-1, Psi <- diag(C - W_new beta C), never below the floor. They start from PPCA. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/dense.h"
#include "prior/em.h"

enum { SPARE = 8, WHOLE_SIDE = 1024 };
#define WHOLE_BYTES ((size_t)1 << 29)

int lowrank_sums(const em_settings *set, size_t d, size_t *width) {
    const bool fits = d <= (set->whole_side ? set->whole_side : WHOLE_SIDE) &&
                      mem_product(set->k, d * d, sizeof(double)) <= WHOLE_BYTES;
    *width = fits ? 0 : set->q + SPARE < d ? set->q + SPARE : d;
    return fits ? SUM_WHOLE : SUM_ALONG;
}

/* ---- directions ------------------------------------------------------------------------------ */

static bool analysing(const em *e) { /* PPCA until there are factors to go on from */
    const size_t warm = e->sums == SUM_ALONG ? 3 : 1;
    return e->set.kind == KIND_FA && e->steps >= warm;
}

/* beta is what densities are computed with (form.h), q of the directions. */
static void beta_rows(em *e, size_t k) {
    const size_t d = e->data->d, q = e->p->q;
    double *const v = e->v + k * e->width * d;
    memset(v, 0, e->width * d * sizeof *v);
    memcpy(v, e->p->root + k * q * d, q * d * sizeof *v);
}

void lowrank_begin(em *e) {
    const size_t d = e->data->d, w = e->width;
    for (size_t k = 0; k < e->p->k; k++) {
        if (analysing(e)) beta_rows(e, k);
        if (e->steps > 0) continue;
        noise_normals(k, DFL_DRAW_TABLE, 0, 0, 0, w * d, e->v + k * w * d);
        rows_orthonormal(w, d, e->v + k * w * d);
    }
}

/* ---- PPCA ------------------------------------------------------------------------------------ */

/* From q pairs, values falling, vectors as rows. */
static void set_ppca(em *e, size_t k, const double *values, const double *vectors, double trace) {
    const size_t d = e->data->d, q = e->p->q;
    double kept = 0;
    for (size_t j = 0; j < q; j++) kept += values[j];
    double s2 = (trace - kept) / (double)(d - q);
    if (!(s2 > e->set.floor)) s2 = e->set.floor;
    for (size_t j = 0; j < q; j++) {
        const double more = values[j] - s2, length = more > 0 ? sqrt(more) : 0;
        for (size_t i = 0; i < d; i++)
            e->p->factor[(k * d + i) * q + j] = length * vectors[j * d + i];
    }
    for (size_t i = 0; i < d; i++) e->p->psi[k * d + i] = s2;
}

/* C = second / n - delta delta' */
static void whole_cov(const em *e, size_t k, double n, const double *delta, double *c) {
    const size_t d = e->data->d;
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j < d; j++)
            c[i * d + j] = e->second[(k * d + i) * d + j] / n - delta[i] * delta[j];
}

static dfl_status ppca_whole(em *e, size_t k, double *c) {
    const size_t d = e->data->d, q = e->p->q;
    double *const values = mem_array(d, sizeof *values);
    double *const top = mem_array(mem_product(q, d + 1, 1), sizeof *top);
    dfl_status status = values && top ? DFL_OK : fail_memory();
    double trace = 0;
    for (size_t i = 0; i < d; i++) trace += c[i * d + i];
    if (status == DFL_OK) status = dense_eigen(d, c, true, values);
    for (size_t j = 0; j < q && status == DFL_OK; j++) {
        top[q * d + j] = values[d - 1 - j];
        memcpy(top + j * d, c + (d - 1 - j) * d, d * sizeof *top);
    }
    if (status == DFL_OK) set_ppca(e, k, top + q * d, top, trace);
    free(values);
    free(top);
    return status;
}

/* b = C v' as rows: (sum of the pass)/n - (v delta) delta' */
static void along_cov(em *e, size_t k, double n, const double *delta) {
    const size_t d = e->data->d, w = e->width;
    for (size_t j = 0; j < w; j++) {
        const double *const v = e->v + (k * w + j) * d;
        double *const b = e->along + (k * w + j) * d, dot = 0;
        for (size_t i = 0; i < d; i++) dot += v[i] * delta[i];
        for (size_t i = 0; i < d; i++) b[i] = b[i] / n - dot * delta[i];
    }
}

static double diagonal(const em *e, size_t k, double n, const double *delta, double *c) {
    const size_t d = e->data->d;
    double trace = 0;
    for (size_t i = 0; i < d; i++) {
        const double v = e->second[k * d + i] / n - delta[i] * delta[i];
        c[i] = v > 0 ? v : 0;
        trace += c[i];
    }
    return trace;
}

/* Rows f = L^-1 b for the Cholesky factor L of h = v b' [w][w], so that C is f'f. */
static dfl_status nystrom(size_t w, size_t d, const double *v, const double *b, double jitter,
                          double *h, double *f) {
    const dense_product by = {w, w, d, false, true, 1, 0};
    TRY(dense_multiply(&by, v, b, h));
    for (size_t i = 0; i < w; i++) {
        for (size_t j = 0; j < i; j++)
            h[i * w + j] = h[j * w + i] = (h[i * w + j] + h[j * w + i]) / 2;
        h[i * w + i] += jitter;
    }
    TRY(dense_cholesky(w, h));
    memcpy(f, b, w * d * sizeof *f);
    for (size_t i = 0; i < w; i++) {
        double *const row = f + i * d;
        for (size_t j = 0; j < i; j++)
            for (size_t c = 0; c < d; c++) row[c] -= h[i * w + j] * f[j * d + c];
        for (size_t c = 0; c < d; c++) row[c] /= h[i * w + i];
    }
    return DFL_OK;
}

static dfl_status ppca_along(em *e, size_t k, double trace) {
    const size_t d = e->data->d, w = e->width, q = e->p->q;
    double *const v = e->v + k * w * d, *const b = e->along + k * w * d;
    double *const h = mem_array(mem_product(w, w, 1), sizeof *h);
    double *const f = mem_array(mem_product(w, d, 1), sizeof *f);
    double *const u = mem_array(mem_product(w, d, 1), sizeof *u);
    double *const values = mem_array(mem_product(w, 2, 1), sizeof *values);
    double *const top = values + w;
    dfl_status status = h && f && u && values ? DFL_OK : fail_memory();
    const dense_product inner = {w, w, d, false, true, 1, 0}, turn = {w, d, w, false, false, 1, 0};
    if (status == DFL_OK) status = nystrom(w, d, v, b, 1e-10 * trace / (double)d + 1e-300, h, f);
    if (status == DFL_OK) status = dense_multiply(&inner, f, f, h);
    if (status == DFL_OK) status = dense_eigen(w, h, true, values);
    if (status == DFL_OK) status = dense_multiply(&turn, h, f, u);
    if (status == DFL_OK) {
        for (size_t j = 0; j < q; j++) {
            top[j] = values[w - 1 - j];
            const double by = top[j] > 0 ? 1 / sqrt(top[j]) : 0;
            for (size_t i = 0; i < d; i++) f[j * d + i] = u[(w - 1 - j) * d + i] * by;
        }
        set_ppca(e, k, top, f, trace);
        memcpy(v, b, w * d * sizeof *v);
        rows_orthonormal(w, d, v);
    }
    free(h);
    free(f);
    free(u);
    free(values);
    return status;
}

/* ---- factor analysers ------------------------------------------------------------------------ */

/* From beta [q][d], cb = C beta' [d][q] and the diagonal of C. */
static dfl_status set_factors(em *e, size_t k, const double *beta, const double *cb,
                              const double *diag) {
    const size_t d = e->data->d, q = e->p->q;
    double *const w = e->p->factor + k * d * q;
    double *const m = mem_array(mem_product(q, q, 1), sizeof *m);
    if (!m) return fail_memory();
    /* I - beta W + beta C beta', symmetric because beta W = W'S^-1 W is */
    const dense_product minus = {q, q, d, false, false, -1, 0},
                        plus = {q, q, d, false, false, 1, 1};
    dfl_status status = dense_multiply(&minus, beta, w, m);
    if (status == DFL_OK) status = dense_multiply(&plus, beta, cb, m);
    for (size_t i = 0; i < q; i++) {
        for (size_t j = 0; j < i; j++)
            m[i * q + j] = m[j * q + i] = (m[i * q + j] + m[j * q + i]) / 2;
        m[i * q + i] += 1;
    }
    if (status == DFL_OK) status = dense_cholesky(q, m);
    if (status == DFL_OK) {
        memcpy(w, cb, d * q * sizeof *w);
        status = dense_solve_lower(q, m, false, d, w);
    }
    if (status == DFL_OK) status = dense_solve_lower(q, m, true, d, w);
    for (size_t i = 0; i < d && status == DFL_OK; i++) {
        double left = diag[i];
        for (size_t j = 0; j < q; j++) left -= w[i * q + j] * cb[i * q + j];
        e->p->psi[k * d + i] = left > e->set.floor ? left : e->set.floor;
    }
    free(m);
    return status;
}

/* c: C whole [d][d], or its diagonal alone where b = C v' was summed up. */
static dfl_status analyse(em *e, size_t k, const double *c) {
    const size_t d = e->data->d, q = e->p->q;
    const double *const beta = e->p->root + k * q * d;
    double *const cb = mem_array(mem_product(d, q, 1), sizeof *cb);
    double *const diag = mem_array(d, sizeof *diag);
    const dense_product by = {d, q, d, false, true, 1, 0};
    dfl_status status = cb && diag ? DFL_OK : fail_memory();
    if (status == DFL_OK && e->sums == SUM_WHOLE) status = dense_multiply(&by, c, beta, cb);
    for (size_t i = 0; i < d && status == DFL_OK; i++) {
        diag[i] = e->sums == SUM_WHOLE ? c[i * d + i] : c[i];
        for (size_t j = 0; j < q && e->sums == SUM_ALONG; j++)
            cb[i * q + j] = e->along[(k * e->width + j) * d + i];
    }
    if (status == DFL_OK) status = set_factors(e, k, beta, cb, diag);
    free(cb);
    free(diag);
    return status;
}

dfl_status lowrank_maximise(em *e, size_t k, double n, const double *delta) {
    const size_t d = e->data->d;
    const bool whole = e->sums == SUM_WHOLE;
    double *const c = mem_array(mem_product(d, whole ? d : 1, 1), sizeof *c);
    if (!c) return fail_memory();
    double trace = 0;
    if (whole) {
        whole_cov(e, k, n, delta, c);
    } else {
        along_cov(e, k, n, delta);
        trace = diagonal(e, k, n, delta, c);
    }
    const dfl_status status = analysing(e) ? analyse(e, k, c)
                              : whole      ? ppca_whole(e, k, c)
                                           : ppca_along(e, k, trace);
    free(c);
    return status;
}
