/* What a refinement minimises, as sums of squares. With x the student's last state, in phase space its
   position, T the teacher's, S samples of d numbers, and w the weight:
     rms       |x - T|^2 / (S d)
     moments   that + w/d sum over numbers of (mean x - mean T)^2 + (var x - var T)^2, over samples
     features  that + w/(S W s^2) sum |phi(x) - phi(T)|^2, phi of W numbers and s their spread over
               the teacher's samples
     feature_distance
               rms + w/(W s^2) times the Frechet distance of the features' Gaussian, over samples,
               to that of the teacher's (refine_distance.c).
   Rows are seen sample by sample and only their triangle is kept (base/dense.h). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/dense.h"
#include "study/refine.h"

enum { RMS, MOMENTS, FEATURES, FEATURE_DISTANCE };

/* Of difference quotients, as a root mean square change of a state (or of half the log-SNR): for
   networks that calculate in double, and in float32, whose answers are right to about 1e-6. */
static const double step_double = 1e-6, step_float = 1e-3;

static int kind_of(const fit *f) {
    return opt_choice(&f->spec, "objective");
}

/* [count][state], of which a sample is the first `dim` numbers. */
static const double *last_truth(const fit *f, size_t first) {
    return f->target + (f->steps * f->starts + first) * f->state;
}

static const double *last_of(const fit *f, const refine_pass *p) {
    return p->x + f->steps * p->count * f->state;
}

/* ---- the goal ---------------------------------------------------------------------------------- */

/* A network that calculates in float32 does not see a change of 1e-14, or where it goes over to the
   next float32 sees one of 1e-7. */
static dfl_status choose_step(const fit *f, double *h) {
    dfl_plan *probe = NULL;
    double *const x = mem_array(f->state + 2 * f->answer, sizeof *x);
    double *const y = x ? x + f->state : NULL;
    dfl_status status = x ? fit_probe_output(f, f->t[0], &probe) : fail_memory();
    for (size_t i = 0; i < 2 && status == DFL_OK; i++) {
        for (size_t d = 0; d < f->state; d++) x[d] = f->target[d] * (i ? 1 + 1e-14 : 1);
        status = fit_predict(f, probe, 0, 1, x, y + i * f->answer);
    }
    if (status == DFL_OK) {
        double change = 0;
        for (size_t d = 0; d < f->answer; d++) change = fmax(change, fabs(y[d] - y[f->answer + d]));
        *h = change > 0 && change < 1e-10 ? step_double : step_float;
    }
    dfl_plan_free(probe);
    free(x);
    return status;
}

/* Features of samples first ..., x [count][state]. */
static dfl_status see(const fit *f, uint64_t first, size_t count, const double *x, float *out) {
    const fit_features *const eye = &f->features;
    if (f->state == f->dim) return eye->run(eye->user, first, count, x, out);
    double *const sample = mem_array(mem_product(count, f->dim, 1), sizeof *sample);
    if (!sample) return fail_memory();
    for (size_t i = 0; i < count; i++)
        memcpy(sample + i * f->dim, x + i * f->state, f->dim * sizeof *sample);
    const dfl_status status = eye->run(eye->user, first, count, sample, out);
    free(sample);
    return status;
}

static dfl_status look_at_truth(refine_goal *g) {
    const fit *const f = g->f;
    const size_t all = f->samples + f->held_out, wide = f->features.width;
    double sum = 0;
    g->truth = mem_array(mem_product(all, wide, 1), sizeof *g->truth);
    if (!g->truth) return fail_memory();
    TRY(see(f, 0, all, last_truth(f, 0), g->truth));
    for (size_t k = 0; k < wide; k++) {
        double mean = 0, var = 0;
        for (size_t i = 0; i < f->samples; i++) mean += (double)g->truth[i * wide + k];
        mean /= (double)f->samples;
        for (size_t i = 0; i < f->samples; i++) {
            const double gap = (double)g->truth[i * wide + k] - mean;
            var += gap * gap;
        }
        sum += var / (double)f->samples;
    }
    g->scale = sqrt(sum / (double)wide);
    if (g->scale > 0) return DFL_OK;
    return fail(DFL_E_COMBINATION,
                "fit: the features of the teacher's %zu samples are all alike, so that their "
                "distance tells nothing",
                f->samples);
}

