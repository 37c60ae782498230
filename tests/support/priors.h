/* Priors for tests: numbers without structure that are one of each kind. */
#ifndef DFL_PRIORS_H
#define DFL_PRIORS_H

#include "prior/form.h"

/* Three components (gauss: one) in d dimensions, rank q; weights 1/6, 2/6, 3/6. */
prior *some_prior(kind which, int64_t classes, size_t d, size_t q);

#endif
