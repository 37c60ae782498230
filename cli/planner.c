/* Opening what plans are made for, and making them. */
#include "planner.h"

#include <string.h>

#include "base/json.h"
#include "cli.h"
#include "spec.h"

static dfl_status card_of_process(const char *process, card *out) {
    text t = {0};
    text_add(&t, "{\"format\": \"driftless-model/1\", \"prediction_type\": \"epsilon\", "
                 "\"sample\": {\"shape\": [1]}, \"process\": ");
    json_add_text(&t, process);
    text_add(&t, "}");
    const dfl_status status =
        t.failed ? fail_memory() : card_parse("--process", t.data, t.len, out);
    text_free(&t);
    return status;
}

dfl_status planner_open(const args *a, planner *out, int *code) {
    const char *where = a->operand[0], *process = arg(a, "process")->text;
    *out = (planner){0};
    *code = CODE_BY_STATUS;
    if (!where && !process)
        return fail(DFL_E_ARG, "usage: driftless %s %s", a->command->name, a->command->operands);
    if (where) *code = CODE_MODEL;
    if (where && mixture_path(where)) {
        TRY(dfl_model_open(where, NULL, &out->opened));
        out->model = out->opened;
    } else {
        TRY(where ? card_read(where, &out->bare.card) : card_of_process(process, &out->bare.card));
        out->bare.calls = 1;
        if (!arg_given(a, "quiet")) tell_warnings(out->bare.card.warnings.data);
        out->model = &out->bare;
    }
    *code = CODE_BY_STATUS;
    return DFL_OK;
}

void planner_close(planner *p) {
    if (p->model == &p->bare) card_free(&p->bare.card);
    dfl_model_free(p->opened);
    *p = (planner){0};
}

dfl_status planner_plan(const args *a, const planner *p, const char *words, dfl_plan **out) {
    spec_made made = {.quiet = arg_given(a, "quiet")};
    text_add(&made.spec, "%s", words);
    const dfl_status status = made.spec.failed ? fail_memory() : spec_compile(a, p->model, &made);
    *out = made.plan;
    spec_free(&made);
    return status;
}
