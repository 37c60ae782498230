/* The steps of a fit. With x the student's own state at t_n and e_j its last predictions, noise or
   clean data, the next state is
     x' = c_x x + sum_j c_j e_j,        c least in  |T - x'|^2 / count + ridge |z|^2,  c = c_0 + B z,
   T the teacher's state at t_{n+1} from the same start, c_0 and B as in fit_space.c: a base solver's
   coefficients, and the unit matrix or, under consistency, the null space of the conditions that make
   a scheme exact where the network knows x_0. Rows of (x, e_j, T), one per number of each sample, are
   taken into a triangle (base/dense.h) in the order of the samples. Directions that the data do not
   determine stay at c_0, because the solution is the one of least z.

   In phase space x, e_j and T have two halves each, and c 2x2 blocks: the halves of T are two
   problems with the same columns. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/dense.h"
#include "study/fit.h"

/* Below this part of the largest, a direction is rounding. */
static const double rank_tolerance = 1e-10;

/* ---- least squares ----------------------------------------------------------------------------- */

/* Columns of R B are sums; where they cancel, what is left is rounding. */
void fit_project(const fit_columns_seen *s, double *a) {
    const size_t m = s->columns, n = s->free;
    memset(a, 0, m * n * sizeof *a);
    for (size_t j = 0; j < n; j++) {
        double left = 0, all = 0;
        for (size_t i = 0; i < m; i++) {
            double parts = 0;
            for (size_t k = i; k < m; k++) {
                const double part = s->triangle[i * s->wide + k] * s->basis[k * n + j];
                a[i * n + j] += part;
                parts += fabs(part);
            }
            left += a[i * n + j] * a[i * n + j];
            all += parts * parts;
        }
        if (left > rank_tolerance * rank_tolerance * all) continue;
        for (size_t i = 0; i < m; i++) a[i * n + j] = 0;
    }
}

/* a = R B and b = (r - R c_0)/unit of one target, [columns][free] and [columns]; with the ridge's rows
   below. */
static void write_problem(const fit_squares *p, size_t target, dense_squares *q) {
    const size_t m = p->columns, n = p->free;
    const double *base = p->base + target * m;
    memset(q->a, 0, q->m * n * sizeof(double));
    memset(q->b, 0, q->m * sizeof(double));
    for (size_t i = 0; i < m; i++) {
        const double *line = p->triangle + i * (m + p->targets);
        q->b[i] = line[m + target];
        for (size_t k = i; k < m; k++) q->b[i] -= line[k] * base[k];
        q->b[i] /= p->unit[target];
    }
    fit_project(&(fit_columns_seen){m, m + p->targets, n, p->triangle, p->basis}, q->a);
    for (size_t j = 0; m + j < q->m; j++) q->a[(m + j) * n + j] = sqrt(p->ridge);
}

/* Squares of what is left of a target, by its unit. */
static double residual(const fit_squares *p, size_t target, const double *c) {
    const size_t m = p->columns;
    double sum = 0;
    for (size_t i = 0; i <= m + target; i++) {
        const double *line = p->triangle + i * (m + p->targets);
        double gap = line[m + target];
        for (size_t k = i; k < m; k++) gap -= line[k] * c[k];
        sum += gap * gap / (p->unit[target] * p->unit[target]);
    }
    return sum;
}

static dfl_status solve_target(const fit_squares *p, size_t target, fit_step *out) {
    enum { N = FIT_COLUMNS };
    double a[2 * N * N], b[2 * N], z[N] = {0};
    size_t rank = 0;
    double *const c = out->c + target * p->columns;
    dense_squares q = {.m = p->columns, .n = p->free, .a = a, .b = b, .rcond = rank_tolerance};
    if (p->free > 0) {
        write_problem(p, target, &q);
        TRY(dense_least_squares(&q, z, &out->rank));
    }
    if (p->free > 0 && p->ridge > 0) {
        q.m = p->columns + p->free;
        write_problem(p, target, &q);
        TRY(dense_least_squares(&q, z, &rank));
    }
    for (size_t k = 0; k < p->columns; k++) {
        c[k] = p->base[target * p->columns + k];
        for (size_t j = 0; j < p->free; j++)
            c[k] += p->unit[target] * (p->basis[k * p->free + j] * z[j]);
    }
    return DFL_OK;
}

