/* Exponential integrators in lambda = log(a/b), in noise or data form: what DPM-Solver(++), UniPC and
 * SciREI share (the unified notation of UniPC, arXiv 2302.04867).
 *
 *   noise: A = a, C = -b, m = eps, z = h      data: A = b, C = -a, m = predicted x_0, z = -h
 *   x' = (A_s/A_t) x + C_s E(z) m0 + ...,  h = lambda_s - lambda_t,  E(z) = e^z - 1
 *   g_1 = E/z - 1,  g_{k+1} = g_k/z - 1/(k+1)!  weigh the differences of order k */
#ifndef DFL_EXPO_H
#define DFL_EXPO_H

#include "solver/solver.h"

typedef struct {
    double ratio; /* A_s / A_t */
    double C;     /* C_s */
    double h, z;
    double E;     /* e^z - 1 */
    double q, q2; /* g_1 and g_2 */
} expo;

/* From t to s; b(s) > 0. */
expo expo_between(const scalar_at *from, const scalar_at *to, bool data);
/* Time of a stage at fraction r of a step of length h in lambda. */
double expo_stage_time(const process *p, const scalar_at *from, double h, double r);
val expo_predict(rows *r, val x, double t, bool data);

/* Refuses a start where there is no signal and lambda is infinite; the solver's name is for the
   message. */
dfl_status expo_check_start(const problem *pb, const char *solver);

/* g_k, k >= 1, by its series where z is small. */
double expo_g(int k, double z);

#endif
