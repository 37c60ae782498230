/* The variational bound of a discrete diffusion model (Ho et al., arXiv 2006.11239, eq. (5); Sohl-
 * Dickstein et al., arXiv 1503.03585), in nats, for times 0 < t_1 < ... < t_S = T:
 *
 *   -log p(x_0) <= L_prior + sum_{i=2}^S L_i + L_0
 *   L_prior = KL(q(x_T|x_0) || nu)
 *   L_i     = (D/2)(q/v - 1 - log(q/v)) + be^2/(2 v al^2 b_t^2) E|n - eps_hat(x_t, t)|^2
 *   L_0     = -sum_d log P(y_d), a Gaussian of mean x0_hat(x_{t_1}) and deviation b_1 cut into levels;
 *             its density for data that are numbers
 *
 * with s = t_{i-1}, t = t_i, al = a_t/a_s, be = b_t^2 - al^2 b_s^2, the posterior's variance
 * q = be b_s^2/b_t^2, and the model's v: be, or q. Where variance explodes a = 1 and b = sigma. One n
 * per sample and term. */
#ifndef DFL_BOUND_H
#define DFL_BOUND_H

#include "eval/denoise.h"
#include "eval/density.h"

typedef enum { VARIANCE_BE, VARIANCE_VQ } bound_variance;

/* L_i = constant + factor |n - eps_hat|^2; the last also of clean data: scaled |x_0 - x0_hat|^2. */
typedef struct {
    double constant, factor, scaled;
} bound_term;

bound_term bound_term_of(const process *p, double s, double t, size_t dim, bound_variance v);

/* log P of a level 0 to 255 under N(mean, sd^2), the levels lo + (hi - lo) y/255 with half a step to
   both sides, open at 0 and 255; at least log 1e-12. */
double decoder_log_level(int level, double mean, double sd, const double range[2]);

enum { PRIOR_DRAWS = 64 }; /* for E log nu(x_T) where nu has no closed form */

typedef struct {
    denoiser *net;
    const density *nu;
    bound_variance variance;
    bool clip;   /* x0_hat to the range */
    bool levels; /* data are levels 0 to 255 of the range, else numbers */
    double range[2];
    uint64_t seed;
    int S;                       /* times */
    const double *t;             /* [S] rising */
    int terms;                   /* of L_2 ... L_S that are evaluated, an unbiased choice; 0: all */
    double *x, *noise, *eps_hat; /* [batch][dim] */
    denoise_time *at;            /* [batch] */
} bound;

typedef struct {
    double prior, path, decoder; /* L_prior, sum of L_i, L_0 */
    size_t nfe;
} bound_value;

/* The fields down to terms are set by the caller. */
dfl_status bound_init(bound *b);
void bound_free(bound *b);

typedef struct {
    size_t n;
    const double *data; /* [n][dim] */
    const uint64_t *sample;
    const int64_t *label;
    size_t draw;
} bound_data;

/* terms [n][S] receives L_0, L_2, ..., L_S where all are evaluated; may be NULL. */
dfl_status bound_run(bound *b, const bound_data *data, bound_value *out, double *terms);

/* One evaluation and what is made of it, for whoever sums otherwise: eps_hat at x_t of all samples,
   t the time number index[i] of each; then of sample i |n - eps_hat|^2, and L_0 if index[i] is 0. */
dfl_status bound_evaluate(bound *b, const bound_data *data, const int *index);
double bound_square(const bound *b, size_t i);
double bound_decoder(const bound *b, const bound_data *data, size_t i);

#endif
