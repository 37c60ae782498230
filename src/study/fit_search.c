/* A search for the times of a fitted plan, with forward evaluations alone. Candidates are times of the
   teacher. Local errors along its path (fit_path.c) and the usual grids give first paths; each is
   fitted and measured at its end on starts of its own, that neither the fit nor the final measure
   uses. From the best of them, one time after the other is moved, later and earlier, everything from there
   on is fitted anew, and what is nearer to the teacher stays. What has been measured is kept in a
   file beside the teacher's states, so that an interrupted search goes on. */
#include "study/fit_search.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "grid/grid.h"
#include "solver/noisefactor.h"

enum { POINTS_MAX = 129 };

static const char name[] = "search";

const opt_row fit_search_options[] = {
    {"candidates", OPT_INT, NULL, 1, POINTS_MAX - 1, NULL,
     "of the teacher's times after the first; all of them, at most 128"},
    {"starts", OPT_INT, "128", 2, 1 << 20, NULL, "of the fitting ones, to fit trials on"},
    {"validation", OPT_INT, "128", 1, 1 << 20, NULL, "further starts, that decide"},
    {"rounds", OPT_INT, "8", 0, 1000, NULL, "rounds of moving each of the times, at most"},
    {0},
};

/* Where paths begin: grids, and variances of the data along which an error at t_j is taken to t_end
   by the flow of a Gaussian, sqrt((a'^2 v + b'^2)/(a^2 v + b^2)), or in phase space its matrix. The
   last two grids are of log-SNR and of b/a. */
static const char *const grids[] = {"uniform",       "power:kappa=1.5", "power:kappa=2",
                                    "power:kappa=3", "logsnr",          "karras"};
static const double variances[] = {0.01, 0.1, 1, 10, INFINITY};
static const double much = 1e8; /* stands for infinity in phase space */
enum { GRIDS = sizeof grids / sizeof *grids, VARIANCES = sizeof variances / sizeof *variances };

bool fit_search_asked(const char *grid) {
    const size_t n = strlen(name);
    return strncmp(grid, name, n) == 0 && (grid[n] == 0 || grid[n] == ':');
}

/* ---- life --------------------------------------------------------------------------------------- */

/* Takes the candidate out whose neighbours are nearest in log-SNR, until enough are gone. */
static dfl_status choose_candidates(const fit *f, fit_search *s, size_t wanted) {
    size_t n = f->teacher->steps + 1;
    double *const lambda = mem_array(n, sizeof *lambda);
    s->own = mem_array(n, sizeof *s->own);
    if (!lambda || !s->own) {
        free(lambda);
        return fail_memory();
    }
    for (size_t i = 0; i < n; i++) {
        s->own[i] = i;
        lambda[i] = fit_lambda(f->process, f->teacher_t[i]);
    }
    for (; n > wanted + 1; n--) {
        size_t out = 1;
        double least = INFINITY;
        for (size_t i = 1; i + 1 < n; i++) {
            const double gap = lambda[i + 1] - lambda[i - 1];
            if (!(gap < least)) continue;
            least = gap;
            out = i;
        }
        memmove(s->own + out, s->own + out + 1, (n - out - 1) * sizeof *s->own);
        memmove(lambda + out, lambda + out + 1, (n - out - 1) * sizeof *lambda);
    }
    free(lambda);
    s->points = n;
    return DFL_OK;
}

static dfl_status read_options(fit *f, fit_search *s, const char *grid) {
    const char *const colon = strchr(grid, ':');
    TRY(opts_parse("fit, grid search", fit_search_options, colon ? colon + 1 : "", &s->o));
    const size_t all = f->teacher->steps < POINTS_MAX ? f->teacher->steps : POINTS_MAX - 1;
    const size_t asked =
        opt_get(&s->o, "candidates")->set ? (size_t)opt_int(&s->o, "candidates") : all;
    const size_t wanted = asked < all ? asked : all;
    if (wanted < f->steps)
        return fail(DFL_E_RANGE,
                    "fit, grid search: %zu candidate times are too few for %zu steps; allow more "
                    "(candidates) or give the teacher more evaluations (teacher_nfe)",
                    wanted, f->steps);
    TRY(choose_candidates(f, s, wanted));
    s->starts = (size_t)opt_int(&s->o, "starts");
    if (s->starts > f->samples) s->starts = f->samples;
    s->validation = (size_t)opt_int(&s->o, "validation");
    s->count = s->starts + s->validation;
    return DFL_OK;
}

