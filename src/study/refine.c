/* The iterations of a refinement. One of them makes the Jacobian of the residual at the point it is
   at, then tries the damped Gauss-Newton step
     y = argmin |J y + r|^2 + damping |y|^2
   with more damping after a failure, until the objective on the fitting starts is less; what succeeds
   at once has less the next time. Held-out starts decide which of the points is taken in the end. */
#include "study/refine.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/dense.h"

/* Damping at first, what it is divided and multiplied by, iterations without gain on held-out
   starts, and the part of the objective that is still a gain. How much damping is enough depends on
   the objective's scale (weight), so attempts end where a step promises no gain, or after MOST. */
static const double first_damping = 1e-2, factor = 5, least_gain = 1e-5;
enum { MOST = 24, PATIENCE = 3 };

/* A row of what is kept of an iterate. */
enum { OBJECTIVE, HELD_OUT, RMS, RATIO, FIT_RMS, DAMPING, HEAD };

typedef struct {
    fit *f;
    refine_goal goal;
    refine_pass now, next, held_out;
    refine_direction *directions;
    size_t n;         /* of them */
    double *triangle; /* [n + 1][n + 1] */
    double *a, *b;    /* [2 n][n], [2 n] */
    double *y;
    double *rows; /* [iterations + 1][wide] */
    size_t wide, filled;
    bool stuck; /* nothing leads further */
} refiner;

/* ---- options ----------------------------------------------------------------------------------- */

double refine_weight(const fit *f) {
    static const double usual[] = {0, 10, 1, 100}; /* in the order of the objectives */
    if (opt_get(&f->spec, "weight")->set) return opt_real(&f->spec, "weight");
    return usual[opt_choice(&f->spec, "objective")];
}

bool fit_sees(const fit *f) {
    return opt_choice(&f->spec, "objective") >= 2; /* features and what follows */
}

dfl_status refine_check(const fit *f) {
    static const char *const needing[] = {"objective", "weight", "refine_times"};
    const opts *const o = &f->spec;
    for (size_t i = 0; i < 3 && opt_int(o, "refine") == 0; i++)
        if (opt_get(o, needing[i])->given)
            return fail(DFL_E_COMBINATION,
                        "fit: %s is for refinement: give refine=N, its iterations", needing[i]);
    if (opt_choice(o, "objective") == 0 && opt_get(o, "weight")->given)
        return fail(DFL_E_COMBINATION, "fit: weight goes with objective=moments, features or "
                                       "feature_distance");
    if (opt_int(o, "refine") == 0) return DFL_OK;
    if (opt_bool(o, "refine_times") && f->steps < 2)
        return fail(DFL_E_RANGE, "fit: one step has no time between its ends to be adjusted "
                                 "(refine_times); steps=2 or more has");
    const size_t n = refine_directions_max(f);
    if (n <= REFINE_DIRECTIONS_MAX) return DFL_OK;
    return fail(DFL_E_RANGE,
                "fit: %zu numbers are too many to refine, at most %d can be; take fewer steps or "
                "a shorter history",
                n, REFINE_DIRECTIONS_MAX);
}

dfl_status refine_cost(const fit *f, size_t *evaluations) {
    const size_t last = f->steps - 1, iterations = (size_t)opt_int(&f->spec, "refine");
    size_t branches = 0, done = 0;
    *evaluations = 0;
    if (iterations == 0) return DFL_OK;
    for (size_t n = 0; n < f->steps; n++)
        if (refine_counted_at(f, n) == n)
            branches += f->components * fit_columns(f, n) * (last - n);
    if (opt_bool(&f->spec, "refine_times")) branches += last * (last + 1) / 2;
    TRY(refine_load(f, HEAD + refine_size(f), iterations + 1, NULL, &done));
    const size_t left = iterations + 1 - (done > 0 ? done : 1), all = f->samples + f->held_out;
    *evaluations = all * f->steps + left * (f->samples * branches + all * last);
    return DFL_OK;
}

/* ---- one iteration ----------------------------------------------------------------------------- */

static double *row_of(const refiner *s, size_t k) {
    return s->rows + k * s->wide;
}

