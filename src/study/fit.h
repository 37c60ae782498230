/* Fitting of plans: the least-squares combinations of a student's own state and network outputs that
   best meet a teacher's states. docs/fitted-plans.md has the equations. Scalar processes. */
#ifndef DFL_FIT_H
#define DFL_FIT_H

#include "grid/grid.h"
#include "model/model.h"
#include "plan/plan.h"
#include "process/process.h"

/* A step combines its state, the newest prediction and up to FIT_HISTORY_MAX older ones. */
enum { FIT_HISTORY_MAX = 12, FIT_TERMS = FIT_HISTORY_MAX + 2 };

/* Told of network evaluations (of one sample each) as they are made; non-zero ends the fit with
   that value. */
typedef int (*fit_watch)(void *user, size_t evaluations);

typedef struct {
    size_t terms, free,
        rank;            /* coefficients, those that were free, directions the data determine */
    double c[FIT_TERMS]; /* of the state, the newest prediction, older and older ones */
    double rms;          /* to the teacher at the step's end, on the fitting starts */
} fit_step;

/* A plan on held-out starts, against the teacher. */
typedef struct {
    const char *solver, *grid; /* grid NULL: the student's */
    char why[160];             /* it was refused: the sentence; else "" */
    size_t nfe;
    double rms, median; /* infinite where it diverged */
} fit_rival;

/* What the objective "features" measures with: features [count][width] of samples first .., given as
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
    size_t steps, history, samples, held_out, dim;
    double *t;                       /* [steps + 1] of the student: each a time of the teacher */
    size_t *at;                      /* [steps + 1] which one */
    bool *clean;                     /* [steps] the prediction is of x_0, not of the noise */
    dfl_plan *teacher;               /* with teacher->steps + 1 states */
    double *teacher_t;               /* [teacher->steps + 1] */
    char teacher_digest[DIGEST_HEX]; /* of what its states depend on */
    char *work;                      /* folder of the teacher's blocks; NULL: not kept */
    double *target;                  /* [steps + 1][samples + held_out][dim] */
    fit_step *step;                  /* [steps] */
    fit_rival own, *rivals;
    size_t nrivals;
    fit_features features; /* run NULL: none; to be set before fit_run */
    fit_round *round;    /* [rounds] of the refinement, the first before it; NULL: none was asked */
    size_t rounds, best; /* best: whose coefficients and times the plan has */
    dfl_plan *plan;      /* the result, without provenance */
    fit_watch fn;        /* of the fit_run in progress */
    void *user;
} fit;

/* Spec: keys separated by blanks, fit_options. work: folder in which the teacher's states are kept,
   so that an interrupted fit goes on and other students can use them; NULL: nowhere. Everything
   that can be refused is refused here. */
dfl_status fit_new(dfl_model *model, const char *spec, const char *work, fit **out);
void fit_free(fit *f);
extern const opt_row fit_options[];

/* Evaluations that are still to be made: of the teacher, the student, and for comparison. */
typedef struct {
    size_t teacher, student, compare;
    size_t
        refine; /* with one attempt for each iteration: more where attempts fail, less where it ends early */
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

/* One step's coefficients from rows [count][terms + 1]: state, predictions, target, seen as the
   triangle of all rows, divided by the square root of their number. base: the coefficients that the
   ridge pulls to; `basis` [terms][free], row-major: what may be added to them. */
typedef struct {
    size_t terms, free;
    const double *triangle; /* [terms + 1][terms + 1] */
    const double *base, *basis;
    double ridge;
} fit_squares;
dfl_status fit_solve(const fit_squares *p, fit_step *out);

/* Terms of step n; from times t [steps + 1] its base, and what may be added to it, [terms][free]:
   the number of those. */
size_t fit_terms(const fit *f, size_t n);
void fit_base(const fit *f, const double *t, size_t n, double base[FIT_TERMS]);
size_t fit_basis(const fit *f, const double *t, size_t n, double basis[FIT_TERMS * FIT_TERMS]);

/* Runs a plan of one evaluation (fit_probe) on states x [count][dim] of samples first ..; tells the
   watch. */
dfl_status fit_predict(const fit *f, const dfl_plan *probe, size_t first, size_t count,
                       const double *x, double *to);

/* fit_plan.c */
dfl_status fit_probe(const fit *f, size_t step, double t, dfl_plan **out); /* state to prediction */
dfl_status fit_probe_output(const fit *f, double t, dfl_plan **out);       /* to the raw output */
dfl_status fit_compile(fit *f);

/* fit_compare.c: f->own, and f->rivals as `compare` says. */
dfl_status fit_choose_rivals(fit *f);
dfl_status fit_compare(fit *f);

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

#endif
