/* From a specification and a model's facts to a plan: process, grid, solver, rows. */
#include "plan/plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "grid/grid.h"
#include "solver/solver.h"

enum { STEPS_MAX = 100000 };

const opt_row plan_options[] = {
    {"solver", OPT_TEXT, "deis", 0, 0, NULL, "see the list of solvers"},
    {"grid", OPT_TEXT, "power:kappa=2", 0, 0, NULL, "see the list of grids"},
    {"steps", OPT_INT, NULL, 1, STEPS_MAX, NULL, "steps; 10 if neither steps nor nfe is given"},
    {"nfe", OPT_INT, NULL, 1, STEPS_MAX, NULL, "budget of evaluations per sample"},
    {"process", OPT_TEXT, NULL, 0, 0, NULL, "instead of the model's; see the list of processes"},
    {"t_start", OPT_REAL, NULL, 0, 1, NULL, "first time; the model's t_max if not given"},
    {"t_end", OPT_REAL, NULL, 0, 1, NULL, "last time; the model's t_min if not given"},
    {"thresholding", OPT_BOOL, "0", 0, 0, NULL, "dynamic thresholding of predicted x_0"},
    {"dynamic_thresholding_ratio", OPT_REAL, "0.995", 0.01, 1, NULL, "quantile of abs(x_0)"},
    {"sample_max_value", OPT_REAL, "1", 1e-3, 1e3, NULL, "least threshold"},
    {"denoise", OPT_BOOL, "0", 0, 0, NULL, "one more evaluation, to land on x_0"},
    {"published", OPT_BOOL, "0", 0, 0, NULL, "what is not given here from the card's sampler"},
    {0},
};

/* Everything between a spec and its rows. */
typedef struct {
    const plan_source *source;
    opts spec, solver_opts;
    process *process;
    const solver_row *solver;
    double *t;
    int steps, nfe;
} front;

static void front_free(front *f) {
    opts_free(&f->spec);
    opts_free(&f->solver_opts);
    process_free(f->process);
    free(f->t);
}

static double real_or_nan(const opts *o, const char *key) {
    return opt_get(o, key)->set ? opt_real(o, key) : NAN;
}

static int steps_for(const front *f, int nfe, bool to_zero) {
    return f->solver->steps ? f->solver->steps(&f->solver_opts, f->process, nfe, to_zero) : nfe;
}

/* steps as asked, or what the budget pays for; 0 if neither is given. At t = 0 there is nothing left
   to denoise. */
static dfl_status count_steps(front *f, const grid_wish *wish, int *steps) {
    double last;
    const opt_value *asked = opt_get(&f->spec, "steps"), *budget = opt_get(&f->spec, "nfe");
    *steps = asked->set ? (int)asked->number : 0;
    if (!budget->set) return DFL_OK;
    if (asked->set)
        return fail(DFL_E_COMBINATION, "steps=%d and nfe=%d are both given; choose one", *steps,
                    (int)budget->number);
    TRY(grid_last(f->process, wish, &last));
    const bool to_zero = last == 0;
    const int nfe = (int)budget->number - (opt_bool(&f->spec, "denoise") && !to_zero ? 1 : 0);
    f->nfe = nfe;
    *steps = steps_for(f, nfe, to_zero);
    if (*steps >= 1) return DFL_OK;
    int least = nfe;
    while (least < STEPS_MAX && steps_for(f, least, to_zero) < 1) least++;
    return fail(DFL_E_RANGE, "nfe=%d is too small a budget for one step of %s; the least is nfe=%d",
                (int)budget->number, f->solver->is.name, least + (int)budget->number - nfe);
}

static dfl_status check_space(const front *f) {
    const bool phase = f->process->row->components == 2;
    if (f->solver->spaces & (phase ? SOLVER_PHASE : SOLVER_SCALAR)) return DFL_OK;
    return fail(DFL_E_COMBINATION, "solver %s works %s; process %s %s", f->solver->is.name,
                phase ? "on scalar processes only" : "in phase space only",
                f->process->row->is.name, phase ? "is in phase space" : "is not");
}

/* Whoever has the results of tuning puts them in place of auto first. */
static dfl_status check_resolved(const front *f) {
    const opt_value *open = opts_unresolved(&f->solver_opts);
    if (open)
        return fail(DFL_E_COMBINATION,
                    "solver %s: %s=auto must be looked up before a plan is made (dfl_tuned_spec)",
                    f->solver->is.name, open->row->key);
    if (strcmp(opt_text(&f->spec, "grid"), "auto") != 0) return DFL_OK;
    return fail(DFL_E_COMBINATION,
                "grid=auto must be looked up before a plan is made (dfl_tuned_spec)");
}

