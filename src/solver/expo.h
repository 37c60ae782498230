/* Exponential integrators in lambda = log(a/b), in noise or data form: what DPM-Solver(++) and
 * UniPC share (the unified notation of UniPC, arXiv 2302.04867).
 *
 *   noise: A = a, C = -b, m = eps, z = h      data: A = b, C = -a, m = predicted x_0, z = -h
 *   x' = (A_s/A_t) x + C_s E(z) m0 + ...,  h = lambda_s - lambda_t,  E(z) = e^z - 1 */
#ifndef DFL_EXPO_H
#define DFL_EXPO_H

#include "solver/solver.h"

typedef struct {
    double ratio; /* A_s / A_t */
    double C;     /* C_s */
    double h, z;
    double E;  /* e^z - 1 */
    double q;  /* E/z - 1, by its series near 0 */
    double q2; /* q/z - 1/2, likewise */
} expo;

/* From t to s along a fraction of lambda; b(s) > 0. */
expo expo_between(const scalar_at *from, const scalar_at *to, bool data);
/* The same step for a stage at fraction r of a longer step: expo of r h. */
double expo_stage_time(const process *p, const scalar_at *from, double h, double r);
val expo_predict(const problem *pb, rows *r, val x, double t, bool data);

double expo_q(double z);
double expo_q2(double z);

#endif