dfl_status fit_solve(const fit_squares *p, fit_step *out) {
    double sum = 0;
    *out = (fit_step){.columns = p->columns, .free = p->free};
    for (size_t i = 0; i < p->targets; i++) {
        TRY(solve_target(p, i, out));
        sum += residual(p, i, out->c + i * p->columns);
    }
    out->rms = sqrt(sum / (double)p->targets);
    return DFL_OK;
}

/* ---- predictions ------------------------------------------------------------------------------- */

/* In phase space a run's result is the position alone; a prediction is seen as its state. */
typedef struct {
    const fit *f;
    uint64_t first;
    double *to;
} seen;

static int see(void *user, size_t at, size_t steps, double t, uint64_t first, size_t count,
               const void *state) {
    const seen *const s = user;
    const fit *const f = s->f;
    const bool lower = f->answers == 1 && f->model->card.form.half == NET_M;
    (void)t;
    for (size_t i = 0; i < count && at == steps; i++)
        memcpy(s->to + (first - s->first + i) * f->answer,
               (const double *)state + i * f->state + (lower ? f->dim : 0),
               f->answer * sizeof(double));
    return 0;
}

static dfl_status run_probe(const fit *f, const fit_draw *plain, double *to) {
    fit_draw draw = *plain;
    seen s = {f, draw.first, to};
    if (f->components == 1) return fit_sample(f, &draw, to);
    double *const positions = mem_array(mem_product(draw.count, f->dim, 1), sizeof *positions);
    draw.observe = see;
    draw.user = &s;
    const dfl_status status = positions ? fit_sample(f, &draw, positions) : fail_memory();
    free(positions);
    return status;
}