/* Options that the spec does not give come from the card's sampler. */
static dfl_status add_published(front *f) {
    opts card;
    if (!f->source->sampler)
        return fail(DFL_E_COMBINATION, "published=1: the model's card names no sampler");
    TRY(opts_parse_words("the card's sampler", plan_options, f->source->sampler, &card));
    for (int i = 0; i < card.n; i++) {
        if (!card.v[i].given || f->spec.v[i].given) continue;
        const opt_value mine = f->spec.v[i];
        f->spec.v[i] = card.v[i];
        card.v[i] = mine;
    }
    opts_free(&card);
    return DFL_OK;
}

/* Wherever the first time comes from: t_start, a list, a file, or a table's number of steps. */
static dfl_status check_trained(const front *f) {
    if (f->t[0] <= f->source->t_max * (1 + 1e-12)) return DFL_OK;
    return fail(DFL_E_RANGE,
                "t_start=%.15g: this model was trained up to t = %.15g (t_max of its card)",
                f->t[0], f->source->t_max);
}

static dfl_status front_build(front *f, const char *spec) {
    TRY(opts_parse_words("plan", plan_options, spec, &f->spec));
    if (opt_bool(&f->spec, "published")) TRY(add_published(f));
    const char *asked = opt_text(&f->spec, "process");
    TRY(process_new(asked ? asked : f->source->process, &f->process));
    const family_row *found;
    TRY(family_parse(&solver_family, opt_text(&f->spec, "solver"), &found, &f->solver_opts));
    f->solver = (const solver_row *)found;
    TRY(check_resolved(f));
    TRY(check_space(f));
    const netform *form = &f->source->form;
    const bool integers = form->time_dtype == NET_INT32 || form->time_dtype == NET_INT64;
    grid_wish wish = {
        .spec = opt_text(&f->spec, "grid"),
        .start = real_or_nan(&f->spec, "t_start"),
        .end = real_or_nan(&f->spec, "t_end"),
        .model_start = fmin(f->source->t_max, f->process->t_hi),
        .model_end = f->source->t_min,
        .default_steps = 10,
        .unit = integers ? 1 / form->scale : 0,
        .origin = integers ? -form->offset / form->scale : 0,
    };
    TRY(count_steps(f, &wish, &wish.steps));
    TRY(grid_new(f->process, &wish, &f->t, &f->steps));
    return check_trained(f);
}

/* One more evaluation at the last time t: x_0 itself, or in phase space, which cannot land on it,
   one Euler step of length t: along the reverse SDE without noise for stochastic solvers, along the
   probability flow for the others (PSLD's released code). */
static val land(const front *f, rows *r, val x) {
    const double t = f->t[f->steps];
    if (r->out->components == 1) {
        x = rows_x0(r, x, t);
    } else {
        const rows_ode ode = rows_ode_at(r, t);
        const double twice = f->solver->claims(&f->solver_opts, f->process).stochastic ? 2 : 1;
        const term terms[] = {{x, blk_add(blk_real(1), blk_scale(-t, ode.on_z))},
                              {rows_predict(r, x, t), blk_scale(-t * twice, ode.on_y)}};
        x = rows_lin(r, terms, 2);
    }
    rows_step(r, x, 0, 1);
    return x;
}

/* Thresholding is of a predicted x_0 that leaves a number n; phase space has no such pair. */
static dfl_status set_thresholding(const front *f, rows *r) {
    if (!opt_bool(&f->spec, "thresholding")) return DFL_OK;
    if (f->process->row->components == 2)
        return fail(DFL_E_COMBINATION,
                    "thresholding is of predicted clean data, which solvers in phase space do not "
                    "form; choose a scalar process");
    r->limit_quantile = opt_real(&f->spec, "dynamic_thresholding_ratio");
    r->limit_floor = opt_real(&f->spec, "sample_max_value");
    return DFL_OK;
}

static dfl_status write_rows(const front *f, program *code, text *warnings) {
    code->components = f->process->row->components;
    rows r = {.process = f->process, .form = &f->source->form, .out = code, .warnings = warnings};
    val x = 0;
    TRY(program_add_value(code, code->components, &x));
    plan_input start = {.id = x, .t = f->t[0], .scale = process_prior(f->process, f->t[0])};
    process_marginal(f->process, start.t, &start.at);
    TRY(program_add_input(code, &start));
    TRY(set_thresholding(f, &r));
    const problem pb = {.process = f->process,
                        .t = f->t,
                        .steps = f->steps,
                        .o = &f->solver_opts,
                        .grid = opt_text(&f->spec, "grid"),
                        .digest = f->source->digest,
                        .folder = f->source->folder,
                        .network = f->source->network,
                        .dim = f->source->dim,
                        .nfe = f->nfe};
    x = f->solver->fill(&pb, &r, x);
    if (opt_bool(&f->spec, "denoise") && f->t[f->steps] > 0) x = land(f, &r, x);
    if (code->components == 2) { /* the momentum has done its work */
        const term position = {x, {1, 2, {1, 0}}};
        x = rows_lin(&r, &position, 1);
    }
    TRY(r.status);
    TRY(program_add_output(code, x));
    return program_prune(code);
}

