/* Where cards meet plans, and the listings of the families. */
#include <string.h>

#include "base/family.h"
#include "grid/grid.h"
#include "model/model.h"
#include "plan/plan.h"
#include "solver/solver.h"

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
                                .dim = card_dim(c),
                                .digest = *digest ? digest : NULL,
                                .folder = c->folder,
                                .network = c->network_file};
    TRY(plan_compile(spec ? spec : "", &source, out));
    if (!c->name) return DFL_OK;
    (*out)->meta.network = text_copy(c->name);
    if ((*out)->meta.network) return DFL_OK;
    plan_free(*out);
    *out = NULL;
    return fail_memory();
}

dfl_status dfl_describe(const char *family_name, char *buf, size_t cap, size_t *need) {
    const struct {
        const char *name;
        const family *f;
    } families[] = {
        {"solvers", &solver_family}, {"grids", &grid_family}, {"processes", &process_family}};
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        if (family_name && strcmp(family_name, families[i].name) == 0) {
            text out = {0};
            family_describe(families[i].f, &out);
            return text_result(&out, buf, cap, need);
        }
    return fail(DFL_E_ARG, "dfl_describe: '%.40s'; solvers, grids or processes are allowed",
                family_name ? family_name : "");
}
