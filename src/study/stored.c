#include "study/stored.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plan/plan.h"
#include "study/store.h"

enum { FILES_MAX = 1000, BYTES_MAX = 16 << 20 };

dfl_status stored_check(const dfl_plan *plan, const dfl_model *model, bool *other_guidance) {
    char hex[DIGEST_HEX];
    const plan_meta *m = &plan->meta;
    *other_guidance = false;
    if (!m->model) return DFL_OK;
    TRY(model_digest(model, hex));
    if (strcmp(hex, m->model) != 0)
        return fail(DFL_E_COMBINATION,
                    "the plan was fitted to another network (%s%.40s%sdigest %.12s; this one's is "
                    "%.12s), and its coefficients mean nothing here",
                    m->network ? "\"" : "", m->network ? m->network : "", m->network ? "\", " : "",
                    m->model, *hex ? hex : "unknown");
    TRY(model_identify(model, hex));
    *other_guidance = m->identity && strcmp(hex, m->identity) != 0;
    return DFL_OK;
}

void stored_free(stored_choice *c) {
    plan_free(c->plan);
    text_free(&c->file);
    text_free(&c->spec);
    text_free(&c->note);
    *c = (stored_choice){0};
}

/* ---- fitted plans ------------------------------------------------------------------------------ */

static bool is_plan_name(const char *name) {
    return *name != '.' && text_ends_in(name, ".json");
}

static int by_name(const void *left, const void *right) {
    return strcmp(*(char *const *)left, *(char *const *)right);
}

/* Names in the order of the alphabet, whatever the file system's. A missing folder has none. */
static dfl_status list_names(const char *folder, char ***names, size_t *n) {
    DIR *dir = opendir(folder);
    size_t cap = 0;
    dfl_status status = DFL_OK;
    for (const struct dirent *e; dir && status == DFL_OK && (e = readdir(dir));) {
        if (!is_plan_name(e->d_name)) continue;
        if (*n == FILES_MAX)
            status = fail(DFL_E_RANGE, "%s: more than %d plans", folder, FILES_MAX);
        else if (!mem_grow((void **)names, &cap, *n + 1, sizeof **names) ||
                 !((*names)[*n] = text_copy(e->d_name)))
            status = fail_memory();
        else
            ++*n;
    }
    if (dir) closedir(dir);
    if (*n) qsort(*names, *n, sizeof **names, by_name);
    return status;
}

static dfl_status read_plan(const char *path, dfl_plan **out) {
    char *data = NULL;
    size_t size = 0;
    *out = NULL;
    TRY(file_read(path, BYTES_MAX, &data, &size));
    const dfl_status status = plan_parse(data, size, out);
    free(data);
    return status;
}

/* What a plan has to be made for: it begins with noise of this process at the card's last time. The
   time it ends at is its own. */
typedef struct {
    char identity[DIGEST_HEX];
    text process;
    double t_max;
    int nfe;
} request;

static dfl_status process_text(const dfl_model *model, text *out) {
    process *p = NULL;
    TRY(process_new(model->card.process, &p));
    family_print(&p->row->is, &p->options, out);
    process_free(p);
    return out->failed ? fail_memory() : DFL_OK;
}

static bool is_same(const char *there, const char *wanted) {
    return there && strcmp(there, wanted) == 0;
}

static bool plan_fits(const dfl_plan *plan, const request *r) {
    const plan_meta *m = &plan->meta;
    return *r->identity && is_same(m->identity, r->identity) &&
           is_same(m->process, r->process.data) && plan->nfe == (size_t)r->nfe &&
           plan->code.inputs[0].t == r->t_max;
}

/* Its error on held-out starts; infinite where it is not for this model and budget. */
static double error_of(const dfl_plan *plan, const request *r) {
    const char *const held_out = plan->meta.held_out_rms;
    double rms = INFINITY;
    const bool known = held_out && text_to_real(held_out, &rms) && rms >= 0;
    return known && plan_fits(plan, r) ? rms : INFINITY;
}

/* Errors don't show what refinement by features is for. */
static bool looks_better(const dfl_plan *plan) {
    return plan && plan->meta.solver && strstr(plan->meta.solver, "objective=feature");
}

/* Files that are no plans are passed over, and the note says so. `other` names a plan that is not
   chosen and may look better. */
