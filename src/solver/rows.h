/* The rows of a plan, and the builder a solver writes them with.
 *
 * A plan is a list of rows over values 0, 1, 2, ...: every value is written by exactly one row;
 * value 0 is the start state. Solvers write values and never think about memory. States are kept in
 * x, never in x/a: the scalings of rho-space and conjugate forms fold into the coefficients. */
#ifndef DFL_ROWS_H
#define DFL_ROWS_H

#include "base/netform.h"
#include "process/process.h"

typedef int val; /* number of a value; ids come from the builder in rising order */

typedef enum {
    ROW_EVAL,   /* dst <- network(src, tau): the raw output */
    ROW_LIN,    /* dst <- sum of c_i src_i, left to right */
    ROW_NOISE,  /* dst <- standard normals, keyed by draw */
    ROW_STEP,   /* src is the completed state at t; no arithmetic */
    ROW_MIX,    /* dst <- delta_k + A_k src, component k picked per sample by one keyed uniform */
    ROW_CLIP,   /* dst <- src clamped to [lo, hi] */
    ROW_LIMIT,  /* dst <- src clamped to [-s, s] / s, s = max(hi, lo-quantile of abs(src)) */
    ROW_GIVEN,  /* dst <- a tensor supplied by the caller under names[index] */
    ROW_SELECT, /* dst <- src_2 src_0 + (1 - src_2) src_1, element by element */
    ROW_KINDS
} row_op;

typedef struct {
    val v;
    blk c;
} term;

/* Fields that a kind does not use are 0. */
typedef struct {
    row_op op;
    val dst;          /* -1 for STEP */
    size_t src, nsrc; /* terms[src .. src + nsrc); coefficients used by LIN only */
    double t, tau;    /* EVAL: library and network time; STEP: t */
    marginal at;      /* EVAL: the label src must have; STEP: likewise */
    netgives gives;   /* EVAL: what the output predicts */
    int order;        /* STEP: order of the step in the solver's own words; 0: none */
    uint32_t draw;    /* NOISE, MIX: key of the random numbers */
    int index;        /* MIX: number of the kernel; GIVEN: number of the name */
    double lo, hi;    /* CLIP: bounds; LIMIT: quantile in (0, 1], floor > 0 */
} row;

/* The laws of DDIM-GMM (arXiv 2311.04938) for unit offsets, made from standard normals o_k:
   rand normalises each centred o_k, rand_c all of them together, ortho centres orthonormal ones. */
typedef enum { OFFSETS_DATA, OFFSETS_RAND, OFFSETS_RAND_C, OFFSETS_ORTHO } offset_law;
typedef enum { COV_DIAG, COV_VUB, COV_FULL, COV_RANK1 } mix_covariance;

/* A mixture kernel: offsets delta_k = s unit_k, noise of covariance sigma^2 I - Delta_k. */
typedef struct {
    int K;      /* components, >= 1 */
    double *pi; /* [K], positive, sum 1 */
    offset_law law;
    uint32_t table; /* RAND, RAND_C, ORTHO: key of the table's normals; shared by equal keys */
    double *data;   /* DATA: unit offsets [K][ndata / K], else NULL */
    size_t ndata;
    double s, sigma; /* >= 0 */
    mix_covariance covariance;
} mix_kernel;

typedef struct {
    val id;
    double t;
    marginal at;
    blk scale; /* standard deviation of the start state, number or 2x2 factor */
} plan_input;

/* Everything a plan is made of. The builder fills it; plan/ owns it afterwards. */
typedef struct {
    int components; /* of the state: 1 or 2 */
    row *rows;
    size_t nrows, rows_cap;
    term *terms;
    size_t nterms, terms_cap;
    uint8_t *comp; /* [nvalues] components of each value, 1 or 2 */
    size_t nvalues, comp_cap;
    plan_input *inputs;
    size_t ninputs, inputs_cap;
    val *outputs;
    size_t noutputs, outputs_cap;
    mix_kernel *kernels;
    size_t nkernels, kernels_cap;
    char **names; /* of GIVEN tensors */
    size_t nnames, names_cap;
} program;