dfl_status refine_goal_new(const fit *f, refine_goal *out) {
    *out = (refine_goal){.f = f, .weight = refine_weight(f), .scale = 1};
    TRY(choose_step(f, &out->h));
    return fit_sees(f) ? look_at_truth(out) : DFL_OK;
}

void refine_goal_free(refine_goal *g) {
    free(g->truth);
    *g = (refine_goal){0};
}

/* ---- moments over the samples ------------------------------------------------------------------ */

typedef struct {
    double *mean, *var; /* [dim] */
} moments;

/* Of the first `dim` numbers of each `wide`. */
static dfl_status moments_of(const double *x, size_t count, size_t dim, size_t wide, moments *out) {
    *out = (moments){mem_array(mem_product(2, dim, 1), sizeof(double)), NULL};
    if (!out->mean) return fail_memory();
    out->var = out->mean + dim;
    for (size_t i = 0; i < count; i++)
        for (size_t d = 0; d < dim; d++) out->mean[d] += x[i * wide + d] / (double)count;
    for (size_t i = 0; i < count; i++)
        for (size_t d = 0; d < dim; d++) {
            const double gap = x[i * wide + d] - out->mean[d];
            out->var[d] += gap * gap / (double)count;
        }
    return DFL_OK;
}

/* Mean over the numbers of the squared gaps, and the ratio of the variances. */
static void compare_moments(const moments *a, const moments *b, size_t dim, double *gap,
                            double *ratio) {
    double sum = 0, mine = 0, other = 0;
    for (size_t d = 0; d < dim; d++) {
        const double first = a->mean[d] - b->mean[d], second = a->var[d] - b->var[d];
        sum += first * first + second * second;
        mine += a->var[d];
        other += b->var[d];
    }
    *gap = sum / (double)dim;
    *ratio = other > 0 ? mine / other : NAN;
}

/* ---- the value --------------------------------------------------------------------------------- */

static double mean_square(const fit *f, const double *x, const double *y, size_t count) {
    double all = 0;
    for (size_t i = 0; i < count; i++) {
        double sum = 0;
        for (size_t d = 0; d < f->dim; d++) {
            const double gap = x[i * f->state + d] - y[i * f->state + d];
            sum += gap * gap;
        }
        all += sum;
    }
    return all / ((double)count * (double)f->dim);
}

/* The distance of the Gaussians, for features whose mean variance is 1. */
static dfl_status distance_gap(const refine_goal *g, const float *made, const float *truth,
                               size_t count, double *out) {
    const size_t width = g->f->features.width;
    feature_distance d;
    TRY(feature_distance_new(count, width, made, truth, &d));
    *out = d.distance / (g->scale * g->scale * (double)width);
    feature_distance_free(&d);
    return DFL_OK;
}

/* Sample by sample. */
static double mean_gap(const refine_goal *g, const float *made, const float *truth, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        const double gap = ((double)made[i] - (double)truth[i]) / g->scale;
        sum += gap * gap;
    }
    return sum / (double)n;
}

static dfl_status feature_gap(const refine_goal *g, const refine_pass *p, double *out) {
    const fit *const f = g->f;
    const size_t n = p->count * f->features.width;
    const float *const truth = g->truth + p->first * f->features.width;
    float *const made = mem_array(n, sizeof *made);
    if (!made) return fail_memory();
    dfl_status status = see(f, p->first, p->count, last_of(f, p), made);
    if (status == DFL_OK && kind_of(f) == FEATURE_DISTANCE)
        status = distance_gap(g, made, truth, p->count, out);
    else if (status == DFL_OK)
        *out = mean_gap(g, made, truth, n);
    free(made);
    return status;
}

