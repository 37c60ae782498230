/* An .npz of what is known about pictures: statistics of their features, ours and anyone's, spectra,
   ratios of scores, moments that a run starts from. Every reader gets every file. */
#include "fuzz/fuzz.h"

#include <math.h>
#include <stdio.h>

#include "eval/spectrum.h"
#include "eval/statistics.h"
#include "study/stats.h"

static const char *const names[] = {
    "about", "blocks",      "mean",           "m2",          "guess", "mu", "sigma",
    "cov",   "eigenvalues", "projected_mean", "a_ratio_by_t"};

/* What is read adds to nothing of its own pictures, and is written. */
static void merge(const char *path) {
    statistics s, again;
    moments total;
    double score;
    const dfl_status status = statistics_read(path, &s);
    fuzz_outcome(status, status == DFL_OK ? &s : NULL);
    if (status != DFL_OK) return;
    fuzz_check(statistics_read(path, &again) == DFL_OK, "the second reading fails");
    if (s.n > 0)
        fuzz_check(statistics_merge(&s, &again, path) == DFL_E_COMBINATION, "pictures count twice");
    if (statistics_total(&s, &total, &score) == DFL_OK) moments_free(&total);
    const dfl_status written = statistics_write(&s, "/dev/null");
    fuzz_outcome(written, written == DFL_OK ? &s : NULL);
    statistics_free(&s);
    statistics_free(&again);
}

static void others(const char *path) {
    npz_kind kind;
    gaussian g;
    spectrum s;
    const dfl_status known = statistics_kind(path, &kind);
    fuzz_outcome(known, known == DFL_OK ? &kind : NULL);
    const dfl_status there = statistics_gaussian(path, &g);
    fuzz_outcome(there, there == DFL_OK ? g.mean : NULL);
    if (there == DFL_OK) gaussian_free(&g);
    const dfl_status spread = spectrum_read(path, &s);
    fuzz_outcome(spread, spread == DFL_OK ? s.variance : NULL);
    for (size_t i = 0; spread == DFL_OK && i < s.classes * s.modes; i++)
        fuzz_check(s.variance[i] >= 0 && isfinite(s.mean[i]), "a spectrum that is none");
    spectrum_free(&s);
    const dfl_status ratios = stats_import(path, "a", "/dev/null");
    fuzz_outcome(ratios, ratios == DFL_OK ? path : NULL);
}

/* As the data of a model that starts early. */
static void start(const char *path) {
    static dfl_plan *plan;
    char options[200];
    dfl_run *run = NULL;
    float out[FUZZ_DIM];
    if (!plan)
        fuzz_check(dfl_plan_new(fuzz_model(FUZZ_SCALAR), "solver=ddim steps=2 t_start=0.5",
                                &plan) == DFL_OK,
                   "no plan");
    snprintf(options, sizeof options, "seed=1,prior_map=flow,data_moments='%s'", path);
    FUZZ_CALL(dfl_run_new(plan, fuzz_model(FUZZ_SCALAR), options, &run), run);
    if (run) {
        const dfl_status drawn = dfl_run_sample(run, 3, 1, NULL, NULL, out);
        fuzz_outcome(drawn, drawn == DFL_OK ? run : NULL);
    }
    dfl_run_free(run);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *const path = fuzz_archive(data, size, names, sizeof names / sizeof names[0]);
    merge(path);
    others(path);
    start(path);
    return 0;
}
