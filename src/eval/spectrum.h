/* Mean and covariance of data, class by class, in the basis of the covariance's eigenvectors. */
#ifndef DFL_SPECTRUM_H
#define DFL_SPECTRUM_H

#include "base/base.h"

typedef struct {
    size_t classes;   /* 1: no classes */
    size_t dim;       /* numbers of a sample; 0: any */
    size_t modes;     /* dim, or 1 that stands for all */
    double *variance; /* [classes][modes], not negative */
    double *mean;     /* [classes][modes], along the eigenvectors */
} spectrum;

/* From an .npz with "mean" [d] and "cov" [d][d], or the same as "mu" and "sigma"; or with
   "eigenvalues" [d] and "projected_mean" [d], which need no eigenvectors. A first axis before these is
   one of classes. float32 or float64. */
dfl_status spectrum_read(const char *path, spectrum *out);

/* Every number of a sample by itself N(mean, std^2). */
dfl_status spectrum_of_numbers(double mean, double std, spectrum *out);

void spectrum_free(spectrum *s);

#endif
