/* Expectation-maximisation (Dempster, Laird and Rubin 1977). One pass over the rows does both: the
   responsibilities r of a block are used at once, for sums about the means of before,

     N = sum r,  f = sum r (x - m),  F = sum r (x - m)(x - m)',

   so that with delta = f/N the new mean is m + delta and the covariance F/N - delta delta'. Rows of
   negligible responsibility are left out of a component's sums. */
#include "prior/em.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/dense.h"

#define NEGLIGIBLE 1e-15
enum { SMALL = 24 }; /* up to this side BLAS is not worth the call */

/* ---- making ---------------------------------------------------------------------------------- */

static size_t second_count(const em *e) {
    const size_t d = e->data->d, k = e->set.kind == KIND_TIED ? 1 : e->set.k;
    return mem_product(k, d, e->sums == SUM_WHOLE ? d : 1);
}

static dfl_status make_room(em *e) {
    const size_t d = e->data->d, k = e->set.k, along = mem_product(k, e->width, d);
    e->count = mem_array(k, sizeof(double));
    e->first = mem_array(mem_product(k, d, 1), sizeof(double));
    e->second = mem_array(second_count(e), sizeof(double));
    e->v = mem_array(along, sizeof(double));
    e->along = mem_array(along, sizeof(double));
    e->start = mem_array(d, sizeof(double));
    e->x = mem_array(mem_product(FORM_ROWS, d, 1), sizeof(double));
    e->part = mem_array(mem_product(FORM_ROWS, d, 1), sizeof(double));
    e->image = mem_array(mem_product(FORM_ROWS, e->width, 1), sizeof(double));
    e->logs = mem_array(mem_product(FORM_ROWS, k, 1), sizeof(double));
    const bool good = e->count && e->first && e->second && e->v && e->along && e->start && e->x &&
                      e->part && e->image && e->logs;
    return good ? form_work_new(e->p, &e->work) : fail_memory();
}

dfl_status em_new(const em_settings *set, const rows *data, em **out) {
    *out = NULL;
    em *const e = mem_array(1, sizeof *e);
    if (!e) return fail_memory();
    e->set = *set;
    e->data = data;
    const bool low = set->kind == KIND_PPCA || set->kind == KIND_FA;
    e->sums = low                      ? lowrank_sums(set, data->d, &e->width)
              : set->kind == KIND_DIAG ? SUM_DIAGONAL
                                       : SUM_WHOLE;
    dfl_status status = form_new(&(form_wish){set->kind, data->d, set->k, set->q, 0}, &e->p);
    if (status == DFL_OK) status = make_room(e);
    if (status == DFL_OK) status = rows_moments(data, e->start, NULL);
    if (status == DFL_OK && set->dp) status = dp_new(e);
    if (status == DFL_OK)
        *out = e;
    else
        em_free(e);
    return status;
}

void em_free(em *e) {
    if (!e) return;
    double *const arrays[] = {e->count, e->first, e->second, e->v,     e->along,
                              e->start, e->x,     e->part,   e->image, e->logs};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) free(arrays[i]);
    form_work_free(&e->work);
    dp_free(e->dp);
    prior_free(e->p);
    free(e);
}

/* ---- sums ------------------------------------------------------------------------------------ */

static void clear_sums(em *e) {
    const size_t d = e->data->d, k = e->set.k;
    memset(e->count, 0, k * sizeof(double));
    memset(e->first, 0, k * d * sizeof(double));
    memset(e->second, 0, second_count(e) * sizeof(double));
    memset(e->along, 0, k * e->width * d * sizeof(double));
    e->loglik = 0;
    e->entropy = 0;
}

/* sqrt(r) (x - m) of the rows that count, into part; their number. Adds to count and first. */
static size_t gather(em *e, size_t k, size_t n, const double *r) {
    const size_t d = e->data->d, stride = e->p->k;
    const double *const mean = e->p->mean + k * d;
    double *const first = e->first + k * d;
    size_t taken = 0;
    for (size_t i = 0; i < n; i++) {
        const double share = r[i * stride + k], root = sqrt(share);
        const double *const x = e->x + i * d;
        e->count[k] += share;
        if (share < NEGLIGIBLE) continue;
        double *const to = e->part + taken++ * d;
        for (size_t j = 0; j < d; j++) {
            const double diff = x[j] - mean[j];
            first[j] += share * diff;
            to[j] = root * diff;
        }
    }
    return taken;
}

static dfl_status add_along(em *e, size_t k, size_t n) {
    const size_t d = e->data->d, w = e->width;
    const dense_product down = {n, w, d, false, true, 1, 0}, up = {w, d, n, true, false, 1, 1};
    TRY(dense_multiply(&down, e->part, e->v + k * w * d, e->image));
    return dense_multiply(&up, e->image, e->part, e->along + k * w * d);
}

