/* Predictions of "driftless plan": the cells that are asked for, their plans, and the moments. */
#include "predict.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "cli.h"
#include "plan/plan.h"
#include "planner.h"
#include "spec.h"
#include "study/study.h"

enum { WORDS_MAX = 256, CELLS_MAX = 10000, BUDGETS_MAX = 64 };
static const char blanks[] = " \t\r\n";

/* ---- words and budgets ----------------------------------------------------------------------- */

/* A copy of a list, cut into words. */
typedef struct {
    char *text;
    const char *word[WORDS_MAX];
    size_t n;
} word_list;

static dfl_status split(const char *option, const char *list, word_list *out) {
    *out = (word_list){.text = text_copy(list)};
    if (!out->text) return fail_memory();
    for (char *at = out->text + strspn(out->text, blanks); *at; at += strspn(at, blanks)) {
        if (out->n == WORDS_MAX)
            return fail(DFL_E_ARG, "--%s: more than %d words", option, WORDS_MAX);
        out->word[out->n++] = at;
        at += strcspn(at, blanks);
        if (*at) *at++ = 0;
    }
    return out->n ? DFL_OK : fail(DFL_E_ARG, "--%s: the list is empty", option);
}

typedef struct {
    int nfe[BUDGETS_MAX]; /* 0: steps are given instead */
    size_t n;
} budgets;

static dfl_status add_budget(const char *digits, size_t length, budgets *out) {
    char word[24] = "";
    long long n = 0;
    if (length < sizeof word) memcpy(word, digits, length);
    if (length >= sizeof word || !text_to_int(word, &n) || n < 1 || n > 100000)
        return fail(DFL_E_ARG, "--nfe: \"%.*s\" is not a whole number from 1 to 100000",
                    (int)length, digits);
    if (out->n == BUDGETS_MAX) return fail(DFL_E_ARG, "--nfe: more than %d budgets", BUDGETS_MAX);
    out->nfe[out->n++] = (int)n;
    return DFL_OK;
}

static dfl_status read_budgets(const args *a, budgets *out) {
    const char *at = arg(a, "nfe")->text;
    *out = (budgets){.n = at ? 0 : 1};
    while (at) {
        const size_t length = strcspn(at, ",");
        TRY(add_budget(at, length, out));
        at = at[length] ? at + length + 1 : NULL;
    }
    return DFL_OK;
}

dfl_status budgets_check(const args *a) {
    budgets b;
    TRY(read_budgets(a, &b));
    return b.n == 1 ? DFL_OK
                    : fail(DFL_E_ARG, "--nfe: several budgets go with --predict; a plan has one");
}

dfl_status refuse_ranking(const args *a) {
    static const char *const options[] = {"solvers", "grids", "rank-by"};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (arg_given(a, options[i]))
            return fail(DFL_E_ARG, "--%s goes with --predict", options[i]);
    return DFL_OK;
}

/* ---- the cells that are asked for ------------------------------------------------------------ */

typedef struct {
    const args *args;
    planner from;
    spectrum data;
    word_list solvers, grids;
    budgets budgets;
    ranking ranking;
    bool single; /* one plan, by --solver and --grid or by --plan */
} request;

static bool same_cell(const ranked *c, const char *solver, const char *grid, int budget) {
    return c->budget == budget && strcmp(c->solver, solver) == 0 && strcmp(c->grid, grid) == 0;
}

static dfl_status add_cell(ranking *r, const char *solver, const char *grid, int budget) {
    for (size_t i = 0; i < r->n; i++)
        if (same_cell(&r->cell[i], solver, grid, budget)) return DFL_OK;
    if (r->n == CELLS_MAX) return fail(DFL_E_ARG, "more than %d plans to rank", CELLS_MAX);
    if (!mem_grow((void **)&r->cell, &r->cap, r->n + 1, sizeof *r->cell)) return fail_memory();
    r->cell[r->n] = (ranked){.solver = solver, .grid = grid, .budget = budget, .order = r->n};
    r->n++;
    return DFL_OK;
}

/* A solver on every grid that is asked for; `own` is what "usual" stands for. */
static dfl_status add_solver(request *q, const char *solver, const char *own, int budget) {
    for (size_t g = 0; g < q->grids.n; g++) {
        const bool usual = strcmp(q->grids.word[g], "usual") == 0;
        TRY(add_cell(&q->ranking, solver, usual ? own : q->grids.word[g], budget));
    }
    return DFL_OK;
}

/* Components of the process that plans are for: the card's, or those of --process. */
static dfl_status count_components(const request *q, int *out) {
    process *p = NULL;
    const char *asked = arg(q->args, "process")->text;
    TRY(process_new(asked ? asked : q->from.model->card.process, &p));
    *out = p->row->components;
    process_free(p);
    return DFL_OK;
}

