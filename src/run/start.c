/* Start states: files are read and checked against model and time, maps are made, states drawn. */
#include "run/start.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/dense.h"
#include "io/io.h"
#include "process/process.h"

static const size_t moments_bytes_max = (size_t)1 << 28;

double start_data_size(const card *c) {
    if (c->has_moments) return hypot(c->mean, c->std);
    return fmax(fabs(c->range[0]), fabs(c->range[1]));
}

void start_free(start_law *s) {
    if (!s) return;
    prior_free(s->clean);
    prior_free(s->at);
    free(s->mean);
    free(s->cov);
    free(s->shift);
    free(s->matrix);
    free(s);
}

bool start_is_own(const start_law *s) {
    return s->flow || s->at;
}

/* ---- moments --------------------------------------------------------------------------------- */

static dfl_status take_moments(start_law *s, const char *path, const array in[2]) {
    const size_t d = s->d;
    if (!array_is_real(&in[0]) || !array_is_real(&in[1]))
        return fail(DFL_E_FORMAT, "%s: mu and sigma must be float32 or float64", path);
    if (array_count(&in[0]) != d || in[1].rank != 2 || in[1].shape[0] != d || in[1].shape[1] != d)
        return fail(DFL_E_COMBINATION,
                    "%s: mu needs %zu numbers and sigma %zu x %zu, as a sample of this model has",
                    path, d, d, d);
    for (size_t i = 0; i < d; i++) s->mean[i] = array_real(&in[0], i);
    for (size_t i = 0; i < d * d; i++) s->cov[i] = array_real(&in[1], i);
    for (size_t i = 0; i < d; i++) {
        if (!isfinite(s->mean[i]) || !(s->cov[i * d + i] >= 0))
            return fail(DFL_E_RANGE, "%s: mean %g and variance %g of number %zu cannot be", path,
                        s->mean[i], s->cov[i * d + i], i);
        for (size_t j = 0; j < i; j++) {
            const double x = s->cov[i * d + j], y = s->cov[j * d + i];
            if (!(fabs(x - y) <= 1e-6 * sqrt(s->cov[i * d + i] * s->cov[j * d + j]) + 1e-12))
                return fail(DFL_E_RANGE, "%s: sigma is not symmetric at [%zu][%zu]: %g and %g",
                            path, i, j, x, y);
            s->cov[i * d + j] = s->cov[j * d + i] = (x + y) / 2;
        }
    }
    return DFL_OK;
}

dfl_status start_reserve_moments(start_law *s) {
    if (s->d > START_FLOW_MAX)
        return fail(DFL_E_RANGE,
                    "covariances of %zu numbers are too large: at most %d numbers in a sample",
                    s->d, START_FLOW_MAX);
    s->mean = mem_array(s->d, sizeof *s->mean);
    s->cov = mem_array(mem_product(s->d, s->d, 1), sizeof *s->cov);
    return s->mean && s->cov ? DFL_OK : fail_memory();
}

static dfl_status read_moments(start_law *s, const char *path) {
    static const char *const names[] = {"mu", "sigma"};
    array in[2];
    TRY(start_reserve_moments(s));
    TRY(npz_read(path, names, 2, false, moments_bytes_max, in));
    const dfl_status status = take_moments(s, path, in);
    array_free(&in[0]);
    array_free(&in[1]);
    s->source = "data_moments";
    return status;
}

/* Data scaled to another range would pass for any other prior: [0, 1] for [-1, 1] halves the
   deviation. a, b: the state that mean and cov (var: their mean variance) are of. */
static dfl_status check_scaling(const card *c, const char *path, const double state[2],
                                const double *mean, const double *cov) {
    const size_t d = card_dim(c);
    double m = 0, square = 0;
    if (!c->has_moments) return DFL_OK;
    for (size_t i = 0; i < d; i++) {
        m += mean[i];
        square += mean[i] * mean[i] + cov[i * d + i];
    }
    m /= (double)d;
    const double std = sqrt(square / (double)d - m * m);
    const double expected = state[0] * c->mean, spread_there = hypot(state[0] * c->std, state[1]);
    const double ratio = std / spread_there;
    if (ratio > 0.7 && ratio < 1 / 0.7 && fabs(m - expected) < 0.5 * spread_there) return DFL_OK;
    return fail(DFL_E_COMBINATION,
                "%s: its data have mean %.3g and deviation %.3g, those of the model %.3g and %.3g: "
                "scale them as the model's (range %g to %g)",
                path, m, std, expected, spread_there, c->range[0], c->range[1]);
}

/* ---- the prior ------------------------------------------------------------------------------- */

static dfl_status check_prior(const prior *p, const card *c, const char *path) {
    const size_t *shape;
    const int rank = prior_shape(p, &shape);
    bool same = rank == 0 || rank == c->rank;
    for (int i = 0; i < rank && same; i++) same = shape[i] == c->shape[i];
    if (prior_dim(p) != card_dim(c))
        return fail(DFL_E_COMBINATION,
                    "%s: a density of %zu numbers; a sample of this model has %zu", path,
                    prior_dim(p), card_dim(c));
    if (!same)
        return fail(DFL_E_COMBINATION,
                    "%s: samples of another shape than this model's (the same numbers in another "
                    "order)",
                    path);
    const double *const range = prior_range(p);
    if (range && (range[0] != c->range[0] || range[1] != c->range[1]))
        return fail(DFL_E_COMBINATION,
                    "%s: a density of data from %g to %g; this model's go from %g to %g", path,
                    range[0], range[1], c->range[0], c->range[1]);
    if (prior_classes(p) > 0 && prior_classes(p) != c->classes)
        return fail(DFL_E_COMBINATION, "%s: a density for %lld classes, but the model has %lld",
                    path, (long long)prior_classes(p), (long long)c->classes);
    return DFL_OK;
}

