/* "driftless plan": compiles a plan and shows it, or saves it as JSON. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "cli.h"
#include "output.h"
#include "spec.h"
#include "study/study.h"

static int run_plan(const args *a);

static const arg_row rows[] = {
    SPEC_ROWS,
    {0, "plan", NULL, "FILE", NULL, "show this plan (JSON) in place of a new one", ARG_FILE, 0, 0},
    {0, "json", NULL, "FILE", NULL, "save the plan as JSON; - writes it to standard output",
     ARG_FILE, 0, 0},
    ROWS_END};

const command command_plan = {
    "plan",
    "MODEL | --process TEXT | --plan FILE [options]",
    "Compiles a sampler for a model, or for a process alone (noise prediction, times 1 to 0.001), "
    "and prints it as a table: steps, times, coefficients. No network is loaded.",
    "example:\n  driftless plan --process vp_linear --solver deis:order=2 --steps 8\n",
    0,
    1,
    rows,
    run_plan};

/* A plan needs the card alone, so the network stays on disk. */
static dfl_status plan_from_card(const args *a, card *c, spec_made *made) {
    struct dfl_model model = {.card = *c, .calls = 1};
    tell_warnings(c->warnings.data);
    const dfl_status status = spec_compile(a, &model, made);
    card_free(c);
    return status;
}

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

static dfl_status plan_of_mixture(const args *a, spec_made *made, int *code) {
    dfl_model *model = NULL;
    *code = CODE_MODEL;
    TRY(dfl_model_open(a->operand[0], NULL, &model));
    *code = CODE_BY_STATUS;
    const dfl_status status = spec_compile(a, model, made);
    dfl_model_free(model);
    return status;
}

static dfl_status refuse_adaptive(const args *a) {
    const char *solver = arg(a, "solver")->text;
    if (!solver || !adaptive_is_named(solver)) return DFL_OK;
    return fail(DFL_E_ARG,
                "%.*s chooses its steps sample by sample while it runs, so it is not a plan; "
                "\"driftless sample\" runs it",
                (int)strcspn(solver, ":"), solver);
}

/* *code is the exit code that a failure at that point means. */
static dfl_status make_plan(const args *a, dfl_plan **out, int *code) {
    const char *where = a->operand[0], *process = arg(a, "process")->text;
    spec_made made = {0};
    card c = {0};
    dfl_status status = refuse_adaptive(a);
    if (status == DFL_OK) status = spec_make(a, &made.spec);
    if (status != DFL_OK) goto done;
    if (!where && !process) {
        status = fail(DFL_E_ARG, "usage: driftless plan %s", a->command->operands);
        goto done;
    }
    if (where && mixture_path(where)) {
        status = plan_of_mixture(a, &made, code);
        goto done;
    }
    *code = where ? CODE_MODEL : CODE_BY_STATUS;
    TRY_GOTO(where ? card_read(where, &c) : card_of_process(process, &c), done);
    *code = CODE_BY_STATUS;
    status = plan_from_card(a, &c, &made);
done:
    *out = made.plan;
    spec_free(&made);
    return status;
}

static dfl_status get_table(const void *plan, char *buf, size_t cap, size_t *need) {
    return dfl_plan_to_text(plan, buf, cap, need);
}

static dfl_status show(const args *a, const dfl_plan *plan) {
    const char *path = arg(a, "json")->text;
    char *data = NULL;
    if (path)
        TRY(plan_json(plan, &data));
    else
        TRY(fetch_text(get_table, plan, &data));
    const dfl_status status = path ? write_text(path, data) : print_page(data);
    free(data);
    return status;
}

static dfl_status load_plan(const args *a, dfl_plan **out) {
    if (a->noperands > 0) return fail(DFL_E_ARG, "a model cannot stand beside --plan");
    TRY(spec_refuse(a));
    return plan_load(arg(a, "plan")->text, out);
}

static int run_plan(const args *a) {
    const char *path = arg(a, "json")->text;
    dfl_plan *plan = NULL;
    dfl_status status = DFL_OK;
    int code = CODE_BY_STATUS;
    if (path && strcmp(path, "-") != 0) status = output_check_folder(path);
    if (status == DFL_OK)
        status = arg_given(a, "plan") ? load_plan(a, &plan) : make_plan(a, &plan, &code);
    if (status == DFL_OK) {
        code = CODE_FAILURE;
        status = show(a, plan);
    }
    dfl_plan_free(plan);
    return status == DFL_OK ? CODE_OK : tell_failure(status, code);
}
