/* A perfect network for the mixture of the reference trajectories, by plain linear algebra: it
   shares no formula with src/model/mixture.c. In phase space it answers as the references' network
   does: eps = -L^T s, with the score s of the covariance without numerical_eps and L with it. */
#ifndef DFL_TEST_EXACT_H
#define DFL_TEST_EXACT_H

#include "check.h"

#include "plan/plan.h"

enum { EXACT_DIM = 2, EXACT_STATE = 2 * EXACT_DIM };

typedef struct {
    double numerical_eps; /* of the process; 0 on scalar ones */
} exact_network;

/* A dfl_denoise_fn; user is an exact_network. */
int exact_eval(void *user, const dfl_request *rq);

/* The score at one state z [2][EXACT_DIM] of phase space, or [EXACT_DIM] of a scalar process, whose
   label is a x_0 + noise of covariance S (row-major, components x components). */
void exact_score(int components, const double *a, const double *S, const double *z, double *score);

/* One run of a plan from given states with given noise, by the executor in double. */
typedef struct {
    const char *process; /* option text */
    const char *half;    /* "both", "x" or "m": what the network answers, in phase space */
    const char *spec;    /* the rest of the plan's specification */
    size_t samples;
    const double *start;    /* [samples][state] */
    const double *noise;    /* [draws][samples][state], or NULL */
    const char *matching;   /* "hsm" or "dsm", in phase space; NULL: hsm */
    const char *prediction; /* NULL: epsilon */
} exact_case;

typedef struct {
    size_t nfe, steps;
    int answered;          /* components of the network's output */
    double *before, *last; /* states at the last two STEPs, [samples][state]; to be freed */
} exact_result;

/* Fails the test if anything does; numerical_eps is read out of the process's text. */
void exact_run(const exact_case *c, exact_result *out);
void exact_free(exact_result *r);

/* Largest |a - b|. */
double farthest(const double *a, const double *b, size_t n);

#endif
