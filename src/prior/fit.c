/* Fitting from data to the finished prior: which rows are held out, restarts, classes, principal
   coordinates, the least variance of noised data, the gate. */
#include "prior/fit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/dense.h"

enum { HELD_KIND = 7 };

/* What one mixture is fitted to. `pass` of `noise`, where there is one, is turned on so that every
   pass sees other noise. */
typedef struct {
    const fit_wish *wish;
    em_settings set; /* absolute numbers */
    rows *noise;
    fit_report *report;
} fitting;

/* ---- one mixture ----------------------------------------------------------------------------- */

static double tolerance_of(const fitting *f, size_t d) {
    if (f->wish->tolerance > 0) return f->wish->tolerance;
    return d <= 16 || f->set.dp ? 1e-6 : 1e-4;
}

/* The value whose change decides when to stop. The likelihood of noised rows goes up and down with
   the noise, so that of rows held out counts there. */
static dfl_status step(const fitting *f, em *e, const rows *held, double *value) {
    if (f->noise) f->noise->pass++;
    TRY(em_step(e, value));
    if (f->set.dp) *value /= (double)e->data->n;
    if (!f->noise || f->set.dp) return DFL_OK;
    const uint32_t pass = f->noise->pass;
    f->noise->pass = 0;
    const dfl_status status = em_score(e, held, value);
    f->noise->pass = pass;
    return status;
}

static dfl_status iterate(const fitting *f, em *e, const rows *held, size_t *done, bool *still) {
    double last = 0;
    *still = e->p->k == 1 && !e->p->factor; /* one Gaussian is there after the first pass */
    for (*done = 0; *done < f->wish->iterations && !*still; ++*done) {
        double value;
        const size_t k = e->p->k;
        TRY(step(f, e, held, &value));
        *still = *done > 0 && k == e->p->k && fabs(value - last) < tolerance_of(f, e->data->d);
        last = value;
    }
    if (f->noise) f->noise->pass = 0;
    return f->set.dp ? dp_close(e) : DFL_OK;
}

static dfl_status run_once(const fitting *f, const rows *train, const rows *held,
                           const uint32_t *labels, em **out, fit_report *r) {
    TRY(em_new(&f->set, train, out));
    em *const e = *out;
    e->watch = f->wish->watch;
    e->user = f->wish->user;
    TRY(em_start(e, labels));
    TRY(iterate(f, e, held, &r->iterations, &r->converged));
    r->removed = e->removed;
    return em_score(e, held, &r->held_loglik);
}

static dfl_status check_rows(const fitting *f, const rows *train, const rows *held) {
    const size_t n = train->n, d = train->d, k = f->set.k;
    const bool dense =
        f->set.kind == KIND_GAUSS || f->set.kind == KIND_FULL || f->set.kind == KIND_TIED;
    if (held->n < 2)
        return fail(DFL_E_RANGE, "%zu rows are held out of %zu: at least 2 are needed for the gate",
                    held->n, n + held->n);
    if (k > n / 2)
        return fail(DFL_E_RANGE, "%zu components for %zu rows: at most half as many", k, n);
    if (dense && n < 2 * d && !(f->set.shrink > 0))
        return fail(DFL_E_RANGE,
                    "%zu rows are too few for a covariance in %zu dimensions: at least %zu, or "
                    "shrink it, or take kind diag, ppca or pcagmm",
                    n, d, 2 * d);
    return DFL_OK;
}

