/* What a prior gains over plain noise at one time, image by image. */
#include <math.h>
#include <stdlib.h>

#include "eval/likelihood_set.h"
#include "eval/probe.h"
#include "eval/times_set.h"

enum { ROWS = 64 }; /* states at once */

/* A prior, or one class of it, at one time, and the images it is for. */
typedef struct {
    const times_study *study;
    const prior *at;
    scalar_at place;
    density plain;
    const size_t *image; /* [n] of the study */
    size_t n;
    double *x0, *x;       /* [dim], [ROWS][dim] */
    double *logp, *noise; /* [ROWS]: log-densities of x under it and under plain noise */
} meeting;

/* State r is draw r % draws of image r / draws. The normals do not know the time: what is paired has
   less noise. */
static void fill(const meeting *w, size_t number, double *x) {
    const times_study *s = w->study;
    const size_t dim = s->net.dim, at = s->first + w->image[number / s->draws];
    likelihood_values(s->data, s->evaluator.range, at, 1, w->x0);
    noise_normals(s->evaluator.seed, DRAW_PRIOR, (uint32_t)(number % s->draws), at, 0, dim, x);
    for (size_t d = 0; d < dim; d++) x[d] = w->place.a * w->x0[d] + w->place.b * x[d];
}

static dfl_status meet(const meeting *w, double *column) {
    const times_study *s = w->study;
    const size_t dim = s->net.dim, states = w->n * s->draws;
    for (size_t i = 0; i < w->n; i++) column[w->image[i]] = 0;
    for (size_t from = 0; from < states; from += ROWS) {
        const size_t n = states - from < ROWS ? states - from : ROWS;
        for (size_t r = 0; r < n; r++) fill(w, from + r, w->x + r * dim);
        TRY(prior_logp(w->at, w->x, n, w->logp));
        TRY(w->plain.logp(&w->plain, w->x, n, -1, w->noise));
        for (size_t r = 0; r < n; r++)
            column[w->image[(from + r) / s->draws]] +=
                (w->logp[r] - w->noise[r]) / (double)s->draws;
    }
    return DFL_OK;
}

/* Images of a class of the prior, -1: of none of them. */
static size_t members(const times_study *s, int64_t classes, int64_t label, size_t *image) {
    size_t n = 0;
    for (size_t i = 0; i < s->count; i++) {
        const int64_t own = s->data->labels ? s->data->labels[s->first + i] : -1;
        if ((own >= 0 && own < classes ? own : -1) == label) image[n++] = i;
    }
    return n;
}

static dfl_status each_class(meeting *w, const prior *whole, size_t *image, double *column) {
    const int64_t classes = prior_classes(whole);
    w->image = image;
    for (int64_t label = -1; label < classes; label++) {
        prior *one = NULL;
        w->n = members(w->study, classes, label, image);
        if (w->n == 0) continue;
        dfl_status status = prior_only(whole, label, &one);
        w->at = one;
        if (status == DFL_OK) status = meet(w, column);
        prior_free(one);
        TRY(status);
    }
    return DFL_OK;
}

dfl_status times_column(times_study *s, const times_prior *p, size_t j, double *column) {
    meeting w = {.study = s, .place = process_at(s->net.process, s->t[j])};
    prior *there = NULL;
    size_t *const image = mem_array(s->count, sizeof *image);
    density_standard(s->net.process, s->t[j], s->net.dim, &w.plain);
    w.x0 = mem_array(s->net.dim, sizeof *w.x0);
    w.x = mem_array(mem_product(ROWS, s->net.dim, 1), sizeof *w.x);
    w.logp = mem_array(ROWS, sizeof *w.logp);
    w.noise = mem_array(ROWS, sizeof *w.noise);
    dfl_status status = image && w.x0 && w.x && w.logp && w.noise ? DFL_OK : fail_memory();
    if (status == DFL_OK) status = prior_at(p->clean, w.place.a, w.place.b, &there);
    if (status == DFL_OK) status = each_class(&w, there, image, column);
    for (size_t i = 0; status == DFL_OK && i < s->count; i++)
        if (!isfinite(column[i]))
            status = fail(DFL_E_NONFINITE, "the density of image %zu is not finite at t=%g",
                          s->first + i, s->t[j]);
    prior_free(there);
    free(image);
    free(w.x0);
    free(w.x);
    free(w.logp);
    free(w.noise);
    return status == DFL_OK ? DFL_OK : fail_in(status, "%s", p->path);
}
