/* What combines models, plans and data: adaptive integration and tuning. */
#ifndef DFL_STUDY_H
#define DFL_STUDY_H

#include "base/family.h"

/* Integrators that are no plans, with their options; listed beside the solvers. */
extern const family adaptive_family;

/* The name in "name:key=value,..." is one of them. */
bool adaptive_is_named(const char *solver);

/* A store of tuned values that is there already belongs to the model (NULL: the one in its
   folder). */
dfl_status store_check(const dfl_model *model, const char *given);

#endif
