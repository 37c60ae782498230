/* Where to begin: the variational bound as a function of the last time T, from held-out data, with
 * N(0, I) and with auxiliary densities as the start (Franzese et al., arXiv 2206.05173; docs/
 * diffusion-times.md). Per image x_0 and in nats, times eps = t_0 < ... < t_{m-1}:
 *
 *   -log p(x_0) <= L_0 + path(T) + mismatch(T)
 *   path     = 1/2 int_eps^T (g^2/b^2) l(t) dt = int l d log(b/a),   l(t) = |n - eps_hat(x_t, t)|^2
 *   mismatch = KL(p_{T|0}(.|x_0) || nu_T)
 *   L_0      = reconstruction at eps, as in bound.h
 *
 * The integral is the trapezoid rule's over log(b/a), half the negative log-SNR. One n per image and time.
 * For nu = N(0, s^2 I) the mismatch is known in closed form; a prior's is that less the mean of
 * log nu - log N(0, s^2 I) over draws of x_T, the same n at every T.
 *
 * Results belong to (settings, image): neither the batch nor an interruption shows in them. */
#ifndef DFL_TIMES_H
#define DFL_TIMES_H

#include "eval/likelihood.h"
#include "prior/prior.h"

enum { TIMES_MAX = 4096, TIMES_PRIORS_MAX = 16 };

typedef struct {
    const char *path; /* borrowed */
    prior *clean;
    char digest[DIGEST_HEX];
} times_prior;

typedef struct {
    dfl_model *model;
    const likelihood_data *data;
    opts options;
    denoiser net;
    bound evaluator; /* whose times are ours */
    size_t m;
    double *t, *depth; /* [m] times, rising, and log(b/a) there */
    size_t first, count, batch, draws;
    size_t done;    /* images whose losses are there */
    size_t columns; /* gains that are there, of npriors * m */
    times_prior prior[TIMES_PRIORS_MAX];
    size_t npriors;
    double *loss;    /* [count][m + 1]: l at each time, then L_0 */
    double *gain;    /* [npriors][m][count]: mean of log nu - log N(0, s^2 I) */
    double *plain;   /* [m][count]: mismatch of N(0, s^2 I) */
    double *numbers; /* [batch][dim] */
} times_study;

extern const opt_row times_options[];

/* `spec`: times_options as text, apart by blanks. Images first ... first + count - 1 of data that
   neither network nor priors were fitted to; count 0: 256, or all there are. Model, data and paths
   are borrowed. E_COMBINATION: phase space, guided models, priors that do not go with the model.
   Whatever can be refused is refused here. */
typedef struct {
    const char *spec;
    size_t first, count, batch;
    const char *const *priors;
    size_t npriors;
} times_wish;

dfl_status times_new(dfl_model *model, const likelihood_data *data, const times_wish *wish,
                     times_study **out);
void times_free(times_study *s);

/* Evaluations of the network in all, and densities of priors. */
size_t times_evaluations(const times_study *s);
size_t times_densities(const times_study *s);

/* The next batch of images at all times, or one prior at one time; nothing has changed if it fails.
   Calls net.watch, after a prior's column with 0 evaluations. */
bool times_finished(const times_study *s);
dfl_status times_step(times_study *s);

/* What is there so far, and the same taken up again. E_COMBINATION: of another model, other data,
   priors or settings. */
dfl_status times_save(const times_study *s, const char *path);
dfl_status times_resume(times_study *s, const char *path);

/* Settings as text, with the values that were found for what was left open. */
dfl_status times_text(const times_study *s, text *out);

/* Mismatch of start k (0: plain noise, k: prior k - 1) at time j for image i. */
double times_mismatch(const times_study *s, size_t start, size_t j, size_t i);

/* ---- times_choice.c -------------------------------------------------------------------------- */

/* A mean over images and its standard error. */
typedef struct {
    double mean, error;
} times_mean;

typedef struct {
    times_mean path, mismatch, total; /* total = path + mismatch + L_0 */
    times_mean above;                 /* less the total at the curve's least, paired */
} times_point;

typedef enum { TIMES_INSIDE, TIMES_AT_FIRST, TIMES_AT_LAST } times_edge;

/* The curve of one start.
 *
 * least: the time with the least mean. T: the parabola's through it and its neighbours over log(b/a), or
 * the time itself at an end. Its spread is that of the same choice on images drawn with repetition.
 * chosen: the smallest time from which on all up to the least lie above it by at most one standard
 * error of the paired difference: a shorter way costs nothing that these data show. */
typedef struct {
    times_point *point; /* [m] */
    size_t least, chosen;
    size_t within[2]; /* chosen, and likewise the largest time */
    times_edge edge;
    double T, error, low, high; /* refined; deviation and 95 % interval; NAN without replicates */
    times_mean gain;            /* total at the last time less total at the chosen one, paired */
    times_mean over_plain;      /* least total of plain noise less total at the chosen one */
    bool flat;                  /* the last time lies within two standard errors of the least */
} times_curve;

typedef struct {
    size_t nstarts, m;
    times_curve *curve; /* [nstarts], plain noise first */
    times_mean decoder;
    times_mean coarse; /* path by every other time less path, up to the last that both have */
} times_choice;

/* All images must be there. replicates 0: none. E_MEMORY. */
dfl_status times_choose(const times_study *s, size_t replicates, times_choice *out);
void times_choice_free(times_choice *c);

/* Where a parabola through (x, y)[3], x rising, is least, if it is within; else x[1]. */
double times_vertex(const double x[3], const double y[3]);

/* ---- times_plot.c ---------------------------------------------------------------------------- */

/* The curves above their least, as .svg or .png by the path's ending; a note says why there is none. */
dfl_status times_plot(times_study *s, const times_choice *c, const char *path, text *note);

/* "N(0, I)" or a prior's path, as starts are called in tables and plots. */
const char *times_start_name(const times_study *s, size_t start);

#endif
