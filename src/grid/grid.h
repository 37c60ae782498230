/* Grids: the decreasing times a sampler visits, t[0] = t_start > ... > t[steps] = t_end. */
#ifndef DFL_GRID_H
#define DFL_GRID_H

#include "process/process.h"

typedef struct {
    family_row is;
    /* Time at a fraction of the way from start to end. NULL for grids that bring their own times.
     */
    double (*time)(const process *p, const opts *o, double start, double end, double fraction);
    /* Or, for grids of table indices: index number i of `steps`, 0 <= i < steps; the last time is
       t_end. Such grids choose their own start. */
    double (*index)(const opts *o, int i, int steps);
    bool in_sigma;     /* works in sigma = b/a, so not in phase space nor from an infinite sigma */
    bool reaches_zero; /* may end at t_end = 0 */
} grid_row;

extern const family grid_family; /* its rows are grid_rows */

/* What to build. A network that takes integer times only (unit > 0) has times t with
   (t - origin) / unit an integer: interior times are moved to the nearest one. */
typedef struct {
    const char *spec;  /* option text */
    double start, end; /* as asked; NAN: not asked, the model's own apply */
    double model_start, model_end;
    int steps;         /* as asked; 0: not asked, "list" counts its own, others take: */
    int default_steps; /* >= 1 */
    double unit, origin;
} grid_wish;

/* The same kind of grid between any two times: t[0..n], ends exact. E_COMBINATION for grids that
   have no formula in time (index grids, given times). */
dfl_status grid_between(const process *p, const char *spec, double start, double end, int n,
                        double *t);

/* The last time that such a grid has, whatever its number of steps. */
dfl_status grid_last(const process *p, const grid_wish *wish, double *t);

/* Whether option text names that grid, in whatever spelling. */
dfl_status grid_is(const char *spec, const char *name, bool *is);

/* *times is [*steps + 1], to be freed. Ends exact; strictly decreasing, else E_RANGE naming the
   largest usable number of steps. */
dfl_status grid_new(const process *p, const grid_wish *wish, double **times, int *steps);

/* ---- given.c: times in files, docs/plan-format.md ---------------------------------------------- */

/* What a number may stand for, in the order of grid_quantities ("t|sigma|..."). */
enum { GRID_T, GRID_SIGMA, GRID_LOG_SNR, GRID_HALF_LOG_SNR, GRID_TIMESTEP };
extern const char grid_quantities[];
typedef struct {
    int quantity;
    size_t length; /* of a table of timesteps */
} grid_unit;

/* The quantity of that name, singular or plural, or -1. */
int grid_quantity(const char *word);

/* The time at which the quantity is x. E_RANGE: the process is nowhere there. */
dfl_status grid_time(const process *p, const grid_unit *unit, double x, double *t);

/* The times in a file, by the options of grid "file". Behind timesteps `end` follows, NAN: 0. *times
   is to be freed. */
dfl_status grid_read_times(const process *p, const opts *o, double end, double **times, size_t *n);

#endif
