/* The probability-flow map of a Gaussian from noise at the model's last time to T ("teleport"), or one
   map for each class. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/dense.h"
#include "process/process.h"
#include "run/start.h"

static const size_t matrices_max = (size_t)1 << 27; /* numbers in all of them: 1 GiB */

/* ---- one map --------------------------------------------------------------------------------- */

/* matrix = U' diag(gain) U for unit rows U: the gains go into a copy of the rows. */
static dfl_status turn(size_t d, const double *u, const double *gain, double *scaled,
                       double *matrix) {
    const dense_product product = {d, d, d, true, false, 1, 0};
    for (size_t k = 0; k < d; k++)
        for (size_t j = 0; j < d; j++) scaled[k * d + j] = gain[k] * u[k * d + j];
    return dense_multiply(&product, scaled, u, matrix);
}

static dfl_status gains(size_t d, const flow_ends *e, double *lam) {
    for (size_t k = 0; k < d; k++) {
        if (lam[k] < -1e-6 * fabs(lam[d - 1]))
            return fail(DFL_E_RANGE, "the data's covariance has a negative eigenvalue, %g", lam[k]);
        lam[k] = fmax(lam[k], 0);
        lam[k] = sqrt((e->a2 * e->a2 * lam[k] + e->b2 * e->b2) /
                      (e->a1 * e->a1 * lam[k] + e->b1 * e->b1));
    }
    return DFL_OK;
}

dfl_status start_flow_map(size_t d, const normal_law *data, const flow_ends *ends, double *shift,
                          double *matrix) {
    const size_t square = mem_product(d, d, 1);
    double *const u = mem_array(square, sizeof *u), *const scaled = mem_array(square, sizeof *u);
    double *const lam = mem_array(d, sizeof *lam);
    dfl_status status = u && scaled && lam ? DFL_OK : fail_memory();
    if (status == DFL_OK) {
        memcpy(u, data->cov, square * sizeof *u);
        status = dense_eigen(d, u, true, lam);
    }
    if (status == DFL_OK) status = gains(d, ends, lam);
    if (status == DFL_OK) status = turn(d, u, lam, scaled, matrix);
    for (size_t i = 0; i < d && status == DFL_OK; i++) {
        double sum = 0;
        for (size_t j = 0; j < d; j++) sum += matrix[i * d + j] * data->mean[j];
        shift[i] = ends->a2 * data->mean[i] - ends->a1 * sum;
    }
    free(u);
    free(scaled);
    free(lam);
    return status;
}

/* ---- opening --------------------------------------------------------------------------------- */

/* Where the map begins: the model's last time, on the process that the plan is for. */
static dfl_status find_beginning(start_law *s, const start_place *at) {
    process *p = NULL;
    if (!at->process)
        return fail(DFL_E_COMBINATION,
                    "this plan does not say its process, which the flow map begins on");
    TRY(process_new(at->process, &p));
    s->t1 = fmin(at->card->t_max, p->t_hi);
    const scalar_at first = process_at(p, s->t1), here = process_at(p, s->t);
    s->a1 = first.a;
    s->b1 = first.b;
    s->scale1 = process_prior(p, s->t1).v[0];
    process_free(p);
    if (s->t <= s->t1 && fabs(here.a - s->a) < 1e-6 && fabs(here.b - s->b) < 1e-6) return DFL_OK;
    return fail(
        DFL_E_COMBINATION,
        "the flow map begins at t = %.6g of process %.80s, on which the plan's start at t = "
        "%.6g does not lie",
        s->t1, at->process, s->t);
}

