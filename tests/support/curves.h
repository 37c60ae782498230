/* What the tests of "times" share: data, a model with a known error, one study in a line. */
#ifndef DFL_TEST_CURVES_H
#define DFL_TEST_CURVES_H

#include "support/evidence.h"

#include "eval/times.h"

/* Points [n][2] of the public mixture, as many of each component as it has weight; to be freed. */
double *points_of_mixture(size_t n);

/* The mixture's score, off by a constant c: the noise prediction is off by b c. */
typedef struct {
    dfl_model *inner;
    double c[2];
} biased;

/* A dfl_denoise_fn; user is a biased. */
int biased_answer(void *user, const dfl_request *rq);

/* Under vp_linear from t = 0.001, |c|^2 = c2. */
dfl_model *biased_model(biased *w, double c2);

/* All of the data, with one prior or none (NULL), computed. */
times_study *study_of(dfl_model *model, const likelihood_data *data, const char *spec,
                      const char *path);
times_choice choice_of(const times_study *s, size_t replicates);

#endif
