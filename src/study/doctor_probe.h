/* Probes of the doctor: a few evaluations, and what they tell. */
#ifndef DFL_DOCTOR_PROBE_H
#define DFL_DOCTOR_PROBE_H

#include "process/process.h"
#include "study/doctor.h"

/* n samples of `dim` numbers; a state has as many, or in phase space twice (x, then m). */
typedef struct {
    dfl_model tap; /* what the run takes for the model; its card is the model's */
    dfl_doctor *doctor;
    dfl_model *model;
    process *process;
    const char *process_text;
    size_t n, dim;
    size_t state, output;  /* numbers of a sample's state and of its output */
    double *clean, *noise; /* [n][dim] samples of the model; [n][state] standard normals */
    double *x, *y, *x0;    /* [n][state] states, [n][output] raw outputs, [n][dim] where the step
                                  of the latest probe lands: on a scalar process its prediction */
    netgives gives;        /* what y was to be */
    bool no_plan;          /* the latest probe asks for what has no plan: nobody's fault */
} probe;

/* How predictions fit what was put in: slopes of truth on prediction, and the predicted noise's size.
   In phase space the noise is what the output is about, the half with the worse slope. */
typedef struct {
    double clean, noise, size;
} probe_fit;

static inline bool probe_in_phase(const probe *p) {
    return p->process->row->components == 2;
}

/* The nearest time to t that the network knows. */
double probe_time(const probe *p, double t);

/* Runs p->x, at time t, through the network. A failure of the network is a finding; *go says whether
   probing makes sense any longer. */
dfl_status probe_ask(probe *p, double t, const int64_t *labels, bool *go);

/* States at time t into p->x: a x_0 + b n of clean samples and noise, or b n alone. */
void probe_mix(probe *p, double t);
void probe_start(probe *p, double t);

/* E[u' u]/E[u'^2] of a prediction u' and what it predicts, about the prediction's mean; and its size. */
typedef struct {
    double n, guess, truth, square, both;
} probe_slope;
void probe_slope_add(probe_slope *s, double guess, double truth);
double probe_slope_of(const probe_slope *s, double *size);

/* ---- doctor_prediction.c ----------------------------------------------------------------------- */

dfl_status doctor_check_noise(probe *p, double t, bool *go);
/* The samples of the short run, of spread std, hidden in noise. */
dfl_status doctor_check_fit(probe *p, double std, bool *go);
/* The time at which b/a is rho; in phase space that of the best-known combination of x and m. */
double doctor_time_of_rho(const probe *p, double rho);

/* ---- doctor_phase.c ---------------------------------------------------------------------------- */

/* b/a of that combination, and its inverse. */
double doctor_phase_rho(const process *p, double t);
double doctor_phase_time(const process *p, double rho);
/* A time near 0 where the two ways of training differ by a factor of two; with kappa = 0 they never do. */
double doctor_phase_early(const process *p);
/* Of the latest probe: of pure noise; of clean samples in noise. */
dfl_status doctor_phase_noise(probe *p, double t);
void doctor_phase_fit(const probe *p, double t, probe_fit *fit);
/* Asks once more, with noise that differs only where the state determines it, and keeps that noise. */
dfl_status doctor_phase_known(probe *p, double t, bool *go);

#endif
