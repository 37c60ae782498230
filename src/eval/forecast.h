/* What a plan's error would be if the data were Gaussian and the network perfect: no network, no
   samples, nothing drawn. */
#ifndef DFL_FORECAST_H
#define DFL_FORECAST_H

#include "eval/spectrum.h"

/* Each is a root mean square over the numbers of a sample, and over classes. The data are those at the
   plan's last time, their remaining noise included; in phase space, positions alone. */
typedef struct {
    double mean;   /* distance of the samples' mean from the data's */
    double spread; /* distance of the square roots of their covariances (Bures) */
    double data;   /* 2-Wasserstein distance of the two laws: root of mean^2 + spread^2 */
    bool has_flow; /* deterministic plans on scalar processes */
    double flow;   /* distance of a sample from the exact probability flow out of its start */
} forecast;

/* E_COMBINATION where the plan is not an affine map of start and noise; E_NONFINITE where its numbers
   run over. */
dfl_status forecast_plan(const dfl_plan *plan, const spectrum *data, forecast *out);

#endif
