/* lambda=auto, lambda_s=auto, grid=auto: from the text of a spec and the store of tuned values to
   text that a plan can be made of. */
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plan/plan.h"
#include "study/store.h"

/* A spec that asks for tuned values. */
typedef struct {
    const dfl_model *model;
    opts spec, solver_opts;
    const solver_row *solver;
    process *process;
    bool any_grid;     /* grid=auto */
    int nfe;           /* budget, or what the steps cost */
    text fixed;        /* the solver without what is auto */
    text process_name; /* as entries have it */
    text grid;
    double t[2];
} wish;

static void wish_free(wish *w) {
    opts_free(&w->spec);
    opts_free(&w->solver_opts);
    process_free(w->process);
    text_free(&w->fixed);
    text_free(&w->process_name);
    text_free(&w->grid);
}

/* The solver with every auto from `values`; NULL: without them (fixed), or with their defaults. */
static void solver_text(const wish *w, const json_t *values, bool with_default, text *out) {
    opts shown = w->solver_opts; /* shallow */
    for (int i = 0; i < shown.n; i++) {
        opt_value *v = &shown.v[i];
        if (!opt_is_auto(v)) continue;
        v->set = values || with_default;
        v->number = 0;
        if (values) v->number = json_number_value(json_object_get(values, v->row->key));
        if (!values && v->row->fallback) text_to_real(v->row->fallback, &v->number);
    }
    family_print(&w->solver->is, &shown, out);
}

/* The spec with another solver and grid. */
static void spec_text(const wish *w, const char *solver, const char *grid, text *out) {
    for (int i = 0; i < w->spec.n; i++) {
        opts one = {.n = 1, .v = {w->spec.v[i]}};
        const char *key = one.v[0].row->key;
        const char *put = strcmp(key, "solver") == 0 ? solver : strcmp(key, "grid") == 0 ? grid : 0;
        if (!one.v[0].given && !put) continue;
        text copy = {0};
        if (put) text_add(&copy, "%s", put);
        if (put) one.v[0].text = copy.data;
        if (copy.failed) out->failed = true;
        if (out->len) text_add(out, " ");
        if (!copy.failed) opts_print(&one, out);
        text_free(&copy);
    }
}

/* What a plan with these steps costs; the values that are looked for do not change it. */
static dfl_status count_nfe(wish *w) {
    const opt_value *budget = opt_get(&w->spec, "nfe");
    if (budget->set) {
        w->nfe = (int)budget->number;
        return DFL_OK;
    }
    text solver = {0}, spec = {0};
    dfl_plan *plan = NULL;
    solver_text(w, NULL, true, &solver);
    spec_text(w, solver.data, w->any_grid ? "power:kappa=2" : opt_text(&w->spec, "grid"), &spec);
    const dfl_status status =
        solver.failed || spec.failed ? fail_memory() : dfl_plan_new(w->model, spec.data, &plan);
    if (plan) w->nfe = (int)dfl_plan_nfe(plan);
    dfl_plan_free(plan);
    text_free(&solver);
    text_free(&spec);
    return status;
}

static dfl_status read_wish(const dfl_model *model, wish *w) {
    const opts *o = &w->spec;
    const char *asked = opt_text(o, "process");
    TRY(process_new(asked ? asked : model->card.process, &w->process));
    family_print(&w->process->row->is, &w->process->options, &w->process_name);
    w->t[0] = opt_get(o, "t_start")->set ? opt_real(o, "t_start") : model->card.t_max;
    w->t[1] = opt_get(o, "t_end")->set ? opt_real(o, "t_end") : model->card.t_min;
    solver_text(w, NULL, false, &w->fixed);
    if (!w->any_grid) TRY(tune_canonical_grid(opt_text(o, "grid"), &w->grid));
    TRY(count_nfe(w));
    return w->fixed.failed || w->process_name.failed || w->grid.failed ? fail_memory() : DFL_OK;
}

/* ---- looking it up --------------------------------------------------------------------------- */

static bool same_text(const json_t *entry, const char *key, const char *value) {
    const char *there = json_string_value(json_object_get(entry, key));
    return there && strcmp(there, value) == 0;
}

static bool same_number(const json_t *entry, const char *key, double value) {
    return json_number_value(json_object_get(entry, key)) == value;
}

static bool fits(const wish *w, const json_t *entry) {
    const json_t *values = json_object_get(entry, "values");
    if (!same_text(entry, "solver", w->fixed.data) ||
        !same_text(entry, "process", w->process_name.data) ||
        !same_number(entry, "t_start", w->t[0]) || !same_number(entry, "t_end", w->t[1]) ||
        json_is_true(json_object_get(entry, "denoise")) != opt_bool(&w->spec, "denoise"))
        return false;
    if (!w->any_grid && !same_text(entry, "grid", w->grid.data)) return false;
    for (int i = 0; i < w->solver_opts.n; i++) {
        const opt_value *v = &w->solver_opts.v[i];
        if (opt_is_auto(v) && !json_is_number(json_object_get(values, v->row->key))) return false;
    }
    const double nfe = json_number_value(json_object_get(entry, "nfe"));
    return json_is_string(json_object_get(entry, "grid")) && nfe >= 1 && nfe <= INT_MAX;
}

