/* Fitting a mixture to rows: expectation and maximisation, or their variational counterparts. */
#ifndef DFL_PRIOR_EM_H
#define DFL_PRIOR_EM_H

#include "prior/form.h"
#include "prior/rows.h"

typedef struct {
    kind kind;            /* any but pcagmm, which is full in other coordinates */
    size_t k, q;          /* components at first, rank */
    bool dp;              /* kind full: truncated Dirichlet process, variational */
    double reg;           /* added to variances */
    double floor;         /* least psi of ppca and fa */
    double shrink;        /* share of the covariance that is put equal in all directions */
    double concentration; /* dp: gamma */
    double tail;          /* dp: prior covariance is this times the data's; 0: scikit-learn's 1/d */
    size_t whole_side;    /* ppca, fa: largest d whose covariance is summed up whole; 0: 1024 */
} em_settings;

typedef struct em em;
typedef struct em_dp em_dp;

/* Rows that were taken since the last call; non-zero ends the fit with that value. */
typedef int (*em_watch)(void *user, size_t rows);

struct em {
    em_settings set;
    const rows *data;
    prior *p;
    int sums; /* what is summed up */
    size_t width;
    double *count;  /* [k], sum of responsibilities */
    double *first;  /* [k][d], about the means of before */
    double *second; /* [k or 1][d][d], or [k][d] */
    double *v;      /* [k][width][d]: directions C is applied to, where it's not summed up whole */
    double *along;  /* [k][width][d]: sums of (x - m) ((x - m)' v) */
    double *start;  /* data mean [d] */
    double loglik, entropy;
    size_t steps, removed;
    em_dp *dp;
    form_work work;
    double *x, *logs, *part, *image;
    em_watch watch;
    void *user;
};

dfl_status em_new(const em_settings *set, const rows *data, em **out);
void em_free(em *e);

/* Hard responsibilities, labels [n] below k, then a maximisation. */
dfl_status em_start(em *e, const uint32_t *labels);
/* One expectation and one maximisation. *value: mean log-likelihood of before; with dp the bound of
   after, in total. */
dfl_status em_step(em *e, double *value);
/* Mean log-density of rows; it's a density only after dp_close. */
dfl_status em_score(em *e, const rows *data, double *mean);

/* ---- lowrank.c ------------------------------------------------------------------------------- */

enum { SUM_DIAGONAL, SUM_WHOLE, SUM_ALONG };
int lowrank_sums(const em_settings *set, size_t d, size_t *width);
void lowrank_begin(em *e); /* directions for the pass that follows */
dfl_status lowrank_maximise(em *e, size_t k, double n, const double *delta);

/* ---- dp.c ------------------------------------------------------------------------------------ */

dfl_status dp_new(em *e);
void dp_free(em_dp *dp);
dfl_status dp_maximise(em *e);
void dp_tilt(em *e); /* after form_finish: from log-densities to expected ones */
double dp_bound(const em *e);
dfl_status dp_close(em *e); /* the plain mixture: light components go */
double dp_digamma(double x);

/* ---- seed.c ---------------------------------------------------------------------------------- */

/* Coordinates to find clusters in: the leading principal ones, or all (vectors NULL). */
typedef struct {
    size_t q;
    double *mean, *vectors;
} seed_space;
dfl_status seed_space_new(const rows *data, seed_space *out);
void seed_space_free(seed_space *s);
/* k-means++ and Lloyd on up to 2^15 of the rows; labels [n] of all. */
dfl_status seed_labels(const rows *data, const seed_space *space, size_t k, uint64_t seed,
                       uint32_t restart, uint32_t *labels);
/* Arthur and Vassilvitskii's choice with given uniforms [k]: rows of c [n][q], index [k]. */
dfl_status seed_plus_plus(size_t n, size_t q, const double *c, size_t k, const double *uniform,
                          size_t *index);

/* Takes component k out of a prior, which is to be finished again. */
void form_remove(prior *p, size_t k);

#endif