void program_free(program *p);
/* Whether they are the same, bit for bit. */
bool program_equal(const program *p, const program *q);
/* Drops LIN rows whose value nobody uses, and numbers the values anew. */
dfl_status program_prune(program *p);
dfl_status program_add_row(program *p, const row *r, const term *terms); /* appends a copy */
dfl_status program_add_value(program *p, int components, val *id);
dfl_status program_add_input(program *p, const plan_input *in);
dfl_status program_add_output(program *p, val v);
dfl_status program_add_kernel(program *p, const mix_kernel *k); /* takes its arrays over */
dfl_status program_add_name(program *p, const char *name);

/* ---- the builder ----------------------------------------------------------------------------- */

/* A builder starts with process, form, out and warnings, the rest zero.
   Its first failure sticks: later calls do nothing and return value 0, so that a solver reads like
   the formula it implements; rows_status tells at the end. */
typedef struct {
    const process *process;
    const netform *form;
    program *out;
    uint32_t draws, picks; /* next draw number of NOISE and of MIX */
    text *warnings;        /* one line each; NULL: not wanted */
    /* Dynamic thresholding of every predicted x_0 (Saharia et al., arXiv 2205.11487), and through it
       of n; on scalar processes. 0 is none. */
    double limit_quantile, limit_floor;
    double t; /* of the latest evaluation */
    dfl_status status;
} rows;

/* Noise and clean-data prediction at state x and time t: one evaluation, converted from whatever
   the network predicts. */
val rows_eps(rows *r, val x, double t);
val rows_x0(rows *r, val x, double t);

/* What one-step solvers work with: the output y of one evaluation at z, and what it says. On a
   scalar process x_0 = x0_x x + x0_y y and n = n_x x + n_y y; entries may be infinite where y does
   not determine them. The network is fed input x. With thresholding y is not the network's own, but
   what it would have been with the thresholded x_0. */
typedef struct {
    double x0_x, x0_y, n_x, n_y, input;
} rows_split;

rows_split rows_split_at(const rows *r, double t);
val rows_predict(rows *r, val z, double t);
val rows_eps_of(rows *r, val x, val y, double t); /* n from the output y at x */
val rows_x0_of(rows *r, val x, val y, double t);  /* x_0 from it */

typedef struct {
    blk on_z,
        on_y; /* dz/dt = on_z z + on_y y along the probability flow; y as rows_predict gives */
} rows_ode;

rows_ode rows_ode_at(const rows *r, double t);

/* Phase space: the score is s = S y, eps = E y with eps = -L^T s; y is the raw output, L the factor
   that the network was trained with. */
blk rows_score_map(const rows *r, double t);
blk rows_eps_map(const rows *r, double t);
blk rows_factor(const rows *r, double t);

/* sum of c_i v_i. Zero coefficients are dropped, repeated values merged, a plain copy costs
   nothing (the source comes back). */
val rows_lin(rows *r, const term *terms, size_t n);

/* Shorthands for numbers: c0 v0 + c1 v1 (+ c2 v2). */
val rows_lin2(rows *r, double c0, val v0, double c1, val v1);
val rows_lin3(rows *r, double c0, val v0, double c1, val v1, double c2, val v2);

/* Fresh standard normals, with the next draw number. */
val rows_noise(rows *r);

/* One draw of a mixture kernel: fresh normals where its sigma is above 0, and a fresh pick. Takes
   the kernel's arrays over, also on failure. */
val rows_mix(rows *r, mix_kernel *k);

/* x is the completed state at time t, reached by a step of this order. */
void rows_step(rows *r, val x, double t, int order);

/* A line for the plan's warnings: the plan works, but probably not as the caller hopes. */
__attribute__((format(printf, 2, 3))) void rows_warn(rows *r, const char *format, ...);

/* Records a failure from a solver's own arithmetic, unless one is recorded already. */
void rows_fail(rows *r, dfl_status status);

#endif