static dfl_status add_cells(request *q) {
    int components = 1;
    TRY(count_components(q, &components));
    for (size_t b = 0; b < q->budgets.n; b++)
        for (size_t s = 0; s < q->solvers.n; s++) {
            const char *solver = q->solvers.word[s];
            const int budget = q->budgets.nfe[b];
            if (adaptive_is_named(solver))
                return fail(DFL_E_ARG,
                            "%s chooses its steps while it runs, so it is not a plan and cannot "
                            "be predicted",
                            solver);
            if (strcmp(solver, "all") != 0) {
                TRY(add_solver(q, solver, usual_grid(solver, components), budget));
                continue;
            }
            for (const usual_pair *u = components == 2 ? usual_phase : usual_scalar; u->solver; u++)
                TRY(add_solver(q, u->solver, u->grid, budget));
        }
    return DFL_OK;
}

/* --solver stands for a list of one, and --grid, too. */
static dfl_status read_lists(request *q) {
    const args *a = q->args;
    static const char *const one[] = {"solver", "grid"}, *const many[] = {"solvers", "grids"};
    for (int i = 0; i < 2; i++)
        if (arg_given(a, one[i]) && arg_given(a, many[i]))
            return fail(DFL_E_ARG, "--%s and --%s are two ways to say one thing: give one of them",
                        one[i], many[i]);
    if (q->single) return DFL_OK;
    const char *solver = arg(a, "solver")->text, *grid = arg(a, "grid")->text;
    const char *solvers = arg(a, "solvers")->text, *grids = arg(a, "grids")->text;
    TRY(split("solvers", solvers ? solvers : (solver ? solver : "deis"), &q->solvers));
    TRY(split("grids", grids ? grids : (grid ? grid : "usual"), &q->grids));
    return add_cells(q);
}

/* ---- predicting ------------------------------------------------------------------------------ */

static dfl_status predict(const request *q, const dfl_plan *plan, ranked *c) {
    c->steps = plan->steps;
    c->nfe = plan->nfe;
    return forecast_plan(plan, &q->data, &c->is);
}

static dfl_status cell_words(const request *q, const ranked *c, text *out) {
    TRY(spec_make_rest(q->args, out));
    text_add(out, "%ssolver=%s grid=%s", out->len ? " " : "", c->solver, c->grid);
    if (c->budget) text_add(out, " nfe=%d", c->budget);
    if (!c->budget && arg_given(q->args, "steps"))
        text_add(out, " steps=%lld", arg(q->args, "steps")->integer);
    return out->failed ? fail_memory() : DFL_OK;
}

/* A plan that cannot be made is a line in the table; only lack of memory ends all. */
static dfl_status predict_cell(const request *q, ranked *c) {
    text words = {0};
    dfl_plan *plan = NULL;
    dfl_status status = cell_words(q, c, &words);
    if (status == DFL_OK) status = planner_plan(q->args, &q->from, words.data, &plan);
    if (status == DFL_OK) status = predict(q, plan, c);
    dfl_plan_free(plan);
    text_free(&words);
    if (status == DFL_OK || status == DFL_E_MEMORY) return status;
    c->refused = text_copy(dfl_last_message());
    return c->refused ? DFL_OK : fail_memory();
}

static dfl_status predict_all(request *q) {
    bool any = false;
    for (size_t i = 0; i < q->ranking.n; i++) {
        TRY(predict_cell(q, &q->ranking.cell[i]));
        any = any || !q->ranking.cell[i].refused;
    }
    if (any) return DFL_OK;
    return fail(DFL_E_COMBINATION, "none of %zu plans can be predicted; the first: %s",
                q->ranking.n, q->ranking.cell[0].refused);
}

static dfl_status predict_single(request *q, dfl_plan **plan) {
    text spec = {0};
    dfl_status status = DFL_OK;
    if (arg_given(q->args, "plan")) {
        status = plan_load(arg(q->args, "plan")->text, plan);
    } else {
        status = spec_make(q->args, &spec);
        if (status == DFL_OK) status = planner_plan(q->args, &q->from, spec.data, plan);
    }
    text_free(&spec);
    TRY(status);
    const plan_meta *meta = &(*plan)->meta;
    TRY(add_cell(&q->ranking, meta->solver ? meta->solver : "-", meta->grid ? meta->grid : "-",
                 q->budgets.nfe[0]));
    return predict(q, *plan, q->ranking.cell);
}

/* ---- moments --------------------------------------------------------------------------------- */

