/* Fitting of plans: the least-squares combinations of a student's own state and network outputs that
   best meet a teacher's states. docs/fitted-plans.md has the equations. */
#ifndef DFL_FIT_H
#define DFL_FIT_H

#include "grid/grid.h"
#include "model/model.h"
#include "plan/plan.h"
#include "process/process.h"

/* A step combines its state, the newest prediction and up to FIT_HISTORY_MAX older ones. In phase
   space each of these terms has two halves, of position and momentum, and so has the next state:
   a term's coefficient is a 2x2 block. What least squares see are columns, the halves of all terms
   one after the other. On scalar processes a column is a term. */
enum {
    FIT_HISTORY_MAX = 12,
    FIT_TERMS = FIT_HISTORY_MAX + 2,
    FIT_HALVES = 2,
    FIT_COLUMNS = FIT_HALVES * FIT_TERMS,
    FIT_NUMBERS = FIT_HALVES * FIT_COLUMNS /* of a step's coefficients */
};

/* Told of network evaluations (of one sample each) as they are made; non-zero ends the fit with
   that value. */
typedef int (*fit_watch)(void *user, size_t evaluations);

/* Coefficients of the state, the newest prediction, older and older ones: for each half of the next
   state a row of `columns`. */
typedef struct {
    size_t terms, columns;
    size_t free, rank; /* of a row: what was free, directions the data determine */
    double c[FIT_NUMBERS];
    double rms; /* to the teacher at the step's end, on the fitting starts; momenta in their unit */
} fit_step;

/* A plan on held-out starts, against the teacher. */
typedef struct {
    const char *solver, *grid; /* grid NULL: the student's */
    char why[160];             /* it was refused: the sentence; else "" */
    size_t nfe;
    double rms, median; /* infinite where it diverged */
} fit_rival;

/* What the objectives of features measure with: features [count][width] of samples first .., given as
   x [count][dim], which depend on the sample and its index alone. Names are borrowed. */
typedef struct {
    size_t width;
    const char *name, *digest;
    dfl_status (*run)(void *user, uint64_t first, size_t count, const double *x, float *out);
    void *user;
} fit_features;

/* An iterate of the refinement. */
typedef struct {
    double objective, held_out; /* what is minimised, on the fitting starts and on the others */
    double rms, ratio; /* held out: distance; variance over the starts beside the teacher's */
} fit_round;

typedef struct {
    dfl_model *model;
    opts spec;
    process *process;
    text tail; /* keys that all plans share, each after a blank */
    size_t steps, history, samples, held_out;
    size_t dim;                 /* numbers of a sample, which is a position */
    size_t components, answers; /* halves of a state; of a prediction, which may be one of two */
    size_t state, answer;       /* numbers of a state and of a prediction */
    double unit[FIT_HALVES];    /* of the halves of a state: by these they are of order one */
    size_t starts;              /* samples, held_out, and those a search decides on */
    char *grid;                 /* of the student, as text */
    struct fit_search *search;  /* NULL: the times are given */
    text start;                 /* options of a run's start; "": normals */
    text start_about, start_warnings; /* lines for people, if a start was asked for */
    text start_files;                 /* a line for each file, with its digest */
    double *t;                        /* [steps + 1] of the student: each a time of the teacher */
    size_t *at;                       /* [steps + 1] which one */
    bool *clean;                      /* [steps] the prediction is of x_0, not of the noise */
    dfl_plan *teacher;                /* with teacher->steps + 1 states */
    double *teacher_t;                /* [teacher->steps + 1] */
    char teacher_digest[DIGEST_HEX];  /* of what its states depend on */
    char *work;                       /* folder of the teacher's blocks; NULL: not kept */
    double *target;                   /* [steps + 1][starts][state] */
    fit_step *step;                   /* [steps] */
    fit_rival own, *rivals;
    size_t nrivals;
    fit_features features; /* run NULL: none; to be set before fit_run */
    fit_round *round;    /* [rounds] of the refinement, the first before it; NULL: none was asked */
    size_t rounds, best; /* best: whose coefficients and times the plan has */
    dfl_plan *plan;      /* the result, without provenance */
    fit_watch fn;        /* of the fit_run in progress */
    void *user;
} fit;

bool fit_sees(const fit *f); /* the objective needs `features` */

/* Spec: keys separated by blanks, fit_options. work: folder in which the teacher's states are kept,
   so that an interrupted fit goes on and other students can use them; NULL: nowhere. Everything
   that can be refused is refused here. */
dfl_status fit_new(dfl_model *model, const char *spec, const char *work, fit **out);
void fit_free(fit *f);
extern const opt_row fit_options[];

