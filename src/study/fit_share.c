/* Steps that share their coefficients, as those of a linear multistep scheme on equal steps do:

     x_{n+1} = c_0 . columns + g_n sum_k w_k (B's column k) . columns,

   c_0 and B under the constraint (fit_space.c, fit_order.c), g_n what ddim weighs the newest
   prediction by, and w the same for all steps but the first ones, which have fewer predictions
   and each its own. Least squares of all steps' rows together give w for given states; but
   these are the student's own, which follow from w. So it is found by sweeps: a run with the
   last w, from w = 0 on, whose rows give the next. That ends when w stays, a run diverges, or
   after a number of sweeps, and the w whose run ended nearest to the teacher is taken. Rows meet
   the teacher at every step; a refinement, whose aim is the last state, goes on from there. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/dense.h"
#include "study/fit.h"

enum { SWEEPS = 20 };

static const double settled = 1e-10; /* change of w */

dfl_status fit_share_check(const fit *f) {
    const opts *const o = &f->spec;
    if (!opt_bool(o, "share")) return DFL_OK;
    if (f->components == 2)
        return fail(DFL_E_COMBINATION,
                    "fit: share is not for phase space, whose steps have 2x2 blocks");
    if (opt_choice(o, "constraint") == 0)
        return fail(DFL_E_COMBINATION,
                    "fit: share needs constraint=consistency, order2 or order3: what all steps can "
                    "have in common are weights of predictions");
    if (fit_search_asked(opt_text(o, "grid")))
        return fail(DFL_E_COMBINATION,
                    "fit: share goes without grid=search, where each step has its own");
    return DFL_OK;
}

bool fit_shares(const fit *f, size_t n) {
    return opt_bool(&f->spec, "share") &&
           fit_unknown_count(f, n) == fit_unknown_count(f, f->steps - 1);
}

size_t fit_share_sweeps(const fit *f) {
    return opt_bool(&f->spec, "share") ? SWEEPS : 1;
}

typedef struct {
    fit *f;
    size_t free;           /* of the step that has most */
    size_t shared;         /* steps of this sweep that have as many */
    double w[FIT_COLUMNS]; /* of this sweep */
    double error;          /* of the best run's last states */
    fit_step *step;        /* [steps] of this sweep */
    double triangle[(FIT_COLUMNS + 1) * (FIT_COLUMNS + 1)];
} sharing;

/* Coefficients of a step, base and basis; that has the g of above in it (fit_space.c). */
static void step_of(const sharing *s, size_t n, double *base, double *basis, fit_step *out) {
    const fit *const f = s->f;
    const size_t columns = fit_columns(f, n), unknowns = fit_basis(f, f->t, n, basis);
    fit_base(f, f->t, n, base);
    *out = (fit_step){
        .columns = columns, .terms = fit_terms(f, n), .free = unknowns, .rank = unknowns};
    for (size_t k = 0; k < columns; k++) {
        out->c[k] = base[k];
        for (size_t j = 0; j < unknowns; j++) out->c[k] += basis[k * unknowns + j] * s->w[j];
    }
}

/* Rows (g B . columns, T - c_0 . columns) of one sample. */
static dfl_status take_sample(sharing *s, size_t n, const fit_inputs *in, size_t i,
                              const double *base, const double *basis, double *lines) {
    const fit *const f = s->f;
    const size_t columns = fit_columns(f, n), wide = columns + 1, all = s->free + 1;
    const size_t unknowns = s->step[n].free;
    double *const to = lines + f->dim * wide;
    fit_lines(f, n, in, i, wide, lines);
    memset(to, 0, f->dim * all * sizeof *to);
    for (size_t d = 0; d < f->dim; d++) {
        const double *const line = lines + d * wide;
        to[d * all + s->free] = line[columns];
        for (size_t k = 0; k < columns; k++) {
            to[d * all + s->free] -= base[k] * line[k];
            for (size_t j = 0; j < unknowns; j++)
                to[d * all + j] += basis[k * unknowns + j] * line[k];
        }
    }
    return dense_triangle(all, f->dim, to, s->triangle);
}