dfl_status refine_measure(const refine_goal *g, const refine_pass *p, refine_score *out) {
    const fit *const f = g->f;
    const double *const x = last_of(f, p), *const truth = last_truth(f, p->first);
    const double square = mean_square(f, x, truth, p->count);
    moments mine = {0}, other = {0};
    double more = 0;
    *out = (refine_score){INFINITY, INFINITY, NAN};
    if (!isfinite(square)) return DFL_OK;
    dfl_status status = moments_of(x, p->count, f->dim, f->state, &mine);
    if (status == DFL_OK) status = moments_of(truth, p->count, f->dim, f->state, &other);
    if (status == DFL_OK) compare_moments(&mine, &other, f->dim, &more, &out->ratio);
    free(mine.mean);
    free(other.mean);
    if (kind_of(f) == RMS) more = 0;
    if (fit_sees(f) && status == DFL_OK) status = feature_gap(g, p, &more);
    out->rms = sqrt(square);
    out->objective = square + g->weight * more;
    return status;
}

/* ---- its rows ---------------------------------------------------------------------------------- */

typedef struct {
    const refine_goal *g;
    const double *point;
    const refine_pass *pass;
    const refine_direction *directions;
    size_t n, batch;
    double *triangle;
    double *moved;        /* [n][batch][state]: last states a step h along each direction */
    double *x, *e;        /* scratch of branches */
    double *rows;         /* [dim or features, the larger][n + 1] */
    float *seen, *made;   /* features [n][batch][width] of `moved`, and [count][width]; or NULL */
    moments mine, other;  /* of the last states, if they count */
    double *change;       /* [2][n][dim]: derivatives of mean and variance; or NULL */
    feature_distance d;   /* if it counts, and the derivatives of what it is of */
    double *mean, *cross; /* [n + 1][width], the last scratch; [n][width][width]; or NULL */
} jacobian;

static dfl_status begin_moments(jacobian *j) {
    const fit *const f = j->g->f;
    const size_t count = j->pass->count;
    j->change = mem_array(mem_product(2, j->n, f->dim), sizeof(double));
    if (!j->change) return fail_memory();
    TRY(moments_of(last_of(f, j->pass), count, f->dim, f->state, &j->mine));
    return moments_of(last_truth(f, j->pass->first), count, f->dim, f->state, &j->other);
}

static dfl_status begin_features(jacobian *j) {
    const fit *const f = j->g->f;
    const size_t width = f->features.width, first = j->pass->first, count = j->pass->count;
    j->seen = mem_array(mem_product(j->n, j->batch, width), sizeof(float));
    j->made = mem_array(mem_product(count, width, 1), sizeof(float));
    if (!j->seen || !j->made) return fail_memory();
    TRY(see(f, first, count, last_of(f, j->pass), j->made));
    if (kind_of(f) != FEATURE_DISTANCE) return DFL_OK;
    j->mean = mem_array(mem_product(j->n + 1, width, 1), sizeof(double));
    j->cross = mem_array(mem_product(j->n, width, width), sizeof(double));
    if (!j->mean || !j->cross) return fail_memory();
    return feature_distance_new(count, width, j->made, j->g->truth + first * width, &j->d);
}

static dfl_status jacobian_new(jacobian *j) {
    const fit *const f = j->g->f;
    const size_t dim = f->dim, wide = fit_sees(f) ? f->features.width : 0;
    j->moved = mem_array(mem_product(j->n, j->batch, f->state), sizeof(double));
    j->x = mem_array(mem_product(f->steps, j->batch, f->state), sizeof(double));
    j->e = mem_array(mem_product(f->steps, j->batch, f->answer), sizeof(double));
    j->rows = mem_array(mem_product(wide > dim ? wide : dim, j->n + 1, 1), sizeof(double));
    if (!j->moved || !j->x || !j->e || !j->rows) return fail_memory();
    if (kind_of(f) == MOMENTS) TRY(begin_moments(j));
    return fit_sees(f) ? begin_features(j) : DFL_OK;
}

