/* Auxiliary densities: what a sampler may start from at a time T before the data are noise. Mixtures
   of Gaussians, over clean data or over x_T = a x_0 + b n at one T, in one of several structures of
   covariance; or a normalising flow at one T (flow.h). Sees base, io and, for flows, the networks of
   model. docs/priors.md has the equations. */
#ifndef DFL_PRIOR_H
#define DFL_PRIOR_H

#include "base/base.h"

typedef struct prior
    prior; /* immutable once made; a mixture may be shared between threads, a flow and
                               its copies have one network and belong to one thread */

/* docs/prior-format.md. A file is a stranger's: E_FORMAT or E_RANGE unless every array fits the
   others, weights are a distribution and covariances are positive definite. A folder is a flow's. */
dfl_status prior_read(const char *path, prior **out);
/* Only the state that the file's density is of, as prior_state. */
dfl_status prior_read_state(const char *path, double *a, double *b);
dfl_status prior_write(const prior *p, const char *path);
void prior_free(prior *p); /* NULL is fine */
/* A flow's, whose card is prior.json in it. */
bool prior_is_folder(const char *path);
/* Appends the file that tells one prior from another: its own; of a flow the card, which holds the
   digests of its networks. */
dfl_status prior_file(const char *path, text *out);
/* SHA-256 of that file. */
dfl_status prior_digest(const char *path, char hex[DIGEST_HEX]);
/* The one time that a flow's card is for, without opening its networks; NAN for a file. */
dfl_status prior_own_time(const char *path, double *t);

size_t prior_dim(const prior *p);
size_t prior_components(const prior *p); /* 0: a flow */
size_t prior_rank(const prior *p);       /* coordinates or factors; 0: the kind has none */
const char *prior_kind(const prior *p);  /* gauss, diag, full, tied, pcagmm, ppca, fa, flow */
/* The data were [C][H][W], or whatever shape the samples have: rank 0 if that is not known. */
int prior_shape(const prior *p, const size_t **shape);
/* The two ends of the data's range, or NULL where that is not known. */
const double *prior_range(const prior *p);

/* The state it is a density of: a x_0 + b n; (1, 0) is clean data. */
void prior_state(const prior *p, double *a, double *b);

/* The law of a x_0 + b n, x_0 ~ clean: exact, the structure stays. From a prior fitted at (a, b) it
   gives a copy for just that state (to 1e-6); another one is E_COMBINATION. */
dfl_status prior_at(const prior *clean, double a, double b, prior **out);

/* Labels of a class-conditional prior are 0 .. classes - 1; 0 classes: not conditional. */
int64_t prior_classes(const prior *p);
/* The density of one class as a prior of its own; label -1: a copy. E_RANGE for other labels. */
dfl_status prior_only(const prior *p, int64_t label, prior **out);

/* One sample: a pure function of seed and index. The normals are those a run would start from
   (DFL_DRAW_START), so that the standard normal density gives the usual start. */
dfl_status prior_draw(const prior *p, uint64_t seed, uint64_t sample, double *x);
/* The same from the components of one class; label -1: from all. */
dfl_status prior_draw_of(const prior *p, int64_t label, uint64_t seed, uint64_t sample, double *x);

/* log-density in nats at x [n][dim]; a row's value does not depend on its neighbours. */
dfl_status prior_logp(const prior *p, const double *x, size_t n, double *logp);
/* The same of the components of one class; label -1: of all. */
dfl_status prior_logp_of(const prior *p, int64_t label, const double *x, size_t n, double *logp);
/* The same of all through BLAS, many times faster for dense covariances; a row's last bits may depend
   on its neighbours. */
dfl_status prior_logp_block(const prior *p, const double *x, size_t n, double *logp);

/* Mean [dim] and covariance [dim][dim] of the whole mixture; either may be NULL. A flow's are
   E_COMBINATION. */
dfl_status prior_moments(const prior *p, double *mean, double *cov);

/* The gate: mean log-density gain over N(0, I) on held-out x_T, in nats, at times that were tried
   when the prior was fitted. Passed: gain > 2 standard errors; else N(0, I) is the better start. */
typedef struct {
    double a, b, gain, error;
} gate_row;
size_t prior_gate(const prior *p, const gate_row **rows); /* number of rows, may be 0 */
bool gate_passed(const gate_row *row);

#endif