static dfl_status make_walk(const fit *f, const fit_search *s, walk *w) {
    w->at = mem_array(f->steps + 1, sizeof *w->at);
    w->x = mem_array(mem_product(f->steps + 1, s->count, f->state), sizeof *w->x);
    w->e = mem_array(mem_product(f->steps, s->count, f->answer), sizeof *w->e);
    return w->at && w->x && w->e ? DFL_OK : fail_memory();
}

dfl_status fit_search_new(fit *f, const char *grid) {
    fit_search *const s = mem_array(1, sizeof *s);
    if (!s) return fail_memory();
    f->search = s;
    TRY(read_options(f, s, grid));
    f->starts += s->validation;
    s->t = mem_array(s->points, sizeof *s->t);
    s->states = mem_array(mem_product(s->points, f->starts, f->state), sizeof *s->states);
    if (!s->t || !s->states) return fail_memory();
    for (size_t i = 0; i < s->points; i++) s->t[i] = f->teacher_t[s->own[i]];
    TRY(make_walk(f, s, &s->best));
    return make_walk(f, s, &s->trial);
}

static void free_walk(walk *w) {
    free(w->at);
    free(w->x);
    free(w->e);
}

void fit_search_free(fit_search *s) {
    if (!s) return;
    opts_free(&s->o);
    free_walk(&s->best);
    free_walk(&s->trial);
    free(s->own);
    free(s->t);
    free(s->states);
    free(s->known_at);
    free(s->known_rms);
    free(s);
}

void fit_search_take(fit *f, size_t first, size_t count, const double *states) {
    const fit_search *s = f->search;
    const size_t size = f->state, all = f->teacher->steps + 1;
    for (size_t k = 0; k < s->points; k++)
        for (size_t i = 0; i < count; i++)
            memcpy(s->states + (k * f->starts + first + i) * size,
                   states + (i * all + s->own[k]) * size, size * sizeof(double));
}

/* ---- trials ------------------------------------------------------------------------------------- */

static size_t state_size(const fit *f) {
    return f->search->count * f->state;
}

static size_t answer_size(const fit *f) {
    return f->search->count * f->answer;
}

/* The starts that are fitted on, and behind them those that decide. */
static void gather(const fit *f, size_t point, double *to) {
    const fit_search *s = f->search;
    const double *from = s->states + point * f->starts * f->state;
    memcpy(to, from, s->starts * f->state * sizeof *to);
    memcpy(to + s->starts * f->state, from + (f->samples + f->held_out) * f->state,
           s->validation * f->state * sizeof *to);
}

static void set_times(fit *f, const walk *w) {
    const fit_search *s = f->search;
    size_t at[POINTS_MAX];
    for (size_t k = 0; k <= f->steps; k++) at[k] = s->own[w->at[k]];
    fit_set_times(f, at);
}

/* Steps from `from` on are fitted and taken; predictions from number `first` on are made. */
static dfl_status walk_on(fit *f, walk *w, size_t from, size_t first) {
    const fit_search *s = f->search;
    const size_t size = state_size(f), wide = answer_size(f);
    fit_step step;
    set_times(f, w);
    for (size_t n = from; n < f->steps; n++) {
        double *const x = w->x + n * size;
        const fit_asked asked = {s->count, x, f->t[n], f->clean[n]};
        if (n >= first) TRY(fit_ask(f, &asked, w->e + n * wide));
        fit_inputs in = {
            .count = s->starts, .x = x, .target = s->states + w->at[n + 1] * f->starts * f->state};
        for (size_t k = 0; k + 1 < fit_terms(f, n); k++) in.past[k] = w->e + (n - k) * wide;
        TRY(fit_one_step(f, n, &in, &step));
        in.count = s->count;
        fit_advance(f, n, step.c, &in, x + size);
    }
    return DFL_OK;
}