/* s += part' part, of few dimensions. */
static void small_gram(size_t d, size_t n, const double *part, double *s) {
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < d; j++)
            for (size_t l = 0; l < d; l++) s[j * d + l] += part[i * d + j] * part[i * d + l];
}

static dfl_status add_whole(size_t d, size_t n, const double *part, double *s) {
    if (d > SMALL) return dense_gram(d, n, part, s);
    small_gram(d, n, part, s);
    return DFL_OK;
}

static dfl_status add_block(em *e, size_t n, const double *r) {
    const size_t d = e->data->d;
    for (size_t k = 0; k < e->p->k; k++) {
        const size_t taken = gather(e, k, n, r);
        if (taken == 0) continue;
        if (e->sums == SUM_WHOLE) {
            TRY(add_whole(d, taken, e->part, e->second + form_cov_of(e->p, k) * d * d));
            continue;
        }
        for (size_t i = 0; i < taken; i++)
            for (size_t j = 0; j < d; j++)
                e->second[k * d + j] += e->part[i * d + j] * e->part[i * d + j];
        if (e->sums == SUM_ALONG) TRY(add_along(e, k, taken));
    }
    return DFL_OK;
}

static double entropy_of(size_t n, const double *r) {
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        if (r[i] > 0) sum -= r[i] * log(r[i]);
    return sum;
}

/* Expectation of a block: its rows in x. */
static dfl_status expect(em *e, size_t n) {
    const size_t k = e->p->k;
    TRY(form_logs(e->p, true, n, e->x, &e->work, e->logs));
    for (size_t i = 0; i < n; i++) {
        const double total = form_sum(k, e->logs + i * k, true);
        if (!isfinite(total))
            return fail(DFL_E_NONFINITE,
                        "a row has log-density %g: the fit has broken down; more "
                        "regularisation or fewer components help",
                        total);
        e->loglik += total;
    }
    e->entropy += e->dp ? entropy_of(n * k, e->logs) : 0;
    return DFL_OK;
}

static void hard(em *e, const uint32_t *labels, size_t n) {
    const size_t k = e->p->k;
    memset(e->logs, 0, n * k * sizeof *e->logs);
    for (size_t i = 0; i < n; i++) e->logs[i * k + labels[i]] = 1;
}

/* labels NULL: by expectation */
static dfl_status pass(em *e, const uint32_t *labels) {
    clear_sums(e);
    if (e->sums == SUM_ALONG) lowrank_begin(e);
    for (size_t at = 0; at < e->data->n; at += FORM_ROWS) {
        const size_t left = e->data->n - at, n = left < FORM_ROWS ? left : FORM_ROWS;
        TRY(rows_get(e->data, at, n, e->x));
        if (labels)
            hard(e, labels + at, n);
        else
            TRY(expect(e, n));
        TRY(add_block(e, n, e->logs));
        const int answer = e->watch ? e->watch(e->user, n) : 0;
        if (answer) return (dfl_status)answer;
    }
    return DFL_OK;
}

/* ---- maximisation ---------------------------------------------------------------------------- */

/* Rows that a component needs to have a covariance. */
static double least_rows(const em *e) {
    const double d = (double)e->data->d;
    if (e->set.dp) return 0;
    if (e->set.kind == KIND_FULL && !(e->set.shrink > 0)) return d + 1;
    return e->p->factor ? (double)e->p->q + 2 : 2;
}

static void move_down(double *x, size_t size, size_t k, size_t last) {
    if (x) memmove(x + k * size, x + (k + 1) * size, (last - k) * size * sizeof *x);
}

void form_remove(prior *p, size_t k) {
    const size_t last = p->k - 1, m = form_size(p, 'm'), d = p->d;
    double sum = 0;
    move_down(p->weight, 1, k, last);
    move_down(p->mean, m, k, last);
    if (p->kind != KIND_TIED) move_down(p->cov, m * m, k, last);
    move_down(p->factor, d * p->q, k, last);
    move_down(p->psi, d, k, last);
    if (p->factor) move_down(p->root, p->q * d, k, last); /* factor analysers go on from it */
    memmove(p->label + k, p->label + k + 1, (last - k) * sizeof *p->label);
    p->k = last;
    for (size_t i = 0; i < last; i++) sum += p->weight[i];
    for (size_t i = 0; i < last && sum > 0; i++) p->weight[i] /= sum;
}

/* A component with too few rows goes, and its rows find another one in the next pass. */
static dfl_status remove_empty(em *e) {
    const size_t d = e->data->d, w = e->width;
    for (size_t k = e->p->k; k-- > 0;) {
        if (e->count[k] >= least_rows(e)) continue;
        if (e->p->k == 1)
            return fail(DFL_E_RANGE,
                        "%zu rows are too few for %zu components of kind %s in %zu dimensions: "
                        "each needs %g; take fewer, or kind diag, ppca or pcagmm",
                        e->data->n, e->set.k, kind_names[e->set.kind], d, least_rows(e));
        const size_t last = e->p->k - 1;
        move_down(e->count, 1, k, last);
        move_down(e->first, d, k, last);
        if (e->set.kind != KIND_TIED)
            move_down(e->second, e->sums == SUM_WHOLE ? d * d : d, k, last);
        move_down(e->along, w * d, k, last);
        move_down(e->v, w * d, k, last);
        form_remove(e->p, k);
        e->removed++;
    }
    return DFL_OK;
}