static double *point_of(const refiner *s, size_t k) {
    return row_of(s, k) + HEAD;
}

/* Least squares of the triangle's rows and those of the damping. */
static dfl_status solve(refiner *s, double damping) {
    const size_t n = s->n, wide = n + 1;
    size_t rank;
    memset(s->a, 0, 2 * n * n * sizeof *s->a);
    memset(s->b, 0, 2 * n * sizeof *s->b);
    for (size_t i = 0; i < n; i++) {
        memcpy(s->a + i * n, s->triangle + i * wide, n * sizeof *s->a);
        s->b[i] = -s->triangle[i * wide + n];
        s->a[(n + i) * n + i] = sqrt(damping);
    }
    return dense_least_squares(&(dense_squares){2 * n, n, s->a, s->b, 1e-12}, s->y, &rank);
}

/* The part of |r|^2 that |J y + r|^2 is less. */
static double promised(const refiner *s) {
    const size_t n = s->n, wide = n + 1;
    double before = 0, after = 0;
    for (size_t i = 0; i <= n; i++) {
        const double *const line = s->triangle + i * wide;
        double r = line[n];
        before += r * r;
        for (size_t k = i; k < n; k++) r += line[k] * s->y[k];
        after += r * r;
    }
    return (before - after) / before;
}

/* Where a run diverges the objective is infinite. */
static dfl_status attempt(refiner *s, const double *point, refine_pass *pass, refine_score *out) {
    *out = (refine_score){INFINITY, INFINITY, NAN};
    const dfl_status status = refine_follow(s->f, point, pass);
    if (status == DFL_E_NONFINITE) return DFL_OK;
    TRY(status);
    return refine_measure(&s->goal, pass, out);
}

/* The row after the last, of a point whose run is in s->now. */
static dfl_status add_row(refiner *s, const refine_score *on_fit, double damping) {
    double *const line = row_of(s, s->filled);
    refine_score other;
    TRY(attempt(s, line + HEAD, &s->held_out, &other));
    line[OBJECTIVE] = on_fit->objective;
    line[FIT_RMS] = on_fit->rms;
    line[HELD_OUT] = other.objective;
    line[RMS] = other.rms;
    line[RATIO] = isnan(other.ratio) ? -1 : other.ratio;
    line[DAMPING] = damping;
    s->filled++;
    return refine_save(s->f, s->wide, s->rows, s->filled);
}

static dfl_status take_step(refiner *s) {
    const double *const last = row_of(s, s->filled - 1);
    double *const to = point_of(s, s->filled), damping = last[DAMPING];
    for (size_t i = 0; i < MOST; i++, damping *= factor) {
        refine_score score;
        TRY(solve(s, damping));
        if (i > 0 && !(promised(s) > least_gain)) break;
        if (!refine_move(s->f, last + HEAD, s->directions, s->n, s->y, to)) continue;
        TRY(attempt(s, to, &s->next, &score));
        if (!(score.objective < last[OBJECTIVE])) continue;
        const refine_pass other = s->now;
        s->now = s->next;
        s->next = other;
        return add_row(s, &score, i == 0 ? damping / factor : damping);
    }
    s->stuck = true;
    return DFL_OK;
}

static dfl_status iterate(refiner *s) {
    const double *const point = point_of(s, s->filled - 1);
    TRY(refine_directions(s->f, point, &s->now, s->directions, &s->n));
    if (s->n == 0) {
        s->stuck = true;
        return DFL_OK;
    }
    TRY(refine_jacobian(&s->goal, point, &s->now, s->directions, s->n, s->triangle));
    return take_step(s);
}

/* ---- all of them ------------------------------------------------------------------------------- */

static size_t best_row(const refiner *s) {
    size_t best = 0;
    for (size_t k = 1; k < s->filled; k++)
        if (row_of(s, k)[HELD_OUT] < row_of(s, best)[HELD_OUT]) best = k;
    return best;
}

/* Told from what is kept alone, so that a refinement that goes on ends where it would have. */
static bool ended(const refiner *s) {
    const size_t n = s->filled;
    return n > (size_t)opt_int(&s->f->spec, "refine") || n - best_row(s) > PATIENCE || s->stuck ||
           (n > 1 && row_of(s, n - 1)[OBJECTIVE] > (1 - least_gain) * row_of(s, n - 2)[OBJECTIVE]);
}