static double distance(const fit *f, const double *x, const double *target) {
    double sum = 0;
    for (size_t i = 0; i < f->samples * f->dim; i++) sum += (x[i] - target[i]) * (x[i] - target[i]);
    return sqrt(sum / ((double)f->samples * (double)f->dim));
}

static dfl_status sweep_step(sharing *s, const fit_student *student, size_t n, double *lines) {
    const fit *const f = s->f;
    double base[FIT_NUMBERS], basis[FIT_COLUMNS * FIT_COLUMNS];
    fit_inputs in;
    TRY(fit_student_look(student, n, &in));
    if (fit_shares(f, n)) {
        step_of(s, n, base, basis, &s->step[n]);
        for (size_t i = 0; i < in.count; i++) TRY(take_sample(s, n, &in, i, base, basis, lines));
        s->shared++;
    } else {
        TRY(fit_one_step(f, n, &in, &s->step[n]));
    }
    fit_advance(f, n, s->step[n].c, &in, student->x);
    s->step[n].rms = distance(f, student->x, in.target);
    return DFL_OK;
}

/* One run; where it is the best so far its steps become the fit's. */
static dfl_status sweep(sharing *s) {
    fit *const f = s->f;
    fit_student student = {0};
    const size_t wide = FIT_COLUMNS + 1;
    double *const lines = mem_array(mem_product(f->dim, 2 * wide, 1), sizeof *lines);
    dfl_status status = lines ? fit_student_new(f, &student) : fail_memory();
    memset(s->triangle, 0, sizeof s->triangle);
    s->shared = 0;
    for (size_t n = 0; n < f->steps && status == DFL_OK; n++) {
        status = sweep_step(s, &student, n, lines);
        if (status != DFL_OK) status = fail_in(status, "fit, step %zu of %zu", n + 1, f->steps);
    }
    free(lines);
    fit_student_free(&student);
    if (status == DFL_OK && s->step[f->steps - 1].rms < s->error) {
        s->error = s->step[f->steps - 1].rms;
        memcpy(f->step, s->step, f->steps * sizeof *f->step);
    }
    return status;
}

/* The next w, and how far it is from the last. */
static dfl_status solve(sharing *s, double *change) {
    double base[FIT_COLUMNS] = {0}, basis[FIT_COLUMNS * FIT_COLUMNS] = {0};
    static const double unit[FIT_HALVES] = {1, 1};
    const size_t n = s->free, all = n + 1;
    const double scale = 1 / sqrt((double)s->f->samples * (double)s->f->dim * (double)s->shared);
    fit_step found;
    for (size_t i = 0; i < all * all; i++) s->triangle[i] *= scale;
    for (size_t j = 0; j < n; j++) basis[j * n + j] = 1;
    const fit_squares squares = {.columns = n,
                                 .targets = 1,
                                 .free = n,
                                 .triangle = s->triangle,
                                 .base = base,
                                 .basis = basis,
                                 .unit = unit,
                                 .ridge = opt_real(&s->f->spec, "ridge")};
    TRY(fit_solve(&squares, &found));
    *change = 0;
    for (size_t j = 0; j < n; j++) {
        *change = fmax(*change, fabs(found.c[j] - s->w[j]));
        s->w[j] = found.c[j];
    }
    return DFL_OK;
}

dfl_status fit_share_steps(fit *f) {
    sharing s = {.f = f,
                 .free = fit_unknown_count(f, f->steps - 1),
                 .error = INFINITY,
                 .step = mem_array(f->steps, sizeof *s.step)};
    double change = INFINITY;
    dfl_status status = s.step ? DFL_OK : fail_memory();
    for (size_t i = 0; i < SWEEPS && change > settled && status == DFL_OK; i++) {
        status = sweep(&s);
        change = 0;
        if (status == DFL_OK && s.free > 0) status = solve(&s, &change);
    }
    free(s.step);
    if (isfinite(s.error) && (status == DFL_OK || status == DFL_E_NONFINITE)) return DFL_OK;
    if (status != DFL_OK) return status;
    return fail(DFL_E_NONFINITE, "fit: with shared weights every run diverges");
}
