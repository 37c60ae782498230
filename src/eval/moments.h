/* Mean and covariance of features, gathered in blocks, and the Frechet distance between two such
   Gaussians (the FID where the features are Inception's; arXiv 1706.08500). */
#ifndef DFL_MOMENTS_H
#define DFL_MOMENTS_H

#include "base/base.h"

/* Features of n samples, row by row; x may be mapped from a file. */
typedef struct {
    size_t n, d;
    const float *x; /* [n][d] */
} features;

/* At least `least` rows, d > 0, every entry finite; `what` names them in the message. */
dfl_status features_check(const features *f, const char *what, size_t least);
/* E_COMBINATION where two sides have another number of features. */
dfl_status features_check_widths(size_t a, size_t b);
/* That both have the same width, and each what features_check() asks for. */
dfl_status features_check_pair(const features *a, const features *b, size_t least);

/* ---- moments.c ------------------------------------------------------------------------------- */

/* The whole state, so that a gathering may be saved, read and gone on with at any call's end. */
typedef struct {
    size_t d;
    uint64_t n;
    double *mean; /* [d] */
    double *m2;   /* [d][d] sum of (x - mean)(x - mean)', whole, exactly symmetric */
} moments;

/* Rows are taken up in blocks that end at multiples of this count of all rows so far. Two
   gatherings of the same rows in the same order are equal bit by bit if all their calls but the
   last end at such a multiple, or if their calls are the same. */
enum { MOMENTS_BLOCK = 256 };

dfl_status moments_new(size_t d, moments *out); /* n = 0 */
void moments_free(moments *m);                  /* fine on a zeroed one */
void moments_clear(moments *m);                 /* back to n = 0 */
/* Takes up n rows. E_NONFINITE names the row; after a failure nothing is changed. */
dfl_status moments_add(moments *m, const float *x, size_t n);
/* Takes up the rows of f that index [n] names, repeated ones repeatedly: for a bootstrap. */
dfl_status moments_add_index(moments *m, const features *f, const uint32_t *index, size_t n);
/* Takes up all rows that `from` has seen (Chan, Golub, LeVeque). */
dfl_status moments_merge(moments *into, const moments *from);
/* Shape, finite numbers, symmetry and a diagonal that is not negative: for what a file held. */
dfl_status moments_check(const moments *m);

/* ---- frechet.c ------------------------------------------------------------------------------- */

/* A mean and a covariance, borrowed or owned, as the holder likes. n: how many samples it is the
   estimate of, or 0 if that is unknown; it bounds the rank, n - 1. */
typedef struct {
    size_t d;
    uint64_t n;
    double *mean, *cov; /* [d], [d][d] */
} gaussian;

dfl_status gaussian_of(const moments *m, gaussian *out); /* m2/(n - 1); n < 2 is refused */
void gaussian_free(gaussian *g);                         /* what gaussian_of() made */
/* For what a file held: finite, symmetric within 1e-6 of the largest variance, no variance below
   zero. Symmetric it is made. */
dfl_status gaussian_check(gaussian *g);

/* The square root of a covariance, which several distances from one Gaussian share. */
typedef struct {
    size_t d, rank;
    double trace;
    double *mean, *root; /* [d]; [rank][d]: cov = root' root */
} gaussian_root;

/* E_RANGE if the covariance has an eigenvalue below -1e-6 of the largest. */
dfl_status gaussian_root_of(const gaussian *g, gaussian_root *out);
void gaussian_root_free(gaussian_root *r);

/* |mean_a - mean_b|^2 + tr A + tr B - 2 tr (A^1/2 B A^1/2)^1/2. Never negative: what rounding
   leaves below zero is zero. */
dfl_status frechet_roots(const gaussian_root *a, const gaussian_root *b, double *out);
dfl_status frechet_gaussian(const gaussian *a, const gaussian *b, double *out);
dfl_status frechet(const moments *a, const moments *b, double *out);

#endif
