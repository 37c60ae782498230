/* "driftless plan": compiles a plan and shows it, saves it as JSON, or predicts its error. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "output.h"
#include "plan/table.h"
#include "planner.h"
#include "predict.h"
#include "spec.h"
#include "study/doctor.h"
#include "study/study.h"

static int run_plan(const args *a);

static const arg_row plan_rows[] = {
    SPEC_ROWS_WITH(SPEC_BUDGETS),
    {0, "plan", NULL, "FILE", NULL, "show this plan (JSON) in place of a new one", ARG_FILE, 0, 0},
    {0, "import", NULL, "FILE", NULL,
     "make the plan of this table of coefficients (CSV or JSON, docs/plan-format.md)", ARG_FILE, 0,
     0},
    {0, "source", NULL, "TEXT", "the table's, or its file",
     "where the table comes from, kept in the plan", ARG_TEXT, 0, 0},
    {0, "json", NULL, "FILE", NULL, "save the plan as JSON; - writes it to standard output",
     ARG_OUTPUT, 0, 0},
    PREDICT_ROWS,
    {'q', "quiet", NULL, NULL, NULL, "no warnings and no notes", ARG_FLAG, 0, 0},
    ROWS_END};

const command command_plan = {
    "plan",
    "MODEL | --process TEXT | --plan FILE [options]",
    "Compiles a sampler for a model, or for a process alone (noise prediction, times 1 to 0.001), "
    "and prints it as a table: steps, times, coefficients. With --predict, says how far off its "
    "samples would be if the data were Gaussian, and ranks solvers by that. No network is loaded.",
    "examples:\n  driftless plan --process vp_linear --solver deis:order=2 --steps 8\n"
    "  driftless plan models/fashion-vp --predict models/fashion-vp/moments.npz \\\n"
    "      --solvers all --nfe 5,8,10\n",
    0,
    1,
    plan_rows,
    run_plan};

static dfl_status refuse_adaptive(const args *a) {
    const char *solver = arg(a, "solver")->text;
    if (!solver || !adaptive_is_named(solver)) return DFL_OK;
    return fail(DFL_E_ARG,
                "%.*s chooses its steps sample by sample while it runs, so it is not a plan; "
                "\"driftless sample\" runs it",
                (int)strcspn(solver, ":"), solver);
}

/* What the doctor would say of it without asking the network; `model` NULL: without knowing it. What
   the plan warns of itself stands in its table. */
static dfl_status tell_findings(const args *a, dfl_model *model, dfl_plan *plan) {
    const char *nfe = arg(a, "nfe")->text;
    long long budget = 0;
    doctor_lines lines;
    if (arg_given(a, "quiet")) return DFL_OK;
    if (nfe) text_to_int(nfe, &budget);
    if (arg_given(a, "json")) TRY(plan_tell_warnings(plan));
    const dfl_status status = doctor_of_plan(model, plan, (size_t)budget, &lines);
    if (status == DFL_OK) tell_warnings(lines.warnings.data);
    if (status == DFL_OK) tell_notes(lines.notes.data);
    doctor_lines_free(&lines);
    return status;
}

/* The model whose card a plan is for; NULL for a process alone, whose card is made up. */
static dfl_model *model_of(const args *a, const planner *p) {
    return a->noperands > 0 ? p->model : NULL;
}

/* *code is the exit code that a failure at that point means. */
static dfl_status make_plan(const args *a, dfl_plan **out, int *code) {
    planner p = {0};
    text spec = {0};
    dfl_status status = refuse_adaptive(a);
    if (status == DFL_OK) status = budgets_check(a);
    if (status == DFL_OK) status = spec_make(a, &spec);
    if (status == DFL_OK) status = planner_open(a, &p, code);
    if (status == DFL_OK) status = planner_plan(a, &p, spec.data, out);
    if (status == DFL_OK) status = tell_findings(a, model_of(a, &p), *out);
    planner_close(&p);
    text_free(&spec);
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
    TRY(spec_refuse(a, "plan"));
    TRY(plan_load(arg(a, "plan")->text, out));
    return tell_findings(a, NULL, *out);
}

/* ---- tables ------------------------------------------------------------------------------------- */

static dfl_status import_for(const args *a, const card *c, const plan_table *t, dfl_plan **out) {
    const char *path = arg(a, "import")->text, *asked = arg(a, "process")->text;
    const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    const char *title = arg_given(a, "source") ? arg(a, "source")->text
                        : t->source            ? t->source
                                               : name;
    const plan_source source = {.process = asked ? asked : c->process,
                                .form = c->form,
                                .t_min = c->t_min,
                                .t_max = c->t_max};
    table_check found;
    const dfl_status status = table_plan(t, &source, title, &found, out);
    if (status != DFL_OK) return fail_in(status, "%s", path);
    if (arg_given(a, "quiet")) return DFL_OK;
    fprintf(stderr,
            "driftless: %zu steps; a constant output is taken off its label by at most %.2g (step "
            "%zu)\n",
            t->n, found.violation, found.worst + 1);
    return DFL_OK;
}

/* Beside a table only what it is for may stand. */
static dfl_status import_plan(const args *a, dfl_plan **out, int *code) {
    planner p = {0};
    plan_table t = {0};
    TRY(spec_refuse(a, "import"));
    TRY(table_read(arg(a, "import")->text, &t));
    dfl_status status = planner_open(a, &p, code);
    if (status == DFL_OK) status = import_for(a, &p.model->card, &t, out);
    if (status == DFL_OK) status = tell_findings(a, model_of(a, &p), *out);
    planner_close(&p);
    table_free(&t);
    return status;
}

static dfl_status refuse_two(const args *a) {
    if (arg_given(a, "import") && arg_given(a, "plan"))
        return fail(DFL_E_ARG, "--import makes a plan, and --plan shows one: choose one of them");
    if (arg_given(a, "source") && !arg_given(a, "import"))
        return fail(DFL_E_ARG, "--source is for --import: it says where the table comes from");
    if (arg_given(a, "import") && arg_given(a, "predict"))
        return fail(DFL_E_ARG, "--predict takes a plan from --plan: save the imported one first");
    return DFL_OK;
}

/* *code as for make_plan(). */
static dfl_status get_plan(const args *a, dfl_plan **out, int *code) {
    if (arg_given(a, "import")) return import_plan(a, out, code);
    return arg_given(a, "plan") ? load_plan(a, out) : make_plan(a, out, code);
}

static int run_plan(const args *a) {
    const char *path = arg(a, "json")->text;
    dfl_plan *plan = NULL;
    dfl_status status = DFL_OK;
    int code = CODE_BY_STATUS;
    if (path && strcmp(path, "-") != 0) status = output_check_folder(path);
    if (status == DFL_OK) status = refuse_two(a);
    if (status == DFL_OK && arg_given(a, "predict")) return run_predict(a);
    if (status == DFL_OK) status = refuse_ranking(a);
    if (status == DFL_OK) status = get_plan(a, &plan, &code);
    if (status == DFL_OK) {
        code = CODE_FAILURE;
        status = show(a, plan);
    }
    dfl_plan_free(plan);
    return status == DFL_OK ? CODE_OK : tell_failure(status, code);
}
