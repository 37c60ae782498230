/* A scan: what is asked, all combinations, their runs, and the table of results. */
#include "study/tune.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "grid/grid.h"
#include "run/run.h"

enum { TRIALS_MAX = 10000, BUDGET_MAX = 100000, SAMPLES_MAX = 1 << 20 };

const char *const tune_keys[TUNE_KEYS] = {"lambda", "lambda_s", "kappa"};

/* Where nothing is asked. lambda: the best values seen lie between 0 and 4, with the flow-following
   factor a little below 0; lambda_s: around the true SDE's 1; kappa: uniform and quadratic. */
static const tune_range tune_defaults[TUNE_KEYS] = {{-1, 4, 21}, {0.4, 2, 9}, {1, 2, 2}};

static const opt_row spec_options[] = {
    {"solver", OPT_TEXT, NULL, 0, 0, NULL, "options given here stay fixed"},
    {"nfe", OPT_LIST, NULL, 1, BUDGET_MAX, NULL, "budgets"},
    {"scan", OPT_TEXT, NULL, 0, 0, NULL, "key=lo:hi:n,..."},
    {"grid", OPT_TEXT, NULL, 0, 0, NULL, "instead of a scan of kappa"},
    {"samples", OPT_INT, "256", 2, SAMPLES_MAX, NULL, "starts"},
    {"seed", OPT_TEXT, "1000", 0, 0, NULL, "of the starts"},
    {"reference", OPT_CHOICE, "auto", 0, 0, "auto|ode45|heun", "what trials are held against"},
    {"process", OPT_TEXT, NULL, 0, 0, NULL, "instead of the model's"},
    {"t_start", OPT_REAL, NULL, 0, 1, NULL, "first time"},
    {"t_end", OPT_REAL, NULL, 0, 1, NULL, "last time"},
    {"denoise", OPT_BOOL, "0", 0, 0, NULL, "one more evaluation, to land on x_0"},
    {0},
};

/* ---- options --------------------------------------------------------------------------------- */

static opt_value *solver_option(dfl_tuning *tuning, const char *key) {
    for (int i = 0; i < tuning->solver_opts.n; i++) {
        opt_value *v = &tuning->solver_opts.v[i];
        if (strcmp(v->row->key, key) == 0 && v->row->type == OPT_REAL && v->row->choices) return v;
    }
    return NULL;
}

/* "lo:hi:n" */
static dfl_status read_range(const char *key, const char *given, tune_range *out) {
    char part[3][64];
    const char *at = given;
    long long n = 0;
    bool good = true;
    for (int i = 0; i < 3 && good; i++) {
        const size_t length = strcspn(at, ":");
        good = length < sizeof part[i] && (i == 2) == (at[length] == 0);
        if (!good) break;
        memcpy(part[i], at, length);
        part[i][length] = 0;
        at += length + 1;
    }
    good = good && text_to_real(part[0], &out->lo) && text_to_real(part[1], &out->hi) &&
           text_to_int(part[2], &n) && n >= 1 && n <= TRIALS_MAX;
    out->n = (int)n;
    if (good && (out->lo < out->hi) == (n > 1) && out->lo <= out->hi) return DFL_OK;
    return fail(DFL_E_RANGE,
                "scan %s=%.60s: lo:hi:n is needed, with lo below hi and n of 2 to %d values (or lo "
                "equal to hi and n=1)",
                key, given, TRIALS_MAX);
}