/* The best of the restarts by what was held out. */
static dfl_status fit_mixture(const fitting *f, const rows *train, const rows *held, prior **out) {
    seed_space space = {0};
    fit_report best = {.held_loglik = -HUGE_VAL};
    *out = NULL;
    TRY(check_rows(f, train, held));
    uint32_t *const labels = mem_array(train->n, sizeof *labels);
    dfl_status status = labels ? DFL_OK : fail_memory();
    if (status == DFL_OK && f->set.k > 1) status = seed_space_new(train, &space);
    for (size_t i = 0; i < f->wish->restarts && status == DFL_OK; i++) {
        fit_report r = {.restart = i};
        em *e = NULL;
        if (f->set.k > 1)
            status = seed_labels(train, &space, f->set.k, f->wish->seed, (uint32_t)i, labels);
        if (status == DFL_OK) status = run_once(f, train, held, labels, &e, &r);
        if (status == DFL_OK && r.held_loglik > best.held_loglik) {
            best = r;
            prior_free(*out);
            *out = e->p;
            e->p = NULL;
        }
        em_free(e);
        if (f->set.k == 1) break;
    }
    free(labels);
    seed_space_free(&space);
    if (status == DFL_OK && !*out)
        status = fail(DFL_E_NONFINITE, "no fit gave what was held out a finite likelihood");
    f->report->iterations += best.iterations;
    f->report->removed += best.removed;
    f->report->restart = best.restart;
    f->report->converged = f->report->converged && best.converged;
    return status;
}

/* ---- classes --------------------------------------------------------------------------------- */

/* Appends the components of `from`, weights times share, to p, whose k says where. */
static void append(prior *p, const prior *from, double share, int64_t label) {
    const size_t m = form_size(p, 'm'), d = p->d, q = p->q, at = p->k;
    for (size_t j = 0; j < from->k; j++) {
        p->weight[at + j] = from->weight[j] * share;
        p->label[at + j] = label;
    }
    memcpy(p->mean + at * m, from->mean, from->k * m * sizeof(double));
    if (p->cov && p->kind == KIND_TIED)
        memcpy(p->cov + (size_t)label * m * m, from->cov, m * m * sizeof(double));
    else if (p->cov)
        memcpy(p->cov + at * m * m, from->cov, from->k * m * m * sizeof(double));
    if (p->factor) memcpy(p->factor + at * d * q, from->factor, from->k * d * q * sizeof(double));
    if (p->psi) memcpy(p->psi + at * d, from->psi, from->k * d * sizeof(double));
    p->k += from->k;
}

/* Rows of one class among those of a subset. */
static size_t choose(const int64_t *labels, const size_t *index, size_t n, int64_t label,
                     size_t *out) {
    size_t found = 0;
    for (size_t i = 0; i < n; i++)
        if (labels[index[i]] == label) out[found++] = i;
    return found;
}

typedef struct {
    size_t *train, *held; /* indices of rows */
    size_t ntrain, nheld;
} halves;

static dfl_status fit_classes(const fitting *f, const rows *train, const rows *held,
                              const halves *split, const int64_t *labels, prior **out) {
    int64_t classes = 0;
    for (size_t i = 0; i < split->ntrain; i++)
        if (labels[split->train[i]] >= classes) classes = labels[split->train[i]] + 1;
    if ((size_t)classes > PRIOR_COMPONENTS_MAX / f->set.k)
        return fail(DFL_E_RANGE, "%lld classes of %zu components: at most %d components in all",
                    (long long)classes, f->set.k, PRIOR_COMPONENTS_MAX);
    const form_wish wish = {f->set.kind, train->d, f->set.k * (size_t)classes, f->set.q, classes};
    dfl_status status = form_new(&wish, out);
    size_t *const index = mem_array(split->ntrain + split->nheld, sizeof *index);
    if (status == DFL_OK && !index) status = fail_memory();
    if (status == DFL_OK) (*out)->k = 0;
    for (int64_t c = 0; c < classes && status == DFL_OK; c++) {
        prior *one = NULL;
        size_t *const more = index + split->ntrain;
        const size_t n = choose(labels, split->train, split->ntrain, c, index);
        const size_t m = choose(labels, split->held, split->nheld, c, more);
        const rows here = rows_subset(train, index, n), there = rows_subset(held, more, m);
        status = fit_mixture(f, &here, &there, &one);
        if (status == DFL_OK)
            append(*out, one, (double)n / (double)split->ntrain, c);
        else if (status < 0)
            fail_in(status, "class %lld", (long long)c);
        prior_free(one);
    }
    free(index);
    return status == DFL_OK ? form_finish(*out) : status;
}

static dfl_status fit_any(const fitting *f, const rows *train, const rows *held,
                          const halves *split, const int64_t *labels, prior **out) {
    return labels ? fit_classes(f, train, held, split, labels, out)
                  : fit_mixture(f, train, held, out);
}

