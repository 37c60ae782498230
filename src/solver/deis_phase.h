/* DEIS in phase space, called by solver/deis.c. */
#ifndef DFL_DEIS_PHASE_H
#define DFL_DEIS_PHASE_H

#include "solver/noisefactor.h"
#include "solver/solver.h"

enum { DEIS_PHASE_ORDER_MAX = 3 };

solver_claims deis_phase_claims(int order, noise_factor factor);
val deis_phase_fill(const problem *pb, rows *r, val z, int order, noise_factor factor);

#endif
