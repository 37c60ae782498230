/* In which noise coordinates a phase-space exponential integrator holds the prediction constant.
 *
 * cholesky: eps_L = -L^T score, what the network was trained on: L is the triangular factor of the
 *           covariance given x_0, or given x_0 and m_0, as the card says.
 * flow:     eps_R = -R^T score, with R carried along by the flow: R R^T = Sigma and
 *           dR/dt = (F + G G^T Sigma^-1/2) R. L turns along exact trajectories, R does not: for
 *           data that is one point, eps_R is constant. Our extension; gDDIM's R (arXiv 2206.05564)
 *           is the same idea.
 * R = L Q(theta), Q a rotation: as L^-1 dL is lower triangular, the angle obeys
 *   dtheta/dt = -(beta/2) (l22/l11) (M^-1 - Gamma l21 / (l11 l22^2)),
 * an ordinary integral. Here Sigma is the covariance given x_0, however the network was trained, and
 * without numerical_eps. */
#ifndef DFL_NOISEFACTOR_H
#define DFL_NOISEFACTOR_H

#include "process/phase.h"
#include "solver/rows.h"

typedef enum { FACTOR_CHOLESKY, FACTOR_FLOW } noise_factor;
#define NOISE_FACTOR_OPTION                                                                        \
    {                                                                                              \
        "factor", OPT_CHOICE, "cholesky", 0, 0, "cholesky|flow",                                   \
            "phase space: noise coordinates that are extrapolated"                                 \
    }

/* Angle that R turns against L from time from to time to (either order). */
double noise_angle(const process *p, double from, double to);

/* L_t^-T, or R_t^-T with R's angle counted from time origin: score = -(this) eps. */
blk noise_inverse(const rows *r, noise_factor factor, double t, double origin);

/* R_t, its angle counted from time origin, where it is Cholesky's factor. */
blk noise_along_flow(const process *p, double t, double origin);

/* The probability flow from one time to another, either order, where the data is N(0, variance): all
   factors of its covariance that follow the flow, R for variance 0, are carried along by it. */
blk noise_flow(const process *p, double variance, double from, double to);

/* eps in these coordinates at time t from the raw output y there: eps = (this) y. */
blk noise_from_output(const rows *r, noise_factor factor, double t);

/* eps_R needs phase space and the whole score, also the half that meets a zero coefficient: fails the
   rows on a scalar process, and where the network answers one half only. */
void noise_check(rows *r, noise_factor factor);

/* Integrals over [lo, hi], 0 <= lo, of m functions with inverse-root ends at 0: Gauss-Legendre in
   sqrt(t), in pieces over which t grows by at most a factor 16; from 0 up, too, after a piece so
   short that nothing is missed in it: factors of the noise bend where its variance overtakes
   numerical_eps, or what was there at t = 0. */
void noise_integrate(void (*f)(double t, void *user, double *out), void *user, double lo, double hi,
                     int m, double *sum);

#endif
