/* Distances of many feature sets to one reference, and the resampling of both sides of a comparison
   alike. The reference's square root is made once. */
#ifndef DFL_RESAMPLE_H
#define DFL_RESAMPLE_H

#include "eval/moments.h"

/* The Gaussian of rows index[0..n) of the features (NULL: all of them, once). */
dfl_status features_root(const features *f, const uint32_t *index, gaussian_root *out);

/* The Frechet distance of such rows to a reference. */
dfl_status distance_to(const gaussian_root *real, const features *f, const uint32_t *index,
                       double *out);

/* Draw number `replicate` of n rows out of n with repetition: a pure function of its arguments, so
   that sets of features that are resampled alike stay paired. */
void resample(uint64_t seed, uint32_t replicate, size_t n, uint32_t *index);

/* Spread of replicates about their mean, moved to `estimate`: their standard deviation, and the
   interval that 95 of 100 lie in. Resampling adds a bias of its own to a Frechet distance (fewer
   different pictures), which centring takes out. `replicates` gets sorted. n >= 2. */
typedef struct {
    double error, low, high;
} spread;
spread spread_of(double estimate, double *replicates, size_t n);

#endif