static double final_rms(const fit *f, const walk *w) {
    const fit_search *s = f->search;
    const double *x = w->x + f->steps * state_size(f) + s->starts * f->state;
    const double *truth =
        s->states + ((s->points - 1) * f->starts + f->samples + f->held_out) * f->state;
    double sum = 0;
    for (size_t i = 0; i < s->validation; i++)
        for (size_t d = 0; d < f->dim; d++) {
            const double gap = x[i * f->state + d] - truth[i * f->state + d];
            sum += gap * gap;
        }
    return sqrt(sum / (double)(s->validation * f->dim));
}

/* All of a walk, or, with the beginning of another, from the step on that reaches time k. */
static dfl_status make(fit *f, walk *w, const walk *base, size_t k) {
    const size_t size = state_size(f);
    dfl_status status;
    if (base) {
        memcpy(w->x, base->x, k * size * sizeof *w->x);
        memcpy(w->e, base->e, k * answer_size(f) * sizeof *w->e);
        status = walk_on(f, w, k - 1, k);
    } else {
        gather(f, 0, w->x);
        status = walk_on(f, w, 0, 0);
    }
    w->made = status == DFL_OK;
    if (status == DFL_E_NONFINITE) status = DFL_OK; /* diverged */
    w->rms = w->made ? final_rms(f, w) : DBL_MAX;
    if (!(w->rms < DBL_MAX)) w->rms = DBL_MAX;
    return status;
}

/* The trial takes the place of the best if it is better. base: as in make(). */
static dfl_status judge(fit *f, bool moved, size_t k, bool *better) {
    fit_search *s = f->search;
    walk *const w = &s->trial;
    w->made = false;
    *better = false;
    if (!search_knows(s, f->steps, w->at, &w->rms)) {
        if (moved && !s->best.made) TRY(make(f, &s->best, NULL, 0));
        TRY(make(f, w, moved ? &s->best : NULL, k));
        TRY(search_remember(s, f->steps, w->at, w->rms));
        TRY(search_save(f));
    }
    if (!(w->rms < s->best.rms)) return DFL_OK;
    const walk old = s->best;
    s->best = *w;
    s->trial = old;
    *better = true;
    return DFL_OK;
}

/* ---- beginnings --------------------------------------------------------------------------------- */

static dfl_status begin_with_grids(fit *f) {
    fit_search *s = f->search;
    double t[POINTS_MAX];
    const fit_meeting m = {s->points - 1, f->steps, s->t, t};
    const int known = f->components == 2 ? GRIDS - 2 : GRIDS; /* phase space has no b/a */
    for (int i = 0; i < known; i++) {
        bool good, finite = true;
        TRY(grid_between(f->process, grids[i], s->t[0], s->t[s->points - 1], (int)f->steps, t));
        for (size_t k = 0; k <= f->steps; k++) finite = finite && isfinite(t[k]);
        if (!finite) continue; /* in sigma, from where there is no signal or to where no noise */
        fit_meet(f->process, &m, s->trial.at);
        TRY(judge(f, false, 0, &good));
    }
    return DFL_OK;
}

static void gain(const fit *f, double variance, double t, double *weight) {
    const double end = f->search->t[f->search->points - 1];
    if (f->components == 2) { /* the flow's first row, which is about the position */
        const blk flow = noise_flow(f->process, fmin(variance, much), t, end);
        weight[0] = flow.v[0] * flow.v[0];
        weight[1] = 2 * flow.v[0] * flow.v[1];
        weight[2] = flow.v[1] * flow.v[1];
        return;
    }
    const scalar_at at = process_at(f->process, t), to = process_at(f->process, end);
    *weight = isinf(variance)
                  ? (to.a * to.a) / (at.a * at.a)
                  : (to.a * to.a * variance + to.b * to.b) / (at.a * at.a * variance + at.b * at.b);
}

static dfl_status try_paths(fit *f, size_t planes, const double *error) {
    fit_search *s = f->search;
    double weight[3 * POINTS_MAX] = {0}, least; /* nothing arrives at the first */
    const fit_jumps p = {s->points, f->steps, planes, error, weight};
    for (int i = 0; i < VARIANCES; i++) {
        bool good;
        for (size_t j = 1; j < s->points; j++) gain(f, variances[i], s->t[j], weight + planes * j);
        TRY(fit_best_path(&p, s->trial.at, &least));
        TRY(judge(f, false, 0, &good));
    }
    return DFL_OK;
}

