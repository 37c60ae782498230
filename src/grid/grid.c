/* From a wish to checked times: what holds for every grid. */
#include "grid/grid.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One grid in the making. */
typedef struct {
    const process *p;
    const grid_row *row;
    opts o;
    grid_wish wish; /* start and end settled */
    double *t;      /* [steps + 1] */
    int steps;
} draft;

/* ---- times from the caller ------------------------------------------------------------------- */

static dfl_status list_times(const opts *o, double **times, size_t *n) {
    const opt_value *given = opt_get(o, "times");
    *n = given->set ? given->nlist : 0;
    *times = mem_array(*n, sizeof(double));
    if (!*times) return fail_memory();
    if (*n) memcpy(*times, given->list, *n * sizeof(double));
    return DFL_OK;
}

/* Grids that bring their own times: start, end and steps follow from them. */
static dfl_status take_times(draft *d) {
    const char *name = d->row->is.name;
    size_t count = 0;
    const bool listed = d->o.n && strcmp(d->o.v[0].row->key, "times") == 0;
    TRY(listed ? list_times(&d->o, &d->t, &count)
               : grid_read_times(d->p, &d->o, d->wish.end, &d->t, &count));
    if (count < 2)
        return fail(DFL_E_KEY, "grid %s: at least two times are needed, such as 1, 0.5, 0.001",
                    name);
    const int n = (int)count - 1;
    if (d->wish.steps && d->wish.steps != n)
        return fail(DFL_E_COMBINATION, "grid %s: %d times make %d steps, but steps=%d is asked",
                    name, n + 1, n, d->wish.steps);
    if ((!isnan(d->wish.start) && d->wish.start != d->t[0]) ||
        (!isnan(d->wish.end) && d->wish.end != d->t[n]))
        return fail(DFL_E_COMBINATION, "grid %s: runs from %s to %s; leave t_start and t_end out",
                    name, real_text(d->t[0]).s, real_text(d->t[n]).s);
    d->wish.start = d->t[0];
    d->wish.end = d->t[n];
    d->steps = n;
    return DFL_OK;
}

/* ---- times by formula ------------------------------------------------------------------------ */

static double snap(const grid_wish *wish, double t) {
    if (!(wish->unit > 0)) return t;
    return wish->origin + wish->unit * nearbyint((t - wish->origin) / wish->unit);
}

static double index_time(const draft *d, int i, int steps) {
    const double n = (double)opt_int(&d->o, "num_train_timesteps");
    return (d->row->index(&d->o, i, steps) + 1) / n;
}

/* In sigma, the way to t = 0 is the way to the model's own end, and one step more. */
static double formula_time(const draft *d, int i, int steps) {
    const bool jumps = d->row->in_sigma && d->wish.end == 0 && steps > 1;
    const double end = jumps ? d->wish.model_end : d->wish.end;
    if (jumps && i == steps - 1) return end;
    return d->row->time(d->p, &d->o, d->wish.start, end, (double)i / (jumps ? steps - 1 : steps));
}

static bool brings_times(const draft *d) {
    return !d->row->time && !d->row->index;
}

/* Where nothing is asked: a table of indices goes on to t = 0. */
static double default_end(const draft *d) {
    if (!isnan(d->wish.end)) return d->wish.end;
    return d->row->index ? 0 : d->wish.model_end;
}

static void fill(draft *d, int steps) {
    for (int i = 0; i < steps; i++)
        d->t[i] = d->row->index ? index_time(d, i, steps) : formula_time(d, i, steps);
    if (d->row->time) d->t[0] = d->wish.start;
    d->t[steps] = d->wish.end;
    for (int i = 1; i < steps; i++) d->t[i] = snap(&d->wish, d->t[i]);
}

/* Index of the first time that is not below its predecessor; 0 if all are. */
static int first_stall(const double *t, int steps) {
    for (int i = 1; i <= steps; i++)
        if (!(t[i] < t[i - 1])) return i;
    return 0;
}

/* One more than there can be: times fall by a step of the table, or of the network, at least. */
static int most_steps(const draft *d) {
    double most = d->steps;
    if (d->row->index) most = fmin(most, (double)opt_int(&d->o, "num_train_timesteps") + 1);
    if (d->wish.unit > 0) most = fmin(most, (d->t[0] - d->wish.end) / d->wish.unit + 2);
    return (int)most;
}

static dfl_status check_decreasing(draft *d) {
    const char *name = d->row->is.name;
    const int stall = first_stall(d->t, d->steps);
    if (!stall) return DFL_OK;
    const double before = d->t[stall - 1], after = d->t[stall];
    if (brings_times(d))
        return fail(DFL_E_RANGE, "grid %s: times must fall, but %s follows %s", name,
                    real_text(after).s, real_text(before).s);
    int usable = most_steps(d);
    do {
        usable--;
        if (usable > 0) fill(d, usable);
    } while (usable > 0 && first_stall(d->t, usable));
    return fail(DFL_E_RANGE,
                "grid %s: step %d of %d would have zero length (t = %s twice); the largest "
                "usable number of steps is %d",
                name, stall, d->steps, real_text(after).s, usable);
}

