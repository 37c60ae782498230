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
} student;

size_t fit_terms(const fit *f, size_t n) {
    return 2 + (n < f->history ? n : f->history);
}

static double *prediction_of(const student *s, size_t k) {
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

dfl_status fit_ask(const fit *f, const fit_asked *q, double *to) {
    dfl_plan *plan = NULL;
    dfl_status status = fit_probe(f, q->t, q->clean, &plan);
    if (status == DFL_OK) status = fit_predict(f, plan, 0, q->count, q->x, to);
    dfl_plan_free(plan);
    return status;
}

/* One sample after the other into the triangle [terms + 1][terms + 1]. */
static dfl_status take_samples(const fit *f, const fit_inputs *in, size_t terms, double *triangle) {
    const size_t dim = f->dim, wide = terms + 1;
    double *const lines = mem_array(mem_product(dim, wide, 1), sizeof *lines);
    dfl_status status = lines ? DFL_OK : fail_memory();
    memset(triangle, 0, wide * wide * sizeof *triangle);
    for (size_t i = 0; i < in->count && status == DFL_OK; i++) {
        for (size_t d = 0; d < dim; d++) {
            double *line = lines + d * wide;
            line[0] = in->x[i * dim + d];
            for (size_t k = 1; k < terms; k++) line[k] = in->past[k - 1][i * dim + d];
            line[terms] = in->target[i * dim + d];
        }
        status = dense_triangle(wide, dim, lines, triangle);
    }
    free(lines);
    const double scale = 1 / sqrt((double)in->count * (double)dim);
    for (size_t i = 0; i < wide * wide; i++) triangle[i] *= scale;
    return status;
}

dfl_status fit_one_step(const fit *f, size_t n, const fit_inputs *in, fit_step *out) {
    double base[FIT_TERMS], basis[FIT_TERMS * FIT_TERMS];
    double triangle[(FIT_TERMS + 1) * (FIT_TERMS + 1)];
    const size_t terms = fit_terms(f, n);
    TRY(take_samples(f, in, terms, triangle));
    fit_base(f, f->t, n, base);
    const fit_squares squares = {.terms = terms,
                                 .free = fit_basis(f, f->t, n, basis),
                                 .triangle = triangle,
                                 .base = base,
                                 .basis = basis,
                                 .ridge = opt_real(&f->spec, "ridge")};
    return fit_solve(&squares, out);
}

void fit_advance(const fit *f, const fit_step *step, const fit_inputs *in, double *to) {
    for (size_t i = 0; i < in->count * f->dim; i++) {
        double sum = step->c[0] * in->x[i];
        for (size_t k = 1; k < step->terms; k++) sum += step->c[k] * in->past[k - 1][i];
        to[i] = sum;
    }
}

static dfl_status fit_one(student *s, size_t n) {
    fit *f = s->f;
    fit_inputs in = {
        .count = f->samples, .x = s->x, .target = f->target + (n + 1) * f->starts * f->dim};
    const fit_asked asked = {f->samples, s->x, f->t[n], f->clean[n]};
    TRY(fit_ask(f, &asked, prediction_of(s, n)));
    for (size_t k = 0; k + 1 < fit_terms(f, n); k++) in.past[k] = prediction_of(s, n - k);
    TRY(fit_one_step(f, n, &in, &f->step[n]));
    fit_advance(f, &f->step[n], &in, s->x);
    return DFL_OK;
}

dfl_status fit_steps(fit *f) {
    const size_t count = mem_product(f->samples, f->dim, 1);
    student s = {.f = f,
                 .x = mem_array(count, sizeof(double)),
                 .past = mem_array(mem_product(f->history + 1, count, 1), sizeof(double))};
    dfl_status status = s.x && s.past ? DFL_OK : fail_memory();
    if (status == DFL_OK) memcpy(s.x, f->target, count * sizeof(double));
    for (size_t n = 0; n < f->steps && status == DFL_OK; n++) {
        status = fit_one(&s, n);
        if (status != DFL_OK) status = fail_in(status, "fit, step %zu of %zu", n + 1, f->steps);
    }
    free(s.x);
    free(s.past);
    return status;
}