/* Evaluations that are still to be made: of the teacher, to search times (at most), of the student,
   and for comparison. */
typedef struct {
    size_t teacher, search, student, compare;
    /* With one attempt for each iteration: more where attempts fail, less where it ends early. */
    size_t refine;
} fit_cost;
dfl_status fit_costs(const fit *f, fit_cost *out);

dfl_status fit_run(fit *f, fit_watch fn, void *user);

/* After fit_run. The plan with its provenance as JSON; `command` says how it was made. */
dfl_status fit_json(fit *f, const char *command, text *out);
void fit_print(const fit *f, text *out);

/* ---- parts ----------------------------------------------------------------------------------- */

/* fit_teacher.c: fills f->target, from the folder where it can; and removes what was kept. */
dfl_status fit_teacher_name(fit *f); /* fills f->teacher_digest */
dfl_status fit_teach(fit *f);
dfl_status fit_teacher_missing(const fit *f, size_t *samples);
dfl_status fit_forget(const fit *f);

/* fit_steps.c: all steps, one after the other. */
dfl_status fit_steps(fit *f);

/* fit_share.c: with one set of coefficients. Refusals; whether step n has it, and not its own as the
   first ones; sweeps over all steps, at most; the steps. */
dfl_status fit_share_check(const fit *f);
bool fit_shares(const fit *f, size_t n);
size_t fit_share_sweeps(const fit *f); /* 1: nothing is shared */
dfl_status fit_share_steps(fit *f);

/* Its parts. Terms and columns of step n; predictions at a time, by the executor, of which the watch
   is told; the coefficients of a step from what they combine; and the step taken. */
typedef struct {
    size_t count;
    const double *x;               /* [count][state], at the step's first time */
    const double *past[FIT_TERMS]; /* predictions [count][answer], the newest first */
    const double *target;          /* [count][state], at its last; not read by fit_advance */
} fit_inputs;
typedef struct {
    size_t count;
    const double *x; /* [count][state] */
    double t;
    bool clean; /* x_0, not the noise */
} fit_asked;
/* The fitting starts on their way: states, and predictions [history + 1][samples][answer], that of
   step k at k mod (history + 1). fit_student_look: the network's at step n, and what the step combines. */
typedef struct {
    fit *f;
    double *x, *past;
} fit_student;
dfl_status fit_student_new(fit *f, fit_student *out); /* to be freed, also where it fails */
void fit_student_free(fit_student *s);
dfl_status fit_student_look(const fit_student *s, size_t n, fit_inputs *out);

size_t fit_terms(const fit *f, size_t n);
size_t fit_columns(const fit *f, size_t n);
dfl_status fit_ask(const fit *f, const fit_asked *q, double *to);
dfl_status fit_one_step(const fit *f, size_t n, const fit_inputs *in, fit_step *out);
void fit_advance(const fit *f, size_t n, const double *c, const fit_inputs *in, double *to);

/* The columns of step n, and behind them the halves of the target, if it is not NULL, of sample i:
   lines [dim][wide]. */
void fit_lines(const fit *f, size_t n, const fit_inputs *in, size_t i, size_t wide, double *lines);

/* One step's coefficients from rows [count][columns + targets] seen as the triangle of all rows,
   divided by the square root of their number. base: the coefficients that the ridge pulls to;
   `basis` [columns][free], row-major, by the target's unit: what may be added to each row of them. */
typedef struct {
    size_t columns, targets, free;
    const double *triangle; /* [columns + targets]^2 */
    const double *base, *basis;
    const double *unit; /* [targets] */
    double ridge;
} fit_squares;
/* Fills all but out->terms. */
dfl_status fit_solve(const fit_squares *p, fit_step *out);

/* a [columns][free] = R B, R the first columns of a triangle with rows of `wide`; a column of which
   cancellation leaves nothing but rounding is 0. */
typedef struct {
    size_t columns, wide, free;
    const double *triangle, *basis;
} fit_columns_seen;
void fit_project(const fit_columns_seen *s, double *a);

/* Runs a plan of one evaluation (fit_probe) on states x [count][state] of samples first ..; tells
   the watch. */
dfl_status fit_predict(const fit *f, const dfl_plan *probe, size_t first, size_t count,
                       const double *x, double *to);

/* ---- fit_space.c: what the space of the process decides ---------------------------------------- */

/* Sizes and units; after the process. Refuses what has no form in phase space. */
dfl_status fit_space_new(fit *f);
const char *fit_usual_teacher(const fit *f); /* solver, where none is asked for */
const char *fit_base_name(const fit *f);     /* the solver whose coefficients are the base */

