/* The parts of a prior, for the files of this folder. Every structure is a mixture
   sum_k w_k N(m_k, S_k):
     gauss, full   S_k dense                      tied     one S for all (of a class)
     diag          S_k = diag psi_k               ppca, fa S_k = W_k W_k' + diag psi_k
     pcagmm        in coordinates y = U (x - c): S_k dense on the first q, diag(rest) on the others */
#ifndef DFL_PRIOR_FORM_H
#define DFL_PRIOR_FORM_H

#include "io/io.h"
#include "prior/prior.h"

typedef enum { KIND_GAUSS, KIND_DIAG, KIND_FULL, KIND_TIED, KIND_PCAGMM, KIND_PPCA, KIND_FA } kind;
enum { KINDS = 7 };
extern const char *const kind_names[KINDS];

enum {
    PRIOR_DIM_MAX = 1 << 18,
    PRIOR_COMPONENTS_MAX = 4096,
    PRIOR_GATES_MAX = 64,
    DENSE_SIDE_MAX = 4096
};
#define PRIOR_BYTES_MAX ((size_t)1 << 31) /* of one array */

struct prior {
    kind kind;
    size_t d, k, q;
    int64_t classes; /* 0: labels are all -1 */
    int64_t *label;  /* [k] */
    double a, b;
    int rank;
    size_t shape[ARRAY_RANK_MAX];
    double *weight; /* [k] */
    double *mean;   /* [k][m], m = q for pcagmm and else d */
    double *cov;    /* [s][m][m], s = k, or 1 (tied: or one for each class) */
    double *factor; /* W [k][d][q] */
    double *psi;    /* [k][d] */
    double *basis;  /* U [d][d], rows of unit length */
    double *center; /* c [d] */
    double *rest;   /* [d - q] */
    gate_row gate[PRIOR_GATES_MAX];
    size_t ngate;
    struct flow *flow; /* instead of a mixture: k is 0, and no array of numbers is there */
    /* derived by form_finish */
    double *root;      /* Cholesky factors of cov; low rank: G = W' S^-1 [k][q][d] */
    double *log_scale; /* [k]: log w - log|S|/2 - (d/2) log 2 pi */
};

/* The numbers of a prior: name in a file, place, shape in letters (form_size) and kinds. */
typedef struct {
    const char *name;
    size_t offset;
    const char *shape;
    unsigned kinds;
} form_field;
enum { FORM_FIELDS = 8 };
extern const form_field form_fields[FORM_FIELDS];
bool form_has(const prior *p, const form_field *f);
double **form_place(prior *p, const form_field *f);
size_t form_size(const prior *p, char letter);
size_t form_count(const prior *p, const form_field *f);

/* Room for all of it, in zeros; labels -1. q as the kind needs it. E_RANGE, E_MEMORY. */
typedef struct {
    kind kind;
    size_t d, k, q;
    int64_t classes;
} form_wish;
dfl_status form_new(const form_wish *wish, prior **out);
dfl_status form_copy(const prior *p, prior **out); /* not what is derived */
/* Checks the numbers and derives what densities need: weights are a distribution, all is finite,
   covariances are positive definite. Again after every change. */
dfl_status form_finish(prior *p);
dfl_status form_check_basis(const prior *p); /* rows of unit length, at right angles */

void prior_set_shape(prior *p, int rank, const size_t *shape); /* of one sample: d numbers */

size_t form_cov_of(const prior *p, size_t k); /* index of the component's matrix in cov */

/* Sum of the weights of a class's components; label -1: exactly 1. E_RANGE: no such class. */
dfl_status form_class_weight(const prior *p, int64_t label, double *out);

/* Rows x [n][d] (n up to FORM_ROWS) to log w_k + log N(x; m_k, S_k) in logs [n][k]. `fast` goes
   through BLAS, whose last bits may depend on where in the block a row stands. */
enum { FORM_ROWS = 256 };
typedef struct {
    double *diff, *image, *y, *common; /* y: a basis or factors alone */
} form_work;
dfl_status form_work_new(const prior *p, form_work *w);
void form_work_free(form_work *w);
dfl_status form_logs(const prior *p, bool fast, size_t n, const double *x, form_work *w,
                     double *logs);
/* log sum exp of a row of k numbers; with `share`, also exp(log - sum) in place. */
double form_sum(size_t k, double *logs, bool share);

#endif
