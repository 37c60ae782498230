/* The results of a scan as a table. */
#include <math.h>

#include "study/tune.h"

static const char *model_name(const dfl_tuning *tuning) {
    return tuning->model->card.name ? tuning->model->card.name : "(without a name)";
}

static void head(const dfl_tuning *tuning, text *out) {
    text_add(out, "model      %s\nsolver     ", model_name(tuning));
    tune_solver_text(tuning, NULL, out);
    text_add(out, "\nreference  ");
    tune_reference_text(tuning, out);
    text_add(out, "; %zu samples, seed %llu\n", tuning->samples, (unsigned long long)tuning->seed);
    if (tuning->stochastic)
        text_add(out, "error      sliced Wasserstein distance; two references: %.3g\n",
                 tuning->floor);
    else if (tuning->adaptive)
        text_add(out, "error      median and RMS distance of samples to the reference\n");
    else
        text_add(out, "error      median and RMS distance; with half the steps: %.3g\n",
                 tuning->floor);
}

static void number(double x, int width, text *out) {
    if (isfinite(x))
        text_add(out, "%*.4g", width, x);
    else
        text_add(out, "%*s", width, "diverged");
}

static dfl_status line(const dfl_tuning *tuning, const tune_trial *trial, text *out) {
    text grid = {0};
    const dfl_status status = tune_grid_text(tuning, trial, &grid);
    text_add(out, "%6d  %-24.24s", trial->nfe, grid.data ? grid.data : "");
    if (grid.failed) out->failed = true;
    text_free(&grid);
    for (int k = 0; k < TUNE_KAPPA; k++)
        if (tuning->scan[k].n > 0) text_add(out, "%10.4g", trial->value[k]);
    number(trial->error, 12, out);
    if (!tuning->stochastic) number(trial->rms, 12, out);
    if (trial->best || trial->chosen) text_add(out, "  %s", trial->best ? "**" : "*");
    text_add(out, "\n");
    return status;
}

/* The best of a scan is rarely at its end. */
static void tell_ends(const dfl_tuning *tuning, const tune_trial *trial, text *out) {
    for (int k = 0; k < TUNE_KAPPA; k++) {
        const tune_range *range = &tuning->scan[k];
        const double x = trial->value[k];
        if (range->n < 3 || (x != range->lo && x != range->hi)) continue;
        text_add(out, "nfe %d: %s=%.4g is an end of its scan; a wider one may find better\n",
                 trial->nfe, tune_keys[k], x);
    }
}

dfl_status dfl_tuning_to_text(const dfl_tuning *tuning, char *buf, size_t cap, size_t *need) {
    if (!tuning || !tuning->finished)
        return fail(DFL_E_ARG, "dfl_tuning_to_text: the scan has not been run to its end");
    text out = {0};
    dfl_status status = DFL_OK;
    head(tuning, &out);
    text_add(&out, "\n   nfe  %-24s", "grid");
    for (int k = 0; k < TUNE_KAPPA; k++)
        if (tuning->scan[k].n > 0) text_add(&out, "%10s", tune_keys[k]);
    text_add(&out, "%12s", tuning->stochastic ? "distance" : "median");
    if (!tuning->stochastic) text_add(&out, "%12s", "rms");
    text_add(&out, "\n");
    for (size_t i = 0; i < tuning->ntrials && status == DFL_OK; i++)
        status = line(tuning, &tuning->trials[i], &out);
    text_add(&out, "\n*  least error on its grid    ** least error of its nfe\n");
    for (size_t i = 0; i < tuning->ntrials; i++)
        if (tuning->trials[i].best) tell_ends(tuning, &tuning->trials[i], &out);
    if (status == DFL_OK) return text_result(&out, buf, cap, need);
    text_free(&out);
    return status;
}
