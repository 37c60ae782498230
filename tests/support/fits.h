/* What the tests of fitted plans share: mixtures, and a fit that must succeed. */
#ifndef DFL_TEST_FITS_H
#define DFL_TEST_FITS_H

#include "check.h"
#include "study/fit.h"

/* Three components in two dimensions, no two of their numbers alike. */
#define THREE                                                                                      \
    "\"weights\":[0.5,0.3,0.2],\"means\":[[1.2,-0.4],[-0.9,0.8],[0.1,-1.5]],"                      \
    "\"stds\":[[0.25,0.4],[0.3,0.2],[0.15,0.35]]"

/* A card that speaks of phase space. */
#define PHASE "\"process\":\"psld:numerical_eps=0\",\"state_components\":2,\"t_min\":0.001"

dfl_model *mixture_with(const char *components, const char *about);
dfl_model *mixture_of(const char *components); /* down to t = 0.001 */
dfl_model *three(void);                        /* THREE, likewise */
fit *fitted(dfl_model *model, const char *spec, const char *work);

/* Fits that fit_new refuses, each with this status and a sentence that has this part. */
typedef struct {
    const char *spec;
    dfl_status status;
    const char *part;
} fits_refusal;
void fits_refused(dfl_model *model, const fits_refusal *cases, size_t n);

#endif
