/* Two interpreters of plans that need no network: labels, and affine maps. Both keep values in the
   plan's slots, so that a wrong slot is a wrong result. */
#ifndef DFL_TEST_INTERPRET_H
#define DFL_TEST_INTERPRET_H

#include "plan/plan.h"

/* ---- labels: coefficients of every value on (x_0, n, z_1, z_2, ...) -------------------------- */

/* Which part of its input the network knows: the clean data, or (one component only) the noise. */
typedef enum { KNOWS_X0, KNOWS_N } oracle;

/* The worst distance of a label from what its row says, |alpha - a| and |beta beta' + sum of
   gamma gamma' - b b'|, relative to 1. Some plans amplify rounding (high orders where the grid's
   times bunch), so the interpreter also carries a running bound of it from row to row. */
typedef struct {
    double eval, step, last; /* over EVALs, over STEPs, at the last STEP */
    double over;             /* largest defect in units of its rounding bound, over both */
    double rounding;         /* largest of these bounds */
} label_defect;

/* Refuses (false) rows that are not linear, and KNOWS_N where it does not apply. */
bool labels_run(const dfl_plan *plan, oracle knows, label_defect *worst);

/* The defect of each step by itself: every STEP's label is set to what its row says before the next
   step begins. alpha[i] and square[i], [plan->steps] each, get alpha - a and beta^2 + sum of
   gamma^2 - b^2 at STEP i, with signs; *input the worst defect of what the network is fed first in
   a step. One component only. */
bool labels_local(const dfl_plan *plan, oracle knows, double *alpha, double *square, double *input);

/* ---- affine maps: the network of a Gaussian data law answers affinely ------------------------ */

enum { LAW_DIM_MAX = 3, STATE_MAX = 2 * LAW_DIM_MAX };

/* x_0 ~ N(mean, cov), cov row-major, in `dim` dimensions. */
typedef struct {
    size_t dim;
    double mean[LAW_DIM_MAX], cov[LAW_DIM_MAX * LAW_DIM_MAX];
} gauss_law;

/* The output: mean plus one matrix for each independent source. Source 0 is the start, source
   1 + i the i-th NOISE row, and behind them the MIX rows (standardised, in the order of rows). */
typedef struct {
    size_t size, nsources;
    double mean[STATE_MAX], cov[STATE_MAX * STATE_MAX];
    double *matrix; /* [nsources][size][size] */
} affine_result;

/* Start state N(mean, factor factor'); NULL: the exact marginal of the law at the plan's start. */
typedef struct {
    double mean[STATE_MAX], factor[STATE_MAX * STATE_MAX];
} affine_start;

/* MIX rows enter by their first two moments; table normals of their kernels come from seed 0.
   Refuses (false) rows that are not affine. */
bool affine_run(const dfl_plan *plan, const gauss_law *law, const affine_start *start,
                affine_result *out);
void affine_free(affine_result *r);

/* The error of each step by itself, for a deterministic plan and a law with diagonal covariance,
   for which the exact flow is known: every STEP's value is set to it before the next step begins.
   error[i], [plan->steps], gets |difference of means| + |difference of maps| at STEP i. */
bool affine_local(const dfl_plan *plan, const gauss_law *law, double *error);

/* Mean and covariance of the marginal a x_0 + b n of a law. */
void law_marginal(const gauss_law *law, const marginal *at, int components, double *mean,
                  double *cov);

/* |difference of means| + |difference of covariances|, against the law's marginal at the plan's
   last STEP. */
double affine_error(const dfl_plan *plan, const gauss_law *law, const affine_result *r);

/* Kernel's first two moments for samples of `dim` numbers; cov is [dim][dim]. */
bool mix_moments(const dfl_plan *plan, int kernel, size_t dim, double *mean, double *cov);

/* Lower Cholesky factor of a symmetric non-negative matrix; zero columns where it is singular. */
void cholesky(const double *a, size_t n, double *factor);

#endif