static dfl_status consider(stored_choice *c, const char *path, const request *r, double *best,
                           text *other) {
    dfl_plan *plan = NULL;
    const dfl_status status = read_plan(path, &plan);
    if (status == DFL_E_MEMORY) return status;
    if (status != DFL_OK) {
        text_add(&c->note, "%s is passed over (%s); ", path, dfl_last_message());
        return DFL_OK;
    }
    const double rms = error_of(plan, r);
    const bool chosen = rms < *best;
    if (isfinite(rms) && looks_better(chosen ? c->plan : plan)) {
        text_free(other);
        text_add(other, "%s", chosen ? c->file.data : path);
    }
    if (!chosen) {
        plan_free(plan);
        return DFL_OK;
    }
    *best = rms;
    plan_free(c->plan);
    c->plan = plan;
    text_free(&c->file);
    text_add(&c->file, "%s", path);
    return c->file.failed ? fail_memory() : DFL_OK;
}

static dfl_status choose_among(const char *folder, const request *r, stored_choice *c) {
    text other = {0};
    char **names = NULL;
    size_t n = 0;
    double best = INFINITY;
    dfl_status status = list_names(folder, &names, &n);
    for (size_t i = 0; i < n; i++) {
        text path = {0};
        text_add(&path, "%s/%s", folder, names[i]);
        if (status == DFL_OK)
            status = path.failed ? fail_memory() : consider(c, path.data, r, &best, &other);
        text_free(&path);
        free(names[i]);
    }
    free(names);
    if (status == DFL_OK && other.failed) status = fail_memory();
    if (status == DFL_OK && c->plan)
        text_add(&c->note, "%s, fitted to this model; held out: %s", c->file.data,
                 c->plan->meta.held_out ? c->plan->meta.held_out : c->plan->meta.held_out_rms);
    if (status == DFL_OK && other.len)
        text_add(&c->note, "; %s errs more and is refined by features: --plan takes it",
                 other.data);
    text_free(&other);
    return status;
}

static dfl_status choose_fitted(const dfl_model *model, int nfe, stored_choice *c) {
    request r = {.t_max = model->card.t_max, .nfe = nfe};
    text folder = {0};
    if (!model->card.folder) return DFL_OK;
    TRY(model_identify(model, r.identity));
    text_add(&folder, "%s/plans", model->card.folder);
    dfl_status status = folder.failed ? fail_memory() : process_text(model, &r.process);
    if (status == DFL_OK) status = choose_among(folder.data, &r, c);
    text_free(&r.process);
    text_free(&folder);
    return status;
}

/* ---- classical solvers ------------------------------------------------------------------------- */

static bool is_text(const json_t *entry, const char *key, const char *value) {
    const char *there = json_string_value(json_object_get(entry, key));
    return there && (!value || strcmp(there, value) == 0);
}

