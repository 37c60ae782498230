/* Forward processes: x_t = a(t) x_0 + b(t) n, linear and Gaussian. Library time t in (0, 1], noise
   grows with t, t = 0 is clean data (a = 1, b = 0, answered here and never by a table).

   One family is one file and one row in process.def. A scalar process (one component) answers with
   a scalar_at; an augmented one (phase space, two components) with 2-vectors and 2x2 blocks. Code
   that does not care uses process_marginal, process_drift and process_noise, which admit both. */
#ifndef DFL_PROCESS_H
#define DFL_PROCESS_H

#include "base/family.h"
#include "base/netform.h"

/* A scalar process at one time. All entries are accurate to rounding also for t -> 0. */
typedef struct {
    double a, b;   /* signal and noise coefficient */
    double rho;    /* b / a */
    double lambda; /* log(a / b), half the log-SNR; +inf at t = 0 */
    double da, db; /* time derivatives of a and b; on the ODE, dx/dt = da x_0 + db n */
    double drift;  /* f = d log a / dt, of the forward SDE dx = f x dt + g dw */
    double g2;     /* g^2 = 2 a b d rho/dt */
} scalar_at;

typedef struct process process;

typedef struct {
    family_row is;
    int components; /* of the state: 1, or 2 in phase space */
    /* Variance exploding: the network sees x/a = x_0 + rho n, whose scale is up to rho_max, while
       states are kept in x = a x_0 + b n, of order one. */
    bool unit_signal;
    /* Where a solver's claimed order is measured: grid, start and, beyond the defaults, options. A
       table must be fine against the steps, or its kinks are all there is to see. */
    const char *reference_grid, *reference_options;
    double reference_start;
    dfl_status (*init)(process *p, const opts *o);
    void (*at)(const process *p, double t, scalar_at *out);      /* t in (0, 1] */
    double (*time_of_rho)(const process *p, double rho);         /* rho > 0 */
    void (*marginal)(const process *p, double t, marginal *m);   /* augmented processes only */
    blk (*drift)(const process *p, double t);                    /* augmented processes only */
    blk (*noise)(const process *p, double t);                    /* augmented processes only */
    blk (*factor)(const process *p, double t, score_matching m); /* augmented processes only */
    blk (*prior)(const process *p, double t); /* standard deviation of the start state; NULL: 1 */
} process_row;

struct process {
    const process_row *row;
    opts options;  /* as parsed; printed into records */
    double t_lo;   /* smallest time above 0 that is part of the model */
    double t_hi;   /* largest time that is */
    double rho_lo; /* what rho tends to as t falls to 0; t = 0 itself has rho 0 */
    double par[4]; /* a family's own numbers */
    int mode;      /* a family's own choice */
    size_t nknots; /* times where derivatives jump, rising, knots[0] = 0; 0 where smooth */
    double *knots; /* [nknots] */
    double *table; /* a family's own table, [3][nknots] */
    void *own;     /* a family's own block, given to free() */
};

extern const family process_family; /* its rows are process_rows */

/* From option text such as "vp_linear:beta_min=0.1". */
dfl_status process_new(const char *spec, process **out);
void process_free(process *p);

/* E_RANGE unless t is 0 or in [t_lo, t_hi]. */
dfl_status process_check_time(const process *p, const char *what, double t);

/* t in [0, 1]. Scalar processes. */
scalar_at process_at(const process *p, double t);
/* The time at which b/a = rho; rho = 0 gives 0. Inverse of process_at(...).rho. */
double process_time_of_rho(const process *p, double rho);

/* Any process: the label of a state, and the forward SDE dz = F z dt + G dw. */
void process_marginal(const process *p, double t, marginal *m);
blk process_drift(const process *p, double t);
blk process_noise(const process *p, double t);
blk process_prior(const process *p, double t);

/* Augmented processes: the factor L of the noise that networks trained in this way predict. For
   MATCH_HYBRID it is the label's b. */
blk process_factor(const process *p, double t, score_matching matching);

/* Fills out from L = -log a^2 and dL/dt, for variance-preserving families; and from rho and its
   time derivative, a^2 + b^2 = 1, for variance-exploding ones. */
void process_from_log(double L, double slope, scalar_at *out);
void process_from_rho(double rho, double slope, scalar_at *out);

#endif
