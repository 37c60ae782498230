/* What a trial is measured by, and the runs behind it.
 *
 *   deterministic   d_i = RMS over the numbers of sample i of (x - reference) from the same start;
 *                   error: median of d_i, because samples that end at another mode would decide a
 *                   mean; rms: root mean square of d_i
 *   stochastic      sliced Wasserstein-1 distance to as many reference samples from other starts,
 *                   over 64 fixed directions: mean over directions and ranks of |sorted difference|
 *
 * The floor says what cannot be told apart: for a Heun reference its distance to one with half the
 * steps; for the sliced distance that of two sets of reference samples. */
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "plan/plan.h"
#include "study/tune.h"

enum { DIRECTIONS = 64, HEUN_STEPS = 256 };

static const char ode_reference[] = "ode45:rtol=1e-8,atol=1e-8";
static const uint64_t direction_seed = 64;

/* ---- runs ------------------------------------------------------------------------------------ */

static dfl_status run_settings_text(const dfl_tuning *tuning, text *out) {
    text_add(out, "seed=%llu,dtype=float64", (unsigned long long)tuning->seed);
    return out->failed ? fail_memory() : DFL_OK;
}

/* The caller may end a scan in the middle of a run. */
static int ask_caller(const dfl_tuning *tuning) {
    return tuning->fn ? tuning->fn(tuning->user, tuning->at, tuning->ntrials + 1) : 0;
}

static int at_step(void *user, size_t step, size_t steps, double t, uint64_t first, size_t count,
                   const void *state) {
    (void)step, (void)steps, (void)t, (void)first, (void)count, (void)state;
    return ask_caller(user);
}

static int at_advance(void *user, uint64_t sample, double t, double done, size_t nfe,
                      const double *state) {
    (void)sample, (void)t, (void)done, (void)nfe, (void)state;
    return ask_caller(user);
}

/* Draws samples first ... first + samples - 1 by a plan. */
static dfl_status run_plan(dfl_tuning *tuning, const text *spec, uint64_t first, double *to) {
    text options = {0};
    dfl_plan *plan = NULL;
    dfl_run *run = NULL;
    dfl_status status = spec->failed ? fail_memory() : run_settings_text(tuning, &options);
    if (status == DFL_OK) status = dfl_plan_new(tuning->model, spec->data, &plan);
    if (status == DFL_OK) status = dfl_run_new(plan, tuning->model, options.data, &run);
    if (status == DFL_OK) dfl_run_observe(run, at_step, tuning);
    if (status == DFL_OK) status = dfl_run_sample(run, first, tuning->samples, NULL, NULL, to);
    dfl_run_free(run);
    dfl_plan_free(plan);
    text_free(&options);
    return status;
}

static dfl_status run_ode(dfl_tuning *tuning, uint64_t first, double *to) {
    text options = {0}, spec = {0};
    dfl_ode *ode = NULL;
    text_add(&spec, "solver=%s%s", ode_reference, tuning->tail.data);
    dfl_status status = spec.failed ? fail_memory() : run_settings_text(tuning, &options);
    if (status == DFL_OK) status = dfl_ode_new(tuning->model, spec.data, options.data, &ode);
    if (status == DFL_OK) dfl_ode_observe(ode, at_advance, tuning);
    if (status == DFL_OK)
        status = dfl_ode_sample(ode, first, tuning->samples, NULL, NULL, to, NULL);
    dfl_ode_free(ode);
    text_free(&options);
    text_free(&spec);
    return status;
}

static dfl_status run_reference(dfl_tuning *tuning, uint64_t first, int steps, double *to) {
    if (tuning->adaptive) return run_ode(tuning, first, to);
    text spec = {0};
    text_add(&spec, "solver=heun steps=%d%s", steps, tuning->tail.data);
    const dfl_status status = run_plan(tuning, &spec, first, to);
    text_free(&spec);
    return status;
}

void tune_reference_text(const dfl_tuning *tuning, text *out) {
    if (tuning->adaptive)
        text_add(out, "%s", ode_reference);
    else
        text_add(out, "heun, %d steps", HEUN_STEPS);
}

/* ---- distances ------------------------------------------------------------------------------- */

static double median(double *x, size_t n) {
    sort_reals(x, n);
    return n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

static void measure_paths(const dfl_tuning *tuning, const double *x, double *middle, double *rms) {
    const size_t n = tuning->samples, dim = tuning->dim;
    double all = 0;
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        for (size_t d = 0; d < dim; d++) {
            const double gap = x[i * dim + d] - tuning->reference[i * dim + d];
            sum += gap * gap;
        }
        tuning->scratch[i] = sqrt(sum / (double)dim);
        all += sum / (double)dim;
    }
    *middle = median(tuning->scratch, n);
    *rms = sqrt(all / (double)n);
}