static double number_of(const json_t *entry, const char *key) {
    const json_t *value = json_object_get(entry, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static bool entry_fits(const dfl_model *model, const json_t *entry, const char *of) {
    return is_text(entry, "solver", NULL) && is_text(entry, "grid", NULL) &&
           is_text(entry, "process", of) && is_text(entry, "measure", "median distance") &&
           number_of(entry, "t_start") == model->card.t_max &&
           number_of(entry, "t_end") == model->card.t_min &&
           !json_is_true(json_object_get(entry, "denoise")) && number_of(entry, "nfe") >= 1 &&
           number_of(entry, "error") >= 0;
}

/* The nearest budget; among equals the least error. */
static const json_t *best_entry(const dfl_model *model, const json_t *entries, int nfe,
                                const char *of) {
    const json_t *best = NULL;
    for (size_t i = 0; i < json_array_size(entries); i++) {
        const json_t *one = json_array_get(entries, i);
        if (!entry_fits(model, one, of)) continue;
        const double far = fabs(log(number_of(one, "nfe") / nfe));
        const double least = best ? fabs(log(number_of(best, "nfe") / nfe)) : INFINITY;
        if (far < least || (far == least && number_of(one, "error") < number_of(best, "error")))
            best = one;
    }
    return best;
}

static void spec_of_entry(const json_t *entry, int nfe, text *spec) {
    const json_t *values = json_object_get(entry, "values");
    const char *solver = json_string_value(json_object_get(entry, "solver"));
    bool first = !strchr(solver, ':');
    text_add(spec, "nfe=%d grid=%s solver=%s", nfe,
             json_string_value(json_object_get(entry, "grid")), solver);
    void *at = json_object_iter((json_t *)(uintptr_t)values);
    for (; at; at = json_object_iter_next((json_t *)(uintptr_t)values, at)) {
        const char *key = json_object_iter_key(at);
        if (strcmp(key, tune_keys[TUNE_KAPPA]) == 0) continue; /* it is in the grid */
        text_add(spec, "%s%s=", first ? ":" : ",", key);
        text_real(spec, json_number_value(json_object_iter_value(at)));
        first = false;
    }
}

static dfl_status choose_tuned(const dfl_model *model, int nfe, const char *tuned,
                               stored_choice *c) {
    text path = {0}, of = {0};
    json_t *root = NULL;
    const json_t *entries = NULL, *entry = NULL;
    if (!tuned && !model->card.folder) return DFL_OK;
    dfl_status status = store_path(model, tuned, &path);
    if (status == DFL_OK && !tuned && access(path.data, F_OK) != 0) goto done;
    if (status == DFL_OK) status = store_open(model, path.data, &root, &entries);
    if (status == DFL_OK) status = process_text(model, &of);
    if (status == DFL_OK) entry = best_entry(model, entries, nfe, of.data);
    if (entry) {
        spec_of_entry(entry, nfe, &c->spec);
        text_add(&c->note,
                 "no plan fitted to this model spends %d evaluation%s; %s on %s is the best in %s, "
                 "tuned for nfe %g",
                 nfe, nfe == 1 ? "" : "s", json_string_value(json_object_get(entry, "solver")),
                 json_string_value(json_object_get(entry, "grid")), path.data,
                 number_of(entry, "nfe"));
    }
done:
    json_decref(root);
    text_free(&path);
    text_free(&of);
    return status;
}

/* In their order, each for budgets from `least` on and refused where it has no place. Of the scalar ones
   SciRE is within 1.41 times the best of 39 solvers on six grids with 3 to 10 evaluations on three
   networks, and UniPC within 1.54 times the best of eight with 15 and 20, which nothing else is on a
   grid that suits every process (docs/fitted-measured.md, "The usual choice"); a flow that begins
   without signal has uniform times. In phase space the best on mixtures
   (docs/results/phase-mixtures.md), and where a network answers one half, of those that can use it. */
static const struct {
    int least;
    const char *solver, *grid;
} usual[] = {{15, "unipc:order=3", "nsr"},
             {2, "scire:variant=v1,order=2,method=multistep,profile=main", "nsr"},
             {1, "deis:order=3,factor=flow", "power:kappa=2"},
             {1, "splitting:scheme=rse", "power:kappa=2"},
             {1, "deis:order=2", "uniform"}};

static dfl_status choose_usual(const dfl_model *model, int nfe, stored_choice *c) {
    enum { USUAL = sizeof usual / sizeof *usual };
    for (int i = 0; i < USUAL; i++) {
        dfl_plan *plan = NULL;
        if (nfe < usual[i].least) continue;
        text_free(&c->spec);
        text_add(&c->spec, "nfe=%d solver=%s grid=%s", nfe, usual[i].solver, usual[i].grid);
        if (c->spec.failed) return fail_memory();
        const dfl_status status = dfl_plan_new(model, c->spec.data, &plan);
        plan_free(plan);
        if (status == DFL_E_MEMORY || (status != DFL_OK && i == USUAL - 1)) return status;
        if (status != DFL_OK) continue;
        text_add(&c->note,
                 "no plan fitted to this model spends %d evaluation%s, and no tuned values are "
                 "kept; %s on %s, the usual choice",
                 nfe, nfe == 1 ? "" : "s", usual[i].solver, usual[i].grid);
        break;
    }
    return DFL_OK;
}

dfl_status stored_choose(const dfl_model *model, int nfe, const char *tuned, stored_choice *out) {
    *out = (stored_choice){0};
    TRY(choose_fitted(model, nfe, out));
    if (!out->plan) TRY(choose_tuned(model, nfe, tuned, out));
    if (!out->plan && !out->spec.len) TRY(choose_usual(model, nfe, out));
    return out->spec.failed || out->note.failed ? fail_memory() : DFL_OK;
}
