/* Refinement of a fitted plan from end to end: its coefficients, and if asked its times, adjusted to
   the error of the last state by Gauss-Newton with Levenberg's damping (docs/fitted-plans.md). The
   parts of it; fit.h is what others use. */
#ifndef DFL_REFINE_H
#define DFL_REFINE_H

#include "study/fit.h"

enum { REFINE_MAX = 1000, REFINE_DIRECTIONS_MAX = 512 };

/* ---- refine.c, refine_file.c, refine_print.c --------------------------------------------------- */

dfl_status refine_check(const fit *f); /* refuses what the options contradict */
dfl_status refine_cost(const fit *f, size_t *evaluations);

/* After fit_steps: f->t and f->step become those of the best iterate on the held-out starts, which
   may be the one before it. Does nothing where no iterations are asked. */
dfl_status refine_run(fit *f);

/* Iterates are kept in the folder f->work, a row each [before it, 1, 2, ...]; a file that began
   elsewhere is passed over. `table` [cap][wide], the first point is given, *n are filled; NULL: only *n is told. */
dfl_status refine_load(const fit *f, size_t wide, size_t cap, double *table, size_t *n);
dfl_status refine_save(const fit *f, size_t wide, const double *table, size_t n);
dfl_status refine_forget(const fit *f);

double refine_weight(const fit *f);
void refine_say(const fit *f, text *out);   /* for the plan's record */
void refine_print(const fit *f, text *out); /* for people */

/* ---- refine_point.c: what may move ------------------------------------------------------------- */

/* A point is all times and coefficients, as one array: t [steps + 1], then for each step as much as
   the largest may have. */
size_t refine_size(const fit *f);
const double *refine_c(const fit *f, const double *point, size_t n);
void refine_read(const fit *f, double *point);
void refine_write(fit *f, const double *point);

/* The student's states and predictions at a point. */
typedef struct {
    size_t first, count;
    double *x; /* [steps + 1][count][state] */
    double *e; /* [steps][count][answer] */
} refine_pass;

/* One thing that moves: the coefficients of a step, along a direction in which one half of the next
   state changes by 1 of its unit (root mean square over all of its numbers); the weights that this
   step and others share, so that the states after them do; or the time that a step begins at, by 1
   in half the log-SNR. */
typedef struct {
    size_t step, half;
    bool time;
    double along[FIT_COLUMNS]; /* of z in c = c_0 + B z, for each of the step's unknowns */
} refine_direction;

/* The directions at a point, in the order of the steps, shared weights last; those in which the
   columns of a step hardly differ are left out. `to` holds refine_directions_max(). */
dfl_status refine_directions(const fit *f, const double *point, const refine_pass *pass,
                             refine_direction *to, size_t *n);
size_t refine_directions_max(const fit *f);
/* The step of the directions that move step n's coefficients: itself, or the first that shares. */
size_t refine_counted_at(const fit *f, size_t n);

/* to = from + sum of y_k directions. c_0 and B move with the times, so that a step stays one between
   its times. False: the times do not fall any more. */
bool refine_move(const fit *f, const double *from, const refine_direction *directions, size_t n,
                 const double *y, double *to);

/* ---- refine_pass.c: runs ----------------------------------------------------------------------- */

dfl_status refine_pass_new(const fit *f, size_t first, size_t count, refine_pass *out);
void refine_pass_free(refine_pass *p);
/* From x_0 on; only the first prediction, which no point changes. */
dfl_status refine_begin(const fit *f, refine_pass *p);
/* All that follows from it. */
dfl_status refine_follow(const fit *f, const double *point, refine_pass *p);

/* The last states of samples first .. of a pass where a point differs from the pass's own from step m
   on, with the network's answer there as it was: evaluations after step m only. */
typedef struct {
    const double *point;
    const refine_pass *pass;
    size_t m, first, count; /* first: number in the pass */
    double *x;              /* scratch [steps][count][state] */
    double *e;              /* scratch [steps][count][answer] */
} refine_branch;
dfl_status refine_branch_run(const fit *f, const refine_branch *b,
                             double *last); /* [count][state] */

/* ---- refine_distance.c: between the Gaussians of features -------------------------------------- */

typedef struct {
    size_t count, width;
    double distance;                 /* Frechet's, with covariances over count */
    double *mean, *values, *vectors; /* of the samples' features, and of their covariance A */
    double *apart,
        *gap;    /* [width], [width][width], in A's basis: their squares and `left` sum to */
    double left; /* the distance */
} feature_distance;

/* Of features made, truth [count][width]. To be freed. */
dfl_status feature_distance_new(size_t count, size_t width, const float *made, const float *truth,
                                feature_distance *out);
void feature_distance_free(feature_distance *d);

/* What one sample, its features `made` with a `slope` along a direction, adds to the slope of the
   mean, and to that of half the covariance: cross [width][width], of which the symmetric part counts. */
void feature_distance_change(const feature_distance *d, const float *made, const double *slope,
                             double *mean, double *cross);

/* `cross`, of all samples, becomes the slope of `gap`. */
dfl_status feature_distance_way(const feature_distance *d, double *cross);

/* ---- refine_goal.c: what is minimised ---------------------------------------------------------- */

typedef struct {
    const fit *f;
    double weight;
    float *truth; /* features of the teacher's last states, [samples + held_out][width]; or NULL */
    double scale; /* standard deviation of those features, over the fitting starts */
    double h;     /* step of difference quotients */
} refine_goal;

dfl_status refine_goal_new(const fit *f, refine_goal *out);
void refine_goal_free(refine_goal *g);

typedef struct {
    double objective, rms, ratio; /* ratio NaN: the teacher's numbers do not vary */
} refine_score;
dfl_status refine_measure(const refine_goal *g, const refine_pass *p, refine_score *out);

/* The triangle [n + 1][n + 1] of all rows (J, r): |r|^2 is the objective, J its residual's derivative
   along the directions, by forward differences. */
dfl_status refine_jacobian(const refine_goal *g, const double *point, const refine_pass *pass,
                           const refine_direction *directions, size_t n, double *triangle);

#endif
