/* Frechet distances of many feature sets to one reference, and the resampling of both. The
   reference's part of the work is done once, so that a bootstrap replicate costs one product and one
   symmetric eigenvalue problem. */
#ifndef DFL_YARDSTICK_H
#define DFL_YARDSTICK_H

#include "base/base.h"

/* The reference: mean, the symmetric root of the covariance, and its trace. */
typedef struct {
    size_t d;
    double *mean, *root; /* [d], [d][d] */
    double trace;
} yardstick;

/* mean [d], cov [d][d]; copied. E_NONFINITE. */
dfl_status yardstick_new(size_t d, const double *mean, const double *cov, yardstick *out);
void yardstick_free(yardstick *y);

/* |m - mean|^2 + tr S + tr S_ref - 2 tr (R S R)^(1/2), R = S_ref^(1/2) (Frechet 1957; Heusel et al.,
   arXiv 1706.08500, whose trace of (S S_ref)^(1/2) is the same number): right for covariances without
   full rank, too. */
dfl_status yardstick_distance(const yardstick *y, const double *mean, const double *cov,
                              double *out);

/* Features [n][d] of which row i counts weight[i] times (NULL: once): mean [d] and covariance [d][d]
   with the divisor sum - 1. Differences to the plain mean are what is summed. E_RANGE below two. */
typedef struct {
    size_t n, d;
    const float *x;
    const uint16_t *weight;
} weighted;
dfl_status weighted_moments(const weighted *w, double *mean, double *cov);

/* The distance of such features. */
dfl_status yardstick_measure(const yardstick *y, const weighted *w, double *out);

/* Draw number `replicate` of n rows out of n with repetition: a pure function of its arguments, so
   that two sets of features resampled alike stay paired. */
void resample(uint64_t seed, uint32_t replicate, size_t n, uint16_t *weight);

/* Spread of replicates about their mean, moved to `estimate`: their standard deviation, and the
   interval that 95 of 100 lie in. Resampling adds a bias of its own to a Frechet distance (fewer
   different pictures), which centring takes out. `replicates` is sorted. n >= 2. */
typedef struct {
    double error, low, high;
} spread;
spread spread_of(double estimate, double *replicates, size_t n);

#endif