/* One Gaussian, or as many as there are classes: one for each, since no class is without any. */
static dfl_status moments_of_prior(start_law *s, const char *path) {
    const size_t components = prior_components(s->clean);
    const int64_t classes = prior_classes(s->clean);
    double a, b;
    prior_state(s->clean, &a, &b);
    if (components == 0)
        return fail(
            DFL_E_COMBINATION,
            "%s: the flow map is that of one Gaussian, and this prior is a normalising flow: "
            "draw from it, or give a prior of kind gauss",
            path);
    if (components > 1 && (int64_t)components != classes)
        return fail(
            DFL_E_COMBINATION,
            "%s: the flow map is that of one Gaussian%s, and this prior has %zu components: "
            "draw from it, or give a prior of kind gauss",
            path, classes > 0 ? " a class" : "", components);
    if (a != 1 || b != 0)
        return fail(DFL_E_COMBINATION,
                    "%s: the flow map needs a prior of clean data, not of a=%.6g, b=%.6g", path, a,
                    b);
    s->source = "prior";
    TRY(start_reserve_moments(s));
    return prior_moments(s->clean, s->mean, s->cov);
}

static dfl_status reserve_maps(start_law *s) {
    s->maps = s->clean ? (size_t)prior_classes(s->clean) + 1 : 1;
    if (mem_product(s->maps, s->d, s->d) > matrices_max)
        return fail(DFL_E_RANGE,
                    "flow maps of %zu classes and %zu numbers are too large: at most %zu numbers "
                    "in all their matrices; take a prior of one Gaussian for all classes",
                    s->maps - 1, s->d, matrices_max);
    s->shift = mem_array(mem_product(s->maps, s->d, 1), sizeof *s->shift);
    s->matrix = mem_array(mem_product(s->maps, s->d, s->d), sizeof *s->matrix);
    return s->shift && s->matrix ? DFL_OK : fail_memory();
}

/* The map of a class, after that of all data. */
static dfl_status class_map(start_law *s, size_t label, const flow_ends *ends, double *mean,
                            double *cov) {
    const size_t d = s->d, i = label + 1;
    const normal_law data = {mean, cov};
    prior *one;
    TRY(prior_only(s->clean, (int64_t)label, &one));
    dfl_status status = prior_moments(one, mean, cov);
    if (status == DFL_OK)
        status = start_flow_map(d, &data, ends, s->shift + i * d, s->matrix + i * d * d);
    prior_free(one);
    return status;
}

static dfl_status class_maps(start_law *s, const flow_ends *ends) {
    double *const mean = mem_array(s->d, sizeof *mean);
    double *const cov = mem_array(mem_product(s->d, s->d, 1), sizeof *cov);
    dfl_status status = mean && cov ? DFL_OK : fail_memory();
    for (size_t label = 0; label + 1 < s->maps && status == DFL_OK; label++)
        status = class_map(s, label, ends, mean, cov);
    free(mean);
    free(cov);
    return status;
}

dfl_status start_open_map(start_law *s, const start_wish *wish, const start_place *at) {
    if (!wish->prior && !wish->moments)
        return fail(DFL_E_COMBINATION,
                    "the flow map needs the data's mean and covariance: a prior of kind gauss, or "
                    "data moments");
    TRY(find_beginning(s, at));
    if (!s->mean) TRY(moments_of_prior(s, wish->prior));
    prior_free(s->at); /* nothing is drawn from it */
    s->at = NULL;
    s->flow = true;
    TRY(reserve_maps(s));
    const normal_law data = {s->mean, s->cov};
    const flow_ends ends = {s->a1, s->b1, s->a, s->b};
    TRY(start_flow_map(s->d, &data, &ends, s->shift, s->matrix));
    return s->maps > 1 ? class_maps(s, &ends) : DFL_OK;
}

/* ---- mapping --------------------------------------------------------------------------------- */

dfl_status start_map_state(const start_law *s, int64_t label, uint64_t sample,
                           start_normals normals, void *user, double *x) {
    const size_t d = s->d, map = (size_t)(label + 1);
    const double *const shift = s->shift + map * d, *const matrix = s->matrix + map * d * d;
    double *const z = mem_array(d, sizeof *z);
    dfl_status status = z ? normals(user, sample, d, z) : fail_memory();
    for (size_t i = 0; i < d && status == DFL_OK; i++) {
        double sum = 0;
        for (size_t j = 0; j < d; j++) sum += matrix[i * d + j] * z[j];
        x[i] = shift[i] + s->scale1 * sum;
    }
    free(z);
    return status;
}
