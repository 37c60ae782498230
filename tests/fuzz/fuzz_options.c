/* Option text: what a plan, a run, an integration, a scan, statistics or a model are told. Plans are
   made only of what is short and names no file. */
#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "plan/plan.h"

static bool is_small(const opts *o) {
    enum { STEPS = 30 };
    return opt_get(o, "steps")->number <= STEPS && opt_get(o, "nfe")->number <= STEPS;
}

static void compile(const char *spec) {
    opts o;
    if (opts_parse_words("plan", plan_options, spec, &o) != DFL_OK) return;
    const bool small = is_small(&o);
    opts_free(&o);
    if (!small || strstr(spec, "path") || strstr(spec, "stats")) return;
    for (int i = 0; i < FUZZ_MODELS; i++) {
        dfl_plan *plan = NULL;
        FUZZ_CALL(dfl_plan_new(fuzz_model(i), spec, &plan), plan);
        if (plan) fuzz_run(plan, fuzz_model(i));
        dfl_plan_free(plan);
    }
}

static void tell_others(const char *line) {
    dfl_ode *ode = NULL;
    dfl_tuning *tuning = NULL;
    dfl_stats *stats = NULL;
    dfl_model *model = NULL, *scalar = fuzz_model(FUZZ_SCALAR);
    FUZZ_CALL(dfl_ode_new(scalar, line, NULL, &ode), ode);
    dfl_ode_free(ode);
    if (!strstr(line, "samples") && !strstr(line, "path") && !strstr(line, "stats")) {
        FUZZ_CALL(dfl_tuning_new(scalar, line, &tuning), tuning);
        dfl_tuning_free(tuning);
    }
    if (!strstr(line, "batch")) {
        FUZZ_CALL(dfl_stats_new(scalar, "nfe=4", line, &stats), stats);
        dfl_stats_free(stats);
    }
    FUZZ_CALL(dfl_model_open("/nowhere", line, &model), model);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *line = fuzz_text(data, size);
    compile(line);
    tell_others(line);
    free(line);
    return 0;
}
