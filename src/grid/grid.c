/* All grids, and the checks that hold for each of them.
 *
 *   uniform          t_i linear
 *   power(kappa)     t_i^(1/kappa) linear (DEIS, arXiv 2204.13902: kappa 2 is its quadratic grid)
 *   logsnr           lambda_i linear (DPM-Solver, arXiv 2206.00927)
 *   list             the times themselves
 */
#include "grid/grid.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const opt_row power_options[] = {
    {"kappa", OPT_REAL, "2", 0.1, 20, NULL, "exponent; 1 is uniform, 2 quadratic"},
    {0},
};

static const opt_row list_options[] = {
    {"times", OPT_LIST, NULL, 0, 0, NULL, "decreasing times, t_start first and t_end last"},
    {0},
};

static double uniform_time(const process *p, const opts *o, double start, double end, double w) {
    (void)p, (void)o;
    return start + w * (end - start);
}

static double power_time(const process *p, const opts *o, double start, double end, double w) {
    (void)p;
    const double kappa = opt_real(o, "kappa");
    return pow((1 - w) * pow(start, 1 / kappa) + w * pow(end, 1 / kappa), kappa);
}

static double logsnr_time(const process *p, const opts *o, double start, double end, double w) {
    (void)o;
    const double first = process_at(p, start).lambda, last = process_at(p, end).lambda;
    return process_time_of_rho(p, exp(-(first + w * (last - first))));
}

static const grid_row uniform = {
    {"uniform", "times evenly spaced", "", family_no_options}, uniform_time, true};
static const grid_row power = {
    {"power", "t^(1/kappa) evenly spaced", "arXiv:2204.13902", power_options}, power_time, true};
static const grid_row logsnr = {
    {"logsnr", "log-SNR evenly spaced", "arXiv:2206.00927", family_no_options}, logsnr_time, false};
static const grid_row list = {{"list", "times given one by one", "", list_options}, NULL, true};

static const family_row *const rows[] = {&uniform.is, &power.is, &logsnr.is, &list.is};
const family grid_family = {"grid", rows, sizeof rows / sizeof rows[0]};

static double snap(const grid_wish *wish, double t) {
    if (!(wish->unit > 0)) return t;
    return wish->origin + wish->unit * nearbyint((t - wish->origin) / wish->unit);
}

static void fill(const process *p, const grid_row *row, const opts *o, const grid_wish *wish,
                 int steps, double *t) {
    t[0] = wish->start;
    t[steps] = wish->end;
    for (int i = 1; i < steps; i++)
        t[i] = snap(wish, row->time(p, o, wish->start, wish->end, (double)i / steps));
}

/* Index of the first time that is not below its predecessor; 0 if all are. */
static int first_stall(const double *t, int steps) {
    for (int i = 1; i <= steps; i++)
        if (!(t[i] < t[i - 1])) return i;
    return 0;
}

static dfl_status check_decreasing(const process *p, const grid_row *row, const opts *o,
                                   const grid_wish *wish, double *t, int steps) {
    const int stall = first_stall(t, steps);
    if (!stall) return DFL_OK;
    const double before = t[stall - 1], after = t[stall];
    if (!row->time)
        return fail(DFL_E_RANGE, "grid list: times must fall, but %.17g follows %.17g", after,
                    before);
    int usable = steps;
    do {
        usable--;
        if (usable > 0) fill(p, row, o, wish, usable, t);
    } while (usable > 0 && first_stall(t, usable));
    return fail(DFL_E_RANGE,
                "grid %s: step %d of %d would have zero length (t = %.17g twice); the largest "
                "usable number of steps is %d",
                row->is.name, stall, steps, after, usable);
}

static dfl_status check_wish(const process *p, const grid_row *row, const grid_wish *wish) {
    TRY(process_check_time(p, "t_start", wish->start));
    TRY(process_check_time(p, "t_end", wish->end));
    if (!(wish->start > wish->end))
        return fail(DFL_E_RANGE, "grid %s: t_start=%.17g must be above t_end=%.17g", row->is.name,
                    wish->start, wish->end);
    if (row == &logsnr && p->row->components != 1)
        return fail(DFL_E_COMBINATION,
                    "grid logsnr: process %s is in phase space and has no log-SNR; choose another "
                    "grid",
                    p->row->is.name);
    if (wish->end == 0 && !row->reaches_zero)
        return fail(
            DFL_E_COMBINATION,
            "grid %s: t_end=0 has an infinite log-SNR; choose t_end above 0 or another grid",
            row->is.name);
    if (snap(wish, wish->start) != wish->start &&
        fabs(snap(wish, wish->start) - wish->start) > 1e-9)
        return fail(DFL_E_RANGE,
                    "t_start=%.17g is not a time of this network, which takes integers only; the "
                    "nearest is %.17g",
                    wish->start, snap(wish, wish->start));
    return DFL_OK;
}

/* Grids that bring their own times: start, end and steps follow from them. */
static dfl_status take_list(const opts *o, grid_wish *wish, double **times, int *steps) {
    const opt_value *given = opt_get(o, "times");
    if (!given->set || given->nlist < 2)
        return fail(DFL_E_KEY,
                    "grid list: times needs at least two numbers, such as [1,0.5,0.001]");
    const int n = (int)given->nlist - 1;
    if (wish->steps && wish->steps != n)
        return fail(DFL_E_COMBINATION, "grid list: %d times make %d steps, but steps=%d is asked",
                    n + 1, n, wish->steps);
    if ((!isnan(wish->start) && wish->start != given->list[0]) ||
        (!isnan(wish->end) && wish->end != given->list[n]))
        return fail(DFL_E_COMBINATION,
                    "grid list: runs from %.17g to %.17g; leave t_start and t_end out",
                    given->list[0], given->list[n]);
    *times = mem_array((size_t)n + 1, sizeof(double));
    if (!*times) return fail_memory();
    for (int i = 0; i <= n; i++)
        (*times)[i] = i == 0 || i == n ? given->list[i] : snap(wish, given->list[i]);
    wish->start = given->list[0];
    wish->end = given->list[n];
    *steps = n;
    return DFL_OK;
}

static dfl_status build(const process *p, const grid_row *row, const opts *o, grid_wish wish,
                        double **times, int *steps) {
    if (!row->time) TRY(take_list(o, &wish, times, steps));
    if (isnan(wish.start)) wish.start = wish.model_start;
    if (isnan(wish.end)) wish.end = wish.model_end;
    TRY(check_wish(p, row, &wish));
    if (row->time) {
        *steps = wish.steps ? wish.steps : wish.default_steps;
        *times = mem_array((size_t)*steps + 1, sizeof(double));
        if (!*times) return fail_memory();
        fill(p, row, o, &wish, *steps, *times);
    }
    for (int i = 1; i < *steps; i++) TRY(process_check_time(p, "grid time", (*times)[i]));
    return check_decreasing(p, row, o, &wish, *times, *steps);
}

dfl_status grid_new(const process *p, const grid_wish *wish, double **times, int *steps) {
    *times = NULL;
    *steps = 0;
    opts o;
    const family_row *row;
    dfl_status status = family_parse(&grid_family, wish->spec, &row, &o);
    if (status == DFL_OK) status = build(p, (const grid_row *)row, &o, *wish, times, steps);
    opts_free(&o);
    if (status != DFL_OK) {
        free(*times);
        *times = NULL;
    }
    return status;
}