static void regularise(const em *e, double *cov) {
    const size_t d = e->data->d;
    double trace = 0;
    for (size_t i = 0; i < d; i++) trace += cov[i * d + i];
    for (size_t i = 0; i < d * d && e->set.shrink > 0; i++) cov[i] *= 1 - e->set.shrink;
    for (size_t i = 0; i < d; i++) cov[i * d + i] += e->set.reg + e->set.shrink * trace / (double)d;
}

/* cov = second / total - sum_k n_k delta_k delta_k' / total over the components of that matrix */
static void dense_cov(em *e, size_t s, double total) {
    const size_t d = e->data->d;
    double *const cov = e->p->cov + s * d * d, *const sum = e->second + s * d * d;
    for (size_t i = 0; i < d * d; i++) cov[i] = sum[i] / total;
    for (size_t k = 0; k < e->p->k; k++) {
        if (form_cov_of(e->p, k) != s) continue;
        const double *const f = e->first + k * d, n = e->count[k];
        for (size_t i = 0; i < d; i++)
            for (size_t j = 0; j < d; j++) cov[i * d + j] -= f[i] / n * f[j] / total;
    }
    regularise(e, cov);
}

static void diagonal_cov(em *e, size_t k) {
    const size_t d = e->data->d;
    const double n = e->count[k];
    for (size_t j = 0; j < d; j++) {
        const double delta = e->first[k * d + j] / n, v = e->second[k * d + j] / n - delta * delta;
        e->p->psi[k * d + j] = (v > 0 ? v : 0) + e->set.reg;
    }
}

static dfl_status plain_maximise(em *e) {
    const size_t d = e->data->d;
    double total = 0;
    for (size_t k = 0; k < e->p->k; k++) total += e->count[k];
    for (size_t k = 0; k < e->p->k; k++) {
        e->p->weight[k] = e->count[k] / total;
        if (e->p->cov && e->set.kind != KIND_TIED) dense_cov(e, k, e->count[k]);
        if (e->sums == SUM_DIAGONAL && e->p->psi && !e->p->factor) diagonal_cov(e, k);
    }
    if (e->set.kind == KIND_TIED) dense_cov(e, 0, total);
    for (size_t k = 0; k < e->p->k; k++) {
        double *const delta = e->first + k * d;
        for (size_t j = 0; j < d; j++) delta[j] /= e->count[k];
        for (size_t j = 0; j < d; j++) e->p->mean[k * d + j] += delta[j];
        if (e->p->factor) TRY(lowrank_maximise(e, k, e->count[k], delta));
    }
    return DFL_OK;
}

static dfl_status maximise(em *e) {
    TRY(remove_empty(e));
    for (size_t k = 0; k < e->p->k; k++) e->count[k] += 10 * DBL_EPSILON;
    TRY(e->dp ? dp_maximise(e) : plain_maximise(e));
    e->steps++;
    TRY(form_finish(e->p));
    if (e->dp) dp_tilt(e);
    return DFL_OK;
}

dfl_status em_start(em *e, const uint32_t *labels) {
    const size_t d = e->data->d;
    for (size_t k = 0; k < e->p->k; k++) memcpy(e->p->mean + k * d, e->start, d * sizeof(double));
    /* directions that C is applied to have nothing to start from: two more passes find them */
    const int passes = e->sums == SUM_ALONG ? 3 : 1;
    for (int i = 0; i < passes; i++) {
        const size_t before = e->p->k;
        TRY(pass(e, labels));
        TRY(maximise(e));
        if (e->p->k != before) break; /* labels mean other components now */
    }
    return DFL_OK;
}

dfl_status em_step(em *e, double *value) {
    TRY(pass(e, NULL));
    *value = e->loglik / (double)e->data->n;
    TRY(maximise(e));
    if (e->dp) *value = dp_bound(e);
    return DFL_OK;
}

dfl_status em_score(em *e, const rows *data, double *mean) {
    const size_t k = e->p->k;
    double sum = 0;
    for (size_t at = 0; at < data->n; at += FORM_ROWS) {
        const size_t left = data->n - at, n = left < FORM_ROWS ? left : FORM_ROWS;
        TRY(rows_get(data, at, n, e->x));
        TRY(form_logs(e->p, true, n, e->x, &e->work, e->logs));
        for (size_t i = 0; i < n; i++) sum += form_sum(k, e->logs + i * k, false);
        const int answer = e->watch ? e->watch(e->user, 0) : 0;
        if (answer) return (dfl_status)answer;
    }
    *mean = sum / (double)data->n;
    return DFL_OK;
}
