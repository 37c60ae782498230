/* Densities a likelihood may start from at the end time T. One more kind is one more pair of
   functions: nothing that uses a density knows its kind. */
#ifndef DFL_DENSITY_H
#define DFL_DENSITY_H

#include "model/mixture.h"
#include "prior/prior.h"
#include "process/process.h"

typedef struct density density;

struct density {
    const char *kind; /* "standard", "exact", or that of a prior */
    size_t dim;
    /* log nu(x) of n states x [n][dim] = a x_0 + b n at T into out [n]; label -1: none. */
    dfl_status (*logp)(const density *nu, const double *x, size_t n, int64_t label, double *out);
    /* E over n of log nu(a x_0 + b n) in closed form, or NULL: it is averaged over draws. */
    double (*cross)(const density *nu, const double *x0, double a, double b);
    double scale;       /* standard: its standard deviation */
    const mixture *mix; /* exact */
    marginal at;        /* exact */
    const prior *aux;   /* of a prior */
};

/* N(0, s^2 I), s the standard deviation that sampling starts with: 1, or b(T) where variance
   explodes. */
void density_standard(const process *p, double t, size_t dim, density *out);

/* The law of a x_0 + b n itself, which only a mixture knows. E_COMBINATION for other models. */
dfl_status density_exact(const dfl_model *model, const process *p, double t, density *out);

/* A prior at T, borrowed. States of a class take the components of it, as a sampler draws them; those
   of no class, and of a null class, all. */
void density_prior(const prior *at, density *out);

#endif
