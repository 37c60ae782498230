/* What the tests of starts below t = 1 share: a mixture as model and as prior, files of priors and
   moments, options that name them. */
#ifndef DFL_TEST_STARTS_H
#define DFL_TEST_STARTS_H

#include "process/process.h"
#include "support/gather.h"

/* tests/data/mixture2d.json, and its moments. */
extern const double mixture_weights[3], mixture_means[6], mixture_covs[12];
extern const double mixture_mean[2], mixture_cov[4];
dfl_model *mixture_model(void);

void assert_near(double x, double y, double within); /* cmocka's compares floats */
scalar_at vp_at(double t);                           /* of vp_linear */

/* The arrays of a prior's file. */
typedef struct {
    const char *kind;
    size_t k, d;
    const double *weights, *means, *covs;
    const int64_t *labels;
    double state[2];
    const double *gate; /* one line, or NULL */
} prior_text;

/* Paths, in the folder of the test. */
const char *write_prior(const char *name, const prior_text *p);
const char *exact_prior(void); /* the mixture */
const char *gauss_prior(void); /* one Gaussian of its moments */
const char *write_moments(const char *name, size_t d, const double *mu, const double *sigma);

/* Options of a run: "seed=0,dtype=float64,KEY='PATH'" and more. */
const char *option(const char *key, const char *path, const char *more);

#endif
