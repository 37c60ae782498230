/* The steps of a fit. With x the student's own state at t_n and e_j its last predictions, noise or
   clean data, the next state is
     x' = c_x x + sum_j c_j e_j,        c least in  |T - x'|^2 / count + ridge |z|^2,  c = c_0 + B z,
   T the teacher's state at t_{n+1} from the same start, c_0 the coefficients of ddim, B the unit
   matrix or, under consistency, the null space of the two conditions that make a scheme exact where
   the network knows x_0. Rows of (x, e_j, T), one per number of each sample, are taken into a
   triangle (base/dense.h) in the order of the samples. Directions that the data do not determine
   stay at c_0, because the solution is the one of least z. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/dense.h"
#include "solver/solver.h"
#include "study/fit.h"

/* Below this part of the largest, a direction is rounding. */
static const double rank_tolerance = 1e-10;

/* ---- least squares ----------------------------------------------------------------------------- */

/* a = R B and b = r - R c_0, [terms][free] and [terms]; with the ridge's rows below. */
static void write_problem(const fit_squares *p, dense_squares *q) {
    const size_t m = p->terms, n = p->free;
    memset(q->a, 0, q->m * n * sizeof(double));
    memset(q->b, 0, q->m * sizeof(double));
    for (size_t i = 0; i < m; i++) {
        const double *line = p->triangle + i * (m + 1);
        q->b[i] = line[m];
        for (size_t k = i; k < m; k++) {
            q->b[i] -= line[k] * p->base[k];
            for (size_t j = 0; j < n; j++) q->a[i * n + j] += line[k] * p->basis[k * n + j];
        }
    }
    for (size_t j = 0; m + j < q->m; j++) q->a[(m + j) * n + j] = sqrt(p->ridge);
}

static double residual(const fit_squares *p, const double *c) {
    const size_t m = p->terms;
    double sum = 0;
    for (size_t i = 0; i <= m; i++) {
        const double *line = p->triangle + i * (m + 1);
        double gap = line[m];
        for (size_t k = i; k < m; k++) gap -= line[k] * c[k];
        sum += gap * gap;
    }
    return sqrt(sum);
}

dfl_status fit_solve(const fit_squares *p, fit_step *out) {
    double a[2 * FIT_TERMS * FIT_TERMS], b[2 * FIT_TERMS], z[FIT_TERMS] = {0};
    size_t rank = 0;
    dense_squares q = {.m = p->terms, .n = p->free, .a = a, .b = b, .rcond = rank_tolerance};
    *out = (fit_step){.terms = p->terms, .free = p->free};
    if (p->free > 0) {
        write_problem(p, &q);
        TRY(dense_least_squares(&q, z, &out->rank));
    }
    if (p->free > 0 && p->ridge > 0) {
        q.m = p->terms + p->free;
        write_problem(p, &q);
        TRY(dense_least_squares(&q, z, &rank));
    }
    for (size_t k = 0; k < p->terms; k++) {
        out->c[k] = p->base[k];
        for (size_t j = 0; j < p->free; j++) out->c[k] += p->basis[k * p->free + j] * z[j];
    }
    out->rms = residual(p, out->c);
    return DFL_OK;
}

/* ---- base and basis of a step ------------------------------------------------------------------ */

/* A state on its way, and the predictions made so far. */
typedef struct {
    fit *f;
    double *x;    /* [samples][dim] */
    double *past; /* [history + 1][samples][dim], prediction k at k mod (history + 1) */
    double *rows; /* [dim][FIT_TERMS + 1] */
    double *triangle;
} student;

size_t fit_terms(const fit *f, size_t n) {
    return 2 + (n < f->history ? n : f->history);
}

static const double *prediction_of(const student *s, size_t k) {
    return s->past + (k % (s->f->history + 1)) * s->f->samples * s->f->dim;
}

/* ddim: x' = psi x + d eps; from a prediction of x_0, x' = a_s x_0 + b_s (x - a x_0)/b. */
void fit_base(const fit *f, const double *t, size_t n, double base[FIT_TERMS]) {
    const scalar_at at = process_at(f->process, t[n]);
    const scalar_at to = process_at(f->process, t[n + 1]);
    memset(base, 0, FIT_TERMS * sizeof *base);
    base[0] = f->clean[n] ? to.b / at.b : solver_psi(&at, &to);
    base[1] = f->clean[n] ? to.a - at.a * base[0] : solver_gap(&at, &to);
}

/* What may be added to the base. Under consistency an older prediction comes with what keeps
   a c_x + (sum over x_0) c_j and b c_x + (sum over noise) c_j as they are. */