dfl_status fit_predict(const fit *f, const dfl_plan *probe, size_t first, size_t count,
                       const double *x, double *to) {
    const size_t batch = (size_t)opt_int(&f->spec, "batch");
    for (size_t i = 0, n = 0; i < count; i += n) {
        n = count - i < batch ? count - i : batch;
        const fit_draw draw = {
            .plan = probe, .first = first + i, .count = n, .start = x + i * f->state};
        TRY(run_probe(f, &draw, to + i * f->answer));
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

/* ---- one step ---------------------------------------------------------------------------------- */

void fit_lines(const fit *f, size_t n, const fit_inputs *in, size_t i, size_t wide, double *lines) {
    const size_t dim = f->dim, terms = fit_terms(f, n);
    for (size_t d = 0; d < dim; d++) {
        double *line = lines + d * wide;
        for (size_t h = 0; h < f->components; h++) *line++ = in->x[i * f->state + h * dim + d];
        for (size_t k = 1; k < terms; k++)
            for (size_t h = 0; h < f->answers; h++)
                *line++ = in->past[k - 1][i * f->answer + h * dim + d];
        for (size_t h = 0; in->target && h < f->components; h++)
            *line++ = in->target[i * f->state + h * dim + d];
    }
}

/* One sample after the other into the triangle [columns + components]^2. */
static dfl_status take_samples(const fit *f, size_t n, const fit_inputs *in, double *triangle) {
    const size_t dim = f->dim, wide = fit_columns(f, n) + f->components;
    double *const lines = mem_array(mem_product(dim, wide, 1), sizeof *lines);
    dfl_status status = lines ? DFL_OK : fail_memory();
    memset(triangle, 0, wide * wide * sizeof *triangle);
    for (size_t i = 0; i < in->count && status == DFL_OK; i++) {
        fit_lines(f, n, in, i, wide, lines);
        status = dense_triangle(wide, dim, lines, triangle);
    }
    free(lines);
    const double scale = 1 / sqrt((double)in->count * (double)dim);
    for (size_t i = 0; i < wide * wide; i++) triangle[i] *= scale;
    return status;
}

dfl_status fit_one_step(const fit *f, size_t n, const fit_inputs *in, fit_step *out) {
    enum { N = FIT_COLUMNS, WIDE = FIT_COLUMNS + FIT_HALVES };
    double base[FIT_NUMBERS], basis[N * N], triangle[WIDE * WIDE];
    TRY(take_samples(f, n, in, triangle));
    fit_base(f, f->t, n, base);
    const fit_squares squares = {.columns = fit_columns(f, n),
                                 .targets = f->components,
                                 .free = fit_basis(f, f->t, n, basis),
                                 .triangle = triangle,
                                 .base = base,
                                 .basis = basis,
                                 .unit = f->unit,
                                 .ridge = opt_real(&f->spec, "ridge")};
    TRY(fit_solve(&squares, out));
    out->terms = fit_terms(f, n);
    return DFL_OK;
}

/* The executor's sums: from left to right. `to` may be x: both halves are summed before either is
   stored. */
void fit_advance(const fit *f, size_t n, const double *c, const fit_inputs *in, double *to) {
    const size_t terms = fit_terms(f, n), columns = fit_columns(f, n), dim = f->dim;
    for (size_t i = 0; i < in->count; i++)
        for (size_t d = 0; d < dim; d++) {
            double sum[FIT_HALVES] = {0};
            for (size_t h = 0; h < f->components; h++) {
                const double *part = c + h * columns;
                for (size_t j = 0; j < f->components; j++)
                    sum[h] += *part++ * in->x[i * f->state + j * dim + d];
                for (size_t k = 1; k < terms; k++)
                    for (size_t j = 0; j < f->answers; j++)
                        sum[h] += *part++ * in->past[k - 1][i * f->answer + j * dim + d];
            }
            for (size_t h = 0; h < f->components; h++) to[i * f->state + h * dim + d] = sum[h];
        }
}

/* ---- all of them ------------------------------------------------------------------------------- */

static double *prediction_of(const fit_student *s, size_t k) {
    return s->past + (k % (s->f->history + 1)) * s->f->samples * s->f->answer;
}

dfl_status fit_student_new(fit *f, fit_student *out) {
    const size_t count = mem_product(f->samples, f->state, 1);
    const size_t made = mem_product(f->history + 1, f->samples, f->answer);
    *out = (fit_student){
        .f = f, .x = mem_array(count, sizeof(double)), .past = mem_array(made, sizeof(double))};
    if (!out->x || !out->past) return fail_memory();
    memcpy(out->x, f->target, count * sizeof(double));
    return DFL_OK;
}

void fit_student_free(fit_student *s) {
    free(s->x);
    free(s->past);
    *s = (fit_student){0};
}

dfl_status fit_student_look(const fit_student *s, size_t n, fit_inputs *out) {
    const fit *const f = s->f;
    const fit_asked asked = {f->samples, s->x, f->t[n], f->clean[n]};
    *out = (fit_inputs){
        .count = f->samples, .x = s->x, .target = f->target + (n + 1) * f->starts * f->state};
    TRY(fit_ask(f, &asked, prediction_of(s, n)));
    for (size_t k = 0; k + 1 < fit_terms(f, n); k++) out->past[k] = prediction_of(s, n - k);
    return DFL_OK;
}

static dfl_status fit_one(const fit_student *s, size_t n) {
    fit *const f = s->f;
    fit_inputs in;
    TRY(fit_student_look(s, n, &in));
    TRY(fit_one_step(f, n, &in, &f->step[n]));
    fit_advance(f, n, f->step[n].c, &in, s->x);
    return DFL_OK;
}

dfl_status fit_steps(fit *f) {
    fit_student s = {0};
    if (opt_bool(&f->spec, "share")) return fit_share_steps(f);
    dfl_status status = fit_student_new(f, &s);
    for (size_t n = 0; n < f->steps && status == DFL_OK; n++) {
        status = fit_one(&s, n);
        if (status != DFL_OK) status = fail_in(status, "fit, step %zu of %zu", n + 1, f->steps);
    }
    fit_student_free(&s);
    return status;
}