/* ---- principal coordinates ------------------------------------------------------------------- */

static dfl_status project(const rows *from, const prior *p, double *y) {
    double *const x = mem_array(p->d, sizeof *x);
    dfl_status status = x ? DFL_OK : fail_memory();
    for (size_t i = 0; i < from->n && status == DFL_OK; i++) {
        status = from->get(from, i, x);
        for (size_t e = 0; e < p->d && status == DFL_OK; e++) x[e] -= p->center[e];
        for (size_t j = 0; j < p->q && status == DFL_OK; j++) {
            double sum = 0;
            for (size_t e = 0; e < p->d; e++) sum += p->basis[j * p->d + e] * x[e];
            y[i * p->q + j] = sum;
        }
    }
    free(x);
    return status;
}

/* Centre, basis and the variances that no mixture is made of. */
static dfl_status find_basis(const rows *train, double reg, prior *p) {
    const size_t d = p->d, q = p->q;
    double *const values = mem_array(d, sizeof *values), *const cov = p->basis;
    if (!values) return fail_memory();
    dfl_status status = rows_moments(train, p->center, cov);
    if (status == DFL_OK) status = dense_eigen(d, cov, true, values);
    for (size_t i = 0; i < d / 2 && status == DFL_OK; i++) /* falling, not rising */
        for (size_t e = 0; e < d; e++) {
            const double swap = cov[i * d + e];
            cov[i * d + e] = cov[(d - 1 - i) * d + e];
            cov[(d - 1 - i) * d + e] = swap;
        }
    for (size_t i = q; i < d && status == DFL_OK; i++) {
        const double v = values[d - 1 - i];
        p->rest[i - q] = (v > 0 ? v : 0) + reg;
    }
    free(values);
    return status;
}

/* The mixture in coordinates becomes one of data: its arrays move over. */
static dfl_status lift(prior *inner, const prior *frame, prior **out) {
    TRY(form_new(&(form_wish){KIND_PCAGMM, frame->d, inner->k, frame->q, inner->classes}, out));
    prior *const p = *out;
    const size_t d = p->d, q = p->q, k = p->k;
    memcpy(p->weight, inner->weight, k * sizeof(double));
    memcpy(p->label, inner->label, k * sizeof *p->label);
    memcpy(p->mean, inner->mean, k * q * sizeof(double));
    memcpy(p->cov, inner->cov, k * q * q * sizeof(double));
    memcpy(p->basis, frame->basis, d * d * sizeof(double));
    memcpy(p->center, frame->center, d * sizeof(double));
    memcpy(p->rest, frame->rest, (d - q) * sizeof(double));
    return DFL_OK;
}