static void jacobian_free(jacobian *j) {
    free(j->moved);
    free(j->x);
    free(j->e);
    free(j->rows);
    free(j->change);
    free(j->mine.mean);
    free(j->other.mean);
    free(j->seen);
    free(j->made);
    free(j->mean);
    free(j->cross);
    feature_distance_free(&j->d);
}

/* Samples first .. of the pass, a step along every direction. */
static dfl_status move_all(jacobian *j, size_t first, size_t count) {
    const fit *const f = j->g->f;
    double *const point = mem_array(refine_size(f), sizeof *point);
    dfl_status status = point ? DFL_OK : fail_memory();
    for (size_t k = 0; k < j->n && status == DFL_OK; k++) {
        const refine_direction *const d = &j->directions[k];
        refine_move(f, j->point, d, 1, &j->g->h, point);
        const refine_branch b = {.point = point,
                                 .pass = j->pass,
                                 .m = d->time ? d->step - 1 : d->step,
                                 .first = first,
                                 .count = count,
                                 .x = j->x,
                                 .e = j->e};
        status = refine_branch_run(f, &b, j->moved + k * j->batch * f->state);
    }
    free(point);
    return status;
}

/* What the number d of a sample, `value` with a `slope` along direction k, adds to the moments'. */
static void add_change(jacobian *j, size_t k, size_t d, double value, double slope) {
    const double share = slope / (double)j->pass->count;
    const size_t dim = j->g->f->dim;
    j->change[k * dim + d] += share;
    j->change[(j->n + k) * dim + d] += 2 * (value - j->mine.mean[d]) * share;
}

/* Rows of the states: the derivative of x - T; and what they add to those of the moments. */
static dfl_status take_state(jacobian *j, size_t first, size_t i) {
    const fit *const f = j->g->f;
    const size_t dim = f->dim, wide = j->n + 1, count = j->pass->count, at = first + i;
    const double *const x = last_of(f, j->pass) + at * f->state;
    const double *const truth = last_truth(f, j->pass->first + at);
    const double scale = 1 / sqrt((double)count * (double)dim);
    for (size_t d = 0; d < dim; d++) {
        double *const line = j->rows + d * wide;
        for (size_t k = 0; k < j->n; k++) {
            const double slope = (j->moved[(k * j->batch + i) * f->state + d] - x[d]) / j->g->h;
            line[k] = scale * slope;
            if (j->change) add_change(j, k, d, x[d], slope);
        }
        line[j->n] = scale * (x[d] - truth[d]);
    }
    return dense_triangle(wide, dim, j->rows, j->triangle);
}

static dfl_status take_features(jacobian *j, size_t first, size_t i) {
    const refine_goal *const g = j->g;
    const size_t width = g->f->features.width, wide = j->n + 1;
    const float *const truth = g->truth + (j->pass->first + first + i) * width;
    const float *const made = j->made + (first + i) * width;
    const double scale = sqrt(g->weight / ((double)j->pass->count * (double)width));
    for (size_t d = 0; d < width; d++) {
        double *const line = j->rows + d * wide;
        for (size_t k = 0; k < j->n; k++) {
            const float seen = j->seen[(k * j->batch + i) * width + d];
            const double slope = ((double)seen - (double)made[d]) / g->h / g->scale;
            line[k] = scale * slope;
        }
        line[j->n] = scale * ((double)made[d] - (double)truth[d]) / g->scale;
    }
    return dense_triangle(wide, width, j->rows, j->triangle);
}

