/* Times and coefficients of a student as one point, and the directions it moves in. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/dense.h"
#include "study/refine.h"

/* Columns of a step that differ by less than this part of the largest are not told apart: to move
   the next state by a thousandth, coefficients would have to move by a thousand. */
static const double least_part = 1e-6;

/* Numbers that are kept of a step. */
static size_t numbers_of(const fit *f) {
    return f->components * (f->components + f->answers * (FIT_TERMS - 1));
}

size_t refine_size(const fit *f) {
    return f->steps + 1 + f->steps * numbers_of(f);
}

static size_t place_of(const fit *f, size_t n) {
    return f->steps + 1 + n * numbers_of(f);
}

const double *refine_c(const fit *f, const double *point, size_t n) {
    return point + place_of(f, n);
}

void refine_read(const fit *f, double *point) {
    memcpy(point, f->t, (f->steps + 1) * sizeof *point);
    for (size_t n = 0; n < f->steps; n++)
        memcpy(point + place_of(f, n), f->step[n].c, numbers_of(f) * sizeof *point);
}

void refine_write(fit *f, const double *point) {
    memcpy(f->t, point, (f->steps + 1) * sizeof *point);
    for (size_t n = 0; n < f->steps; n++)
        memcpy(f->step[n].c, refine_c(f, point, n), numbers_of(f) * sizeof *point);
}

/* ---- directions -------------------------------------------------------------------------------- */

/* Triangle of the columns of a step, over all numbers of the samples. */
static dfl_status columns_of(const fit *f, const refine_pass *p, size_t n, double *lines,
                             double *triangle) {
    const size_t columns = fit_columns(f, n);
    fit_inputs in = {.count = p->count, .x = p->x + n * p->count * f->state};
    for (size_t k = 0; k + 1 < fit_terms(f, n); k++)
        in.past[k] = p->e + (n - k) * p->count * f->answer;
    memset(triangle, 0, columns * columns * sizeof *triangle);
    for (size_t i = 0; i < p->count; i++) {
        fit_lines(f, n, &in, i, columns, lines);
        TRY(dense_triangle(columns, f->dim, lines, triangle));
    }
    return DFL_OK;
}

size_t refine_counted_at(const fit *f, size_t n) {
    while (n > 0 && fit_shares(f, n) && fit_shares(f, n - 1)) n--;
    return n;
}

typedef struct {
    const fit *f;
    const double *point;
    const refine_pass *pass;
    double *lines;                              /* [dim][FIT_COLUMNS] */
    double triangle[FIT_COLUMNS * FIT_COLUMNS]; /* of R B of the steps that move together */
    size_t numbers;                             /* that they move */
    refine_direction *to;
    size_t n;
} listing;

/* Into the triangle: what the next state moves by. */
static dfl_status see_step(listing *l, size_t n) {
    enum { N = FIT_COLUMNS };
    const fit *const f = l->f;
    double triangle[N * N], basis[N * N], a[N * N];
    const size_t columns = fit_columns(f, n), unknowns = fit_basis(f, l->point, n, basis);
    TRY(columns_of(f, l->pass, n, l->lines, triangle));
    if (unknowns == 0) return DFL_OK;
    fit_project(&(fit_columns_seen){columns, columns, unknowns, triangle, basis}, a);
    l->numbers += l->pass->count * f->dim;
    return dense_triangle(unknowns, columns, a, l->triangle);
}

/* Eigenvectors of (R B)'(R B) are the directions in which the next state moves independently; each
   is divided by how far it moves. They are those of either half. */
static dfl_status add_directions(listing *l, size_t step) {
    enum { N = FIT_COLUMNS };
    double gram[N * N] = {0}, values[N] = {0};
    const size_t unknowns = fit_unknown_count(l->f, step);
    if (unknowns == 0) return DFL_OK;
    TRY(dense_gram(unknowns, unknowns, l->triangle, gram));
    TRY(dense_eigen(unknowns, gram, true, values));
    for (size_t k = unknowns; k-- > 0;) {
        if (!(values[k] > least_part * least_part * values[unknowns - 1])) continue;
        for (size_t half = 0; half < l->f->components; half++) {
            refine_direction *const d = &l->to[l->n++];
            *d = (refine_direction){.step = step, .half = half};
            for (size_t j = 0; j < unknowns; j++)
                d->along[j] = gram[k * unknowns + j] * sqrt((double)l->numbers / values[k]);
        }
    }
    return DFL_OK;
}