fit_jumping search_jumping(const fit *f) {
    return (fit_jumping){f->search->points, f->components, f->answers, f->history > 0};
}

static dfl_status begin_with_paths(fit *f) {
    const fit_jumping jumping = search_jumping(f);
    const size_t m = f->search->points, wide = fit_jump_columns(&jumping);
    const size_t planes = fit_jump_planes(&jumping);
    double *const triangle = mem_array(mem_product(wide, wide, 1), sizeof *triangle);
    double *const error = mem_array(mem_product(planes, m * m, m), sizeof *error);
    dfl_status status = triangle && error ? DFL_OK : fail_memory();
    if (status == DFL_OK) status = search_local(f, triangle);
    if (status == DFL_OK) status = fit_jump_errors(&jumping, triangle, error);
    free(triangle);
    if (status == DFL_OK) status = try_paths(f, planes, error);
    free(error);
    return status;
}

/* ---- moving ------------------------------------------------------------------------------------- */

/* Time k by `by` candidates, if it stays between its neighbours. */
static dfl_status move(fit *f, size_t k, int by, bool *better) {
    fit_search *s = f->search;
    const size_t *at = s->best.at;
    const long long i = (long long)at[k] + by;
    if (i <= (long long)at[k - 1] || i >= (long long)at[k + 1]) return DFL_OK;
    memcpy(s->trial.at, at, (f->steps + 1) * sizeof *at);
    s->trial.at[k] = (size_t)i;
    return judge(f, true, k, better);
}

static dfl_status move_all(fit *f, int stride, bool *better) {
    *better = false;
    for (size_t k = 1; k < f->steps; k++)
        for (int sign = -1; sign <= 1; sign += 2) {
            bool good = false;
            TRY(move(f, k, sign * stride, &good));
            *better = *better || good;
        }
    return DFL_OK;
}

static dfl_status improve(fit *f) {
    fit_search *s = f->search;
    int stride = (int)((s->points - 1) / (4 * f->steps));
    if (stride < 1) stride = 1;
    for (long long round = 0; round < opt_int(&s->o, "rounds") && stride > 0; round++) {
        bool better;
        TRY(move_all(f, stride, &better));
        if (!better) stride /= 2;
    }
    return DFL_OK;
}

/* ---- all of it ---------------------------------------------------------------------------------- */

/* At most: what is known already, and trials that come twice, cost nothing. */
size_t fit_search_cost(const fit *f) {
    const fit_search *s = f->search;
    if (!s) return 0;
    const size_t moves = (size_t)opt_int(&s->o, "rounds") * f->steps * (f->steps - 1);
    const size_t beginnings = f->steps == 1 ? 1 : (GRIDS + VARIANCES + 1) * f->steps;
    return search_local_count(s) * (s->points - 1) + s->count * (beginnings + moves);
}

/* The times found become the student's, and its grid. */
static dfl_status settle(fit *f) {
    const fit_search *s = f->search;
    const size_t size = f->starts * f->state;
    set_times(f, &s->best);
    for (size_t k = 0; k <= f->steps; k++)
        memcpy(f->target + k * size, s->states + s->best.at[k] * size, size * sizeof(double));
    TRY(fit_list_times(f));
    return fit_choose_rivals(f);
}

dfl_status fit_search_run(fit *f) {
    fit_search *s = f->search;
    s->best.rms = INFINITY;
    s->best.made = false;
    TRY(search_names(f));
    TRY(search_load(f));
    TRY(begin_with_grids(f));
    TRY(begin_with_paths(f));
    TRY(improve(f));
    return settle(f);
}

void fit_search_say(const fit *f, text *out) {
    const fit_search *s = f->search;
    if (!s) return;
    text_add(out, "; times searched among %zu of the teacher's by %zu starts from %zu: rms %.4g",
             s->points - 1, s->validation, f->samples + f->held_out, s->best.rms);
}
