/* Likelihoods of data under a model, image by image and batch by batch: settings, dequantisation, the
 * two methods, means, and a file to go on from.
 *
 * Results belong to (settings, image): neither the batch nor an interruption shows in them. */
#ifndef DFL_LIKELIHOOD_H
#define DFL_LIKELIHOOD_H

#include "eval/bound.h"
#include "eval/flow_logp.h"
#include "run/start.h"

/* Data in the model's order of elements [n][dim], whoever has read them. */
typedef struct {
    size_t n, dim;
    uint8_t *bytes;          /* levels 0 to 255, or NULL: */
    double *numbers;         /* values as the model takes them */
    int64_t *labels;         /* [n] or NULL: without a class */
    char digest[DIGEST_HEX]; /* of data and labels */
} likelihood_data;

/* .npy of uint8: [n] pictures [H][W], [H][W][C] or as the card has them; of float32 or float64:
   [n][...] with as many numbers as a sample. labels: .npy of int64 [n], or NULL; `label`, where that
   is NULL, for all. */
dfl_status likelihood_read(const char *path, const char *labels, int64_t label, const card *c,
                           likelihood_data *out);
void likelihood_data_free(likelihood_data *data);

/* Numbers of an image's row; terms of the bound may stand behind them. */
enum { ROW_BPD, ROW_NATS, ROW_PRIOR, ROW_PATH, ROW_DECODER, ROW_NFE, ROW_NUMBERS };

typedef struct {
    dfl_model *model;
    const likelihood_data *data;
    opts options;
    bool flow; /* or bound */
    denoiser net;
    density nu;
    start_law *start;              /* what is known of nu, NULL for prior=exact */
    char prior_digest[DIGEST_HEX]; /* of a prior's file, else "" */
    bool t_of_prior;               /* T is the time that the prior was fitted at */
    flow_logp along;
    bound bound;
    double *times; /* of the bound */
    size_t draws, first, count, done, batch;
    uint64_t seed;
    double range[2], scale, offset; /* x = offset + scale (y + u); */
    double added_bits;              /* to -log p(x)/(D log 2) */
    size_t width;                   /* of a row */
    double *rows;                   /* [count][width] */
    double *values;                 /* [batch][dim] */
    double *latents;                /* flow, if asked for: x_T [count][dim]; else NULL */
    double eps, T;
} likelihood;

extern const opt_row likelihood_options[];

/* `spec`: likelihood_options as text, apart by blanks. Images first ... first + count - 1 of data,
   which is borrowed, as is the model. Whatever can be refused is refused here. */
typedef struct {
    const char *spec;
    size_t first, count, batch;
    const char *prior; /* the file of prior=file */
    bool latents;      /* flow: keep the states at T */
} likelihood_wish;

dfl_status likelihood_new(dfl_model *model, const likelihood_data *data,
                          const likelihood_wish *wish, likelihood **out);
void likelihood_free(likelihood *l);

/* Evaluations of one image, 0 where they are not known beforehand. */
size_t likelihood_nfe(const likelihood *l);

/* The next batch; nothing has changed if it fails. */
dfl_status likelihood_batch(likelihood *l);

/* What is there so far, and the same taken up again. E_COMBINATION: of another model, other data or
   settings. */
dfl_status likelihood_save(const likelihood *l, const char *path);
dfl_status likelihood_resume(likelihood *l, const char *path);

/* Mean of a column over images and the standard error of it; NAN for one image. */
void likelihood_mean(const likelihood *l, int column, double *mean, double *error);

/* Settings as text, with the values that were found for what was left open. */
dfl_status likelihood_text(const likelihood *l, text *out);

#endif
