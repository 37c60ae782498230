/* Where cards meet plans. */
#include "model/model.h"
#include "plan/plan.h"

dfl_status dfl_plan_new(const dfl_model *model, const char *spec, dfl_plan **out) {
    if (!out) return fail(DFL_E_ARG, "dfl_plan_new: out is NULL");
    *out = NULL;
    if (!model) return fail(DFL_E_ARG, "dfl_plan_new: model is NULL");
    const card *c = &model->card;
    const plan_source source = {c->process, c->form,     c->t_min,
                                c->t_max,   card_dim(c), c->sha256[0] ? c->sha256 : NULL};
    TRY(plan_compile(spec ? spec : "", &source, out));
    if (!c->name) return DFL_OK;
    (*out)->meta.network = text_copy(c->name);
    if ((*out)->meta.network) return DFL_OK;
    plan_free(*out);
    *out = NULL;
    return fail_memory();
}