static dfl_status settle_ends(draft *d) {
    grid_wish *wish = &d->wish;
    const char *name = d->row->is.name;
    if (d->row->index && !isnan(wish->start))
        return fail(DFL_E_COMBINATION,
                    "grid %s: its steps decide where it starts; leave t_start out", name);
    if (isnan(wish->start))
        wish->start = d->row->index ? index_time(d, 0, d->steps) : wish->model_start;
    wish->end = default_end(d);
    TRY(process_check_time(d->p, "t_start", wish->start));
    TRY(process_check_time(d->p, "t_end", wish->end));
    if (!(wish->start > wish->end))
        return fail(DFL_E_RANGE, "grid %s: t_start=%s must be above t_end=%s", name,
                    real_text(wish->start).s, real_text(wish->end).s);
    if (!d->row->in_sigma) return DFL_OK;
    if (d->p->row->components != 1)
        return fail(DFL_E_COMBINATION,
                    "grid %s: process %s is in phase space and has no sigma; choose another grid",
                    name, d->p->row->is.name);
    if (!isfinite(process_at(d->p, wish->start).rho))
        return fail(DFL_E_COMBINATION,
                    "grid %s: sigma is infinite at t_start=%s; start lower or choose another grid",
                    name, real_text(wish->start).s);
    if (wish->end == 0 && d->row->reaches_zero &&
        !(wish->model_end > 0 && wish->model_end < wish->start))
        return fail(DFL_E_COMBINATION,
                    "grid %s: on the way to t_end=0 it passes the model's t_min=%s, which must be "
                    "above 0 and below t_start=%s",
                    name, real_text(wish->model_end).s, real_text(wish->start).s);
    if (wish->end == 0 && !d->row->reaches_zero)
        return fail(
            DFL_E_COMBINATION,
            "grid %s: t_end=0 has an infinite log-SNR; choose t_end above 0 or another grid", name);
    return DFL_OK;
}

static dfl_status check_integers(const draft *d) {
    const double nearest = snap(&d->wish, d->t[0]);
    if (fabs(nearest - d->t[0]) <= 1e-9) return DFL_OK;
    return fail(DFL_E_RANGE,
                "t_start=%s is not a time of this network, which takes integers only; the "
                "nearest is %s",
                real_text(d->t[0]).s, real_text(nearest).s);
}

static dfl_status build(draft *d) {
    const bool given = brings_times(d);
    if (given)
        TRY(take_times(d));
    else
        d->steps = d->wish.steps ? d->wish.steps : d->wish.default_steps;
    TRY(settle_ends(d));
    if (!given) {
        d->t = mem_array((size_t)d->steps + 1, sizeof(double));
        if (!d->t) return fail_memory();
        fill(d, d->steps);
    }
    for (int i = 1; i < d->steps; i++) {
        d->t[i] = snap(&d->wish, d->t[i]);
        TRY(process_check_time(d->p, "grid time", d->t[i]));
    }
    TRY(check_integers(d));
    return check_decreasing(d);
}

static dfl_status begin(draft *d, const process *p, const grid_wish *wish) {
    const family_row *found;
    *d = (draft){.p = p, .wish = *wish};
    const dfl_status status = family_parse(&grid_family, wish->spec, &found, &d->o);
    d->row = (const grid_row *)found;
    return status;
}

dfl_status grid_last(const process *p, const grid_wish *wish, double *t) {
    draft d;
    dfl_status status = begin(&d, p, wish);
    d.wish.steps = 0;
    if (status == DFL_OK && brings_times(&d)) status = take_times(&d);
    if (status == DFL_OK) *t = default_end(&d);
    opts_free(&d.o);
    free(d.t);
    return status;
}

dfl_status grid_is(const char *spec, const char *name, bool *is) {
    opts o;
    const family_row *found;
    const dfl_status status = family_parse(&grid_family, spec, &found, &o);
    *is = status == DFL_OK && strcmp(found->name, name) == 0;
    opts_free(&o);
    return status;
}

dfl_status grid_new(const process *p, const grid_wish *wish, double **times, int *steps) {
    *times = NULL;
    *steps = 0;
    draft d;
    dfl_status status = begin(&d, p, wish);
    if (status == DFL_OK) status = build(&d);
    opts_free(&d.o);
    if (status != DFL_OK) {
        free(d.t);
        return status;
    }
    *times = d.t;
    *steps = d.steps;
    return DFL_OK;
}

dfl_status grid_between(const process *p, const char *spec, double start, double end, int n,
                        double *t) {
    opts o;
    const family_row *found;
    dfl_status status = family_parse(&grid_family, spec, &found, &o);
    const grid_row *row = (const grid_row *)found;
    if (status == DFL_OK && !row->time)
        status = fail(DFL_E_COMBINATION,
                      "grid %s: has no formula between two times, which this solver needs; choose "
                      "another grid",
                      row->is.name);
    for (int i = 0; i <= n && status == DFL_OK; i++)
        t[i] = i == 0 ? start : i == n ? end : row->time(p, &o, start, end, (double)i / n);
    opts_free(&o);
    return status;
}