static dfl_status prepare(refiner *s) {
    fit *const f = s->f;
    const size_t n = refine_directions_max(f), iterations = (size_t)opt_int(&f->spec, "refine");
    s->wide = HEAD + refine_size(f);
    s->rows = mem_array(iterations + 1, s->wide * sizeof *s->rows);
    s->directions = mem_array(n, sizeof *s->directions);
    s->triangle = mem_array((n + 1) * (n + 1), sizeof *s->triangle);
    s->a = mem_array(2 * n * n, sizeof *s->a);
    s->b = mem_array(2 * n, sizeof *s->b);
    s->y = mem_array(n, sizeof *s->y);
    if (!s->rows || !s->directions || !s->triangle || !s->a || !s->b || !s->y) return fail_memory();
    TRY(refine_pass_new(f, 0, f->samples, &s->now));
    TRY(refine_pass_new(f, 0, f->samples, &s->next));
    TRY(refine_pass_new(f, f->samples, f->held_out, &s->held_out));
    return refine_goal_new(f, &s->goal);
}

/* The run at the last point that is known, and the first row where none is. */
static dfl_status begin(refiner *s) {
    fit *const f = s->f;
    refine_read(f, point_of(s, 0));
    TRY(refine_load(f, s->wide, (size_t)opt_int(&f->spec, "refine") + 1, s->rows, &s->filled));
    TRY(refine_begin(f, &s->now));
    memcpy(s->next.e, s->now.e, f->samples * f->answer * sizeof *s->next.e);
    TRY(refine_begin(f, &s->held_out));
    refine_score score;
    if (s->filled > 0) return refine_follow(f, point_of(s, s->filled - 1), &s->now);
    TRY(attempt(s, point_of(s, 0), &s->now, &score));
    if (isfinite(score.objective)) return add_row(s, &score, first_damping);
    return fail(DFL_E_NONFINITE, "fit: the plan diverges on the fitting starts, and there is "
                                 "nothing to refine");
}

static dfl_status finish(refiner *s) {
    fit *const f = s->f;
    free(f->round);
    f->rounds = s->filled;
    f->best = best_row(s);
    f->round = mem_array(s->filled, sizeof *f->round);
    if (!f->round) return fail_memory();
    for (size_t k = 0; k < s->filled; k++) {
        const double *const line = row_of(s, k);
        f->round[k] = (fit_round){line[OBJECTIVE], line[HELD_OUT], line[RMS], line[RATIO]};
    }
    if (f->best == 0) return DFL_OK;
    refine_write(f, point_of(s, f->best));
    for (size_t n = 0; n < f->steps; n++) f->step[n].rms = NAN;
    f->step[f->steps - 1].rms = row_of(s, f->best)[FIT_RMS];
    if (!opt_bool(&f->spec, "refine_times")) return DFL_OK;
    TRY(fit_list_times(f));
    return fit_choose_rivals(f); /* on these times */
}

static void refiner_free(refiner *s) {
    refine_goal_free(&s->goal);
    refine_pass_free(&s->now);
    refine_pass_free(&s->next);
    refine_pass_free(&s->held_out);
    free(s->directions);
    free(s->triangle);
    free(s->a);
    free(s->b);
    free(s->y);
    free(s->rows);
}

dfl_status refine_run(fit *f) {
    refiner s = {.f = f};
    f->best = 0;
    if (opt_int(&f->spec, "refine") == 0) return DFL_OK;
    if (fit_sees(f) && !f->features.run)
        return fail(DFL_E_ARG, "fit: objective=%s needs a feature network",
                    opt_text(&f->spec, "objective"));
    dfl_status status = prepare(&s);
    if (status == DFL_OK) status = begin(&s);
    while (status == DFL_OK && !ended(&s)) status = iterate(&s);
    if (status == DFL_OK) status = finish(&s);
    refiner_free(&s);
    return status == DFL_OK ? status : fail_in(status, "refinement");
}