static dfl_status check_classes(const prior *p, const char *path) {
    for (int64_t label = 0; label < prior_classes(p); label++) {
        prior *one;
        const dfl_status status = prior_only(p, label, &one);
        prior_free(one);
        if (status != DFL_OK) return fail_in(status, "%s", path);
    }
    return DFL_OK;
}

static dfl_status scaling_of_prior(const prior *p, const card *c, const char *path) {
    const size_t d = card_dim(c);
    double state[2];
    if (!c->has_moments || d > START_DENSE_MAX || prior_components(p) == 0) return DFL_OK;
    double *const mean = mem_array(d, sizeof *mean);
    double *const cov = mem_array(mem_product(d, d, 1), sizeof *cov);
    dfl_status status = mean && cov ? prior_moments(p, mean, cov) : fail_memory();
    prior_state(p, &state[0], &state[1]);
    if (status == DFL_OK) status = check_scaling(c, path, state, mean, cov);
    free(mean);
    free(cov);
    return status;
}

dfl_status start_prior(const card *c, const char *path, prior **out) {
    dfl_status status = prior_read(path, out);
    if (status == DFL_OK) status = check_prior(*out, c, path);
    if (status == DFL_OK) status = check_classes(*out, path);
    if (status == DFL_OK) status = scaling_of_prior(*out, c, path);
    if (status == DFL_OK) return DFL_OK;
    prior_free(*out);
    *out = NULL;
    return status;
}

static dfl_status open_prior(start_law *s, const card *c, const char *path) {
    TRY(start_prior(c, path, &s->clean));
    const dfl_status status = prior_at(s->clean, s->a, s->b, &s->at);
    return status == DFL_OK ? DFL_OK : fail_in(status, "%s, at t = %.6g", path, s->t);
}

/* ---- opening --------------------------------------------------------------------------------- */

static dfl_status fill(start_law *s, const start_wish *wish, const start_place *at) {
    static const double clean[2] = {1, 0};
    if (wish->map == START_FLOW && wish->prior && wish->moments)
        return fail(DFL_E_COMBINATION,
                    "the flow map takes moments from a prior or from data moments, not both");
    if (at->components != 1 && (wish->prior || wish->moments || wish->map == START_FLOW))
        return fail(
            DFL_E_COMBINATION,
            "in phase space a start at T needs a density of data and momentum together, and "
            "priors are of data alone: start at t = 1, or choose a scalar process");
    if (wish->moments) {
        TRY(read_moments(s, wish->moments));
        TRY(check_scaling(at->card, wish->moments, clean, s->mean, s->cov));
    }
    if (wish->prior) TRY(open_prior(s, at->card, wish->prior));
    return wish->map == START_FLOW ? start_open_map(s, wish, at) : DFL_OK;
}

dfl_status start_open(const start_wish *wish, const start_place *at, start_law **out) {
    start_law *s = mem_array(1, sizeof *s);
    *out = NULL;
    if (!s) return fail_memory();
    s->card = at->card;
    s->d = card_dim(at->card);
    s->components = at->components;
    s->t = at->t;
    s->a = at->a;
    s->b = at->b;
    s->scale = fabs(at->scale.v[0]);
    s->size = start_data_size(at->card);
    s->classes = at->card->classes;
    s->null_class = at->card->null_class;
    const dfl_status status = fill(s, wish, at);
    if (status == DFL_OK)
        *out = s;
    else
        start_free(s);
    return status;
}

/* Times are told as they were asked for: the nearest with six digits, if the state is its. */
static double usual_time(const process *p, double a, double b) {
    const double t = process_time_of_rho(p, b / a), near = nearbyint(t * 1e6) / 1e6;
    return near <= p->t_hi && fabs(process_at(p, near).rho * a / b - 1) < 1e-9 ? near : t;
}

dfl_status start_time_of_prior(const char *path, const char *spec, bool *fitted, double *t) {
    double a, b;
    process *p;
    TRY(prior_read_state(path, &a, &b));
    *fitted = b > 0;
    if (!*fitted) return DFL_OK;
    TRY(process_new(spec, &p));
    dfl_status status = DFL_OK;
    scalar_at there = {0};
    *fitted = p->row->components == 1; /* in phase space the start refuses it, with the reason */
    if (*fitted) {
        *t = usual_time(p, a, b);
        there = process_at(p, *t);
    }
    if (*fitted && !(fabs(there.a - a) < 1e-6 * a && fabs(there.b - b) < 1e-6 * b))
        status = fail(DFL_E_COMBINATION,
                      "%s was fitted at a=%.6g, b=%.6g, a state that process %.80s does not pass",
                      path, a, b, spec);
    process_free(p);
    return status;
}

/* ---- drawing --------------------------------------------------------------------------------- */

dfl_status start_state(const start_law *s, const start_key *key, start_normals normals, void *user,
                       double *x) {
    const bool of_class = s->clean && key->label >= 0 && key->label < prior_classes(s->clean);
    const int64_t label = of_class ? key->label : -1;
    if (s->flow) return start_map_state(s, label, key->sample, normals, user, x);
    return prior_draw_of(s->at, label, key->seed, key->sample, x);
}
