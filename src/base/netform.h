/* What a network takes and gives, as numbers: the meeting point of model cards (which fill it in)
   and of the row builder (which turns it into rows). No process, no solver, no tensor here. */
#ifndef DFL_NETFORM_H
#define DFL_NETFORM_H

#include "base/base.h"

/* x = a x_0 + b n. One component: a[0], b[0]. Phase space: a is a 2-vector on x_0, b a row-major
   2x2 factor on (n_x, n_m). */
typedef struct {
    double a[2], b[4];
} marginal;

/* What the output predicts: y = cx x_0 + cn n. One component: cx[0], cn[0]. */
typedef struct {
    double cx[2], cn[4];
} netgives;

typedef enum { PRED_EPSILON, PRED_SAMPLE, PRED_V, PRED_SCORE, PRED_FLOW } prediction;
typedef enum { TIME_LINEAR, TIME_SIGMA, TIME_LOG_SIGMA } time_map;
typedef enum { PRECOND_NONE, PRECOND_EDM } preconditioning;
typedef enum { NET_FLOAT32, NET_FLOAT64, NET_FLOAT16, NET_INT32, NET_INT64 } net_dtype;

/* Which half of a phase-space state the output is about; scalar networks: NET_BOTH. */
typedef enum { NET_BOTH, NET_X, NET_M } net_half;

/* Phase space: which noise a network's epsilon is, by how it was trained. Hybrid score matching
   knows x_0 and draws m_0 within the noise, z = a x_0 + b n; denoising score matching knows both,
   z = Psi z_0 + L n, with a smaller factor L. The score of z is -L^-T epsilon in both. */
typedef enum { MATCH_HYBRID, MATCH_DENOISING } score_matching;

typedef struct {
    prediction predicts;
    preconditioning precond;
    double sigma_data; /* EDM only, > 0 */
    time_map map;      /* tau = scale * t + offset | rho | log(rho) / 4 (all before dtype) */
    double scale, offset;
    net_half half;
    net_dtype time_dtype; /* integers: times off the integers are refused, not rounded */
    score_matching matching;
} netform;

/* Names as in cards, "epsilon|sample|v_prediction|score|flow_prediction" and so on, for parsing by
   index; the order is that of the enums. */
extern const char netform_predictions[], netform_time_maps[], netform_preconds[], netform_dtypes[],
    netform_halves[], netform_matchings[];

/* The shift of a flow's times in diffusers: s t/(1 + (s - 1) t). */
double netform_shifted(double t, double shift);

/* tau for a state with marginal (a, b) at time t. Scalar processes. */
double netform_time(const netform *f, double t, double a, double b);

/* Factor c such that the network is fed c x: 1, or c_in(rho)/a of EDM preconditioning. */
double netform_input_scale(const netform *f, double a, double b);

/* (cx, cn) of the raw output, given the marginal (a, b) of the unscaled state. */
void netform_gives(const netform *f, double a, double b, double *cx, double *cn);

#endif