size_t refine_directions_max(const fit *f) {
    size_t sum = opt_bool(&f->spec, "refine_times") ? f->steps - 1 : 0;
    for (size_t n = 0; n < f->steps; n++)
        if (refine_counted_at(f, n) == n) sum += f->components * fit_columns(f, n);
    return sum;
}

static dfl_status list_step(listing *l, size_t n) {
    const fit *const f = l->f;
    const size_t step = refine_counted_at(f, n);
    if (n > 0 && opt_bool(&f->spec, "refine_times"))
        l->to[l->n++] = (refine_direction){.step = n, .time = true};
    if (step == n) {
        memset(l->triangle, 0, sizeof l->triangle);
        l->numbers = 0;
    }
    TRY(see_step(l, n));
    return n + 1 < f->steps && refine_counted_at(f, n + 1) == step ? DFL_OK
                                                                   : add_directions(l, step);
}

dfl_status refine_directions(const fit *f, const double *point, const refine_pass *pass,
                             refine_direction *to, size_t *n) {
    listing l = {.f = f, .point = point, .pass = pass, .to = to};
    l.lines = mem_array(mem_product(f->dim, FIT_COLUMNS, 1), sizeof *l.lines);
    dfl_status status = l.lines ? DFL_OK : fail_memory();
    for (size_t k = 0; k < f->steps && status == DFL_OK; k++) status = list_step(&l, k);
    free(l.lines);
    *n = l.n;
    return status;
}

/* ---- moving ------------------------------------------------------------------------------------ */

/* c of step n where z changes by dz [components][unknowns] and the times from t to new_t;
   exactly c where nothing does. */
static void move_step(const fit *f, size_t n, const double *t, const double *new_t,
                      const double *dz, double *c) {
    double base[2][FIT_NUMBERS], basis[2][FIT_COLUMNS * FIT_COLUMNS], z[FIT_NUMBERS];
    const size_t columns = fit_columns(f, n), unknowns = fit_basis(f, t, n, basis[0]);
    fit_basis(f, new_t, n, basis[1]);
    fit_base(f, t, n, base[0]);
    fit_base(f, new_t, n, base[1]);
    fit_unknowns(f, t, n, c, z);
    for (size_t i = 0; i < f->components; i++)
        for (size_t k = 0; k < columns; k++) {
            const size_t at = i * columns + k;
            double change = base[1][at] - base[0][at];
            for (size_t j = 0; j < unknowns; j++) {
                const size_t entry = k * unknowns + j, which = i * unknowns + j;
                change += f->unit[i] * ((basis[1][entry] - basis[0][entry]) * z[which] +
                                        basis[1][entry] * dz[which]);
            }
            c[at] += change;
        }
}

/* The sum of the directions of a step's coefficients. */
static bool sum_directions(const fit *f, size_t step, const refine_direction *directions, size_t n,
                           const double *y, double *dz) {
    const size_t unknowns = fit_unknown_count(f, step), at = refine_counted_at(f, step);
    bool any = false;
    memset(dz, 0, FIT_NUMBERS * sizeof *dz);
    for (size_t k = 0; k < n; k++) {
        const refine_direction *const d = &directions[k];
        if (d->step != at || d->time) continue;
        any = true;
        for (size_t j = 0; j < unknowns; j++) dz[d->half * unknowns + j] += y[k] * d->along[j];
    }
    return any;
}

bool refine_move(const fit *f, const double *from, const refine_direction *directions, size_t n,
                 const double *y, double *to) {
    bool falling = true, moved = false;
    memcpy(to, from, refine_size(f) * sizeof *to);
    for (size_t k = 0; k < n; k++) {
        if (!directions[k].time || y[k] == 0) continue;
        const size_t at = directions[k].step;
        to[at] = fit_time_of_lambda(f->process, fit_lambda(f->process, from[at]) + y[k]);
        moved = true;
    }
    for (size_t i = 0; i < f->steps; i++) {
        double dz[FIT_NUMBERS];
        falling = falling && to[i + 1] < to[i];
        if (sum_directions(f, i, directions, n, y, dz) || moved)
            move_step(f, i, from, to, dz, to + place_of(f, i));
    }
    return falling;
}
