/* The analytic Gaussian mixture: shared by its reader and its formulas. */
#ifndef DFL_MIXTURE_H
#define DFL_MIXTURE_H

#include "model/model.h"

typedef struct {
    dfl_model base;
    size_t K, dim;
    double *log_weight;   /* [K] */
    double *mean, *scale; /* [K][dim]; scale is the standard deviation */
    int64_t *label;       /* [K] or NULL */
    /* Scratch, sized at opening so that an evaluation allocates nothing. */
    double *inverse;       /* [K][dim] 1/V or 1/det S */
    double *log_norm, *r;  /* [K] */
    double *u;             /* [2][dim] the sample in double */
    double *clean, *noise; /* [dim], [2][dim] conditional means */
} mixture;

/* A zeroed mixture with its functions in place, safe to free at any stage of reading. */
void mixture_init(mixture *m);

/* The mixture behind a model, or NULL if it is something else. */
const mixture *mixture_in(const dfl_model *model);

/* Log-density of a x_0 + b n at x [dim], on one component; `label` as in a request, -1: of all.
   E_RANGE where the density is singular. */
dfl_status mixture_log_density(const mixture *m, const marginal *at, const double *x, int64_t label,
                               double *out);

/* A mixture from JSON text; `where` names it in messages. */
dfl_status mixture_parse(const char *where, const char *json, size_t length, dfl_model **out);

#endif
