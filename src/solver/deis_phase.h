/* DEIS in phase space, called by solver/deis.c. */
#ifndef DFL_DEIS_PHASE_H
#define DFL_DEIS_PHASE_H

#include "solver/noisefactor.h"
#include "solver/solver.h"

enum { DEIS_PHASE_ORDER_MAX = 3 };

solver_claims deis_phase_claims(int order, noise_factor factor);
/* C_0 of order 0 from t to s: what holding eps over the step brings, on eps at t. */
blk deis_phase_hold(const rows *r, noise_factor factor, double t, double s);
val deis_phase_fill(const problem *pb, rows *r, val z, int order, noise_factor factor);

#endif