/* How far its budget is from the one wanted, as a ratio. */
static double distance(const wish *w, const json_t *entry) {
    return fabs(log(json_number_value(json_object_get(entry, "nfe")) / w->nfe));
}

/* The nearest budget; among equals the least error, which is to say the best grid. */
static const json_t *nearest(const wish *w, const json_t *entries) {
    const json_t *best = NULL;
    for (size_t i = 0; i < json_array_size(entries); i++) {
        const json_t *entry = json_array_get(entries, i);
        if (!fits(w, entry)) continue;
        const double gain = best ? distance(w, best) - distance(w, entry) : 1;
        const double error = json_number_value(json_object_get(entry, "error"));
        if (gain > 0 || (gain == 0 && error < json_number_value(json_object_get(best, "error"))))
            best = entry;
    }
    return best;
}

static void write_note(const wish *w, const json_t *entry, const char *path, text *note) {
    const json_t *values = json_object_get(entry, "values");
    const int nfe = (int)json_number_value(json_object_get(entry, "nfe"));
    const char *comma = "";
    for (int i = 0; i < w->solver_opts.n; i++) {
        const opt_value *v = &w->solver_opts.v[i];
        if (!opt_is_auto(v)) continue;
        text_add(note, "%s%s=", comma, v->row->key);
        text_real(note, json_number_value(json_object_get(values, v->row->key)));
        comma = ", ";
    }
    if (w->any_grid)
        text_add(note, "%sgrid=%s", comma, json_string_value(json_object_get(entry, "grid")));
    text_add(note, " from %s, tuned for nfe %d", path, nfe);
    if (nfe != w->nfe) text_add(note, ", the nearest to %d there is", w->nfe);
}

static dfl_status look_up(const wish *w, const char *store, text *out, text *note) {
    text path = {0}, solver = {0};
    json_t *root = NULL;
    const json_t *entries, *entry = NULL;
    dfl_status status = store_path(w->model, store, &path);
    if (status == DFL_OK) status = store_open(w->model, path.data, &root, &entries);
    if (status == DFL_OK) {
        entry = nearest(w, entries);
        if (!entry)
            status = fail(DFL_E_KEY,
                          "%s has no values for %s on %s%s with this process, t_start, t_end and "
                          "denoise; \"driftless tune\" finds them",
                          path.data, w->fixed.data, w->any_grid ? "any grid" : "grid ",
                          w->any_grid ? "" : w->grid.data);
    }
    if (entry) {
        const char *grid = w->any_grid ? json_string_value(json_object_get(entry, "grid"))
                                       : opt_text(&w->spec, "grid");
        solver_text(w, json_object_get(entry, "values"), false, &solver);
        if (solver.failed)
            status = fail_memory();
        else
            spec_text(w, solver.data, grid, out);
        write_note(w, entry, path.data, note);
    }
    json_decref(root);
    text_free(&solver);
    text_free(&path);
    return status;
}

dfl_status dfl_tuned_spec(const dfl_model *model, const char *store, const char *spec, char *buf,
                          size_t cap, size_t *need, char *note, size_t note_cap) {
    if (!model || (!buf && cap > 0))
        return fail(DFL_E_ARG, "dfl_tuned_spec: %s is NULL", model ? "buf" : "model");
    text out = {0}, said = {0};
    wish w = {.model = model};
    const family_row *found;
    dfl_status status = opts_parse_words("plan", plan_options, spec ? spec : "", &w.spec);
    if (status == DFL_OK)
        status = family_parse(&solver_family, opt_text(&w.spec, "solver"), &found, &w.solver_opts);
    if (status == DFL_OK) {
        w.solver = (const solver_row *)found;
        w.any_grid = strcmp(opt_text(&w.spec, "grid"), "auto") == 0;
        if (w.any_grid || opts_unresolved(&w.solver_opts)) {
            status = read_wish(model, &w);
            if (status == DFL_OK) status = look_up(&w, store, &out, &said);
        } else {
            text_add(&out, "%s", spec ? spec : "");
        }
    }
    wish_free(&w);
    if (note && note_cap > 0) *note = 0;
    if (status == DFL_OK && (said.data || said.failed))
        status = text_result(&said, note, note_cap, NULL);
    if (status == DFL_OK) return text_result(&out, buf, cap, need);
    text_free(&said);
    text_free(&out);
    return status;
}
