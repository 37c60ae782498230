/* The factor phi of SciRE-Solver's recursive differences, step by step. */
#ifndef DFL_SCIRE_PHI_H
#define DFL_SCIRE_PHI_H

#include "base/base.h"

typedef enum { SCIRE_PAPER, SCIRE_MAIN, SCIRE_SD } scire_profile;

typedef struct {
    scire_profile profile;
    double constant; /* of the paper profile, and of all where `fixed` */
    bool fixed;      /* finite differences: 1 in every profile */
    int order;       /* p, as asked */
    int steps;       /* singlestep: floor(budget / p); multistep: number of steps */
} scire_phi;

/* phi1(m) = sum_{k=1..m} (-1)^(k-1)/k!; m = 0 is its limit 1 - 1/e. */
double scire_phi1(int m);

/* phi of outer step i (from 0) of a singlestep run. */
dfl_status scire_phi_single(const scire_phi *s, int i, double *phi);

/* phi and order of step j (from 1) of a multistep run. */
dfl_status scire_phi_multi(const scire_phi *s, int j, double *phi);
int scire_multistep_order(const scire_phi *s, int j, bool lower_final);

#endif