/* Which key it is, and that it can be scanned here. */
static dfl_status check_key(dfl_tuning *tuning, const char *key, const char *given, int *which) {
    int k = 0;
    while (k < TUNE_KEYS && strcmp(key, tune_keys[k]) != 0) k++;
    if (k == TUNE_KEYS)
        return fail(DFL_E_KEY, "scan: %.40s cannot be scanned; lambda, lambda_s and kappa can",
                    key);
    if (tuning->scan[k].n > 0) return fail(DFL_E_KEY, "scan: %s is given twice", key);
    TRY(read_range(key, given, &tuning->scan[k]));
    *which = k;
    const tune_range *range = &tuning->scan[k];
    if (k == TUNE_KAPPA) {
        if (opt_get(&tuning->spec, "grid")->set)
            return fail(DFL_E_COMBINATION, "a scan of kappa cannot stand beside a given grid");
        if (range->lo < 0.1 || range->hi > 20)
            return fail(DFL_E_RANGE, "scan kappa=%.60s goes beyond 0.1..20", given);
        return DFL_OK;
    }
    const opt_value *v = solver_option(tuning, key);
    if (!v)
        return fail(DFL_E_COMBINATION, "scan: solver %s has no %s to tune", tuning->solver->is.name,
                    key);
    if (v->given) return fail(DFL_E_COMBINATION, "scan: %s is fixed in the solver's options", key);
    if (range->lo < v->row->min || range->hi > v->row->max)
        return fail(DFL_E_RANGE, "scan %s=%.60s goes beyond %.15g..%.15g", key, given, v->row->min,
                    v->row->max);
    return DFL_OK;
}

static dfl_status read_scan(dfl_tuning *tuning, const char *scan) {
    while (*scan) {
        char item[160];
        const size_t length = strcspn(scan, ",");
        if (length >= sizeof item)
            return fail(DFL_E_RANGE, "scan: '%.60s...' is too long for key=lo:hi:n", scan);
        memcpy(item, scan, length);
        item[length] = 0;
        char *equals = strchr(item, '=');
        if (!equals) return fail(DFL_E_KEY, "scan: '%.60s' is not key=lo:hi:n", item);
        *equals = 0;
        int which;
        TRY(check_key(tuning, item, equals + 1, &which));
        scan += length + (scan[length] == ',');
    }
    return DFL_OK;
}

/* What is neither fixed nor named. lambda_s scales noise: without noise there is nothing to scan.
 */
static void scan_by_default(dfl_tuning *tuning) {
    for (int k = 0; k < TUNE_KAPPA; k++) {
        const opt_value *v = solver_option(tuning, tune_keys[k]);
        if (v && !v->given && tuning->scan[k].n == 0 && (k != TUNE_LAMBDA_S || tuning->stochastic))
            tuning->scan[k] = tune_defaults[k];
    }
    const bool fixed = opt_get(&tuning->spec, "grid")->set || tuning->scan[TUNE_KAPPA].n > 0;
    if (!fixed) tuning->scan[TUNE_KAPPA] = tune_defaults[TUNE_KAPPA];
}

static void add_shared(const opts *spec, const char *key, text *out) {
    opts one = {.n = 1, .v = {*opt_get(spec, key)}};
    if (!one.v[0].set) return;
    text_add(out, " ");
    opts_print(&one, out);
}

static dfl_status configure(dfl_tuning *tuning) {
    const opts *o = &tuning->spec;
    const card *c = &tuning->model->card;
    const family_row *found;
    const char *asked = opt_text(o, "process"), *solver = opt_text(o, "solver");
    const char *scan = opt_text(o, "scan");
    if (!solver || !opt_get(o, "nfe")->set)
        return fail(DFL_E_KEY, "tuning needs solver=NAME and nfe=[N,...]");
    TRY(process_new(asked ? asked : c->process, &tuning->process));
    TRY(family_parse(&solver_family, solver, &found, &tuning->solver_opts));
    tuning->solver = (const solver_row *)found;
    const opt_value *open = opts_unresolved(&tuning->solver_opts);
    if (open)
        return fail(DFL_E_COMBINATION, "%s=auto: tuning is what finds it; leave it out",
                    open->row->key);
    tuning->stochastic = tuning->solver->claims(&tuning->solver_opts, tuning->process).stochastic;
    tuning->t[0] = opt_get(o, "t_start")->set ? opt_real(o, "t_start") : c->t_max;
    tuning->t[1] = opt_get(o, "t_end")->set ? opt_real(o, "t_end") : c->t_min;
    tuning->samples = (size_t)opt_int(o, "samples");
    const int reference = opt_choice(o, "reference");
    tuning->adaptive = reference == 1 || (reference == 0 && tuning->model->mixed_times);
    if (scan) TRY(read_scan(tuning, scan));
    scan_by_default(tuning);
    static const char *const shared[] = {"process", "t_start", "t_end", "denoise"};
    text_add(&tuning->tail, "%s", "");
    for (size_t i = 0; i < 4; i++) add_shared(o, shared[i], &tuning->tail);
    return tuning->tail.failed ? fail_memory() : DFL_OK;
}

