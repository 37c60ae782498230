/* Phase-space Langevin diffusion: what its solvers need beyond process_marginal. The state is
   z = (x, m); every 2x2 matrix acts on each pixel alike. src/process/psld.c has the equations. */
#ifndef DFL_PHASE_H
#define DFL_PHASE_H

#include "process/process.h"

/* A symmetric 2x2 matrix and its determinant, which the entries would give with cancellation. */
typedef struct {
    double xx, xm, mm, det;
} phase_cov;

/* Parameters of a phase-space process, as given and as derived. */
typedef struct {
    double beta_0, beta_1, Gamma, nu, kappa, numerical_eps;
    double Minv, M; /* (Gamma - nu)^2 / 4 and its inverse: critical damping */
    bool upper;     /* factor of the covariance: upper instead of lower triangular */
} phase_par;

const phase_par *phase_parameters(const process *p);

double phase_beta(const process *p, double t);
double phase_integral(const process *p, double t); /* of beta, from 0 */

/* F / beta and G G^T / beta: constant matrices. */
blk phase_drift1(const process *p);
blk phase_noise1(const process *p);

/* Mean transition over an integral D of beta: exp(F1 D). D may be negative. */
blk phase_transition(const process *p, double D);

/* Covariance of z_t given x_0, m_0 ~ N(0, kappa M), and given both; numerical_eps is not in it. */
phase_cov phase_covariance(const process *p, double t);
phase_cov phase_covariance_given_both(const process *p, double t);

/* S + numerical_eps I, as the released code has it wherever it factorises. */
phase_cov phase_widened(const process *p, phase_cov s);

/* Triangular factor L with L L^T = S. */
blk phase_factor(phase_cov s, bool upper);

/* The noise that an exact Ornstein-Uhlenbeck step over an integral D of beta adds, run backwards in
   time (the reverse SDE without its score): mean matrix and covariance. */
blk phase_reverse_mean(const process *p, double D);
phase_cov phase_reverse_covariance(const process *p, double D);

#endif
