/* Log-densities along the probability flow (Song et al., arXiv 2011.13456, section 4.3): the datum is
 * carried from time eps to T with its change of log-density, and the start density is read there.
 *
 *   form   state            over u        du-slope of the state      of l
 *   sigma  y = x/a          log(b/a)      (b/a) n                    b tr J
 *   t      x                t             f x + g^2/(2b) n           D f + g^2/(2b) tr J
 *   unit   z = x/s          log(b/a)      b' (n - b' z), b' = b/s    b tr J - D b'^2,  s^2 = a^2 + b^2
 *
 * n(x, t) is the noise prediction, J = dn/dx, and all three give
 *   log p(x_eps) = log nu(x_T) + l + D log(scale_T/scale_eps),   x = scale * state.
 * Fixed steps take sigma or t; adaptive ones (ode45) unit, where one tolerance fits all of the way. */
#ifndef DFL_FLOW_LOGP_H
#define DFL_FLOW_LOGP_H

#include "eval/denoise.h"
#include "eval/density.h"
#include "eval/probe.h"

typedef enum { FORM_SIGMA, FORM_T, FORM_UNIT } flow_form;
typedef enum { FLOW_RK4, FLOW_HEUN, FLOW_ODE45 } flow_solver;

typedef struct {
    denoiser *net;
    const density *nu;
    probes probes;
    flow_solver solver;
    flow_form form; /* ode45: FORM_UNIT */
    size_t steps;   /* fixed */
    double rtol, atol;
    size_t max_nfe;       /* slopes of a sample, adaptive */
    double eps, T;        /* ends */
    double *x, *eps_hat;  /* [batch][dim], one after the other in one block */
    double *v, *jv, *sum; /* likewise */
    double *trace;        /* [batch] */
    denoise_time *at;     /* [batch] */
    double *states;       /* fixed steps: [4][batch][dim + 1] */
} flow_logp;

typedef struct {
    double logp;  /* of the datum, as a density: prior + path */
    double prior; /* log nu(x_T) */
    double path;  /* everything else */
    size_t nfe;
} flow_value;

/* The fields down to T are set by the caller; this makes the rest and checks that both ends can be
   asked. */
dfl_status flow_logp_init(flow_logp *f);
void flow_logp_free(flow_logp *f);

/* Data at eps [n][dim]: x itself, or x/a where variance explodes. `draw` tells repetitions of one
   sample apart: their probes differ. */
typedef struct {
    size_t n;
    const double *data;
    const uint64_t *sample;
    const int64_t *label; /* [n] or NULL */
    size_t draw;
} flow_data;

/* Leaves the states x_T [n][dim + 1] in f->states, dim numbers of each row. */
dfl_status flow_logp_run(flow_logp *f, const flow_data *data, flow_value *out);

/* flow_adaptive.c: the way of all samples from states [n][dim + 1] to T by ode45; slopes of each. */
dfl_status flow_adaptive(flow_logp *f, const flow_data *data, double *states, size_t *slopes);

/* Slopes k [n] of states z [n], each of dim + 1 numbers, at f->at. */
typedef struct {
    size_t n;
    const uint64_t *sample;
    const int64_t *label;
    size_t draw;
    double *const *z, *const *k;
} flow_lot;

dfl_status flow_slopes(flow_logp *f, const flow_lot *lot);

#endif
