/* The data that priors are fitted to: rows of numbers, got one at a time from wherever they are. */
#ifndef DFL_PRIOR_ROWS_H
#define DFL_PRIOR_ROWS_H

#include "io/io.h"

/* Something with n rows of d doubles. */
typedef struct rows rows;
struct rows {
    size_t n, d;
    dfl_status (*get)(const rows *r, size_t i, double *x);
    /* what the different kinds need; see below */
    const rows *from;
    const size_t *index;
    const double *values; /* in memory [n][d] */
    void *file;
    double a, b;
    uint64_t seed;
    uint32_t pass; /* of noise: another number, other noise */
};

/* Rows first .. first + count - 1 into x [count][d]. */
dfl_status rows_get(const rows *r, size_t first, size_t count, double *x);

rows rows_memory(const double *values, size_t n, size_t d);
/* Rows index[0..n) of others; the index is borrowed. */
rows rows_subset(const rows *from, const size_t *index, size_t n);
/* a x + b noise; row i of pass p always has the same noise. */
rows rows_noised(const rows *from, double a, double b, uint64_t seed);

/* Mean [d] and covariance [d][d] (divisor n - 1; NULL: not wanted). */
dfl_status rows_moments(const rows *r, double *mean, double *cov);
/* The q leading eigenvectors of the covariance, [q][d], rows of unit length, and the mean. Exact up
   to d = 1024, beyond by subspace iteration. */
dfl_status rows_leading(const rows *r, size_t q, double *mean, double *vectors);

/* Makes the rows of v [p][d] orthonormal. */
void rows_orthonormal(size_t p, size_t d, double *v);

/* ---- data.c: files --------------------------------------------------------------------------- */

/* A .npy of float32, float64 or bytes [n][...], read row by row; or pictures of bytes as idx,
   plain or gzipped, held in memory. Bytes 0 .. 255 become -1 .. 1; pictures of bytes
   [n][H][W][1 or 3] become [C][H][W]; numbers stay as they are. */
typedef struct {
    rows rows;
    int rank; /* of one sample */
    size_t shape[ARRAY_RANK_MAX];
    struct data_file *own;
} dataset;
dfl_status dataset_open(const char *path, dataset *out);
void dataset_close(dataset *d); /* fine on zeros */
/* Whole numbers [n] of a .npy (int64 or bytes): labels from 0; *out is to be freed. */
dfl_status labels_read(const char *path, size_t n, int64_t **out);

#endif