/* ---- combinations ---------------------------------------------------------------------------- */

static double value_at(const tune_range *range, size_t i) {
    if (range->n == 0) return NAN;
    if (range->n == 1) return range->lo;
    return range->lo + (range->hi - range->lo) * (double)i / (double)(range->n - 1);
}

static dfl_status make_trials(dfl_tuning *tuning) {
    const opt_value *budgets = opt_get(&tuning->spec, "nfe");
    size_t n[TUNE_KEYS], each = 1;
    for (int k = 0; k < TUNE_KEYS; k++) {
        n[k] = tuning->scan[k].n > 0 ? (size_t)tuning->scan[k].n : 1;
        each = mem_product(each, n[k], 1);
    }
    tuning->ntrials = mem_product(each, budgets->nlist, 1);
    if (budgets->nlist == 0 || tuning->ntrials > TRIALS_MAX)
        return fail(DFL_E_RANGE, "the scan has %zu runs; 1 to %d are allowed", tuning->ntrials,
                    TRIALS_MAX);
    tuning->trials = mem_array(tuning->ntrials, sizeof *tuning->trials);
    if (!tuning->trials) return fail_memory();
    for (size_t i = 0; i < tuning->ntrials; i++) {
        tune_trial *trial = &tuning->trials[i];
        size_t rest = i % each; /* lambda fastest, then lambda_s, then the grid, then the budget */
        trial->nfe = (int)budgets->list[i / each];
        if (budgets->list[i / each] != trial->nfe)
            return fail(DFL_E_RANGE, "nfe=%g is not a whole number", budgets->list[i / each]);
        for (int k = 0; k < TUNE_KEYS; k++) {
            trial->value[k] = value_at(&tuning->scan[k], rest % n[k]);
            rest /= n[k];
        }
        if (i % each == 0) TRY(tune_check(tuning, trial));
    }
    return DFL_OK;
}

void tune_solver_text(const dfl_tuning *tuning, const tune_trial *trial, text *out) {
    opts shown = tuning->solver_opts; /* a shallow copy: texts and lists stay the tuning's */
    for (int i = 0; i < shown.n; i++)
        for (int k = 0; k < TUNE_KAPPA; k++) {
            if (tuning->scan[k].n == 0 || strcmp(shown.v[i].row->key, tune_keys[k]) != 0) continue;
            shown.v[i].set = trial != NULL;
            if (trial) shown.v[i].number = trial->value[k];
        }
    family_print(&tuning->solver->is, &shown, out);
}

dfl_status tune_grid_text(const dfl_tuning *tuning, const tune_trial *trial, text *out) {
    const char *given = opt_text(&tuning->spec, "grid");
    if (!isnan(trial->value[TUNE_KAPPA])) {
        text_add(out, "power:kappa=");
        text_real(out, trial->value[TUNE_KAPPA]);
        return DFL_OK;
    }
    return tune_canonical_grid(given ? given : "power:kappa=2", out);
}

dfl_status tune_canonical_grid(const char *grid, text *out) {
    const family_row *found;
    opts o;
    const dfl_status status = family_parse(&grid_family, grid, &found, &o);
    if (status == DFL_OK && strcmp(found->name, "uniform") == 0)
        text_add(out, "power:kappa=1");
    else if (status == DFL_OK)
        family_print(found, &o, out);
    opts_free(&o);
    return status;
}

