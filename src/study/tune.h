/* Tuning: scans, their trials, and the store that keeps the choices. */
#ifndef DFL_TUNE_H
#define DFL_TUNE_H

#include "model/model.h"
#include "process/process.h"
#include "solver/solver.h"
#include "study/study.h"

/* What can be scanned: two options of solvers, and the exponent of grid power. */
enum { TUNE_LAMBDA, TUNE_LAMBDA_S, TUNE_KAPPA, TUNE_KEYS };
extern const char *const tune_keys[TUNE_KEYS];

typedef struct {
    double lo, hi;
    int n; /* values; 0: not scanned */
} tune_range;

/* One plan that was tried. */
typedef struct {
    int nfe;
    double value[TUNE_KEYS]; /* NAN: not scanned */
    double error, rms;       /* infinite where it diverged */
    bool chosen, best;       /* least on its grid; and of all grids of its budget */
} tune_trial;

struct dfl_tuning {
    dfl_model *model;
    opts spec, solver_opts;
    const solver_row *solver;
    process *process;
    double t[2];
    bool stochastic, adaptive; /* adaptive: the reference is */
    size_t samples, dim;
    uint64_t seed;
    tune_range scan[TUNE_KEYS];
    tune_trial *trials;
    size_t ntrials;
    bool finished;
    dfl_tuning_fn fn; /* of the call of dfl_tuning_run in progress */
    void *user;
    size_t at;         /* number of the run in progress */
    text tail;         /* keys that plans and the reference share, each after a blank */
    double *drawn;     /* [samples][dim], of the trial at hand */
    double *reference; /* [samples][dim]; stochastic: [projections][samples], sorted */
    double *scratch;   /* [samples] */
    double floor;      /* how far two references are from each other */
};

/* trial.c: draws the reference and sets the floor; runs a trial and fills in its errors. */
dfl_status tune_reference(dfl_tuning *tuning);
dfl_status tune_check(const dfl_tuning *tuning, const tune_trial *trial); /* a plan can be made */
dfl_status tune_try(dfl_tuning *tuning, tune_trial *trial);
void tune_reference_text(const dfl_tuning *tuning, text *out);

/* Solver, and grid, of a trial; trial NULL: the solver without what is scanned. */
void tune_solver_text(const dfl_tuning *tuning, const tune_trial *trial, text *out);
dfl_status tune_grid_text(const dfl_tuning *tuning, const tune_trial *trial, text *out);

/* The same text for every way to write a grid or a process. */
dfl_status tune_canonical_grid(const char *grid, text *out);

#endif