/* ---- options that change nothing ------------------------------------------------------------- */

static bool same_value(const opt_value *a, const opt_value *b) {
    if (a->set != b->set || a->nlist != b->nlist) return false;
    for (size_t i = 0; i < a->nlist; i++)
        if (a->list[i] != b->list[i]) return false;
    return !a->set || a->nlist > 0 || a->number == b->number;
}

static bool may_be_idle(const front *f, const opt_value *v, const opt_value *plain) {
    const bool checks = f->solver->checks && strcmp(f->solver->checks, v->row->key) == 0;
    return v->given && v->row->type != OPT_TEXT && !checks && !opt_is_auto(plain) &&
           !same_value(v, plain);
}

/* Whether these options make the same program; not if they pay for another number of steps. */
static dfl_status makes_same(const front *f, const program *code, bool *same) {
    program made = {0};
    *same = false;
    if (f->nfe > 0 && steps_for(f, f->nfe, f->t[f->steps] == 0) != f->steps) return DFL_OK;
    const dfl_status status = write_rows(f, &made, NULL);
    if (status == DFL_OK) *same = program_equal(&made, code);
    program_free(&made);
    return status;
}

/* Warns of each option given that the plan would be the same without: one for another kind of the
   solver, or for times that are not reached. What only checks, or names a file, is left alone. */
static dfl_status tell_idle(front *f, const program *code, text *warnings) {
    opts plain;
    TRY(opts_parse(f->solver->is.name, f->solver->is.options, "", &plain));
    dfl_status status = DFL_OK;
    for (int i = 0; i < plain.n && status != DFL_E_MEMORY; i++) {
        opt_value *const v = &f->solver_opts.v[i];
        const opt_value mine = *v;
        bool same;
        if (!may_be_idle(f, v, &plain.v[i])) continue;
        *v = plain.v[i];
        status = makes_same(f, code, &same);
        *v = mine;
        if (same)
            text_add(warnings, "solver %s: %s%s%s changes nothing here\n", f->solver->is.name,
                     mine.row->key, mine.nlist ? "" : "=", mine.nlist ? "" : mine.text);
    }
    opts_free(&plain);
    return status == DFL_E_MEMORY ? status : DFL_OK;
}

/* ---- the plan -------------------------------------------------------------------------------- */

static dfl_status keep(char **to, text *from) {
    const bool failed = from->failed || !from->data;
    *to = failed ? NULL : from->data;
    if (failed) text_free(from);
    return failed ? fail_memory() : DFL_OK;
}

static dfl_status write_meta(const front *f, plan_meta *meta) {
    text part[4] = {{0}, {0}, {0}, {0}};
    family_print(&f->solver->is, &f->solver_opts, &part[0]);
    family_print(&f->process->row->is, &f->process->options, &part[1]);
    text_add(&part[2], "%s", opt_text(&f->spec, "grid"));
    text_add(&part[3], "%s", dfl_version());
    char **const to[4] = {&meta->solver, &meta->process, &meta->grid, &meta->version};
    dfl_status status = DFL_OK;
    for (int i = 0; i < 4; i++) {
        const dfl_status one = keep(to[i], &part[i]);
        if (status == DFL_OK) status = one;
    }
    return status;
}

dfl_status plan_compile(const char *spec, const plan_source *source, dfl_plan **out) {
    *out = NULL;
    front f = {.source = source};
    program code = {0};
    text warnings = {0};
    dfl_status status = front_build(&f, spec);
    if (status == DFL_OK && opt_bool(&f.spec, "published") && source->sampler_differs)
        text_add(&warnings, "the card's sampler is not all of the published one: %s\n",
                 source->sampler_differs);
    if (status == DFL_OK) status = write_rows(&f, &code, &warnings);
    if (status == DFL_OK) status = tell_idle(&f, &code, &warnings);
    if (status == DFL_OK && warnings.failed) status = fail_memory();
    if (status == DFL_OK)
        status = plan_finish(&code, out);
    else
        program_free(&code);
    if (status == DFL_OK) {
        (*out)->warnings = warnings;
        warnings = (text){0};
        status = write_meta(&f, &(*out)->meta);
    }
    text_free(&warnings);
    front_free(&f);
    if (status != DFL_OK) {
        plan_free(*out);
        *out = NULL;
    }
    return status;
}