/* ---- the scan -------------------------------------------------------------------------------- */

static bool same_grid(const tune_trial *a, const tune_trial *b) {
    const double x = a->value[TUNE_KAPPA], y = b->value[TUNE_KAPPA];
    return a->nfe == b->nfe && (x == y || (isnan(x) && isnan(y)));
}

static void choose(dfl_tuning *tuning) {
    for (size_t i = 0; i < tuning->ntrials; i++) {
        tune_trial *one = &tuning->trials[i];
        one->chosen = one->best = isfinite(one->error);
        for (size_t j = 0; j < tuning->ntrials; j++) {
            const tune_trial *other = &tuning->trials[j];
            const bool better = other->error < one->error || (other->error == one->error && j < i);
            if (better && same_grid(one, other)) one->chosen = false;
            if (better && one->nfe == other->nfe) one->best = false;
        }
    }
}

size_t dfl_tuning_runs(const dfl_tuning *tuning) {
    return tuning->ntrials + 1;
}

dfl_status dfl_tuning_run(dfl_tuning *tuning, dfl_tuning_fn fn, void *user) {
    if (!tuning) return fail(DFL_E_ARG, "dfl_tuning_run: tuning is NULL");
    tuning->finished = false;
    tuning->fn = fn;
    tuning->user = user;
    for (tuning->at = 0; tuning->at <= tuning->ntrials; tuning->at++) {
        const int code = fn ? fn(user, tuning->at, tuning->ntrials + 1) : 0;
        if (code) return fail(code, "the scan was ended by its caller (%d)", code);
        if (tuning->at == 0)
            TRY(tune_reference(tuning));
        else
            TRY(tune_try(tuning, &tuning->trials[tuning->at - 1]));
    }
    choose(tuning);
    tuning->finished = true;
    return DFL_OK;
}

static dfl_status read_seed(dfl_tuning *tuning) {
    text options = {0};
    run_settings set = {0};
    text_add(&options, "seed=%s", opt_text(&tuning->spec, "seed"));
    const dfl_status status =
        options.failed ? fail_memory() : run_read_settings(options.data, &set);
    text_free(&options);
    tuning->seed = set.seed;
    run_settings_free(&set);
    return status;
}

dfl_status dfl_tuning_new(dfl_model *model, const char *spec, dfl_tuning **out) {
    if (!out) return fail(DFL_E_ARG, "dfl_tuning_new: out is NULL");
    *out = NULL;
    if (!model) return fail(DFL_E_ARG, "dfl_tuning_new: model is NULL");
    dfl_tuning *tuning = mem_array(1, sizeof *tuning);
    if (!tuning) return fail_memory();
    tuning->model = model;
    tuning->dim = card_dim(&model->card);
    dfl_status status = opts_parse_words("tuning", spec_options, spec ? spec : "", &tuning->spec);
    if (status == DFL_OK) status = read_seed(tuning);
    if (status == DFL_OK) status = configure(tuning);
    if (status == DFL_OK) status = make_trials(tuning);
    if (status == DFL_OK) {
        tuning->drawn =
            mem_array(mem_product(tuning->samples, tuning->dim, 1), sizeof *tuning->drawn);
        tuning->scratch = mem_array(tuning->samples, sizeof *tuning->scratch);
        if (!tuning->drawn || !tuning->scratch) status = fail_memory();
    }
    if (status == DFL_OK)
        *out = tuning;
    else
        dfl_tuning_free(tuning);
    return status;
}

void dfl_tuning_free(dfl_tuning *tuning) {
    if (!tuning) return;
    opts_free(&tuning->spec);
    opts_free(&tuning->solver_opts);
    process_free(tuning->process);
    free(tuning->trials);
    text_free(&tuning->tail);
    free(tuning->drawn);
    free(tuning->reference);
    free(tuning->scratch);
    free(tuning);
}
