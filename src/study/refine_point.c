/* Times and coefficients of a student as one point, and the directions it moves in. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/dense.h"
#include "study/refine.h"

/* Columns of a step that differ by less than this part of the largest are not told apart: to move
   the next state by a thousandth, coefficients would have to move by a thousand. */
static const double least_part = 1e-6;

size_t refine_size(const fit *f) {
    return f->steps + 1 + f->steps * FIT_TERMS;
}

const double *refine_c(const fit *f, const double *point, size_t n) {
    return point + f->steps + 1 + n * FIT_TERMS;
}

void refine_read(const fit *f, double *point) {
    memcpy(point, f->t, (f->steps + 1) * sizeof *point);
    for (size_t n = 0; n < f->steps; n++)
        memcpy(point + f->steps + 1 + n * FIT_TERMS, f->step[n].c, FIT_TERMS * sizeof *point);
}

void refine_write(fit *f, const double *point) {
    memcpy(f->t, point, (f->steps + 1) * sizeof *point);
    for (size_t n = 0; n < f->steps; n++)
        memcpy(f->step[n].c, refine_c(f, point, n), FIT_TERMS * sizeof *point);
}

/* ---- directions -------------------------------------------------------------------------------- */

/* Triangle of the rows (x, e_n, e_{n-1}, ...) of a step, over all numbers of the samples. */
static dfl_status columns_of(const fit *f, const refine_pass *p, size_t n, double *lines,
                             double *triangle) {
    const size_t terms = fit_terms(f, n), dim = f->dim;
    memset(triangle, 0, terms * terms * sizeof *triangle);
    for (size_t i = 0; i < p->count; i++) {
        for (size_t d = 0; d < dim; d++) {
            double *line = lines + d * terms;
            line[0] = p->x[(n * p->count + i) * dim + d];
            for (size_t k = 1; k < terms; k++)
                line[k] = p->e[((n + 1 - k) * p->count + i) * dim + d];
        }
        TRY(dense_triangle(terms, dim, lines, triangle));
    }
    return DFL_OK;
}

/* Eigenvectors of (R B)'(R B) are the directions in which the next state moves independently; each
   is divided by how far it moves. */
static dfl_status add_step(const fit *f, const double *point, size_t n, const double *triangle,
                           size_t numbers, refine_direction *to, size_t *count) {
    double basis[FIT_TERMS * FIT_TERMS], a[FIT_TERMS * FIT_TERMS] = {0};
    double gram[FIT_TERMS * FIT_TERMS] = {0}, values[FIT_TERMS] = {0};
    const size_t terms = fit_terms(f, n), unknowns = fit_basis(f, point, n, basis);
    if (unknowns == 0) return DFL_OK;
    for (size_t i = 0; i < terms; i++)
        for (size_t k = i; k < terms; k++)
            for (size_t j = 0; j < unknowns; j++)
                a[i * unknowns + j] += triangle[i * terms + k] * basis[k * unknowns + j];
    TRY(dense_gram(unknowns, terms, a, gram));
    TRY(dense_eigen(unknowns, gram, true, values));
    for (size_t k = unknowns; k-- > 0;) {
        if (!(values[k] > least_part * least_part * values[unknowns - 1])) continue;
        refine_direction *const d = &to[(*count)++];
        *d = (refine_direction){.step = n};
        for (size_t j = 0; j < unknowns; j++)
            d->along[j] = gram[k * unknowns + j] * sqrt((double)numbers / values[k]);
    }
    return DFL_OK;
}

size_t refine_directions_max(const fit *f) {
    size_t sum = opt_bool(&f->spec, "refine_times") ? f->steps - 1 : 0;
    for (size_t n = 0; n < f->steps; n++) sum += fit_terms(f, n);
    return sum;
}

dfl_status refine_directions(const fit *f, const double *point, const refine_pass *pass,
                             refine_direction *to, size_t *n) {
    double *const lines = mem_array(mem_product(f->dim, FIT_TERMS, 1), sizeof *lines);
    double triangle[FIT_TERMS * FIT_TERMS];
    const size_t numbers = pass->count * f->dim;
    dfl_status status = lines ? DFL_OK : fail_memory();
    *n = 0;
    for (size_t k = 0; k < f->steps && status == DFL_OK; k++) {
        if (k > 0 && opt_bool(&f->spec, "refine_times"))
            to[(*n)++] = (refine_direction){.step = k, .time = true};
        status = columns_of(f, pass, k, lines, triangle);
        if (status == DFL_OK) status = add_step(f, point, k, triangle, numbers, to, n);
    }
    free(lines);
    return status;
}

/* ---- moving ------------------------------------------------------------------------------------ */

/* c of step n where z changes by dz and the times from t to new_t; exactly c where nothing does. */
static void move_step(const fit *f, size_t n, const double *t, const double *new_t,
                      const double *dz, double *c) {
    double base[2][FIT_TERMS], basis[2][FIT_TERMS * FIT_TERMS], z[FIT_TERMS];
    fit_base(f, t, n, base[0]);
    fit_base(f, new_t, n, base[1]);
    const size_t terms = fit_terms(f, n), unknowns = fit_basis(f, t, n, basis[0]);
    fit_basis(f, new_t, n, basis[1]);
    for (size_t j = 0; j < unknowns; j++) { /* the last rows of B are those of the unit matrix */
        const size_t k = terms - unknowns + j;
        z[j] = c[k] - base[0][k];
    }
    for (size_t k = 0; k < terms; k++) {
        double change = base[1][k] - base[0][k];
        for (size_t j = 0; j < unknowns; j++) {
            const size_t at = k * unknowns + j;
            change += (basis[1][at] - basis[0][at]) * z[j] + basis[1][at] * dz[j];
        }
        c[k] += change;
    }
}

bool refine_move(const fit *f, const double *from, const refine_direction *directions, size_t n,
                 const double *y, double *to) {
    bool falling = true;
    memcpy(to, from, refine_size(f) * sizeof *to);
    for (size_t k = 0; k < n; k++) {
        if (!directions[k].time || y[k] == 0) continue;
        const size_t at = directions[k].step;
        const double lambda = process_at(f->process, from[at]).lambda + y[k];
        to[at] = process_time_of_rho(f->process, exp(-lambda));
    }
    for (size_t i = 0; i < f->steps; i++) {
        double dz[FIT_TERMS] = {0};
        falling = falling && to[i + 1] < to[i];
        for (size_t k = 0; k < n; k++)
            for (size_t j = 0; j < FIT_TERMS && directions[k].step == i && !directions[k].time; j++)
                dz[j] += y[k] * directions[k].along[j];
        move_step(f, i, from, to, dz, to + f->steps + 1 + i * FIT_TERMS);
    }
    return falling;
}