static dfl_status moments_of_card(const request *q, spectrum *out) {
    const dfl_model *m = q->from.model;
    if (!m || !m->card.has_moments)
        return fail(DFL_E_COMBINATION,
                    "--predict card: there is no card with \"moments\"; give an .npz with the "
                    "data's mean and covariance");
    return spectrum_of_numbers(m->card.mean, m->card.std, out);
}

static dfl_status read_moments(request *q) {
    const char *path = arg(q->args, "predict")->text;
    if (strcmp(path, "card") == 0) return moments_of_card(q, &q->data);
    TRY(spectrum_read(path, &q->data));
    const dfl_model *m = q->from.model;
    if (!m || !q->args->operand[0]) return DFL_OK; /* a process alone fits any data */
    const size_t dim = card_dim(&m->card), classes = (size_t)m->card.classes;
    if (q->data.dim != dim)
        return fail(DFL_E_COMBINATION, "%s: moments of %zu numbers; samples of the model have %zu",
                    path, q->data.dim, dim);
    if (q->data.classes > 1 && classes > 0 && q->data.classes != classes)
        return fail(DFL_E_COMBINATION, "%s: moments of %zu classes; the model has %zu", path,
                    q->data.classes, classes);
    return DFL_OK;
}

/* ---- telling --------------------------------------------------------------------------------- */

static dfl_status tell_json(const request *q, bool by_flow) {
    text out = {0};
    text_add(&out, "{\"format\": \"driftless-prediction/1\", \"moments\": ");
    json_add_text(&out, arg(q->args, "predict")->text);
    text_add(&out, ", \"classes\": %zu, \"dim\": ", q->data.classes);
    if (q->data.dim)
        text_add(&out, "%zu", q->data.dim);
    else
        text_add(&out, "null");
    text_add(&out, ", \"ranked_by\": \"%s\",\n \"plans\": [", by_flow ? "flow" : "data");
    ranking_json(&q->ranking, &out);
    text_add(&out, "]}\n");
    const dfl_status status =
        out.failed ? fail_memory() : write_text(arg(q->args, "json")->text, out.data);
    text_free(&out);
    return status;
}

static dfl_status tell(request *q) {
    const char *by = arg(q->args, "rank-by")->text;
    const bool by_flow = by ? strcmp(by, "flow") == 0 : ranking_has_flow(&q->ranking);
    text out = {0};
    ranking_sort(&q->ranking, by_flow);
    if (arg_given(q->args, "json")) return tell_json(q, by_flow);
    ranking_print(&q->ranking, &out);
    text_add(&out, "\nfor Gaussian data of the moments of %s, %zu %s; by %s\n",
             arg(q->args, "predict")->text, q->data.classes,
             q->data.classes == 1 ? "class" : "classes", by_flow ? "flow" : "data");
    const dfl_status status = out.failed ? fail_memory() : print_page(out.data);
    text_free(&out);
    return status;
}

static dfl_status prepare(request *q, int *code) {
    const args *a = q->args;
    const bool plan = arg_given(a, "plan");
    TRY(read_budgets(a, &q->budgets));
    q->single = plan || (!arg_given(a, "solvers") && !arg_given(a, "grids") && q->budgets.n == 1);
    if (plan && a->noperands > 0) return fail(DFL_E_ARG, "a model cannot stand beside --plan");
    if (plan && (arg_given(a, "solvers") || arg_given(a, "grids")))
        return fail(DFL_E_ARG, "--solvers and --grids cannot stand beside --plan");
    if (plan) TRY(spec_refuse(a, "plan"));
    if (arg_given(a, "solver") && adaptive_is_named(arg(a, "solver")->text))
        return fail(DFL_E_ARG,
                    "%s chooses its steps while it runs, so it is not a plan and cannot "
                    "be predicted",
                    arg(a, "solver")->text);
    if (!plan) TRY(planner_open(a, &q->from, code));
    *code = CODE_BY_STATUS;
    TRY(read_moments(q));
    return read_lists(q);
}

int run_predict(const args *a) {
    request q = {.args = a};
    dfl_plan *plan = NULL;
    int code = CODE_BY_STATUS;
    dfl_status status = prepare(&q, &code);
    if (status == DFL_OK) status = q.single ? predict_single(&q, &plan) : predict_all(&q);
    if (status == DFL_OK) status = tell(&q);
    ranking_free(&q.ranking);
    dfl_plan_free(plan);
    free(q.solvers.text);
    free(q.grids.text);
    spectrum_free(&q.data);
    planner_close(&q.from);
    return status == DFL_OK ? CODE_OK : tell_failure(status, code);
}
