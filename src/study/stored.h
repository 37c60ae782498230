/* Plans that are kept with a model, in its folder plans/, and the choice among them. */
#ifndef DFL_STORED_H
#define DFL_STORED_H

#include "model/model.h"

/* E_COMBINATION if the plan was fitted to another network; *other_guidance: to this one, but under
   another guidance. Plans that were not fitted go with every model. */
dfl_status stored_check(const dfl_plan *plan, const dfl_model *model, bool *other_guidance);

/* What "solver auto" came to: a plan and its file, or the text of a specification; and why. */
typedef struct {
    dfl_plan *plan;
    text file, spec, note;
} stored_choice;

/* The plan fitted to this model, its guidance included, that spends just `nfe` evaluations and has
   the least error on held-out starts; else the best of the tuned values in the file `tuned` (NULL:
   the one in the model's folder); else one of two solvers. Free with stored_free, also on failure.
 */
dfl_status stored_choose(const dfl_model *model, int nfe, const char *tuned, stored_choice *out);
void stored_free(stored_choice *c);

#endif
