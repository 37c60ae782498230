/* Where cards meet plans. */
#include "model/model.h"
#include "plan/plan.h"

/* Callbacks and mixtures take whatever state they are handed; a graph does not. */
static dfl_status check_space(const card *c, const dfl_plan *plan) {
    if (!c->network_file || plan->code.components == c->components) return DFL_OK;
    return fail(DFL_E_COMBINATION,
                "the process has %d state component%s, but the network's card says "
                "\"state_components\": %d",
                plan->code.components, plan->code.components > 1 ? "s" : "", c->components);
}

dfl_status dfl_plan_new(const dfl_model *model, const char *spec, dfl_plan **out) {
    if (!out) return fail(DFL_E_ARG, "dfl_plan_new: out is NULL");
    *out = NULL;
    if (!model) return fail(DFL_E_ARG, "dfl_plan_new: model is NULL");
    const card *c = &model->card;
    const char *digest = *model->identity ? model->identity : c->sha256;
    const plan_source source = {.process = c->process,
                                .form = c->form,
                                .t_min = c->t_min,
                                .t_max = c->t_max,
                                .sampler = c->sampler,
                                .sampler_differs = c->sampler_differs,
                                .dim = card_dim(c),
                                .digest = *digest ? digest : NULL,
                                .folder = c->folder,
                                .network = c->network_file};
    TRY(plan_compile(spec ? spec : "", &source, out));
    dfl_status status = check_space(c, *out);
    if (status == DFL_OK && c->name) {
        (*out)->meta.network = text_copy(c->name);
        if (!(*out)->meta.network) status = fail_memory();
    }
    if (status == DFL_OK) return DFL_OK;
    plan_free(*out);
    *out = NULL;
    return status;
}