size_t fit_basis(const fit *f, const double *t, size_t n, double basis[FIT_TERMS * FIT_TERMS]) {
    const size_t terms = fit_terms(f, n);
    const bool bound = opt_choice(&f->spec, "constraint") == 1;
    const size_t unknowns = bound ? terms - 2 : terms;
    const scalar_at at = process_at(f->process, t[n]);
    memset(basis, 0, FIT_TERMS * FIT_TERMS * sizeof *basis);
    for (size_t j = 0; j < unknowns; j++) {
        const size_t k = bound ? j + 2 : j;
        basis[k * unknowns + j] = 1;
        if (!bound) continue;
        const bool same = f->clean[n - (k - 1)] == f->clean[n];
        basis[j] = same ? 0 : -1 / at.a; /* an x_0 before noise predictions */
        basis[unknowns + j] = same ? -1 : at.b / at.a;
    }
    return unknowns;
}

/* ---- one step ---------------------------------------------------------------------------------- */

dfl_status fit_predict(const fit *f, const dfl_plan *probe, size_t first, size_t count,
                       const double *x, double *to) {
    const size_t batch = (size_t)opt_int(&f->spec, "batch");
    for (size_t i = 0, n = 0; i < count; i += n) {
        n = count - i < batch ? count - i : batch;
        const fit_draw draw = {
            .plan = probe, .first = first + i, .count = n, .start = x + i * f->dim};
        TRY(fit_sample(f, &draw, to + i * f->dim));
        const int code = f->fn ? f->fn(f->user, n) : 0;
        if (code) return fail(code, "the fit was ended by its caller (%d)", code);
    }
    return DFL_OK;
}

/* The newest prediction at the student's states, by the executor. */
static dfl_status predict(student *s, size_t n) {
    const fit *f = s->f;
    double *const to = (double *)(uintptr_t)prediction_of(s, n);
    dfl_plan *plan = NULL;
    dfl_status status = fit_probe(f, n, f->t[n], &plan);
    if (status == DFL_OK) status = fit_predict(f, plan, 0, f->samples, s->x, to);
    dfl_plan_free(plan);
    return status;
}

static dfl_status take_samples(student *s, size_t n, size_t terms) {
    const fit *f = s->f;
    const size_t dim = f->dim, wide = terms + 1;
    const double *target = f->target + (n + 1) * (f->samples + f->held_out) * dim;
    memset(s->triangle, 0, wide * wide * sizeof *s->triangle);
    for (size_t i = 0; i < f->samples; i++) {
        for (size_t d = 0; d < dim; d++) {
            double *line = s->rows + d * wide;
            line[0] = s->x[i * dim + d];
            for (size_t k = 1; k < terms; k++) line[k] = prediction_of(s, n + 1 - k)[i * dim + d];
            line[terms] = target[i * dim + d];
        }
        TRY(dense_triangle(wide, dim, s->rows, s->triangle));
    }
    const double scale = 1 / sqrt((double)f->samples * (double)dim);
    for (size_t i = 0; i < wide * wide; i++) s->triangle[i] *= scale;
    return DFL_OK;
}

static void advance(student *s, size_t n, const fit_step *step) {
    const size_t count = s->f->samples * s->f->dim;
    for (size_t i = 0; i < count; i++) {
        double sum = step->c[0] * s->x[i];
        for (size_t k = 1; k < step->terms; k++) sum += step->c[k] * prediction_of(s, n + 1 - k)[i];
        s->x[i] = sum;
    }
}

static dfl_status fit_one(student *s, size_t n) {
    double base[FIT_TERMS], basis[FIT_TERMS * FIT_TERMS];
    fit *f = s->f;
    const size_t terms = fit_terms(f, n);
    TRY(predict(s, n));
    TRY(take_samples(s, n, terms));
    fit_base(f, f->t, n, base);
    const fit_squares squares = {.terms = terms,
                                 .free = fit_basis(f, f->t, n, basis),
                                 .triangle = s->triangle,
                                 .base = base,
                                 .basis = basis,
                                 .ridge = opt_real(&f->spec, "ridge")};
    TRY(fit_solve(&squares, &f->step[n]));
    advance(s, n, &f->step[n]);
    return DFL_OK;
}

dfl_status fit_steps(fit *f) {
    const size_t count = mem_product(f->samples, f->dim, 1);
    student s = {.f = f,
                 .x = mem_array(count, sizeof(double)),
                 .past = mem_array(mem_product(f->history + 1, count, 1), sizeof(double)),
                 .rows = mem_array(mem_product(f->dim, FIT_TERMS + 1, 1), sizeof(double)),
                 .triangle = mem_array((FIT_TERMS + 1) * (FIT_TERMS + 1), sizeof(double))};
    dfl_status status = s.x && s.past && s.rows && s.triangle ? DFL_OK : fail_memory();
    if (status == DFL_OK) memcpy(s.x, f->target, count * sizeof(double));
    for (size_t n = 0; n < f->steps && status == DFL_OK; n++) {
        status = fit_one(&s, n);
        if (status != DFL_OK) status = fail_in(status, "fit, step %zu of %zu", n + 1, f->steps);
    }
    free(s.x);
    free(s.past);
    free(s.rows);
    free(s.triangle);
    return status;
}
