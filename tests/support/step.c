#include "support/step.h"

#include <stdio.h>

#include "plan/plan.h"
#include "support/cases.h"

one_step step_of(const char *process_spec, score_matching matching, const char *solver, double t,
                 double s) {
    plan_source source = {
        .process = process_spec, .form = networks[0].form, .t_min = 1e-3, .t_max = 1};
    source.form.matching = matching;
    char spec[256];
    dfl_plan *plan;
    one_step step = {blk_2x2(0, 0, 0, 0), blk_2x2(0, 0, 0, 0)};
    snprintf(spec, sizeof spec, "solver=%s grid=list:times=[%.17g,%.17g]", solver, t, s);
    if (plan_compile(spec, &source, &plan) != DFL_OK)
        REFUTE("%s, %s: %s", process_spec, spec, dfl_last_message());
    val input = -1, answer = -1;
    bool written = false;
    for (size_t i = 0; i < plan->code.nrows; i++) {
        const row *r = &plan->code.rows[i];
        const term *sources = &plan->code.terms[r->src];
        if (r->op == ROW_EVAL) input = sources[0].v, answer = r->dst;
        if (r->op != ROW_LIN || answer < 0 || written) continue;
        for (size_t k = 0; k < r->nsrc; k++) {
            if (sources[k].v == input) step.on_z = sources[k].c;
            if (sources[k].v == answer) step.on_y = sources[k].c;
        }
        written = true;
    }
    assert_true(written && plan->nfe == 1 && plan->steps == 1);
    plan_free(plan);
    return step;
}