/* Two rows for each number: mean and variance over all samples. */
static dfl_status take_moments(jacobian *j) {
    const size_t dim = j->g->f->dim, wide = j->n + 1;
    const double scale = sqrt(j->g->weight / (double)dim);
    for (size_t m = 0; m < 2; m++) {
        const double *const change = j->change + m * j->n * dim;
        for (size_t d = 0; d < dim; d++) {
            double *const line = j->rows + d * wide;
            for (size_t k = 0; k < j->n; k++) line[k] = scale * change[k * dim + d];
            line[j->n] =
                scale * (m ? j->mine.var[d] - j->other.var[d] : j->mine.mean[d] - j->other.mean[d]);
        }
        TRY(dense_triangle(wide, dim, j->rows, j->triangle));
    }
    return DFL_OK;
}

static void take_sample(jacobian *j, size_t first, size_t i) {
    const size_t width = j->d.width;
    const float *const made = j->made + (first + i) * width;
    double *const slope = j->mean + j->n * width;
    for (size_t k = 0; k < j->n; k++) {
        const float *const seen = j->seen + (k * j->batch + i) * width;
        for (size_t d = 0; d < width; d++) slope[d] = ((double)seen[d] - (double)made[d]) / j->g->h;
        feature_distance_change(&j->d, made, slope, j->mean + k * width,
                                j->cross + k * width * width);
    }
}

/* Rows of the distance: `slopes` [n][count] of `values` [count]. */
static dfl_status take_rows(jacobian *j, size_t count, const double *slopes, size_t stride,
                            const double *values) {
    const size_t wide = j->n + 1, width = j->d.width;
    const double scale = sqrt(j->g->weight / (double)width) / j->g->scale;
    for (size_t d = 0; d < count; d++) {
        double *const line = j->rows + d * wide;
        for (size_t k = 0; k < j->n; k++) line[k] = slopes ? scale * slopes[k * stride + d] : 0;
        line[j->n] = scale * values[d];
    }
    return dense_triangle(wide, count, j->rows, j->triangle);
}

static dfl_status take_distance(jacobian *j) {
    const size_t width = j->d.width, square = width * width;
    const double left = sqrt(j->d.left);
    for (size_t k = 0; k < j->n; k++) TRY(feature_distance_way(&j->d, j->cross + k * square));
    TRY(take_rows(j, width, j->mean, width, j->d.apart));
    for (size_t i = 0; i < square; i += width)
        TRY(take_rows(j, width, j->cross + i, square, j->d.gap + i));
    return take_rows(j, 1, NULL, 0, &left); /* does not move, but is part of the objective */
}

static dfl_status take_batch(jacobian *j, size_t first, size_t count) {
    const fit *const f = j->g->f;
    const size_t width = f->features.width;
    const uint64_t index = j->pass->first + first;
    TRY(move_all(j, first, count));
    for (size_t k = 0; k < j->n && j->seen; k++)
        TRY(see(f, index, count, j->moved + k * j->batch * f->state,
                j->seen + k * j->batch * width));
    for (size_t i = 0; i < count; i++) {
        TRY(take_state(j, first, i));
        if (j->cross) {
            take_sample(j, first, i);
        } else if (j->seen) {
            TRY(take_features(j, first, i));
        }
    }
    return DFL_OK;
}

dfl_status refine_jacobian(const refine_goal *g, const double *point, const refine_pass *pass,
                           const refine_direction *directions, size_t n, double *triangle) {
    const size_t batch = (size_t)opt_int(&g->f->spec, "batch");
    jacobian j = {.g = g,
                  .point = point,
                  .pass = pass,
                  .directions = directions,
                  .n = n,
                  .batch = batch < pass->count ? batch : pass->count,
                  .triangle = triangle};
    memset(triangle, 0, (n + 1) * (n + 1) * sizeof *triangle);
    dfl_status status = jacobian_new(&j);
    for (size_t i = 0; i < pass->count && status == DFL_OK; i += j.batch)
        status = take_batch(&j, i, pass->count - i < j.batch ? pass->count - i : j.batch);
    if (status == DFL_OK && j.change) status = take_moments(&j);
    if (status == DFL_OK && j.cross) status = take_distance(&j);
    jacobian_free(&j);
    return status;
}
