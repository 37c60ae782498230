/* The affine interpreter of plans. For data of a Gaussian law the perfect network answers affinely, so
   everything that a linear plan computes is known exactly: in the eigenbasis of the data's covariance
   each coordinate is a recursion of its own over the plan's values, of one number, or in phase space of
   two. It depends on the data through the variance along that direction alone; the mean enters as a
   factor. */
#ifndef DFL_RECURSION_H
#define DFL_RECURSION_H

#include "plan/plan.h"

/* The plan's output in one direction: mu unit + start z + noise of that covariance, where mu is the
   data's mean in that direction and z the start's unit normals (before the plan's scale). */
typedef struct {
    int components; /* of the output */
    double unit[2];
    double start[2][2];
    double noise[2][2];
} recursion_result;

typedef struct recursion recursion;

/* Refuses plans that are not affine maps of start and noise: E_COMBINATION names the row. The plan is
   borrowed. */
dfl_status recursion_new(const dfl_plan *plan, recursion **out);
void recursion_free(recursion *a);

/* In a direction in which the data have this variance, >= 0. */
void recursion_run(recursion *a, double variance, recursion_result *out);

#endif
