/* How far a start density is from the law of the data at time T, x_T = a x_0 + b n, in closed form
   between Gaussians and by sampling between mixtures. docs/diffusion-times.md has the equations. */
#ifndef DFL_MISMATCH_H
#define DFL_MISMATCH_H

#include "prior/prior.h"

/* What is known of clean data in d numbers: sum of squares of the means, and the eigenvalues of the
   covariance, or one variance for all of them (lam NULL). */
typedef struct {
    size_t d;
    double mean_squares, var;
    const double *lam; /* [d] */
} data_spread;

/* Kullback-Leibler divergence from the start density in nats, and 2-Wasserstein distance to it: the
   truth lies between. NAN: not known. */
typedef struct {
    double kl_low, kl_high, w2_low, w2_high;
} mismatch;

/* The start N(0, scale^2 I). Lower ends: KL and W2 of the Gaussian with the data's moments (for W2
   Gelbrich's bound); upper ends: convexity, KL(p_T || q) <= E KL(p_{T|0} || q), and the coupling of
   a x_0 + b n with scale n. The same for one number of variance v and squared mean m2: */
double mismatch_number(double m2, double v, double scale);
mismatch mismatch_noise(const data_spread *data, double a, double b, double scale);

/* Means [d] and covariances [d][d] of two Gaussians: KL(p || q) and W2(p, q). */
typedef struct {
    const double *mean, *cov;
} normal_law;
dfl_status mismatch_normals(size_t d, const normal_law *p, const normal_law *q, double *kl,
                            double *w2);

/* KL(p || N(0, scale^2 I)) from n samples of p, and its standard error. */
dfl_status mismatch_sampled(const prior *p, double scale, size_t n, double *kl, double *error);

#endif