/* Samples along fixed direction number k, sorted. */
static dfl_status project(const dfl_tuning *tuning, const double *x, uint32_t k, double *sorted) {
    const size_t dim = tuning->dim;
    double *direction = mem_array(dim, sizeof *direction), length = 0;
    if (!direction) return fail_memory();
    noise_normals(direction_seed, DFL_DRAW_TABLE, k, 0, 0, dim, direction);
    for (size_t d = 0; d < dim; d++) length += direction[d] * direction[d];
    for (size_t i = 0; i < tuning->samples; i++) {
        double sum = 0;
        for (size_t d = 0; d < dim; d++) sum += direction[d] * x[i * dim + d];
        sorted[i] = sum / sqrt(length);
    }
    sort_reals(sorted, tuning->samples);
    free(direction);
    return DFL_OK;
}

static dfl_status measure_cloud(const dfl_tuning *tuning, const double *x, double *distance) {
    const size_t n = tuning->samples;
    double sum = 0;
    for (uint32_t k = 0; k < DIRECTIONS; k++) {
        TRY(project(tuning, x, k, tuning->scratch));
        for (size_t i = 0; i < n; i++)
            sum += fabs(tuning->scratch[i] - tuning->reference[k * n + i]);
    }
    *distance = sum / (double)DIRECTIONS / (double)n;
    return DFL_OK;
}

/* ---- the reference, the trials --------------------------------------------------------------- */

/* Trials draw samples 0 ... n - 1; the reference cloud has n ... 2n - 1. */
static dfl_status make_cloud(dfl_tuning *tuning) {
    const size_t n = tuning->samples;
    tuning->reference = mem_array(mem_product(DIRECTIONS, n, 1), sizeof *tuning->reference);
    if (!tuning->reference) return fail_memory();
    TRY(run_reference(tuning, n, HEUN_STEPS, tuning->drawn));
    for (uint32_t k = 0; k < DIRECTIONS; k++)
        TRY(project(tuning, tuning->drawn, k, tuning->reference + k * n));
    TRY(run_reference(tuning, 0, HEUN_STEPS, tuning->drawn));
    return measure_cloud(tuning, tuning->drawn, &tuning->floor);
}

static dfl_status make_paths(dfl_tuning *tuning) {
    double rms;
    tuning->reference =
        mem_array(mem_product(tuning->samples, tuning->dim, 1), sizeof *tuning->reference);
    if (!tuning->reference) return fail_memory();
    TRY(run_reference(tuning, 0, HEUN_STEPS, tuning->reference));
    if (tuning->adaptive) return DFL_OK;
    TRY(run_reference(tuning, 0, HEUN_STEPS / 2, tuning->drawn));
    measure_paths(tuning, tuning->drawn, &tuning->floor, &rms);
    return DFL_OK;
}

dfl_status tune_reference(dfl_tuning *tuning) {
    free(tuning->reference);
    tuning->reference = NULL;
    const dfl_status status = tuning->stochastic ? make_cloud(tuning) : make_paths(tuning);
    return status == DFL_OK ? DFL_OK : fail_in(status, "the reference of the scan");
}

static dfl_status trial_spec(const dfl_tuning *tuning, const tune_trial *trial, text *out) {
    text_add(out, "nfe=%d solver=", trial->nfe);
    tune_solver_text(tuning, trial, out);
    text_add(out, " grid=");
    TRY(tune_grid_text(tuning, trial, out));
    text_add(out, "%s", tuning->tail.data);
    return out->failed ? fail_memory() : DFL_OK;
}

dfl_status tune_check(const dfl_tuning *tuning, const tune_trial *trial) {
    text spec = {0};
    dfl_plan *plan = NULL;
    dfl_status status = trial_spec(tuning, trial, &spec);
    if (status == DFL_OK) status = dfl_plan_new(tuning->model, spec.data, &plan);
    dfl_plan_free(plan);
    text_free(&spec);
    return status == DFL_E_NONFINITE ? DFL_OK : status; /* will count as diverged */
}

dfl_status tune_try(dfl_tuning *tuning, tune_trial *trial) {
    text spec = {0};
    dfl_status status = trial_spec(tuning, trial, &spec);
    if (status == DFL_OK) status = run_plan(tuning, &spec, 0, tuning->drawn);
    text_free(&spec);
    trial->error = trial->rms = INFINITY;
    if (status == DFL_E_NONFINITE)
        return DFL_OK; /* a choice to be avoided, and the table says so */
    TRY(status);
    if (tuning->stochastic)
        TRY(measure_cloud(tuning, tuning->drawn, &trial->error));
    else
        measure_paths(tuning, tuning->drawn, &trial->error, &trial->rms);
    /* Numbers beyond every scale are no better than those that are not finite. */
    if (!(trial->error < FLT_MAX)) trial->error = trial->rms = INFINITY;
    return DFL_OK;
}
