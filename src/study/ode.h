/* Adaptive integration: many samples, each a small machine that asks for one evaluation at a time
   and controls its steps by itself, and a pool that answers them together. */
#ifndef DFL_ODE_H
#define DFL_ODE_H

#include "run/run.h"
#include "study/flow.h"
#include "study/study.h"

enum { ODE_STAGES = 7 };

/* One sample on its way. */
typedef struct {
    size_t place;    /* in the arrays of the call */
    uint64_t sample; /* absolute index */
    int64_t label;
    int stage;     /* slope that is asked for, 0 to 6, or ODE_PROBE */
    bool last;     /* the step in progress ends at t_end */
    bool rejected; /* the attempt before this one was */
    double u, h;   /* where it stands, and the signed step in progress */
    double error;  /* of the last accepted step */
    size_t nfe;
    flow_at at;                    /* of what it asks */
    double *z, *w, *k[ODE_STAGES]; /* state, asked state, slopes; [n] each */
} ode_lane;

enum { ODE_PROBE = ODE_STAGES };

struct dfl_ode {
    dfl_model *model;
    flow flow;
    opts options; /* of the integrator */
    run_settings set;
    start_law *start; /* where samples begin */
    double rtol, atol;
    size_t max_nfe;
    bool denoise;
    double t[2], u[2]; /* first and last */
    size_t dim, n, m;  /* numbers in a sample, a state, an output */
    ode_lane *lanes;   /* [batch], those on their way first */
    size_t live;
    double *memory;        /* of the lanes */
    double *scratch;       /* [n] */
    char *input, *output;  /* [batch][n], [batch][m] of the dtype */
    request_point *points; /* [batch] */
    uint64_t *samples;     /* [batch] */
    int64_t *labels;       /* [batch] */
    dfl_advance_fn advance;
    void *advance_user;
    dfl_noise_fn noise;
    void *noise_user;
    atomic_int cancelled;
    double model_seconds;
};

/* y (+)= c x over halves of `dim` numbers; from: components of x where c is a number. */
void ode_apply(blk c, const double *x, int from, size_t dim, bool add, double *y);

/* ode45.c: begins at the lane's z; asks: puts what is wanted into w and at; answers: takes the
   network's output y in, *moved when a step has been accepted, *done when it was the last. */
void ode45_begin(const dfl_ode *ode, ode_lane *lane);
dfl_status ode45_ask(dfl_ode *ode, ode_lane *lane);
/* The two halves of that for slopes of another making: what is wanted, into w, its time coming
   back; where its slope [n] goes; and the step, once it is there. They read options, times and n of
   the dfl_ode, and process and components of its flow. */
double ode45_state(const dfl_ode *ode, ode_lane *lane);
double *ode45_slope(const ode_lane *lane);
dfl_status ode45_take(dfl_ode *ode, ode_lane *lane, bool *moved, bool *done);
dfl_status ode45_answer(dfl_ode *ode, ode_lane *lane, const double *y, bool *moved, bool *done);

#endif