/* From times t [steps + 1] the base of step n, [components][columns]; what may be added to each of
   its rows, by the unit of that half, [columns][free], where weights are shared in units of the
   step's reach: the number of those; and how much of each has
   been added to make c, z [components][free]. */
size_t fit_unknown_count(const fit *f, size_t n);
void fit_base(const fit *f, const double *t, size_t n, double base[FIT_NUMBERS]);
size_t fit_basis(const fit *f, const double *t, size_t n, double basis[FIT_COLUMNS * FIT_COLUMNS]);
double fit_reach(const fit *f, const double *t,
                 size_t n); /* what ddim weighs the newest prediction by */
void fit_unknowns(const fit *f, const double *t, size_t n, const double *c, double *z);

/* Half the log-SNR: of what a state tells about x_0, log(a/b), in phase space |b^-1 a| for a/b; it
   falls with t. And back. */
double fit_lambda(const process *p, double t);
double fit_time_of_lambda(const process *p, double lambda);

/* The noise that a prediction is, from the raw output, as rows of a builder at time t: what the
   network was trained to predict, of both halves or of one. */
blk fit_noise_map(const rows *r, double t);

/* fit_plan.c */
dfl_status fit_list_times(fit *f); /* the grid's text becomes a list of the student's times */
dfl_status fit_probe(const fit *f, double t, bool clean, dfl_plan **out); /* state to prediction */
dfl_status fit_probe_output(const fit *f, double t, dfl_plan **out);      /* to the raw output */
dfl_status fit_compile(fit *f);

/* fit_compare.c: f->own, and f->rivals as `compare` says. */
dfl_status fit_choose_rivals(fit *f);
dfl_status fit_compare(fit *f);

/* fit_start.c: where runs start. Options are checked, and their texts kept; what a name of the
   teacher's states must tell of it; a few words, or none. */
dfl_status fit_start_new(fit *f);
void fit_start_name(const fit *f, text *out);
void fit_start_say(const fit *f, text *out);

/* fit.c: the student's times are these of the teacher's, rising indices from 0 to its last. And
   asked[0..steps] become indices of the nearest in log-SNR of own[0..points], no two the same, the
   ends being the ends. */
void fit_set_times(fit *f, const size_t *at);
bool fit_tells_clean(const fit *f, double t); /* an output there tells x_0 best */
typedef struct {
    size_t points, steps; /* steps <= points */
    const double *own, *asked;
} fit_meeting;
void fit_meet(const process *p, const fit_meeting *m, size_t *at);

/* fit.c: double samples first ... of a plan, `start` given or drawn; tells the watch at steps. */
typedef struct {
    const dfl_plan *plan;
    uint64_t first;
    size_t count;
    const double *start;
    dfl_observe_fn observe; /* NULL: the watch is told */
    void *user;
} fit_draw;
dfl_status fit_sample(const fit *f, const fit_draw *draw, double *to);

/* ---- fit_search.c, fit_path.c: times that are searched --------------------------------------- */

/* "search" or "search:KEY=VALUE,..." in place of a grid. */
bool fit_search_asked(const char *grid);
extern const opt_row fit_search_options[];

/* After the teacher's plan; f->starts grows by the starts that decide. */
dfl_status fit_search_new(fit *f, const char *grid);
void fit_search_free(struct fit_search *s);
size_t fit_search_cost(const fit *f);

/* The teacher's states [count][teacher->steps + 1][dim], block by block; and then the search, after
   which f has its times and targets. */
void fit_search_take(fit *f, size_t first, size_t count, const double *states);
dfl_status fit_search_run(fit *f);
dfl_status fit_search_forget(const fit *f);
void fit_search_say(const fit *f, text *out);

/* Squared errors of jumps between points 0 .. points - 1: error[(h points + i) points + j] of one
   from i to j that knows the output at h < i, too; from 0, h is 0. Of a state of two halves there are
   three planes [points]^3 of them: squares of the first half, products, squares of the second. The
   path of `steps` jumps from first to last point with the least sum of weight[j][plane] error, at
   [steps + 1], and that sum. */
typedef struct {
    size_t points, steps, planes;
    const double *error, *weight;
} fit_jumps;
dfl_status fit_best_path(const fit_jumps *p, size_t *at, double *least);

/* Those squared errors, as least squares of states x_0 .. x_points-1 on outputs e_0 .. e_points-2
   and state: the triangle of these columns, in this order, each of `components` and `answers` halves.
   older: with h. */
typedef struct {
    size_t points, components, answers;
    bool older;
} fit_jumping;
size_t fit_jump_columns(const fit_jumping *q);
size_t fit_jump_planes(const fit_jumping *q);
dfl_status fit_jump_errors(const fit_jumping *q, const double *triangle, double *error);

#endif
