/* "driftless sample" with an adaptive solver: no plan, and as many evaluations as each sample
   needs. */
#include <stdlib.h>
#include <string.h>

#include "sample.h"
#include "stop.h"

dfl_status adaptive_refuse(const args *a) {
    static const char *const others[] = {"steps", "nfe",       "grid",
                                         "tuned", "published", "trajectory"};
    const char *solver = arg(a, "solver")->text;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (arg_given(a, others[i]))
            return fail(DFL_E_ARG,
                        "--%s cannot stand beside --solver %.*s, which chooses its steps sample by "
                        "sample",
                        others[i], (int)strcspn(solver, ":"), solver);
    return DFL_OK;
}

static int advance(void *user, uint64_t sample, double t, double done, size_t nfe,
                   const double *state) {
    job *j = user;
    (void)t, (void)nfe, (void)state;
    if (stop_requested()) return WATCH_STOPPED;
    double *share = &j->done[sample - j->first - j->drawn];
    const size_t before = (size_t)(*share * ADAPTIVE_SHARES);
    *share = done;
    progress_add(&j->bar, (size_t)(done * ADAPTIVE_SHARES) - before);
    return 0;
}

dfl_status adaptive_open(job *j, const char *options) {
    TRY(dfl_ode_new(j->model, j->spec.data, options, &j->ode));
    dfl_ode_observe(j->ode, advance, j);
    if (j->noise.path || j->noise.saving) dfl_ode_noise(j->ode, draw_numbers, &j->noise);
    return DFL_OK;
}

dfl_status adaptive_reserve(job *j, size_t held) {
    j->nfe = mem_array(held, sizeof *j->nfe);
    j->done = mem_array(held, sizeof *j->done);
    return j->nfe && j->done ? DFL_OK : fail_memory();
}

dfl_status adaptive_draw(job *j, size_t done, size_t n, const void *start) {
    j->drawn = done;
    memset(j->done, 0, n * sizeof *j->done);
    TRY(dfl_ode_sample(j->ode, j->first + done, n, j->labels, start, j->samples, j->nfe));
    for (size_t i = 0; i < n; i++) {
        const bool least = (done == 0 && i == 0) || j->nfe[i] < j->nfe_min;
        if (least) j->nfe_min = j->nfe[i];
        if (j->nfe[i] > j->nfe_max) j->nfe_max = j->nfe[i];
        j->nfe_sum += j->nfe[i];
    }
    return DFL_OK;
}

double adaptive_mean_nfe(const job *j) {
    return j->count ? (double)j->nfe_sum / (double)j->count : 0;
}

static dfl_status get_solver(const void *ode, char *buf, size_t cap, size_t *need) {
    return dfl_ode_text(ode, buf, cap, need);
}

json_t *adaptive_record(const job *j) {
    char *solver = NULL;
    if (fetch_text(get_solver, j->ode, &solver) != DFL_OK) return NULL;
    json_t *record =
        json_pack("{s:s, s:s, s:{s:I, s:f, s:I, s:I}}", "spec", j->spec.data, "solver", solver,
                  "nfe", "min", (json_int_t)j->nfe_min, "mean", adaptive_mean_nfe(j), "max",
                  (json_int_t)j->nfe_max, "total", (json_int_t)j->nfe_sum);
    free(solver);
    return record;
}

dfl_status adaptive_summary(const job *j, text *out) {
    char *solver = NULL;
    const int calls = dfl_model_calls(j->model);
    const char *noun = job_noun(j);
    TRY(fetch_text(get_solver, j->ode, &solver));
    text_add(out, "solver       %s\n", solver);
    text_add(out, "evaluations  %zu to %zu per %.*s, mean %.1f", j->nfe_min, j->nfe_max,
             (int)strlen(noun) - 1, noun, adaptive_mean_nfe(j));
    if (calls != 1) text_add(out, " (%.1f network calls)", adaptive_mean_nfe(j) * calls);
    free(solver);
    return DFL_OK;
}
