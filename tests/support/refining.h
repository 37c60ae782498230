/* What the tests of refinement share: mixtures, and fits of them. */
#ifndef DFL_TEST_REFINING_H
#define DFL_TEST_REFINING_H

#include "study/refine.h"
#include "support/fits.h"

#define TWO_IN_ONE "\"weights\":[0.5,0.5],\"means\":[[1],[-1]],\"stds\":[[0.1],[0.1]]"
#define GAUSSIAN   "\"weights\":[1],\"means\":[[0,0]],\"stds\":[[0.3,0.8]]"

/* A fit, ready to run; the objective "features" sees (x, y) as sin x, x y and tanh 2 y. */
fit *made(dfl_model *model, const char *spec, const char *work);

/* The same, after it ran. */
fit *refined(dfl_model *model, const char *spec, const char *work);

#endif