static dfl_status fit_coordinates(const fitting *f, const rows *train, const rows *held,
                                  const halves *split, const int64_t *labels, prior **out) {
    prior *frame = NULL, *inner = NULL;
    fitting in = *f;
    in.set.kind = KIND_FULL;
    in.noise = NULL; /* coordinates are computed once, so their noise stays */
    const size_t q = f->set.q, n = train->n, m = held->n;
    dfl_status status = form_new(&(form_wish){KIND_PCAGMM, train->d, 1, q, 0}, &frame);
    double *const y = mem_array(mem_product(n + m, q, 1), sizeof *y);
    if (status == DFL_OK && !y) status = fail_memory();
    if (status == DFL_OK) status = find_basis(train, f->set.reg, frame);
    if (status == DFL_OK) status = project(train, frame, y);
    if (status == DFL_OK) status = project(held, frame, y + n * q);
    if (status == DFL_OK) {
        const rows near = rows_memory(y, n, q), far = rows_memory(y + n * q, m, q);
        status = fit_any(&in, &near, &far, split, labels, &inner);
    }
    if (status == DFL_OK) status = lift(inner, frame, out);
    prior_free(frame);
    prior_free(inner);
    free(y);
    return status;
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* Covariances of x_T are at least b^2 in every direction: eigenvalues below are set to it, which is
   the maximum of the likelihood under that constraint. */
static dfl_status clamp_matrix(size_t m, double least, double *s) {
    double *const v = mem_array(mem_product(m, m, 1), sizeof *v);
    double *const values = mem_array(m, sizeof *values);
    dfl_status status = v && values ? DFL_OK : fail_memory();
    if (status == DFL_OK) {
        memcpy(v, s, m * m * sizeof *v);
        status = dense_eigen(m, v, true, values);
    }
    for (size_t i = 0; i < m && status == DFL_OK && values[i] < least; i++)
        for (size_t j = 0; j < m; j++)
            for (size_t l = 0; l <= j; l++) {
                s[j * m + l] += (least - values[i]) * v[i * m + j] * v[i * m + l];
                s[l * m + j] = s[j * m + l];
            }
    free(v);
    free(values);
    return status;
}

static dfl_status clamp(prior *p) {
    const size_t m = form_size(p, 'm'), s = form_size(p, 's');
    const double least = p->b * p->b;
    for (size_t i = 0; p->cov && i < s; i++) TRY(clamp_matrix(m, least, p->cov + i * m * m));
    for (size_t i = 0; p->psi && i < p->k * p->d; i++)
        if (p->psi[i] < least) p->psi[i] = least;
    for (size_t i = 0; p->rest && i < p->d - p->q; i++)
        if (p->rest[i] < least) p->rest[i] = least;
    return DFL_OK;
}

static double log_standard(size_t d, const double *x) {
    double sum = (double)d * LOG_2PI;
    for (size_t j = 0; j < d; j++) sum += x[j] * x[j];
    return -sum / 2;
}

/* Mean over rows, and its standard error, of log p(x), or of its difference to log N(x; 0, I). */
static dfl_status mean_log(const prior *p, const rows *data, const fit_wish *wish, bool against,
                           double out[2]) {
    const size_t d = p->d;
    form_work w = {0};
    TRY(form_work_new(p, &w));
    double *const x = mem_array(mem_product(FORM_ROWS, d, 1), sizeof *x);
    double *const logs = mem_array(mem_product(FORM_ROWS, p->k, 1), sizeof *logs);
    double mean = 0, m2 = 0, count = 0;
    dfl_status status = x && logs ? DFL_OK : fail_memory();
    for (size_t at = 0; at < data->n && status == DFL_OK; at += FORM_ROWS) {
        const size_t left = data->n - at, n = left < FORM_ROWS ? left : FORM_ROWS;
        status = rows_get(data, at, n, x);
        if (status == DFL_OK) status = form_logs(p, true, n, x, &w, logs);
        for (size_t i = 0; i < n && status == DFL_OK; i++) {
            const double base = against ? log_standard(d, x + i * d) : 0;
            const double value = form_sum(p->k, logs + i * p->k, false) - base;
            const double off = value - mean;
            mean += off / ++count;
            m2 += off * (value - mean);
        }
        const int answer = status == DFL_OK && wish->watch ? wish->watch(wish->user, 0) : 0;
        if (answer) status = (dfl_status)answer;
    }
    out[0] = mean;
    out[1] = count > 1 ? sqrt(m2 / (count - 1) / count) : 0;
    if (status == DFL_OK && !isfinite(out[0] + out[1]))
        status = fail(DFL_E_NONFINITE, "the rows have no finite log-density");
    free(x);
    free(logs);
    form_work_free(&w);
    return status;
}

static dfl_status gain_of(const prior *p, const rows *data, const fit_wish *wish, gate_row *row) {
    double value[2];
    TRY(mean_log(p, data, wish, true, value));
    *row = (gate_row){p->a, p->b, value[0], value[1]};
    return DFL_OK;
}

dfl_status prior_gain(const prior *p, const rows *data, gate_row *row) {
    return gain_of(p, data, &(fit_wish){0}, row);
}

/* Clean rows are brought to each state that the gate asks for; others are judged where they are. */
static dfl_status pass_gate(const fit_wish *wish, const rows *held, prior *p) {
    const bool clean = p->a == 1 && p->b == 0;
    p->ngate = clean ? wish->ngate : 1;
    if (!clean) return gain_of(p, held, wish, &p->gate[0]);
    for (size_t i = 0; i < p->ngate; i++) {
        prior *there = NULL;
        rows noised = rows_noised(held, wish->gate[i].a, wish->gate[i].b, wish->seed);
        noised.pass = 1u << 27; /* noise that no fit has seen */
        TRY(prior_at(p, wish->gate[i].a, wish->gate[i].b, &there));
        const dfl_status status = gain_of(there, &noised, wish, &p->gate[i]);
        prior_free(there);
        TRY(status);
    }
    return DFL_OK;
}

static dfl_status split_rows(const fit_wish *wish, size_t n, halves *out) {
    out->train = mem_array(n, sizeof(size_t));
    out->held = mem_array(n, sizeof(size_t));
    if (!out->train || !out->held) return fail_memory();
    for (size_t i = 0; i < n; i++) {
        /* by chance, because data may be in an order */
        if (noise_uniform(wish->seed, HELD_KIND, 0, i) < wish->held_share)
            out->held[out->nheld++] = i;
        else
            out->train[out->ntrain++] = i;
    }
    if (out->ntrain > 0 && out->nheld > 1) return DFL_OK;
    return fail(DFL_E_RANGE, "of %zu rows %zu are held out: at least 2, and not all, are needed", n,
                out->nheld);
}

static dfl_status scale_settings(const fit_wish *wish, const rows *train, fitting *f) {
    const size_t d = train->d;
    double *const mean = mem_array(d, sizeof *mean), *const x = mem_array(d, sizeof *x);
    dfl_status status = mean && x ? rows_moments(train, mean, NULL) : fail_memory();
    double sum = 0;
    for (size_t i = 0; i < train->n && status == DFL_OK; i++) {
        status = train->get(train, i, x);
        for (size_t j = 0; j < d && status == DFL_OK; j++)
            sum += (x[j] - mean[j]) * (x[j] - mean[j]);
    }
    free(mean);
    free(x);
    TRY(status);
    const double variance = sum / (double)train->n / (double)d;
    if (!(variance > 0 && isfinite(variance)))
        return fail(DFL_E_RANGE, "all rows of the data are the same");
    f->set.reg *= variance;
    f->set.floor *= variance;
    if (wish->b > 0 && f->set.floor < wish->b * wish->b) f->set.floor = wish->b * wish->b;
    return DFL_OK;
}

static dfl_status fit_split(fitting *f, const rows *state, const halves *split,
                            const int64_t *labels, prior **out) {
    const fit_wish *const wish = f->wish;
    const rows train = rows_subset(state, split->train, split->ntrain);
    const rows held = rows_subset(state, split->held, split->nheld);
    TRY(scale_settings(wish, &train, f));
    TRY(f->set.kind == KIND_PCAGMM ? fit_coordinates(f, &train, &held, split, labels, out)
                                   : fit_any(f, &train, &held, split, labels, out));
    prior *const p = *out;
    p->a = wish->a;
    p->b = wish->b;
    if (p->b > 0) TRY(clamp(p));
    TRY(form_finish(p));
    TRY(pass_gate(wish, &held, p));
    double value[2];
    TRY(mean_log(p, &train, wish, false, value));
    f->report->loglik = value[0];
    TRY(mean_log(p, &held, wish, false, value));
    f->report->held_loglik = value[0];
    return DFL_OK;
}

dfl_status prior_fit(const fit_wish *wish, const rows *data, const int64_t *labels, prior **out,
                     fit_report *report) {
    halves split = {0};
    *out = NULL;
    *report = (fit_report){.converged = true};
    if (data->d > PRIOR_DIM_MAX)
        return fail(DFL_E_RANGE, "samples of %zu numbers: a prior has at most %d dimensions",
                    data->d, PRIOR_DIM_MAX);
    rows noised = rows_noised(data, wish->a, wish->b, wish->seed);
    fitting f = {wish, wish->em, wish->add_noise ? &noised : NULL, report};
    dfl_status status = split_rows(wish, data->n, &split);
    report->rows = split.ntrain;
    report->held_out = split.nheld;
    if (status == DFL_OK)
        status = fit_split(&f, wish->add_noise ? &noised : data, &split, labels, out);
    free(split.train);
    free(split.held);
    if (status == DFL_OK) return DFL_OK;
    prior_free(*out);
    *out = NULL;
    return status;
}
