/* The noise prediction of a model as a function of the state, in double, and its derivative along
   tangents: from the model where it has them, by central differences elsewhere. Scalar processes. */
#ifndef DFL_DENOISE_H
#define DFL_DENOISE_H

#include "model/model.h"
#include "solver/rows.h"

/* Told after every request how many samples it had; any return but 0 ends what is going on. */
typedef int (*denoise_watch)(void *user, size_t evaluations);

typedef struct {
    dfl_model *model;
    dfl_model *jvp; /* answers with tangents: `model`, one of our own, or NULL */
    process *process;
    program scratch; /* where the row builder writes one evaluation, again and again */
    size_t dim, batch;
    double step;             /* of central differences, in units of b */
    double *input, *output;  /* [batch][dim] */
    double *tangent, *slope; /* [batch][dim] */
    double *ahead, *behind;  /* [batch][dim] */
    request_point *points;   /* [batch] */
    denoise_watch watch;
    void *user;
    double seconds; /* spent in the model */
} denoiser;

/* One time: the process there, what the network is asked, n = n_x x + n_y y of its output y. */
typedef struct {
    double t;
    scalar_at at;
    rows_split split;
    request_point ask;
} denoise_time;

/* Up to `batch` samples, each at its own time. */
typedef struct {
    size_t n;
    const denoise_time *at; /* [n] */
    const uint64_t *sample; /* [n] absolute indices */
    const int64_t *label;   /* [n] or NULL */
} denoise_set;

/* Borrows the model; `spec` is a process, or NULL for the model's. E_COMBINATION: phase space. `differences`: by central differences, whatever
   the model has. */
dfl_status denoiser_new(dfl_model *model, const char *spec, size_t batch, bool differences,
                        denoiser *out);
void denoiser_free(denoiser *d);

/* Evaluations of the network that one derivative takes, and those for the prediction alone. */
size_t denoiser_cost(const denoiser *d, bool derivative);

/* The last time T, and the smallest one eps: as asked where that is set, else as far as the model
   goes (mixtures: from 1e-5), but where rho is infinite from a thousandth below. E_RANGE: outside. */
dfl_status denoiser_start(const denoiser *d, const opt_value *asked, double *T);
dfl_status denoiser_end(const denoiser *d, const opt_value *asked, double T, double *eps);

/* E_COMBINATION, E_RANGE: what cannot be asked at this time. */
dfl_status denoise_at(denoiser *d, double t, denoise_time *out);

/* eps [n][dim] of states x [n][dim]. */
dfl_status denoise(denoiser *d, const denoise_set *set, const double *x, double *eps);

/* The same, and jv [n][dim] = (d eps/dx) v. By differences eps is the mean of both sides. */
dfl_status denoise_along(denoiser *d, const denoise_set *set, const double *x, const double *v,
                         double *eps, double *jv);

#endif
