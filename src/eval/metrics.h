/* Metrics of generated samples against real ones, on features. docs/evaluation-metrics.md has the
   definitions. All are in double, deterministic for a seed, and hold no matrix of all pairs. */
#ifndef DFL_METRICS_H
#define DFL_METRICS_H

#include "eval/moments.h"

/* Called between pieces of work that may take long; what it returns, if not 0, ends the work and
   is returned. NULL, or fn NULL: nobody watches. */
typedef struct {
    int (*fn)(void *user, size_t done, size_t total);
    void *user;
} metric_watch;

/* ---- kernel.c: maximum mean discrepancy (arXiv 0805.2368), KID (arXiv 1801.01401) ---------------- */

enum { KID_SUBSETS = 100, KID_SUBSET_SIZE = 1000 };

typedef struct {
    size_t subsets;     /* 0: KID_SUBSETS */
    size_t subset_size; /* 0: KID_SUBSET_SIZE or all rows of the smaller set, if it has fewer */
    uint64_t seed;
} kid_options;

/* Kernel (x'y/d + 1)^3; unbiased, so that it may be negative. */
typedef struct {
    double mean;         /* over subsets */
    double std;          /* over subsets, divided by their number, as torch-fidelity reports it */
    double subset_error; /* std/sqrt(subsets): how well the mean over all subsets is known */
    double error;        /* of the mean, for the samples being what they are: std divided by the
                            root of how many disjoint subsets there are; see the documentation */
    size_t subsets, subset_size; /* used */
} kid_result;

dfl_status kid(const features *a, const features *b, const kid_options *o,
               const metric_watch *watch, kid_result *out);

typedef struct {
    double bandwidth; /* sigma of exp(-|x - y|^2/(2 sigma^2)); 0: the median distance between
                         MMD_MEDIAN rows drawn from each set */
    uint64_t seed;    /* of that draw */
} mmd_options;

enum { MMD_MEDIAN = 500 };

typedef struct {
    double squared; /* unbiased estimate of the squared MMD, may be negative */
    double error;   /* its standard error */
    double bandwidth;
} mmd_result;

dfl_status mmd(const features *a, const features *b, const mmd_options *o,
               const metric_watch *watch, mmd_result *out);

/* ---- neighbours.c: precision and recall (arXiv 1904.06991), density and coverage (2002.09797) ---- */

enum { PRECISION_NEIGHBOURS = 3, DENSITY_NEIGHBOURS = 5, NEIGHBOURS_MAX = 64 };

typedef struct {
    size_t k_precision, k_density; /* 0: the papers' above; at most NEIGHBOURS_MAX */
} prdc_options;

typedef struct {
    double precision, recall, density, coverage;
} prdc_result;

dfl_status prdc(const features *real, const features *generated, const prdc_options *o,
                const metric_watch *watch, prdc_result *out);

/* ---- sliced.c: sliced Wasserstein distance (doi 10.1007/s10851-014-0506-3) ------------------------ */

enum { SLICED_DIRECTIONS = 256 };

typedef struct {
    size_t directions; /* 0: SLICED_DIRECTIONS */
    uint64_t seed;     /* of the directions: the same ones for every pair of sets of one width */
} sliced_options;

typedef struct {
    double distance; /* root of the mean over directions of the squared 2-Wasserstein distance */
    double error;    /* its standard error that comes from the choice of directions */
} sliced_result;

dfl_status sliced_wasserstein(const features *a, const features *b, const sliced_options *o,
                              const metric_watch *watch, sliced_result *out);

/* ---- inception.c: inception score (arXiv 1606.03498), in constant memory -------------------------- */

enum { INCEPTION_SPLITS = 10 };

/* The whole state. Split s holds samples floor(s total/splits) <= i < floor((s+1) total/splits). */
typedef struct {
    size_t classes, splits;
    uint64_t total;  /* samples there will be */
    uint64_t *count; /* [splits] seen so far */
    double *entropy; /* [splits] sum over samples of sum_c p_c log p_c */
    double *sum;     /* [splits][classes] sum over samples of p_c */
} inception;

dfl_status inception_new(size_t classes, size_t splits, uint64_t total, inception *out);
void inception_free(inception *s);
/* Logits [n][classes] of samples first .. first + n: each sample once, in any order, but the same
   order gives the same bits. After a failure nothing is changed. */
dfl_status inception_add(inception *s, uint64_t first, const float *logits, size_t n);
dfl_status inception_merge(inception *into, const inception *from);

typedef struct {
    double mean, std; /* over splits; std is divided by their number, as is usual */
} inception_result;

dfl_status inception_score(const inception *s, inception_result *out); /* all samples are there */

#endif
